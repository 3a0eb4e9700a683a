# SPDX-License-Identifier: PostgreSQL
"""Settings whose effect only the outside sees: options of sockets, handshakes, what is told to servers.
And the list: for every setting of PgBouncer's a test that fails when it is ignored."""
import contextlib
import ctypes
import errno
import importlib
import os
import re
import socket
import ssl
import struct
import subprocess
import threading

import psycopg

import habits
import servers
from lib import Skip, check, equal, limit, needs, patient, quick, until
from rawpg import SYNC, Raw, Scram, bind, cstr, execute, message, parse, row_values, startup
from test_tls import make_certificate, tls_options

HERE = os.path.dirname(os.path.realpath(__file__))

# --- sockets ------------------------------------------------------------------------------------------

PIDFD_GETFD = 438    # the same number on every architecture


def sockets_of(pid):
    """Copies of a process's connected TCP sockets."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
                fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
                if fd < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
                    raise Skip("pidfd_getfd isn't allowed")
                with socket.socket(fileno=fd) as sock:
                    if sock.family == socket.AF_INET:
                        sock.getpeername()
                        yield sock
    finally:
        os.close(pidfd)


SOCKET_OPTIONS = {    # the kernel doubles what it is asked for as a buffer
    "tcp_keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1, 1),
    "tcp_keepidle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 901, 901),
    "tcp_keepintvl": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 31, 31),
    "tcp_keepcnt": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5, 5),
    "tcp_user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 12345, 12345),
    "tcp_socket_buffer": (socket.SOL_SOCKET, socket.SO_SNDBUF, 40000, 80000),
}


@quick
def test_socket_options(start, tier, sub):
    """On connections of clients and to servers, each as asked for."""
    weir = start({name: value for name, (_, _, value, _) in SOCKET_OPTIONS.items()})
    primary = tier.primary_port()
    with weir.connect() as conn:
        conn.execute("SELECT txid_current()")
        found = {}
        for sock in sockets_of(weir.proc.pid):
            side = "a client" if sock.getsockname()[1] == weir.port else "a server"
            if side == "a client" or sock.getpeername()[1] == primary:
                found.setdefault(side, []).append({name: sock.getsockopt(level, option) for
                                                   name, (level, option, _, _) in SOCKET_OPTIONS.items()})
    for side in ("a client", "a server"):
        for name, (_, _, _, want) in SOCKET_OPTIONS.items():
            with sub(f"effects::{name} of {side}"):
                check(want in [options[name] for options in found[side]], f"{found[side]}")


@quick
@needs("ss")
def test_listen_backlog(start):
    weir = start({"listen_backlog": 37})
    out = subprocess.run(["ss", "-Hltn", f"( sport = :{weir.port} )"], text=True, capture_output=True,
                         check=True).stdout
    equal(out.split()[2], "37", out)


# --- log-in -------------------------------------------------------------------------------------------

@quick
def test_scram_iterations(start):
    """What a plain password of the list costs; nobody can tell who is in it."""
    weir = start({"scram_iterations": 5000})
    for user in ("app", "nobody_of_that_name"):
        with Raw(weir.port) as raw:
            raw.send(startup({"user": user, "database": "app"}))
            raw.read()
            first = Scram("x").first()
            raw.send(message("p", cstr("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
            kind, body = raw.read()
            equal((kind, body[:4]), ("R", struct.pack("!I", 11)))
            equal(dict(part.split("=", 1) for part in body[4:].decode().split(","))["i"], "5000", user)


@quick
def test_ignore_startup_parameters(start):
    for value, is_refused in (("", True), ("other, no_such_setting", False)):
        weir = start({"ignore_startup_parameters": value})
        with Raw(weir.port) as raw:
            fields = raw.log_in(no_such_setting="1")
            equal(bool(fields), is_refused, f"{fields}")
        weir.stop()


@quick
def test_keys_that_servers_are_told(start, sub):
    """A database's own settings hold for clients that say nothing of them."""
    told = {"client_encoding": "LATIN1", "datestyle": "German", "timezone": "Asia/Tokyo",
            "application_name": "from_the_entry"}
    weir = start({f"db.{name}": value for name, value in told.items()})
    with Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        for name, value in told.items():
            with sub(f"effects::[databases] {name}"):
                (got,), = raw.rows(f"SHOW {name}")
                equal(got.split(",")[0], value)


@quick
def test_max_prepared_statements(start):
    """So many are kept on a server; all that the client made work."""
    weir = start({"max_prepared_statements": 3, "split": "off", "workers": 1, "default_pool_size": 1})
    with Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        for number in range(6):
            raw.send(parse(f"s{number}", f"SELECT {number}"), SYNC)
            raw.read_until("Z")
        for number in (*range(6), 0):
            raw.send(bind("", f"s{number}"), execute(), SYNC)
            rows = [row_values(body) for kind, body in raw.read_until("Z") if kind == "D"]
            equal(rows, [[str(number)]])
        row, = [r for r in weir.show("SERVERS") if r["database"] == "app"]
        equal(row["prepared_statements"], 3)
        row, = [r for r in weir.show("CLIENTS") if r["database"] == "app"]
        equal(row["prepared_statements"], 6)


NO_EFFECT = {    # as docs/pgbouncer.md has them
    "resolv_conf": "/etc/resolv.conf", "job_name": "x", "peer_id": "3", "pkt_buf": "8192",
    "sbuf_loopcnt": "6", "suspend_timeout": "11", "auth_ldap_options": "x", "client_tls_dheparams": "none",
}


