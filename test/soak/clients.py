# SPDX-License-Identifier: PostgreSQL
"""The clients of a soak, one class per kind. session() is the life of one connection; what it
reads it compares with what must be there, and raises when that isn't so."""
import random
import socket
import struct
import sys
import threading
import time
import traceback

import psycopg

import rawpg
from lib import check, equal

ACCOUNTS, EACH = 50, 1000
TEXTS = 400          # of prepared statements: more than a server keeps
COPY_ROWS = 300

TABLES = f"""
    CREATE TABLE soak_own(id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
    CREATE TABLE soak_account(id int PRIMARY KEY, balance int NOT NULL);
    INSERT INTO soak_account SELECT i, {EACH} FROM generate_series(1, {ACCOUNTS}) i;
    CREATE TABLE soak_copy(client int, k int, v text);
    CREATE TABLE soak_vanished(k int);
    INSERT INTO soak_vanished VALUES (1);
    CREATE TABLE soak_shape(k int PRIMARY KEY, v int);
    INSERT INTO soak_shape SELECT i, i FROM generate_series(1, 10) i;
    CREATE SEQUENCE soak_sequence"""


class Client:
    """One connection after another until the soak ends; a thread of its own."""
    count = 1       # how many of the kind
    steps = 40      # of one connection
    options = {}

    def __init__(self, load, number):
        self.load, self.number = load, number
        self.name = type(self).__name__
        self.rng = random.Random(number)
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        self.load.step(self)
        while not self.load.stop.is_set():
            self.began = time.monotonic()
            try:
                self.session()
            except (psycopg.Error, rawpg.Closed, OSError) as error:
                self.load.error(self, error, self.began)
            except Exception as error:    # noqa: BLE001: a wrong value, or a wrong soak
                self.load.problem(f"{self.name}: {type(error).__name__}: {str(error)[:300]}")
            self.load.stop.wait(self.load.pause_s)

    def show_place(self):
        """Where a thread that doesn't end is, for who looks at the output."""
        frame = sys._current_frames().get(self.thread.ident)
        for line in traceback.format_stack(frame) if frame else ():
            print("#   " + line.rstrip().replace("\n", "\n#   "), flush=True)

    def connect(self, **options):
        return self.load.weir.connect(**{"connect_timeout": 60, "sslmode": "disable",
                                         **self.options, **options})

    def rounds(self):
        """One connection's steps; each is noted when it is done, with a rest behind it."""
        for _ in range(self.steps):
            if self.load.stop.is_set():
                return
            self.began = time.monotonic()
            yield
            self.load.step(self)
            self.load.stop.wait(self.rng.random() * 2 * self.load.pause_s)

    def session(self):
        with self.connect() as conn:
            for _ in self.rounds():
                self.act(conn)

    def act(self, conn):
        raise NotImplementedError


class OwnWrites(Client):
    """Counts in a row of its own: whatever was acknowledged is there, and read at once."""
    known, is_doubtful = 0, False

    def session(self):
        with self.connect() as conn:
            conn.execute("INSERT INTO soak_own(id) VALUES (%s) ON CONFLICT DO NOTHING",
                         (self.number,))
            n, = conn.execute("SELECT n FROM soak_own WHERE id = %s FOR UPDATE",
                              (self.number,)).fetchone()
            check(self.known <= n <= self.known + self.is_doubtful,
                  f"{n} is kept of {self.known} acknowledged writes")
            self.known, self.is_doubtful = n, False
            for _ in self.rounds():
                self.act(conn)

    def act(self, conn):
        self.is_doubtful = True
        conn.execute("UPDATE soak_own SET n = n + 1 WHERE id = %s", (self.number,))
        self.known, self.is_doubtful = self.known + 1, False
        for _ in range(3):
            n, = conn.execute("SELECT n FROM soak_own WHERE id = %s", (self.number,)).fetchone()
            equal(n, self.known, "own write")


class SimpleWrites(OwnWrites):
    count, options = 3, {"cursor_factory": psycopg.ClientCursor}


