# SPDX-License-Identifier: PostgreSQL
"""PgBouncer's documented settings, console commands and columns, each compared with pgweir's."""
import os
import pwd
import re
import signal
import socket
import subprocess
import time
import urllib.request

import psycopg

import bouncer
import habits
import servers
from lib import check, equal, limit, needs, patient, quick, raises, until
from rawpg import Raw, error_fields, query
from ports import free_port


@quick
def test_settings_have_pgbouncers_defaults(weir, sub):
    weir.need_pgweir()
    rows = {r["key"]: r for r in weir.show("CONFIG")}
    for name, default, needs_restart in habits.settings():
        with sub(f"habits::default of {name}"):
            row = rows[name]
            equal(row["default"], habits.OTHER_DEFAULTS.get(name, default))
            if not needs_restart and name not in CHANGED_BY_RESTART:
                equal(row["changeable"], "yes")


# A reload changes them in PgBouncer: here they belong to what is made at the start.
CHANGED_BY_RESTART = ("syslog", "syslog_ident", "syslog_facility", "tcp_defer_accept")


def check_ini(start, folder, text):
    path = os.path.join(folder, "habits.ini")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o644)
    return subprocess.run([start.__self__.binary, "--check", path], capture_output=True, text=True,
                          timeout=patient(20), stdin=subprocess.DEVNULL, cwd=folder)


@quick
def test_every_key_is_accepted(start, folder, sub):
    """All of them in one file, under PgBouncer's name for its section."""
    lines = [f"{name} = {default}" for name, default, _ in habits.settings()]
    head = "[pgbouncer]\n" + "\n".join(lines) + "\n[databases]\n"
    with sub("habits::all settings, [databases], [users] and [peers] keys"):
        keys = {k: v for k, v in habits.DATABASE_KEYS.items() if k != "reserve_pool"}
        done = check_ini(start, folder, head + f"app = {pairs(keys)}\n"
                         "* = host=127.0.0.1 reserve_pool=3\n"
                         f"[users]\napp = {pairs(habits.USER_KEYS)}\n"
                         f"[peers]\n1 = {pairs(habits.PEER_KEYS)}\n")
        equal(done.returncode, 0, done.stderr)
    for section, line in (("pgbouncer", "no_such_key = 1"), ("databases", "app = no_such_key=1"),
                          ("users", "app = no_such_key=1"), ("peers", "1 = no_such_key=1")):
        with sub(f"habits::a key that doesn't exist, in [{section}]"):
            done = check_ini(start, folder, f"[{section}]\n{line}\n")
            equal(done.returncode, 1)
            check("habits.ini:2" in done.stderr and "no_such_key" in done.stderr, done.stderr)


def pairs(keys):
    return " ".join(f"{k}={v}" for k, v in keys.items())


def described(conn, what):
    return [(c.name, c.type_code) for c in conn.execute(f"SHOW {what}").description]


@quick
def test_columns_by_name_order_and_type(weir, sub):
    weir.need_pgweir()
    with weir.connect() as conn, weir.console() as console:
        conn.execute("SELECT txid_current()")
        for what in habits.COLUMNS:
            with sub(f"habits::columns of SHOW {what}"):
                want = habits.columns(what)
                equal(described(console, what)[:len(want)], want)
        with sub("habits::rows of SHOW LISTS"):
            equal([r["list"] for r in weir.show("LISTS")], habits.LISTS)
        with sub("habits::rows of SHOW STATE"):
            equal([r["key"] for r in weir.show("STATE")], ["active", "paused"])
        with sub("habits::SHOW VERSION is parsed by tools"):
            check(re.fullmatch(r"PgBouncer \d+\.\d+\.\d+", weir.show("VERSION")[0]["version"]),
                  "another form")


# Names and types that changed between Debian's PgBouncer and 1.26.
RENAMED = {"reserve_pool": "reserve_pool_size"}
NEWER = {"PEERS", "PEER_POOLS", "STATE"}
OTHER_TYPES = {("memtotal", 23): ("memtotal", 20)}


