# SPDX-License-Identifier: PostgreSQL
"""Mutants of monitoring: expressions, metrics, monitors, alerts, dashboards."""
import json
import re

from checker import promql

from . import MUTANTS, edit, mutant, put, rule, swap

RULES = ("PrometheusRule", "monitoring", "finai-alerts")
ADAPTER = ("ConfigMap", "monitoring", "prometheus-adapter")
MANAGER = ("Secret", "monitoring", "alertmanager-config")


def alert(check, name, where, old, new):
    """An alert's expression has another text."""
    def change(body):
        for group in body["spec"]["groups"]:
            for one in group["rules"]:
                if one.get("alert") == name and old in one["expr"]:
                    one["expr"] = one["expr"].replace(old, new)
                    return
        raise LookupError(f"no {old} in {name}")
    rule(check, where, RULES, change)


def field(name, where, change):
    """An alert's own fields."""
    def mutate(body):
        change(next(r for g in body["spec"]["groups"] for r in g["rules"] if r.get("alert") == name))
    rule("monitors", where, RULES, mutate)


def board(check, name, change):
    """The database's dashboard, or what change leaves of it."""
    def mutate(tree):
        for obj, key, found in promql.boards(tree):
            if key == "database.json":
                change(found)
                obj.body["data"][key] = json.dumps(found)
                return
        raise LookupError("no database.json")
    mutate.__doc__ = name
    MUTANTS.append((check, mutate))


def query(found, old, new):
    for panel in promql.panels(found):
        for target in panel.get("targets") or []:
            if old in target["expr"]:
                target["expr"] = target["expr"].replace(old, new)
                return
    raise LookupError(old)


alert("promql", "ApiSlow", "an alert with a bracket too many", "0.1", "0.1)")
alert("promql", "PgweirServerConnectFailures", "a rate without a range", "[5m]", "")
alert("promql", "VolumeFullInFourDays", "a function that isn't one", "predict_linear", "predict_linearly")
board("promql", "a panel whose braces don't close", lambda b: query(b, "pgweir_node_lag_bytes", "pgweir_node_lag_bytes{"))
board("promql", "a panel with a duration that isn't one", lambda b: query(b, "[5m]", "[5x]"))
swap("promql", "an adapter's query that doesn't parse", ADAPTER, "config.yaml", "sum by (<<.GroupBy>>) (rate(", "sum by (<<.GroupBy>> (rate(")
rule("promql", "a rule that records under no name", RULES,
     lambda b: put(next(r for g in b["spec"]["groups"] for r in g["rules"] if "record" in r), "record", "not a name"))

alert("metrics", "PgweirReplicaLag", "a misspelt metric of pgweir", "pgweir_node_lag_bytes", "pgweir_node_lag_byte")
alert("metrics", "PgweirFailoverTimeouts", "a counter of pgweir without its end", "_total", "")
alert("metrics", "PatroniPaused", "a misspelt metric of Patroni", "patroni_is_paused", "patroni_paused")
alert("metrics", "HpaMaxed", "a misspelt metric of kube-state-metrics", "status_current_replicas", "current_replicas")
alert("metrics", "PgweirNoPrimary", "a label that pgweir doesn't have", "by (cluster, pod)", "by (cluster, host)")
alert("metrics", "QuotaNearFull", "a matcher on a label that isn't there", 'type="used"', 'kind="used"')
alert("metrics", "PgweirDown", "a job that no monitor makes", "pgweir/pgweir", "pgweir")
board("metrics", "a panel of a metric that nobody exports",
      lambda b: query(b, "pgweir_node_lag_bytes", "pgweir_replication_lag_bytes"))
board("metrics", "a panel by a label that isn't there", lambda b: query(b, "by (node)", "by (replica)"))
board("metrics", "a panel of a rule that isn't there",
      lambda b: query(b, "pgweir:query_seconds:p95_5m", "pgweir:query_seconds:p99_5m"))
swap("metrics", "an adapter's series that nobody exports", ADAPTER, "config.yaml", "finai_http_requests_total", "finai_http_request_total")
swap("metrics", "an adapter that serves another name", ADAPTER, "config.yaml", "{as: pgweir_client_connections}", "{as: pgweir_clients}")
rule("metrics", "an autoscaler asks for a metric that nobody serves", ("HorizontalPodAutoscaler", "apps", "backend"),
     lambda b: [put(m["pods"]["metric"], "name", "finai_requests_per_second") for m in b["spec"]["metrics"] if "pods" in m])
rule("metrics", "the autoscaler's controller may not read the metric", ("ClusterRole", None, "custom-metrics-reader"),
     lambda b: b["rules"][0]["resources"].pop())
swap("metrics", "k6 asks for a metric that nobody exports", ("ConfigMap", "testing", "load-test"), "load.js",
     'sum("misses")', 'sum("missed")')


