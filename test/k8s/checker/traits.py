# SPDX-License-Identifier: PostgreSQL
"""What single manifests must have beyond their schema: the choices that the tier stands on.

A row: the object, the path to a value, what it must be (a value, a set of values, or a function), and a
value that it must not be, which makes the row's mutant.
"""
import re

from .load import Finding
from .sums import number

RETAIN = {"whenDeleted": "Retain", "whenScaled": "Retain"}
SPEC = ("spec", "template", "spec")


def at_least(low):
    return lambda value: isinstance(value, (int, float)) and value >= low


def has(pattern):
    return lambda value: isinstance(value, str) and re.search(pattern, value, re.M) is not None


def names(*wanted):
    """Every one of these is among the arguments."""
    return lambda value: isinstance(value, list) and all(any(re.search(w, str(v)) for v in value) for w in wanted)


def state(ns, name):
    """What every StatefulSet with data has."""
    where = ("StatefulSet", ns, name)
    yield where, ("spec", "persistentVolumeClaimRetentionPolicy"), RETAIN, {"whenDeleted": "Delete", "whenScaled": "Delete"}
    yield where, ("spec", "podManagementPolicy"), "Parallel", "OrderedReady"
    yield where, ("spec", "volumeClaimTemplates", 0, "spec", "accessModes"), ["ReadWriteOnce"], ["ReadWriteMany"]
    yield where, SPEC + ("topologySpreadConstraints", 0, "whenUnsatisfiable"), {"DoNotSchedule"}, "Sometimes"


POSTGRES = ("StatefulSet", "data", "postgres")
REDIS = ("ConfigMap", "cache", "redis-config")
AUTOSCALER = ("Deployment", "kube-system", "cluster-autoscaler")
TRAITS = [row for ns, name in (("data", "postgres"), ("data", "etcd"), ("cache", "redis-cluster"), ("cache", "redis"),
                               ("mongodb", "mongo-config"), ("mongodb", "mongo-shard-a"), ("mongodb", "mongo-shard-b"),
                               ("mongodb", "mongo-shard-c")) for row in state(ns, name)] + [
    # PostgreSQL: who restarts, and how a member ends.
    (POSTGRES, ("spec", "replicas"), 4, 2),
    (POSTGRES, ("spec", "updateStrategy", "type"), "OnDelete", "RollingUpdate"),
    (POSTGRES, SPEC + ("terminationGracePeriodSeconds",), at_least(300), 30),
    (POSTGRES, SPEC + ("containers", 0, "lifecycle", "preStop", "exec", "command"), names("pre-stop"), ["/bin/true"]),
    (POSTGRES, SPEC + ("automountServiceAccountToken",), False, True),
    (("Service", "data", "postgres-nodes"), ("spec", "publishNotReadyAddresses"), True, False),
    (("Service", "data", "postgres-nodes"), ("spec", "clusterIP"), "None", ""),
    (("PodDisruptionBudget", "data", "postgres-replicas"), ("spec", "minAvailable"), 2, 1),
    (("PodDisruptionBudget", "data", "etcd"), ("spec", "maxUnavailable"), 1, 2),
    (("StatefulSet", "data", "etcd"), ("spec", "replicas"), 3, 2),
    (("ConfigMap", "data", "patroni-config"), ("data", "patroni.yml"), has(r"use_pg_rewind: true"), "use_pg_rewind: false"),
    (("ConfigMap", "data", "patroni-config"), ("data", "patroni.yml"), lambda v: not re.search(
        r"^\s*- (host|local|hostssl|hostnossl) .* (trust|md5|password)$|^\s*- host(nossl)? ", v, re.M), "- host all all all md5"),
    (("CronJob", "data", "pgbackrest-full"), ("spec", "schedule"), has(r" \* \* 0$"), "0 1 1 1 *"),
    (("CronJob", "data", "pgbackrest-diff"), ("spec", "schedule"), has(r" \* \* (\*|1-6)$"), "0 1 1 1 *"),
    # pgweir: nobody is lost while pods change.
    (("Deployment", "pgweir", "pgweir"), ("spec", "strategy", "rollingUpdate", "maxUnavailable"), 0, 1),
    (("Deployment", "pgweir", "pgweir"), SPEC + ("containers", 0, "lifecycle", "preStop", "exec", "command"),
     names("--drain"), ["/bin/sleep", "5"]),
    (("Deployment", "pgweir", "pgweir"), SPEC + ("enableServiceLinks",), False, True),
    (("Deployment", "apps", "backend"), ("spec", "strategy", "rollingUpdate", "maxUnavailable"), 0, 1),
    # Redis: what a cache may lose, and what a set under Sentinel may not.
    (("StatefulSet", "cache", "redis-cluster"), ("spec", "replicas"), 6, 3),
    (("StatefulSet", "cache", "redis-sentinel"), ("spec", "replicas"), 3, 2),
    (REDIS, ("data", "redis-cluster.conf"), has(r"^cluster-enabled yes"), "cluster-enabled no"),
    (REDIS, ("data", "redis-cluster.conf"), has(r"^maxmemory-policy allkeys-l[rf]u"), "maxmemory-policy noeviction"),
    (REDIS, ("data", "redis-cluster.conf"), has(r"^aclfile "), "requirepass"),
    (REDIS, ("data", "redis.conf"), has(r"^maxmemory-policy noeviction"), "maxmemory-policy allkeys-lru"),
    (REDIS, ("data", "redis.conf"), lambda v: not re.search(r"^cluster-enabled yes", v, re.M), "cluster-enabled yes"),
    # MongoDB: one odd majority per set.
    (("StatefulSet", "mongodb", "mongo-config"), ("spec", "replicas"), 3, 2),
    (("StatefulSet", "mongodb", "mongo-shard-a"), ("spec", "replicas"), 3, 2),
    # The cluster's own.
    (AUTOSCALER, SPEC + ("containers", 0, "args"), names("--cloud-provider=clusterapi"), ["./cluster-autoscaler"]),
    (AUTOSCALER, SPEC + ("containers", 0, "args"), names("--expander=", "--balance-similar-node-groups=true", "--scale-down-"),
     ["./cluster-autoscaler", "--cloud-provider=clusterapi"]),
    (("VerticalPodAutoscaler", "data", "postgres"), ("spec", "updatePolicy", "updateMode"), "Off", "Auto"),
    (("VerticalPodAutoscaler", "cache", "redis"), ("spec", "updatePolicy", "updateMode"), "Off", "Recreate"),
    (("Service", "ingress-nginx", "nginx-ingress"), ("spec", "externalTrafficPolicy"), "Local", "Cluster"),
    (("Ingress", "apps", "finai-api"), ("metadata", "annotations", "nginx.org/limit-req-reject-code"), "429", "503"),
    (("Ingress", "apps", "finai-transfers"), ("metadata", "annotations", "nginx.org/limit-req-rate"), has(r"^\d+r/s$"), "fast"),
    (("Ingress", "apps", "finai-frontend"), ("metadata", "annotations", "nginx.org/sticky-cookie-services"),
     has("httponly secure"), "serviceName=frontend a"),
    (("Deployment", "apps", "overprovisioning"), SPEC + ("priorityClassName",), "overprovisioning", "finai-apps"),
    (("PriorityClass", None, "overprovisioning"), ("value",), lambda v: v < 0, 1000),
    (("ConfigMap", "kube-system", "cluster-autoscaler-priority-expander"), ("data", "priorities"), has(r"^\d+:"), ""),
    (("ConfigMap", "apps", "frontend-nginx"), ("data", "nginx.conf"), has(r"immutable"), "gzip on;"),
    (("ConfigMap", "apps", "frontend-nginx"), ("data", "nginx.conf"), has(r"^\s*gzip on;"), "gzip off; immutable"),
    (("Prometheus", "monitoring", "prometheus"), ("spec", "replicas"), {1, 2}, 0),
    (("Prometheus", "monitoring", "prometheus"), ("spec", "retention"), has(r"^\d+d$"), "forever"),
]


