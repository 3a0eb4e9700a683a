# SPDX-License-Identifier: PostgreSQL
"""pgweir beside Debian's PgBouncer: one ini, the same clients, and every answer of the two consoles
compared. What differs on purpose is in the tables below and in docs/pgbouncer.md, with the reason."""
import os
import re
import struct

import bouncer
import habits
from lib import check, equal, limit, needs, patient, quick
from rawpg import (FLUSH, SYNC, Closed, Raw, bind, describe, error_fields, execute, message, parse,
                   query, row_values)

INI = """\
admin_users = postgres
stats_users = pgweir
pool_mode = transaction
server_tls_sslmode = disable
[databases]
app = host=127.0.0.1 port={port} pool_size=5 reserve_pool=2 min_pool_size=0
forced = host=127.0.0.1 port={port} dbname=app user=app password={password} pool_mode=session
second = host=127.0.0.1 port={port} dbname=app max_db_connections=9
named = host=localhost port={port} dbname=app
"""


class Answer:
    """Everything that one request brought, up to ReadyForQuery or the end of the connection."""

    def __init__(self, raw, parts):
        self.columns, self.rows, self.ends, self.notices, self.is_over = [], [], [], [], False
        raw.send(*parts)
        try:
            self.read(raw)
        except Closed:
            self.is_over = True

    def read(self, raw):
        kind = ""
        while kind != "Z":
            kind, body = raw.read()
            if kind == "T":
                self.columns = columns_of(body)
            elif kind == "D":
                self.rows.append(dict(zip((n for n, _ in self.columns), row_values(body))))
            elif kind == "C":
                self.ends.append(body[:-1].decode())
            elif kind == "E":
                fields = error_fields(body)
                self.ends.append((fields["C"], fields["M"]))
            elif kind == "N":
                self.notices.append(error_fields(body)["M"])
            elif kind not in "Z1":    # a Parse is complete before the console refuses the rest
                self.ends.append(kind)

    def by(self, *keys):
        return {tuple(row[k] for k in keys): row for row in self.rows}


def columns_of(body):
    count, = struct.unpack_from("!H", body)
    found, at = [], 2
    for _ in range(count):
        end = body.index(b"\0", at)
        found.append((body[at:end].decode(), struct.unpack_from("!I", body, end + 7)[0]))
        at = end + 19
    return found


class Pair:
    """The two, and the same clients before both."""

    def __init__(self, start, tier, folder):
        text = INI.format(port=tier.primary_port(), password=bouncer.servers.USERS["app"])
        self.theirs = bouncer.Bouncer(folder, text)
        self.ours = start.__self__.prepare({})
        bouncer.write(self.ours.ini, text, self.ours.port)
        os.environ["PGWEIR_WORKERS"] = "1"
        try:
            self.ours.start()
        finally:
            del os.environ["PGWEIR_WORKERS"]
        start.__self__.extra.append(self.ours)
        self.conns = []

    def ports(self):
        return self.theirs.port, self.ours.port

    def connect(self, user, database, **params):
        both = [Raw(port) for port in self.ports()]
        self.conns += both
        for raw in both:
            equal(raw.log_in(user, database, **params), None)
        return both

    def ask(self, consoles, *parts):
        return [Answer(raw, parts) for raw in consoles]

    def work(self, user, database, *texts):
        for raw in self.connect(user, database):
            for text in texts:
                raw.rows(text)

    def __enter__(self):
        self.theirs.__enter__()
        return self

    def __exit__(self, *_):
        for raw in self.conns:
            raw.sock.close()
        self.theirs.__exit__()


# --- SHOW ---------------------------------------------------------------------------------------------

NEWER = {"PEERS", "PEER_POOLS", "STATE"}    # than Debian's
RENAMED = {"reserve_pool": "reserve_pool_size"}    # since 1.19
OTHER_TYPES = {("memtotal", 23): ("memtotal", 20)}

