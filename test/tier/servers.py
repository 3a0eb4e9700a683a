# SPDX-License-Identifier: PostgreSQL
"""What the servers of a tier are told: ports, configuration, users.

Everything is a pure function of the tier's state (a dict, kept in tier.json)
except the few functions that write files; nothing here starts a process.
"""
import json
import os

PG_BIN = "/usr/lib/postgresql/15/bin"

USERS = {
    "postgres": "postgres_password",
    "replicator": "replicator_password",
    "app": "app_password",
    "pgweir": "pgweir_password",
}

# Offsets from the base port. A tier takes the 100 ports from its base port on;
# those from PGWEIR on are left to whoever runs pgweir before it.
ETCD_CLIENT, ETCD_PEER, PATRONI, POSTGRES, REDIS = 0, 1, 10, 20, 30
REDIS_CLUSTER, REDIS_CLUSTER_BUS, PGWEIR, PORTS = 40, 50, 60, 100


def node_names(state):
    return [f"node{i + 1}" for i in range(state["nodes"])]


def node_dir(state, name):
    return os.path.join(state["dir"], name)


def data_dir(state, name):
    return os.path.join(state["dir"], name, "data")


def rest_port(state, name):
    return state["base_port"] + PATRONI + int(name[4:]) - 1


def pg_port(state, name):
    return state["base_port"] + POSTGRES + int(name[4:]) - 1


def ports_needed(state):
    """Every port the tier's servers will listen on, with its owner."""
    base = state["base_port"]
    if state["plain"]:
        return {pg_port(state, "node1"): "PostgreSQL"}
    ports = {base + ETCD_CLIENT: "etcd", base + ETCD_PEER: "etcd peer", base + REDIS: "Redis"}
    for name in node_names(state):
        ports[rest_port(state, name)] = f"Patroni {name}"
        ports[pg_port(state, name)] = f"PostgreSQL {name}"
    if state["redis_cluster"]:
        for i in range(6):
            ports[base + REDIS_CLUSTER + i] = f"Redis Cluster {i + 1}"
            ports[base + REDIS_CLUSTER_BUS + i] = f"Redis Cluster bus {i + 1}"
    return ports


def pg_parameters(state):
    """PostgreSQL settings of every node: small, fast, logical decoding on."""
    params = {
        "max_connections": 300,
        "shared_buffers": "64MB",
        "wal_level": "logical",
        "wal_log_hints": "on",
        "hot_standby": "on",
        "hot_standby_feedback": "on",
        "max_wal_senders": 12,
        "max_replication_slots": 12,
        "wal_keep_size": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "30min",
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "500ms",
        "password_encryption": "scram-sha-256",
        "unix_socket_directories": "",
        "listen_addresses": "127.0.0.1",
        "max_prepared_transactions": 10,
        "log_min_messages": "warning",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "logging_collector": "off",
        "jit": "off",
        "track_functions": "all",
    }
    if not state["fsync"]:
        params.update(fsync="off", full_page_writes="off", synchronous_commit="off")
    return params


HBA = [
    "host replication replicator 127.0.0.1/32 scram-sha-256",
    "host all all 127.0.0.1/32 scram-sha-256",
]


def patroni_config(state, name):
    """Patroni's configuration as a dict; JSON is YAML, so json.dump writes it."""
    base = state["base_port"]
    params = pg_parameters(state)
    params.pop("listen_addresses")
    return {
        "scope": f"pgweir-{base}",
        "name": name,
        "restapi": {"listen": f"127.0.0.1:{rest_port(state, name)}",
                    "connect_address": f"127.0.0.1:{rest_port(state, name)}"},
        "etcd3": {"host": f"127.0.0.1:{base + ETCD_CLIENT}"},
        "log": {"level": "INFO"},
        "bootstrap": {
            "dcs": {
                "ttl": state["ttl"], "loop_wait": 2, "retry_timeout": 3,
                "maximum_lag_on_failover": 1048576 * 16,
                "synchronous_mode": state["sync"],
                "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": params},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums", "no-sync"],
        },
        "postgresql": {
            "listen": f"127.0.0.1:{pg_port(state, name)}",
            "connect_address": f"127.0.0.1:{pg_port(state, name)}",
            "data_dir": data_dir(state, name),
            "bin_dir": PG_BIN,
            "pgpass": os.path.join(node_dir(state, name), "pgpass"),
            "use_unix_socket": False,
            "pg_hba": HBA,
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
            "basebackup": [{"checkpoint": "fast"}, "no-sync"],
            "create_replica_methods": ["basebackup"],
            "authentication": {
                "superuser": {"username": "postgres", "password": USERS["postgres"]},
                "replication": {"username": "replicator", "password": USERS["replicator"]},
                "rewind": {"username": "postgres", "password": USERS["postgres"]},
            },
        },
        "tags": {},
    }


