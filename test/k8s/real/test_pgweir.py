# SPDX-License-Identifier: PostgreSQL
"""pgweir's pods from the text of their manifests, before a real Patroni tier.

What is shown: the ConfigMap's ini is the shipped one and is accepted in the
pod; probes without a tier and with one; a rolling restart under load without
an error for clients that come through the Service; a killed leader: readiness
stays, what is asked meanwhile waits and is done.
"""
import copy
import os
import re
import subprocess
import threading
import time

import psycopg

import manifests
import pgtier
from lib import check, equal, limit, until

INI = "/etc/pgweir/config/pgweir.ini"
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"
# Below drain_delay. A drain_delay of 0 makes the rolling restart fail.
ENDPOINT_LAG_S = 5
SCRIPT = """\\set id random(5, 100)
begin;
update drained set n = n + 1 where id = :id;
select n from drained where id = :id;
commit;
"""


def url(cluster):
    """What a pod's DATABASE_URL says, with the certificate verified."""
    return (f"postgresql://finai:{pgtier.password(cluster, 'app-password')}"
            "@pgweir.pgweir.svc.cluster.local:5432/finai"
            f"?sslmode=verify-full&sslrootcert={cluster.authority['crt']}&connect_timeout=10")


def connect(cluster):
    return psycopg.connect(url(cluster), autocommit=True)


def leave_out_backups(cluster):
    """Two members without the repository host: an archive that isn't there would hold up the replica."""
    one = copy.deepcopy(cluster.get("ConfigMap", "data", "patroni-config"))
    for command in ("archive_command: /bin/true", "restore_command: /bin/false"):
        name = command.partition(":")[0]
        one["data"]["patroni.yml"], count = re.subn(name + ": .*", command, one["data"]["patroni.yml"])
        check(count, f"no {name} in patroni.yml")
    cluster.apply(one)


@limit(500)
def test_pgweir(cluster, binary, sub):
    check(binary, "no program")
    pods = cluster.start_all("pgweir", "pgweir", 2)
    check_ini(cluster, pods[0], sub)
    check_probes_alone(pods, sub)
    leave_out_backups(cluster)
    members = pgtier.start(cluster, members=2)
    with sub("pgweir::ready_when_there_is_a_primary"):
        for pod in pods:
            pod.wait_ready(60)
        with connect(cluster) as conn:
            equal(conn.execute("select current_user::text").fetchone(), ("finai",))
            conn.execute("create table drained (id int primary key, n int not null)")
            conn.execute("insert into drained select i, 0 from generate_series(1, 100) i")
    check_reload(pods[0], sub)
    pods = check_rolling_restart(cluster, pods, sub)
    check_killed_leader(cluster, pods, members, sub)


def check_ini(cluster, pod, sub):
    with sub("pgweir::config_map_is_the_shipped_ini"):
        with open(os.path.join(manifests.TOP, "etc", "kubernetes.ini"), encoding="utf-8") as f:
            equal(cluster.get("ConfigMap", "pgweir", "pgweir-config")["data"]["pgweir.ini"], f.read())
    with sub("pgweir::check_accepts_it_in_the_pod"):
        done = pod.exec("pgweir", ["/usr/bin/pgweir", "--check", INI])
        equal(done.returncode, 0, done.stdout + done.stderr)
        check("no effect" not in done.stdout, done.stdout)
        shown = pod.exec("pgweir", ["/usr/bin/pgweir", "--print-config", INI]).stdout
        for secret in cluster.secrets[("pgweir", "pgweir-auth")].values():
            check(secret.decode().strip() not in shown, "a secret is printed")


def check_probes_alone(pods, sub):
    with sub("pgweir::alive_but_not_ready_without_a_tier"):
        for pod in pods:
            until("the start", 30, lambda p=pod: p.probe("startup", "pgweir")[0])
            worked, said = pod.probe("liveness", "pgweir")
            check(worked, said)
            worked, said = pod.probe("readiness", "pgweir")
            check(not worked, f"ready without a primary: {said}")
            equal(pod.container("pgweir").restarts, 0)


def check_reload(pod, sub):
    with sub("pgweir::reload_command_in_the_pod"):
        equal(pod.exec("pgweir", ["/usr/bin/pgweir", "--reload", INI]).returncode, 0)
        until("the reload", 10, lambda: "reloaded " in pod.log("pgweir"))
        check("reload_failed" not in pod.log("pgweir"), pod.log("pgweir")[-2000:])


