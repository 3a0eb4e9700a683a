# SPDX-License-Identifier: PostgreSQL
"""Nodes drained and members restarted, by real kubectl, while clients work through pgweir.

etcd, four members and two pgweir on five nodes. Each node is drained in turn: budgets let one member go at a time, the
leader's preStop hook switches over, everything comes back elsewhere. Then k8s/postgres/roll brings a changed text of the
StatefulSet to all members, the old leader last. What a client may see is what docs/failover.md says: a transaction that
is open when the leader changes ends with 08006 or 08007; with roll, which holds pgweir's clients, nothing at all.
"""
import os
import subprocess
import threading
import time

import psycopg

import manifests
import pgtier
from lib import Skip, check, equal, limit, until
from test_pgweir import connect, leave_out_backups

ROLL = os.path.join(manifests.K8S, "postgres", "roll")
ENDPOINT_LAG_S = 3


class Work:
    """Clients with transactions of two updates and clients with a connection for each; what they saw, by SQLSTATE."""

    def __init__(self, cluster):
        self.cluster, self.over = cluster, threading.Event()
        self.lock = threading.Lock()
        self.committed, self.lost, self.unknown, self.wrong = 0, 0, 0, []
        self.threads = [threading.Thread(target=self.run, args=(n, n < 4)) for n in range(6)]
        for thread in self.threads:
            thread.start()

    def run(self, number, is_pooled):
        conn = None
        while not self.over.is_set():
            try:
                conn = self.begun(conn)
            except psycopg.Error as e:
                self.note(f"connecting: {type(e).__name__} {e.sqlstate}: {e}")
                time.sleep(0.5)
                continue
            self.transfer(conn, number)
            if conn.closed or not is_pooled:
                conn.close()
                conn = None

    def begun(self, conn):
        """As a pool does: only BEGIN may find that a connection was closed while it lay idle."""
        if conn is not None:
            try:
                conn.execute("begin")
                return conn
            except psycopg.OperationalError:
                conn.close()
        conn = connect(self.cluster)
        conn.execute("begin")
        return conn

    def transfer(self, conn, number):
        try:
            conn.execute("update moved set n = n - 1 where id = %s", (number,))
            time.sleep(0.05)
            conn.execute("update moved set n = n + 1 where id = %s", (number + 100,))
            conn.execute("commit")
            with self.lock:
                self.committed += 1
        except psycopg.Error as e:
            self.note(f"in a transaction: {type(e).__name__} {e.sqlstate}: {e}", e.sqlstate)
            if not conn.closed:
                conn.execute("rollback")

    def note(self, text, sqlstate=None):
        with self.lock:
            self.lost += sqlstate == "08006"
            self.unknown += sqlstate == "08007"
            if sqlstate not in ("08006", "08007"):
                self.wrong.append(text)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Watch:
    """The fewest ready members, and how many leaders there were, while it looks."""

    def __init__(self, cluster):
        self.cluster, self.over, self.fewest, self.leaders = cluster, threading.Event(), 4, []
        self.then = []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            ready = [p for p in members(self.cluster) if p.is_ready()]
            if len(ready) < self.fewest:
                self.fewest = len(ready)
                self.then = [f"{p.name} on {p.node}: {p.phase}, {p.labels.get('role')}, ready {p.is_ready()}"
                             for p in members(self.cluster)]
            # The old leader keeps its label for a moment.
            leader = [p.name for p in ready if p.labels.get("role") == "master"]
            if len(leader) == 1 and leader != self.leaders[-1:]:
                self.leaders += leader
            self.over.wait(0.1)

    def stop(self):
        self.over.set()
        self.thread.join()


def members(cluster):
    return [p for (ns, _), p in sorted(cluster.pods.items()) if ns == "data" and p.owner == ("StatefulSet", "postgres")]


def is_whole(cluster):
    roles = sorted(p.labels.get("role", "none") for p in members(cluster) if p.is_ready())
    return roles == ["master", "replica", "replica", "replica"] and \
        all(p.is_ready() for p in list(cluster.pods.values()) if p.owner and p.phase != "stopped")


def kubectl(env, *words, seconds=280):
    return subprocess.run(["kubectl", *words], env=env, capture_output=True, text=True, timeout=seconds, check=False)


