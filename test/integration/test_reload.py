# SPDX-License-Identifier: PostgreSQL
"""RELOAD and the environment over every option: what SHOW CONFIG has is what is in force."""
import os
import subprocess
import threading
import time

import psycopg

import habits
import servers
from lib import check, equal, limit, needs, patient, quick, raises, until

# Values that the rule of changed() doesn't find; None: left alone, for the reason given.
OTHERS = {
    "listen_addr": "127.0.0.2", "listen_port": None,    # where the test connects to
    "http_listen": "127.0.0.1:1", "unix_socket_mode": "0700",
    "auth_type": "md5", "auth_query": "SELECT $1, 'x'", "consistency": "eventual",
    "pool_mode": "session", "log_level": "warn", "io_backend": "epoll", "syslog_facility": "local3",
    "server_check_query": "SELECT 2", "server_reset_query": "RESET ALL",
    "client_tls_sslmode": "allow", "server_tls_sslmode": "allow",
    "client_tls_protocols": "tlsv1.2", "server_tls_protocols": "tlsv1.3",
    "client_tls_ciphers": "fast", "server_tls_ciphers": "HIGH", "client_tls_ecdhcurve": "secp384r1",
    "client_tls13_ciphers": "TLS_AES_128_GCM_SHA256", "client_tls_dheparams": "none",
    "server_tls13_ciphers": "TLS_AES_256_GCM_SHA384",
    "server_tls_negotiation": None,    # needs sslmode require: test_tls has it
    "server_channel_binding": "disable", "server_max_protocol_version": "3.2",
    "max_packet_size": "2147483646", "client_buffer_size": "2MB", "track_extra_parameters": "x",
    "admin_users": "postgres, other", "auth_file": None,
    "auth_hba_file": None, "auth_ident_file": None,    # read, with a wrong one nothing is changed
    "client_tls_ca_file": None, "server_tls_key_file": None, "server_tls_cert_file": None,
    "server_tls_ca_file": None,
    "probe_password_file": None, "cache_redis_password_file": None, "cache_redis_tls_ca_file": "ca",
    "cache_redis_sentinel_password_file": None, "cache_redis": "redis://127.0.0.1:1",
    "conffile": None, "suspend_timeout": "11", "logfile": None,    # test_habits has it
    "cache": "on", "workers": "3", "load_balance_hosts": "disable",
}
TRUE = ("log_connections", "log_disconnections", "log_pooler_errors", "log_stats", "tcp_keepalive")
SECRETS = ("probe_password", "cache_redis_password", "cache_redis_sentinel_password",
           "auth_ldap_options")


def changed(name, now, folder):
    """Another value for the option; None: it is to be left."""
    if name.endswith(("_key_file", "_cert_file")) and name.startswith("client_tls"):
        return os.path.join(folder, name)
    if name in OTHERS:
        return OTHERS[name]
    if now == "0" and name.endswith("_timeout"):
        return "55"    # the sessions of this test are to live
    if name in TRUE:
        return "0"
    if name.startswith("pin_"):
        return "warn"
    if now in ("on", "off"):
        return "off" if now == "on" else "on"
    if now == "0":
        return "1"
    number = now.rstrip("kMGB")
    if number.replace(".", "").isdigit():
        more = float(number) * 2 if "." in number else int(number) + 1
        return f"{more:g}{now[len(number):]}" if "." in number else f"{more}{now[len(number):]}"
    return "x" + now if name not in SECRETS else "secret"


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", os.path.join(folder, "client_tls_key_file"), "-out",
                    os.path.join(folder, "client_tls_cert_file")], check=True, capture_output=True)


def other_values(rows, folder):
    values = {r["key"]: changed(r["key"], r["value"], folder) for r in rows}
    return {k: v for k, v in values.items() if v is not None and f"PGWEIR_{k.upper()}" not in os.environ}


def shown(name, value):
    return "********" if name in SECRETS else value


