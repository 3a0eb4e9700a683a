# SPDX-License-Identifier: PostgreSQL
"""The sidecar overlay for real: pgweir inside the backend's pods, as kustomize renders them.

pgweir listens before the backend starts and outlives it; only its own pod reaches it. Pods are replaced under load
without an error for clients of the backend's Service, and with a killed leader every transfer is done once.
"""
import http.client
import json
import os
import socket
import subprocess
import threading
import time
import uuid

import manifests
import pgtier
from lib import Skip, check, equal, limit, until
from test_pgweir import leave_out_backups

HOST = "backend.apps.svc.cluster.local"
SECRETS = os.path.join(manifests.TOP, "overlays", "sidecar", "secrets", "sidecar-secrets.yaml")
ENDPOINT_LAG_S = 3


def apply_overlay(cluster):
    """Everything in the namespace of the backend as the overlay has it, and what its Secrets and certificates are."""
    try:
        done = subprocess.run(["kubectl", "kustomize", os.path.join(manifests.TOP, "overlays", "sidecar")],
                              capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        raise Skip("no kubectl here") from e
    equal(done.returncode, 0, done.stderr)
    for one in manifests.yaml.safe_load_all(done.stdout):
        if one["metadata"].get("namespace") == "apps":
            cluster.apply(one)
    cluster.make_secrets(SECRETS)
    cluster.make_certificates()


def call(conn, method, path, body=None, key=None):
    """(status, body) over an open connection."""
    headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
    conn.request(method, path, body=json.dumps(body) if body else None, headers=headers)
    answer = conn.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


class Load:
    """Browsers of the Service: transfers and reads, on connections that are kept and on new ones.

    patient: 503 and 504 are tried again with the same Idempotency-Key, as the API says; else they are errors.
    """

    def __init__(self, patient=False):
        self.patient, self.over, self.lock = patient, threading.Event(), threading.Lock()
        self.done, self.reads, self.repeats, self.errors = 0, 0, 0, []
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(6)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        conn, is_kept = None, number % 2
        while not self.over.is_set():
            try:
                conn = conn or http.client.HTTPConnection(HOST, 80, timeout=60)
                key = uuid.uuid4().hex
                self.transfer(conn, number, key)
                status, said = call(conn, "GET", "/api/quotes")
                self.count(status == 200 or self.patient and status in (503, 504), f"GET {status} {said}")
            except (OSError, http.client.HTTPException) as e:
                with self.lock:
                    self.errors.append(f"{'kept' if is_kept else 'new'} connection: {type(e).__name__} {e}")
                conn = None
            if conn and (not is_kept or conn.sock is None):
                conn.close()
                conn = None

    def transfer(self, conn, number, key):
        body = {"from_account": number * 2 + 1, "to_account": number * 2 + 2, "amount": "0.01", "note": "load"}
        while True:
            status, said = call(conn, "POST", "/api/transfers", body, key)
            if not (self.patient and status in (503, 504)):
                break
            with self.lock:
                self.repeats += 1
            time.sleep(1)
        with self.lock:
            self.done += status in (200, 201)
            if status not in (200, 201):
                self.errors.append(f"POST {status} {said}")

    def count(self, is_good, text):
        with self.lock:
            self.reads += 1
            if not is_good:
                self.errors.append(text)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def in_table(cluster):
    """(transfers of the load, the sum of all balances) on the leader."""
    with pgtier.connect(cluster, "postgres-primary", "finai", "app-password", "finai") as conn:
        return conn.execute("select (select count(*) from finai.transfers where note = 'load'),"
                            " (select sum(balance) from finai.accounts)").fetchone()


@limit(700)
def test_sidecar(cluster, binary, sub):
    program = cluster.images["pgweir/finai-backend"]["files"]["/usr/bin/finai-backend"]
    if not os.access(program, os.X_OK):
        raise Skip(f"no program {program}: build it first, or set FINAI_BACKEND")
    check(binary, "no program")
    apply_overlay(cluster)
    leave_out_backups(cluster)
    members = pgtier.start(cluster, members=2)
    pods = [cluster.pod("apps", "backend", n).start() for n in range(2)]
    check_start(cluster, pods, sub)
    pods = check_rolling_restart(cluster, pods, sub)
    check_killed_leader(cluster, members, sub)


def check_start(cluster, pods, sub):
    with sub("sidecar::ready_with_pgweir_inside"):
        for pod in pods:
            pod.wait_ready(90)
            equal([c["name"] for c in pod.spec["initContainers"]], ["pgweir", "migrate"])
            for kind in ("startup", "readiness", "liveness"):
                for container in ("pgweir", "backend"):
                    worked, said = pod.probe(kind, container)
                    check(worked, f"{container} {kind}: {said}")
    with sub("sidecar::the_backend_reaches_pgweir_in_its_own_pod_only"):
        for pod in pods:
            check("@127.0.0.1:6432/" in pod.container("backend").env["DATABASE_URL"], "another address")
            check("@127.0.0.1:6432/" in pod.container("migrate").env["DATABASE_URL"], "migrate has another address")
            try:
                socket.create_connection((pod.ip, 6432), 3).close()
            except OSError:
                pass
            else:
                raise AssertionError("pgweir's plain port is open to other pods")
    with sub("sidecar::config_is_accepted_without_a_word"):
        done = pods[0].exec("pgweir", ["/usr/bin/pgweir", "--check", "/etc/pgweir/config/pgweir.ini"])
        equal(done.returncode, 0, done.stdout + done.stderr)
        check("no effect" not in done.stdout, done.stdout)
    with sub("sidecar::a_pod_without_pgweir_is_not_ready"):
        pods[0].kill("pgweir", 19)    # SIGSTOP: it answers nothing
        until("a pod that isn't ready", 30, lambda: not pods[0].is_ready())
        pods[0].kill("pgweir", 18)
        pods[0].wait_ready(60)
    equal(int(in_table(cluster)[0]), 0)


def check_rolling_restart(cluster, pods, sub):
    """As the Deployment does it: a new pod is ready before an old one is asked to end."""
    cluster.endpoint_lag_s = ENDPOINT_LAG_S
    total = in_table(cluster)[1]
    with sub("sidecar::rolling_restart_without_an_error"):
        load, fresh = Load(), []
        try:
            until("load", 30, lambda: load.done > 20 or load.errors)
            for number, old in enumerate(pods):
                fresh.append(cluster.pod("apps", "backend", len(pods) + number).start().wait_ready(90))
                ended = old.stop()
                equal(ended, {"backend": 0, "pgweir": 0}, old.log_tails())
                check(old.ends["backend"] < old.ends["pgweir"], "pgweir ended before the application")
                check(old.hooks["pgweir"][0], f"preStop: {old.hooks['pgweir'][1]}")
        finally:
            load.stop()
        equal(load.errors, [])
        check(load.done > 50 and load.reads > 50, f"{load.done} transfers, {load.reads} reads")
        equal(in_table(cluster), (load.done, total))
    cluster.endpoint_lag_s = 0
    return fresh


def check_killed_leader(cluster, members, sub):
    before, total = in_table(cluster)
    with sub("sidecar::killed_leader_every_transfer_once"):
        load = Load(patient=True)
        try:
            until("load", 30, lambda: load.done > 20 or load.errors)
            old = pgtier.leader(members)
            old.crash()
            new = pgtier.leader(members, 120, but=old)
            until("the Service follows", 30, lambda: new.labels.get("role") == "master", 0.5)
            reached = load.done
            until("work on the new leader", 60, lambda: load.done > reached + 20 or load.errors)
        finally:
            load.stop()
        equal(load.errors, [])
        after, now = in_table(cluster)
        equal((after - before, now), (load.done, total))