class ExtendedWrites(OwnWrites):
    count, options = 3, {"prepare_threshold": None}


class PreparedWrites(OwnWrites):
    count, options = 3, {"prepare_threshold": 0}


class Prepared(Client):
    """More texts than a server keeps, under names that other clients use for other texts."""
    count, options = 3, {"prepare_threshold": 0}

    def act(self, conn):
        text, k = self.rng.randrange(TEXTS), self.rng.randrange(1000)
        equal(conn.execute(f"SELECT %s::int + {text} AS soak_{text}", (k,)).fetchone(),
              (k + text,))
        if self.rng.randrange(4) == 0:
            conn.execute(f"PREPARE soak(int) AS SELECT $1 * {text}")
            equal(conn.execute(f"EXECUTE soak({k})", prepare=False).fetchone(), (k * text,))
            conn.execute("DEALLOCATE soak")


class Pipelined(Client):
    count = 2

    def act(self, conn):
        with conn.pipeline():
            answers = [conn.execute("SELECT %s::int", (i,)) for i in range(6)]
        equal([a.fetchone() for a in answers], [(i,) for i in range(6)])
        try:
            with conn.pipeline():
                conn.execute("SELECT 1")
                conn.execute("SELECT 1 / 0")
                conn.execute("SELECT 2")
        except psycopg.errors.DivisionByZero:
            return
        raise AssertionError("an error in a pipeline was lost")


class Transfers(Client):
    """Moves money in transactions with savepoints, some rolled back: the sum never changes."""
    count = 3

    def act(self, conn):
        a, b = sorted(self.rng.sample(range(1, ACCOUNTS + 1), 2))
        try:
            self.transfer(conn, a, b, self.rng.randint(-50, 50))
        except psycopg.Rollback as error:    # the driver's, when ROLLBACK itself has failed
            raise psycopg.OperationalError("a rollback was lost") from error
        equal(conn.execute("SELECT sum(balance) FROM soak_account").fetchone(),
              (ACCOUNTS * EACH,), "sum")

    def transfer(self, conn, a, b, amount):
        with conn.transaction():
            self.move(conn, a, amount)
            if self.rng.randrange(3) == 0:
                with conn.transaction() as inner:
                    self.move(conn, b, amount * 2)
                    raise psycopg.Rollback(inner)
            self.move(conn, b, -amount)
            if self.rng.randrange(5) == 0:
                raise psycopg.Rollback()

    @staticmethod
    def move(conn, account, amount):
        conn.execute("UPDATE soak_account SET balance = balance + %s WHERE id = %s",
                     (amount, account))


class CachedReads(Client):
    """The same reads again and again, which the cache may answer: their sum is right too."""
    count = 2

    def act(self, conn):
        equal(conn.execute("SELECT sum(balance) FROM soak_account").fetchone(),
              (ACCOUNTS * EACH,), "sum")
        k = self.rng.randint(1, ACCOUNTS)
        equal(conn.execute("SELECT id FROM soak_account WHERE id = %s", (k,)).fetchone(), (k,))


class Pinned(Client):
    """What keeps its server: temporary tables, held cursors, advisory locks, a sequence's value."""
    count = 2

    def act(self, conn):
        with conn.transaction():
            conn.execute("CREATE TEMP TABLE soak_dropped(k int) ON COMMIT DROP")
            conn.execute("INSERT INTO soak_dropped SELECT generate_series(1, 20)")
            equal(conn.execute("SELECT count(*) FROM soak_dropped").fetchone(), (20,))
        conn.execute("CREATE TEMP TABLE soak_temp AS SELECT generate_series(1, 30) k")
        equal(conn.execute("SELECT count(*) FROM soak_temp").fetchone(), (30,))
        conn.execute("DROP TABLE soak_temp")
        conn.execute("DECLARE soak_held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)")
        equal(len(conn.execute("FETCH ALL FROM soak_held").fetchall()), 5)
        conn.execute("CLOSE soak_held")
        conn.execute("SELECT pg_advisory_lock(%s)", (self.number,))
        equal(conn.execute("SELECT pg_advisory_unlock(%s)", (self.number,)).fetchone(), (True,))
        value = conn.execute("SELECT nextval('soak_sequence')").fetchone()
        try:
            equal(conn.execute("SELECT currval('soak_sequence')").fetchone(), value)
        except psycopg.errors.ObjectNotInPrerequisiteState:
            pass    # a pool's first use, or while nobody is known to use it: the error, never another's
        conn.execute("DISCARD SEQUENCES")


