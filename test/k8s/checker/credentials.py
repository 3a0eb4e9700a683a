# SPDX-License-Identifier: PostgreSQL
"""Checks 4, 5 and 6: every Secret's key is used and none is real; what Patroni may do; its leader's label.
"""
import re

from .load import Finding, SECRETS
from .references import named
from .selectors import ROLE_LABELS

# Names of users and files that hold no secret by themselves.
OPEN = re.compile(r"(^|-)(username|user)$|_USER$|\.(yaml|ini|acl|txt)$")
PLACE = re.compile(r"CHANGE_ME:(?:scram:|sha256:)?([a-z0-9-]+)/([a-z0-9-]+)/([A-Za-z0-9_.-]+?)(?=[^A-Za-z0-9_.-]|$)")
# What a credential looks like in any text.
REAL = [
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]{16,}"), "a SCRAM verifier"),
    (re.compile(r"\bmd5[0-9a-f]{32}\b"), "an md5 verifier"),
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), "an access key"),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}\b"), "a token"),
    (re.compile(r"\bey[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\."), "a token"),
    (re.compile(r"://[^/\s:@\"'$]+:(?!CHANGE_ME|\$|<)[^@\s/\"']+@"), "a password in an address"),
    (re.compile(r"(?i)\b(?:password|passwd|secret|token|requirepass|masterauth)\b[\"']?\s*[=: ]\s*[\"']?"
                r"(?!CHANGE_ME)(?=[^\s\"']*\d)[A-Za-z0-9+!@#%^&*-]{8,}[\"']?\s*$", re.M), "a password"),
]


def _texts(body):
    """Every string of an object."""
    stack = [body]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack += list(node.values())
        elif isinstance(node, list):
            stack += node
        elif isinstance(node, str):
            yield node


def _by_operators(tree):
    """(namespace, Secret, key or None) that Custom Resources name."""
    for obj in tree.objects:
        spec = obj.spec
        if obj.kind == "Alertmanager":
            yield obj.ns, spec.get("configSecret"), "alertmanager.yaml"
        for name in spec.get("secrets") or [] if obj.kind in ("Alertmanager", "Prometheus") else []:
            yield obj.ns, name, None
        for server in spec.get("servers") or [] if obj.kind == "Gateway" else []:
            yield obj.ns, (server.get("tls") or {}).get("credentialName"), "tls.key"
        ends = spec.get("podMetricsEndpoints") or spec.get("endpoints") or [] if obj.kind.endswith("Monitor") else []
        for end in ends:
            ref = ((end.get("tlsConfig") or {}).get("ca") or {}).get("secret") or {}
            yield obj.ns, ref.get("name"), ref.get("key")
        for name in [r["name"] for r in spec.get("imagePullSecrets") or []]:
            yield obj.ns, name, None


def _used(tree):
    """What is used: {(namespace, Secret): keys}, and the Secrets that are mounted whole."""
    keys, whole = {}, set()
    for pod in tree.pods():
        for where, kind, name, items, _ in named(pod):
            if kind == "Secret":
                keys.setdefault((pod.ns, name), set()).update(items)
                if not items and where == "envFrom":
                    keys[(pod.ns, name)].add("*")
                elif not items:
                    whole.add((pod.ns, name))
    for ns, name, key in _by_operators(tree):
        keys.setdefault((ns, name), set()).update({key} - {None})
        if key is None:
            whole.add((ns, name))
    return keys, whole


def secrets(tree):
    """Check 4: what operators' objects name exists; every key of every Secret is used; no value is real."""
    out = []
    keys, whole = _used(tree)
    made = {(c.ns, c.spec.get("secretName")) for c in tree.all("Certificate")}
    for ns, name, key in _by_operators(tree):
        obj = tree.get("Secret", ns, name)
        if name and obj is None and (ns, name) not in made:
            out.append(Finding(f"{ns}/{name}", "", "no such Secret, and no Certificate makes it"))
        elif obj is not None and key and key not in obj.body["stringData"]:
            out.append(Finding(obj, key, "no such key"))
    texts = {}
    for obj in tree.objects:
        texts.setdefault(obj.ns, []).extend(_texts(obj.body))
    built = {found for obj in tree.all("Secret") for text in _texts(obj.body) for found in PLACE.findall(text)}
    for obj in tree.all("Secret"):
        if obj.file == SECRETS and tree.name != "base":
            continue  # an overlay may have another in its place
        place = (obj.ns, obj.name)
        for key in obj.body.get("stringData") or {}:
            mounted = place in whole and any(f"/{key}" in text for text in texts[obj.ns])
            if not keys.get(place, set()) & {key, "*"} and not mounted and (*place, key) not in built:
                out.append(Finding(obj, f"stringData.{key}", "nothing uses it"))
    for ns, name, key in sorted(built):
        if key not in ((tree.get("Secret", ns, name) or obj).body.get("stringData") or {}):
            if tree.get("Namespace", None, ns):
                out.append(Finding(f"{ns}/{name}", key, "a placeholder stands for it, but there is no such key"))
    return out + _real(tree)


