# SPDX-License-Identifier: PostgreSQL
"""Streams as networks deliver them: in pieces of any size, or much of it at once; and what comes at a
moment when nobody asked."""
import contextlib
import random
import select
import socket
import ssl
import time

import rawpg
import test_differential
from lib import check, equal, limit, needs, quick, until
from rawpg import (FLUSH, SYNC, TERMINATE, Raw, ask, ask_sql, bind, close, describe, error_fields, execute, first_error,
                   logged_in, parse, query, values)
from test_listen import settle
from test_lost import Wire
from test_pins import Pinned
from test_tls import RecordSocket, tls_options
from test_topology import WHO

SESSION = {"databases": ["whole = cluster=main dbname=app pool_mode=session"]}
GATHER_S = 0.05


class Chopped(Wire):
    """A relay that cuts what it carries anew: into small pieces, or into what came within a moment."""

    def __init__(self, port, gathers, seed):
        self.gathers, self.rng = gathers, random.Random(seed)
        super().__init__(port)

    def pump(self, source, sink, is_answer):
        rng = random.Random(self.rng.random())
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.gathers:
                    sink.sendall(self.gather(source, data))
                while data and not self.gathers:
                    size = rng.choice((1, 2, 3, 4, 5, 6, 9, 17, 40))
                    sink.sendall(data[:size])
                    data = data[size:]
                    time.sleep(0.00005)    # or the reader would see the pieces as one
            sink.shutdown(socket.SHUT_WR)

    def gather(self, source, data):
        end = time.monotonic() + GATHER_S
        while (left := end - time.monotonic()) > 0:
            if select.select([source], [], [], left)[0]:
                more = source.recv(1 << 20)
                if not more:
                    break
                data += more
        return data


@limit(240)
def test_random_conversations_cut_anew(start, tier, sub):
    """Those of test_differential, with the bytes of both sides cut in other places."""
    for label, gathers in (("in pieces", False), ("gathered", True)):
        with sub(f"stream::random conversations {label}"):
            back = Chopped(tier.primary_port(), gathers, 1)
            weir = start({**test_differential.OPTIONS, "db.cluster": "chopped",
                          "clusters": [f"chopped = hosts=127.0.0.1:{back.port} {WHO}"]})
            front = Chopped(weir.port, gathers, 2)
            try:
                equal(test_differential.run_seeds(front, tier, [*range(1, 9), *range(53, 57)], 10), [])
            finally:
                front.close()
                back.close()


# ---- what comes along with an error ----

@quick
def test_what_was_sent_behind_a_statement_that_is_looked_at(start):
    """A Bind whose statement pgweir looks at first, behind a message that fails, and all of it at once."""
    weir = start({"default_pool_size": 1, "max_prepared_statements": 1, "workers": 1})
    with logged_in(weir) as raw:
        for label, sent in {
                "a query in its place": (execute("none"), bind("p", "told", [1]), query("SELECT 'skipped'")),
                "behind a query": (execute("none"), query("SELECT 'skipped'"), bind("p", "told", [1])),
                "behind a flush": (execute("none"), FLUSH, bind("p", "told", [1]), query("SELECT 'skipped'"))}.items():
            ask(raw, close("S", "told"), parse("told", "SELECT $1::int"), describe("S", "told"))
            for other in "ab":    # the server forgets the first
                ask(raw, close("S", other), parse(other, f"SELECT '{other}'"), bind("", other), execute())
            raw.send(*sent, SYNC, query("SELECT 'next'"))
            got = raw.read_until("Z")
            equal((first_error(got), values(got)), ("34000", []), label)
            equal(values(raw.read_until("Z")), [["next"]], label)


# ---- Terminate and the end of the connection right behind a request ----

def batch(sql):
    return parse("", sql) + bind("", "") + execute() + SYNC


def read_to_end(raw):
    kinds = ""
    with contextlib.suppress(rawpg.Closed):
        while True:
            kinds += raw.read()[0]
    return kinds


@quick
def test_terminate_behind_requests(weir, sub):
    """PostgreSQL answers what came before it."""
    for label, sent, want in (
            ("a query", query("SELECT 1"), "TDCZ"),
            ("queries", query("SELECT pg_sleep(0.1)") + query("SELECT 2"), "TDCZTDCZ"),
            ("a pipeline", batch("SELECT 1") + batch("SELECT 2"), "12DCZ12DCZ"),
            ("a batch without an end", batch("SELECT 1") + parse("", "SELECT 1") + bind("", "") + execute(), "12DCZ")):
        with sub(f"stream::terminate behind {label}"), logged_in(weir) as raw:
            raw.send(sent, TERMINATE)
            equal(read_to_end(raw)[:len(want)], want)


@contextlib.contextmanager
def farewells(tier):
    """A table of what was sent, and a wait for it."""
    with tier.connect() as node:
        node.execute("DROP TABLE IF EXISTS it_farewell")
        node.execute("CREATE TABLE it_farewell(a text)")
        yield lambda name: until("the row", 10, lambda: node.execute(
            "SELECT 1 FROM it_farewell WHERE a = %s", (name,)).fetchone())
        node.execute("DROP TABLE it_farewell")


