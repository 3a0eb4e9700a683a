# SPDX-License-Identifier: PostgreSQL
"""What tests work with: the tier, and pgweir processes before it.

A pgweir is started from an ini made for the tier on a free port, and ended by
SIGTERM; its exit status and its log (sanitizer reports, failed assertions) are
part of the result. With `against="direct"` the `weir` of the tests is the
primary itself: that shows whether a test asks for what PostgreSQL does.
"""
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import psycopg

from lib import Skip, patient, until

HERE = os.path.dirname(os.path.realpath(__file__))
TIER = os.path.join(HERE, "..", "tier", "tier")
sys.path.insert(0, os.path.join(HERE, "..", "tier"))
import ini as tier_ini    # noqa: E402
import servers            # noqa: E402
from ports import free_port    # noqa: E402

LOG_ALARMS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer",
              "assertion failed", "Assertion", "WEIR_ASSERT", "UndefinedBehavior")


class Tier:
    """The tier of the session; a thin layer over the tier program."""

    def __init__(self, folder, is_own=False):
        self.dir, self.is_own = folder, is_own

    @property
    def state(self):
        with open(os.path.join(self.dir, "tier.json")) as f:
            return json.load(f)

    def command(self, *args, seconds=180):
        with subprocess.Popen([TIER, args[0], "--dir", self.dir, *args[1:]], text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as proc:
            try:
                out, err = proc.communicate(timeout=patient(seconds))
            except BaseException:    # a signal to us, too: a start that is cut short ends what it has started
                proc.terminate()
                proc.communicate(timeout=patient(seconds))
                raise
        if proc.returncode:
            raise AssertionError(f"tier {' '.join(args)}: {err}{out}")
        return out.strip()

    def env(self):
        """The variables of `tier env`, without the TIER_ in front."""
        import shlex
        pairs = [shlex.split(line)[1] for line in self.command("env").splitlines()]
        return {k[5:]: v for k, _, v in (p.partition("=") for p in pairs)}

    def primary_port(self):
        return int(until("a primary", 60, lambda: self.env()["PRIMARY_PORT"], 0.5))

    def replica_ports(self):
        return [int(p) for p in self.env()["REPLICA_PORTS"].split()]

    def connect(self, port=None, user="app", dbname="app", **kw):
        """Past pgweir, straight to a node (default: the primary)."""
        return psycopg.connect(host="127.0.0.1", port=port or self.primary_port(), user=user,
                               password=servers.USERS[user], dbname=dbname, autocommit=True, **kw)

    def runs_on(self, name, text):
        """A node that is just being rebuilt, after a failover, runs nothing."""
        try:
            with self.connect(servers.pg_port(self.state, name), user="postgres") as node:
                return node.execute("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() "
                                    "AND query LIKE %s", (f"%{text}%",)).fetchone() is not None
        except psycopg.OperationalError:
            return False

    def wait_running(self, text, seconds=20):
        """Until a statement with this in its text runs on a node, so that a cancel or an end meets it."""
        until(f"{text} to run", seconds,
              lambda: any(self.runs_on(name, text) for name in servers.node_names(self.state)))

    def when_running(self, text, act):
        """A thread that calls act() once such a statement runs."""
        def work():
            self.wait_running(text)
            act()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def redis(self, *args):
        port = self.env()["REDIS_PORT"]
        return subprocess.run(["redis-cli", "-p", port, *args], capture_output=True, text=True,
                              timeout=patient(20), stdin=subprocess.DEVNULL).stdout.strip()


class Direct:
    """The primary itself in the place of pgweir."""
    is_pgweir = False

    def __init__(self, tier):
        self.port = tier.primary_port()

    def connect(self, user="app", password=None, dbname="app", autocommit=True, **kw):
        return psycopg.connect(host="127.0.0.1", port=self.port, user=user, dbname=dbname,
                               password=servers.USERS.get(user) if password is None else password,
                               autocommit=autocommit, **kw)

    def url(self, user="app", dbname="app"):
        return f"postgresql://{user}:{servers.USERS[user]}@127.0.0.1:{self.port}/{dbname}"

    def problem(self):
        return None

    def stop(self):
        return None

    def log_tail(self):
        return ""

    def need_pgweir(self):
        raise Skip("needs pgweir")


class Weir(Direct):
    """A pgweir process of our own."""
    is_pgweir = True

    def __init__(self, session, label, options):
        self.session, self.label = session, label
        self.port, self.http_port = free_port(), free_port()
        self.ini = os.path.join(session.dir, f"{label}.ini")
        self.log = os.path.join(session.dir, f"{label}.log")
        self.proc = None
        self.asks_backend = "io_backend" in options
        self.write_ini(options)

    def write_ini(self, options):
        tier_ini.write(self.session.tier.state, self.ini, self.port, self.http_port, options)
        for path in (self.ini, os.path.splitext(self.ini)[0] + ".users"):
            self.session.give(path)

    def start(self, before=None):
        """before: called in the process that becomes pgweir."""
        user = self.session.user
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        env = self.environment()
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=66")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen([self.session.binary, self.ini], stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log, cwd=self.session.dir, env=env,
                                         start_new_session=True, preexec_fn=before, **as_user)
        until(f"pgweir ({self.label}) to listen", 30, self.is_listening)
        return self

    def environment(self):
        """PGWEIR_IO_BACKEND is for a whole run, except for tests that ask for one."""
        env = dict(os.environ, LC_ALL="C.UTF-8")
        if self.asks_backend:
            env.pop("PGWEIR_IO_BACKEND", None)
        return env

    def is_listening(self):
        if self.proc.poll() is not None:
            raise AssertionError(f"pgweir ended with {self.proc.returncode}:\n{self.log_tail(30)}")
        with socket.socket() as s:
            s.settimeout(patient(1))
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def is_alive(self):
        return self.proc is not None and self.proc.poll() is None

    def stop(self, seconds=20):
        """SIGTERM; a process that doesn't end is killed, which is a problem."""
        if self.is_alive():
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(patient(seconds))
            except subprocess.TimeoutExpired:
                self.proc.send_signal(signal.SIGABRT)
                self.proc.wait(patient(20))
                return f"didn't end within {seconds} s of SIGTERM\n{self.log_tail()}"
        return self.problem()

    def problem(self):
        """What is wrong with the end of this process, or None."""
        if self.proc is None:
            return None
        alarms = [line for line in self.log_lines() if any(a in line for a in LOG_ALARMS)]
        if alarms:
            return "log: " + "\n".join(alarms[:5]) + "\n" + self.log_tail(60)
        if self.proc.returncode != 0:
            return f"exit status {self.proc.returncode}\n{self.log_tail()}"
        return None

    def log_lines(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read().splitlines()
        except OSError:
            return []

    def log_tail(self, lines=12):
        return "\n".join([f"--- {self.label}.log"] + self.log_lines()[-lines:])

    def reload(self):
        self.proc.send_signal(signal.SIGHUP)

    def console(self, user="postgres", **kw):
        return self.connect(user=user, dbname="pgweir", cursor_factory=psycopg.ClientCursor, **kw)

    def show(self, what):
        """Rows of a SHOW command as dicts."""
        with self.console() as conn:
            cur = conn.execute(f"SHOW {what}")
            names = [c.name for c in cur.description]
            return [dict(zip(names, row)) for row in cur.fetchall()]

    def wait_waiting(self, count, seconds=20):
        """Until so many clients wait for a server."""
        until(f"{count} to wait", seconds, lambda: sum(r["cl_waiting"] for r in self.show("POOLS")) == count)

    def wait_gone(self, pid, seconds=20):
        """Until pgweir has seen the end of this server's connection."""
        until(f"the end of server {pid} to be seen", seconds,
              lambda: pid not in {r["remote_pid"] for r in self.show("SERVERS")})

    def config(self):
        """SHOW CONFIG as a dict of texts."""
        return {row["key"]: str(row["value"]) for row in self.show("CONFIG")}

    def http(self, path):
        try:
            url = f"http://127.0.0.1:{self.http_port}{path}"
            with urllib.request.urlopen(url, timeout=patient(10)) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def metrics(self):
        """Every sample of /metrics: the series with its labels, to a number."""
        status, text = self.http("/metrics")
        if status != 200:
            raise AssertionError(f"/metrics: {status}")
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                samples[series] = float(value)
        return samples

    def stat(self, name, database="app"):
        """A counter of the database, by its name in db_stats.def."""
        return self.metrics().get(f'pgweir_database_{name}_total{{database="{database}"}}', 0)

    def need_pgweir(self):
        return None

    def is_sanitized(self):
        """Then its memory says nothing: what is freed is kept for a while."""
        with open(self.session.binary, "rb") as f:
            binary = f.read()
        return b"__asan_init" in binary or b"__tsan_init" in binary


class Session:
    """Fixtures of a run; owns the tier when it started it, and a folder."""

    def __init__(self, tier, folder, binary, against="pgweir"):
        self.tier, self.dir, self.against = tier, folder, against
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.module, self.weir, self.extra, self.results = None, None, [], []
        self.count = 0
        os.makedirs(folder, exist_ok=True)
        self.give(folder)
        self.binary = self.reachable(binary) if against == "pgweir" else None

    def give(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def reachable(self, binary):
        """The binary, copied where the server user can run it."""
        copy = os.path.join(self.dir, "pgweir")
        shutil.copy(binary, copy)
        os.chmod(copy, 0o755)
        return copy

    def open_file(self, module):
        self.module, self.results = module, []

    def fixture(self, name):
        if name == "tier":
            return self.tier
        if name == "weir":
            if self.weir is None or (self.weir.is_pgweir and not self.weir.is_alive()):
                self.weir = self.make(getattr(self.module, "OPTIONS", {}))
            return self.weir
        if name == "start":
            return self.start
        if name == "session":
            return self
        if name == "folder":
            return self.dir
        raise AssertionError(f"no fixture {name}")

    def make(self, options, before=None):
        return Direct(self.tier) if self.against == "direct" else self.prepare(options).start(before)

    def prepare(self, options):
        """A pgweir with its ini written, not started; the caller puts it into `extra`."""
        if self.against == "direct":
            raise Skip("needs pgweir")
        self.count += 1
        return Weir(self, f"{self.module.__name__[5:]}-{self.count}", options)

    def start(self, options=None, before=None):
        """Another pgweir, ended with the test."""
        if self.against == "direct":
            raise Skip("needs pgweir")
        weir = self.make(options or {}, before)
        self.extra.append(weir)
        return weir

    def close_test(self):
        for weir in self.extra:
            problem = weir.stop()
            if problem:
                self.results.append((f"{weir.label} ends cleanly", problem))
        self.extra = []
        if self.weir and self.weir.is_pgweir and not self.weir.is_alive():
            self.results.append((f"{self.weir.label} stays up", self.weir.problem() or "it ended"))
            self.weir = None

    def close_file(self):
        """End the file's pgweir; pairs of a name and a problem (or None)."""
        if self.weir and self.weir.is_pgweir:
            self.results.append((f"{self.weir.label} ends cleanly", self.weir.stop()))
        self.weir = None
        return self.results

    def log_tails(self):
        weirs = (self.extra or [self.weir] if self.weir else self.extra)[:2]
        return "".join("\n" + w.log_tail() for w in weirs if w.is_pgweir)


def start_tier(folder, base_port):
    tier = Tier(folder, is_own=True)
    began = time.monotonic()
    tier.command("start", "--base-port", str(base_port))
    print(f"# tier up in {time.monotonic() - began:.0f} s, ports {base_port} to {base_port + 99}",
          flush=True)
    return tier
