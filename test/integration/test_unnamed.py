# SPDX-License-Identifier: PostgreSQL
"""The protocol's unnamed statement: PostgreSQL keeps it until the next Parse of it or a simple query, and so it is
here, whichever server the client has next."""
from psycopg import pq

from lib import check, equal, quick, until
from rawpg import (SYNC, ask, ask_sql, bind, close, describe, error_fields, execute, first_error, logged_in,
                   parse, query, values)

# Few servers for many clients, so that every statement meets foreign servers.
OPTIONS = {"default_pool_size": 2}
DONE = "C"


def run(raw, *params):
    """What the unnamed statement gives."""
    return values(ask(raw, bind("", "", list(params)), execute()))


def disturb(weir, count=3):
    """Others' unnamed statements on the servers, of each kind of node."""
    for turn in range(count):
        with logged_in(weir) as raw:
            ask_sql(raw, "BEGIN READ WRITE" if turn % 2 else "BEGIN READ ONLY")
            ask(raw, parse("", "SELECT 'another client''s', $1::text"), bind("", "", ["x"]), execute())
            ask_sql(raw, "COMMIT")


@quick
def test_it_is_bound_again_after_it_ran(weir, sub):
    for label, sql in (("a read", "SELECT 'mine' || $1::text"),
                       ("a write", "INSERT INTO unnamed_kept VALUES ($1) RETURNING 'mine' || v")):
        with weir.connect() as conn:
            conn.execute("DROP TABLE IF EXISTS unnamed_kept; CREATE TABLE unnamed_kept (v text)")
        with sub(label), logged_in(weir) as raw:
            equal(values(ask(raw, parse("", sql), bind("", "", ["0"]), execute())), [["mine0"]])
            for turn in range(1, 6):
                disturb(weir)
                equal(run(raw, str(turn)), [[f"mine{turn}"]])


@quick
def test_libpq_prepares_it_once_and_runs_it_often(weir):
    with weir.connect(autocommit=True) as conn:
        made = conn.pgconn.prepare(b"", b"SELECT $1::int * 7", None)
        equal(made.status, pq.ExecStatus.COMMAND_OK)
        for turn in range(5):
            disturb(weir)
            told = conn.pgconn.exec_prepared(b"", [str(turn).encode()])
            equal(told.status, pq.ExecStatus.TUPLES_OK, told.error_message)
            equal(told.get_value(0, 0), str(turn * 7).encode())
            described = conn.pgconn.describe_prepared(b"")
            equal(described.ftype(0), 23)


@quick
def test_it_outlives_a_transaction(weir, sub):
    for end in ("COMMIT", "ROLLBACK"):
        with sub(end), logged_in(weir) as raw:
            ask_sql(raw, "BEGIN")
            equal(values(ask(raw, parse("", "SELECT $1::int + 1"), bind("", "", [1]), execute())), [["2"]])
            equal(run(raw, 2), [["3"]])
            ask(raw, parse("end", end))
            ask(raw, bind("", "end"), execute())
            disturb(weir)
            equal(run(raw, 3), [["4"]])


@quick
def test_it_pins_nobody(start):
    """What it runs is known: others get the server."""
    weir = start({"default_pool_size": 1})
    with logged_in(weir) as raw:
        ask_sql(raw, "BEGIN READ WRITE")
        ask(raw, parse("", "SELECT $1::int"), bind("", "", [1]), execute())
        equal(run(raw, 2), [["2"]])
        ask_sql(raw, "COMMIT")
        with weir.connect() as other:
            other.execute("BEGIN READ WRITE")
            other.execute("SELECT 1")
            other.execute("COMMIT")


@quick
def test_an_error_of_its_run_leaves_it(weir):
    with logged_in(weir) as raw:
        told = ask(raw, parse("", "SELECT 12 / $1::int"), bind("", "", [0]), execute())
        equal(first_error(told), "22012")
        disturb(weir)
        equal(run(raw, 4), [["3"]])
        equal(first_error(ask(raw, bind("", "", [0]), execute())), "22012")
        disturb(weir)
        equal(run(raw, 6), [["2"]])


@quick
def test_an_error_of_its_parse_ends_it(weir, sub):
    for label, again in (("at once", lambda: None), ("later", lambda: disturb(weir))):
        with sub(label), logged_in(weir) as raw:
            ask(raw, parse("", "SELECT 1"), bind("", ""), execute())
            equal(first_error(ask(raw, parse("", "SELECT no_such_column"), bind("", ""), execute())), "42703")
            again()
            told = ask(raw, bind("", ""), execute())
            equal(first_error(told), "26000")
            equal(next(error_fields(b)["M"] for k, b in told if k == "E"), "unnamed prepared statement does not exist")


@quick
def test_a_parse_that_an_error_skips_is_not_it(weir):
    with logged_in(weir) as raw:
        equal(first_error(ask(raw, bind("", "no_such_statement"), parse("", "SELECT 'skipped'"))), "26000")
        disturb(weir)
        equal(first_error(ask(raw, bind("", ""), execute())), "26000")


