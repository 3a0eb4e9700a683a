# SPDX-License-Identifier: PostgreSQL
"""TLS on both sides: modes, channel binding, the handshake that comes unasked, what is refused."""
import os
import socket
import ssl
import struct
import subprocess

import servers
from lib import check, equal, limit, needs, patient, quick, raises
from rawpg import SYNC, Closed, Raw, bind, execute, parse, startup
from test_plain import Plain


def make_certificate(folder, session):
    key, cert = (os.path.join(folder, n) for n in ("tls.key", "tls.crt"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days",
                    "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True, stdin=subprocess.DEVNULL)
    for path in (key, cert):
        session.give(path)
    return key, cert


@quick
@needs("openssl")
@limit(90)
def test_tls(start, folder, sub):
    key, cert = make_certificate(folder, start.__self__)
    weir = start({"client_tls_sslmode": "require", "client_tls_key_file": key,
                  "client_tls_cert_file": cert})
    for mode in ("require", "verify-ca", "verify-full"):
        with sub(f"login::TLS {mode}"), weir.connect(sslmode=mode, sslrootcert=cert) as conn:
            check(conn.pgconn.ssl_in_use, "TLS is in use")
            rows = conn.execute("SELECT repeat('x', 1000) FROM generate_series(1, 5000)").fetchall()
            equal(len(rows), 5000)
    with sub("login::TLS required of a plain client"):
        raises(None, lambda: weir.connect(sslmode="disable"))
    with sub("login::bytes smuggled behind SSLRequest"), Raw(weir.port) as raw:
        # What is sent in clear behind SSLRequest must not be read as the client's.
        raw.send(struct.pack("!II", 8, 80877103), startup({"user": "app", "database": "app"}))
        try:
            check(raw.take(1) in (b"S", b"E"), "neither TLS nor an error")
            check(raw.is_closed(), "the smuggled startup packet was answered")
        except Closed:
            pass


@quick
@needs("openssl")
def test_certificates_are_reloaded(start, folder):
    """RELOAD reads renewed files; who is connected stays, a file that is wrong changes nothing."""
    key, cert = make_certificate(folder, start.__self__)
    weir = start({"client_tls_sslmode": "require", "client_tls_key_file": key,
                  "client_tls_cert_file": cert})
    verified = {"sslmode": "verify-full", "sslrootcert": cert}
    with weir.connect(**verified) as conn, weir.console(**verified) as console:
        make_certificate(folder, start.__self__)    # the same names
        raises(None, lambda: weir.connect(**verified))
        console.execute("RELOAD")
        with weir.connect(**verified) as other:
            equal(other.execute("SELECT 1").fetchone(), (1,))
        equal(conn.execute("SELECT 1").fetchone(), (1,))
        with open(key, "w", encoding="utf-8") as f:
            f.write("no key")
        raises("F0000", console.execute, "RELOAD", text="client_tls_key_file")
        with weir.connect(**verified) as other:
            equal(other.execute("SELECT 1").fetchone(), (1,))


class RecordSocket:
    """TLS over a socket that notes the length of each record that comes."""

    def __init__(self, sock):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["postgresql"])
        self.sock, self.lengths = sock, []
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.run(self.tls.do_handshake)

    def run(self, act, *args):
        while True:
            try:
                return act(*args)
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                self.take_record()
            finally:
                self.sock.sendall(self.outgoing.read())

    def take_record(self):
        head = self.exactly(5)
        length, = struct.unpack("!H", head[3:])
        self.lengths.append(length)
        self.incoming.write(head + self.exactly(length))

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise Closed()
            data += more
        return data

    def sendall(self, data):
        self.run(self.tls.write, data)

    def recv(self, size):
        return self.run(self.tls.read, size)

    def close(self):
        self.sock.close()


@quick
@needs("openssl")
def test_records_fit_libpq(start, folder, sub):
    """libpq takes 8 kB at a time; the rest of a longer record is out of sight of who polls."""
    weir = start(tls_options(folder, start.__self__))
    with sub("tls::no record is longer than 8 kB"), Raw(weir.port) as raw:
        raw.sock = RecordSocket(raw.sock)
        equal(raw.log_in(), None)
        rows = raw.rows("SELECT repeat('x', 50000) FROM generate_series(1, 40)")
        equal([len(value) for value, in rows], [50000] * 40)
        check(max(raw.sock.lengths) <= 8192 + 64, f"one of {max(raw.sock.lengths)} bytes")
        check(max(raw.sock.lengths) >= 8192, "short ones only: a large result costs too many")


class DirectTls(Raw):
    """A client that begins with the handshake, as libpq 17 with sslnegotiation=direct."""

    def __init__(self, port, alpn=("postgresql",)):
        super().__init__(port)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self.sock = context.wrap_socket(self.sock)


def can_shake_hands(weir, **how):
    try:
        with DirectTls(weir.port, **how):
            return True
    except (ssl.SSLError, OSError):
        return False


def tls_options(folder, session, **more):
    key, cert = make_certificate(folder, session)
    return {"client_tls_sslmode": "prefer", "client_tls_key_file": key,
            "client_tls_cert_file": cert, **more}


@quick
@needs("openssl")
def test_channel_binding_of_clients(start, folder, sub):
    weir = start(tls_options(folder, start.__self__))
    with sub("tls::channel_binding=require"), weir.connect(sslmode="require",
                                                           channel_binding="require") as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
    with sub("tls::channel_binding=disable"), weir.connect(sslmode="require",
                                                           channel_binding="disable") as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
    with sub("tls::a wrong password under channel binding"):
        raises(None, lambda: weir.connect(sslmode="require", channel_binding="require",
                                          password="wrong"))
    with sub("tls::PLUS isn't offered without TLS"), Raw(weir.port) as raw:
        raw.send(startup({"user": "app", "database": "app"}))
        kind, body = raw.read()
        equal((kind, body), ("R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"))


@quick
@needs("openssl")
def test_direct_tls_of_clients(start, folder, sub):
    weir = start(tls_options(folder, start.__self__))
    with sub("tls::direct"), DirectTls(weir.port) as raw:
        equal(raw.sock.selected_alpn_protocol(), "postgresql")
        equal(raw.log_in(), None)
        equal(raw.rows("SELECT 1"), [["1"]])
    with sub("tls::direct without ALPN"):
        try:
            with DirectTls(weir.port, alpn=()) as raw:
                raw.send(startup({"user": "app", "database": "app"}))
                check(raw.is_closed(), "was served")
        except (ssl.SSLError, OSError):
            pass
    with sub("tls::direct with a foreign protocol"):
        check(not can_shake_hands(weir, alpn=("h2",)), "a foreign protocol was agreed on")
    with sub("tls::a handshake cut after its first byte"), Raw(weir.port) as raw:
        raw.send(b"\x16")
        raw.sock.shutdown(socket.SHUT_WR)
        check(raw.is_closed(), "stays open")
    with sub("tls::plain log-in beside it"), weir.connect(sslmode="disable") as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))


