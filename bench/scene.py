# SPDX-License-Identifier: PostgreSQL
"""What is measured: the scenarios, and the servers and poolers of a run. All
processes are children of this one, on loopback, and end with it."""
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial

import identity
try:
    import mix
except ImportError:    # PyYAML isn't there: the application's mix is left out
    mix = None

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "test", "tier"))
from ports import free_base_port, free_port    # noqa: E402
TIER = os.path.join(HERE, "..", "test", "tier", "tier")
TARGETS = ("direct", "relay", "pgbouncer", "pgweir", "cached", "stateful", "two")
POOL, COPY_MB, SCALE, HOT_KEYS = 20, 200, 5, 200
USER, PASSWORD, DATABASE = "app", "app_password", "app"
PROBE, PROBE_PASSWORD = "pgweir", "pgweir_password"
SCRAM = "scram-sha-256"
# What clients of the target `stateful` start with, all the same.
STATE = "-c search_path=public -c statement_timeout=60s -c work_mem=8MB -c TimeZone=Europe/Berlin"


class BenchError(Exception):
    """What the user must hear."""


@dataclass(frozen=True)
class Scenario:
    name: str
    server: str       # "pg", "null", or "scram": the null server behind poolers that ask for a password
    script: str       # "select", "hot", "tpcb", "finai", "login" or "copy"
    mode: str = "simple"
    clients: int = 1
    has_tls: bool = False


def scenarios():
    found = []
    for server in ("pg", "null"):
        for mode in ("simple", "extended", "prepared"):
            for clients in (1, 32):
                found.append(Scenario(f"{server}/select/{mode}/{clients}", server, "select", mode, clients))
        if server == "pg":
            for clients in (1, 32):
                found.append(Scenario(f"pg/tpcb/simple/{clients}", server, "tpcb", "simple", clients))
            for mode in ("simple", "prepared"):
                found.append(Scenario(f"pg/hot/{mode}/32", server, "hot", mode, 32))
            for mode in ("extended", "prepared") if mix else ():
                found.append(Scenario(f"pg/finai/{mode}/32", server, "finai", mode, 32))
        found.append(Scenario(f"{server}/tls/simple/32", server, "select", "simple", 32, has_tls=True))
        found.append(Scenario(f"{server}/copy", server, "copy"))
    for clients in (2, 32):
        found.append(Scenario(f"scram/login/plain/{clients}", "scram", "login", "simple", clients))
        found.append(Scenario(f"scram/login/tls/{clients}", "scram", "login", "simple", clients, has_tls=True))
    return found


SCENARIOS = scenarios()

SCRIPTS = {
    "login": "SELECT 1;\n",
    "select": f"\\set aid random(1, {100000 * SCALE})\n"
              "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n",
    "hot": f"\\set aid random(1, {HOT_KEYS})\n"
           "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n",
    "tpcb": f"\\set aid random(1, {100000 * SCALE})\n\\set bid random(1, {SCALE})\n"
            f"\\set tid random(1, {10 * SCALE})\n\\set delta random(-5000, 5000)\n"
            "BEGIN;\n"
            "UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;\n"
            "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
            "UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;\n"
            "UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;\n"
            "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)"
            " VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);\n"
            "END;\n",
}
COPY_SQL = ("COPY (SELECT repeat('n', 99) FROM generate_series(1, %d)) TO STDOUT" % (COPY_MB * 10000))


@dataclass
class Target:
    name: str
    port: int
    pid: int = 0      # 0: nothing in between, no cost of its own
    options: str = ""  # its clients' PGOPTIONS


def find_program(names):
    for name in names:
        found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found:
            return found
    return None