@quick
@needs("pgbouncer")
def test_columns_are_those_of_a_real_pgbouncer(weir, tier, folder, sub):
    """What an older PgBouncer shows is here under the same name, type and relative order."""
    weir.need_pgweir()
    text = f"admin_users = postgres\n[databases]\napp = host=127.0.0.1 port={tier.primary_port()}\n"
    with bouncer.Bouncer(folder, text) as real, real.console() as theirs, weir.console() as ours:
        for what in sorted(set(habits.COLUMNS) - NEWER):
            with sub(f"habits::SHOW {what} beside PgBouncer's"):
                want = [OTHER_TYPES.get((n, t), (RENAMED.get(n, n), t))
                        for n, t in described(theirs, what)]
                names = {n for n, _ in want}
                equal([c for c in described(ours, what) if c[0] in names], want)
        with sub("habits::settings of a real PgBouncer are all known"):
            mine = {r[0] for r in ours.execute("SHOW CONFIG")}
            equal({r[0] for r in theirs.execute("SHOW CONFIG")} - mine, set())


@quick
def test_every_command_by_role(weir, sub):
    """A stats user sees everything and orders nothing: complete, since SHOW HELP is the table."""
    weir.need_pgweir()
    with Raw(weir.port) as raw:
        equal(raw.log_in("pgweir", "pgweir"), None)
        commands = raw.rows("SHOW HELP")
        check(len(commands) > 40, "few commands")
        for words, role, _ in commands:
            if words in ("SHOW", "EXPLAIN ROUTE", "SET"):
                continue    # those that need an argument: below
            with sub(f"habits::{words} as a stats user"):
                raw.send(query(words + (" x" if words in NEEDS_ARGUMENT else "")))
                errors = [error_fields(b) for k, b in raw.read_until("Z") if k == "E"]
                equal([e["C"] for e in errors], ["42501"] if role == "admin_users" else [])
        for words, state in (("SET default_pool_size = 3", "42501"), ("SHOW timezone", None),
                             ("EXPLAIN ROUTE FOR app SELECT 1", None)):
            with sub(f"habits::{words} as a stats user"):
                raw.send(query(words))
                errors = [error_fields(b) for k, b in raw.read_until("Z") if k == "E"]
                equal([e["C"] for e in errors], [state] if state else [])


NEEDS_ARGUMENT = ("DISABLE", "ENABLE", "KILL_CLIENT")


@quick
def test_what_drivers_say_at_log_in(weir, sub):
    weir.need_pgweir()
    with weir.console() as console:
        for name in ("client_encoding", "default_transaction_isolation",
                     "standard_conforming_strings", "datestyle", "timezone"):
            with sub(f"habits::SHOW {name}"):
                check(console.execute(f"SHOW {name}").fetchone()[0], "nothing")
            with sub(f"habits::SET {name}"):
                console.execute(f"SET {name} = 'x'")
                console.execute(f"SET {name} TO 'x'")
        with sub("habits::SET extra_float_digits"):
            console.execute("SET extra_float_digits = 3")
    for gone in ("SHOW FDS", "SUSPEND"):
        with sub(f"habits::{gone} is gone"), weir.console() as console:
            raises("42601", console.execute, gone)


# --- the process ---------------------------------------------------------------------------------

@quick
def test_reload_moves_and_reopens_the_log(start, folder, sub):
    first, second = os.path.join(folder, "first.log"), os.path.join(folder, "second.log")
    weir = start({"logfile": first})
    with sub("habits::logfile opened again on HUP, also when the file is refused"):
        os.rename(first, first + ".1")
        with open(weir.ini, "a", encoding="utf-8") as f:
            f.write("\n[pgweir]\nno_such_option = 1\n")
        weir.reload()
        until("the new file", 10, lambda: "reload_failed" in text_of(first))
    with sub("habits::logfile changed by RELOAD"):
        weir.write_ini({"logfile": second})
        weir.reload()
        until("the other file", 10, lambda: "reloaded" in text_of(second))


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


@quick
def test_pidfile(start, folder):
    """One process per file; a file that a crash left is no obstacle."""
    pidfile = os.path.join(folder, "habits.pid")
    with open(pidfile, "w", encoding="utf-8") as f:
        f.write("1\n")
    start.__self__.give(pidfile)
    weir = start({"pidfile": pidfile})
    equal(text_of(pidfile), f"{weir.proc.pid}\n")
    second = start.__self__.prepare({"pidfile": pidfile})
    done = subprocess.run([start.__self__.binary, second.ini], capture_output=True, text=True,
                          timeout=patient(20), stdin=subprocess.DEVNULL)
    equal(done.returncode, 1)
    check("another process" in done.stderr, done.stderr)
    equal(text_of(pidfile), f"{weir.proc.pid}\n")
    weir.stop()
    check(not os.path.exists(pidfile), "the pidfile stays")