def write_patroni_config(state, name):
    path = os.path.join(state["dir"], f"{name}.yml")
    with open(path, "w") as f:
        json.dump(patroni_config(state, name), f, indent=2)
    return path


def etcd_argv(state):
    base = state["base_port"]
    client, peer = (f"http://127.0.0.1:{base + p}" for p in (ETCD_CLIENT, ETCD_PEER))
    argv = ["etcd", "--name", "e1", "--data-dir", os.path.join(state["dir"], "etcd"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"e1={peer}", "--log-level", "warn",
            "--heartbeat-interval", "200", "--election-timeout", "2000"]
    return argv


def redis_argv(state, port, folder):
    return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", folder,
            "--save", "", "--appendonly", "no", "--daemonize", "no",
            "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]


def redis_cluster_argv(state, index):
    base = state["base_port"]
    folder = os.path.join(state["dir"], f"redis-cluster-{index + 1}")
    return redis_argv(state, base + REDIS_CLUSTER + index, folder) + [
        "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
        "--cluster-port", str(base + REDIS_CLUSTER_BUS + index),
        "--cluster-node-timeout", "2000"]


def plain_postgres_argv(state):
    argv = [os.path.join(PG_BIN, "postgres"), "-D", data_dir(state, "node1"),
            "-p", str(pg_port(state, "node1"))]
    params = dict(pg_parameters(state), ssl="on" if state["ssl"] else "off")
    for key, value in params.items():
        argv += ["-c", f"{key}={value}"]
    return argv


def role_sql(state):
    """SQL for the users and the database, run once on the new primary."""
    make = []
    if state["plain"]:
        make.append(f"CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{USERS['replicator']}'")
    make += [
        f"CREATE ROLE app LOGIN PASSWORD '{USERS['app']}'",
        f"CREATE ROLE pgweir LOGIN PASSWORD '{USERS['pgweir']}'",
        "GRANT pg_monitor TO pgweir",
        "CREATE DATABASE app OWNER app",
    ]
    return make


def shell_env(state, leader):
    """What `tier env` prints: name to value, the leader's name may be None."""
    base = state["base_port"]
    names = node_names(state)
    env = {
        "TIER_DIR": state["dir"],
        "TIER_BASE_PORT": base,
        "TIER_KIND": "plain" if state["plain"] else "patroni",
        "TIER_NODES": " ".join(names),
        "TIER_NODE_PORTS": " ".join(str(pg_port(state, n)) for n in names),
        "TIER_PRIMARY": leader or "",
        "TIER_PRIMARY_PORT": pg_port(state, leader) if leader else "",
        "TIER_REPLICA_PORTS": " ".join(str(pg_port(state, n)) for n in names if n != leader),
        "TIER_PGWEIR_PORT": base + PGWEIR,
        "TIER_DATABASE": "app",
        "TIER_PRIMARY_URL": "",
    }
    for role, password in USERS.items():
        key = "SUPERUSER" if role == "postgres" else role.upper()
        env[f"TIER_{key}"] = role
        env[f"TIER_{key}_PASSWORD"] = password
    if leader:
        env["TIER_PRIMARY_URL"] = (f"postgresql://app:{USERS['app']}@127.0.0.1:"
                                   f"{pg_port(state, leader)}/app")
    if not state["plain"]:
        env["TIER_PATRONI_URLS"] = ",".join(
            f"http://127.0.0.1:{rest_port(state, n)}" for n in names)
        env["TIER_REDIS_PORT"] = base + REDIS
        env["TIER_REDIS_CLUSTER_PORTS"] = (
            " ".join(str(base + REDIS_CLUSTER + i) for i in range(6))
            if state["redis_cluster"] else "")
    return env