@quick
@needs("openssl")
@limit(90)
def test_every_option(start, folder, sub):
    """All of them changed at once: applied, or kept and named in the log; nobody is dropped."""
    weir = start({})
    make_certificate(folder)
    start.__self__.give(os.path.join(folder, "client_tls_key_file"))
    rows = weir.show("CONFIG")
    values = other_values(rows, folder)
    check(len(values) > 130, f"only {len(values)} options")
    with weir.connect() as conn:
        conn.execute("BEGIN")
        before = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()
        weir.write_ini({**values, "listen_port": weir.port, "log_level": "warn"})
        with weir.console() as console:
            console.execute("RELOAD")
        equal(conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone(), before)
        conn.execute("COMMIT")
        equal(conn.execute("SELECT 1").fetchone(), (1,))
    now = weir.config()
    told = [li.split("option=")[1] for li in weir.log_lines() if " restart_needed " in li]
    for row in rows:
        name = row["key"]
        if name not in values:
            continue
        with sub(f"reload::{name}"):
            is_live = row["changeable"] == "yes"
            equal(now[name], shown(name, values[name]) if is_live else row["value"])
            equal(told.count(name), 0 if is_live else 1, "named in the log")
    with sub("reload::SET after it keeps what is in force"), weir.console() as console:
        console.execute("SET query_timeout = 77")
        config = weir.config()
        equal((config["query_timeout"], config["workers"]), ("77", now["workers"]))
    with sub("reload::what needs a restart is told at each RELOAD"), weir.console() as console:
        console.execute("RELOAD")
        again = [li for li in weir.log_lines() if " restart_needed " in li]
        equal(len(again), 2 * len(told))


@quick
@needs("openssl")
def test_every_option_from_the_environment(start, folder, sub):
    weir = start({})
    make_certificate(folder)
    start.__self__.give(os.path.join(folder, "client_tls_key_file"))
    values = other_values(weir.show("CONFIG"), folder)
    env = {**os.environ, **{f"PGWEIR_{k.upper()}": v for k, v in values.items()}}
    done = subprocess.run([start.__self__.binary, "--print-config", weir.ini], env=env, text=True,
                          capture_output=True, timeout=patient(20), stdin=subprocess.DEVNULL)
    equal(done.returncode, 0, done.stderr)
    globals_ = done.stdout.split("\n[clusters]")[0]
    printed = dict(li.split(" = ", 1) for li in globals_.splitlines() if " = " in li)
    check(len(printed) > 130, f"only {len(printed)} options")
    for name in printed:
        if name in values:
            with sub(f"reload::PGWEIR_{name.upper()}"):
                equal(printed[name], shown(name, values[name]))


# --- running sessions -------------------------------------------------------------------------------

LIVE = {    # option, value: what an open session meets after the RELOAD, at rest for some seconds
    "client_idle_timeout": ("idle", "client_idle_timeout"),
    "idle_transaction_timeout": ("in transaction", "idle_transaction_timeout"),
    "transaction_timeout": ("in transaction", "transaction_timeout"),
    "query_timeout": ("busy", "query_timeout"),
}


def meet(conn, state):
    """The text of the error that ends the session, None if it lives."""
    try:
        if state == "busy":
            conn.execute("SELECT pg_sleep(4)")
        else:
            time.sleep(4)
            conn.execute("SELECT 1")
    except psycopg.Error as e:
        return str(e)
    return None


@limit(120)
def test_timeouts_of_running_sessions(start, sub):
    """Set by RELOAD, by SET and for one user only: the sessions that are open get them too."""
    users = {name: f"app = {name}=1" for name in LIVE}
    for name, (state, _) in LIVE.items():
        for how in ("RELOAD", "SET", "[users]"):
            weir = start({})
            with sub(f"reload::{name} by {how} for a running session"):
                with weir.connect() as conn, weir.connect(user="postgres") as other, \
                        weir.console() as console:
                    conn.execute("SELECT 1")
                    if state == "in transaction":
                        for c in (conn, other):
                            c.execute("BEGIN")
                            c.execute("SELECT txid_current()")
                    if how == "SET":
                        console.execute(f"SET {name} = 1")
                    else:
                        weir.write_ini({name: 1} if how == "RELOAD" else {"users": [users[name]]})
                        console.execute("RELOAD")
                    ends = []
                    pair = [threading.Thread(target=lambda c=c: ends.append((c is conn, meet(c, state))))
                            for c in (conn, other)]
                    for thread in pair:
                        thread.start()
                    for thread in pair:
                        thread.join()
                    ends = dict(ends)
                    check(ends[True], "the session lives")
                    equal(ends[False] is None, how == "[users]", f"the other user's session: {ends[False]}")
            weir.stop()


