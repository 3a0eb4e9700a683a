# SPDX-License-Identifier: PostgreSQL
"""What an operator brings along who had PgBouncer: host lists, users, log-in by the socket."""
import collections
import grp
import os
import pwd
import re
import stat
import subprocess
import threading
import time

import psycopg

import servers
from lib import check, equal, limit, needs, patient, quick, raises, until
from rawpg import TERMINATE, Raw


def ports_of(weir, database, count):
    """The servers that so many sessions of a database are on, each inside a transaction."""
    conns = [weir.connect(dbname=database) for _ in range(count)]
    try:
        for conn in conns:
            conn.execute("BEGIN")
        return collections.Counter(conn.execute("SELECT inet_server_port()").fetchone()[0]
                                   for conn in conns)
    finally:
        for conn in conns:
            conn.close()


def host_list(name, ports, more=""):
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"{name} = host={hosts} dbname=app {more}"


@quick
@limit(90)
def test_hosts_take_turns(start, tier, sub):
    """Several hosts of a database are alike, whatever their roles; no user of pgweir's own is needed."""
    first, second = tier.replica_ports()[:2]
    forced = f"user=app password={servers.USERS['app']}"
    weir = start({"workers": 2, "databases": [
        host_list("turns", (first, second)), host_list("forced", (first, second), forced),
        host_list("kept", (first, second), "load_balance_hosts=disable"),
        host_list("down", (1, second)), host_list("moved", (1, second), "load_balance_hosts=disable")]})
    for name in ("turns", "forced"):
        with sub(f"replace::load_balance_hosts=round-robin, {name}"):
            equal(ports_of(weir, name, 4), {first: 2, second: 2})
    with sub("replace::load_balance_hosts=disable"):
        equal(ports_of(weir, "kept", 4), {first: 4})
    for name in ("down", "moved"):
        with sub(f"replace::a host of the list doesn't answer, {name}"):
            equal(ports_of(weir, name, 3), {second: 3})
    with sub("replace::load_balance_hosts in SHOW DATABASES and POOLS"):
        want = {"turns": "round-robin", "kept": "disable", "app": None}
        for what, key in (("DATABASES", "name"), ("POOLS", "database")):
            ports_of(weir, "app", 1)
            rows = {r[key]: r["load_balance_hosts"] for r in weir.show(what)}
            equal({k: rows[k] for k in want}, want, what)
        row, = [r for r in weir.show("DATABASES") if r["name"] == "turns"]
        equal(row["host"], f"127.0.0.1:{first},127.0.0.1:{second}")
        seen = {r["port"] for r in weir.show("SERVERS") if r["database"] == "turns"}
        equal(seen, {first, second}, "SHOW SERVERS")


@quick
def test_a_cancel_goes_where_the_query_is(start, tier):
    weir = start({"databases": [host_list("turns", tier.replica_ports()[:2])]})
    conns = [weir.connect(dbname="turns") for _ in range(4)]
    problems = []

    def sleep(conn):
        try:
            raises("57014", conn.execute, "SELECT inet_server_port(), pg_sleep(30)")
        except Exception as e:    # noqa: BLE001
            problems.append(e)
    for conn in conns:
        conn.execute("BEGIN")
        conn.execute("SELECT 1")
    threads = [threading.Thread(target=sleep, args=(conn,), daemon=True) for conn in conns]
    for thread in threads:
        thread.start()
    for conn, thread in zip(conns, threads):
        while thread.is_alive():
            conn.cancel()
            thread.join(0.3)
    equal(problems, [])


