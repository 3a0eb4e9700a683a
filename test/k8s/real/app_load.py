# SPDX-License-Identifier: PostgreSQL
"""Customers of the sample application: its shipped pods before the tier, requests to them.

Each kind of request is among them, a refused transfer, and one whose statement
is cancelled at the server, so that an error of the database is counted.
"""
import json
import os
import threading
import time
import urllib.error
import urllib.request
import uuid

import pgtier
from lib import Skip, check, until


def start(cluster, count):
    app = cluster.images["pgweir/finai-backend"]["files"]["/usr/bin/finai-backend"]
    if not os.access(app, os.X_OK):
        raise Skip(f"no program {app}: build first")
    pods = [cluster.pod("apps", "backend", n).start() for n in range(count)]
    for pod in pods:
        pod.wait_ready(60)
    return pods


def ask(pod, path, body=None):
    """(status, answer) of a request to one pod."""
    request = urllib.request.Request(f"http://{pod.ip}:8080{path}", data=body and json.dumps(body).encode())
    if body:
        request.add_header("Content-Type", "application/json")
        request.add_header("Idempotency-Key", str(uuid.uuid4()))
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def accounts(pod):
    """Two accounts of the seed with one currency."""
    by_currency = {}
    for one in ask(pod, "/api/accounts?limit=100")[1]["accounts"]:
        by_currency.setdefault(one["currency"], []).append(int(one["id"]))
    return next(ids for ids in by_currency.values() if len(ids) > 1)[:2]


def transfer(pod, amount="1.00"):
    one, other = accounts(pod)
    return ask(pod, "/api/transfers", {"from_account": one, "to_account": other, "amount": amount, "note": "load"})


def run(pods, rounds=20):
    """Spread over some scrapes: a counter that is born with its last value has no rate."""
    for _ in range(rounds):
        time.sleep(0.5)
        for pod in pods:
            for path in ("/api/quotes", "/api/accounts", "/api/accounts/1", "/api/transfers?account=1"):
                status, answer = ask(pod, path)
                check(status == 200, f"{path}: {status} {answer}")
            status, answer = transfer(pod)
            check(status == 201, f"transfer: {status} {answer}")
    status, answer = transfer(pods[0], "99999999.00")
    check(400 <= status < 500, f"a transfer that isn't covered: {status} {answer}")


def cancelled(cluster, pod):
    """A transfer waits for a lock, and its statement is cancelled."""
    said = []
    with pgtier.connect(cluster, "postgres-primary", dbname="finai") as conn:
        conn.execute("begin")
        conn.execute("lock table finai.accounts in access exclusive mode")
        body = {"from_account": 1, "to_account": 2, "amount": "1.00", "note": "cancelled"}
        thread = threading.Thread(target=lambda: said.append(ask(pod, "/api/transfers", body)))
        thread.start()
        found = until("the wait", 20, lambda: conn.execute(
            "select pid from pg_locks where not granted and relation = 'finai.accounts'::regclass").fetchone(), 0.2)
        conn.execute("select pg_cancel_backend(%s)", found)
        conn.execute("rollback")
        thread.join()
    check(said[0][0] >= 500, f"{said}")
