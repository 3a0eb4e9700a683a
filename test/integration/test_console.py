# SPDX-License-Identifier: PostgreSQL
"""The virtual database pgweir: SHOW commands, orders, EXPLAIN ROUTE."""
import shutil
import subprocess
import time

import psycopg

from lib import check, equal, needs, patient, quick, raises, until
from rawpg import Raw, message, parse, query
import servers

COLUMNS = {
    "POOLS": ["database", "user", "cl_active", "cl_waiting", "cl_active_cancel_req",
              "cl_waiting_cancel_req", "sv_active", "sv_active_cancel", "sv_being_canceled",
              "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait", "maxwait_us", "pool_mode"],
    "CLIENTS": ["type", "user", "database", "replication", "state", "addr", "port", "local_addr",
                "local_port", "connect_time", "request_time", "wait", "wait_us", "close_needed",
                "ptr", "link", "remote_pid", "tls", "application_name", "prepared_statements",
                "id"],
    "SERVERS": ["type", "user", "database", "replication", "state", "addr", "port"],
    "STATS": ["database", "total_server_assignment_count", "total_xact_count",
              "total_query_count", "total_received", "total_sent", "total_xact_time",
              "total_query_time", "total_wait_time", "total_client_parse_count",
              "total_server_parse_count", "total_bind_count", "total_client_login_count"],
    "DATABASES": ["name", "host", "port", "database", "force_user", "pool_size"],
    "CONFIG": ["key", "value", "default", "changeable"],
    "VERSION": ["version"],
    "NODES": [], "CACHE": [], "LISTS": ["list", "items"], "USERS": ["name"],
}


@quick
def test_show_commands(weir, sub):
    weir.need_pgweir()
    with weir.connect() as conn:
        conn.execute("SELECT txid_current()")
        for what, columns in COLUMNS.items():
            with sub(f"console::SHOW {what}"), weir.console() as console:
                cur = console.execute(f"SHOW {what}")
                names = [c.name for c in cur.description]
                equal(names[:len(columns)], columns)
                check(cur.fetchall(), "no rows")
        with sub("console::SHOW HELP"), weir.console() as console:
            console.execute("SHOW HELP")


@quick
def test_show_tells_the_truth(weir, tier, sub):
    weir.need_pgweir()
    with weir.connect(application_name="seen by show") as conn:
        conn.execute("CREATE TEMP TABLE pinned_here(k int)")
        with sub("console::CLIENTS has us"):
            mine = [c for c in weir.show("CLIENTS") if c["application_name"] == "seen by show"]
            equal([(c["user"], c["database"], c["type"]) for c in mine], [("app", "app", "C")])
        with sub("console::CLIENTS names the console's own user"):
            equal([c["user"] for c in weir.show("CLIENTS") if c["database"] == "pgweir"],
                  ["postgres"])
        with sub("console::CLIENTS says why a client is pinned"):
            check(any("temp" in str(v).lower() for v in mine[0].values()), f"{mine[0]}")
        with sub("console::NODES are the tier's"):
            env = tier.env()
            rows = weir.show("NODES")
            ports = sorted(int(p) for p in env["NODE_PORTS"].split())
            equal(sorted(int(r["port"]) for r in rows), ports)
            primaries = [r for r in rows if "primary" in str(r["role"]).lower()]
            equal([int(r["port"]) for r in primaries], [int(env["PRIMARY_PORT"])])
        with sub("console::STATS grow"):
            def count():
                rows = [r for r in weir.show("STATS") if r["database"] == "app"]
                return int(rows[0]["total_query_count"]) if rows else 0
            before = count()
            for _ in range(10):
                conn.execute("SELECT 1")
            check(count() >= before + 10, f"{before} then {count()}")
        with sub("console::DATABASES has app"):
            check("app" in [r["name"] for r in weir.show("DATABASES")], "no app")
        with sub("console::CONFIG has our values"):
            config = weir.config()
            equal(config["listen_port"], str(weir.port))
            check(not any(secret in v for v in config.values()
                          for secret in servers.USERS.values()), "a password is shown")


@quick
def test_who_may_use_it(weir, sub):
    weir.need_pgweir()
    with sub("console::stats user reads"), weir.console(user="pgweir") as conn:
        conn.execute("SHOW POOLS")
    with sub("console::stats user gives no orders"), weir.console(user="pgweir") as conn:
        raises(None, conn.execute, "SHUTDOWN")
        raises(None, conn.execute, "PAUSE")
    with sub("console::other users don't get in"), Raw(weir.port) as raw:
        fields = raw.log_in("app", "pgweir")
        check(fields and fields["S"] == "FATAL", f"{fields}")
    with sub("console::database pgbouncer is the same"), \
            weir.connect(user="postgres", dbname="pgbouncer",
                         cursor_factory=psycopg.ClientCursor) as conn:
        conn.execute("SHOW VERSION")