# What tells rows apart, and the columns whose values aren't compared one by one but by their kind.
ROWS = {
    "DATABASES": (("name",), set()),
    "POOLS": (("database", "user"), {"maxwait_us"}),
    # "idle" came with 1.23; the port is the client's own
    "CLIENTS": (("user", "database"), {"state", "port", "local_port", "connect_time", "request_time",
                                       "wait_us", "ptr", "link"}),
    "SERVERS": (("user", "database"), {"local_port", "connect_time", "request_time", "wait_us", "ptr",
                                       "link", "remote_pid"}),
    "USERS": (("name",), set()),
    # what c-ares doesn't tell is -1 there
    "LISTS": (("list",), {"free_clients", "free_servers", "dns_queries"}),
    "VERSION": ((), {"version"}),
    "DNS_HOSTS": (("hostname",), {"ttl"}), "DNS_ZONES": (("zonename",), set()),
    "STATS": (("database",), {"total_xact_time", "total_query_time", "total_wait_time",
                              "avg_xact_count", "avg_query_count", "avg_recv", "avg_sent",
                              "avg_xact_time", "avg_query_time", "avg_wait_time"}),
    "STATS_TOTALS": (("database",), {"xact_time", "query_time", "wait_time"}),
    "STATS_AVERAGES": (("database",), {"xact_count", "query_count", "bytes_received", "bytes_sent",
                                       "xact_time", "query_time", "wait_time"}),
}
ROWS["SOCKETS"] = (ROWS["CLIENTS"][0] + ("type",), ROWS["CLIENTS"][1] | ROWS["SERVERS"][1] |
                   {"recv_pos", "pkt_pos", "pkt_remain", "send_pos", "send_remain", "pkt_avail",
                    "send_avail"})
ROWS["ACTIVE_SOCKETS"] = ROWS["SOCKETS"]

# Rows that only PgBouncer has, and why.
MISSING = {
    # the console's commands are no traffic: a sum over databases shouldn't have them
    "STATS": {("pgbouncer",)}, "STATS_TOTALS": {("pgbouncer",)}, "STATS_AVERAGES": {("pgbouncer",)},
}
# Rows that only pgweir has. None: those of PgBouncer must be among them, no more.
ADDED = {"LISTS": {("peers",), ("peer_pools",)},    # since 1.21
         # there, those whose bytes are looked at in this moment; here, those that aren't idle
         "ACTIVE_SOCKETS": None}