@quick
def test_who_sends_and_leaves(weir, tier, sub):
    """What was sent along with the farewell is run."""
    with farewells(tier) as wait_run:
        for label, make in (("query", query), ("batch", batch)):
            for how, farewell in (("terminate", TERMINATE), ("close", b"")):
                name = f"{label}, {how}"
                with sub(f"stream::{name}"):
                    with logged_in(weir) as raw:
                        raw.rows("SELECT txid_current()")    # a connection to the primary is there
                        raw.send(make(f"INSERT INTO it_farewell VALUES ('{name}')"), farewell)
                    wait_run(name)


@quick
@needs("openssl")
def test_who_leaves_in_the_same_record(start, tier, folder):
    """TLS: the end of the connection is read along with the request."""
    weir = start(tls_options(folder, start.__self__))
    with farewells(tier) as wait_run, Raw(weir.port) as raw:
        raw.sock = RecordSocket(raw.sock)
        equal(raw.log_in(), None)
        raw.rows("SELECT txid_current()")
        tls = raw.sock.tls
        tls.write(query("INSERT INTO it_farewell VALUES ('sealed')"))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        raw.sock.sock.sendall(raw.sock.outgoing.read())
        raw.sock.close()
        wait_run("sealed")


# ---- at a moment when nobody asked ----

def idle_end(raw):
    """What an idle session is told at its end."""
    kind, body = raw.read()
    said = error_fields(body)
    equal((kind, raw.is_closed()), ("E", True))
    return said["S"], said["C"], said["M"]


@quick
def test_an_idle_session_hears_why_it_ends(start, tier, sub):
    """Who keeps its server hears PostgreSQL's own words."""
    weir = start(SESSION)
    timeout = ("FATAL", "57P05", "terminating connection due to idle-session timeout")
    ended = ("FATAL", "57P01", "terminating connection due to administrator command")
    for label, dbname, first in (("in session mode", "whole", "SELECT 1"),
                                 ("pinned", "app", "CREATE TEMP TABLE pinning(a int)")):
        with sub(f"stream::idle_session_timeout {label}"), logged_in(weir, dbname=dbname) as raw:
            raw.rows(first)
            raw.rows("SET idle_session_timeout = '200ms'")
            equal(idle_end(raw), timeout)
        with sub(f"stream::a server ended {label}"), logged_in(weir, dbname=dbname) as raw, \
                tier.connect(user="postgres") as node:
            raw.rows(first)
            (pid,), = raw.rows("SELECT pg_backend_pid()")
            node.execute("SELECT pg_terminate_backend(%s)", (int(pid),))
            equal(idle_end(raw), ended)


@quick
def test_session_mode_keeps_what_code_did(start, tier):
    """A read isn't repeated on another server where functions may have left something on this one."""
    weir = start(SESSION)
    settle(weir)
    with logged_in(weir, dbname="whole") as raw:
        raw.rows("DO $$ BEGIN EXECUTE 'SE' || 'T wo' || 'rk_mem = 4321'; END $$")
        equal(raw.rows("SHOW work_mem"), [["4321kB"]])
        raw.send(query("SELECT 4713 FROM pg_sleep(30)"))
        tier.wait_running("4713")
        with tier.connect(user="postgres") as node:
            node.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%4713 FROM%' "
                         "AND pid <> pg_backend_pid()")
        equal(error_fields(raw.read_until("E")[-1][1])["C"], "57P01")
        equal(raw.is_closed(), True)


@contextlib.contextmanager
def reloaded(tier, setting, value):
    """PostgreSQL has this in its configuration meanwhile."""
    with tier.connect(user="postgres") as node:
        node.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        try:
            node.execute("SELECT pg_reload_conf()")
            yield node
        finally:
            node.execute(f"ALTER SYSTEM RESET {setting}")
            node.execute("SELECT pg_reload_conf()")


@quick
def test_a_configuration_read_again_pins_nobody(start, tier, sub):
    """Its values are reported with the next answer, as those are that a function sets."""
    weir = start({"default_pool_size": 1, "workers": 1})
    settle(weir)

    def is_tokyo():
        return c.run("SHOW timezone").fetchone() == ("Asia/Tokyo",)
    with Pinned(weir) as c, Pinned(weir) as other:
        c.run("SELECT 1")
        with reloaded(tier, "timezone", "Asia/Tokyo"):
            with sub("stream::the new value is told, and pins nobody"):
                until("the new value", 10, is_tokyo)
                equal(c.conn.info.parameter_status("TimeZone"), "Asia/Tokyo")
                equal(c.why(), "")
                equal(other.run("SHOW timezone").fetchone(), ("Asia/Tokyo",))
        until("the old value", 10, lambda: not is_tokyo())
        with sub("stream::a function's own setting still pins"):
            c.run("DO $$ BEGIN EXECUTE 'SE' || 'T time' || 'zone = ''Asia/Tokyo'''; END $$")
            c.is_pinned("session state")


def zone(client):
    """What the session has, and what its client was told of that."""
    return client.run("SHOW timezone").fetchone()[0], client.conn.info.parameter_status("TimeZone")


