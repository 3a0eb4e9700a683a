# SPDX-License-Identifier: PostgreSQL
"""LISTEN in transaction mode: nobody is pinned, and every notification comes, in order."""
import os
import signal
import time

import psycopg

from lib import Skip, check, equal, limit, patient, quick, until
from rawpg import (SYNC, Raw, ask_sql, bind, describe, error_fields, execute, first_error, logged_in, parse,
                   query)

OPTIONS = {"default_pool_size": 2}


class Listener:
    """A session by hand: what it was told, as (channel, payload)."""

    def __init__(self, weir, **params):
        self.raw = Raw(weir.port, 20)
        equal(self.raw.log_in(**params), None)
        self.heard, self.pids = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.sock.close()

    def note(self, kind, body):
        if kind == "A":
            self.pids.append(int.from_bytes(body[:4], "big"))
            self.heard.append(tuple(t.decode() for t in body[4:].split(b"\0")[:2]))

    def run(self, *parts):
        """Send, read up to ReadyForQuery: the SQLSTATE of an error, the tags, the status."""
        self.raw.send(*parts)
        error, tags = None, []
        while True:
            kind, body = self.raw.read()
            self.note(kind, body)
            if kind == "E":
                error = error_fields(body)["C"]
            if kind == "C":
                tags.append(body[:-1].decode())
            if kind == "Z":
                return error, tags, body.decode()

    def sql(self, text):
        return self.run(query(text))

    def hear(self, count, seconds=15):
        """Without asking anything: the first `count` notifications so far."""
        deadline = time.monotonic() + patient(seconds)
        while len(self.heard) < count and time.monotonic() < deadline:
            try:
                self.note(*self.raw.read())
            except TimeoutError:
                break
        return self.heard[:count]



def pinned(weir, name):
    return [r["pinned"] for r in weir.show("CLIENTS") if r["application_name"] == name]


def settle(weir):
    """LISTEN is pgweir's own once the catalog was read; until then it pins."""
    if weir.is_pgweir:
        until("the catalog", 20, lambda: any("catalog_read" in line for line in weir.log_lines()))


@quick
def test_listeners_share_servers(weir, tier):
    settle(weir)
    listeners = [Listener(weir, application_name=f"listener{i}") for i in range(8)]
    sender = Listener(weir)
    for i, one in enumerate(listeners):
        equal(one.sql("LISTEN it_all"), (None, ["LISTEN"], "I"))
        equal(one.sql(f"LISTEN it_{i % 2}; LISTEN \"It Odd\""), (None, ["LISTEN"] * 2, "I"))
        equal(one.sql("SELECT 1")[0], None)
    if weir.is_pgweir:
        equal({p for i in range(8) for p in pinned(weir, f"listener{i}")}, {""})
    for k in range(20):
        sender.sql(f"NOTIFY it_all, '{k}'")
    with tier.connect() as outside:
        outside.execute("SELECT pg_notify('it_1', 'past pgweir')")
    sender.sql("SELECT pg_notify('It Odd', 'last')")
    for i, one in enumerate(listeners):
        want = [("it_all", str(k)) for k in range(20)]
        want += [("it_1", "past pgweir")] * (i % 2) + [("It Odd", "last")]
        equal(one.hear(len(want)), want, f"listener {i}")
        one.raw.sock.close()
    sender.raw.sock.close()


@quick
def test_nothing_is_heard_inside_an_aborted_transaction(start):
    """It never had a server; its end brings what was notified meanwhile, before the ReadyForQuery."""
    weir = start({"pin_temp_table": "refuse"})
    with logged_in(weir, application_name="aborted") as raw, logged_in(weir) as other:
        settle(weir)
        ask_sql(raw, "LISTEN it_aborted")
        equal(pinned(weir, "aborted"), [""])
        ask_sql(raw, "BEGIN")
        equal(first_error(ask_sql(raw, "CREATE TEMPORARY TABLE it_refused (a int)")), "0A000")
        ask_sql(other, "NOTIFY it_aborted, 'meanwhile'")
        for _ in range(3):
            told = ask_sql(raw, "SELECT 1")
            equal(([k for k, _ in told], first_error(told)), (["E", "Z"], "25P02"))
        told = ask_sql(raw, "COMMIT")
        equal([k for k, _ in told], ["C", "A", "Z"])
        equal(told[0][1], b"ROLLBACK\0")
        equal(told[1][1][4:], b"it_aborted\0meanwhile\0")


