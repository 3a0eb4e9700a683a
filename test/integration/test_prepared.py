# SPDX-License-Identifier: PostgreSQL
"""Prepared statements belong to the client, although servers are shared."""
import threading

from lib import check, equal, limit, quick, raises, until
from rawpg import (FLUSH, SYNC, ask, ask_sql, bind, close, describe, error_fields, execute, first_error, logged_in, parse,
                   query, values)

# Few servers for many clients, so that every statement meets foreign servers.
OPTIONS = {"default_pool_size": 2, "max_prepared_statements": 20}


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
def test_a_name_twice_in_one_batch(weir, sub):
    """All of it is known to pgweir, which answers a lone Parse itself."""
    with logged_in(weir) as raw:
        for _ in range(2):
            equal(first_error(ask(raw, parse("known", "SELECT 41"), describe("S", "known"))), None)
            equal(first_error(ask(raw, close("S", "known"))), None)
        for begun, status in ((False, b"I"), (True, b"E")):
            with sub("in a transaction" if begun else "outside"):
                if begun:
                    ask_sql(raw, "BEGIN")
                told = ask(raw, parse("twice", "SELECT 41"), parse("twice", "SELECT 41"))
                equal([k for k, _ in told], ["1", "E", "Z"])
                equal((first_error(told), told[-1][1]), ("42P05", status))
                ask_sql(raw, "ROLLBACK")
                equal(first_error(ask(raw, close("S", "twice"))), None)


@quick
def test_a_statement_made_in_a_rolled_back_transaction_stays(weir):
    with logged_in(weir) as raw:
        ask(raw, parse("", "BEGIN"), bind("", ""), execute())
        ask(raw, parse("kept", "SELECT 5"))
        ask(raw, parse("", "ROLLBACK"), bind("", ""), execute())
        equal(values(ask(raw, bind("", "kept"), execute())), [["5"]])


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
def test_sql_names_a_statement_of_its_own_batch(weir):
    """asyncpg ends prepare with Flush: what its next text names can't be brought in front of the batch."""
    with logged_in(weir) as other, logged_in(weir) as raw:
        ask(other, parse("own", "SELECT 3"))
        ask_sql(other, "EXECUTE own")
        raw.send(parse("own", "SELECT 9"), parse("runs", "EXECUTE own"), describe("S", "runs"), SYNC)
        equal(first_error(raw.read_until("Z")), None)
        raw.send(parse("mine", "SELECT $1::int + 1"), describe("S", "mine"), FLUSH)
        raw.read_until("T")
        raw.send(parse("late", "EXECUTE mine(4)"), describe("S", "late"), FLUSH)
        equal(values(raw.read_until("T")), [])
        for statement, want in (("late", "5"), ("runs", "9"), ("late", "5")):
            equal(values(ask(raw, bind("", statement), execute())), [[want]])
        raw.send(parse("again", "SELECT 7"), describe("S", "again"), FLUSH)
        raw.read_until("T")
        raw.send(query("EXECUTE again"))
        equal(values(raw.read_until("Z")), [["7"]])


@quick
def test_a_batch_meets_no_other_clients_statement(weir):
    """Also where it names one behind its first part."""
    with logged_in(weir) as other, logged_in(weir) as raw:
        for _ in range(6):
            ask(other, parse("theirs", "SELECT 3"))
            ask_sql(other, "EXECUTE theirs")
            raw.send(parse("", "SELECT 1"), describe("S", ""), FLUSH)
            raw.read_until("T")
            equal(first_error(ask(raw, parse("", "EXECUTE theirs"), bind("", ""), execute())), "26000")
            ask(other, close("S", "theirs"))


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


def status(messages):
    return [b.decode() for k, b in messages if k == "Z"][-1]


def message(messages):
    return next((error_fields(b)["M"] for k, b in messages if k == "E"), None)


