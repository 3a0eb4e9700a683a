# SPDX-License-Identifier: PostgreSQL
"""finai-backend, the sample application's API, as a process of a test.

FINAI_BACKEND names the program; by default it is the one built beside pgweir.
"""
import http.client
import itertools
import json
import os
import signal
import subprocess
import tempfile
import time

from lib import Skip, equal, patient, until
from ports import free_port
from session import LOG_ALARMS

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
SQL = os.path.join(TOP, "k8s", "apps", "backend", "sql")
keys = itertools.count(1)


def binary():
    weir = os.environ.get("PGWEIR") or os.path.join(TOP, "build", "pgweir")
    beside = os.path.join(os.path.dirname(os.path.realpath(weir)), "k8s/apps/backend/finai-backend")
    path = os.environ.get("FINAI_BACKEND") or beside
    if not os.access(path, os.X_OK):
        raise Skip(f"no {path} (needs libjansson-dev)")
    return path


def environment(weir, options):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FINAI_", "PG"))}
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=66")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    return {**env, "DATABASE_URL": weir.url(), "FINAI_SQL_DIR": SQL,
            **{f"FINAI_{name.upper()}": str(value) for name, value in options.items()}}


def run(weir, *words, **options):
    """The program to its end: (exit status, its log)."""
    done = subprocess.run([binary(), *words], env=environment(weir, options), text=True, timeout=patient(120),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def new_key():
    return f"key-{os.getpid()}-{time.time_ns()}-{next(keys)}"


class Reply:
    def __init__(self, reply):
        self.status, self.headers, self.text = reply.status, reply.headers, reply.read().decode()
        is_json = "json" in (reply.headers.get("Content-Type") or "")
        self.json = json.loads(self.text) if is_json and self.text else None


class Client:
    """One kept HTTP connection."""

    def __init__(self, port, timeout=30):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(timeout))

    def ask(self, path, method="GET", body=None, **headers):
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        self.conn.request(method, path, body=body, headers=named)
        return Reply(self.conn.getresponse())

    def transfer(self, source, target, amount, key=None, note="", **headers):
        body = json.dumps({"from_account": source, "to_account": target, "amount": amount, "note": note})
        return self.ask("/api/transfers", "POST", body, Content_Type="application/json",
                        Idempotency_Key=key or new_key(), **headers)

    def close(self):
        self.conn.close()


class App:
    """A running backend; ends with the `with` block, which fails when it ends badly."""

    def __init__(self, weir, **options):
        self.port = free_port()
        folder = weir.session.dir if weir.is_pgweir else tempfile.mkdtemp(prefix="finai-")
        self.log = os.path.join(folder, f"finai-backend-{self.port}.log")
        env = environment(weir, {"listen": f"127.0.0.1:{self.port}", "drain_delay_ms": 0, **options})
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen([binary()], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self):
        until("finai-backend to be ready", 30, self.is_ready)
        return self

    def __exit__(self, kind, *_):
        problem = self.stop()
        if problem and kind is None:
            raise AssertionError(problem)

    def is_ready(self):
        if self.proc.poll() is not None:
            raise AssertionError(f"finai-backend ended with {self.proc.returncode}:\n{self.log_text()}")
        try:
            return self.ask("/readyz").status == 200
        except OSError:
            return False

    def client(self, **kw):
        return Client(self.port, **kw)

    def ask(self, path, *args, **kw):
        client = self.client()
        try:
            return client.ask(path, *args, **kw)
        finally:
            client.close()

    def transfer(self, *args, **kw):
        client = self.client()
        try:
            return client.transfer(*args, **kw)
        finally:
            client.close()

    def metrics(self):
        lines = [line for line in self.ask("/metrics").text.splitlines() if not line.startswith("#")]
        return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def events(self):
        """The log's lines as objects: each must be JSON."""
        return [json.loads(line) for line in self.log_text().splitlines()]

    def stop(self, seconds=30):
        """SIGTERM; what is wrong with the end, or None."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(seconds)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait(patient(20))
                return f"didn't end within {seconds} s of SIGTERM\n{self.log_text()[-2000:]}"
        text = self.log_text()
        if self.proc.returncode != 0 or any(alarm in text for alarm in LOG_ALARMS):
            return f"exit status {self.proc.returncode}\n{text[-4000:]}"
        return None


def prepare(weir, tier):
    """A fresh schema, known to every node."""
    with weir.connect() as conn:
        conn.execute("DROP SCHEMA IF EXISTS finai CASCADE")
    status, text = run(weir, "migrate")
    equal(status, 0, text)
    with tier.connect() as conn:
        lsn = conn.execute("SELECT pg_current_wal_flush_lsn()").fetchone()[0]
    for port in tier.replica_ports():
        with tier.connect(port) as conn:
            until("replay", 20, lambda c=conn: c.execute(
                "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)).fetchone()[0])
