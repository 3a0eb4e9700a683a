# SPDX-License-Identifier: PostgreSQL
"""Schemas by npm's models of the APIs, and a second YAML parser.

models/ pins the packages; they are installed into the build folder, and judge.mjs there judges all
objects in one run. That is the only part of the checks that asks a network, and only once.
"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

from .load import Finding, TOP

SOURCE = TOP / "test/k8s/models"
FILES = ("package.json", "package-lock.json", ".npmrc", "judge.mjs")
# Kinds that no package has a model of: the strict schemas of test/k8s/text know most of them.
UNMODELLED = {
    "bootstrap.cluster.x-k8s.io/v1beta2 KubeadmConfigTemplate", "cluster.x-k8s.io/v1beta2 Cluster",
    "cluster.x-k8s.io/v1beta2 MachineDeployment", "cluster.x-k8s.io/v1beta2 MachineHealthCheck",
    "controlplane.cluster.x-k8s.io/v1beta2 KubeadmControlPlane",
    "infrastructure.cluster.x-k8s.io/v1beta2 AWSCluster",
    "infrastructure.cluster.x-k8s.io/v1beta2 AWSMachineTemplate", "install.istio.io/v1alpha1 IstioOperator",
    "k8s.nginx.org/v1 GlobalConfiguration", "k8s.nginx.org/v1 TransportServer", "k6.io/v1alpha1 TestRun"}


class Unavailable(Exception):
    """The packages can't be had here; the text says why."""


def install():
    """The folder with the packages; fetches them unless this very lock file has been served before."""
    folder = pathlib.Path(os.environ.get("K8S_MODELS") or TOP / "build/test/k8s/models")
    if not shutil.which("node") or not shutil.which("npm"):
        raise Unavailable("no node and npm here")
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(SOURCE / name, folder / name)
    stamp, wanted = folder / ".installed", hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    try:
        # Two tries: without a network npm's own patience would be minutes.
        run = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
                              "--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=5000"], cwd=folder,
                             capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        raise Unavailable("npm can't fetch the models within 180 s") from None
    if run.returncode:
        said = [line for line in run.stderr.splitlines() if " code " in line or "network" in line] or ["?"]
        raise Unavailable(f"npm can't fetch the models: {said[0]}")
    stamp.write_text(wanted)
    return folder


def key(obj):
    """An object as a text."""
    return json.dumps(obj.body, default=str)


class Verdict:
    """What judge.mjs said of many objects, each known by its text."""

    def __init__(self, objects, files=()):
        self.ids = {}
        for obj in objects:
            self.ids.setdefault(key(obj), len(self.ids))
        wanted = {"objects": [[number, json.loads(text)] for text, number in self.ids.items()],
                  "files": [str(TOP / f) for f in files]}
        run = subprocess.run(["node", "judge.mjs"], cwd=install(), input=json.dumps(wanted),
                             capture_output=True, text=True, timeout=300)
        if run.returncode:
            raise RuntimeError("judge.mjs: " + run.stderr.strip()[-500:])
        self.said = json.loads(run.stdout)

    def of(self, obj):
        """What is wrong with one object, by its model; a kind without one must be listed as such."""
        number = str(self.ids[key(obj)])
        kind = self.said["unmodelled"].get(number)
        if kind is not None:
            return [] if kind in UNMODELLED else [f"{kind}: no model, and not listed as such"]
        return self.said["invalid"].get(number, [])

    def findings(self, tree):
        return [Finding(o, "", text) for o in tree.objects for text in self.of(o)]

    def unmodelled(self, tree):
        """The kinds of a tree that only the strict schemas of test/k8s/text look at."""
        return sorted({self.said["unmodelled"].get(str(self.ids[key(o)])) for o in tree.objects} - {None})

    def parsed(self, tree):
        """Both YAML parsers read the same out of each file."""
        out = [f"{os.path.relpath(path, TOP)}: {text}" for path, texts in self.said["unparsed"].items()
               for text in texts]
        for path, documents in self.said["parsed"].items():
            name = os.path.relpath(path, TOP)
            ours = [json.loads(key(o)) for o in tree.objects if o.file == name]
            theirs = [d for d in documents if d.get("kind")]
            out += [f"{name}: {a['kind']} {a['metadata'].get('name')}: the parsers differ"
                    for a, b in zip(ours, theirs) if a != b]
            if len(ours) != len(theirs):
                out.append(f"{name}: {len(ours)} documents, or {len(theirs)}")
        return out
