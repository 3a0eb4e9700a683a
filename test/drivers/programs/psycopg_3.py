# SPDX-License-Identifier: PostgreSQL
"""psycopg 3: pipelines, server-side cursors, binary COPY, prepared statements, two phases."""
import asyncio
import contextlib
import enum
import logging
import threading

import psycopg
from psycopg import ClientCursor, IsolationLevel, ServerCursor, sql
from psycopg.rows import dict_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum


logging.getLogger("psycopg").setLevel(logging.ERROR)    # warns of errors behind an error, if they came by then


def connect(**kw):
    kw.setdefault("autocommit", True)
    return psycopg.connect("", **kw)


def told(what, func, *args, **kw):
    """What came of it: a value, rows, or an error."""
    try:
        value = func(*args, **kw)
    except psycopg.Error as e:
        print(f"{what}: {type(e).__name__} {e.sqlstate} {e.diag.message_primary}")
        return None
    if isinstance(value, psycopg.Cursor):
        value = value.fetchall() if value.description else value.statusmessage
    print(f"{what}: {value!r}")
    return value


def status(conn):
    print("status", conn.info.transaction_status.name, conn.info.pipeline_status.name)


def part(func):
    print(f"== {func.__name__}")
    try:
        func()
    except Exception as e:    # noqa: BLE001: it is told and compared
        print(f"ended by {type(e).__name__} {getattr(e, 'sqlstate', '')} {e}".strip())


def table(conn, name="t3"):
    conn.execute(f"DROP TABLE IF EXISTS {name}")
    conn.execute(f"CREATE TABLE {name}(k int PRIMARY KEY, v text)")


@contextlib.contextmanager
def failing_pipeline(conn):
    try:
        with conn.pipeline() as p:
            yield p
    except psycopg.Error as e:
        print("pipeline:", type(e).__name__, e.sqlstate)
    status(conn)
    conn.rollback()


def pipeline_errors_of(conn):
    insert = "INSERT INTO t3 VALUES (%s, %s)"
    with failing_pipeline(conn) as p:
        a = conn.execute(f"{insert} RETURNING k", (1, "a"))
        b = conn.execute("SELECT 1/%s::int", (0,))
        c = conn.execute(f"{insert} RETURNING k", (2, "b"))
        p.sync()
        for what, cur in (("a", a), ("b", b), ("c", c)):
            told(what, cur.fetchone)
    with failing_pipeline(conn) as p:
        a = conn.execute("SELECT %s::int", (1,))
        p.sync()
        told("a", a.fetchone)
        conn.execute(insert, (3, "c"))
        conn.execute(insert, (3, "d"))    # the error is raised by what comes first behind it: execute or fetchone
        conn.execute("SELECT count(*) FROM t3").fetchone()
    told("left", conn.execute, "SELECT * FROM t3 ORDER BY k")


def pipeline_errors():
    for threshold in (5, 0, None):
        for autocommit in (True, False):
            with connect(prepare_threshold=threshold) as conn:
                table(conn)
            with connect(prepare_threshold=threshold, autocommit=autocommit) as conn:
                print("threshold", threshold, "autocommit", autocommit)
                pipeline_errors_of(conn)


def pipeline_transactions():
    with connect() as conn:
        table(conn)
        with conn.pipeline():
            with conn.transaction():
                conn.execute("INSERT INTO t3 VALUES (1, 'a')")
                try:
                    with conn.transaction():
                        conn.execute("INSERT INTO t3 VALUES (1, 'a')")
                except psycopg.Error as e:
                    print(type(e).__name__)
                conn.execute("INSERT INTO t3 VALUES (2, 'b')")
            cur = conn.execute("SELECT * FROM t3 ORDER BY k")
            with conn.pipeline():
                inner = conn.execute("SELECT 'inner'")
            told("inner", inner.fetchone)
            told("outer", cur.fetchall)
        status(conn)
        told("COPY in a pipeline", in_pipeline, conn, copy_once)
        status(conn)
        told("stream in a pipeline", in_pipeline, conn, lambda c: list(c.cursor().stream("SELECT 1")))
        status(conn)
        told("server cursor in a pipeline", in_pipeline, conn, lambda c: named(c, "x"))
        status(conn)
        told("executemany", in_pipeline, conn, many)
        told("prepared", in_pipeline, conn, lambda c: [c.execute("SELECT %s", (i,)).fetchone()
                                                       for i in range(12)])
        told("PREPARE and back", in_pipeline, conn, lambda c: [
            c.execute("PREPARE three AS SELECT $1::int"), c.execute("EXECUTE three(4)").fetchone(),
            c.execute("DEALLOCATE three")][1])
        told("SET and back", in_pipeline, conn, lambda c: [
            c.execute("SET work_mem = '3MB'"), c.execute("SHOW work_mem").fetchone(),
            c.execute("RESET work_mem"), c.execute("SHOW work_mem").fetchone()][1::2])


