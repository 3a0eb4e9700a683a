# SPDX-License-Identifier: PostgreSQL
"""From the shipped monitors to Prometheus' own configuration, as the operator does it.

Pure: objects and pods in, data for YAML out. Discovery is the little
kubelet's: one target per container port of a pod, one per endpoint of a
Service, each with the __meta_kubernetes_* labels that Prometheus'
kubernetes_sd gives it, in files that file_sd reads. What is scraped, how, and
under which labels is then decided by Prometheus' relabelling, from the rules
that the operator writes for a PodMonitor or ServiceMonitor (its
documentation, "Prometheus configuration"). Selectors of the Prometheus object
choose monitors and rules. SPEED makes intervals shorter and "for" with them.
"""
import re

import manifests

SPEED = 5
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(text):
    """A duration of Prometheus in seconds."""
    return sum(float(n) * UNITS[u] for n, u in re.findall(r"(\d+)(ms|[smhdw])", str(text)))


def faster(text, by=SPEED):
    return f"{max(int(seconds(text) * 1000 / by), 0)}ms"


def label_name(name):
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


# -- discovery ------------------------------------------------------------------


def pod_meta(pod):
    meta = {"__meta_kubernetes_namespace": pod.ns, "__meta_kubernetes_pod_name": pod.name,
            "__meta_kubernetes_pod_ip": pod.ip, "__meta_kubernetes_pod_phase": "Running",
            "__meta_kubernetes_pod_uid": pod.uid}
    for key, value in pod.labels.items():
        meta["__meta_kubernetes_pod_label_" + label_name(key)] = value
        meta["__meta_kubernetes_pod_labelpresent_" + label_name(key)] = "true"
    return meta


def container_ports(pod):
    return [(c["name"], p) for c in pod.spec.get("initContainers", []) + pod.spec["containers"]
            for p in c.get("ports", [])]


def pod_targets(pods):
    """Role pod: a target for each declared port."""
    found = []
    for pod in pods:
        for container, port in container_ports(pod):
            found.append({"targets": [f"{pod.ip}:{port['containerPort']}"], "labels": {
                **pod_meta(pod), "__meta_kubernetes_pod_container_name": container,
                "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
                "__meta_kubernetes_pod_container_port_number": str(port["containerPort"])}})
    return found


def endpoint_targets(services, pods):
    """Role endpoints: a target for each selected pod and port of each Service, ready or not."""
    found = []
    for service in services:
        ns, name = service["metadata"]["namespace"], service["metadata"]["name"]
        meta = {"__meta_kubernetes_service_name": name}
        for key, value in (service["metadata"].get("labels") or {}).items():
            meta["__meta_kubernetes_service_label_" + label_name(key)] = value
            meta["__meta_kubernetes_service_labelpresent_" + label_name(key)] = "true"
        for pod in pods:
            if pod.ns != ns or not manifests.selects(service["spec"].get("selector"), pod.labels):
                continue
            for port in service["spec"].get("ports", []):
                wanted = port.get("targetPort", port["port"])
                for container, own in container_ports(pod):
                    if wanted in (own.get("name"), own["containerPort"]):
                        found.append({"targets": [f"{pod.ip}:{own['containerPort']}"], "labels": {
                            **pod_meta(pod), **meta, "__meta_kubernetes_endpoint_port_name": port.get("name", ""),
                            "__meta_kubernetes_endpoint_address_target_kind": "Pod",
                            "__meta_kubernetes_endpoint_address_target_name": pod.name,
                            "__meta_kubernetes_pod_container_name": container}})
    return found


# -- monitors -------------------------------------------------------------------


def keep_labels(selector, kind):
    """Relabelling that keeps what a selector takes."""
    rules = []
    for key, value in (selector.get("matchLabels") or {}).items():
        base = f"__meta_kubernetes_{kind}_label"
        rules.append({"action": "keep", "regex": f"({re.escape(value)});true",
                      "source_labels": [f"{base}_{label_name(key)}", f"{base}present_{label_name(key)}"]})
    if selector.get("matchExpressions"):
        raise NotImplementedError("matchExpressions of a monitor's selector")
    return rules


def copied(source, target, replacement="$1", regex="(.*)"):
    return {"source_labels": [source], "target_label": target, "regex": regex, "replacement": replacement}


NAMES = {"sourceLabels": "source_labels", "targetLabel": "target_label"}


def relabelings(rules):
    return [{NAMES.get(k, k): v for k, v in one.items()} for one in rules or []]


def pod_rules(monitor, endpoint):
    meta = monitor["metadata"]
    return [{"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"},
            *keep_labels(monitor["spec"]["selector"], "pod"),
            {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"],
             "regex": endpoint["port"]},
            copied("__meta_kubernetes_namespace", "namespace"),
            copied("__meta_kubernetes_pod_container_name", "container"),
            copied("__meta_kubernetes_pod_name", "pod"),
            {"target_label": "job", "replacement": f"{meta['namespace']}/{meta['name']}"},
            {"target_label": "endpoint", "replacement": endpoint["port"]}]


def service_rules(monitor, endpoint):
    return [*keep_labels(monitor["spec"]["selector"], "service"),
            {"action": "keep", "source_labels": ["__meta_kubernetes_endpoint_port_name"],
             "regex": endpoint["port"]},
            copied("__meta_kubernetes_namespace", "namespace"),
            copied("__meta_kubernetes_service_name", "service"),
            copied("__meta_kubernetes_pod_name", "pod"),
            copied("__meta_kubernetes_pod_container_name", "container"),
            copied("__meta_kubernetes_service_name", "job"),
            {"target_label": "endpoint", "replacement": endpoint["port"]}]