@quick
@limit(90)
def test_limits_of_running_pools(start, sub):
    """A smaller pool shrinks as servers become free, a larger one serves those who wait at once."""
    weir = start({"default_pool_size": 1, "split": "off", "workers": 1})
    with weir.connect() as holder, weir.connect() as waiter, weir.console() as console:
        holder.execute("BEGIN")
        holder.execute("SELECT txid_current()")
        done = []
        thread = threading.Thread(target=lambda: done.append(waiter.execute("SELECT 5").fetchone()))
        thread.start()
        time.sleep(0.5)
        equal(done, [])
        with sub("reload::default_pool_size grows while a client waits"):
            weir.write_ini({"default_pool_size": 2, "split": "off", "workers": 1})
            console.execute("RELOAD")
            thread.join(patient(20))
            equal(done, [(5,)])
        with sub("reload::default_pool_size shrinks"):
            weir.write_ini({"default_pool_size": 1, "split": "off", "workers": 1})
            console.execute("RELOAD")
            holder.execute("COMMIT")
            until("one server", 20, lambda: len([r for r in weir.show("SERVERS")
                                                 if r["database"] == "app"]) == 1, 0.3)


@quick
def test_an_entry_that_changes(start, tier, sub):
    """A connection to the old place goes when it is free; the session goes on at the new one."""
    first, second = tier.replica_ports()[:2]
    line = "moved = host=127.0.0.1 port={} dbname=app"
    weir = start({"databases": [line.format(first)]})
    with weir.connect(dbname="moved") as conn, weir.console() as console:
        conn.execute("BEGIN")
        where = "SELECT inet_server_port()"
        equal(conn.execute(where).fetchone(), (first,))
        weir.write_ini({"databases": [line.format(second)]})
        console.execute("RELOAD")
        with sub("reload::host of an entry, inside a transaction"):
            equal(conn.execute(where).fetchone(), (first,))
        conn.execute("COMMIT")
        with sub("reload::host of an entry, behind it"):
            equal(conn.execute(where).fetchone(), (second,))
            console.execute("WAIT_CLOSE moved")
            equal({r["port"] for r in weir.show("SERVERS") if r["database"] == "moved"}, {second})
        weir.write_ini({"databases": [line.format(second).replace("dbname=app", "dbname=postgres")]})
        console.execute("RELOAD")
        with sub("reload::dbname of an entry, with an idle connection to the old database"):
            equal(conn.execute("SELECT current_database()").fetchone(), ("postgres",))
        weir.write_ini({"databases": [line.format(second) + " user=app password=" +
                                      servers.USERS["app"] + " connect_query='SET work_mem = ''3MB'''"]})
        console.execute("RELOAD")
        with sub("reload::connect_query of an entry"):
            console.execute("WAIT_CLOSE moved")
            with weir.connect(dbname="moved", user="postgres") as other:
                equal(other.execute("SELECT current_user, current_setting('work_mem')").fetchone(),
                      ("app", "3MB"))
    with sub("reload::an entry that is gone"):
        weir.write_ini({})
        weir.reload()
        until("it to be unknown", 10, lambda: not raises_nothing(weir))


def raises_nothing(weir):
    try:
        weir.connect(dbname="moved").close()
        return True
    except psycopg.OperationalError:
        return False


# --- what [users] overrides -------------------------------------------------------------------------

def one_server_each(weir, user, count):
    """How many of so many sessions get a server while the others keep theirs."""
    conns, served = [], []

    def work(conn):
        try:
            conn.execute("BEGIN")
            conn.execute("SELECT txid_current()")
            served.append(conn)
        except psycopg.Error:
            pass
    conns = [weir.connect(user=user) for _ in range(count)]
    threads = [threading.Thread(target=work, args=(conn,)) for conn in conns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))
    number = len(served)
    for conn in conns:
        conn.close()
    return number


@limit(120)
def test_sizes_of_one_user(start, sub):
    base = {"default_pool_size": 3, "split": "off", "workers": 1, "query_wait_timeout": 5,
            "reserve_pool_timeout": 1}
    for line, want in (("pool_size=1", 1), ("pool_size=1 reserve_pool_size=1", 2),
                       ("max_user_connections=2", 2), ("pool_size=-1", 3)):
        weir = start({**base, "users": [f"app = {line}"]})
        with sub(f"reload::[users] {line}"):
            equal(one_server_each(weir, "app", 4), want)
        with sub(f"reload::[users] {line}, another user"):
            equal(one_server_each(weir, "postgres", 4), 3)
        weir.stop()


