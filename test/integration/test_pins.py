# SPDX-License-Identifier: PostgreSQL
"""Pins end when PostgreSQL says that their reason is gone."""
from lib import check, equal, quick, raises, until
from rawpg import FLUSH, SYNC, ask_sql, bind, error_fields, execute, first_error, logged_in, parse, query, values

OPTIONS = {"default_pool_size": 2}


class Pinned:
    """A client that can say whether it is pinned, by the console."""
    count = 0

    def __init__(self, weir, **kw):
        Pinned.count += 1
        self.weir, self.name = weir, f"it_pins_{Pinned.count}"
        self.conn = weir.connect(application_name=self.name, prepare_threshold=None, **kw)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()

    def run(self, *texts):
        for text in texts:
            cur = self.conn.execute(text)
        return cur

    def why(self):
        return next(r["pinned"] for r in self.weir.show("CLIENTS")
                    if r["application_name"] == self.name)

    def is_pinned(self, what):
        if self.weir.is_pgweir:
            self.conn.execute("SELECT 1")    # behind any check that is under way
            check(what in self.why(), f"got {self.why()!r}, want {what!r}")

    def is_free(self):
        if self.weir.is_pgweir:
            until("the end of the pin", 10, lambda: self.why() == "")


@quick
def test_temporary_tables(weir, sub):
    with sub("pins::a dropped table"), Pinned(weir) as c:
        c.run("CREATE TEMP TABLE a(k int)", "CREATE TEMP TABLE b(k int)")
        c.is_pinned("temporary table")
        c.run("DROP TABLE a")
        c.is_pinned("temporary table")
        equal(c.run("SELECT count(*) FROM b").fetchone(), (0,))
        c.run("DROP TABLE b")
        c.is_free()
    with sub("pins::a table of a transaction rolled back"), Pinned(weir) as c:
        c.run("BEGIN", "CREATE TEMP TABLE a(k int)", "ROLLBACK")
        c.is_free()
    with sub("pins::made and dropped in one transaction"), Pinned(weir) as c:
        c.run("BEGIN", "CREATE TEMP TABLE a(k int)", "DROP TABLE a", "COMMIT")
        c.is_free()
    with sub("pins::ON COMMIT DROP never pins"), Pinned(weir) as c:
        c.run("BEGIN", "CREATE TEMP TABLE a(k int) ON COMMIT DROP", "COMMIT")
        c.is_free()
    with sub("pins::DISCARD TEMP"), Pinned(weir) as c:
        c.run("CREATE TEMP TABLE a(k int)", "BEGIN", "DISCARD TEMP", "ROLLBACK")
        c.is_pinned("temporary table")
        c.run("DISCARD TEMP")
        c.is_free()
    with sub("pins::a temporary function"), Pinned(weir) as c:
        c.run("CREATE TEMP TABLE a(k int)",
              "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 3'", "DROP TABLE a")
        c.is_pinned("temporary table")
        equal(c.run("SELECT pg_temp.f()").fetchone(), (3,))
        c.run("DROP FUNCTION pg_temp.f()")
        c.is_free()


@quick
def test_advisory_locks(weir):
    with Pinned(weir) as c, weir.connect() as other:
        c.run("SELECT pg_advisory_lock(4711), pg_advisory_lock(4711)", "SELECT pg_advisory_lock(9)")
        c.is_pinned("advisory lock")
        c.run("SELECT pg_advisory_unlock(4711)", "SELECT pg_advisory_unlock(9)")
        c.is_pinned("advisory lock")
        equal(other.execute("SELECT pg_try_advisory_lock(4711)").fetchone(), (False,))
        equal(c.run("SELECT pg_advisory_unlock(4711)").fetchone(), (True,))
        c.is_free()
        equal(other.execute("SELECT pg_try_advisory_lock(4711)").fetchone(), (True,))
        other.execute("SELECT pg_advisory_unlock(4711)")
        c.run("SELECT pg_try_advisory_lock(1)", "CREATE TEMP TABLE beside(k int)")
        c.run("SELECT pg_advisory_unlock(1)")
        c.is_pinned("temporary table")
        c.run("DROP TABLE beside")
        c.is_free()
        raises("22012", c.run, "SELECT pg_advisory_lock(k / 0) FROM generate_series(1, 1) k")
        c.is_free()


