# SPDX-License-Identifier: PostgreSQL
"""Check 7: the NetworkPolicies, simulated over tables of flows.

A flow is allowed when some policy of the sender lets it out and some policy of the receiver lets
it in, on the container's port; a pod that no policy selects is open, which is itself a finding.
"""
import re

from .load import Finding, matches

# from namespace/name, to namespace/name, port number
REQUIRED = [
    # The tier's own work.
    ("apps/backend", "pgweir/pgweir", 6432), ("apps/frontend", "apps/backend", 8080),
    ("pgweir/pgweir", "data/postgres", 5432), ("pgweir/pgweir", "data/postgres", 8008),
    ("data/postgres", "data/postgres", 5432), ("data/postgres", "data/postgres", 8008),
    ("data/postgres", "data/etcd", 2379), ("data/etcd", "data/etcd", 2379), ("data/etcd", "data/etcd", 2380),
    ("data/postgres", "data/pgbackrest", 8432), ("data/pgbackrest", "data/postgres", 8432),
    ("data/postgres-config", "data/postgres", 8008),
    ("pgweir/pgweir", "cache/redis-cluster", 6379), ("cache/redis-cluster", "cache/redis-cluster", 6379),
    ("cache/redis-cluster", "cache/redis-cluster", 16379), ("cache/redis-cluster-create", "cache/redis-cluster", 6379),
    ("cache/redis", "cache/redis", 6379), ("cache/redis", "cache/redis-sentinel", 26379),
    ("cache/redis-sentinel", "cache/redis", 6379), ("cache/redis-sentinel", "cache/redis-sentinel", 26379),
    ("mongodb/mongos", "mongodb/mongo-config", 27019), ("mongodb/mongos", "mongodb/mongo-shard", 27018),
    ("mongodb/mongo-config", "mongodb/mongo-config", 27019), ("mongodb/mongo-config", "mongodb/mongo-shard", 27018),
    ("mongodb/mongo-shard", "mongodb/mongo-config", 27019), ("mongodb/mongo-shard", "mongodb/mongo-shard", 27018),
    ("mongodb/mongo-sharding-config", "mongodb/mongo-config", 27019),
    ("mongodb/mongo-sharding-config", "mongodb/mongo-shard", 27018),
    # Doors.
    ("ingress-nginx/nginx-ingress", "pgweir/pgweir", 6432), ("ingress-nginx/nginx-ingress", "apps/backend", 8080),
    ("ingress-nginx/nginx-ingress", "apps/frontend", 8080),
    ("istio-system/istio-ingressgateway", "apps/backend", 8080),
    ("istio-system/istio-ingressgateway", "apps/frontend", 8080),
    ("istio-system/istio-ingressgateway", "istio-system/istiod", 15012),
    ("apps/backend", "istio-system/istiod", 15012), ("apps/frontend", "istio-system/istiod", 15012),
    # Monitoring; what Prometheus scrapes is taken from the monitors.
    ("data/postgres-exporter", "data/postgres", 5432), ("cache/redis-exporter", "cache/redis-cluster", 6379),
    ("cache/redis-exporter", "cache/redis", 6379), ("mongodb/mongodb-exporter", "mongodb/mongos", 27017),
    ("monitoring/prometheus", "monitoring/alertmanager", 9093),
    ("monitoring/alertmanager", "monitoring/alertmanager", 9094), ("monitoring/grafana", "monitoring/prometheus", 9090),
    ("monitoring/prometheus-adapter", "monitoring/prometheus", 9090),
    # The load test.
    ("testing/k6", "apps/backend", 8080), ("testing/k6", "pgweir/pgweir", 6432), ("testing/k6", "testing/k6", 6565),
    ("testing/k6", "monitoring/prometheus", 9090), ("testing/pgbench", "pgweir/pgweir", 6432),
]
# Nothing else reaches a database, and no application what is behind pgweir.
FORBIDDEN = [
    (a, b, number) for a, targets in (
        ("apps/backend", ("postgres", "etcd", "redis", "mongo-shard", "mongo-config", "pgbackrest", "alertmanager")),
        ("apps/frontend", ("postgres", "etcd", "redis", "mongo-shard", "mongo-config", "mongos", "pgweir", "pgbackrest")),
        ("pgweir/pgweir", ("etcd", "mongo-shard", "mongos", "pgbackrest")),
        ("ingress-nginx/nginx-ingress", ("postgres", "etcd", "redis", "mongos")),
        ("istio-system/istio-ingressgateway", ("postgres", "etcd", "redis", "mongos", "pgweir")),
        ("mongodb/mongos", ("postgres", "etcd", "redis", "pgweir")),
        ("cache/redis-cluster", ("postgres", "etcd", "mongo-shard", "pgweir", "single")),
        ("cache/redis", ("postgres", "etcd", "redis", "pgweir")),
        ("data/postgres", ("redis", "mongo-shard", "pgweir", "peer")),
        ("data/pgbackrest", ("etcd", "redis", "postgres")), ("data/postgres-exporter", ("etcd", "redis", "pgweir")),
        ("monitoring/prometheus", ("postgres", "etcd", "redis", "pgweir", "mongo-shard")),
        ("monitoring/grafana", ("postgres", "redis", "alertmanager", "pgweir")),
        ("testing/k6", ("postgres", "etcd", "redis", "mongo-shard")), ("testing/pgbench", ("postgres", "etcd", "redis", "backend")))
    for b, number in ({"postgres": ("data/postgres", 5432), "etcd": ("data/etcd", 2379), "peer": ("data/etcd", 2380),
                       "backend": ("apps/backend", 8080), "redis": ("cache/redis-cluster", 6379), "single": ("cache/redis", 6379),
                       "mongo-shard": ("mongodb/mongo-shard", 27018), "mongo-config": ("mongodb/mongo-config", 27019),
                       "mongos": ("mongodb/mongos", 27017), "pgweir": ("pgweir/pgweir", 6432),
                       "pgbackrest": ("data/pgbackrest", 8432), "alertmanager": ("monitoring/alertmanager", 9093)}[t]
                      for t in targets)]
