# SPDX-License-Identifier: PostgreSQL
"""Where secrets come from and what proves a client: auth_query, certificates, Unix sockets, maps."""
import base64
import os
import pwd
import socket
import struct
import subprocess

from lib import check, equal, limit, needs, patient, quick, raises, until
from rawpg import Raw, cstr, message, startup
import servers

FORCED = (f"forced = cluster=main dbname=app user=app password={servers.USERS['app']} "
          "auth_dbname=app")
QUERY = {"auth_user": "postgres", "databases": [FORCED]}
WRONG = "password authentication failed"


class Roles:
    """Roles of a test on the primary, gone at its end."""

    def __init__(self, tier, **roles):
        self.tier, self.roles = tier, roles

    def __enter__(self):
        self.admin = self.tier.connect(user="postgres")
        for name, options in self.roles.items():
            self.admin.execute(f"DROP ROLE IF EXISTS {name}")
            kind = "md5" if "md5" in name else "scram-sha-256"
            self.admin.execute(f"SET password_encryption = '{kind}'")
            self.admin.execute(f"CREATE ROLE {name} {options}")
        return self.admin

    def __exit__(self, *_):
        for name in self.roles:
            self.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                               f"WHERE usename = '{name}'")
            until(f"{name} to be gone", 10, lambda n=name: self.drop(n), 0.1)
        self.admin.close()

    def drop(self, name):
        try:
            self.admin.execute(f"DROP ROLE IF EXISTS {name}")
            return True
        except Exception:    # a session of it is ending
            return False


def whoami(weir, user, password, **kw):
    with weir.connect(user=user, password=password, **kw) as conn:
        return conn.execute("SELECT current_user").fetchone()[0]


def refused(weir, user, password, text=WRONG, **kw):
    raises(None, lambda: whoami(weir, user, password, **kw), text=text)


@quick
@limit(120)
def test_auth_query(start, tier, sub):
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'", q_md5="LOGIN PASSWORD 'two'",
               q_expired="LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01'", q_nopass="LOGIN",
               q_nologin="NOLOGIN PASSWORD 'x'") as admin:
        weir = start({"auth_type": "md5", **QUERY})
        with sub("auth::auth_query SCRAM secret, passed through"):
            equal(whoami(weir, "q_scram", "one"), "q_scram")
            refused(weir, "q_scram", "two")
        with sub("auth::auth_query md5 secret"):
            # The tier's servers want SCRAM, so another role goes there.
            equal(whoami(weir, "q_md5", "two", dbname="forced"), "app")
            refused(weir, "q_md5", "one", dbname="forced")
        for name in ("q_expired", "q_nopass", "q_nologin", "q_nobody", "postgres2"):
            with sub(f"auth::auth_query refuses {name}"):
                refused(weir, name, "x")
        with sub("auth::auth_file comes first"):
            equal(whoami(weir, "app", servers.USERS["app"]), "app")
        with sub("auth::a changed password counts at once"):
            admin.execute("SET password_encryption = 'scram-sha-256'")
            admin.execute("ALTER ROLE q_scram PASSWORD 'three'")
            refused(weir, "q_scram", "one")
            equal(whoami(weir, "q_scram", "three"), "q_scram")
        with sub("auth::so does the end of its validity"):
            admin.execute("ALTER ROLE q_scram VALID UNTIL '2001-01-01'")
            refused(weir, "q_scram", "three")
            admin.execute("ALTER ROLE q_scram VALID UNTIL 'infinity'")
            equal(whoami(weir, "q_scram", "three"), "q_scram")
        with sub("auth::and a role that is gone"):
            admin.execute("ALTER ROLE q_scram NOLOGIN")
            refused(weir, "q_scram", "three")


