# SPDX-License-Identifier: PostgreSQL
"""pg8000: the protocol in Python; every statement is named and kept, BEGIN is one too."""
import io
import os
import threading

import pg8000


def connect(autocommit=False):
    conn = pg8000.connect(user=os.environ["PGUSER"], host="127.0.0.1", port=int(os.environ["PGPORT"]),
                          database=os.environ["PGDATABASE"])
    conn.autocommit = autocommit
    return conn


def told(what, func, *args, **kw):
    try:
        print(f"{what}: {func(*args, **kw)!r}")
    except pg8000.Error as e:
        print(f"{what}: {type(e).__name__} {e.args[1:3]}")


def ask(conn, text, args=()):
    cur = conn.cursor()
    try:
        cur.execute(text, args)
        return [list(r) for r in cur.fetchall()] if cur.description else cur.rowcount
    finally:
        cur.close()


def table(conn):
    ask(conn, "DROP TABLE IF EXISTS t8")
    ask(conn, "CREATE TABLE t8(k int PRIMARY KEY, v text)")
    conn.commit()


def statements():
    conn = connect()
    for i in range(5):
        told("one", ask, conn, "SELECT %s, %s", (i, "x"))
    told("types", ask, conn, "SELECT 1::int2, 2::int8, 1.5::float8, 'a'::text, true, NULL, '{1,2}'::int[], '\\x01'::bytea")
    told("zero", ask, conn, "SELECT 1 / %s", (0,))
    told("aborted", ask, conn, "SELECT 1")
    conn.rollback()
    told("syntax", ask, conn, "SELEC")
    conn.rollback()
    told("next", ask, conn, "SELECT 1")
    told("many", lambda: [ask(conn, f"SELECT %s + {i}", (1,))[0][0] for i in range(150)] == list(range(1, 151)))
    told("set", ask, conn, "SET work_mem = '3MB'")
    conn.rollback()
    told("show", ask, conn, "SHOW work_mem")
    conn.commit()
    conn.close()


def transactions():
    conn, other = connect(), connect(True)
    table(conn)
    told("insert", ask, conn, "INSERT INTO t8 VALUES (%s, %s)", (1, "a"))
    told("unseen", ask, other, "SELECT count(*) FROM t8")
    conn.commit()
    told("seen", ask, other, "SELECT count(*) FROM t8")
    told("insert", ask, conn, "INSERT INTO t8 VALUES (2, 'b') RETURNING k")
    conn.rollback()
    told("rows", ask, other, "SELECT k FROM t8")
    told("many", lambda: conn.cursor().executemany("INSERT INTO t8 VALUES (%s, %s)", [(i, "m") for i in range(10, 40)]))
    told("twice", ask, conn, "INSERT INTO t8 VALUES (1, 'a')")
    conn.rollback()
    told("rows", ask, other, "SELECT count(*) FROM t8")
    told("autocommit", ask, other, "INSERT INTO t8 VALUES (3, 'c')")
    told("rows", ask, conn, "SELECT count(*) FROM t8")
    conn.rollback()
    told("vacuum", ask, other, "VACUUM t8")
    told("ddl", ask, other, "ALTER TABLE t8 ADD w int DEFAULT 5")
    told("changed", ask, conn, "SELECT * FROM t8 ORDER BY k")
    conn.rollback()
    told("changed", ask, other, "SELECT * FROM t8 ORDER BY k")
    told("drop", ask, other, "ALTER TABLE t8 DROP w")
    told("changed back", ask, conn, "SELECT * FROM t8 ORDER BY k")
    conn.rollback()
    conn.close()
    other.close()


def streams():
    conn = connect()
    cur = conn.cursor()
    cur.execute("SELECT g, repeat('x', g %% 100) FROM generate_series(1, %s) g", (2500,))
    print(sum(r[0] for r in cur), cur.rowcount)
    one, two = conn.cursor(), conn.cursor()
    one.execute("SELECT g FROM generate_series(1, 300) g")
    print(one.fetchone(), len(one.fetchmany(150)))
    two.execute("SELECT g FROM generate_series(301, 310) g")
    print(len(one.fetchall()), len(two.fetchall()))
    table(conn)
    cur.execute("COPY t8 FROM STDIN", stream=io.BytesIO(b"".join(b"%d\trow\n" % i for i in range(700))))
    out = io.BytesIO()
    cur.execute("COPY t8 TO STDOUT", stream=out)
    print(len(out.getvalue()))
    told("bad copy", lambda: cur.execute("COPY t8 FROM STDIN", stream=io.BytesIO(b"x\ty\n")))
    conn.rollback()
    told("gone", ask, conn, "SELECT count(*) FROM pg_class WHERE relname = 't8'")
    conn.close()


def two_phases():
    conn = connect()
    table(conn)
    xid = conn.xid(7, "pg8000", "branch")
    told("begin", conn.tpc_begin, xid)
    told("insert", ask, conn, "INSERT INTO t8 VALUES (1, 'x')")
    told("prepare", conn.tpc_prepare)
    told("commit", conn.tpc_commit)
    told("rows", ask, conn, "SELECT * FROM t8")
    conn.rollback()
    conn.close()


def threads():
    wrong = []

    def work(n):
        conn = connect()
        for i in range(40):
            if ask(conn, "SELECT cast(%s AS int) * cast(%s AS int)", (n, i)) != [[n * i]]:
                wrong.append((n, i))
            conn.commit()
        conn.close()

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    print("wrong", wrong)


for part in (statements, transactions, streams, two_phases, threads):
    print(f"== {part.__name__}", flush=True)
    part()
