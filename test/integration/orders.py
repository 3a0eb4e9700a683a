# SPDX-License-Identifier: PostgreSQL
"""Clients of every kind at work while an operator gives orders in a random order that a seed repeats.

A client states what a direct connection would answer; what it may hear instead is that its session or
its log-in is over. The operator leaves everything as it was at the end, so that what is left behind
in pgweir's books is a fault of pgweir.
"""
import os
import random
import threading
import time

import psycopg

import servers
from lib import check, patient, until
from rawpg import Closed, Raw, error_fields, query

DATABASES = ("app", "second", "forced", "whole")
BASE = {"workers": 2, "default_pool_size": 3, "max_db_connections": 0, "query_wait_timeout": 600,
        "drain_timeout": 600, "server_idle_timeout": 600, "query_wait_notify": 0}
# How a session or a log-in may end. Orders, and what PostgreSQL says to connections that pgweir ends.
ENDS = ("57P01", "57P03", "55000", "3D000", "53300", "08006", "08007", "08P01", "25006", "28P01", "28000")


def lines(port):
    """The entries of [databases] besides `app`, by name."""
    return {"second": f"second = host=127.0.0.1 port={port} dbname=app",
            "forced": f"forced = host=127.0.0.1 port={port} dbname=app user=app "
                      f"password={servers.USERS['app']}",
            "whole": f"whole = host=127.0.0.1 port={port} dbname=app pool_mode=session pool_size=4"}


class Wrong(Exception):
    """An answer that a direct connection wouldn't give."""


def must(got, want, what):
    if got != want:
        raise Wrong(f"{what}: got {got!r}, want {want!r}")


# --- clients: each works on one session until it ends or `stop` is set ----------------------------------

def in_transactions(conn, rng, go_on):
    number = 0
    while go_on():
        number += 1
        conn.execute("BEGIN")
        conn.execute(f"SELECT set_config('orders.x', '{number}', true)")
        time.sleep(rng.random() * 0.01)
        must(conn.execute("SELECT current_setting('orders.x'), txid_current() > 0").fetchone(),
             (str(number), True), "in a transaction")
        conn.execute(rng.choice(("COMMIT", "ROLLBACK")))


def with_settings(conn, rng, go_on):
    kb = rng.randrange(64, 4096)
    conn.execute(f"SET work_mem = '{kb}kB'")
    while go_on():
        must(conn.execute("SELECT setting::int, %s::int FROM pg_settings WHERE name = 'work_mem'",
                          (kb,), prepare=True).fetchone(), (kb, kb), "a setting")
        time.sleep(rng.random() * 0.01)


def pinned(conn, rng, go_on):
    mark = rng.randrange(1 << 30)
    conn.execute(f"CREATE TEMP TABLE kept AS SELECT {mark} AS k")
    for _ in range(rng.randrange(5, 30)):
        if not go_on():
            break
        must(conn.execute("SELECT k FROM kept").fetchone(), (mark,), "a temporary table")
        time.sleep(rng.random() * 0.01)


def listening(conn, rng, go_on):
    channel = f"orders_{rng.randrange(1 << 30)}"
    conn.execute(f"LISTEN {channel}")
    must(conn.execute("SELECT 1").fetchone(), (1,), "behind LISTEN")
    while go_on():
        must(conn.execute("SELECT pg_sleep(0.001), 7").fetchone()[1], 7, "while it listens")
        time.sleep(rng.random() * 0.02)


def pipelined(conn, rng, go_on):
    while go_on():
        first, second = rng.randrange(1000), rng.randrange(1000)
        with conn.pipeline():
            a = conn.execute("SELECT %s::int", (first,))
            b = conn.execute("SELECT %s::int, txid_current() > 0", (second,))
        must((a.fetchone(), b.fetchone()), ((first,), (second, True)), "a pipeline")


def in_a_whole_session(conn, rng, go_on):
    mark = str(rng.randrange(1 << 30))
    conn.execute(f"SELECT set_config('orders.whole', '{mark}', false)")
    for _ in range(rng.randrange(5, 60)):
        if not go_on():
            break
        must(conn.execute("SELECT current_setting('orders.whole')").fetchone(), (mark,), "a session's setting")
        time.sleep(rng.random() * 0.01)


