# SPDX-License-Identifier: PostgreSQL
"""Clients that break the protocol, stop in the middle or vanish. Whatever they
do, the answer is an error or a close, the process lives on, and a well-behaved
client beside them doesn't notice. The cases are made from states and messages."""
import contextlib
import socket
import struct
import threading
import time

import rawpg
from lib import check, equal, limit, patient, quick, until
from rawpg import (FLUSH, SYNC, Raw, bind, close, describe, execute, message, parse, query,
                   row_values, startup)

OPTIONS = {"default_pool_size": 6, "query_wait_timeout": 20, "client_login_timeout": 5,
           "client_buffer_size": "64kB"}

TAIL = b"".join([SYNC, query("ROLLBACK"), SYNC, query("ROLLBACK"), query("SELECT 'the end'")])

MESSAGES = {
    "Query": query("SELECT 1"), "empty Query": query(""), "Query without NUL": message("Q", b"x"),
    "Parse": parse("", "SELECT 1"), "named Parse": parse("h1", "SELECT $1::int"),
    "Parse without body": message("P"), "Parse with 65535 types": message("P", b"\0\0\xff\xff"),
    "Bind": bind("", ""), "Bind to nothing": bind("p", "no_such", ["1"]),
    "Bind without body": message("B"),
    "Bind with a value of length -2": message("B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"),
    "Bind with a value of 2 GB": message("B", b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"),
    "Describe": describe("S", ""), "Describe of a wrong kind": message("D", b"Zx\0"),
    "Describe without body": message("D"), "Execute": execute(), "Execute of -1 rows":
    message("E", b"\0\xff\xff\xff\xff"), "Execute without body": message("E"),
    "Close": close("S", ""), "Close of a portal": close("P", "p"), "Close without body":
    message("C"), "Sync": SYNC, "Sync with a body": message("S", b"abc"), "Flush": FLUSH,
    "FunctionCall": message("F", struct.pack("!IHHH", 1598, 0, 0, 0)),
    "FunctionCall without body": message("F"), "CopyData": message("d", b"row\n"),
    "CopyDone": message("c"), "CopyFail": message("f", b"no\0"), "password": message("p", b"x\0"),
    "unknown type": message("y", b"x"), "a server's type": message("Z", b"I"),
    "byte 0": b"\0\0\0\0\4", "byte 255": b"\xff\0\0\0\4",
    "startup packet": startup({"user": "postgres", "database": "app"}),
    "SSLRequest": struct.pack("!II", 8, 80877103), "Terminate": message("X"),
}

LENGTHS = (0, 1, 3, 0x7fffffff, 0x80000000, 0xffffffff)


def in_copy(raw):
    raw.send(query("BEGIN; CREATE TEMP TABLE h(a text) ON COMMIT DROP; COPY h FROM STDIN"))
    raw.read_until("G")


def failed(raw):
    raw.send(query("BEGIN"), query("SELECT 1/0"))
    raw.read_until("E")


STATES = {
    "idle": lambda raw: None,
    "busy": lambda raw: raw.send(query("SELECT pg_sleep(0.05)")),
    "in a transaction": lambda raw: raw.send(query("BEGIN"), query("SELECT 1")),
    "in a failed transaction": failed,
    "in COPY": in_copy,
    "in an open batch": lambda raw: raw.send(parse("", "SELECT 1"), bind("", ""), FLUSH),
    "behind an error": lambda raw: raw.send(parse("", "nonsense"), FLUSH),
    "in a large result":
    lambda raw: raw.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 3000)")),
}


class Bystander:
    """A well-behaved client; what goes wrong for it is an error."""

    def __init__(self, weir):
        self.weir, self.turns, self.problem, self.is_over = weir, 0, None, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            with self.weir.connect() as conn:
                while not self.is_over:
                    equal(conn.execute("SELECT 6 * 7").fetchone(), (42,))
                    self.turns += 1
                    time.sleep(0.005)
        except Exception as e:    # noqa: BLE001: told by the one who looks on
            self.problem = e

    def __enter__(self):
        self.thread.start()
        until("the bystander to be at work", 30, lambda: self.turns or self.problem)
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join()
        check(self.problem is None, f"the bystander was disturbed: {self.problem!r}")
        check(self.turns > 0, "the bystander got nothing done")


