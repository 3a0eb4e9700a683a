# SPDX-License-Identifier: PostgreSQL
"""Values of an ini, fed to Debian's PgBouncer and to pgweir: what the one takes the other takes, and
reads alike. What differs on purpose is in the tables below and in docs/pgbouncer.md, with the reason."""
import os
import subprocess

import bouncer
from lib import check, equal, limit, needs, patient

WHOLE = ("5", "+5", "0x10", "0X1f", "010", "08", "00", "-0", "0x", "5.0", "1e2", "", "5k", "5 5", "-1", "-5",
         "2147483647", "x")
SWITCH = ("0", "1", "2", "-1", "0x1", "0x0", "010", "+1", "00", "", "1.0", "x")
SECONDS = ("5", "+5", "-5", ".5", "5.", "0.5", "1e3", "1E3", "1e-3", "1e+3", "25e-1", "010", "5,5", "", "0.0000001",
           "2147483648", "9999999999", "- 5", "5e", "1.5.1", "1e", "1e", ".", "x", "1 h x")
PROTOCOLS = ("secure", "SECURE", "all", "default", "tlsv1.2", "tlsv1.3", "tlsv1.2,tlsv1.3", "tlsv1.2:tlsv1.3",
             "TLSv1.2", "tlsv1.2, tlsv1.3", "")
# What isn't checked before TLS is wanted is a text here.
SETTINGS = {
    "default_pool_size": [v for v in WHOLE if not v.startswith("-")] + ["-0"],
    "max_client_conn": ["5", "0x20", "020", "+7", "70000", "2000000000", "x", ""],
    **{name: WHOLE for name in ("max_db_connections", "max_user_connections", "min_pool_size",
                                "reserve_pool_size", "sbuf_loopcnt", "verbose")},
    "tcp_keepidle": ["5", "0x20", "020", "+7", "-1", "x"], "tcp_keepintvl": ["5", "0x20", "-1"],
    "tcp_keepcnt": ["5", "0x20", "-1"], "tcp_user_timeout": ["5", "0x20", "020", "70000", "x"],
    "tcp_defer_accept": ["0", "1", "0x20", "70000", "x"], "tcp_socket_buffer": ["0", "0x20", "2000000000", "x"],
    "stats_period": ["5", "+7", "70000", "020", "0x20", "0X1f", "0x", "08", "5k", "5 5", "x", ""],
    **{name: SWITCH for name in ("log_connections", "server_round_robin", "application_name_add_host",
                                 "server_reset_query_always", "tcp_keepalive", "log_stats",
                                 "server_fast_close", "log_pooler_errors", "log_disconnections")},
    **{name: SECONDS for name in ("server_lifetime", "query_timeout", "idle_transaction_timeout",
                                  "client_login_timeout", "dns_max_ttl", "server_check_delay",
                                  "reserve_pool_timeout", "autodb_idle_timeout", "suspend_timeout")},
    "max_packet_size": ["2147483647", "4294967295", "1024", "0x7fffffff", "08192", "010000", "x"],
    "pool_mode": ["session", "Session", "TRANSACTION", "statement", "tx", "", "2", "transaction;", "'session'"],
    "auth_type": ["any", "ANY", "trust", "plain", "md5", "MD5", "crypt", "scram-sha-256", "SCRAM-SHA-256",
                  "scram", "password", "", "scram_sha_256"],
    "server_tls_sslmode": ["disable", "Disable", "allow", "prefer", "require", "verify-ca", "verify-full",
                           "verify_full", "on", "1", ""],
    "server_tls_protocols": PROTOCOLS, "client_tls_protocols": PROTOCOLS,
    "syslog_facility": ["daemon", "auth", "authpriv", "user", "local0", "local7", "kern", "mail", "cron", "ftp",
                        "lpr", "news", "syslog", "uucp", "", "DAEMON", "Local0"],
    "admin_users": ["a", "a,b", "a, b", "a b", "'a'", '"a"', "a;b", "a # b", "a ; b", "=x", "a=b", "a\\b", "\\",
                    '"', "\u00e4", "%include x", "[x]", "a  ,\tb"],
    "server_check_query": ["select 1", "select 1;", "<empty>", "", "'select 1'", ";"],
    "server_reset_query": ["", "DISCARD ALL", "DISCARD ALL;", "-- x"],
    "ignore_startup_parameters": ["", "extra_float_digits", "extra_float_digits,options", "a b"],
    **{name: ["1"] for name in ("Pool_mode", "LOG_STATS", "log-stats", "no_such", "pool_size")},
}
# Taken there and refused here.
REFUSED = {
    "unix_socket_mode": ["777", "1777"],    # decimal to both, more than all permissions
    "max_packet_size": ["-1", "1000"],    # no log-in would fit
    "server_lifetime": ["0x10", "inf", "nan", "infinity"],
    "max_client_conn": ["0", "-1"], "default_pool_size": ["-1", "2147483648", "99999999999"],
    "stats_period": ["0", "-1"],
    "tcp_keepidle": ["2147483647"], "tcp_keepcnt": ["70000"],    # the kernel refuses them
    "syslog_facility": ["bogus", "local8"], "auth_type": ["pam"],
}
# A line of [databases]: the same entry in SHOW DATABASES, or refused by both.
ENTRIES = """
host=127.0.0.1 | host = 127.0.0.1 | host= 127.0.0.1 | host =127.0.0.1 | host='127.0.0.1'| host=a  port=5
host=a port=5 dbname=x user=y password=z pool_size=3 min_pool_size=1 reserve_pool=2 pool_mode=session
password='a''b' | password='a b' | password=a'b | password='a' port=5 | password='a | password="a b" | password="a"
password=a\\ b | password='a\\'b' port=5 | HOST=a | Host=a | host=a host=b | host=a,b | host=a,b, | host=,a | host=a,,b
host=a, b | host='a, b' | host='a b' | host=::1 | host=/tmp | host=/tmp,/run | host=@abc | host=/ | host=127.1
host=a.b. | host=a_b | host=-a | host=* | host=0 | host='/a b' | hostaddr=127.0.0.1 | port=5 | port=0 | port=-1
port=65535 | port=x | port=0x10 | port=+5 | port=05432 | port='5' | dbname=x | dbname='x y' | dbname=pgbouncer
database=x | user=x | user='x y' | pool_size=5 | pool_size=0 | pool_size=-1 | pool_size=-2 | pool_size=+5
pool_size=010 | pool_size=2000000 | min_pool_size=-7 | min_pool_size=3 | reserve_pool=3 | reserve_pool=-1
max_db_connections=-1 | max_db_connections=-5 | max_db_connections=0 | max_db_connections=7 | pool_mode=SESSION
pool_mode= | pool_mode=x | pool_mode=inherit | connect_query='SELECT 1' | connect_query='SELECT ''x''' | auth_user=a
client_encoding=UTF8 | datestyle=ISO | timezone='Europe/Berlin' | application_name=x | sslmode=require
connect_timeout=5 | options=-csearch_path=x | replication=1 | =x | host | host=a b | host=a =b | host=a;port=5
host=a # c | host=a ; c | host=a,port=5 | password=%41 | password=a=b | host=a==b | 'host'=a | max_client_conn=5
postgresql://127.0.0.1/x | user=x user=y |
""".replace("\n", "|").split("|")
# Taken there: a number ends where its digits end, a text that isn't one is 0, and 0 is no limit.
REFUSED_ENTRIES = ["pool_size=0x10", "pool_size=5x", "pool_size=x", "pool_size=5.5", "pool_size=99999999999",
                   "port=5x", "port=70000", "port=5,6", "host=,", "host=a:x",
                   "host=" + ",".join(f"h{i}" for i in range(33)), "host=" + "a" * 300]
