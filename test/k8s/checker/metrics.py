# SPDX-License-Identifier: PostgreSQL
"""Checks 8 and 9: expressions name metrics that somebody exports; monitors, rules and dashboards are seen.

What pgweir and the backend export is asked of the built programs, started here without a database;
what others export is listed in test/k8s/metrics, a file per exporter (its README tells the form).
"""
import collections
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import yaml

from ports import free_port

from . import promql
from .load import Finding, TOP, matches

LISTS = TOP / "test/k8s/metrics"
# What Prometheus itself puts on every series of a target.
TARGET = {"job", "instance", "namespace", "pod", "container", "endpoint", "service", "cluster", "node"}
OWN = {name: set() for name in ("up", "scrape_duration_seconds", "scrape_samples_scraped")}
OWN["ALERTS"] = {"alertname", "alertstate", "severity"}
# Jobs of scrapes that the cluster's own monitoring brings.
JOBS = {"kubelet", "kube-state-metrics", "node-exporter", "apiserver"}
SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*?)\})?(?: .*)?$")
INI = """[pgweir]
listen_addr = 127.0.0.1
listen_port = {0}
unix_socket_dir =
http_listen = 127.0.0.1:{1}
auth_type = scram-sha-256
auth_file = {2}/users.txt
workers = 1
cache = on
cache_redis = redis://pgweir@127.0.0.1:1
[clusters]
main = hosts=127.0.0.1:2,127.0.0.1:3 user=pgweir password=none
[databases]
finai = cluster=main pool_size=2
"""


def exposition(text):
    """{name: labels} of a text of metrics, exported or listed; None for a family without a series."""
    found = {}
    for line in text.splitlines():
        kind = re.match(r"# TYPE (\S+) (\S+)", line)
        if kind:
            ends = ("_bucket", "_sum", "_count") if kind.group(2) == "histogram" else ("",)
            found.update({kind.group(1) + end: None for end in ends if kind.group(1) + end not in found})
        line = line.strip() if '="' in line else line.partition("#")[0].strip()
        sample = SAMPLE.match(line) if line and not line.startswith("#") else None
        if sample:
            inside = sample.group(2) or ""
            labels = re.findall(r'(\w+)="', inside) if "=" in inside else [w for w in inside.split(",") if w]
            found[sample.group(1)] = (found.get(sample.group(1)) or set()) | set(labels)
    return found


