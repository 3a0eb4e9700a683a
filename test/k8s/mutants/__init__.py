# SPDX-License-Identifier: PostgreSQL
"""One-fault mutants of the shipped manifests, each with the check that has to refuse it.

A mutant changes a copy of the parsed tree in place. Its docstring is its name. One that can no
longer be made (the object it changes is gone) fails too: it would prove nothing.
"""
MUTANTS = []


def mutant(check):
    """Registers a mutant for a check."""
    def add(function):
        MUTANTS.append((check, function))
        return function
    return add


def rule(check, name, where, change):
    """Registers a mutant that is one change of one object."""
    def mutate(tree):
        change(tree.need(*where).body)
    mutate.__doc__ = name
    MUTANTS.append((check, mutate))


def swap(check, name, where, key, old, new):
    """A mutant: one text of a ConfigMap or a Secret has another value."""
    def mutate(tree):
        body = tree.need(*where).body
        data = body.get("data") or body["stringData"]
        if old not in data[key]:
            raise LookupError(f"no {old} in {key}")
        data[key] = data[key].replace(old, new)
    mutate.__doc__ = name
    MUTANTS.append((check, mutate))


def edit(check, name, path, old, new):
    """A mutant: a file that is no manifest has another text."""
    def mutate(tree):
        if old not in tree.texts[path]:
            raise LookupError(f"no {old} in {path}")
        tree.texts[path] = tree.texts[path].replace(old, new)
    mutate.__doc__ = name
    MUTANTS.append((check, mutate))


def put(node, key, value):
    node[key] = value


def pod(body):
    return body["spec"]["template"]["spec"]


def first(body):
    return pod(body)["containers"][0]


PGWEIR = ("Deployment", "pgweir", "pgweir")
POSTGRES = ("StatefulSet", "data", "postgres")
REDIS = ("StatefulSet", "cache", "redis-cluster")
MONGOS = ("Deployment", "mongodb", "mongos")
INI = ("ConfigMap", "pgweir", "pgweir-config")

from . import tier  # noqa: E402,F401
from . import access, agreement, choices, load, monitoring, schema, sums  # noqa: E402,F401
