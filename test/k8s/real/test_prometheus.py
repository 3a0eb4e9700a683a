# SPDX-License-Identifier: PostgreSQL
"""Monitoring for real: Debian's Prometheus and Alertmanager over the tier of the manifests.

The shipped monitors, rules, dashboards and Alertmanager's configuration, as
scrape.py and monitoring.py turn them into what the operator would make. Load
goes through pgweir; then the leader's node goes away, its alert fires, mutes
what follows from it, reaches the receiver, and ends when there is a leader.
"""
import json
import math
import re
import subprocess
import time

import lists
import manifests
import monitoring
import pgtier
import test_pgweir
from lib import check, equal, limit, needs, until

MEMBERS, WEIRS = 3, 2
# What can't run here exports nothing; expressions over it are named, not asked.
NOT_HERE = ("nginx-ingress", "istiod", "mongodb", "cache/redis/", "apps/backend")
ABSENT = {"finai[_:]": "the application isn't started here", "kube_": "kube-state-metrics needs an API server", "container_": "cAdvisor is the kubelet's",
          "kubelet_": "no kubelet", "nginx_ingress_": "the ingress controller needs an API server",
          "istio_": "no Envoy", "pilot_": "no istiod", "mongodb_": "MongoDB has no package",
          "node_": "the nodes' exporter isn't part of the tier", "cluster_autoscaler_": "no autoscaler"}
SCRIPT = """\\set id random(1, 100)
select n from fixed where id = 1;
select n from moving where id = :id;
update moving set n = n + 1 where id = :id;
"""
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"


@limit(500)
@needs("prometheus", "prometheus-alertmanager", "prometheus-postgres-exporter", "prometheus-redis-exporter")
def test_monitoring(cluster, binary, sub):
    check(binary, "no program")
    test_pgweir.leave_out_backups(cluster)
    members = pgtier.start(cluster, members=MEMBERS)
    monitoring.redis_cluster(cluster)
    monitoring.exporters(cluster, MEMBERS)
    weirs = cluster.start_all("pgweir", "pgweir", WEIRS)
    for pod in weirs:
        pod.wait_ready(60)
    receiver = monitoring.Receiver()
    muter = monitoring.alertmanager(cluster)
    prometheus = monitoring.Prometheus(cluster)
    prometheus.start()
    try:
        check_targets(prometheus, sub)
        load(cluster)
        check_rules(prometheus, sub)
        check_lists(cluster, sub)
        check_dashboards(cluster, prometheus, sub)
        check_leader_lost(cluster, prometheus, muter, receiver, members, sub)
    finally:
        receiver.close()


def targets_of(prometheus, jobs):
    """{job of the configuration: [(pod, health, error)]}; a job without targets is there too."""
    found = {j: [] for j in jobs}
    for pool, pod, health, error in prometheus.targets():
        found[pool].append((pod, health, error))
    return found


def check_targets(prometheus, sub):
    jobs = [j["job_name"] for j in monitoring.scrape.scrape_configs(prometheus.cluster, {})]
    with sub("prometheus::every_target_is_up"):
        def down():
            found = targets_of(prometheus, jobs)
            return [(j, t) for j, ts in found.items() for t in ts if t[1] != "up"] or \
                [j for j, ts in found.items() if not ts and not any(w in j for w in NOT_HERE)]
        until("targets", 60, lambda: not down() or print(f"# {down()}"), 3)
        empty = [j for j, ts in targets_of(prometheus, jobs).items() if not ts]
        print(f"# jobs without a target here: {', '.join(empty)}")
    with sub("prometheus::labels_are_those_that_rules_use"):
        members = {m["member"] for m, _ in prometheus.query('up{job="postgres-exporter"}')}
        equal(members, {f"postgres-{n}" for n in range(MEMBERS)})
        equal(len(prometheus.query('up{job="pgweir/pgweir",namespace="pgweir"} == 1')), WEIRS)
        equal(len(prometheus.query('up{job="cache/redis-cluster"} == 1')), 6)


def load(cluster):
    """Transactions through pgweir; some are still in the windows of all rules when this returns."""
    url = test_pgweir.url(cluster)
    with test_pgweir.connect(cluster) as conn:
        for name in ("fixed", "moving"):
            conn.execute(f"create table {name} (id int primary key, n int not null)")
            conn.execute(f"insert into {name} select i, 0 from generate_series(1, 100) i")
    script = cluster.scratch + "/load.sql"
    with open(script, "w", encoding="utf-8") as f:
        f.write(SCRIPT)
    done = subprocess.run([PGBENCH, "-n", "-c", "4", "-j", "1", "-T", "15", "-R", "200", "-f", script, url],
                          capture_output=True, text=True, check=False)
    equal(done.returncode, 0, done.stdout + done.stderr)


def check_rules(prometheus, sub):
    with sub("prometheus::every_rule_is_healthy"):
        rules = [r for g in prometheus.api("rules")["groups"] for r in g["rules"]]
        until("evaluations", 60, lambda: all(r["health"] != "unknown" for g in prometheus.api("rules")["groups"]
                                             for r in g["rules"]), 1)
        rules = [r for g in prometheus.api("rules")["groups"] for r in g["rules"]]
        equal([(r["name"], r.get("lastError")) for r in rules if r["health"] != "ok"], [])
        shipped = [r for o in prometheus.cluster.objects("PrometheusRule") for g in o["spec"]["groups"]
                   for r in g["rules"]]
        equal(len(rules), len(shipped), "rules that the Prometheus object selects")


