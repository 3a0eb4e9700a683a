# SPDX-License-Identifier: PostgreSQL
"""Mutants of what files must agree on: the mesh, the plan's figures, pgweir's settings, what is installed."""
import json

from checker import promql

from . import INI, MUTANTS, PGWEIR, edit, first, mutant, pod, put, rule, swap

ROUTE = ("VirtualService", "apps", "backend")
MESH = ("IstioOperator", "istio-system", "finai")
LOAD = ("ConfigMap", "testing", "load-test")
RULES = ("PrometheusRule", "monitoring", "finai-alerts")

rule("mesh", "a Service's port without a protocol", ("Service", "pgweir", "pgweir"),
     lambda b: b["spec"]["ports"][0].pop("appProtocol"))
rule("mesh", "a route to a Service that isn't there", ROUTE,
     lambda b: put(b["spec"]["http"][0]["route"][0]["destination"], "host", "gone.apps.svc.cluster.local"))
rule("mesh", "a route to a port that isn't there", ROUTE,
     lambda b: put(b["spec"]["http"][0]["route"][0]["destination"]["port"], "number", 8080))
rule("mesh", "a route without a timeout", ROUTE, lambda b: b["spec"]["http"][0].pop("timeout"))
rule("mesh", "more attempts than the timeout has room for", ROUTE,
     lambda b: put(b["spec"]["http"][1]["retries"], "attempts", 5))
rule("mesh", "writes are repeated", ROUTE, lambda b: put(b["spec"]["http"][0]["retries"], "attempts", 2))
rule("mesh", "the route of the reads takes the writes too", ROUTE, lambda b: b["spec"]["http"].pop(0))
rule("mesh", "a route at a gateway that isn't there", ("VirtualService", "apps", "finai"),
     lambda b: put(b["spec"], "gateways", ["istio-system/gone"]))
rule("mesh", "a route of a host that the gateway doesn't serve", ("VirtualService", "apps", "finai"),
     lambda b: put(b["spec"], "hosts", ["other.example.com"]))
rule("mesh", "a gateway that serves plain HTTP", ("Gateway", "istio-system", "finai"),
     lambda b: [s.pop("tls") for s in b["spec"]["servers"] if s["port"]["protocol"] == "HTTP"])
rule("mesh", "a gateway with TLS 1.0", ("Gateway", "istio-system", "finai"),
     lambda b: put(b["spec"]["servers"][0]["tls"], "minProtocolVersion", "TLSV1_0"))
rule("mesh", "mutual TLS with a database", ("DestinationRule", "apps", "data"),
     lambda b: put(b["spec"]["trafficPolicy"]["tls"], "mode", "ISTIO_MUTUAL"))
rule("mesh", "plain calls to a pod that is STRICT", ("DestinationRule", "apps", "backend"),
     lambda b: put(b["spec"]["trafficPolicy"]["tls"], "mode", "DISABLE"))
rule("mesh", "no circuit breaker before the backend", ("DestinationRule", "apps", "backend"),
     lambda b: b["spec"]["trafficPolicy"].pop("outlierDetection"))
rule("mesh", "a rule of a host that isn't there", ("DestinationRule", "apps", "pgweir"),
     lambda b: put(b["spec"], "host", "gone.pgweir.svc.cluster.local"))
rule("mesh", "STRICT where the ingress has no sidecar", ("PeerAuthentication", "apps", "frontend"),
     lambda b: b["spec"].pop("portLevelMtls"))
rule("mesh", "a namespace of the mesh that isn't STRICT", ("PeerAuthentication", "apps", "default"),
     lambda b: put(b["spec"]["mtls"], "mode", "PERMISSIVE"))
rule("mesh", "a sidecar beside PostgreSQL", ("Namespace", None, "data"),
     lambda b: b["metadata"]["labels"].update({"istio-injection": "enabled"}))
rule("mesh", "an account that isn't there may call the backend", ("AuthorizationPolicy", "apps", "backend"),
     lambda b: put(b["spec"]["rules"][0]["from"][0]["source"], "principals", ["cluster.local/ns/apps/sa/gone"]))
rule("mesh", "sidecars that aren't native", MESH,
     lambda b: put(b["spec"]["values"]["pilot"]["env"], "ENABLE_NATIVE_SIDECARS", "false"))
