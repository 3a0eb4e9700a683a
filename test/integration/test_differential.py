# SPDX-License-Identifier: PostgreSQL
"""Random conversations, held with pgweir and with PostgreSQL itself at the same
time: message by message the answers must be the same. Several sessions share few
servers, so that each batch may meet another one.

A conversation is a list of steps; a step is the messages that leave in one
piece. What differs by nature (parameters reported, notices, texts of errors) is
left out of the comparison."""
import collections
import os
import random
import select
import socket
import threading
import time

import rawpg
from lib import limit, quick
from rawpg import (FLUSH, SYNC, Raw, bind, close, describe, error_fields, execute, message, parse,
                   query, row_values)

OPTIONS = {"default_pool_size": 3, "max_prepared_statements": 3}

TEXTS = ["SELECT 1", "SELECT $1::int + 1", "SELECT 'x' WHERE $1::int > 3", "SELECT 1/$1::int",
         "SELECT no_such_column", "SELEC syntax", "", "SELECT generate_series(1, 5)",
         "SET work_mem = '1234kB'", "SHOW work_mem", "BEGIN", "COMMIT", "ROLLBACK",
         "SELECT pg_sleep(0.002)", "SAVEPOINT a", "ROLLBACK TO a", "RESET work_mem"]
# Not ROLLBACK TO: where that fails in a failed transaction as a simple query, PostgreSQL 15 keeps its portal, whose
# memory is gone, and an Execute of the unnamed portal may end all of its sessions (signal 11).
UNSAFE = ("ROLLBACK TO a", "ROLLBACK TO b")
SIMPLE = [text for text in TEXTS[:1] + TEXTS[4:] if text not in UNSAFE] + ["SELECT 1; SELECT 1/0", "SET work_mem = '777kB'; SELECT 1/0",
                                  "BEGIN; SET work_mem = '999kB'; COMMIT; SELECT 1/0",
                                  "DEALLOCATE ALL", "SELECT 1; SELECT 2", "DISCARD PLANS"]

# Of the second test: what ends, nests and undoes, COPY, cursors, statements of SQL, code.
MORE_TEXTS = TEXTS[:1] + TEXTS[3:5] + TEXTS[7:16] + [
    "SET LOCAL work_mem = '555kB'", "SET application_name = 'other'", "SHOW application_name",
    "SELECT set_config('work_mem', '333kB', false)", "SELECT set_config('work_mem', '444kB', true)",
    "RESET ALL", "DISCARD ALL", "SAVEPOINT b", "ROLLBACK TO b", "RELEASE a", "RELEASE b",
    "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE", "ABORT",
    "SET TRANSACTION READ ONLY", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW transaction_read_only",
    "SHOW transaction_isolation", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
    "PREPARE q AS SELECT 7", "PREPARE q AS SELECT 1/0", "EXECUTE q",
    "DEALLOCATE q", "DEALLOCATE s1", "EXECUTE s1", "DEALLOCATE ALL",
    "DECLARE c CURSOR FOR SELECT generate_series(1, 5)", "FETCH 2 FROM c", "CLOSE c",
    "DECLARE h CURSOR WITH HOLD FOR SELECT 8", "FETCH h", "CLOSE ALL", "LISTEN differ",
    "UNLISTEN *", "DO $$BEGIN COMMIT; END$$", "DO $$BEGIN PERFORM 1/0; END$$",
    "DO $$BEGIN SET work_mem = '666kB'; END$$", "DO $$BEGIN SET LOCAL work_mem = '667kB'; END$$",
    "DO $$BEGIN SET work_mem = '668kB'; COMMIT; PERFORM 1/0; END$$",
    "INSERT INTO differ VALUES (1)", "SELECT repeat('x', 70000)",
    "COPY (SELECT generate_series(1, 3)) TO STDOUT", "COPY differ FROM STDIN",
    "VACUUM differ", "SET ROLE nobody_there", "SET search_path = 'pg_catalog'", "SHOW search_path"]