def in_pipeline(conn, func):
    with conn.pipeline():
        return func(conn)


def copy_once(conn):
    with conn.cursor().copy("COPY t3 TO STDOUT") as copy:
        return list(copy.rows())


def named(conn, name):
    with conn.cursor(name) as cur:
        cur.execute("SELECT generate_series(1, 3)")
        return cur.fetchall()


def many(conn):
    cur = conn.cursor()
    cur.executemany("INSERT INTO t3 VALUES (%s, %s) RETURNING k * 2", [(i, "m") for i in range(10, 15)],
                    returning=True)
    got = []
    while True:
        got += cur.fetchall()
        if not cur.nextset():
            return got, cur.rowcount


def server_cursors():
    for autocommit in (False, True):
        for hold in (False, True):
            for scrollable in (None, True, False):
                print("autocommit", autocommit, "hold", hold, "scrollable", scrollable)
                with connect(autocommit=autocommit) as conn:
                    told("all", one_cursor, conn, hold, scrollable)
                    status(conn)
                    conn.rollback()
                    told("after", conn.execute, "SELECT name, is_holdable, is_scrollable FROM pg_cursors")
    with connect(autocommit=False) as conn:
        with conn.cursor("a", withhold=True) as a:
            a.execute("SELECT generate_series(1, 1000)")
            conn.commit()
            a.itersize = 7
            total = 0
            for i, row in enumerate(a):
                total += row[0]
                if i % 50 == 0:
                    conn.commit()
            print("sum over commits", total)
        conn.commit()
        with conn.cursor("b", binary=True) as b:
            b.execute("SELECT g, g::numeric, g::text, now() > 'epoch' FROM generate_series(1, 5) g")
            print(b.fetchmany(2), b.fetchone(), b.fetchall())
        with conn.cursor("d") as d:
            d.execute("SELECT 1")
            conn.rollback()
            told("fetch behind a rollback", d.fetchall)
            conn.rollback()
        with ServerCursor(conn, "e", row_factory=dict_row) as e:
            e.execute("SELECT %s::int AS a, %s AS b", (1, "x"))
            print(e.fetchall(), e.description[0].name)
        cur = conn.cursor("dangling")
        cur.execute("SELECT 1")
        told("a name twice", conn.cursor("dangling").execute, "SELECT 2")
        conn.rollback()


def one_cursor(conn, hold, scrollable):
    got = []
    with conn.cursor("c", withhold=hold, scrollable=scrollable) as cur:
        cur.execute("SELECT generate_series(%s::int, 20)", (1,))
        got.append(cur.fetchmany(3))
        got.append(conn.execute("SELECT 'between'").fetchone())
        if hold:
            conn.commit()
            got.append(conn.execute("SELECT 'more'").fetchone())
            conn.commit()
        if scrollable:
            cur.scroll(-2)
            got.append(cur.fetchone())
            cur.scroll(10, mode="absolute")
            got.append(cur.fetchone())
        got.append(len(cur.fetchall()))
    return got


