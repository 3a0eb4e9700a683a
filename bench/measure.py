# SPDX-License-Identifier: PostgreSQL
"""One measurement: load for a while, and what the pooler's process spent
meanwhile, from outside. A figure that can't be had is None."""
import glob
import os
import re
import shutil
import socket
import struct
import subprocess
import time

import scene

TICKS = os.sysconf("SC_CLK_TCK")
CALLS = ("recvfrom", "read", "recvmsg", "readv", "sendto", "write", "sendmsg", "writev", "epoll_wait", "epoll_ctl",
         "io_uring_enter")


def cpu_times(pid):
    """utime and stime of all threads, those that ended included, in seconds."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def cpu_seconds(pid):
    return sum(cpu_times(pid))


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


def pgbench(stage, scenario, target, seconds, prefix=(), log=True):
    """Runs it; (finished process, prefix of its logs)."""
    logs = os.path.join(stage.dir, "pgbench_log")
    # A thread of pgbench logs in one client at a time.
    threads = scenario.clients if scenario.script == "login" else min(2, scenario.clients)
    argv = [*prefix, "pgbench", "-n", *stage.scripts(scenario, target), "-M", scenario.mode,
            "-c", str(scenario.clients), "-j", str(threads), "-T", str(max(1, round(seconds)))]
    if scenario.script == "login":
        argv += ["-C"]    # a connection per transaction
    if log:
        argv += ["--log", "--log-prefix", logs, "--sampling-rate", "0.1"]
    env = stage.env(scenario.has_tls, target.options)
    done = subprocess.run(argv + stage.address(target.port), env=env, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=60 + seconds)
    return done, logs


def number(pattern, text):
    found = re.search(pattern, text)
    return float(found.group(1)) if found else None


def latencies_ms(logs):
    """Sampled, sorted; the third field of a line is the latency in us. Removes the logs."""
    values = []
    for path in glob.glob(logs + ".*"):
        with open(path) as f:
            values += [int(line.split()[2]) / 1000 for line in f if line.split()[2].isdigit()]
        os.unlink(path)
    return sorted(values)


def first_error(text):
    """What went wrong first; the last line only says that something did."""
    lines = [line for line in text.splitlines() if "error" in line.lower()] or text.strip().splitlines()
    return (lines or ["no transactions"])[0].replace("pgbench: error: ", "")[:120]


def run_pgbench(stage, scenario, target, seconds):
    before = cpu_times(target.pid) if target.pid else None
    done, logs = pgbench(stage, scenario, target, seconds)
    after = cpu_times(target.pid) if target.pid else None
    values = latencies_ms(logs)
    count = number(r"actually processed: (\d+)", done.stdout)
    if done.returncode != 0 or not count:
        return {"error": first_error(done.stderr)}
    return {"tps": number(r"tps = ([0-9.]+)", done.stdout), "p50_ms": percentile(values, 0.5),
            "p99_ms": percentile(values, 0.99), "transactions": count,
            "cpu_us": (sum(after) - sum(before)) / count * 1e6 if before else None,
            "user_us": (after[0] - before[0]) / count * 1e6 if before else None}


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    body = b"".join(x.encode() + b"\0" for x in ("user", scene.USER, "database", scene.DATABASE)) + b"\0"
    s.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
    return s


def read_until_ready(s, buffer):
    """Passes bytes over up to a ReadyForQuery at the end of what came; how many there were."""
    total, tail = 0, b""
    while not tail.endswith(b"Z\0\0\0\5I"):
        n = s.recv_into(buffer)
        if n == 0:
            raise scene.BenchError("the connection ended within a COPY")
        total += n
        tail = (tail + bytes(buffer[max(0, n - 16):n]))[-16:]
    return total


def run_copy(stage, scenario, target):
    """One COPY TO STDOUT on a connection of its own; a client that only counts."""
    port, buffer = target.port, bytearray(256 * 1024)
    if target.name in ("direct", "relay") and scenario.server == "pg":
        return copy_by_psql(stage, target)
    with connect(port) as s:
        read_until_ready(s, buffer)
        before, started = cpu_seconds(target.pid) if target.pid else 0, time.monotonic()
        query = scene.COPY_SQL.encode() + b"\0"
        s.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)
        total = read_until_ready(s, buffer)
        took = time.monotonic() - started
        spent = cpu_seconds(target.pid) - before if target.pid else None
        s.sendall(b"X\0\0\0\4")
    return {"mb_s": total / 1e6 / took, "cpu_s_gb": spent / total * 1e9 if target.pid else None}


def copy_by_psql(stage, target):
    """Where a password is asked for: libpq logs in."""
    before, started = cpu_seconds(target.pid) if target.pid else 0, time.monotonic()
    with open(os.devnull, "w") as null:
        done = subprocess.run(["psql", "-X", "-q", "-c", scene.COPY_SQL, *stage.address(target.port)], env=stage.env(),
                              stdout=null, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        return {"error": done.stderr.strip()[:120]}
    took, size = time.monotonic() - started, scene.COPY_MB * 1.05e6
    spent = cpu_seconds(target.pid) - before if target.pid else None
    return {"mb_s": size / 1e6 / took, "cpu_s_gb": spent / size * 1e9 if target.pid else None}


def run(stage, scenario, target, seconds):
    try:
        if scenario.script == "copy":
            return run_copy(stage, scenario, target)
        return run_pgbench(stage, scenario, target, seconds)
    except (OSError, scene.BenchError, subprocess.TimeoutExpired) as e:
        return {"error": str(e).strip()[:120]}


# --- system calls per transaction ---

def calls_by_perf(stage, scenario, target, seconds):
    """Counted in the kernel, at next to no cost; None where that isn't allowed."""
    out = os.path.join(stage.dir, "perf.txt")
    events = ["raw_syscalls:sys_enter"] + [f"syscalls:sys_enter_{c}" for c in CALLS]
    argv = ["perf", "stat", "-x", ";", "-o", out, "-e", ",".join(events), "-p", str(target.pid), "--"]
    done, _ = pgbench(stage, scenario, target, seconds, argv, log=False)
    count = number(r"actually processed: (\d+)", done.stdout)
    if done.returncode != 0 or not count or not os.path.exists(out):
        return None
    found = {}
    with open(out) as f:
        for line in f:
            fields = line.split(";")
            if len(fields) > 2 and fields[0].isdigit():
                found[fields[2].split("sys_enter_")[-1].split(":")[-1]] = int(fields[0]) / count
    total = found.pop("sys_enter", None)
    return {"total": total, "calls": {k: v for k, v in found.items() if v >= 0.005}} if total else None


def calls_by_strace(stage, scenario, target, seconds):
    out = os.path.join(stage.dir, "strace.txt")
    tracer = subprocess.Popen(["strace", "-c", "-f", "-o", out, "-p", str(target.pid)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    done, _ = pgbench(stage, scenario, target, seconds, log=False)
    tracer.terminate()
    tracer.wait()
    count = number(r"actually processed: (\d+)", done.stdout)
    if done.returncode != 0 or not count or not os.path.exists(out):
        return None
    with open(out) as f:
        rows = [line.split() for line in f]
    found = {r[-1]: int(r[3]) / count for r in rows if len(r) >= 5 and r[3].isdigit()}
    total = found.pop("total", None)
    return {"total": total, "calls": {k: v for k, v in found.items() if v >= 0.005}} if total else None


def syscalls(stage, scenario, target, seconds):
    if scenario.script == "copy":
        return None
    for tool, count in (("perf", calls_by_perf), ("strace", calls_by_strace)):
        if shutil.which(tool):
            found = count(stage, scenario, target, seconds)
            if found:
                return found
    return None
