# SPDX-License-Identifier: PostgreSQL
"""PgBouncer's documented settings, console commands and columns, each compared with pgweir's."""
import os
import pwd
import re
import signal
import subprocess
import sys
import time

import psycopg

import habits
import servers
from lib import check, equal, limit, needs, quick, raises, until
from rawpg import Raw, error_fields, query
from session import free_port


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
                          timeout=20, stdin=subprocess.DEVNULL, cwd=folder)


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


class Bouncer:
    """Debian's PgBouncer before the primary."""

    def __init__(self, folder, tier):
        self.port, self.ini = free_port(), os.path.join(folder, "bouncer.ini")
        users = os.path.join(folder, "bouncer.users")
        with open(users, "w", encoding="utf-8") as f:
            f.write(f'"postgres" "{servers.USERS["postgres"]}"\n')
        with open(self.ini, "w", encoding="utf-8") as f:
            f.write(f"[databases]\napp = host=127.0.0.1 port={tier.primary_port()}\n[pgbouncer]\n"
                    f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
                    f"auth_type = trust\nauth_file = {users}\nadmin_users = postgres\n")
        user = pwd.getpwnam("postgres")
        for path in (users, self.ini):
            os.chmod(path, 0o644)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} \
            if os.geteuid() == 0 else {}
        self.proc = subprocess.Popen(["/usr/sbin/pgbouncer", self.ini], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     **as_user)

    def console(self):
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres",
                               dbname="pgbouncer", autocommit=True,
                               cursor_factory=psycopg.ClientCursor)

    def __enter__(self):
        def answers():
            try:
                self.console().close()
                return True
            except psycopg.OperationalError:
                return False
        until("PgBouncer", 20, answers)
        return self

    def __exit__(self, *_):
        self.proc.send_signal(signal.SIGQUIT)
        self.proc.wait(20)


# Names and types that changed between Debian's PgBouncer and 1.26.
RENAMED = {"reserve_pool": "reserve_pool_size"}
NEWER = {"PEERS", "PEER_POOLS", "STATE"}
OTHER_TYPES = {("memtotal", 23): ("memtotal", 20)}


@quick
@needs("pgbouncer")
def test_columns_are_those_of_a_real_pgbouncer(weir, tier, folder, sub):
    """What an older PgBouncer shows is here under the same name, type and relative order."""
    weir.need_pgweir()
    with Bouncer(folder, tier) as real, real.console() as theirs, weir.console() as ours:
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
