# SPDX-License-Identifier: PostgreSQL
"""The backend PID that a client is told, and the cancel key that goes with it."""
import threading
import time

from lib import check, equal, patient, quick, raises, until

OPTIONS = {"default_pool_size": 4}


def told(conn):
    return conn.pgconn.backend_pid


def real(conn):
    return conn.execute("SELECT pg_backend_pid()").fetchone()[0]


@quick
def test_a_lone_client_knows_its_servers_pid(weir):
    with weir.connect() as conn:
        for _ in range(5):
            equal(real(conn), told(conn))


@quick
def test_each_client_has_a_server_of_its_own(start):
    weir = start({"default_pool_size": 4, "true_backend_pid": "on", "workers": 1})
    conns = [weir.connect() for _ in range(4)]
    equal(len({told(c) for c in conns}), 4, "PIDs")
    for _ in range(3):
        for conn in conns:
            equal(real(conn), told(conn))
    for conn in conns:
        conn.execute("BEGIN")
        equal(real(conn), told(conn), "while the others are in transactions")
    for conn in conns:
        conn.close()


def test_more_clients_than_servers_log_in(start):
    weir = start({"default_pool_size": 2, "true_backend_pid": "on"})
    conns = [weir.connect() for _ in range(7)]
    for conn in conns:
        check(real(conn) > 0, "no answer")
        conn.close()


def test_blocking_pids_are_those_that_clients_know(start, tier):
    weir = start({"default_pool_size": 4, "true_backend_pid": "on", "workers": 1})
    with weir.connect() as one, weir.connect() as two, tier.connect() as direct:
        one.execute("SELECT pg_advisory_lock(771)")
        thread = threading.Thread(target=two.execute, args=("SELECT pg_advisory_xact_lock(771)",))
        thread.start()
        until("the second to be blocked by the first", 10, lambda: direct.execute(
            "SELECT pg_blocking_pids(%s) = ARRAY[%s]::int[]", (told(two), told(one))).fetchone()[0])
        one.execute("SELECT pg_advisory_unlock(771)")
        thread.join(patient(10))
        check(not thread.is_alive(), "still blocked")


def test_session_mode(start):
    weir = start({"default_pool_size": 3, "pool_mode": "session"})
    conns = [weir.connect() for _ in range(3)]
    for conn in conns:
        equal(real(conn), told(conn))
    late = weir.connect()    # the pool is full: it logs in, and waits with its first query
    got = []
    thread = threading.Thread(target=lambda: got.append(real(late)))
    thread.start()
    time.sleep(0.3)
    equal(got, [])
    conns.pop().close()
    thread.join(patient(20))
    check(got, "it never got the freed server")
    for conn in conns + [late]:
        conn.close()


def test_a_server_that_goes_is_nobodys(start, tier):
    """Its clients go on elsewhere; what they were told was true once."""
    weir = start({"default_pool_size": 3, "true_backend_pid": "on"})
    with weir.connect() as one, weir.connect() as two, tier.connect(user="postgres") as direct:
        direct.execute("SELECT pg_terminate_backend(%s)", (told(one),))
        for _ in range(3):
            check(real(one) != told(one), "the PID of a dead process")
            equal(real(two), told(two))


@quick
def test_cancel_hits_only_its_own_among_clients_of_one_pid(start, tier):
    weir = start({"default_pool_size": 2})
    conns = [weir.connect() for _ in range(4)]
    pids = [told(c) for c in conns]
    check(len(set(pids)) < len(pids), f"no two clients share a PID: {pids}")
    victim = conns[1]
    tier.when_running("pg_sleep(20)", victim.cancel)
    raises("57014", victim.execute, "SELECT pg_sleep(20)",
           text="canceling statement due to user request")
    for index in (0, 2, 3):
        conns[index].cancel()    # idle: nothing happens, to nobody
    equal(victim.execute("SELECT 'fine' FROM pg_sleep(0.7)").fetchone(), ("fine",))
    for conn in conns:
        conn.close()


@quick
def test_servers_that_are_reset_are_told_to_nobody(start):
    """A client that comes right after others left, whose servers are being reset, has one of its own."""
    weir = start({"true_backend_pid": "on", "default_pool_size": 12, "db.split": "off"})
    weir.need_pgweir()
    for _ in range(10):
        with weir.connect() as a, weir.connect() as b, weir.connect() as c:
            for conn in a, b, c:
                conn.execute("SELECT set_config('application_name', 'x' || 'y', false)")
            for conn in a, b, c:
                equal(real(conn), told(conn))


@quick
def test_a_true_pid_is_true_where_servers_take_turns(start):
    weir = start({"true_backend_pid": "on", "server_round_robin": "on", "default_pool_size": 12,
                  "db.split": "off"})
    weir.need_pgweir()
    with weir.connect() as a, weir.connect() as b, weir.connect() as c:
        for _ in range(5):
            for conn in a, b, c:
                equal(real(conn), told(conn))
