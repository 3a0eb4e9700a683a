# SPDX-License-Identifier: PostgreSQL
"""A session never reads behind its own writes, although replicas serve reads."""
import contextlib
import itertools
import random
import threading
import time

from lib import check, equal, limit, quick, raises, until
from nodes import Nodes

OPTIONS = {"default_pool_size": 10}
KEYS = 200


def make_table(tier, name):
    with tier.connect() as conn:
        conn.execute(f"DROP TABLE IF EXISTS {name}")
        conn.execute(f"CREATE TABLE {name}(k int PRIMARY KEY, v bigint)")
        conn.execute(f"INSERT INTO {name} SELECT i, 0 FROM generate_series(1, {KEYS}) i")


class Pairs:
    """Random write-then-read pairs of one session on keys of its own."""

    def __init__(self, conn, table, seed, first=1, step=1):
        self.conn, self.table, self.random = conn, table, random.Random(seed)
        self.keys = range(first, KEYS + 1, step)
        self.want = {k: 0 for k in self.keys}
        self.stale = []

    def write(self, key, value):
        conn, t = self.conn, self.table
        kind = self.random.randrange(8)
        if kind == 0:
            with conn.transaction():
                conn.execute(f"UPDATE {t} SET v = -1 WHERE k = %s", (key,))
                conn.execute(f"UPDATE {t} SET v = %s WHERE k = %s", (value, key))
        elif kind == 1:
            conn.execute(f"WITH w AS (UPDATE {t} SET v = %s WHERE k = %s RETURNING k) "
                         "SELECT k FROM w", (value, key))
        elif kind == 2:
            conn.execute(f"INSERT INTO {t} VALUES (%s, %s) ON CONFLICT (k) "
                         "DO UPDATE SET v = excluded.v", (key, value))
        elif kind == 3:
            with conn.pipeline():
                conn.execute(f"DELETE FROM {t} WHERE k = %s", (key,))
                conn.execute(f"INSERT INTO {t} VALUES (%s, %s)", (key, value))
        else:
            conn.execute(f"UPDATE {t} SET v = %s WHERE k = %s", (value, key))

    def read(self, key):
        t, kind = self.table, self.random.randrange(4)
        if kind == 0:
            with self.conn.transaction():
                return self.conn.execute(f"SELECT v FROM {t} WHERE k = %s", (key,)).fetchone()
        if kind == 1:
            return self.conn.execute(f"SELECT max(v) FROM {t} WHERE k = {key}",
                                     prepare=False).fetchone()
        return self.conn.execute(f"SELECT v FROM {t} WHERE k = %s", (key,)).fetchone()

    def run(self, count, pause_s=0.0):
        for i in range(count):
            key = self.random.choice(self.keys)
            self.want[key] = i + 1
            self.write(key, i + 1)
            if pause_s and self.random.random() < 0.05:
                time.sleep(pause_s)
            other = self.random.choice(self.keys)
            for k in (key, other):
                got = self.read(k)
                if got != (self.want[k],):
                    self.stale.append((i, k, got, self.want[k]))


@limit(240)
def test_10000_pairs_on_one_session(weir, tier):
    make_table(tier, "pairs_one")
    with weir.connect() as conn:
        pairs = Pairs(conn, "pairs_one", seed=1)
        pairs.run(10000, pause_s=0.03)
        equal(pairs.stale[:5], [])


