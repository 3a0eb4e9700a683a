# SPDX-License-Identifier: PostgreSQL
"""The sample application's backend through pgweir: what its callers rely on."""
import json
import random
import re
import signal
import socket
import threading
import time
from decimal import Decimal

import app
from app import App
from lib import check, equal, limit, long, needs, patient, quick, until
from nodes import Nodes
from test_tls import make_certificate

OPTIONS = {"default_pool_size": 20, "query_wait_timeout": 60, "failover_wait_timeout": 60,
           "client_idle_timeout": 0}
prepared = set()


def backend(weir, tier, **options):
    """A running backend on a schema that this file made once."""
    if weir.port not in prepared:
        app.prepare(weir, tier)
        prepared.add(weir.port)
    return App(weir, **options)


def problem(reply, status, field=None):
    equal(reply.status, status, reply.text)
    equal(reply.headers["Content-Type"], "application/problem+json")
    check(reply.json["title"] and reply.json["detail"], reply.text)
    equal((reply.json["status"], reply.json.get("field")), (status, field), reply.text)


def total(tier):
    with tier.connect() as conn:
        return conn.execute("SELECT sum(balance) FROM finai.accounts").fetchone()[0]


def in_threads(count, work):
    """work(number) in so many threads at once; their results."""
    got, start = [None] * count, threading.Barrier(count)

    def one(number):
        start.wait(patient(30))
        try:
            got[number] = work(number)
        except Exception as e:    # noqa: BLE001: the caller compares
            got[number] = e
    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(patient(60))
    return got


@quick
def test_options(weir):
    equal(app.run(weir, "--version")[0], 0)
    status, text = app.run(weir, "--options")
    equal(status, 0)
    check("FINAI_DB_POOL_SIZE" in text, text)
    for options, said in (({"typo": 1}, "FINAI_TYPO is no option"), ({"retry_max": "x"}, "FINAI_RETRY_MAX"),
                          ({"log_level": "loud"}, "FINAI_LOG_LEVEL"), ({"db_pool_size": 0}, "from 1 to 256")):
        status, text = app.run(weir, **options)
        equal(status, 2, text)
        check(said in json.loads(text)["reason"], text)
    status, text = app.run(weir, listen="nowhere")
    equal(status, 1, text)
    equal(app.run(weir, "dance")[0], 2)


@quick
def test_migrate_many_at_once(weir):
    app.binary()    # skips without it
    with weir.connect() as conn:
        conn.execute("DROP SCHEMA IF EXISTS finai CASCADE")
        # Without repeats: the lock alone must order them.
        got = in_threads(5, lambda _: app.run(weir, "migrate", retry_max=0))
        equal([status for status, _ in got], [0] * 5, str(got))
        applied = [line for _, text in got for line in text.splitlines() if '"migrated"' in line]
        equal(len(applied), 2, str(got))
        equal(conn.execute("SELECT array_agg(version ORDER BY version) FROM finai.migrations").fetchone()[0], [1, 2])
        equal(conn.execute("SELECT count(*) FROM finai.accounts").fetchone()[0], 100)
    status, text = app.run(weir, "migrate", sql_dir="/nonexistent")
    equal(status, 1, text)
    check("FINAI_SQL_DIR" in text, text)


