# SPDX-License-Identifier: PostgreSQL
"""Other clients: they keep every server of the pool busy and in another state.

pgbench runs the scripts of busy/: each transaction sets what the suite would
see if it leaked, holds its server for a moment, and fails when its own settings
aren't those that it made. There are more of them than the pool has servers, so
a transaction of the suite gets whichever server is free, never its last one for
luck.
"""
import os
import shutil
import signal
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))
SCRIPTS = os.path.join(HERE, "busy")


class Busy:
    def __init__(self, place, port, dbname, clients, hold_ms=4):
        self.place, self.port, self.dbname, self.clients = place, port, dbname, clients
        self.hold_ms = hold_ms    # how long each has its server
        self.procs, self.logs = [], []

    def start(self):
        for mode in ("simple", "prepared"):
            copy = self.place.path(f"busy-{mode}")
            shutil.copytree(os.path.join(SCRIPTS, mode), copy, dirs_exist_ok=True)
            scripts = [f"-f{copy}/{name}" for name in sorted(os.listdir(copy))]
            self.launch(mode, ["-M", mode, "-c", str(max(1, self.clients // 2)), *scripts])
        return self

    def launch(self, label, arguments):
        log = self.place.path(f"busy-{label}.log")
        with open(log, "w") as out:
            self.procs.append(subprocess.Popen(
                ["pgbench", "-n", "-T", "100000", "-D", f"hold={self.hold_ms}",
                 "-h", self.place.dir, "-p", str(self.port), "-U", self.place.name,
                 *arguments, self.dbname],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.place.dir,
                env=self.place.env(), start_new_session=True, **self.place.as_user()))
        self.logs.append(log)

    def stop(self):
        """None, or what went wrong with one of them."""
        problems = []
        for proc, log in zip(self.procs, self.logs):
            if proc.poll() is not None:
                problems.append(f"pgbench ended with {proc.returncode}")
            else:
                proc.send_signal(signal.SIGTERM)
                proc.wait(20)
            with open(log, errors="replace") as f:
                problems += [line.rstrip() for line in f if "abort" in line or "ERROR" in line]
        return "\n".join(problems[:10]) or None