@quick
def test_trust_is_for_listed_users(start, folder, sub):
    """No password is asked for, but the name must be in auth_file, or be auth_query's to find."""
    rules = os.path.join(folder, "trust.hba")
    with open(rules, "w", encoding="utf-8") as f:
        f.write("host all all 127.0.0.1/32 trust\n")
    start.__self__.give(rules)
    forced = f"user=app password={servers.USERS['app']}"
    lines = [f"forced = cluster=main dbname=app {forced}"]
    for options in ({"auth_type": "trust"}, {"auth_type": "hba", "auth_hba_file": rules}):
        weir = start({"databases": lines, **options})
        with sub(f"replace::auth_type={options['auth_type']} and trust"):
            with weir.connect(dbname="forced", password="") as conn:
                equal(conn.execute("SELECT current_user").fetchone(), ("app",))
            with Raw(weir.port) as raw:
                equal(raw.log_in("stranger", "forced")["C"], "28000")
    only_postgres = os.path.join(folder, "trust.users")
    with open(only_postgres, "w", encoding="utf-8") as f:
        f.write(f'"postgres" "{servers.USERS["postgres"]}"\n')
    start.__self__.give(only_postgres)
    weir = start({"databases": lines, "auth_type": "trust", "auth_file": only_postgres,
                  "auth_user": "postgres"})
    with sub("replace::trust with auth_query"):
        weir.connect(dbname="forced", password="").close()
        with Raw(weir.port) as raw:
            equal(raw.log_in("stranger", "forced")["C"], "28000")


@quick
def test_any_is_nobody_in_particular(start, sub):
    """auth_type any lets everybody in, as the entry's user only."""
    weir = start({"auth_type": "any", "databases": [
        f"forced = cluster=main dbname=app user=app password={servers.USERS['app']}"]})
    with sub("replace::auth_type=any with a forced user"):
        with weir.connect(user="stranger", password="", dbname="forced") as conn:
            equal(conn.execute("SELECT current_user").fetchone(), ("app",))
    with sub("replace::auth_type=any without a forced user"), Raw(weir.port) as raw:
        equal(raw.log_in("app", "app")["C"], "28000")
    with sub("replace::auth_type=any at the console"), \
            psycopg.connect(host="127.0.0.1", port=weir.port, user="stranger", dbname="pgbouncer",
                            autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        conn.execute("SET query_timeout = 5")
        equal(weir.config()["query_timeout"], "5")


@quick
@needs("psql")
def test_the_owner_at_the_console(start, folder, sub):
    """User pgbouncer by the Unix socket, without a password, from the process's own account only."""
    weir = start({"unix_socket_dir": folder})

    def psql(host, account, user="pgbouncer"):
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} \
            if os.geteuid() == 0 else {}
        return subprocess.run(["psql", "-X", "-w", "-h", host, "-p", str(weir.port), "-U", user,
                               "-d", "pgbouncer", "-c", "SET query_timeout = 4"], text=True,
                              capture_output=True, timeout=patient(20), stdin=subprocess.DEVNULL, **as_user)
    own = start.__self__.user or pwd.getpwuid(os.geteuid())
    with sub("replace::pgbouncer by the Unix socket"):
        done = psql(folder, own)
        equal(done.returncode, 0, done.stderr)
        equal(weir.config()["query_timeout"], "4")
    with sub("replace::pgbouncer by TCP"):
        check(psql("127.0.0.1", own).returncode != 0, "let in")
    with sub("replace::another name by the Unix socket"):
        check(psql(folder, own, "postgres").returncode != 0, "let in")
    if os.geteuid() == 0:
        with sub("replace::pgbouncer by the Unix socket of another account"):
            check(psql(folder, pwd.getpwnam("nobody")).returncode != 0, "let in")


# --- the process and its sockets ---------------------------------------------------------------------

def served(**kw):
    with psycopg.connect(user="app", password=servers.USERS["app"], dbname="app", **kw) as conn:
        return conn.execute("SELECT 1").fetchone() == (1,)


@quick
def test_listening(start, folder, sub):
    place = os.path.join(folder, "sockets")
    os.makedirs(place)
    start.__self__.give(place)
    group = grp.getgrgid(pwd.getpwnam("postgres").pw_gid if os.geteuid() == 0 else os.getegid())
    weir = start({"listen_addr": "127.0.0.1, localhost,127.0.0.2,127.0.0.1", "unix_socket_dir": place,
                  "unix_socket_mode": "0710", "unix_socket_group": group.gr_name})
    for host in ("127.0.0.1", "127.0.0.2", place):
        with sub(f"replace::listen_addr and unix_socket_dir, {'the socket' if host == place else host}"):
            check(served(host=host, port=weir.port), "no answer")
    with sub("replace::unix_socket_mode and unix_socket_group"):
        found = os.stat(os.path.join(place, f".s.PGSQL.{weir.port}"))
        equal((stat.S_IMODE(found.st_mode), found.st_gid), (0o710, group.gr_gid))
    name = f"@replace-{weir.port}"
    weir = start({"unix_socket_dir": name})
    with sub("replace::unix_socket_dir in the abstract name space"):
        check(served(host=name, port=weir.port), "no answer")


