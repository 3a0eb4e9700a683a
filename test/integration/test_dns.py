# SPDX-License-Identifier: PostgreSQL
"""Hosts that are names: how long their addresses are used, and what a change of them does."""
import contextlib
import os
import shutil
import subprocess

from lib import Skip, check, equal, quick, raises, until
from ports import free_port
from test_lost import Wire
import servers

# Before the C library's: this one name has the addresses of a file, or isn't there without the file.
LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	char address[64] = "";
	FILE *f;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!node || strcmp(node, "db.test") != 0 || (hints && hints->ai_flags & AI_NUMERICHOST))
		return real(node, service, hints, res);
	f = fopen(getenv("TEST_HOSTS"), "r");
	if (!f)
		return EAI_NONAME;
	if (!fgets(address, sizeof address, f))
		address[0] = 0;
	fclose(f);
	address[strcspn(address, "\n")] = 0;
	return address[0] ? real(address, service, hints, res) : EAI_NONAME;
}
"""


class Names:
    """The address of db.test, for pgweirs that are started with it."""

    def __init__(self, session):
        self.session, self.path = session, os.path.join(session.dir, "dns.hosts")
        self.library = os.path.join(session.dir, "dns.so")
        cc = shutil.which("cc") or shutil.which("gcc")
        if not cc:
            raise Skip("no C compiler")
        source = self.library[:-2] + "c"
        with open(source, "w", encoding="utf-8") as f:
            f.write(LIBRARY)
        subprocess.run([cc, "-shared", "-fPIC", "-o", self.library, source, "-ldl"], check=True)
        os.chmod(self.library, 0o755)

    def set(self, address):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            f.write(address + "\n")
        os.chmod(self.path + ".new", 0o644)
        os.replace(self.path + ".new", self.path)

    def forget(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def start(self, options):
        # a sanitizer's library wants to be the first
        env = {"LD_PRELOAD": self.library, "TEST_HOSTS": self.path,
               "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=1:exitcode=66"}
        os.environ.update(env)
        try:
            return self.session.start(options)
        finally:
            for name in env:
                del os.environ[name]


@contextlib.contextmanager
def two_places(tier):
    """One port at two addresses, both before the primary."""
    port = free_port()
    wires = [Wire(tier.primary_port(), host, port) for host in ("127.0.0.1", "127.0.0.2")]
    try:
        yield port
    finally:
        for wire in wires:
            wire.close()


def options(port, **more):
    return {"databases": [f"named = host=db.test port={port} dbname=app user=app "
                          f"password={servers.USERS['app']}"], "workers": 2, **more}


def addresses(weir):
    return [r["addr"] for r in weir.show("SERVERS") if r["database"] == "named"]


def known(weir):
    return {r["hostname"]: r["addrs"] for r in weir.show("DNS_HOSTS")}


def in_transaction(weir):
    conn = weir.connect(dbname="named")
    conn.execute("BEGIN")
    conn.execute("SELECT txid_current()")
    return conn


@quick
def test_another_address_retires_old_connections(start, tier, sub):
    """What is in a transaction ends it first; a look-up is due when a connection is opened, or after
    dns_zone_check_period."""
    names = Names(start.__self__)
    for period in (0, 1):
        with two_places(tier) as port, sub(f"dns::a new address, dns_zone_check_period={period}"):
            names.set("127.0.0.1")
            weir = names.start(options(port, dns_max_ttl=0, dns_zone_check_period=period))
            busy, idle = in_transaction(weir), in_transaction(weir)
            idle.execute("COMMIT")
            equal(addresses(weir), ["127.0.0.1"] * 2)
            equal(known(weir)["db.test"], "127.0.0.1:0")
            names.set("127.0.0.2")
            if not period:
                second = in_transaction(weir)    # takes the idle one
                in_transaction(weir).close()     # opens another: the name is looked up
                second.execute("COMMIT")
            until("the idle one to go", 10, lambda w=weir: addresses(w).count("127.0.0.1") == 1)
            equal(known(weir)["db.test"], "127.0.0.2:0")
            busy.execute("SELECT txid_current()")
            until("the busy one to be marked", 10, lambda w=weir: [("active", 1)] == [
                (r["state"], r["close_needed"]) for r in w.show("SERVERS")
                if r["database"] == "named" and r["addr"] == "127.0.0.1"])
            busy.execute("COMMIT")
            until("the other to go", 10, lambda w=weir: "127.0.0.1" not in addresses(w))
            busy.execute("SELECT txid_current()")
            equal(set(addresses(weir)), {"127.0.0.2"})
            check(any("name_changed host=db.test" in li for li in weir.log_lines()), weir.log_tail())
            weir.stop()


@quick
def test_dns_max_ttl(start, tier):
    """As long as it lasts, new connections go where the first went; a reload's value counts."""
    names = Names(start.__self__)
    with two_places(tier) as port:
        names.set("127.0.0.1")
        weir = names.start(options(port, dns_max_ttl=600))
        first = in_transaction(weir)
        row, = [r for r in weir.show("DNS_HOSTS") if r["hostname"] == "db.test"]
        check(0 < row["ttl"] <= 600, f"{row}")
        names.set("127.0.0.2")
        second = in_transaction(weir)
        equal(addresses(weir), ["127.0.0.1"] * 2)
        names.forget()    # a name that isn't found any more is no reason to close anything
        for conn in (first, second):
            conn.execute("COMMIT")
            conn.execute("SELECT txid_current()")


@quick
def test_dns_nxdomain_ttl(start, tier, sub):
    """A name that wasn't found is found again after that time, not before."""
    names = Names(start.__self__)
    for ttl in (600, 0):
        with two_places(tier) as port, sub(f"dns::dns_nxdomain_ttl={ttl}"):
            names.forget()
            weir = names.start(options(port, dns_nxdomain_ttl=ttl, failover_wait_timeout=1 if ttl else 4, workers=1))
            raises(None, lambda w=weir: w.connect(dbname="named"))
            failures = sum("name_not_found" in li for li in weir.log_lines())
            names.set("127.0.0.1")
            if ttl:
                raises(None, lambda w=weir: w.connect(dbname="named"))
                equal(sum("name_not_found" in li for li in weir.log_lines()), failures)
            else:
                in_transaction(weir).close()
            weir.stop()