KINDS = ((in_transactions, "app"), (in_transactions, "second"), (in_transactions, "forced"),
         (with_settings, "app"), (with_settings, "second"), (pinned, "app"), (listening, "app"),
         (pipelined, "second"), (pipelined, "forced"), (in_a_whole_session, "whole"),
         (in_a_whole_session, "whole"), (in_transactions, "whole"))


class Crowd:
    """The clients' threads; `wrong` is what they found."""

    def __init__(self, weir, seed, each=2):
        self.weir, self.stop, self.wrong, self.ends, self.done = weir, threading.Event(), [], {}, 0
        self.threads = [threading.Thread(target=self.live, args=(kind, db, random.Random(f"{seed}/{i}")),
                                         daemon=True, name=f"{kind.__name__} {db} {i}")
                        for i, (kind, db) in enumerate(KINDS * each)]
        self.threads += [threading.Thread(target=self.replicate, daemon=True, name="replication")]
        self.at = {}

    def start(self):
        for thread in self.threads:
            thread.start()

    def go_on(self):
        self.done += 1
        self.at[threading.current_thread().name] = time.monotonic()
        return not self.stop.is_set()

    def ended(self, error):
        key = getattr(error, "sqlstate", None) or str(error).strip().splitlines()[-1][-90:]
        self.ends[key] = self.ends.get(key, 0) + 1

    def live(self, kind, database, rng):
        while not self.stop.is_set():
            try:
                with self.weir.connect(dbname=database) as conn:
                    kind(conn, rng, self.go_on)
            except psycopg.Error as e:
                if e.sqlstate and e.sqlstate not in ENDS:
                    self.wrong.append(f"{threading.current_thread().name}: {e.sqlstate} {e}")
                self.ended(e)
                time.sleep(0.1 + rng.random() * 0.1)
            except Wrong as e:
                self.wrong.append(f"{threading.current_thread().name}: {e}")

    def replicate(self):
        while not self.stop.is_set():
            try:
                with Raw(self.weir.port, 600) as raw:
                    error = raw.log_in("postgres", "app", replication="database")
                    while not error and self.go_on():
                        raw.send(query("IDENTIFY_SYSTEM"))
                        kinds = [k for k, _ in raw.read_until("Z")]
                        must(kinds, ["T", "D", "C", "Z"], "IDENTIFY_SYSTEM")
                        time.sleep(0.01)
            except (Closed, OSError):
                pass
            except Wrong as e:
                self.wrong.append(f"replication: {e}")
            time.sleep(0.1)

    def join(self):
        """No client hangs once everything is as it was."""
        self.stop.set()
        deadline = time.monotonic() + patient(20)
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        left = [t.name for t in self.threads if t.is_alive()]
        check(not left, f"hang: {left}")


# --- the operator -----------------------------------------------------------------------------------------

