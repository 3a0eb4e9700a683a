# SPDX-License-Identifier: PostgreSQL
"""psqlODBC by pyodbc: its cursors with and without DECLARE, statements prepared here or by the server,
its savepoint before each statement, isolation levels, what its catalog functions ask."""
import os
import uuid

import pyodbc

pyodbc.pooling = False
WHERE = f"Driver=PostgreSQL Unicode;Servername={os.environ['PGHOST']};Port={os.environ['PGPORT']};" \
    f"Database={os.environ['PGDATABASE']};Username={os.environ['PGUSER']};SSLmode=disable;"


def connect(autocommit=False, more=""):
    return pyodbc.connect(WHERE + more, autocommit=autocommit)


def told(what, func, *args):
    try:
        print(f"{what}: {func(*args)!r}")
    except pyodbc.Error as e:
        print(f"{what}: {type(e).__name__} {e.args[0]} {e.args[1].split(chr(10))[0]}")


def ask(conn, text, *args):
    cur = conn.execute(text, *args)
    try:
        return [tuple(r) for r in cur.fetchall()] if cur.description else cur.rowcount
    finally:
        cur.close()


def table(conn, name):
    ask(conn, f"DROP TABLE IF EXISTS {name}")
    ask(conn, f"CREATE TABLE {name}(k int PRIMARY KEY, v text, at timestamp, b bytea)")
    conn.commit()


def statements(more):
    conn = connect(more=more)
    table(conn, "odbc_t")
    cur = conn.cursor()
    cur.executemany("INSERT INTO odbc_t(k, v) VALUES (?, ?)", [(i, f"v{i}") for i in range(300)])
    conn.commit()
    for i in range(12):
        cur.execute("SELECT v FROM odbc_t WHERE k = ?", i)
        print(cur.fetchval(), end=" ")
    print()
    cur.execute("UPDATE odbc_t SET b = ?, at = '2020-01-02 03:04:05' WHERE k < ?", b"\0\xff" * 9000, 4)
    print(cur.rowcount, ask(conn, "SELECT length(b), at::text FROM odbc_t WHERE k = ?", 3))
    told("types", ask, conn, "SELECT ?::int + 1, ?::text || 'x', ?::numeric, ?::uuid", 5, "\u00e4", "1.50",
         str(uuid.UUID(int=7)))
    told("again", ask, conn, "INSERT INTO odbc_t(k) VALUES (?)", 5)
    told("after the error", ask, conn, "SELECT count(*) FROM odbc_t")
    conn.rollback()
    ask(conn, "ALTER TABLE odbc_t ADD c int DEFAULT 9")
    told("one column more", ask, conn, "SELECT * FROM odbc_t WHERE k = ?", 7)
    conn.rollback()
    told("as before", ask, conn, "SELECT * FROM odbc_t WHERE k = ?", 7)
    told("several", lambda: (lambda c: (c.fetchall(), c.nextset(), c.fetchall()))(
        conn.execute("SELECT 1; SELECT 2")))
    conn.rollback()
    conn.close()


def cursors(more):
    conn = connect(more=more + "UseDeclareFetch=1;Fetch=7;")
    one, two = conn.cursor(), conn.cursor()
    one.execute("SELECT i, i * 2 FROM generate_series(1, 40) i")
    two.execute("SELECT i FROM generate_series(101, 130) i")
    print([(tuple(one.fetchone()), two.fetchone()[0]) for _ in range(25)])
    conn.commit()
    told("after the commit", lambda: len(one.fetchall()))
    conn.close()
    conn = connect(True, more + "UseDeclareFetch=1;Fetch=5;")
    cur = conn.cursor()
    cur.execute("SELECT i FROM generate_series(1, 33) i")
    print(cur.fetchone()[0], ask(conn, "SELECT 'beside'"), sum(r[0] for r in cur.fetchall()))
    conn.close()


def transactions(more):
    conn = connect(more=more)
    table(conn, "odbc_x")
    ask(conn, "INSERT INTO odbc_x(k) VALUES (1)")
    told("error", ask, conn, "SELECT 1/0")
    told("then", ask, conn, "INSERT INTO odbc_x(k) VALUES (2)")
    told("twice", ask, conn, "INSERT INTO odbc_x(k) VALUES (2)")
    told("commit", conn.commit)
    told("left", ask, conn, "SELECT k FROM odbc_x ORDER BY k")
    conn.rollback()
    for level in (pyodbc.SQL_TXN_SERIALIZABLE, pyodbc.SQL_TXN_REPEATABLE_READ, pyodbc.SQL_TXN_READ_COMMITTED):
        conn.set_attr(pyodbc.SQL_ATTR_TXN_ISOLATION, level)
        print(ask(conn, "SHOW transaction_isolation"))
        conn.rollback()
    ask(conn, "SET work_mem = '3MB'")
    conn.commit()
    conn.autocommit = True
    told("set", ask, conn, "SHOW work_mem")
    told("temp", ask, conn, "CREATE TEMP TABLE odbc_y AS SELECT generate_series(1, 5) k")
    told("rows", ask, conn, "SELECT sum(k) FROM odbc_y")
    conn.timeout = 1
    told("timeout", ask, conn, "SELECT pg_sleep(20)")
    conn.timeout = 0
    told("on", ask, conn, "SELECT 1")
    conn.close()


def settings(_):
    conn = connect(True, "ConnSettings=SET statement_timeout TO 7777\\%3bSET TimeZone TO 'Asia/Tokyo';")
    told("settings", ask, conn, "SELECT current_setting('statement_timeout')")
    conn.close()
    conn = connect(True, "ApplicationName=by odbc;")
    for name in ("server_version", "extra_float_digits", "DateStyle", "application_name"):
        told(name, ask, conn, f"SHOW {name}")
    conn.close()


def catalog(_):
    conn = connect(True)
    ask(conn, "DROP TABLE IF EXISTS odbc_child, odbc_parent")
    ask(conn, "CREATE TABLE odbc_parent(a int PRIMARY KEY, b text NOT NULL DEFAULT 'x')")
    ask(conn, "CREATE TABLE odbc_child(c int REFERENCES odbc_parent, d numeric(9, 2))")
    cur = conn.cursor()
    print([r.table_name for r in cur.tables("odbc\\_%")])
    print([(r.column_name, r.type_name, r.nullable, r.column_def) for r in cur.columns("odbc_parent")])
    print([r.column_name for r in cur.primaryKeys("odbc_parent")])
    print([(r.pktable_name, r.fktable_name) for r in cur.foreignKeys("odbc_parent")])
    print([r.index_name for r in cur.statistics("odbc_parent")])
    print(conn.getinfo(pyodbc.SQL_DBMS_NAME))
    conn.close()


MODES = [("by the server", "UseServerSidePrepare=1;"), ("by the driver", "UseServerSidePrepare=0;"),
         ("whole transactions", "UseServerSidePrepare=1;Protocol=7.4-1;"),
         ("no savepoints", "UseServerSidePrepare=1;Protocol=7.4-0;")]
for func in (statements, cursors, transactions):
    for mode, words in MODES:
        print(f"== {func.__name__} {mode}")
        try:
            func(words)
        except Exception as e:    # noqa: BLE001: it is told and compared
            print(f"ended by {type(e).__name__} {e}".strip())
for func in (settings, catalog):
    print(f"== {func.__name__}")
    try:
        func("")
    except Exception as e:    # noqa: BLE001
        print(f"ended by {type(e).__name__} {e}".strip())
