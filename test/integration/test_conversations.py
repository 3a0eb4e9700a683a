# SPDX-License-Identifier: PostgreSQL
"""Conversations written down: message by message the answers that PostgreSQL
gives, whichever server each request meets. A conversation is a name and steps; a
step is what leaves in one piece. PostgreSQL itself is asked first, then pgweir:
of a step without a ReadyForQuery as many messages are awaited as PostgreSQL sent.

Compared are types, SQLSTATEs, tags, rows, statuses, names of columns; not texts."""
import select
import struct

import rawpg
from lib import equal, limit, quick
from rawpg import (FLUSH, SYNC, Raw, bind, close, cstr, describe, error_fields, execute, message, parse, query,
                   row_values)

OPTIONS = {"default_pool_size": 3, "max_prepared_statements": 3, "db.cache": "on", "db.cache_ttl": 30}

COPY_DONE = message("c")
SERIES = "SELECT generate_series(1, 5)"
COPY_IN = "COPY talk FROM STDIN"
MINE = "SELECT name, statement, from_sql FROM pg_prepared_statements ORDER BY name"
QUIET_S = 0.3


def run(sql, *values, portal="", rows=0):
    return parse("", sql) + bind(portal, "", values) + execute(portal, rows)


def data(text):
    return message("d", text.encode())


def fail():
    return message("f", cstr("no"))


def call(function, value):
    """By its OID; argument and result are binary."""
    return message("F", struct.pack("!IHHHIiH", {"int4abs": 1397, "none": 99999}[function], 1, 1, 1, 4, value, 1))


