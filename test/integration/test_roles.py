# SPDX-License-Identifier: PostgreSQL
"""The role is part of the session: it follows its client, and nobody else runs under it."""
import psycopg

from lib import check, equal, quick, raises, until
from rawpg import SYNC, Raw, bind, error_fields, execute, message, parse, query, row_values

OPTIONS = {"default_pool_size": 2}


def crowd(weir, count=5, **kw):
    return [weir.connect(**kw) for _ in range(count)]


def leave(conns):
    for conn in conns:
        conn.close()


def pins(weir, conn):
    """Why the client is pinned, by the console; "" against PostgreSQL itself."""
    if not weir.is_pgweir:
        return ""
    name = conn.execute("SHOW application_name").fetchone()[0]
    return next(r["pinned"] for r in weir.show("CLIENTS") if r["application_name"] == name)


def who(conn):
    return conn.execute("SELECT current_user::text, session_user::text").fetchone()


class Roles:
    """Two roles that app may take, made for a test."""
    names = ("it_role_a", "it_role_b")

    def __init__(self, weir):
        self.admin = weir.connect(user="postgres", options="-c pgweir.consistency=strong")

    def __enter__(self):
        self.drop()
        for name in self.names:
            self.admin.execute(f"CREATE ROLE {name} NOLOGIN")
            self.admin.execute(f"GRANT {name} TO app")
        return self.admin

    def drop(self):
        for name in self.names:
            if self.admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
                self.admin.execute(f"DROP OWNED BY {name}")
                self.admin.execute(f"DROP ROLE {name}")

    def __exit__(self, *_):
        self.drop()
        self.admin.close()


@quick
def test_a_role_follows_without_a_pin(weir):
    with Roles(weir):
        conns = crowd(weir, 4) + [weir.connect(application_name="it_with_role")]
        conn = conns[-1]
        conn.execute("SET ROLE it_role_a")
        equal(pins(weir, conn), "")
        for turn in range(6):
            equal(who(conn), ("it_role_a", "app"))
            for other in conns[:-1]:
                equal(who(other), ("app", "app"))
            conn.execute("SET ROLE " + ("it_role_a", "it_role_b")[turn % 2])
            equal(conn.execute("SELECT current_user::text").fetchone(),
                  (("it_role_a", "it_role_b")[turn % 2],))
            conn.execute("SET ROLE it_role_a")
        conn.execute("RESET ROLE")
        for other in conns:
            equal(who(other), ("app", "app"))
        leave(conns)


@quick
def test_a_role_in_a_transaction(weir):
    with Roles(weir):
        conns = crowd(weir)
        conn = conns[0]
        conn.execute("BEGIN")
        conn.execute("SET ROLE it_role_a")
        equal(who(conn), ("it_role_a", "app"))
        conn.execute("ROLLBACK")
        equal(who(conn), ("app", "app"))
        conn.execute("BEGIN")
        conn.execute("SET ROLE it_role_a")
        conn.execute("SAVEPOINT s")
        conn.execute("SET ROLE it_role_b")
        conn.execute("ROLLBACK TO s")
        equal(who(conn), ("it_role_a", "app"))
        conn.execute("COMMIT")
        conn.execute("BEGIN")
        conn.execute("SET LOCAL ROLE it_role_b")
        equal(who(conn), ("it_role_b", "app"))
        conn.execute("COMMIT")
        for _ in range(4):
            equal(who(conn), ("it_role_a", "app"))
            for other in conns[1:]:
                equal(who(other), ("app", "app"))
        leave(conns)


@quick
def test_the_session_authorization_takes_the_role_with_it(weir):
    with Roles(weir):
        conns = crowd(weir, 4, user="postgres", prepare_threshold=None)
        conn = conns[0]
        conn.execute("SET ROLE it_role_a")
        conn.execute("SET SESSION AUTHORIZATION app")
        for _ in range(3):
            equal(who(conn), ("app", "app"))
            for other in conns[1:]:
                equal(who(other), ("postgres", "postgres"))
        conn.execute("SET ROLE it_role_b")
        for _ in range(3):
            equal(who(conn), ("it_role_b", "app"))
            for other in conns[1:]:
                equal(who(other), ("postgres", "postgres"))
        conn.execute("RESET ALL")    # leaves both
        equal(who(conn), ("it_role_b", "app"))
        conn.execute("DISCARD ALL")
        equal(who(conn), ("postgres", "postgres"))
        leave(conns)


