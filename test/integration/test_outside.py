# SPDX-License-Identifier: PostgreSQL
"""What lies outside of pgweir: the system's log, the kernel's queue of connections, servers behind
Unix sockets, and cancel requests that a server doesn't end."""
import os
import select
import socket
import subprocess
import threading

from lib import Skip, check, equal, limit, needs, patient, quick, until
from rawpg import Raw, query
from test_cancels import cancel
import servers

WHO = f"user=pgweir password={servers.USERS['pgweir']}"
CANCEL = b"\x00\x00\x00\x10\x04\xd2\x16\x2e"


def listens(weir):
    """Also where the process isn't the one that the session started."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", weir.port)) == 0


def lists(weir, name):
    with weir.console() as console:
        return dict(console.execute("SHOW LISTS").fetchall())[name]


@quick
def test_tcp_defer_accept(start, sub):
    """Who sends nothing isn't even accepted; without the option he is a client that logs in."""
    for value, seen in ((1, 0), (0, 1)):
        weir = start({"tcp_defer_accept": value})
        with sub(f"outside::tcp_defer_accept={value}"), Raw(weir.port) as silent:
            if seen:
                until("the silent one to be seen", 10, lambda w=weir: lists(w, "login_clients") == 1)
            equal(lists(weir, "login_clients"), seen)
            equal(silent.log_in(), None)
            equal(silent.rows("SELECT 1"), [["1"]])


@quick
def test_unix_socket_hosts(start, folder, sub):
    """hosts=/folder:port: probes, requests and cancels go through the socket in that folder."""
    inner = start({"unix_socket_dir": folder, "databases": ["postgres = cluster=main"]})
    with sub("outside::hosts=/folder:port"):
        weir = start({"clusters": [f"near = hosts={folder}:{inner.port} {WHO}"],
                      "databases": ["near = cluster=near dbname=app"]})
        with weir.connect(dbname="near") as conn:
            equal(conn.execute("SELECT 1").fetchone(), (1,))
        peers = [r["addr"] for r in inner.show("CLIENTS") if r["user"] == "app"]
        equal(set(peers), {"unix"})
        row, = [r for r in weir.show("SERVERS") if r["user"] == "app"]
        equal([row[k] for k in ("addr", "port", "local_addr", "local_port")],
              ["unix", inner.port, "unix", weir.port])
    with sub("outside::a cancel through it"), Raw(weir.port) as raw:
        equal(raw.log_in(dbname="near"), None)
        raw.send(query("SELECT pg_sleep(30)"))
        until("it to run", 10, lambda: any(r["state"] == "active" and r["user"] == "app"
                                           for r in inner.show("CLIENTS")))
        cancel(weir.port, raw.key)
        check(any(k == "E" and b"57014" in b for k, b in raw.read_until("Z")), "canceled")


