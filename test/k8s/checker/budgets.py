# SPDX-License-Identifier: PostgreSQL
"""Checks 10, 11 and 16: sums and times that must agree between files, and what is installed at all.

Values are read from the shipped texts: pgweir.ini, dynamic.json, redis.conf and the pods' specs.
"""
import json
import re

from . import sums
from .load import Finding, NOT_APPLIED, SECRETS
from .selectors import config_text, least


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
    dynamic = json.loads(obj.body["data"]["dynamic.json"])
    ttl, loop, retry = (dynamic.get(k, d) for k, d in (("ttl", 30), ("loop_wait", 10), ("retry_timeout", 10)))
    if loop + 2 * retry > ttl:
        out.append(Finding(obj, "data.dynamic.json", f"loop_wait + 2 x retry_timeout > ttl {ttl}"))
    ini = config_text(tree, "pgweir", "pgweir-config", "pgweir.ini")
    if ini and (option(ini, "failover_wait_timeout") or 60) <= ttl + loop:
        out.append(Finding(obj, "data.dynamic.json", "pgweir's failover_wait_timeout <= ttl + loop_wait"))
    return out


def installed(files, text):
    """Check 16: every object of the files is in what kustomize renders of the base, the Secrets' placeholders aside."""
    return [Finding(o, "", "no kustomization installs it") for o in files.objects
            if o.file not in NOT_APPLIED and o.file != SECRETS and (o.kind, o.ns, o.name) not in text]


def overwritten(objects):
    """Check 4: nothing that is applied writes a placeholder over a password."""
    return [Finding(o, "", "a placeholder would be applied") for o in objects
            if o.kind == "Secret" and "CHANGE_ME" in str(o.body)]
