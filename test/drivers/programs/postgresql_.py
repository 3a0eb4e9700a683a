# SPDX-License-Identifier: PostgreSQL
"""py-postgresql: the protocol in Python, declared cursors, statements closed with what follows."""
import os

import postgresql
import postgresql.exceptions as pg_exc


def connect(**settings):
    return postgresql.open(user=os.environ["PGUSER"], host="127.0.0.1", port=int(os.environ["PGPORT"]),
                           database=os.environ["PGDATABASE"], sslmode="disable", settings=settings)


def told(what, func, *args):
    try:
        print(f"{what}: {func(*args)!r}")
    except pg_exc.Exception as e:
        print(f"{what}: {type(e).__name__} {e.code} {e.message}")


def rows(statement, *args):
    return [tuple(r) for r in statement(*args)]


def table(db):
    db.execute("DROP TABLE IF EXISTS tp; CREATE TABLE tp(k int PRIMARY KEY, v text)")


def statements():
    db = connect()
    st = db.prepare("SELECT $1::int + 1 AS n, $2::text AS t")
    print(st.parameter_types, st.column_names, st.sql_parameter_types, st.sql_column_types)
    for i in range(4):
        told("run", rows, st, i, "x")
    told("first", db.prepare("SELECT $1::int").first, 7)
    told("zero", rows, db.prepare("SELECT 1 / $1::int"), 0)
    told("syntax", db.prepare, "SELEC")
    told("next", db.query.first, "SELECT 1")
    told("types", rows, db.prepare("SELECT '{1,2}'::int[], ROW(1, 'a'), 1.5::numeric, '1 day'::interval, 'x'::bytea"))
    told("simple", db.execute, "SELECT 1; SELECT 2")
    told("broken", db.execute, "SELECT 1; SELECT 1/0")
    for i in range(60):
        if db.prepare(f"SELECT $1::int + {i}").first(1) != i + 1:
            print("wrong", i)
    st.close()
    told("again", rows, db.prepare("SELECT 5"))
    db.close()


def loads():
    db = connect()
    table(db)
    st = db.prepare("INSERT INTO tp VALUES ($1, $2)")
    with db.xact():
        st.load_rows([(i, "x" * (i % 50)) for i in range(2000)])
    told("count", db.query.first, "SELECT count(*) FROM tp")
    told("twice", st.load_rows, [(5000, "a"), (1, "b"), (5001, "c")])
    told("count", db.query.first, "SELECT count(*) FROM tp")
    told("chunks", lambda: sum(len(c) for c in db.prepare("SELECT * FROM tp").chunks()))
    copy = db.prepare("COPY tp TO STDOUT")
    told("out", lambda: sum(len(r) for r in copy))
    with db.xact():
        db.prepare("COPY tp FROM STDIN").load_rows([b"%d\tcopied\n" % i for i in range(6000, 6300)])
    told("count", db.query.first, "SELECT count(*) FROM tp")
    db.close()


def cursors():
    db = connect()
    st = db.prepare("SELECT g FROM generate_series(1, $1::int) g")
    with db.xact():
        c = st.declare(1000)
        print([r[0] for r in c.read(3)])
        c.seek(500)
        print([r[0] for r in c.read(2)])
        c.seek(0, "ABSOLUTE")
        print(c.clone().read(1)[0][0], len(c.read()))
    held = st.declare(10)    # WITH HOLD outside of a transaction
    print([r[0] for r in held.read(4)], db.query.first("SELECT 'between'"), [r[0] for r in held.read(4)])
    held.close()
    with db.xact():
        print(sum(r[0] for r in st.rows(3000)))
    db.close()


def transactions():
    db, other = connect(), connect()
    table(db)
    for isolation, mode in (("serializable", "read only"), ("repeatable read", "read write"), (None, "read only")):
        with db.xact(isolation=isolation, mode=mode):
            told("is", db.query.first, "SELECT current_setting('transaction_isolation') || current_setting('transaction_read_only')")
    try:
        with db.xact():
            db.execute("INSERT INTO tp VALUES (1)")
            try:
                with db.xact():
                    db.execute("INSERT INTO tp VALUES (2)")
                    db.execute("INSERT INTO tp VALUES (1)")
            except pg_exc.UniqueError as e:
                print("inner", e.code)
            db.execute("INSERT INTO tp VALUES (3)")
    except pg_exc.Exception as e:
        print("outer", e.code)
    told("rows", rows, other.prepare("SELECT k FROM tp ORDER BY k"))
    x = db.xact()
    x.start()
    db.execute("INSERT INTO tp VALUES (4)")
    x.rollback()
    told("rows", rows, other.prepare("SELECT k FROM tp ORDER BY k"))
    db.close()
    other.close()


def settings():
    db = connect(search_path="pg_catalog", statement_timeout="12345")
    print(db.settings["search_path"], db.settings["statement_timeout"])
    with db.settings(search_path="public", work_mem="3MB"):
        print(db.settings["search_path"], db.query.first("SHOW work_mem"))
    print(db.settings["search_path"])
    db.settings["application_name"] = "py"
    print(db.query.first("SHOW application_name"), db.settings.getset(["application_name", "statement_timeout"]))
    db.settings.update({"statement_timeout": "0"})
    db.execute("RESET ALL")
    print(db.settings["statement_timeout"], db.query.first("SHOW application_name") == "py")
    db.close()


for part in (statements, loads, cursors, transactions, settings):
    print(f"== {part.__name__}", flush=True)
    part()