@quick
def test_several_processes_on_one_port(start, sub):
    first = start({"so_reuseport": 1})
    second = start.__self__.prepare({"so_reuseport": 1, "listen_port": first.port})
    second.port = first.port
    start.__self__.extra.append(second.start())
    until("both to serve", 30, lambda: served(host="127.0.0.1", port=first.port) and all(
        any("client_login" in li and "db=app" in li for li in w.log_lines()) for w in (first, second)))


def keepalive_timers(port):
    out = subprocess.run(["ss", "-Htno", "state", "established", f"( sport = :{port} )"], text=True,
                         capture_output=True, check=True).stdout
    return re.findall(r"timer:\(keepalive,([\d.]+)(ms|sec|min)", out)


@quick
@needs("ss")
def test_keepalive(start, sub):
    weir = start({"tcp_keepidle": 900})
    with weir.connect() as conn:
        conn.execute("SELECT 1")
        with sub("replace::tcp_keepidle"):
            left, unit = until("the timer", 10, lambda: keepalive_timers(weir.port))[0]
            check(unit == "min" and 10 < float(left) <= 15, f"{left} {unit}")
    weir = start({"tcp_keepalive": 0})
    with weir.connect() as conn, sub("replace::tcp_keepalive=0"):
        conn.execute("SELECT 1")
        equal(keepalive_timers(weir.port), [])


@quick
def test_order_of_servers(start, sub):
    """The one used last is next, or with server_round_robin the one that idled longest."""
    for value, want in ((0, 1), (1, 2)):
        weir = start({"server_round_robin": value, "split": "off", "workers": 1})
        with weir.connect() as one, weir.connect() as two, \
                sub(f"replace::server_round_robin={value}"):
            for conn in (one, two):
                conn.execute("BEGIN")
                conn.execute("SELECT txid_current()")
            for conn in (one, two):
                conn.execute("COMMIT")
            pids = {one.execute("SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid()")
                    .fetchone() for _ in range(6)}
            equal(len(pids), want)
        weir.stop()


@quick
def test_log_switches(start, sub):
    events = {"log_connections": " client_login ", "log_disconnections": " client_closed ",
              "log_stats": " stats "}
    for value in (1, 0):
        weir = start({**{name: value for name in events}, "stats_period": 1})
        weir.connect().close()
        time.sleep(2.5)
        text = "\n".join(weir.log_lines())
        for name, event in events.items():
            with sub(f"replace::{name}={value}"):
                equal(event in text, bool(value))
        weir.stop()


@quick
def test_the_log_says_from_where(start, folder, sub):
    """Of every log-in and every refusal, at the console too, and of who never gets so far."""
    weir = start({"unix_socket_dir": folder, "client_login_timeout": 1, "tcp_defer_accept": 0})

    def said(event, *parts):
        return [li for li in weir.log_lines() if f" {event} " in li and all(p in li for p in parts)]

    def at(raw):
        return "addr={}:{} ".format(*raw.sock.getsockname())
    with Raw(weir.port) as raw, sub("replace::the address of a log-in"):
        equal(raw.log_in(), None)
        until("the line", 10, lambda: said("client_login", at(raw), "db=app user=app tls=0"))
    for what, who in (("a wrong password", ("app", "app", "wrong")), ("an unknown database", ("app", "nowhere", None)),
                      ("the console", ("app", "pgbouncer", None))):
        with Raw(weir.port) as raw, sub(f"replace::the address of a refusal, {what}"):
            check(raw.log_in(*who), "let in")
            until("the line", 10, lambda r=raw, w=who: said("login_refused", at(r), f"db={w[1]} user=app"))
    with Raw(weir.port) as raw, sub("replace::the console's log-in and end"):
        equal(raw.log_in("postgres", "pgbouncer"), None)
        until("the line", 10, lambda: said("client_login", at(raw), "db=pgbouncer user=postgres"))
        raw.send(TERMINATE)
        until("its end", 10, lambda: said("client_closed", "db=pgbouncer user=postgres"))
    with Raw(weir.port) as raw, sub("replace::who doesn't log in in time"):
        check(raw.is_closed(), "still open")
        until("the line", 10, lambda: said("client_closed", at(raw), "client_login_timeout"))
    with sub("replace::the process behind a Unix socket"):
        psycopg.connect(host=folder, port=weir.port, user="app", dbname="app",
                        password=servers.USERS["app"]).close()
        until("the line", 10, lambda: said("client_login", f"addr=unix({os.getpid()}) "))


