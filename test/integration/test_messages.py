# SPDX-License-Identifier: PostgreSQL
"""The odd corners of the protocol, message by message: portals in parts, COPY inside pipelines, function
calls and large objects, notices and notifications at any moment, very long messages, what is refused."""
import contextlib
import ctypes
import ctypes.util
import itertools
import struct
import threading
import time

from lib import check, equal, limit, quick
from test_listen import settle
from rawpg import (FLUSH, SYNC, Closed, ask, ask_sql, bind, close, describe, error_fields, execute, logged_in, message, parse,
                   query, row_values)

COPY_DONE = message("c")


def kinds(messages):
    return "".join(kind for kind, _ in messages if kind not in "NSA")


def values(messages):
    return [row_values(b)[0] for k, b in messages if k == "D"]


def states(messages):
    return [error_fields(b)["C"] for k, b in messages if k == "E"]


# ---- batches without an end ----

@quick
def test_an_error_is_told_before_the_sync(weir):
    """PostgreSQL runs messages as they come, and sends an error at once."""
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT no_such_column"))
        equal(states([raw.read()]), ["42703"])
        raw.send(query("SELECT 'skipped'"), parse("", "SELECT 1"), bind("", ""), execute(), SYNC)
        equal(kinds(raw.read_until("Z")), "Z")
        raw.send(parse("", "SELECT 1"), bind("", ""), execute())
        raw.send(parse("", "SELECT 1/0"), bind("", ""), execute())
        got = [raw.read() for _ in range(6)]    # planning divides already
        equal((kinds(got), states(got)), ("12DC1E", ["22012"]))
        raw.send(SYNC)
        equal(kinds(raw.read_until("Z")), "Z")


@quick
def test_a_batch_in_many_parts(weir):
    with logged_in(weir) as raw:
        parts = [parse("", "SELECT $1::int"), bind("", "", ["7"]), execute(),
                 parse("p", "SELECT $1::int + 1"), bind("", "p", ["7"]), execute(), close("S", "p"), SYNC]
        for part in parts:
            raw.send(part[:3])
            time.sleep(0.15)
            raw.send(part[3:])
            time.sleep(0.15)
        got = raw.read_until("Z")
        equal((kinds(got), values(got)), ("12DC12DC3Z", ["7", "8"]))


# ---- portals ----

@quick
def test_portals_in_a_transaction(weir):
    """Two portals in turn, each in parts, over several Syncs; reads of another kind between."""
    with logged_in(weir) as raw:
        raw.send(query("BEGIN"), parse("a", "SELECT generate_series(1, 5)"), bind("pa", "a"),
                 parse("b", "SELECT generate_series(10, 14)"), bind("pb", "b"), SYNC)
        equal(kinds(raw.read_until("Z") + raw.read_until("Z")), "CZ1212Z")
        raw.send(execute("pa", 2), SYNC, execute("pb", 3), SYNC, query("SELECT 99"), execute("pa", 2), SYNC)
        got = [raw.read_until("Z") for _ in range(4)]
        equal([kinds(g) for g in got], ["DDsZ", "DDDsZ", "TDCZ", "DDsZ"])
        equal([values(g) for g in got], [["1", "2"], ["10", "11", "12"], ["99"], ["3", "4"]])
        equal({g[-1][1] for g in got}, {b"T"})
        raw.send(execute("pa", 0), execute("pb", 9), execute("pa", 1), close("P", "pb"),
                 execute("pb", 1), SYNC)
        got = raw.read_until("Z")
        equal((kinds(got), values(got), states(got)),
              ("DCDDCC3EZ", ["5", "13", "14"], ["34000"]))
        raw.send(query("ROLLBACK"))
        raw.read_until("Z")


@quick
def test_a_portal_ends_with_its_transaction(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT generate_series(1, 3)"), bind("p", ""), execute("p", 1), SYNC,
                 execute("p", 1), SYNC)
        first, second = raw.read_until("Z"), raw.read_until("Z")
        equal((kinds(first), kinds(second), states(second)), ("12DsZ", "EZ", ["34000"]))
        raw.send(query("BEGIN"), parse("", "SELECT generate_series(1, 3)"), bind("p", ""),
                 execute("p", 1), SYNC, query("COMMIT"), execute("p", 1), SYNC)
        got = [raw.read_until("Z") for _ in range(4)]
        equal([kinds(g) for g in got], ["CZ", "12DsZ", "CZ", "EZ"])
        equal(got[2][-1][1], b"I")


