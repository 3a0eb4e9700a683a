# SPDX-License-Identifier: PostgreSQL
"""Prepared statements belong to the client, although servers are shared."""
import threading

from lib import check, equal, limit, quick, raises
from rawpg import (SYNC, Raw, bind, close, describe, error_fields, execute, parse, query,
                   row_values)

# Few servers for many clients, so that every statement meets foreign servers.
OPTIONS = {"default_pool_size": 2, "max_prepared_statements": 20}


def logged_in(weir):
    raw = Raw(weir.port)
    equal(raw.log_in(), None)
    return raw


def ask(raw, *parts):
    raw.send(*parts, SYNC)
    return raw.read_until("Z")


def first_error(messages):
    return next((error_fields(b)["C"] for k, b in messages if k == "E"), None)


def values(messages):
    return [row_values(b) for k, b in messages if k == "D"]


@quick
def test_same_name_different_text(weir):
    """Many clients use the same statement name for texts of their own."""
    raws = [logged_in(weir) for _ in range(12)]
    for i, raw in enumerate(raws):
        equal(first_error(ask(raw, parse("s", f"SELECT {i} + $1::int"))), None)
    for turn in range(5):
        for i, raw in enumerate(raws):
            equal(values(ask(raw, bind("", "s", [turn]), execute())), [[str(i + turn)]])
    for raw in raws:
        raw.sock.close()


@quick
def test_same_text_many_clients_at_once(weir):
    problems = []

    def client(number):
        try:
            with weir.connect(prepare_threshold=0) as conn:
                for i in range(50):
                    for k in range(4):
                        sql = f"SELECT %s::int * {k}, %s::text"
                        got = conn.execute(sql, (i, f"c{number}")).fetchone()
                        if got != (i * k, f"c{number}"):
                            problems.append(got)
        except Exception as e:    # noqa: BLE001
            problems.append(e)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(problems, [])


@quick
def test_more_statements_than_a_server_keeps(weir):
    with weir.connect(prepare_threshold=0) as conn:
        conn.prepared_max = 1000
        for turn in range(3):
            for i in range(60):
                equal(conn.execute(f"SELECT %s::int + {i}", (turn,)).fetchone(), (turn + i,))


@quick
def test_names_are_checked(weir):
    with logged_in(weir) as raw:
        equal(first_error(ask(raw, parse("a", "SELECT 1"))), None)
        equal(first_error(ask(raw, parse("a", "SELECT 2"))), "42P05")
        equal(first_error(ask(raw, bind("", "a"), execute())), None)
        equal(first_error(ask(raw, close("S", "a"), parse("a", "SELECT 2"))), None)
        equal(values(ask(raw, bind("", "a"), execute())), [["2"]])
        equal(first_error(ask(raw, close("S", "never made"))), None)
        equal(first_error(ask(raw, bind("", "never made"), execute())), "26000")
        equal(first_error(ask(raw, describe("S", "never made"))), "26000")


@quick
def test_a_failed_parse_leaves_no_name(weir):
    with logged_in(weir) as raw:
        equal(first_error(ask(raw, parse("f", "SELECT no_such_column"))), "42703")
        equal(first_error(ask(raw, bind("", "f"), execute())), "26000")
        equal(first_error(ask(raw, parse("f", "SELECT 1"))), None)


@quick
def test_a_name_skipped_after_an_error_is_not_made(weir):
    with logged_in(weir) as raw:
        got = ask(raw, parse("", "SELECT 1/0"), bind("", ""), execute(), parse("late", "SELECT 1"))
        equal(first_error(got), "22012")
        equal(first_error(ask(raw, bind("", "late"), execute())), "26000")


@quick
def test_a_statement_made_in_a_rolled_back_transaction_stays(weir):
    with logged_in(weir) as raw:
        ask(raw, parse("", "BEGIN"), bind("", ""), execute())
        ask(raw, parse("kept", "SELECT 5"))
        ask(raw, parse("", "ROLLBACK"), bind("", ""), execute())
        equal(values(ask(raw, bind("", "kept"), execute())), [["5"]])


@quick
def test_the_unnamed_statement_is_the_clients(weir):
    a, b = logged_in(weir), logged_in(weir)
    with a, b:
        ask(a, parse("", "SELECT 'a' || $1::text"))
        ask(b, parse("", "SELECT 'b' || $1::text"))
        equal(values(ask(a, bind("", "", ["1"]), execute())), [["a1"]])
        equal(values(ask(b, bind("", "", ["2"]), execute())), [["b2"]])
        equal(values(ask(a, bind("", "", ["3"]), execute())), [["a3"]])


@quick
def test_a_simple_query_ends_the_unnamed_statement(weir):
    with logged_in(weir) as raw:
        ask(raw, parse("", "SELECT 1"))
        raw.send(query("SELECT 2"))
        raw.read_until("Z")
        equal(first_error(ask(raw, bind("", ""), execute())), "26000")