def logged_in(weir, timeout=10):
    raw = Raw(weir.port, timeout)
    equal(raw.log_in(), None)
    return raw


def is_answered(raw):
    """Reads on: True when the tail's last answer came, or the connection ended."""
    raw.sock.settimeout(patient(5))
    try:
        while True:
            kind, body = raw.read()
            if kind == "D" and b"the end" in body:
                return True
    except (rawpg.Closed, ConnectionError):
        return True
    except socket.timeout:
        return False


def send_all(raw, data):
    """The peer may close while we still send."""
    with contextlib.suppress(ConnectionError):
        raw.send(data)


@quick
@limit(240)
def test_messages_in_states(weir, sub):
    with Bystander(weir):
        for state, reach in STATES.items():
            for name, data in MESSAGES.items():
                with sub(f"hostile::{name} while {state}"), logged_in(weir) as raw:
                    reach(raw)
                    send_all(raw, data)
                    # Where a type is no type, or a length not known, nothing can follow.
                    send_all(raw, TAIL)
                    check(is_answered(raw), "no answer")
    check(weir.is_alive(), "pgweir ended")


@quick
@limit(120)
def test_lengths(weir, sub):
    """Refused, or waited for without end: but never with memory in advance, nor in silence
    when it can't be right."""
    with Bystander(weir):
        for kind in "QPBDECSHFdcfp":
            for length in LENGTHS:
                with sub(f"hostile::{kind} of length {length}"), logged_in(weir, 3) as raw:
                    send_all(raw, kind.encode() + struct.pack("!I", length) + b"x" * 20)
                    if length < 4 or length > 0x7fffffff:
                        check(is_answered(raw), "a length that can't be was taken")
    check(weir.is_alive(), "pgweir ended")


BEFORE = {
    **{name: data for name, data in MESSAGES.items() if name != "SSLRequest"
       and name != "startup packet"},
    "length 0": struct.pack("!II", 0, 196608), "length 4": struct.pack("!I", 4),
    "length 7": struct.pack("!I", 7) + b"abc",
    "length 2^31": struct.pack("!II", 0x80000000, 196608),
    "length 2^32-1": struct.pack("!II", 0xffffffff, 196608),
    "length 10 MB": struct.pack("!II", 10 << 20, 196608),
    "no terminator": struct.pack("!II", 13, 196608) + b"user\0",
    "no user": startup({"database": "app"}), "empty user": startup({"user": "", "database": "app"}),
    "user of 63 bytes": startup({"user": "u" * 63}),
    "user of 64 bytes": startup({"user": "u" * 64}),
    "user of 4096 bytes": startup({"user": "u" * 4096}),
    "database of 4096 bytes": startup({"user": "app", "database": "d" * 4096}),
    "parameter of 9000 bytes": startup({"user": "app", "work_mem": "d" * 9000}),
    "not UTF-8": struct.pack("!II", 8 + 12, 196608) + b"user\0\xff\xfe\x80\xc0\xaf\0\0",
    "protocol 2": startup({"user": "app"}, 131072), "protocol 4": startup({"user": "app"}, 262144),
    "a short CancelRequest": struct.pack("!III", 12, 80877102, 1),
    "a CancelRequest for nobody": struct.pack("!IIII", 16, 80877102, 12345, 678),
    "SSLRequest and a query": struct.pack("!II", 8, 80877103) + query("SELECT 1"),
    "GSSENCRequest and a query": struct.pack("!II", 8, 80877104) + query("SELECT 1"),
    "options without end": startup({"user": "app", "options": "-c" * 2000}),
    "options with a lone backslash": startup({"user": "app", "options": "-c a=\\"}),
}