MORE_SIMPLE = [text for text in MORE_TEXTS if text not in UNSAFE] + SIMPLE[-6:] + [
    "BEGIN; SET work_mem = '901kB'; SAVEPOINT a; SET work_mem = '902kB'; ROLLBACK TO a; COMMIT",
    "SET work_mem = '903kB'; COMMIT; SET work_mem = '904kB'; SELECT 1/0",
    "SELECT 1; BEGIN; SET work_mem = '905kB'; SELECT 1/0", "COMMIT; SET work_mem = '906kB'",
    "BEGIN; SELECT 1/0; COMMIT", "SET work_mem = '907kB'; ROLLBACK; SHOW work_mem",
    "SAVEPOINT a; SELECT 1", "SELECT 1; PREPARE q AS SELECT 9; SELECT 1/0", "BEGIN; COMMIT AND CHAIN",
    "ROLLBACK; BEGIN; SET LOCAL work_mem = '908kB'", "SET work_mem = '909kB'; COPY differ FROM STDIN",
    "COPY differ FROM STDIN; SELECT 2", "SELECT 1; COPY differ FROM STDIN; COPY differ FROM STDIN",
    "DISCARD ALL; SELECT 1", "SELECT set_config('work_mem', '910kB', false); SELECT 1/0"]
Words = collections.namedtuple("Words", "texts simple")
FEW, MANY = Words(TEXTS, SIMPLE), Words(MORE_TEXTS, MORE_SIMPLE)
NAMES = ["", "s1", "s2", "s3"]
PORTALS = ["", "p1"]

ENOUGH = int(os.environ.get("ENOUGH", "3"))    # problems; each may cost a time limit

TAIL = [SYNC, query("ROLLBACK"), SYNC, query("ROLLBACK"), query("SELECT 'the end'")]


def some_message(rng, names, is_keeping, words):
    kind = rng.choices("PBDECHSQd", (6, 8, 3, 8, 2, 2, 6, 3, 1))[0]
    name, portal = rng.choice(names), rng.choice(PORTALS)
    if kind == "P":
        return parse(name, rng.choice(words.texts))
    if kind == "B":
        return bind(portal, name if is_keeping else name or "s1", rng.choice([(), (4,), (0,), ("x",)]))
    if kind == "D":
        return describe("S", name if is_keeping else name or "s3") if rng.random() < 0.5 else describe("P", portal)
    if kind == "E":
        return execute(portal, rng.choice([0, 0, 2]))
    if kind == "C":
        return close("S", name) if rng.random() < 0.7 else close("P", portal)
    if kind == "Q":
        return query(rng.choice(words.simple))
    if kind == "d":
        return message(rng.choice("dcf"), b"row\n" if rng.random() < 0.5 else b"x\0")
    return FLUSH if kind == "H" else SYNC


def batch(rng, names, is_keeping, words):
    """Messages as a driver sends them, most of the time."""
    shape = rng.randrange(6)
    name = rng.choice(names)
    if shape == 0:
        return [parse("", rng.choice(words.texts)), bind("", "", rng.choice([(), (4,)])), execute(), SYNC]
    if shape == 1:
        return [close("S", name), parse(name, rng.choice(words.texts)), describe("S", name),
                rng.choice([SYNC, FLUSH])]
    if shape == 2:
        return [bind("", name if is_keeping else name or "s2", rng.choice([(), (4,), (0,)])), describe("P", ""), execute(), SYNC]
    if shape == 3:
        return [query(rng.choice(words.simple))]
    if shape == 4:
        return [parse("", rng.choice(words.texts)), describe("S", ""), SYNC, query("ROLLBACK"),
                parse("", rng.choice(words.texts)), SYNC, bind("", "", rng.choice([(), (4,)])),
                execute(), SYNC]
    return [some_message(rng, names, is_keeping, words) for _ in range(rng.randrange(1, 6))]


def parse_at_starts(messages):
    """A Sync in front of an unnamed Parse or a query that an error could skip: PostgreSQL has the older statement
    then, and pgweir none."""
    is_open = False
    for m in messages:
        if is_open and (m.startswith(b"Q") or m.startswith(b"P\0") and m[5] == 0):
            yield SYNC
        is_open = m[:1] not in (b"S", b"Q")
        yield m


def conversation(seed, is_hasty, words):
    """Who is hasty doesn't wait for answers, and so can't know which names it has: it has none. Every second one
    uses the unnamed statement in later requests."""
    is_keeping = seed % 2 == 1
    rng = random.Random(seed)
    names = NAMES[:1] if is_hasty else NAMES
    steps = [sum((batch(rng, names, is_keeping, words) for _ in range(rng.randrange(1, 4))), [])
             for _ in range(rng.randrange(1, 8))]
    if is_keeping:
        steps = [[SYNC] * (n > 0) + list(parse_at_starts(step)) for n, step in enumerate(steps)]
    steps = [b"".join(step) for step in steps]
    return steps + [b"".join(TAIL)]


