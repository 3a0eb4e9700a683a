# SPDX-License-Identifier: PostgreSQL
"""Who is believed about roles: a Patroni that lies, stutters or is gone; fixed host lists."""
import contextlib
import http.server
import json
import os
import re
import ssl
import subprocess
import threading
import time
import urllib.request

import psycopg

import servers
from lib import check, equal, limit, needs, patient, raises, until

WHO = f"user=pgweir password={servers.USERS['pgweir']}"
OPTIONS = {"failover_wait_timeout": 2, "topology_poll_interval": 0.1}


class FakePatroni:
    """Serves /cluster: what a real member says, as changed by `change`."""

    def __init__(self, real_url):
        self.real_url, self.change, self.raw, self.asked = real_url, None, None, 0
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = fake.answer()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def real(self):
        with urllib.request.urlopen(self.real_url + "/cluster", timeout=patient(5)) as reply:
            return json.load(reply)

    def answer(self):
        self.asked += 1
        if self.raw is not None:
            return self.raw
        doc = self.real()
        for member in doc["members"]:
            member.pop("api_url", None)     # the true members aren't to be found through it
        if self.change:
            self.change(doc)
        return 200, json.dumps(doc).encode()

    def wait_asked(self, times=3):
        goal = self.asked + times
        until("the fake Patroni to be asked", 10, lambda: self.asked >= goal)


@contextlib.contextmanager
def faked(tier, start, **options):
    fake = FakePatroni(tier.env()["PATRONI_URLS"].split(",")[0])
    weir = start({**OPTIONS, **options, "clusters": [f"fake = patroni={fake.url} {WHO}"],
                  "databases": ["faked = cluster=fake dbname=app",
                                "hasty = cluster=fake dbname=app failover_wait_timeout=0"]})
    try:
        with weir.connect(dbname="faked") as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS topology(a int)")
            yield fake, weir, conn
    finally:
        fake.server.shutdown()
        fake.server.server_close()


