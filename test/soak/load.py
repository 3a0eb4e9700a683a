# SPDX-License-Identifier: PostgreSQL
"""What the clients of a soak share: when to stop, what went wrong, which errors a failover excuses.

An error is excused when a failover was under way, or less than GRACE_S ago, at any time between
the begin of the client's step and the error, and when its SQLSTATE is one that a lost server may
give. A wrong value never is.
"""
import collections
import threading
import time

import psycopg

GRACE_S = 20          # after the tier has its replicas again
CLIENT_HANGS_S = 90   # without a step, outside of failovers
MAY_BE_LOST = ("08", "57P", "25006", "40001")


class Load:
    def __init__(self, weir, tier, cert, pause_s, patience):
        self.weir, self.tier, self.cert = weir, tier, cert
        self.pause_s, self.patience = pause_s, patience
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.windows = []    # [begin, end or None] of failovers
        self.problems = collections.Counter()
        self.excused = collections.Counter()
        self.steps = collections.Counter()
        self.last_step = {}

    def step(self, client):
        with self.lock:
            self.steps[client.name] += 1
            self.last_step[client] = time.monotonic()

    def problem(self, text):
        """Told at once too, so that it is found in the logs."""
        with self.lock:
            self.problems[text] += 1
            is_first = self.problems[text] == 1
        if is_first:
            when = "during a failover" if self.is_excused(time.monotonic()) else "at rest"
            print(f"# {time.strftime('%H:%M:%S')} {when}: {text}", flush=True)

    def error(self, client, error, began):
        """A client's surprise: noted as excused or as a problem."""
        if type(error).__name__ == "OutOfOrderTransactionNesting" and error.__context__:
            error = error.__context__    # a SAVEPOINT failed, of which the driver loses count
        state = getattr(error, "sqlstate", None)
        lost = state.startswith(MAY_BE_LOST) if state else is_lost(error)
        text = f"{client.name}: {state or type(error).__name__}: {first_line(error)}"
        if lost and self.is_excused(began):
            with self.lock:
                self.excused[f"{client.name} {state or type(error).__name__}"] += 1
        else:
            self.problem(text)

    def is_excused(self, since):
        with self.lock:
            return any(end is None or end + GRACE_S * self.patience > since
                       for _, end in self.windows)

    def failover_begins(self):
        with self.lock:
            self.windows.append([time.monotonic(), None])

    def failover_ends(self):
        with self.lock:
            self.windows[-1][1] = time.monotonic()

    def hanging(self):
        """Clients that have done nothing for long, by name."""
        now, bound = time.monotonic(), CLIENT_HANGS_S * self.patience
        with self.lock:
            late = [c for c, at in self.last_step.items() if now - at > bound]
        return [] if self.is_excused(now - bound) else sorted({c.name for c in late})


def is_lost(error):
    """A connection that ended, as the driver says it: without an SQLSTATE."""
    return isinstance(error, (psycopg.OperationalError, OSError, EOFError))


def first_line(error):
    return (str(error).strip().splitlines() or [""])[0][:160]
