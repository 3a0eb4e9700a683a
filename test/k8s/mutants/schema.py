# SPDX-License-Identifier: PostgreSQL
"""Mutants of single objects: unknown fields, wrong types, versions that are gone, names that aren't."""
from . import MONGOS, PGWEIR, POSTGRES, first, mutant, pod, put, rule

HPA = ("HorizontalPodAutoscaler", "apps", "backend")
SERVICE = ("Service", "pgweir", "pgweir")
PDB = ("PodDisruptionBudget", "pgweir", "pgweir")
BACKUP = ("CronJob", "data", "pgbackrest-full")
CERTIFICATE = ("Certificate", "data", "postgres-tls")
PROMETHEUS = ("Prometheus", "monitoring", "prometheus")
RULES = ("PrometheusRule", "monitoring", "finai-alerts")
BREAKER = ("DestinationRule", "apps", "backend")
ROUTE = ("VirtualService", "apps", "backend")


def unknown(name, where, reach):
    """A field that the schema doesn't have, where reach leads."""
    rule("models", f"an unknown field: {name}", where, lambda b: put(reach(b), "noSuchField", 1))


def typed(name, where, reach, key, value):
    rule("models", f"a value that isn't one: {name}", where, lambda b: put(reach(b), key, value))


unknown("at a Deployment's top", PGWEIR, lambda b: b)
unknown("in a Deployment's spec", PGWEIR, lambda b: b["spec"])
unknown("in a container", PGWEIR, first)
unknown("in a probe's httpGet", PGWEIR, lambda b: first(b)["livenessProbe"]["httpGet"])
unknown("in a security context", POSTGRES, lambda b: first(b)["securityContext"])
unknown("in a volume claim", POSTGRES, lambda b: b["spec"]["volumeClaimTemplates"][0]["spec"])
unknown("in a spread constraint", MONGOS, lambda b: pod(b)["topologySpreadConstraints"][0])
unknown("in a Service's port", SERVICE, lambda b: b["spec"]["ports"][0])
unknown("in a budget", PDB, lambda b: b["spec"])
unknown("in an autoscaler's metric", HPA, lambda b: b["spec"]["metrics"][0]["resource"])
unknown("in a CronJob's template", BACKUP, lambda b: b["spec"]["jobTemplate"]["spec"])
unknown("in a Certificate", CERTIFICATE, lambda b: b["spec"]["privateKey"])
unknown("in a Prometheus", PROMETHEUS, lambda b: b["spec"]["alerting"]["alertmanagers"][0])
unknown("in a Prometheus' claim", PROMETHEUS, lambda b: b["spec"]["storage"]["volumeClaimTemplate"]["spec"])
unknown("in an alert", RULES, lambda b: b["spec"]["groups"][1]["rules"][0])
unknown("in a circuit breaker", BREAKER, lambda b: b["spec"]["trafficPolicy"]["outlierDetection"])
unknown("in a route", ROUTE, lambda b: b["spec"]["http"][0]["route"][0]["destination"])

typed("replicas are a word", PGWEIR, lambda b: b["spec"], "replicas", "three")
typed("a port is a list", SERVICE, lambda b: b["spec"]["ports"][0], "port", [5432])
typed("a Service of an unknown type", SERVICE, lambda b: b["spec"], "type", "Loadbalancer")
typed("an unknown restartPolicy", PGWEIR, pod, "restartPolicy", "Sometimes")
typed("an unknown policy of a volume", POSTGRES, lambda b: b["spec"]["updateStrategy"], "type", "Never")
typed("a quantity with a unit that isn't one", PGWEIR, lambda b: first(b)["resources"]["requests"], "memory", "1GBytes")
typed("a boolean as a text", PGWEIR, lambda b: first(b)["securityContext"], "readOnlyRootFilesystem", "yes")
typed("an unknown operator of a selector", PDB, lambda b: b["spec"], "selector",
      {"matchExpressions": [{"key": "a", "operator": ["In"], "values": ["b"]}]})