TALKS = {
    # ---- COPY ----
    "COPY as a deferred BEGIN's first": [query("BEGIN"), query(COPY_IN), data("1\tx\n") + COPY_DONE,
                                         query("SELECT count(*) FROM talk"), query("ROLLBACK")],
    "COPY that fails there": [query("BEGIN"), query(COPY_IN), data("1\tx\n") + fail(), query("SELECT 1"), query("COMMIT")],
    "COPY in a batch with its BEGIN": [run("BEGIN") + run(COPY_IN) + data("1\ty\n") + COPY_DONE +
                                       run("SELECT count(*) FROM talk") + SYNC, query("ROLLBACK")],
    "COPY behind Flush": [run(COPY_IN) + FLUSH, data("1\ty\n") + fail() + SYNC],
    "COPY, its Sync at once": [run(COPY_IN) + SYNC, data("1\ty\n") + fail() + SYNC],
    "a query in COPY": [run(COPY_IN) + FLUSH, data("1\ty\n") + query("SELECT 5"), SYNC],
    "a batch in COPY": [run(COPY_IN) + FLUSH, data("1\ty\n") + run("SELECT 5") + SYNC],
    "a batch in a simple COPY": [query(COPY_IN), data("1\ty\n") + run("SELECT 5") + SYNC],
    "bad data, more behind it": [query(COPY_IN), data("x\ty\n"), data("1\tz\n") + COPY_DONE + query("SELECT 3")],
    "bad data in a transaction": [query("BEGIN"), query(COPY_IN), data("x\ty\n") + COPY_DONE, query("SELECT 1"), query("ROLLBACK")],
    "two COPYs in a text": [query(f"BEGIN; {COPY_IN}; {COPY_IN}; SELECT count(*) FROM talk"), data("1\ta\n") + COPY_DONE,
                            data("2\tb\n") + COPY_DONE, query("ROLLBACK")],
    "the first of two fails": [query(f"{COPY_IN}; {COPY_IN}; SELECT 1"), data("1\ta\n") + fail(), data("2\tb\n") + COPY_DONE,
                               query("SELECT count(*) FROM talk")],
    "COPY in and out": [query(f"BEGIN; {COPY_IN}; COPY talk TO STDOUT; SELECT 1"), data("1\ta\n") + COPY_DONE, query("ROLLBACK")],
    "COPY out with a limit of rows": [run("COPY (SELECT generate_series(1, 4)) TO STDOUT", rows=1) + run("SELECT 2") + SYNC],
    "COPY out that fails": [query("COPY (SELECT 1 / (3 - g) FROM generate_series(1, 5) g) TO STDOUT; SELECT 1")],
    "COPY prepared": [parse("cp", COPY_IN) + SYNC, bind("", "cp") + describe("P", "") + execute() + data("5\ta\n") + fail() + SYNC],
    "COPY between writes of a pipeline": [
        run("INSERT INTO talk VALUES (1)") + run(COPY_IN) + data("2\tq\n") + COPY_DONE + SYNC + run("SELECT count(*) FROM talk") +
        SYNC + run("TRUNCATE talk") + SYNC],
    "COPY that fails in a pipeline": [
        run("INSERT INTO talk VALUES (1)") + run(COPY_IN) + data("zz\tq\n") + COPY_DONE + SYNC + run("SELECT count(*) FROM talk") + SYNC],
    "stray COPY data": [data("x") + query("SELECT 1"), COPY_DONE, fail() + query("SELECT 2"),
                        parse("", "SELECT 1") + data("x") + bind("", "") + COPY_DONE + execute() + SYNC],
    # ---- which statements there are ----
    "statements": [parse("a1", "SELECT 1") + parse("a2", "SELECT $1::int") + SYNC, query(MINE), query("PREPARE z AS SELECT 9"),
                   query(MINE), query("DEALLOCATE a1"), query(MINE), close("S", "a2") + SYNC, query(MINE),
                   query("DEALLOCATE ALL"), query(MINE)],
    "statements, asked in the batch": [parse("a1", "SELECT 1") + SYNC, run(MINE) + SYNC, parse("a2", "SELECT 2") + run(MINE) + SYNC],
    "statements behind Flush": [parse("a1", "SELECT 1") + SYNC, run("SELECT 5") + FLUSH, run(MINE) + FLUSH,
                                parse("a2", "SELECT 6") + FLUSH, run(MINE) + FLUSH, close("S", "a1") + run(MINE) + SYNC, run(MINE) + SYNC],
    "statements, closed in the batch": [parse("a1", "SELECT 1") + parse("a2", "SELECT 2") + SYNC, close("S", "a1") + run(MINE) + SYNC,
                                        bind("", "a2") + execute() + SYNC, bind("", "a1") + SYNC],
    "statements by a statement": [parse("pp", MINE) + FLUSH, bind("", "pp") + execute() + FLUSH, parse("b1", "SELECT 1") + FLUSH,
                                  bind("", "pp") + execute() + SYNC, bind("", "b1") + execute() + SYNC],
    "statements behind a deferred BEGIN": [query("BEGIN"), run(MINE) + FLUSH, SYNC, query("COMMIT"), query("BEGIN"), query(MINE),
                                           query("ROLLBACK")],
    "statements of a transaction undone": [query("BEGIN"), parse("a1", "SELECT 1") + SYNC, query("PREPARE q AS SELECT 5"), query(MINE),
                                           query("ROLLBACK"), query(MINE), query("EXECUTE q"), bind("", "a1") + execute() + SYNC],
    "a name that is taken, its text impossible by now": [
        parse("a1", "SELECT * FROM talk") + SYNC, query("SET search_path = pg_catalog"), run("SELECT 1") + FLUSH,
        parse("a1", "SELECT 2") + SYNC, query("SET search_path = public"), bind("", "a1") + execute() + SYNC],
    # ---- portals ----
    "a portal in parts behind a deferred BEGIN": [
        query("BEGIN"), parse("", SERIES) + bind("p", "") + execute("p", 2) + SYNC, execute("p", 2) + SYNC, execute("p", 2) + SYNC,
        execute("p", 2) + SYNC, query("COMMIT"), execute("p", 2) + SYNC],
    "a portal in parts behind Flush": [query("BEGIN"), parse("", SERIES) + bind("p", "") + execute("p", 2) + FLUSH, execute("p", 2) + FLUSH,
                                       execute("p") + SYNC, execute("p") + SYNC, query("COMMIT")],
    "a portal and SQL's cursors": [
        query("BEGIN"), parse("", SERIES) + bind("p", "") + execute("p", 2) + SYNC, query("FETCH 1 FROM p"),
        query("SELECT name, statement FROM pg_cursors"), query("CLOSE p"), execute("p") + SYNC, query("COMMIT")],
    "a cursor as a portal": [query("BEGIN"), query("DECLARE c CURSOR FOR " + SERIES), describe("P", "c") + execute("c", 2) + SYNC,
                             query("FETCH 1 FROM c"), close("P", "c") + SYNC, query("FETCH 1 FROM c"), query("ROLLBACK")],
    "cursors behind a deferred BEGIN": [query("BEGIN"), run("SELECT name FROM pg_cursors") + FLUSH, SYNC, query("COMMIT")],
    "Execute behind a deferred BEGIN": [query("BEGIN"), execute() + SYNC, query("ROLLBACK")],
    "Describe behind a deferred BEGIN": [query("BEGIN"), describe("P", "") + SYNC, query("ROLLBACK")],
    "Close behind a deferred BEGIN": [query("BEGIN"), close("P", "") + close("P", "zz") + close("S", "zz") + close("S", "") + SYNC,
                                      query("ROLLBACK")],
    "Sync behind a deferred BEGIN": [query("BEGIN"), SYNC, FLUSH, SYNC, query("COMMIT")],
    "the portal of a deferred BEGIN, run again": [run("BEGIN") + SYNC, execute() + SYNC, query("ROLLBACK")],
    "the portal of a deferred BEGIN, described": [run("BEGIN") + SYNC, describe("P", "") + SYNC, query("SELECT 1"),
                                                  describe("P", "") + SYNC, query("ROLLBACK")],
    "the portal of a deferred BEGIN, described later": [run("BEGIN") + SYNC, bind("", "none") + SYNC, describe("P", "") + SYNC,
                                                        query("ROLLBACK")],
    "the portal of a deferred BEGIN, closed": [run("BEGIN") + SYNC, close("P", "") + SYNC, execute() + SYNC, query("ROLLBACK")],
    "a named portal of a deferred BEGIN": [
        run("BEGIN", portal="b") + SYNC, query("SELECT name, statement FROM pg_cursors"), describe("P", "b") + SYNC, query("COMMIT"),
        describe("P", "b") + SYNC, run("BEGIN", portal="b") + SYNC, run("SELECT 1", portal="b") + SYNC, query("ROLLBACK"),
        run("BEGIN", portal="b") + SYNC, query("ROLLBACK"), query("BEGIN"), describe("P", "b") + SYNC, query("ROLLBACK")],
    "a BEGIN prepared before": [parse("bb", "BEGIN") + SYNC, bind("p", "bb") + execute("p") + SYNC, execute("p") + SYNC, query("COMMIT")],
    # ---- what else a session has ----
    "a function call in a batch": [parse("", "SELECT 1") + call("int4abs", 7) + bind("", "") + execute() + SYNC,
                                   query("BEGIN"), call("int4abs", 8), call("none", 1), query("ROLLBACK")],
    "a seed": [query("SELECT setseed(0.5)"), query("SELECT random()"), query("SELECT 1"), run("SELECT random()") + SYNC,
               query("SET seed = 0.25"), query("SELECT random()"), query("SELECT random()")],
    "a BEGIN twice": [query("BEGIN"), query("BEGIN"), query("SELECT 1"), query("COMMIT"), query("COMMIT")],
}