# Ports that something outside of the tables reaches: kubelet, the API server, the world, people.
OUTSIDE = {"nginx-ingress": {80, 443, 5432, 8081}, "prometheus-adapter": {6443}, "cluster-autoscaler": {8085},
           "mongos": {27017}, "mongo-sharding-config": {27017}, "grafana": {3000}, "etcd": {2381}}
API = (443, 6443)


def holds_pgweir(pod):
    """A pod with pgweir as its sidecar reaches PostgreSQL as pgweir does."""
    return any(c["image"].startswith("pgweir/pgweir:") for c in pod.spec.get("initContainers", []))


def _port(rule, pod, number):
    if not rule.get("ports"):
        return True
    for port in rule["ports"]:
        want = port.get("port")
        if want is None or want == number or pod.ports().get(want) == number:
            return True
        if port.get("endPort") and isinstance(want, int) and want <= number <= port["endPort"]:
            return True
    return False


def _peer(tree, policy, peers, pod):
    if not peers:
        return True
    space = tree.get("Namespace", None, pod.ns)
    labels = {"kubernetes.io/metadata.name": pod.ns, **((space.meta.get("labels") or {}) if space else {})}
    for peer in peers:
        if "ipBlock" in peer:
            continue
        near = matches(peer["namespaceSelector"], labels) if "namespaceSelector" in peer else pod.ns == policy.ns
        if near and ("podSelector" not in peer or matches(peer["podSelector"], pod.labels)):
            return True
    return False


def _way(tree, pod, other, target, number, side):
    """Whether pod's policies for "Ingress" or "Egress" let the flow with other pass."""
    field, peers = ("ingress", "from") if side == "Ingress" else ("egress", "to")
    held = [p for p in tree.all("NetworkPolicy") if p.ns == pod.ns
            and matches(p.spec.get("podSelector") or {}, pod.labels) and side in p.spec.get("policyTypes", [])]
    return not held or any(_port(rule, target, number) and _peer(tree, p, rule.get(peers), other)
                           for p in held for rule in p.spec.get(field) or [])


def allowed(tree, sender, receiver, number):
    return (_way(tree, sender, receiver, receiver, number, "Egress")
            and _way(tree, receiver, sender, receiver, number, "Ingress"))


