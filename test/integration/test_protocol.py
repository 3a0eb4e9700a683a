# SPDX-License-Identifier: PostgreSQL
"""Simple and extended protocol, pipelines, COPY, sizes: what the client sees
is what PostgreSQL sends, message by message."""
import threading

import psycopg

from lib import check, equal, limit, patient, quick, raises
from rawpg import (FLUSH, SYNC, bind, close, describe, error_fields, execute, logged_in, message, parse,
                   query, row_values, struct)


def kinds(messages):
    return "".join(kind for kind, _ in messages if kind not in "NS")


@quick
def test_simple_query(weir):
    with logged_in(weir) as raw:
        raw.send(query("SELECT 1 AS a, 'x' AS b, NULL AS c"))
        got = raw.read_until("Z")
        equal(kinds(got), "TDCZ")
        equal(row_values(got[1][1]), ["1", "x", None])
        equal(got[2][1], b"SELECT 1\0")
        equal(got[3][1], b"I")


SIMPLE = [
    # text, message types, the transaction status at the end
    ("", "IZ", b"I"),
    (";", "IZ", b"I"),
    ("-- only a comment", "IZ", b"I"),
    ("SELECT 1; SELECT 2", "TDCTDCZ", b"I"),
    ("SELECT 1; SELECT 1/0; SELECT 2", "TDCEZ", b"I"),
    ("BEGIN; SELECT 1", "CTDCZ", b"T"),
    ("BEGIN; SELECT 1/0", "CEZ", b"E"),
    ("BEGIN; SELECT 1; COMMIT", "CTDCCZ", b"I"),
    ("SELECT nonsense syntax here (", "EZ", b"I"),
    ("SELECT 'unterminated", "EZ", b"I"),
    ("SHOW server_version_num", "TDCZ", b"I"),
    ("SELECT FROM generate_series(1, 3)", "TDDDCZ", b"I"),
    ("VALUES (1), (2)", "TDDCZ", b"I"),
    ("SET work_mem = '4MB'", "CZ", b"I"),
    ("COMMIT", "CZ", b"I"),
    ("ROLLBACK", "CZ", b"I"),
]


@quick
def test_simple_texts(weir, sub):
    for text, want, status in SIMPLE:
        with sub(f"protocol::simple {text!r}"), logged_in(weir) as raw:
            raw.send(query(text))
            got = raw.read_until("Z")
            equal((kinds(got), got[-1][1]), (want, status))
            raw.send(query("ROLLBACK"), query("SELECT 42"))
            raw.read_until("Z")
            equal([row_values(b) for k, b in raw.read_until("Z") if k == "D"], [["42"]])


@quick
def test_extended_unnamed(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT $1::int + 1, $2::text"), bind("", "", [41, "x"]),
                 describe("P", ""), execute(), SYNC)
        got = raw.read_until("Z")
        equal(kinds(got), "12TDCZ")
        equal(row_values(got[3][1]), ["42", "x"])


@quick
def test_describe_statement(weir):
    with logged_in(weir) as raw:
        raw.send(parse("s1", "SELECT $1::int, $2::text"), describe("S", "s1"), SYNC)
        equal(kinds(raw.read_until("Z")), "1tTZ")
        raw.send(bind("", "s1", [1, "a"]), execute(), close("S", "s1"), SYNC)
        equal(kinds(raw.read_until("Z")), "2D" + "C" + "3Z")
        raw.send(bind("", "s1", [1, "a"]), execute(), SYNC)
        got = raw.read_until("Z")
        equal((kinds(got), error_fields(got[0][1])["C"]), ("EZ", "26000"))


@quick
def test_error_skips_to_sync(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT 1/$1::int"), bind("", "", [0]), execute(),
                 parse("", "SELECT 1"), bind("", ""), execute(), SYNC,
                 parse("", "SELECT 2"), bind("", ""), execute(), SYNC)
        first, second = raw.read_until("Z"), raw.read_until("Z")
        equal(kinds(first), "1EZ")
        equal(error_fields([b for k, b in first if k == "E"][0])["C"], "22012")
        equal(kinds(second), "12DCZ")


