# SPDX-License-Identifier: PostgreSQL
"""Without any tier: one plain PostgreSQL, no Patroni, no Redis, local cache only,
by an ini like etc/minimal.ini."""
import os
import signal
import subprocess

import psycopg

from lib import check, equal, limit, patient, quick, until
from ports import free_base_port
from session import TIER, Tier
import procs
import servers


class Plain:
    """A plain PostgreSQL for the length of a test."""

    def __init__(self, folder, *options):
        self.tier, self.options = Tier(os.path.join(folder, "plain")), options

    def __enter__(self):
        self.tier.command("start", "--plain", "--base-port", str(free_base_port()), *self.options)
        return self.tier

    def __exit__(self, *_):
        subprocess.run([TIER, "stop", "--dir", self.tier.dir], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=patient(60))


def minimal_ini(weir, tier):
    """etc/minimal.ini with this test's ports and users in the place of its own."""
    here = os.path.dirname(os.path.realpath(__file__))
    with open(os.path.join(here, "..", "..", "etc", "minimal.ini")) as f:
        text = f.read()
    users = os.path.splitext(weir.ini)[0] + ".users"
    changes = {"listen_port = 6432": f"listen_port = {weir.port}",
               "auth_file = etc/userlist.txt": f"auth_file = {users}",
               "probe_password = app-secret": f"probe_password = {servers.USERS['app']}",
               "port=5432": f"port={tier.env()['PRIMARY_PORT']}"}
    for old, new in changes.items():
        check(old in text, f"etc/minimal.ini has no {old!r}")
        text = text.replace(old, new)
    with open(weir.ini, "w") as f:
        f.write(text)


@quick
@limit(90)
def test_minimal_ini(start, folder, sub):
    session = start.__self__
    weir = session.prepare({})
    with Plain(session.dir) as tier:
        minimal_ini(weir, tier)
        session.extra.append(weir.start())
        with sub("plain::log-in, reads and writes"), weir.connect() as conn:
            conn.execute("CREATE TABLE plain_rows(k int PRIMARY KEY, v int)")
            for i in range(50):
                conn.execute("INSERT INTO plain_rows VALUES (%s, 0)", (i,))
                equal(conn.execute("SELECT count(*) FROM plain_rows").fetchone(), (i + 1,))
        with sub("plain::local cache"), weir.connect() as conn, tier.connect() as direct:
            sql = "SELECT v FROM plain_rows WHERE k = 1"

            def hits():
                with weir.console(user="app") as console:
                    return dict(row[:2] for row in console.execute("SHOW CACHE"))["hits_local"]

            def is_hit():
                before = hits()
                conn.execute(sql)
                return int(hits()) > int(before)
            until("a hit", 20, is_hit, 0.1)
            direct.execute("UPDATE plain_rows SET v = 5")
            equal(conn.execute(sql).fetchone(), (0,))
            conn.execute("UPDATE plain_rows SET v = 6")
            equal(conn.execute(sql).fetchone(), (6,))
        with sub("plain::console"), weir.console(user="app") as console:
            console.execute("SHOW POOLS")
        with sub("plain::PostgreSQL restarts"), weir.connect() as conn:
            conn.execute("SELECT 1")
            state = tier.state
            procs.stop_all(procs.postgres_tree(servers.data_dir(state, "node1"))[:1], 10,
                           signal.SIGINT)
            tier.command("resume")
            until("service again", 30, lambda: can_ask(conn, weir), 0.3)


def can_ask(conn, weir):
    try:
        with weir.connect() as again:
            again.execute("SELECT 1")
        conn.execute("SELECT 1")
        return True
    except Exception:    # noqa: BLE001
        return False


def plain_ini(weir, tier, ca_file, mode, password):
    """An ini for the plain server, reached by TLS or not."""
    users = os.path.splitext(weir.ini)[0] + ".users"
    with open(weir.ini, "w") as f:
        f.write(f"""[pgweir]
listen_addr = 127.0.0.1
listen_port = {weir.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
admin_users = postgres
server_connect_timeout = 3
query_wait_timeout = 3
failover_wait_timeout = 3
server_tls_sslmode = {mode}
server_tls_ca_file = {ca_file}

[clusters]
main = hosts=127.0.0.1:{tier.env()['PRIMARY_PORT']} user=pgweir password={password}

[databases]
app = cluster=main dbname=app
""")


TLS = [
    # server's ssl, server_tls_sslmode, the right authority, expected: TLS, plain, refused
    (True, "disable", True, "plain"), (True, "allow", True, "plain"), (True, "prefer", True, "tls"),
    (True, "require", True, "tls"), (True, "verify-ca", True, "tls"),
    (True, "verify-full", True, "tls"), (True, "verify-full", False, "refused"),
    (False, "prefer", True, "plain"), (False, "require", True, "refused"),
]


@limit(240)
def test_tls_to_the_server(start, sub):
    session = start.__self__
    for has_ssl in (True, False):
        rows = [r for r in TLS if r[0] == has_ssl]
        session.prepare({})
        with Plain(session.dir, *(["--ssl"] if has_ssl else [])) as tier:
            good, bad = certificates(session, tier, has_ssl)
            for _, mode, is_right, expected in rows:
                with sub(f"plain::server TLS {mode} right={is_right} ssl={has_ssl}"):
                    expect_tls(session, tier, mode, good if is_right else bad, expected)


def certificates(session, tier, has_ssl):
    """Paths of the server's own certificate and of a foreign one."""
    good, bad = (os.path.join(session.dir, n) for n in ("server.crt", "foreign.crt"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=foreign",
                    "-keyout", os.devnull, "-out", bad], check=True, capture_output=True,
                   stdin=subprocess.DEVNULL)
    source = servers.data_dir(tier.state, "node1") + "/server.crt" if has_ssl else bad
    with open(source) as f, open(good, "w") as out:
        out.write(f.read())
    for path in (good, bad):
        session.give(path)
    return good, bad


def expect_tls(session, tier, mode, ca_file, expected):
    weir = session.prepare({})
    plain_ini(weir, tier, ca_file, mode, servers.USERS["pgweir"])
    weir.start()
    try:
        with weir.connect() as conn:
            row = conn.execute("SELECT ssl FROM pg_stat_ssl "
                               "WHERE pid = pg_backend_pid()").fetchone()
        got = "tls" if row[0] else "plain"
    except psycopg.Error:
        got = "refused"
    finally:
        problem = weir.stop()
    equal(got, expected)
    equal(problem, None)