@quick
def test_settings_beside_a_role(weir):
    """A superuser's setting outlives the step down, and needs the log-in's role again."""
    with Roles(weir):
        conns = crowd(weir, 4, user="postgres")
        conn = conns[0]
        conn.execute("SET session_replication_role = replica")
        conn.execute("SET ROLE it_role_a")
        conn.execute("SET work_mem = '7MB'")
        raises("42501", conn.execute, "SET session_replication_role = origin")
        for _ in range(3):
            equal(conn.execute("SHOW session_replication_role").fetchone(), ("replica",))
            equal(conn.execute("SHOW work_mem").fetchone(), ("7MB",))
            equal(who(conn), ("it_role_a", "postgres"))
            for other in conns[1:]:
                equal(other.execute("SHOW session_replication_role").fetchone(), ("origin",))
        leave(conns)


@quick
def test_roles_by_set_config_and_start(weir):
    with Roles(weir):
        conns = crowd(weir, 3) + [weir.connect(options="-c role=it_role_b")]
        conns[0].execute("SELECT set_config('role', %s, false)", ("it_role_a",))
        for _ in range(3):
            equal(who(conns[0]), ("it_role_a", "app"))
            equal(who(conns[1]), ("app", "app"))
            equal(who(conns[3]), ("it_role_b", "app"))
        conns[3].execute("SET ROLE it_role_a")
        conns[3].execute("RESET ROLE")
        equal(who(conns[3]), ("it_role_b", "app"))
        conns[3].execute("SET ROLE NONE")
        equal(who(conns[3]), ("app", "app"))
        leave(conns)


@quick
def test_privileges_are_the_roles(weir):
    with Roles(weir) as admin:
        admin.execute("DROP TABLE IF EXISTS it_secret")
        admin.execute("CREATE TABLE it_secret(k int)")
        admin.execute("GRANT SELECT ON it_secret TO app")
        conns = crowd(weir)
        conns[0].execute("SET ROLE it_role_a")
        for _ in range(4):
            raises("42501", conns[0].execute, "SELECT count(*) FROM it_secret")
            for other in conns[1:]:
                equal(other.execute("SELECT count(*) FROM it_secret").fetchone(), (0,))
        leave(conns)
        admin.execute("DROP TABLE it_secret")


def errors(messages):
    return [error_fields(b)["C"] for k, b in messages if k == "E"]


@quick
def test_nothing_runs_when_the_role_is_gone(weir):
    """The role can't be brought to another server: the request behind it mustn't run as app."""
    weir.need_pgweir()
    insert = "INSERT INTO it_who SELECT current_user::text"
    batch = parse("", insert) + bind("", "") + execute() + SYNC
    with weir.connect() as owner:
        owner.execute("DROP TABLE IF EXISTS it_who")
        owner.execute("CREATE TABLE it_who(name text)")
        for number, request in enumerate((query(insert), batch, batch + batch,
                                          query("BEGIN") + query(insert) + query("COMMIT"))):
            with Roles(weir) as admin, Raw(weir.port) as raw:
                equal(raw.log_in(application_name=f"gone{number}"), None)
                raw.send(query("SET ROLE it_role_a"))
                equal(errors(raw.read_until("Z")), [])
                admin.execute("DROP ROLE it_role_a")
                for other in crowd(weir, 3):    # they take the role off the servers
                    equal(who(other), ("app", "app"))
                    other.close()
                raw.send(request)
                got = raw.read_until("Z")
                if not errors(got):    # BEGIN was answered by pgweir: its transaction has failed
                    got = raw.read_until("Z")
                    equal(got[-1], ("Z", b"E"))
                    equal(raw.read_until("Z"), [("C", b"ROLLBACK\0"), ("Z", b"I")])
                equal(errors(got)[0], "22023")
                equal(owner.execute("SELECT count(*) FROM it_who").fetchone(), (0,), str(number))
        owner.execute("DROP TABLE it_who")


