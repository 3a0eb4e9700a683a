# SPDX-License-Identifier: PostgreSQL
"""What an operator brings along who had PgBouncer: host lists, users, log-in by the socket."""
import collections
import os
import pwd
import subprocess
import threading

import psycopg

import servers
from lib import check, equal, limit, needs, quick, raises
from rawpg import Raw


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
                              capture_output=True, timeout=20, stdin=subprocess.DEVNULL, **as_user)
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
