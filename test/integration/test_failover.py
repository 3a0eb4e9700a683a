# SPDX-License-Identifier: PostgreSQL
"""A failover is a pause: transfers go on, nothing acknowledged is lost."""
import random
import threading
import time

import psycopg

from lib import check, equal, limit, patient

OPTIONS = {"default_pool_size": 20, "query_wait_timeout": 90, "failover_wait_timeout": 90}
ACCOUNTS, START, CLIENTS = 50, 1000, 20
KEPT = "SELECT %s::int /* prepared before the failover */"


class Transfers:
    """20 clients move money; each acknowledged commit is remembered."""

    def __init__(self, weir, table):
        self.weir, self.table = weir, table
        self.acked, self.unknown, self.errors = [], [], {}
        self.ack_times, self.wrong_totals = [], []
        self.lock, self.stop_now = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(n,), daemon=True)
                        for n in range(CLIENTS)]

    def make(self):
        with self.weir.connect() as conn:
            conn.execute(f"DROP TABLE IF EXISTS {self.table}, {self.table}_log")
            conn.execute(f"CREATE TABLE {self.table}(id int PRIMARY KEY, balance int)")
            conn.execute(f"CREATE TABLE {self.table}_log(client int, seq int)")
            conn.execute(f"INSERT INTO {self.table} SELECT i, {START} "
                         f"FROM generate_series(1, {ACCOUNTS}) i")

    def client(self, number):
        rng, seq, conn = random.Random(number), 0, None
        while not self.stop_now.is_set():
            try:
                if conn is None or conn.closed:
                    conn = self.weir.connect(connect_timeout=60)
                seq += 1
                self.transfer(conn, rng, number, seq)
                if seq % 5 == 0:
                    self.look(conn)
            except psycopg.Error as e:
                with self.lock:
                    self.unknown.append((number, seq))
                    state = e.sqlstate or "none"
                    self.errors[state] = self.errors.get(state, 0) + 1
                if conn is not None and not conn.closed:
                    self.rollback(conn)
                time.sleep(0.05)

    @staticmethod
    def rollback(conn):
        try:
            conn.execute("ROLLBACK")
        except psycopg.Error:
            conn.close()

    def transfer(self, conn, rng, number, seq):
        a, b = sorted(rng.sample(range(1, ACCOUNTS + 1), 2))
        amount = rng.randint(-50, 50)
        conn.execute("BEGIN")
        conn.execute(f"UPDATE {self.table} SET balance = balance - %s WHERE id = %s", (amount, a))
        conn.execute(f"UPDATE {self.table} SET balance = balance + %s WHERE id = %s", (amount, b))
        conn.execute(f"INSERT INTO {self.table}_log VALUES (%s, %s)", (number, seq))
        conn.execute("COMMIT")
        with self.lock:
            self.acked.append((number, seq))
            self.ack_times.append(time.monotonic())

    def look(self, conn):
        """The total as any node shows it; it never changes."""
        total, = conn.execute(f"SELECT sum(balance) FROM {self.table}").fetchone()
        if total != ACCOUNTS * START:
            self.wrong_totals.append(total)

    def start(self):
        for t in self.threads:
            t.start()

    def stop(self):
        self.stop_now.set()
        for t in self.threads:
            t.join(patient(100))
        check(not any(t.is_alive() for t in self.threads), "a client hangs")

    def count(self):
        with self.lock:
            return len(self.acked)

    def pause_s(self):
        times = sorted(self.ack_times)
        return max(b - a for a, b in zip(times, times[1:]))

    def verify(self, tier):
        with tier.connect() as conn:
            log = conn.execute(f"SELECT client, seq FROM {self.table}_log").fetchall()
            total, = conn.execute(f"SELECT sum(balance) FROM {self.table}").fetchone()
        lost = set(self.acked) - set(log)
        equal(sorted(lost)[:5], [], f"{len(lost)} acknowledged commits lost")
        equal(len(log), len(set(log)), "a transfer ran twice")
        equal(total, ACCOUNTS * START, "total")
        equal(self.wrong_totals[:3], [], "totals seen by readers")
        # Errors that tell a client what happened; anything else is pgweir's own mistake.
        known = {"08006", "08007", "57P01", "57P02", "57P03", "25P02", "none"}
        equal(sorted(set(self.errors) - known), [], f"errors {self.errors}")

    def wait_for(self, count, seconds, what):
        goal, deadline = self.count() + count, time.monotonic() + patient(seconds)
        while self.count() < goal:
            check(time.monotonic() < deadline, f"{what}: no {count} transfers in {seconds} s; "
                  f"errors {self.errors}")
            time.sleep(0.05)


