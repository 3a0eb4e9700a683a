# SPDX-License-Identifier: PostgreSQL
"""What poolers need for log-ins: a SCRAM secret as PostgreSQL stores it, and a certificate of their own."""
import base64
import hashlib
import hmac
import os
import subprocess

ITERATIONS = 64    # only the client derives a key from the password, and is to leave CPU to the others


def scram_secret(password):
    """RFC 5803; what pgweir and PgBouncer read from a user list. With it neither derives a key at a log-in."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt, stored, server = (base64.b64encode(x).decode() for x in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"


def make_certificate(cert, key):
    """Self-signed, P-256. None, or what went wrong."""
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                           "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stderr if done.returncode != 0 else None