@quick
@limit(120)
def test_before_log_in(weir, sub):
    with Bystander(weir):
        for name, data in BEFORE.items():
            with sub(f"hostile::{name} as first packet"), Raw(weir.port, 8) as raw:
                send_all(raw, data)
                if "user" in name or "options" in name or "parameter" in name:
                    send_all(raw, message("p", b"x\0"))    # whatever it is asked for
                check(is_closed_or_asked(raw), "neither refused nor asked for a password")
    check(weir.is_alive(), "pgweir ended")


def is_closed_or_asked(raw):
    try:
        while raw.take(1):
            pass
    except (rawpg.Closed, ConnectionError):
        return True
    except socket.timeout:
        return False


@quick
@limit(120)
def test_during_authentication(weir, sub):
    with Bystander(weir):
        for name, data in MESSAGES.items():
            with sub(f"hostile::{name} instead of a password"), Raw(weir.port, 8) as raw:
                raw.send(startup({"user": "app", "database": "app"}))
                equal(raw.read()[0], "R")
                send_all(raw, data)
                check(is_closed_or_asked(raw), "neither refused nor closed")
        with sub("hostile::a second startup packet doesn't change the user"), \
                Raw(weir.port, 8) as raw:
            raw.send(startup({"user": "nobody", "database": "app"}))
            equal(raw.read()[0], "R")
            send_all(raw, startup({"user": "app", "database": "app"}))
            check(is_closed_or_asked(raw), "taken")
    check(weir.is_alive(), "pgweir ended")


def reset(raw):
    """Ends the connection by a reset instead of an orderly close."""
    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.sock.close()


@quick
@limit(120)
def test_vanishing(weir, sub):
    with Bystander(weir):
        for state, reach in STATES.items():
            for how in ("close", "reset", "half-close"):
                with sub(f"hostile::{how} while {state}"):
                    raw = logged_in(weir)
                    reach(raw)
                    if how == "half-close":
                        raw.sock.shutdown(socket.SHUT_WR)
                        check(is_answered(raw), "it stays open for ever")
                        raw.sock.close()
                    elif how == "reset":
                        reset(raw)
                    else:
                        raw.sock.close()
        with sub("hostile::their servers are free again"):
            until("free servers", 20, lambda: pool_row(weir)["cl_waiting"] in (0, "0"))
            with weir.connect() as conn:
                equal(conn.execute("SELECT 1").fetchone(), (1,))
    check(weir.is_alive(), "pgweir ended")


def pool_row(weir):
    return next(row for row in weir.show("POOLS") if row["database"] == "app")


@quick
@limit(60)
def test_cut_in_the_middle(weir, sub):
    """A message that stops anywhere, then a close: nothing of it may reach a server."""
    data = parse("cut", "SELECT 'never'") + bind("", "cut") + execute() + SYNC
    with Bystander(weir), sub("hostile::a batch cut at every byte"):
        for size in range(1, len(data)):
            raw = logged_in(weir)
            raw.send(data[:size])
            raw.sock.close()
    check(weir.is_alive(), "pgweir ended")


@quick
@limit(60)
def test_half_a_copy_message(weir, sub):
    """The server refuses a row while a long message is under way: its rest must not be taken for
    another client's."""
    with Bystander(weir), logged_in(weir) as raw, sub("hostile::half a message when COPY fails"):
        raw.send(query("CREATE TABLE IF NOT EXISTS hostile_copy(k int)"))
        raw.read_until("Z")
        for _ in range(5):
            raw.send(query("COPY hostile_copy FROM STDIN"))
            raw.read_until("G")
            long = message("d", b"1\n" * 100000)
            raw.send(message("d", b"no number\n"), long[:70000])
            equal([kind for kind, _ in raw.read_until("Z")], ["E", "Z"])
            others = [logged_in(weir) for _ in range(4)]
            for other in others:
                equal(other.rows("SELECT 5"), [["5"]])
                other.sock.close()
            raw.send(long[70000:], message("c"), query("SELECT 6"))
            got = raw.read_until("Z")
            equal([row_values(body) for kind, body in got if kind == "D"], [["6"]])


