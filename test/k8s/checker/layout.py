# SPDX-License-Identifier: PostgreSQL
"""Check 16: every file is installed exactly once, images have a recipe and one tag, the README's order is right.
"""
import collections
import json
import posixpath
import re

import yaml

from .load import Finding, NOT_APPLIED, SECRETS

# Kustomizations of their own: another cluster's, a tool's input, what is applied on demand.
APART = NOT_APPLIED | {SECRETS}
# What the API server stores of one object, and etcd takes.
LARGEST = 1024 * 1024


def reached(texts, root):
    """How often each file is reached from a kustomization: a Counter of paths."""
    found = collections.Counter()
    stack = [root]
    while stack:
        folder = stack.pop()
        one = yaml.safe_load(texts[f"{folder}/kustomization.yaml"])
        for name in one.get("resources") or []:
            path = posixpath.normpath(f"{folder}/{name}")
            if f"{path}/kustomization.yaml" in texts:
                stack.append(path)
            found[path] += 1
    return found


def _files(tree, out):
    found = reached(tree.texts, "k8s")
    shipped = {f for f in tree.texts if f.startswith("k8s/") and f.endswith(".yaml") and not f.endswith("kustomization.yaml")}
    for path in sorted(shipped):
        count = found[path]
        if path in APART and count:
            out.append(Finding(path, "", "is applied with the rest"))
        elif path not in APART and count != 1:
            out.append(Finding(path, "", f"is in {count} kustomizations"))
    for path, count in sorted(found.items()):
        if path not in shipped and f"{path}/kustomization.yaml" not in tree.texts:
            out.append(Finding(path, "", "a kustomization names it, but it isn't there"))
        elif count > 1 and path not in shipped:
            out.append(Finding(path, "", f"is in {count} kustomizations"))
    folders = {posixpath.dirname(f) for f in shipped}
    out += [Finding(f, "", "no kustomization.yaml") for f in sorted(folders) if f"{f}/kustomization.yaml" not in tree.texts]


def images(tree):
    """{image: {tag: who uses it}}"""
    found = {}
    for pod in tree.pods():
        for container in pod.containers:
            image, _, tag = container.get("image", "").rpartition(":")
            found.setdefault(image, {}).setdefault(tag, set()).add(str(pod))
    return found


def recipe(tree, image):
    """The Dockerfile of an image that is ours, or None."""
    name = image.split("/")[-1]
    paths = [f"k8s/images/{n}/Dockerfile" for n in (name, name.removeprefix("finai-"))]
    return next((p for p in paths if p in tree.texts), None)


def _images(tree, out):
    own = images(tree)
    table = dict(re.findall(r"^\| `([a-z0-9./-]+):([^`]+)` \| `images/", tree.texts.get("k8s/README.md", ""), re.M))
    for image, tags in sorted(own.items()):
        if len(tags) > 1:
            out.append(Finding(image, "", f"has the tags {sorted(tags)}: one of them is another image"))
        if not image.startswith("pgweir/"):
            continue
        if recipe(tree, image) is None:
            out.append(Finding(image, "", "no Dockerfile in k8s/images makes it"))
        if table.get(image) not in tags:
            out.append(Finding(image, "", f"README's table says {table.get(image)}, the manifests {sorted(tags)}"))
    for image in sorted(set(table) - set(own)):
        out.append(Finding(image, "", "README's table names it, no pod runs it"))
    built = {recipe(tree, i) for i in own}
    out += [Finding(f, "", "no pod runs what it builds") for f in sorted(tree.texts)
            if f.endswith("/Dockerfile") and f not in built]
    for path, text in sorted(tree.texts.items()):
        if path.endswith("/Dockerfile"):
            froms = re.findall(r"^FROM (\S+)", text, re.M)
            out += [Finding(path, "FROM", f"{f} has no tag of its own") for f in froms
                    if ":" not in f or not re.search(r":\S*\d+\.\d+", f)]
            if not re.search(r"^USER (?!0|root)", text, re.M):
                out.append(Finding(path, "", "runs as root"))


def _patches(tree, out):
    """A patch whose target is nothing changes nothing, and kustomize doesn't say so."""
    for path, text in sorted(tree.texts.items()):
        if not path.startswith("overlays/") or not path.endswith("kustomization.yaml"):
            continue
        for patch in yaml.safe_load(text).get("patches") or []:
            want = patch.get("target") or {}
            found = [o for o in tree.objects if o.file not in APART and all(
                re.fullmatch(str(want[k]), str(v)) for k, v in (("kind", o.kind), ("name", o.name), ("namespace", o.ns)) if k in want)]
            kinds = {k for k in str(want.get("kind", "")).split("|") if re.fullmatch(r"\w+", k)}
            names = {n for n in str(want.get("name", "")).split("|") if re.fullmatch(r"[a-z0-9-]+", n)}
            lost = (kinds - {o.kind for o in found}) | (names - {o.name for o in found})
            if lost or not found:
                out.append(Finding(path, "patches", f"nothing is {', '.join(sorted(lost)) or want}"))


# What README's order must have, one after the other.
ORDER = (("CRDs", r"CRDs first"), ("the mesh", r"istioctl install -f k8s/istio-install\.yaml"),
         ("the namespaces", r"apply --server-side -f k8s/namespaces\.yaml"),
         ("the Secrets", r"k8s/secrets/generate \| kubectl apply"), ("the rest", r"apply --server-side -k k8s"))


def _order(tree, out):
    text = tree.texts.get("k8s/README.md", "").partition("## Prerequisites, in order")[2]
    places = [(name, re.search(pattern, text)) for name, pattern in ORDER]
    out += [Finding("k8s/README.md", "", f"doesn't say how {name} come in") for name, found in places if not found]
    at = [found.start() for _, found in places if found]
    if at != sorted(at):
        out.append(Finding("k8s/README.md", "", "its order isn't " + ", ".join(name for name, _ in places)))
    for group, word in (("cert-manager.io", "cert-manager"), ("k8s.nginx.org", "crds.yaml"), ("monitoring.coreos.com", "Prometheus Operator"),
                        ("autoscaling.k8s.io", "VerticalPodAutoscaler"), ("k6.io", "k6-operator"), ("networking.istio.io", "istioctl")):
        if any(str(o.api).startswith(group + "/") for o in tree.objects) and word not in text:
            out.append(Finding("k8s/README.md", "", f"doesn't say where {group} comes from"))


def layout(tree):
    """Check 16."""
    out = []
    _files(tree, out)
    _images(tree, out)
    _order(tree, out)
    if tree.name == "base":
        _patches(tree, out)
    for obj in tree.objects:
        size = len(json.dumps(obj.body, default=str))
        if size >= LARGEST:
            out.append(Finding(obj, "", f"{size} bytes: the API server takes less than {LARGEST}"))
    rows = re.findall(r"^\| ([^|]+) \|", tree.texts.get("k8s/README.md", ""), re.M)
    listed = {w.strip().strip("`") for row in rows for w in row.split(",")}
    for path in sorted(f for f in tree.texts if f.startswith("k8s/") and f.endswith(".yaml") and "kustomization" not in f):
        short = path.removeprefix("k8s/")
        if short not in listed:
            out.append(Finding(path, "", "README's table of what was verified doesn't have it"))
    return out
