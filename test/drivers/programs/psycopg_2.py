# SPDX-License-Identifier: PostgreSQL
"""psycopg2: execute_values, named cursors, COPY, large objects, two phases, its states."""
import io
import select
import threading
import time

import psycopg2
import psycopg2.extensions as ext
import psycopg2.extras as extras


def connect(autocommit=False, **kw):
    conn = psycopg2.connect("", **kw)
    if autocommit:
        conn.autocommit = True
    return conn


def told(what, func, *args, **kw):
    try:
        print(f"{what}: {func(*args, **kw)!r}")
    except psycopg2.Error as e:
        print(f"{what}: {type(e).__name__} {e.pgcode} {(e.diag.message_primary or str(e)).strip()}")


def ask(conn, text, args=None):
    with conn.cursor() as cur:
        cur.execute(text, args)
        return cur.fetchall() if cur.description else cur.statusmessage


def status(conn):
    print("status", conn.get_transaction_status(), conn.status)


def table(conn):
    ask(conn, "DROP TABLE IF EXISTS t2")
    ask(conn, "CREATE TABLE t2(k int PRIMARY KEY, v text)")
    conn.commit()


def batches():
    conn = connect()
    table(conn)
    with conn.cursor() as cur:
        got = extras.execute_values(cur, "INSERT INTO t2 VALUES %s RETURNING k",
                                    [(i, f"v{i}") for i in range(950)], page_size=100, fetch=True)
        print(len(got), got[-1], cur.rowcount)
        extras.execute_batch(cur, "UPDATE t2 SET v = %s WHERE k = %s",
                             [("new", i) for i in range(250)], page_size=40)
        told("count", ask, conn, "SELECT v = 'new', count(*) FROM t2 GROUP BY 1 ORDER BY 1")
        told("conflict", extras.execute_values, cur, "INSERT INTO t2 VALUES %s",
             [(2000, "a"), (1, "b")])
        status(conn)
        told("failed", ask, conn, "SELECT 1")
        conn.rollback()
        told("none left", ask, conn, "SELECT count(*) FROM t2")
        cur.executemany("INSERT INTO t2 VALUES (%s, %s)", [(i, "x") for i in range(5)])
        print(cur.rowcount)
    conn.commit()
    conn.close()


def cursors():
    conn = connect()
    with conn.cursor("plain") as cur:
        cur.itersize = 7
        cur.execute("SELECT generate_series(1, 100)")
        print(sum(r[0] for r in cur))
    with conn.cursor("scroll", scrollable=True) as cur:
        cur.execute("SELECT generate_series(1, 10)")
        cur.scroll(5)
        print(cur.fetchone())
        cur.scroll(-3)
        print(cur.fetchone())
        cur.scroll(9, mode="absolute")
        print(cur.fetchone())
        told("beyond", cur.fetchone)
    with conn.cursor("forward", scrollable=False) as cur:
        cur.execute("SELECT generate_series(1, 10)")
        cur.fetchmany(5)
        told("backward", cur.scroll, -3)
    conn.rollback()
    hold = conn.cursor("hold", withhold=True)
    hold.execute("SELECT generate_series(1, 50)")
    conn.commit()
    total = 0
    hold.itersize = 6
    for i, row in enumerate(hold):
        total += row[0]
        if i % 5 == 0:
            conn.commit()
    print(total)
    told("in the view", ask, conn, "SELECT name FROM pg_cursors WHERE is_holdable")
    hold.close()
    told("closed", ask, conn, "SELECT name FROM pg_cursors WHERE is_holdable")
    conn.commit()
    auto = connect(True)
    told("no transaction", lambda: auto.cursor("none").execute("SELECT 1"))
    with auto.cursor("kept", withhold=True) as cur:
        cur.execute("SELECT generate_series(1, 9)")
        print(cur.fetchmany(4), ask(auto, "SELECT 1"), cur.fetchall())
    with conn.cursor("two") as one, conn.cursor("three") as two:
        one.execute("SELECT generate_series(1, 6)")
        two.execute("SELECT generate_series(11, 16)")
        print([(one.fetchone(), two.fetchone()) for _ in range(6)])
    with conn.cursor("w") as cur:
        ask(conn, "CREATE TEMP TABLE cw AS SELECT generate_series(1, 3) k")
        cur.execute("SELECT k FROM cw FOR UPDATE")
        cur.fetchone()
        told("current of", ask, conn, "UPDATE cw SET k = 70 WHERE CURRENT OF w")
        told("rows", ask, conn, "SELECT k FROM cw ORDER BY k")
    conn.rollback()
    conn.close()
    auto.close()