@quick
@limit(90)
def test_zero_is_no_limit(start, sub):
    """Where PgBouncer documents that 0 disables a time."""
    weir = start({"default_pool_size": 1, "reserve_pool_size": 1, "reserve_pool_timeout": 0,
                  "split": "off", "workers": 1, "query_wait_timeout": 3, "query_wait_notify": 0,
                  "server_connect_timeout": 0, "client_login_timeout": 0, "cancel_wait_timeout": 0,
                  "server_idle_timeout": 0, "dns_max_ttl": 0})
    with sub("reload::server_connect_timeout=0, client_login_timeout=0"), weir.connect() as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
    with sub("reload::reserve_pool_timeout=0"):
        equal(one_server_each(weir, "app", 2), 1)
    with sub("reload::query_wait_notify=0"), weir.connect() as holder, weir.connect() as waiter:
        notices = []
        waiter.add_notice_handler(lambda d: notices.append(d.message_primary))
        holder.execute("BEGIN")
        holder.execute("SELECT txid_current()")
        raises(None, waiter.execute, "SELECT txid_current()", text="query_wait_timeout")
        equal(notices, [])
    with sub("reload::cancel_wait_timeout=0"), weir.connect() as conn:
        thread = threading.Thread(target=lambda: raises("57014", conn.execute, "SELECT pg_sleep(30)"))
        thread.start()
        while thread.is_alive():
            conn.cancel()
            thread.join(0.3)


@quick
@limit(90)
def test_the_longest_times(start, sub):
    """PgBouncer has no bounds, and "never" is written as a large number where 0 means something else."""
    longest = {name: 2 ** 31 - 1 for name, _, _ in habits.settings()
               if name.startswith(("server_", "dns_")) and
               name.endswith(("_timeout", "_lifetime", "_retry", "_delay", "_ttl", "_period"))
               or name.endswith("_timeout") or name in ("query_wait_notify", "stats_period")}
    line = f"more = cluster=main dbname=app server_lifetime={2 ** 31 - 1} query_wait_timeout={2 ** 31 - 1}"
    weir = start({**longest, "listen_backlog": 2 ** 31 - 1, "verbose": 4, "pkt_buf": 64, "databases": [line],
                  "users": [f"app = query_timeout={2 ** 31 - 1}"], "default_pool_size": 1,
                  "split": "off", "workers": 1})
    config = weir.config()
    for name, value in longest.items():
        with sub(f"reload::{name}={value}"):
            equal(config[name], str(value))
    with sub("reload::the longest times, one waits for another"), weir.connect() as holder, \
            weir.connect() as waiter:
        holder.execute("BEGIN")
        holder.execute("SELECT txid_current()")
        thread = threading.Thread(target=waiter.execute, args=("SELECT 1",))
        thread.start()
        until("it to wait", 10, lambda: any(r["cl_waiting"] == 1 for r in weir.show("POOLS")))
        holder.execute("COMMIT")
        thread.join(patient(20))
        equal(holder.execute("SELECT 1").fetchone(), (1,))
    with sub("reload::the longest times of an entry"), weir.connect(dbname="more") as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
        equal({r["server_lifetime"] for r in weir.show("DATABASES") if r["name"] == "more"}, {2 ** 31 - 1})


@quick
@limit(90)
def test_modes_and_waits_of_one_user(start, sub):
    weir = start({"split": "off", "workers": 1, "default_pool_size": 1,
                  "users": ["app = pool_mode=session", "postgres = query_wait_timeout=3"]})
    with sub("reload::[users] pool_mode"), weir.connect() as conn:
        conn.execute("SELECT 1")
        row, = [r for r in weir.show("CLIENTS") if r["user"] == "app"]
        check(row["link"], "a session keeps its server")
    with sub("reload::[users] pool_mode, another user"), weir.connect(user="postgres") as conn:
        conn.execute("SELECT 1")
        row, = [r for r in weir.show("CLIENTS") if r["user"] == "postgres" and
                r["database"] == "app"]
        check(not row["link"], "it keeps a server")
        conn.execute("BEGIN")
        conn.execute("SELECT txid_current()")
        with sub("reload::[users] query_wait_timeout"), weir.connect(user="postgres") as waiter:
            raises(None, waiter.execute, "SELECT txid_current()", text="query_wait_timeout")