def print_message(kind, body):
    if kind == "E":
        return "E " + error_fields(body)["C"]
    if kind == "D":
        return f"D {row_values(body)}"
    if kind in "CZ":
        return f"{kind} {body.decode()}"
    return kind


def last_status(said):
    return next(text for text in reversed(said) if text[0] == "Z")


def hear(raw, said):
    """One more message; True when it was the last."""
    try:
        kind, body = raw.read()
    except rawpg.Closed:
        said.append("closed")
        return True
    except socket.timeout:
        said.append("silence")
        return True
    if kind not in "NS":
        said.append(print_message(kind, body))
        if kind == "E" and "Z E" in said[:-1] and last_status(said) == "Z E":
            said[-1] = "E of a failed transaction"    # which of several rules it breaks varies
    return kind == "Z" and "D ['the end']" in said


def has_more(raw):
    return raw.buffer or select.select([raw.sock], [], [], 0.02)[0]


def send_in_pieces(raw, step, rng):
    """Cut at any byte."""
    cuts = sorted(rng.randrange(len(step)) for _ in range(3)) if step and rng else []
    for first, last in zip([0] + cuts, cuts + [len(step)]):
        raw.send(step[first:last])
        if cuts:
            time.sleep(0.001)


def hold(raw, steps, is_hasty, rng=None):
    """The answer's messages as text, up to the end marker. Who isn't hasty hears what was said
    so far before each step. rng: cuts what is sent."""
    said = []
    for step in steps:
        while not is_hasty and has_more(raw):
            if hear(raw, said):
                return said
        try:
            send_in_pieces(raw, step, rng)
        except OSError:    # it ended the session; what was said last is there to be read
            break
    while not hear(raw, said):
        pass
    return said


def fresh_pair(weir, tier, timeout):
    pair = []
    for port in (weir.port, tier.primary_port()):
        raw = Raw(port, timeout)
        error = raw.log_in()
        if error:
            raise AssertionError(str(error))
        pair.append(raw)
    return pair


def show_steps(steps):
    lines = []
    for step in steps:
        at, words = 0, []
        while at < len(step):
            size = 1 + int.from_bytes(step[at + 1:at + 5], "big")
            words.append(repr(step[at:at + size])[2:-1].replace("\\x00", "~"))
            at += size
        lines.append("  " + " | ".join(words))
    return "\n".join(lines)


def first_difference(want, got):
    same = len(os.path.commonprefix([want, got]))
    around = slice(max(0, same - 8), same + 4)
    return f"from {around.start} on: want {want[around]}\n              got  {got[around]}"


def compare(weir, tier, seed, timeout, problems, words):
    through, direct = fresh_pair(weir, tier, timeout)
    is_hasty = seed % 2 == 0
    try:
        for turn in range(3):
            steps = conversation(seed * 10 + turn, is_hasty, words)
            want = hold(direct, steps, is_hasty)
            got = hold(through, steps, is_hasty, random.Random(seed) if seed % 5 == 0 else None)
            if want != got:
                problems.append(f"seed {seed}, turn {turn}\n{show_steps(steps)}\n"
                                f"{first_difference(want, got)}")
                return
    finally:
        through.sock.close()
        direct.sock.close()


def run_seeds(weir, tier, seeds, timeout, words=FEW, sessions=4):
    problems = []
    shares = [list(seeds)[i::sessions] for i in range(sessions)]

    def work(share):
        for seed in share:
            if len(problems) >= ENOUGH:
                return
            try:
                compare(weir, tier, seed, timeout, problems, words)
            except Exception as e:    # noqa: BLE001: reported below
                problems.append(f"seed {seed}: {e!r}")
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems


def check_seeds(weir, tier, **how):
    first = int(os.environ.get("SEED", "1"))
    count = int(os.environ.get("SEEDS", "150"))
    problems = run_seeds(weir, tier, range(first, first + count),
                         float(os.environ.get("PATIENCE", "10")), **how)
    if problems:
        raise AssertionError(f"{len(problems)} of {count} differ\n" + "\n".join(sorted(problems, key=len)[:ENOUGH]))


@quick
@limit(240)
def test_random_conversations(weir, tier):
    check_seeds(weir, tier)


@quick
@limit(240)
def test_random_transactions(weir, tier):
    """Some of it pins: fewer sessions than servers."""
    with tier.connect() as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS differ (a int)")
    check_seeds(weir, tier, words=MANY, sessions=2)