@quick
def test_daemon_mode(start, folder, sub):
    """-d returns when pgweir serves; without the files that it needs, or when it fails, with 1."""
    pidfile, log = os.path.join(folder, "daemon.pid"), os.path.join(folder, "daemon.log")
    binary = start.__self__.binary
    user = ["-u", "postgres"] if os.geteuid() == 0 else []

    def run(weir):
        return subprocess.run([binary, "-d", *user, weir.ini], capture_output=True, text=True,
                              timeout=patient(30), stdin=subprocess.DEVNULL, cwd=folder)
    weir = start.__self__.prepare({})
    with sub("habits::-d without pidfile and logfile"):
        done = run(weir)
        equal(done.returncode, 1)
        check("pidfile" in done.stderr and "logfile" in done.stderr, done.stderr)
    weir.write_ini({"pidfile": pidfile, "logfile": log})
    done = run(weir)
    equal(done.returncode, 0, done.stderr)
    pid = int(text_of(pidfile))
    try:
        with sub("habits::-d serves when it returns"):
            with weir.connect() as conn:
                equal(conn.execute("SELECT 1").fetchone(), (1,))
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                fields = f.read().rsplit(") ", 1)[1].split()
            equal((int(fields[3]), int(fields[4])), (pid, 0), "session leader, no terminal")
        with sub("habits::-u and user"):
            want = pwd.getpwnam("postgres").pw_uid if user else os.geteuid()
            equal({os.stat(path).st_uid for path in (f"/proc/{pid}", pidfile, log)}, {want})
        with sub("habits::-d of a second process fails"):
            equal(run(weir).returncode, 1)
    finally:
        os.kill(pid, signal.SIGTERM)
        until("its end", 20, lambda: not os.path.exists(pidfile))


@quick
def test_log_settings(start, sub):
    weir = start({"verbose": 1, "query_wait_timeout": 3, "default_pool_size": 1, "split": "off"})
    with sub("habits::verbose is debug"):
        with weir.connect() as conn, weir.console() as console:
            conn.execute("SELECT 1")
            console.execute("RECONNECT")
        until("a debug line", 10, lambda: any(" DEBUG " in li for li in weir.log_lines()))
    with sub("habits::log_pooler_errors"):
        too_long_a_wait(weir)
        until("the line", 10, lambda: pooler_errors(weir))
        line = pooler_errors(weir)[-1]
        check("sqlstate=08006" in line and "db=app" in line, line)
    with sub("habits::log_pooler_errors=0"):
        with weir.console() as console:
            console.execute("SET log_pooler_errors = 0")
        count = len(pooler_errors(weir))
        too_long_a_wait(weir)
        equal(len(pooler_errors(weir)), count)
    with sub("habits::syslog_facility is checked"):
        weir.write_ini({"syslog_facility": "nonsense"})
        weir.reload()
        until("the refusal", 10, lambda: any("syslog_facility" in li for li in weir.log_lines()))


def pooler_errors(weir):
    return [li for li in weir.log_lines() if " pooler_error " in li]


def too_long_a_wait(weir):
    with weir.connect() as holder, weir.connect() as waiter:
        holder.execute("BEGIN")
        holder.execute("SELECT txid_current()")
        raises(None, waiter.execute, "SELECT txid_current()")
        holder.execute("COMMIT")


def test_stats_line(start):
    weir = start({"stats_period": 1})
    with weir.connect() as conn:
        def said():
            conn.execute("SELECT 1")
            return any(re.search(r" stats .*queries=[1-9]", line) for line in weir.log_lines())
        until("the line of statistics", 15, said)