@quick
def test_errors(weir, sub):
    weir.need_pgweir()
    for text in ("NONSENSE", "SHOW NONSENSE", "SELECT 1 FROM pg_class", "PAUSE no_such_db",
                 "SET no_such_option = 1", "KILL_CLIENT x", "", ";", "SHOW", "EXPLAIN ROUTE"):
        with sub(f"console::wrong command {text!r}"), Raw(weir.port) as raw:
            equal(raw.log_in("postgres", "pgweir"), None)
            raw.send(query(text))
            kinds = [k for k, _ in raw.read_until("Z")]
            check(kinds[-2] in "EIC", f"{kinds}")
            raw.send(query("SHOW VERSION"))
            check("D" in [k for k, _ in raw.read_until("Z")], "doesn't go on")


@quick
@needs("psql")
def test_psql(weir):
    weir.need_pgweir()
    import os
    env = dict(os.environ, PGPASSWORD=servers.USERS["postgres"])
    for command in ("SHOW POOLS", "SHOW NODES", "SHOW HELP"):
        done = subprocess.run([shutil.which("psql"), "-X", "-h", "127.0.0.1", "-p", str(weir.port),
                               "-U", "postgres", "-d", "pgweir", "-c", command], env=env,
                              capture_output=True, text=True, timeout=patient(20),
                              stdin=subprocess.DEVNULL)
        equal(done.returncode, 0, done.stderr)


def test_pause_and_resume(start):
    import threading
    weir = start({})
    with weir.connect() as conn, weir.console() as console:
        conn.execute("SELECT txid_current()")
        console.execute("PAUSE")
        done = []

        def work():
            conn.execute("SELECT txid_current()")
            done.append(1)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        time.sleep(1)
        equal(done, [], "served while paused")
        console.execute("RESUME")
        thread.join(patient(10))
        equal(done, [1])


def in_thread(work):
    """Runs it aside; the list gets True once it is done."""
    import threading
    done = []
    threading.Thread(target=lambda: done.append(work() or True), daemon=True).start()
    return done


def test_pause_waits_for_transactions(start):
    weir = start({})
    with weir.connect() as conn, weir.console() as console:
        conn.execute("BEGIN")
        conn.execute("SELECT txid_current()")
        done = in_thread(lambda: console.execute("PAUSE app"))
        time.sleep(0.5)
        equal(done, [], "answered inside a transaction")
        conn.execute("SELECT txid_current()")
        conn.execute("COMMIT")
        until("PAUSE to be answered", 10, lambda: done)
        equal([r for r in weir.show("SERVERS") if r["database"] == "app"], [])
        row, = [r for r in weir.show("DATABASES") if r["name"] == "app"]
        equal((int(row["paused"]), int(row["disabled"])), (1, 0))
        console.execute("RESUME app")
        conn.execute("SELECT txid_current()")


def test_pause_of_one_database(start):
    weir = start({"databases": ["second = cluster=main dbname=app"]})
    with weir.connect() as conn, weir.connect(dbname="second") as other, \
            weir.console() as console:
        conn.execute("SELECT txid_current()")
        console.execute("PAUSE app")
        done = in_thread(lambda: conn.execute("SELECT txid_current()"))
        new = in_thread(lambda: weir.connect().execute("SELECT txid_current()"))
        other.execute("SELECT txid_current()")
        time.sleep(0.5)
        equal((done, new), ([], []), "served while paused")
        raises("55000", console.execute, "RESUME second")
        console.execute("RESUME")
        until("both to be served", 10, lambda: done and new)


def test_resume_ends_a_waiting_pause(start):
    weir = start({})
    with weir.connect() as conn, weir.console() as console, weir.console() as second:
        conn.execute("BEGIN")
        conn.execute("SELECT txid_current()")
        done = in_thread(lambda: raises("55000", console.execute, "PAUSE"))
        time.sleep(0.5)
        second.execute("RESUME")
        until("PAUSE to give up", 10, lambda: done)
        conn.execute("COMMIT")


def test_disable_and_enable(start):
    weir = start({})
    with weir.connect() as conn, weir.console() as console:
        console.execute("DISABLE app")
        raises(None, weir.connect)
        conn.execute("SELECT txid_current()")
        console.execute("ENABLE app")
        weir.connect().close()


