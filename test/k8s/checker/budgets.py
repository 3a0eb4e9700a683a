# SPDX-License-Identifier: PostgreSQL
"""Checks 10, 11 and 16: sums and times that must agree between files, and what is installed at all.

Values are read from the shipped texts: pgweir.ini, dynamic.json, redis.conf and the pods' specs.
"""
import json
import re

import yaml

from . import sums
from .load import Finding, NOT_APPLIED, SECRETS
from .selectors import config_text, least


# What an orderly end takes: a checkpoint and a switchover, long transfers of clients.
GRACE = (("data", "postgres", 300), ("ingress-nginx", "nginx-ingress", 300))


def option(text, name):
    """A whole number from an ini."""
    found = re.search(rf"^{name}\s*=\s*(\d+)", text or "", re.M)
    return int(found.group(1)) if found else None


def _pods(tree, ns, name):
    return [p for p in tree.pods() if p.ns == ns and not p.is_job
            and p.labels.get("app.kubernetes.io/name") == name]


def budgets(tree):
    """Check 10: a drain ends before the grace period, 10,000 clients fit, Redis stays within its limit."""
    out = []
    for pod, _, ini in sums.poolers(tree):
        drain = (option(ini, "drain_delay") or 0) + (option(ini, "drain_timeout") or 30)
        if drain >= pod.spec.get("terminationGracePeriodSeconds", 30):
            out.append(Finding(pod, "terminationGracePeriodSeconds", f"a drain may take {drain} s"))
        clients = (option(ini, "max_client_conn") or 100) * least(tree, pod)
        if clients < 10000 and pod.ns == "pgweir" and tree.name != "development":
            out.append(Finding(pod, "replicas", f"only {clients} clients fit"))
    for ns, name, least_grace in GRACE:
        for pod in _pods(tree, ns, name):
            if pod.spec.get("terminationGracePeriodSeconds", 30) < least_grace:
                out.append(Finding(pod, "terminationGracePeriodSeconds", f"its end may take {least_grace} s"))
    for name, key in (("redis-cluster", "redis-cluster.conf"), ("redis", "redis.conf")):
        text = config_text(tree, "cache", "redis-config", key)
        found = re.search(r"^maxmemory (\w+)", text or "", re.M)
        for pod in _pods(tree, "cache", name):
            limit = pod.main[0].get("resources", {}).get("limits", {}).get("memory", "0")
            if found and sums.number(found.group(1)) > 0.75 * sums.number(limit):
                out.append(Finding(pod, "limits.memory", f"maxmemory {found.group(1)} is over 75 % of {limit}"))
    return out


def timing(tree):
    """Check 11: Patroni's times fit together, and pgweir's queue outlives a failover."""
    out = []
    obj = tree.get("ConfigMap", "data", "postgres-config")
    if obj is None:
        return out
    liveness = next(c for p in _pods(tree, "data", "postgres") for c in p.main if c["name"] == "postgres")["livenessProbe"]
    dynamic = json.loads(obj.body["data"]["dynamic.json"])
    ttl, loop, retry = (dynamic.get(k, d) for k, d in (("ttl", 30), ("loop_wait", 10), ("retry_timeout", 10)))
    if loop + 2 * retry > ttl:
        out.append(Finding(obj, "data.dynamic.json", f"loop_wait + 2 x retry_timeout > ttl {ttl}"))
    patience = liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3)
    if not 0.8 * ttl <= patience <= 1.5 * ttl:
        out.append(Finding(obj, "livenessProbe", f"gives up after {patience} s, Patroni's ttl is {ttl}"))
    first = yaml.safe_load(config_text(tree, "data", "patroni-config", "patroni.yml"))["bootstrap"]["dcs"]
    if [first.get(k) for k in ("ttl", "loop_wait", "retry_timeout")] != [ttl, loop, retry]:
        out.append(Finding(obj, "data.dynamic.json", "other times than bootstrap.dcs"))
    for pod, _, ini in sums.poolers(tree):
        wait = option(ini, "failover_wait_timeout") or 60
        if wait <= ttl + loop:
            out.append(Finding(pod, "failover_wait_timeout", f"{wait} <= ttl + loop_wait"))
        if (option(ini, "query_wait_timeout") or 120) < wait:
            out.append(Finding(pod, "query_wait_timeout", "ends before failover_wait_timeout"))
        if (option(ini, "topology_poll_interval") or 1) > loop / 2:
            out.append(Finding(pod, "topology_poll_interval", "longer than half of loop_wait"))
    return out


def installed(files, text):
    """Check 16: every object of the files is in what kustomize renders of the base, the Secrets' placeholders aside."""
    return [Finding(o, "", "no kustomization installs it") for o in files.objects
            if o.file not in NOT_APPLIED and o.file != SECRETS and (o.kind, o.ns, o.name) not in text]


def overwritten(objects):
    """Check 4: nothing that is applied writes a placeholder over a password."""
    return [Finding(o, "", "a placeholder would be applied") for o in objects
            if o.kind == "Secret" and "CHANGE_ME" in str(o.body)]