@quick
def test_environment(start):
    """PGWEIR_<OPTION> comes before the file, also at a reload."""
    os.environ["PGWEIR_QUERY_WAIT_TIMEOUT"] = "77"
    try:
        weir = start({"query_wait_timeout": 66})
    finally:
        del os.environ["PGWEIR_QUERY_WAIT_TIMEOUT"]
    equal(weir.config()["query_wait_timeout"], "77")
    weir.write_ini({"query_wait_timeout": 55, "server_lifetime": 44})
    weir.reload()
    until("the reload", 10, lambda: weir.config()["server_lifetime"] == "44")
    equal(weir.config()["query_wait_timeout"], "77")


@quick
def test_reload_says_what_needs_a_restart(start):
    weir = start({"listen_backlog": 100})
    with weir.connect() as conn:
        pid, = conn.execute("SELECT pg_backend_pid()").fetchone()
        conn.execute("BEGIN")
        conn.execute("SELECT txid_current()")
        weir.write_ini({"listen_backlog": 99, "default_pool_size": 7})
        with weir.console() as console:
            console.execute("RELOAD")
        equal(weir.config()["default_pool_size"], "7")
        check(any("restart_needed" in li and "listen_backlog" in li for li in weir.log_lines()),
              weir.log_tail())
        conn.execute("COMMIT")
        equal(conn.execute("SELECT pg_backend_pid()").fetchone(), (pid,))


# --- pools that nobody uses, servers that refuse, fairness -----------------------------------------

@quick
def test_unused_pools_are_forgotten(start, sub):
    """Names are a stranger's to choose under trust: what is kept of them has a bound."""
    base = {"auth_type": "trust", "auth_file": "", "server_idle_timeout": 1, "split": "off",
            "workers": 2}

    def names(weir):
        return {(r["database"], r["user"]) for r in weir.show("POOLS")} - {("pgbouncer",) * 2}

    def visit(weir, database):
        with weir.connect(dbname=database, user="app") as conn:
            conn.execute("SELECT 1")
    line = f"* = cluster=main dbname=app user=app password={servers.USERS['app']}"
    for option, database in (("pool_idle_timeout", "app"), ("autodb_idle_timeout", "made_up")):
        weir = start({**base, option: 1, "databases": [line],
                      "db.password": servers.USERS["app"], "db.user": "app"})
        with sub(f"habits::{option}"):
            visit(weir, database)
            check((database, "app") in names(weir), "no pool")
            until("it is gone", 20, lambda: (database, "app") not in names(weir), 0.3)
            visit(weir, database)
            check((database, "app") in names(weir), "no pool")
    weir = start({**base, "max_client_conn": 5, "workers": 1, "databases": [line]})
    with sub("habits::no more pools than max_client_conn"):
        for number in range(20):
            visit(weir, f"made_up_{number}")
        until("they are gone", 20, lambda: len(names(weir)) <= 5, 0.3)


@quick
def test_server_login_retry(start, tier, sub):
    """A log-in refused for good isn't tried again at once; its error is told."""
    line = ["bad = cluster=main dbname=app user=app password=wrong"]
    weir = start({"databases": line, "server_login_retry": 600, "workers": 1})

    def tries():
        return sum("server_login_failed" in li for li in weir.log_lines())
    with sub("habits::server_login_retry"):
        for _ in range(8):
            raises(None, lambda: weir.connect(dbname="bad"), text="password authentication failed")
        equal(tries(), 1)
    with sub("habits::server_login_retry ends with RECONNECT"):
        with weir.console() as console:
            console.execute("RECONNECT bad")
        raises(None, lambda: weir.connect(dbname="bad"), text="password authentication failed")
        equal(tries(), 2)
    with sub("habits::server_login_retry ends with RELOAD"):
        weir.write_ini({"databases": [line[0].replace("wrong", servers.USERS["app"])],
                        "server_login_retry": 600, "workers": 1})
        with weir.console() as console:
            console.execute("RELOAD")
        with weir.connect(dbname="bad") as conn:
            equal(conn.execute("SELECT 1").fetchone(), (1,))
    weir = start({"databases": line, "server_login_retry": 0, "workers": 1})
    with sub("habits::server_login_retry=0"):
        for _ in range(3):
            raises(None, lambda: weir.connect(dbname="bad"), text="password authentication failed")
        equal(tries(), 3)


