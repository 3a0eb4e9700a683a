# SPDX-License-Identifier: PostgreSQL
"""Who waits, and who is next: in order, shared among the users of a database, the reserve's patience.
The order is the servers' own: one connection gives out transaction numbers one after the other."""
import struct
import threading
import time

from lib import check, equal, limit, patient, quick, until
from rawpg import SYNC, Raw, bind, execute, logged_in, parse, query, row_values

XID = "SELECT txid_current()"
ONE = {"default_pool_size": 1, "split": "off", "query_wait_timeout": 60, "query_wait_notify": 0}


def waiting(weir, database="app"):
    return sum(r["cl_waiting"] for r in weir.show("POOLS") if r["database"] == database)


def hold(weir, users=("app",)):
    """A session that has the only connection, and others that are there: a log-in may need one, too."""
    raws = [logged_in(weir, user) for user in ("app", *users)]
    raws[0].rows("BEGIN")
    raws[0].rows(XID)
    return raws[0], raws[1:]


def line_up(weir, raws, ask):
    """The next one asks when the one before is seen to wait."""
    with weir.console() as console:
        def count():
            cur = console.execute("SHOW POOLS")
            names = [c.name for c in cur.description]
            rows = [dict(zip(names, row)) for row in cur.fetchall()]
            return sum(r["cl_waiting"] for r in rows if r["database"] == "app")
        for number, raw in enumerate(raws):
            raw.send(*ask(number))
            until(f"{number + 1} to wait", 20, lambda n=number: count() == n + 1, 0.01)


def take_xid(raw):
    rows = [row_values(body) for kind, body in raw.read_until("Z") if kind == "D"]
    return int(rows[-1][0])


def either_protocol(number):
    if number % 2:
        return [query(XID)]
    return [parse("", XID), bind("", ""), execute(), SYNC]


@quick
def test_in_order_over_all_workers(start):
    weir = start({**ONE, "workers": 3})
    holder, raws = hold(weir, ["app"] * 9)
    with holder:
        line_up(weir, raws, either_protocol)
        holder.rows("COMMIT")
        xids = [take_xid(raw) for raw in raws]
        equal(xids, sorted(xids))
        for raw in raws:
            raw.sock.close()


@quick
def test_who_leaves_the_queue_delays_nobody(start):
    """One goes, one cancels: the others keep their order, and are served."""
    weir = start({**ONE, "workers": 2})
    holder, raws = hold(weir, ["app"] * 6)
    with holder:
        line_up(weir, raws, either_protocol)
        raws[0].sock.close()
        with Raw(weir.port) as cancel:
            cancel.send(struct.pack("!II", 8 + len(raws[3].key), 80877102) + raws[3].key)
            cancel.is_closed()
        kinds = [kind for kind, _ in raws[3].read_until("Z")]
        check("E" in kinds, f"{kinds}")
        until("four to wait", 10, lambda: waiting(weir) == 4)
        holder.rows("COMMIT")
        xids = [take_xid(raws[i]) for i in (1, 2, 4, 5)]
        equal(xids, sorted(xids))
        for raw in raws:
            raw.sock.close()


@quick
def test_users_of_one_database_with_one_connection(start):
    """Fewer connections than users: who asked first is next, whoever it is."""
    weir = start({**ONE, "max_db_connections": 1, "workers": 2})
    users = ["app", "postgres", "app", "pgweir", "app", "postgres"]
    holder, raws = hold(weir, users)
    with holder:
        line_up(weir, raws, lambda _: [query(XID)])
        holder.rows("COMMIT")
        xids = [take_xid(raw) for raw in raws]
        equal(xids, sorted(xids), f"{users}")
        for raw in raws:
            raw.sock.close()


class Load:
    """Sessions of one user, each with AHEAD requests sent: each waits even if this process is slow."""
    AHEAD = 20
    ASK = query("SELECT txid_current(), pg_sleep(0.02)")

    def __init__(self, weir, user, count):
        self.is_over, self.problems = threading.Event(), []
        self.raws = [logged_in(weir, user) for _ in range(count)]
        self.threads = [threading.Thread(target=self.run, args=(raw,), daemon=True)
                        for raw in self.raws]
        for thread in self.threads:
            thread.start()

    def run(self, raw):
        try:
            with raw:
                raw.send(*[self.ASK] * self.AHEAD)
                while not self.is_over.is_set():
                    take_xid(raw)
                    raw.send(self.ASK)
                for _ in range(self.AHEAD):
                    take_xid(raw)
        except Exception as e:    # noqa: BLE001
            self.problems.append(e)

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(patient(30))
        equal([t.is_alive() for t in self.threads], [False] * len(self.threads))
        return self.problems


