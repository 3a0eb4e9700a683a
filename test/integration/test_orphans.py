# SPDX-License-Identifier: PostgreSQL
"""Writes that PostgreSQL commits after pgweir gave up their server: no result of before survives that."""
import contextlib
import socket
import struct
import threading

import rawpg
from lib import equal, limit, until
from test_cache import Table, ready, warm_up
from test_lost import Wire
from test_topology import WHO

OPTIONS = {"cache": "on", "cache_min_hits": 1, "cache_ttl": 600}
WRITE = "UPDATE {t} SET v = 7 WHERE k = 1"    # waits for the row, which the test locks
RUNNING = ("SELECT 1 FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid() "
           "AND wait_event_type = 'Lock' AND"
           " (state = 'fastpath function call' OR query LIKE %s)")


def batch(*texts):
    return b"".join(rawpg.parse("", t) + rawpg.bind("", "") + rawpg.execute() for t in texts) + rawpg.message("S")


def call(table):
    oid = table.direct.execute(f"SELECT '{table.name}_call'::regproc::oid::bigint").fetchone()[0]
    return rawpg.message("F", struct.pack("!IHHH", oid, 0, 0, 0))


def make(tier, name):
    t = Table(tier, name)
    t.direct.execute(f"CREATE OR REPLACE FUNCTION {name}_call() RETURNS void LANGUAGE sql AS '{WRITE.format(t=name)}'")
    t.direct.execute(f"CREATE OR REPLACE FUNCTION {name}_slow() RETURNS trigger LANGUAGE plpgsql AS "
                     f"'BEGIN PERFORM 1 FROM {name} WHERE k = 1 FOR UPDATE; RETURN NULL; END'")
    return t


def is_running(tier, name):
    with tier.connect(user="postgres") as conn:
        return conn.execute(RUNNING, (f"%{name}%",)).fetchone() is not None


def lock(table):
    table.direct.execute("BEGIN")
    table.direct.execute(f"SELECT 1 FROM {table.name} WHERE k = 1 FOR UPDATE")


def begin(weir, tier, table, *parts, dbname="app"):
    """A client whose write waits for the row that is locked here."""
    lock(table)
    raw = rawpg.Raw(weir.port)
    equal(raw.log_in(dbname=dbname), None)
    for part in parts:
        if callable(part):
            part(raw)
        else:
            raw.send(part)
    until("the write to run", 20, lambda: is_running(tier, table.name))
    return raw


def read(name):
    return f"SELECT sum(v)::int FROM {name}"


def hears(tier, table, readers, want):
    """They have the old value cached when the write ends, and then hear the new one."""
    sql = read(table.name)
    with tier.connect() as other:    # a commit: else what the open ones wrote may reach no replica for 15 s
        other.execute("SELECT txid_current()")
    for weir, reader in readers:
        warm_up(weir, reader, sql)
        equal(reader.execute(sql).fetchone(), (0,), "while the write runs")
    table.direct.execute("COMMIT")
    until("the write's end", 30, lambda: not is_running(tier, table.name))
    equal(table.direct.execute(sql).fetchone(), (want,))
    for _, reader in readers:
        until("the new value", 5, lambda r=reader: r.execute(sql).fetchone() == (want,))


def copy_rows(raw):
    raw.read_until("G")
    raw.send(rawpg.message("d", b"100\t7\n"), rawpg.message("c"))


def ways(table):
    """What the client sends, and the sum once it has ended."""
    t, slow = table.name, WRITE.format(t=table.name)
    return {
        "simple": ([rawpg.query(slow)], 7),
        "extended": ([batch(slow)], 7),
        "several statements": ([rawpg.query(f"SELECT 1; BEGIN; {slow}; COMMIT")], 7),
        "transaction in a batch": ([batch("BEGIN", slow, "COMMIT")], 7),
        "pipeline": ([batch(f"UPDATE {t} SET v = 0 WHERE k = 2") + batch(slow)], 7),
        "open transaction": ([rawpg.query("BEGIN"), rawpg.query(slow)], 0),
        "function call": ([call(table)], 7),
        "copy": ([rawpg.query(f"COPY {t} FROM STDIN /* {t} */"), copy_rows], 7),
    }