@quick
@limit(60)
def test_queries_inside_dropped_messages(weir, sub):
    """A long message that nobody takes is dropped to its end: a query in its data never runs."""
    inside = query("SELECT 'smuggled'")
    states = {"idle": lambda raw: None, "in a transaction": STATES["in a transaction"],
              "behind an error": STATES["behind an error"]}
    with Bystander(weir):
        for state, reach in states.items():
            with sub(f"hostile::a query in COPY data while {state}"), logged_in(weir) as raw:
                reach(raw)
                time.sleep(0.2)
                raw.send(b"d", struct.pack("!I", 4 + 70000 + len(inside)), b"1" * 70000)
                time.sleep(0.2)    # what is there is taken as the message's start
                raw.send(inside, SYNC, query("ROLLBACK"), query("SELECT 'the end'"))
                rows = []
                while [b"the end"] not in rows:
                    kind, body = raw.read()
                    rows += [[v.encode() for v in row_values(body)]] if kind == "D" else []
                check([b"smuggled"] not in rows, "data were taken for a query")
    check(weir.is_alive(), "pgweir ended")


@quick
@limit(60)
def test_cancels_hung_up_early(weir, sub):
    with Bystander(weir), logged_in(weir, 30) as raw:
        pid, secret = struct.unpack("!II", raw.key[:8])
        raw.send(query("SELECT pg_sleep(60)"))
        with sub("hostile::cancel requests hung up at every byte"):
            packet = struct.pack("!IIII", 16, 80877102, pid, secret ^ 1)
            for size in range(len(packet) + 1):
                with socket.create_connection(("127.0.0.1", weir.port), 5) as sock:
                    sock.sendall(packet[:size])
        with sub("hostile::a storm of true ones"):
            packet = struct.pack("!IIII", 16, 80877102, pid, secret)
            for _ in range(50):
                sock = socket.create_connection(("127.0.0.1", weir.port), 5)
                sock.sendall(packet)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            got = raw.read_until("Z")
            check(any(k == "E" and b"57014" in b for k, b in got), "not canceled")
        with sub("hostile::the canceled client goes on"):
            until("a query that isn't canceled", 10, lambda: is_query_fine(raw), 0.1)
    check(weir.is_alive(), "pgweir ended")


def is_query_fine(raw):
    """Late cancels may still hit this very client."""
    raw.send(query("SELECT 1"))
    return all(kind != "E" for kind, _ in raw.read_until("Z"))


def resident_kb(weir):
    with open(f"/proc/{weir.proc.pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


@quick
@limit(120)
def test_slow_readers(weir, sub):
    """Results of 100 MB each that nobody reads: memory stays bounded by the water marks."""
    before = resident_kb(weir)
    with Bystander(weir), contextlib.ExitStack() as stack:
        slow = [stack.enter_context(logged_in(weir, 30)) for _ in range(4)]
        for raw in slow:
            raw.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"))
        time.sleep(1.5)
        with sub("hostile::unread results don't pile up"):
            check(resident_kb(weir) - before < 60000, f"grew by {resident_kb(weir) - before} kB")
        with sub("hostile::a slow reader gets every row in the end"):
            rows = sum(kind == "D" for kind, _ in slow[0].read_until("Z"))
            equal(rows, 100000)
    check(weir.is_alive(), "pgweir ended")


@quick
@limit(120)
def test_unfinished_messages(weir, sub):
    """Large messages that never end cost no more than the client's buffer."""
    before = resident_kb(weir)
    with Bystander(weir), contextlib.ExitStack() as stack:
        for kind in "QPBdF":
            for _ in range(3):
                raw = stack.enter_context(logged_in(weir))
                raw.sock.settimeout(2)
                with contextlib.suppress(socket.timeout, ConnectionError):
                    raw.send(kind.encode() + struct.pack("!I", 100 << 20), b"\0x\0" * 20000)
        time.sleep(0.5)
        with sub("hostile::unfinished messages don't pile up"):
            check(resident_kb(weir) - before < 80000, f"grew by {resident_kb(weir) - before} kB")
    check(weir.is_alive(), "pgweir ended")