def exporters_of(cluster):
    """{list: (addresses, head)} of what runs here."""
    def all_of(ns, name):
        return [p for (n, _), p in cluster.pods.items()
                if n == ns and p.labels.get("app.kubernetes.io/name") == name and p.phase == "running"]

    def urls(ns, name, port, scheme="http"):
        return [f"{scheme}://{p.ip}:{port}/metrics" for p in all_of(ns, name)]
    (redis,) = all_of("cache", "redis-exporter")
    nodes = [f"http://{redis.ip}:9121/scrape?target=redis://{p.name}.redis-cluster-nodes.cache.svc.cluster.local:6379"
             for p in all_of("cache", "redis-cluster")]
    return {"pgweir": (urls("pgweir", "pgweir", 9127), "pgweir"),
            "patroni": (urls("data", "postgres", 8008, "https"), "Patroni 3.0.2"),
            "etcd": (urls("data", "etcd", 2381), "etcd 3.4.23"),
            "postgres-exporter": (urls("data", "postgres-exporter", 9187),
                                  "postgres_exporter 0.11.1 with the queries of postgres/performance-monitoring.yaml"),
            "redis-exporter": (nodes, "redis_exporter 1.45.0 before Redis 7.0.15 in cluster mode"),
            "prometheus": (urls("monitoring", "prometheus", 9090), "Prometheus 2.42 (what ships is 3.5)"),
            "alertmanager": (urls("monitoring", "alertmanager", 9093), "Alertmanager 0.25 (what ships is 0.28)")}


def check_lists(cluster, sub):
    for name, (urls, head) in exporters_of(cluster).items():
        exported = lists.live(urls)
        if "METRICS_OUT" in lists.os.environ:
            lists.write(name, exported, head)
        with sub(f"prometheus::the_lists_hold::{name}"):
            listed = lists.read(name)
            equal(lists.missing(listed, exported), [])
            new = sorted(set(exported) - set(listed))
            # What this repository defines is listed whole; others show more as they live on.
            if name in ("pgweir", "postgres-exporter"):
                check(not new, f"not in {name}.txt: {new}; run test/k8s/metrics/capture")


def panels(cluster):
    """(dashboard, panel, expression) of every shipped dashboard."""
    for one in cluster.objects("ConfigMap", "monitoring"):
        if not one["metadata"]["name"].startswith("grafana-dashboards-"):
            continue
        for text in one["data"].values():
            board = json.loads(text)
            for panel in board["panels"]:
                for target in panel.get("targets", []):
                    yield board["uid"], panel["title"], target["expr"]


def why_absent(expr):
    for prefix, reason in ABSENT.items():
        if re.search(r"\b" + prefix, expr):
            return reason
    return None


def check_dashboards(cluster, prometheus, sub):
    silent = []
    with sub("prometheus::every_panel_shows_something"):
        for board, title, expr in panels(cluster):
            reason = why_absent(expr)
            if reason:
                print(f"# not asked: {board}, {title}: {reason}")
                continue
            expr = re.sub(r"\$\{?__rate_interval\}?", "5m", expr)
            expr = re.sub(r"\$\{?\w+\}?", ".*", expr)
            if not [v for _, v in prometheus.query(expr) if not math.isnan(v)]:
                silent.append(f"{board}, {title}: {expr}")
        equal(silent, [])


def check_leader_lost(cluster, prometheus, muter, receiver, members, sub):
    """The leader's node goes away: its pod stays listed, nothing answers there."""
    old = pgtier.leader(members)
    before = len(receiver.notes)
    prometheus.lost = [old]
    old.crash()
    prometheus.publish()
    with sub("prometheus::a_lost_leader_fires_its_alert"):
        until("PatroniNoLeader", 60, lambda: "PatroniNoLeader" in prometheus.firing(), 0.5)
        until("the pager's note", 30, lambda: ("pager", "firing", "PatroniNoLeader") in receiver.notes[before:], 0.5)
    with sub("prometheus::what_follows_from_it_is_muted"):
        until("muted alerts", 30, lambda: {"suppressed"} == monitoring.alerts_of(muter).get("PgweirNoPrimary"), 0.5)
    with sub("prometheus::one_lost_member_takes_no_other_metrics_along"):
        up = {m["member"]: v for m, v in prometheus.query("pg_up")}
        others = {p.name for p in members if p is not old}
        check(all(up.get(name) == 1 for name in others), f"{up}")
        check(up.get(old.name) != 1, f"{up}")
    new = pgtier.leader(members, 90, but=old)
    with sub("prometheus::a_new_leader_ends_it"):
        until("no alert", 60, lambda: "PatroniNoLeader" not in prometheus.firing(), 0.5)
        until("the end is told", 60, lambda: ("pager", "resolved", "PatroniNoLeader") in receiver.notes[before:], 0.5)
        check(new is not old, "the lost one leads")
    with sub("prometheus::routes_by_severity"):
        until("a warning", 60, lambda: any(n[0] == "chat" and n[1] == "firing" for n in receiver.notes), 0.5)
        severity = {r["alert"]: r["labels"]["severity"] for o in cluster.objects("PrometheusRule")
                    for g in o["spec"]["groups"] for r in g["rules"] if "alert" in r}
        for where, _, name in receiver.notes:
            equal(where, {"critical": "pager", "warning": "chat"}.get(severity[name]), name)
        token = cluster.secrets[("monitoring", "alertmanager-receivers")]["webhook-token"].decode()
        equal(receiver.tokens, {"Bearer " + token})
