# SPDX-License-Identifier: PostgreSQL
"""What ./try app shows: the sample application's requests, where pgweir ran them, and transfers through a switchover."""
import http.client
import json
import threading
import time
import uuid

WHERE = (("routed_primary", "primary"), ("routed_replica", "replicas"), ("cache_hits_local", "cache"))
# pgweir's workers publish their counters once a second.
PUBLISH_S = 1.3


class AppDemo:
    """demo: the tier's Demo, for pgweir's counters; say and title print."""

    def __init__(self, demo, app, say, title):
        self.demo, self.app, self.say, self.title = demo, app, say, title

    def counters(self):
        time.sleep(PUBLISH_S)
        return [self.demo.stat("one", name) for name, _ in WHERE]

    def measure(self, text, count, request):
        """Do a request so many times; a line with what they answered and where they ran."""
        before, statuses = self.counters(), {}
        for _ in range(count):
            status = request()[0]
            statuses[status] = statuses.get(status, 0) + 1
        spent = [b - a for a, b in zip(before, self.counters())]
        ran = ", ".join(f"{what} {n}" for (_, what), n in zip(WHERE, spent) if n > 0)
        self.say(f"{count:3} x {text:48} {'/'.join(str(s) for s in sorted(statuses))}: {ran}")

    def warm_up(self):
        """Until pgweir knows the new tables, and caches what is asked for again: a moment after the first start."""
        hits = self.demo.stat("one", "cache_hits_local")
        deadline = time.monotonic() + 10
        while self.demo.stat("one", "cache_hits_local") == hits and time.monotonic() < deadline:
            self.app.ask("GET", "/api/quotes")
            time.sleep(0.1)

    def requests(self):
        self.title("1. Requests of the page, and where pgweir ran their statements")
        ask = self.app.ask
        self.warm_up()
        self.measure("GET /api/quotes", 30, lambda: ask("GET", "/api/quotes"))
        self.measure("GET /api/accounts/1", 30, lambda: ask("GET", "/api/accounts/1"))
        self.measure("GET /api/accounts/1, Cache-Control: no-cache", 30,
                     lambda: ask("GET", "/api/accounts/1", headers={"Cache-Control": "no-cache"}))
        self.measure("POST /api/transfers (one transaction each)", 10,
                     lambda: self.app.transfer(1, 2, "0.01", f"try-{uuid.uuid4()}"))
        self.say("    (the quotes move every two seconds, one statement on the primary that voids them in the cache)")

    def once(self):
        self.title("2. The same transfer sent three times moves money once")
        key = f"try-{uuid.uuid4()}"
        before = self.balance(3)
        said = [self.app.transfer(3, 4, "5.00", key) for _ in range(3)]
        self.say(f"answers {[s for s, _ in said]}, transfer {sorted({b.get('id') for _, b in said})}; "
                 f"balance {before} -> {self.balance(3)}")

    def balance(self, account):
        status, _, body = self.app.ask("GET", f"/api/accounts/{account}", headers={"Cache-Control": "no-cache"})
        return json.loads(body)["balance"] if status == 200 else f"status {status}"

    def total(self):
        with self.demo.connect() as conn:
            return conn.execute("SELECT sum(balance) FROM finai.accounts /* pgweir: route=primary */").fetchone()[0]

    def switchover(self):
        self.title("3. Transfers through a switchover of the primary")
        answers, stop, money = [], threading.Event(), self.total()

        def work(number):
            while not stop.is_set():
                began = time.monotonic()
                try:
                    status = self.app.transfer(10 + number, 20 + number, "0.01", f"try-{uuid.uuid4()}")[0]
                except (OSError, http.client.HTTPException) as e:
                    status = type(e).__name__
                answers.append((status, time.monotonic() - began))
                time.sleep(0.02)
        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        said = self.demo.tier.command("switchover")
        time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join(30)
        statuses = {}
        for status, _ in answers:
            statuses[status] = statuses.get(status, 0) + 1
        self.say(f"Patroni: {said}")
        self.say(f"6 clients, {len(answers)} transfers, answers {statuses}, the longest took {max(t for _, t in answers):.2f} s")
        after = self.total()
        self.say(f"money in all accounts {money} before, {after} after")

    def page(self):
        self.title("4. The page")
        for path in ("/", "/api/quotes"):
            _, headers, body = self.app.ask("GET", path, headers={"Accept-Encoding": "gzip, deflate, br"})
            self.say(f"GET {path:12} {len(body)} bytes, Content-Encoding {headers.get('Content-Encoding', '-')}, "
                     f"Cache-Control {headers.get('Cache-Control', '-')}")

    def show(self):
        for step in (self.requests, self.once, self.switchover, self.page):
            step()
        self.title("It stays up. The page:")
        print(f"\n    {self.app.address()}\n")
        self.say(f"logs: {self.app.file('finai-backend.log')} and nginx.log beside it")
        self.say("./try stop       ends everything")