typed("a duration as a number", CERTIFICATE, lambda b: b["spec"], "duration", 90)
typed("an unknown mode of TLS", BREAKER, lambda b: b["spec"]["trafficPolicy"]["tls"], "mode", "SOMETIMES")
typed("an unknown mode of a VPA", ("VerticalPodAutoscaler", "data", "postgres"),
      lambda b: b["spec"]["updatePolicy"], "updateMode", "Perhaps")
typed("a retention that is no time", PROMETHEUS, lambda b: b["spec"], "retention", "long")
typed("an environment that is a map", PGWEIR, first, "env", {"A": "b"})

rule("models", "a Deployment without a selector", PGWEIR, lambda b: b["spec"].pop("selector"))
rule("models", "an autoscaler without a maximum", HPA, lambda b: b["spec"].pop("maxReplicas"))
rule("models", "a CronJob without a schedule", BACKUP, lambda b: b["spec"].pop("schedule"))
rule("models", "a Certificate without an issuer", CERTIFICATE, lambda b: b["spec"].pop("issuerRef"))
rule("models", "a group of rules without a name", RULES, lambda b: b["spec"]["groups"][0].pop("name"))
rule("models", "a container without a name", PGWEIR, lambda b: first(b).pop("name"))
rule("models", "a Secret's data isn't base64", ("Secret", "pgweir", "pgweir-auth"),
     lambda b: put(b, "data", {"k": "not base64!"}))


@mutant("models")
def endless(tree):
    """a kind that no model and no list knows"""
    tree.need(*PDB).body["kind"] = "PodDisruptionBudgets"


def version(where, api, kind=None):
    def change(body):
        body["apiVersion"] = api
        body["kind"] = kind or body["kind"]
    rule("apis", f"an API version that is gone: {api}", where, change)


version(PDB, "policy/v1beta1")
version(BACKUP, "batch/v1beta1")
version(HPA, "autoscaling/v2beta2")
version(PGWEIR, "extensions/v1beta1")
version(("Ingress", "apps", "finai"), "networking.k8s.io/v1beta1")
version(("APIService", None, "v1beta1.custom.metrics.k8s.io"), "apiregistration.k8s.io/v1beta1")
version(("PriorityClass", None, "finai-data"), "scheduling.k8s.io/v1beta1")
version(("ClusterRole", None, "prometheus"), "rbac.authorization.k8s.io/v1beta1")
version(ROUTE, "networking.istio.io/v1alpha3")
version(CERTIFICATE, "cert-manager.io/v1alpha2")
version(SERVICE, "v1", "Endpoints")
rule("apis", "an annotation of the other NGINX controller", ("Ingress", "apps", "finai"),
     lambda b: b["metadata"].setdefault("annotations", {}).update({"nginx.ingress.kubernetes.io/limit-rps": "5"}))

rule("names", "a Service's name with a capital", SERVICE, lambda b: put(b["metadata"], "name", "Pgweir"))
rule("names", "a label's value with a blank", PDB,
     lambda b: put(b["metadata"]["labels"], "app.kubernetes.io/component", "the pooler"))
rule("names", "a port's name that is too long", PGWEIR, lambda b: put(first(b)["ports"][0], "name", "postgres-protocol"))
rule("names", "a port above 65535", PGWEIR, lambda b: put(first(b)["ports"][0], "containerPort", 70000))
rule("names", "two ports of one name", SERVICE, lambda b: b["spec"]["ports"].append({"name": "postgres", "port": 1}))
rule("names", "a schedule of four fields", BACKUP, lambda b: put(b["spec"], "schedule", "0 3 * *"))
rule("names", "a schedule at hour 25", BACKUP, lambda b: put(b["spec"], "schedule", "0 25 * * 0"))
rule("names", "a volume claim without an access mode", POSTGRES,
     lambda b: b["spec"]["volumeClaimTemplates"][0]["spec"].pop("accessModes"))
rule("names", "a certificate for a name that isn't one", CERTIFICATE,
     lambda b: b["spec"]["dnsNames"].append("postgres_0.data"))
