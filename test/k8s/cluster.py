# SPDX-License-Identifier: PostgreSQL
"""A cluster of one machine for the manifests: pods, Services, Secrets, Jobs.

Cluster is what a test gets as its parameter `cluster`. It runs the text of
k8s/ as it ships: images are stood in for by this machine's Debian packages
(container.py), Services by a relay that follows readiness (relay.py), the API
by apiserver.py, cert-manager by openssl from the shipped Certificates, and
k8s/secrets/generate makes the Secrets. What a test changes for a small machine
it passes as `patch`, in sight. Session is the runner's side of it.
"""
import json
import os
import re
import subprocess
import threading
import time
import zlib

import apiserver
import kubectl
import manifests
from controllers import Controllers
from lib import Skip, patient
from network import GATEWAY, Network, DOMAIN
from pod import Pod

TOP = manifests.TOP
DOCKERFILES = os.path.join(manifests.K8S, "images")


class Cluster:
    """Everything that runs in one test file's namespaces."""

    def __init__(self, scratch, log_dir):
        self.scratch, self.log_dir = scratch, log_dir
        os.makedirs(log_dir, exist_ok=True)
        self.manifests = manifests.Manifests()
        self.network = Network(scratch)
        # Overlays want a file system of their own, apart from what they cover.
        os.makedirs(os.path.join(scratch, "pods"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", os.path.join(scratch, "pods")], check=True)
        self.pods, self.addresses = {}, {}
        self.lock = threading.RLock()
        self.init_limit_s = patient(120)
        # How long Services go on leading to a pod that isn't ready any more: in a cluster every node's
        # kube-proxy, every ingress and resolver learns of it in its own time.
        self.endpoint_lag_s = 0
        self.images = own_images()
        self.controllers = Controllers(self)
        self.images["pgweir/finai-frontend"]["files"] = {
            "/usr/share/finai": build_site(os.path.join(scratch, "site"))}
        self.tls_folder = os.path.join(scratch, "tls")
        os.makedirs(self.tls_folder, 0o700)
        self.authority = apiserver.make_certificate(self.tls_folder, "finai-ca", [])
        self.secrets = {}
        self.make_secrets()
        self.make_certificates()
        self.addresses[("default", "kubernetes")] = address = self.network.add_service()
        self.api = apiserver.Api(self, address, apiserver.make_certificate(
            self.tls_folder, "kubernetes", [f"DNS:kubernetes.default.{DOMAIN}", "DNS:kubernetes.default.svc",
                                            f"IP:{address}"], self.authority))
        self.changed()

    # -- objects -----------------------------------------------------------

    def objects(self, kind=None, ns=None, name=None):
        return self.manifests.find(kind, ns, name)

    def get(self, kind, ns, name):
        return self.manifests.get(kind, ns, name)

    def apply(self, one):
        """Add an object, or put it in the place of the one with its name."""
        same = (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        self.manifests.objects = [o for o in self.manifests.objects if
                                  (o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) != same]
        self.manifests.objects.append(one)
        self.changed()

    def image(self, reference):
        """What is known of an image, by its name without tag."""
        return self.images.get(reference.partition("@")[0].rpartition(":")[0], {})

    def automounts(self, pod):
        account = pod.spec.get("serviceAccountName", "default")
        found = self.manifests.find("ServiceAccount", pod.ns, account)
        asked = pod.spec.get("automountServiceAccountToken")
        return asked if asked is not None else \
            bool(found) and found[0].get("automountServiceAccountToken", True)

    def make_secrets(self, *options):
        """Real values from the shipped generator; once more: what it keeps of the first, with other options."""
        program = os.path.join(manifests.K8S, "secrets", "generate")
        path = os.path.join(self.scratch, "secrets.yaml")
        keep = ["--from", path] if os.path.exists(path) else ["--new"]
        done = subprocess.run([program, *keep, *options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError("secrets/generate: " + done.stderr)
        if "--sql" in options:
            return done.stdout
        with open(path, "w", encoding="utf-8") as f:
            f.write(done.stdout)
        for one in manifests.yaml.safe_load_all(done.stdout):
            if one and one["kind"] == "Secret":
                key = (one["metadata"]["namespace"], one["metadata"]["name"])
                self.secrets[key] = manifests_secret(one)
        return done.stdout

    def make_certificates(self):
        """What cert-manager would put into the Secrets of the Certificates."""
        for one in self.manifests.find("Certificate"):
            spec, ns = one["spec"], one["metadata"]["namespace"]
            names = ["DNS:" + n for n in spec.get("dnsNames", [])] + \
                ["IP:" + a for a in spec.get("ipAddresses", [])] or ["DNS:" + spec.get("commonName", "none")]
            made = apiserver.make_certificate(self.tls_folder, f"{ns}/{one['metadata']['name']}", names,
                                              self.authority, spec.get("commonName"))
            self.secrets[(ns, spec["secretName"])] = {
                name: read(made[key]) for name, key in
                (("tls.crt", "crt"), ("tls.key", "key"), ("ca.crt", "ca"))}

    # -- pods ----------------------------------------------------------------

    def pod(self, ns, workload, ordinal=0, patch=None):
        """A pod of a workload's template, not started. patch(template) may change it in sight."""
        one = self.manifests.workload(ns, workload)
        template = manifests.pod_template(one)
        if patch:
            patch(template)
        name = f"{workload}-{ordinal}"
        labels = {}
        if one["kind"] == "StatefulSet":
            labels = {"controller-revision-hash": self.revision(one), "statefulset.kubernetes.io/pod-name": name,
                      "apps.kubernetes.io/pod-index": str(ordinal)}
            claims = one["spec"].get("volumeClaimTemplates", [])
            template["spec"].setdefault("volumes", []).extend(
                {"name": c["metadata"]["name"],
                 "persistentVolumeClaim": {"claimName": f"{c['metadata']['name']}-{name}"}} for c in claims)
        pod = Pod(self, ns, name, template, labels)
        pod.owner, pod.patch = (one["kind"], workload), patch
        self.controllers.place(pod)
        return self.add(pod)

    @staticmethod
    def revision(workload):
        """The name that a StatefulSet's controller gives to this text of the template."""
        text = json.dumps(manifests.pod_template(workload), sort_keys=True)
        return f"{workload['metadata']['name']}-{zlib.crc32(text.encode()):08x}"

    def kubeconfig(self):
        """A file for KUBECONFIG: real kubectl as an administrator of this cluster."""
        return kubectl.write_config(self.api, os.path.join(self.scratch, "kubeconfig"))

    def add(self, pod):
        with self.lock:
            self.pods[(pod.ns, pod.name)] = pod
        return pod

    def pod_from(self, ns, name, template):
        """A pod that the test wrote itself."""
        return self.add(Pod(self, ns, name, template))

    def start_all(self, ns, workload, count, patch=None):
        """Start pods side by side; a list in order of their ordinals."""
        pods = [self.pod(ns, workload, n, patch) for n in range(count)]
        errors = []

        def start(pod):
            try:
                pod.start()
            except Exception as e:    # noqa: BLE001: told to the test
                errors.append(e)

        threads = [threading.Thread(target=start, args=(p,)) for p in pods]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return pods

    def run_job(self, ns, name, patch=None, limit_s=120):
        """Run a Job's or CronJob's pod to its end once; .returncode and .stdout (its log)."""
        template = manifests.pod_template(self.manifests.workload(ns, name))
        if patch:
            patch(template)
        pod = self.add(Pod(self, ns, f"{name}-{time.monotonic_ns() % 10 ** 8}", template))
        pod.spec["restartPolicy"] = "Never"
        pod.start()
        one = pod.containers[0]
        status = one.wait(patient(limit_s))
        log = one.log()
        pod.stop(grace=1)
        with self.lock:
            self.pods.pop((pod.ns, pod.name), None)
        self.changed()
        return subprocess.CompletedProcess([name], -1 if status is None else status, log, log)

    # -- Services ------------------------------------------------------------

    def service_links(self, ns):
        """The variables that Kubernetes puts into a container for each Service of its namespace."""
        links = {}
        for (service_ns, name), address in self.addresses.items():
            if service_ns != ns or (ns, name) == ("default", "kubernetes"):
                continue
            ports = self.manifests.get("Service", ns, name)["spec"].get("ports", [])
            word = re.sub(r"[^A-Z0-9]", "_", name.upper())
            links.update({f"{word}_SERVICE_HOST": address, f"{word}_SERVICE_PORT": str(ports[0]["port"]),
                          f"{word}_PORT": f"tcp://{address}:{ports[0]['port']}"})
        return links

    def changed(self):
        """Names and endpoints anew, after anything that they depend on."""
        with self.lock:
            names, table = [("kubernetes.default", self.addresses.get(("default", "kubernetes"), GATEWAY))], {}
            for service in self.manifests.find("Service"):
                self.publish_service(service, names, table)
            self.network.publish(names)
            self.network.route(table)

    def withdraw(self, pod):
        """The pod isn't ready any more; Services forget it after endpoint_lag_s."""
        if self.endpoint_lag_s:
            pod.lingers_until = time.monotonic() + self.endpoint_lag_s
            timer = threading.Timer(self.endpoint_lag_s + 0.05, self.changed)
            timer.daemon = True
            timer.start()
        self.changed()

    def publish_service(self, service, names, table):
        ns, name, spec = service["metadata"]["namespace"], service["metadata"]["name"], service["spec"]
        if spec.get("type") == "ExternalName":
            return
        early = spec.get("publishNotReadyAddresses", False)
        chosen = [p for p in list(self.pods.values()) if p.ns == ns and p.netns
                  and manifests.selects(spec.get("selector"), p.labels)
                  and (p.phase in ("starting", "running", "terminating") and (early or p.is_ready())
                       or p.lingers_until > time.monotonic())]
        if spec.get("clusterIP") == "None":
            names += [(f"{p.name}.{name}.{ns}", p.ip) for p in chosen]
            names += [(f"{name}.{ns}", p.ip) for p in chosen]
            return
        if (ns, name) not in self.addresses:
            self.addresses[(ns, name)] = self.network.add_service()
        address = self.addresses[(ns, name)]
        names.append((f"{name}.{ns}", address))
        for port in spec.get("ports", []):
            target = port.get("targetPort", port["port"])
            table[f"{address}:{port['port']}"] = [f"{p.ip}:{number}" for p in chosen
                                                  for number in [target_port(p, target)] if number]

    # -- the end ---------------------------------------------------------------

    def close(self):
        for pod in list(self.pods.values()):
            if pod.phase not in ("stopped",):
                try:
                    pod.crash()
                except Exception as e:    # noqa: BLE001: the namespaces end it all the same
                    print(f"# {pod.name}: {e}", flush=True)


def target_port(pod, target):
    """A Service's targetPort as a number in this pod; None when it has no such port."""
    if isinstance(target, int):
        return target
    for spec in pod.spec.get("initContainers", []) + pod.spec["containers"]:
        for port in spec.get("ports", []):
            if port.get("name") == target:
                return port["containerPort"]
    return None


def read(path):
    with open(path, "rb") as f:
        return f.read()


def manifests_secret(one):
    """Keys and bytes of a Secret object."""
    import base64
    data = {k: base64.b64decode(v) for k, v in (one.get("data") or {}).items()}
    data.update({k: str(v).encode() for k, v in (one.get("stringData") or {}).items()})
    return data


def dockerfile_words(path, instruction):
    """The last ENTRYPOINT or CMD of a Dockerfile in JSON form."""
    import json
    with open(path, encoding="utf-8") as f:
        found = re.findall(rf"^{instruction}\s+(\[.*\])\s*$", f.read(), re.M)
    return json.loads(found[-1]) if found else None


def dockerfile_stop_signal(path):
    """A Dockerfile's STOPSIGNAL; SIGTERM without one."""
    with open(path, encoding="utf-8") as f:
        found = re.findall(r"^STOPSIGNAL\s+(SIG\w+)\s*$", f.read(), re.M)
    return found[-1] if found else "SIGTERM"


def own_images():
    """Images of ours: entry points from their Dockerfiles, programs from the build."""
    binary = os.path.realpath(os.environ.get("PGWEIR") or os.path.join(TOP, "build", "pgweir"))
    app = os.environ.get("FINAI_BACKEND") or \
        os.path.join(os.path.dirname(binary), "k8s", "apps", "backend", "finai-backend")
    images = {"pgweir/pgweir": {"folder": "pgweir", "user": "pgweir", "files": {"/usr/bin/pgweir": binary}},
              "pgweir/postgres": {"folder": "postgres", "user": "postgres", "home": "/var/lib/postgresql"},
              "pgweir/finai-backend": {"folder": "backend", "user": "finai", "files": {
                  "/usr/bin/finai-backend": app,
                  "/usr/share/finai/sql": os.path.join(manifests.K8S, "apps", "backend", "sql")}},
              "pgweir/finai-frontend": {"folder": "frontend", "user": "nginx"},
              "redis": {"user": "redis", "cmd": ["redis-server"]},
              "quay.io/prometheus/prometheus": {"entrypoint": ["/usr/bin/prometheus"]},
              "quay.io/prometheus/alertmanager": {"entrypoint": ["/usr/bin/prometheus-alertmanager"]},
              "quay.io/prometheuscommunity/postgres-exporter": {
                  "entrypoint": ["/usr/bin/prometheus-postgres-exporter"]},
              "oliver006/redis_exporter": {"entrypoint": ["/usr/bin/prometheus-redis-exporter"]}}
    for one in images.values():
        path = os.path.join(DOCKERFILES, one.get("folder", ""), "Dockerfile")
        if os.path.isfile(path):
            one["entrypoint"] = dockerfile_words(path, "ENTRYPOINT")
            one["cmd"] = dockerfile_words(path, "CMD")
            one["stop_signal"] = dockerfile_stop_signal(path)
    return images


def build_site(folder):
    """The frontend's pages as its image's first stage makes them; the folder."""
    subprocess.run([os.path.join(manifests.K8S, "apps", "frontend", "build"), folder], check=True,
                   stdin=subprocess.DEVNULL)
    return folder


class Session:
    """What the runner of test/integration/lib.py calls: fixtures, and the end of a file."""

    def __init__(self, scratch, log_dir):
        self.scratch = scratch
        self.log_dir = log_dir or os.path.join(scratch, "logs")
        self.cluster = None

    def open_file(self, module):
        self.module = module

    def fixture(self, name):
        if name == "cluster":
            if self.cluster is None:
                self.cluster = Cluster(self.scratch, self.log_dir)
            return self.cluster
        if name == "binary":
            path = self.fixture("cluster").images["pgweir/pgweir"]["files"]["/usr/bin/pgweir"]
            if not os.access(path, os.X_OK):
                raise Skip(f"no program {path}: build first, or set PGWEIR")
            return path
        raise LookupError(f"no fixture {name}")

    def log_tails(self):
        if self.cluster is None:
            return ""
        return "\n" + "\n".join(p.log_tails() for p in self.cluster.pods.values()
                                if p.phase != "stopped")[:6000]

    def close_test(self):
        pass

    def close_file(self):
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None
        return []