def kind_of(value):
    if value is None:
        return "null"
    for kind, form in (("number", r"-?\d+"), ("time", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"),
                       ("pointer", r"0x[0-9a-f]+"), ("version", r"PgBouncer \d+\.\d+\.\d+")):
        if re.fullmatch(form, value):
            return kind
    return "text" if value else "empty"


def compare_rows(what, theirs, ours, ports):
    keys, loose = ROWS[what]
    want, got = theirs.by(*keys), ours.by(*keys)
    missing, added = MISSING.get(what, set()), ADDED.get(what, set())
    if added is None:
        added = set(got) - set(want)
    equal(set(got) - added, set(want) - missing, "rows")
    for key in set(want) - missing:
        for name, value in want[key].items():
            mine = got[key][RENAMED.get(name, name)]
            if name in loose or key[:1] and key[0] in loose:
                equal(kind_of(mine), kind_of(value), f"kind of {name} in {key}: {mine!r}, {value!r};")
            elif value == str(ports[0]):
                equal(mine, str(ports[1]), f"{name} in {key}")
            else:
                equal(mine, value, f"{name} in {key}")


def compare_names(what, theirs, ours):
    want = [OTHER_TYPES.get((n, t), (RENAMED.get(n, n), t)) for n, t in theirs.columns]
    names = {n for n, _ in want}
    equal([c for c in ours.columns if c[0] in names], want, "columns")
    equal(theirs.ends, ours.ends, f"the end of {what}")


def compare_config(theirs, ours):
    """Every key is known, and what the ini says is in force in both."""
    want, got = theirs.by("key"), ours.by("key")
    equal(set(want) - set(got), set())
    for key in ("pool_mode", "admin_users", "stats_users", "server_tls_sslmode", "auth_type",
                "listen_addr", "unix_socket_dir"):
        equal(got[(key,)]["value"], want[(key,)]["value"], key)


def compare_totals(theirs, ours):
    want = [row["name"] for row in theirs.rows]
    equal([row["name"] for row in ours.rows if row["name"] in want], want)
    equal({kind_of(row["value"]) for row in ours.rows}, {"number"})


def compare_memory(theirs, ours):
    """Which kinds of memory there are is each one's own affair."""
    kinds = [{name: kind_of(value) for name, value in a.rows[0].items()} for a in (theirs, ours)]
    del kinds[1]["worker"]
    equal(*kinds)


@quick
@needs("pgbouncer")
def test_every_show(start, tier, folder, sub):
    special = {"CONFIG": compare_config, "TOTALS": compare_totals, "MEM": compare_memory}
    with Pair(start, tier, folder) as pair:
        consoles = pair.connect("postgres", "pgbouncer", application_name="beside")

        def compare(what):
            theirs, ours = pair.ask(consoles, query(f"SHOW {what}"))
            compare_names(what, theirs, ours)
            if what in special:
                special[what](theirs, ours)
            else:
                compare_rows(what, theirs, ours, pair.ports())
        pair.work("app", "app", "SELECT 1", "SELECT 2")
        pair.work("pgweir", "app", "SELECT 1")
        pair.work("app", "forced", "SELECT 1")
        pair.work("app", "named", "SELECT 1")
        everything = sorted(set(habits.COLUMNS) - NEWER)
        for what in (w for w in everything if w.startswith("STATS")):
            with sub(f"beside::SHOW {what}"):
                compare(what)
        pair.work("app", "app", "BEGIN", "SELECT txid_current()")    # it is counted when it ends
        for what in (w for w in everything if not w.startswith("STATS")):
            with sub(f"beside::SHOW {what}"):
                compare(what)


# --- commands -----------------------------------------------------------------------------------------

# PgBouncer says 08P01 for every error. Here it is the SQLSTATE of what is wrong; the texts are its own.
STATES = (("invalid command", "42601"), ("a database is required", "42601"),
          ("no such database", "3D000"), ("cannot ", "42809"), ("admin access needed", "42501"),
          ("database ", "55000"), ("pooler is not", "55000"), ("already", "55000"),
          ("extended query protocol", "0A000"))
OTHER_WORDS = {"unsupported packet type for admin console: 68":
               "extended query protocol not supported by admin console"}

# In this order: some build on what came before.
COMMANDS = """\
SHOW NOPE
SHOW
NOPE
SELECT * FROM pools
SHOW VERSION x
show version; show lists
PAUSE nope
RESUME nope
DISABLE nope
ENABLE nope
RECONNECT nope
KILL nope
WAIT_CLOSE nope
PAUSE pgbouncer
RESUME pgbouncer
DISABLE pgbouncer
KILL pgbouncer
RECONNECT pgbouncer
WAIT_CLOSE pgbouncer
DISABLE
ENABLE
RESUME
RESUME second
PAUSE second
PAUSE second
RESUME second
RESUME second
PAUSE "second"
RESUME "second"
DISABLE second
DISABLE second
ENABLE second
ENABLE second
RECONNECT
RECONNECT second
WAIT_CLOSE second
KILL second
RESUME second
PAUSE second
SHOW DATABASES
RESUME second
RESUME
SET query_timeout = 5
SET query_timeout TO '6'
SET server_lifetime=7
SET timezone = 'x'
SET client_encoding = 'x'
SET
SHUTDOWN nope
RELOAD nope
RELOAD
SHOW timezone
SHOW client_encoding
SUSPEND nope
EXPLAIN x
"""

# Command: what theirs ends with, what ours does; each stands in docs/pgbouncer.md.
DIFFERENT = {
    "": (("08P01", "invalid command '', use SHOW HELP;"), "I"),
    "BEGIN": (("08P01", "invalid command 'BEGIN', use SHOW HELP;"), "BEGIN"),
    "COMMIT": (("08P01", "invalid command 'COMMIT', use SHOW HELP;"), "COMMIT"),
    "SELECT 1": (("08P01", "invalid command 'SELECT 1', use SHOW HELP;"), "SELECT 1"),
    "SET nope = 1": (("08P01", "SET failed"),
                     ("42704", 'unrecognized configuration parameter "nope"')),
    "SET pool_mode = 'nope'": (("08P01", "SET failed"),
                               ("22023", "pool_mode: \"nope\" isn't session, transaction or "
                                         "statement")),
    "SET listen_port = 5": ("SET listen_port=5",    # nothing listens there
                            ("55P02", "listen_port cannot be changed without a restart")),
    "SET query_timeout": (("08P01", "invalid command 'SET query_timeout', use SHOW HELP;"),
                          ("42601", "SET option = value is expected")),
    "PAUSE 'second'": (("08P01", "invalid command 'PAUSE 'second'', use SHOW HELP;"), "PAUSE"),
    "RESUME second x": (("08P01", "invalid command 'RESUME second x', use SHOW HELP;"),
                        ("42601", "one database name is expected")),
    "RESUME 'second'": (("08P01", "invalid command 'RESUME 'second'', use SHOW HELP;"), "RESUME"),
    "ENABLE pgbouncer": (("08P01", "cannot disable admin db: pgbouncer"),
                         ("42809", "cannot enable admin db: pgbouncer")),
    "PAUSE second": ("PAUSE", "PAUSE"),    # and without a name it ends, here alone:
    "RESUME": (("08P01", "pooler is not paused/suspended"), "RESUME"),
    "RESUME second": ("RESUME", ("55000", "database second is not paused")),
    # 1.23 brought it
    "KILL_CLIENT 999999": (("08P01", "invalid command 'KILL_CLIENT 999999', use SHOW HELP;"),
                           ("42704", "client not found")),
    "KILL_CLIENT x": (("08P01", "invalid command 'KILL_CLIENT x', use SHOW HELP;"),
                      ("22023", "a client's id is expected, as SHOW CLIENTS shows it")),
}


def as_ours(end):
    """What theirs ends with, in our SQLSTATEs."""
    if not isinstance(end, tuple):
        return end
    said = OTHER_WORDS.get(end[1], end[1])
    return next(state for text, state in STATES if said.startswith(text)), said


@quick
@limit(90)
@needs("pgbouncer")
def test_every_command(start, tier, folder, sub):
    with Pair(start, tier, folder) as pair:
        consoles = pair.connect("postgres", "pgbouncer")
        for text in COMMANDS.splitlines():
            with sub(f"beside::{text}"):
                theirs, ours = pair.ask(consoles, query(text))
                equal(ours.ends, [as_ours(end) for end in theirs.ends])
                equal(ours.notices, theirs.notices)
                if text == "SHOW DATABASES":
                    compare_rows("DATABASES", theirs, ours, pair.ports())
        for text, want in DIFFERENT.items():
            with sub(f"beside::{text!r} differs as documented"):
                answers = pair.ask(consoles, query(text))
                equal(tuple(a.ends[0] for a in answers), want)
        with sub("beside::PAUSE while all is paused"):
            for text in ("PAUSE", "PAUSE", "PAUSE second"):
                theirs, ours = pair.ask(consoles, query(text))
                equal(ours.ends, [as_ours(end) for end in theirs.ends])
            theirs, ours = pair.ask(consoles, query("SHOW DATABASES"))
            equal({r["paused"] for r in ours.rows if r["name"] != "pgbouncer"}, {"1"})
        with sub("beside::KILL while all is paused differs as documented"):
            answers = pair.ask(consoles, query("KILL second"))
            equal([a.ends[0] for a in answers], [("08P01", "already suspended/paused"), "KILL"])
            pair.ask(consoles, query("RESUME"))


@quick
@needs("pgbouncer")
def test_who_may_say_what(start, tier, folder, sub):
    with Pair(start, tier, folder) as pair:
        consoles = pair.connect("pgweir", "pgbouncer")
        shows = [f"SHOW {what}" for what in sorted(set(habits.COLUMNS) - NEWER)]
        for text in COMMANDS.splitlines() + shows + ["SHUTDOWN", "SET nope = 1"]:
            with sub(f"beside::{text} as a stats user"):
                theirs, ours = pair.ask(consoles, query(text))
                equal(ours.ends, [as_ours(end) for end in theirs.ends])
        for user, database in (("app", "pgbouncer"), ("nobody", "pgbouncer"), ("app", "nowhere")):
            with sub(f"beside::{user} at {database} is refused"):
                for port in pair.ports():
                    with Raw(port) as raw:
                        equal(raw.log_in(user, database)["S"], "FATAL")


EXTENDED = {
    "a prepared query": (parse("", "SHOW VERSION"), bind("", ""), describe("P", ""), execute(), SYNC),
    "Parse and Flush": (parse("", "SHOW VERSION"), FLUSH, SYNC),
    "Bind": (bind("", ""), SYNC), "Describe": (describe("S", ""), SYNC), "Execute": (execute(), SYNC),
}


@quick
@needs("pgbouncer")
def test_extended_protocol(start, tier, folder, sub):
    """Both refuse it in the same words; PgBouncer drops a client that sends Sync alone, we answer."""
    with Pair(start, tier, folder) as pair:
        for what, parts in EXTENDED.items():
            with sub(f"beside::{what} at the console"):
                consoles = pair.connect("postgres", "pgbouncer")
                theirs, ours = pair.ask(consoles, *parts)
                equal(ours.ends, [as_ours(end) for end in theirs.ends])
                equal(ours.is_over, False)
                answer = Answer(consoles[1], [query("SHOW VERSION")])
                equal(answer.ends, ["SHOW"], "it goes on")


@quick
@needs("pgbouncer")
def test_shutdown(start, tier, folder):
    """Both end. PgBouncer's client hears nothing of it, ours may hear the tag."""
    with Pair(start, tier, folder) as pair:
        consoles = pair.connect("postgres", "pgbouncer")
        theirs, ours = pair.ask(consoles, query("SHUTDOWN"))
        equal((theirs.is_over, theirs.ends), (True, []))
        check(ours.ends in ([], ["SHUTDOWN"]), f"{ours.ends}")
        for proc in (pair.theirs.proc, pair.ours.proc):
            equal(proc.wait(patient(20)), 0)