@limit(300)
def test_the_client_goes(start, tier, sub):
    weir = start(OPTIONS)
    ready(weir)
    names = {label: "orphan_" + label.replace(" ", "_") for label in ways(make(tier, "orphan"))}
    tables = {label: make(tier, name) for label, name in names.items()}
    tables["copy"].direct.execute("CREATE TRIGGER slow AFTER INSERT ON orphan_copy EXECUTE FUNCTION orphan_copy_slow()")
    with weir.connect() as reader:
        for label, table in tables.items():
            with sub(f"orphans::{label}"):
                parts, want = ways(table)[label]
                warm_up(weir, reader, read(table.name))
                with begin(weir, tier, table, *parts):
                    pass
                hears(tier, table, [(weir, reader)], want)
    until("no orphan is left", 10, lambda: weir.metrics()["pgweir_orphans"] == 0)


@limit(120)
def test_the_answer_of_a_pipelines_second_write(start, tier):
    """Its client stays: what it changes is told after the first one's answer too."""
    weir = start(OPTIONS)
    ready(weir)
    table = make(tier, "orphan_second")
    with weir.connect() as reader:
        warm_up(weir, reader, read(table.name))
        parts, want = ways(table)["pipeline"]
        with begin(weir, tier, table, *parts) as raw:
            hears(tier, table, [(weir, reader)], want)
            raw.read_until("Z")


@limit(180)
def test_a_second_pgweir_on_the_same_redis(start, tier):
    options = {**OPTIONS, "cache_redis_timeout": 0.5}
    table = make(tier, "orphan_shared")
    one, two = start(options), start(options)
    ready(one)
    with one.connect() as a, two.connect() as b:
        warm_up(one, a, read(table.name))
        warm_up(two, b, read(table.name))
        with begin(one, tier, table, *ways(table)["simple"][0]):
            pass
        hears(tier, table, [(one, a), (two, b)], 7)


@limit(120)
def test_the_client_is_killed_or_too_slow(start, tier, sub):
    weir = start({**OPTIONS, "query_timeout": 1})
    ready(weir)
    with weir.connect() as reader:
        with sub("orphans::query_timeout"):
            table = make(tier, "orphan_timeout")
            warm_up(weir, reader, read(table.name))
            with begin(weir, tier, table, *ways(table)["simple"][0]):
                hears(tier, table, [(weir, reader)], 7)
    weir = start(OPTIONS)
    ready(weir)
    with weir.connect() as reader, sub("orphans::KILL_CLIENT"):
        table = make(tier, "orphan_killed")
        warm_up(weir, reader, read(table.name))
        with begin(weir, tier, table, *ways(table)["simple"][0]):
            with weir.console() as console:
                for row in [r for r in weir.show("CLIENTS") if r["state"] == "active" and r["database"] == "app"]:
                    console.execute(f"KILL_CLIENT {row['id']}")
            hears(tier, table, [(weir, reader)], 7)


@limit(120)
def test_a_drain_waits_for_it(start, tier):
    weir = start({**OPTIONS, "drain_timeout": 30})
    ready(weir)
    table = make(tier, "orphan_drained")
    with begin(weir, tier, table, *ways(table)["simple"][0]):
        pass
    release = threading.Timer(2, lambda: table.direct.execute("COMMIT"))
    release.start()
    weir.stop(40)
    equal(release.finished.is_set(), True, "it ended after the write")
    release.join()
    equal(table.direct.execute(read(table.name)).fetchone(), (7,))


class Tap(Wire):
    """A relay that knows which connection said what, and can answer in the server's place."""

    def __init__(self, port):
        self.said, self.deaf_from, self.deaf = {}, None, set()
        super().__init__(port)

    def pump(self, source, sink, is_answer):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and source in self.deaf:
                    continue
                if not is_answer:
                    self.hear(source, sink, data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)    # a half close comes through as one

    def hear(self, near, far, data):
        """From the message with the text `deaf_from` on that connection gets no answer but ours."""
        if self.deaf_from and self.deaf_from in data:
            self.deaf.add(far)
        self.said[near] = self.said.get(near, b"") + data

    def answer(self, text, data):
        near, = [s for s, said in self.said.items() if text.encode() in said]
        near.sendall(data)


def tapped_options(port):
    return {**OPTIONS, "clusters": [f"tapped = hosts=127.0.0.1:{port} {WHO}"],
            "databases": ["tapped = cluster=tapped dbname=app"]}