@quick
def test_server_check_query(start, tier, sub):
    base = {"default_pool_size": 1, "split": "off", "workers": 1}

    def last_of(pid):
        with tier.connect(user="postgres") as admin:
            return admin.execute("SELECT query FROM pg_stat_activity WHERE pid = %s",
                                 (pid,)).fetchone()
    weir = start({**base, "server_check_delay": 0,
                  "server_check_query": "SET application_name = 'checked'"})
    with sub("habits::server_check_query"), weir.connect() as conn:
        conn.execute("SELECT 1")
        equal(conn.execute("SELECT application_name FROM pg_stat_activity WHERE pid = "
                           "pg_backend_pid()").fetchone(), ("checked",))
    weir = start({**base, "server_check_delay": 0})
    with sub("habits::server_check_query <empty>"), weir.connect() as conn:
        for number in range(5):
            equal(conn.execute("SELECT %s", (number,)).fetchone(), (number,))
    weir = start({**base, "server_check_delay": 1, "server_check_query": "SELECT 1/0"})
    with sub("habits::a server whose check fails isn't used"), weir.connect() as conn:
        pid, = conn.execute("SELECT pg_backend_pid()").fetchone()
        with sub("habits::one that is to be checked is shown as used"):
            until("it to be used", 10, lambda: [r["state"] for r in weir.show("SERVERS")] == ["used"])
            row, = [r for r in weir.show("POOLS") if r["database"] == "app"]
            equal((row["sv_used"], row["sv_idle"], row["sv_active"]), (1, 0, 0))
        time.sleep(2)
        check(conn.execute("SELECT pg_backend_pid()").fetchone() != (pid,), "the same server")
    weir = start({**base, "server_check_delay": 600})
    with sub("habits::server_check_delay"), weir.connect() as conn:
        equal([(r["sv_used"], r["sv_idle"]) for r in weir.show("POOLS") if r["database"] == "app"], [(0, 1)])
        pid, = conn.execute("SELECT pg_backend_pid() /* last text */").fetchone()
        time.sleep(1)
        check("last text" in last_of(pid)[0], "something ran behind it")


def test_server_fast_close(start, sub):
    for value in (1, 0):
        weir = start({"pool_mode": "session", "server_fast_close": value})
        with sub(f"habits::server_fast_close={value}"), weir.connect() as conn:
            conn.execute("BEGIN")
            conn.execute("SELECT txid_current()")
            with weir.console() as console:
                console.execute("RECONNECT app")
            time.sleep(2)
            conn.execute("SELECT txid_current()")
            conn.execute("COMMIT")
            time.sleep(2.5)
            if value:
                raises(None, conn.execute, "SELECT 1", text="administrator command")
            else:
                conn.execute("SELECT 1")


@quick
@limit(90)
def test_fairness_between_users(start, sub):
    """A user with many clients doesn't keep another from a database's few connections."""
    import threading
    for size in (2, 1):
        weir = start({"max_db_connections": size, "split": "off", "workers": 2,
                      "query_wait_timeout": 20})
        stop, problems = threading.Event(), []

        def load(user, weir=weir, stop=stop, problems=problems):
            try:
                with weir.connect(user=user) as conn:
                    while not stop.is_set():
                        conn.execute("SELECT pg_sleep(0.02), txid_current()")
            except Exception as e:    # noqa: BLE001
                problems.append(e)
        threads = [threading.Thread(target=load, args=("app",)) for _ in range(8)]
        for t in threads:
            t.start()
        with sub(f"habits::fairness with max_db_connections={size}"):
            time.sleep(1)
            with weir.connect(user="postgres") as conn:
                for _ in range(5):
                    conn.execute("SELECT txid_current()")
        stop.set()
        for t in threads:
            t.join(patient(30))
        with sub(f"habits::fairness, the busy user with {size}"):
            equal(problems, [])


# --- time-outs that test_pools doesn't have ---------------------------------------------------------

def test_transaction_timeout(start):
    weir = start({"transaction_timeout": 1})
    with weir.connect() as conn:
        conn.execute("BEGIN")
        conn.execute("SELECT txid_current()")

        def ended():
            try:
                conn.execute("SELECT 1")
            except psycopg.Error as e:
                return e
        check("transaction timeout" in str(until("its end", 15, ended, 0.2)), "another reason")
    with weir.connect() as conn:    # many short ones are no long one
        for _ in range(20):
            conn.execute("SELECT pg_sleep(0.1)")


