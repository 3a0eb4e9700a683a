# SPDX-License-Identifier: PostgreSQL
"""The SQL of the sample application's requests, as pgbench scripts with weights.

It stands once, in the ConfigMap of k8s/testing/k6-load-testing.yaml: the load test on Kubernetes plays it too, and
test/k8s compares every statement with the backend's own table.
"""
import os
import re
from dataclasses import dataclass

import yaml

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..")
MANIFEST = os.path.join(TOP, "k8s", "testing", "k6-load-testing.yaml")
# The schema and the seed that the mix is for, as `finai-backend migrate` applies them.
SQL_DIR = os.path.join(TOP, "k8s", "apps", "backend", "sql")


@dataclass(frozen=True)
class Script:
    name: str
    weight: int
    text: str

    def statements(self):
        """Its SQL, without pgbench's own commands and comments."""
        lines = [line for line in self.text.splitlines() if not line.startswith(("--", "\\"))]
        return [s.strip() for s in re.split(r";|\\aset", "\n".join(lines)) if s.strip()]

    def without_hints(self):
        return re.sub(r"/\* pgweir:.*?\*/ ", "", self.text)


def load():
    with open(MANIFEST, encoding="utf-8") as f:
        data = next(o["data"] for o in yaml.safe_load_all(f)
                    if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "load-test")
    return [Script(name[:-4], int(re.search(r"^-- weight: (\d+)$", text, re.M)[1]), text)
            for name, text in sorted(data.items()) if name.endswith(".sql")]


def schema():
    """What makes the tables: texts in their order."""
    texts = ["CREATE SCHEMA finai"]
    for name in sorted(os.listdir(SQL_DIR)):
        with open(os.path.join(SQL_DIR, name), encoding="utf-8") as f:
            texts.append(f.read())
    return texts
