# SPDX-License-Identifier: PostgreSQL
"""Two pgweir on one Redis, before one PostgreSQL: what they have from one another, and what clients see meanwhile."""
import contextlib
import threading
import time

from lib import check, equal, patient, until
from plain_pg import Plain, metric

PORTS = (6432, 6442)
SQL = "SELECT price FROM quotes WHERE symbol = %s"
# A lost subscription is noticed within two seconds, then results live one; without that they would live cache_ttl.
STALE_MAX_S = patient(5)


def hits_and_misses(port):
    return (metric(port, "pgweir_cache_hits_local_total") + metric(port, "pgweir_cache_hits_redis_total"),
            metric(port, "pgweir_cache_misses_total"))


class Pair:
    def __init__(self, cluster, binary, options):
        self.plain = Plain(cluster)
        try:
            for port in PORTS:
                self.plain.weir(binary, port, options)
            self.one, self.other = (self.plain.connect(port) for port in PORTS)
            self.one.execute("CREATE TABLE quotes(symbol text PRIMARY KEY, price int)")
            self.one.execute("INSERT INTO quotes SELECT 'S' || i, 0 FROM generate_series(1, 50) i")
        except Exception:
            self.plain.stop()
            raise
        self.price = 0

    def stop(self):
        self.plain.stop()

    def sum(self, name):
        return sum(metric(port, name) for port in PORTS)

    def wait_connected(self, seconds=60):
        until("both pgweir are connected", seconds,
              lambda: self.sum("pgweir_cache_redis_connected") == len(PORTS), 0.2)

    def share(self):
        """Hits of both, some of what the other stored, and writes seen."""
        self.wait_connected()
        time.sleep(2.5)    # after connecting, catalogs are in doubt
        self.warm()
        before = {port: hits_and_misses(port) for port in PORTS}
        for i in range(400):
            symbol = (f"S{1 + i % 20}",)
            equal(self.one.execute(SQL, symbol).fetchone(), self.other.execute(SQL, symbol).fetchone())
        for port, (hits, misses) in before.items():
            now_hits, now_misses = hits_and_misses(port)
            rate = (now_hits - hits) / (now_hits - hits + now_misses - misses)
            check(rate > 0.9, f"hit rate {rate:.2f} on {port}")
        self.price += 1000
        self.other.execute("UPDATE quotes SET price = %s", (self.price,))
        equal(self.other.execute(SQL, ("S1",)).fetchone()[0], self.price, "own write")
        until("the other's write", 10, lambda: self.one.execute(SQL, ("S1",)).fetchone()[0] == self.price)

    def warm(self):
        """Nothing is valid at first; the one stores, the other finds."""
        self.one.execute("UPDATE quotes SET price = price")
        time.sleep(0.3)
        before = metric(PORTS[1], "pgweir_cache_hits_redis_total")
        for conn in (self.one, self.one, self.one, self.other):
            for i in range(20):
                conn.execute(SQL, (f"S{1 + i}",)).fetchone()
            time.sleep(0.2)
        got = metric(PORTS[1], "pgweir_cache_hits_redis_total") - before
        check(got >= 18, f"{got:.0f} of 20 from what the other pgweir stored")

    @contextlib.contextmanager
    def load(self):
        """Clients on both meanwhile: no error, no long wait, nothing staler than what docs/cache.md allows."""
        watch = Watch(self)
        watch.start()
        try:
            yield
            time.sleep(3)
        finally:
            watch.end()
        watch.judge()


class Watch:
    """A writer through the one, readers through both."""

    def __init__(self, pair):
        self.pair, self.is_over = pair, False
        self.acked, self.problems, self.reads, self.writes, self.longest = [], [], 0, 0, 0.0
        self.threads = [threading.Thread(target=self.guard, args=(f,)) for f in
                        (self.write, lambda: self.read(PORTS[0]), lambda: self.read(PORTS[1]))]

    def start(self):
        for thread in self.threads:
            thread.start()
        until("the load runs", 20, lambda: self.reads > 20 and self.writes > 2)

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(30)

    def guard(self, func):
        try:
            func()
        except Exception as e:    # noqa: BLE001: whatever it is, a client saw it
            self.problems.append(repr(e))

    def write(self):
        with self.pair.plain.connect(PORTS[0]) as conn:
            while not self.is_over:
                self.pair.price += 1
                self.timed(conn, "UPDATE quotes SET price = %s WHERE symbol = 'S1'", (self.pair.price,))
                self.acked.append((time.monotonic(), self.pair.price))
                self.writes += 1
                time.sleep(0.2)

    def read(self, port):
        with self.pair.plain.connect(port) as conn:
            while not self.is_over:
                began = time.monotonic()
                got = self.timed(conn, SQL, ("S1",)).fetchone()[0]
                must = max((p for at, p in list(self.acked) if at < began - STALE_MAX_S), default=0)
                if got < must:
                    self.problems.append(f"{port}: {got} was read, {must} was acknowledged {STALE_MAX_S} s before")
                self.timed(conn, SQL, (f"S{2 + self.reads % 19}",))
                self.reads += 1
                time.sleep(0.01)

    def timed(self, conn, sql, params):
        began = time.monotonic()
        done = conn.execute(sql, params)
        self.longest = max(self.longest, time.monotonic() - began)
        return done

    def judge(self):
        equal(self.problems, [], "what clients saw")
        # No statement waits for Redis's failover: cache_redis_timeout is 0.5 s. The rest is the machine's.
        check(self.longest < patient(5), f"a statement took {self.longest:.1f} s")
        check(self.reads > 100, f"only {self.reads} reads")