def test_direct_tls_without_a_certificate(start):
    """Nothing to shake hands with: the bytes are a malformed startup packet."""
    weir = start({})
    check(not can_shake_hands(weir), "something shook hands")
    with weir.connect() as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))


def server_options(cert, **more):
    return {"server_tls_sslmode": "verify-full", "server_tls_ca_file": cert, **more}


@quick
@limit(120)
@needs("openssl")
def test_a_server_that_is_not_trusted(start, folder, sub):
    """Nobody waits as if it were a failover: they hear it at once."""
    session = start.__self__
    key, cert = make_certificate(folder, session)
    os.rename(cert, cert + ".other")
    other = cert + ".other"
    with Plain(session.dir, "--ssl") as tier:
        where = f"tls = host=127.0.0.1 port={tier.env()['PRIMARY_PORT']} dbname=app"
        options = {"server_tls_sslmode": "verify-ca", "failover_wait_timeout": 100, "databases": [where]}
        with sub("tls::server_tls_ca_file of somebody else"):
            weir = start({**options, "server_tls_ca_file": other})
            for _ in range(2):
                raises(None, lambda: weir.connect(dbname="tls", connect_timeout=30),
                       text="the server's certificate is not trusted")
        with sub("tls::the system's authorities"):
            weir = start_trusting(start, options, other)
            equal(weir.config()["server_tls_ca_file"], other)
            raises(None, lambda: weir.connect(dbname="tls", connect_timeout=30),
                   text="the server's certificate is not trusted")
            with open(servers.data_dir(tier.state, "node1") + "/server.crt", encoding="utf-8") as source, \
                    open(other + ".good", "w", encoding="utf-8") as good:
                good.write(source.read())
            weir = start_trusting(start, options, other + ".good")
            with weir.connect(dbname="tls") as conn:
                equal(conn.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone(), (True,))