def tier(folder, *command):
    done = subprocess.run([TIER, *command, "--dir", os.path.join(folder, "tier")], text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode != 0:
        raise BenchError(f"test/tier/tier {command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def start_server(folder):
    """A PostgreSQL of this folder's own; its port."""
    for _ in range(3):  # the range of ports is a guess; another one if it's taken
        try:
            tier(folder, "start", "--plain", "--no-fsync", "--base-port", str(free_base_port()))
            break
        except BenchError as e:
            failure = e
    else:
        raise failure
    env = dict(line[7:].split("=", 1) for line in tier(folder, "env").splitlines() if line.startswith("export "))
    return int(env["TIER_PRIMARY_PORT"])


class Stage:
    """The running servers and poolers; ports and pids of each target."""

    def __init__(self, args, only):
        self.args, self.only = args, only
        self.children, self.by_server, self.missing = [], {}, []
        self.has_tier = False

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="pgweir-bench-")
        os.chmod(self.dir, 0o755)
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self.has_tier:
            tier(self.dir, "stop")
        shutil.rmtree(self.dir, ignore_errors=True)

    def targets(self, scenario):
        """Those that can do it, and variants of pgweir where they can make a difference."""
        has_cache = scenario.script in ("hot", "finai")
        is_load = scenario.script == "select" and scenario.clients > 1 and not scenario.has_tls
        leaves_out = {"cached": not has_cache, "stateful": not is_load, "two": not is_load,
                      "direct": scenario.has_tls, "relay": scenario.has_tls}
        return [t for t in self.by_server[scenario.server] if not leaves_out.get(t.name)]

    def scripts(self, scenario, target):
        """pgbench's words for a scenario's script, or for its mix of them. Hints would make every pgweir cache, so
        only the target for that sees them."""
        if scenario.script != "finai":
            return ["-f", os.path.join(self.dir, scenario.script + ".sql")]
        kind = "hinted" if target.name == "cached" else "plain"
        return [word for one in mix.load()
                for word in ("-f", f"{os.path.join(self.dir, f'finai-{kind}-{one.name}')}.sql@{one.weight}")]

    def wants(self, name):
        return not self.only or name in self.only

    # --- processes ---

    def start_pg(self):
        self.has_tier = True
        self.pg_port = start_server(self.dir)
        init = subprocess.run(["pgbench", "-i", "-q", "-s", str(SCALE), *self.address(self.pg_port)], env=self.env(),
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if init.returncode != 0:
            raise BenchError("pgbench -i failed:\n" + init.stderr)
        if mix:
            self.make_finai()

    def make_finai(self):
        """The sample application's tables and seed, and its mix as files."""
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", *self.address(self.pg_port)],
                              env=self.env(), input="\n;".join(mix.schema()), capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError("the schema of finai:\n" + done.stderr)
        for one in mix.load():
            self.write(f"finai-hinted-{one.name}.sql", one.text)
            self.write(f"finai-plain-{one.name}.sql", one.without_hints())

    def env(self, has_tls=False, options=""):
        return {**os.environ, "PGPASSWORD": PASSWORD, "PGSSLMODE": "require" if has_tls else "disable",
                "PGGSSENCMODE": "disable", "PGOPTIONS": options}

    def address(self, port):
        return ["-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE]

    def spawn(self, argv, port, unprivileged=False):
        user = pwd.getpwnam("postgres") if unprivileged and os.geteuid() == 0 else None
        log = open(os.path.join(self.dir, f"{os.path.basename(argv[0])}-{port}.log"), "w")
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 user=user.pw_uid if user else None, group=user.pw_gid if user else None,
                                 cwd=self.dir)
        self.children.append(child)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and child.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return child.pid
            time.sleep(0.02)
        with open(log.name) as f:
            raise BenchError(f"{argv[0]} doesn't listen on port {port}:\n" + f.read()[-2000:])

    def program(self, name):
        path = os.path.join(self.args.build, "bench", name)
        if not os.access(path, os.X_OK):
            raise BenchError(f"{path} isn't there; build first, and run this in the build folder (make bench)")
        return path

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    # --- poolers ---

    def make_certificate(self):
        self.cert, self.key = (os.path.join(self.dir, name) for name in ("cert.pem", "key.pem"))
        failure = identity.make_certificate(self.cert, self.key)
        if failure:
            raise BenchError("openssl req failed:\n" + failure)
        if os.geteuid() == 0:
            shutil.chown(self.key, "postgres")

    def users(self, name, auth, *others):
        """A user list; for log-ins the secret, else what servers are asked with."""
        secret = identity.scram_secret(PASSWORD) if auth == SCRAM else PASSWORD
        lines = [f'"{user}" "{word}"\n' for user, word in ((USER, secret), *others)]
        return self.write(name, "".join(lines))

    def start_pgbouncer(self, server_port, auth="trust"):
        program = find_program(["pgbouncer"])
        if not program:
            raise BenchError("pgbouncer isn't installed (Debian package: pgbouncer)")
        port = free_port()
        users = self.users(f"users-{port}.txt", auth)
        ini = self.write(f"pgbouncer-{port}.ini", f"""[databases]
{DATABASE} = host=127.0.0.1 port={server_port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth}
auth_file = {users}
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = allow
client_tls_cert_file = {self.cert}
client_tls_key_file = {self.key}
log_connections = 0
log_disconnections = 0
""")
        return Target("pgbouncer", port, self.spawn([program, ini], port, unprivileged=True))

    def start_pgweir(self, server_port, auth="trust", more="", name="pgweir"):
        if not self.args.pgweir or not os.access(self.args.pgweir, os.X_OK):
            raise BenchError("no pgweir given (--pgweir or PGWEIR)")
        port = free_port()
        binary = os.path.join(self.dir, "pgweir")  # where an unprivileged user can start it
        if not os.path.exists(binary):
            shutil.copy(self.args.pgweir, binary)
            os.chmod(binary, 0o755)
        users = self.users(f"weir-users-{port}.txt", auth, (PROBE, PROBE_PASSWORD))
        ini = self.write(f"pgweir-{port}.ini", f"""[pgweir]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth}
auth_file = {users}
client_tls_sslmode = allow
client_tls_cert_file = {self.cert}
client_tls_key_file = {self.key}
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = 1000
workers = {2 if name == "two" else 1}
log_connections = 0
log_disconnections = 0
probe_user = {PROBE}
probe_password = {PROBE_PASSWORD}
{more}
[databases]
{DATABASE} = host=127.0.0.1 port={server_port} dbname={DATABASE}
""")
        return Target(name, port, self.spawn([binary, ini], port, unprivileged=True))

    def start_relay(self, server_port):
        port = free_port()
        return Target("relay", port, self.spawn([self.program("relay"), str(port), str(server_port)], port))

    def starters(self, server):
        """Of each target, in the order of the table."""
        auth = SCRAM if server == "scram" else "trust"
        found = {"relay": self.start_relay, "pgbouncer": partial(self.start_pgbouncer, auth=auth),
                 "pgweir": partial(self.start_pgweir, auth=auth)}
        if server == "pg":
            found["cached"] = partial(self.start_pgweir, more="cache = on", name="cached")
        if server == "null":
            found["two"] = partial(self.start_pgweir, name="two")
        if server == "scram":
            del found["relay"]    # it would know no password
        return found

    def start_before(self, server, server_port):
        found = [Target("direct", server_port)] if self.wants("direct") and server != "scram" else []
        for name, start in self.starters(server).items():
            if not self.wants(name):
                continue
            try:
                target = start(server_port)
                self.ready(target)
                found.append(target)
            except BenchError as e:
                self.missing.append(f"{name} before {server}: {e}")
        self.by_server[server] = found + self.stateful(server, found)

    def stateful(self, server, found):
        """The same pgweir, asked by clients with settings."""
        return [Target("stateful", t.port, t.pid, STATE) for t in found
                if t.name == "pgweir" and server == "null" and self.wants("stateful")]

    def ready(self, target):
        """Until a query is answered: a pooler may still be looking at its servers."""
        deadline = time.monotonic() + 15
        while True:
            done = subprocess.run(["psql", "-X", "-c", "SELECT 1", *self.address(target.port)], env=self.env(),
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise BenchError(f"{target.name} answers no query: {done.stderr.strip()}")
            time.sleep(0.2)

    def start_all(self):
        for name, text in SCRIPTS.items():
            self.write(name + ".sql", text)
        self.make_certificate()
        self.start_pg()
        self.start_before("pg", self.pg_port)
        null_port = free_port()
        self.null_pid = self.spawn([self.program("nullpg"), str(null_port), str(COPY_MB), str(self.pg_port), PROBE],
                                   null_port)
        self.start_before("null", null_port)
        self.start_before("scram", null_port)
        for line in self.missing:
            print("bench: left out: " + line, flush=True)