@quick
def test_what_has_no_effect_is_named_once(start, sub):
    weir = start(NO_EFFECT)
    notes = [li for li in weir.log_lines() if "config_note" in li]
    with open(os.path.join(HERE, "..", "..", "docs", "pgbouncer.md"), encoding="utf-8") as f:
        documented = next(line for line in f if "without effect" in line)
    for name in NO_EFFECT:
        with sub(f"effects::{name} has none, and the log says so"):
            equal(sum(f"{name} " in note for note in notes), 1, f"{notes}")
            check(f"`{name}`" in documented, documented)


# --- TLS ----------------------------------------------------------------------------------------------

def handshake(weir, *how):
    """What openssl agreed on with pgweir, as (protocol, cipher); None: on nothing."""
    done = subprocess.run(["openssl", "s_client", "-starttls", "postgres", "-connect",
                           f"127.0.0.1:{weir.port}", *how], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=patient(20))
    found = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", done.stdout)
    return found.groups() if found else None


@quick
@needs("openssl")
def test_tls_of_clients(start, folder, sub):
    strong, weak = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    weir = start(tls_options(folder, start.__self__, client_tls_ciphers=strong,
                             client_tls13_ciphers="TLS_AES_128_GCM_SHA256",
                             client_tls_ecdhcurve="secp384r1"))
    with sub("effects::client_tls_ciphers"):
        equal(handshake(weir, "-tls1_2"), ("TLSv1.2", strong))
        equal(handshake(weir, "-tls1_2", "-cipher", weak), None)
    with sub("effects::client_tls13_ciphers"):
        equal(handshake(weir), ("TLSv1.3", "TLS_AES_128_GCM_SHA256"))
    with sub("effects::client_tls_ecdhcurve"):
        check(handshake(weir, "-groups", "P-384"), "the curve that is set")
        equal(handshake(weir, "-groups", "X25519"), None)
    weir = start(tls_options(folder, start.__self__, client_tls_protocols="tlsv1.2"))
    with sub("effects::client_tls_protocols"):
        check(handshake(weir, "-tls1_2"), "the version that is set")
        equal(handshake(weir, "-tls1_3"), None)


class TlsServer:
    """Takes connections up to the end of the handshake, and notes who came and what was agreed on."""

    def __init__(self, key, cert, client_ca):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
        self.context.load_cert_chain(cert, key)
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.seen = self.listener.getsockname()[1], []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                self.take(self.listener.accept()[0])

    def take(self, sock):
        with sock, contextlib.suppress(OSError):
            sock.settimeout(patient(10))
            sock.recv(8)
            sock.sendall(b"S")
            with self.context.wrap_socket(sock, server_side=True) as tls:
                tls.recv(1)    # with TLS 1.3 the certificate is there by now
                subject = dict(pair[0] for pair in (tls.getpeercert() or {}).get("subject", ()))
                self.seen.append((tls.version(), tls.cipher()[0], subject.get("commonName")))


@quick
@limit(90)
@needs("openssl")
def test_tls_to_servers(start, folder, sub):
    """What pgweir offers, seen by the server; the certificate it shows of itself."""
    key, cert = make_certificate(folder, start.__self__)
    cases = {
        "server_tls_protocols": ({"server_tls_protocols": "tlsv1.2"}, 0, "TLSv1.2"),
        "server_tls_ciphers": ({"server_tls_protocols": "tlsv1.2",
                                "server_tls_ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, 1,
                               "ECDHE-ECDSA-CHACHA20-POLY1305"),
        "server_tls13_ciphers": ({"server_tls13_ciphers": "TLS_AES_128_GCM_SHA256"}, 1,
                                 "TLS_AES_128_GCM_SHA256"),
        "server_tls_key_file and server_tls_cert_file": (
            {"server_tls_key_file": key, "server_tls_cert_file": cert}, 2, "localhost"),
        "no server_tls_cert_file": ({}, 2, None),
    }
    server = TlsServer(key, cert, cert)
    for name, (options, place, want) in cases.items():
        server.seen = []
        weir = start({"server_tls_sslmode": "require", "failover_wait_timeout": 1, "workers": 1,
                      "databases": [f"tls = host=127.0.0.1 port={server.port} dbname=app"], **options})
        with sub(f"effects::{name}"):
            with contextlib.suppress(psycopg.Error):
                weir.connect(dbname="tls").close()
            until("a handshake", 10, lambda: server.seen)
            equal(server.seen[0][place], want)
        weir.stop()
    server.listener.close()


# --- the list -----------------------------------------------------------------------------------------

@quick
def test_every_setting_has_a_test(sub):
    """The test is there and names the setting; one without effect is in NO_EFFECT above."""
    listed = dict(line.split() for line in habits.TESTED.strip().splitlines())
    equal(sorted(listed), sorted(name for name, _, _ in habits.settings()))
    for setting, where in listed.items():
        with sub(f"effects::{setting} is tested by {where}"):
            if where == "no_effect":
                check(setting in NO_EFFECT or setting in ("service_name", "track_extra_parameters"), where)
            elif where.startswith("unit/"):
                check(os.path.exists(os.path.join(HERE, "..", where)), "no such file")
            else:
                file, _, name = where.partition("::")
                module = importlib.import_module(f"test_{file}")
                check(callable(getattr(module, f"test_{name}", None)), "no such test")
                with open(module.__file__, encoding="utf-8") as f:
                    check(setting in f.read(), "not a word of it there")