@quick
def test_conffile(start, sub):
    """SET conffile: the next RELOAD reads another file, and so do those after it."""
    weir = start({"query_wait_timeout": 61})
    other = weir.ini + ".other"
    with open(weir.ini, encoding="utf-8") as f, open(other, "w", encoding="utf-8") as to:
        to.write(f.read().replace("query_wait_timeout = 61", "query_wait_timeout = 62"))
    start.__self__.give(other)
    equal(weir.config()["conffile"], weir.ini)
    with weir.console() as console:
        console.execute(f"SET conffile = '{other}.missing'")
        with sub("replace::conffile that doesn't exist"):
            raises(None, console.execute, "RELOAD", text="No such file")
        console.execute(f"SET conffile = '{other}'")
        for _ in range(2):
            console.execute("RELOAD")
            config = weir.config()
            equal((config["conffile"], config["query_wait_timeout"]), (other, "62"))


@quick
def test_command_line(start, folder, sub):
    """PgBouncer's switches, long and short; -q says nothing to standard error."""
    for flags, quiet in ((["--quiet"], True), (["-q", "--verbose"], True), (["-v"], False)):
        weir = start.__self__.prepare({})
        said = os.path.join(folder, "said")
        with open(said, "w", encoding="utf-8") as out:
            proc = subprocess.Popen([start.__self__.binary, *flags, weir.ini], stdout=out, stderr=out,
                                    stdin=subprocess.DEVNULL)
            weir.proc = proc
            try:
                until("it to listen", 30, weir.is_listening)
            finally:
                proc.terminate()
                proc.wait(patient(20))
        with sub(f"replace::{' '.join(flags)}"), open(said, encoding="utf-8") as f:
            equal(f.read() == "", quiet)
    done = subprocess.run([start.__self__.binary, "-R", weir.ini], capture_output=True, timeout=patient(20),
                          stdin=subprocess.DEVNULL)
    equal(done.returncode, 2)


@quick
def test_log_file_and_standard_error(start, folder, sub):
    """A log file doesn't silence standard error, -q does; -v holds through a reload."""
    session = start.__self__
    for flags in ([], ["-q"], ["-v"]):
        log, said = (os.path.join(folder, f"{name}{''.join(flags)}") for name in ("log", "said"))
        weir = session.prepare({"logfile": log})
        with open(said, "w", encoding="utf-8") as out:
            weir.proc = subprocess.Popen([session.binary, *flags, weir.ini], stdout=out, stderr=out,
                                         stdin=subprocess.DEVNULL)
            try:
                until("it to listen", 30, weir.is_listening)
                with weir.console() as console:
                    console.execute("RELOAD")
                verbose = weir.config()["verbose"]
            finally:
                weir.proc.terminate()
                weir.proc.wait(patient(20))
        with sub(f"replace::logfile, switches {flags}"), open(said, encoding="utf-8") as f, \
                open(log, encoding="utf-8") as g:
            lines = g.read()
            check(" started " in lines, lines)
            equal(f.read(), "" if "-q" in flags else lines)
            equal(verbose, "1" if "-v" in flags else "0")


