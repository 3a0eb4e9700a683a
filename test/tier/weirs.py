# SPDX-License-Identifier: PostgreSQL
"""The pgweir processes of ./try: two of them before one tier, so that what the
first has cached can be served by the second through Redis."""
import json
import os
import pwd
import shutil
import socket
import subprocess
import time

import ini
import procs
import servers

NAMES = ("one", "two")


class WeirError(Exception):
    """What the user must hear."""


class Weirs:
    def __init__(self, folder, state, binary):
        self.folder, self.state, self.binary = folder, state, binary
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.path = os.path.join(folder, "pgweir.json")

    def port(self, name):
        return self.state["base_port"] + servers.PGWEIR + 2 * NAMES.index(name)

    def records(self):
        try:
            with open(self.path) as f:
                return json.load(f)
        except (OSError, ValueError):
            return {}

    def save(self, records):
        with open(self.path, "w") as f:
            json.dump(records, f)

    def file(self, name, suffix):
        return os.path.join(self.folder, f"pgweir-{name}.{suffix}")

    def is_current(self, name):
        """Running, and from the binary that was built last."""
        record = self.records().get(name)
        return procs.is_alive(record) and record.get("built") == os.stat(self.binary).st_mtime

    def start(self, name):
        if self.is_current(name):
            return
        self.stop(name)
        port = self.port(name)
        self.check_port(port)
        self.check_port(port + 1)
        copy = os.path.join(self.folder, f"pgweir-{name}")
        shutil.copy(self.binary, copy)
        os.chmod(copy, 0o755)
        path = ini.write(self.state, self.file(name, "ini"), port, port + 1,
                         {"cache": "on", "cache_min_hits": 2, "cache_redis_timeout": 0.2})
        log = self.file(name, "log")
        for one in (path, self.file(name, "users"), log):
            self.give(one)
        record = procs.spawn([copy, path], log, self.user)
        record["built"] = os.stat(self.binary).st_mtime
        records = self.records()
        records[name] = record
        self.save(records)
        self.wait_listening(name, record)

    def give(self, path):
        with open(path, "a"):
            pass
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def check_port(self, port):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError as e:
                raise WeirError(f"port {port} can't be used ({e.strerror}); end what has it, or "
                                "choose another range: TRY_BASE_PORT=27000 ./try") from None

    def wait_listening(self, name, record):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not procs.is_alive(record):
                break
            with socket.socket() as s:
                s.settimeout(1)
                if s.connect_ex(("127.0.0.1", self.port(name))) == 0:
                    return
            time.sleep(0.05)
        with open(self.file(name, "log"), errors="replace") as f:
            raise WeirError(f"pgweir {name} doesn't run:\n" + "".join(f.readlines()[-15:]))

    def stop(self, name):
        records = self.records()
        record = records.pop(name, None)
        if record:
            procs.stop_all([record], 15)
            self.save(records)

    def url(self, name="one", user="app", dbname="app"):
        return (f"postgresql://{user}:{servers.USERS[user]}@127.0.0.1:{self.port(name)}/{dbname}")

    def psql(self, *args, name="one", user="app", dbname="app"):
        return subprocess.run([servers.PG_BIN + "/psql", "-X", self.url(name, user, dbname), *args],
                              text=True, capture_output=True, timeout=30,
                              stdin=subprocess.DEVNULL)
