# SPDX-License-Identifier: PostgreSQL
"""The strict schema check refuses faults: three in every object that ships.

An unknown field, a value of another type and, where the schema names one, a
missing field, each put at a place that the object's name chooses, so that all
depths and kinds come up. Without the API's definitions there is nothing to test.
"""
import copy
import zlib

import manifests
import text
from lib import Skip, check, quick

# Free-form by their schema: whatever stands there is allowed.
OPEN = {"data", "stringData", "labels", "annotations", "matchLabels", "selector", "nodeSelector"}


def mappings(value, path=()):
    """Paths of all mappings whose fields a schema lists."""
    if isinstance(value, dict):
        yield path
        for key, one in value.items():
            if key not in OPEN:
                yield from mappings(one, path + (key,))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from mappings(one, path + (number,))


def at(value, path):
    for step in path:
        value = value[step]
    return value


class Faults:
    """Finds problems of one object by its schema, and schemas of its parts."""

    def __init__(self):
        data = text.definitions()
        if data is None:
            raise Skip("no API definitions: set K8S_SCHEMAS")
        data = data.get("definitions", data)
        self.validator, self.index = text.Validator(data), text.schema_index(data)

    def name(self, one):
        return self.index.get((one["apiVersion"], one["kind"]))

    def problems(self, one):
        said = []
        self.validator.walk(one, {"$ref": "/" + self.name(one)}, "", said.append)
        return said

    def schema_at(self, one, path):
        schema = self.validator.resolve({"$ref": "/" + self.name(one)})
        for step in path:
            schema = schema.get("items", {}) if isinstance(step, int) else \
                (schema.get("properties") or {}).get(step) or schema.get("additionalProperties") or {}
            if not isinstance(schema, dict):
                return {}
            schema = self.validator.resolve(schema)
        return schema

    def is_strict(self, schema):
        return bool(schema.get("properties")) and not schema.get("additionalProperties") \
            and not schema.get("x-kubernetes-preserve-unknown-fields")


def mutants(faults, one):
    """(what, the object with one fault)"""
    seed = zlib.crc32(repr((one["kind"], one["metadata"])).encode())
    places = [p for p in mappings(one) if faults.is_strict(faults.schema_at(one, p))]
    place = places[seed % len(places)]
    bad = copy.deepcopy(one)
    at(bad, place)["noSuchField"] = 1
    yield f"unknown field at {place}", bad
    bad = copy.deepcopy(one)
    holder = [p for p in places if p][seed % max(len([p for p in places if p]), 1)]
    at(bad, holder[:-1])[holder[-1]] = "text"
    yield f"a text in place of the mapping at {holder}", bad
    wanted = [(p, n) for p in places for n in faults.schema_at(one, p).get("required", []) if n in at(one, p)]
    if wanted:
        place, name = wanted[seed % len(wanted)]
        bad = copy.deepcopy(one)
        del at(bad, place)[name]
        yield f"no {name} at {place}", bad


@quick
def test_every_object_with_a_fault_is_refused():
    faults = Faults()
    objects = [o for o in manifests.load() if faults.name(o)]
    accepted, count = [], 0
    for one in objects:
        check(faults.problems(one) == [], f"{one['kind']} {one['metadata']['name']}: {faults.problems(one)}")
        for what, bad in mutants(faults, one):
            count += 1
            if not faults.problems(bad):
                accepted.append(f"{one['kind']} {one['metadata']['name']}: {what}")
    check(count >= 60, f"only {count} faults")
    check(not accepted, f"{len(accepted)} of {count} accepted: {accepted[:10]}")
