# SPDX-License-Identifier: PostgreSQL
"""Check 7: the NetworkPolicies, simulated over tables of flows.

A flow is allowed when some policy of the sender lets it out and some policy of the receiver lets
it in, on the container's port; a pod that no policy selects is open, which is itself a finding.
"""
from .load import Finding, matches

# from namespace/name, to namespace/name, port number
REQUIRED = [
    ("pgweir/pgweir", "data/postgres", 5432), ("pgweir/pgweir", "data/postgres", 8008),
    ("pgweir/pgweir", "cache/redis-cluster", 6379), ("data/postgres", "data/postgres", 5432),
    ("data/postgres", "data/postgres", 8008), ("data/postgres", "data/etcd", 2379),
    ("data/etcd", "data/etcd", 2380), ("cache/redis-cluster", "cache/redis-cluster", 16379),
    ("cache/redis-cluster", "cache/redis-cluster", 6379), ("cache/redis", "cache/redis", 6379),
    ("cache/redis-sentinel", "cache/redis", 6379), ("cache/redis-sentinel", "cache/redis-sentinel", 26379),
    ("mongodb/mongos", "mongodb/mongo-config", 27019), ("mongodb/mongos", "mongodb/mongo-shard", 27018),
    ("ingress-nginx/nginx-ingress", "pgweir/pgweir", 6432), ("apps/backend", "pgweir/pgweir", 6432),
    ("ingress-nginx/nginx-ingress", "apps/backend", 8080), ("ingress-nginx/nginx-ingress", "apps/frontend", 8080),
    ("monitoring/prometheus", "pgweir/pgweir", 9127), ("monitoring/prometheus", "data/postgres", 8008),
    ("testing/k6", "apps/backend", 8080), ("testing/k6", "pgweir/pgweir", 6432), ("testing/k6", "testing/k6", 6565),
    ("testing/k6", "monitoring/prometheus", 9090), ("testing/pgbench", "pgweir/pgweir", 6432),
]
FORBIDDEN = [
    ("apps/backend", "data/postgres", 5432), ("apps/frontend", "data/postgres", 5432),
    ("apps/frontend", "cache/redis-cluster", 6379), ("apps/frontend", "pgweir/pgweir", 6432),
    ("apps/backend", "data/etcd", 2379), ("pgweir/pgweir", "data/etcd", 2379),
    ("ingress-nginx/nginx-ingress", "data/postgres", 5432), ("mongodb/mongos", "data/postgres", 5432),
    ("cache/redis-cluster", "data/postgres", 5432), ("apps/frontend", "mongodb/mongos", 27017),
    ("testing/k6", "data/postgres", 5432), ("testing/pgbench", "data/postgres", 5432),
    ("testing/pgbench", "apps/backend", 8080),
]


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


def flows(tree):
    """Check 7: required flows pass, forbidden ones don't, every namespace denies by default."""
    out = []
    pods = {}
    for pod in tree.pods() + tree.operated():
        # Other Jobs bear the name of what they serve, without its flows.
        if not pod.is_job or pod.ns == "testing":
            pods.setdefault(f"{pod.ns}/{pod.labels.get('app.kubernetes.io/name')}", []).append(pod)
    for table, wanted in ((REQUIRED, True), (FORBIDDEN, False)):
        for a, b, number in table:
            for sender in pods.get(a, []):
                for receiver in pods.get(b, []):
                    if not wanted and holds_pgweir(sender) and b == "data/postgres":
                        continue
                    if allowed(tree, sender, receiver, number) != wanted:
                        text = "is not allowed" if wanted else "is allowed"
                        out.append(Finding(sender, "", f"to {receiver.owner.name} port {number} {text}"))
    for space in {p.ns for p in tree.pods()} - {"kube-system"}:
        deny = [p for p in tree.all("NetworkPolicy") if p.ns == space and not p.spec.get("podSelector")
                and set(p.spec.get("policyTypes", [])) == {"Ingress", "Egress"} and not p.spec.get("ingress")]
        if not deny:
            out.append(Finding(tree.get("Namespace", None, space) or space, "", "no default-deny NetworkPolicy"))
    return out