@quick
def test_routes(weir, tier, sub):
    with backend(weir, tier) as a:
        client = a.client()
        with sub("app::quotes"):
            quotes = client.ask("/api/quotes").json["quotes"]
            equal([q["symbol"] for q in quotes], sorted(q["symbol"] for q in quotes))
            equal(set(quotes[0]), {"symbol", "name", "price", "change", "currency", "as_of"})
            check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", quotes[0]["as_of"]), quotes[0])
            equal(client.ask("/api/quotes/WEIR").json["name"], "Weir Waterworks")
            problem(client.ask("/api/quotes/NONE"), 404)
        with sub("app::entity tags"):
            first = client.ask("/api/quotes")
            tag = first.headers["ETag"]
            equal(first.headers["Cache-Control"], "no-cache")
            for value in (tag, f'"x", W/{tag}', "*"):
                again = client.ask("/api/quotes", If_None_Match=value)
                equal((again.status, again.text, again.headers["ETag"]), (304, "", tag))
            equal(client.ask("/api/quotes", If_None_Match='"x"').status, 200)
        with sub("app::HEAD"):
            get, head = client.ask("/api/accounts/7"), client.ask("/api/accounts/7", "HEAD")
            equal((head.status, head.text, head.headers["Content-Length"]), (200, "", get.headers["Content-Length"]))
        with sub("app::accounts"):
            one = client.ask("/api/accounts/7")
            equal(one.json, {"id": 7, "owner": "Household 7", "balance": "10000.00", "overdraft": "0.00",
                             "currency": "EUR"})
            equal(one.headers["Cache-Control"], "no-store")
            for path in ("/api/accounts/101", "/api/accounts/0", "/api/accounts/x", "/api/accounts/"):
                problem(client.ask(path), 404)
        with sub("app::pages"):
            path, seen = "/api/accounts?limit=40", []
            while path:
                page = client.ask(path).json
                seen += [a["id"] for a in page["accounts"]]
                path = page["next"]
            equal(seen, list(range(1, 101)))
            for query in ("limit=0", "limit=201", "limit=1&limit=2", "after=x", "before=3", "x=1", "limit=%"):
                problem(client.ask("/api/accounts?" + query), 400)
        with sub("app::methods"):
            for path, allow in (("/api/quotes", "GET, HEAD"), ("/api/transfers", "GET, HEAD, POST")):
                reply = client.ask(path, "DELETE")
                problem(reply, 405)
                equal(reply.headers["Allow"], allow)
            problem(client.ask("/nothing"), 404)
        equal(client.ask("/healthz").text, "ok\n")


@quick
def test_transfers(weir, tier, sub):
    with backend(weir, tier) as a:
        client = a.client()
        key = app.new_key()
        with sub("app::a transfer"):
            done = client.transfer(11, 12, "12.5", key=key, note="für Käse")
            equal(done.status, 201, done.text)
            equal({k: done.json[k] for k in ("from_account", "to_account", "amount", "currency", "note")},
                  {"from_account": 11, "to_account": 12, "amount": "12.50", "currency": "EUR", "note": "für Käse"})
            equal(client.ask("/api/accounts/11", Cache_Control="no-cache").json["balance"], "9987.50")
            equal(client.ask("/api/accounts/12", Cache_Control="no-cache").json["balance"], "10012.50")
        with sub("app::its repeat"):
            again = client.transfer(11, 12, "12.50", key=key, note="für Käse")
            equal((again.status, again.json, again.headers["Idempotent-Replayed"]), (200, done.json, "true"))
            equal(client.ask("/api/accounts/11", Cache_Control="no-cache").json["balance"], "9987.50")
        with sub("app::its key for another"):
            for other in ((11, 13, "12.50", "für Käse"), (11, 12, "12.51", "für Käse"), (11, 12, "12.50", "")):
                problem(client.transfer(*other[:3], key=key, note=other[3]), 422)
        with sub("app::lists"):
            client.transfer(12, 11, "1")
            listed = client.ask("/api/transfers?account=11&limit=1", Cache_Control="no-cache").json
            equal([t["from_account"] for t in listed["transfers"]], [12])
            rest = client.ask(listed["next"], Cache_Control="no-cache").json
            equal(([t["id"] for t in rest["transfers"]], rest["next"]), ([done.json["id"]], None))
            equal(client.ask("/api/transfers?limit=1", Cache_Control="no-cache").json["transfers"],
                  listed["transfers"])
        with sub("app::overdraft"):
            equal(client.transfer(14, 15, "10500.00").status, 201)    # 500 below zero are allowed
            problem(client.transfer(14, 15, "0.01"), 409, "amount")
            problem(client.transfer(16, 15, "10000.01"), 409, "amount")


