# SPDX-License-Identifier: PostgreSQL
"""Check 14: the mesh. Ports have protocols, STRICT leaves nobody outside who must come in, routes lead somewhere.
"""
import re

from . import flows
from .load import Finding, matches

PREFIXES = ("http", "https", "http2", "grpc", "tcp", "tls", "mongo", "redis", "mysql")
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def seconds(text):
    """A duration of Istio as seconds."""
    found = re.fullmatch(r"([0-9.]+)(ms|s|m|h)", str(text))
    return float(found.group(1)) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found.group(2)] if found else None


def injected(tree):
    """Namespaces whose pods get a sidecar."""
    return {o.name for o in tree.all("Namespace") if (o.meta.get("labels") or {}).get("istio-injection") == "enabled"}


def _service(tree, host):
    """The Service of a host of the cluster, or None."""
    found = re.fullmatch(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local", host)
    return tree.get("Service", found.group(2), found.group(1)) if found else None


def _routes(tree, out):
    """VirtualServices: gateways, hosts and ports exist; retries fit the timeout; nothing repeats a write."""
    for obj in tree.all("VirtualService"):
        for gateway in obj.spec.get("gateways") or ["mesh"]:
            ns, _, name = gateway.rpartition("/")
            own = tree.get("Gateway", ns or obj.ns, name)
            if gateway != "mesh" and own is None:
                out.append(Finding(obj, "gateways", f"no Gateway {gateway}"))
            hosts = {h.rpartition("/")[2] for s in (own.spec["servers"] if own else []) for h in s["hosts"]}
            if own and not set(obj.spec["hosts"]) <= hosts:
                out.append(Finding(obj, "hosts", f"Gateway {gateway} doesn't serve {sorted(set(obj.spec['hosts']) - hosts)}"))
        for route in obj.spec.get("http") or []:
            _route(tree, obj, route, out)


def _route(tree, obj, route, out):
    where = f"http.{route.get('name')}"
    for one in route.get("route") or []:
        target = one["destination"]
        service, number = _service(tree, target["host"]), (target.get("port") or {}).get("number")
        if service is None or number not in [p["port"] for p in service.spec["ports"]]:
            out.append(Finding(obj, where, f"no Service {target['host']} with a port {number}"))
    retries = route.get("retries") or {}
    attempts, whole = retries.get("attempts", 2), seconds(route.get("timeout", ""))
    if whole is None:
        out.append(Finding(obj, where, "no timeout"))
    elif attempts and attempts * (seconds(retries.get("perTryTimeout", "")) or whole) > whole:
        out.append(Finding(obj, where, f"{attempts} attempts don't fit in {route['timeout']}"))
    methods = " ".join(str(v) for m in route.get("match") or [] for v in (m.get("method") or {}).values())
    if attempts and WRITES & set(re.findall(r"[A-Z]+", methods)):
        out.append(Finding(obj, where, "a write would be repeated"))


def _caught(tree, out):
    """No route that repeats takes a write: one that names the writes stands before it."""
    for obj in tree.all("VirtualService"):
        paths = {h for r in obj.spec.get("http") or [] for d in r.get("route") or [] for h in [d["destination"]["host"]]}
        for host in sorted(h for h in paths if h.startswith("backend.")):
            first = next(r for r in obj.spec["http"] for d in r["route"] if d["destination"]["host"] == host)
            methods = " ".join(str(v) for m in first.get("match") or [] for v in (m.get("method") or {}).values())
            if not WRITES <= set(re.findall(r"[A-Z]+", methods)):
                out.append(Finding(obj, f"http.{first.get('name')}", f"takes writes to {host} before a route without retries"))


def _destinations(tree, out):
    """DestinationRules: mutual TLS only to pods with a sidecar; databases in plain, their own TLS inside."""
    spaces = injected(tree)
    plain = set()
    for obj in tree.all("DestinationRule"):
        host, policy = obj.spec["host"], obj.spec.get("trafficPolicy") or {}
        found = re.fullmatch(r"(\*|[a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local", host)
        if not found or found.group(1) != "*" and _service(tree, host) is None:
            out.append(Finding(obj, "host", f"no Service {host}"))
            continue
        mode = (policy.get("tls") or {}).get("mode")
        if mode == "ISTIO_MUTUAL" and found.group(2) not in spaces:
            out.append(Finding(obj, "tls", f"{found.group(2)} has no sidecars to speak mutual TLS with"))
        if mode != "ISTIO_MUTUAL" and found.group(2) in spaces:
            out.append(Finding(obj, "tls", f"{found.group(2)} is in the mesh: {mode} is refused there"))
        if found.group(2) in spaces and not (policy.get("connectionPool") and policy.get("outlierDetection")):
            out.append(Finding(obj, "trafficPolicy", "no circuit breaker"))
        if mode == "DISABLE":
            plain.add(found.group(2))
    if spaces:
        home = tree.get("Namespace", None, sorted(spaces)[0])
        out += [Finding(home, "", f"no DestinationRule leaves TLS to {space}'s own protocol")
                for space in ("pgweir", "data", "cache", "mongodb") if space not in plain and tree.get("Namespace", None, space)]


def _mode(tree, pod, number):
    """What a pod with a sidecar wants on a port: the namespace's PeerAuthentication, over it the pod's own."""
    mode = "PERMISSIVE"
    for obj in sorted((o for o in tree.all("PeerAuthentication") if o.ns == pod.ns), key=lambda o: bool(o.spec.get("selector"))):
        if not obj.spec.get("selector") or matches(obj.spec["selector"], pod.labels):
            mode = (obj.spec.get("mtls") or {}).get("mode", mode)
            mode = ((obj.spec.get("portLevelMtls") or {}).get(str(number)) or {}).get("mode", mode)
    return mode


def _strict(tree, out):
    """Who has no sidecar and must come in finds the port permissive; every namespace of the mesh is STRICT otherwise."""
    spaces = injected(tree)
    names = flows.by_name(tree)
    wanted = [(a, p, n) for a, b, n in flows.REQUIRED for p in names.get(b, [])]
    wanted += [("monitoring/prometheus", p, n) for p, n in flows.scrapes(tree)]
    for sender, pod, number in wanted:
        outside = sender.split("/")[0] not in spaces | {"istio-system"}
        if pod.ns in spaces and outside and _mode(tree, pod, number) == "STRICT":
            out.append(Finding(pod, f"port {number}", f"{sender} has no sidecar, and STRICT refuses it"))
    for space in sorted(spaces):
        if not any(o.ns == space and not o.spec.get("selector") and o.spec["mtls"]["mode"] == "STRICT"
                   for o in tree.all("PeerAuthentication")):
            out.append(Finding(tree.get("Namespace", None, space), "", "no PeerAuthentication makes it STRICT"))
        if space in ("data", "cache", "mongodb", "pgweir"):
            out.append(Finding(tree.get("Namespace", None, space), "labels", "a sidecar beside a database"))
    for obj in tree.all("AuthorizationPolicy"):
        for name in [p for r in obj.spec.get("rules") or [] for f in r.get("from") or [] for p in f["source"].get("principals") or []]:
            found = re.fullmatch(r"cluster\.local/ns/([a-z-]+)/sa/([a-z0-9-]+)", name)
            if not found or found.group(1) != "istio-system" and not tree.get("ServiceAccount", *found.groups()):
                out.append(Finding(obj, "principals", f"no ServiceAccount {name}"))


def _install(tree, out):
    """Jobs end beside a sidecar, Pod Security lets the pods in, traces have somewhere to go."""
    install = next(iter(tree.all("IstioOperator")), None)
    if install is None:
        return
    native = ((install.spec["values"].get("pilot") or {}).get("env") or {}).get("ENABLE_NATIVE_SIDECARS") == "true"
    for pod in tree.pods():
        if pod.is_job and pod.ns in injected(tree) and not native and pod.labels.get("sidecar.istio.io/inject") != "false":
            out.append(Finding(pod, "", "never ends beside a sidecar that isn't native"))
    if not native:
        out.append(Finding(install, "values.pilot.env", "sidecars aren't native"))
    if not (install.spec["components"].get("cni") or {}).get("enabled"):
        out.append(Finding(install, "components.cni", "without it every pod needs NET_ADMIN, which Pod Security refuses"))
    made = {p["name"] for p in install.spec["meshConfig"].get("extensionProviders") or []} | {"envoy"}
    for obj in tree.all("Telemetry"):
        used = [p["name"] for k in ("tracing", "accessLogging") for t in obj.spec.get(k) or [] for p in t.get("providers") or []]
        out += [Finding(obj, "providers", f"no provider {name}") for name in used if name not in made]


def mesh(tree):
    """Check 14."""
    out = []
    for obj in tree.all("Service"):
        for port in obj.spec.get("ports") or []:
            if not port.get("appProtocol") and str(port.get("name")).split("-")[0] not in PREFIXES:
                out.append(Finding(obj, f"ports.{port.get('name')}", "no appProtocol"))
    for obj in tree.all("Gateway"):
        for server in obj.spec["servers"]:
            tls = server.get("tls") or {}
            if server["port"]["protocol"] == "HTTP" and tls.get("httpsRedirect") is not True:
                out.append(Finding(obj, "servers", "plain HTTP is served, not redirected"))
            if server["port"]["protocol"] == "HTTPS" and tls.get("minProtocolVersion") not in ("TLSV1_2", "TLSV1_3"):
                out.append(Finding(obj, "servers", "TLS older than 1.2"))
    _routes(tree, out)
    _caught(tree, out)
    if tree.get("Namespace", None, "istio-system"):
        _destinations(tree, out)
        _strict(tree, out)
        _install(tree, out)
    return out