@quick
def test_the_latest_of_a_pipeline_is_it(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT 1 / $1::int"), bind("", "", [0]), execute(), SYNC,
                 parse("", "SELECT 'second' || $1::text"), bind("", "", ["!"]), execute(), SYNC,
                 bind("", "", ["?"]), execute(), SYNC)
        equal(first_error(raw.read_until("Z")), "22012")
        equal(values(raw.read_until("Z")), [["second!"]])
        equal(values(raw.read_until("Z")), [["second?"]])
        disturb(weir)
        equal(run(raw, "."), [["second."]])


@quick
def test_a_failed_one_ahead_of_another(weir):
    """The error of the first comes when the second is sent already."""
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT no_such_column"), SYNC, parse("", "SELECT 'second'"), SYNC)
        equal(first_error(raw.read_until("Z")), "42703")
        equal(first_error(raw.read_until("Z")), None)
        disturb(weir)
        equal(run(raw), [["second"]])


@quick
def test_several_in_one_request(weir):
    with logged_in(weir) as raw:
        ask(raw, parse("", "SELECT 'first'"), bind("", ""), execute(), parse("", "SELECT 'last'"), bind("", ""),
            execute())
        disturb(weir)
        equal(run(raw), [["last"]])


@quick
def test_close_ends_it(weir):
    with logged_in(weir) as raw:
        ask(raw, parse("", "SELECT 1"), bind("", ""), execute())
        ask(raw, close("S", ""))
        disturb(weir)
        equal(first_error(ask(raw, bind("", ""), execute())), "26000")
        ask(raw, parse("", "SELECT 1"), bind("", ""), execute())
        disturb(weir)
        raw.send(close("S", ""), SYNC, describe("S", ""), SYNC)
        equal(first_error(raw.read_until("Z")), None)
        equal(first_error(raw.read_until("Z")), "26000")


@quick
def test_a_close_that_an_error_skips(weir):
    with logged_in(weir) as raw:
        told = ask(raw, parse("", "SELECT 'kept'"), execute("no_such_portal"), close("S", ""))
        equal(first_error(told), "34000")
        disturb(weir)
        equal(run(raw), [["kept"]])


@quick
def test_discard_all_leaves_it(weir):
    """By the extended protocol DISCARD ALL is the unnamed statement itself."""
    with logged_in(weir) as raw:
        equal(first_error(ask(raw, parse("", "DISCARD ALL"), bind("", ""), execute())), None)
        disturb(weir)
        told = ask(raw, bind("", ""), execute())
        equal(first_error(told), None)
        check(DONE in [k for k, _ in told], told)


@quick
def test_long_ones(weir, sub):
    for size in (1000, 1025, 5000, 60000, 200000):
        with sub(f"{size} bytes"), logged_in(weir) as raw:
            text = f"SELECT length('{'x' * size}') + $1::int"
            equal(values(ask(raw, parse("", text), bind("", "", [0]), execute())), [[str(size)]])
            disturb(weir)
            equal(run(raw, 1), [[str(size + 1)]])
            equal(values(ask(raw, parse("", "SELECT 1 + $1::int"), bind("", "", [1]), execute())), [["2"]])
            disturb(weir)
            equal(run(raw, 2), [["3"]])


@quick
def test_what_the_cache_answers_is_it(start, tier):
    weir = start({"cache": "on", "cache_min_hits": 1, "cache_ttl": 60})
    with weir.connect() as conn:
        conn.execute("DROP TABLE IF EXISTS unnamed_cached; CREATE TABLE unnamed_cached AS SELECT 1 AS v")
    text = "SELECT v + $1::int FROM unnamed_cached"

    def is_hit():
        before = weir.metrics().get("pgweir_cache_hits_local_total", 0)
        with logged_in(weir) as raw:
            equal(values(ask(raw, parse("", text), bind("", "", [1]), execute())), [["2"]])
            found = weir.metrics().get("pgweir_cache_hits_local_total", 0) > before
            equal(run(raw, 2), [["3"]])
        return found
    until("an answer from the cache", 20, is_hit)


@quick
def test_what_is_kept_has_a_bound(start):
    """Beyond prepared_total_max they are still run, and unknown later; what is kept of others stays."""
    weir = start({"prepared_total_max": 65536, "workers": 1})
    first = logged_in(weir)
    ask(first, parse("", "SELECT 'first'"), bind("", ""), execute())
    raws = [logged_in(weir) for _ in range(8)]
    kept = 0
    for i, raw in enumerate(raws):
        text = f"SELECT length('{'x' * 15000}') + {i}"
        equal(values(ask(raw, parse("", text), bind("", ""), execute())), [[str(15000 + i)]])
    for i, raw in enumerate(raws):
        disturb(weir, 2)
        told = ask(raw, bind("", ""), execute())
        check(values(told) == [[str(15000 + i)]] or first_error(told) == "26000", told)
        kept += first_error(told) is None
    check(1 <= kept <= 4, kept)
    equal(run(first), [["first"]])
    for raw in (first, *raws):
        with raw:
            pass


