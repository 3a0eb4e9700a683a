# SPDX-License-Identifier: PostgreSQL
"""Processes of a tier: started as daemons, remembered by pid and start time.

A process is only ever signalled when the pid on record still has the start
time on record, so a recycled pid or a server of somebody else is never hit.
PostgreSQL's own processes are found through the postmaster.pid of a data
folder that belongs to the tier, never by name.
"""
import os
import signal
import subprocess
import time


def stat_fields(pid):
    """The fields of /proc/<pid>/stat behind the command name, or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rpartition(b")")[2].split()
    except OSError:
        return None


def start_time(pid):
    """Start time in clock ticks since boot; None when gone or a zombie."""
    fields = stat_fields(pid)
    if not fields or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])


def is_stopped(pid):
    fields = stat_fields(pid)
    return bool(fields) and fields[0] in (b"T", b"t")


def spawn(argv, log_path, user=None, env=None, cwd="/"):
    """Start a daemon in a session of its own; its record is JSON-able."""
    full_env = dict(os.environ, LC_ALL="C.UTF-8", **(env or {}))
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE", "PGOPTIONS"):
        full_env.pop(name, None)
    as_user = {}
    if user:
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        full_env.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    with open(log_path, "ab") as log:
        proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                start_new_session=True, env=full_env, cwd=cwd, **as_user)
    return {"pid": proc.pid, "start": start_time(proc.pid), "argv": argv, "log": log_path,
            "env": env or {}}


def is_alive(record):
    if not record:
        return False
    reap(record["pid"])
    start = start_time(record["pid"])
    return start is not None and start == record["start"]


def reap(pid):
    """Collect a child of this very run, so that it doesn't stay a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass


def send(record, signo):
    """Signal a recorded process; False when it is gone or isn't the same one."""
    if not is_alive(record):
        return False
    try:
        os.kill(record["pid"], signo)
    except ProcessLookupError:
        return False
    return True


def wait_gone(records, seconds):
    """Wait until none is alive; returns those that still are."""
    deadline = time.monotonic() + seconds
    left = [r for r in records if is_alive(r)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [r for r in left if is_alive(r)]
    return left


def children(pid):
    """Records of the direct children of a process."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields = stat_fields(int(name))
        if fields and int(fields[1]) == pid and fields[0] not in (b"Z", b"X"):
            found.append({"pid": int(name), "start": int(fields[19])})
    return found


def postmaster(data_dir):
    """Record of the postmaster that runs a data folder, or None."""
    try:
        with open(os.path.join(data_dir, "postmaster.pid")) as f:
            pid = int(f.readline())
        if os.path.realpath(f"/proc/{pid}/cwd") != os.path.realpath(data_dir):
            return None
    except (OSError, ValueError):
        return None
    start = start_time(pid)
    return {"pid": pid, "start": start} if start is not None else None


def postgres_tree(data_dir):
    """The postmaster first, then all its backends and helpers."""
    master = postmaster(data_dir)
    return [master] + children(master["pid"]) if master else []


def stop_all(records, seconds=10, signo=signal.SIGTERM):
    """End processes: politely, then for certain."""
    for record in records:
        send(record, signal.SIGCONT)
        send(record, signo)
    for record in wait_gone(records, seconds):
        send(record, signal.SIGKILL)
    return wait_gone(records, 5)
