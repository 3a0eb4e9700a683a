# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL's protocol by hand, for what a driver hides: SQLSTATEs at log-in,
the order of messages, pipelines cut at odd places, hostile bytes."""
import base64
import hashlib
import hmac
import os
import socket
import struct

import servers
from lib import equal, patient


class Closed(Exception):
    """The peer closed the connection."""


def message(kind, body=b""):
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def cstr(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def query(sql):
    return message("Q", cstr(sql))


def parse(name, sql, types=()):
    return message("P", cstr(name) + cstr(sql) + struct.pack("!H", len(types)) +
                   b"".join(struct.pack("!I", t) for t in types))


def bind(portal, name, values=(), result_binary=False):
    body = cstr(portal) + cstr(name) + struct.pack("!HH", 0, len(values))
    for v in values:
        body += struct.pack("!i", -1) if v is None else \
            struct.pack("!I", len(str(v).encode())) + str(v).encode()
    return message("B", body + (struct.pack("!HH", 1, 1) if result_binary else b"\0\0"))


def describe(kind, name):
    return message("D", kind.encode() + cstr(name))


def execute(portal="", rows=0):
    return message("E", cstr(portal) + struct.pack("!I", rows))


def close(kind, name):
    return message("C", kind.encode() + cstr(name))


SYNC, FLUSH, TERMINATE = message("S"), message("H"), message("X")


def startup(params, version=196608):
    body = struct.pack("!I", version)
    for key, value in params.items():
        body += cstr(key) + cstr(value)
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def error_fields(body):
    """The fields of an ErrorResponse or NoticeResponse by their letter."""
    return {chr(f[0]): f[1:].decode() for f in body.split(b"\0") if f}


def row_values(body):
    count, = struct.unpack_from("!H", body)
    at, values = 2, []
    for _ in range(count):
        size, = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return values


class Raw:
    """A connection; use as a context manager."""

    def __init__(self, port, timeout=15):
        self.sock = socket.create_connection(("127.0.0.1", port), patient(timeout))
        self.params, self.key, self.buffer = {}, None, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def take(self, size):
        while len(self.buffer) < size:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed()
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def read(self):
        """One message as (type, body)."""
        head = self.take(5)
        return chr(head[0]), self.take(struct.unpack("!I", head[1:])[0] - 4)

    def read_until(self, *kinds):
        """Messages up to and with the first of one of these types."""
        got = []
        while True:
            got.append(self.read())
            if got[-1][0] in kinds:
                return got

    def is_closed(self):
        """True when the peer ends the connection (whatever it says before)."""
        try:
            while True:
                self.read()
        except (Closed, struct.error):
            return True
        except socket.timeout:
            return False

    def log_in(self, user="app", dbname="app", password=None, version=196608, **params):
        """Start up and authenticate; error fields when refused, else None."""
        password = servers.USERS.get(user, "") if password is None else password
        self.send(startup({"user": user, "database": dbname, **params}, version))
        return self.authenticate(user, password)

    def authenticate(self, user, password):
        """The rest of the log-in, behind the startup packet."""
        scram = Scram(password)
        while True:
            kind, body = self.read()
            if kind == "E":
                return error_fields(body)
            if kind == "R":
                self.answer_auth(body, user, password, scram)
            elif kind == "S":
                name, value = body.split(b"\0")[:2]
                self.params[name.decode()] = value.decode()
            elif kind == "K":
                self.key = body
            elif kind == "Z":
                return None

    def answer_auth(self, body, user, password, scram):
        code, = struct.unpack_from("!I", body)
        if code == 3:
            self.send(message("p", cstr(password)))
        elif code == 5:
            inner = hashlib.md5((password + user).encode()).hexdigest()
            outer = hashlib.md5(inner.encode() + body[4:8]).hexdigest()
            self.send(message("p", cstr("md5" + outer)))
        elif code == 10:
            first = scram.first()
            self.send(message("p", cstr("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
        elif code == 11:
            self.send(message("p", scram.final(body[4:])))
        elif code == 12 and not scram.is_server(body[4:]):
            raise AssertionError("the server's signature is wrong")

    def rows(self, sql):
        """A simple query's rows; error fields raise."""
        self.send(query(sql))
        got = self.read_until("Z")
        for kind, body in got:
            if kind == "E":
                raise AssertionError(str(error_fields(body)))
        return [row_values(body) for kind, body in got if kind == "D"]


class Scram:
    """The client's side of SCRAM-SHA-256 (RFC 7677), without channel binding."""

    def __init__(self, password):
        self.password = password.encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n=,r={self.nonce}"

    def first(self):
        return ("n,," + self.bare).encode()

    def final(self, server_first):
        text = server_first.decode()
        attr = dict(part.split("=", 1) for part in text.split(","))
        if not attr["r"].startswith(self.nonce):
            raise AssertionError("the server changed the nonce")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(attr["s"]),
                                     int(attr["i"]))
        without_proof = f"c=biws,r={attr['r']}"
        signed = ",".join([self.bare, text, without_proof]).encode()
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        mask = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, mask))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.signature = hmac.digest(server_key, signed, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def is_server(self, server_final):
        return server_final == b"v=" + base64.b64encode(self.signature)


# ---- conversations ----

def logged_in(weir, user="app", dbname="app", timeout=30, **params):
    raw = Raw(weir.port, timeout)
    equal(raw.log_in(user, dbname, **params), None)
    return raw


def ask(raw, *parts):
    """The answer to one batch."""
    raw.send(*parts, SYNC)
    return raw.read_until("Z")


def ask_sql(raw, sql):
    raw.send(query(sql))
    return raw.read_until("Z")


def first_error(messages):
    """Its SQLSTATE; None: there is none."""
    return next((error_fields(b)["C"] for k, b in messages if k == "E"), None)


def values(messages):
    """Of all rows."""
    return [row_values(b) for k, b in messages if k == "D"]
