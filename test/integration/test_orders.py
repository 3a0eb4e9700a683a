# SPDX-License-Identifier: PostgreSQL
"""An operator's orders in random order under load, and single races of them. ORDERS_SEEDS=5,6,7 and
ORDERS_STEPS=400 ask for more of the former."""
import os
import signal
import socket

import orders
from lib import check, equal, limit, quick, until
from rawpg import ask_sql, first_error, logged_in, query, values

SEEDS = os.environ.get("ORDERS_SEEDS", "1").split(",")
STEPS = int(os.environ.get("ORDERS_STEPS", "30"))


@quick
@limit(120)
def test_in_random_order(start, tier, sub):
    for seed in SEEDS:
        with sub(f"orders::in random order, seed {seed}"):
            random_orders(start, tier, seed)


def random_orders(start, tier, seed):
    weir = start({**orders.BASE, "databases": list(orders.lines(tier.primary_port()).values())})
    operator, crowd = orders.Operator(weir, tier, seed), orders.Crowd(weir, seed)
    for name in orders.DATABASES:
        weir.connect(dbname=name).close()
    before = orders.descriptors(weir)
    crowd.start()
    try:
        operator.work(STEPS)
        operator.restore()
        crowd.join()
        operator.join()
        equal(crowd.wrong, [])
        orders.settle(weir)
        with weir.console() as console:
            console.execute("RECONNECT")
            console.execute("WAIT_CLOSE")
        until("its descriptors to be as few as before", 20, lambda: orders.descriptors(weir) <= before)
        for name in orders.DATABASES:
            with weir.connect(dbname=name) as conn:
                equal(conn.execute("SELECT 1").fetchone(), (1,))
        check(crowd.done > 100, f"{crowd.done} requests")
    except Exception:
        print("\n".join("# " + line for line in operator.said[-60:]), "\n#", crowd.ends, flush=True)
        raise


# --- single races -----------------------------------------------------------------------------------------

XID = "SELECT txid_current()"
ONE = {"workers": 1, "split": "off", "default_pool_size": 1}


def held(weir, **kw):
    """A session whose transaction has a server."""
    raw = logged_in(weir, **kw)
    ask_sql(raw, "BEGIN")
    equal(first_error(ask_sql(raw, XID)), None)
    return raw


def waiting(weir, sql=XID, **kw):
    raw = logged_in(weir, **kw)
    raw.send(query(sql))
    weir.wait_waiting(1)
    return raw


@quick
def test_more_room_is_used_at_once(start, sub):
    """By those who wait already; without a reserve nothing else would open a connection for them."""
    base = {**ONE, "reserve_pool_timeout": 0}
    for name, order in (("default_pool_size", "SET default_pool_size = 2"),
                        ("max_db_connections", "SET max_db_connections = 0"),
                        ("max_user_connections", "SET max_user_connections = 2")):
        options = base if name == "default_pool_size" else {**base, name: 1, "default_pool_size": 5}
        with sub(f"orders::{order} while a client waits"):
            weir = start(options)
            with held(weir), waiting(weir) as waiter, weir.console() as console:
                console.execute(order)
                equal(len(values(waiter.read_until("Z"))), 1)


@quick
def test_who_waits_goes_where_the_entry_points_now(start, tier, sub):
    line = "moved = host=127.0.0.1 port={} dbname=app server_lifetime=3600"
    old, new = tier.replica_ports()[0], tier.primary_port()
    where = "SELECT inet_server_port()"
    weir = start({**ONE, "databases": [line.format(old)]})
    with sub("orders::RELOAD with another host while a client waits"):
        holder = logged_in(weir, dbname="moved")
        ask_sql(holder, "BEGIN")
        equal(values(ask_sql(holder, where)), [[str(old)]])
        with holder, waiting(weir, where, dbname="moved") as waiter, weir.console() as console:
            weir.write_ini({**ONE, "databases": [line.format(new)]})
            console.execute("RELOAD")
            ask_sql(holder, "COMMIT")
            equal(values(waiter.read_until("Z")), [[str(new)]])
    with sub("orders::RELOAD away from a host that doesn't answer"), socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        options = {**ONE, "server_connect_timeout": 600, "failover_wait_timeout": 600}
        weir.write_ini({**options, "databases": [line.format(deaf.getsockname()[1])]})
        with weir.console() as console, logged_in(weir, dbname="moved") as raw:
            console.execute("RELOAD")
            raw.send(query(where))
            weir.wait_waiting(1)
            weir.write_ini({**options, "databases": [line.format(new)]})
            console.execute("RELOAD")
            equal(values(raw.read_until("Z")), [[str(new)]])


@quick
def test_a_session_stays_whole_when_its_mode_changes(start, sub):
    weir = start({**ONE, "default_pool_size": 2, "pool_mode": "session"})
    with logged_in(weir) as raw, logged_in(weir) as other, weir.console() as console:
        ask_sql(raw, "CREATE TEMP TABLE mine AS SELECT 5 AS k")
        ask_sql(raw, "SELECT pg_advisory_lock(4711)")
        ask_sql(raw, "SELECT set_config('orders.mine', '7', false)")
        console.execute("SET pool_mode = transaction")
        with sub("orders::from session to transaction: what is the session's"):
            for _ in range(3):
                equal(values(ask_sql(raw, "SELECT k, current_setting('orders.mine') FROM mine")), [["5", "7"]])
                equal(values(ask_sql(other, "SELECT to_regclass('pg_temp.mine')")), [[None]])
        with sub("orders::from session to transaction: its lock"):
            equal(values(ask_sql(other, "SELECT pg_try_advisory_lock(4711)")), [["f"]])
            raw.sock.close()
            until("the lock to be free", 10, lambda: values(ask_sql(
                other, "SELECT pg_try_advisory_lock(4711)")) == [["t"]])


@quick
def test_an_entry_that_comes_back_is_open(start, sub):
    """It is a new one, whatever was ordered for the old one."""
    line = "second = cluster=main dbname=app"
    for order in ("PAUSE second", "DISABLE second"):
        with sub(f"orders::{order}, the entry goes and comes back"):
            weir = start({**ONE, "databases": [line]})
            with weir.console() as console:
                console.execute(order)
                for databases in ([], [line]):
                    weir.write_ini({**ONE, "databases": databases})
                    console.execute("RELOAD")
                row, = [r for r in weir.show("DATABASES") if r["name"] == "second"]
                equal((int(row["paused"]), int(row["disabled"])), (0, 0))
                with logged_in(weir, dbname="second") as raw:
                    equal(values(ask_sql(raw, "SELECT 1")), [["1"]])


@quick
def test_shutdown_while_paused(start, sub):
    """Who waits for RESUME can't be served any more: the stop doesn't wait for it."""
    for order in ("SHUTDOWN WAIT_FOR_SERVERS", "SIGTERM"):
        with sub(f"orders::{order} while a client waits in a pause"):
            weir = start({**ONE, "drain_timeout": 600})
            with logged_in(weir) as raw, weir.console() as console:
                console.execute("PAUSE")
                raw.send(query(XID))
                weir.wait_waiting(1)
                if order == "SIGTERM":
                    weir.proc.send_signal(signal.SIGTERM)
                else:
                    console.execute(order)
                equal(first_error([raw.read()]), "57P01")
                until("the end", 20, lambda: not weir.is_alive())
                equal(weir.problem(), None)