class Settings(Client):
    """Settings follow their client from server to server."""
    count = 2

    def act(self, conn):
        zone = self.rng.choice(("UTC", "Asia/Tokyo", "America/Lima"))
        conn.execute(f"SET timezone = '{zone}'")
        conn.execute(f"SET application_name = 'soak {self.number}'")
        with conn.transaction():
            conn.execute("SET LOCAL timezone = 'Europe/Rome'")
            equal(conn.execute("SHOW timezone").fetchone(), ("Europe/Rome",))
        for _ in range(3):
            got = conn.execute("SELECT current_setting('timezone'), "
                               "current_setting('application_name')").fetchone()
            equal(got, (zone, f"soak {self.number}"))
        conn.execute("RESET timezone")


class Copies(Client):
    def act(self, conn):
        with conn.transaction():
            with conn.cursor().copy("COPY soak_copy FROM STDIN") as copy:
                for k in range(COPY_ROWS):
                    copy.write_row((self.number, k, "x" * self.rng.randrange(200)))
            rows = 0
            with conn.cursor().copy("COPY (SELECT * FROM soak_copy WHERE client = %s) TO STDOUT",
                                    (self.number,)) as copy:
                rows = sum(bytes(block).count(b"\n") for block in copy)
            equal(rows, COPY_ROWS)
            conn.execute("DELETE FROM soak_copy WHERE client = %s", (self.number,))
        try:
            with conn.cursor().copy("COPY soak_copy FROM STDIN") as copy:
                copy.write(b"no number\t1\tx\n")
        except psycopg.errors.InvalidTextRepresentation:
            return
        raise AssertionError("a wrong row was taken")


class Notifier(Client):
    """Sends 1, 2, 3 ...; where one may not have left, the next number tells."""
    sent = 0

    def act(self, conn):
        self.sent += 1
        conn.execute("SELECT pg_notify('soak', %s)", (str(self.sent),))


class Listener(Client):
    """Hears the notifier's numbers in order, without a gap but for failovers."""
    count, steps = 2, 200

    def session(self):
        heard = []
        with self.connect() as conn:
            conn.add_notify_handler(lambda n: heard.append(int(n.payload)))
            conn.execute("LISTEN soak")
            for _ in self.rounds():
                conn.execute("SELECT 1")
                for last, number in zip(heard, heard[1:]):
                    check(number > last, f"heard {number} after {last}")
                    check(number == last + 1 or self.load.is_excused(self.began),
                          f"heard {number} after {last} without a failover")
                del heard[:-1]


class Cancels(Client):
    count = 2

    def act(self, conn):
        timer = threading.Timer(self.rng.random() / 20, conn.cancel)
        timer.start()
        try:
            conn.execute("SELECT pg_sleep(0.03)")
        except psycopg.errors.QueryCanceled:
            pass
        finally:
            timer.join()
        self.settle(conn)

    @staticmethod
    def settle(conn):
        """A late cancel may still hit this very client."""
        for _ in range(20):
            try:
                equal(conn.execute("SELECT 1").fetchone(), (1,))
                return
            except psycopg.errors.QueryCanceled:
                continue
        raise AssertionError("canceled again and again")


class LogIns(Client):
    """A connection for one query, in clear or with TLS."""
    count, steps = 2, 1

    def session(self):
        mode = self.rng.choice(("disable", "require"))
        with self.connect(sslmode=mode) as conn:
            for _ in self.rounds():
                equal(conn.pgconn.ssl_in_use, mode == "require")
                equal(conn.execute("SELECT current_user").fetchone(), ("app",))


