# SPDX-License-Identifier: PostgreSQL
"""Limits, waiting in order, timeouts, cancel requests, the three pool modes."""
import threading
import time

from lib import check, equal, limit, patient, quick, raises, until
from rawpg import Raw, query, struct


def busy(weir, seconds, on_done=None):
    """A thread with a query on the primary of so many seconds."""
    def work():
        with weir.connect() as conn:
            conn.execute(f"SELECT pg_sleep({seconds}), txid_current()")
            if on_done:
                on_done()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def server_count(tier, port=None):
    """Server connections of user app on the primary, made by pgweir or others."""
    with tier.connect(port, user="postgres") as conn:
        return conn.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' "
                            "AND backend_type = 'client backend'").fetchone()[0]


@limit(90)
def test_pool_size_is_exact(start, tier):
    """40 clients write at once: never more than pool_size servers on the primary."""
    weir = start({"default_pool_size": 3, "workers": 4})
    before = server_count(tier)
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            seen.append(server_count(tier))
            time.sleep(0.02)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    problems = []

    def client():
        try:
            with weir.connect() as conn:
                for _ in range(15):
                    conn.execute("SELECT txid_current(), pg_sleep(0.002)")
        except Exception as e:    # noqa: BLE001
            problems.append(e)
    threads = [threading.Thread(target=client) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    watcher.join()
    equal(problems, [])
    check(max(seen) - before <= 3, f"{max(seen) - before} servers, limit 3")


def test_waiting_in_order(start):
    """With one server, clients are served in the order in which they asked."""
    weir = start({"default_pool_size": 1, "workers": 3})
    holder, *conns = [weir.connect() for _ in range(9)]
    holder.execute("BEGIN")
    holder.execute("SELECT txid_current()")
    xids, threads = {}, []
    for number, conn in enumerate(conns):
        def work(number=number, conn=conn):
            xids[number], = conn.execute("SELECT txid_current()").fetchone()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        threads.append(thread)
        weir.wait_waiting(number + 1)
    holder.execute("COMMIT")
    for t in threads:
        t.join(patient(30))
    equal(sorted(xids, key=xids.get), list(range(8)))
    for conn in (holder, *conns):
        conn.close()


def test_query_wait_timeout(start):
    weir = start({"default_pool_size": 1, "query_wait_timeout": 3})
    holder, waiter = weir.connect(), weir.connect()
    holder.execute("BEGIN")
    holder.execute("SELECT txid_current()")
    raises(None, waiter.execute, "SELECT txid_current()", text="query_wait_timeout")
    holder.execute("COMMIT")
    with weir.connect() as conn:
        conn.execute("SELECT txid_current()")
    holder.close()


def test_client_idle_timeout(start):
    weir = start({"client_idle_timeout": 1})
    conn = weir.connect()
    time.sleep(3)
    raises(None, conn.execute, "SELECT 1")


def test_idle_transaction_timeout(start, tier):
    weir = start({"idle_transaction_timeout": 1, "default_pool_size": 1})
    conn = weir.connect()
    conn.execute("BEGIN")
    conn.execute("SELECT txid_current()")
    with weir.connect() as other:
        other.execute("SELECT txid_current()")
    raises(None, conn.execute, "SELECT 1")


def test_query_timeout(start):
    weir = start({"query_timeout": 1})
    conn = weir.connect()
    raises(None, conn.execute, "SELECT pg_sleep(20)")
    with weir.connect() as other:
        equal(other.execute("SELECT 1").fetchone(), (1,))


def test_server_idle_timeout(start, tier):
    weir = start({"server_idle_timeout": 5})
    before = server_count(tier)
    with weir.connect() as conn:
        conn.execute("SELECT txid_current()")
        check(server_count(tier) > before, "a server is open")
        until("the idle server is closed", 30, lambda: server_count(tier) <= before, 0.2)
        conn.execute("SELECT txid_current()")


def test_server_lifetime(start):
    weir = start({"server_lifetime": 1})
    with weir.connect() as conn:
        first = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()[0]
        time.sleep(2.5)
        second = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()[0]
        check(first != second, "the same server after its lifetime")


@quick
def test_cancel(weir, tier, sub):
    for sql in ("SELECT pg_sleep(30)", "SELECT pg_sleep(30), txid_current()"):
        with sub(f"pools::cancel {sql}"), weir.connect() as conn:
            tier.when_running(sql, conn.cancel)
            raises("57014", conn.execute, sql,
                   text="canceling statement due to user request")
            equal(conn.execute("SELECT 1").fetchone(), (1,))


@quick
def test_cancel_with_a_wrong_key(weir):
    with Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        pid, key = struct.unpack("!II", raw.key)
        raw.send(query("SELECT pg_sleep(1)"))
        for bad in ((pid, key ^ 1), (pid ^ 1, key), (0, 0)):
            with Raw(weir.port) as cancel:
                cancel.send(struct.pack("!IIII", 16, 80877102, *bad))
                check(cancel.is_closed(), "stays open")
        equal([k for k, _ in raw.read_until("Z")], ["T", "D", "C", "Z"])


@quick
def test_cancel_hits_nobody_else(weir):
    """A cancel that comes when its client is idle must not hit the next user of the server."""
    idle = weir.connect()
    idle.execute("SELECT txid_current()")
    others = [weir.connect() for _ in range(4)]
    problems = []

    def work(conn):
        try:
            for _ in range(40):
                conn.execute("SELECT txid_current(), pg_sleep(0.005)")
        except Exception as e:    # noqa: BLE001
            problems.append(e)
    threads = [threading.Thread(target=work, args=(c,)) for c in others]
    for t in threads:
        t.start()
    for _ in range(20):
        idle.cancel()
        time.sleep(0.01)
    for t in threads:
        t.join()
    equal(problems, [])
    for conn in others + [idle]:
        conn.close()


def test_cancel_of_a_waiting_client(start):
    weir = start({"default_pool_size": 1})
    holder, waiter = weir.connect(), weir.connect()
    holder.execute("BEGIN")
    holder.execute("SELECT txid_current()")
    threading.Thread(target=lambda: (weir.wait_waiting(1), waiter.cancel()), daemon=True).start()
    raises("57014", waiter.execute, "SELECT txid_current()")
    holder.execute("COMMIT")
    equal(waiter.execute("SELECT 1").fetchone(), (1,))
    for conn in (holder, waiter):
        conn.close()


def test_session_mode(start):
    weir = start({"pool_mode": "session", "default_pool_size": 2})
    with weir.connect() as conn:
        conn.execute("CREATE TEMP TABLE kept(k int)")
        conn.execute("SET work_mem = '6MB'")
        pid, = conn.execute("SELECT pg_backend_pid()").fetchone()
        for _ in range(5):
            equal(conn.execute("SELECT pg_backend_pid()").fetchone(), (pid,))
        conn.execute("INSERT INTO kept VALUES (1)")
    with weir.connect() as conn, weir.connect() as other:
        for c in (conn, other):
            raises("42P01", c.execute, "SELECT * FROM kept")
            check(c.execute("SHOW work_mem").fetchone() != ("6MB",), "a setting was left behind")


def test_statement_mode(start):
    weir = start({"pool_mode": "statement"})
    with weir.connect() as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
        raises(None, conn.execute, "BEGIN")
    with weir.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS stmt_mode(k int)")
        conn.execute("INSERT INTO stmt_mode VALUES (1)")
        conn.execute("DROP TABLE stmt_mode")


def test_servers_are_shared(start, tier):
    """200 clients, 5 servers: the point of a pooler."""
    weir = start({"default_pool_size": 5})
    before = server_count(tier)
    conns = [weir.connect() for _ in range(200)]
    for conn in conns:
        conn.execute("SELECT txid_current()")
    check(server_count(tier) - before <= 5, "at most 5 servers")
    for conn in conns:
        conn.close()


def test_a_server_that_dies_idle(start, tier):
    weir = start({"default_pool_size": 2})
    with weir.connect() as conn:
        pid, _ = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()
        with tier.connect(user="postgres") as admin:
            equal(admin.execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone(), (True,))
        weir.wait_gone(pid)
        got, _ = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()
        check(got != pid, "another server")


def test_a_server_that_dies_busy(start, tier):
    weir = start({"default_pool_size": 2})
    conn = weir.connect()
    conn.execute("BEGIN")
    pid, _ = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()
    with tier.connect(user="postgres") as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
    weir.wait_gone(pid)
    e = raises(None, conn.execute, "SELECT txid_current()")
    check(getattr(e, "sqlstate", None) in ("57P01", "08006", "08003", None), str(e))
    with weir.connect() as other:
        other.execute("SELECT txid_current()")


def all_servers(tier):
    return sum(server_count(tier, p) for p in [tier.primary_port()] + tier.replica_ports())


def test_max_db_connections(start, tier):
    """Reads and writes of 12 clients: all nodes together hold to the limit."""
    before = all_servers(tier)
    weir = start({"default_pool_size": 20, "max_db_connections": 4})
    threads = [busy(weir, 0.5) for _ in range(12)]
    with weir.connect() as conn:
        conn.execute("SELECT count(*) FROM pg_class")
    time.sleep(0.3)
    total = all_servers(tier) - before
    for t in threads:
        t.join(patient(30))
    check(total <= 4, f"{total} servers, limit 4")