@quick
def test_a_client_that_leaves_takes_its_role_with_it(weir):
    with Roles(weir):
        for ending in ("close", "abort"):
            conns = crowd(weir, 3)
            conns[0].execute("BEGIN")
            conns[0].execute("SET ROLE it_role_a")
            if ending == "abort":
                conns[0].pgconn.finish()
            else:
                conns[0].close()
            for _ in range(4):
                for other in conns[1:]:
                    equal(who(other), ("app", "app"))
            leave(conns[1:])


@quick
def test_statements_prepared_under_a_role(weir):
    with Roles(weir), Raw(weir.port) as a, Raw(weir.port) as b:
        for raw in (a, b):
            equal(raw.log_in(), None)
            raw.send(parse("me", "SELECT current_user::text"), SYNC)
            raw.read_until("Z")
        a.send(query("SET ROLE it_role_a"))
        a.read_until("Z")
        for _ in range(4):
            for raw, name in ((a, "it_role_a"), (b, "app")):
                raw.send(bind("", "me"), execute(), SYNC)
                equal([row_values(body) for k, body in raw.read_until("Z") if k == "D"], [[name]])


@quick
def test_the_cache_knows_the_role(start):
    weir = start({"cache": "on", "cache_min_hits": 1, "default_pool_size": 2})
    with Roles(weir) as admin:
        admin.execute("DROP TABLE IF EXISTS it_cached")
        admin.execute("CREATE TABLE it_cached AS SELECT 1 AS k")
        admin.execute("GRANT SELECT ON it_cached TO app, it_role_b")
        conns = crowd(weir, 2, cursor_factory=psycopg.ClientCursor, prepare_threshold=None)
        hits = weir.stat("cache_hits_local")
        until("the cache to take part", 20, lambda: conns[1].execute(
            "SELECT k FROM it_cached").fetchone() and weir.stat("cache_hits_local") > hits)
        hits = weir.stat("cache_hits_local")
        for role, may in (("it_role_a", False), ("it_role_b", True)):
            conns[0].execute(f"SET ROLE {role}")
            for _ in range(6):
                equal(conns[1].execute("SELECT k FROM it_cached").fetchone(), (1,))
                if may:
                    equal(conns[0].execute("SELECT k FROM it_cached").fetchone(), (1,))
                else:
                    raises("42501", conns[0].execute, "SELECT k FROM it_cached")
        check(weir.stat("cache_hits_local") > hits, "the cache took part")
        conns[0].execute("RESET ROLE")
        equal(conns[0].execute("SELECT k FROM it_cached").fetchone(), (1,))
        leave(conns)
        admin.execute("DROP TABLE it_cached")


@quick
def test_savepoints_do_not_pin(weir):
    conns = crowd(weir, 3) + [weir.connect(application_name="it_savepoints")]
    conn = conns[-1]

    def seen():
        return conn.execute("SHOW work_mem").fetchone()[0]
    conn.execute("SET work_mem = '5MB'")
    conn.execute("BEGIN")
    conn.execute("SAVEPOINT a")
    conn.execute("SET work_mem = '6MB'")
    conn.execute("SAVEPOINT b")
    conn.execute("SET work_mem = '7MB'")
    conn.execute("RELEASE b")
    conn.execute("SAVEPOINT c")
    conn.execute("SET work_mem = '8MB'")
    raises("22012", conn.execute, "SELECT 1/0")
    conn.execute("ROLLBACK TO c")
    equal(seen(), "7MB")
    conn.execute("COMMIT")
    equal(pins(weir, conn), "")
    for _ in range(3):
        equal(seen(), "7MB")
        for other in conns[:-1]:
            check(other.execute("SHOW work_mem").fetchone()[0] != "7MB", "leaked")
    conn.execute("BEGIN")
    conn.execute("SAVEPOINT a")
    conn.execute("SET work_mem = '9MB'")
    conn.execute("ROLLBACK TO a")
    conn.execute("COMMIT")
    equal([seen() for _ in range(3)], ["7MB"] * 3)
    leave(conns)