@quick
def test_what_it_needs_to_start(start, folder, sub):
    """PgBouncer starts neither without its log nor as somebody else."""
    session = start.__self__
    other = [] if os.geteuid() == 0 else ["user"]
    for name, value in (("logfile", os.path.join(folder, "no", "log")), ("user", "nobody_such"),
                        *((n, "daemon") for n in other)):
        with sub(f"replace::no start with {name}={value}"):
            weir = session.prepare({name: value})
            done = subprocess.run([session.binary, weir.ini], capture_output=True, text=True,
                                  timeout=patient(20), stdin=subprocess.DEVNULL)
            equal(done.returncode, 1)
            check(value in done.stderr, done.stderr)
    with sub("replace::user who it is already"):
        weir = session.prepare({"user": pwd.getpwuid(os.geteuid()).pw_name})
        weir.proc = subprocess.Popen([session.binary, "-q", weir.ini], stdin=subprocess.DEVNULL)
        try:
            until("it to listen", 30, weir.is_listening)
        finally:
            weir.proc.terminate()
            weir.proc.wait(patient(20))


# --- an ini with what installations have -------------------------------------------------------------

TYPICAL = """\
;;; three databases, users asked of the server, rules by address, TLS
[databases]
shop = host=127.0.0.1 port={primary} dbname=app auth_user=postgres auth_dbname=shop pool_size=5
reports = host=127.0.0.1 port={replica} dbname=app pool_mode=session application_name=reports
balanced = host=127.0.0.1,localhost port={replica} dbname=app user=app password={app}
[users]
app = max_user_connections=10
[pgbouncer]
pool_mode = transaction
listen_addr = *
listen_port = {listen}
unix_socket_dir = {folder}
auth_type = hba
auth_hba_file = {folder}/hba
auth_ident_file = {folder}/ident
auth_file = {folder}/userlist.txt
auth_user = postgres
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
client_tls_sslmode = prefer
client_tls_key_file = {folder}/key
client_tls_cert_file = {folder}/cert
admin_users = postgres
ignore_startup_parameters = extra_float_digits
max_client_conn = 100
default_pool_size = 20
server_tls_sslmode = prefer
"""


@quick
@needs("openssl")
def test_a_typical_ini(start, tier, sub):
    """It serves unchanged: every database, by every way in that its rules have."""
    weir = start.__self__.prepare({})
    folder = weir.ini + ".d"
    os.makedirs(folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", f"{folder}/key",
                    "-out", f"{folder}/cert"], check=True, capture_output=True)
    account = pwd.getpwuid(os.geteuid()).pw_name
    texts = {
        "hba": "# TYPE DATABASE USER ADDRESS METHOD\nlocal all app peer map=own\n"
               "hostssl shop,balanced all 127.0.0.1/32 scram-sha-256\n"
               "hostnossl shop all 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 md5\n",
        "ident": f"own {account} app\n",
        "userlist.txt": f'; who asks\n"postgres" "{servers.USERS["postgres"]}" ""\n',
    }
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    with open(weir.ini, "w", encoding="utf-8") as f:
        f.write(TYPICAL.format(primary=tier.primary_port(), replica=tier.replica_ports()[0],
                               listen=weir.port, folder=folder, app=servers.USERS["app"]))
    for path in (folder, weir.ini, *(os.path.join(folder, n) for n in os.listdir(folder))):
        start.__self__.give(path)
        os.chmod(path, 0o755 if path == folder else 0o644)
    start.__self__.extra.append(weir.start())
    for database, ssl in (("shop", "require"), ("reports", "disable"), ("reports", "require"),
                          ("balanced", "require")):
        with sub(f"replace::a typical ini, {database} with sslmode={ssl}"):
            with weir.connect(dbname=database, sslmode=ssl) as conn:
                equal(conn.execute("SELECT current_user, current_database()").fetchone(),
                      ("app", "app"))
    with sub("replace::a typical ini, a rule that rejects"):
        raises(None, lambda: weir.connect(dbname="shop", sslmode="disable"), text="pg_hba.conf rejects")
    with sub("replace::a typical ini, a wrong password"):
        raises(None, lambda: weir.connect(dbname="shop", password="bad", sslmode="require"),
               text="password authentication failed")
    with sub("replace::a typical ini, peer with a map"), \
            psycopg.connect(host=folder, port=weir.port, user="app", dbname="balanced") as conn:
        equal(conn.execute("SELECT current_user").fetchone(), ("app",))
    with sub("replace::a typical ini, the console"), weir.console() as console:
        equal({r[0] for r in console.execute("SHOW DATABASES")},
              {"shop", "reports", "balanced", "pgbouncer"})