rule("mesh", "the mesh without its CNI plugin", MESH, lambda b: put(b["spec"]["components"]["cni"], "enabled", False))
rule("mesh", "traces go to a provider that isn't there", ("Telemetry", "istio-system", "default"),
     lambda b: put(b["spec"]["tracing"][0]["providers"][0], "name", "zipkin"))


def figure(name, old, new):
    """An alert has another figure than the plan."""
    def change(body):
        one = next(r for g in body["spec"]["groups"] for r in g["rules"] if r.get("alert") == name)
        if old not in str(one):
            raise LookupError(old)
        one.update({k: v.replace(old, new) for k, v in one.items() if isinstance(v, str) and k != "alert"})
    rule("targets", f"{name} at {new}", RULES, change)


figure("ApiSlow", "0.1", "0.2")
figure("QuerySlow", "0.05", "0.1")
figure("AvailabilityBurnFast", "0.001", "0.01")
figure("CacheHitRateLow", "0.9", "0.8")
figure("PodsPending", "30s", "5m")
swap("targets", "the load test lets the API be slower", LOAD, "load.js", '"p(95)<100"', '"p(95)<200"')
swap("targets", "the load test lets queries be slower", LOAD, "load.js", '"p(95)<50"', '"p(95)<80"')
swap("targets", "the load test lets more fail", LOAD, "load.js", '"rate<0.001"', '"rate<0.01"')
swap("targets", "the load test with fewer hits", LOAD, "load.js", '"value>0.9"', '"value>0.5"')
swap("targets", "the load test with fewer requests", LOAD, "load.js", "PEAK_RATE = 10000", "PEAK_RATE = 1000")
swap("targets", "the load test with fewer users", LOAD, "load.js", "target: 9000", "target: 900")
rule("targets", "an autoscaler that stops below the plan's rate", ("HorizontalPodAutoscaler", "apps", "backend"),
     lambda b: put(b["spec"], "maxReplicas", 10))
rule("targets", "an autoscaler that stops below the plan's users", ("HorizontalPodAutoscaler", "pgweir", "pgweir"),
     lambda b: [put(m["pods"]["target"], "averageValue", "1000") for m in b["spec"]["metrics"] if "pods" in m])


@mutant("targets")
def panel_threshold(tree):
    """a panel that marks another p95 than the plan's"""
    for obj, key, found in promql.boards(tree):
        for panel in promql.panels(found):
            if "finai:http_request_seconds:p95_5m" in json.dumps(panel):
                panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] = 0.5
                obj.body["data"][key] = json.dumps(found)
                return
    raise LookupError("no panel")


swap("settings", "a misspelt option of pgweir", INI, "pgweir.ini", "drain_delay", "drain_delais")
swap("settings", "another value than etc/kubernetes.ini's", INI, "pgweir.ini", "query_wait_timeout = 120", "query_wait_timeout = 60")
swap("settings", "a value out of range", INI, "pgweir.ini", "workers = 2", "workers = 100000")
swap("settings", "a cluster that isn't there", INI, "pgweir.ini", "finai = cluster=main", "finai = cluster=other")
swap("settings", "a line of pg_hba.conf that isn't one", INI, "pg_hba.conf", "scram-sha-256", "scram-sha-512")
swap("settings", "a misspelt option of the cache", ("ConfigMap", "pgweir", "pgweir-cache"), "cache.ini", "cache_ttl", "cache_tll")
edit("settings", "etc/kubernetes.ini changed alone", "etc/kubernetes.ini", "default_pool_size = 30", "default_pool_size = 31")
edit("settings", "etc/minimal.ini with an unknown option", "etc/minimal.ini", "cache = on", "caches = on")

edit("layout", "a file in no kustomization", "k8s/postgres/kustomization.yaml", "  - postgres-config.yaml\n", "")
edit("layout", "a file in two kustomizations", "k8s/redis/kustomization.yaml", "  - redis-config.yaml\n",
     "  - redis-config.yaml\n  - ../postgres/postgres-config.yaml\n")
edit("layout", "a folder in no kustomization", "k8s/kustomization.yaml", "  - mongodb\n", "")
edit("layout", "a kustomization of a file that isn't there", "k8s/redis/kustomization.yaml", "redis-config.yaml", "gone.yaml")
edit("layout", "the cluster's own objects applied with the rest", "k8s/kustomization.yaml", "  - namespaces.yaml\n",
     "  - namespaces.yaml\n  - cluster-config.yaml\n")
