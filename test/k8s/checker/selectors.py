# SPDX-License-Identifier: PostgreSQL
"""Checks 1 to 3: selectors find pods, ports resolve, host names exist."""
import re

from .load import Finding, matches

ROLE_LABELS = {"role", "finai/role"}


def _pods(tree, ns, selector):
    plain = dict(selector)
    if "matchLabels" in plain:
        plain = {**plain, "matchLabels": {k: v for k, v in (plain["matchLabels"] or {}).items()
                                          if k not in ROLE_LABELS}}
    else:
        plain = {k: v for k, v in plain.items() if k not in ROLE_LABELS}
    return [p for p in tree.pods() + tree.operated() if p.ns == ns and matches(plain, p.labels)]


def least(tree, pod):
    """How many pods there are at least: the autoscaler's minimum, or replicas."""
    for hpa in tree.all("HorizontalPodAutoscaler"):
        target = hpa.spec.get("scaleTargetRef") or {}
        if (hpa.ns, target.get("kind"), target.get("name")) == (pod.ns, pod.owner.kind, pod.owner.name):
            return hpa.spec.get("minReplicas", 1)
    return pod.replicas or 1


def _budget(tree, obj, pods, out):
    budget = obj.spec
    for pod in pods:
        low, up = budget.get("minAvailable"), budget.get("maxUnavailable")
        if up in (0, "0%") or low == "100%" or isinstance(low, int) and low >= least(tree, pod):
            if not (obj.spec.get("selector", {}).get("matchLabels", {}).keys() & ROLE_LABELS):
                out.append(Finding(obj, "spec", f"never lets a pod of {pod.owner.name} go"))


def selectors(tree):
    """Check 1: Services, PDBs and policies select pods; no pod is under two PDBs."""
    out = []
    for obj in tree.all("Service"):
        selector = obj.spec.get("selector")
        if selector:
            owners = {p.owner.name for p in _pods(tree, obj.ns, selector) if not p.is_job}
            if len(owners) != 1:
                out.append(Finding(obj, "spec.selector", f"selects {sorted(owners) or 'nothing'}"))
    for obj in tree.all("NetworkPolicy"):
        if obj.ns == "istio-system":  # its pods are made by istioctl
            continue
        selector = obj.spec.get("podSelector") or {}
        if selector and not _pods(tree, obj.ns, selector):
            out.append(Finding(obj, "spec.podSelector", "selects nothing"))
    held = {}
    for obj in tree.all("PodDisruptionBudget"):
        selector = obj.spec.get("selector") or {}
        pods = [p for p in _pods(tree, obj.ns, selector) if not p.is_job]
        if not pods:
            out.append(Finding(obj, "spec.selector", "selects nothing"))
        _budget(tree, obj, pods, out)
        roles = {v for k, v in (selector.get("matchLabels") or {}).items() if k in ROLE_LABELS}
        for pod in pods:
            for other, theirs in held.get(str(pod), []):
                if not roles or not theirs or roles & theirs:
                    out.append(Finding(obj, "spec.selector", f"{pod.owner.name} is under {other} too"))
            held.setdefault(str(pod), []).append((obj.name, roles))
    for pod in tree.pods():
        mine = pod.owner.spec.get("selector")
        if pod.owner.kind in ("Deployment", "StatefulSet") and not matches(mine, pod.labels):
            out.append(Finding(pod, "spec.selector", "doesn't match the template"))
        for rule in pod.spec.get("topologySpreadConstraints") or []:
            if not matches(rule.get("labelSelector"), pod.labels):
                out.append(Finding(pod, "topologySpreadConstraints", "labelSelector misses the pod"))
        placeholder = all("/pause:" in c.get("image", "") for c in pod.main)
        if not pod.is_job and not placeholder and least(tree, pod) > 1 and str(pod) not in held:
            out.append(Finding(pod, "", "no PodDisruptionBudget"))
    return out