@quick
def test_portal_of_a_writing_statement(weir):
    """A row limit doesn't stop what writes: it is done at once, its rows come in parts."""
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS parts(k int)")
    with logged_in(weir) as raw:
        raw.send(query("BEGIN"), parse("", "INSERT INTO parts SELECT generate_series(1, 4) RETURNING k"),
                 bind("p", ""), execute("p", 1), SYNC, query("SELECT count(*) FROM parts"),
                 execute("p", 2), execute("p", 0), SYNC, query("ROLLBACK"))
        got = [raw.read_until("Z") for _ in range(5)]
        equal([kinds(g) for g in got], ["CZ", "12DsZ", "TDCZ", "DDsDCZ", "CZ"])
        equal([values(g) for g in got], [[], ["1"], ["4"], ["2", "3", "4"], []])
    with weir.connect() as conn:
        conn.execute("DROP TABLE parts")


# ---- Flush, simple and extended mixed, errors in a pipeline ----

@quick
def test_mixed_simple_and_extended(weir):
    with logged_in(weir) as raw:
        raw.send(parse("s", "SELECT $1::int"), bind("", "s", [1]), execute(), query("SELECT 2"),
                 bind("", "s", [3]), execute(), FLUSH, query("SELECT 4; SELECT 5"),
                 bind("", "s", [6]), execute(), SYNC, query(""), query("SELECT 1/0"),
                 bind("", "s", [7]), execute(), SYNC)
        got = [raw.read_until("Z") for _ in range(6)]
        equal([values(g) for g in got], [["1", "2"], ["3", "4", "5"], ["6"], [], [], ["7"]])
        equal([kinds(g) for g in got],
              ["12DCTDCZ", "2DCTDCTDCZ", "2DCZ", "IZ", "EZ", "2DCZ"])


@quick
def test_flush_behind_an_error(weir):
    """After the error nothing comes for a Flush; what was sent up to Sync is dropped, a simple query too."""
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT 1/$1::int"), bind("", "", [0]), execute(), FLUSH)
        equal(kinds(raw.read_until("E")), "1E")
        raw.send(parse("", "SELECT 2"), FLUSH, query("SELECT 3"), describe("S", "none"), FLUSH)
        time.sleep(0.3)
        raw.send(SYNC, query("SELECT 4"))
        equal(kinds(raw.read_until("Z")), "Z")
        got = raw.read_until("Z")
        equal((kinds(got), values(got)), ("TDCZ", ["4"]))


@quick
def test_errors_in_a_pipeline_inside_a_transaction(weir):
    with logged_in(weir) as raw:
        one = (parse("", "SELECT 1"), bind("", ""), execute(), SYNC)
        raw.send(query("BEGIN"), *one, parse("", "SELECT 1/0"), bind("", ""), execute(), SYNC, *one,
                 query("SELECT 5"), query("ROLLBACK"), *one)
        got = [raw.read_until("Z") for _ in range(7)]
        equal([kinds(g) for g in got], ["CZ", "12DCZ", "1EZ", "EZ", "EZ", "CZ", "12DCZ"])
        equal([g[-1][1] for g in got], [b"T", b"T", b"E", b"E", b"E", b"I", b"I"])
        equal(states(got[3]) + states(got[4]), ["25P02", "25P02"])


@quick
def test_every_error_of_a_pipeline_has_its_place(weir):
    with logged_in(weir) as raw:
        for i in range(60):
            raw.send(parse("", "SELECT 10/$1::int"), bind("", "", [i % 3]), execute(), SYNC)
        for i in range(60):
            got = raw.read_until("Z")
            equal(kinds(got), "12DCZ" if i % 3 else "1EZ", f"request {i}")


@quick
def test_a_query_ends_the_batch_that_a_transaction_begins_with(weir):
    """It waits for the BEGIN, which PostgreSQL must have been asked to tell."""
    for end in (query("DEALLOCATE ALL"), query("COMMIT")):
        with logged_in(weir) as raw:
            raw.send(query("BEGIN"))
            raw.read_until("Z")
            raw.send(parse("", "SET LOCAL work_mem = '555kB'"), close("S", ""), end)
            equal(kinds(raw.read_until("Z")), "13CZ")


@quick
def test_sql_names_statements_in_a_later_part_of_a_batch(weir):
    with logged_in(weir) as raw:
        raw.send(parse("s1", "SELECT 3"), parse("s2", "SELECT 4"), SYNC)
        raw.read_until("Z")
        for sql, want in (("EXECUTE s1", "12DC"), ("DEALLOCATE s1", "12C"), ("DEALLOCATE s2", "12C")):
            raw.send(parse("", "SELECT 1"), FLUSH)
            equal(raw.read()[0], "1")
            raw.send(parse("", sql), bind("", ""), execute(), SYNC)
            equal(kinds(raw.read_until("Z")), want + "Z", sql)
        raw.send(parse("", "SELECT 1"), FLUSH, query("DEALLOCATE s2"))
        equal(states(raw.read_until("Z")), ["26000"])


