# SPDX-License-Identifier: PostgreSQL
"""Writes that PostgreSQL commits after pgweir gave up their server: no result of before survives that."""
import struct
import threading

import rawpg
from lib import equal, limit, until
from test_cache import Table, ready, warm_up

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


def begin(weir, tier, table, *parts):
    """A client whose write waits for the row that is locked here."""
    table.direct.execute("BEGIN")
    table.direct.execute(f"SELECT 1 FROM {table.name} WHERE k = 1 FOR UPDATE")
    raw = rawpg.Raw(weir.port)
    equal(raw.log_in(), None)
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
