# SPDX-License-Identifier: PostgreSQL
"""The objects of k8s/ looked at one by one: schema, scripts, ids, pod security.

The schema check is strict (unknown fields are errors) and needs the API's
definitions, which aren't part of this repository: K8S_SCHEMAS names the file,
else shared/k8s/definitions.json.xz beside the checkout is taken; without either
that part is left out, with a line that says so.
"""
import collections
import json
import lzma
import os
import subprocess
import sys
import tempfile

import manifests

TOP = manifests.TOP
PROBLEMS = []


def problem(one, text):
    meta = one["metadata"]
    PROBLEMS.append(f"{one['kind']} {meta.get('namespace', '-')}/{meta['name']}: {text}")


# -- schema -------------------------------------------------------------------

def definitions():
    path = os.environ.get("K8S_SCHEMAS") or os.path.join(TOP, "..", "shared", "k8s", "definitions.json.xz")
    if not os.path.isfile(path):
        print("note: no API definitions (K8S_SCHEMAS); schemas weren't checked")
        return None
    with (lzma.open if path.endswith(".xz") else open)(path) as f:
        return json.load(f)


def schema_index(data):
    """{(apiVersion, kind): name} of the definitions that are whole objects."""
    found = {}
    for name, schema in data.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", []):
            version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            found[(version, gvk["kind"])] = name
    return found


class Validator:
    """Walks a value along its schema; strict about fields that aren't there."""

    def __init__(self, data):
        self.data = data

    def resolve(self, schema):
        while "$ref" in schema:
            schema = self.data[schema["$ref"].rpartition("/")[2]]
        return schema

    def walk(self, value, schema, path, say):
        schema = self.resolve(schema)
        if value is None:
            return
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            if not isinstance(value, (int, str)):
                say(f"{path}: a number or a string")
            return
        if "enum" in schema and value not in schema["enum"]:
            say(f"{path}: {value!r} isn't one of {schema['enum']}")
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            self.walk_object(value, schema, path, say)
        elif kind == "array":
            if not isinstance(value, list):
                return say(f"{path}: a list is wanted")
            for number, item in enumerate(value):
                self.walk(item, schema.get("items", {}), f"{path}[{number}]", say)
        elif kind in ("string", "integer", "number", "boolean"):
            self.walk_scalar(value, kind, schema, path, say)

    @staticmethod
    def walk_scalar(value, kind, schema, path, say):
        types = {"string": str, "integer": int, "number": (int, float), "boolean": bool}[kind]
        is_quantity = "Quantity" in schema.get("description", "")[:40]
        if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, types) and not is_quantity:
            say(f"{path}: {value!r} isn't a {kind}")

    def walk_object(self, value, schema, path, say):
        if not isinstance(value, dict):
            return say(f"{path}: a mapping is wanted")
        fields, more = schema.get("properties"), schema.get("additionalProperties")
        for name in schema.get("required", []):
            if name not in value:
                say(f"{path}.{name} is missing")
        for name, item in value.items():
            if fields and name in fields:
                self.walk(item, fields[name], f"{path}.{name}", say)
            elif isinstance(more, dict):
                self.walk(item, more, f"{path}.{name}", say)
            elif fields and not more and not schema.get("x-kubernetes-preserve-unknown-fields"):
                say(f"{path}.{name}: no such field")


def check_schemas(objects):
    data = definitions()
    if data is None:
        return
    data = data.get("definitions", data)
    index, validator = schema_index(data), Validator(data)
    for one in objects:
        name = index.get((one["apiVersion"], one["kind"]))
        if name is None:
            if one["apiVersion"].endswith("k8s.io/v1") or "/" not in one["apiVersion"]:
                problem(one, f"no such API: {one['apiVersion']} {one['kind']}")
            continue
        validator.walk(one, {"$ref": "/" + name}, "", lambda text, o=one: problem(o, text))


# -- pod security, restricted ---------------------------------------------------

def check_pod_security(one):
    spec = manifests.pod_template(one)["spec"]
    pod = spec.get("securityContext") or {}
    for c in spec.get("initContainers", []) + spec["containers"]:
        own = c.get("securityContext") or {}
        where = f"container {c['name']}"
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            problem(one, where + ": runAsNonRoot")
        if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
            problem(one, where + ": seccompProfile RuntimeDefault")
        if own.get("allowPrivilegeEscalation") is not False:
            problem(one, where + ": allowPrivilegeEscalation: false")
        if "ALL" not in (own.get("capabilities") or {}).get("drop", []):
            problem(one, where + ": drop ALL capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            problem(one, where + ": readOnlyRootFilesystem")
        if ":" not in c["image"] or c["image"].endswith(":latest"):
            problem(one, where + f": image {c['image']} isn't pinned")
        if "memory" not in (c.get("resources") or {}).get("limits", {}):
            problem(one, where + ": no memory limit")
        if not {"cpu", "memory"} <= set((c.get("resources") or {}).get("requests", {})):
            problem(one, where + ": no requests")


# -- scripts ----------------------------------------------------------------------

def check_scripts(one):
    for key, text in (one.get("data") or {}).items():
        if not text.startswith("#!"):
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as f:
            f.write(text)
            f.flush()
            done = subprocess.run(["shellcheck", f.name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            problem(one, f"{key}: {done.stdout}")


def main():
    objects = manifests.load()
    if not objects:
        sys.exit("no objects below k8s/")
    ids = collections.Counter((o["apiVersion"].rpartition("/")[0], o["kind"], o["metadata"].get("namespace"),
                               o["metadata"]["name"]) for o in objects)
    for name, count in ids.items():
        if count > 1:
            PROBLEMS.append(f"{count} objects {name}")
    check_schemas(objects)
    for one in objects:
        if one["kind"] in ("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob"):
            check_pod_security(one)
        if one["kind"] == "ConfigMap":
            check_scripts(one)
    for text in PROBLEMS:
        print(text)
    print(f"{len(objects)} objects, {len(PROBLEMS)} problems")
    return 1 if PROBLEMS else 0


if __name__ == "__main__":
    sys.exit(main())