def reach(body, path):
    """The value at the end of a path, or None."""
    for step in path:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            return None
    return body


def _is(value, wanted):
    if callable(wanted):
        return value is not None and wanted(value)
    return value in wanted if isinstance(wanted, set) else value == wanted


def _versions(tree, out):
    """The autoscaler is of the cluster's minor version, and Pod Security is pinned to it."""
    cluster = re.match(r"v(\d+\.\d+)", tree.need("KubeadmControlPlane", "finai", "finai-control-plane").spec["version"]).group(1)
    for obj in tree.all("MachineDeployment"):
        if not obj.spec["template"]["spec"]["version"].startswith(f"v{cluster}."):
            out.append(Finding(obj, "version", f"the masters are {cluster}"))
    obj = tree.get(*AUTOSCALER)
    if obj and f":v{cluster}." not in obj.spec["template"]["spec"]["containers"][0]["image"]:
        out.append(Finding(obj, "image", f"the cluster is {cluster}"))
    for obj in tree.all("Namespace"):
        for kind in ("enforce", "audit", "warn"):
            labels = obj.meta.get("labels") or {}
            said = [labels.get(f"pod-security.kubernetes.io/{kind}{end}") for end in ("", "-version")]
            if said != ["restricted", f"v{cluster}"]:
                out.append(Finding(obj, "labels", f"Pod Security {kind} is {said}"))


def _options(tree, out):
    """Every key of the application's settings is an option of the backend."""
    known = set(re.findall(r'"(FINAI_\w+|DATABASE_URL)"', tree.texts.get("k8s/apps/backend/options.def", "")))
    obj = tree.get("ConfigMap", "apps", "app-config")
    for key in sorted(set(obj.body["data"]) - known) if obj else []:
        out.append(Finding(obj, f"data.{key}", "the backend has no such option"))


def traits(tree):
    """Section 1: each manifest has what its row asks for."""
    out = []
    for where, path, wanted, _ in TRAITS:
        obj = tree.get(*where)
        if obj is None:
            if tree.name != "development":
                out.append(Finding("/".join(map(str, where)), "", "not there"))
        elif tree.name != "development" or path[-1] not in ("replicas", "whenUnsatisfiable"):
            value = reach(obj.body, path)
            if not _is(value, wanted):
                out.append(Finding(obj, ".".join(map(str, path)), f"is {str(value)[:60]!r}"))
    for own in tree.pods():
        for volume in own.spec.get("volumes") or []:
            if volume["name"] == "keyfile" and "mongodb" == own.ns and (volume.get("secret") or {}).get("defaultMode", 256) != 256:
                out.append(Finding(own, "volumes.keyfile", "mongod wants mode 0400"))
    for own in tree.pods():
        if own.owner.name == "postgres" and own.ns == "data":
            shm = next((v["emptyDir"] for v in own.spec["volumes"] if v["name"] == "shm"), {})
            if shm.get("medium") != "Memory" or number(shm.get("sizeLimit", 0)) < 256 * 2 ** 20:
                out.append(Finding(own, "volumes.shm", "/dev/shm isn't memory of 256Mi"))
    _versions(tree, out)
    _options(tree, out)
    return out