@quick
def test_sql_prepare(weir):
    a, b = weir.connect(prepare_threshold=None), weir.connect(prepare_threshold=None)
    with a, b:
        for conn, factor in ((a, 2), (b, 3)):
            conn.execute(f"PREPARE mul(int) AS SELECT $1 * {factor}")
        for turn in range(6):
            equal(a.execute(f"EXECUTE mul({turn})").fetchone(), (turn * 2,))
            equal(b.execute(f"EXECUTE mul({turn})").fetchone(), (turn * 3,))
        a.execute("DEALLOCATE mul")
        raises("26000", a.execute, "EXECUTE mul(1)")
        equal(b.execute("EXECUTE mul(1)").fetchone(), (3,))
        b.execute("DEALLOCATE ALL")
        raises("26000", b.execute, "EXECUTE mul(1)")
        raises("42P05", lambda: [a.execute("PREPARE twice AS SELECT 1") for _ in range(2)])


@quick
def test_sql_and_protocol_share_names(weir):
    with logged_in(weir) as raw:
        equal(first_error(ask(raw, parse("shared", "SELECT 9"))), None)
        raw.send(query("EXECUTE shared"))
        equal(values(raw.read_until("Z")), [["9"]])
        raw.send(query("DEALLOCATE shared"))
        equal(first_error(raw.read_until("Z")), None)
        equal(first_error(ask(raw, bind("", "shared"), execute())), "26000")
        raw.send(query("PREPARE back AS SELECT 8"))
        equal(first_error(raw.read_until("Z")), None)
        equal(values(ask(raw, bind("", "back"), execute())), [["8"]])


@quick
def test_discard_all_forgets(weir):
    with logged_in(weir) as raw:
        ask(raw, parse("gone", "SELECT 1"))
        raw.send(query("DISCARD ALL"))
        equal(first_error(raw.read_until("Z")), None)
        equal(first_error(ask(raw, bind("", "gone"), execute())), "26000")


@quick
def test_a_table_changes_under_a_prepared_statement(weir):
    """PostgreSQL's own answer when the result type changes, on every server."""
    with weir.connect() as conn, logged_in(weir) as raw:
        conn.execute("DROP TABLE IF EXISTS shifting")
        conn.execute("CREATE TABLE shifting(a int)")
        conn.execute("INSERT INTO shifting VALUES (1)")
        equal(values(ask(raw, parse("s", "SELECT * FROM shifting FOR UPDATE"), bind("", "s"),
                         execute())), [["1"]])
        conn.execute("ALTER TABLE shifting ADD b int DEFAULT 2")
        check(first_error(ask(raw, bind("", "s"), execute())) in ("0A000", None), "a clean answer")
        ask(raw, close("S", "s"))
        equal(values(ask(raw, parse("s", "SELECT * FROM shifting FOR UPDATE"), bind("", "s"),
                         execute())), [["1", "2"]])
        conn.execute("DROP TABLE shifting")


@quick
def test_parameter_types_are_part_of_the_statement(weir):
    with logged_in(weir) as a, logged_in(weir) as b:
        ask(a, parse("t", "SELECT pg_typeof($1)::text", [23]))
        ask(b, parse("t", "SELECT pg_typeof($1)::text", [25]))
        for _ in range(3):
            equal(values(ask(a, bind("", "t", [1]), execute())), [["integer"]])
            equal(values(ask(b, bind("", "t", [1]), execute())), [["text"]])


@quick
def test_search_path_at_parse_time(weir):
    """A statement's table is the one the session's search_path names."""
    with weir.connect(user="postgres") as admin:
        for schema in ("path_a", "path_b"):
            admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            admin.execute(f"CREATE SCHEMA {schema} AUTHORIZATION app")
            admin.execute(f"CREATE TABLE {schema}.where_am_i AS SELECT '{schema}' AS name")
            admin.execute(f"GRANT SELECT ON {schema}.where_am_i TO app")
    conns = {schema: weir.connect(prepare_threshold=0) for schema in ("path_a", "path_b")}
    for schema, conn in conns.items():
        conn.execute(f"SET search_path = {schema}")
    for _ in range(8):
        for schema, conn in conns.items():
            equal(conn.execute("SELECT name FROM where_am_i").fetchone(), (schema,))
    for conn in conns.values():
        conn.close()


@limit(90)
def test_psycopg_default_threshold(weir):
    """psycopg prepares at the sixth execution; 10 clients, 3 texts, few servers."""
    conns = [weir.connect() for _ in range(10)]
    for turn in range(20):
        for i, conn in enumerate(conns):
            for k in range(3):
                equal(conn.execute(f"SELECT %s::int + {k}", (turn * i,)).fetchone(),
                      (turn * i + k,))
    for conn in conns:
        conn.close()
