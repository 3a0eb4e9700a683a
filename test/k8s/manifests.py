# SPDX-License-Identifier: PostgreSQL
"""The objects of k8s/, parsed, and look-ups in them.

Reads the files as they are in the tree, without kustomize: what a test runs
is the very text that ships. Objects are copied out, so a test's patch stays in
that test.
"""
import copy
import os

import yaml

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
K8S = os.path.join(TOP, "k8s")

# Kubernetes writes quantities with these suffixes (API reference, Quantity).
SUFFIXES = {"Ki": 2 ** 10, "Mi": 2 ** 20, "Gi": 2 ** 30, "Ti": 2 ** 40,
            "k": 10 ** 3, "M": 10 ** 6, "G": 10 ** 9, "T": 10 ** 12, "m": 1e-3}


def quantity(text):
    """A quantity as a number: 500m -> 0.5, 1Gi -> 1073741824."""
    text = str(text)
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if text.endswith(suffix):
            return float(text[:-len(suffix)]) * SUFFIXES[suffix]
    return float(text)


def is_object(doc):
    return isinstance(doc, dict) and "kind" in doc and "apiVersion" in doc


def load(folder=K8S):
    """All objects of all files below a folder; kustomization files aren't objects."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in ("images", "node_modules"))
        for name in sorted(files):
            if not name.endswith((".yaml", ".yml")) or name.startswith("kustomization"):
                continue
            with open(os.path.join(path, name), encoding="utf-8") as f:
                found += [d for d in yaml.safe_load_all(f) if is_object(d)]
    return found


class Manifests:
    """Objects by kind, namespace and name."""

    def __init__(self, objects=None):
        self.objects = load() if objects is None else objects

    def find(self, kind=None, ns=None, name=None):
        return [copy.deepcopy(o) for o in self.objects
                if (kind is None or o["kind"] == kind)
                and (ns is None or o["metadata"].get("namespace") == ns)
                and (name is None or o["metadata"]["name"] == name)]

    def get(self, kind, ns, name):
        found = self.find(kind, ns, name)
        if len(found) != 1:
            raise LookupError(f"{len(found)} objects {kind} {ns}/{name} in k8s/")
        return found[0]

    def workload(self, ns, name):
        """The one workload of that name, whatever its kind."""
        for kind in ("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob"):
            found = self.find(kind, ns, name)
            if found:
                return found[0]
        raise LookupError(f"no workload {ns}/{name} in k8s/")


def pod_template(workload):
    """The pod template of a workload, with its metadata."""
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]


def selects(selector, labels):
    """Whether a plain or a full label selector matches labels."""
    if not selector:
        return False
    plain = selector if "matchLabels" not in selector and "matchExpressions" not in selector \
        else selector.get("matchLabels", {})
    if any(labels.get(k) != v for k, v in plain.items()):
        return False
    for e in selector.get("matchExpressions", []) if plain is not selector else []:
        value, op = labels.get(e["key"]), e["operator"]
        good = {"In": value in e.get("values", []), "NotIn": value not in e.get("values", []),
                "Exists": value is not None, "DoesNotExist": value is None}[op]
        if not good:
            return False
    return True