class TlsReads(Client):
    """Results of any length, so that they end anywhere in a record."""
    options = {"sslmode": "require"}

    def act(self, conn):
        rows, width = self.rng.randrange(1, 800), self.rng.randrange(1, 500)
        got = conn.execute(f"SELECT k, repeat('x', {width}) FROM generate_series(1, {rows}) k")
        equal(sum(k + len(x) for k, x in got), rows * (rows + 1) // 2 + rows * width)


class TlsCopies(Copies):
    options = {"sslmode": "require"}


class Vanishing(Client):
    """Clients that are gone in the middle of something."""
    count, steps = 2, 1

    PLACES = (
        lambda raw: raw.send(rawpg.query("SELECT pg_sleep(0.1)")),
        lambda raw: raw.send(rawpg.query("BEGIN; UPDATE soak_vanished SET k = k + 1")),
        lambda raw: raw.send(rawpg.query("COPY soak_copy FROM STDIN")),
        lambda raw: raw.send(rawpg.query("SELECT repeat('x', 1000) FROM generate_series(1, 5000)")),
        lambda raw: raw.send(rawpg.parse("soak", "SELECT 1"), rawpg.bind("", "soak")),
        lambda raw: raw.send(rawpg.query("SELECT 1")[:7]),
        lambda raw: None)

    def session(self):
        with rawpg.Raw(self.load.weir.port, 60) as raw:
            for _ in self.rounds():
                equal(raw.log_in(), None, "log-in")
                self.rng.choice(self.PLACES)(raw)
                time.sleep(self.rng.random() / 20)
                if self.rng.randrange(2):
                    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        struct.pack("ii", 1, 0))


class Ddl(Client):
    """Changes a table's type under those who read it, makes and drops others."""

    def act(self, conn):
        kind = self.rng.choice(("int", "bigint"))
        conn.execute(f"ALTER TABLE soak_shape ALTER COLUMN v TYPE {kind}")
        conn.execute("CREATE TABLE soak_new(k int)")
        conn.execute("INSERT INTO soak_new VALUES (7)")
        equal(conn.execute("SELECT k FROM soak_new").fetchone(), (7,))
        conn.execute("CREATE OR REPLACE VIEW soak_view AS SELECT k FROM soak_new")
        equal(conn.execute("SELECT k FROM soak_view").fetchone(), (7,))
        conn.execute("DROP TABLE soak_new CASCADE")
        self.load.stop.wait(1)

    def session(self):
        with self.connect() as conn:
            conn.execute("DROP TABLE IF EXISTS soak_new CASCADE")
            for _ in self.rounds():
                self.act(conn)


class ReadersOfDdl(Client):
    """A prepared statement whose result's type changes is made anew unseen."""
    count, options = 2, {"prepare_threshold": 0}

    def act(self, conn):
        rows = conn.execute("SELECT * FROM soak_shape ORDER BY k").fetchall()
        equal(rows, [(i, i) for i in range(1, 11)])


class Console(Client):
    """An operator who looks at everything and reloads."""
    SHOWS = ("POOLS", "CLIENTS", "SERVERS", "STATS", "NODES", "CACHE", "DATABASES", "CONFIG",
             "PINS", "MEM", "LISTS")

    def session(self):
        with self.load.weir.console(connect_timeout=60) as conn:
            for _ in self.rounds():
                conn.execute("SHOW " + self.rng.choice(self.SHOWS)).fetchall()
                equal(self.load.weir.http("/metrics")[0], 200)
                if self.rng.randrange(20) == 0:
                    conn.execute("RELOAD")
                self.load.stop.wait(0.5)


KINDS = (SimpleWrites, ExtendedWrites, PreparedWrites, Prepared, Pipelined, Transfers,
         CachedReads, Pinned, Settings, Copies, Notifier, Listener, Cancels, LogIns, TlsReads,
         TlsCopies, Vanishing, Ddl, ReadersOfDdl, Console)


def make_all(load):
    """One object per client, numbered through."""
    kinds = [kind for kind in KINDS for _ in range(kind.count)]
    return [kind(load, number) for number, kind in enumerate(kinds, 1)]