def _ask(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def _asked(command, port, env=None, before=()):
    """/metrics of a program that is started for it and ended after."""
    run = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            try:
                for path in before:
                    _ask(f"http://127.0.0.1:{port}{path}")
                return exposition(_ask(f"http://127.0.0.1:{port}/metrics"))
            except OSError:
                if run.poll() is not None:
                    raise RuntimeError(f"{command[0]} ended with {run.returncode}") from None
                time.sleep(0.1)
        raise RuntimeError(f"{command[0]} doesn't answer /metrics")
    finally:
        run.terminate()
        try:
            run.wait(5)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()


def program(name):
    """A built program, or None."""
    path = os.environ.get(name.upper().replace("-", "_")) or {
        "pgweir": TOP / "build/pgweir", "finai-backend": TOP / "build/k8s/apps/backend/finai-backend"}[name]
    return str(path) if os.access(path, os.X_OK) else None


def live(notes):
    """What the built programs export; notes gets a line for each that isn't built."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        sql, http = free_port(), free_port()
        with open(f"{folder}/users.txt", "w", encoding="utf-8") as f:
            f.write('"finai" "none"\n')
        with open(f"{folder}/pgweir.ini", "w", encoding="utf-8") as f:
            f.write(INI.format(sql, http, folder))
        if program("pgweir"):
            found.update(_asked([program("pgweir"), f"{folder}/pgweir.ini"], http))
        else:
            notes.append("pgweir isn't built: its metrics are those of test/k8s/metrics/pgweir.txt")
        if program("finai-backend"):
            env = {**os.environ, "DATABASE_URL": "postgresql://finai@127.0.0.1:2/finai", "FINAI_LISTEN": f"127.0.0.1:{http}",
                   "FINAI_REQUEST_TIMEOUT_MS": "500"}
            found.update(_asked([program("finai-backend")], http, env, ["/api/quotes"]))
        else:
            notes.append("the backend isn't built: its metrics weren't compared")
    return found


_KNOWN = {}


def known(notes=None):
    """{name: labels} of all that is exported; asked once."""
    if not _KNOWN:
        _KNOWN.update(OWN)
        said = [] if notes is None else notes
        for path in sorted(LISTS.glob("*.txt")):
            _KNOWN.update(exposition(path.read_text()))
        asked = live(said)
        for prefix in {name.split("_")[0] for name in asked}:
            for name in [n for n in _KNOWN if n.startswith(prefix + "_")]:
                del _KNOWN[name]
        _KNOWN.update(asked)
    return _KNOWN


def _world(tree):
    """Metrics with what this tree adds: recording rules; and the labels that relabelings add."""
    found = dict(known())
    for obj in tree.all("PrometheusRule"):
        for rule in [r for g in obj.spec["groups"] for r in g["rules"] if "record" in r]:
            found[rule["record"]] = promql.read(rule["expr"])[1] | set(rule.get("labels") or {})
        for rule in [r for g in obj.spec["groups"] for r in g["rules"] if "alert" in r]:
            found["ALERTS"] = found["ALERTS"] | set(rule.get("labels") or {})
    added = set()
    for obj in tree.all("PodMonitor", "ServiceMonitor"):
        for end in obj.spec.get("podMetricsEndpoints") or obj.spec.get("endpoints") or []:
            for rule in (end.get("relabelings") or []) + (end.get("metricRelabelings") or []):
                added.add(rule.get("targetLabel"))
    prometheus = next(iter(tree.all("Prometheus")), None)
    added |= set((prometheus.spec.get("externalLabels") or {}) if prometheus else ())
    return found, (TARGET | added) - {None}


def metrics(tree):
    """Check 8: each metric of an expression is exported, with the labels that are asked of it."""
    out = []
    have, target = _world(tree)
    jobs = JOBS | {f"{o.ns}/{o.name}" for o in tree.all("PodMonitor")} | {
        s.name for o in tree.all("ServiceMonitor") for s in tree.all("Service")
        if s.ns == o.ns and matches(o.spec["selector"], s.meta.get("labels") or {})}
    if not any(name.startswith("finai_") for name in have):
        have = _Open(have)
    for one in promql.expressions(tree):
        used, groups = promql.read(one.text)
        every = set(target) | {"le"} | set(re.findall(r'label_(?:replace|join)\([^"]*"(\w+)"', one.text))
        closed = True
        for metric in used:
            labels = have.get(metric.name, -1)
            if metric.name is None or labels == -1:
                out.append(Finding(one.obj, one.where, f"nobody exports {metric.name}"))
                continue
            closed, every = closed and labels is not None, every | (labels or set())
            for label, sign, value in metric.matchers:
                if labels is not None and label not in labels | target:
                    out.append(Finding(one.obj, one.where, f"{metric.name} has no label {label}"))
                if label == "job" and sign == "=" and value not in jobs:
                    out.append(Finding(one.obj, one.where, f"no monitor makes the job {value}"))
        if closed:
            out += [Finding(one.obj, one.where, f"no metric of {one.text[:60]!r} has a label {label}")
                    for label in sorted((groups | set(one.template)) - every)]
    return out + _scaled(tree)


class _Open(dict):
    """Without the backend any finai_ metric may exist."""

    def get(self, name, default=None):
        return None if str(name).startswith("finai_") and name not in self else super().get(name, default)


def _scaled(tree):
    """What HPAs ask for is served by the adapter, and may be read; what k6 asks of Prometheus exists."""
    out = []
    served = {rule["name"]["as"] for _, rule in promql.adapter(tree)}
    reader = tree.get("ClusterRole", None, "custom-metrics-reader")
    allowed = {r.partition("/")[2] for rule in (reader.body["rules"] if reader else []) for r in rule["resources"]}
    asked = set()
    for hpa in tree.all("HorizontalPodAutoscaler"):
        for metric in [m for m in hpa.spec.get("metrics") or [] if m["type"] in ("Pods", "Object", "External")]:
            name = metric[metric["type"].lower()]["metric"]["name"]
            asked.add(name)
            if name not in served or name not in allowed:
                out.append(Finding(hpa, "metrics", f"{name}: the adapter doesn't serve it, or nobody may read it"))
    if tree.all("HorizontalPodAutoscaler"):
        out += [Finding(reader, "rules", f"{name}: no autoscaler asks for it") for name in sorted(served - asked)]
    for obj in tree.all("ConfigMap"):
        script = (obj.body.get("data") or {}).get("load.js") or ""
        names = set(re.findall(r"\b(?:pgweir|finai)_[a-z_]+_(?:total|bucket|count|sum)\b", script))
        for start, end in re.findall(r"`[^`]*?(pgweir_[a-z_]+)\$\{name\}(_[a-z]+)", script):
            names |= {start + middle + end for middle in re.findall(r'sum\("(\w+)"\)', script)}
        out += [Finding(obj, "load.js", f"nobody exports {n}") for n in sorted(names) if n not in known()]
    return out


# ---- what Prometheus and Grafana see at all

def _takes(tree, selector, spaces, obj, home):
    """Whether a Prometheus takes an object by its labels and its namespace's."""
    if selector is None:
        return False
    space = tree.get("Namespace", None, obj.ns)
    labels = {"kubernetes.io/metadata.name": obj.ns, **((space.meta.get("labels") or {}) if space else {})}
    near = obj.ns == home if spaces is None else matches(spaces, labels)
    return near and matches(selector, obj.meta.get("labels") or {})


def monitors(tree):
    """Check 9: Prometheus takes every monitor and rule, each finds its targets' port; alerts lead somewhere."""
    out = []
    fields = {"ServiceMonitor": "serviceMonitor", "PodMonitor": "podMonitor", "PrometheusRule": "rule"}
    for obj in tree.all(*fields):
        field = fields[obj.kind]
        if not any(_takes(tree, p.spec.get(f"{field}Selector"), p.spec.get(f"{field}NamespaceSelector"), obj, p.ns)
                   for p in tree.all("Prometheus")):
            out.append(Finding(obj, "labels", "no Prometheus selects it"))
    pods = tree.pods() + tree.operated() + tree.outside()
    for obj in tree.all("PodMonitor"):
        ends = obj.spec["podMetricsEndpoints"]
        mine = [p for p in pods if p.ns == obj.ns and matches(obj.spec["selector"], p.labels) and not p.is_job]
        out += [Finding(obj, "podMetricsEndpoints", f"no port {e.get('port')}") for e in ends
                if not any(e.get("port") in p.ports() for p in mine)]
    for obj in tree.all("ServiceMonitor"):
        if obj.ns == "istio-system":  # istioctl makes its Service
            continue
        mine = [s for s in tree.all("Service") if s.ns == obj.ns
                and matches(obj.spec["selector"], s.meta.get("labels") or {})]
        out += [Finding(obj, "endpoints", f"no Service with a port {e.get('port')}") for e in obj.spec["endpoints"]
                if not any(e.get("port") == p.get("name") for s in mine for p in s.spec["ports"])]
    return out + _alerts(tree)


def _sections(text):
    """{alert: (what to look at, what to do)} of the runbooks."""
    found = re.findall(r"^## (\w+)\n\n[^\n]+\nLook: (.+?)\sDo: (.+?)\n(?=\n## |\Z)", text, re.M | re.S)
    return {name: (look, do) for name, look, do in found}


def _alerts(tree):
    """Each alert has a severity and a section of its own; Alertmanager's routes name alerts that exist."""
    out = []
    sections = _sections(tree.texts.get("docs/runbooks.md", ""))
    shared = collections.Counter(sections.values())
    rules = [(o, r) for o in tree.all("PrometheusRule") for g in o.spec["groups"] for r in g["rules"] if "alert" in r]
    severities = {(r.get("labels") or {}).get("severity") for _, r in rules}
    for obj, rule in rules:
        name, notes = rule["alert"], rule.get("annotations") or {}
        if (rule.get("labels") or {}).get("severity") not in ("critical", "warning", "info") + (
                ("none",) if name == "Watchdog" else ()):
            out.append(Finding(obj, name, "no severity"))
        if not notes.get("runbook_url", "").endswith("/" + name.lower()) or name not in sections:
            out.append(Finding(obj, name, "no runbook_url, or no section in docs/runbooks.md"))
        elif shared[sections[name]] > 1:
            out.append(Finding(obj, name, "another alert's section in docs/runbooks.md says the same"))
        if not notes.get("summary"):
            out.append(Finding(obj, name, "no summary"))
    names = {r["alert"] for _, r in rules}
    if len(names) != len(rules):
        out.append(Finding(rules[0][0], "", "two alerts of one name"))
    secret = tree.get("Secret", "monitoring", "alertmanager-config")
    for text in (secret.body["stringData"].values() if secret else ()):
        receivers = {r["name"] for r in yaml.safe_load(text)["receivers"]}
        for name in re.findall(r"receiver: (\w+)", text):
            if name not in receivers:
                out.append(Finding(secret, "route", f"no receiver {name}"))
        for field, value in re.findall(r'(alertname|severity) =~? "([^"]+)"', text):
            for one in value.split("|"):
                if one not in (names if field == "alertname" else severities) and tree.name != "development":
                    out.append(Finding(secret, "alertmanager.yaml", f"no alert with {field} {one}"))
    return out


BOARDS = {"infrastructure", "application", "database", "auto-scaling", "errors", "business"}


def dashboards(tree):
    """Check 9: the plan's six dashboards, mounted, with unique ids, the provisioned source and live variables."""
    out = []
    grafana = tree.get("Deployment", "monitoring", "grafana")
    provisioning = tree.get("ConfigMap", "monitoring", "grafana-provisioning")
    if grafana is None or provisioning is None:
        return [Finding("monitoring/grafana", "", "not there")]
    sources = {s["uid"] for s in yaml.safe_load(provisioning.body["data"]["datasources.yaml"])["datasources"]}
    where = yaml.safe_load(provisioning.body["data"]["dashboards.yaml"])["providers"][0]["options"]["path"]
    spec = grafana.spec["template"]["spec"]
    shown = {m["name"] for c in spec["containers"] for m in c["volumeMounts"] if m["mountPath"].startswith(where)}
    mounted = {s.get("configMap", {}).get("name") for v in spec["volumes"] if v["name"] in shown
               for s in [v] + ((v.get("projected") or {}).get("sources") or [])}
    uids, seen = [], set()
    for obj, key, board in promql.boards(tree):
        uids.append(board.get("uid"))
        seen.add(key.removesuffix(".json"))
        if obj.name not in mounted:
            out.append(Finding(obj, key, f"not mounted below {where}"))
        ids = [p.get("id") for p in promql.panels(board)]
        if len(set(ids)) != len(ids) or None in ids:
            out.append(Finding(obj, key, "two panels of one id"))
        out += _panels(obj, key, board, sources)
    if len(set(uids)) != len(uids) or None in uids:
        out.append(Finding(grafana, "", "two dashboards of one uid"))
    out += [Finding(grafana, "", f"no dashboard {name}") for name in sorted(BOARDS - seen)]
    return out


def _panels(obj, key, board, sources):
    out = []
    defined, text = set(promql.variables(board)), yaml.safe_dump([list(promql.panels(board)), board.get("templating")])
    used = {n for pair in re.findall(r"\$\{?([a-z]\w*)|\[\[(\w+)\]\]", text) for n in pair if n}
    out += [Finding(obj, key, f"variable {name} is used, not defined") for name in sorted(used - defined)]
    out += [Finding(obj, key, f"variable {name} is defined, not used") for name in sorted(defined - used)]
    for panel in promql.panels(board):
        if panel.get("type") == "row":
            continue
        places = [panel.get("datasource")] + [t["datasource"] for t in panel.get("targets") or [] if "datasource" in t]
        if any((p or {}).get("uid") not in sources for p in places):
            out.append(Finding(obj, key, f"panel {panel.get('id')}: no such data source"))
        if not panel.get("targets") and panel.get("type") != "text" or not panel.get("title"):
            out.append(Finding(obj, key, f"panel {panel.get('id')}: no query or no title"))
    return out