class Holder:
    """A way to the primary that passes everything on, but holds cancel requests until told."""

    def __init__(self, port):
        self.to, self.held, self.server = port, [], socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        first = conn.recv(65536)
        if first.startswith(CANCEL):
            self.held.append(conn)
            return
        with conn, socket.create_connection(("127.0.0.1", self.to)) as out:
            out.sendall(first)
            while True:
                for one in select.select([conn, out], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    (out if one is conn else conn).sendall(data)

    def release(self):
        while self.held:
            self.held.pop().close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()
        self.server.close()


@quick
@limit(90)
def test_cancel_wait_timeout(start, tier, sub):
    """A server isn't used again while a cancel request is under way to it, for so long at most."""
    for value in ("600", "1"):
        with Holder(tier.primary_port()) as holder:
            weir = start({"cancel_wait_timeout": value, "default_pool_size": 1, "db.split": "off",
                          "clusters": [f"held = hosts=127.0.0.1:{holder.port}"],
                          "databases": ["held = cluster=held dbname=app"]})
            with sub(f"outside::cancel_wait_timeout={value}"), Raw(weir.port) as first, \
                    Raw(weir.port) as second:
                for raw in (first, second):
                    equal(raw.log_in(dbname="held"), None)
                first.send(query("SELECT pg_sleep(1)"))
                until("it to run", 10, lambda w=weir: any(
                    r["database"] == "held" and r["state"] == "active" for r in w.show("CLIENTS")))
                cancel(weir.port, first.key)
                until("the request to be held", 10, lambda h=holder: h.held)
                second.send(query("SELECT 2"))
                first.read_until("Z")
                if value == "600":
                    until("the server to be kept back", 10, lambda w=weir: any(
                        r["database"] == "held" and r["sv_being_canceled"] == 1
                        for r in w.show("POOLS")))
                    equal(select.select([second.sock], [], [], 0.2)[0], [])
                    holder.release()
                check(any(k == "D" for k, _ in second.read_until("Z")), "an answer")


@quick
def test_systemd_is_told(start, folder, sub):
    """Type=notify, as Debian's unit of PgBouncer has it: one datagram once it serves."""
    path = os.path.join(folder, "notify.sock")
    for name, address in ((path, path), ("@pgweir-test-notify", "\0pgweir-test-notify")):
        with sub(f"outside::NOTIFY_SOCKET={name[0]}..."), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(address)
            told.settimeout(patient(15))
            if address == path:
                os.chmod(path, 0o777)
            os.environ["NOTIFY_SOCKET"] = name
            try:
                weir = start({})
            finally:
                del os.environ["NOTIFY_SOCKET"]
            equal(told.recv(100), b"READY=1")
            check(listens(weir), "it serves")
            weir.stop()
            told.setblocking(False)
            try:
                check(False, f"told again: {told.recv(100)}")
            except BlockingIOError:
                pass


INSIDE = """
set -e
mount -t tmpfs tmpfs "$1/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom "$1/dev/"
touch "$1/dev/log"
mount --bind "$1/log.sock" "$1/dev/log"
mount --rbind "$1/dev" /dev
exec setpriv --reuid "$2" --regid "$3" --clear-groups "$4" "$5"
"""


@quick
@needs("unshare", "setpriv")
def test_syslog(start, folder, sub):
    """Lines come to /dev/log, of a namespace of its own here, under their name and facility. When
    nobody reads them any more, nobody waits."""
    if os.geteuid() != 0:
        raise Skip("needs root, for a /dev of its own")
    session = start.__self__
    base = os.path.join(folder, "syslog")
    os.makedirs(os.path.join(base, "dev"), exist_ok=True)
    os.chmod(folder, 0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(os.path.join(base, "log.sock"))
        os.chmod(os.path.join(base, "log.sock"), 0o777)
        log.settimeout(patient(15))
        weir = start({"syslog": 1, "syslog_ident": "weir-there", "syslog_facility": "local3",
                      "log_queries": "on"})
        weir.stop()
        owner = session.user or os
        ids = [str(getattr(owner, a)) for a in ("pw_uid", "pw_gid")] if session.user else ["0", "0"]
        inside = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", INSIDE,
                                   "sh", base, *ids, os.path.abspath(session.binary), weir.ini],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        try:
            with sub("outside::syslog, syslog_ident, syslog_facility"):
                line = log.recv(4096).decode()
                facility, severity = divmod(int(line[1:line.index(">")]), 8)
                equal((facility, severity <= 6), (19, True), line)
                check(" weir-there[" in line, line)
            with sub("outside::a syslog daemon that hangs"):
                until("it to listen", 20, lambda: listens(weir))

                def dropped():
                    with weir.connect() as conn:
                        for _ in range(200):
                            conn.execute("SELECT 1")
                    return weir.metrics()["pgweir_syslog_dropped_total"]
                until("lines to be dropped", 30, dropped)
        finally:
            inside.terminate()
            inside.wait(patient(20))