@quick
def test_cursors_with_hold(weir):
    with Pinned(weir) as c:
        c.run("BEGIN", "DECLARE a CURSOR WITH HOLD FOR SELECT 1",
              "DECLARE b CURSOR WITH HOLD FOR SELECT 2", "COMMIT")
        c.is_pinned("cursor")
        c.run("CLOSE a")
        c.is_pinned("cursor")
        equal(c.run("FETCH b").fetchone(), (2,))
        c.run("CLOSE b")
        c.is_free()
        c.run("BEGIN", "DECLARE a CURSOR WITH HOLD FOR SELECT 1", "ROLLBACK")
        c.is_free()


@quick
def test_requests_do_not_wait_for_the_question(weir):
    """Each is sent at once behind the one that may have ended the pin."""
    with Pinned(weir) as c:
        for i in range(30):
            c.run("CREATE TEMP TABLE quick(k int)", f"INSERT INTO quick VALUES ({i})")
            equal(c.run("SELECT k FROM quick").fetchone(), (i,))
            c.run("DROP TABLE quick")
            raises("42P01", c.run, "SELECT k FROM quick")
            c.run("SET work_mem = '6MB'")
            equal(c.run("SHOW work_mem").fetchone(), ("6MB",))
            c.run("RESET work_mem")
        c.is_free()


@quick
def test_the_question_is_asked_only_for_a_reason(start):
    weir = start({"default_pool_size": 2})
    with Pinned(weir) as c:
        c.run("CREATE TEMP TABLE asked(k int)")
        for i in range(20):
            c.run(f"INSERT INTO asked VALUES ({i})", "SELECT count(*) FROM asked", "BEGIN",
                  "SELECT 1", "COMMIT")
        equal(weir.stat("unpin_checks"), 0)
        c.run("DROP TABLE asked")
        c.is_free()
        equal((weir.stat("unpin_checks"), weir.stat("unpins")), (1, 1))
        c.run("SELECT 1", "DROP TABLE IF EXISTS asked", "BEGIN", "SELECT 1", "ROLLBACK")
        equal(weir.stat("unpin_checks"), 1)


@quick
def test_own_operators_are_not_used(weir):
    """The question is asked in the client's session, whose search_path may lie."""
    with weir.connect(user="postgres") as admin, Pinned(weir) as c:
        admin.execute("DROP SCHEMA IF EXISTS it_evil CASCADE")
        admin.execute("CREATE SCHEMA it_evil AUTHORIZATION app")
        c.run("CREATE FUNCTION it_evil.eq(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false'",
              "CREATE OPERATOR it_evil.= (leftarg = oid, rightarg = oid, function = it_evil.eq)",
              "SET search_path = it_evil, pg_catalog, public", "CREATE TEMP TABLE mine(k int)",
              "DROP TABLE IF EXISTS nothing_here")
        c.is_pinned("temporary table")
        c.run("DROP TABLE mine")
        c.is_free()
        c.run("RESET search_path")
        admin.execute("DROP SCHEMA it_evil CASCADE")


@quick
def test_what_the_operator_wants(start, sub):
    weir = start({"default_pool_size": 2, "pin_temp_table": "refuse", "pin_hold_cursor": "warn",
                  "pin_load": "refuse",
                  "databases": ["own = cluster=main dbname=app pin_temp_table=pin"]})
    with sub("pins::refused"), Pinned(weir) as c:
        e = raises("0A000", c.run, "CREATE TEMP TABLE no(k int)")
        check("temporary table" in str(e) and "pin_temp_table" in e.diag.message_hint, f"{e}")
        raises("0A000", c.run, "LOAD 'plpgsql'")
        c.run("BEGIN", "CREATE TEMP TABLE yes(k int) ON COMMIT DROP", "COMMIT")
        raises("0A000", c.run, "SELECT 1; CREATE TEMP TABLE no(k int)")
        c.run("BEGIN", "SELECT 1")
        raises("0A000", c.run, "CREATE TEMP TABLE no(k int)")
        raises("25P02", c.run, "SELECT 2")
        c.run("COMMIT")
        c.is_free()
        check(weir.stat("pins_refused") >= 4, "counted")
    with sub("pins::warned of"), Pinned(weir) as c:
        said = []
        c.conn.add_notice_handler(lambda d: said.append((d.severity, d.sqlstate)))
        c.run("BEGIN", "DECLARE w CURSOR WITH HOLD FOR SELECT 1", "COMMIT")
        equal(said, [("WARNING", "01000")])
        c.is_pinned("cursor")
        equal(weir.stat("pins_warned"), 1)
        c.run("CLOSE w")
        c.is_free()
    with sub("pins::warned of behind a Flush"), logged_in(weir) as raw:
        raw.send(parse("", "SELECT 1"), FLUSH)
        equal(raw.read()[0], "1")
        raw.send(parse("", "DECLARE w CURSOR WITH HOLD FOR SELECT 1"), bind("", ""), execute(), SYNC)
        answer = raw.read_until("Z")
        equal([error_fields(b)["C"] for k, b in answer if k == "N"], ["01000"])
        equal("".join(k for k, _ in answer if k != "N"), "12CZ")
        equal(weir.stat("pins_warned"), 2)
    with sub("pins::by database"):
        with weir.connect(dbname="own") as conn:
            conn.execute("CREATE TEMP TABLE mine(k int)")
    with sub("pins::SHOW PINS"), Pinned(weir) as c:
        c.run("SELECT pg_advisory_lock(5)", "SELECT pg_advisory_lock(6)")
        rows = {r["reason"]: r for r in weir.show("PINS") if r["database"] == "app"}
        equal((int(rows["advisory_lock"]["clients"]), int(rows["advisory_lock"]["total"])), (1, 1))
        equal(int(rows["hold_cursor"]["total"]), 2)
        c.run("SELECT pg_advisory_unlock_all()")
        c.is_free()
        rows = {r["reason"]: r for r in weir.show("PINS") if r["database"] == "app"}
        equal((int(rows["advisory_lock"]["clients"]), int(rows["advisory_lock"]["total"])), (0, 1))