@quick
@limit(90)
def test_users_share_a_databases_connections(start, tier, sub):
    """Whoever came first with however many sessions: both have half of the connections, and keep it."""
    weir = start({"max_db_connections": 4, "split": "off", "workers": 2, "query_wait_timeout": 30})

    def servers():
        rows = {r["user"]: r for r in weir.show("POOLS") if r["database"] == "app"}
        return tuple(sum(rows[user][state] for state in ("sv_active", "sv_idle", "sv_login", "sv_tested"))
                     if user in rows else 0 for user in ("app", "postgres"))
    first = Load(weir, "app", 12)
    until("it to have all of them", 20, lambda: servers() == (4, 0))
    second = Load(weir, "postgres", 8)    # some of them always wait
    with sub("queue::the second user gets its half"):
        until("two each", 20, lambda: servers() == (2, 2))
    with sub("queue::nobody is left with nothing, and the limit holds"), tier.connect(user="postgres") as admin:
        for _ in range(20):
            check(sum(servers()) <= 4, "the limit")
            # The workers tell of their own: what moves from one to the other may be in no row.
            users = admin.execute("SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = 'app'"
                                  " AND query LIKE '%pg_sleep(0.02)%' AND pid <> pg_backend_pid() ORDER BY 1").fetchall()
            equal(users, [("app",), ("postgres",)])
            time.sleep(0.02)
    with sub("queue::what one doesn't need the other has"):
        equal(second.end(), [])
        until("all four again", 20, lambda: servers()[0] == 4)
    with sub("queue::no request was lost"):
        equal(first.end(), [])


@quick
@limit(60)
def test_who_sends_ahead_lets_go_between_requests(start, sub):
    """However much a session has sent: its server is others' after each transaction, and PAUSE's."""
    weir = start({**ONE, "workers": 1})
    load = Load(weir, "app", 1)
    with sub("queue::a request between those of a pipeline"), logged_in(weir) as raw:
        for _ in range(5):
            raw.send(query(XID))
            check(take_xid(raw) > 0, "no number")
    with sub("queue::a pause between those of a pipeline"), weir.console() as console:
        console.execute("PAUSE app")
        equal([r for r in weir.show("SERVERS") if r["database"] == "app"], [])
        console.execute("RESUME app")
    with sub("queue::none of the pipeline was lost"):
        equal(load.end(), [])


@quick
@limit(90)
def test_the_reserve_is_for_long_waits(start, sub):
    """Not a connection more before reserve_pool_timeout, never more than reserve_pool_size after it."""
    weir = start({**ONE, "reserve_pool_size": 2, "reserve_pool_timeout": 2, "workers": 2})

    def count():
        return len([r for r in weir.show("SERVERS") if r["database"] == "app"])
    holder, raws = hold(weir, ["app"] * 4)
    with holder:
        began = time.monotonic()
        line_up(weir, raws, lambda _: [query("BEGIN; " + XID)])
        with sub("queue::no reserve for who hasn't waited long"):
            seen = [(count(), time.monotonic() - began) for _ in range(10)]
            check(all(n == 1 for n, after in seen if after < 2), f"{seen}")
        with sub("queue::the reserve for who has"):
            until("the reserve to be used", 20, lambda: count() == 3)
            check(time.monotonic() - began >= 2, "too early")
            first = [take_xid(raw) for raw in raws[:2]]
            check(all(first), "those who waited longest have it")
        with sub("queue::the reserve has an end"):
            time.sleep(2.5)
            equal((count(), waiting(weir)), (3, 2))
        with sub("queue::what the reserve gave back serves the next, in order"):
            raws[0].rows("COMMIT")
            take_xid(raws[2])
            equal(waiting(weir), 1)
            raws[1].rows("COMMIT")
            take_xid(raws[3])
        for raw in raws:
            raw.sock.close()
    with sub("queue::patience without an end uses no reserve"):
        weir = start({**ONE, "reserve_pool_size": 2, "reserve_pool_timeout": 600, "workers": 1})
        holder, (raw,) = hold(weir)
        with holder:
            line_up(weir, [raw], lambda _: [query(XID)])
            time.sleep(2.5)
            equal((count(), waiting(weir)), (1, 1))
            holder.rows("COMMIT")
            take_xid(raw)
            raw.sock.close()