@quick
def test_sql_statements_need_no_pin(weir):
    conns = [weir.connect(prepare_threshold=None, application_name=f"sqlprep{i}") for i in range(6)]
    for i, conn in enumerate(conns):
        conn.execute(f"PREPARE mul(int) AS SELECT $1 * {i // 2}")    # two of each text
    for turn in range(4):
        for i, conn in enumerate(conns):
            equal(conn.execute(f"EXECUTE mul({turn})").fetchone(), (turn * (i // 2),))
    if weir.is_pgweir:
        equal({r["pinned"] for r in weir.show("CLIENTS") if "sqlprep" in r["application_name"]},
              {""})
    conns[0].execute("DEALLOCATE mul")
    for conn in conns[1:]:
        conn.execute("EXECUTE mul(1)")
    e = raises("26000", conns[0].execute, "EXECUTE mul(1)")
    check('"mul"' in str(e), f"{e}")
    conns[0].execute("PREPARE mul(text) AS SELECT $1 || '!'")
    for conn in conns[1:]:
        conn.execute("EXECUTE mul(1)")
    equal(conns[0].execute("EXECUTE mul('a')").fetchone(), ("a!",))
    for conn in conns:
        conn.close()


@quick
def test_execute_inside_larger_texts(weir):
    with logged_in(weir) as raw, logged_in(weir) as other:
        ask_sql(raw, "DROP TABLE IF EXISTS it_made")
        for r, value in ((raw, 7), (other, 8)):
            equal(message(ask_sql(r, f"PREPARE q(int) AS SELECT $1 + {value} AS n")), None)
        ask_sql(other, "EXECUTE q(1)")
        equal(values(ask_sql(raw, "SELECT 1; EXECUTE q(1); EXECUTE q(2)")), [["1"], ["8"], ["9"]])
        ask_sql(other, "EXECUTE q(1)")
        check("Result" in str(values(ask_sql(raw, "EXPLAIN EXECUTE q(1)"))), "a plan")
        check("actual" in str(values(ask_sql(raw, "EXPLAIN ANALYZE EXECUTE q(1)"))), "a run")
        ask_sql(other, "EXECUTE q(1)")
        equal(message(ask_sql(raw, "CREATE TABLE it_made AS EXECUTE q(5)")), None)
        equal(values(ask_sql(raw, "SELECT n FROM it_made")), [["12"]])
        equal(values(ask_sql(raw, "DEALLOCATE q; PREPARE q AS SELECT 'new'; EXECUTE q")), [["new"]])
        equal(values(ask_sql(other, "EXECUTE q(1)")), [["9"]])
        equal(values(ask_sql(raw, "EXECUTE q")), [["new"]])
        equal(first_error(ask_sql(raw, 'PREPARE "Odd ""name" AS SELECT 3')), None)
        ask_sql(other, "SELECT 1")
        equal(values(ask_sql(raw, 'EXECUTE "Odd ""name"')), [["3"]])
        ask_sql(raw, "DROP TABLE it_made")


@quick
def test_prepared_statements_are_not_transactional(weir):
    with logged_in(weir) as raw, logged_in(weir) as other:
        ask_sql(raw, "BEGIN")
        ask_sql(raw, "PREPARE kept AS SELECT 5")
        ask_sql(raw, "ROLLBACK")
        ask_sql(raw, "PREPARE too AS SELECT 6; SELECT 1/0; PREPARE never AS SELECT 7")
        for _ in range(3):
            ask_sql(other, "SELECT 1")
            equal(values(ask_sql(raw, "EXECUTE kept")), [["5"]])
            equal(values(ask_sql(raw, "EXECUTE too")), [["6"]])
            equal(first_error(ask_sql(raw, "EXECUTE never")), "26000")
        ask_sql(raw, "BEGIN")
        ask_sql(raw, "DEALLOCATE kept")
        ask_sql(raw, "ROLLBACK")
        equal(first_error(ask_sql(raw, "EXECUTE kept")), "26000")
        ask_sql(raw, "DISCARD ALL")
        equal(first_error(ask_sql(raw, "EXECUTE too")), "26000")


@quick
def test_errors_about_statements_are_postgresqls(weir):
    with logged_in(weir) as raw, logged_in(weir) as other:
        for r in (other, raw):
            ask(r, parse("proto", "SELECT $1::int"))
            ask_sql(r, "PREPARE mine(int) AS SELECT $1")
        for text, state, said in (
                ("PREPARE mine AS SELECT 2", "42P05", 'prepared statement "mine" already exists'),
                ("PREPARE proto AS SELECT 2", "42P05", 'prepared statement "proto" already exists'),
                ("EXECUTE none", "26000", 'prepared statement "none" does not exist'),
                ("DEALLOCATE none", "26000", 'prepared statement "none" does not exist'),
                ("EXECUTE mine", "42601",
                 'wrong number of parameters for prepared statement "mine"'),
                ("EXECUTE proto(1, 2)", "42601",
                 'wrong number of parameters for prepared statement "proto"'),
                ("EXPLAIN EXECUTE none", "26000", 'prepared statement "none" does not exist')):
            ask_sql(other, "EXECUTE mine(1)")
            got = ask_sql(raw, text)
            equal((first_error(got), message(got)), (state, said), text)
        got = ask(raw, parse("mine", "SELECT 3"))
        equal((first_error(got), message(got)),
              ("42P05", 'prepared statement "mine" already exists'))
        got = ask(raw, parse("proto", "SELECT 3"))
        equal((first_error(got), message(got)),
              ("42P05", 'prepared statement "proto" already exists'))


@quick
def test_protocol_uses_a_statement_of_sql(weir):
    with logged_in(weir) as raw, logged_in(weir) as other:
        ask_sql(raw, "PREPARE s(int) AS SELECT $1 + 1")
        ask_sql(other, "PREPARE s(int) AS SELECT $1 + 2")
        for _ in range(3):
            equal(values(ask(raw, bind("", "s", [1]), execute())), [["2"]])
            equal(values(ask(other, bind("", "s", [1]), execute())), [["3"]])
            got = ask(raw, describe("S", "s"))
            equal([k for k, _ in got], ["t", "T", "Z"])
        ask(raw, parse("", "EXECUTE s(4)"), bind("", ""), describe("P", ""), execute())
        equal(values(ask(other, parse("", "EXECUTE s(4)"), bind("", ""), describe("P", ""),
                         execute())), [["6"]])
        ask(raw, close("S", "s"))
        equal(first_error(ask(raw, bind("", "s", [1]), execute())), "26000")
        equal(first_error(ask_sql(raw, "EXECUTE s(1)")), "26000")
        equal(values(ask(other, bind("", "s", [1]), execute())), [["3"]])


@quick
def test_the_view_shows_the_clients_statements(weir):
    view = "SELECT name, statement, from_sql FROM pg_prepared_statements ORDER BY name"
    with logged_in(weir) as raw, logged_in(weir) as other:
        ask_sql(other, "PREPARE foreign_one AS SELECT 1")
        ask(other, parse("foreign_two", "SELECT 2"))
        ask(other, bind("", "foreign_two"), execute())
        ask_sql(raw, "PREPARE a_sql(int) AS SELECT $1")
        ask(raw, parse("b_proto", "SELECT $1::int"))
        want = [["a_sql", "PREPARE a_sql(int) AS SELECT $1", "t"],
                ["b_proto", "SELECT $1::int", "f"]]
        equal(values(ask_sql(raw, view)), want)
        equal(values(ask(raw, bind("", "b_proto", [3]), execute())), [["3"]])
        equal(values(ask(raw, parse("", view), bind("", ""), execute())), want)
        ask(raw, parse("c_view", view))
        for _ in range(2):
            equal(values(ask(raw, bind("", "c_view"), execute())), want + [["c_view", view, "f"]])
        equal(values(ask(other, bind("", "foreign_two"), execute())), [["2"]])
        ask_sql(raw, "DEALLOCATE a_sql")
        equal(values(ask_sql(raw, "BEGIN; " + view + "; COMMIT"))[0][0], "b_proto")


@quick
def test_a_statement_whose_table_is_gone(weir):
    with logged_in(weir) as raw, logged_in(weir) as other:
        ask_sql(other, "DROP TABLE IF EXISTS it_going")
        ask_sql(other, "CREATE TABLE it_going(k int)")
        ask_sql(raw, "PREPARE g AS INSERT INTO it_going VALUES (1)")
        equal(first_error(ask_sql(raw, "EXECUTE g")), None)
        ask_sql(other, "PREPARE g AS SELECT 1; EXECUTE g")
        ask_sql(other, "DROP TABLE it_going")
        for _ in range(3):
            ask_sql(other, "EXECUTE g")
            equal(first_error(ask_sql(raw, "EXECUTE g")), "42P01")
            equal(values(ask_sql(raw, "SELECT 4")), [["4"]])
        ask_sql(raw, "BEGIN")
        ask_sql(raw, "SELECT 1")
        got = ask_sql(raw, "EXECUTE g")
        equal((first_error(got), status(got)), ("42P01", "E"))
        ask_sql(raw, "ROLLBACK")
        ask_sql(other, "CREATE TABLE it_going(k int)")
        equal(first_error(ask_sql(raw, "EXECUTE g")), None)
        ask_sql(other, "DROP TABLE it_going")


@quick
def test_reads_of_statements_run_on_replicas(weir):
    weir.need_pgweir()
    with weir.connect(prepare_threshold=None) as conn:
        conn.execute("PREPARE r(int) AS SELECT count(*) FROM pg_class WHERE oid > $1::oid")
        conn.execute("PREPARE w AS SELECT txid_current()")

        def leave_the_primary():
            before = weir.stat("routed_replica")
            for _ in range(10):
                conn.execute("EXECUTE r(1)")
            return weir.stat("routed_replica") >= before + 8
        until("reads to leave the primary", 20, leave_the_primary)
        before = weir.stat("routed_replica")
        for _ in range(5):
            conn.execute("EXECUTE w")
        equal(weir.stat("routed_replica"), before)


@quick
def test_statements_are_bounded(start):
    weir = start({"prepared_session_max": 16384, "default_pool_size": 2})
    with logged_in(weir) as raw:
        for i in range(100):
            state = first_error(ask_sql(raw, f"PREPARE s{i} AS SELECT {i} /* {'x' * 900} */"))
            if state:
                break
        equal(state, "53400")
        check(5 < i < 20, f"after {i}")
        equal(first_error(ask(raw, parse("p", "SELECT 1 /* " + "x" * 900 + " */"))), "53400")
        equal(values(ask_sql(raw, "EXECUTE s1")), [["1"]])
        ask_sql(raw, "DEALLOCATE s1")
        equal(first_error(ask_sql(raw, "PREPARE again AS SELECT 1")), None)
        ask_sql(raw, "DEALLOCATE ALL")
        equal(first_error(ask(raw, parse("p", "SELECT 1 /* " + "x" * 900 + " */"))), None)


@quick
def test_execute_heals_a_changed_result(weir):
    """Outside a transaction a statement is prepared again; inside PostgreSQL's error is told."""
    weir.need_pgweir()
    with logged_in(weir) as raw, logged_in(weir) as other:
        ask_sql(other, "DROP TABLE IF EXISTS it_grows")
        ask_sql(other, "CREATE TABLE it_grows(a int); INSERT INTO it_grows VALUES (1)")
        ask_sql(raw, "PREPARE g AS SELECT * FROM it_grows FOR UPDATE")
        ask(raw, parse("p", "SELECT * FROM it_grows FOR UPDATE"))
        equal(values(ask_sql(raw, "EXECUTE g")), [["1"]])
        equal(values(ask(raw, bind("", "p"), execute())), [["1"]])
        ask_sql(other, "ALTER TABLE it_grows ADD b int DEFAULT 2")
        equal(values(ask_sql(raw, "EXECUTE g")), [["1", "2"]])
        equal(values(ask(raw, bind("", "p"), execute())), [["1", "2"]])
        ask_sql(other, "ALTER TABLE it_grows ADD c int DEFAULT 3")
        ask_sql(raw, "BEGIN")
        ask_sql(raw, "SELECT 1")
        got = ask_sql(raw, "EXECUTE g")
        check(first_error(got) in (None, "0A000"), "told, or prepared anew on another server")
        ask_sql(raw, "ROLLBACK")
        ask_sql(other, "DROP TABLE it_grows")


@limit(90)
def test_sql_statements_of_many_clients_at_once(weir):
    problems = []

    def client(number):
        try:
            with weir.connect(prepare_threshold=None) as conn:
                for i in range(40):
                    conn.execute(f"PREPARE s{i % 3}(int) AS SELECT $1 + {number}")
                    for k in range(3):
                        got = conn.execute(f"EXECUTE s{i % 3}({k})").fetchone()
                        if got != (number + k,):
                            problems.append((number, k, got))
                    conn.execute(f"DEALLOCATE s{i % 3}")
        except Exception as e:    # noqa: BLE001
            problems.append(e)
    threads = [threading.Thread(target=client, args=(n % 6,)) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(problems, [])


@quick
def test_the_view_shows_the_text_as_it_came(weir):
    with logged_in(weir) as raw:
        for text in ("PREPARE semicolon AS SELECT 1;", "  PREPARE semicolon AS SELECT 2 ; -- two"):
            ask_sql(raw, text)
            equal(values(ask_sql(raw, "SELECT statement FROM pg_prepared_statements")), [[text]])
            equal(values(ask_sql(raw, "EXECUTE semicolon"))[0][0], "1" if "1" in text else "2")
            ask_sql(raw, "DEALLOCATE semicolon")


@quick
def test_the_view_shows_others_than_one_whose_table_is_gone(start):
    """On a server that has none of them yet, too."""
    weir = start({"default_pool_size": 2})
    with logged_in(weir) as raw, weir.connect() as other:
        ask_sql(raw, "DROP TABLE IF EXISTS it_going")
        ask_sql(raw, "CREATE TABLE it_going(a int)")
        for text in ("PREPARE a1 AS SELECT 1", "PREPARE g1 AS SELECT * FROM it_going", "PREPARE z1 AS SELECT 2"):
            equal(first_error(ask_sql(raw, text)), None)
        ask_sql(raw, "DROP TABLE it_going")
        view = "SELECT name FROM pg_prepared_statements WHERE name IN ('a1', 'z1') ORDER BY name"
        equal(values(ask_sql(raw, view)), [["a1"], ["z1"]])
        with other.transaction():
            other.execute("SELECT 1")    # this server is not to be had
            for _ in range(3):
                equal(values(ask_sql(raw, view)), [["a1"], ["z1"]])
        equal(values(ask_sql(raw, "EXECUTE z1")), [["2"]])


@quick
def test_the_view_counts_plans(start):
    """Nobody else came between: the statement is the same, and so are its plans."""
    weir = start({"db.split": "off", "default_pool_size": 1})
    with logged_in(weir) as raw:
        ask_sql(raw, "PREPARE counted(int) AS SELECT $1 + 1")
        for _ in range(3):
            ask_sql(raw, "EXECUTE counted(1)")
        equal(values(ask_sql(raw, "SELECT generic_plans + custom_plans FROM pg_prepared_statements"))[0], ["3"])


@quick
def test_a_text_that_prepares_and_fails(start, sub):
    """It isn't repeated elsewhere: what it made is there, whatever failed behind it."""
    weir = start({"default_pool_size": 1})
    for text, states in (("SELECT 1; PREPARE lasts AS SELECT 9; SELECT 1/0", ["22012"]),
                         ("PREPARE lasts AS SELECT 9; SELECT * FROM nowhere", ["42P01"]),
                         ("PREPARE lasts AS SELECT 9; SET no_such_setting = 1", ["42704"])):
        with sub(f"prepared::{text}"), logged_in(weir) as raw:
            raw.send(query(text))
            equal([error_fields(b)["C"] for k, b in raw.read_until("Z") if k == "E"], states)
            equal(raw.rows("EXECUTE lasts"), [["9"]])
            raw.send(query("DEALLOCATE lasts; SELECT 1/0"))
            equal(first_error(raw.read_until("Z")), "22012")
            raw.rows("PREPARE lasts AS SELECT 10")
            equal(raw.rows("EXECUTE lasts"), [["10"]])
