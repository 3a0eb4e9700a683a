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

import app_load
import lists
import manifests
import monitoring
import pgtier
import test_pgweir
from lib import check, equal, limit, needs, until

MEMBERS, WEIRS, APPS = 3, 2, 2
# What can't run here exports nothing; expressions over it are named, not asked.
NOT_HERE = ("nginx-ingress", "istiod", "mongodb", "cache/redis/")
ABSENT = {"kube_": "kube-state-metrics needs an API server", "container_": "cAdvisor is the kubelet's",
          "kubelet_": "no kubelet", "nginx_ingress_": "the ingress controller needs an API server",
          "istio_": "no Envoy", "pilot_": "no istiod", "mongodb_": "MongoDB has no package",
          "node_": "the nodes' exporter isn't part of the tier", "cluster_autoscaler_": "no autoscaler"}
SCRIPT = """\\set id random(1, 100)
select n from fixed where id = 1;
select n from moving where id = :id;
update moving set n = n + 1 where id = :id;
"""
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"


@limit(580)
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
    apps = app_load.start(cluster, APPS)
    receiver = monitoring.Receiver()
    muter = monitoring.alertmanager(cluster)
    prometheus = monitoring.Prometheus(cluster)
    prometheus.start()
    try:
        check_targets(prometheus, sub)
        load(cluster)
        app_load.run(apps)
        app_load.cancelled(cluster, apps[0])
        check_rules(prometheus, sub)
        check_queries(cluster, prometheus, sub)
        check_lists(cluster, sub)
        check_adapter(cluster, prometheus, sub)
        check_dashboards(cluster, prometheus, sub)
        old = check_leader_lost(cluster, prometheus, muter, receiver, members, sub)
        check_all_well_again(prometheus, old, sub)
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
        equal(len(prometheus.query('up{job="apps/backend"} == 1')), APPS)


def check_queries(cluster, prometheus, sub):
    with sub("prometheus::every_query_of_the_exporters_works"):
        equal(prometheus.query("pg_exporter_last_scrape_error > 0 or pg_exporter_user_queries_load_error > 0"), [])
        equal(len(prometheus.query("pg_up == 1")), MEMBERS)
        with pgtier.connect(cluster, "postgres-primary") as conn:
            # Two, whoever asks how often: what the sum of connection-pooling.yaml has room for.
            used, ciphered = conn.execute(
                "select count(*), count(*) filter (where ssl) from pg_stat_activity join pg_stat_ssl using (pid)"
                " where usename = 'exporter'").fetchone()
        check(1 <= used <= 2 and ciphered == used, f"{used} connections, {ciphered} over TLS")


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
        def loaded():
            return [r for g in prometheus.api("rules")["groups"] for r in g["rules"]]
        until("evaluations", 60, lambda: all(r["health"] != "unknown" for r in loaded()), 1)
        rules = loaded()
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
    return {"finai-backend": (urls("apps", "backend", 8080), "the sample application's backend"),
            "pgweir": (urls("pgweir", "pgweir", 9127), "pgweir"),
            "patroni": (urls("data", "postgres", 8008, "https"), "Patroni 3.0.2"),
            "etcd": (urls("data", "etcd", 2381), "etcd 3.4.23"),
            "postgres-exporter": (urls("data", "postgres-exporter", 9187),
                                  "postgres_exporter 0.11.1 with the queries of postgres/performance-monitoring.yaml"),
            "redis-exporter": (nodes, "redis_exporter 1.45.0 before Redis 7.0.15 in cluster mode"),
            "prometheus": (urls("monitoring", "prometheus", 9090), "Prometheus 2.42 (what ships is 3.5)"),
            "alertmanager": (urls("monitoring", "alertmanager", 9093), "Alertmanager 0.25 (what ships is 0.28)")}