@quick
def test_a_configuration_read_again_is_told_to_all(start, tier, sub):
    """Whoever shares the server, and if pgweir's own query was the first to hear."""
    for name, options in (("clients", {}), ("checks", {"server_check_delay": 0})):
        weir = start({"default_pool_size": 1, "workers": 1, "split": "off", **options})
        paris = "-c timezone=Europe/Paris"
        with Pinned(weir) as c, Pinned(weir) as other, Pinned(weir, options=paris) as own:
            before = zone(c)
            equal(zone(other), before)
            equal(zone(own), ("Europe/Paris", "Europe/Paris"))
            with reloaded(tier, "timezone", "Asia/Tokyo"), sub(f"stream::told to all, {name}"):
                until("the new value", 10, lambda: zone(c)[0] == "Asia/Tokyo")
                equal(zone(c), ("Asia/Tokyo", "Asia/Tokyo"))
                equal(zone(other), ("Asia/Tokyo", "Asia/Tokyo"))
                equal(zone(own), ("Europe/Paris", "Europe/Paris"))
                with weir.connect() as late:
                    equal(late.info.parameter_status("TimeZone"), "Asia/Tokyo")
            with sub(f"stream::told to all in a transaction, {name}"):
                with c.conn.transaction():
                    until("the old value", 10, lambda: zone(c)[0] == before[0])
                equal(zone(c), before)
                equal(zone(other), before)
                equal(zone(own), ("Europe/Paris", "Europe/Paris"))
        weir.stop()


@quick
def test_a_newer_servers_defaults_are_told(start, tier):
    """ALTER ROLE is for new connections; what one of them has is what its client is told."""
    weir = start({"default_pool_size": 1, "workers": 1, "split": "off"})
    with Pinned(weir) as c, tier.connect(user="postgres") as node:
        before = zone(c)
        node.execute("ALTER ROLE app IN DATABASE app SET timezone = 'Asia/Tokyo'")
        try:
            equal(zone(c), before)
            with weir.console() as console:
                console.execute("RECONNECT")
            until("the newer server", 10, lambda: zone(c)[0] == "Asia/Tokyo")
            equal(zone(c), ("Asia/Tokyo", "Asia/Tokyo"))
            c.run("SET timezone = 'Europe/Paris'")
            equal(zone(c), ("Europe/Paris", "Europe/Paris"))
            c.run("RESET timezone")
            equal(zone(c), ("Asia/Tokyo", "Asia/Tokyo"))
        finally:
            node.execute("ALTER ROLE app IN DATABASE app RESET timezone")


def ended_by(tier, role, setting):
    """A role of the test whose sessions PostgreSQL ends after so short an idle time."""
    with tier.connect(user="postgres") as node:
        node.execute(f"DROP ROLE IF EXISTS {role}")
        node.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}' IN ROLE pg_read_all_data")
        node.execute(f"ALTER ROLE {role} SET {setting} = '200ms'")


def ends(weir, sqlstate):
    return [x for x in weir.log_lines() if "server_lost" in x and f"sqlstate={sqlstate}" in x]


@quick
def test_session_timeouts_cast_no_doubt_on_a_node(start, tier, sub):
    """PostgreSQL ends a session that was idle for too long (25P03, 57P05): the node is well, reads still go there."""
    ports = tier.primary_port(), tier.replica_ports()[0]
    for setting, sqlstate in (("idle_in_transaction_session_timeout", "25P03"), ("idle_session_timeout", "57P05")):
        ended_by(tier, "sleepy", setting)
        weir = start({"clusters": [f"two = hosts=127.0.0.1:{ports[0]},127.0.0.1:{ports[1]} {WHO}"],
                      "databases": ["two = cluster=two dbname=app user=sleepy password=sleepy"],
                      "replica_eject_time": 600, "replica_eject_max": 600, "consistency": "eventual", "workers": 1})
        for begin, of in (("BEGIN READ ONLY", "a replica's"), ("BEGIN", "the primary's")):
            with sub(f"stream::{of} {setting}"), logged_in(weir, dbname="two") as raw:
                until("the role to be everywhere", 20,
                      lambda: first_error(ask_sql(raw, "SELECT 1")) is None and weir.stat("routed_replica", "two"))
                if sqlstate == "25P03":
                    raw.rows(begin)
                seen = len(ends(weir, sqlstate))
                raw.rows("SELECT 1" if "READ" in begin else "SELECT txid_current()")
                until("its end", 20, lambda n=seen: len(ends(weir, sqlstate)) > n)
                if sqlstate == "25P03":
                    check(first_error(ask_sql(raw, "ROLLBACK")) in (None, "25P03"), "the transaction is over")
                for _ in range(5):
                    before = weir.stat("routed_replica", "two")
                    equal(values(ask_sql(raw, "SELECT 1")), [["1"]])
                    equal(weir.stat("routed_replica", "two"), before + 1)
                equal(len(values(ask_sql(raw, "SELECT txid_current()"))), 1)
                equal([x for x in weir.log_lines() if "node_down" in x or "primary_lost" in x], [])
    with tier.connect(user="postgres") as node:
        node.execute("DROP ROLE sleepy")
