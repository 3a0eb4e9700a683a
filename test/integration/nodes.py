# SPDX-License-Identifier: PostgreSQL
"""Looking behind pgweir: on which node a statement really ran.

Every server keeps the last text it got in pg_stat_activity, also when idle.
A statement with a mark of its own in a comment is thus found on its node.
"""
import itertools

marks = itertools.count(1)


class Nodes:
    """Open superuser sessions on all nodes; use as a context manager."""

    def __init__(self, tier):
        env = tier.env()
        self.conns = {}
        for name, port in zip(env["NODES"].split(), env["NODE_PORTS"].split()):
            self.conns[name] = tier.connect(int(port), user="postgres", dbname="postgres")
        self.primary = env["PRIMARY"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for conn in self.conns.values():
            conn.close()

    def holding(self, mark):
        """Names of the nodes on which a client's last text has this mark."""
        found = []
        for name, conn in self.conns.items():
            row = conn.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s "
                               "AND pid <> pg_backend_pid() AND usename <> 'pgweir'",
                               (f"%{mark}%",)).fetchone()
            if row[0]:
                found.append(name)
        return found

    def role_of(self, run, text):
        """Run `text` with a mark by run(text); 'primary', 'replica' or None (not seen)."""
        mark = f"mark-{next(marks)}-end"
        run(f"{text} /* {mark} */")
        found = self.holding(mark)
        if not found:
            return None
        return "primary" if self.primary in found else "replica"

    def wait_replayed(self, seconds=20):
        """Until every replica has replayed what the primary has written so far."""
        from lib import until
        lsn = self.conns[self.primary].execute("SELECT pg_current_wal_flush_lsn()").fetchone()[0]

        def reached():
            return all(conn.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn",
                                    (lsn,)).fetchone()[0]
                       for name, conn in self.conns.items() if name != self.primary)
        until("replicas to catch up", seconds, reached)