MIXED = [    # text, is there an error, what work_mem is afterwards
    ("SET work_mem = '6MB'; COMMIT; SET work_mem = '7MB'; SELECT 1/0", True, "6MB"),
    ("SET work_mem = '6MB'; SELECT 1/0", True, "5MB"),
    ("BEGIN; SET work_mem = '6MB'; COMMIT; SELECT 1/0", True, "6MB"),
    ("BEGIN; SET work_mem = '6MB'; ROLLBACK; SELECT 1", False, "5MB"),
    ("BEGIN; SET work_mem = '6MB'; SAVEPOINT s; SET work_mem = '7MB'; ROLLBACK TO s; COMMIT",
     False, "6MB"),
    ("BEGIN; SET work_mem = '6MB'; COMMIT AND CHAIN; SET work_mem = '7MB'; ROLLBACK", False, "6MB"),
    ("BEGIN; SET work_mem = '6MB'; ROLLBACK AND CHAIN; SET work_mem = '7MB'; COMMIT", False, "7MB"),
    ("BEGIN; SET LOCAL work_mem = '6MB'; COMMIT", False, "5MB"),
    ("SELECT 1; RESET work_mem; SET work_mem = '8MB'; SELECT 2", False, "8MB"),
]


@quick
def test_settings_in_mixed_texts(weir, sub):
    for text, fails, want in MIXED:
        with sub(f"roles::{text}"):
            conns = [weir.connect(cursor_factory=psycopg.ClientCursor, prepare_threshold=None,
                                  application_name=f"it_mixed_{i}") for i in range(4)]
            conn = conns[0]
            conn.execute("SET work_mem = '5MB'")
            if fails:
                raises("22012", conn.execute, text)
            else:
                conn.execute(text)
            equal(pins(weir, conn), "")
            for _ in range(3):
                equal(conn.execute("SHOW work_mem").fetchone(), (want,))
                for other in conns[1:]:
                    check(other.execute("SHOW work_mem").fetchone() != (want,), "leaked")
            leave(conns)


@quick
def test_settings_in_a_pipeline(weir):
    """Parts of one batch complete one by one; what stands behind an error hasn't happened."""
    with Raw(weir.port) as raw:
        equal(raw.log_in(application_name="it_pipeline"), None)

        def run(*texts):
            raw.send(*[parse("", t) + bind("", "") + execute() for t in texts], SYNC)
            return errors(raw.read_until("Z"))

        def seen():
            raw.send(query("SHOW work_mem"))
            return [row_values(b)[0] for k, b in raw.read_until("Z") if k == "D"]
        equal(run("SET work_mem = '5MB'"), [])
        equal(run("BEGIN", "SET work_mem = '6MB'", "SAVEPOINT s", "SELECT 1/0"), ["22012"])
        equal(run("ROLLBACK TO s"), [])
        equal(seen(), ["6MB"])
        equal(run("SET work_mem = '7MB'", "ROLLBACK TO s", "COMMIT"), [])
        equal(seen(), ["6MB"])
        equal(run("SET work_mem = '8MB'", "SELECT 1/0"), ["22012"])
        equal(seen(), ["6MB"])


@quick
def test_a_reset_inside_a_transaction(weir):
    conn = weir.connect(options="-c work_mem=11MB")
    others = crowd(weir, 3)
    conn.execute("SET work_mem = '6MB'")
    conn.execute("BEGIN")
    conn.execute("RESET work_mem")
    equal(conn.execute("SHOW work_mem").fetchone(), ("11MB",))
    conn.execute("SAVEPOINT s")
    conn.execute("RESET ALL")
    equal(conn.execute("SHOW work_mem").fetchone(), ("11MB",))
    conn.execute("ROLLBACK TO s")
    equal(conn.execute("SHOW work_mem").fetchone(), ("11MB",))
    conn.execute("ROLLBACK")
    for _ in range(3):
        equal(conn.execute("SHOW work_mem").fetchone(), ("6MB",))
        for other in others:
            check(other.execute("SHOW work_mem").fetchone() not in (("6MB",), ("11MB",)), "leaked")
    leave(others + [conn])


