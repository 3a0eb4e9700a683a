# SPDX-License-Identifier: PostgreSQL
"""A free range of ports for a tier."""
import os
import socket

# Offsets of a tier's servers from its base port; see test/tier/servers.py.
OFFSETS = (0, 1, 10, 11, 12, 13, 20, 21, 22, 23, 30)


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_base_port():
    """A base port whose servers' ports are all free now."""
    first = os.getpid() % 90    # runs side by side shouldn't look at the same range
    for number in range(90):
        base = 21000 + 100 * ((first + number) % 90)
        if all(is_free(base + offset) for offset in OFFSETS):
            return base
    raise SystemExit("no free port range between 21000 and 30000")