@mutant("metrics")
def template(tree):
    """an annotation with a label that isn't there"""
    for group in tree.need(*RULES).body["spec"]["groups"]:
        for one in group["rules"]:
            if one.get("alert") == "PgweirReplicaLag":
                one["annotations"]["summary"] = "{{ $labels.replica }} is behind."


for kind, ns, name in (("PodMonitor", "pgweir", "pgweir"), ("ServiceMonitor", "data", "postgres-exporter"),
                       ("PrometheusRule", "cache", "redis-alerts")):
    rule("monitors", f"no Prometheus selects the {kind} {name}", (kind, ns, name),
         lambda b: b["metadata"]["labels"].pop("prometheus"))
rule("monitors", "Prometheus looks for rules of another label", ("Prometheus", "monitoring", "prometheus"),
     lambda b: put(b["spec"]["ruleSelector"]["matchLabels"], "prometheus", "main"))
rule("monitors", "Prometheus looks for monitors in its own namespace only", ("Prometheus", "monitoring", "prometheus"),
     lambda b: b["spec"].pop("podMonitorNamespaceSelector"))
rule("monitors", "a monitor of a port that the pods don't have", ("PodMonitor", "pgweir", "pgweir"),
     lambda b: put(b["spec"]["podMetricsEndpoints"][0], "port", "metrics"))
rule("monitors", "a monitor of a port that the Service doesn't have", ("ServiceMonitor", "data", "postgres-exporter"),
     lambda b: put(b["spec"]["endpoints"][0], "port", "http"))
rule("monitors", "a monitor that selects no pods", ("PodMonitor", "data", "patroni"),
     lambda b: put(b["spec"]["selector"]["matchLabels"], "app.kubernetes.io/name", "patroni"))
field("ApiSlow", "an alert without a severity", lambda r: r["labels"].pop("severity"))
field("ApiSlow", "an alert without a runbook", lambda r: r["annotations"].pop("runbook_url"))
field("ApiSlow", "an alert without a section in the runbooks", lambda r: put(r, "alert", "ApiVerySlow"))
field("ApiSlow", "two alerts of one name", lambda r: put(r, "alert", "QuerySlow"))
edit("monitors", "a runbook without its alert's section", "docs/runbooks.md", "## ApiSlow", "## ApiIsSlow")
edit("monitors", "a runbook that doesn't say what to do", "docs/runbooks.md", "Do: queries are slow too", "Queries are slow too")


@mutant("monitors")
def one_section_for_two_alerts(tree):
    """a runbook that says the same of two alerts"""
    text = tree.texts["docs/runbooks.md"]
    slow, down = (re.search(rf"## {name}\n\n[^\n]+\n(.+?)\n(?=\n## )", text, re.S)[1]
                  for name in ("ApiSlow", "PgweirDown"))
    tree.texts["docs/runbooks.md"] = text.replace(down, slow)


swap("monitors", "an inhibition of an alert that isn't there", MANAGER, "alertmanager.yaml", "PgweirNodeDown", "PgweirNodeGone")
swap("monitors", "a route to a receiver that isn't there", MANAGER, "alertmanager.yaml", "receiver: pager", "receiver: phone")


@mutant("dashboards")
def same_uid(tree):
    """two dashboards of one uid"""
    found = [(o, k, b) for o, k, b in promql.boards(tree)]
    found[1][2]["uid"] = found[0][2]["uid"]
    found[1][0].body["data"][found[1][1]] = json.dumps(found[1][2])


board("dashboards", "two panels of one id", lambda b: put(b["panels"][1], "id", b["panels"][0]["id"]))
board("dashboards", "a panel of another data source", lambda b: put(b["panels"][0], "datasource", {"uid": "prometheus"}))
board("dashboards", "a panel without a query", lambda b: put(b["panels"][0], "targets", []))
board("dashboards", "a variable that nobody defines", lambda b: query(b, "by (node)", "by (node, $more)"))
board("dashboards", "a variable that nobody uses",
      lambda b: b.setdefault("templating", {}).setdefault("list", []).append({"name": "unused", "type": "query"}))
swap("dashboards", "a data source of another uid", ("ConfigMap", "monitoring", "grafana-provisioning"), "datasources.yaml",
     "uid: finai-prometheus", "uid: main")


@mutant("dashboards")
def unmounted(tree):
    """a dashboard that Grafana doesn't mount"""
    spec = tree.need("Deployment", "monitoring", "grafana").body["spec"]["template"]["spec"]
    for volume in spec["volumes"]:
        if "business" in json.dumps(volume):
            sources = (volume.get("projected") or {}).get("sources")
            if sources:
                sources[:] = [s for s in sources if "business" not in json.dumps(s)]
            else:
                volume.pop("configMap")
                volume["emptyDir"] = {}
            return
    raise LookupError("no volume of the business dashboard")


@mutant("dashboards")
def five_boards(tree):
    """a dashboard of the plan is missing"""
    tree.objects.remove(tree.need("ConfigMap", "monitoring", "grafana-dashboards-errors"))