# ---- COPY in pipelines ----

def copied(weir):
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS piped_copy(k int)")
        conn.execute("TRUNCATE piped_copy")


@quick
def test_copy_in_inside_a_pipeline(weir):
    copied(weir)
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT 1"), bind("", ""), execute(),
                 parse("", "COPY piped_copy FROM STDIN"), bind("", ""), execute(),
                 message("d", b"1\n2\n"), message("d", b"3\n"), COPY_DONE,
                 parse("", "SELECT count(*) FROM piped_copy"), bind("", ""), execute(), SYNC,
                 query("SELECT 'next'"))
        got = raw.read_until("Z")
        equal((kinds(got), values(got)), ("12DC12GC12DCZ", ["1", "3"]))
        equal(values(raw.read_until("Z")), ["next"])


@quick
def test_copy_in_that_fails_inside_a_pipeline(weir):
    """Rows behind the broken one, and what follows up to Sync, are dropped; nothing reaches the next."""
    copied(weir)
    with logged_in(weir) as raw:
        for last in (message("d", b"x\n") + message("d", b"4\n") + COPY_DONE,
                     message("d", b"4\n") + message("f", b"given up\0")):
            raw.send(parse("", "COPY piped_copy FROM STDIN"), bind("", ""), execute(),
                     message("d", b"1\n"), last,
                     parse("", "SELECT 2"), bind("", ""), execute(), SYNC,
                     query("SELECT count(*) FROM piped_copy"))
            got = raw.read_until("Z")
            equal(kinds(got), "12GEZ")
            check(states(got) in (["22P02"], ["57014"]), states(got))
            equal(values(raw.read_until("Z")), ["0"])


@quick
def test_copy_in_behind_a_sync_that_is_ignored(weir):
    """Sync behind Execute, as libpq sends it, but the data sent ahead of CopyInResponse."""
    copied(weir)
    with logged_in(weir) as raw:
        raw.send(parse("", "COPY piped_copy FROM STDIN"), bind("", ""), execute(), SYNC,
                 message("d", b"1\n"), COPY_DONE, SYNC, query("SELECT count(*) FROM piped_copy"))
        equal(kinds(raw.read_until("Z")), "12GCZ")
        equal(values(raw.read_until("Z")), ["1"])


@quick
def test_copy_in_by_a_simple_query_of_several(weir):
    copied(weir)
    with logged_in(weir) as raw:
        raw.send(query("SELECT 1; COPY piped_copy FROM STDIN; SELECT 2; COPY piped_copy FROM STDIN"),
                 message("d", b"1\n"), COPY_DONE, message("d", b"2\n3\n"), COPY_DONE,
                 query("SELECT count(*) FROM piped_copy"))
        equal(kinds(raw.read_until("Z")), "TDCGCTDCGCZ")
        equal(values(raw.read_until("Z")), ["3"])


@quick
def test_copy_out_inside_a_pipeline(weir):
    with logged_in(weir) as raw:
        raw.send(parse("", "COPY (SELECT generate_series(1, 3)) TO STDOUT"), bind("", ""), execute(),
                 parse("", "SELECT 7"), bind("", ""), execute(), SYNC,
                 parse("", "COPY (SELECT 1/(3 - generate_series(1, 9))) TO STDOUT"), bind("", ""), execute(),
                 parse("", "SELECT 8"), bind("", ""), execute(), SYNC, query("SELECT 9"))
        got = [raw.read_until("Z") for _ in range(3)]
        equal(kinds(got[0]), "12HdddcC12DCZ")
        equal((kinds(got[1])[:3], kinds(got[1])[-2:], states(got[1])), ("12H", "EZ", ["22012"]))
        equal(values(got[2]), ["9"])


@quick
def test_copy_data_out_of_place_is_dropped(weir):
    with logged_in(weir) as raw:
        raw.send(message("d", b"1\n"), COPY_DONE, query("SELECT 1"), message("f", b"x\0"),
                 message("d", b"2\n"), query("SELECT 2"))
        equal(values(raw.read_until("Z") + raw.read_until("Z")), ["1", "2"])


# ---- function calls and large objects ----

def call(raw, oid, *args, binary=True):
    body = struct.pack("!IHHH", oid, 1, 1 if binary else 0, len(args))
    for arg in args:
        body += struct.pack("!i", -1) if arg is None else struct.pack("!I", len(arg)) + arg
    raw.send(message("F", body + struct.pack("!H", 1 if binary else 0)))
    return raw.read_until("Z")


