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


def general(state, options):
    """The [pgweir] section's lines."""
    lines = [f"{key} = {value}" for key, value in options.items()]
    if not state["plain"]:
        lines.append(f"cache_redis = 127.0.0.1:{state['base_port'] + servers.REDIS}")
    return lines


def write(state, path, port, http_port, cache):
    """Write the ini and, beside it, the user list; returns the ini's path."""
    users = os.path.splitext(path)[0] + ".users"
    with open(users, "w") as f:
        for role, password in servers.USERS.items():
            if role != "replicator":
                f.write(f'"{role}" "{password}"\n')
    os.chmod(users, 0o600)
    options = {"listen_addr": "127.0.0.1", "listen_port": port, "auth_type": "scram-sha-256",
               "auth_file": users, "admin_users": "postgres", "stats_users": "pgweir",
               "unix_socket_dir": "", "max_client_conn": 500}
    if http_port:
        options["http_listen"] = f"127.0.0.1:{http_port}"
    lines = ["[pgweir]"] + general(state, options)
    lines += ["", "[clusters]", cluster_line(state), "", "[databases]",
              f"app = cluster=main dbname=app cache={'on' if cache else 'off'}", ""]
    with open(path, "w") as f:
        f.write("\n".join(lines))
    return path
