# SPDX-License-Identifier: PostgreSQL
"""Mutants of credentials, rights, the leader's label and the ways through the network."""
from checker.load import Obj

from . import INI, MUTANTS, PGWEIR, POSTGRES, edit, first, mutant, pod, put, rule, swap

CREDENTIALS = ("Secret", "data", "postgres-credentials")

rule("secrets", "a key that nothing uses", CREDENTIALS, lambda b: put(b["stringData"], "old-password", "CHANGE_ME"))
rule("secrets", "a real value without a name that says so", CREDENTIALS, lambda b: put(b["stringData"], "app-verifier", "x1y2z3"))
rule("secrets", "a placeholder of a password that isn't there", ("Secret", "pgweir", "pgweir-auth"),
     lambda b: put(b["stringData"], "cluster-password", "CHANGE_ME:data/postgres-credentials/gone"))
rule("secrets", "Alertmanager reads a Secret that isn't there", ("Alertmanager", "monitoring", "alertmanager"),
     lambda b: put(b["spec"], "configSecret", "gone"))
rule("secrets", "the mesh's gateway names a certificate that isn't there", ("Gateway", "istio-system", "finai"),
     lambda b: put(b["spec"]["servers"][0]["tls"], "credentialName", "finai-tls"))
rule("secrets", "Prometheus asks Patroni with a CA that isn't there", ("PodMonitor", "data", "patroni"),
     lambda b: put(b["spec"]["podMetricsEndpoints"][0]["tlsConfig"]["ca"]["secret"], "name", "gone"))
rule("secrets", "a password in an environment variable's address", PGWEIR, lambda b: first(b).setdefault("env", []).append(
    {"name": "URL", "value": "postgresql://finai:hunter2@pgweir.pgweir.svc.cluster.local:5432/finai"}))
rule("secrets", "a private key in a ConfigMap", INI,
     lambda b: put(b["data"], "tls.key", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n"))
rule("secrets", "a SCRAM verifier in a ConfigMap", INI,
     lambda b: put(b["data"], "users", '"a" "SCRAM-SHA-256$4096:MDEyMzQ1Njc4OTAxMjM0$x:y"'))
rule("secrets", "a password in a configuration", ("ConfigMap", "cache", "redis-config"),
     lambda b: put(b["data"], "redis.conf", b["data"]["redis.conf"] + "requirepass s3cretW0rd9\n"))
rule("secrets", "an access key", PGWEIR,
     lambda b: first(b).setdefault("env", []).append({"name": "K", "value": "AKIAABCDEFGHIJKLMNOP"}))

rule("patroni", "a member may write config maps", ("Role", "data", "postgres"),
     lambda b: b["rules"].append({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}))
rule("patroni", "a member may not set its label", ("Role", "data", "postgres"),
     lambda b: put(b["rules"][0], "verbs", ["get"]))
rule("patroni", "a member may delete pods", ("Role", "data", "postgres"),
     lambda b: b["rules"][0]["verbs"].append("delete"))
rule("patroni", "the mode with ConfigMaps can't watch", ("Role", "data", "postgres-configmaps"),
     lambda b: b["rules"][0]["verbs"].remove("watch"))
rule("patroni", "Patroni's state in ConfigMaps without the rights", POSTGRES, lambda b: [
    put(e, "name", e["name"].replace("ETCD3", "KUBERNETES")) for c in pod(b)["containers"] for e in c.get("env") or []])
rule("patroni", "the Service of the leader under Patroni 4's word", ("Service", "data", "postgres-primary"),
     lambda b: put(b["spec"]["selector"], "role", "primary"))
rule("patroni", "the budget of the leader under Patroni 4's word", ("PodDisruptionBudget", "data", "postgres-primary"),
     lambda b: put(b["spec"]["selector"]["matchLabels"], "role", "primary"))
swap("patroni", "a script that labels the leader as Patroni 4 does", ("ConfigMap", "data", "postgres-scripts"),
     "role-label.sh", '"master"', '"primary"')
edit("patroni", "an image with Patroni 4", "k8s/images/postgres/Dockerfile", "FROM debian:12", "FROM debian:13")

rule("rights", "a role over every group", ("ClusterRole", None, "prometheus"),
     lambda b: put(b["rules"][0], "apiGroups", ["*"]))
rule("rights", "a role that may impersonate", ("ClusterRole", None, "prometheus"),
     lambda b: b["rules"][0]["verbs"].append("impersonate"))
rule("rights", "a role that reads every Secret", ("ClusterRole", None, "prometheus"),
     lambda b: b["rules"][0]["resources"].append("secrets"))


def without(ns, name):
    """A component's own policy is gone: its namespace denies by default."""
    def mutate(tree):
        tree.objects.remove(tree.need("NetworkPolicy", ns, name))
    mutate.__doc__ = f"no policy of {ns}/{name}"
    MUTANTS.append(("flows", mutate))


for place in ("apps/backend", "apps/frontend", "pgweir/pgweir", "data/postgres", "data/etcd", "data/pgbackrest",
              "data/postgres-exporter", "data/postgres-config", "cache/redis-cluster", "cache/redis", "cache/redis-sentinel",
              "cache/redis-exporter", "cache/redis-cluster-create", "monitoring/prometheus", "monitoring/alertmanager",
              "monitoring/grafana", "monitoring/prometheus-adapter", "ingress-nginx/nginx-ingress", "mongodb/mongos",
              "mongodb/mongo-config", "istio-system/istiod", "apps/mesh-control", "data/allow-dns"):
    without(*place.split("/"))


def pierced(sender, receiver, number):
    """One more way into a database."""
    def mutate(tree):
        for (ns, name), (other, peer), side, key in ((receiver, sender, "ingress", "from"), (sender, receiver, "egress", "to")):
            body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": {"name": f"more-{side}", "namespace": ns}, "spec": {
                        "podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}, "policyTypes": [side.capitalize()],
                        side: [{key: [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": other}},
                                       "podSelector": {"matchLabels": {"app.kubernetes.io/name": peer}}}],
                                "ports": [{"port": number}]}]}}
            tree.objects.append(Obj(body, "mutant"))
    mutate.__doc__ = f"{'/'.join(sender)} may reach {'/'.join(receiver)}"
    MUTANTS.append(("flows", mutate))


pierced(("apps", "backend"), ("data", "postgres"), 5432)
pierced(("apps", "frontend"), ("cache", "redis-cluster"), 6379)
pierced(("apps", "backend"), ("data", "etcd"), 2379)
pierced(("monitoring", "prometheus"), ("data", "postgres"), 5432)
pierced(("cache", "redis"), ("cache", "redis-cluster"), 6379)


@mutant("flows")
def unscraped(tree):
    """a monitor of a port that Prometheus may not reach"""
    policy = tree.need("NetworkPolicy", "monitoring", "prometheus")
    for rule_ in policy.spec["egress"]:
        rule_["ports"] = [p for p in rule_["ports"] if p["port"] != 9187]


@mutant("flows")
def unused_port(tree):
    """a container's port that nobody is to reach"""
    first(tree.need("StatefulSet", "cache", "redis").body)["ports"].append({"name": "debug", "containerPort": 9999})
