# SPDX-License-Identifier: PostgreSQL
"""Redis servers of a test's own: some for themselves or a cluster, plain or by TLS with an authority of their own."""
import os
import shutil
import signal
import subprocess
import tempfile

from lib import patient, until
from ports import free_port

PASSWORD = "redis secret"


class Authority:
    """A CA in a folder, and what it signs."""

    def __init__(self, folder):
        self.folder = folder
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-days", "2", "-subj", "/CN=test CA", "-keyout", self.path("ca.key"),
                     "-out", self.path("ca.crt"))

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def sign(self, name, alt):
        """Key and certificate `name` for these alternative names."""
        with open(self.path(name + ".ext"), "w", encoding="utf-8") as f:
            f.write(f"subjectAltName={alt}\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", f"/CN={name}", "-keyout", self.path(name + ".key"), "-out", self.path(name + ".csr"))
        self.openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path("ca.crt"), "-CAkey",
                     self.path("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", self.path(name + ".ext"),
                     "-out", self.path(name + ".crt"))
        return self.path(name + ".crt"), self.path(name + ".key")


class RedisSet:
    """`count` servers; with `form` a cluster, whose second half are replicas if there are six."""

    def __init__(self, count=1, form=False, authority=None, cert="server"):
        self.folder = tempfile.mkdtemp(prefix="weir-redis-")
        os.chmod(self.folder, 0o755)
        self.authority, self.cert, self.form = authority, cert, form
        self.ports = [free_port() for _ in range(count)]
        self.bus = [free_port() for _ in range(count)]
        self.procs = [self.start(i) for i in range(count)]
        try:
            for port in self.ports:
                until("redis-server", 20, lambda p=port: self.cli(p, "ping") == "PONG")
            if form:
                self.create()
        except BaseException:
            self.stop()
            raise

    def tls_argv(self, port):
        a = self.authority
        if not a:
            return ["--port", str(port)]
        return ["--port", "0", "--tls-port", str(port), "--tls-ca-cert-file", a.path("ca.crt"),
                "--tls-cert-file", a.path(self.cert + ".crt"), "--tls-key-file", a.path(self.cert + ".key"),
                "--tls-auth-clients", "yes", "--tls-replication", "yes"]

    def start(self, i):
        folder = os.path.join(self.folder, str(i))
        os.makedirs(folder, exist_ok=True)
        argv = ["redis-server", "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile",
                os.path.join(folder, "log"), "--requirepass", PASSWORD, "--masterauth", PASSWORD,
                *self.tls_argv(self.ports[i])]
        if self.form:
            argv += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus[i]), "--cluster-node-timeout",
                     "5000", "--cluster-replica-validity-factor", "0"]
            argv += ["--tls-cluster", "yes"] if self.authority else []
        return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def cli(self, port, *words, seconds=20):
        a = self.authority
        tls = ["--tls", "--cacert", a.path("ca.crt"), "--cert", a.path(self.cert + ".crt"), "--key",
               a.path(self.cert + ".key")] if a else []
        done = subprocess.run(["redis-cli", *tls, *(["-p", str(port)] if port else []), *words],
                              env=dict(os.environ, REDISCLI_AUTH=PASSWORD), capture_output=True, text=True,
                              timeout=patient(seconds), stdin=subprocess.DEVNULL, check=False)
        return (done.stdout + done.stderr).strip()

    def create(self):
        replicas = "1" if len(self.ports) >= 6 else "0"
        said = self.cli(None, "--cluster", "create", *[f"127.0.0.1:{p}" for p in self.ports],
                        "--cluster-replicas", replicas, "--cluster-yes", seconds=90)
        assert "All 16384 slots covered" in said, said
        for port in self.ports:
            until("the cluster", 30, lambda p=port: "cluster_state:ok" in self.cli(p, "cluster", "info"))

    def nodes(self, port):
        """CLUSTER NODES as a list of words, a list per node."""
        return [line.split() for line in self.cli(port, "cluster", "nodes").splitlines()]

    def is_master(self, port):
        return self.cli(port, "role").startswith("master")

    def replica_of(self, port):
        mine = self.cli(port, "cluster", "myid")
        return [int(n[1].split("@")[0].rsplit(":", 1)[1]) for n in self.nodes(port) if n[3] == mine][0]

    def kill(self, port, signo=signal.SIGKILL):
        proc = self.procs[self.ports.index(port)]
        proc.send_signal(signo)
        if signo == signal.SIGKILL:
            proc.wait(patient(10))

    def stop(self):
        for proc in self.procs:
            proc.kill()
            proc.wait(patient(10))
        shutil.rmtree(self.folder, ignore_errors=True)
