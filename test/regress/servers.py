# SPDX-License-Identifier: PostgreSQL
"""What a run stands on: a PostgreSQL of its own, perhaps a replica, and pgweir before it.

Clients come by Unix sockets in the run's scratch folder, pgweir goes to its
servers by TCP on free ports; servers run as `postgres` when the run is root's. The data folder is made
once and copied for every suite, so that no suite sees what another left.
"""
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time

from source import BINDIR

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tier"))
import procs    # noqa: E402
from ports import free_port    # noqa: E402

SETTINGS = f"""
listen_addresses = '127.0.0.1'
unix_socket_directories = '%s'
max_connections = 60
max_prepared_transactions = 4
wal_level = replica
fsync = off
autovacuum_naptime = 10s
statement_timeout = 300s
log_line_prefix = '%%m [%%p] %%a '
"""
INI = """
[pgweir]
listen_addr = 127.0.0.1
unix_socket_dir = {run}
listen_port = {port}
auth_type = trust
auth_file = {run}/users
admin_users = postgres
probe_user = postgres
max_client_conn = 500
pool_mode = transaction
default_pool_size = {pool}
true_backend_pid = on
server_round_robin = 1
log_connections = 0
log_disconnections = 0
{global_options}
[clusters]
main = hosts={hosts} user=postgres
[databases]
* = cluster=main
"""


class Failed(Exception):
    """A server didn't do what it must; the text says what."""


class Place:
    """The scratch folder, and the user that servers run as."""

    def __init__(self, folder):
        self.dir = folder
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.name = "postgres"
        self.primary_port, self.replica_port, self.weir_port = (free_port() for _ in range(3))
        self.give(folder)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def give(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def folder(self, *parts):
        path = self.path(*parts)
        os.makedirs(path, exist_ok=True)
        self.give(path)
        return path

    def as_user(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def env(self, extra=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return dict(env, LC_ALL="C.UTF-8", HOME=self.dir, PATH=f"{BINDIR}:{env['PATH']}",
                    **(extra or {}))

    def command(self, argv, seconds=120, **env):
        done = subprocess.run(argv, cwd=self.dir, env=self.env(env), text=True, timeout=seconds,
                              capture_output=True, stdin=subprocess.DEVNULL, **self.as_user())
        if done.returncode:
            raise Failed(f"{' '.join(argv)}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout

    def sql(self, port, dbname, *texts):
        argv = ["psql", "-XqAt", "-h", self.dir, "-p", str(port), "-U", self.name,
                "-v", "ON_ERROR_STOP=1", dbname]
        for text in texts:
            argv += ["-c", text]
        return self.command(argv)


def run_bounded(place, argv, log, seconds, folder=None, **env):
    """The program's status and output, which also goes to a file; all its children end with it."""
    with open(log, "w") as out:
        proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                cwd=folder or place.dir, env=place.env(env),
                                start_new_session=True, **place.as_user())
        try:
            proc.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if proc.poll() is None:
                os.killpg(proc.pid, signal.SIGKILL)
                proc.wait(10)
    with open(log, errors="replace") as f:
        return proc.returncode, f.read()


class Postgres:
    """A primary, with a replica when asked for, on a copy of the template."""

    def __init__(self, place, label, with_replica=False):
        self.place, self.with_replica = place, with_replica
        self.data = place.path(f"data-{label}")
        self.replica = place.path(f"replica-{label}")

    def start(self):
        template = self.place.path("template")
        if not os.path.isdir(template):
            self.place.command(["initdb", "-D", template, "-U", "postgres", "-A", "trust",
                                "--no-locale", "--encoding=UTF8", "--no-sync"])
            with open(os.path.join(template, "postgresql.conf"), "a") as f:
                f.write(SETTINGS % self.place.dir)
        self.place.command(["cp", "-a", template, self.data])
        self.control(self.data, self.place.primary_port)
        if self.with_replica:
            self.place.command(["pg_basebackup", "-D", self.replica, "-h", self.place.dir, "-p",
                                str(self.place.primary_port), "-U", "postgres", "-R", "-c", "fast"])
            self.control(self.replica, self.place.replica_port)
        return self

    def control(self, data, port):
        self.place.command(["pg_ctl", "-D", data, "-l", f"{data}.log", "-w", "-t", "60", "-o",
                            f"-p {port}", "start"])

    def stop(self):
        for data in (self.replica, self.data):
            if os.path.exists(os.path.join(data, "postmaster.pid")):
                self.place.command(["pg_ctl", "-D", data, "-m", "immediate", "stop"])
            shutil.rmtree(data, ignore_errors=True)


class Weir:
    """A pgweir before the PostgreSQL of the run."""

    def __init__(self, place, binary, with_replica, pool, options):
        self.place, self.record = place, None
        self.log = place.path("pgweir.log")
        self.binary = place.path("pgweir")
        shutil.copy(binary, self.binary)
        os.chmod(self.binary, 0o755)
        ports = [place.primary_port] + ([place.replica_port] if with_replica else [])
        with open(place.path("users"), "w") as f:
            f.write('"postgres" ""\n')
        with open(place.path("pgweir.ini"), "w") as f:
            f.write(INI.format(run=place.dir, port=place.weir_port, pool=pool,
                               hosts=",".join(f"127.0.0.1:{p}" for p in ports),
                               global_options="\n".join(options)))

    def start(self):
        self.record = procs.spawn([self.binary, self.place.path("pgweir.ini")], self.log,
                                  self.place.user, cwd=self.place.dir)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.place.sql(self.place.weir_port, "postgres", "SELECT 1")
                return self
            except Failed as e:
                if time.monotonic() > deadline or not procs.is_alive(self.record):
                    raise Failed(f"pgweir doesn't serve: {e}\n{self.log_tail()}") from None
                time.sleep(0.1)

    def log_tail(self, lines=15):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def problem(self):
        """What is wrong with it now, or None."""
        if not procs.is_alive(self.record):
            return f"it ended:\n{self.log_tail()}"
        return None

    def stop(self):
        """None, or what was wrong with its end."""
        problem = self.problem()
        procs.send(self.record, signal.SIGQUIT)
        if procs.stop_all([self.record], 20):
            problem = problem or f"it doesn't end:\n{self.log_tail()}"
        return problem