class Load:
    """pgbench with a connection per transaction, and pooled clients; until stop()."""

    def __init__(self, cluster):
        self.cluster, self.done = cluster, threading.Event()
        self.transactions, self.errors, self.reopened = 0, [], 0
        self.lock = threading.Lock()
        self.script = os.path.join(cluster.scratch, "drain.sql")
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(SCRIPT)
        self.threads = [threading.Thread(target=self.bench)] + \
            [threading.Thread(target=self.pooled, args=(n,)) for n in range(4)]
        for thread in self.threads:
            thread.start()

    def bench(self):
        while not self.done.is_set():
            run = subprocess.run([PGBENCH, "-n", "-C", "-c", "3", "-j", "1", "-T", "4", "-f", self.script,
                                  url(self.cluster)], capture_output=True, text=True, check=False)
            found = re.search(r"actually processed: (\d+)", run.stdout)
            with self.lock:
                self.transactions += int(found[1]) if found else 0
                if run.returncode or not found or "failed transactions: 0 " not in run.stdout:
                    self.errors.append(run.stdout[-500:] + run.stderr[-500:])

    def pooled(self, number):
        """A pool's client: opens anew what was closed while it lay idle. Only BEGIN may find that out."""
        conn = None
        while not self.done.is_set():
            try:
                conn = self.begun(conn)
                conn.execute("update drained set n = n + 1 where id = %s", (number + 1,))
                time.sleep(0.4)    # an open transaction is what a drain must wait for
                conn.execute("select n from drained where id = %s", (number + 1,))
                conn.execute("commit")
                with self.lock:
                    self.transactions += 1
                time.sleep(0.05)
            except psycopg.Error as e:
                with self.lock:
                    self.errors.append(f"{type(e).__name__}: {e}")
                conn = None
        if conn:
            conn.close()

    def begun(self, conn):
        """The connection, or a new one in its place, in a transaction."""
        if conn:
            try:
                conn.execute("begin")
                return conn
            except psycopg.OperationalError:
                with self.lock:
                    self.reopened += 1
        conn = connect(self.cluster)
        conn.execute("begin")
        return conn

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


def check_rolling_restart(cluster, pods, sub):
    """As the Deployment does it: a new pod is ready before an old one is asked to end.

    The Service goes on leading to the old pod for some seconds: drain_delay is what takes those connections.
    """
    cluster.endpoint_lag_s = ENDPOINT_LAG_S
    with sub("pgweir::rolling_restart_without_an_error"):
        load = Load(cluster)
        fresh = []
        try:
            until("load", 30, lambda: load.transactions > 20 or load.errors)
            for number, old in enumerate(pods):
                fresh.append(cluster.pod("pgweir", "pgweir", len(pods) + number).start().wait_ready(60))
                equal(old.stop(), {"pgweir": 0}, old.log_tails())
                worked, said = old.hooks["pgweir"]
                check(worked, f"preStop: {said}")
                log = old.log("pgweir")
                check("drained clients_left=0" in re.sub(r" +", " ", log), log[-1500:])
        finally:
            load.stop()
        equal(load.errors, [])
        check(load.reopened > 0, "no pooled client was closed while idle: the drain isn't tried")
        with connect(cluster) as conn:
            equal(int(conn.execute("select sum(n) from drained").fetchone()[0]), load.transactions)
    cluster.endpoint_lag_s = 0
    return fresh


def check_killed_leader(cluster, pods, members, sub):
    with sub("pgweir::killed_leader_keeps_readiness_and_the_queue"):
        leader, unready, over, results = pgtier.leader(members), [], threading.Event(), []

        def watch():
            while not over.is_set():
                for pod in pods:
                    worked, said = pod.probe("readiness", "pgweir")
                    if not worked:
                        unready.append(f"{pod.name}: {said}")
                over.wait(0.2)

        def ask(number):
            try:
                with connect(cluster) as conn:
                    conn.execute("insert into drained values (%s, 1)", (1000 + number,))
                results.append("done")
            except psycopg.Error as e:
                results.append(str(e))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            leader.kill("postgres")
            time.sleep(0.3)
            askers = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
            for thread in askers:
                thread.start()
            for thread in askers:
                thread.join()
        finally:
            over.set()
            watcher.join()
        equal(results, ["done"] * 8)
        equal(unready, [])
        with connect(cluster) as conn:
            # Another session's writes: a replica may be a moment behind, so the primary is asked.
            equal(conn.execute("select count(*) from drained where id >= 1000 /* pgweir: route=primary */")
                  .fetchone(), (8,))
