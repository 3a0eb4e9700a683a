# SPDX-License-Identifier: PostgreSQL
"""The cache in a Redis Cluster of six real servers, and by TLS: two pgweir each time, clients meanwhile."""
import contextlib
import os
import threading
import time

from lib import check, equal, limit, needs, patient, until
from redis_set import PASSWORD, Authority, RedisSet

BASE = {"cache": "on", "cache_min_hits": 1, "cache_ttl": 60, "cache_redis_timeout": 0.5,
        "cache_redis_password": PASSWORD, "cache_redis_prefix": "pgweir"}
STALE_MAX_S = 8    # a lost subscription is noticed within two seconds, then results live one; the rest is a busy machine's
READ = "SELECT v FROM rediscl WHERE k = %s"


def cluster_url(redis):
    return "redis+cluster://" + ",".join(f"127.0.0.1:{p}" for p in redis.ports[:3])


def make_table(tier):
    with tier.connect() as conn:
        conn.execute("DROP TABLE IF EXISTS rediscl")
        conn.execute("CREATE TABLE rediscl(k int PRIMARY KEY, v int)")
        conn.execute("INSERT INTO rediscl SELECT i, 0 FROM generate_series(1, 50) i")


def cache_metric(weir, name):
    return weir.metrics().get(f"pgweir_cache_{name}", 0)


def wait_connected(weirs, seconds=40):
    until("the pgweir are connected to Redis", seconds,
          lambda: all(cache_metric(w, "redis_connected") == 1 for w in weirs))


def wait_cached(conn, weir):
    """Until the catalog is known and the first result comes from the cache."""
    def is_hit():
        before = cache_metric(weir, "hits_local_total")
        conn.execute(READ, (50,)).fetchone()
        return cache_metric(weir, "hits_local_total") > before
    until("a first hit", 20, is_hit, 0.1)


def share(one, two):
    """What the one stores the other finds; hit rates of both; a write through the other is seen."""
    wait_connected((one, two))
    with one.connect() as a, two.connect() as b:
        wait_cached(a, one)
        wait_cached(b, two)
        time.sleep(2.5)    # after connecting, catalogs are in doubt

        def is_found():
            a.execute("UPDATE rediscl SET v = v + 1")
            time.sleep(1)
            for conn in (a, a, b):
                before = cache_metric(two, "hits_redis_total")
                for k in range(1, 21):
                    conn.execute(READ, (k,)).fetchone()
                time.sleep(0.3)
            return cache_metric(two, "hits_redis_total") - before >= 18
        until("18 of 20 from what the other stored", 20, is_found)
        before = [(cache_metric(w, "hits_local_total") + cache_metric(w, "hits_redis_total"),
                   cache_metric(w, "misses_total")) for w in (one, two)]
        for i in range(200):
            equal(a.execute(READ, (1 + i % 20,)).fetchone(), b.execute(READ, (1 + i % 20,)).fetchone())
        for w, (hits, misses) in zip((one, two), before):
            hits = cache_metric(w, "hits_local_total") + cache_metric(w, "hits_redis_total") - hits
            misses = cache_metric(w, "misses_total") - misses
            check(hits / (hits + misses) > 0.9, f"{hits} hits, {misses} misses")
        value = b.execute("UPDATE rediscl SET v = v + 1 WHERE k = 1 RETURNING v").fetchone()
        until("the other's write", 10, lambda: a.execute(READ, (1,)).fetchone() == value)


class Load:
    """A writer through the first pgweir, readers through both."""

    def __init__(self, one, two):
        self.weirs, self.is_over = (one, two), False
        self.acked, self.problems, self.reads, self.longest = [], [], 0, 0.0
        jobs = (self.write, lambda: self.read(one), lambda: self.read(two))
        self.threads = [threading.Thread(target=self.guard, args=(j,)) for j in jobs]

    def guard(self, job):
        try:
            job()
        except Exception as e:    # noqa: BLE001: whatever it is, a client saw it
            self.problems.append(repr(e))

    def timed(self, conn, sql, params):
        began = time.monotonic()
        row = conn.execute(sql, params).fetchone()
        self.longest = max(self.longest, time.monotonic() - began)
        return row

    def write(self):
        with self.weirs[0].connect() as conn:
            while not self.is_over:
                row = self.timed(conn, "UPDATE rediscl SET v = v + 1 WHERE k = %s RETURNING v", (2,))
                self.acked.append((time.monotonic(), row[0]))
                time.sleep(0.1)

    def read(self, weir):
        with weir.connect() as conn:
            while not self.is_over:
                began = time.monotonic()
                got = self.timed(conn, READ, (2,))[0]
                must = max((v for at, v in list(self.acked) if at < began - STALE_MAX_S), default=0)
                if got < must:
                    self.problems.append(f"{weir.label}: {got}, but {must} was acknowledged {STALE_MAX_S} s ago")
                self.timed(conn, READ, (3 + self.reads % 40,))
                self.reads += 1
                time.sleep(0.005)


@contextlib.contextmanager
def load(one, two):
    work = Load(one, two)
    for thread in work.threads:
        thread.start()
    try:
        until("the load runs", 20, lambda: work.reads > 50 and len(work.acked) > 2)
        yield
        time.sleep(STALE_MAX_S + 1)
    finally:
        work.is_over = True
        for thread in work.threads:
            thread.join(patient(30))
    equal(work.problems, [], "what clients saw")
    check(work.longest < patient(5), f"a statement took {work.longest:.1f} s")