@quick
def test_auth_query_by_method(start, tier, sub):
    """Every method with every kind of stored secret: only the right password gets in."""
    with Roles(tier, q_scram="LOGIN PASSWORD 'right'", q_md5="LOGIN PASSWORD 'right'", q_none="LOGIN"):
        for method in ("plain", "md5", "scram-sha-256"):
            weir = start({"auth_type": method, **QUERY})
            for user in ("q_scram", "q_md5", "q_none", "q_absent"):
                for password in ("wrong", "", "right"):
                    works = password == "right" and (user == "q_scram" or user == "q_md5" and
                                                     method != "scram-sha-256")
                    with sub(f"auth::{method}, {user}, {password or 'empty'}"), \
                            Raw(weir.port) as raw:
                        dbname = "forced" if user == "q_md5" else "app"
                        fields = raw.log_in(user, dbname, password)
                        equal(fields and fields["C"], None if works else "28P01")
                        if works:
                            equal(raw.rows("SELECT current_user"),
                                  [["app" if user == "q_md5" else user]])


def challenge(weir, user):
    """What a stranger learns of a user by beginning to log in: method, and of SCRAM cost and salt."""
    with Raw(weir.port) as raw:
        raw.send(startup({"user": user, "database": "app"}))
        code, = struct.unpack_from("!I", raw.read()[1])
        if code != 10:
            return code, None, None
        first = b"n,,n=,r=abcdefghijklmnopqrstuvwx"
        raw.send(message("p", cstr("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
        attr = dict(part.split("=", 1) for part in raw.read()[1][4:].decode().split(","))
        return code, int(attr["i"]), base64.b64decode(attr["s"])


def outline(seen):
    return seen[0], seen[1], seen[2] and len(seen[2])


STRANGERS = [f"q_stranger{i}" for i in range(8)]


@quick
def test_strangers_look_like_users(start, tier, sub):
    """By what an unknown user is asked nobody can tell that it doesn't exist (auth_type md5)."""
    folder = start.__self__.dir
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'", q_md5="LOGIN PASSWORD 'two'") as admin:
        weir = start({"auth_type": "md5", **QUERY})
        with sub("auth::a stranger by auth_query, nobody else known"):
            equal(outline(challenge(weir, "q_stranger")), outline(challenge(weir, "q_scram")))
        with sub("auth::strangers by auth_query beside a user with SCRAM"):
            equal({outline(challenge(weir, n)) for n in STRANGERS},
                  {outline(challenge(weir, "q_scram"))})
        with sub("auth::a stranger's salt stays"):
            seen = challenge(weir, "q_stranger")
            weir.reload()
            equal(challenge(weir, "q_stranger"), seen)
            check(challenge(weir, "q_stranger1") != seen, "another one's is another")
        weir = start({"auth_type": "md5", **QUERY})
        with sub("auth::strangers by auth_query beside a user with md5"):
            equal(challenge(weir, "q_md5")[0], 5)
            equal({challenge(weir, n)[0] for n in STRANGERS}, {5})
        secret, = admin.execute("SELECT rolpassword FROM pg_authid "
                                "WHERE rolname = 'q_scram'").fetchone()
    costly = secret.replace("$4096:", "$7000:").replace(secret.split("$")[1][5:],
                                                        base64.b64encode(bytes(20)).decode())
    path = write(start.__self__, os.path.join(folder, "strangers.users"), f'"known" "{costly}"\n')
    weir = start({"auth_type": "md5", "auth_file": path})
    with sub("auth::strangers beside a user of auth_file"):
        equal({outline(challenge(weir, n)) for n in ["known"] + STRANGERS}, {(10, 7000, 20)})
    path = write(start.__self__, os.path.join(folder, "mixed.users"),
                 f'"known" "{secret}"\n"plain" "secret"\n')
    weir = start({"auth_type": "md5", "auth_file": path})
    with sub("auth::strangers beside users of two kinds"):
        equal({challenge(weir, f"q_s{i}")[0] for i in range(64)}, {5, 10})


@quick
def test_auth_query_of_ones_own(start, tier, sub):
    """A function in the role's own search_path, another database, a query that fails."""
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'") as admin:
        admin.execute("CREATE OR REPLACE FUNCTION public.secret_of(n text) RETURNS TABLE(u name, p text)"
                      " SECURITY DEFINER LANGUAGE sql AS $$ SELECT rolname, rolpassword"
                      " FROM pg_catalog.pg_authid WHERE rolname = n $$")
        weir = start({"auth_query": "SELECT u, p FROM secret_of($1)", **QUERY})
        with sub("auth::auth_query names a function of search_path"):
            # What the client sends along must not reach the look-up's session.
            equal(whoami(weir, "q_scram", "one", options="-c search_path=pg_catalog"), "q_scram")
        weir = start({"db.auth_user": "postgres", "db.auth_dbname": "elsewhere",
                      "databases": ["elsewhere = cluster=main dbname=postgres auth_user=postgres"]})
        with sub("auth::auth_dbname"):
            equal(whoami(weir, "q_scram", "one"), "q_scram")
        weir = start({"auth_query": "SELECT no_such_column FROM pg_authid WHERE rolname = $1",
                      **QUERY})
        with sub("auth::a query that fails"):
            refused(weir, "q_scram", "one", text="could not be looked up")
            check(any("auth_query_failed" in x for x in weir.log_lines()), "the log says so")
        weir = start({"auth_user": "app", "failover_wait_timeout": 1})
        with sub("auth::a role that may not ask"):
            refused(weir, "q_scram", "one", text="could not be looked up")
        weir = start({"auth_user": "nobody_such", "failover_wait_timeout": 1})
        with sub("auth::an auth_user that can't log in"):
            refused(weir, "q_scram", "one", text="could not be looked up")
        admin.execute("DROP FUNCTION public.secret_of(text)")


@quick
def test_auth_query_and_the_console(start, tier, sub):
    """The entry * stands for databases, not for the console; auth_dbname may serve that."""
    fallback = {"databases": ["* = cluster=main"], "auth_user": "postgres", "admin_users": "q_scram"}
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'"):
        weir = start(fallback)
        with sub("auth::a console user that auth_file doesn't have"):
            refused(weir, "q_scram", "one", dbname="pgweir")
            equal(whoami(weir, "q_scram", "one"), "q_scram")
        weir = start({**fallback, "auth_dbname": "app"})
        with sub("auth::the same with auth_dbname"), \
                weir.console(user="q_scram", password="one") as conn:
            check(conn.execute("SHOW VERSION").fetchone(), "an answer")


@quick
def test_auth_query_many_at_once(start, tier):
    """Log-ins of one moment share their question, none is forgotten."""
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'", q_md5="LOGIN PASSWORD 'two'"):
        weir = start({"auth_type": "md5", **QUERY})
        raws = [Raw(weir.port) for _ in range(40)]
        for i, raw in enumerate(raws):
            user = ("q_scram", "q_md5", "q_absent")[i % 3]
            raw.send(startup({"user": user, "database": "app"}))
        for raw in raws[::4]:
            raw.sock.close()    # gone before the answer
        for i, raw in enumerate(raws):
            if i % 4:
                kind, _ = raw.read()
                equal(kind, "R")
                raw.sock.close()
        equal(whoami(weir, "q_scram", "one"), "q_scram")


@quick
def test_auth_query_and_a_name_that_is_refused(start, tier):
    """A stranger's name that the server can't read fails his log-in, not those beside it."""
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'"):
        weir = start({"auth_type": "md5", **QUERY})
        bad = startup({"user": "NAME", "database": "app"}).replace(b"NAME", b"\xff\xfe\xfd\xfc")
        raws = [Raw(weir.port) for _ in range(12)]
        for i, raw in enumerate(raws):
            raw.send(startup({"user": "q_scram", "database": "app"}) if i % 2 else bad)
        equal([raw.read()[0] for raw in raws], ["E", "R"] * 6)
        for raw in raws:
            raw.sock.close()
        equal(whoami(weir, "q_scram", "one"), "q_scram")


class Gate:
    """An auth_query that waits for a lock with names of slow_*; the lock is ours."""
    QUERY = ("SELECT rolname, rolpassword FROM (SELECT CASE WHEN $1 LIKE 'slow%' THEN "
             "pg_advisory_xact_lock_shared(4711)::text END AS waited OFFSET 0) AS gate "
             "LEFT JOIN pg_authid ON rolname = $1 WHERE waited IS DISTINCT FROM 'x'")

    def __init__(self, admin, weir):
        self.admin = admin
        equal(whoami(weir, "app", servers.USERS["app"]), "app")    # the primary is known, and asked

    def __enter__(self):
        self.admin.execute("SELECT pg_advisory_lock(4711)")
        return self

    def __exit__(self, *_):
        self.admin.execute("SELECT pg_advisory_unlock_all()")

    def waiting(self):
        """Names that are being asked for now."""
        return self.admin.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                                  "AND objid = 4711 AND NOT granted").fetchone()[0]


def begin_log_in(weir, user):
    raw = Raw(weir.port)
    raw.send(startup({"user": user, "database": "app"}))
    return raw


def is_unanswered(raw):
    raw.sock.settimeout(0.05)
    try:
        return not raw.sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        raw.sock.settimeout(patient(15))


@quick
@limit(90)
def test_auth_query_several_at_once(start, tier, sub):
    """A name whose look-up hangs keeps nobody else from being asked for."""
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'", slow_1="LOGIN PASSWORD 'two'") as admin:
        weir = start({"auth_query": Gate.QUERY, "auth_query_connections": "3",
                      "auth_query_timeout": "60", **QUERY})
        with Gate(admin, weir) as gate:
            slow = [begin_log_in(weir, "slow_1") for _ in range(5)]
            with sub("auth::equal names share a question"):
                until("the question to be asked", 10, gate.waiting)
                equal(whoami(weir, "q_scram", "one"), "q_scram")
                equal(gate.waiting(), 1)
                check(all(is_unanswered(raw) for raw in slow), "the slow ones wait")
            with sub("auth::auth_query_connections bounds them"):
                more = [begin_log_in(weir, f"slow_{i}") for i in range(2, 9)]
                until("three questions", 10, lambda: gate.waiting() == 3)
                fast = begin_log_in(weir, "q_scram")
                equal(gate.waiting(), 3)
                check(is_unanswered(fast), "all are in use")
        with sub("auth::and all are answered in the end"):
            equal([raw.read()[0] for raw in slow + more + [fast]], ["R"] * 13)
            equal(whoami(weir, "slow_1", "two"), "slow_1")
        for raw in slow + more + [fast]:
            raw.sock.close()


@quick
@limit(90)
def test_auth_query_timeout(start, tier):
    """What takes too long is given up, and its session closed; the others aren't disturbed."""
    with Roles(tier, q_scram="LOGIN PASSWORD 'one'") as admin:
        weir = start({"auth_query": Gate.QUERY, "auth_query_connections": "1",
                      "auth_query_timeout": "0.7", "failover_wait_timeout": "4", **QUERY})
        with Gate(admin, weir), begin_log_in(weir, "slow_1") as slow:
            equal(whoami(weir, "q_scram", "one"), "q_scram")
            kind, body = slow.read()
            equal((kind, b"could not be looked up" in body), ("E", True))
            check(any("auth_query_failed" in x and "no answer in time" in x
                      for x in weir.log_lines()), "the log says so")


@quick
def test_auth_query_joined_late(start, tier):
    """Who comes while his name is being asked for isn't judged by what was read before."""
    with Roles(tier, slow_1="LOGIN PASSWORD 'one'") as admin:
        weir = start({"auth_query": Gate.QUERY, "auth_query_timeout": "60", **QUERY})
        with Gate(admin, weir) as gate:
            early = begin_log_in(weir, "slow_1")
            until("the question to be asked", 10, gate.waiting)
            admin.execute("ALTER ROLE slow_1 PASSWORD 'two'")
            late = Raw(weir.port)
            late.send(startup({"user": "slow_1", "database": "app"}))
            with weir.console() as console:
                until("both to be known", 10, lambda: ("login_clients", 2) in
                      console.execute("SHOW LISTS").fetchall())
        with early, late:
            equal(early.authenticate("slow_1", "one")["C"], "28P01")    # by the server
            equal(late.authenticate("slow_1", "two"), None)


# What is made of the role or the database, and what the client's log-in asks for.
SERVER_REFUSALS = [
    ("another password", "ALTER ROLE q_guest PASSWORD 'other'", "app"),
    ("no password", "ALTER ROLE q_guest PASSWORD NULL", "app"),
    ("an expired password", "ALTER ROLE q_guest VALID UNTIL '2001-01-01'", "app"),
    ("NOLOGIN", "ALTER ROLE q_guest NOLOGIN", "app"),
    ("no room for the role", "ALTER ROLE q_guest CONNECTION LIMIT 0", "app"),
    ("no such role", "DROP ROLE q_guest", "app"),
    ("no such database", "SELECT 1", "nowhere"),
    ("a database that takes nobody", "ALTER DATABASE q_shut ALLOW_CONNECTIONS false", "q_shut"),
    ("no right to connect", "REVOKE CONNECT ON DATABASE q_shut FROM PUBLIC", "q_shut"),
]


@quick
@limit(180)
def test_server_refusals(start, tier, sub):
    """Whom the server refuses hears its own words, at log-in; what is mended counts soon."""
    session = start.__self__
    users = write(session, os.path.join(session.dir, "refusals.users"),
                  '"q_guest" "right"\n' + "".join(f'"{u}" "{p}"\n' for u, p in servers.USERS.items()))
    admin = tier.connect(user="postgres")
    admin.execute("DROP DATABASE IF EXISTS q_shut")
    admin.execute("CREATE DATABASE q_shut")
    for what, sql, dbname in SERVER_REFUSALS:
        with sub(f"auth::the server refuses: {what}"):
            admin.execute("DROP ROLE IF EXISTS q_guest")
            admin.execute("CREATE ROLE q_guest LOGIN PASSWORD 'right'")
            admin.execute("ALTER DATABASE q_shut ALLOW_CONNECTIONS true")
            admin.execute(sql)
            weir = start({"auth_file": users, "failover_wait_timeout": 3, "server_login_retry": "0.2",
                          "databases": ["nowhere = cluster=main", "q_shut = cluster=main"]})
            with Raw(tier.primary_port()) as raw:
                want = raw.log_in("q_guest", dbname, "right")
            with Raw(weir.port) as raw:
                got = raw.log_in("q_guest", dbname, "right")
                check(got, "was let in")
                equal([got.get(k) for k in "SCMDH"], [want.get(k) for k in "SCMDH"])
                check(raw.is_closed(), "stays open")
            weir.stop()
    admin.execute("ALTER DATABASE q_shut ALLOW_CONNECTIONS true")
    admin.execute("DROP DATABASE q_shut")
    admin.execute("DROP ROLE IF EXISTS q_guest")
    admin.close()


class Authority:
    """A certificate authority in a folder, and what it makes."""

    def __init__(self, folder, session):
        self.folder, self.session = folder, session
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"), "-days", "2",
                     "-subj", "/CN=authority")
        session.give(self.path("ca.crt"))

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def make(self, name, subject):
        key, csr, cert = (self.path(name + end) for end in (".key", ".csr", ".crt"))
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", key, "-out", csr, "-subj", subject)
        self.openssl("x509", "-req", "-in", csr, "-CA", self.path("ca.crt"), "-CAkey",
                     self.path("ca.key"), "-CAcreateserial", "-out", cert, "-days", "2")
        os.chmod(key, 0o600)
        for path in (key, cert):
            self.session.give(path)
        return {"sslcert": cert, "sslkey": key}


def readable_by_us(certificate):
    """libpq wants the key to be ours or root's."""
    for path in certificate.values():
        os.chown(path, os.geteuid(), os.getegid())
    return certificate


def write(session, path, text):
    with open(path, "w") as f:
        f.write(text)
    session.give(path)
    return path


@quick
@needs("openssl")
@limit(90)
def test_certificates(start, folder, sub):
    session = start.__self__
    ca = Authority(folder, session)
    server = ca.make("server", "/CN=localhost")
    tls = {"client_tls_sslmode": "verify-ca", "client_tls_ca_file": ca.path("ca.crt"),
           "client_tls_cert_file": server["sslcert"], "client_tls_key_file": server["sslkey"]}
    app = readable_by_us(ca.make("app", "/CN=app"))
    other = readable_by_us(ca.make("other", "/CN=other"))
    two = readable_by_us(ca.make("two", "/CN=app/CN=postgres"))
    weir = start({**tls, "auth_type": "cert"})
    with sub("auth::cert of the user"):
        equal(whoami(weir, "app", "", sslmode="require", **app), "app")
    with sub("auth::cert of somebody else"):
        refused(weir, "postgres", "", 'certificate authentication failed for user "postgres"',
                sslmode="require", **app)
    with sub("auth::cert with two names"):
        refused(weir, "app", "", "certificate authentication failed", sslmode="require", **two)
    with sub("auth::cert without TLS"):
        refused(weir, "app", "", "TLS", sslmode="disable")
    hba = write(session, os.path.join(folder, "hba.conf"),
                "hostssl all app all cert map=ops\n"
                "hostssl all postgres all scram-sha-256 clientcert=verify-full\n")
    ident = write(session, os.path.join(folder, "ident.conf"), "ops other app\n")
    weir = start({**tls, "client_tls_sslmode": "prefer", "auth_type": "hba", "auth_hba_file": hba,
                  "auth_ident_file": ident})
    with sub("auth::cert by a map"):
        equal(whoami(weir, "app", "", sslmode="require", **other), "app")
        refused(weir, "app", "", "certificate authentication failed", sslmode="require", **app)
    with sub("auth::no certificate"):
        refused(weir, "app", "", "connection requires a valid client certificate",
                sslmode="require", sslcert="/nowhere")
    with sub("auth::clientcert beside a password"):
        refused(weir, "postgres", servers.USERS["postgres"],
                "certificate authentication failed", sslmode="require", **app)
    with sub("auth::a certificate of another authority"):
        os.makedirs(os.path.join(folder, "foreign"), exist_ok=True)
        foreign = readable_by_us(Authority(os.path.join(folder, "foreign"), session)
                                 .make("app", "/CN=app"))
        refused(weir, "app", "", None, sslmode="require", **foreign)


@quick
def test_peer(start, folder, sub):
    session = start.__self__
    me = pwd.getpwuid(os.geteuid()).pw_name
    hba = write(session, os.path.join(folder, "peer.conf"),
                "local all app peer map=ops\nlocal all postgres peer\nhost all all all scram-sha-256\n")
    ident = write(session, os.path.join(folder, "peer-ident.conf"), f"ops {me} app\n")
    weir = start({"auth_type": "hba", "auth_hba_file": hba, "auth_ident_file": ident,
                  "unix_socket_dir": folder})
    with sub("auth::peer by a map"):
        equal(whoami_unix(weir, folder, "app"), "app")
    with sub("auth::peer of somebody else"):
        raises(None, lambda: whoami_unix(weir, folder, "postgres"),
               text='Peer authentication failed for user "postgres"')
    with sub("auth::no rule for a Unix socket"):
        raises(None, lambda: whoami_unix(weir, folder, "pgweir"),
               text='no pg_hba.conf entry for host "[local]", user "pgweir"')
    with sub("auth::a broken map is an error with its place"):
        write(session, ident, "ops /( app\n")
        weir.reload()
        until("the reload to fail", 10,
              lambda: any("reload_failed" in x and "peer-ident.conf:1" in x for x in weir.log_lines()))
        equal(whoami_unix(weir, folder, "app"), "app")


def whoami_unix(weir, folder, user):
    import psycopg
    with psycopg.connect(host=folder, port=weir.port, user=user, dbname="app") as conn:
        return conn.execute("SELECT current_user").fetchone()[0]