def start_trusting(start, options, authorities):
    os.environ["SSL_CERT_FILE"] = authorities
    try:
        return start(options)
    finally:
        del os.environ["SSL_CERT_FILE"]


def log_has(weir, text):
    return any(text in line for line in weir.log_lines())


@quick
@limit(120)
@needs("openssl")
def test_channel_binding_of_servers(start, folder, sub):
    session = start.__self__
    with Plain(session.dir, "--ssl") as plain:
        session_tier, session.tier = session.tier, plain
        try:
            for wish in ("disable", "prefer", "require"):
                weir = start({"server_tls_sslmode": "require", "server_channel_binding": wish})
                with sub(f"tls::server_channel_binding={wish}"), weir.connect() as conn:
                    equal(conn.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = "
                                       "pg_backend_pid()").fetchone(), (True,))
            weir = start({"server_tls_sslmode": "disable", "server_channel_binding": "require",
                          "failover_wait_timeout": 1})
            with sub("tls::server_channel_binding=require without TLS"):
                raises(None, weir.connect)
                check(log_has(weir, "server_login_failed"), "the log says so")
        finally:
            session.tier = session_tier


@limit(120)
@needs("openssl")
def test_direct_tls_to_servers(start, folder, sub):
    """PostgreSQL 15 doesn't speak it, another pgweir does: one stands before the other."""
    options = tls_options(folder, start.__self__, client_tls_sslmode="require")
    back = start(options)
    cert = options["client_tls_cert_file"]
    line = [f"chained = host=localhost port={back.port} dbname=app"]
    for negotiation in ("postgres", "direct"):
        for binding in ("disable", "require"):
            front = start(server_options(cert, server_tls_negotiation=negotiation,
                                         server_channel_binding=binding, databases=line))
            with sub(f"tls::{negotiation} to a server, binding {binding}"), \
                    front.connect(dbname="chained") as conn:
                equal(conn.execute("SELECT 1").fetchone(), (1,))
                check(any(row["tls"] for row in front.show("SERVERS")
                          if row["database"] == "chained"), "the server connection is encrypted")


def test_direct_needs_a_mode_that_encrypts(start):
    weir = start.__self__.prepare({"server_tls_sslmode": "prefer",
                                   "server_tls_negotiation": "direct"})
    done = subprocess.run([weir.session.binary, "--check", weir.ini], capture_output=True,
                          text=True, timeout=patient(20), check=False)
    equal(done.returncode, 1)
    check("server_tls_negotiation" in done.stderr + done.stdout, done.stderr)


def tell_until(process, sent, wanted):
    """One write of a piece, as s_client takes a line that begins with K for a command; then what comes."""
    process.stdin.write(sent)
    process.stdin.flush()
    got = b""
    while wanted not in got:
        piece = os.read(process.stdout.fileno(), 65536)
        check(piece, f"{wanted} before the end")
        got += piece


@quick
@needs("openssl")
@limit(60)
def test_new_keys_between_queries(start, folder):
    """The client changes its keys and asks for the server's to change (RFC 8446, section 4.6.3)."""
    key, cert = make_certificate(folder, start.__self__)
    weir = start({"client_tls_sslmode": "require", "client_tls_key_file": key, "client_tls_cert_file": cert,
                  "auth_type": "trust"})
    body = struct.pack("!i", 196608) + b"user\0app\0database\0app\0\0"
    command = ["openssl", "s_client", "-starttls", "postgres", "-tls1_3", "-connect", f"127.0.0.1:{weir.port}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        tell_until(process, b"", b"Verify return code")
        tell_until(process, struct.pack("!i", len(body) + 4) + body, b"Z\0\0\0\5I")
        for turn in range(4):
            for _ in range(1 + turn % 2):
                tell_until(process, b"K\n", b"KEYUPDATE")
            tell_until(process, parse("", f"SELECT repeat('z', 20000) || 'turn {turn}'") + bind("", "") + execute() +
                       SYNC, f"zturn {turn}".encode())
        process.kill()