def tls_config(monitor, wish, assets):
    """A tlsConfig; assets collects (kind, namespace, name, key) -> file name."""
    out = {}
    if "serverName" in wish:
        out["server_name"] = wish["serverName"]
    if "insecureSkipVerify" in wish:
        out["insecure_skip_verify"] = wish["insecureSkipVerify"]
    for part, field in (("ca", "ca_file"), ("cert", "cert_file")):
        for source, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
            if source in wish.get(part, {}):
                one, ns = wish[part][source], monitor["metadata"]["namespace"]
                name = f"{source.lower()}_{ns}_{one['name']}_{one['key']}"
                assets[name] = (kind, ns, one["name"], one["key"])
                out[field] = "/etc/prometheus/certs/" + name
    return out


def namespaces(monitor):
    chosen = monitor["spec"].get("namespaceSelector") or {}
    return None if chosen.get("any") else chosen.get("matchNames") or [monitor["metadata"]["namespace"]]


def job(monitor, number, endpoint, assets):
    """One scrape job of one endpoint of a monitor."""
    kind, meta = monitor["kind"], monitor["metadata"]
    rules, role = (pod_rules, "pod") if kind == "PodMonitor" else (service_rules, "endpoints")
    inside = namespaces(monitor)
    only = [] if inside is None else [{"action": "keep", "source_labels": ["__meta_kubernetes_namespace"],
                                       "regex": "|".join(inside)}]
    interval = endpoint.get("interval", "15s")
    out = {"job_name": f"{kind[0].lower()}{kind[1:]}/{meta['namespace']}/{meta['name']}/{number}",
           # A target that is scraped more often than that can't be given more time than it.
           "scrape_interval": faster(interval), "scrape_timeout": faster(interval),
           "metrics_path": endpoint.get("path", "/metrics"), "scheme": endpoint.get("scheme", "http"),
           "honor_labels": endpoint.get("honorLabels", False),
           "file_sd_configs": [{"files": [f"/etc/prometheus/sd/{role}.json"], "refresh_interval": "1s"}],
           "relabel_configs": only + rules(monitor, endpoint) + relabelings(endpoint.get("relabelings")),
           "metric_relabel_configs": relabelings(endpoint.get("metricRelabelings"))}
    if "params" in endpoint:
        out["params"] = endpoint["params"]
    if "tlsConfig" in endpoint:
        out["tls_config"] = tls_config(monitor, endpoint["tlsConfig"], assets)
    known = {"port", "interval", "scrapeTimeout", "path", "scheme", "honorLabels", "relabelings",
             "metricRelabelings", "params", "tlsConfig"}
    if set(endpoint) - known:
        raise NotImplementedError(f"{out['job_name']}: {sorted(set(endpoint) - known)}")
    return out


def selected(cluster, kind, selector):
    """Objects of a kind that a selector of the Prometheus object takes ({} takes all)."""
    return [o for o in cluster.objects(kind)
            if not selector or manifests.selects(selector, o["metadata"].get("labels") or {})]


def scrape_configs(cluster, assets):
    spec = cluster.get("Prometheus", "monitoring", "prometheus")["spec"]
    jobs = []
    for kind, selector, field in (("ServiceMonitor", "serviceMonitorSelector", "endpoints"),
                                  ("PodMonitor", "podMonitorSelector", "podMetricsEndpoints")):
        for one in selected(cluster, kind, spec[selector]):
            jobs += [job(one, n, endpoint, assets) for n, endpoint in enumerate(one["spec"][field])]
    return jobs


def alerting(spec):
    """The Alertmanagers that the Prometheus object names, found by their Service."""
    found = []
    for one in spec["alerting"]["alertmanagers"]:
        found.append({"file_sd_configs": [{"files": ["/etc/prometheus/sd/endpoints.json"],
                                           "refresh_interval": "1s"}],
                      "api_version": "v2", "relabel_configs": [
            {"action": "keep", "source_labels": ["__meta_kubernetes_namespace"], "regex": one["namespace"]},
            {"action": "keep", "source_labels": ["__meta_kubernetes_service_name"], "regex": one["name"]},
            {"action": "keep", "source_labels": ["__meta_kubernetes_endpoint_port_name"], "regex": one["port"]}]})
    return {"alertmanagers": found,
            "alert_relabel_configs": [{"action": "labeldrop", "regex": "prometheus_replica"}]}


def rule_files(cluster):
    """Name -> {"groups": ...} of each selected PrometheusRule, its waits shortened."""
    spec = cluster.get("Prometheus", "monitoring", "prometheus")["spec"]
    files = {}
    for one in selected(cluster, "PrometheusRule", spec["ruleSelector"]):
        for group in one["spec"]["groups"]:
            group["interval"] = faster(group.get("interval", spec["evaluationInterval"]))
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = faster(rule["for"])
        files[f"{one['metadata']['namespace']}-{one['metadata']['name']}.yaml"] = {"groups": one["spec"]["groups"]}
    return files


def configuration(cluster):
    """(prometheus.yaml as data, assets that it names)."""
    spec, assets = cluster.get("Prometheus", "monitoring", "prometheus")["spec"], {}
    return {"global": {"scrape_interval": faster(spec["scrapeInterval"]),
                       "scrape_timeout": faster(spec["scrapeInterval"]),
                       "evaluation_interval": faster(spec["evaluationInterval"]),
                       "external_labels": {**spec["externalLabels"], "prometheus": "monitoring/prometheus",
                                           "prometheus_replica": "prometheus-prometheus-0"}},
            "rule_files": ["/etc/prometheus/rules/*.yaml"],
            "scrape_configs": scrape_configs(cluster, assets),
            "alerting": alerting(spec)}, assets