def columns(body):
    at, names = 2, []
    for _ in range(struct.unpack_from("!H", body)[0]):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


def as_text(kind, body):
    if kind == "E":
        return "E " + error_fields(body)["C"]
    if kind == "D":
        return f"D {row_values(body)}"
    if kind == "T":
        return f"T {columns(body)}"
    if kind in "CZ":
        return f"{kind} {body.decode()}".rstrip("\0")
    if kind in "dtV":
        return f"{kind} {body!r}"
    return kind


def hear(raw, said):
    """One more message that counts; False: there is none any more."""
    while True:
        try:
            kind, body = raw.read()
        except rawpg.Closed:
            said.append("closed")
            return False
        if kind not in "NSA":
            said.append(as_text(kind, body))
            return True


def is_quiet(raw):
    return not raw.buffer and not select.select([raw.sock], [], [], QUIET_S)[0]


def end_count(step):
    """How many ReadyForQuery it has in its answer, unless some of it is met by a COPY."""
    at = count = 0
    while at < len(step):
        count += step[at:at + 1] in (b"Q", b"S")
        at += 1 + int.from_bytes(step[at + 1:at + 5], "big")
    return count


def hear_all(raw, step, said):
    """What is said of a step until it is over, or nothing comes any more."""
    ends = end_count(step)
    while not is_quiet(raw) and hear(raw, said):
        ends -= said[-1][0] == "Z"
        if ends == 0 and said[-1][0] == "Z" and not raw.buffer:
            return


def hold(port, steps, counts):
    """All that was said; counts: of messages for each step, filled in if there are none."""
    said, is_first = [], not counts
    with Raw(port, 20) as raw:
        equal(raw.log_in(), None)
        for number, step in enumerate(steps):
            before = len(said)
            raw.send(step)
            if is_first:
                hear_all(raw, step, said)
                counts.append(len(said) - before)
            while len(said) - before < counts[number] and hear(raw, said):
                pass
            if said[-1:] == ["closed"]:
                break
    return said


@quick
@limit(240)
def test_the_answers_are_those_of_postgresql(weir, tier, sub):
    with tier.connect() as conn:
        conn.execute("DROP TABLE IF EXISTS talk; CREATE TABLE talk (a int, b text)")
    for name, steps in TALKS.items():
        with sub(name):
            steps, counts = steps + [SYNC + query("SELECT 'the end'")], []
            wanted = hold(tier.primary_port(), steps, counts)
            equal(hold(weir.port, steps, counts), wanted)
    with tier.connect() as conn:
        conn.execute("DROP TABLE talk")