@quick
def test_what_is_kept_is_shown(start):
    """SHOW MEM: who keeps one, and its bytes; a long one is given back with a short one, all with the client."""
    weir = start({"workers": 1})

    def kept():
        row, = (r for r in weir.show("MEM") if r["name"] == "unnamed")
        equal(row["size"], row["memtotal"] // row["used"] if row["used"] else 0)
        return row["used"], row["memtotal"]
    equal(kept(), (0, 0))
    with logged_in(weir) as one, logged_in(weir) as other:
        ask(one, parse("", f"SELECT length('{'x' * 3000}')"), bind("", ""), execute())
        used, size = kept()
        equal(used, 1)
        check(3000 <= size < 3200, size)
        ask(other, parse("", f"SELECT length('{'x' * 5000}')"), bind("", ""), execute())
        used, both = kept()
        equal(used, 2)
        check(5000 <= both - size < 5200, (size, both))
        ask(other, parse("", "SELECT 1"), bind("", ""), execute())
        used, both = kept()
        equal(used, 2)
        check(0 < both - size < 200, (size, both))
    until("what was kept to be given back", 20, lambda: kept() == (0, 0))


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
def test_what_pgweir_answers_ends_the_unnamed_statement(weir, sub):
    """BEGIN needs no server yet."""
    with sub("a simple query"), logged_in(weir) as raw:
        ask(raw, parse("", "SELECT 1"))
        raw.send(query("BEGIN"))
        raw.read_until("Z")
        equal(first_error(ask(raw, bind("", ""), execute())), "26000")
    with sub("its next Parse"), logged_in(weir) as raw:
        ask(raw, parse("", "SELECT 1"))
        ask(raw, parse("", "BEGIN"), bind("", ""), execute())
        equal(values(ask(raw, bind("", ""), execute())), [])


@quick
def test_an_unnamed_statement_replaced_behind_its_use(weir):
    """In one request; what it set, by its parameters' types, is the session's."""
    with logged_in(weir) as raw:
        for value in ("first", "second"):
            ask(raw, parse("", "SELECT set_config($1, $2, false)", (25, 25)))
            raw.send(bind("", "", ["pgweir_test.replaced", value]), execute(), parse("", "SHOW pgweir_test.replaced"),
                     SYNC)
            raw.read_until("Z")
            for _ in range(3):
                with weir.connect() as other:
                    other.execute("SELECT 1")
                equal(values(ask(raw, parse("", "SHOW pgweir_test.replaced"), bind("", ""), execute())), [[value]])


@quick
def test_queries_of_pgweir_do_not_end_the_unnamed_statement(start, sub):
    """On a server that the client keeps: values of sequences are discarded in front of a request, and behind one it
    is asked whether the lock is still there."""
    weir = start({"default_pool_size": 1})
    with weir.connect() as conn:
        conn.execute("DROP SEQUENCE IF EXISTS unnamed_seq; CREATE SEQUENCE unnamed_seq")
    insert = "INSERT INTO unnamed_temp VALUES ($1)"
    for turn in range(3):
        with sub(f"a table that the catalog lacks, {turn}"):
            with weir.connect() as conn:
                conn.execute("SELECT nextval('unnamed_seq')")
            with logged_in(weir) as raw:
                raw.send(query("CREATE TEMPORARY TABLE unnamed_temp (id text)"))
                raw.read_until("Z")
                ask(raw, parse("", insert), describe("S", ""))
                equal(first_error(ask(raw, bind("", "", ["1"]), describe("P", ""), execute())), None)
    with sub("the question after a pin"), logged_in(weir) as raw:
        raw.send(query("SELECT pg_advisory_lock(1), pg_advisory_lock(2)"))
        raw.read_until("Z")
        ask(raw, parse("", "SELECT pg_advisory_unlock($1::bigint)"))
        for key in ("1", "2"):
            equal(values(ask(raw, bind("", "", [key]), execute())), [["t"]])


@quick
def test_queries_of_pgweir_do_not_end_the_unnamed_portal(start):
    """The other session's sequences are forgotten in front of the first request that moves one."""
    weir = start({"default_pool_size": 1})
    with weir.connect() as conn:
        conn.execute("DROP SEQUENCE IF EXISTS unnamed_seq; CREATE SEQUENCE unnamed_seq")
        conn.execute("SELECT nextval('unnamed_seq')")
    with logged_in(weir) as raw:
        ask_sql(raw, "BEGIN READ WRITE")
        told = ask(raw, parse("", "SELECT generate_series(1, 5)"), bind("", ""), execute("", 2))
        equal(values(told), [["1"], ["2"]])
        told = ask(raw, parse("move", "SELECT nextval('unnamed_seq')"), bind("other", "move"), execute("other"))
        equal(values(told), [["2"]])
        equal(values(ask(raw, execute("", 2))), [["3"], ["4"]])
        equal(values(ask_sql(raw, "SELECT currval('unnamed_seq')")), [["2"]])
        ask_sql(raw, "COMMIT")