@quick
def test_refusals(weir, tier):
    good = {"from_account": 1, "to_account": 2, "amount": "1", "note": ""}
    with backend(weir, tier) as a:
        before, client = total(tier), a.client()

        def post(body, kind="application/json", **headers):
            text = body if isinstance(body, (str, bytes)) else json.dumps(body)
            return client.ask("/api/transfers", "POST", text, Content_Type=kind, **headers)
        for change, status, field in (
                ({"from_account": "1"}, 422, "from_account"), ({"from_account": 0}, 422, "from_account"),
                ({"from_account": 1.5}, 422, "from_account"), ({"to_account": None}, 422, "to_account"),
                ({"to_account": 1}, 422, "to_account"), ({"to_account": 999}, 422, "to_account"),
                ({"from_account": 999}, 422, "from_account"), ({"to_account": 90}, 422, "to_account"),
                ({"amount": "0"}, 422, "amount"), ({"amount": "-1"}, 422, "amount"), ({"amount": 1}, 422, "amount"),
                ({"amount": "1.234"}, 422, "amount"), ({"amount": "1e3"}, 422, "amount"),
                ({"amount": "1000000000.01"}, 422, "amount"), ({"note": "x" * 141}, 422, "note"),
                ({"note": "a\nb"}, 422, "note"), ({"extra": 1}, 422, None)):
            problem(post({**good, **change}, Idempotency_Key=app.new_key()), status, field)
        for body in ("", "[]", "{", '{"amount":"1","amount":"2"}', b"\xff", "null"):
            problem(post(body, Idempotency_Key=app.new_key()), 400)
        for key in ("short", "x" * 65, "with blank", "semi;colon"):
            problem(post(good, Idempotency_Key=key), 400)
        problem(post(good), 400)
        problem(post(good, "text/plain", Idempotency_Key=app.new_key()), 415)
        problem(post("x" * 20000, Idempotency_Key=app.new_key()), 413)
        equal(total(tier), before)


def raw(a, data):
    """What comes back until the server closes, and whether it did."""
    with socket.create_connection(("127.0.0.1", a.port), 10) as s:
        s.sendall(data)
        answer = b""
        try:
            while more := s.recv(65536):
                answer += more
        except TimeoutError:
            return answer, False
        return answer, True


