# SPDX-License-Identifier: PostgreSQL
"""A pgweir.ini and its user list for a tier."""
import os

import servers


def cluster_line(state):
    """The [clusters] entry: Patroni's members, or the one plain server."""
    who = f"user=pgweir password={servers.USERS['pgweir']}"
    if state["plain"]:
        return f"main = hosts=127.0.0.1:{servers.pg_port(state, 'node1')} {who}"
    urls = ",".join(f"http://127.0.0.1:{servers.rest_port(state, n)}"
                    for n in servers.node_names(state))
    return f"main = patroni={urls} {who}"


def defaults(state, port, http_port, users):
    """Global options of a pgweir before the tier."""
    options = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "",
               "http_listen": f"127.0.0.1:{http_port}", "auth_type": "scram-sha-256",
               "auth_file": users, "admin_users": "postgres", "stats_users": "pgweir",
               "max_client_conn": 500, "server_tls_sslmode": "disable",
               "drain_timeout": 5}
    if not state["plain"]:
        options["cache_redis"] = f"redis://127.0.0.1:{state['base_port'] + servers.REDIS}"
        options["cache_redis_prefix"] = f"pgweir-{state['base_port']}"
    return options


def text(state, options):
    """The ini's text. Besides global options, `options` may hold `db.<name>` for
    the database `app`, and `databases`, `users`, ... with lines of a section."""
    sections = {k: v for k, v in options.items() if isinstance(v, list)}
    db = {k[3:]: v for k, v in options.items() if k.startswith("db.")}
    lines = ["[pgweir]"]
    lines += [f"{k} = {v}" for k, v in options.items()
              if k not in sections and not k.startswith("db.")]
    entry = " ".join(f"{k}={v}" for k, v in {"cluster": "main", "dbname": "app", **db}.items())
    lines += ["", "[clusters]", cluster_line(state)] + sections.pop("clusters", [])
    lines += ["", "[databases]", f"app = {entry}"] + sections.pop("databases", [])
    for name, more in sections.items():
        lines += ["", f"[{name}]"] + more
    return "\n".join(lines) + "\n"


def write(state, path, port, http_port, options):
    """Write the ini and, beside it, the user list; returns the ini's path."""
    users = os.path.splitext(path)[0] + ".users"
    with open(users, "w") as f:
        for role, password in servers.USERS.items():
            f.write(f'"{role}" "{password}"\n')
    os.chmod(users, 0o600)
    with open(path, "w") as f:
        f.write(text(state, {**defaults(state, port, http_port, users), **options}))
    return path
