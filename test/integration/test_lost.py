# SPDX-License-Identifier: PostgreSQL
"""A server connection is cut without a word: what the client hears, case by case."""
import contextlib
import socket
import threading
import time

from psycopg.pq import TransactionStatus as Status

from lib import check, equal, limit, patient, quick, raises, until
from rawpg import SYNC, Closed, ask, bind, execute, first_error, logged_in, parse, query

OPTIONS = {"failover_wait_timeout": 20}


class Wire:
    """A relay before the primary that can keep its answers back, and be cut."""

    def __init__(self, port, host="127.0.0.1", at=0):
        self.target, self.pairs, self.is_mute, self.asked = port, [], False, b""
        self.listener = socket.create_server((host, at))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target))
                self.pairs.append((near, far))
                for pair in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink, is_answer):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self.is_mute:
                    continue
                sink.sendall(data)
                if self.is_mute:
                    self.asked += data

    def mute(self):
        """From now on answers are kept back; `asked` is what still goes to the server."""
        self.asked, self.is_mute = b"", True

    def cut_behind(self, text):
        """A thread that cuts when the server has had a moment for this text."""
        def work():
            until("the server to be asked", 20, lambda: text.encode() in self.asked)
            time.sleep(0.3)
            self.cut()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for sock in (s for pair in pairs for s in pair):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.is_mute = False

    def close(self):
        self.listener.close()
        self.cut()


@contextlib.contextmanager
def wired(tier, start):
    wire = Wire(tier.primary_port())
    weir = start({**OPTIONS, "databases": [f"wired = host=127.0.0.1 port={wire.port} dbname=app"]})
    try:
        with weir.connect(dbname="wired", prepare_threshold=None) as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS lost(a int)")
            yield wire, conn, weir
    finally:
        wire.close()


def cut_under(wire, conn, sql):
    """Run it; its answer never comes, then the connection breaks."""
    wire.mute()
    cutter = wire.cut_behind(sql)
    try:
        return conn.execute(sql)
    finally:
        cutter.join()


def cut_under_batch(wire, conn, sql):
    """The same, the BEGIN in front of it in the same batch."""
    conn.autocommit = False
    wire.mute()
    cutter = wire.cut_behind(sql)
    try:
        with conn.pipeline():
            conn.execute(sql)
    finally:
        cutter.join()


def cut_and_seen(wire, weir):
    """Cut; pgweir knows it when it goes on."""
    wire.cut()
    until("the end to be seen", 20, lambda: not [r for r in weir.show("SERVERS") if r["database"] == "wired"])


def status(conn):
    return conn.pgconn.transaction_status


def expect_aborted(conn):
    equal(status(conn), Status.INERROR, "the transaction is over, and not forgotten")
    raises("25P02", conn.execute, "INSERT INTO lost VALUES (99)")
    conn.rollback()
    equal(status(conn), Status.IDLE)
    conn.autocommit = True
    equal(conn.execute("SELECT count(*) FROM lost WHERE a = 99").fetchone(), (0,))


