# SPDX-License-Identifier: PostgreSQL
"""Check 15: the plan's figures are the same wherever they stand: load test, alerts, dashboards, autoscalers."""
import re

from . import promql
from .load import Finding

# The API's p95 and a query's in seconds, availability, hit rate, requests per second, users.
API, QUERY, FAILED, HITS, RATE, USERS = 0.1, 0.05, 0.001, 0.9, 10000, 10000
ALERTS = {"ApiSlow": (r"> ([0-9.]+)$", API), "QuerySlow": (r"> ([0-9.]+)$", QUERY),
          "AvailabilityBurnFast": (r"> [0-9.]+ \* ([0-9.]+)\b", FAILED),
          "AvailabilityBurnSlow": (r"> [0-9.]+ \* ([0-9.]+)\b", FAILED), "CacheHitRateLow": (r"< ([0-9.]+)$", HITS)}
# What a panel with this expression must mark, where it marks anything.
PANELS = {"finai:http_request_seconds:p95_5m": API, "pgweir:query_seconds:p95_5m": QUERY,
          "finai:http_errors:ratio_rate5m": FAILED, "pgweir:cache_hits:ratio_rate5m": HITS}
LOAD = {"http_req_duration": (r'"p\(95\)<([0-9.]+)"', API * 1000), "http_req_failed": (r'"rate<([0-9.]+)"', FAILED),
        "query_duration": (r'"p\(95\)<([0-9.]+)"', QUERY * 1000), "query_failed": (r'"rate<([0-9.]+)"', FAILED),
        "cache_hit_ratio": (r'"value>([0-9.]+)"', HITS)}


def _alerts(tree, out):
    rules = {r["alert"]: (o, r["expr"]) for o in tree.all("PrometheusRule") for g in o.spec["groups"]
             for r in g["rules"] if "alert" in r}
    for name, (pattern, wanted) in ALERTS.items():
        obj, text = rules.get(name, (None, ""))
        said = [float(n) for n in re.findall(pattern, text.strip())]
        if not said or any(n != wanted for n in said):
            out.append(Finding(obj or name, name, f"says {said}, the plan {wanted}"))


def _panels(tree, out):
    seen = set()
    for obj, key, board in promql.boards(tree):
        for panel in promql.panels(board):
            texts = [t.get("expr") for t in panel.get("targets") or []]
            wanted = next((PANELS[t] for t in texts if t in PANELS), None)
            if wanted is None:
                continue
            seen |= set(texts)
            steps = (((panel.get("fieldConfig") or {}).get("defaults") or {}).get("thresholds") or {}).get("steps") or []
            said = {s["value"] for s in steps} - {None}
            if wanted not in said:
                out.append(Finding(obj, f"{key}, panel {panel.get('id')}", f"marks {sorted(said)}, the plan {wanted}"))
    out += [Finding("dashboards", "", f"none shows {name}") for name in sorted(set(PANELS) - seen)]


def _load(tree, out):
    obj = tree.get("ConfigMap", "testing", "load-test")
    if obj is None:
        return [out.append(Finding("testing/load-test", "", "not there"))]
    script = obj.body["data"]["load.js"]
    inside = re.search(r"thresholds: \{(.*?)\n  \},", script, re.S)
    for name, (pattern, wanted) in LOAD.items():
        found = re.search(rf"\b{name}: \[{pattern}\]", inside.group(1) if inside else "")
        if not found or float(found.group(1)) != wanted:
            out.append(Finding(obj, f"thresholds.{name}", f"says {found and found.group(1)}, the plan {wanted:g}"))
    rate = re.search(r"const PEAK_RATE = (\d+)", script)
    users = [max(int(n) for n in re.findall(r"target: (\d+)", block)) for block in re.findall(r"stages: \[(.*?)\]", script, re.S)]
    if not rate or int(rate.group(1)) != RATE or "peak_requests" not in (inside.group(1) if inside else ""):
        out.append(Finding(obj, "PEAK_RATE", f"the plan has {RATE} requests a second"))
    if sum(users) < USERS:
        out.append(Finding(obj, "stages", f"{sum(users)} users at most, the plan has {USERS}"))


def _scalers(tree, out):
    for ns, name, metric in (("apps", "backend", "finai_http_requests_per_second"), ("pgweir", "pgweir", "pgweir_client_connections")):
        obj = tree.get("HorizontalPodAutoscaler", ns, name)
        for one in [m["pods"] for m in (obj.spec["metrics"] if obj else []) if m["type"] == "Pods"]:
            value = one["metric"]["name"] == metric and float(one["target"]["averageValue"])
            if value and value * obj.spec["maxReplicas"] < RATE:
                out.append(Finding(obj, "metrics", f"{value:g} x {obj.spec['maxReplicas']} pods are below the plan's {RATE}"))
    pending = [r for o in tree.all("PrometheusRule") for g in o.spec["groups"] for r in g["rules"] if r.get("alert") == "PodsPending"]
    if not pending or pending[0].get("for") != "30s":
        out.append(Finding(pending[0]["alert"] if pending else "PodsPending", "for", "the plan scales within 30 s"))


def targets(tree):
    """Check 15."""
    out = []
    _alerts(tree, out)
    _panels(tree, out)
    _load(tree, out)
    _scalers(tree, out)
    return out
