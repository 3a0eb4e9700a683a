# SPDX-License-Identifier: PostgreSQL
"""What code of the database does to the session: functions, column defaults, triggers."""
import time

from lib import check, equal, quick, raises, until

OPTIONS = {"default_pool_size": 6}

SETUP = """
DROP TABLE IF EXISTS inside_rows, inside_log, inside_plain CASCADE;
DROP SEQUENCE IF EXISTS inside_seq CASCADE;
CREATE SEQUENCE inside_seq;
CREATE TABLE inside_rows (id int DEFAULT nextval('inside_seq'),
                          again int DEFAULT currval('inside_seq'));
CREATE TABLE inside_log (a int);
CREATE TABLE inside_plain (a int);
CREATE OR REPLACE FUNCTION inside_set(v text) RETURNS void LANGUAGE plpgsql AS
  'BEGIN PERFORM set_config(''inside.value'', v, false); END';
CREATE OR REPLACE FUNCTION inside_set_local(v text) RETURNS void LANGUAGE plpgsql AS
  'BEGIN PERFORM set_config(''inside.local'', v, true); END';
CREATE OR REPLACE FUNCTION inside_set_plain() RETURNS void LANGUAGE plpgsql AS
  'BEGIN SET inside.value = ''plain''; END';
CREATE OR REPLACE FUNCTION inside_temp() RETURNS void LANGUAGE plpgsql AS
  'BEGIN CREATE TEMP TABLE inside_t AS SELECT 5 AS five; END';
CREATE OR REPLACE FUNCTION inside_temp_short() RETURNS void LANGUAGE plpgsql AS
  'BEGIN CREATE TEMP TABLE inside_s (a int) ON COMMIT DROP; END';
CREATE OR REPLACE FUNCTION inside_lock() RETURNS void LANGUAGE sql AS
  'SELECT pg_advisory_lock(4711)';
CREATE OR REPLACE FUNCTION inside_last() RETURNS bigint LANGUAGE sql AS 'SELECT lastval()';
CREATE OR REPLACE FUNCTION inside_updates() RETURNS void LANGUAGE plpgsql AS
  'BEGIN UPDATE inside_plain SET a = 2; END';
CREATE OR REPLACE FUNCTION inside_trigger() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN SET inside.value = ''triggered''; RETURN NEW; END';
CREATE TRIGGER inside BEFORE INSERT ON inside_log FOR EACH ROW EXECUTE FUNCTION inside_trigger();
"""


def set_up(weir):
    with weir.connect() as conn:
        conn.execute(SETUP)
    if weir.is_pgweir:    # the catalog is read again after DDL
        until("the catalog with the functions", 20, lambda: pins_of(weir, "inside_lock"))
        until("sessions of before to end", 20, lambda: not is_pinned(weir))


def pins_of(weir, function):
    with weir.connect() as conn:
        conn.execute(f"SELECT {function}()")
        pinned = is_pinned(weir)
        conn.execute("SELECT pg_advisory_unlock_all()")
    return pinned


def is_pinned(weir):
    return any(row["pinned"] for row in weir.show("CLIENTS"))


def with_others(weir, first, then):
    """`first`, then `then` on the same session, while others hold the servers that are free."""
    with weir.connect() as conn:
        conn.execute(first)
        others = [weir.connect() for _ in range(3)]
        for other in others:
            other.execute("BEGIN")
            other.execute("SELECT 1")
        got = conn.execute(then).fetchone()
        for other in others:
            other.close()
        return got


def test_functions(weir, sub):
    set_up(weir)
    show = "SELECT current_setting('inside.value', true)"
    cases = [("set_config", "SELECT inside_set('a')", show, ("a",)),
             ("SET", "SELECT inside_set_plain()", show, ("plain",)),
             ("SET by a trigger", "INSERT INTO inside_log VALUES (1)", show, ("triggered",)),
             ("temporary table", "SELECT inside_temp()", "SELECT five FROM inside_t", (5,))]
    for name, first, then, want in cases:
        with sub(f"inside::{name}"):
            equal(with_others(weir, first, then), want)
    with sub("inside::nothing of it is left to others"), weir.connect() as conn:
        for _ in range(4):
            check(conn.execute(show).fetchone()[0] in (None, ""), "leaked")


def test_what_leaves_nothing_pins_nobody(weir, sub):
    weir.need_pgweir()
    set_up(weir)
    for call in ("inside_set_local('x')", "inside_temp_short()", "inside_updates()"):
        with sub(f"inside::{call}"), weir.connect() as conn:
            conn.execute(f"SELECT {call}")
            check(not is_pinned(weir), "pinned")


def test_sequences_in_defaults_and_functions(weir, sub):
    set_up(weir)
    conns = [weir.connect() for _ in range(4)]
    with sub("inside::currval in a default"):
        for _ in range(3):
            for conn in conns:
                row = conn.execute("INSERT INTO inside_rows DEFAULT VALUES RETURNING *").fetchone()
                equal(row[0], row[1])
    with sub("inside::currval in a default alone"):
        for conn in conns:
            mine = conn.execute("SELECT currval('inside_seq')").fetchone()
            equal(conn.execute("INSERT INTO inside_rows (id) VALUES (0) RETURNING again")
                  .fetchone(), mine)
    with sub("inside::lastval in a function"):
        for conn in conns:
            mine = conn.execute("SELECT currval('inside_seq')").fetchone()
            equal(conn.execute("SELECT inside_last()").fetchone(), mine)
    for conn in conns:
        conn.close()


@quick
def test_who_moved_no_sequence_hears_it_from_postgresql(weir):
    with weir.connect() as other, weir.connect() as conn:
        other.execute("CREATE SEQUENCE IF NOT EXISTS inside_quiet")
        other.execute("SET search_path = pg_catalog")    # not to be met by the other's currval
        conn.execute("SET search_path = public, pg_catalog")
        for text in ("SELECT currval('inside_quiet')", "SELECT lastval()"):
            other.execute("SELECT nextval('public.inside_quiet')")
            raises("55000", conn.execute, text, text="is not yet defined in this session")
        conn.execute("SELECT nextval('inside_quiet')")
        conn.execute("DISCARD SEQUENCES")
        raises("55000", conn.execute, "SELECT currval('inside_quiet')",
               text='currval of sequence "inside_quiet" is not yet defined in this session')
        conn.execute("DROP SEQUENCE inside_quiet")


@quick
def test_a_table_made_anew_while_the_catalog_is_read(weir):
    """A reading of the catalog is of one moment: a table isn't taken from before its change and its defaults from
    after it."""
    again = """DROP TABLE IF EXISTS inside_anew; DROP SEQUENCE IF EXISTS inside_anew_seq;
               CREATE SEQUENCE inside_anew_seq; CREATE TABLE inside_anew (id int DEFAULT nextval('inside_anew_seq'))"""
    with weir.connect() as owner, weir.connect() as a, weir.connect() as b, weir.connect() as c:
        for i in range(60):
            owner.execute(again)
            time.sleep(0.004 * (i % 25))
            for conn in (a, b, c):
                conn.execute("INSERT INTO inside_anew DEFAULT VALUES")
            for number, conn in enumerate((a, b, c), 1):
                equal(conn.execute("SELECT currval('inside_anew_seq')").fetchone(), (number,), f"round {i}")
            for conn in (a, b, c):
                conn.execute("DISCARD SEQUENCES")