def copies():
    conn = connect()
    table(conn)
    with conn.cursor() as cur:
        cur.copy_from(io.StringIO("1\ta\n2\tb\n"), "t2")
        cur.copy_expert("COPY t2 FROM STDIN WITH (FORMAT csv)", io.StringIO('3,"c,c"\n4,\n'))
        out = io.StringIO()
        cur.copy_to(out, "t2")
        print(out.getvalue())
        raw = io.BytesIO()
        cur.copy_expert("COPY t2 TO STDOUT (FORMAT BINARY)", raw)
        print(len(raw.getvalue()))
        told("bad", cur.copy_from, io.StringIO("x\ty\n"), "t2")
        status(conn)
        conn.rollback()
        told("none", ask, conn, "SELECT count(*) FROM t2")
        raw.seek(0)
        cur.copy_expert("COPY t2 FROM STDIN (FORMAT BINARY)", raw)
        conn.commit()
        told("all", ask, conn, "SELECT count(*) FROM t2")
        big = io.StringIO("".join(f"{i}\t{'x' * 90}\n" for i in range(100, 30100)))
        cur.copy_from(big, "t2")
        print(cur.rowcount)

        class Breaking:
            def read(self, size):
                raise KeyError("mine")
        told("reader fails", cur.copy_expert, "COPY t2 FROM STDIN", Breaking())
        conn.rollback()

        class Full:
            def write(self, data):
                raise KeyError("full")
        conn.autocommit = True
        try:
            cur.copy_expert("COPY (SELECT generate_series(1, 200000)) TO STDOUT", Full())
        except KeyError as e:
            print("KeyError", e)
        told("after", ask, conn, "SELECT 1")
    conn.close()


def large_objects():
    conn = connect()
    lob = conn.lobject(0, "wb", 424242)
    lob.write(b"abc" * 50000)
    print(lob.tell(), lob.oid)
    lob.seek(0)
    conn.commit()
    lob = conn.lobject(424242, "rb")
    data = lob.read()
    print(len(data), data[:6], lob.seek(-3, 2), lob.read())
    lob.close()
    lob = conn.lobject(424242, "rwb")
    lob.truncate(10)
    print(lob.seek(0, 2))
    conn.rollback()
    told("stale", lob.read)
    conn.rollback()
    conn.lobject(424242, "rwb").unlink()
    conn.commit()
    told("gone", conn.lobject, 424242, "rb")
    conn.close()


def sessions():
    conn = connect()
    for level in (1, 2, 3, 4, "default"):
        for readonly in (True, False, "default"):
            for deferrable in (True, False):
                for autocommit in (True, False):
                    conn.rollback()
                    conn.set_session(level, readonly, deferrable, autocommit)
                    print(level, readonly, deferrable, autocommit,
                          ask(conn, "SELECT current_setting('transaction_isolation'), "
                              "current_setting('transaction_read_only'), "
                              "current_setting('transaction_deferrable'), "
                              "current_setting('default_transaction_isolation')"))
    conn.rollback()
    conn.autocommit = False
    ask(conn, "SET work_mem = '5MB'")
    conn.rollback()
    told("rolled back", ask, conn, "SHOW work_mem")
    ask(conn, "SET work_mem = '5MB'")
    conn.commit()
    told("set", ask, conn, "SHOW work_mem")
    conn.reset()
    told("reset", ask, conn, "SHOW work_mem")
    conn.rollback()
    conn.set_client_encoding("LATIN1")
    print(conn.encoding, ask(conn, "SELECT %s || U&'\\00fc'", ("\u00e9",)))
    conn.rollback()
    told("still", ask, conn, "SHOW client_encoding")
    conn.close()
    conn = connect(options="-c search_path=pg_catalog -c statement_timeout=7s", application_name="two")
    told("options", ask, conn, "SELECT current_setting('search_path'), current_setting('statement_timeout'), "
         "current_setting('application_name')")
    ask(conn, "SET search_path = public")
    ask(conn, "SET LOCAL statement_timeout = 9")
    conn.commit()
    ask(conn, "DISCARD ALL") if conn.autocommit else None
    conn.autocommit = True
    ask(conn, "DISCARD ALL")
    told("again", ask, conn, "SELECT current_setting('search_path'), current_setting('statement_timeout')")
    conn.close()


def two_phases():
    conn = connect()
    table(conn)
    xid = conn.xid(7, "two", "b")
    conn.tpc_begin(xid)
    ask(conn, "INSERT INTO t2 VALUES (1, 'a')")
    conn.tpc_prepare()
    status(conn)
    told("not now", ask, conn, "SELECT 1")
    conn.reset()
    print([x.gtrid for x in conn.tpc_recover()])
    conn.rollback()
    conn.tpc_commit(xid)
    told("rows", ask, conn, "SELECT * FROM t2")
    conn.rollback()
    conn.tpc_begin("x")
    ask(conn, "INSERT INTO t2 VALUES (2, 'a')")
    conn.tpc_commit()
    conn.tpc_begin("y")
    told("error", ask, conn, "INSERT INTO t2 VALUES (2, 'a')")
    told("prepare", conn.tpc_prepare)
    conn.tpc_rollback()
    told("rows", ask, conn, "SELECT * FROM t2")
    conn.close()


