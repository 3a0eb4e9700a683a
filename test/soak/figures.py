# SPDX-License-Identifier: PostgreSQL
"""What is measured of pgweir while it soaks, and how that is judged. The judgement is pure."""
import os
import statistics
import time

WARM_UP_SHARE, WARM_UP_MAX_S = 0.4, 300


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("Pss:")).split()[1])


def descriptors(pid):
    """What each descriptor is, numbers left out: socket, anon_inode:[eventpoll], a path."""
    folder, found = f"/proc/{pid}/fd", []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(os.path.join(folder, name)).split(":[")[0])
        except OSError:
            continue    # closed meanwhile
    return found


class Samples:
    """Rows of figures over time; also kept in a file, for who wants to see the curve."""
    COLUMNS = ("at_s", "pss_kb", "descriptors", "servers", "server_statements",
               "statements_kept", "statement_bytes")

    def __init__(self, weir, path, log):
        self.weir, self.log, self.rows, self.began = weir, log, [], time.monotonic()
        self.file = open(path, "w", encoding="ascii", buffering=1)
        self.file.write("\t".join(self.COLUMNS) + "\n")

    def take(self):
        servers = self.weir.show("SERVERS")
        kept = [row for row in self.weir.show("MEM") if row["name"] == "prepared"]
        row = {"at_s": round(time.monotonic() - self.began),
               "pss_kb": pss_kb(self.weir.proc.pid),
               "descriptors": len(descriptors(self.weir.proc.pid)),
               "servers": len(servers),
               "server_statements": max((int(s["prepared_statements"]) for s in servers),
                                        default=0),
               "statements_kept": sum(int(row["used"]) for row in kept),
               "statement_bytes": sum(int(row["memtotal"]) for row in kept)}
        self.rows.append(row)
        self.file.write("\t".join(str(row[c]) for c in self.COLUMNS) + "\n")
        if len(self.rows) % 12 == 1:
            self.log(" ".join(f"{k}={v}" for k, v in row.items()))
        return row

    def column(self, name):
        return [row[name] for row in self.rows]


def warm(rows, seconds):
    """The rows behind the warm-up."""
    begin = min(seconds * WARM_UP_SHARE, WARM_UP_MAX_S)
    return [row for row in rows if row["at_s"] >= begin]


def growth_kb(rows):
    """From the first quarter's median of PSS to the last quarter's, and the first."""
    quarter = max(len(rows) // 4, 1)
    first, last = (statistics.median(row["pss_kb"] for row in part)
                   for part in (rows[:quarter], rows[-quarter:]))
    return last - first, first
