# SPDX-License-Identifier: PostgreSQL
"""Cancel requests at any moment, by many: whose statement ends is whose key it was, always."""
import os
import random
import signal
import struct
import threading
import time

from lib import check, equal, limit, needs, quick, until
from rawpg import SYNC, Raw, ask_sql, bind, error_fields, execute, first_error, logged_in, parse, query, row_values, values
from redis_set import PASSWORD, RedisSet
from test_cache import Table, ready
from test_cache_redis import cache_metric, wait_connected
from test_listen import settle
from test_lost import Wire

OPTIONS = {"default_pool_size": 4, "query_wait_timeout": 60, "db.split": "off"}


def cancel(port, key, is_hung_up=False):
    """One cancel request; hung up at once, or waited for until pgweir closes."""
    with Raw(port) as raw:
        raw.send(struct.pack("!II", 8 + len(key), 80877102) + key)
        if not is_hung_up:
            check(raw.is_closed(), "stays open")


class Crowd:
    """Clients whose every statement says whose it is; some are canceled, the others never."""

    def __init__(self, weir, victims, bystanders):
        self.weir, self.problems, self.canceled = weir, [], 0
        self.stop = threading.Event()
        self.keys = []
        self.threads = [threading.Thread(target=self.guard, args=(self.client, n, n < victims))
                        for n in range(victims + bystanders)]
        self.threads += [threading.Thread(target=self.guard, args=(self.shooter, n)) for n in range(4)]
        self.victims = victims

    def guard(self, run, *args):
        try:
            run(*args)
        except Exception as e:    # noqa: BLE001: any problem of anybody counts
            self.problems.append(repr(e))

    def client(self, number, is_victim):
        rng = random.Random(number)
        with Raw(self.weir.port, timeout=60) as raw:
            equal(raw.log_in(version=196608 + 2 * (number % 2)), None)
            if is_victim:
                self.keys.append(raw.key)
            for turn in range(10 ** 6):
                if self.stop.is_set():
                    return
                self.ask(raw, f"{number}-{turn}", rng, is_victim)

    def ask(self, raw, name, rng, is_victim):
        sql = f"SELECT '{name}' FROM pg_sleep({rng.choice([0, 0.002, 0.02])})"
        if rng.random() < 0.5:
            raw.send(query(sql))
        else:
            raw.send(parse("", sql), bind("", ""), execute(), SYNC)
        got = raw.read_until("Z")
        rows = [row_values(b)[0] for k, b in got if k == "D"]
        states = [error_fields(b)["C"] for k, b in got if k == "E"]
        if states == ["57014"] and is_victim:
            self.canceled += 1
        elif rows != [name] or states:
            self.problems.append((name, rows, states))

    def shooter(self, number):
        rng = random.Random(1000 + number)
        until("keys", 30, lambda: len(self.keys) == self.victims)
        while not self.stop.is_set():
            key = rng.choice(self.keys)
            how = rng.random()
            if how < 0.2:
                key = key[:-1] + bytes([key[-1] ^ 0x55])
            for _ in range(2 if how > 0.8 else 1):
                cancel(self.weir.port, key, how > 0.5)

    def run(self, seconds):
        for t in self.threads:
            t.start()
        time.sleep(seconds)
        until("one to be canceled", 60, lambda: self.canceled or self.problems)
        self.stop.set()
        for t in self.threads:
            t.join()


@limit(120)
def test_never_anothers_query(weir):
    crowd = Crowd(weir, victims=10, bystanders=10)
    crowd.run(8)
    equal(crowd.problems[:5], [])
    with weir.connect() as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))


def is_fine(raw):
    raw.send(query("SELECT 'fine'"))
    got = raw.read_until("Z")
    return [row_values(b) for k, b in got if k == "D"] == [["fine"]]


@quick
def test_cancel_of_a_finished_query_twice(weir):
    """A late one may end this client's own next query, as in PostgreSQL, and nothing else."""
    with Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        for i in range(20):
            raw.send(query(f"SELECT {i}"))
            got = raw.read_until("Z")
            check([row_values(b) for k, b in got if k == "D"] == [[str(i)]] or
                  [error_fields(b)["C"] for k, b in got if k == "E"] == ["57014"], got)
            cancel(weir.port, raw.key)
            cancel(weir.port, raw.key, True)
        until("the last of them to be over", 20, lambda: is_fine(raw))


@quick
def test_cancel_in_a_pipeline(weir, tier):
    """What runs ends, what stands behind its Sync goes on."""
    with Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        slow = (parse("", "SELECT pg_sleep(20)"), bind("", ""), execute(), SYNC)
        raw.send(*slow, parse("", "SELECT 'next'"), bind("", ""), execute(), SYNC)
        tier.wait_running("pg_sleep(20)")
        cancel(weir.port, raw.key)
        first, second = raw.read_until("Z"), raw.read_until("Z")
        equal([error_fields(b)["C"] for k, b in first if k == "E"], ["57014"])
        equal([row_values(b) for k, b in second if k == "D"], [["next"]])


