# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL's own programs and what connects from inside a server, through pgweir in transaction mode:
parallel dumps with one snapshot, restores, maintenance, dblink, postgres_fdw, a subscription."""
import contextlib
import os
import subprocess
import threading

import servers
from lib import equal, limit, patient, quick, until

OPTIONS = {"default_pool_size": 4, "cache": "on", "databases": ["* = cluster=main"]}
FILLING = """
CREATE TABLE goods(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, price numeric);
CREATE TABLE sales(id bigserial PRIMARY KEY, good int REFERENCES goods, at timestamptz DEFAULT '2026-01-01');
INSERT INTO goods(name, price) SELECT md5(g::text), g FROM generate_series(1, 2000) g;
INSERT INTO sales(good) SELECT 1 + g % 2000 FROM generate_series(1, 6000) g;
CREATE INDEX sales_good ON sales(good);
CREATE VIEW dear AS SELECT * FROM goods WHERE price > 1000;
CREATE MATERIALIZED VIEW sold AS SELECT good, count(*) FROM sales GROUP BY good;
CREATE FUNCTION price_of(int) RETURNS numeric LANGUAGE sql AS 'SELECT price FROM goods WHERE id = $1';
CREATE TABLE pair(a int, b int);
INSERT INTO pair VALUES (0, 0);
SELECT lo_from_bytea(4711, 'a large object');
"""
CONTENT = """SELECT (SELECT md5(string_agg(g::text, ',' ORDER BY id)) FROM goods g),
    (SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM sales s), (SELECT count(*) FROM dear),
    (SELECT sum(count) FROM sold), price_of(77), (SELECT a = b FROM pair), convert_from(lo_get(4711), 'UTF8')"""


def tool(weir, name, *words, seconds=60):
    env = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(weir.port), "PGUSER": "postgres",
           "PGPASSWORD": servers.USERS["postgres"], "PGCONNECT_TIMEOUT": "20"}
    done = subprocess.run([os.path.join(servers.PG_BIN, name), *words], env=env, text=True,
                          capture_output=True, timeout=patient(seconds), stdin=subprocess.DEVNULL)
    equal(done.returncode, 0, f"{name} {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def database(weir, name):
    """dropdb is refused while anybody has a connection to the database; pgweir's pool has."""
    tool(weir, "createdb", name)
    yield name
    tool(weir, "dropdb", name)


def fill(weir, name):
    with weir.connect("postgres", dbname=name) as conn:
        conn.execute(FILLING)


def content(weir, name):
    with weir.connect("postgres", dbname=name) as conn:
        conn.execute("SET pgweir.consistency = 'strong'")    # others wrote it
        return conn.execute(CONTENT).fetchone()


@contextlib.contextmanager
def changing(weir, name):
    """Both columns change at once, and a dump may not see it otherwise."""
    is_over = threading.Event()

    def change():
        with weir.connect("postgres", dbname=name) as conn:
            while not is_over.is_set():
                with conn.transaction():
                    conn.execute("UPDATE pair SET a = a + 1")
                    conn.execute("UPDATE pair SET b = b + 1")
    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@limit(180)
def test_dump_and_restore(weir, folder):
    files, text = os.path.join(folder, "dump"), os.path.join(folder, "dump.sql")
    with database(weir, "tools_from"), database(weir, "tools_to"), database(weir, "tools_sql"):
        fill(weir, "tools_from")
        with changing(weir, "tools_from"):
            tool(weir, "pg_dump", "-d", "tools_from", "-Fd", "-j", "3", "-f", files)
        tool(weir, "pg_dump", "-d", "tools_from", "-f", text)
        tool(weir, "pg_restore", "-d", "tools_to", "-j", "3", "-e", files)
        tool(weir, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "tools_sql", "-f", text)
        want = content(weir, "tools_from")
        equal(want[2:], (1000, 6000, 77, True, "a large object"))
        equal((content(weir, "tools_to"), content(weir, "tools_sql")), (want, want))
        with weir.connect("postgres", dbname="tools_to") as conn:
            equal(conn.execute("INSERT INTO goods(name) VALUES ('next') RETURNING id").fetchone(), (2001,))


@limit(120)
def test_maintenance(weir):
    with database(weir, "tools_kept") as name:
        fill(weir, name)
        want = content(weir, name)
        tool(weir, "vacuumdb", "-d", name, "-j", "3", "-z")
        tool(weir, "vacuumdb", "-d", name, "--full", "-t", "sales")
        tool(weir, "reindexdb", "-d", name, "-j", "3")
        tool(weir, "reindexdb", "-d", name, "--concurrently")
        with weir.connect("postgres", dbname=name) as conn:
            conn.execute("CLUSTER sales USING sales_good")
        tool(weir, "clusterdb", "-d", name)
        tool(weir, "pg_amcheck", "-d", name, "--install-missing")
        tool(weir, "vacuumlo", name)    # nobody refers to the object
        tool(weir, "pg_dumpall", "--globals-only")
        with weir.connect("postgres", dbname=name) as conn:
            equal(conn.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone(), (0,))
            conn.execute("SELECT lo_from_bytea(4711, 'a large object')")
            equal(conn.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchone(), (0,))
        equal(content(weir, name), want)