def test_kill_a_database(start):
    weir = start({})
    conn = weir.connect()
    conn.execute("BEGIN")
    conn.execute("SELECT txid_current()")
    with weir.console() as console:
        console.execute("KILL app")
        raises(None, conn.execute, "SELECT 1")
        until("no server", 10, lambda: not [r for r in weir.show("SERVERS")
                                            if r["database"] == "app"])
        new = in_thread(lambda: weir.connect().execute("SELECT txid_current()"))
        time.sleep(0.5)
        equal(new, [], "served after KILL")
        console.execute("RESUME app")
        until("the new client", 10, lambda: new)


def test_reconnect_and_wait_close(start):
    weir = start({})
    with weir.connect() as conn, weir.console() as console:
        conn.execute("BEGIN")
        before = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()[0]
        console.execute("RECONNECT app")
        done = in_thread(lambda: console.execute("WAIT_CLOSE app"))
        time.sleep(0.5)
        equal(done, [], "answered while the old connection is there")
        conn.execute("COMMIT")
        until("WAIT_CLOSE to be answered", 10, lambda: done)
        after = conn.execute("SELECT pg_backend_pid(), txid_current()").fetchone()[0]
        check(before != after, "the same connection")


@quick
def test_extended_protocol_is_refused(weir):
    weir.need_pgweir()
    with Raw(weir.port) as raw:
        equal(raw.log_in("postgres", "pgweir"), None)
        raw.send(parse("", "SHOW VERSION"), message("S"))
        equal([k for k, _ in raw.read_until("Z")], ["E", "Z"])
        raw.send(message("S"))
        equal([k for k, _ in raw.read_until("Z")], ["Z"])
        raw.send(query("SHOW VERSION"))
        check("D" in [k for k, _ in raw.read_until("Z")], "doesn't go on")


def test_shutdown_waits_for_clients(start):
    weir = start({})
    conn = weir.connect()
    with weir.console() as console:
        console.execute("SHUTDOWN WAIT_FOR_CLIENTS")
    time.sleep(0.5)
    equal(conn.execute("SELECT 1").fetchone(), (1,))
    conn.close()
    until("the end", 20, lambda: not weir.is_alive())
    equal(weir.proc.returncode, 0)


def test_shutdown_waits_for_servers(start):
    """Transactions end well; idle clients leave, the console's own one too."""
    weir = start({"drain_timeout": 600})
    conn = weir.connect()
    conn.execute("BEGIN")
    conn.execute("SELECT txid_current()")
    console = weir.console()
    console.execute("SHUTDOWN WAIT_FOR_SERVERS")
    time.sleep(0.5)
    conn.execute("SELECT txid_current()")
    check(weir.is_alive(), "ended inside a transaction")
    conn.execute("COMMIT")
    until("the end", 20, lambda: not weir.is_alive())
    equal(weir.proc.returncode, 0)
    conn.close()
    console.close()


def test_set_and_reload(start):
    weir = start({"default_pool_size": 7})
    with weir.console() as console:
        console.execute("SET default_pool_size = 9")
        equal(weir.config()["default_pool_size"], "9")
        console.execute("RELOAD")
        until("the file's value", 5, lambda: weir.config()["default_pool_size"] == "7")


@quick
def test_set_of_files_that_cannot_be_read(start, sub):
    """It is refused as a whole, as RELOAD would; said to be done, it would change nothing."""
    weir = start({})
    for name, value in (("auth_file", "/no/such/file"), ("server_tls_ca_file", "/no/such/file"),
                        ("server_tls_ciphers", "nonsense")):
        with sub(f"console::SET {name}"), weir.console() as console:
            was = weir.config()[name]
            console.execute("SET server_tls_sslmode = prefer")
            raises("22023", console.execute, f"SET {name} = '{value}'", text=name)
            equal(weir.config()[name], was)


def test_shutdown(start):
    weir = start({})
    conn = weir.connect()
    console = weir.console()
    try:
        console.execute("SHUTDOWN")
    except psycopg.Error:
        pass
    until("the end", 20, lambda: not weir.is_alive())
    equal(weir.proc.returncode, 0)
    conn.close()


def test_kill_client(start):
    weir = start({})
    conn = weir.connect(application_name="victim")
    conn.execute("SELECT 1")
    row, = [c for c in weir.show("CLIENTS") if c["application_name"] == "victim"]
    with weir.console() as console:
        console.execute(f"KILL_CLIENT {row['id']}")
    raises(None, conn.execute, "SELECT 1")