@quick
def test_client_login_timeout(start):
    weir = start({"client_login_timeout": 1})
    with Raw(weir.port) as raw:
        raw.send(b"\0")    # with nothing sent at all the kernel doesn't tell of it (tcp_defer_accept)
        kind, body = raw.read()
        equal((kind, error_fields(body)["C"]), ("E", "08P01"))
        check(raw.is_closed(), "stays open")


class Mute:
    """A server that accepts and says nothing."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(50)
        self.port = self.sock.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def test_server_connect_timeout(start, sub):
    """It is a node that doesn't answer: waited for no longer than the shorter of two bounds."""
    for bound in ("failover_wait_timeout", "query_wait_timeout"):
        with sub(f"habits::server_connect_timeout, {bound}"), Mute() as mute:
            weir = start({"databases": [f"mute = host=127.0.0.1 port={mute.port} dbname=app"],
                          "server_connect_timeout": 1, "failover_wait_timeout": 600,
                          "query_wait_timeout": 600, bound: 3})
            raises(None, lambda w=weir: w.connect(dbname="mute", connect_timeout=patient(20)),
                   text="no primary")
            check(any("server_login_failed" in li and "server_connect_timeout" in li
                      for li in weir.log_lines()), weir.log_tail())


def test_max_user_connections(start, tier):
    import threading
    weir = start({"max_user_connections": 2, "workers": 2, "split": "off",
                  "databases": ["second = cluster=main dbname=app"]})
    seen, threads = [], []
    for number in range(8):
        def work(database=("app", "second")[number % 2]):
            with weir.connect(dbname=database) as conn:
                conn.execute("SELECT pg_sleep(0.3), txid_current()")
        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
    while any(t.is_alive() for t in threads):
        seen.append(len([r for r in weir.show("SERVERS") if r["user"] == "app"]))
        time.sleep(0.05)
    check(0 < max(seen) <= 2, f"{max(seen)} servers")


# --- what others bring ------------------------------------------------------------------------------

EXISTING = """\
;; an ini as it may have grown for years
[databases]
; the shop
app = host=127.0.0.1 port={port} dbname=app pool_size=5 reserve_pool=2
reports = host=127.0.0.1 port={port} dbname=app user=app password='{password}' \
application_name='monthly reports' connect_query='SET work_mem = ''9MB'''
* = host=127.0.0.1 port={port}

[users]
app = pool_mode=session max_user_connections=10

[pgbouncer]
logfile =
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = md5
auth_file = {users}
admin_users = postgres, dba
stats_users = pgweir
pool_mode = transaction
server_reset_query = DISCARD ALL
server_check_query = select 1
server_check_delay = 30
ignore_startup_parameters = extra_float_digits, options
max_client_conn = 200
default_pool_size = 20
# unused since the move
tcp_keepidle = 60
dns_max_ttl = 15.0
pkt_buf = 8192
%include {more}

[peers]
1 = host=127.0.0.1 port=6433
"""


@quick
def test_an_existing_ini_loads_unchanged(start, tier, folder, sub):
    weir = start.__self__.prepare({})
    users = os.path.splitext(weir.ini)[0] + ".users"
    more = os.path.join(folder, "more.ini")
    with open(more, "w", encoding="utf-8") as f:
        f.write("; kept apart\nquery_wait_timeout = 33\n")
    with open(weir.ini, "w", encoding="utf-8") as f:
        f.write(EXISTING.format(port=tier.primary_port(), listen=weir.port, users=users, more=more,
                                password=servers.USERS["app"]))
    for path in (more, weir.ini):
        os.chmod(path, 0o644)
    weir.start()
    start.__self__.extra.append(weir)
    with sub("habits::an existing ini, its databases"):
        with weir.connect() as conn:
            equal(conn.execute("SELECT current_database()").fetchone(), ("app",))
        with weir.connect(dbname="reports") as conn:
            equal(conn.execute("SHOW work_mem").fetchone(), ("9MB",))
            equal(conn.execute("SHOW application_name").fetchone()[0] != "", True)
        with weir.connect(user="postgres", dbname="postgres") as conn:
            equal(conn.execute("SELECT current_database()").fetchone(), ("postgres",))
    with sub("habits::an existing ini, its values"):
        config = weir.config()
        equal((config["query_wait_timeout"], config["pool_mode"], config["max_client_conn"]),
              ("33", "transaction", "200"))
        row, = [r for r in weir.show("DATABASES") if r["name"] == "app"]
        equal((row["pool_size"], row["reserve_pool_size"]), (5, 2))
    with sub("habits::an existing ini, what has no effect is named once"):
        said = [li for li in weir.log_lines() if "config_note" in li]
        for name in ("pkt_buf", "host is accepted"):
            equal(sum(name in li for li in said), 1, name)