@quick
def test_function_calls(weir):
    with logged_in(weir) as raw:
        got = call(raw, 177, struct.pack("!i", 40), struct.pack("!i", 2))
        equal((kinds(got), got[0][1][4:]), ("VZ", struct.pack("!i", 42)))
        got = call(raw, 177, struct.pack("!i", 1), None)
        equal((kinds(got), got[0][1]), ("VZ", struct.pack("!i", -1)))
        equal(states(call(raw, 154, struct.pack("!i", 1), struct.pack("!i", 0))), ["22012"])
        equal(states(call(raw, 999999)), ["42883"])
        raw.send(query("BEGIN"))
        raw.read_until("Z")
        equal(call(raw, 154, struct.pack("!i", 1), struct.pack("!i", 0))[-1][1], b"E")
        equal(states(call(raw, 177, struct.pack("!i", 1), struct.pack("!i", 2))), ["25P02"])
        raw.send(query("ROLLBACK"), query("SELECT 1"))
        equal(values(raw.read_until("Z") + raw.read_until("Z")), ["1"])


@quick
def test_function_calls_in_a_pipeline(weir):
    arg = struct.pack("!i", 5)
    body = struct.pack("!IHHH", 177, 1, 1, 2) + 2 * (struct.pack("!I", 4) + arg) + struct.pack("!H", 1)
    with logged_in(weir) as raw:
        for i in range(50):
            raw.send(message("F", body), query(f"SELECT {i}"), parse("", "SELECT 7"), bind("", ""),
                     execute(), SYNC)
        for i in range(50):
            got = [raw.read_until("Z") for _ in range(3)]
            equal([kinds(g) for g in got], ["VZ", "TDCZ", "12DCZ"])
            equal(values(got[1]), [str(i)])


class Large:
    """libpq's large objects, which go by function calls."""

    def __init__(self, weir):
        self.pq = pq = ctypes.CDLL(ctypes.util.find_library("pq"))
        pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
        pq.PQerrorMessage.restype = ctypes.c_char_p
        pq.lo_lseek64.restype = pq.lo_tell64.restype = ctypes.c_int64
        self.conn = ctypes.c_void_p(pq.PQconnectdb(weir.url().encode()))
        equal(pq.PQstatus(self.conn), 0, pq.PQerrorMessage(self.conn))

    def run(self, sql):
        result = ctypes.c_void_p(self.pq.PQexec(self.conn, sql.encode()))
        state = self.pq.PQresultStatus(result)
        self.pq.PQclear(result)
        check(state in (1, 2), f"{sql}: {self.pq.PQerrorMessage(self.conn)}")

    def __getattr__(self, name):
        return lambda *args: getattr(self.pq, name)(self.conn, *args)


@quick
def test_large_objects(weir, sub):
    big = bytes(range(256)) * 8192    # 2 MiB
    lo = Large(weir)
    with sub("messages::large objects of libpq"):
        oid = lo.lo_creat(0x60000)
        check(oid > 0, "no large object")
        lo.run("BEGIN")
        fd = lo.lo_open(oid, 0x60000)
        equal(lo.lo_write(fd, big, ctypes.c_size_t(len(big))), len(big))
        equal(lo.lo_lseek64(fd, ctypes.c_int64(1000), 0), 1000)
        room = ctypes.create_string_buffer(len(big))
        equal(lo.lo_read(fd, room, ctypes.c_size_t(len(big))), len(big) - 1000)
        equal(room.raw[:len(big) - 1000], big[1000:])
        equal(lo.lo_truncate(fd, ctypes.c_size_t(10)), 0)
        equal(lo.lo_close(fd), 0)
        lo.run("COMMIT")
    with sub("messages::large objects by SQL"), weir.connect() as conn:
        conn.execute("SET pgweir.consistency = 'strong'")    # another session wrote it
        equal(conn.execute("SELECT lo_get(%s)", (oid,)).fetchone()[0], big[:10])
        with conn.transaction():
            fd, = conn.execute("SELECT lo_open(%s, 131072)", (oid,)).fetchone()
            conn.execute("SELECT lo_put(%s, 5, 'xyz')", (oid,))
            equal(conn.execute("SELECT loread(%s, 100)", (fd,)).fetchone()[0], big[:5] + b"xyz" + big[8:10])
    with sub("messages::a descriptor ends with its transaction"):
        lo.run("BEGIN")
        fd = lo.lo_open(oid, 0x20000)
        lo.run("COMMIT")
        equal(lo.lo_read(fd, ctypes.create_string_buffer(9), ctypes.c_size_t(9)), -1)
        equal(lo.lo_unlink(oid), 1)
        equal(lo.lo_unlink(oid), -1)
    lo.PQfinish()