def _probe_ports(pod, out):
    names = pod.ports()
    for container in pod.containers:
        probes = [(k, container.get(k)) for k in ("startupProbe", "readinessProbe", "livenessProbe")]
        probes += [(f"lifecycle.{k}", v) for k, v in (container.get("lifecycle") or {}).items()]
        for where, probe in probes:
            for how in ("httpGet", "tcpSocket"):
                port = ((probe or {}).get(how) or {}).get("port")
                if port is not None and port not in names and port not in names.values():
                    out.append(Finding(pod, f"{container['name']}.{where}", f"no port {port}"))


def ports(tree):
    """Check 2: every named port resolves down to a container's port."""
    out = []
    for pod in tree.pods():
        _probe_ports(pod, out)
    for obj in tree.all("Service"):
        pods = _pods(tree, obj.ns, obj.spec.get("selector") or {"-": "-"})
        for port in obj.spec.get("ports") or []:
            target = port.get("targetPort", port.get("port"))
            for pod in pods:
                if not pod.is_job and target not in pod.ports() and target not in pod.ports().values():
                    out.append(Finding(obj, f"ports.{port.get('name')}", f"no container port {target}"))
    for obj in tree.all("Ingress"):
        for rule in obj.spec.get("rules") or []:
            for path in (rule.get("http") or {}).get("paths") or []:
                backend = path["backend"].get("service") or {}
                service = tree.get("Service", obj.ns, backend.get("name"))
                if service is None:
                    out.append(Finding(obj, "backend", f"no Service {backend.get('name')}"))
                elif not any(backend["port"].get("name") == p.get("name") if "name" in backend["port"]
                             else backend["port"].get("number") == p["port"] for p in service.spec["ports"]):
                    out.append(Finding(obj, "backend", f"no port {backend['port']} in {service.name}"))
    return out + _programs(tree)


def config_text(tree, ns, name, key):
    obj = tree.get("ConfigMap", ns, name)
    return None if obj is None else (obj.body.get("data") or {}).get(key)


def _programs(tree):
    """The ports of the containers are those that the programs' own files say."""
    out = []
    facts = [("pgweir", "pgweir-config", "pgweir.ini", r"^listen_port\s*=\s*(\d+)", "pgweir", "postgres", 6432),
             ("cache", "redis-config", "redis-cluster.conf", r"^port\s+(\d+)", "redis-cluster", "redis", 6379),
             ("cache", "redis-config", "redis.conf", r"^port\s+(\d+)", "redis", "redis", 6379),
             ("cache", "redis-config", "sentinel.conf", r"^port\s+(\d+)", "redis-sentinel", "sentinel", 26379),
             ("pgweir", "pgweir-config", "pgweir.ini", r"^http_listen\s*=\s*\S+:(\d+)", "pgweir", "http", 0),
             ("data", "patroni-config", "patroni.yml", r"listen: 0\.0\.0\.0:(5\d+)", "postgres", "postgresql", 0),
             ("data", "patroni-config", "patroni.yml", r"restapi:\s+listen: 0\.0\.0\.0:(\d+)", "postgres", "patroni", 0),
             ("data", "pgbackrest-config", "member.conf", r"^tls-server-port\s*=\s*(\d+)", "postgres", "pgbackrest", 8432),
             ("data", "pgbackrest-config", "repository.conf", r"^tls-server-port\s*=\s*(\d+)", "pgbackrest", "pgbackrest", 8432),
             ("apps", "frontend-nginx", "nginx.conf", r"^\s*listen\s+(\d+)", "frontend", "http", 80),
             ("apps", "app-config", "FINAI_LISTEN", r":(\d+)$", "backend", "http", 8080)]
    for ns, config, key, pattern, name, port, usual in facts:
        text = config_text(tree, ns, config, key)
        if text is None:
            out.append(Finding(f"{ns}/{config}", key, "no such text"))
            continue
        found = re.search(pattern, text, re.M)
        number = int(found.group(1)) if found else usual
        for pod in tree.pods():
            if pod.ns == ns and not pod.is_job and pod.labels.get("app.kubernetes.io/name") == name:
                if pod.ports().get(port) != number:
                    out.append(Finding(pod, f"ports.{port}", f"{key} listens on {number}"))
    return out + _flags(tree)