@quick
def test_listen_in_a_transaction(weir):
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        a.sql("BEGIN")
        equal(a.sql("LISTEN it_txn"), (None, ["LISTEN"], "T"))
        a.sql("SELECT 1")
        b.sql("NOTIFY it_txn, 'too early'")
        time.sleep(0.3)
        a.sql("COMMIT")
        b.sql("NOTIFY it_txn, 'heard'")
        equal(a.hear(1), [("it_txn", "heard")])
        for end in ("ROLLBACK", "COMMIT"):
            a.sql("BEGIN")
            a.sql("SAVEPOINT s")
            a.sql("LISTEN it_other")
            a.sql("ROLLBACK TO s")
            a.sql("UNLISTEN it_txn")
            a.sql("SAVEPOINT t")
            a.sql("LISTEN it_third")
            a.sql("RELEASE t")
            a.sql(end)
            for channel in ("it_other", "it_txn", "it_third"):
                b.sql(f"NOTIFY {channel}, '{end}'")
            want = [("it_txn", "ROLLBACK")] if end == "ROLLBACK" else [("it_third", "COMMIT")]
            equal(a.hear(2 if end == "ROLLBACK" else 3)[-1:], want)
        a.sql("BEGIN")
        a.sql("LISTEN it_last")
        equal(a.sql("SELECT 1/0")[0], "22012")
        equal(a.sql("LISTEN it_last")[0], "25P02")
        a.sql("COMMIT")
        b.sql("NOTIFY it_last, 'no'; NOTIFY it_third, 'yes'")
        equal(a.hear(4)[-1:], [("it_third", "yes")])


@quick
def test_heard_while_others_come_and_go(weir):
    """A notification that meets a change of what is listened to comes without waiting for another."""
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        a.sql("LISTEN it_stays")
        for k in range(200):
            a.sql("LISTEN it_goes; UNLISTEN it_goes" if k % 2 else "LISTEN it_goes")
            a.sql("UNLISTEN it_goes")
            b.sql(f"NOTIFY it_stays, '{k}'")
            equal(a.hear(k + 1)[k:], [("it_stays", str(k))])


@quick
def test_a_transaction_hears_at_its_end(weir):
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        a.sql("LISTEN it_busy")
        a.sql("BEGIN")
        a.sql("SELECT 1")
        for i in range(5):
            b.sql(f"NOTIFY it_busy, '{i}'")
        time.sleep(0.5)
        a.sql("SELECT 2")
        equal(a.heard, [])
        a.sql("COMMIT")
        equal(a.hear(5), [("it_busy", str(i)) for i in range(5)])


@quick
def test_ways_to_stop(weir):
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        count = 0
        for stop in ("UNLISTEN it_stop", "UNLISTEN *", "DISCARD ALL"):
            a.sql("LISTEN it_stop")
            b.sql("NOTIFY it_stop, 'one'")
            count += 1
            equal(a.hear(count)[-1:], [("it_stop", "one")])
            equal(a.sql(stop)[0], None)
            a.sql("LISTEN it_mark")
            b.sql("NOTIFY it_stop, 'two'")
            b.sql("NOTIFY it_mark, 'behind it'")
            count += 1
            equal(a.hear(count)[-1:], [("it_mark", "behind it")], stop)
            a.sql("UNLISTEN *")
        equal(a.sql("UNLISTEN it_never"), (None, ["UNLISTEN"], "I"))


@quick
def test_own_notifications_and_pids(weir):
    settle(weir)
    with psycopg.connect(weir.url(), autocommit=True) as conn:
        conn.execute("LISTEN it_own")
        heard = []
        conn.add_notify_handler(lambda n: heard.append((n.channel, n.payload, n.pid)))
        time.sleep(0.3)
        for i in range(3):
            conn.execute(f"NOTIFY it_own, '{i}'")

        def all_heard():
            conn.execute("SELECT 1")
            return len(heard) == 3
        until("three notifications", 10, all_heard)
        equal(heard, [("it_own", str(i), conn.info.backend_pid) for i in range(3)])
        with Listener(weir) as b:
            b.sql("NOTIFY it_own, 'foreign'")
            until("a fourth", 10, lambda: conn.execute("SELECT 1") and len(heard) == 4)
            check(heard[3][2] != conn.info.backend_pid, "another's pid")


