# SPDX-License-Identifier: PostgreSQL
"""Mutants of workloads and of what stands around them."""
from checker.load import Obj

from . import INI, MONGOS, MUTANTS, PGWEIR, POSTGRES, REDIS, first, mutant, pod, put, rule, swap


def drop_all(*path):
    """A change that removes the key at the end of a path in the first container."""
    def change(body):
        node = first(body)
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]
    return change


for where in (PGWEIR, POSTGRES, REDIS, MONGOS):
    who = where[2]
    rule("selectors", f"{who}'s pod label differs from its selector", where,
         lambda b: put(b["spec"]["template"]["metadata"]["labels"], "app.kubernetes.io/name", "other"))
    rule("selectors", f"{who}'s spread selector misses its pods", where,
         lambda b: put(pod(b)["topologySpreadConstraints"][0], "labelSelector", {"matchLabels": {"a": "b"}}))
    rule("bar", f"{who} without a memory limit", where, drop_all("resources", "limits", "memory"))
    rule("bar", f"{who} without a cpu request", where, drop_all("resources", "requests", "cpu"))
    rule("bar", f"{who} runs :latest", where, lambda b: put(first(b), "image", "some/image:latest"))
    rule("bar", f"{who} has no constraint on zones", where,
         lambda b: put(pod(b), "topologySpreadConstraints", []))
    rule("bar", f"{who} with a writable root", where,
         lambda b: put(first(b)["securityContext"], "readOnlyRootFilesystem", False))
    rule("restricted", f"{who} may gain privileges", where,
         lambda b: put(first(b)["securityContext"], "allowPrivilegeEscalation", True))
    rule("restricted", f"{who} keeps capabilities", where,
         lambda b: put(first(b)["securityContext"], "capabilities", {}))
    rule("restricted", f"{who} on the host's network", where, lambda b: put(pod(b), "hostNetwork", True))
    rule("restricted", f"{who} mounts a folder of the host", where,
         lambda b: pod(b)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}))
    rule("probes", f"{who} without a livenessProbe", where, drop_all("livenessProbe"))
    rule("probes", f"{who} without a startupProbe", where, drop_all("startupProbe"))
    rule("probes", f"{who} ready by role", where,
         lambda b: put(first(b), "readinessProbe", {"httpGet": {"path": "/primary", "port": 8008}}))
    rule("ports", f"{who}'s liveness asks a port that isn't there", where,
         lambda b: put(first(b), "livenessProbe", {"tcpSocket": {"port": "gone"}}))
    rule("references", f"{who} reads a ConfigMap that isn't there", where,
         lambda b: pod(b)["volumes"].append({"name": "x", "configMap": {"name": "gone"}}))
    rule("references", f"{who} reads a Secret's key that isn't there", where,
         lambda b: first(b).setdefault("env", []).append(
             {"name": "X", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k"}}}))
    rule("references", f"{who} mounts a volume that isn't there", where,
         lambda b: first(b)["volumeMounts"].append({"name": "gone", "mountPath": "/gone"}))
    rule("references", f"{who} under an account that isn't there", where,
         lambda b: put(pod(b), "serviceAccountName", "gone"))
    rule("references", f"{who} of a priority that isn't there", where,
         lambda b: put(pod(b), "priorityClassName", "gone"))
    rule("labels", f"{who} without part-of", where,
         lambda b: b["metadata"]["labels"].pop("app.kubernetes.io/part-of"))

rule("ports", "pgweir's container port isn't listen_port", PGWEIR,
     lambda b: [put(p, "containerPort", 5555) for p in first(b)["ports"] if p["name"] == "postgres"])
rule("ports", "pgweir's metrics on another port than http_listen", PGWEIR,
     lambda b: [put(p, "containerPort", 9128) for p in first(b)["ports"] if p["name"] == "http"])
rule("ports", "PostgreSQL on another port than patroni.yml's", POSTGRES,
     lambda b: [put(p, "containerPort", 5433) for p in first(b)["ports"] if p["name"] == "postgresql"])
rule("ports", "Patroni on another port than patroni.yml's", POSTGRES,
     lambda b: [put(p, "containerPort", 8009) for p in first(b)["ports"] if p["name"] == "patroni"])
rule("ports", "mongos on another port than its flag", MONGOS, lambda b: put(first(b)["ports"][0], "containerPort", 27018))
rule("ports", "etcd on another port than its flag", ("StatefulSet", "data", "etcd"),
     lambda b: [put(p, "containerPort", 2389) for p in first(b)["ports"] if p["name"] == "client"])
rule("ports", "the frontend on another port than nginx", ("Deployment", "apps", "frontend"),
     lambda b: put(first(b)["ports"][0], "containerPort", 8081))
rule("ports", "the backend on another port than FINAI_LISTEN", ("Deployment", "apps", "backend"),
     lambda b: [put(p, "containerPort", 8081) for p in first(b)["ports"] if p["name"] == "http"])
rule("ports", "pgweir's Service aims at a port that isn't there", ("Service", "pgweir", "pgweir"),
     lambda b: put(b["spec"]["ports"][0], "targetPort", "gone"))
rule("selectors", "pgweir's Service selects nothing", ("Service", "pgweir", "pgweir"),
     lambda b: put(b["spec"], "selector", {"app.kubernetes.io/name": "gone"}))
rule("selectors", "postgres-primary selects nothing", ("Service", "data", "postgres-primary"),
     lambda b: put(b["spec"]["selector"], "app.kubernetes.io/name", "gone"))
rule("hosts", "postgres' headless Service under another name", POSTGRES,
     lambda b: put(b["spec"], "serviceName", "gone"))
rule("hosts", "fewer PostgreSQL pods than hosts that are named", POSTGRES,
     lambda b: put(b["spec"], "replicas", 1))
rule("hosts", "the Redis Cluster's Service isn't headless", ("Service", "cache", "redis-cluster-nodes"),
     lambda b: b["spec"].pop("clusterIP"))
rule("hosts", "pgweir asks a Service that isn't there", ("ConfigMap", "pgweir", "pgweir-config"),
     lambda b: put(b["data"], "x", "gone.data.svc.cluster.local"))
rule("placeholders", "a real-looking password in a Secret", ("Secret", "data", "postgres-credentials"),
     lambda b: put(b["stringData"], "app-password", "hunter2"))


@mutant("selectors")
def two_budgets(tree):
    """a second budget over pgweir's pods"""
    for budget in tree.all("PodDisruptionBudget"):
        if budget.ns == "pgweir":
            body = tree.clone().need("PodDisruptionBudget", "pgweir", budget.name).body
            body["metadata"]["name"] = "second"
            tree.objects.append(Obj(body, budget.file))
            return
    raise LookupError("no budget")


@mutant("selectors")
def tight_budget(tree):
    """a budget that never lets a pod of pgweir go"""
    budget = next(o for o in tree.all("PodDisruptionBudget") if o.ns == "pgweir")
    budget.body["spec"].update({"maxUnavailable": 0})


@mutant("rights")
def wildcard(tree):
    """a role with every verb"""
    next(o for o in tree.all("Role") if o.ns == "data").body["rules"][0]["verbs"] = ["*"]


@mutant("rights")
def dangling_role(tree):
    """a binding to a role that isn't there"""
    next(o for o in tree.all("RoleBinding") if o.ns == "data").body["roleRef"]["name"] = "gone"


@mutant("rights")
def dangling_subject(tree):
    """a binding to an account that isn't there"""
    next(o for o in tree.all("RoleBinding") if o.ns == "data").body["subjects"][0]["name"] = "gone"


@mutant("rights")
def needless_token(tree):
    """pgweir's pod gets a token that nothing uses"""
    pod(tree.need(*PGWEIR).body)["automountServiceAccountToken"] = True


@mutant("scaling")
def dangling_hpa(tree):
    """an autoscaler of a Deployment that isn't there"""
    tree.all("HorizontalPodAutoscaler")[0].body["spec"]["scaleTargetRef"]["name"] = "gone"


@mutant("scaling")
def upside_down_hpa(tree):
    """an autoscaler whose minimum is above its maximum"""
    tree.all("HorizontalPodAutoscaler")[0].body["spec"]["minReplicas"] = 1000


@mutant("scaling")
def vpa_restarts_database(tree):
    """a VPA that restarts PostgreSQL"""
    vpa = next(o for o in tree.all("VerticalPodAutoscaler") if o.spec["targetRef"]["name"] == "postgres")
    vpa.body["spec"]["updatePolicy"]["updateMode"] = "Recreate"


@mutant("scaling")
def piling_up(tree):
    """a CronJob that may run beside itself"""
    tree.all("CronJob")[0].body["spec"]["concurrencyPolicy"] = "Allow"


@mutant("flows")
def no_default_deny(tree):
    """a namespace without default-deny"""
    tree.objects.remove(tree.need("NetworkPolicy", "data", "default-deny"))


def cut(ns, side):
    """A mutant: no policy of a namespace lets anything but DNS pass that way."""
    def mutate(tree):
        for policy in tree.all("NetworkPolicy"):
            if policy.ns == ns and policy.name not in ("default-deny", "allow-dns"):
                policy.body["spec"].pop(side, None)
    mutate.__doc__ = f"{ns}'s policies without {side}"
    MUTANTS.append(("flows", mutate))


def opened(ns):
    """A mutant: everybody may talk to a namespace."""
    def mutate(tree):
        for space, side in ((ns, "ingress"), ("cache", "egress")):
            own = next(p for p in tree.all("NetworkPolicy") if p.ns == space and p.name == "default-deny")
            own.body["spec"][side] = [{}]
    mutate.__doc__ = f"{ns} open to the Redis nodes"
    MUTANTS.append(("flows", mutate))


for space in ("pgweir", "data", "cache", "mongodb"):
    cut(space, "ingress")
    cut(space, "egress")
opened("data")


swap("budgets", "a drain longer than the grace period", INI, "pgweir.ini", "drain_timeout = 30", "drain_timeout = 300")
swap("budgets", "10,000 clients don't fit", INI, "pgweir.ini", "max_client_conn = 5000", "max_client_conn = 500")
swap("timing", "a queue shorter than a failover", INI, "pgweir.ini", "failover_wait_timeout = 60",
     "failover_wait_timeout = 20")
swap("budgets", "maxmemory near the limit", ("ConfigMap", "cache", "redis-config"), "redis-cluster.conf",
     "maxmemory 640mb", "maxmemory 1000mb")
rule("timing", "Patroni's ttl below loop_wait + 2 x retry_timeout", ("ConfigMap", "data", "postgres-config"),
     lambda b: put(b["data"], "dynamic.json", '{"ttl": 20, "loop_wait": 10, "retry_timeout": 10}'))
