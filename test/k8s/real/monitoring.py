# SPDX-License-Identifier: PostgreSQL
"""Prometheus, Alertmanager and the exporters, as pods; questions to them.

Prometheus and Alertmanager are Debian's, in pods as the operator would make
them from the shipped objects (labels, user, secrets; scrape.py makes the
configuration). A receiver of notifications listens on the bridge's address.
"""
import http.server
import json
import os
import re
import threading
import urllib.error
import urllib.parse
import urllib.request

import manifests
import scrape
import volumes
from lib import until
from network import GATEWAY

HOOK_PORT = 8999
AM_SPEED = 60    # Alertmanager's group_wait and so on
WAITS = r"^(\s*)(group_wait|group_interval|repeat_interval): (\S+)$"


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


class Receiver:
    """Takes Alertmanager's webhooks; notes hold (receiver, status, alert's name), tokens what each sent."""

    def __init__(self):
        self.notes, self.tokens = [], {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):    # noqa: N802: http.server's name
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.tokens[body["receiver"]] = self.headers.get("Authorization")
                outer.notes += [(body["receiver"], a["status"], a["labels"]["alertname"]) for a in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((GATEWAY, HOOK_PORT), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()


def operated(cluster, kind, args, mounts):
    """The pod that the operator makes of its object: ports, labels, user."""
    one, name = cluster.get(kind, "monitoring", kind.lower()), kind.lower()
    spec = one["spec"]
    labels = {**((spec.get("podMetadata") or {}).get("labels") or {}), "app.kubernetes.io/name": name,
              "app.kubernetes.io/instance": one["metadata"]["name"], name: one["metadata"]["name"],
              "app.kubernetes.io/managed-by": "prometheus-operator"}
    port = 9090 if kind == "Prometheus" else 9093
    template = {"metadata": {"labels": labels}, "spec": {
        "securityContext": spec["securityContext"], "automountServiceAccountToken": False,
        "serviceAccountName": spec["serviceAccountName"],
        "containers": [{"name": name, "image": spec["image"], "args": args,
                        "ports": [{"name": "web", "containerPort": port}],
                        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                                            "capabilities": {"drop": ["ALL"]}},
                        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": "web"}, "periodSeconds": 1},
                        "volumeMounts": [{"name": n, "mountPath": p} for n, (p, _) in mounts.items()]}],
        "volumes": [{"name": n, **source} for n, (_, source) in mounts.items()]}}
    return cluster.pod_from("monitoring", f"{name}-{one['metadata']['name']}-0", template)


def as_secret(cluster, name, files):
    cluster.secrets[("monitoring", name)] = {k: v if isinstance(v, bytes) else v.encode()
                                             for k, v in files.items()}
    return {"secret": {"secretName": name}}


class Prometheus:
    """The server in its pod; publish() tells it what there is to scrape."""

    def __init__(self, cluster):
        self.cluster = cluster
        config, assets = scrape.configuration(cluster)
        rules = scrape.rule_files(cluster)
        spec = cluster.get("Prometheus", "monitoring", "prometheus")["spec"]
        certs = {name: volumes.data_of(cluster, kind, ns, of)[key] for name, (kind, ns, of, key) in assets.items()}
        dump = manifests.yaml.safe_dump
        self.pod = operated(cluster, "Prometheus", [
            "--config.file=/etc/prometheus/config/prometheus.yml", "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={spec['retention']}",
            f"--storage.tsdb.retention.size={spec['retentionSize']}", "--web.enable-lifecycle",
            "--storage.tsdb.wal-compression"], {
                "config": ("/etc/prometheus/config", as_secret(
                    cluster, "prometheus-config", {"prometheus.yml": dump(config)})),
                "rules": ("/etc/prometheus/rules", as_secret(
                    cluster, "prometheus-rules", {k: dump(v) for k, v in rules.items()})),
                "certs": ("/etc/prometheus/certs", as_secret(cluster, "prometheus-certs", certs)),
                "sd": ("/etc/prometheus/sd", {"emptyDir": {}}), "data": ("/prometheus", {"emptyDir": {}})})
        self.lost = []

    def start(self):
        self.pod.start()
        self.publish()
        self.pod.wait_ready(60)

    def publish(self):
        """What kubernetes_sd would see now. A pod of `lost` is on a node that is gone: still listed."""
        pods = [p for p in list(self.cluster.pods.values()) if p.ip and
                (p.phase in ("starting", "running") or p in self.lost)]
        folder = os.path.join(self.pod.container().folder, "..", "..", "volumes", "sd")
        for role, targets in (("pod", scrape.pod_targets(pods)),
                              ("endpoints", scrape.endpoint_targets(self.cluster.objects("Service"), pods))):
            path = os.path.join(folder, role + ".json")
            with open(path + ".new", "w", encoding="utf-8") as f:
                json.dump(targets, f)
            os.rename(path + ".new", path)

    def api(self, path, **args):
        url = f"http://{self.pod.ip}:9090/api/v1/{path}?{urllib.parse.urlencode(args)}"
        return json.loads(get(url))["data"]

    def query(self, expr):
        """Samples of an instant query: [(labels, value)]."""
        return [(r["metric"], float(r["value"][1])) for r in self.api("query", query=expr)["result"]]

    def targets(self):
        """{(job of the configuration, pod): health and last error} of the active ones."""
        return [(t["scrapePool"], t["labels"].get("pod") or t["labels"].get("instance"), t["health"], t["lastError"])
                for t in self.api("targets", state="active")["activeTargets"]]

    def firing(self):
        return {a["labels"]["alertname"] for a in self.api("alerts")["alerts"] if a["state"] == "firing"}


def alertmanager(cluster):
    """Alertmanager with the shipped configuration: waits shortened, addresses those of the receiver.

    Debian's version doesn't know url_file, so the address is put in its place.
    """
    secret = dict(cluster.secrets[("monitoring", "alertmanager-receivers")])
    secret["webhook-url"] = secret["deadman-url"] = f"http://{GATEWAY}:{HOOK_PORT}/".encode()
    cluster.secrets[("monitoring", "alertmanager-receivers")] = secret
    shipped = volumes.data_of(cluster, "Secret", "monitoring", "alertmanager-config")["alertmanager.yaml"].decode()
    text = re.sub(WAITS, lambda m: f"{m[1]}{m[2]}: {scrape.faster(m[3], AM_SPEED)}", shipped, flags=re.M)
    text = re.sub(r"url_file: \S+/(webhook|deadman)-url", "url: " + secret["webhook-url"].decode(), text)
    spec = cluster.get("Alertmanager", "monitoring", "alertmanager")["spec"]
    mounts = {"config": ("/etc/alertmanager/config", as_secret(
        cluster, "alertmanager-generated", {"alertmanager.yaml": text})), "data": ("/alertmanager", {"emptyDir": {}})}
    for name in spec.get("secrets", []):
        mounts["secret-" + name] = ("/etc/alertmanager/secrets/" + name, {"secret": {"secretName": name}})
    pod = operated(cluster, "Alertmanager", [
        "--config.file=/etc/alertmanager/config/alertmanager.yaml", "--storage.path=/alertmanager",
        "--cluster.listen-address="], mounts)
    return pod.start().wait_ready(30)


def alerts_of(pod):
    """{alert's name: states} as Alertmanager has them."""
    found = {}
    for one in json.loads(get(f"http://{pod.ip}:9093/api/v2/alerts")):
        found.setdefault(one["labels"]["alertname"], set()).add(one["status"]["state"])
    return found


def exporters(cluster, members):
    """The exporters of the members that there are, and of Redis."""
    pods = cluster.start_all("data", "postgres-exporter", members)
    pods.append(cluster.pod("cache", "redis-exporter").start())
    for pod in pods:
        pod.wait_ready(30)
    return pods


def redis_cluster(cluster):
    pods = cluster.start_all("cache", "redis-cluster", 6)
    until("Redis answers", 60, lambda: all(p.exec(None, ["true"]).returncode == 0 for p in pods))
    done = cluster.run_job("cache", "redis-cluster-create")
    if done.returncode:
        raise AssertionError(done.stdout)
    for pod in pods:
        pod.wait_ready(90)
    return pods
