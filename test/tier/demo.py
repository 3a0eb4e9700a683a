#!/usr/bin/python3
# SPDX-License-Identifier: PostgreSQL
"""What ./try shows, on the running tier; ./try says how it is called."""
import os
import random
import shlex
import subprocess
import sys
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import psycopg            # noqa: E402
import servers            # noqa: E402
from nodes import Nodes   # noqa: E402
from session import Tier  # noqa: E402
from finai import App, AppError  # noqa: E402
from finaidemo import AppDemo    # noqa: E402
from weirs import NAMES, WeirError, Weirs    # noqa: E402

DIR = os.environ["TRY_DIR"]
BINARY = os.path.join(HERE, "..", "..", "build", "pgweir")


def title(text):
    print(f"\n{text}", flush=True)


def say(text):
    print(f"  {text}", flush=True)


class Demo:
    def __init__(self):
        self.tier = Tier(os.path.join(DIR, "tier"))
        self.weirs = Weirs(DIR, self.tier.state, BINARY)

    def connect(self, name="one", **kw):
        return psycopg.connect(self.weirs.url(name), autocommit=True, **kw)

    def stat(self, name, counter):
        url = f"http://127.0.0.1:{self.weirs.port(name) + 1}/metrics"
        with urllib.request.urlopen(url, timeout=5) as reply:
            for line in reply.read().decode().splitlines():
                if line.startswith(f'pgweir_database_{counter}_total{{database="app"}}'):
                    return int(float(line.rpartition(" ")[2]))
        return 0

    # ------------------------------------------------------------ the steps

    def routes(self):
        title("1. A table is made and filled; where each statement runs")
        texts = ["CREATE TABLE IF NOT EXISTS orders(id int PRIMARY KEY, customer int, "
                 "amount int)", "TRUNCATE orders", "INSERT INTO orders SELECT i, i % 100, i "
                 "FROM generate_series(1, 1000) i", "SELECT count(*) FROM orders",
                 "SELECT sum(amount) FROM orders WHERE customer = 7",
                 "SELECT * FROM orders WHERE id = 1 FOR UPDATE",
                 "WITH gone AS (DELETE FROM orders WHERE id = 1000 RETURNING id) "
                 "SELECT count(*) FROM gone", "UPDATE orders SET amount = 0 WHERE id = 2"]
        with self.connect() as conn, Nodes(self.tier) as nodes:
            for text in texts:
                if text.startswith("SELECT"):
                    nodes.wait_replayed()
                    time.sleep(0.4)
                role = nodes.role_of(lambda t: conn.execute(t, prepare=False), text)
                say(f"{role or 'pgweir':8} {text[:88]}")

    def spread(self):
        title("2. Reads spread over the replicas")
        counts = {}
        with Nodes(self.tier) as nodes:
            nodes.wait_replayed()
            time.sleep(0.5)
            conns = [self.connect() for _ in range(9)]
            for i, conn in enumerate(conns):
                conn.execute("BEGIN READ ONLY")
                conn.execute(f"SELECT amount FROM orders WHERE id = {i + 1} /* try-{i}-read */")
            for i in range(len(conns)):
                for name in nodes.holding(f"try-{i}-read"):
                    counts[name] = counts.get(name, 0) + 1
            for conn in conns:
                conn.close()
            say(f"9 sessions with an open read: {self.per_node(counts, nodes.primary)}")

    @staticmethod
    def per_node(counts, primary):
        return ", ".join(f"{name}{' (primary)' if name == primary else ''} {n}"
                         for name, n in sorted(counts.items()))

    def own_writes(self):
        title("3. A session sees its own writes at once")
        where = ("routed_primary", "routed_replica", "cache_hits_local")
        before = [self.stat("one", c) for c in where]
        stale = 0
        with self.connect() as conn:
            for i in range(300):
                conn.execute("UPDATE orders SET amount = %s WHERE id = 5", (i,))
                got, = conn.execute("SELECT amount FROM orders WHERE id = 5").fetchone()
                stale += got != i
                if i % 50 == 49:
                    time.sleep(0.3)
                    for _ in range(10):
                        conn.execute("SELECT amount FROM orders WHERE id = 6")
        primary, replicas, cached = (self.stat("one", c) - b for c, b in zip(where, before))
        say(f"300 writes, each followed by its read: {stale} stale")
        say(f"requests on the primary {primary}, on replicas {replicas}, from the cache {cached}")

    def cache(self):
        title("4. A hot read comes from the cache, the second pgweir's from Redis")
        sql = "SELECT customer, sum(amount) FROM orders GROUP BY customer ORDER BY 2 DESC LIMIT 3"
        with self.connect() as conn, self.connect("two") as other:
            other.execute("SELECT FROM orders LIMIT 1")    # it gets to know the new table
            time.sleep(1)
            hits = self.stat("one", "cache_hits_local")
            times = []
            for _ in range(20):
                began = time.perf_counter()
                first = conn.execute(sql, prepare=False).fetchall()
                times.append((time.perf_counter() - began) * 1000)
                time.sleep(0.05)
            say(f"20 times the same read: {self.stat('one', 'cache_hits_local') - hits} from local "
                f"memory; first {times[0]:.2f} ms, best {min(times):.2f} ms")
            redis = self.stat("two", "cache_hits_redis")
            equal = other.execute(sql, prepare=False).fetchall() == first
            say(f"the second pgweir, asked for the first time: "
                f"{self.stat('two', 'cache_hits_redis') - redis} from Redis"
                f"{'' if equal else ', but another answer'}")
            conn.execute("UPDATE orders SET amount = 100000 WHERE id = 7")
            conn.execute(sql, prepare=False)
            deadline = time.monotonic() + 5
            while other.execute(sql, prepare=False).fetchone()[1] < 100000 and \
                    time.monotonic() < deadline:
                time.sleep(0.005)
            late = (time.monotonic() - deadline + 5) * 1000
            say(f"after a write through the first, the second shows it within {late:.0f} ms")

    def switchover(self):
        title("5. A switchover under a running workload")
        acks, errors, stop = [], [], threading.Event()

        def work(seed):
            rng, conn = random.Random(seed), None
            while not stop.is_set():
                try:
                    conn = conn if conn and not conn.closed else self.connect(connect_timeout=30)
                    with conn.transaction():
                        conn.execute("UPDATE orders SET amount = amount + 1 WHERE id = %s",
                                     (rng.randint(10, 900),))
                    acks.append(time.monotonic())
                    time.sleep(0.005)
                except psycopg.Error as e:
                    errors.append(e.sqlstate or type(e).__name__)
        idle = self.connect()
        idle.execute("SET work_mem = '6MB'")
        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)]
        for t in threads:
            t.start()
        time.sleep(2)
        said = self.tier.command("switchover")
        time.sleep(3)
        stop.set()
        for t in threads:
            t.join(60)
        pause = max((b - a for a, b in zip(sorted(acks), sorted(acks)[1:])), default=0)
        say(f"Patroni: {said}")
        say(f"8 clients, {len(acks)} transactions, longest pause {pause:.2f} s, "
            f"{len(errors)} errors{' ' + str(sorted(set(errors))) if errors else ''}")
        work_mem, = idle.execute("SHOW work_mem").fetchone()
        say(f"a session that was idle all along still works, with its work_mem of {work_mem}")
        idle.close()

    def console(self):
        title("6. The same on pgweir's console")
        for what in ("POOLS", "STATS", "NODES", "CACHE"):
            done = self.weirs.psql("-P", "footer=off", "-x" if what == "STATS" else "-q", "-c",
                                   f"SHOW {what}", user="postgres", dbname="pgweir")
            say(f"SHOW {what}")
            for line in (done.stdout + done.stderr).rstrip().splitlines()[:18]:
                say("  " + line[:150].rstrip())
        url = f"http://127.0.0.1:{self.weirs.port('one') + 1}/metrics"
        say(f"{url}")
        with urllib.request.urlopen(url, timeout=5) as reply:
            lines = [line for line in reply.read().decode().splitlines()
                     if line.startswith("pgweir_database_") and "routed" in line]
        for line in lines:
            say("  " + line)

    def last_words(self):
        title("It stays up. Your DATABASE_URL:")
        print(f"\n    {self.weirs.url()}\n")
        say("./try psql       a session through pgweir")
        say("./try console    pgweir's console: SHOW HELP;  EXPLAIN ROUTE ...")
        say("./try stop       ends everything")