def run(*texts):
    return b"".join(parse("", t) + bind("", "") + execute() for t in texts)


TEMP = "CREATE TEMP TABLE refused(k int)"
REFUSED = {    # what follows the first part of a batch, up to its Sync
    "with its Sync": (run(TEMP) + SYNC,),
    "cut again": (run(TEMP) + FLUSH, run("SELECT 'skipped'") + SYNC),
    "in front of others": (run(TEMP) + FLUSH + run("SELECT 'skipped'") + FLUSH + SYNC,),
    "behind others": (run("SELECT 'kept back', now()", TEMP) + SYNC,),
    "twice": (run(TEMP) + FLUSH + run(TEMP) + FLUSH + run("LOAD 'plpgsql'") + SYNC,),
    "as a query": (query(TEMP),),
    "longer than what is kept": (parse("", "CREATE TEMP TABLE refused AS SELECT $1::text") +
                                 bind("", "", ["x" * 200000]) + execute() + SYNC,),
}


@quick
def test_refused_behind_a_part_of_its_batch(start, sub):
    """In its place behind the answers before it, as if the server had said so: the batch is undone, and nobody is pinned."""
    weir = start({"default_pool_size": 1, "pin_temp_table": "refuse", "pin_load": "refuse", "client_buffer_size": 65536})
    with weir.connect() as conn:
        conn.execute("DROP TABLE IF EXISTS it_refused; CREATE TABLE it_refused(k int)")
    first = run("INSERT INTO it_refused VALUES (1)", "SELECT 'first'")
    for label, parts in REFUSED.items():
        for waits in (True, False):
            for txn in (False, True):
                with sub(f"pins::refused in a batch, {label}, {'awaited' if waits else 'ahead'}{', in BEGIN' if txn else ''}"):
                    with logged_in(weir, application_name="it_refused") as raw:
                        refused_in_batch(weir, raw, first + FLUSH, parts, waits, txn)


def refused_in_batch(weir, raw, first, parts, waits, has_begin):
    count = weir.stat("pins_refused")
    if has_begin:
        ask_sql(raw, "BEGIN")
    got = []
    for part in (first, *parts):
        raw.send(part)
        if waits and part == first:
            got += raw.read_until("D")
    got += raw.read_until("Z")
    equal(values(got), [["first"]])
    error, = (error_fields(b) for k, b in got if k == "E")
    equal((error["S"], error["C"], error["M"]), ("ERROR", "0A000", "not allowed in transaction pooling: temporary table"))
    check("pin_temp_table" in error["H"], error)
    equal([b for k, b in got if k == "Z"], [b"E" if has_begin else b"I"])
    check(weir.stat("pins_refused") > count, "not counted")
    if has_begin:
        equal(first_error(ask_sql(raw, "SELECT 1")), "25P02")
        equal(first_error(ask_sql(raw, "COMMIT")), None)
    equal(values(ask_sql(raw, "SELECT count(*) FROM it_refused")), [["0"]])
    equal(values(ask_sql(raw, "SELECT to_regclass('pg_temp.refused')")), [[None]])
    equal(next(r["pinned"] for r in weir.show("CLIENTS") if r["application_name"] == "it_refused"), "")