# Whole files behind the main section's first lines; @ is their folder.
FILES = [
    "[databases]\na = host=h\n[users]\n[databases]\nb = host=h\n", "[databases]\na = host=h port=1\na = host=i\n",
    "max_db_connections = 7\nmax_db_connections = 8\n", "[foo]\n", "[foo]\na = b\n", "[ databases ]\n",
    "[PgBouncer]\n", "[users] ; c\na = pool_mode=session\n", "[users] # c\n", "[users] a = pool_mode=session\n",
    "[databases] a = host=h\n", "[users] junk\n", "[users\n", "  [users]\n", "[databases]\n\ta\t=\thost=h\t\n",
    "[databases]\n; c\n# c\n  ; c\n\t# c\na = host=h\n", "[databases]\na = host=h ;c\n",
    "[databases]\na = host=h #c\n", "// c\n", "-- c\n", "[databases]\r\na = host=h\r\n", "[databases]\na\n",
    "[databases]\na =\n", "[databases]\n'a = host=h\n", "[databases]\n'a'x = host=h\n", "[databases]\n'' = host=h\n",
    "[databases]\nmy-a = host=h\n", "[databases]\nmy.a = host=h\n", "[databases]\n* = host=h\n",
    "[databases]\npgbouncer = host=h\n", "[databases]\n" + "a" * 63 + " = host=h\n", "[databases]\n   a = host=h\n",
    "[databases]\na = host=h\n   port=5\n", "[databases]\na = host=h \\\n port=5\n",
    "\n\n[databases]\n \n\t\n\n", "[databases]\n\fa = host=h\n", "[databases]\n\va = host=h\n", "%foo\n",
    "%include\n", "%include @/nope\n", "%include @/a.inc\n", "   %include   @/a.inc   \n", "%include\t@/a.inc\n",
    "%include '@/a.inc'\n", "%INCLUDE @/a.inc\n", "%include = @/a.inc\n", "%include @/a.inc ; c\n",
    "%include @/b.inc\na = host=h\n", "%include @/self.inc\n", "%include @/1.inc\n", "%include @/0.inc\n",
    "[users]\na = pool_mode=session\na = max_user_connections=3\n", "[users]\na = host=h\n", "[users]\na =\n",
    "[users]\na = max_user_connections=-3\n", "[users]\na = pool_mode=\n",
]
INCLUDED = {"a.inc": "max_db_connections = 9\n", "b.inc": "[databases]\n", "self.inc": "%include @/self.inc\n",
            **{f"{i}.inc": f"%include @/{i + 1}.inc\n" for i in range(10)}, "10.inc": "max_db_connections = 6\n"}
