# SPDX-License-Identifier: PostgreSQL
"""k8s/secrets/generate: every placeholder filled, nothing that is there changed, nothing applied by the way.

What a value must be is worked out here anew, from the templates and by RFC 5803; that PostgreSQL, pgweir and Redis take
the values is shown by the tests of their pods, which all run with this program's output.
"""
import base64
import glob
import hashlib
import hmac
import os
import re
import subprocess

import manifests
from lib import Skip, check, equal, quick

GENERATE = os.path.join(manifests.K8S, "secrets", "generate")
SIDECAR = os.path.join(manifests.TOP, "overlays", "sidecar", "secrets", "sidecar-secrets.yaml")
APP = "data/postgres-credentials/app-password"


def run(*options, path=None):
    env = {**os.environ, **({"PATH": path + ":" + os.environ["PATH"]} if path else {})}
    return subprocess.run([GENERATE, *options], capture_output=True, text=True, check=False, env=env)


def values(text):
    """{ns/name/key: value}"""
    return {f"{o['metadata']['namespace']}/{o['metadata']['name']}/{k}": base64.b64decode(v).decode()
            for o in manifests.yaml.safe_load_all(text) for k, v in o["data"].items()}


def made(*options):
    done = run(*options)
    equal(done.returncode, 0, done.stderr)
    return done.stdout


def templates():
    found = {}
    for path in (os.path.join(manifests.K8S, "secrets", "database-secrets.yaml"), SIDECAR):
        with open(path, encoding="utf-8") as f:
            for one in manifests.yaml.safe_load_all(f):
                meta = one["metadata"]
                found.update({f"{meta['namespace']}/{meta['name']}/{k}": v for k, v in one["stringData"].items()})
    return found


def is_verifier(verifier, password):
    """Whether the server's half of a SCRAM exchange with this password would succeed (RFC 5802, section 3)."""
    rounds, salt, stored, server = re.fullmatch(r"SCRAM-SHA-256\$(\d+):(.+)\$(.+):(.+)", verifier).groups()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client = hmac.new(salted, b"Client Key", "sha256").digest()
    return base64.b64encode(hashlib.sha256(client).digest()).decode() == stored and \
        base64.b64encode(hmac.new(salted, b"Server Key", "sha256").digest()).decode() == server


@quick
def test_every_placeholder_is_filled():
    got = values(made("--new", SIDECAR))
    equal(sorted(got), sorted(templates()))
    check(not [p for p, v in got.items() if "CHANGE_ME" in v], "a placeholder is left")
    for place, text in templates().items():
        pattern, names = "", []
        for part in re.split(r"(CHANGE_ME[A-Za-z0-9:/.-]*[A-Za-z0-9]|CHANGE_ME)", text):
            names += [part] if part.startswith("CHANGE_ME") else []
            pattern += "([A-Za-z0-9+/=$:-]+?)" if part.startswith("CHANGE_ME") else re.escape(part)
        found = re.fullmatch(pattern, got[place])
        check(found, f"{place} doesn't look like its template")
        for name, value in zip(names, found.groups()):
            check_value(got, place, name, value)


def check_value(got, place, name, value):
    _, *words = name.split(":")
    if not words:
        check(len(value) == 32 and value.isalnum(), f"{place}: a weak password")
    elif words == ["keyfile"]:
        equal(len(base64.b64decode(value)), 756, place)
    elif words[0] == "scram":
        check(is_verifier(value, got[words[1]]), f"{place}: not the verifier of {words[1]}")
    elif words[0] == "sha256":
        equal(value, hashlib.sha256(got[words[1]].encode()).hexdigest(), place)
    else:
        equal(value, got[words[0]], place)


@quick
def test_passwords_differ_and_one_verifier_serves_both_sides():
    first, second = values(made("--new")), values(made("--new"))
    own = [p for p, v in templates().items() if v == "CHANGE_ME" and p in first]
    equal(len({first[p] for p in own} | {second[p] for p in own}), 2 * len(own))
    check(f'"finai" "{first["data/postgres-credentials/app-verifier"]}"' in first["pgweir/pgweir-auth/userlist.txt"],
          "PostgreSQL's and pgweir's verifier of the application differ")


@quick
def test_a_second_run_changes_nothing_and_a_rotation_one_thing(cluster):
    path = os.path.join(cluster.scratch, "first.yaml")
    first = made("--new", SIDECAR)
    with open(path, "w", encoding="utf-8") as f:
        f.write(first)
    equal(made("--from", path, SIDECAR), first)
    before, after = values(first), values(made("--from", path, "--rotate", APP, SIDECAR))
    changed = sorted(p for p in before if before[p] != after[p])
    equal(changed, sorted([APP] + [p for p, v in templates().items() if APP in str(v)]))
    check(is_verifier(after["data/postgres-credentials/app-verifier"], after[APP]), "the new verifier")
    for bad in (["--rotate", "data/postgres-credentials/none"], ["--rotate", "apps/backend-database/DATABASE_URL"]):
        done = run("--from", path, *bad)
        check(done.returncode != 0 and not done.stdout and "to rotate" in done.stderr, f"{bad}: {done}")


@quick
def test_what_the_cluster_has_is_kept(cluster):
    """kubectl's answers come from a stand-in: one Secret is there, one has an operator's own value, one is a placeholder."""
    folder = os.path.join(cluster.scratch, "bin")
    os.makedirs(folder)
    for name, data in {"grafana-admin": {"admin-user": "admin", "admin-password": "kept-as-it-is"},
                       "alertmanager-receivers": {"webhook-url": "https://chat.invalid/x", "webhook-token": "own"},
                       "mongodb-credentials": {"keyfile": "CHANGE_ME:keyfile", "root-password": "root-kept"}}.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            ns = "mongodb" if "mongo" in name else "monitoring"
            f.write(manifests.yaml.safe_dump({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": ns},
                "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}}))
    stand_in = os.path.join(folder, "kubectl")
    with open(stand_in, "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\n[ "$1 $2" = "get secret" ] || exit 1\ncat "$(dirname "$0")/$3" 2>/dev/null\nexit 0\n')
    os.chmod(stand_in, 0o755)
    done = run(path=folder)
    equal(done.returncode, 0, done.stderr)
    got = values(done.stdout)
    equal(got["monitoring/grafana-admin/admin-password"], "kept-as-it-is")
    equal(got["monitoring/alertmanager-receivers/webhook-url"], "https://chat.invalid/x")
    equal(got["monitoring/alertmanager-receivers/webhook-token"], "own")
    equal(got["mongodb/mongodb-credentials/root-password"], "root-kept")
    check(len(got["mongodb/mongodb-credentials/keyfile"]) > 900, "a placeholder was taken for a key")
    with open(stand_in, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\necho no connection >&2\nexit 1\n")
    done = run(path=folder)
    check(done.returncode != 0 and not done.stdout and "no connection" in done.stderr, str(done))


@quick
def test_nothing_that_is_applied_holds_a_placeholder():
    folders = ["k8s"] + sorted(os.path.relpath(p, manifests.TOP) for p in
                               glob.glob(os.path.join(manifests.TOP, "overlays", "*")))
    for folder in folders:
        try:
            done = subprocess.run(["kubectl", "kustomize", os.path.join(manifests.TOP, folder)],
                                  capture_output=True, text=True, check=False)
        except FileNotFoundError as e:
            raise Skip("no kubectl here") from e
        equal(done.returncode, 0, done.stderr)
        check("CHANGE_ME" not in done.stdout, f"{folder} would write placeholders over passwords")
        check("kind: Namespace" in done.stdout, f"{folder} renders nothing")