# ---- notices and notifications at any moment ----

@quick
def test_notices_at_any_moment(weir):
    """Between a portal's parts, before an error, inside COPY, in a pipeline: each in its place."""
    notice = "DO $$ BEGIN RAISE NOTICE 'n%', 1; RAISE WARNING 'w'; END $$"
    with logged_in(weir) as raw:
        raw.send(parse("", notice), bind("", ""), execute(), SYNC, query("SELECT 1; " + notice),
                 query("DO $$ BEGIN RAISE NOTICE 'before'; PERFORM 1/0; END $$"))
        got = [[k for k, _ in raw.read_until("Z") if k != "S"] for _ in range(3)]
        equal(got, [list("12NNCZ"), list("TDCNNCZ"), list("NEZ")])
        raw.send(query("DROP TABLE IF EXISTS no_such_table_at_all"), query("COMMIT"))
        got = [raw.read_until("Z") for _ in range(2)]
        equal([[error_fields(b)["C"] for k, b in g if k == "N"] for g in got], [["00000"], ["25P01"]])


@quick
def test_notices_longer_than_anything(weir):
    with logged_in(weir) as raw:
        raw.send(query("DO $$ BEGIN RAISE NOTICE '%', repeat('n', 3000000); END $$"), query("SELECT 1"))
        got = raw.read_until("Z")
        equal([len(error_fields(b)["M"]) for k, b in got if k == "N"], [3000000])
        equal(values(raw.read_until("Z")), ["1"])


@quick
def test_notifications_at_odd_moments(weir):
    """They come between answers, also while the session idles, never inside another's answer."""
    settle(weir)
    with logged_in(weir) as raw, weir.connect() as other:
        raw.send(query("LISTEN odd_moment"))
        raw.read_until("Z")
        raw.send(query("BEGIN"), query("SELECT 1"))
        raw.read_until("Z"), raw.read_until("Z")
        other.execute("NOTIFY odd_moment, 'inside'")
        time.sleep(0.3)
        raw.send(query("SELECT 2"))
        equal([k for k, _ in raw.read_until("Z")], list("TDCZ"), "nothing inside a transaction")
        raw.send(query("COMMIT"))
        got = [raw.read() for _ in range(3)]
        equal(sorted(k for k, _ in got), list("ACZ"))
        equal([b[4:] for k, b in got if k == "A"], [b"odd_moment\0inside\0"])
        other.execute("NOTIFY odd_moment, 'idle'")
        kind, body = raw.read_until("A")[-1]
        equal(body[4:], b"odd_moment\0idle\0")
        for i in range(20):
            other.execute(f"NOTIFY odd_moment, '{i}'")
            raw.send(parse("", "SELECT 7"), bind("", ""), execute(), SYNC)
        seen, answers = [], ""
        while len(seen) < 20 or answers.count("Z") < 20:
            kind, body = raw.read()
            if kind == "A":
                seen.append(body[15:-1].decode())
            else:
                answers += kind
        equal((seen, answers), ([str(i) for i in range(20)], "12DCZ" * 20))


# ---- very long messages ----