SAME_CONFIG = ("max_db_connections", "default_pool_size", "pool_mode")


class Judges:
    """Both read the same file; whether one took it is told by an entry at its end."""

    def __init__(self, real, console, binary, folder):
        self.console, self.binary, self.count = console, binary, 0
        self.path = os.path.join(folder, f"bouncer-{real.port}.ini")
        with open(self.path, encoding="utf-8") as f:
            self.head = f.read()

    def theirs(self, text):
        """SHOW CONFIG and SHOW DATABASES; None: refused."""
        self.count += 1
        with open(self.path, "w", encoding="utf-8", newline="") as f:
            f.write(f"{self.head}{text}\n[databases]\njudged_{self.count} = host=h\n")
        self.console.execute("RELOAD")
        rows = self.console.execute("SHOW DATABASES").fetchall()
        entries = {row[0]: row[1:] for row in rows}
        if entries.pop(f"judged_{self.count}", None) is None:
            return None
        return {row[0]: row[1] for row in self.console.execute("SHOW CONFIG")}, entries

    def ours(self):
        """The ini as pgweir prints it, and what it says when it refuses it."""
        done = subprocess.run([self.binary, "--print-config", self.path], capture_output=True, text=True,
                              timeout=patient(20), stdin=subprocess.DEVNULL)
        return done.stdout if done.returncode == 0 else None, done.stderr


def printed(text):
    return {k.strip("; "): v.strip() for k, _, v in (li.partition("=") for li in text.splitlines())}


def same_value(theirs, ours, default):
    """Their switches are any number, and so are their limits below nothing; their times have six digits."""
    theirs = theirs or ""
    if theirs == ours:
        return True
    try:
        number, mine = float(theirs), float(ours)
    except ValueError:
        return False
    if default in ("0", "1") and mine == 1:
        return number != 0
    if number < 0:
        return mine == 0
    return abs(number - mine) <= 1e-5 * abs(mine) or number > 2 ** 31 - 1 == mine


def with_judges(start, folder):
    for name, text in INCLUDED.items():
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("@", folder))
        os.chmod(path, 0o644)
    return bouncer.Bouncer(folder, "admin_users = postgres\n"), start.__self__.binary


@needs("pgbouncer")
@limit(120)
def test_settings(start, folder, sub):
    real, binary = with_judges(start, folder)
    with real, real.console() as console:
        judges = Judges(real, console, binary, folder)
        defaults = {row[0]: row[2] for row in console.execute("SHOW CONFIG")}
        for name, values in SETTINGS.items():
            with sub(f"values::{name}"):
                for value in values:
                    want = judges.theirs(f"{name} = {value}\n")
                    got, said = judges.ours()
                    equal(got is None, want is None, f"{name} = {value}: refused; {said}")
                    if want:
                        mine = printed(got).get(name)    # None: accepted without effect
                        check(mine is None or same_value(want[0][name], mine, defaults.get(name)),
                              f"{name} = {value}: {mine!r}, theirs {want[0][name]!r}")
        for name, values in REFUSED.items():
            with sub(f"values::{name}, refused here alone"):
                for value in values:
                    check(judges.theirs(f"{name} = {value}\n"), f"{name} = {value} isn't taken there")
                    equal(judges.ours()[0], None, f"{name} = {value}")


@needs("pgbouncer")
@limit(120)
def test_entries(start, folder, sub):
    real, binary = with_judges(start, folder)
    with real, real.console() as console:
        judges = Judges(real, console, binary, folder)
        for line in ENTRIES:
            with sub(f"values::entry {line.strip()}"):
                want = judges.theirs(f"[databases]\nentry = {line}\n")
                got, said = judges.ours()
                equal(got is None, want is None, f"refused; {said}")
        for line in REFUSED_ENTRIES:
            with sub(f"values::entry {line[:40]}, refused here alone"):
                check(judges.theirs(f"[databases]\nentry = {line}\n"), "it isn't taken there")
                equal(judges.ours()[0], None)


@needs("pgbouncer")
@limit(120)
def test_files(start, folder, sub):
    real, binary = with_judges(start, folder)
    with real, real.console() as console:
        judges = Judges(real, console, binary, folder)
        for text in FILES:
            with sub(f"values::file {text[:60]!r}"):
                want = judges.theirs(text.replace("@", folder))
                got, said = judges.ours()
                equal(got is None, want is None, f"refused; {said}")
                if want:
                    mine = printed(got)
                    for name in SAME_CONFIG:
                        check(name == "pool_mode" or same_value(want[0][name], mine[name], None),
                              f"{name}: {mine[name]!r}, theirs {want[0][name]!r}")