def command_start():
    demo = Demo()
    demo.tier.command("wait")
    for name in NAMES:
        demo.weirs.start(name)
    say(f"pgweir on port {demo.weirs.port('one')}, a second one on {demo.weirs.port('two')}")


def command_show():
    demo = Demo()
    failed = []
    for step in (demo.routes, demo.spread, demo.own_writes, demo.cache, demo.switchover,
                 demo.console):
        try:
            step()
        except (psycopg.Error, OSError, AssertionError, TypeError) as e:
            say(f"FAILED: {e!r}")
            failed.append(step.__name__)
    demo.last_words()
    if failed:
        say(f"failed steps: {' '.join(failed)}; logs in {DIR}")
    return 1 if failed else 0


def application(demo):
    return App(DIR, demo.tier.state, demo.weirs.url())


def command_app():
    demo = Demo()
    app = application(demo)
    app.start()
    say(f"finai-backend on port {app.port['backend']}, nginx on {app.port['page']}")
    AppDemo(demo, app, say, title).show()


def command_psql(*args):
    os.execv(servers.PG_BIN + "/psql", ["psql", Demo().weirs.url(), *args])


def command_console(*args):
    url = Demo().weirs.url(user="postgres", dbname="pgweir")
    os.execv(servers.PG_BIN + "/psql", ["psql", url, *args])


def command_status():
    demo = Demo()
    for name in NAMES:
        state = "running" if demo.weirs.is_current(name) else "not running, or an older build"
        say(f"pgweir {name}: port {demo.weirs.port(name)}, {state}")
    app = application(demo)
    for name, port in app.port.items():
        if app.is_running(name):
            say(f"application, {name}: port {port}, running")
    subprocess.run([os.path.join(HERE, "tier"), "status", "--dir", demo.tier.dir])


def command_env():
    print(f"export DATABASE_URL={shlex.quote(Demo().weirs.url())}")
    print(subprocess.run([os.path.join(HERE, "tier"), "env"], capture_output=True,
                         text=True).stdout, end="")


def command_stop():
    try:
        demo = Demo()
    except OSError:
        return
    application(demo).stop()
    for name in NAMES:
        demo.weirs.stop(name)


def main():
    command = globals()["command_" + sys.argv[1]]
    try:
        return command(*sys.argv[2:]) or 0
    except FileNotFoundError as e:
        print(f"nothing is running ({e.filename}); start it with ./try", file=sys.stderr)
    except (WeirError, AppError, AssertionError) as e:
        print(f"{e}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