def idle_sessions(weir):
    conns = [weir.connect() for _ in range(10)]
    for i, conn in enumerate(conns):
        conn.execute(f"SET work_mem = '{i + 1}MB'")
        equal(conn.execute(KEPT, (i,), prepare=True).fetchone(), (i,))
        conn.execute("SELECT txid_current()")
    return conns


def verify_idle(conns):
    for i, conn in enumerate(conns):
        equal(conn.execute("SHOW work_mem").fetchone(), (f"{i + 1}MB",))
        equal(conn.execute(KEPT, (i,), prepare=True).fetchone(), (i,))
        conn.execute("SELECT txid_current()")
        conn.close()


def transfer_through(weir, tier, table, change):
    """The workload runs while change() changes the primary."""
    tier.command("sync", "on")
    tier.command("wait")
    work = Transfers(weir, table)
    work.make()
    idle = idle_sessions(weir)
    work.start()
    try:
        work.wait_for(200, 60, "before")
        old = tier.env()["PRIMARY"]
        change()
        work.wait_for(400, 90, "after")
        new = tier.env()["PRIMARY"]
    finally:
        work.stop()
    check(new and new != old, f"primary {old} then {new}")
    print(f"# {table}: {len(work.acked)} transfers, pause {work.pause_s():.1f} s, "
          f"errors {work.errors}", flush=True)
    work.verify(tier)
    verify_idle(idle)


@limit(240)
def test_transfers_across_a_switchover(weir, tier):
    weir.need_pgweir()
    transfer_through(weir, tier, "moved_switch", lambda: tier.command("switchover"))


@limit(180)
def test_a_promoted_replica_pins_nobody(weir, tier):
    """A connection that is in use meanwhile reports in_hot_standby; no client has done that."""
    weir.need_pgweir()
    tier.command("wait")
    conns = [weir.connect(application_name="it_promoted") for _ in range(12)]
    code = "DO $$ BEGIN PERFORM 1; END $$"
    for conn in conns:
        conn.execute("BEGIN READ ONLY")
        conn.execute("SELECT 1")
    tier.command("switchover")
    for conn in conns:
        conn.execute(code)    # on the node that it was on, whatever that is now
        conn.execute("COMMIT")
        conn.execute(code)
    equal([r["pinned"] for r in weir.show("CLIENTS") if r["application_name"] == "it_promoted"], [""] * 12)
    for conn in conns:
        conn.close()


@limit(300)
def test_transfers_across_a_killed_primary(weir, tier):
    weir.need_pgweir()
    try:
        transfer_through(weir, tier, "moved_kill", lambda: tier.command("kill-primary"))
    finally:
        tier.command("resume")


@limit(300)
def test_transfers_across_a_paused_primary(weir, tier):
    """The old primary stops without closing a connection, and comes back later."""
    weir.need_pgweir()
    try:
        transfer_through(weir, tier, "moved_pause", lambda: tier.command("pause-primary"))
    finally:
        tier.command("resume")
        tier.command("sync", "off")


@limit(120)
def test_reads_go_on_without_a_primary(weir, tier):
    weir.need_pgweir()
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS still_there(k int)")
        time.sleep(1)
        tier.command("kill-primary")
        try:
            reader = weir.connect()
            answered = 0
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                reader.execute("SELECT count(*) FROM still_there")
                answered += 1
                time.sleep(0.05)
            check(answered > 50, f"only {answered} reads in 10 s without a primary")
        finally:
            tier.command("resume")
        conn.execute("DROP TABLE still_there")


@limit(180)
def test_a_replica_dies_unnoticed(weir, tier):
    """Reads that run on a replica when its servers die are repeated elsewhere."""
    weir.need_pgweir()
    errors, stop = [], threading.Event()
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS calm(k int)")
        time.sleep(1)

    def reader():
        with weir.connect() as conn:
            while not stop.is_set():
                try:
                    conn.execute("SELECT count(*) FROM calm")
                except psycopg.Error as e:
                    errors.append(repr(e))
                    return
    threads = [threading.Thread(target=reader, daemon=True) for _ in range(6)]
    for t in threads:
        t.start()
    for port in tier.replica_ports():
        with tier.connect(port, user="postgres") as admin:
            for _ in range(3):
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                              "WHERE usename = 'app'")
                time.sleep(0.2)
    stop.set()
    for t in threads:
        t.join(patient(20))
    equal(errors, [])