edit("layout", "the placeholders applied with the rest", "k8s/kustomization.yaml", "  - mongodb\n", "  - mongodb\n  - secrets\n")
edit("layout", "the README creates objects before their CRDs", "k8s/README.md", "**CRDs first", "**Controllers first")
edit("layout", "the README applies the base before the Secrets", "k8s/README.md",
     "5. `kubectl apply --server-side -f k8s/namespaces.yaml`",
     "5. `kubectl apply --server-side -k k8s`, `kubectl apply --server-side -f k8s/namespaces.yaml`")
edit("layout", "the README forgets the k6 operator", "k8s/README.md", "k6-operator", "k6")
edit("layout", "the README has no row of a manifest", "k8s/README.md", "| redis/redis-sentinel.yaml |", "| redis/sentinel |")
edit("layout", "the README's table of images has another tag", "k8s/README.md", "`pgweir/postgres:15.18-1`", "`pgweir/postgres:15.17-1`")
edit("layout", "a patch of a workload that isn't there", "overlays/production/kustomization.yaml", "postgres|etcd|pgweir",
     "postgresql|etcd|pgweir")
edit("layout", "a patch of a kind that isn't there", "overlays/development/kustomization.yaml", "VirtualService|DestinationRule",
     "VirtualServices|DestinationRule")
edit("layout", "an image from a base without a version", "k8s/images/postgres/Dockerfile", "FROM debian:12.11-slim", "FROM debian:latest")
edit("layout", "an image that runs as root", "k8s/images/postgres/Dockerfile", "USER 101:103\n", "")
rule("layout", "two tags of one image", PGWEIR, lambda b: put(first(b), "image", "pgweir/pgweir:0.2.0"))
rule("layout", "an image that nothing builds", PGWEIR, lambda b: put(first(b), "image", "pgweir/other:0.1.0"))
rule("layout", "an object that is too large for the API server", INI, lambda b: put(b["data"], "much", "x" * 1100000))


@mutant("layout")
def forgotten(tree):
    """a recipe of an image that no pod runs"""
    tree.texts["k8s/images/more/Dockerfile"] = "FROM debian:12.11-slim\nUSER 1000\n"


SETTINGS = ("ConfigMap", "data", "postgres-config")
rule("timing", "a liveness that outlives ttl by far", ("StatefulSet", "data", "postgres"),
     lambda b: put(first(b)["livenessProbe"], "failureThreshold", 30))
rule("timing", "a liveness that kills before ttl", ("StatefulSet", "data", "postgres"),
     lambda b: put(first(b)["livenessProbe"], "failureThreshold", 1))
swap("timing", "pgweir looks at the tier less often than Patroni", INI, "pgweir.ini", "topology_poll_interval = 1",
     "topology_poll_interval = 30")
swap("timing", "clients of the queue are refused before a failover ends", INI, "pgweir.ini", "query_wait_timeout = 120",
     "query_wait_timeout = 20")
rule("scaling", "a CronJob whose Jobs may run for ever", ("CronJob", "data", "pgbackrest-full"),
     lambda b: b["spec"]["jobTemplate"]["spec"].pop("activeDeadlineSeconds"))
rule("scaling", "a Job that may run for ever", ("Job", "data", "postgres-config"),
     lambda b: b["spec"].pop("activeDeadlineSeconds"))
rule("scaling", "an autoscaler that goes down at once", ("HorizontalPodAutoscaler", "apps", "backend"),
     lambda b: put(b["spec"]["behavior"]["scaleDown"], "stabilizationWindowSeconds", 0))
rule("scaling", "an autoscaler that waits before it goes up", ("HorizontalPodAutoscaler", "apps", "backend"),
     lambda b: put(b["spec"]["behavior"]["scaleUp"], "stabilizationWindowSeconds", 120))
rule("scaling", "a VPA over what an HPA scales", ("VerticalPodAutoscaler", "data", "etcd"),
     lambda b: [put(b["metadata"], "namespace", "apps"), put(b["spec"], "targetRef", {
         "apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}), put(b["spec"]["updatePolicy"], "updateMode", "Initial")])
rule("budgets", "less grace than PostgreSQL's switchover takes", ("StatefulSet", "data", "postgres"),
     lambda b: put(pod(b), "terminationGracePeriodSeconds", 30))
