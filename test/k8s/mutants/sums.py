# SPDX-License-Identifier: PostgreSQL
"""Mutants of what must add up: connections, memory, quotas, nodes."""
import json

from . import INI, PGWEIR, POSTGRES, first, mutant, put, rule, swap

SETTINGS = ("ConfigMap", "data", "postgres-config")


def parameter(check, name, key, value):
    """One of PostgreSQL's settings has another value."""
    def change(body):
        dynamic = json.loads(body["data"]["dynamic.json"])
        dynamic["postgresql"]["parameters"][key] = value
        body["data"]["dynamic.json"] = json.dumps(dynamic)
    rule(check, name, SETTINGS, change)


parameter("connections", "max_connections below the pools' sum", "max_connections", 400)
parameter("connections", "max_connections other than at bootstrap", "max_connections", 600)
parameter("connections", "no WAL sender left for a base backup", "max_wal_senders", 3)
swap("connections", "larger pools than PostgreSQL takes", INI, "pgweir.ini", "pool_size=30", "pool_size=60")
rule("connections", "more pgweir pods than PostgreSQL takes", ("HorizontalPodAutoscaler", "pgweir", "pgweir"),
     lambda b: put(b["spec"], "maxReplicas", 12))
rule("connections", "more backends with a sidecar than PostgreSQL takes", ("HorizontalPodAutoscaler", "apps", "backend"),
     lambda b: put(b["spec"], "maxReplicas", 40))
swap("connections", "fewer sessions of the role pgweir than there are probes", ("ConfigMap", "data", "patroni-config"),
     "post-bootstrap.sh", "connection limit 100", "connection limit 30")
swap("connections", "more clients than a process may have files", INI, "pgweir.ini", "max_client_conn = 5000",
     "max_client_conn = 600000")

parameter("memory", "shared_buffers of half the limit", "shared_buffers", "4GB")
parameter("memory", "shared_buffers of a tenth of the limit", "shared_buffers", "800MB")
parameter("memory", "work_mem that 500 connections can't have", "work_mem", "16MB")
parameter("memory", "maintenance_work_mem that autovacuum can't have", "maintenance_work_mem", "2GB")
parameter("memory", "effective_cache_size above the limit", "effective_cache_size", "16GB")
rule("memory", "a limit that shared_buffers doesn't fit", POSTGRES,
     lambda b: put(first(b)["resources"]["limits"], "memory", "4Gi"))
swap("memory", "a local cache as large as the limit", ("ConfigMap", "pgweir", "pgweir-cache"), "cache.ini",
     "cache_size = 256MB", "cache_size = 1024MB")


@mutant("memory")
def fat_mongo(tree):
    """a cache of MongoDB as large as the limit"""
    args = first(tree.need("StatefulSet", "mongodb", "mongo-shard-a").body)
    key = "args" if "--wiredTigerCacheSizeGB" in (args.get("args") or []) else "command"
    args[key][args[key].index("--wiredTigerCacheSizeGB") + 1] = "2"


def hard(space, key, value):
    rule("quotas", f"{space}'s quota of {key} below what its pods ask for", ("ResourceQuota", space, space),
         lambda b: put(b["spec"]["hard"], key, value))


hard("pgweir", "requests.cpu", "6")
hard("data", "requests.memory", "30Gi")
hard("cache", "requests.storage", "30Gi")
hard("mongodb", "persistentvolumeclaims", "11")
hard("apps", "pods", "30")
hard("monitoring", "limits.memory", "4Gi")
hard("istio-system", "requests.cpu", "2")
hard("ingress-nginx", "services.loadbalancers", "0")
rule("quotas", "a container above its LimitRange", PGWEIR, lambda b: put(first(b)["resources"]["limits"], "memory", "3Gi"))


@mutant("quotas")
def no_quota(tree):
    """a namespace without a quota"""
    tree.objects.remove(tree.need("ResourceQuota", "cache", "cache"))


rule("nodes", "quotas that 20 workers can't hold", ("ResourceQuota", "apps", "apps"),
     lambda b: put(b["spec"]["hard"], "requests.cpu", "200"))
rule("nodes", "minima that six workers can't hold", ("HorizontalPodAutoscaler", "apps", "backend"),
     lambda b: put(b["spec"], "minReplicas", 120))
rule("nodes", "a pod that no worker can hold", POSTGRES, lambda b: put(first(b)["resources"]["requests"], "cpu", "8"))
rule("nodes", "two zones of three", ("MachineDeployment", "finai", "finai-workers-b"),
     lambda b: put(b["spec"]["template"]["spec"], "failureDomain", "eu-central-1a"))
rule("nodes", "21 workers at most", ("MachineDeployment", "finai", "finai-workers-c"),
     lambda b: b["metadata"]["annotations"].update({"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "7"}))
rule("nodes", "seven workers at first", ("MachineDeployment", "finai", "finai-workers-c"),
     lambda b: put(b["spec"], "replicas", 3))
rule("nodes", "one master", ("KubeadmControlPlane", "finai", "finai-control-plane"),
     lambda b: put(b["spec"], "replicas", 1))
rule("nodes", "an autoscaler told of another size of nodes", ("MachineDeployment", "finai", "finai-workers-a"),
     lambda b: b["metadata"]["annotations"].update({"capacity.cluster-autoscaler.kubernetes.io/cpu": "16"}))

rule("scaling", "replicas beside an autoscaler", PGWEIR, lambda b: put(b["spec"], "replicas", 3))
