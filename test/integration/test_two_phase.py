# SPDX-License-Identifier: PostgreSQL
"""Two-phase commit with splitting and the cache on: who is told of COMMIT PREPARED sees what it committed."""
import time

from lib import equal, limit, until
from test_cache import Table, ready, warm_up

OPTIONS = {"cache": "on", "cache_min_hits": 1, "cache_ttl": 600, "max_replica_lag": 10}
STRONG = "SET pgweir.consistency = 'strong'"


def prepare(weir, gid, *texts):
    with weir.connect() as conn:
        conn.execute("BEGIN")
        for text in texts:
            conn.execute(text)
        conn.execute(f"PREPARE TRANSACTION '{gid}'")


def sees(conn, name, want):
    """From wherever its reads are served: replicas, the primary, the cache."""
    for _ in range(30):
        for hint in ("", "/* pgweir: cache=off */ ", "/* pgweir: cache=on */ "):
            equal(conn.execute(f"{hint}SELECT sum(v)::int FROM {name}").fetchone(), (want,), hint)


@limit(120)
def test_committed_by_another_session(start, tier, sub):
    weir = start(OPTIONS)
    ready(weir)
    for label, end, want in (("commit", "COMMIT PREPARED", 70), ("rollback", "ROLLBACK PREPARED", 0)):
        with sub(f"two_phase::{label}"), weir.connect() as reader, weir.connect() as other:
            name = f"two_phase_{label}"
            Table(tier, name)
            other.execute(STRONG)
            sql = f"SELECT sum(v)::int FROM {name}"
            prepare(weir, name, f"UPDATE {name} SET v = 7")
            warm_up(weir, reader, sql)
            equal(reader.execute(sql).fetchone(), (0,), "prepared only")
            with weir.connect() as ending:
                ending.execute(f"{end} '{name}'")
                sees(ending, name, want)
            sees(other, name, want)


@limit(120)
def test_a_second_pgweir_on_the_same_redis(start, tier):
    one, two = start(OPTIONS), start(OPTIONS)
    ready(two)
    name = "two_phase_shared"
    Table(tier, name)
    sql = f"SELECT sum(v)::int FROM {name}"
    prepare(one, name, f"UPDATE {name} SET v = 7")
    with one.connect() as a, two.connect() as b:
        warm_up(two, b, sql)
        a.execute(f"COMMIT PREPARED '{name}'")
        until("the new value", 5, lambda: b.execute(sql).fetchone() == (70,))


@limit(120)
def test_it_may_have_changed_the_catalog(start, tier):
    """A view reads another table from then on: changes of that are changes of the view's result."""
    weir = start(OPTIONS)
    ready(weir)
    first, second = Table(tier, "two_phase_first"), Table(tier, "two_phase_second")
    first.direct.execute("CREATE VIEW two_phase_view AS SELECT k, v FROM two_phase_first")
    first.wait_replayed()
    sql = "SELECT sum(v)::int FROM two_phase_view"
    with weir.connect() as conn:
        prepare(weir, "two_phase_view",
                "CREATE OR REPLACE VIEW two_phase_view AS SELECT k, v FROM two_phase_second")
        time.sleep(2.5)    # for two seconds the DDL itself has every write void the database
        conn.execute("COMMIT PREPARED 'two_phase_view'")
        warm_up(weir, conn, sql)
        conn.execute("UPDATE two_phase_second SET v = 7")
        equal(conn.execute(sql).fetchone(), (70,))
    equal(second.direct.execute(sql).fetchone(), (70,))