@limit(240)
@needs("redis-server", "redis-cli")
def test_six_servers(start, tier, sub):
    make_table(tier)
    redis = RedisSet(6, form=True)
    options = {**BASE, "cache_redis": cluster_url(redis)}
    try:
        one, two = start(options), start(options)
        with sub("cache_redis::a cluster is shared"):
            share(one, two)
            shown = {row["name"]: int(row["value"]) for row in one.show("CACHE")}
            equal(shown["redis_masters"], 3)
            equal(shown["redis_errors"], 0)
            equal(sorted(v for k, v in shown.items() if k.startswith("redis_heard ")), [1, 1, 1])
        with sub("cache_redis::slots move under load"):
            source, target = [p for p in redis.ports if redis.is_master(p)][:2]
            with load(one, two):
                said = redis.cli(None, "--cluster", "reshard", f"127.0.0.1:{source}", "--cluster-from",
                                 redis.cli(source, "cluster", "myid"), "--cluster-to",
                                 redis.cli(target, "cluster", "myid"), "--cluster-slots", "3000",
                                 "--cluster-yes", seconds=90)
                check("ERR" not in said, said[-500:])
            equal(cache_metric(one, "redis_errors_total") + cache_metric(two, "redis_errors_total"), 0)
            share(one, two)
        with sub("cache_redis::a master killed under load"):
            victim = [p for p in redis.ports if redis.is_master(p)][0]
            heir = redis.replica_of(victim)
            with load(one, two):
                redis.kill(victim)
                until("promotion", 40, lambda: redis.is_master(heir), 0.2)
                wait_connected((one, two))
            share(one, two)
    finally:
        redis.stop()


@limit(240)
@needs("redis-server", "redis-cli")
def test_one_of_a_cluster_taken_for_the_only_one(start, tier):
    """Where it says MOVED nobody follows: that server isn't one that the operator named."""
    make_table(tier)
    redis = RedisSet(6, form=True)
    try:
        port = [p for p in redis.ports if redis.is_master(p)][0]
        others = [p for p in redis.ports if p != port]
        before = {p: connections(redis, p) for p in others}
        weir = start({**BASE, "cache_redis": f"redis://127.0.0.1:{port}"})
        wait_connected((weir,))
        with weir.connect() as conn:
            wait_cached(conn, weir)
            for _ in range(3):
                value = conn.execute("UPDATE rediscl SET v = v + 1 RETURNING v").fetchone()
                for k in range(1, 51):
                    equal(conn.execute(READ, (k,)).fetchone(), value)
        check(cache_metric(weir, "redis_errors_total") > 0, "it said MOVED")
        equal(cache_metric(weir, "redis_redirections_total"), 0)
        equal({p: connections(redis, p) for p in others}, before, "others were asked")
    finally:
        redis.stop()


def connections(redis, port):
    """Of clients but the one that asks."""
    return sum("cmd=client" not in line for line in redis.cli(port, "client", "list", "type", "normal").splitlines())


@limit(150)
@needs("redis-server", "redis-cli", "openssl")
def test_by_tls(start, tier, folder, sub):
    """The certificate's name is checked, pgweir's own is shown; a server with another name isn't used."""
    make_table(tier)
    certs = os.path.join(folder, "redis-tls")
    os.makedirs(certs)
    ca = Authority(certs)
    ca.sign("server", "IP:127.0.0.1,DNS:localhost")
    ca.sign("other", "DNS:elsewhere.example")
    for name in os.listdir(certs):
        os.chmod(os.path.join(certs, name), 0o644)
    tls = {**BASE, "cache_redis_tls_ca_file": ca.path("ca.crt"), "cache_redis_tls_cert_file": ca.path("server.crt"),
           "cache_redis_tls_key_file": ca.path("server.key")}
    single, cluster, wrong = RedisSet(1, authority=ca), RedisSet(3, form=True, authority=ca), \
        RedisSet(1, authority=ca, cert="other")
    try:
        with sub("cache_redis::tls to one server"):
            options = {**tls, "cache_redis": f"rediss://localhost:{single.ports[0]}"}
            share(start(options), start(options))
        with sub("cache_redis::tls to a cluster"):
            options = {**tls, "cache_redis": "rediss" + cluster_url(cluster)[5:]}
            share(start(options), start(options))
        with sub("cache_redis::another name is refused"):
            weir = start({**tls, "cache_redis": f"rediss://127.0.0.1:{wrong.ports[0]}"})
            until("the refusal in the log", 10,
                  lambda: any("redis_down" in line and 'why="tls"' in line for line in weir.log_lines()))
            equal(cache_metric(weir, "redis_connected"), 0)
        with sub("cache_redis::without a certificate of its own"):
            options = {k: v for k, v in tls.items() if "cert" not in k and "key" not in k}
            weir = start({**options, "cache_redis": f"rediss://127.0.0.1:{single.ports[0]}"})
            time.sleep(1)
            equal(cache_metric(weir, "redis_connected"), 0)
    finally:
        for one in (single, cluster, wrong):
            one.stop()