@quick
def test_http(weir, tier, sub):
    with backend(weir, tier) as a:
        for name, data, status in (
                ("noise", b"\x00\xff\r\n\r\n", 400), ("no version", b"GET /healthz\r\n\r\n", 400),
                ("a long head", b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431),
                ("no length", b"POST /api/transfers HTTP/1.1\r\n\r\n", 411),
                ("chunks", b"POST /api/transfers HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
                ("two lengths", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
                ("a long body", b"POST / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n" + b"x" * 300000, 413),
                ("a bad path", b"GET /%zz HTTP/1.1\r\n\r\n", 400)):
            with sub(f"app::http {name}"):
                answer, is_closed = raw(a, data)
                check(answer.startswith(b"HTTP/1.1 %d " % status), answer[:200])
                check(is_closed, "the connection stays open")
        with sub("app::http pipelined"):
            answer, _ = raw(a, b"GET /healthz HTTP/1.1\r\n\r\n" * 3 + b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
            equal([answer.count(b"HTTP/1.1 200 OK"), answer.count(b"HTTP/1.1 404")], [3, 1])
        with sub("app::http 1.0 closes"):
            check(raw(a, b"GET /healthz HTTP/1.0\r\n\r\n")[0].endswith(b"\r\n\r\nok\n"), "an answer, then the end")
        with sub("app::http 100-continue"):
            with socket.create_connection(("127.0.0.1", a.port), 10) as s:
                s.sendall(b"POST /api/transfers HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
                check(s.recv(100).startswith(b"HTTP/1.1 100 "), "to go on")
                s.sendall(b"{}")
                check(s.recv(1000).startswith(b"HTTP/1.1 415 "), "the answer")


@quick
def test_http_bounds(weir, tier):
    """Slow and idle connections end; at the limit an idle one makes room."""
    with backend(weir, tier, http_idle_timeout_ms=1000, request_timeout_ms=1000, http_connections_max=3) as a:
        with socket.create_connection(("127.0.0.1", a.port), 10) as slow, \
                socket.create_connection(("127.0.0.1", a.port), 10) as idle:
            slow.sendall(b"GET /healthz HTT")
            check(slow.recv(1000).startswith(b"HTTP/1.1 408 "), "a slow request is told")
            equal(idle.recv(1000), b"", "an idle connection is closed")
        socks = [socket.create_connection(("127.0.0.1", a.port), 10) for _ in range(8)]
        equal(a.ask("/healthz").status, 200)
        for s in socks:
            s.close()


@quick
def test_one_key_many_at_once(weir, tier):
    with backend(weir, tier) as a:
        key, before = app.new_key(), total(tier)
        got = in_threads(12, lambda _: a.transfer(21, 22, "5", key=key))
        equal(sorted(r.status for r in got), [200] * 11 + [201], got)
        equal(len({r.json["id"] for r in got}), 1)
        mixed = app.new_key()    # the same key for transfers of different accounts: one of them wins
        got = in_threads(8, lambda n: a.transfer(23 + n, 40 + n, "5", key=mixed))
        equal(sorted(r.status for r in got), [201] + [422] * 7, [r.text for r in got])
        with tier.connect() as conn:
            equal(conn.execute("SELECT count(*) FROM finai.transfers WHERE idempotency_key IN (%s, %s)",
                               (key, mixed)).fetchone()[0], 2)
        equal(total(tier), before)


class Movers:
    """Clients that move money; each repeats a transfer under its key until it knows the outcome."""

    def __init__(self, port, clients, accounts=(1, 60)):
        self.port, self.accounts = port, accounts
        self.done, self.refused, self.repeats, self.wrong = {}, 0, 0, []
        self.stop_now, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(clients)]

    def client(self, number):
        rng, client = random.Random(number), app.Client(self.port)
        while not self.stop_now.is_set():
            source, target = rng.sample(range(*self.accounts), 2)
            self.one(client, source, target, f"{rng.randint(1, 2000)}.{rng.randint(10, 99)}", app.new_key())
        client.close()

    def one(self, client, source, target, amount, key):
        for _ in range(400):
            try:
                reply = client.transfer(source, target, amount, key=key)
            except (OSError, app.http.client.HTTPException):
                client.close()
                reply = None
            with self.lock:
                if reply is not None and reply.status in (200, 201):
                    self.done[key] = (source, target, Decimal(amount))
                    return
                if reply is not None and reply.status == 409:
                    self.refused += 1
                    return
                if reply is not None and reply.status < 500:
                    self.wrong.append(reply.text)
                    return
                self.repeats += 1
            time.sleep(0.1)
        self.wrong.append(f"{key}: no outcome")

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop_now.set()
        for t in self.threads:
            t.join(patient(60))

    def wait_for(self, count, seconds, what):
        goal = len(self.done) + count
        until(f"{what}: {count} transfers", seconds, lambda: len(self.done) >= goal)

    def verify(self, tier):
        """What was answered as done is there once, and each balance is the sum of its movements."""
        check(not any(t.is_alive() for t in self.threads), "a client hangs")
        equal(self.wrong[:3], [])
        with tier.connect() as conn:
            rows = conn.execute("SELECT idempotency_key, from_account, to_account, amount FROM finai.transfers "
                                "WHERE idempotency_key = ANY(%s)", (list(self.done),)).fetchall()
            equal({k: (f, t, a) for k, f, t, a in rows}, self.done)
            equal(len(rows), len(self.done))
            off = conn.execute(
                "SELECT id FROM finai.accounts a WHERE balance <> 10000"
                " - (SELECT coalesce(sum(amount), 0) FROM finai.transfers WHERE from_account = a.id)"
                " + (SELECT coalesce(sum(amount), 0) FROM finai.transfers WHERE to_account = a.id)").fetchall()
            equal(off, [], "balances that aren't the sum of their movements")


@quick
def test_concurrent_transfers(weir, tier):
    with backend(weir, tier) as a:
        before = total(tier)
        with Movers(a.port, 8, accounts=(1, 6)) as work:    # few accounts: locks are waited for
            seen = set()
            with tier.connect() as conn:
                for _ in range(20):
                    seen.add(conn.execute("SELECT sum(balance) FROM finai.accounts").fetchone()[0])
                    time.sleep(0.05)
            work.wait_for(50, 30, "movers")
        equal(seen, {before})
        work.verify(tier)
        equal(work.repeats, 0, a.log_text()[-2000:])


@limit(240)
def test_transfers_across_a_switchover(weir, tier):
    weir.need_pgweir()
    tier.command("sync", "on")
    tier.command("wait")
    with backend(weir, tier) as a:
        before = total(tier)
        with Movers(a.port, 8) as work:
            work.wait_for(50, 60, "before")
            tier.command("switchover")
            work.wait_for(100, 90, "after")
        print(f"# switchover: {len(work.done)} transfers, {work.repeats} repeats by clients, "
              f"{a.metrics()['finai_retries_total']:.0f} by the backend", flush=True)
        equal(total(tier), before)
        work.verify(tier)


@long
@limit(300)
def test_transfers_across_a_killed_primary(weir, tier):
    weir.need_pgweir()
    tier.command("sync", "on")
    tier.command("wait")
    try:
        with backend(weir, tier) as a:
            before = total(tier)
            with Movers(a.port, 8) as work:
                work.wait_for(50, 60, "before")
                tier.command("kill-primary")
                work.wait_for(100, 120, "after")
                equal(a.ask("/readyz").status, 200)
            print(f"# killed: {len(work.done)} transfers, {work.repeats} repeats by clients, "
                  f"{a.metrics()['finai_retries_total']:.0f} by the backend", flush=True)
            equal(total(tier), before)
            work.verify(tier)
    finally:
        tier.command("resume")
        tier.command("sync", "off")
        tier.command("wait")


class Lock:
    """An account held by somebody else's transaction."""

    def __init__(self, tier, account):
        self.conn = tier.connect()
        self.conn.execute("BEGIN")
        self.conn.execute("SELECT 1 FROM finai.accounts WHERE id = %s FOR UPDATE", (account,))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.execute("ROLLBACK")
        self.conn.close()


@quick
def test_a_full_queue(weir, tier):
    with backend(weir, tier, db_pool_size=1, db_queue_max=1, request_timeout_ms=20000) as a:
        with Lock(tier, 51):
            got = []
            threads = [threading.Thread(target=lambda: got.append(a.transfer(51, 52, "1").status), daemon=True)
                       for _ in range(2)]
            threads[0].start()
            until("the first holds the connection", 10, lambda: a.metrics()["finai_db_pool_in_use"] == 1)
            threads[1].start()
            until("the second waits", 10, lambda: a.metrics()["finai_db_queue_length"] >= 1)
            reply = a.ask("/api/quotes")
            problem(reply, 503)    # a deadline's would be 504
            equal(reply.headers["Retry-After"], "1")
            check(a.metrics()["finai_db_queue_refused_total"] >= 1, "counted")
        for t in threads:
            t.join(patient(30))
        equal(got, [201, 201])


@quick
def test_a_deadline(weir, tier):
    """A request ends in time though its transaction waits; the next ones go on."""
    with backend(weir, tier, db_pool_size=2, request_timeout_ms=4000) as a:
        with Lock(tier, 53):
            reply = a.transfer(53, 54, "1")
            problem(reply, 504)
            equal(a.ask("/api/quotes").status, 200)
        equal(a.transfer(53, 54, "1").status, 201)
        equal(a.metrics()["finai_request_timeouts_total"], 1)


@quick
def test_a_drain_loses_no_request(weir, tier):
    """Clients that stop coming once it is unready, as behind a Service, see no error; what is open ends."""
    lost, answers, unready = [], [0] * 6, threading.Event()
    with backend(weir, tier, drain_delay_ms=5000) as a:
        def hammer(number):
            client = a.client()
            while not unready.is_set():
                try:
                    reply = client.ask("/api/accounts/5")    # connects anew after a "close"
                    equal(reply.status, 200)
                    answers[number] += 1
                except Exception as e:    # noqa: BLE001
                    lost.append(repr(e))
                    return
            client.close()
        threads = [threading.Thread(target=hammer, args=(n,), daemon=True) for n in range(6)]
        slow, idle = [], a.client()
        equal(idle.ask("/healthz").headers["Connection"], "keep-alive")
        with Lock(tier, 55):
            threads.append(threading.Thread(target=lambda: slow.append(a.transfer(55, 56, "1").status), daemon=True))
            for t in threads:
                t.start()
            until("load", 20, lambda: min(answers) > 5)
            a.proc.send_signal(signal.SIGTERM)
            until("unready", 5, lambda: a.ask("/readyz").status == 503)
            equal(a.ask("/healthz").headers["Connection"], "close", "an answer in the drain")
            before = list(answers)
            until("service in the delay", 20, lambda: lost or all(n > b + 3 for n, b in zip(answers, before)))
            unready.set()
            until("the end of accepting", 20, lambda: is_refused(a.port))
            equal(idle.conn.sock.recv(10), b"", "an idle connection is closed")
            time.sleep(0.3)
            equal(a.proc.poll(), None, "it ended although a request is open")
        for t in threads:
            t.join(patient(30))
        equal((lost, slow), ([], [201]))
        a.proc.wait(patient(20))


def is_refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def test_where_reads_go(weir, tier):
    """Balances from replicas, quotes from the cache, with no-cache both from the primary."""
    weir.need_pgweir()
    with backend(weir, tier) as a:
        def change(path, times=20, **headers):
            time.sleep(0.5)    # until replicas are known to show what was read before
            before = weir.metrics()
            for _ in range(times):
                equal(client.ask(path, **headers).status, 200)
            after = weir.metrics()
            name = 'pgweir_database_{}_total{{database="app"}}'
            return {n: after[name.format(n)] - before[name.format(n)]
                    for n in ("routed_replica", "routed_primary", "cache_hits_local")}
        client = a.client()
        until("quotes from the cache", 10, lambda: change("/api/quotes")["cache_hits_local"] >= 15)

        def on_replicas():
            reads = change("/api/accounts/7")
            equal(reads["cache_hits_local"], 0, "balances from the cache")
            return reads["routed_replica"] >= 20
        until("balances from replicas", 10, on_replicas)    # not from one that a busy machine holds up
        for path in ("/api/accounts/7", "/api/quotes"):
            reads = change(path, Cache_Control="no-cache")
            check(reads["routed_primary"] >= 20 and reads["cache_hits_local"] == 0, reads)


@quick
def test_quotes_move(weir, tier):
    """The feed's writes void what pgweir keeps: a price is never older than the last round."""
    with backend(weir, tier, quote_feed_ms=200) as a:
        client, moments, prices = a.client(), set(), set()

        def moved():
            quotes = client.ask("/api/quotes").json["quotes"]
            moments.add(quotes[0]["as_of"])
            prices.add(tuple(q["price"] for q in quotes))
            return len(moments) >= 4 and len(prices) >= 3
        until("four moments, three sets of prices", 10, moved)
        check(a.metrics()["finai_quote_feed_rounds_total"] >= 4, "rounds")
    with tier.connect() as conn:
        equal(conn.execute("SELECT count(*) FROM finai.quotes WHERE price NOT BETWEEN opened * 0.8 AND opened * 1.2"
                           ).fetchone()[0], 0)


def test_traceparent(weir, tier):
    """A sampled request's traceparent is in the text that the server shows; an unsampled one's isn't."""
    def trace(flags):
        return f"00-{random.getrandbits(127) + 1:032x}-00f067aa0ba902b7-{flags}"
    with backend(weir, tier) as a, Nodes(tier) as nodes:
        sampled, other = trace("01"), trace("00")
        a.ask("/api/accounts/7", traceparent=sampled)
        equal(len(nodes.holding(sampled)), 1)
        a.ask("/api/accounts/7", traceparent=other)
        equal(nodes.holding(other), [])
        equal(a.ask("/api/accounts/7", traceparent="01; DROP TABLE").status, 200)
        with Lock(tier, 57):
            sender = threading.Thread(target=a.transfer, args=(57, 58, "1"), kwargs={"traceparent": trace("01")},
                                      daemon=True)
            sender.start()
            with tier.connect(user="postgres") as conn:
                until("the waiting transfer", 10, lambda: conn.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%FOR UPDATE /*traceparent=%' "
                    "AND wait_event_type = 'Lock'").fetchone())
        sender.join(patient(20))


@quick
def test_metrics(weir, tier):
    """What dashboards, alerts and the autoscaler name is on the page."""
    import pathlib
    named = set()
    for path in pathlib.Path(app.TOP, "k8s").rglob("*.yaml"):
        if path.parent.name in ("monitoring", "autoscaling"):
            named |= set(re.findall(r"\bfinai_(?:http|db|transfer|accounts)\w*", path.read_text()))
    named -= {"finai_http_requests_per_second"}    # the adapter's name for a rate
    check(len(named) >= 7, named)
    with backend(weir, tier) as a:
        a.ask("/api/quotes")
        a.transfer(59, 58, "3.25")
        try:
            with tier.connect() as conn:    # an error to count
                conn.execute("ALTER TABLE finai.quotes RENAME TO quotes_away")
            equal(a.ask("/api/quotes/LOCK", Cache_Control="no-cache").status, 500)
        finally:
            with tier.connect() as conn:
                conn.execute("ALTER TABLE finai.quotes_away RENAME TO quotes")
        until("the accounts", 10, lambda: a.metrics()["finai_accounts"] == 100)
        page = a.ask("/metrics").text
        for line in page.splitlines():
            check(re.fullmatch(r"#.*|[a-z_]+(\{.*\})? [0-9.]+", line), f"not the text format: {line!r}")
        series = [line.rpartition(" ")[0] for line in page.splitlines() if line and line[0] != "#"]
        equal([s for s in set(series) if series.count(s) > 1], [])
        equal(named - {s.partition("{")[0] for s in series}, set())
        values = a.metrics()
        equal(values['finai_transfer_amount_total{currency="EUR"}'], 3.25)
        equal(values['finai_transfers_total{result="done"}'], 1)
        equal(values['finai_http_requests_total{route="/api/transfers",method="POST",status="201"}'], 1)
        equal(values['finai_db_errors_total{sqlstate="42P01"}'], 1)
        check(any(e["event"] == "request_failed" and e["level"] == "error" for e in a.events()), "logged")


@needs("openssl")
def test_a_name_and_tls(weir, tier, start, session):
    """As in the cluster: DATABASE_URL has a host name and sslmode=verify-full. An unknown name is no end."""
    weir.need_pgweir()
    backend(weir, tier).stop()
    key, cert = make_certificate(session.dir, session)
    other = start({**OPTIONS, "client_tls_sslmode": "require", "client_tls_key_file": key,
                   "client_tls_cert_file": cert})

    class Named:
        is_pgweir, session = True, weir.session

        @staticmethod
        def url(host="localhost"):
            plain = other.url().replace("@127.0.0.1:", f"@{host}:")
            return f"{plain}?sslmode=verify-full&sslrootcert={cert}"
    with App(Named) as a:
        equal(a.ask("/api/quotes").status, 200)
        equal(a.transfer(61, 62, "1").status, 201)
    check(any("tls=TLS" in line or "tls=1" in line for line in other.log_lines() if "client_login" in line),
          "logged in by TLS")
    Named.url = staticmethod(lambda: other.url().replace("@127.0.0.1:", "@no-such-host.invalid:"))
    lost = App(Named, request_timeout_ms=1000)
    until("it listens", 20, lambda: not is_refused(lost.port))
    problem(lost.ask("/api/quotes"), 503)
    check(any(e["event"] == "database_name_unknown" for e in lost.events()), lost.log_text())
    equal(lost.stop(), None)


def test_readiness_without_database(weir, tier, start):
    """It stays ready for the grace, is unready behind it, and comes back by itself."""
    weir.need_pgweir()
    backend(weir, tier).stop()
    other = start(OPTIONS)
    with App(other, ready_grace_ms=6000, request_timeout_ms=1000) as a:
        other.stop()
        equal(a.ask("/readyz").status, 200, "within the grace")
        problem(a.ask("/api/quotes"), 503)
        until("unready", 20, lambda: a.ask("/readyz").status == 503)
        equal(a.ask("/healthz").status, 200)
        other.start()
        until("ready again", 20, lambda: a.ask("/readyz").status == 200)
        equal(a.ask("/api/quotes").status, 200)
        said = [e["event"] for e in a.events()]
        check("database_reached" in said, said)
        check(said.count("database_connection_lost") < 6, "each failed log-in is told")