def wait(conn):
    while True:
        state = conn.poll()
        if state == ext.POLL_OK:
            return
        fds = ([conn.fileno()], []) if state == ext.POLL_READ else ([], [conn.fileno()])
        select.select(*fds, [], 10)


def wait_running(text):
    conn = connect(True)
    while not ask(conn, "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND "
                  "pid <> pg_backend_pid() AND query LIKE %s", (f"%{text}%",)):
        time.sleep(0.05)
    conn.close()


def asynchronous():
    conn = psycopg2.connect("", async_=True)
    wait(conn)
    cur = conn.cursor()
    for text in ("SELECT 1", "LISTEN two", "SELECT pg_notify('two', 'x')", "SET work_mem = '2MB'",
                 "SHOW work_mem", "BEGIN", "SELECT 1/0", "ROLLBACK"):
        cur.execute(text)
        try:
            wait(conn)
            print(cur.statusmessage, cur.description and cur.fetchall())
        except psycopg2.Error as e:
            print(e.pgcode)
    conn.poll()
    print([(n.channel, n.payload) for n in conn.notifies])
    cur.execute("SELECT pg_sleep(20), 'asynchronous'")
    wait_running("pg_sleep(20), 'asynchronous'")    # PostgreSQL drops a cancel that comes before
    conn.cancel()
    told("cancelled", wait, conn)
    cur.execute("SELECT 'x', generate_series(1, 20000)")
    wait(conn)
    print(cur.rowcount)
    conn.close()


def listening():
    conn, other = connect(True), connect(True)
    ask(conn, "LISTEN a2")
    ask(other, "NOTIFY a2, '1'")
    ask(other, "NOTIFY a2, '2'")
    while len(conn.notifies) < 2:
        select.select([conn], [], [], 10)
        conn.poll()
    print([n.payload for n in conn.notifies])
    ask(conn, "DO $$ BEGIN RAISE NOTICE 'n1'; RAISE INFO 'n2'; END $$")
    print(conn.notices)
    ask(conn, "SET client_min_messages = error")
    ask(conn, "DO $$ BEGIN RAISE NOTICE 'n3'; END $$")
    print(len(conn.notices))
    threading.Timer(0.4, conn.cancel).start()
    told("cancelled", ask, conn, "SELECT pg_sleep(20)")
    conn.close()
    other.close()


def types():
    conn = connect(True)
    ask(conn, "CREATE EXTENSION IF NOT EXISTS hstore")
    extras.register_hstore(conn)
    told("hstore", ask, conn, "SELECT 'a=>1'::hstore, %s::hstore", ({"b": "2"},))
    ask(conn, "DROP TYPE IF EXISTS pair2")
    ask(conn, "CREATE TYPE pair2 AS (a int, b text)")
    extras.register_composite("pair2", conn)
    told("composite", ask, conn, "SELECT '(1,x)'::pair2")
    extras.register_default_jsonb(conn)
    told("json", ask, conn, "SELECT '{\"a\": [1]}'::jsonb, %s", (extras.Json({"q": 1}),))
    with conn.cursor(cursor_factory=extras.RealDictCursor) as cur:
        cur.execute("SELECT 1 AS a, 'x' AS b")
        print(dict(cur.fetchone()))
    for name in ("server_version", "TimeZone", "is_superuser", "client_encoding"):
        print(name, conn.get_parameter_status(name))
    ask(conn, "SET timezone TO 'Asia/Tokyo'")
    print(conn.get_parameter_status("TimeZone"), ask(conn, "SELECT '2020-01-01 UTC'::timestamptz")[0][0].isoformat())
    ask(conn, "SET standard_conforming_strings = off")
    told("quoting", ask, conn, "SELECT %s", ("a\\b'c",))
    told("procedure", lambda: (lambda c: (c.callproc("upper", ("abc",)), c.fetchall()))(conn.cursor()))
    with conn:
        told("with", ask, conn, "SELECT 1")
    conn.close()


for func in (batches, cursors, copies, large_objects, sessions, two_phases, asynchronous, listening,
             types):
    print(f"== {func.__name__}")
    try:
        func()
    except Exception as e:    # noqa: BLE001: it is told and compared
        print(f"ended by {type(e).__name__} {e}".strip())