def listening_for_all(node):
    """Its server processes; SELECT 1 is how it is asked whether all has been heard."""
    return [pid for pid, in node.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgweir-probe' "
        "AND datname = 'app' AND query = 'SELECT 1'")]


def stopped(pids, signo):
    for pid in pids:
        os.kill(pid, signo)


@limit(60)
def test_cancel_before_a_listeners_request_runs(weir, tier):
    """A listener's request waits to hear of what was notified before; the cancel finds it there."""
    weir.need_pgweir()
    settle(weir)
    with Raw(weir.port) as raw, tier.connect(user="postgres") as node:
        equal(raw.log_in(), None)
        raw.rows("LISTEN canceled")
        pids = until("the session that listens for all", 20,
                     lambda: is_fine(raw) and listening_for_all(node))
        stopped(pids, signal.SIGSTOP)
        try:
            raw.send(query("SELECT pg_sleep(20)"))
            until("it to wait, or to run", 10, lambda: any(
                r["user"] == "app" and r["state"] != "idle" for r in weir.show("CLIENTS")))
            cancel(weir.port, raw.key)
        finally:
            stopped(pids, signal.SIGCONT)
        equal([error_fields(b)["C"] for k, b in raw.read_until("Z") if k == "E"], ["57014"])
        check(is_fine(raw), "the next one is canceled too")


def wait_waiting(weir):
    until("it to wait", 20, lambda: any(r["user"] == "app" and r["state"] == "waiting" for r in weir.show("CLIENTS")))


def two_on(redis, start):
    weirs = [start({"workers": 1, "cache": "on", "cache_min_hits": 1, "cache_ttl": 600, "cache_redis_timeout": 10,
                    "cache_redis": f"redis://127.0.0.1:{redis.ports[0]}", "cache_redis_password": PASSWORD})
             for _ in range(2)]
    wait_connected(weirs)
    ready(weirs[0])
    time.sleep(2.5)    # after connecting, catalogs are in doubt
    return weirs


@needs("redis-server")
@limit(90)
def test_cancel_while_redis_is_asked(start, tier):
    """The request isn't served; what Redis answers meanwhile isn't kept for the next one."""
    Table(tier, "canceled_cache")
    redis, sql = RedisSet(1), "SELECT v FROM canceled_cache WHERE k = 1"

    def asked(raw, want):
        return values(ask_sql(raw, sql)) == [[want]]
    try:
        one, two = two_on(redis, start)
        with logged_in(one) as raw, logged_in(one) as beside, logged_in(two) as other:
            until("a result in the cache", 20, lambda: asked(other, "0") and cache_metric(two, "hits_local_total"))
            redis.kill(redis.ports[0], signal.SIGSTOP)
            try:
                raw.send(query(sql))
                wait_waiting(one)
                cancel(one.port, raw.key)
            finally:
                redis.kill(redis.ports[0], signal.SIGCONT)
            equal(first_error(raw.read_until("Z")), "57014")
            equal(first_error(ask_sql(other, "UPDATE canceled_cache SET v = 1")), None)
            until("the change", 20, lambda: asked(beside, "1"))
            check(asked(raw, "1"), "the next one is canceled too, or an old result")
    finally:
        redis.stop()


@limit(60)
def test_cancel_while_a_server_is_on_its_way(start, tier):
    """The server doesn't answer the log-in yet: the request ends at once, the next one gets a server."""
    wire = Wire(tier.primary_port())
    weir = start({"databases": [f"slow = host=127.0.0.1 port={wire.port} dbname=app"]})
    try:
        with logged_in(weir, dbname="slow") as raw:
            wire.cut()
            wire.mute()
            raw.send(query("SELECT pg_sleep(20)"))
            until("the server to be asked", 20, lambda: wire.asked)
            wait_waiting(weir)
            cancel(weir.port, raw.key)
            equal(first_error(raw.read_until("Z")), "57014")
            wire.cut()
            check(is_fine(raw), "the next one is canceled too")
    finally:
        wire.close()


@limit(60)
def test_a_flood_of_cancels(weir):
    """Of unknown keys, from many connections: others are served on."""
    def flood():
        for i in range(150):
            cancel(weir.port, struct.pack("!II", i * 7919 % 2 ** 31, i), i % 2 == 0)
    threads = [threading.Thread(target=flood) for _ in range(6)]
    for t in threads:
        t.start()
    with weir.connect() as conn:
        for i in range(200):
            equal(conn.execute("SELECT %s::int", (i,)).fetchone(), (i,))
    for t in threads:
        t.join()
