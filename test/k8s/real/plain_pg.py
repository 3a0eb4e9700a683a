# SPDX-License-Identifier: PostgreSQL
"""One plain PostgreSQL and pgweir processes in front of it, outside of pods, for tests of what is beside them."""
import os
import pwd
import subprocess
import urllib.request

import psycopg

from lib import until

BIN = "/usr/lib/postgresql/15/bin"
PASSWORD = "secret"


def demote():
    """Become the user postgres: the server refuses root."""
    user = pwd.getpwnam("postgres")
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


class Plain:
    """A server on 127.0.0.1:5432 with database finai and role app."""

    def __init__(self, cluster):
        self.folder = os.path.join(cluster.scratch, "plain")
        os.makedirs(self.folder)
        user = pwd.getpwnam("postgres")
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        data = os.path.join(self.folder, "data")
        subprocess.run([f"{BIN}/initdb", "-D", data, "-A", "trust", "--no-sync", "-U", "postgres"], check=True,
                       stdout=subprocess.DEVNULL, preexec_fn=demote, cwd="/")
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.proc = subprocess.Popen(
                [f"{BIN}/postgres", "-D", data, "-k", "", "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"],
                stdout=log, stderr=log, preexec_fn=demote, cwd="/")
        self.weirs = []
        until("PostgreSQL", 30, self.is_up, 0.2)
        with self.connect(5432, "postgres", "postgres") as conn:
            conn.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
            conn.execute("GRANT pg_monitor TO app")
            conn.execute("CREATE DATABASE finai OWNER app")

    def is_up(self):
        try:
            self.connect(5432, "postgres", "postgres").close()
            return True
        except psycopg.OperationalError:
            return False

    @staticmethod
    def connect(port, user="app", dbname="finai"):
        return psycopg.connect(host="127.0.0.1", port=port, user=user, dbname=dbname, password=PASSWORD,
                               autocommit=True, connect_timeout=5)

    def weir(self, binary, port, options):
        """A pgweir on this port, its HTTP on the port after."""
        base = os.path.join(self.folder, f"pgweir-{port}")
        with open(base + ".users", "w", encoding="utf-8") as f:
            f.write(f'"app" "{PASSWORD}"\n')
        lines = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "",
                 "http_listen": f"127.0.0.1:{port + 1}", "auth_type": "scram-sha-256", "auth_file": base + ".users",
                 "probe_user": "app", "probe_password": PASSWORD, "cache": "on", **options}
        with open(base + ".ini", "w", encoding="utf-8") as f:
            f.write("[pgweir]\n" + "".join(f"{k} = {v}\n" for k, v in lines.items()))
            f.write("[databases]\nfinai = host=127.0.0.1 port=5432\n")
        os.chmod(base + ".users", 0o600)
        with open(base + ".log", "wb") as log:
            self.weirs.append(subprocess.Popen([binary, base + ".ini"], stdout=log, stderr=log))

        def answers():
            try:
                self.connect(port).close()
                return True
            except psycopg.OperationalError:
                return False
        until(f"pgweir on {port}", 30, answers, 0.2)

    def log(self, port):
        with open(os.path.join(self.folder, f"pgweir-{port}.log"), encoding="utf-8") as f:
            return f.read()

    def stop(self):
        for proc in self.weirs + [self.proc]:
            proc.terminate()
        for proc in self.weirs + [self.proc]:
            try:
                proc.wait(10)
            except subprocess.TimeoutExpired:
                proc.kill()


def metric(port, name):
    """The sum of a metric's series on a pgweir's port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.split("{")[0].split(" ")[0] == name)