@limit(90)
@quick
def test_what_a_client_hears(tier, start, sub):
    with wired(tier, start) as (wire, conn, weir):
        with sub("a write by itself"):
            raises("08006", cut_under, wire, conn, "INSERT INTO lost VALUES (1)")
            equal(status(conn), Status.IDLE)
        with sub("the first statement of a transaction"):
            conn.execute("SELECT 1")    # a server is there again
            conn.execute("BEGIN")
            raises("08006", cut_under, wire, conn, "INSERT INTO lost VALUES (2)")
            expect_aborted(conn)
        with sub("BEGIN and a statement in one batch"):
            conn.execute("SELECT 1")
            raises("08006", cut_under_batch, wire, conn, "INSERT INTO lost VALUES (2)")
            expect_aborted(conn)
        with sub("a later statement of a transaction"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO lost VALUES (3)")
            raises("08006", cut_under, wire, conn, "INSERT INTO lost VALUES (4)")
            expect_aborted(conn)
        with sub("COMMIT"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO lost VALUES (5)")
            raises("08007", cut_under, wire, conn, "COMMIT")
            equal(status(conn), Status.IDLE)
        with sub("between two statements"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO lost VALUES (6)")
            cut_and_seen(wire, weir)
            raises("08006", conn.execute, "INSERT INTO lost VALUES (7)")
            expect_aborted(conn)
        with sub("BEGIN and a statement in one text"):
            conn.execute("SELECT 1")
            raises("08006", cut_under, wire, conn, "BEGIN; INSERT INTO lost VALUES (10)")
            expect_aborted(conn)
        with sub("a whole transaction in one text"):
            conn.execute("SELECT 1")
            raises("08007", cut_under, wire, conn, "BEGIN; INSERT INTO lost VALUES (11); COMMIT")
            equal(status(conn), Status.IDLE)
        with sub("the end of a transaction and the next one's beginning in one text"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO lost VALUES (12)")
            raises("08006", cut_under, wire, conn, "COMMIT; BEGIN; INSERT INTO lost VALUES (13)")
            expect_aborted(conn)
        with sub("before COMMIT"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO lost VALUES (8)")
            cut_and_seen(wire, weir)
            raises("08006", conn.execute, "COMMIT")
            equal(status(conn), Status.IDLE)
        with sub("before ROLLBACK"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO lost VALUES (9)")
            cut_and_seen(wire, weir)
            conn.execute("ROLLBACK")
            equal(status(conn), Status.IDLE)
        with sub("a read is repeated"):
            conn.execute("SELECT 1")
            equal(cut_under(wire, conn, "SELECT 8").fetchone(), (8,))
        with sub("an idle session notices nothing"):
            conn.execute("SET work_mem = '6MB'")
            wire.cut()    # seen by pgweir or not
            equal(conn.execute("SHOW work_mem").fetchone(), ("6MB",))
        conn.execute("DROP TABLE lost")


REPEATED = [    # (what it is, text, rows that it leaves when it is ended behind the first)
    ("a procedure that commits", "CALL lost_commits()", 1),
    ("a block that commits", "DO $$BEGIN INSERT INTO lost_twice VALUES (1); COMMIT; PERFORM pg_sleep(60); END$$", 1),
    ("a text with COMMIT in it", "INSERT INTO lost_twice VALUES (1); COMMIT; SELECT pg_sleep(60)", 1),
    ("a text with BEGIN in it", "BEGIN; INSERT INTO lost_twice VALUES (1); COMMIT; SELECT pg_sleep(60)", 1),
]


@limit(180)
def test_what_may_have_committed_a_part_is_not_repeated(tier, weir, sub):
    """Its server ends in an orderly way, 57P01, before anything is answered."""
    with tier.connect() as admin:
        admin.execute("DROP TABLE IF EXISTS lost_twice; CREATE TABLE lost_twice (a int)")
        admin.execute("CREATE OR REPLACE PROCEDURE lost_commits() LANGUAGE plpgsql AS "
                      "$$BEGIN INSERT INTO lost_twice VALUES (1); COMMIT; PERFORM pg_sleep(60); END$$")
        for label, text, rows in REPEATED:
            with sub(label), weir.connect(prepare_threshold=None) as conn:
                admin.execute("TRUNCATE lost_twice")
                heard = []

                def run():
                    try:
                        conn.execute(text)
                    except Exception as e:    # noqa: BLE001: looked at below
                        heard.append(getattr(e, "sqlstate", None))
                thread = threading.Thread(target=run)
                thread.start()
                pid = until("it to sleep behind its commit", 20, lambda: admin.execute(
                    "SELECT a.pid FROM pg_stat_activity a, lost_twice WHERE wait_event = 'PgSleep' AND "
                    "pid <> pg_backend_pid()").fetchone())
                admin.execute("SELECT pg_terminate_backend(%s)", pid)
                thread.join(30)
                check(not thread.is_alive(), "it runs again")
                check(heard in (["08006"], ["08007"]), heard)    # look first, say both
                equal(admin.execute("SELECT count(*) FROM lost_twice").fetchone(), (rows,))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")


INSIDE = [    # what it is, statements before it, the text, what a transaction does that it waits for behind a commit
    ("CREATE INDEX CONCURRENTLY", [], "CREATE INDEX CONCURRENTLY lost_i ON lost_inside (a)", "INSERT INTO lost_inside VALUES (2)"),
    ("DROP INDEX CONCURRENTLY", ["CREATE INDEX lost_i ON lost_inside (a)"], "DROP INDEX CONCURRENTLY lost_i",
     "INSERT INTO lost_inside VALUES (2)"),
    ("REINDEX CONCURRENTLY", ["CREATE INDEX lost_i ON lost_inside (a)"], "REINDEX INDEX CONCURRENTLY lost_i",
     "INSERT INTO lost_inside VALUES (2)"),
    ("DETACH CONCURRENTLY", ["CREATE TABLE lost_part PARTITION OF lost_whole FOR VALUES FROM (0) TO (9)"],
     "ALTER TABLE lost_whole DETACH PARTITION lost_part CONCURRENTLY", "SELECT FROM lost_whole"),
    ("VACUUM", [], "VACUUM lost_inside, lost_whole", "LOCK lost_whole"),
    ("CLUSTER", ["CREATE INDEX lost_i ON lost_inside (a)", "CLUSTER lost_inside USING lost_i"], "CLUSTER", "LOCK lost_inside"),
]
INSIDE_BY = {    # how a text is sent behind what went before
    "simple": (None, lambda text: query(text)),
    "extended": (None, lambda text: parse("", text) + bind("", "") + execute() + SYNC),
    "prepared": (lambda text: parse("one", text) + SYNC, lambda text: bind("", "one") + execute() + SYNC),
}


def first_answer(conn, messages):
    """The SQLSTATE that ends what was sent; a direct connection ends with it."""
    conn.send(messages)
    try:
        return first_error(conn.read_until("E", "Z"))
    except Closed:
        return "closed"


@limit(240)
def test_what_commits_inside_is_not_repeated(tier, weir, sub):
    """Its server ends in an orderly way when half of it is done: that is told, and nothing is done once more."""
    wanted = ("08006",) if weir.is_pgweir else ("57P01",)
    with tier.connect() as admin, tier.connect() as holder:
        for label, before, text, held in INSIDE:
            for by, (first, then) in INSIDE_BY.items():
                with sub(f"lost::{label}, {by}"), logged_in(weir, timeout=30) as raw:
                    admin.execute("DROP TABLE IF EXISTS lost_inside, lost_whole, lost_part")
                    admin.execute("CREATE TABLE lost_inside (a int)")
                    admin.execute("CREATE TABLE lost_whole (a int) PARTITION BY RANGE (a)")
                    for one in before:
                        admin.execute(one)
                    if first:
                        raw.send(first(text))
                        raw.read_until("Z")
                    holder.execute("BEGIN")
                    holder.execute(held)
                    heard = []
                    thread = threading.Thread(target=lambda: heard.append(first_answer(raw, then(text))))
                    thread.start()
                    pid = until("it to wait", 20, lambda: admin.execute(
                        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = %s", (text,)).fetchone())
                    admin.execute("SELECT pg_terminate_backend(%s, 10000)", pid)
                    thread.join(patient(10))
                    again = admin.execute("SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = %s", (text,)).fetchall()
                    holder.execute("ROLLBACK")
                    thread.join(patient(20))
                    equal(again, [], "runs again")
                    check(heard and heard[0] in wanted, heard)
        admin.execute("DROP TABLE IF EXISTS lost_inside, lost_whole, lost_part")


@quick
def test_what_postgresql_gives_up_on_is_not_repeated(weir):
    """It ends the session with an internal error, XX000, and would end the next one: EXECUTE of a ROLLBACK TO is such."""
    with logged_in(weir) as raw:
        ask(raw, parse("one", "ROLLBACK TO nothing"))
        before = weir.stat("retries_other") if weir.is_pgweir else 0
        equal(first_answer(raw, query("EXECUTE one")), "08006" if weir.is_pgweir else "XX000")
        if weir.is_pgweir:
            raw.read_until("Z")
            equal(raw.rows("SELECT 7"), [["7"]])
            equal(weir.stat("retries_other"), before)


class Late(Wire):
    """A relay that keeps back the end of a log-in, and what comes behind it, until the server has ended."""

    def __init__(self, port):
        self.is_holding, self.held = False, b""
        super().__init__(port)

    def pump(self, source, sink, is_answer):
        kept = b""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and (kept or self.is_holding and KEY in data):
                    self.held = kept = kept + data
                else:
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.sendall(kept)
            sink.shutdown(socket.SHUT_WR)

    def pid(self):
        at = self.held.find(KEY)
        return int.from_bytes(self.held[at + 5:at + 9], "big") if READY in self.held and at >= 0 else 0


READY, KEY = b"Z\0\0\0\5I", b"K\0\0\0\x0c"


@quick
def test_an_end_right_behind_the_log_in(tier, start):
    """What the server says of its end comes with its first ReadyForQuery: the request is repeated."""
    late = Late(tier.primary_port())
    weir = start({**OPTIONS, "server_tls_sslmode": "disable",
                  "databases": [f"late = host=127.0.0.1 port={late.port} dbname=app"]})
    try:
        with tier.connect(user="postgres") as admin, logged_in(weir, dbname="late") as raw:
            admin.execute("CREATE TABLE IF NOT EXISTS late(a int)")
            admin.execute("GRANT ALL ON late TO app")
            with weir.console() as console:    # so that another connection is opened
                console.execute("RECONNECT")
            late.is_holding = True
            raw.send(query("INSERT INTO late VALUES (1)"))
            pid = until("a log-in", 20, late.pid)
            late.is_holding = False
            admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
            equal(first_error(raw.read_until("Z")), None)
            admin.execute("DROP TABLE late")
    finally:
        late.close()


@quick
def test_every_request_of_a_pipeline_hears(tier, start, sub):
    """One that got nothing but a ReadyForQuery would look as if it had been done."""
    with wired(tier, start) as (wire, conn, weir), logged_in(weir, dbname="wired") as raw:
        for label, first in (("writes", "INSERT INTO lost VALUES (1)"), ("reads", "SELECT * FROM lost"),
                             ("in a transaction", "BEGIN")):
            with sub(label):
                if first == "BEGIN":
                    equal(first_error(ask(raw, parse("", first), bind("", ""), execute())), None)
                    equal(first_error(ask(raw, parse("", "INSERT INTO lost VALUES (3)"), bind("", ""), execute())), None)
                wire.mute()
                cutter = wire.cut_behind("third")
                for text in ("first", "second", "third"):
                    raw.send(parse("", f"INSERT INTO lost VALUES (2) /* {text} */" if "SELECT" not in first else f"{first} /* {text} */"),
                             bind("", ""), execute(), SYNC)
                answers = [raw.read_until("Z") for _ in range(3)]
                cutter.join()
                equal([first_error(a) for a in answers], ["08006"] * 3)
                if first == "BEGIN":
                    equal({a[-1][1] for a in answers}, {b"E"})
                    raw.rows("ROLLBACK")
                equal(raw.rows("SELECT 7"), [["7"]])
        raw.rows("DROP TABLE lost")