@quick
@needs("prometheus-pgbouncer-exporter")
def test_prometheus_exporter(start):
    """Debian's exporter for PgBouncer reads pgweir's console: the values are the console's."""
    weir, port = start({}), free_port()
    env = dict(os.environ, PGPASSWORD=servers.USERS["pgweir"])
    with weir.connect() as conn:
        for _ in range(7):
            conn.execute("SELECT 1")
        stats, = [r for r in weir.show("STATS") if r["database"] == "app"]
        pools, = [r for r in weir.show("POOLS") if r["database"] == "app"]
        proc = subprocess.Popen(
            ["prometheus-pgbouncer-exporter", "--host", "127.0.0.1", "--port", str(port),
             "--pgbouncer-host", "127.0.0.1", "--pgbouncer-port", str(weir.port),
             "--pgbouncer-user", "pgweir", "--database", "app", "--licence-location",
             "/usr/share/doc/prometheus-pgbouncer-exporter/copyright"], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            text = until("the exporter", 30, lambda: scrape(port), 0.3)
        finally:
            proc.terminate()
            proc.wait(patient(10))
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines()
                   if line and not line.startswith("#"))
    want = {'pgbouncer_requests_total{database="app"}': stats["total_query_count"],
            'pgbouncer_received_bytes_total{database="app"}': stats["total_received"],
            'pgbouncer_active_clients{database="app",user="app"}': pools["cl_active"],
            'pgbouncer_pool_size{database="app"}': 20, 'pgbouncer_databases': 2}    # the console's too
    equal({k: float(samples.get(k, -1)) for k in want}, {k: float(v) for k, v in want.items()},
          text)


def scrape(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=patient(10)) as reply:
            return reply.read().decode()
    except OSError:
        return None


# --- orders under load ------------------------------------------------------------------------------

@limit(90)
def test_orders_under_load(start, sub):
    """PAUSE, RESUME, RECONNECT, WAIT_CLOSE and RELOAD lose no request of clients at work."""
    import threading
    weir = start({"default_pool_size": 3, "workers": 2})
    stop, problems, done = threading.Event(), [], []

    def load():
        try:
            with weir.connect() as conn:
                while not stop.is_set():
                    with conn.transaction():
                        conn.execute("SELECT txid_current(), pg_sleep(0.005)")
                    done.append(1)
        except Exception as e:    # noqa: BLE001
            problems.append(e)
    threads = [threading.Thread(target=load) for _ in range(12)]
    for t in threads:
        t.start()
    with weir.console() as console:
        with sub("habits::PAUSE and RESUME under load"):
            for _ in range(5):
                console.execute("PAUSE app")
                equal([r for r in weir.show("SERVERS") if r["database"] == "app"], [])
                count = len(done)
                time.sleep(0.2)
                check(len(done) - count <= len(threads), "served while paused")
                console.execute("RESUME app")
                until("work to go on", 10, lambda c=count: len(done) > c + 20)
        with sub("habits::RECONNECT and WAIT_CLOSE under load"):
            for _ in range(5):
                old = {r["ptr"] for r in weir.show("SERVERS") if r["database"] == "app"}
                ids = {r["id"] for r in weir.show("SERVERS") if r["ptr"] in old}
                console.execute("RECONNECT app")
                console.execute("WAIT_CLOSE app")
                now = {r["id"] for r in weir.show("SERVERS") if r["database"] == "app"}
                equal(ids & now, set())
        with sub("habits::RELOAD under load"):
            for _ in range(5):
                console.execute("RELOAD")
    stop.set()
    for t in threads:
        t.join(patient(30))
    with sub("habits::no request was lost"):
        equal(problems, [])