@quick
def test_flush_gives_answers_without_sync(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT 7"), FLUSH)
        equal(raw.read()[0], "1")
        raw.send(bind("", ""), describe("P", ""), FLUSH)
        equal([raw.read()[0], raw.read()[0]], ["2", "T"])
        raw.send(execute(), SYNC)
        equal(kinds(raw.read_until("Z")), "DCZ")


@quick
def test_portal_in_parts(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT generate_series(1, 5)"), bind("p", ""), execute("p", 2), FLUSH)
        equal(kinds(raw.read_until("s")), "12DDs")
        raw.send(execute("p", 2), FLUSH)
        equal(kinds(raw.read_until("s")), "DDs")
        raw.send(execute("p", 0), SYNC)
        equal(kinds(raw.read_until("Z")), "DCZ")


@quick
def test_binary_results(weir):
    with weir.connect() as conn:
        row = conn.execute("SELECT %s::int8, %s::bytea, %s::float8", (2 ** 40, b"\0\xff", 1.5),
                           binary=True).fetchone()
        equal(row, (2 ** 40, b"\0\xff", 1.5))


@quick
def test_pipeline_of_many_syncs(weir):
    with logged_in(weir) as raw:
        count = 300
        for i in range(count):
            raw.send(parse("", "SELECT $1::int"), bind("", "", [i]), execute(), SYNC)
        for i in range(count):
            got = raw.read_until("Z")
            equal((kinds(got), row_values(got[2][1])), ("12DCZ", [str(i)]))


@quick
def test_pipeline_of_simple_queries(weir):
    """Queries sent before the answers of the earlier ones are read."""
    with logged_in(weir) as raw:
        raw.send(*[query(f"SELECT {i}") for i in range(200)])
        for i in range(200):
            equal([row_values(b) for k, b in raw.read_until("Z") if k == "D"], [[str(i)]])


@quick
def test_pipeline_mixes_reads_and_writes(weir):
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS piped(k int)")
        conn.execute("TRUNCATE piped")
        with conn.pipeline():
            cursors = []
            for i in range(50):
                conn.execute("INSERT INTO piped VALUES (%s)", (i,))
                cursors.append(conn.execute("SELECT count(*) FROM piped"))
            counts = [c.fetchone()[0] for c in cursors]
        equal(counts, list(range(1, 51)))
        conn.execute("DROP TABLE piped")


@quick
def test_messages_cut_everywhere(weir):
    """The same request sent byte by byte."""
    with logged_in(weir) as raw:
        raw.sock.setsockopt(6, 1, 1)
        for part in (parse("", "SELECT $1::text"), bind("", "", ["cut"]), execute(), SYNC,
                     query("SELECT 2")):
            for i in range(len(part)):
                raw.send(part[i:i + 1])
        equal(kinds(raw.read_until("Z")), "12DCZ")
        equal(kinds(raw.read_until("Z")), "TDCZ")


@quick
def test_large_result(weir):
    with weir.connect() as conn:
        rows = conn.execute("SELECT i, repeat('x', 1000) "
                            "FROM generate_series(1, 30000) i").fetchall()
        equal((len(rows), rows[-1][0], len(rows[-1][1])), (30000, 30000, 1000))
        value, = conn.execute("SELECT repeat('y', 20000000)").fetchone()
        equal(len(value), 20000000)


@quick
def test_large_parameter_and_text(weir):
    with weir.connect() as conn:
        big = "z" * 5000000
        equal(conn.execute("SELECT length(%s)", (big,)).fetchone(), (5000000,))
        cur = psycopg.ClientCursor(conn)
        equal(cur.execute(f"SELECT length('{big}')").fetchone(), (5000000,))
        equal(cur.execute("SELECT 1").fetchone(), (1,))


@limit(90)
def test_a_slow_reader_gets_everything(weir):
    import time
    with logged_in(weir) as raw, weir.connect() as other:
        raw.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 60000)"))
        time.sleep(1.0)
        equal(other.execute("SELECT 1").fetchone(), (1,))
        got = raw.read_until("Z")
        equal(len([1 for k, _ in got if k == "D"]), 60000)


@quick
def test_copy_out(weir):
    with weir.connect() as conn:
        with conn.cursor().copy("COPY (SELECT i FROM generate_series(1, 100000) i) TO STDOUT") as c:
            lines = b"".join(c).split(b"\n")
        equal((len(lines), lines[0], lines[99999]), (100001, b"1", b"100000"))
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@quick
def test_copy_in(weir):
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS copied(i int, t text)")
        conn.execute("TRUNCATE copied")
        with conn.cursor().copy("COPY copied FROM STDIN") as c:
            for i in range(50000):
                c.write_row((i, "x" * 20))
        equal(conn.execute("SELECT count(*), sum(i) FROM copied").fetchone(),
              (50000, sum(range(50000))))
        conn.execute("DROP TABLE copied")


@quick
def test_copy_in_fails(weir):
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS copied2(i int)")

        def send_bad():
            with conn.cursor().copy("COPY copied2 FROM STDIN") as c:
                c.write(b"1\nnot a number\n")
        raises("22P02", send_bad)

        def break_off():
            with conn.cursor().copy("COPY copied2 FROM STDIN") as c:
                c.write(b"1\n")
                raise KeyError("given up by the client")
        raises("57014", break_off, text="given up by the client")
        equal(conn.execute("SELECT count(*) FROM copied2").fetchone(), (0,))
        conn.execute("DROP TABLE copied2")


@quick
def test_copy_by_extended_protocol(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "COPY (SELECT 1) TO STDOUT"), bind("", ""), execute(), SYNC)
        equal(kinds(raw.read_until("Z")), "12HdcCZ")


@quick
def test_function_call_message(weir):
    """The old FunctionCall message: int4pl(40, 2), oid 177."""
    with logged_in(weir) as raw:
        args = b"".join(struct.pack("!I", len(v)) + v for v in (b"40", b"2"))
        raw.send(message("F", struct.pack("!IHHH", 177, 1, 0, 2) + args + struct.pack("!H", 0)))
        got = raw.read_until("Z")
        equal((kinds(got), got[0][1]), ("VZ", struct.pack("!I", 2) + b"42"))


