# SPDX-License-Identifier: PostgreSQL
"""Ports for the servers of tests and benchmarks.

They lie below the range that the kernel gives to outgoing connections (32768
and up, ip_local_port_range in ip(7)), since one of those may take a port between
the moment it is found free and the moment its server listens. A port that was
given out is claimed by an abstract socket of its number (unix(7)) for as long
as this process lives, so that runs side by side don't get the same one.
"""
import random
import socket

FIRST, LAST = 10000, 20999              # of single servers
FIRST_BASE, LAST_BASE = 21000, 29900    # of tiers, a hundred ports each

# Offsets of a tier's servers from its base port; see servers.py.
OFFSETS = (0, 1, 10, 11, 12, 13, 20, 21, 22, 23, 30)

_claims = []


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(port):
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0pgweir-test-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _find(candidates, offsets):
    """The first of the ports, from a random one on, that is claimed now and free at all offsets."""
    start = random.randrange(len(candidates))
    for port in [*candidates[start:], *candidates[:start]]:
        if all(is_free(port + offset) for offset in offsets) and _claim(port):
            return port
    raise SystemExit(f"no free port between {candidates[0]} and {candidates[-1]}")


def free_port():
    """A port on loopback that is free now and given to nobody else."""
    return _find(range(FIRST, LAST + 1), (0,))


def free_base_port():
    """A base port whose servers' ports are all free now."""
    return _find(range(FIRST_BASE, LAST_BASE + 1, 100), OFFSETS)