@quick
def test_parameters_of_set_config(weir):
    conns = crowd(weir, 3) + [weir.connect(application_name="it_params")]
    conn = conns[-1]
    for path in ("pg_catalog, public", '"Odd, name", public'):
        conn.execute("SELECT set_config('search_path', %s, false)", (path,))
        conn.execute("SELECT set_config('my.thing', %s::text, false)", (path,))
        equal(pins(weir, conn), "")
        for _ in range(3):
            equal(conn.execute("SHOW search_path").fetchone(), (path,))
            equal(conn.execute("SELECT current_setting('my.thing')").fetchone(), (path,))
            for other in conns[:-1]:
                check(other.execute("SHOW search_path").fetchone() != (path,), "leaked")
    conn.execute("SELECT set_config('work_mem', %s, false)", ("6MB",))
    conn.execute("SELECT set_config('work_mem', %s::text, false)", (None,))
    equal(conn.execute("SHOW work_mem").fetchone(), conns[0].execute("SHOW work_mem").fetchone())
    leave(conns)


@quick
def test_settings_in_another_encoding(start):
    """Their text is invalid in the encoding of the client before, whose role must end all the same."""
    weir = start({"default_pool_size": 1})
    insert = "INSERT INTO it_who SELECT current_user::text"
    batch = parse("", insert) + bind("", "") + execute() + SYNC
    with Roles(weir) as admin, Raw(weir.port) as a, Raw(weir.port) as b:
        admin.execute("DROP TABLE IF EXISTS it_who")
        admin.execute("CREATE TABLE it_who(name text)")
        admin.execute("GRANT INSERT ON it_who TO app, it_role_a")
        equal(a.log_in(client_encoding="UTF8"), None)
        equal(b.log_in(client_encoding="LATIN1"), None)
        b.send(message("Q", b"SET my.name TO 'caf\xe9'\0"))
        equal(errors(b.read_until("Z")), [])
        for request in (query(insert), batch):
            for text in ("SET ROLE it_role_a", insert):    # on the primary
                a.send(query(text))
                equal(errors(a.read_until("Z")), [])
            b.send(request)
            equal(errors(b.read_until("Z")), [])
            a.send(query("RESET ROLE"))
            a.read_until("Z")
            b.send(query("SHOW my.name"))
            equal([body[6:] for k, body in b.read_until("Z") if k == "D"], [b"caf\xe9"])
        equal(admin.execute("SELECT name FROM it_who").fetchall(), [("it_role_a",), ("app",)] * 2)
        admin.execute("DROP TABLE it_who")


@quick
def test_what_a_function_does_unseen_stays_with_its_client(weir):
    """A function may take a role, or set what isn't reported: no other client gets it."""
    with Roles(weir) as admin:
        admin.execute("DROP FUNCTION IF EXISTS it_sneak(text, text)")
        admin.execute("CREATE FUNCTION it_sneak(name text, value text) RETURNS void LANGUAGE "
                      "plpgsql AS $$ BEGIN EXECUTE format('SET %I TO %L', name, value); END $$")
        admin.execute("DROP TABLE IF EXISTS it_triggered")
        admin.execute("CREATE TABLE it_triggered(k int)")
        admin.execute("GRANT INSERT ON it_triggered TO app, it_role_a, it_role_b")
        admin.execute("CREATE OR REPLACE FUNCTION it_sneaks() RETURNS trigger LANGUAGE plpgsql AS "
                      "$$ BEGIN SET ROLE it_role_b; RETURN NEW; END $$")
        admin.execute("CREATE TRIGGER it_sneaks BEFORE INSERT ON it_triggered "
                      "FOR EACH ROW EXECUTE FUNCTION it_sneaks()")
        conns = crowd(weir, 4)
        texts = ["INSERT INTO it_triggered VALUES (1)",
                 "SELECT public.it_sneak('role', 'it_role_a')",
                 "SELECT public.it_sneak('search_path', 'x, y')",
                 "DO $$ BEGIN EXECUTE 'SE' || 'T ROLE it_role_b'; END $$",
                 "SELECT 1; DO $$ BEGIN PERFORM public.it_sneak('work_mem', '13MB'); END $$"]
        for text in texts:
            for _ in range(3):
                conns[0].execute(text)
                for other in conns[1:]:
                    got = other.execute("SELECT current_user::text, current_setting('search_path'), "
                                        "current_setting('work_mem'), pg_backend_pid()").fetchone()
                    check(got[0] == "app" and "x, y" not in got[1] and got[2] != "13MB",
                          f"{text} reached another client: {got}")
        leave(conns)
        admin.execute("DROP TABLE it_triggered")
        admin.execute("DROP FUNCTION it_sneaks(), it_sneak(text, text)")
