# SPDX-License-Identifier: PostgreSQL
"""currval and lastval are the session's own, from the first use in a pool on."""
import psycopg

from lib import check, equal, quick, raises, until

OPTIONS = {"default_pool_size": 4}

SETUP = """
DROP TABLE IF EXISTS sq_serial, sq_identity, sq_logged, sq_plain CASCADE;
DROP SEQUENCE IF EXISTS sq, sq_hidden CASCADE;
CREATE SEQUENCE sq;
CREATE SEQUENCE sq_hidden;
CREATE TABLE sq_serial (id serial, k int DEFAULT 0);
CREATE TABLE sq_identity (id int GENERATED ALWAYS AS IDENTITY, k int);
CREATE TABLE sq_logged (k int);
CREATE TABLE sq_plain (k int);
CREATE OR REPLACE FUNCTION sq_move() RETURNS bigint LANGUAGE plpgsql AS
  'DECLARE v bigint; BEGIN EXECUTE ''SELECT nextval(''''sq_hidden'''')'' INTO v; RETURN v; END';
CREATE OR REPLACE FUNCTION sq_trigger() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN NEW.k = sq_move(); RETURN NEW; END';
CREATE TRIGGER sq BEFORE INSERT ON sq_logged FOR EACH ROW EXECUTE FUNCTION sq_trigger();
"""

# What moves a sequence and gives the value, and what asks for it afterwards.
WAYS = [
    ("nextval", "SELECT nextval('sq')", "SELECT currval('sq')"),
    ("setval", "SELECT setval('sq', 700 + (random() * 100)::int)", "SELECT currval('sq')"),
    ("a serial column", "INSERT INTO sq_serial VALUES (DEFAULT) RETURNING id",
     "SELECT currval('sq_serial_id_seq')"),
    ("lastval of an identity column", "INSERT INTO sq_identity (k) VALUES (1) RETURNING id",
     "SELECT lastval()"),
    ("an INSERT inside WITH",
     "WITH w AS (INSERT INTO sq_serial VALUES (DEFAULT) RETURNING id) SELECT id FROM w",
     "SELECT currval('sq_serial_id_seq')"),
    ("UPDATE to DEFAULT", "UPDATE sq_serial SET id = DEFAULT WHERE id = "
     "(SELECT max(id) FROM sq_serial) RETURNING id", "SELECT currval('sq_serial_id_seq')"),
    ("dynamic SQL in a function", "SELECT sq_move()", "SELECT currval('sq_hidden')"),
    ("a trigger", "INSERT INTO sq_logged VALUES (0) RETURNING k", "SELECT currval('sq_hidden')"),
]


def set_up(weir):
    with weir.connect() as conn:
        conn.execute(SETUP)


def value(conn, text):
    return conn.execute(text).fetchone()[0]


def disturb(others):
    """Other sessions move the same sequences, on whatever servers there are."""
    for other in others:
        other.execute("SELECT nextval('sq'), nextval('sq_hidden'), nextval('sq_serial_id_seq'), "
                      "nextval('sq_identity_id_seq')")


def test_the_first_one_asked_for(start, sub):
    for name, move, ask in (WAYS[0], WAYS[2], WAYS[3], WAYS[6]):
        weir = start(OPTIONS)
        set_up(weir)
        with sub(f"sequences::first: {name}"), weir.connect() as conn, weir.connect() as one, \
                weir.connect() as two:
            mine = value(conn, move)
            disturb([one, two])
            equal({r["pinned"] for r in weir.show("CLIENTS")}, {""})
            equal(value(conn, ask), mine)


@quick
def test_each_way_to_move_one(weir, sub):
    set_up(weir)
    with weir.connect() as one, weir.connect() as two:
        value(one, "INSERT INTO sq_serial VALUES (DEFAULT) RETURNING id")
        for name, move, ask in WAYS:
            with sub(f"sequences::{name}"), weir.connect() as conn:
                mine = value(conn, move)
                disturb([one, two])
                equal(value(conn, ask), mine)
                equal(value(conn, ask), mine)
        with sub("sequences::COPY"), weir.connect() as conn:
            with conn.cursor().copy("COPY sq_serial (k) FROM STDIN") as copy:
                copy.write_row((-1,))
            disturb([one, two])
            equal(value(conn, "SELECT lastval()"),
                  value(conn, "SELECT id FROM sq_serial WHERE k = -1"))
        with sub("sequences::DO"), weir.connect() as conn:
            conn.execute("DO $$BEGIN PERFORM setval('sq', 4242); END$$")
            disturb([one, two])
            equal(value(conn, "SELECT currval('sq')"), 4242)


@quick
def test_in_and_behind_transactions(weir):
    set_up(weir)
    with weir.connect() as conn, weir.connect() as one, weir.connect() as two:
        conn.execute("BEGIN")
        first = value(conn, "SELECT nextval('sq')")
        equal(value(conn, "SELECT currval('sq')"), first)
        conn.execute("ROLLBACK")
        disturb([one, two])
        for begin in ("BEGIN", "BEGIN READ ONLY"):
            conn.execute(begin)
            conn.execute("SELECT count(*) FROM sq_plain")
            equal(value(conn, "SELECT currval('sq')"), first)
            conn.execute("COMMIT")
        conn.execute("DISCARD SEQUENCES; SELECT nextval('sq_hidden')")
        raises("55000", conn.execute, "SELECT currval('sq')")
        value(conn, "SELECT currval('sq_hidden')")
        conn.execute("DISCARD SEQUENCES")
        raises("55000", conn.execute, "SELECT lastval()")


@quick
def test_no_value_is_another_sessions(weir):
    """A server that had values of one session has none of them for the next."""
    set_up(weir)
    with weir.connect() as conn:
        conn.execute("SELECT nextval('sq'), nextval('sq_hidden')")
    with weir.connect() as conn:
        conn.execute("SELECT nextval('sq_hidden')")
        raises("55000", conn.execute, "SELECT currval('sq')")
    with weir.connect() as conn:
        raises("55000", conn.execute, "SELECT lastval()")


@quick
def test_more_sessions_than_servers(start):
    """Those who wait get a server all the same; whose it was hears that it has no value."""
    weir = start({"default_pool_size": 2})
    set_up(weir)
    conns = [weir.connect() for _ in range(5)]
    mine = [value(conn, "SELECT nextval('sq')") for conn in conns]
    equal(sorted(mine), list(range(1, 6)))
    check(any("kept_servers_given_up" in line for line in weir.log_lines()), "logged")
    for conn, want in zip(conns, mine):
        try:
            equal(value(conn, "SELECT currval('sq')"), want)
        except psycopg.Error as e:
            equal(e.sqlstate, "55000")
        conn.close()


@quick
def test_who_moves_none_has_no_server_kept(start):
    weir = start({"default_pool_size": 1})
    set_up(weir)
    until("the catalog with the tables", 20,
          lambda: any("catalog_read" in line for line in weir.log_lines()))

    def is_shared():
        before = len([line for line in weir.log_lines() if "kept_servers_given_up" in line])
        with weir.connect() as a, weir.connect() as b:
            a.execute("INSERT INTO sq_plain VALUES (1)")
            b.execute("DELETE FROM sq_plain")
            a.execute("UPDATE sq_serial SET k = 2")
            b.execute("SELECT count(*) FROM sq_serial")
        return before == len([line for line in weir.log_lines() if "kept_servers" in line])
    until("the catalog with the tables", 20, is_shared)
    with weir.connect() as a:
        a.execute("SELECT nextval('sq')")
    with weir.connect() as b:    # a's is free with its end
        b.execute("SELECT nextval('sq')")