def binary_copy():
    with connect() as conn:
        conn.execute("DROP TABLE IF EXISTS c3")
        conn.execute("CREATE TABLE c3(i int8, n numeric, t text, b bytea, a int[])")
        with conn.cursor() as cur:
            with cur.copy("COPY c3 FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "numeric", "text", "bytea", "int4[]"])
                for i in range(3000):
                    copy.write_row((i, i, "text" * (i % 40), bytes([i % 256]) * (i % 300), [i, i + 1]))
            print(cur.rowcount)
            with cur.copy("COPY (SELECT * FROM c3 ORDER BY i) TO STDOUT (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "numeric", "text", "bytea", "int4[]"])
                rows = list(copy.rows())
            print(len(rows), [bytes(v) if isinstance(v, memoryview) else v for v in rows[7]], rows[-1][0])
            raw = b""
            with cur.copy("COPY (SELECT * FROM c3 ORDER BY i LIMIT 100) TO STDOUT (FORMAT BINARY)") as copy:
                for block in copy:
                    raw += block
            conn.execute("TRUNCATE c3")
            with cur.copy("COPY c3 FROM STDIN (FORMAT BINARY)") as copy:
                for at in range(0, len(raw), 333):
                    copy.write(raw[at:at + 333])
            told("again", cur.execute, "SELECT count(*), sum(i) FROM c3")
            told("broken", broken_copy, cur)
            status(conn)
            told("given up", given_up, cur)
            status(conn)
        with conn.transaction():
            with conn.cursor().copy("COPY c3 (i) FROM STDIN") as copy:
                copy.write("1\n2\n")
            told("in", conn.execute, "SELECT count(*) FROM c3")


def broken_copy(cur):
    with cur.copy("COPY c3 FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"not binary at all" * 10)


def given_up(cur):
    try:
        with cur.copy("COPY c3 FROM STDIN") as copy:
            copy.write(b"1\t2\n")
            raise KeyError("mine")
    except KeyError:
        return "KeyError"


def prepared():
    with connect(prepare_threshold=2) as conn:
        conn.prepared_max = 3
        for i in range(40):
            got = conn.execute(f"SELECT %s::int + {i % 3}", (i,)).fetchone()
            if got != (i + i % 3,):
                print("wrong", i, got)
        told("kept", conn.execute, "SELECT statement FROM pg_prepared_statements WHERE name LIKE '_pg3%' ORDER BY 1")
        table(conn)
        for _ in range(4):
            conn.execute("SELECT * FROM t3 WHERE k = %s", (1,))
        told("alter", conn.execute, "ALTER TABLE t3 ADD w int")
        told("discard", conn.execute, "DISCARD ALL")
        for _ in range(4):
            told("again", conn.execute, "SELECT * FROM t3 WHERE k = %s", (1,))
        told("deallocate", conn.execute, "DEALLOCATE ALL")
        for _ in range(4):
            told("again", conn.execute, "SELECT * FROM t3 WHERE k = %s", (1,))
        for value in (1, 1.5, "x", None, 2 ** 40, [1], b"z"):
            for _ in range(4):
                told("type", conn.execute, "SELECT %s", (value,))
    with connect(prepare_threshold=0, autocommit=False) as conn:
        told("ok", conn.execute, "SELECT %s::int", (1,))
        told("bad", conn.execute, "SELECT %s::int / 0", (1,))
        told("failed", conn.execute, "SELECT %s::int", (1,))
        conn.rollback()
        told("ok", conn.execute, "SELECT %s::int", (1,))
        told("bad", conn.execute, "SELECT nothing", prepare=True)
        conn.rollback()
        told("bad", conn.execute, "SELECT nothing", prepare=True)
        conn.rollback()
        told("table", conn.execute, "CREATE TABLE t3b(k int)")
        told("read", conn.execute, "SELECT * FROM t3b", prepare=True)
        conn.rollback()
        told("gone", conn.execute, "SELECT * FROM t3b", prepare=True)
        conn.rollback()


def transactions():
    with connect(autocommit=False) as conn:
        for level in IsolationLevel:
            for read_only in (True, False):
                for deferrable in (True, False):
                    conn.isolation_level, conn.read_only = level, read_only
                    conn.deferrable = deferrable
                    print(conn.execute("SELECT current_setting('transaction_isolation'), "
                                       "current_setting('transaction_read_only'), "
                                       "current_setting('transaction_deferrable')").fetchone())
                    told("write", conn.execute, "CREATE TEMP TABLE nope()")
                    conn.rollback()
        conn.isolation_level = conn.read_only = conn.deferrable = None
        table(conn)
        conn.commit()
        with conn.transaction() as tx:
            conn.execute("INSERT INTO t3 VALUES (1, 'a')")
            with conn.transaction("named", force_rollback=True):
                conn.execute("INSERT INTO t3 VALUES (2, 'b')")
            try:
                with conn.transaction():
                    conn.execute("INSERT INTO t3 VALUES (1, 'c')")
            except psycopg.errors.UniqueViolation:
                print("unique")
            with conn.transaction():
                conn.execute("INSERT INTO t3 VALUES (3, 'd')")
                raise psycopg.Rollback()
            told("in", conn.execute, "SELECT * FROM t3")
            raise psycopg.Rollback(tx)
        told("out", conn.execute, "SELECT * FROM t3")
        conn.rollback()
        with conn.transaction():
            conn.execute("INSERT INTO t3 VALUES (1, 'a')")
        told("out", conn.execute, "SELECT * FROM t3")


def two_phases():
    with connect(autocommit=False) as conn:
        table(conn)
        conn.commit()
        xid = conn.xid(1, "gtrid", "bqual")
        conn.tpc_begin(xid)
        conn.execute("INSERT INTO t3 VALUES (1, 'a')")
        conn.tpc_prepare()
        status(conn)
        told("in between", conn.tpc_commit)
        told("rows", conn.execute, "SELECT * FROM t3")
        conn.rollback()
        conn.tpc_begin("plain")
        conn.execute("INSERT INTO t3 VALUES (2, 'a')")
        conn.tpc_prepare()
    with connect() as conn:
        print([x.gtrid for x in conn.tpc_recover()])
        status(conn)
        conn.tpc_rollback("plain")
        told("rows", conn.execute, "SELECT * FROM t3")
        told("unknown", conn.tpc_rollback, "plain")


def streams_and_results():
    with connect() as conn:
        cur = conn.cursor()
        print(sum(r[0] for r in cur.stream("SELECT generate_series(1, 5000)")))
        told("stream error", lambda: list(cur.stream("SELECT 10 / (5 - g) FROM generate_series(1, 9) g")))
        status(conn)
        gen = cur.stream("SELECT generate_series(1, 100000)")
        print(next(gen))
        gen.close()
        status(conn)
        cur.execute("SELECT 1 AS a; SELECT 2 AS b, 3 AS c; CREATE TEMP TABLE tt(); DROP TABLE tt; SELECT 4")
        while True:
            print(cur.statusmessage, cur.rowcount, cur.description and cur.fetchall())
            if not cur.nextset():
                break
        told("last fails", conn.execute, "SELECT 1; SELECT 2; SELECT 1/0; SELECT 3")
        cur = ClientCursor(conn)
        print(cur.execute("SELECT %s, %s; SELECT %s", (1, "it's", [1, 2])).fetchall())
        print(cur.mogrify("SELECT %s", ("a'b",)))
        with conn.cursor(binary=True) as b:
            print(b.execute("SELECT %b, %s, now() IS NULL, 'x'::bytea, '{1,2}'::int[], 1.5::numeric", (7, "t")).fetchall())
        print(conn.execute("").statusmessage, conn.execute(";").statusmessage)
        print(conn.execute("SELECT %(a)s, %(b)s, %(a)s", {"a": 1, "b": "z"}).fetchone())
        print(conn.execute("VALUES (1), (2)").fetchall(), conn.execute("TABLE pg_class LIMIT 0").description[0].name)
        print(len(conn.execute(f"SELECT {', '.join(map(str, range(1600)))}").fetchone()))
        told("too many", conn.execute, f"SELECT {', '.join(map(str, range(1700)))}")
        print(len(conn.execute(sql.SQL("SELECT ARRAY[{}]").format(sql.SQL(",").join([sql.Placeholder()] * 3000)), list(range(3000))).fetchone()[0]))


def notices_and_notifications():
    with connect() as conn, connect() as other:
        notices = []
        conn.add_notice_handler(lambda d: notices.append((d.severity, d.sqlstate, d.message_primary)))
        conn.execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two' USING HINT = 'h', DETAIL = 'd'; END $$")
        conn.execute("ROLLBACK")
        conn.execute("DROP TABLE IF EXISTS nothing_like_it")
        print(notices)
        conn.execute("LISTEN three")
        other.execute("NOTIFY three, 'a'")
        with other.transaction():
            other.execute("NOTIFY three, 'b'")
            other.execute("NOTIFY three, 'b'")
            other.execute("SELECT pg_notify('three', 'c')")
        gen = conn.notifies()
        print([(n.channel, n.payload) for n in (next(gen) for _ in range(3))])
        gen.close()
        conn.execute("UNLISTEN *")


def cancels():
    with connect() as conn:
        threading.Timer(0.5, conn.cancel).start()
        told("cancelled", conn.execute, "SELECT pg_sleep(20)")
        status(conn)
        told("next", conn.execute, "SELECT 1")
        with conn.transaction():
            threading.Timer(0.5, conn.cancel).start()
            try:
                with conn.transaction():
                    conn.execute("SELECT pg_sleep(20)")
            except psycopg.errors.QueryCanceled:
                print("cancelled inside")
            told("goes on", conn.execute, "SELECT 2")
        conn.execute("SET statement_timeout = 200")
        told("timeout", conn.execute, "SELECT pg_sleep(20)")
        told("timeout in pipeline", in_pipeline, conn, lambda c: c.execute("SELECT pg_sleep(20)").fetchone())
        conn.execute("RESET statement_timeout")
        told("next", conn.execute, "SELECT 3")


def types():
    with connect() as conn:
        conn.execute("DROP TYPE IF EXISTS mood3, pair3 CASCADE")
        conn.execute("CREATE TYPE mood3 AS ENUM ('sad', 'glad')")
        conn.execute("CREATE TYPE pair3 AS (a int, m mood3)")
        Mood = enum.Enum("Mood", ["sad", "glad"])
        register_enum(EnumInfo.fetch(conn, "mood3"), conn, Mood)
        register_composite(CompositeInfo.fetch(conn, "pair3"), conn)
        print(conn.execute("SELECT '(1,glad)'::pair3, 'sad'::mood3, %s::mood3", (Mood.glad,)).fetchone())
        conn.execute("CREATE EXTENSION IF NOT EXISTS hstore")
        from psycopg.types.hstore import register_hstore
        from psycopg.types import TypeInfo
        register_hstore(TypeInfo.fetch(conn, "hstore"), conn)
        print(conn.execute("SELECT 'a=>1'::hstore").fetchone())
        conn.execute("SET timezone TO 'America/New_York'")
        print(conn.info.timezone, conn.execute("SELECT '2020-01-01 UTC'::timestamptz").fetchone())
        conn.execute("SET datestyle TO 'German'")
        told("date", conn.execute, "SELECT '2020-02-03'::date")
        conn.execute("SET intervalstyle TO 'iso_8601'")
        told("interval", conn.execute, "SELECT '1 day'::interval")
        conn.execute("SET client_encoding TO 'latin1'")
        print(conn.info.encoding, conn.execute("SELECT '\u00e9' || %s", ("\u00fc",)).fetchone())
        told("untranslatable", conn.execute, "SELECT U&'\\20AC'")
        told("next", conn.execute, "SELECT 1")
        for name in ("server_version", "is_superuser", "session_authorization", "DateStyle",
                     "IntervalStyle", "integer_datetimes", "standard_conforming_strings",
                     "in_hot_standby", "default_transaction_read_only", "application_name"):
            print(name, conn.info.parameter_status(name))


def asynchronous():
    async def work():
        async with await psycopg.AsyncConnection.connect("", autocommit=True) as conn:
            async with conn.pipeline() as p:
                curs = [await conn.execute("SELECT %s::int", (i,)) for i in range(200)]
                await p.sync()
                print(sum([(await c.fetchone())[0] for c in curs]))
            async with conn.transaction():
                async with conn.cursor("ac") as cur:
                    await cur.execute("SELECT generate_series(1, 300)")
                    print(len([r async for r in cur]))
            try:
                await asyncio.wait_for(conn.execute("SELECT pg_sleep(30)"), 0.5)
            except asyncio.TimeoutError:
                print("timed out", conn.closed)
            async with await psycopg.AsyncConnection.connect("", autocommit=True) as other:
                await asyncio.gather(*(other.execute("SELECT pg_sleep(0.001)") for _ in range(20)))
                print(await (await other.execute("SELECT 'together'")).fetchone())
    asyncio.run(work())


for func in (pipeline_errors, pipeline_transactions, server_cursors, binary_copy, prepared,
             transactions, two_phases, streams_and_results, notices_and_notifications, cancels,
             types, asynchronous):
    part(func)
