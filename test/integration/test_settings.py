# SPDX-License-Identifier: PostgreSQL
"""Settings that pgbouncer.ini has, with the meaning that PgBouncer documents."""
import threading
import time

import psycopg

from lib import check, equal, limit, patient, quick, raises, until
from rawpg import Raw, error_fields, query, startup
import servers


def servers_of(weir, database="app"):
    return [row for row in weir.show("SERVERS") if row["database"] == database]


def pool_of(weir, database="app"):
    rows = [row for row in weir.show("POOLS") if row["database"] == database]
    equal(len(rows), 1, "one pool")
    return rows[0]


class Busy:
    """Sessions inside a transaction of their own."""

    def __init__(self, weir, count, **kw):
        self.conns = [weir.connect(autocommit=True, **kw) for _ in range(count)]
        for conn in self.conns:
            conn.execute("BEGIN")
            conn.execute("SELECT pg_backend_pid()")

    def __enter__(self):
        return self.conns

    def __exit__(self, *_):
        for conn in self.conns:
            conn.close()


def one(weir, **kw):
    with weir.connect(**kw) as conn:
        return conn.execute("SELECT 1").fetchone()


def in_background(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@quick
@limit(90)
def test_reserve_pool(start):
    weir = start({"default_pool_size": 1, "reserve_pool_size": 1, "reserve_pool_timeout": 1,
                  "split": "off"})
    done = []
    began = time.monotonic()
    # The log-in of the second may need a server to answer, the first time on its worker.
    with Busy(weir, 2) as (_, second), weir.connect() as third:
        check(time.monotonic() - began >= 1, "the reserve is for those who wait")
        waiter = in_background(lambda: done.append(third.execute("SELECT 1").fetchone()))
        time.sleep(3)
        equal(done, [], "the reserve is one connection")
        equal(pool_of(weir)["cl_waiting"], 1)
        second.execute("COMMIT")
        waiter.join(patient(10))
        equal(done, [(1,)])


@quick
@limit(90)
def test_min_pool_size(start, sub):
    weir = start({"min_pool_size": 3, "split": "off", "server_idle_timeout": 1})
    with sub("settings::min_pool_size, while a client is there"), weir.connect() as conn:
        conn.execute("SELECT 1")
        until("three servers", 20, lambda: len(servers_of(weir)) == 3, 0.3)
        time.sleep(3)
        equal(len(servers_of(weir)), 3, "they stay though they idle")
    line = [f"forced = cluster=main dbname=app user=app password={servers.USERS['app']} "
            "min_pool_size=2"]
    weir = start({"databases": line})
    with sub("settings::min_pool_size of a forced user, without a client"):
        until("two servers", 20, lambda: len(servers_of(weir, "forced")) == 2, 0.3)


@quick
def test_a_forced_user_has_one_pool(start, tier):
    """However many users log in, pool_size is a limit of the role on the server."""
    line = [f"forced = cluster=main dbname=app user=app password={servers.USERS['app']} "
            "pool_size=2 split=off"]
    weir = start({"databases": line, "query_wait_timeout": 3})
    with Busy(weir, 1, dbname="forced"), Busy(weir, 1, dbname="forced", user="postgres") as busy:
        equal(busy[0].execute("SELECT current_user").fetchone(), ("app",))
        equal(len(servers_of(weir, "forced")), 2)
        row = pool_of(weir, "forced")
        equal((row["user"], row["cl_active"], row["sv_active"]), ("app", 2, 2))
        raises(None, lambda: one(weir, dbname="forced", user="pgweir"), text="query_wait_timeout")


@quick
def test_limits_of_clients(start, sub):
    """Counted over all workers."""
    weir = start({"max_db_client_connections": 3, "workers": 2})
    with sub("settings::max_db_client_connections"):
        conns = [weir.connect(user=u) for u in ("app", "postgres", "pgweir")]
        with Raw(weir.port) as raw:
            equal(raw.log_in()["C"], "53300")
        conns.pop().close()
        until("room", 10, lambda: can_connect(weir))
        for conn in conns:
            conn.close()
    weir = start({"max_user_client_connections": 2, "workers": 2,
                  "users": ["postgres = max_user_client_connections=1"]})
    with sub("settings::max_user_client_connections"):
        conns = [weir.connect(), weir.connect(), weir.connect(user="postgres")]
        for user in ("app", "postgres"):
            with Raw(weir.port) as raw:
                equal(raw.log_in(user)["C"], "53300", user)
        for conn in conns:
            conn.close()


def can_connect(weir):
    try:
        weir.connect().close()
        return True
    except psycopg.OperationalError:
        return False


@quick
@limit(60)
def test_notices(start, sub):
    # One worker: the first client of a worker needs a server to log in, and the only one is busy.
    weir = start({"query_wait_notify": 1, "default_pool_size": 1, "split": "off", "workers": 1,
                  "login_notify_message": "be nice"})
    with sub("settings::login_notify_message"), Raw(weir.port) as raw:
        equal(raw.log_in(), None)
    notices = []
    with sub("settings::query_wait_notify"), Busy(weir, 1) as busy, weir.connect() as conn:
        conn.add_notice_handler(lambda d: notices.append(d.message_primary))
        waiter = in_background(lambda: conn.execute("SELECT 1"))
        until("the NOTICE", 10, lambda: notices, 0.1)
        time.sleep(2.5)
        busy[0].execute("COMMIT")
        waiter.join(patient(10))
        equal(len(notices), 1, "said once per wait")
        check("waits" in notices[0], notices[0])


@quick
def test_login_notice_is_a_message(start):
    weir = start({"login_notify_message": "be nice", "auth_type": "trust"})
    with Raw(weir.port) as raw:
        raw.send(startup({"user": "app", "database": "app"}))
        got = raw.read_until("Z")
        notices = [error_fields(body) for kind, body in got if kind == "N"]
        equal([(n["S"], n["M"]) for n in notices], [("NOTICE", "be nice")])


@quick
def test_application_name_add_host(start):
    weir = start({"application_name_add_host": 1})
    with weir.connect(application_name="shop") as conn:
        name, = conn.execute("SHOW application_name").fetchone()
        check(name.startswith("shop - 127.0.0.1:"), name)
    with weir.connect() as conn:
        name, = conn.execute("SHOW application_name").fetchone()
        check(name.startswith("app - 127.0.0.1:"), name)
    with weir.connect(application_name="shop") as conn:
        name, = conn.execute("SHOW application_name").fetchone()
        # psycopg connects from a port that the socket knows.
        equal(conn.execute("SELECT application_name FROM pg_stat_activity WHERE pid = "
                           "pg_backend_pid()").fetchone(), (name,))


@quick
def test_disable_pqexec(start):
    weir = start({"disable_pqexec": 1})
    with weir.connect() as conn:
        equal(conn.execute("SELECT %s::int", (1,)).fetchone(), (1,))    # extended
    with Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        raw.send(query("SELECT 1"))
        kind, body = raw.read()
        equal((kind, error_fields(body)["C"]), ("E", "08P01"))
        check(raw.is_closed(), "stays open")


@quick
def test_connect_query(start, sub):
    weir = start({"db.connect_query": "'SELECT 1; SET work_mem = ''7MB'''", "db.pool_size": 3})
    with sub("settings::connect_query"), weir.connect() as conn:
        equal(conn.execute("SHOW work_mem").fetchone(), ("7MB",))
    weir = start({"db.connect_query": "'SET work_mem = ''7MB''; SELECT 1/0'"})
    with sub("settings::connect_query that fails is logged"), weir.connect() as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
        check(any("connect_query_failed" in line and "22012" in line and "division by zero" in line
                  for line in weir.log_lines()), "the log has it")


@quick
def test_server_reset_query_always(start):
    weir = start({"server_reset_query_always": 1, "default_pool_size": 1, "split": "off",
                  "server_reset_query": "SET work_mem = '9MB'"})
    with weir.connect() as conn:
        conn.execute("SELECT 1")
        equal(conn.execute("SHOW work_mem").fetchone()[0], "9MB")


@quick
def test_server_lifetime_zero_is_one_use(start):
    weir = start({"db.server_lifetime": 0, "default_pool_size": 1, "split": "off"})
    with weir.connect() as conn:
        pids = {conn.execute("SELECT pg_backend_pid()").fetchone()[0] for _ in range(3)}
        equal(len(pids), 3)


@quick
def test_socket_options(start):
    """They are taken and nothing breaks: large results through small buffers."""
    weir = start({"tcp_socket_buffer": 16384, "tcp_defer_accept": 1, "tcp_keepidle": 7})
    with weir.connect() as conn:
        equal(len(conn.execute("SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
                  .fetchall()), 3000)