class Operator:
    """Gives orders one after the other; those that wait are given aside."""

    def __init__(self, weir, tier, seed):
        self.weir, self.rng, self.said = weir, random.Random(seed), []
        self.port, self.aside, self.console = tier.primary_port(), [], None
        self.orders = [(self.pause, 4), (self.resume, 8), (self.reload, 8), (self.set_option, 4),
                       (self.reconnect, 4), (self.kill_client, 6), (self.disable, 2), (self.enable, 4),
                       (self.kill, 1), (self.wait_close, 2), (self.show, 4), (self.rest, 6)]

    def say(self, text, wait=True):
        self.said.append(text)

        def work(console):
            try:
                console.execute(text)
            except psycopg.Error as e:
                self.said.append(f"  {text}: {e.sqlstate} {str(e).strip()}")

        def work_aside():
            with self.weir.console() as console:
                work(console)
        if wait:    # without an answer the test's time limit ends it
            self.console = self.console or self.weir.console()
            work(self.console)
        else:
            self.aside.append(threading.Thread(target=work_aside, daemon=True, name=text))
            self.aside[-1].start()

    def database(self):
        return self.rng.choice(("",) + DATABASES)

    def pause(self):
        self.say(f"PAUSE {self.database()}", wait=False)

    def resume(self):
        self.say(f"RESUME {self.database()}")

    def disable(self):
        self.say(f"DISABLE {self.rng.choice(DATABASES)}")

    def enable(self):
        self.say(f"ENABLE {self.rng.choice(DATABASES)}")

    def reconnect(self):
        self.say(f"RECONNECT {self.database()}")

    def kill(self):
        name = self.rng.choice(DATABASES)
        self.say(f"KILL {name}")
        self.say(f"RESUME {name}")

    def wait_close(self):
        self.say(f"WAIT_CLOSE {self.database()}", wait=False)

    def show(self):
        for what in ("POOLS", "CLIENTS", "SERVERS", "DATABASES", "USERS", "LISTS", "MEM", "SOCKETS"):
            self.say(f"SHOW {what}")

    def rest(self):
        time.sleep(self.rng.random() * 0.1)

    def kill_client(self):
        self.console = self.console or self.weir.console()
        cur = self.console.execute("SHOW CLIENTS")
        names = [c.name for c in cur.description]
        rows = [dict(zip(names, row)) for row in cur.fetchall()]
        ids = [r["id"] for r in rows if r["database"] in DATABASES]
        if ids:
            self.say(f"KILL_CLIENT {self.rng.choice(ids)}")

    def set_option(self):
        self.say("SET " + self.rng.choice((
            "default_pool_size = 1", "default_pool_size = 5", "max_db_connections = 2",
            "max_db_connections = 0", "pool_mode = session", "pool_mode = transaction",
            "server_round_robin = 1", "server_lifetime = 0", "server_lifetime = 3600",
            "max_prepared_statements = 1", "max_prepared_statements = 200", "true_backend_pid = on",
            "server_reset_query_always = 1", "max_user_connections = 3", "max_user_connections = 0",
            "min_pool_size = 2", "server_check_delay = 0", "server_idle_timeout = 1")))

    def ini(self):
        """Some of the entries, with some of their keys changed."""
        rng, entries = self.rng, lines(self.port)
        for name in list(entries):
            if rng.random() < 0.15:
                del entries[name]
            elif rng.random() < 0.3:
                entries[name] += rng.choice((" pool_size=1", " pool_mode=session", " min_pool_size=2",
                                             " application_name=x", " max_db_connections=1",
                                             " connect_query='SELECT 1'", " server_lifetime=0"))
        options = {**BASE, "databases": list(entries.values())}
        options["default_pool_size"] = rng.choice((1, 2, 3, 8))
        options["db.pool_size"] = rng.choice((1, 2, 3))
        if rng.random() < 0.2:
            options["users"] = [rng.choice(("app = pool_mode=session", "app = max_user_connections=4",
                                            "app = pool_size=1", "app = query_wait_timeout=300"))]
        return options

    def reload(self):
        self.weir.write_ini(self.ini())
        self.say("RELOAD")

    def work(self, steps):
        orders = [o for o, weight in self.orders for _ in range(weight)]
        for _ in range(steps):
            self.rng.choice(orders)()

    def restore(self):
        """Everything as it was."""
        self.weir.write_ini({**BASE, "databases": list(lines(self.port).values())})
        self.say("RELOAD")
        for name in DATABASES:
            self.say(f"ENABLE {name}")
        for word in ("RESUME",) + tuple(f"RESUME {d}" for d in DATABASES):
            self.say(word)

    def join(self):
        """PAUSE and WAIT_CLOSE are answered, at the latest when the clients have left."""
        deadline = time.monotonic() + patient(20)
        for thread in self.aside:
            thread.join(max(0.1, deadline - time.monotonic()))
        left = [t.name for t in self.aside if t.is_alive()]
        check(not left, f"not answered: {left}")
        if self.console:
            self.console.close()


# --- what must be true behind it --------------------------------------------------------------------------

def descriptors(weir):
    return len(os.listdir(f"/proc/{weir.proc.pid}/fd"))


def settle(weir):
    """Nobody is there but a console: the books say so."""
    def calm():
        pools = [r for r in weir.show("POOLS") if r["database"] in DATABASES]
        busy = [(r["database"], r["user"], k, r[k]) for r in pools for k in r
                if k.startswith(("cl_", "sv_")) and k not in ("sv_idle", "sv_used") and r[k]]
        clients = [r for r in weir.show("CLIENTS") if r["database"] in DATABASES]
        calm.left = (busy, [(r["user"], r["database"], r["state"]) for r in clients])
        return not busy and not clients
    try:
        until("the books to be empty", 20, calm)
    except AssertionError as e:
        raise AssertionError(f"{e}: {calm.left}") from None


def memory(weir, kind):
    return sum(int(r["used"]) for r in weir.show("MEM") if r["name"].startswith(kind))