@limit(900)
def test_drain(cluster, binary, sub):
    check(binary, "no program")
    try:
        subprocess.run(["kubectl", "version", "--client"], capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as e:
        raise Skip("no kubectl here") from e
    env = {**os.environ, "KUBECONFIG": cluster.kubeconfig()}
    leave_out_backups(cluster)
    pgtier.start(cluster)
    for pod in cluster.start_all("pgweir", "pgweir", 2):
        pod.wait_ready(60)
    with connect(cluster) as conn:
        conn.execute("create table moved (id int primary key, n int not null)")
        conn.execute("insert into moved select i, 0 from generate_series(0, 200) i")
    until("a whole tier", 60, lambda: is_whole(cluster), 0.5)
    cluster.endpoint_lag_s = ENDPOINT_LAG_S
    check_budgets(cluster, sub)
    check_drains(cluster, env, sub)
    check_roll(cluster, env, sub)


def check_budgets(cluster, sub):
    with sub("drain::one_replica_at_a_time"):
        replicas = [p for p in members(cluster) if p.labels["role"] == "replica"]
        equal(cluster.controllers.evict(replicas[0]), None)
        for other in replicas[1:]:
            check("disruption budget" in (cluster.controllers.evict(other) or ""), "a second replica was let go")
        cluster.controllers.wait()
        until("a whole tier", 120, lambda: is_whole(cluster), 0.5)


def start_load(cluster):
    with connect(cluster) as conn:
        conn.execute("update moved set n = 0")
    return Work(cluster), Watch(cluster)


def seen(work, watch, changes_allowed):
    """No error but those of transactions that were open when the leader changed, and no sum is off."""
    equal(work.wrong, [])
    changes = max(len(watch.leaders) - 1, 0)
    check(work.committed > 100, f"only {work.committed} transactions")
    allowed = 6 * changes if changes_allowed else 0
    check(work.lost + work.unknown <= allowed, f"{work.lost} lost, {work.unknown} unknown in {changes} changes of leader")
    with connect(work.cluster) as conn:
        query = "select sum(n), sum(n) filter (where id >= 100) from moved /* pgweir: route=primary */"
        total, moved = conn.execute(query).fetchone()
    equal(int(total), 0)
    check(work.committed <= int(moved) <= work.committed + work.unknown,
          f"{moved} in the table, {work.committed} committed, {work.unknown} unknown")
    print(f"# {work.committed} committed, {work.lost} lost, {work.unknown} unknown, {changes} changes of leader, "
          f"at least {watch.fewest} members ready", flush=True)


def check_drains(cluster, env, sub):
    with sub("drain::every_node_in_turn_under_load"):
        work, watch = start_load(cluster)
        try:
            for node in list(cluster.controllers.nodes):
                done = kubectl(env, "drain", node, "--delete-emptydir-data", "--timeout=240s")
                equal(done.returncode, 0, f"{node}: {done.stderr[-2000:]}")
                there = [p.name for p in cluster.pods.values() if p.node == node and p.phase != "stopped"]
                equal(there, [], f"left on {node}")
                cluster.controllers.wait()
                until("a whole tier", 120, lambda: is_whole(cluster), 0.5)
                equal(kubectl(env, "uncordon", node).returncode, 0)
        finally:
            work.stop()
            watch.stop()
        check(len(watch.leaders) > 1, "the leader was never drained")
        check(watch.fewest >= 2, f"{watch.fewest} members were ready: {watch.then}")
        seen(work, watch, True)


def check_roll(cluster, env, sub):
    one = cluster.get("StatefulSet", "data", "postgres")
    one["spec"]["template"]["metadata"].setdefault("annotations", {})["changed"] = "yes"
    newest = cluster.revision(one)
    cluster.apply(one)
    with sub("roll::new_text_everywhere_old_leader_last_no_error"):
        leader = next(p.name for p in members(cluster) if p.labels["role"] == "master")
        cluster.controllers.ended.clear()
        work, watch = start_load(cluster)
        try:
            done = subprocess.run([ROLL], env=env, capture_output=True, text=True, timeout=400, check=False)
        finally:
            work.stop()
            watch.stop()
        equal(done.returncode, 0, done.stdout + done.stderr)
        order = [p.name for p in cluster.controllers.ended]
        equal(sorted(order), ["postgres-0", "postgres-1", "postgres-2", "postgres-3"])
        equal(order[-1], leader, f"order {order}")
        equal({p.labels["controller-revision-hash"] for p in members(cluster)}, {newest})
        equal(len(watch.leaders), 2, f"{watch.leaders}: one switchover")
        check(watch.fewest >= 3, f"{watch.fewest} members were ready: {watch.then}")
        seen(work, watch, False)
    with sub("roll::a_second_run_does_nothing"):
        cluster.controllers.ended.clear()
        done = subprocess.run([ROLL], env=env, capture_output=True, text=True, timeout=60, check=False)
        equal((done.returncode, done.stdout), (0, "all members are up to date\n"), done.stderr)
        equal(cluster.controllers.ended, [])
    with sub("roll::a_tier_that_is_not_whole_is_left_alone"):
        pod = next(p for p in members(cluster) if p.labels["role"] == "replica")
        pod.labels["role"] = "none"
        pod.kill("role-label", 19)    # SIGSTOP: the label stays away
        done = subprocess.run([ROLL, "--all"], env=env, capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode == 1 and "isn't whole" in done.stderr, f"{done}")
        equal(cluster.controllers.ended, [])