@quick
def test_own_notifications_come_before_the_answer_ends(weir):
    """As from PostgreSQL, which tells a session of its own ones before ReadyForQuery."""
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        a.sql("LISTEN it_self")
        b.sql("LISTEN it_self")
        told = int.from_bytes(a.raw.key[:4], "big")
        want = []
        for i in range(30):
            ways = [[[query(f"NOTIFY it_self, '{i}'")]],
                    [[query(f"SELECT pg_notify('it_self', '{i}')")]],
                    [[query(f"DO $$BEGIN PERFORM pg_notify('it_self', '{i}'); END$$")]],
                    [[query("BEGIN")], [query(f"NOTIFY it_self, '{i}'")], [query("COMMIT")]],
                    [[query(f"SELECT 1; NOTIFY it_self, '{i}'; SELECT 2")]],
                    [[parse("", f"NOTIFY it_self, '{i}'"), bind("", ""), execute(), SYNC]]]
            for one in ways[i % 6]:
                equal(a.run(*one)[0], None)
            want.append(("it_self", str(i)))
            equal(a.heard, want)
        equal(set(a.pids), {told})
        a.sql("BEGIN")
        a.sql("LISTEN it_same")
        a.sql("NOTIFY it_same, 'in one transaction'")
        equal(a.heard, want)
        a.sql("COMMIT")
        want.append(("it_same", "in one transaction"))
        equal(a.heard, want)
        a.sql("BEGIN")
        a.sql("NOTIFY it_self, 'never'")
        a.sql("ROLLBACK")
        a.sql("NOTIFY it_nobody")
        equal(a.heard, want)
        equal(b.hear(30), want[:30])


@quick
def test_what_was_notified_before_is_heard_before_the_answer(weir, tier):
    """By another session, whatever the listener asks: a server's answer, a kept one, pgweir's own."""
    ways = {"a query": [query("SELECT 1")], "the same query": [query("SELECT 1")],
            "extended messages": [parse("", "SELECT 1"), bind("", ""), execute(), SYNC],
            "a pipeline": [parse("", "SELECT 1"), bind("", ""), execute(), SYNC, query("SELECT 1")],
            "a setting": [query("SHOW application_name")], "a transaction": [query("BEGIN")],
            "its end": [query("COMMIT")], "an UNLISTEN": [query("UNLISTEN early")]}
    with Listener(weir) as listener, tier.connect() as other:
        for turn in range(10):
            equal(listener.sql("LISTEN early"), (None, ["LISTEN"], "I"))
            for number, (way, messages) in enumerate(ways.items()):
                if way == "its end":    # inside, nothing is heard until then
                    listener.sql("SELECT 1")
                other.execute(f"NOTIFY early, '{turn} {number}'")
                listener.run(*messages)
                equal(listener.heard, [("early", f"{turn} {number}")], way)
                listener.heard.clear()
                if way == "a pipeline":
                    equal(listener.run(), (None, ["SELECT 1"], "I"))


@quick
def test_listen_by_extended_messages(weir):
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        equal(a.run(parse("", "LISTEN it_ext"), bind("", ""), describe("P", ""), execute(), SYNC),
              (None, ["LISTEN"], "I"))
        a.run(parse("l", "LISTEN it_named"), SYNC)
        equal(a.run(bind("", "l"), execute(), SYNC), (None, ["LISTEN"], "I"))
        b.sql("NOTIFY it_ext, '1'")
        b.sql("NOTIFY it_named, '2'")
        equal(a.hear(2), [("it_ext", "1"), ("it_named", "2")])


@quick
def test_listen_among_other_statements(weir):
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        equal(a.sql("SELECT 1; LISTEN it_mixed; SELECT 2")[0], None)
        b.sql("NOTIFY it_mixed, '1'")
        equal(a.hear(1), [("it_mixed", "1")])
        equal(a.sql("LISTEN it_never; SELECT 1/0")[0], "22012")
        equal(a.sql("LISTEN it_mine; NOTIFY it_mine, '2'")[0], None)
        equal(a.heard[1:], [("it_mine", "2")])
        equal(a.sql("BEGIN; LISTEN it_kept; COMMIT; BEGIN; LISTEN it_never; ROLLBACK")[0], None)
        equal(a.run(parse("", "LISTEN it_first"), bind("", ""), execute(),
                    parse("", "SELECT 1"), bind("", ""), execute(), SYNC)[0], None)
        equal(a.sql("UNLISTEN it_mixed; SELECT 3")[0], None)
        for channel in ("it_mixed", "it_never", "it_mine", "it_kept", "it_first"):
            b.sql(f"NOTIFY {channel}, '3'")
        equal(a.hear(5)[2:], [("it_mine", "3"), ("it_kept", "3"), ("it_first", "3")])
        if weir.is_pgweir:
            equal({r["pinned"] for r in weir.show("CLIENTS")}, {""})