@quick
@limit(60)
def test_roles_and_templates(weir):
    tool(weir, "createuser", "tools_role", "--createdb")
    with database(weir, "tools_model") as name:
        fill(weir, name)
        tool(weir, "createdb", "-T", name, "-O", "tools_role", "tools_copy")    # nobody may be connected to it
        equal(content(weir, "tools_copy"), content(weir, name))
        tool(weir, "dropdb", "--force", "tools_copy")
    tool(weir, "dropuser", "tools_role")


def connstr(weir, name):
    return f"host=127.0.0.1 port={weir.port} dbname={name} user=postgres " \
           f"password={servers.USERS['postgres']}"


@limit(60)
def test_dblink(weir):
    with database(weir, "tools_dblink") as name:
        with weir.connect("postgres", dbname=name) as conn:
            conn.execute("CREATE EXTENSION dblink; CREATE TABLE t(i int)")
            conn.execute("SELECT dblink_connect('far', %s)", (connstr(weir, name),))
            conn.execute("SELECT dblink_exec('far', 'BEGIN')")
            conn.execute("SELECT dblink_exec('far', 'INSERT INTO t VALUES (1), (2)')")
            equal(conn.execute("SELECT count(*) FROM t").fetchone(), (0,), "not committed")
            conn.execute("SELECT dblink_exec('far', 'COMMIT')")
            equal(conn.execute("SELECT count(*) FROM t").fetchone(), (2,))
            conn.execute("SELECT dblink_open('far', 'c', 'SELECT generate_series(1, 5)')")
            rows = conn.execute("SELECT * FROM dblink_fetch('far', 'c', 3) AS r(i int)").fetchall()
            equal(rows, [(1,), (2,), (3,)])
            conn.execute("SELECT dblink_close('far', 'c')")
            conn.execute("SELECT dblink_send_query('far', 'SELECT pg_sleep(0.1), 7')")
            rows = conn.execute("SELECT i FROM dblink_get_result('far') AS r(s text, i int)").fetchall()
            equal(rows, [(7,)])
            conn.execute("SELECT dblink_disconnect('far')")


@limit(60)
def test_postgres_fdw(weir):
    """A server's connection to the other database is open as long as the server's own, that is: also idle."""
    with database(weir, "tools_far") as far, database(weir, "tools_fdw") as name:
        fill(weir, far)
        with weir.connect("postgres", dbname=name) as conn, weir.connect("postgres", dbname=far) as there:
            conn.execute("CREATE EXTENSION postgres_fdw; CREATE SCHEMA far;"
                         "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', "
                         f"port '{weir.port}', dbname '{far}', fetch_size '100', async_capable 'true');"
                         "CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'postgres', "
                         f"password '{servers.USERS['postgres']}');"
                         "IMPORT FOREIGN SCHEMA public LIMIT TO (goods) FROM SERVER far INTO far")
            equal(conn.execute("SELECT count(*), sum(price) FROM far.goods").fetchone(), (2000, 2001000))
            conn.execute("CREATE TABLE near AS SELECT * FROM far.goods")
            equal(conn.execute("SELECT count(*) FROM far.goods a JOIN near b USING (id) "
                               "WHERE a.name = b.name").fetchone(), (2000,))
            with conn.transaction():
                conn.execute("UPDATE far.goods SET price = 0 WHERE id = 5")
                conn.execute("SAVEPOINT a")
                conn.execute("UPDATE far.goods SET price = 0")
                conn.execute("ROLLBACK TO a")
            there.execute("SET pgweir.consistency = 'strong'")    # it was another session's write
            equal(there.execute("SELECT sum(price) FROM goods").fetchone(), (2000995,))


@limit(90)
def test_subscription(weir):
    """In one cluster the slot has to be there before."""
    with database(weir, "tools_sub") as there, database(weir, "tools_pub") as here:
        fill(weir, here)
        with weir.connect("postgres", dbname=here) as pub, weir.connect("postgres", dbname=there) as sub:
            sub.execute("SET pgweir.consistency = 'strong'")    # what the subscription writes pgweir doesn't see
            sub.execute("CREATE TABLE goods(id int PRIMARY KEY, name text, price numeric)")
            pub.execute("CREATE PUBLICATION goods FOR TABLE goods")
            pub.execute("SELECT pg_create_logical_replication_slot('tools_sub', 'pgoutput')")
            sub.execute(f"CREATE SUBSCRIPTION tools_sub CONNECTION '{connstr(weir, here)}' "
                        "PUBLICATION goods WITH (create_slot = false)")
            total = "SELECT sum(price) FROM goods"
            until("the copy", 30, lambda: sub.execute(total).fetchone() == (2001000,))
            pub.execute("UPDATE goods SET price = price + 1")
            until("the change", 30, lambda: sub.execute(total).fetchone() == (2003000,))
            sub.execute("DROP SUBSCRIPTION tools_sub")
            equal(pub.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'tools_sub'")
                  .fetchone(), (0,))