@limit(240)
def test_10000_pairs_on_8_sessions(weir, tier):
    make_table(tier, "pairs_eight")
    conns = [weir.connect() for _ in range(8)]
    all_pairs = [Pairs(c, "pairs_eight", seed=i, first=i + 1, step=8)
                 for i, c in enumerate(conns)]
    errors = []

    def work(pairs):
        try:
            pairs.run(1250, pause_s=0.03)
        except Exception as e:    # noqa: BLE001
            errors.append(repr(e))
    threads = [threading.Thread(target=work, args=(p,)) for p in all_pairs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(errors, [])
    equal([s for p in all_pairs for s in p.stale][:5], [])
    for conn in conns:
        conn.close()


@quick
def test_300_pairs(weir, tier):
    make_table(tier, "pairs_quick")
    with weir.connect() as conn:
        pairs = Pairs(conn, "pairs_quick", seed=2)
        pairs.run(300, pause_s=0.05)
        equal(pairs.stale[:5], [])


@quick
def test_replicas_serve_reads_when_fresh(weir, tier):
    """After a write, reads return to the replicas within moments; they aren't all primary's."""
    weir.need_pgweir()
    make_table(tier, "pairs_fresh")
    with weir.connect() as conn, Nodes(tier) as nodes:
        conn.execute("UPDATE pairs_fresh SET v = 1 WHERE k = 1")
        roles = []

        def they_return():
            roles.append(nodes.role_of(conn.execute, "SELECT v FROM pairs_fresh WHERE k = 1"))
            return roles[-20:].count("replica") >= 15
        until("15 of 20 reads on replicas", 10, they_return, 0.1)


@quick
def test_reads_spread_over_the_replicas(weir, tier):
    weir.need_pgweir()
    make_table(tier, "pairs_spread")
    with Nodes(tier) as nodes:
        nodes.wait_replayed()
        turns = itertools.count()

        def spread():
            """Where twelve open transactions are. A replica that a busy machine holds up isn't asked meanwhile."""
            turn, seen = next(turns), set()
            with contextlib.ExitStack() as stack:
                for i in range(12):
                    conn = stack.enter_context(weir.connect())
                    conn.execute("BEGIN READ ONLY")
                    conn.execute(f"SELECT v FROM pairs_spread WHERE k = 1 /* spread-{turn}-{i}-mark */")
                for i in range(12):
                    seen.update(nodes.holding(f"spread-{turn}-{i}-mark"))
            return nodes.primary not in seen and len(seen) >= 2
        until("reads on several replicas, on the primary none", 10, spread, 0.5)


@quick
def test_another_session_may_lag_but_strong_does_not(weir, tier):
    make_table(tier, "pairs_strong")
    with weir.connect() as writer, weir.connect() as reader:
        if weir.is_pgweir:
            reader.execute("SET pgweir.consistency = 'strong'")
        for i in range(1, 200):
            writer.execute("UPDATE pairs_strong SET v = %s WHERE k = 1", (i,))
            got = reader.execute("SELECT v FROM pairs_strong WHERE k = 1").fetchone()
            equal(got, (i,))


@quick
def test_a_write_hidden_in_a_stable_function(weir, tier):
    """Looks like a read; the replica refuses it, the primary then runs it, once."""
    with weir.connect() as conn, Nodes(tier) as nodes:
        conn.execute("DROP TABLE IF EXISTS hidden_log")
        conn.execute("CREATE TABLE hidden_log(t text)")
        conn.execute("CREATE OR REPLACE FUNCTION hidden_write(t text) RETURNS void VOLATILE "
                     "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hidden_log VALUES (t); END $$")
        conn.execute("CREATE OR REPLACE FUNCTION looks_like_a_read(t text) RETURNS int STABLE "
                     "LANGUAGE plpgsql AS $$ BEGIN PERFORM hidden_write(t); RETURN 1; END $$")
        nodes.wait_replayed()
        time.sleep(1)
        for i in range(10):
            equal(conn.execute("SELECT looks_like_a_read(%s)", (str(i),)).fetchone(), (1,))
            time.sleep(0.15)
        equal(conn.execute("SELECT count(*) FROM hidden_log").fetchone(), (10,))
        conn.execute("DROP FUNCTION looks_like_a_read(text)")
        conn.execute("DROP FUNCTION hidden_write(text)")
        conn.execute("DROP TABLE hidden_log")


@quick
def test_ddl_then_read(weir):
    """A table is there for its maker at once."""
    with weir.connect() as conn:
        for i in range(25):
            conn.execute("DROP TABLE IF EXISTS made_now")
            conn.execute("CREATE TABLE made_now AS SELECT %s::int AS i" % i)
            equal(conn.execute("SELECT i FROM made_now").fetchone(), (i,))
        conn.execute("DROP TABLE made_now")
        raises("42P01", conn.execute, "SELECT i FROM made_now")


@quick
def test_session_token_between_sessions(weir, tier):
    """SHOW pgweir.lsn in one session, SET pgweir.after_lsn in the other: it sees the write."""
    weir.need_pgweir()
    make_table(tier, "pairs_token")
    with weir.connect() as writer, weir.connect() as reader:
        for i in range(1, 30):
            writer.execute("UPDATE pairs_token SET v = %s WHERE k = 1", (i,))
            lsn, = writer.execute("SHOW pgweir.lsn").fetchone()
            reader.execute(f"SET pgweir.after_lsn = '{lsn}'")
            equal(reader.execute("SELECT v FROM pairs_token WHERE k = 1").fetchone(), (i,))