@quick
def test_the_channels_are_the_clients(weir):
    settle(weir)
    show = "SELECT c FROM pg_listening_channels() AS c ORDER BY c"
    with psycopg.connect(weir.url(), autocommit=True, prepare_threshold=None) as a, \
            psycopg.connect(weir.url(), autocommit=True) as b:
        def channels(conn):
            return [row[0] for row in conn.execute(show)]
        equal((channels(a), channels(b)), ([], []))
        a.execute("LISTEN it_a; LISTEN \"It \"\"B\"\"\"")
        b.execute("SELECT 1; LISTEN it_c")
        for _ in range(3):
            equal((channels(a), channels(b)), (['It "B"', "it_a"], ["it_c"]))
        a.execute("BEGIN")
        a.execute("LISTEN it_late")
        a.execute("UNLISTEN it_a")
        a.execute("COMMIT")
        equal(channels(a), ['It "B"', "it_late"])
        with a.transaction():
            equal(channels(a), ['It "B"', "it_late"])
        a.execute("DISCARD ALL")
        equal((channels(a), channels(b)), ([], ["it_c"]))


@limit(60)
def test_what_comes_with_the_end_of_an_answer(start, tier):
    """Notifications right behind a ReadyForQuery, many and long: pgweir reads them along with it."""
    weir = start({"databases": ["whole = cluster=main dbname=app pool_mode=session"]})
    payloads = [f"{i} " + "x" * (i % 2 * 7900) for i in range(40)]
    with Listener(weir, dbname="whole") as a, tier.connect(user="postgres") as node:
        a.sql("LISTEN it_behind")
        server, = node.execute("SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN it_behind' "
                               "AND backend_type = 'client backend'").fetchone()

        def is_answered():
            return node.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'idle' "
                                "AND query LIKE %s", (server, "%4711%")).fetchone()
        a.raw.send(query("SELECT pg_sleep(0.5), 4711"))
        tier.wait_running("4711")
        os.kill(weir.proc.pid, signal.SIGSTOP)
        try:
            until("the answer", 10, is_answered)
            for p in payloads:
                node.execute("SELECT pg_notify('it_behind', %s)", (p,))
            time.sleep(0.3)
        finally:
            os.kill(weir.proc.pid, signal.SIGCONT)
        equal(a.run(), (None, ["SELECT 1"], "I"))
        equal(a.hear(len(payloads)), [("it_behind", p) for p in payloads])
        equal(a.sql("SELECT 1"), (None, ["SELECT 1"], "I"))


def test_a_queue_that_is_full(start):
    weir = start({"listen_queue_max": 16384})
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        a.sql("LISTEN it_full")
        a.sql("BEGIN")
        a.sql("SELECT 1")
        for _ in range(5):
            b.sql("SELECT pg_notify('it_full', repeat('x', 5000))")

        def is_ended():
            try:
                kind, body = a.raw.read()
            except Exception:    # noqa: BLE001
                return "closed"
            return error_fields(body)["C"] if kind == "E" else None
        equal(until("the end of the session", 10, is_ended), "53400")
        equal(b.sql("SELECT 1")[0], None)


def test_a_slow_listener_gets_all(weir):
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        a.sql("LISTEN it_many")
        b.sql("SELECT count(pg_notify('it_many', 'n' || i)) FROM generate_series(1, 3000) i")
        equal(a.hear(3000), [("it_many", f"n{i}") for i in range(1, 3001)])


@limit(150)
def test_listening_goes_on_after_a_switchover(weir, tier):
    weir.need_pgweir()
    if len(tier.replica_ports()) < 1:
        raise Skip("one node")
    settle(weir)
    with Listener(weir) as a, Listener(weir) as b:
        a.sql("LISTEN it_moving")
        b.sql("NOTIFY it_moving, 'before'")
        equal(a.hear(1), [("it_moving", "before")])
        tier.command("switchover")

        def hears_again():
            b.sql("NOTIFY it_moving, 'after'")
            a.sql("SELECT 1")
            return ("it_moving", "after") in a.heard
        until("a notification by the new primary", 60, hears_again, 0.5)
        with Listener(weir) as late:
            late.sql("LISTEN it_late")
            b.sql("NOTIFY it_late, 'new channel'")
            equal(late.hear(1), [("it_late", "new channel")])
