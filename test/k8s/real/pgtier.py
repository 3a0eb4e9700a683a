# SPDX-License-Identifier: PostgreSQL
"""The tier of k8s/postgres as the tests start it: etcd, members, ways to ask.

Changes for a small machine are here, in sight: less memory for PostgreSQL (by
the ConfigMap's own keys) and the number of pods. Everything else is the text.
"""
import json

import psycopg

import apiserver
from lib import until

NODES = "postgres-nodes.data.svc.cluster.local"


def start(cluster, members=4, etcd=3):
    """Start etcd and the members and wait until all are ready; the members' pods."""
    cluster.start_all("data", "etcd", etcd)
    for n in range(etcd):
        cluster.pods[("data", f"etcd-{n}")].wait_ready(60)
    cluster.pod("data", "pgbackrest", 0).start().wait_ready(30)
    pods = cluster.start_all("data", "postgres", members)
    for pod in pods:
        pod.wait_ready(150)
    return pods


def rest(pod, path, *options):
    """(status, body) of a member's REST API, asked inside its pod as its own scripts do."""
    done = pod.exec("postgres", ["curl", "-s", "--max-time", "10", "--cacert", "/etc/postgres-tls/ca.crt",
                                 "--connect-to", "::127.0.0.1:", "-w", "\n%{http_code}", *options,
                                 f"https://{pod.name}.{NODES}:8008{path}"])
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


def leaders(pods):
    return [p for p in pods if p.phase == "running" and p.container("postgres").is_running()
            and rest(p, "/leader")[0] == 200]


def leader(pods, seconds=60, but=None):
    """The one leader, once there is one (another than `but`)."""
    def one():
        found = leaders(pods)
        return found[0] if len(found) == 1 and found[0] is not but else None
    return until("one leader", seconds, one, 0.5)


def members(pod):
    return {m["name"]: m for m in json.loads(rest(pod, "/cluster")[1])["members"]}


def password(cluster, key):
    return cluster.secrets[("data", "postgres-credentials")][key].decode()


def connect(cluster, host, user="postgres", key="superuser-password", dbname="postgres", **options):
    """A session with a member or a Service, over TLS and verified."""
    return psycopg.connect(host=f"{host}.data.svc.cluster.local", user=user, dbname=dbname,
                           password=password(cluster, key), sslmode="verify-full", autocommit=True,
                           sslrootcert=cluster.authority["crt"], connect_timeout=5, **options)


def show(cluster, host, name):
    with connect(cluster, host) as conn:
        return conn.execute(f"show {name}").fetchone()[0]


def foreign_authority(cluster):
    """Another CA than the cluster's; {"crt", "key", "ca"} as paths."""
    return apiserver.make_certificate(cluster.tls_folder, "another-ca", [])


def foreign_secret(cluster, name, changes):
    """A Secret in data like postgres-tls with some keys from files: {"ca.crt": path}."""
    secret = dict(cluster.secrets[("data", "postgres-tls")])
    for key, path in changes.items():
        with open(path, "rb") as f:
            secret[key] = f.read()
    cluster.secrets[("data", name)] = secret
