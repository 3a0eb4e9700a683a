# SPDX-License-Identifier: PostgreSQL
"""The sample application before the tier of ./try: finai-backend, and nginx with the pages, as on Kubernetes but on loopback.

nginx runs the configuration of k8s/apps/compression.yaml; what differs here (ports, folders, the backend's address) is
replaced in its text, and a piece that isn't found any more is an error.
"""
import http.client
import json
import os
import pwd
import shutil
import socket
import subprocess
import time

import procs

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
K8S = os.path.join(TOP, "k8s")
PROGRAM = os.path.join(TOP, "build", "k8s", "apps", "backend", "finai-backend")
# Offsets from the tier's base port, behind those of its pgweir processes.
BACKEND, PAGE = 70, 71
LOGS = {"backend": "finai-backend.log", "page": "nginx.log"}
SETTINGS = {"FINAI_QUOTE_FEED_MS": "2000", "FINAI_LOG_LEVEL": "info"}


class AppError(Exception):
    """What the user must hear."""


def config_texts():
    """nginx's files, from the ConfigMap."""
    import yaml
    with open(os.path.join(K8S, "apps", "compression.yaml"), encoding="utf-8") as f:
        return yaml.safe_load(f)["data"]


def for_loopback(text, folder, page, backend):
    """The shipped nginx.conf for a machine that runs other things too."""
    changes = [(" /tmp/", f" {folder}/nginx/"),
               ("listen 8080 default_server;", f"listen 127.0.0.1:{page} default_server;"),
               ("listen [::]:8080 default_server;", ""),
               ("server backend.apps.svc.cluster.local:80 ", f"server 127.0.0.1:{backend} "),
               ("root /usr/share/finai;", f"root {folder}/site;"),
               ("/etc/finai/nginx/", f"{folder}/nginx/")]
    for old, new in changes:
        if old not in text:
            raise AppError(f"k8s/apps/compression.yaml has no {old!r} any more")
        text = text.replace(old, new)
    return text


class App:
    def __init__(self, folder, state, url):
        self.folder, self.state, self.url = folder, state, url
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.path = os.path.join(folder, "app.json")
        self.port = {"backend": state["base_port"] + BACKEND, "page": state["base_port"] + PAGE}

    def records(self):
        try:
            with open(self.path, encoding="utf-8") as f:
                return json.load(f)
        except (OSError, ValueError):
            return {}

    def file(self, name):
        return os.path.join(self.folder, name)

    def address(self):
        return f"http://localhost:{self.port['page']}/"

    # ------------------------------------------------------------ files

    def lay_files(self):
        """Everything that the two read, in a folder that their user may read."""
        self.stop()
        for name in ("site", "nginx", "sql"):
            shutil.rmtree(self.file(name), ignore_errors=True)
        shutil.copy(PROGRAM, self.file("finai-backend"))
        shutil.copytree(os.path.join(K8S, "apps", "backend", "sql"), self.file("sql"))
        subprocess.run([os.path.join(K8S, "apps", "frontend", "build"), self.file("site")], check=True)
        os.makedirs(self.file("nginx"))
        for name, text in config_texts().items():
            if name == "nginx.conf":
                text = for_loopback(text, self.folder, self.port["page"], self.port["backend"])
            with open(os.path.join(self.file("nginx"), name), "w", encoding="utf-8") as f:
                f.write(text)
        self.give("nginx")
        for name in LOGS.values():
            # nginx opens its standard output once more, so the file must be its user's.
            with open(self.file(name), "ab"):
                self.give(name)

    def give(self, name):
        """To the user that the two run as."""
        if self.user:
            os.chown(self.file(name), self.user.pw_uid, self.user.pw_gid)

    def environment(self):
        return {"DATABASE_URL": self.url, "FINAI_LISTEN": f"127.0.0.1:{self.port['backend']}",
                "FINAI_SQL_DIR": self.file("sql"), **SETTINGS}

    # ------------------------------------------------------------ processes

    def is_running(self, name):
        return procs.is_alive(self.records().get(name))

    def start(self):
        if not os.access(PROGRAM, os.X_OK):
            raise AppError(f"{PROGRAM} isn't built; it needs libjansson-dev (scripts/deps build)")
        self.lay_files()
        for name, port in self.port.items():
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", port))
                except OSError as e:
                    raise AppError(f"port {port} (for the {name}) can't be used: {e.strerror}") from None
        self.migrate()
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not nginx:
            raise AppError("nginx isn't installed (scripts/deps app)")
        records = {"backend": procs.spawn([self.file("finai-backend")], self.file(LOGS["backend"]), self.user,
                                          self.environment())}
        self.save(records)
        records["page"] = procs.spawn([nginx, "-c", self.file("nginx/nginx.conf"), "-p", self.file("nginx"),
                                       "-e", "stderr"], self.file(LOGS["page"]), self.user)
        self.save(records)
        self.wait_ready("backend", "/readyz")
        self.wait_ready("page", "/")

    def save(self, records):
        with open(self.path, "w", encoding="utf-8") as f:
            json.dump(records, f)

    def migrate(self):
        """The schema and its seed; nothing when they are there."""
        done = subprocess.run([self.file("finai-backend"), "migrate"], env={**os.environ, **self.environment()},
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise AppError("finai-backend migrate:\n" + (done.stdout + done.stderr)[-2000:])

    def wait_ready(self, name, path):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.is_running(name):
            try:
                if self.ask("GET", path, name)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
        with open(self.file(LOGS[name]), errors="replace", encoding="utf-8") as f:
            raise AppError(f"the {name} doesn't answer:\n" + "".join(f.readlines()[-15:]))

    def stop(self):
        records = self.records()
        if records:
            procs.stop_all(list(records.values()), 10)
            os.unlink(self.path)

    # ------------------------------------------------------------ requests

    def ask(self, method, path, name="page", body=None, headers=None):
        """(status, headers, body) of one request on a connection of its own."""
        conn = http.client.HTTPConnection("127.0.0.1", self.port[name], timeout=20)
        try:
            conn.request(method, path, json.dumps(body) if body else None,
                         {**({"Content-Type": "application/json"} if body else {}), **(headers or {})})
            answer = conn.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            conn.close()

    def transfer(self, source, target, amount, key):
        status, _, body = self.ask("POST", "/api/transfers", body={"from_account": source, "to_account": target,
                                                                   "amount": amount, "note": "try"},
                                   headers={"Idempotency-Key": key})
        return status, json.loads(body) if body else {}