def certificate(folder, name, issuer=None):
    """An authority (no issuer) or a server's certificate for localhost: its .crt and .key."""
    crt, key = os.path.join(folder, name + ".crt"), os.path.join(folder, name + ".key")
    args = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", crt]
    if issuer:
        args += ["-CA", issuer[0], "-CAkey", issuer[1], "-addext", "basicConstraints=critical,CA:false",
                 "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(args, check=True, capture_output=True)
    os.chmod(crt, 0o644)
    return crt, key


@needs("openssl")
def test_patroni_over_https(tier, start, folder):
    """The answer counts only from a member whose certificate and name are right; the log says why not."""
    authority, stranger = certificate(folder, "right-ca"), certificate(folder, "other-ca")
    fake = FakePatroni(tier.env()["PATRONI_URLS"].split(",")[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, "member", authority))
    fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
    port = fake.server.server_address[1]

    def weir_with(host, ca):
        return start({**OPTIONS, "clusters": [f"safe = patroni=https://{host}:{port} patroni_ca_file={ca} {WHO}"],
                      "databases": ["faked = cluster=safe dbname=app"]})
    try:
        with weir_with("localhost", authority[0]).connect(dbname="faked") as conn:
            equal(conn.execute("SELECT 1").fetchone(), (1,))
        for host, ca, reason in (("localhost", stranger[0], "self-signed|unable to get"),
                                 ("127.0.0.1", authority[0], "IP address mismatch")):
            weir = weir_with(host, ca)
            until("the reason in the log", 10,
                  lambda w=weir, r=reason: any("tls_failed" in line and re.search(r, line)
                                               for line in w.log_lines()))
            equal(weir.http("/readyz")[0], 503)
            weir.stop()
    finally:
        fake.server.shutdown()
        fake.server.server_close()


def write(conn):
    conn.execute("INSERT INTO topology VALUES (1)")


def waits(conn, what):
    """The write waits for its whole time and fails without having reached a server."""
    began = time.monotonic()
    try:
        write(conn)
    except psycopg.Error as e:
        check(time.monotonic() - began > 1, f"{what}: failed at once: {e}")
        check("read-only" not in str(e), f"{what}: the write reached a replica: {e}")
        return
    raise AssertionError(f"{what}: the write went through")


def lead(doc, names):
    for member in doc["members"]:
        member["role"] = "leader" if member["name"] in names else "replica"


def replica_and_leader(fake):
    members = fake.real()["members"]
    leader = next(m["name"] for m in members if m["role"] == "leader")
    return next(m["name"] for m in members if m["name"] != leader), leader


@limit(60)
def test_a_replica_called_leader_gets_no_writes(tier, start):
    with faked(tier, start) as (fake, weir, conn):
        replica, _ = replica_and_leader(fake)
        write(conn)
        with weir.connect(dbname="faked") as other:
            fake.change = lambda doc: lead(doc, [replica])
            fake.wait_asked()
            waits(other, "replica called leader")
        fake.change = None
        fake.wait_asked()
        write(conn)


@limit(60)
def test_two_leaders_are_none_and_reads_go_on(tier, start):
    with faked(tier, start, failover_wait_timeout=6) as (fake, weir, conn):
        names = replica_and_leader(fake)
        with weir.connect(dbname="faked") as other, weir.connect(dbname="hasty") as hasty:
            fake.change = lambda doc: lead(doc, names)
            fake.wait_asked()
            equal(other.execute("SELECT 1").fetchone(), (1,), "a read without a primary")
            began = time.monotonic()
            raises("57P03", write, hasty, text="no primary is available")
            check(time.monotonic() - began < 5, "a database's own failover_wait_timeout holds")
            waits(other, "two leaders")
        fake.change = None
        fake.wait_asked()
        write(conn)


@limit(60)
def test_nonsense_from_patroni_changes_nothing(tier, start, sub):
    answers = {
        "not JSON": (200, b"<html>hello</html>"),
        "no members": (200, b'{"members": []}'),
        "wrong types": (200, b'{"members": [{"name": 1, "host": [], "port": "x"}]}'),
        "an error": (503, b'{"members": 7}'),
        "a long body": (200, b'{"members": [' + b" " * (3 << 20) + b"]}"),
        "deep nesting": (200, b"[" * 200000),
    }
    with faked(tier, start) as (fake, weir, conn):
        for name, raw in answers.items():
            with sub(name):
                fake.raw = raw
                fake.wait_asked()
                write(conn)
                check(weir.is_alive(), "pgweir is gone")


@limit(60)
def test_a_patroni_that_is_gone_changes_nothing(tier, start):
    with faked(tier, start) as (fake, _weir, conn):
        fake.server.shutdown()
        fake.server.server_close()
        time.sleep(1)
        write(conn)


@limit(60)
def test_fixed_hosts_are_told_apart(tier, start):
    ports = [*tier.replica_ports(), tier.primary_port()]
    hosts = ",".join(f"127.0.0.1:{p}" for p in ports)
    weir = start({**OPTIONS, "clusters": [f"fixed = hosts={hosts} {WHO}"],
                  "databases": ["fixed = cluster=fixed dbname=app"]})
    with weir.connect(dbname="fixed") as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS topology(a int)")
        for _ in range(20):
            write(conn)

    def reads_run_on():
        seen = set()
        for _ in range(12):
            with weir.connect(dbname="fixed") as conn:
                seen.add(conn.execute("SELECT inet_server_port()").fetchone()[0])
        return seen
    replicas = set(tier.replica_ports())
    until("all reads to run on replicas", 10, lambda: reads_run_on() <= replicas)


@limit(60)
def test_the_catalog_follows_ddl(tier, start):
    weir = start(OPTIONS)
    with weir.connect() as conn, tier.connect() as direct:
        conn.execute("CREATE TABLE IF NOT EXISTS topology_log(a int)")
        conn.execute("CREATE OR REPLACE FUNCTION topology_note() RETURNS int LANGUAGE sql VOLATILE "
                     "AS 'INSERT INTO topology_log VALUES (1) RETURNING a'")
        before, = direct.execute("SELECT count(*) FROM topology_log").fetchone()
        for _ in range(5):
            equal(conn.execute("SELECT topology_note()").fetchone(), (1,))
        conn.execute("CREATE OR REPLACE VIEW topology_view AS SELECT topology_note() AS a")
        time.sleep(patient(0.5))    # the catalog is read again
        for _ in range(5):
            equal(conn.execute("SELECT a FROM topology_view").fetchone(), (1,))
        after, = direct.execute("SELECT count(*) FROM topology_log").fetchone()
        equal(after - before, 10)
        equal(weir.stat("retries_read_only"), 0, "statements that a replica refused")


@limit(60)
def test_databases_of_the_fallback_entry_have_catalogs(tier, start):
    with tier.connect(user="postgres", dbname="postgres") as admin:
        admin.execute("DROP DATABASE IF EXISTS topology_other")
        admin.execute("CREATE DATABASE topology_other OWNER app")
    weir = start({**OPTIONS, "databases": ["* = cluster=main"]})
    with weir.connect(dbname="topology_other") as conn:
        conn.execute("CREATE FUNCTION looks() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'")

    def port():
        with weir.connect(dbname="topology_other") as conn:
            return conn.execute("SELECT inet_server_port() FROM looks()").fetchone()[0]
    until("the function to be known as one that writes nothing", 10,
          lambda: port() in tier.replica_ports())