@contextlib.contextmanager
def tapped(tier, start):
    tap = Tap(tier.primary_port())
    weir = start(tapped_options(tap.port))
    try:
        ready(weir)
        with weir.connect(dbname="tapped") as reader:
            yield tap, weir, reader
    finally:
        tap.close()


def error(severity, sqlstate):
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": "made by the test"}
    return rawpg.message("E", b"".join(k.encode() + rawpg.cstr(v) for k, v in fields.items()) + b"\0")


GIVEN_UP = {
    "a message that isn't due": rawpg.message("R", bytes(4)),
    "a ready that isn't one": rawpg.message("Z", b"II"),
    "a length that can't be": b"C\0\0\0\3",
    "a ready of 100 KB": rawpg.message("Z", bytes(100000)),
    "the session's end": error("FATAL", "XX000"),
}


@limit(180)
def test_the_server_is_not_understood_or_says_its_end(start, tier, sub):
    with tapped(tier, start) as (tap, weir, reader):
        for number, (label, said) in enumerate(GIVEN_UP.items()):
            with sub(f"orphans::{label}"):
                table = make(tier, f"orphan_given_up_{number}")
                warm_up(weir, reader, read(table.name))
                with begin(weir, tier, table, *ways(table)["simple"][0], dbname="tapped") as raw:
                    tap.answer(WRITE.format(t=table.name), said)
                    equal(raw.read()[0], "E")
                    until("an orphan", 10, lambda: weir.metrics()["pgweir_orphans"] == 1)
                    hears(tier, table, [(weir, reader)], 7)


def a_setting(weir, tap, raw):
    """That the next server doesn't have; what this says to it isn't heard."""
    raw.send(rawpg.query("SET statement_timeout = '200s'"))
    raw.read_until("Z")
    tap.deaf_from = b"statement_timeout"
    with weir.console() as console:
        console.execute("RECONNECT")


@limit(120)
def test_a_setting_in_front_of_it_fails(start, tier):
    """The client hears that; what it sent behind runs all the same."""
    with tapped(tier, start) as (tap, weir, reader):
        table = make(tier, "orphan_setting")
        warm_up(weir, reader, read(table.name))
        with begin(weir, tier, table, lambda raw: a_setting(weir, tap, raw), *ways(table)["simple"][0],
                   dbname="tapped") as raw:
            tap.answer(WRITE.format(t=table.name), error("ERROR", "57014"))
            equal([kind for kind, _ in raw.read_until("Z")], ["E", "Z"])
            until("an orphan", 10, lambda: weir.metrics()["pgweir_orphans"] == 1)
            hears(tier, table, [(weir, reader)], 7)
            tap.deaf_from = None
            equal(raw.rows("SHOW statement_timeout"), [["200s"]], "the session goes on")


@limit(120)
def test_its_node_gets_another_address(start, tier):
    with tapped(tier, start) as (tap, weir, reader):
        table = make(tier, "orphan_left")
        warm_up(weir, reader, read(table.name))
        with begin(weir, tier, table, *ways(table)["simple"][0], dbname="tapped") as raw:
            weir.write_ini(tapped_options(tier.primary_port()))
            weir.reload()
            equal(rawpg.error_fields(raw.read()[1])["C"], "08006")
            until("an orphan", 10, lambda: weir.metrics()["pgweir_orphans"] == 1)
            hears(tier, table, [(weir, reader)], 7)


def catalogs_read(weir):
    return sum(" catalog_read database=app " in line for line in weir.log_lines())


@limit(120)
def test_the_catalog_is_read_again_meanwhile(start, tier):
    """It was made anew past pgweir, which knew its old oid when the write began."""
    weir = start(OPTIONS)
    make(tier, "orphan_renewed")
    ready(weir)
    with weir.connect() as reader:
        warm_up(weir, reader, read("orphan_renewed"))
        table = make(tier, "orphan_renewed")
        with begin(weir, tier, table, *ways(table)["simple"][0]):
            make(tier, "orphan_renewed_not_known")
            before = catalogs_read(weir)
            until("the catalog to be read", 40, lambda: reader.execute(
                "SELECT count(*) FROM orphan_renewed_not_known") and catalogs_read(weir) > before)
        hears(tier, table, [(weir, reader)], 7)