def _elsewhere(tree, pods, ends):
    """Scrapes whose address is rewritten to an exporter's Service."""
    for rule in [r for e in ends for r in e.get("relabelings") or [] if r.get("targetLabel") == "__address__"]:
        found = re.match(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc[^:]*:(\d+)$", rule.get("replacement", ""))
        service = found and tree.get("Service", found.group(2), found.group(1))
        for pod in pods if service else ():
            if pod.ns == service.ns and matches(service.spec.get("selector"), pod.labels):
                yield pod, int(found.group(3))


def scrapes(tree):
    """Flows that the monitors stand for: Prometheus to each port that one names."""
    found = []
    pods = tree.pods() + tree.operated() + tree.outside()
    for obj in tree.all("PodMonitor", "ServiceMonitor"):
        ends = obj.spec.get("podMetricsEndpoints") or obj.spec.get("endpoints") or []
        rewritten = list(_elsewhere(tree, pods, ends))
        if rewritten:
            found += rewritten
            continue
        for pod in pods:
            if obj.kind == "PodMonitor" and pod.ns == obj.ns and matches(obj.spec["selector"], pod.labels):
                found += [(pod, pod.ports().get(e.get("port"))) for e in ends]
        for service in tree.all("Service") if obj.kind == "ServiceMonitor" else []:
            if service.ns == obj.ns and matches(obj.spec["selector"], service.meta.get("labels") or {}):
                for pod in pods:
                    if pod.ns == obj.ns and matches(service.spec.get("selector"), pod.labels):
                        for port in service.spec["ports"]:
                            if port.get("name") in [e.get("port") for e in ends]:
                                target = port.get("targetPort", port["port"])
                                found.append((pod, pod.ports().get(target, target)))
    return [(pod, number) for pod, number in found if isinstance(number, int)]


def by_name(tree):
    """namespace/name -> pods."""
    pods = {}
    for pod in tree.pods() + tree.operated() + tree.outside():
        pods.setdefault(f"{pod.ns}/{pod.labels.get('app.kubernetes.io/name')}", []).append(pod)
    return pods


def _tables(tree, pods, out):
    """Both tables; what a row names must exist, or it would prove nothing."""
    for table, wanted in ((REQUIRED, True), (FORBIDDEN, False)):
        for a, b, number in table:
            listening = [p for p in pods.get(b, []) if number in p.ports().values()]
            if tree.name != "development" and not (pods.get(a) and listening):
                out.append(Finding(f"{a} to {b}", "", f"no such pods, or no port {number}: the table is out of date"))
            for sender in pods.get(a, []):
                for receiver in listening:
                    if not wanted and holds_pgweir(sender) and b in ("data/postgres", "cache/redis-cluster"):
                        continue
                    if allowed(tree, sender, receiver, number) != wanted:
                        text = "is not allowed" if wanted else "is allowed"
                        out.append(Finding(sender, "", f"to {receiver.owner.name} port {number} {text}"))


def _open(policies, number):
    """Whether some policy lets a pod out to that port of anything outside of the cluster's pods."""
    return any(not rule.get("to") and number in [p.get("port") for p in rule.get("ports") or []]
               or any("ipBlock" in peer for peer in rule.get("to") or []) for p in policies
               for rule in p.spec.get("egress") or [])


def _everybody(tree, pods, out):
    """DNS for all, the API server for those with a token, a port for nobody is a port too many."""
    dns = pods["kube-system/kube-dns"][0]
    reached = {(b, n) for _, b, n in REQUIRED} | {
        (f"{p.ns}/{p.labels.get('app.kubernetes.io/name')}", n) for p, n in scrapes(tree)}
    for name, those in pods.items():
        for pod in those:
            if pod.owner.kind == "Outside":
                continue
            if not allowed(tree, pod, dns, 53):
                out.append(Finding(pod, "", "DNS is not allowed"))
            mine = [p for p in tree.all("NetworkPolicy") if p.ns == pod.ns
                    and matches(p.spec.get("podSelector") or {}, pod.labels)]
            token = any("serviceAccountToken" in s for v in pod.spec.get("volumes") or []
                        for s in (v.get("projected") or {}).get("sources") or [])
            account = tree.get("ServiceAccount", pod.ns, pod.spec.get("serviceAccountName"))
            token = token or account and pod.spec.get("automountServiceAccountToken", account.body.get(
                "automountServiceAccountToken", True)) is not False
            if token and not any(_open(mine, n) for n in API):
                out.append(Finding(pod, "", "has a token, but the API server is not allowed"))
            for number in set(pod.ports().values()) if not pod.is_job else ():
                plain = pod.labels.get("app.kubernetes.io/name")
                if (name, number) not in reached and number not in OUTSIDE.get(plain, ()):
                    if not holds_pgweir(pod) and tree.name != "development":
                        out.append(Finding(pod, "", f"port {number}: no required flow reaches it"))


def flows(tree):
    """Check 7: required flows pass, forbidden ones don't, every namespace denies by default."""
    out = []
    pods = by_name(tree)
    _tables(tree, pods, out)
    for prometheus in pods.get("monitoring/prometheus", []):
        for receiver, number in scrapes(tree):
            if not allowed(tree, prometheus, receiver, number):
                out.append(Finding(prometheus, "", f"to {receiver.owner.name} port {number} is not allowed"))
    _everybody(tree, pods, out)
    for space in {p.ns for p in tree.pods()} - {"kube-system"}:
        deny = [p for p in tree.all("NetworkPolicy") if p.ns == space and not p.spec.get("podSelector")
                and set(p.spec.get("policyTypes", [])) == {"Ingress", "Egress"} and not p.spec.get("ingress")
                and not p.spec.get("egress")]
        if not deny:
            out.append(Finding(tree.get("Namespace", None, space) or space, "", "no default-deny NetworkPolicy"))
    return out
