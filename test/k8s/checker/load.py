# SPDX-License-Identifier: PostgreSQL
"""The manifests as objects.

A Tree holds every object of k8s/ (or of an overlay, as kustomize renders it), each an Obj that
remembers its file. It answers the questions that all checks ask: which pods are made from what,
which labels they have, what selects them. Checks add Findings; they never print.
"""
import copy
import pathlib
import subprocess

import yaml

TOP = pathlib.Path(__file__).resolve().parents[3]
# Read by tools of their own, never applied with the rest.
NOT_APPLIED = {"k8s/cluster-config.yaml", "k8s/istio-install.yaml", "k8s/testing/k6-load-testing.yaml"}
# Placeholders: k8s/secrets/generate's input. Its output is installed, beside every overlay.
SECRETS = "k8s/secrets/database-secrets.yaml"
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "IngressClass",
                "ClusterIssuer", "ValidatingWebhookConfiguration", "APIService", "StorageClass",
                "CustomResourceDefinition"}


class UniqueLoader(yaml.CSafeLoader):
    """Refuses a key that is there twice: the second would silently win."""


def _mapping(loader, node):
    loader.flatten_mapping(node)
    seen = set()
    for key, _ in node.value:
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {name!r}", key.start_mark)
        seen.add(name)
    return yaml.CSafeLoader.construct_mapping(loader, node, deep=True)


UniqueLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# A value of "=" is a string here, as it is for Kubernetes.
UniqueLoader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


class Finding:
    """What is wrong, and where."""

    def __init__(self, obj, path, text):
        self.obj, self.path, self.text = obj, path, text

    def __str__(self):
        return f"{self.obj}: {self.path}: {self.text}" if self.path else f"{self.obj}: {self.text}"


class Obj:
    """One object: body is the parsed document, file where it stands."""

    def __init__(self, body, file):
        self.body, self.file = body, file

    kind = property(lambda self: self.body.get("kind"))
    api = property(lambda self: self.body.get("apiVersion"))
    meta = property(lambda self: self.body.get("metadata") or {})
    name = property(lambda self: self.meta.get("name"))
    spec = property(lambda self: self.body.get("spec") or {})

    @property
    def ns(self):
        return None if self.kind in CLUSTER_WIDE else self.meta.get("namespace", "default")

    def __str__(self):
        where = f"{self.ns}/{self.name}" if self.ns else self.name
        return f"{self.file} {self.kind} {where}"


class Pod:
    """The template of a workload's pods."""

    def __init__(self, owner, template, replicas):
        self.owner, self.replicas = owner, replicas
        self.meta = template.get("metadata") or {}
        self.spec = template.get("spec") or {}
        self.labels = self.meta.get("labels") or {}
        self.ns = owner.ns
        self.init = self.spec.get("initContainers") or []
        self.main = self.spec.get("containers") or []
        self.containers = self.init + self.main
        self.is_job = owner.kind in ("Job", "CronJob", "TestRun")

    def __str__(self):
        return str(self.owner)

    def ports(self):
        """Name -> number of every container port."""
        found = {}
        for container in self.containers:
            for port in container.get("ports") or []:
                found[port.get("name")] = port.get("containerPort")
        return found


def template_of(obj):
    """The pod template of a workload, or None."""
    if obj.kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return obj.spec.get("template") or {}
    if obj.kind == "CronJob":
        job = (obj.spec.get("jobTemplate") or {}).get("spec") or {}
        return job.get("template") or {}
    return None


def test_run_templates(obj):
    """What the k6 operator makes of a TestRun: the runners (the initializer is the same but for its command), and
    the starter. Its own two labels come before those of the object."""
    for part in ("runner", "starter"):
        wish = obj.spec.get(part) or {}
        container = {"name": "k6" if part == "runner" else "k6-curl", "ports": [{"containerPort": 6565}],
                     "securityContext": wish.get("containerSecurityContext") or {}}
        container.update({k: wish[k] for k in ("image", "env", "envFrom", "resources", "volumeMounts") if k in wish})
        spec = {k: wish[k] for k in ("serviceAccountName", "securityContext", "topologySpreadConstraints", "volumes")
                if k in wish}
        spec["automountServiceAccountToken"] = wish.get("automountServiceAccountToken") != "false"
        labels = {**((wish.get("metadata") or {}).get("labels") or {}), "app": "k6", "k6_cr": obj.name}
        yield {"metadata": {"labels": labels}, "spec": {**spec, "containers": [container]}}


def matches(selector, labels):
    """Whether a label selector (or a plain map) takes these labels."""
    if selector is None:
        return False
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        selector = {"matchLabels": selector}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        has, value = rule["key"] in labels, labels.get(rule["key"])
        wanted = rule.get("values") or []
        if rule["operator"] == "In" and value not in wanted:
            return False
        if rule["operator"] == "NotIn" and value in wanted:
            return False
        if rule["operator"] == "Exists" and not has or rule["operator"] == "DoesNotExist" and has:
            return False
    return True


