# SPDX-License-Identifier: PostgreSQL
"""Two-phase commit with splitting and the cache on: who is told of COMMIT PREPARED sees what it committed."""
import contextlib
import socket
import threading
import time

from lib import check, equal, limit, until
from rawpg import SYNC, bind, execute, logged_in, parse, query
from test_cache import Table, ready, warm_up
from test_lost import Wire
from test_topology import WHO

OPTIONS = {"cache": "on", "cache_min_hits": 1, "cache_ttl": 600, "max_replica_lag": 10}
STRONG = "SET pgweir.consistency = 'strong'"


def prepare(weir, gid, *texts):
    with weir.connect() as conn:
        conn.execute("BEGIN")
        for text in texts:
            conn.execute(text)
        conn.execute(f"PREPARE TRANSACTION '{gid}'")


def sees(conn, name, want):
    """From wherever its reads are served: replicas, the primary, the cache."""
    for _ in range(30):
        for hint in ("", "/* pgweir: cache=off */ ", "/* pgweir: cache=on */ "):
            equal(conn.execute(f"{hint}SELECT sum(v)::int FROM {name}").fetchone(), (want,), hint)


@limit(120)
def test_committed_by_another_session(start, tier, sub):
    weir = start(OPTIONS)
    ready(weir)
    for label, end, want in (("commit", "COMMIT PREPARED", 70), ("rollback", "ROLLBACK PREPARED", 0)):
        with sub(f"two_phase::{label}"), weir.connect() as reader, weir.connect() as other:
            name = f"two_phase_{label}"
            Table(tier, name)
            other.execute(STRONG)
            sql = f"SELECT sum(v)::int FROM {name}"
            prepare(weir, name, f"UPDATE {name} SET v = 7")
            warm_up(weir, reader, sql)
            equal(reader.execute(sql).fetchone(), (0,), "prepared only")
            with weir.connect() as ending:
                ending.execute(f"{end} '{name}'")
                sees(ending, name, want)
            sees(other, name, want)


@limit(120)
def test_a_second_pgweir_on_the_same_redis(start, tier):
    one, two = start(OPTIONS), start(OPTIONS)
    ready(two)
    name = "two_phase_shared"
    Table(tier, name)
    sql = f"SELECT sum(v)::int FROM {name}"
    prepare(one, name, f"UPDATE {name} SET v = 7")
    with one.connect() as a, two.connect() as b:
        warm_up(two, b, sql)
        a.execute(f"COMMIT PREPARED '{name}'")
        until("the new value", 5, lambda: b.execute(sql).fetchone() == (70,))


@limit(120)
def test_it_may_have_changed_the_catalog(start, tier):
    """A view reads another table from then on: changes of that are changes of the view's result."""
    weir = start(OPTIONS)
    ready(weir)
    first, second = Table(tier, "two_phase_first"), Table(tier, "two_phase_second")
    first.direct.execute("CREATE VIEW two_phase_view AS SELECT k, v FROM two_phase_first")
    first.wait_replayed()
    sql = "SELECT sum(v)::int FROM two_phase_view"
    with weir.connect() as conn:
        prepare(weir, "two_phase_view",
                "CREATE OR REPLACE VIEW two_phase_view AS SELECT k, v FROM two_phase_second")
        time.sleep(2.5)    # for two seconds the DDL itself has every write void the database
        conn.execute("COMMIT PREPARED 'two_phase_view'")
        warm_up(weir, conn, sql)
        conn.execute("UPDATE two_phase_second SET v = 7")
        equal(conn.execute(sql).fetchone(), (70,))
    equal(second.direct.execute(sql).fetchone(), (70,))


class Held(Wire):
    """A relay that keeps back what has this text in it, and what follows on its connection, until it is let go."""

    def __init__(self, port, text):
        self.text, self.has_come, self.may_go = text, threading.Event(), threading.Event()
        super().__init__(port)

    def pump(self, source, sink, is_answer):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not is_answer and self.text in data:
                    self.has_come.set()
                    self.may_go.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)    # a half close comes through as one


def is_prepared(table, gid):
    return table.direct.execute("SELECT 1 FROM pg_prepared_xacts WHERE gid = %s", (gid,)).fetchone() is not None


BY = {"simple": query, "extended": lambda text: parse("", text) + bind("", "") + execute() + SYNC}


@limit(120)
def test_its_client_goes_while_it_runs(start, tier, sub):
    """It is carried out and told to the cache; until then its server is nobody else's, who gets another one."""
    for cache in ("on", "off"):
        for by, message in BY.items():
            name = f"two_phase_left_{by}_{cache}"
            held = Held(tier.primary_port(), f"COMMIT PREPARED '{name}'".encode())
            with sub(f"two_phase::left, {by}, cache {cache}"), contextlib.closing(held):
                table = Table(tier, name)
                weir = start({**OPTIONS, "cache": cache, "default_pool_size": 1,
                              "clusters": [f"held = hosts=127.0.0.1:{held.port} {WHO}"],
                              "databases": ["held = cluster=held dbname=app"]})
                ready(weir)
                for text in ("BEGIN", f"UPDATE {name} SET v = 7", f"PREPARE TRANSACTION '{name}'"):
                    table.direct.execute(text)
                leaves(weir, held, table, message)


def leaves(weir, held, table, message):
    sql = f"SELECT sum(v)::int FROM {table.name}"
    with weir.connect(dbname="held") as reader:
        if table.name.endswith("on"):
            warm_up(weir, reader, sql)
        with logged_in(weir, dbname="held") as raw:
            raw.send(message(f"COMMIT PREPARED '{table.name}'"))
            check(held.has_come.wait(20), "it doesn't come")
        for turn in range(20):    # before the client's end is seen, and behind it
            equal(reader.execute(f"/* pgweir: cache=off */ SELECT {turn}").fetchone(), (turn,))
        equal(reader.execute(sql).fetchone(), (0,), "while it is prepared only")
        check(is_prepared(table, table.name), "it is carried out already")
        held.may_go.set()
        until("it to be carried out", 20, lambda: not is_prepared(table, table.name))
        until("the new value", 10, lambda: reader.execute(sql).fetchone() == (70,))
