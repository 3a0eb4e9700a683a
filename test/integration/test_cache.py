# SPDX-License-Identifier: PostgreSQL
"""The result cache. A hit is shown by changing the row behind pgweir's back: an
answer from the cache is the old row, one from a server the new row."""
import time
from decimal import Decimal

from lib import check, equal, limit, quick, raises, until

OPTIONS = {"cache": "on", "cache_min_hits": 2, "cache_ttl": 60}


class Table:
    """A table of its own per test, with a value that only the test changes."""

    def __init__(self, tier, name):
        self.name = name
        self.direct = tier.connect()
        self.direct.execute(f"DROP TABLE IF EXISTS {name} CASCADE")
        self.direct.execute(f"CREATE TABLE {name}(k int PRIMARY KEY, v int)")
        self.direct.execute(f"INSERT INTO {name} SELECT i, 0 FROM generate_series(1, 10) i")
        self.replicas = [tier.connect(port) for port in tier.replica_ports()]
        self.wait_replayed()

    def change_unseen(self, value):
        """Change every row without pgweir seeing it, and let replicas replay it."""
        self.direct.execute(f"UPDATE {self.name} SET v = %s", (value,))
        self.wait_replayed()

    def wait_replayed(self):
        lsn = self.direct.execute("SELECT pg_current_wal_flush_lsn()").fetchone()[0]
        for replica in self.replicas:
            until("replay", 20, lambda c=replica: c.execute(
                "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)).fetchone()[0])


def warm(conn, sql, params=None, times=6):
    for _ in range(times):
        got = conn.execute(sql, params).fetchone()
        time.sleep(0.15)
    return got


def warm_up(weir, conn, sql, params=None, **kwargs):
    """Until an answer comes from the cache."""
    def hits():
        return weir.metrics().get("pgweir_cache_hits_local_total", 0)

    def is_hit():
        before = hits()
        conn.execute(sql, params, **kwargs).fetchone()
        return hits() > before
    until("a hit", 20, is_hit, 0.1)


def is_served_old(conn, table, sql, params=None):
    """True when the answer comes from the cache."""
    old = conn.execute(sql, params).fetchone()
    table.change_unseen((old[0] or 0) + 1000)
    return conn.execute(sql, params).fetchone() == old


def ready(weir):
    """The catalog must be known before anything is cached."""
    weir.need_pgweir()
    time.sleep(1)


@quick
def test_hot_reads_are_cached(weir, tier, sub):
    ready(weir)
    for label, kwargs in (("simple", {"prepare": False}), ("extended", {"prepare": False}),
                          ("prepared", {"prepare": True})):
        with sub(f"cache::hot {label}"), weir.connect() as conn:
            t = Table(tier, f"hot_{label}")
            sql = f"SELECT v FROM hot_{label} WHERE k = " + ("1" if label == "simple" else "%s")
            params = None if label == "simple" else (1,)
            warm_up(weir, conn, sql, params, **kwargs)
            t.change_unseen(7)
            equal(conn.execute(sql, params, **kwargs).fetchone(), (0,))
            with weir.connect() as other:
                equal(other.execute(sql, params, **kwargs).fetchone(), (0,))


@quick
def test_a_write_invalidates(weir, tier, sub):
    ready(weir)
    writes = {
        "update": ["UPDATE {t} SET v = v + 1 WHERE k = 1"],
        "insert": ["INSERT INTO {t} VALUES (100, 0)", "UPDATE {t} SET v = v + 1"],
        "delete": ["DELETE FROM {t} WHERE k = 1", "INSERT INTO {t} VALUES (1, 1)"],
        "transaction": ["BEGIN", "UPDATE {t} SET v = v + 1", "COMMIT"],
        "cte": ["WITH w AS (UPDATE {t} SET v = v + 1 RETURNING 1) SELECT count(*) FROM w"],
        "truncate": ["TRUNCATE {t}", "INSERT INTO {t} VALUES (1, 1)"],
        "do block": ["DO $$ BEGIN UPDATE {t} SET v = v + 1; END $$"],
        "function": ["SELECT bump_{t}()"],
        "copy": ["COPY"],
        "merge": ["MERGE INTO {t} USING (VALUES (1)) s(k) ON {t}.k = s.k "
                  "WHEN MATCHED THEN UPDATE SET v = {t}.v + 1"],
        "alter": ["ALTER TABLE {t} ALTER v TYPE bigint USING v + 1"],
        "prepared": ["PREPARE up AS UPDATE {t} SET v = v + 1", "EXECUTE up"],
        "multi": ["SELECT 1; UPDATE {t} SET v = v + 1"],
    }
    for label, texts in writes.items():
        with sub(f"cache::invalidated by {label}"), weir.connect() as conn, \
                weir.connect() as reader:
            name = "inv_" + label.replace(" ", "_")
            t = Table(tier, name)
            t.direct.execute(f"CREATE OR REPLACE FUNCTION bump_{name}() RETURNS void LANGUAGE sql "
                             f"AS 'UPDATE {name} SET v = v + 1'")
            time.sleep(0.3)
            sql = f"SELECT coalesce(sum(v), 0) FROM {name} WHERE k = 1"
            warm(reader, sql)
            for text in texts:
                if text == "COPY":
                    conn.execute(f"DELETE FROM {name} WHERE k = 1")
                    with conn.cursor().copy(f"COPY {name} FROM STDIN") as c:
                        c.write_row((1, 1))
                else:
                    conn.execute(text.format(t=name), prepare=False)
            equal(int(conn.execute(sql).fetchone()[0]), 1, "the writer's read")
            # Another session may read a replica that lags, but not the old entry for ever.
            until("another session's read", 10,
                  lambda: int(reader.execute(sql).fetchone()[0]) == 1)


@quick
def test_joined_tables_and_views_are_dependencies(weir, tier):
    ready(weir)
    with weir.connect() as conn:
        a, _ = Table(tier, "dep_a"), Table(tier, "dep_b")
        a.direct.execute("DROP VIEW IF EXISTS dep_view")
        a.direct.execute("CREATE VIEW dep_view AS SELECT dep_a.k, dep_a.v + dep_b.v AS v "
                         "FROM dep_a JOIN dep_b USING (k)")
        time.sleep(1.5)
        for sql in ("SELECT v FROM dep_view WHERE k = 1",
                    "SELECT a.v + b.v FROM dep_a a JOIN dep_b b USING (k) WHERE k = 1",
                    "SELECT (SELECT v FROM dep_a WHERE k = 1) + (SELECT v FROM dep_b WHERE k = 1)"):
            before, = warm(conn, sql)
            conn.execute("UPDATE dep_b SET v = v + 1")
            equal(conn.execute(sql).fetchone(), (before + 1,), sql)
            conn.execute("UPDATE dep_a SET v = v + 1")
            equal(conn.execute(sql).fetchone(), (before + 2,), sql)


@quick
def test_never_cached(weir, tier, sub):
    ready(weir)
    t = Table(tier, "never")
    time.sleep(0.5)
    texts = ["SELECT v FROM never WHERE k = 1 AND now() IS NOT NULL",
             "SELECT v FROM never WHERE k = 1 AND random() >= 0",
             "SELECT v FROM never WHERE k = 1 FOR SHARE",
             "SELECT v FROM never WHERE k = 1 AND clock_timestamp() IS NOT NULL",
             "SELECT v FROM never WHERE k = 1 AND current_date IS NOT NULL",
             "SELECT v FROM never WHERE k = 1 AND txid_current() > 0",
             "SELECT v FROM never WHERE k = 1 AND statement_timestamp() IS NOT NULL",
             "SELECT v /* pgweir: cache=off */ FROM never WHERE k = 1",
             "WITH w AS (INSERT INTO never VALUES (nextval('never_seq') + 1000, 0) RETURNING 1) "
             "SELECT v FROM never WHERE k = 1"]
    t.direct.execute("CREATE SEQUENCE IF NOT EXISTS never_seq")
    for sql in texts:
        with sub(f"cache::never {sql[:60]}"), weir.connect() as conn:
            warm(conn, sql)
            check(not is_served_old(conn, t, sql), "served from the cache")


@quick
def test_in_a_transaction_that_wrote(weir, tier):
    ready(weir)
    t = Table(tier, "intx")
    time.sleep(0.5)
    sql = "SELECT v FROM intx WHERE k = 1"
    with weir.connect() as conn:
        warm(conn, sql)
        conn.execute("BEGIN")
        conn.execute("UPDATE intx SET v = 5 WHERE k = 1")
        equal(conn.execute(sql).fetchone(), (5,))
        with weir.connect() as other:
            equal(other.execute(sql).fetchone(), (0,), "an uncommitted write was seen")
        conn.execute("ROLLBACK")
        equal(conn.execute(sql).fetchone(), (0,))
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        equal(conn.execute("SELECT count(*) FROM intx").fetchone(), (10,))
        t.change_unseen(9)
        equal(conn.execute("SELECT min(v) FROM intx").fetchone(), (0,))
        conn.execute("COMMIT")


@quick
def test_the_key_tells_sessions_apart(weir, tier, sub):
    ready(weir)
    t = Table(tier, "keyed")
    t.direct.execute("DROP TABLE IF EXISTS keyed_time")
    t.direct.execute("CREATE TABLE keyed_time AS SELECT 1 AS k, 1.5::float8 / 7 AS f, "
                     "timestamptz '2020-01-01 00:00:00+00' AS at, '\\xff'::bytea AS b, "
                     "interval '1 day 2 hours' AS i")
    time.sleep(1)
    sql = "SELECT at::text, f::text, b::text, i::text FROM keyed_time WHERE k = 1"
    with sub("cache::key settings"), weir.connect() as plain, weir.connect() as other:
        base = warm(plain, sql)
        for setting, value in (("TimeZone", "Asia/Tokyo"), ("DateStyle", "German"),
                               ("extra_float_digits", "-5"), ("bytea_output", "escape"),
                               ("IntervalStyle", "iso_8601")):
            other.execute(f"SET {setting} = '{value}'")
            got = warm(other, sql)
            check(got != base, f"{setting} isn't in the key")
            equal(warm(plain, sql, times=2), base, setting)
            other.execute(f"RESET {setting}")
            equal(warm(other, sql, times=1), base, f"after RESET {setting}")
    with sub("cache::key search_path"), weir.connect() as a, weir.connect() as b:
        for schema in ("key_a", "key_b"):
            t.direct.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            t.direct.execute(f"CREATE SCHEMA {schema}")
            t.direct.execute(f"CREATE TABLE {schema}.who AS SELECT '{schema}' AS name")
        time.sleep(1)
        a.execute("SET search_path = key_a")
        b.execute("SET search_path = key_b")
        for _ in range(5):
            equal(a.execute("SELECT name FROM who").fetchone(), ("key_a",))
            equal(b.execute("SELECT name FROM who").fetchone(), ("key_b",))
    with sub("cache::key role"), weir.connect() as app, weir.connect(user="pgweir") as other:
        warm(app, "SELECT v FROM keyed WHERE k = 9")
        raises("42501", other.execute, "SELECT v FROM keyed WHERE k = 9")
    with sub("cache::key parameters"), weir.connect() as conn:
        conn.execute("UPDATE keyed SET v = k")  # through pgweir: some of it is cached
        t.wait_replayed()
        for _ in range(4):
            for k in range(1, 6):
                equal(conn.execute("SELECT v FROM keyed WHERE k = %s", (k,)).fetchone(), (k,))
                equal(conn.execute(f"SELECT v FROM keyed WHERE k = {k}").fetchone(), (k,))
    with sub("cache::key result format"), weir.connect() as conn:
        for _ in range(4):
            for binary in (True, False):
                equal(conn.execute("SELECT v FROM keyed WHERE k = %s", (1,),
                                   binary=binary).fetchone(), (1,))


@quick
def test_parameters_that_name_a_moment(weir, tier):
    ready(weir)
    t = Table(tier, "moments")
    sql = "SELECT v FROM moments WHERE k = 1 AND %s::text <> 'x'"
    with weir.connect(prepare_threshold=None) as conn:
        for word, is_cached in (("some day", True), ("today", False), ("Now", False)):
            if is_cached:
                warm_up(weir, conn, sql, (word,))
            else:
                warm(conn, sql, (word,))
            equal(is_served_old(conn, t, sql, (word,)), is_cached, word)


@quick
def test_strong_sessions_are_not_answered_from_it(weir, tier):
    ready(weir)
    t = Table(tier, "not_for_strong")
    sql = "SELECT v FROM not_for_strong WHERE k = 1"
    with weir.connect() as conn:
        warm_up(weir, conn, sql)
        check(is_served_old(conn, t, sql), "the result is cached")
        conn.execute("SET pgweir.consistency = 'strong'")
        warm(conn, sql)
        check(not is_served_old(conn, t, sql), "a strong session asks the servers")


@quick
def test_row_security(weir, tier):
    ready(weir)
    with tier.connect(user="postgres") as admin:
        admin.execute("DROP TABLE IF EXISTS secured")
        admin.execute("CREATE TABLE secured(k int, owner text)")
        admin.execute("INSERT INTO secured VALUES (1, 'a'), (2, 'b')")
        admin.execute("ALTER TABLE secured ENABLE ROW LEVEL SECURITY")
        admin.execute("CREATE POLICY own ON secured USING (owner = current_setting('my.owner'))")
        admin.execute("GRANT SELECT ON secured TO app")
    time.sleep(1.5)
    a, b = weir.connect(), weir.connect()
    a.execute("SET my.owner = 'a'")
    b.execute("SET my.owner = 'b'")
    for _ in range(6):
        equal(a.execute("SELECT k FROM secured").fetchall(), [(1,)])
        equal(b.execute("SELECT k FROM secured").fetchall(), [(2,)])
    a.close()
    b.close()


@quick
def test_ttl(start, tier):
    weir = start({"cache": "on", "cache_min_hits": 1, "cache_ttl": 4})
    ready(weir)
    t = Table(tier, "ttl_table")
    with weir.connect() as conn:
        sql = "SELECT v FROM ttl_table WHERE k = 1"
        warm_up(weir, conn, sql)
        time.sleep(4.2)
        warm(conn, sql, times=3)
        t.change_unseen(3)
        equal(conn.execute(sql).fetchone(), (0,))
        until("the entry's end", 15, lambda: conn.execute(sql).fetchone() == (3,))


@quick
def test_cache_by_hint(start, tier):
    weir = start({"cache": "off"})
    ready(weir)
    t = Table(tier, "hinted")
    with weir.connect() as conn:
        hinted = "SELECT v FROM hinted WHERE k = 1 /* pgweir: cache=on */"
        plain = "SELECT v FROM hinted WHERE k = 2"
        warm_up(weir, conn, hinted)
        warm(conn, plain)
        t.change_unseen(4)
        equal(conn.execute(hinted).fetchone(), (0,))
        equal(conn.execute(plain).fetchone(), (4,))


@limit(90)
def test_a_second_pgweir_shares_it_through_redis(start, tier, sub):
    options = {"cache": "on", "cache_min_hits": 1, "cache_ttl": 60,
               "cache_redis_timeout": 0.5}
    t = Table(tier, "shared_rows")  # before their catalogs are read
    one, two = start(options), start(options)
    ready(one)
    sql = "SELECT v FROM shared_rows WHERE k = 1"
    with one.connect() as a, two.connect() as b:
        warm_up(one, a, sql)
        t.change_unseen(11)
        with sub("cache::Redis hit of a second pgweir"):
            equal(b.execute(sql).fetchone(), (0,))
            check(two.stat("cache_hits_redis") >= 1, "no hit in Redis counted")
        with sub("cache::a write through one voids the other's entries"):
            warm(b, sql, times=3)
            a.execute("UPDATE shared_rows SET v = 12")
            equal(a.execute(sql).fetchone(), (12,))
            until("the other pgweir's answer", 5, lambda: b.execute(sql).fetchone() == (12,))


@limit(90)
def test_ddl_through_the_other_pgweir(start, tier):
    """A table dropped and made again elsewhere: its new self is what entries depend on."""
    Table(tier, "remade")
    options = {"cache": "on", "cache_min_hits": 1, "cache_ttl": 60, "cache_redis_timeout": 0.5}
    one, two = start(options), start(options)
    ready(one)
    sql = "SELECT sum(v) FROM remade"
    with one.connect() as a, two.connect() as b:
        warm(b, sql)
        for turn in range(1, 6):
            a.execute("DROP TABLE remade")
            a.execute("CREATE TABLE remade(k int PRIMARY KEY, v int)")
            a.execute("INSERT INTO remade VALUES (1, 0)")
            until("the new table", 10, lambda: b.execute(sql).fetchone() == (0,))
            warm(b, sql, times=3)
            a.execute("UPDATE remade SET v = %s", (turn,))
            until(f"the write in turn {turn}", 5,
                  lambda t=turn: b.execute(sql).fetchone() == (t,))
            warm(b, sql, times=3)


@limit(90)
def test_a_table_made_anew_through_one_is_known_to_the_other(start, tier):
    """Its oid is another one: writes through the other must void what the first has cached."""
    t = Table(tier, "anew")
    options = {"cache": "on", "cache_min_hits": 1, "cache_ttl": 60, "cache_redis_timeout": 0.5}
    one, two = start(options), start(options)
    ready(one)
    sql = "SELECT v FROM anew WHERE k = 1"
    with one.connect() as a, two.connect() as b:
        warm(a, sql)
        warm(b, sql)
        for round in range(3):
            a.execute("DROP TABLE anew")
            a.execute("CREATE TABLE anew(k int PRIMARY KEY, v int)")
            a.execute("INSERT INTO anew VALUES (1, 0)")
            t.wait_replayed()
            time.sleep(0.3)
            for value in range(1, 4):
                warm(a, sql, times=3)
                b.execute("UPDATE anew SET v = %s", (value,))
                equal(b.execute(sql).fetchone(), (value,))
                until("the first one's answer", 5, lambda v=value: a.execute(sql).fetchone() == (v,))
            time.sleep(2.5 if round == 1 else 0)  # also when no oid is in doubt any more


@limit(90)
def test_redis_gone_is_only_a_miss(start, tier):
    Table(tier, "no_redis")
    weir = start({"cache": "on", "cache_min_hits": 1,
                  "cache_redis": "redis://127.0.0.1:1", "cache_ttl": 60})
    ready(weir)
    with weir.connect() as conn:
        sql = "SELECT v FROM no_redis WHERE k = 1"
        warm_up(weir, conn, sql)
        check(weir.stat("cache_hits_local") >= 1, "the local level works alone")
        # Other processes can't be heard, so nothing is kept for longer than a second.
        time.sleep(1.1)
        before = weir.stat("cache_misses")
        conn.execute(sql)
        equal(weir.stat("cache_misses"), before + 1)
        conn.execute("UPDATE no_redis SET v = 3")
        equal(conn.execute(sql).fetchone(), (3,))


@quick
def test_large_results_pass_uncached(start, tier):
    weir = start({"cache": "on", "cache_min_hits": 1, "cache_entry_max": "4kB"})
    ready(weir)
    t = Table(tier, "big_rows")
    t.direct.execute("DROP TABLE IF EXISTS big_text")
    t.direct.execute("CREATE TABLE big_text AS SELECT 1 AS k, repeat('x', 100000) AS t")
    time.sleep(1)
    with weir.connect() as conn:
        for _ in range(5):
            equal(len(conn.execute("SELECT t FROM big_text").fetchone()[0]), 100000)


@quick
def test_a_pipeline_gets_hits_in_order(weir, tier):
    ready(weir)
    Table(tier, "piped_cache")
    time.sleep(0.5)
    with weir.connect() as conn:
        sql = "SELECT v FROM piped_cache WHERE k = %s"
        for k in (1, 2):
            warm(conn, sql, (k,))
        with conn.pipeline():
            cursors = []
            for i in range(30):
                cursors.append(conn.execute(sql, (1 + i % 2,)))
                cursors.append(conn.execute("SELECT %s::int", (i,)))
            got = [c.fetchone()[0] for c in cursors]
        equal(got, [x for i in range(30) for x in (0, i)])


@quick
def test_the_key_tells_types_of_parameters_apart(weir, tier):
    """The same text and the same bytes of a parameter are another value by another type."""
    ready(weir)
    Table(tier, "typed")
    time.sleep(0.3)
    sql = "SELECT v + %t / 2 FROM typed WHERE k = 1"
    with weir.connect() as conn:
        for prepare in (False, True):
            for _ in range(5):
                equal(conn.execute(sql, (7,), prepare=prepare).fetchone(), (3,), "integer")
                equal(conn.execute(sql, (Decimal(7),), prepare=prepare).fetchone(),
                      (Decimal("3.5"),), "numeric")
                time.sleep(0.1)