@quick
def test_notices_arrive(weir):
    with weir.connect() as conn:
        seen = []
        conn.add_notice_handler(lambda d: seen.append(d.message_primary))
        conn.execute("DO $$ BEGIN RAISE NOTICE 'hello %', 1; END $$")
        equal(seen, ["hello 1"])


@quick
def test_unknown_message_type_ends_the_connection(weir):
    with logged_in(weir) as raw:
        raw.send(message("@", b"junk"))
        kind, body = raw.read()
        equal(kind, "E")
        equal(error_fields(body)["C"], "08P01")
        check(raw.is_closed(), "stays open")


BROKEN = {
    "Query without end": message("Q", b"SELECT 1"),
    "Parse without end": message("P", b"s\0SELECT 1"),
    "Parse with missing types": message("P", b"s\0SELECT 1\0\0\x05"),
    "Bind with huge count": message("B", b"\0\0\xff\xff"),
    "Bind with huge length": message("B", b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"),
    "Describe of nothing": message("D", b"Zx\0"),
    "empty Execute": message("E", b""),
    "length under 4": b"Q\0\0\0\x03",
    "negative length": b"Q\xff\xff\xff\xff",
    "CopyData out of place": message("d", b"x"),
    "password out of place": message("p", b"x\0"),
}


@quick
def test_broken_messages(weir, sub):
    """Whatever the answer is, others are served on, and nothing hangs."""
    for name, data in BROKEN.items():
        with sub(f"protocol::broken {name}"):
            with logged_in(weir) as raw:
                raw.send(data, SYNC)
                raw.sock.shutdown(1)
                check(raw.is_closed(), "hangs")
            with weir.connect() as conn:
                equal(conn.execute("SELECT 1").fetchone(), (1,))


@quick
def test_an_error_too_long_to_look_at(start):
    """Its text passes, and the SET beside it counts for nothing."""
    weir = start({"db.split": "off", "default_pool_size": 3})
    fail = "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 200000); END $$"
    with logged_in(weir) as raw, weir.connect() as one, weir.connect() as two:
        before = raw.rows("SHOW work_mem")
        for text, answer, state, length in (
                (f"SET work_mem = '7MB'; {fail}", "CEZ", "P0001", 200000),
                (f"SET work_mem = '{'y' * 70000}'", "EZ", "22023", 70000)):
            raw.send(query(text))
            got = raw.read_until("Z")
            equal((kinds(got), got[-1][1]), (answer, b"I"))
            fields = error_fields([b for k, b in got if k == "E"][0])
            equal(fields["C"], state)
            check(len(fields["M"]) >= length, f"its text has {len(fields['M'])} bytes")
            for conn in (one, two, None):    # whichever server ran it, another comes up
                equal(raw.rows("SHOW work_mem"), before)
                if conn:
                    conn.execute("BEGIN; SELECT pg_current_xact_id()")
            one.execute("ROLLBACK")
            two.execute("ROLLBACK")
        raw.send(parse("", fail), bind("", ""), execute(), SYNC, query("SELECT 1"))
        equal(kinds(raw.read_until("Z")), "12EZ")
        equal(kinds(raw.read_until("Z")), "TDCZ")


@limit(120)
def test_a_pipeline_without_end(weir):
    """More requests under way than anybody keeps books of; their answers are read late."""
    count = 150000
    part = SYNC * 1000
    with logged_in(weir) as raw:
        def send():
            for _ in range(count // 1000):
                raw.send(part)
            raw.send(query("SELECT 'end'"))
        raw.sock.settimeout(patient(60))
        sender = threading.Thread(target=send)
        sender.start()
        import time
        time.sleep(1)
        for i in range(count):
            equal(raw.read(), ("Z", b"I"), f"answer {i}")
        equal(kinds(raw.read_until("Z")), "TDCZ")
        sender.join()


def test_many_clients_at_once(weir):
    problems = []

    def client(number):
        try:
            with weir.connect() as conn:
                for i in range(30):
                    got = conn.execute("SELECT %s::int, %s::text", (i, str(number))).fetchone()
                    if got != (i, str(number)):
                        problems.append(got)
        except Exception as e:    # noqa: BLE001: any problem of any client counts
            problems.append(e)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(80)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(problems, [])


def test_clients_that_vanish(weir):
    """Connections dropped at odd places leave nothing behind."""
    for data in (query("SELECT pg_sleep(0.2)"), query("BEGIN; SELECT 1"),
                 parse("x", "SELECT 1"), query("COPY (SELECT generate_series(1,100000)) TO STDOUT"),
                 parse("", "SELECT 1") + bind("", ""), b"Q\0\0"):
        for _ in range(10):
            with logged_in(weir) as raw:
                raw.send(data)
    with weir.connect() as conn:
        equal(conn.execute("SELECT txid_current_if_assigned()").fetchone(), (None,))
