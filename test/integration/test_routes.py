# SPDX-License-Identifier: PostgreSQL
"""Every statement of routes.tsv goes where the table says.

Each row is really run, with a mark of its own in a comment; the node that has
the mark in pg_stat_activity is where it ran. Rows that can't run here are
judged by EXPLAIN ROUTE alone, the others by both.
"""
import os
import socket
import subprocess
import time

from lib import Skip, check, equal, limit, patient, quick
from nodes import Nodes
from rawpg import Closed, Raw, error_fields, message, query, row_values
import servers

HERE = os.path.dirname(os.path.realpath(__file__))
OPTIONS = {"databases": ["routes = cluster=main dbname=routes"], "consistency": "session"}


def table_rows():
    path = os.path.join(HERE, "routes.tsv")
    if not os.path.exists(path):
        raise Skip("no routes.tsv")
    with open(path) as f:
        for number, line in enumerate(f, 1):
            if not line.startswith("#") and line.strip():
                kind, route, how, _, sql = line.rstrip("\n").split("\t", 4)
                yield number, kind, route, how, sql


def set_up(session):
    """Make the database once, before pgweir reads its catalog; the weir of the file."""
    tier = session.tier
    if getattr(tier, "has_routes", False):
        return session.fixture("weir")
    tier.has_routes = True
    with tier.connect(user="postgres", dbname="postgres") as admin:
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = 'routes'").fetchone():
            admin.execute("CREATE DATABASE routes")
    env = dict(os.environ, PGPASSWORD=servers.USERS["postgres"])
    subprocess.run([servers.PG_BIN + "/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h",
                    "127.0.0.1", "-p", str(tier.primary_port()), "-U", "postgres", "-d", "routes",
                    "-f", os.path.join(HERE, "routes_setup.sql")], check=True, env=env,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=patient(60))
    return session.fixture("weir")


class Runner:
    """Runs rows on a session; a new one for each row that doesn't go on with the last."""

    def __init__(self, weir, nodes):
        self.weir, self.nodes, self.raw, self.count = weir, nodes, None, 0

    def fresh(self):
        if self.raw:
            self.raw.sock.close()
        self.raw = Raw(self.weir.port, timeout=20)
        equal(self.raw.log_in("postgres", "routes"), None)

    def send(self, sql):
        """Send one simple query and answer its COPY; SQLSTATEs of its errors."""
        self.raw.send(query(sql))
        states = []
        while True:
            kind, body = self.raw.read()
            if kind == "G":
                self.raw.send(message("c"))
            elif kind == "E":
                states.append(error_fields(body)["C"])
            elif kind == "Z":
                return states

    def run(self, route, how, sql):
        """(node role or None, SQLSTATEs) of one row."""
        if route != "txn":
            self.fresh()
        self.count += 1
        mark = f"row-{self.count}-mark"
        inside = how == "in-txn"
        if inside:
            self.send("BEGIN READ ONLY" if route == "replica" else "BEGIN")
        states = self.send(f"{sql}\n/* {mark} */")
        found = self.nodes.holding(mark)
        if inside:
            self.send("ROLLBACK")
        if not found:
            return None, states
        return ("primary" if self.nodes.primary in found else "replica"), states

    def run_again(self, route, how, sql):
        """The same; a read that no replica got is repeated: one that a busy machine holds up isn't asked."""
        for _ in range(10 if self.weir.is_pgweir and route == "replica" else 1):
            role, states = self.run(route, how, sql)
            if role != "primary" or states:
                break
            time.sleep(0.2)
        return role, states


@quick
@limit(240)
def test_where_statements_run(session, tier, sub):
    rows = [r for r in table_rows() if r[3] != "classify-only"]
    weir = set_up(session)
    with Nodes(tier) as nodes:
        runner = Runner(weir, nodes)
        nodes.wait_replayed()
        time.sleep(2)
        for number, _, route, how, sql in rows:
            with sub(f"routes::run line {number} {sql[:70]}"):
                try:
                    role, states = runner.run_again(route, how, sql)
                except (Closed, socket.timeout) as e:
                    runner.fresh()
                    raise AssertionError(f"the session ended: {e!r}") from None
                check("25006" not in states, "the client saw 25006")
                if not weir.is_pgweir:
                    continue
                if route in ("primary", "replica"):
                    if role is None and route == "replica" and not states:
                        raise AssertionError("not seen on any node")
                    if role is not None:
                        equal(role, route)
            if route == "primary" and how == "run" and number % 5 == 0:
                nodes.wait_replayed()


def explain(console, sql):
    """EXPLAIN ROUTE's answer as one dict, whatever its shape (columns or rows)."""
    console.send(query("EXPLAIN ROUTE FOR routes " + sql))
    got = console.read_until("Z")
    errors = [error_fields(b) for k, b in got if k == "E"]
    if errors:
        raise AssertionError(str(errors[0]))
    names = [n for k, b in got if k == "T" for n in columns(b)]
    values = [row_values(b) for k, b in got if k == "D"]
    return dict(zip(names, values[0])) if len(values) == 1 else dict(v[:2] for v in values)


def columns(body):
    names, at = [], 2
    while at < len(body):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


@quick
@limit(120)
def test_explain_route(session, sub):
    rows = list(table_rows())
    check(len(rows) >= 150, f"only {len(rows)} rows")
    weir = set_up(session)
    weir.need_pgweir()
    with weir.connect(user="postgres", dbname="routes") as conn, Raw(weir.port) as console:
        equal(console.log_in("postgres", "pgweir"), None)
        conn.execute("SELECT 1")
        time.sleep(2)
        for number, kind, route, _, sql in rows:
            with sub(f"routes::explain line {number} {sql[:70]}"):
                told = explain(console, sql)
                check(told["class"].startswith(kind), f"{told}, want {kind}")
                if route in ("primary", "replica"):
                    check(route in told["target"], f"{told}, want {route}")