# What programs are told to listen on by their own arguments.
FLAGS = re.compile(r"^--(?:listen-(?:client|peer|metrics)-urls=\S+?|web\.listen-address=\S*?|secure-port=|port=):?(\d+)$")


def _flags(tree):
    """A container's ports are those of its arguments, where they name any."""
    out = []
    for pod in tree.pods():
        for container in pod.containers:
            args = [str(a) for a in (container.get("command") or []) + (container.get("args") or [])]
            told = {int(f.group(1)) for a in args for f in [FLAGS.match(a)] if f}
            told |= {int(b) for a, b in zip(args, args[1:]) if a == "--port" and b.isdigit()}
            open_ports = {p["containerPort"] for p in container.get("ports") or []}
            if told and open_ports and told != open_ports:
                out.append(Finding(pod, container["name"], f"listens on {sorted(told)}, its ports are {sorted(open_ports)}"))
    return out


HOST = re.compile(r"([a-z0-9$(){}A-Z_*-]+(?:\.[a-z0-9$(){}A-Z_-]+)*)\.svc(?:\.cluster\.local)?")
POD = re.compile(r"^(.*)-(\d+)$")


def _texts(tree):
    """Every string of every object that may name a host."""
    for obj in tree.objects:
        stack = [(obj.body, "")]
        while stack:
            node, path = stack.pop()
            if isinstance(node, dict):
                stack += [(v, f"{path}.{k}") for k, v in node.items()]
            elif isinstance(node, list):
                stack += [(v, path) for v in node]
            elif isinstance(node, str) and ".svc" in node:
                yield obj, path.lstrip("."), node


def _host(tree, name):
    """What is wrong with a name below .svc, or None."""
    if name.startswith("-") or re.search(r"[$({*]", name):
        return None  # a script or a wildcard makes the whole name
    parts = name.split(".")
    if len(parts) == 2:
        known = any((o.ns, o.name) == (parts[1], parts[0]) for o in tree.all("Service"))
        return None if known else f"no Service {parts[1]}/{parts[0]}"
    if len(parts) != 3:
        return None
    pod, service, ns = parts
    found = POD.match(pod)
    for obj in tree.all("StatefulSet"):
        if found and obj.ns == ns and obj.name == found.group(1):
            if obj.spec.get("serviceName") != service:
                return f"{obj.name}'s serviceName is {obj.spec.get('serviceName')}"
            if int(found.group(2)) >= obj.spec.get("replicas", 1):
                return f"{obj.name} has {obj.spec.get('replicas')} pods"
            head = tree.get("Service", ns, service)
            return None if head and head.spec.get("clusterIP") == "None" else f"{service} is not headless"
    return f"no StatefulSet for {pod}"


# Not ours: named as a prerequisite.
OUTSIDE = {"jaeger-collector.monitoring", "kubernetes.default"}


def hosts(tree):
    """Check 3: every host name under .svc is a pod or a Service that exists."""
    out = []
    namespaces = {o.name for o in tree.all("Namespace")}
    for obj, path, text in _texts(tree):
        if obj.kind == "Certificate" and "server auth" not in (obj.spec.get("usages") or []):
            continue  # a client's name, which nobody looks up
        for name in HOST.findall(text):
            if name in OUTSIDE or name.split(".")[-1] not in namespaces:
                if name in OUTSIDE or re.search(r"[$({*]", name) or name.split(".")[-1] in ("kube-system",):
                    continue
            wrong = _host(tree, name)
            if wrong:
                out.append(Finding(obj, path, f"{name}: {wrong}"))
    for obj in tree.all("StatefulSet"):
        head = tree.get("Service", obj.ns, obj.spec.get("serviceName"))
        if head is None or head.spec.get("clusterIP") != "None":
            out.append(Finding(obj, "spec.serviceName", "no headless Service of that name"))
    return out