class Tree:
    """All objects of one way to install; texts are the files as they stand."""

    def __init__(self, name, objects, texts):
        self.name, self.objects, self.texts = name, objects, texts

    def clone(self):
        return Tree(self.name, [Obj(copy.deepcopy(o.body), o.file) for o in self.objects], dict(self.texts))

    def all(self, *kinds):
        return [o for o in self.objects if o.kind in kinds]

    def get(self, kind, ns, name):
        for obj in self.objects:
            if (obj.kind, obj.ns, obj.name) == (kind, ns, name):
                return obj
        return None

    def need(self, kind, ns, name):
        found = self.get(kind, ns, name)
        if found is None:
            raise LookupError(f"no {kind} {ns}/{name}")
        return found

    def pods(self):
        found = []
        for obj in self.objects:
            template = template_of(obj)
            if template is not None:
                found.append(Pod(obj, template, obj.spec.get("replicas", 1)))
        for obj in self.all("TestRun"):
            runner, starter = test_run_templates(obj)
            found += [Pod(obj, runner, obj.spec.get("parallelism", 1)), Pod(obj, starter, 1)]
        return found

    def outside(self):
        """Pods that neither files nor the Prometheus operator make, where their namespace is ours to guard."""
        found = [outsider("kube-system", "kube-dns", {"k8s-app": "kube-dns"}, {"dns": 53})]
        if self.get("Namespace", None, "istio-system"):
            found += [outsider("istio-system", "istiod", {"app": "istiod"}, {"grpc": 15012, "http-monitoring": 15014}),
                      outsider("istio-system", "istio-ingressgateway", {"istio": "ingressgateway"}, {"https": 8443})]
        return found

    def operated(self):
        """Pods that the Prometheus operator makes, with the labels and the port that it gives them."""
        found = []
        for kind, number in (("Prometheus", 9090), ("Alertmanager", 9093)):
            for obj in self.all(kind):
                name = kind.lower()
                labels = {**((obj.spec.get("podMetadata") or {}).get("labels") or {}),
                          "app.kubernetes.io/name": name, "app.kubernetes.io/instance": obj.name,
                          "app.kubernetes.io/managed-by": "prometheus-operator", name: obj.name}
                port = {"name": obj.spec.get("portName", "web"), "containerPort": number}
                template = {"metadata": {"labels": labels},
                            "spec": {"containers": [{"name": name, "ports": [port] + ([{"name": "mesh", "containerPort": 9094}]
                                                                    if kind == "Alertmanager" else [])}]}}
                found.append(Pod(obj, template, obj.spec.get("replicas", 1)))
        return found


def outsider(ns, name, labels, ports):
    """A pod that others make."""
    body = {"kind": "Outside", "metadata": {"name": name, "namespace": ns}}
    listed = [{"name": n, "containerPort": p} for n, p in ports.items()]
    return Pod(Obj(body, "outside"), {"metadata": {"labels": {"app.kubernetes.io/name": name, **labels}},
                                      "spec": {"containers": [{"name": name, "ports": listed}]}}, 1)


def parse(text, file):
    """The objects of one file's text."""
    return [Obj(doc, file) for doc in yaml.load_all(text, Loader=UniqueLoader) if doc]


def files():
    """Paths, from the top, of every manifest of the base."""
    found = sorted((TOP / "k8s").rglob("*.yaml"))
    return [str(f.relative_to(TOP)) for f in found if f.name != "kustomization.yaml"]


def beside():
    """Paths of what must agree with the manifests and is none: images, kustomizations, documents."""
    found = [f for where in ("k8s", "overlays") for f in (TOP / where).rglob("*")
             if f.is_file() and (f.name in ("Dockerfile", "kustomization.yaml", "README.md") or where == "overlays")]
    found += [f for f in (TOP / "etc").iterdir() if f.suffix == ".ini"]
    found += [TOP / "k8s/apps/backend/options.def", TOP / "docs/runbooks.md", TOP / "docs/metrics.md", TOP / "bench/README.md"]
    return sorted(str(f.relative_to(TOP)) for f in found if f.exists())


def base():
    """The base, straight from its files; a file that doesn't parse raises yaml.YAMLError."""
    texts = {f: (TOP / f).read_text() for f in files()}
    objects = [o for f, text in texts.items() for o in parse(text, f) if o.body.get("kind")]
    texts.update({f: (TOP / f).read_text() for f in beside()})
    return Tree("base", objects, texts)


def kustomize(folder):
    """What kubectl renders: (text, error)."""
    run = subprocess.run(["kubectl", "kustomize", str(TOP / folder)], capture_output=True, text=True)
    return run.stdout, run.stderr.strip() if run.returncode else ""


def rendered(name, text, origin):
    """An overlay's tree; origin (the base) tells the files of objects that it only passes on."""
    known = {(o.kind, o.ns, o.name): o.file for o in origin.objects}
    objects = parse(text, f"overlays/{name}")
    for obj in objects:
        obj.file = known.get((obj.kind, obj.ns, obj.name), obj.file)
    for path in sorted((TOP / "overlays" / name / "secrets").glob("*-secrets.yaml")):
        objects += parse(path.read_text(), str(path.relative_to(TOP)))
    spaces = {o.name for o in objects if o.kind == "Namespace"}
    objects += [o for o in origin.clone().objects
                if o.file in NOT_APPLIED or o.file == SECRETS and o.ns in spaces]
    return Tree(name, objects, origin.texts)
