# SPDX-License-Identifier: PostgreSQL
"""SIGTERM with clients of every kind: who leaves at once, who is served on, and what the bound ends."""
import contextlib
import os
import signal
import socket

from lib import check, equal, limit, quick, until
from rawpg import SYNC, Closed, bind, error_fields, execute, logged_in, parse, query, row_values

XID = "SELECT txid_current()"
OPTIONS_ = {"split": "off", "workers": 2, "drain_timeout": 600}


def farewell(raw):
    """The SQLSTATE that the session ends with, nothing but that before; its end itself."""
    kind, body = raw.read()
    equal(kind, "E")
    check(raw.is_closed(), "it stays open")
    return error_fields(body)["C"]


def answer(raw, *parts):
    raw.send(*parts)
    return rows_of(raw.read_until("Z"))


def rows_of(messages):
    errors = [error_fields(body)["M"] for kind, body in messages if kind == "E"]
    equal(errors, [])
    return [row_values(body) for kind, body in messages if kind == "D"]


def terminate(weir):
    weir.proc.send_signal(signal.SIGTERM)
    until("it to drain", 20, lambda: any(" draining " in li for li in weir.log_lines()))


def is_refused(weir):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", weir.port)) != 0


def ended(weir):
    until("the end", 20, lambda: not weir.is_alive())
    equal(weir.problem(), None)


@quick
def test_at_the_transactions_end(start, sub):
    weir = start(OPTIONS_)
    idle, busy, begun, failed, implicit = (logged_in(weir) for _ in range(5))
    answer(busy, query("BEGIN"))
    answer(busy, query(XID))
    answer(begun, query("BEGIN"))    # nothing was sent to a server yet
    answer(failed, query("BEGIN"))
    failed.send(query("SELECT 1/0"))
    failed.read_until("Z")
    implicit.send(parse("", XID), bind("", ""), execute())    # a batch whose Sync is still to come
    terminate(weir)
    with sub("drain::an idle client hears it at once"):
        equal(farewell(idle), "57P01")
    with sub("drain::nobody new"):
        check(is_refused(weir), "it listens")
    with sub("drain::idle in transaction goes on to COMMIT"):
        for _ in range(3):
            equal(len(answer(busy, query(XID))), 1)
        answer(busy, query("COMMIT"))
        equal(farewell(busy), "57P01")
    with sub("drain::a BEGIN alone is a transaction"):
        equal(len(answer(begun, query(XID))), 1)
        answer(begun, query("COMMIT"))
        equal(farewell(begun), "57P01")
    with sub("drain::a failed transaction goes on to ROLLBACK"):
        answer(failed, query("ROLLBACK"))
        equal(farewell(failed), "57P01")
    with sub("drain::a batch is answered whole"):
        equal(len(answer(implicit, SYNC)), 1)
        equal(farewell(implicit), "57P01")
    with sub("drain::it ends with the last of them"):
        ended(weir)


@quick
def test_who_waits_is_served(start, sub):
    """What was asked for before the signal is answered, by the one server that others hold."""
    weir = start({**OPTIONS_, "default_pool_size": 1, "workers": 1})
    holder, *waiters = (logged_in(weir) for _ in range(4))
    answer(holder, query("BEGIN"))
    answer(holder, query(XID))
    for raw in waiters:
        raw.send(query(XID))
    until("three to wait", 10, lambda: sum(r["cl_waiting"] for r in weir.show("POOLS")) == 3)
    terminate(weir)
    with sub("drain::the holder ends its transaction"):
        answer(holder, query("COMMIT"))
        equal(farewell(holder), "57P01")
    with sub("drain::those who wait get their answers"):
        for raw in waiters:
            equal(len(rows_of(raw.read_until("Z"))), 1)
            equal(farewell(raw), "57P01")
    with sub("drain::it ends with the last of those"):
        ended(weir)


@quick
def test_pinned_sessions(start, sub):
    """They are served until they leave, or until what pins them is gone."""
    weir = start({**OPTIONS_, "databases": ["whole = cluster=main dbname=app pool_mode=session"]})
    temp, lock, session = logged_in(weir), logged_in(weir), logged_in(weir, dbname="whole")
    answer(temp, query("CREATE TEMP TABLE kept AS SELECT 5 AS k"))
    answer(lock, query("SELECT pg_advisory_lock(4711)"))
    answer(session, query("SET work_mem = '5MB'"))
    terminate(weir)
    with sub("drain::a temporary table keeps its session"):
        for _ in range(2):
            equal(answer(temp, query("SELECT k FROM kept")), [["5"]])
    with sub("drain::a session lock that is given back keeps it no longer"):
        answer(lock, query("SELECT pg_advisory_unlock(4711)"))
        equal(farewell(lock), "57P01")
    with sub("drain::session mode keeps its session"):
        equal(answer(session, query("SHOW work_mem")), [["5MB"]])
    with sub("drain::it ends when they leave"):
        check(weir.is_alive(), "it ended before")
        for raw in (temp, session):
            raw.sock.close()
        ended(weir)


@quick
@limit(90)
def test_the_bound(start, sub):
    """drain_timeout ends what doesn't end: in a transaction, busy, waiting, pinned, half a message."""
    weir = start({**OPTIONS_, "drain_timeout": 1, "default_pool_size": 3, "workers": 1})
    txn, busy, pinned, waiter, half = (logged_in(weir) for _ in range(5))
    answer(txn, query("BEGIN"))
    answer(txn, query(XID))
    answer(pinned, query("CREATE TEMP TABLE kept(k int)"))
    busy.send(query("SELECT pg_sleep(60)"))
    until("it to run", 10, lambda: sum(r["sv_active"] for r in weir.show("POOLS")) == 3)
    waiter.send(query(XID))
    half.send(query("SELECT 1")[:7])
    terminate(weir)
    with sub("drain::the process ends within its bound"):
        ended(weir)
        check(any("drained clients_left=" in li for li in weir.log_lines()), weir.log_tail())
    for name, raw in (("in transaction", txn), ("busy", busy), ("pinned", pinned), ("waiting", waiter),
                      ("half a message", half)):
        with sub(f"drain::{name}, at the bound"):
            with contextlib.suppress(Closed):
                kind, body = raw.read()
                equal((kind, error_fields(body)["C"]), ("E", "57P01"))
            check(raw.is_closed(), "stays open")


@quick
def test_no_server_is_left(start, tier):
    """What a drained pgweir had open is gone, also what was cut inside a transaction."""
    name = f"drained_{os.getpid()}"
    weir = start({**OPTIONS_, "drain_timeout": 1, "db.application_name": name})
    txn = logged_in(weir)
    answer(txn, query("BEGIN"))
    answer(txn, query(XID))
    with tier.connect(user="postgres") as admin:
        def count():
            return admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
                                 (name,)).fetchone()[0]
        check(count() > 0, "nothing was open")
        terminate(weir)
        ended(weir)
        until("its connections to go", 10, lambda: count() == 0)