def _real(tree):
    """Values that look like credentials, wherever they stand."""
    out = []
    for obj in tree.all("Secret"):
        for key, value in (obj.body.get("stringData") or {}).items():
            if "CHANGE_ME" not in str(value) and not OPEN.search(key):
                out.append(Finding(obj, f"stringData.{key}", "not a placeholder"))
    for obj in tree.objects:
        for text in _texts(obj.body):
            out += [Finding(obj, "", f"{what}: {found.group(0)[:40]!r}") for pattern, what in REAL
                    for found in [pattern.search(text)] if found and obj.kind != "Secret" or found and "CHANGE_ME" not in text]
    return out


# Patroni's documentation of its Kubernetes mode, with its state in ConfigMaps, and what the role-label container does.
BY_CONFIGMAPS = {"configmaps": {"create", "get", "list", "patch", "update", "watch", "delete", "deletecollection"},
                 "pods": {"get", "list", "patch", "update", "watch"}}
BY_ETCD = {"pods": {"patch"}}


def _granted(tree, ns, account):
    """{resource: verbs} that an account has in its namespace."""
    found = {}
    for binding in tree.all("RoleBinding"):
        for subject in binding.body.get("subjects") or []:
            if binding.ns == ns and (subject.get("kind"), subject.get("name")) == ("ServiceAccount", account):
                role = tree.get("Role", ns, binding.body["roleRef"]["name"])
                for rule in (role.body.get("rules") or []) if role else []:
                    for resource in rule["resources"]:
                        found.setdefault(resource, set()).update(rule["verbs"])
    return found


def patroni(tree):
    """Checks 5 and 6: Patroni's rights are those of its DCS mode; selectors know its leader's label."""
    out = []
    obj = tree.need("StatefulSet", "data", "postgres")
    env = {e["name"] for c in obj.spec["template"]["spec"]["containers"] for e in c.get("env") or []}
    in_etcd = any(n.startswith("PATRONI_ETCD") for n in env)
    if in_etcd == any(n.startswith("PATRONI_KUBERNETES") for n in env):
        out.append(Finding(obj, "env", "both or neither of PATRONI_ETCD3_* and PATRONI_KUBERNETES_*"))
    account = obj.spec["template"]["spec"]["serviceAccountName"]
    have, need = _granted(tree, "data", account), BY_ETCD if in_etcd else BY_CONFIGMAPS
    if have != need:
        out.append(Finding(obj, "rights", f"may {have}, its DCS mode needs {need}"))
    other = tree.get("Role", "data", "postgres-configmaps")
    said = {r: set(rule["verbs"]) for rule in (other.body["rules"] if other else []) for r in rule["resources"]}
    if said != BY_CONFIGMAPS:
        out.append(Finding(obj, "rights", "Role postgres-configmaps isn't what the mode with ConfigMaps needs"))
    return out + _label(tree, obj)


def _label(tree, obj):
    """The leader's label in the script, the Services and the budgets is that of the image's Patroni."""
    out = []
    image = next(c["image"] for c in obj.spec["template"]["spec"]["containers"] if c["name"] == "postgres")
    recipe = tree.texts.get(f"k8s/images/{image.split('/')[-1].split(':')[0]}/Dockerfile", "")
    release = re.search(r"^FROM debian:(\d+)", recipe, re.M)
    # Debian 12 has Patroni 3.0.2, Debian 13 has 4.0: the leader's value changed with 4.0.
    leader = {"12": "master", "13": "primary"}.get(release.group(1) if release else None)
    if leader is None:
        return [Finding(obj, "image", f"{image}: which Patroni is in it can't be told")]
    script = tree.need("ConfigMap", "data", "postgres-scripts").body["data"]["role-label.sh"]
    told = set(re.findall(r"echo '\"(\w+)\"'", script))
    if told != {leader, "replica"}:
        out.append(Finding(obj, "role-label.sh", f"sets {sorted(told)}, the image's Patroni says {leader}"))
    used = set()
    for other in tree.all("Service", "PodDisruptionBudget"):
        selector = other.spec.get("selector") or {}
        for value in [v for k, v in {**selector, **(selector.get("matchLabels") or {})}.items() if k in ROLE_LABELS]:
            used.add((other.kind, value))
            if other.ns == "data" and value not in (leader, "replica"):
                out.append(Finding(other, "selector", f"role {value}: the image's Patroni says {leader}"))
    for kind in ("Service", "PodDisruptionBudget"):
        out += [Finding(obj, "", f"no {kind} of role {value}") for value in (leader, "replica") if (kind, value) not in used]
    return out