def compare(name, urls, head):
    """A list and its exporters; None when the list holds, else what is wrong. Writes it anew for capture."""
    if "METRICS_OUT" in lists.os.environ:
        lists.write(name, lists.live(urls), head)
    listed, exported = lists.read(name), lists.live(urls)
    wrong = lists.missing(listed, exported)
    # Its queries are ours; the programs of this repository are asked by test/k8s/check, others show more as they live on.
    if name == "postgres-exporter":
        wrong += [f"{n}: not in {name}.txt; run test/k8s/metrics/capture" for n in sorted(set(exported) - set(listed))]
    return wrong or None


def check_lists(cluster, sub):
    if "METRICS_OUT" in lists.os.environ:
        time.sleep(31)    # postgres_exporter keeps some answers for half a minute
    for name, (urls, head) in exporters_of(cluster).items():
        with sub(f"prometheus::the_lists_hold::{name}"):
            deadline = time.monotonic() + 45
            while compare(name, urls, head) and time.monotonic() < deadline:
                time.sleep(5)
            equal(compare(name, urls, head), None)


def check_adapter(cluster, prometheus, sub):
    """The adapter's queries, filled in as it does it, give a value for each pod of a workload with an HPA."""
    config = manifests.yaml.safe_load(cluster.get("ConfigMap", "monitoring", "prometheus-adapter")["data"]["config.yaml"])
    wanted = {m["pods"]["metric"]["name"] for h in cluster.objects("HorizontalPodAutoscaler")
              for m in h["spec"]["metrics"] if m["type"] == "Pods"}
    with sub("prometheus::the_adapter_serves_what_autoscalers_ask_for"):
        equal({r["name"]["as"] for r in config["rules"]}, wanted)
        for rule in config["rules"]:
            series = rule["seriesQuery"].partition("{")[0]
            if why_absent(series):
                print(f"# not asked: {rule['name']['as']}: {why_absent(series)}")
                continue
            check(prometheus.query(rule["seriesQuery"]), rule["seriesQuery"])
            (ns,) = {m["namespace"] for m, _ in prometheus.query(rule["seriesQuery"])}
            query = rule["metricsQuery"].replace("<<.Series>>", series).replace("<<.GroupBy>>", "pod") \
                .replace("<<.LabelMatchers>>", f'namespace="{ns}"')
            pods = {m["pod"] for m, _ in prometheus.query(query)}
            equal(pods, {p.name for p in cluster.pods.values() if p.ns == ns and p.phase == "running"})


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
    check("PatroniNoLeader" not in prometheus.firing(), "it fires while there is a leader")
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
        # Sent again each minute: the first may have come before there was an Alertmanager.
        until("Watchdog", 90, lambda: ("deadman", "firing", "Watchdog") in receiver.notes, 0.5)
        for where, _, name in receiver.notes:
            wanted = "deadman" if name == "Watchdog" else {"critical": "pager", "warning": "chat"}.get(severity[name])
            equal(where, wanted, name)
        token = cluster.secrets[("monitoring", "alertmanager-receivers")]["webhook-token"].decode()
        equal(receiver.tokens, {"pager": f"Bearer {token}", "chat": f"Bearer {token}", "deadman": None})
    return old


def check_all_well_again(prometheus, old, sub):
    """The member comes back at another address: its exporter finds it, and its alerts end."""
    prometheus.lost = []
    old.start()
    prometheus.publish()
    with sub("prometheus::a_member_that_comes_back_is_seen_again"):
        old.wait_ready(120)
        # An exporter that hung on the old address is started again by its liveness probe.
        until("pg_up", 180, lambda: {m["member"] for m, v in prometheus.query("pg_up == 1")} ==
              {f"postgres-{n}" for n in range(MEMBERS)}, 2)
        about = {"PatroniNoLeader", "PatroniPostgresDown", "PgweirNoPrimary", "PgweirNodeDown", "PostgresExporterDown",
                 "PostgresUnreachable", "PostgresReplicaNotStreaming", "TargetDown", "MetricsAbsent"}
        until("quiet", 120, lambda: not about & prometheus.firing() or print(f"# {about & prometheus.firing()}"), 5)