def rss_kib(weir):
    with open(f"/proc/{weir.proc.pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


@limit(180)
def test_very_long_messages_pass_in_spans(weir):
    """200 MB in one message either way: pgweir's memory stays what it was."""
    size = 200_000_000
    with logged_in(weir, timeout=120) as raw:
        raw.rows("SELECT 1")
        before, peak, done = rss_kib(weir) if weir.is_pgweir else 0, [0], threading.Event()

        def watch():
            while weir.is_pgweir and not done.wait(0.05):
                peak[0] = max(peak[0], rss_kib(weir))
        watcher = threading.Thread(target=watch)
        watcher.start()
        chunk = b"z" * 1_000_000
        raw.send(parse("", "SELECT length($1), substr($1, 1, 3)", (25,)))
        raw.send(b"B" + struct.pack("!I", 4 + 2 + 2 + 2 + 4 + size + 2) + b"\0\0" +
                 struct.pack("!HHI", 0, 1, size))
        for _ in range(size // len(chunk)):
            raw.send(chunk)
        raw.send(b"\0\0", execute(), SYNC)
        got = raw.read_until("Z")
        equal([row_values(b) for k, b in got if k == "D"], [[str(size), "zzz"]])
        raw.send(query(f"SELECT repeat('y', {size})"))
        raw.read_until("T")
        head = raw.take(5)
        left, total = struct.unpack("!I", head[1:])[0] - 4, 0
        equal(head[:1], b"D")
        while left:
            raw.buffer = raw.buffer or raw.sock.recv(1 << 20)
            total += min(left, len(raw.buffer))
            taken = min(left, len(raw.buffer))
            raw.buffer, left = raw.buffer[taken:], left - taken
        equal(total, size + 6)
        equal(kinds(raw.read_until("Z")), "CZ")
        done.set()
        watcher.join()
    if weir.is_pgweir and not weir.is_sanitized():
        check(peak[0] - before < 32_000, f"{peak[0] - before} KiB more")


@quick
def test_max_packet_size(start):
    weir = start({"max_packet_size": "100kB"})
    with logged_in(weir) as raw:
        equal(raw.rows(f"SELECT length('{'x' * 90000}')"), [["90000"]])
        raw.send(b"Q" + struct.pack("!I", 200_000))
        kind, body = raw.read()
        said = error_fields(body)
        equal((kind, said["S"], said["C"]), ("E", "FATAL", "08P01"))
        check("max_packet_size" in said["M"], said)
        check(raw.is_closed(), "stays open")


# ---- what is refused ----

@quick
def test_protocol_errors_are_postgresqls(weir):
    """Type by type: text, SQLSTATE, and whether the session lives on."""
    table = [
        (message("@"), "FATAL", "invalid frontend message type 64"),
        (message("\x7f"), "FATAL", "invalid frontend message type 127"),
        (message("D", b"Zx\0"), "ERROR", "invalid DESCRIBE message subtype 90"),
        (message("C", b"Zx\0"), "ERROR", "invalid CLOSE message subtype 90"),
        (message("Q", b"SELECT 1"), "ERROR", "invalid string in message"),
        (message("P", b"s\0SELECT 1"), "ERROR", "invalid string in message"),
        (message("E", b""), "ERROR", "invalid string in message"),
        (message("E", b"\0\0"), "ERROR", "insufficient data left in message"),
        (message("B", b"x"), "ERROR", "invalid string in message"),
        (message("S", b"x"), "ERROR", "invalid message format"),
    ]
    problems = []
    for data, severity, text in table:
        with logged_in(weir) as raw:
            raw.send(data)
            if severity == "ERROR" and data[:1] not in b"QS":
                raw.send(SYNC)
            kind, body = raw.read()
            said = error_fields(body) if kind == "E" else {"S": kind, "C": "", "M": ""}
            alive = False
            if said["S"] == "ERROR":
                raw.read_until("Z")
                alive = raw.rows("SELECT 1") == [["1"]]
            if (said["S"], said["C"], said["M"], alive) != (severity, "08P01", text, severity == "ERROR"):
                problems.append((data, said["S"], said["C"], said["M"], alive))
    equal(problems, [])


def death(raw, *parts):
    """What is said last before the connection ends."""
    with contextlib.suppress(OSError):
        raw.send(*parts)
    said = []
    with contextlib.suppress(Closed):
        while True:
            kind, body = raw.read()
            said.append(kind)
            if kind == "E":
                said[-1] = "{S} {C}".format(**error_fields(body))
    return said


@quick
def test_what_postgresql_takes_of_a_type(weir):
    """Those that only name things have a limit of 10,000 bytes. No server must see more: it would be gone."""
    for kind in "CDEHScfX":
        with logged_in(weir) as raw:
            want = ["FATAL 08P01"] if weir.is_pgweir else []
            equal(death(raw, message(kind, b"P" + 9995 * b"x" + b"\0")), want, kind)
    if weir.is_pgweir:
        equal([line for line in weir.log_lines() if "server_lost" in line], [])
    with logged_in(weir) as raw:
        raw.send(message("D", b"P" + 9994 * b"x" + b"\0"), SYNC)
        equal(states(raw.read_until("Z")), ["34000"])


@quick
def test_a_long_message_of_no_type_behind_a_batch(weir):
    """What is wrong with it is its type."""
    with logged_in(weir) as raw:
        raw.send(parse("", "SELECT 1"), message("y", 20000 * b"x"))
        said = error_fields(raw.read_until("E")[-1][1])
        equal((said["C"], said["M"]), ("08P01", "invalid frontend message type 121"))


@quick
def test_a_query_inside_copy_ends_the_session(weir):
    """As in PostgreSQL, which has lost track of the messages then."""
    copied(weir)
    with logged_in(weir) as raw:
        raw.send(query("COPY piped_copy FROM STDIN"))
        equal(raw.read()[0], "G")
        equal(death(raw, query("SELECT 1"))[-2:], ["ERROR 08P01", "FATAL 08P01"])


@quick
def test_a_batch_that_goes_on_may_write(start, sub):
    """A read goes to a replica where its batch ends with it; what comes behind a Flush may write, in the same transaction."""
    weir = start()
    insert = [parse("", "INSERT INTO unfinished VALUES (1)"), bind("", ""), execute()]
    firsts = {"a description": ([parse("s", "SELECT 1"), describe("S", "s")], "T"),
              "a read": ([parse("s", "SELECT 1"), bind("", "s"), execute()], "C"),
              "a setting": ([parse("s", "SET work_mem = '1234kB'"), bind("", "s"), execute()], "C")}
    seconds = {"an extended write": [*insert, SYNC], "a simple write": [query("INSERT INTO unfinished VALUES (1)")],
               "a refused setting": [query("SET ROLE nobody_there")]}
    with logged_in(weir) as raw:
        raw.rows("CREATE TABLE unfinished (n int)")
    for first, (messages, last) in firsts.items():
        for second, more in seconds.items():
            with sub(f"messages::{second} behind {first} and a Flush"), logged_in(weir) as raw:
                raw.send(*messages, FLUSH)
                raw.read_until(last)
                raw.send(*more)
                answer = raw.read_until("Z")
                equal(states(answer), ["22023"] if "refused" in second else [])
                raw.rows("INSERT INTO unfinished VALUES (2)")    # it isn't bound to a replica either
    with logged_in(weir) as raw:
        raw.rows("DROP TABLE unfinished")


@quick
def test_a_write_behind_the_end_of_a_read_only_transaction(start, sub):
    """Its COMMIT ran on a replica, where what comes behind it, in the same batch, can't write."""
    weir = start({"consistency": "eventual"})
    insert = [parse("", "INSERT INTO behind_the_end VALUES (1)"), bind("", ""), execute(), SYNC]
    begins = {"asked first": [query("BEGIN READ ONLY")],
              "in a batch": [parse("", "BEGIN READ ONLY") + bind("", "") + execute() + SYNC]}
    ends = {"a Flush": ([parse("", "COMMIT"), bind("", ""), execute(), FLUSH], insert, "C"),
            "a Flush, simple": ([parse("", "COMMIT"), bind("", ""), execute(), FLUSH],
                                [query("INSERT INTO behind_the_end VALUES (1)")], "C"),
            "a ROLLBACK and a Flush": ([parse("", "ROLLBACK"), bind("", ""), execute(), FLUSH], insert, "C"),
            "two Flushes": ([parse("", "COMMIT"), bind("", ""), execute(), FLUSH, parse("r", "SELECT 1"), FLUSH], insert, "C1"),
            "nothing": ([], [parse("", "COMMIT"), bind("", ""), execute(), *insert], "")}
    with logged_in(weir) as raw:
        raw.rows("DROP TABLE IF EXISTS behind_the_end; CREATE TABLE behind_the_end (n int)")
    for how, begin in begins.items():
        for end, (first, second, last) in ends.items():
            with sub(f"messages::{end} between the end of a transaction begun {how} and a write"), \
                    logged_in(weir) as raw:
                before = weir.stat("routed_replica")
                raw.send(*begin)
                equal(states(raw.read_until("Z")), [])
                equal(values(ask_sql(raw, "SELECT 1")), ["1"])
                check(weir.stat("routed_replica") > before, "it runs on a replica")
                raw.send(*first)
                for kind in last:
                    raw.read_until(kind)
                raw.send(*second)
                answer = raw.read_until("Z")
                equal((states(answer), answer[-1][1]), ([], b"I"))
                raw.rows("INSERT INTO behind_the_end VALUES (2)")
    with logged_in(weir) as raw:
        equal(raw.rows("WITH d AS (DELETE FROM behind_the_end RETURNING 1) SELECT count(*) FROM d"), [[str(2 * len(begins) * len(ends))]])
        raw.rows("DROP TABLE behind_the_end")


@quick
def test_a_batch_that_may_have_changed_the_session_may_write(start, sub):
    """It failed where what its statements did can't be told, which pins: not to a replica, on which what stands in front
    of it in the packet may have run."""
    weir = start()
    before = {"nothing": [], "a setting": [query("SET TRANSACTION READ ONLY")],
              "a read": [parse("", "SELECT 1"), bind("", ""), execute(), SYNC]}
    batches = {"a SET whose portal doesn't run": [parse("a", "SET work_mem = '333kB'"), bind("p", "a"), describe("S", "no_such")],
               "a SET in parts": [parse("a", "SET work_mem = '333kB'"), bind("", "a"), execute("", 1), bind("", "no_such")],
               "an ABORT with a parameter too many": [parse("a", "ABORT"), bind("p", "a", "0")]}
    with logged_in(weir) as raw:
        raw.rows("DROP TABLE IF EXISTS may_write; CREATE TABLE may_write (n int)")
    for (label, batch), (first, front) in itertools.product(batches.items(), before.items()):
        with sub(f"messages::{label} behind {first}"), logged_in(weir) as raw:
            raw.send(*front, *batch, SYNC)
            if front:
                equal(states(raw.read_until("Z")), [])
            equal(len(states(raw.read_until("Z"))), 1)
            raw.send(query("COPY may_write FROM STDIN; SELECT 1"))
            equal(kinds(raw.read_until("G", "Z")), "G")
            raw.send(COPY_DONE)
            equal(states(raw.read_until("Z")), [])
    with logged_in(weir) as raw:
        raw.rows("DROP TABLE may_write")


@quick
def test_settings_behind_the_end_of_a_read_only_transaction(start, sub):
    """What it has SET stays behind its COMMIT and is gone behind its ROLLBACK, in the same batch too. A write behind
    a ROLLBACK of settings is refused, since the replica has to say what they are now."""
    weir = start({"consistency": "eventual"})
    with logged_in(weir) as raw:
        raw.rows("DROP TABLE IF EXISTS behind_the_end; CREATE TABLE behind_the_end (label text, value text)")
    for end in ("COMMIT", "ROLLBACK"):
        for words in ("SET work_mem = '333kB'", "SET LOCAL work_mem = '333kB'", "SELECT set_config('work_mem', '333kB', false)",
                      "SAVEPOINT a; SET work_mem = '333kB'"):
            for flush in (FLUSH, b""):
                label = f"{end} behind {words}{' and a Flush' if flush else ''}"
                with sub("messages::" + label), logged_in(weir) as raw:
                    raw.rows("SET work_mem = '222kB'")
                    raw.rows("BEGIN READ ONLY")
                    raw.rows("SELECT 1")
                    for word in words.split("; "):
                        raw.rows(word)
                    insert = f"INSERT INTO behind_the_end VALUES ('{label.replace(chr(39), '')}', current_setting('work_mem'))"
                    raw.send(parse("", end), bind("", ""), execute(), flush)
                    if flush:
                        check("N" not in kinds(raw.read_until("C")), "there was a transaction to end")
                    raw.send(parse("", insert), bind("", ""), execute(), SYNC)
                    answer = raw.read_until("Z")
                    check("N" not in kinds(answer), "there was a transaction to end")
                    refused = end == "ROLLBACK"
                    equal((states(answer), answer[-1][1]), (["25006"] if refused else [], b"I"))
                    want = "333kB" if end == "COMMIT" and "LOCAL" not in words else "222kB"
                    equal(raw.rows("DELETE FROM behind_the_end RETURNING value"), [] if refused else [[want]])
                    equal(raw.rows("SHOW work_mem"), [[want]])
    with logged_in(weir) as raw:
        raw.rows("DROP TABLE behind_the_end")


@quick
def test_a_write_behind_a_read_in_one_packet(start):
    """It isn't tried on the read's replica first."""
    weir = start({"consistency": "eventual"})
    with logged_in(weir) as raw:
        raw.rows("CREATE TABLE behind_a_read (n int)")
        for n in range(10):
            raw.send(parse("", "SELECT 1"), bind("", ""), execute(), SYNC,
                     parse("", f"INSERT INTO behind_a_read VALUES ({n})"), bind("", ""), execute(), SYNC)
            equal([states(raw.read_until("Z")), states(raw.read_until("Z"))], [[], []])
        raw.rows("DROP TABLE behind_a_read")
    check(weir.stat("routed_replica") > 0, "the reads went to replicas")
    equal(weir.stat("retries_read_only"), 0)


@quick
def test_a_transaction_behind_a_read_in_one_packet(start, sub):
    """Its BEGIN isn't sent to the read's replica, where nothing behind it could write."""
    weir = start({"consistency": "eventual"})
    read = parse("", "SELECT 1") + bind("", "") + execute() + SYNC
    begins = {"simple": query("BEGIN"), "extended": parse("", "BEGIN") + bind("", "") + execute() + SYNC,
              "parsed before": bind("", "begin") + execute() + SYNC}
    with logged_in(weir) as raw:
        raw.rows("DROP TABLE IF EXISTS behind_a_read; CREATE TABLE behind_a_read (n int)")
        ask(raw, parse("begin", "BEGIN"))
        for label, begin in begins.items():
            with sub(label):
                before = weir.stat("routed_replica")
                for n in range(5):
                    raw.send(read, begin)
                    raw.send(query(f"INSERT INTO behind_a_read VALUES ({n})"), query("COMMIT"))
                    equal([states(raw.read_until("Z")) for _ in range(4)], [[], [], [], []])
                check(weir.stat("routed_replica") > before, "the reads went to replicas")
        raw.rows("DROP TABLE behind_a_read")
