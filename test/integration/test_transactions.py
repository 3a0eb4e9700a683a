# SPDX-License-Identifier: PostgreSQL
"""Transactions: a server for their whole length, errors and savepoints inside,
commands that may not run inside, cursors, and statuses as PostgreSQL tells."""
import threading

import psycopg
from psycopg.pq import TransactionStatus as Status

from lib import check, equal, quick, raises, until
from rawpg import (FLUSH, SYNC, Raw, ask, ask_sql, bind, error_fields, execute, first_error, logged_in, parse, query,
                   row_values)

OPTIONS = {"default_pool_size": 3}


def fresh(conn, table):
    conn.execute(f"DROP TABLE IF EXISTS {table}")
    conn.execute(f"CREATE TABLE {table}(k int PRIMARY KEY, v int)")


@quick
def test_commit_and_rollback(weir):
    with weir.connect() as conn, weir.connect() as other:
        fresh(conn, "tx1")
        conn.execute("BEGIN")
        conn.execute("INSERT INTO tx1 VALUES (1, 1)")
        equal(other.execute("SELECT count(*) FROM tx1").fetchone(), (0,))
        conn.execute("ROLLBACK")
        conn.execute("BEGIN")
        conn.execute("INSERT INTO tx1 VALUES (2, 2)")
        equal(conn.execute("SELECT count(*) FROM tx1").fetchone(), (1,))
        conn.execute("COMMIT")
        equal(conn.execute("SELECT k FROM tx1").fetchall(), [(2,)])
        conn.execute("DROP TABLE tx1")


@quick
def test_reads_in_a_transaction_see_its_writes(weir):
    with weir.connect() as conn:
        fresh(conn, "tx2")
        for i in range(20):
            with conn.transaction():
                conn.execute("INSERT INTO tx2 VALUES (%s, %s)", (i, i))
                equal(conn.execute("SELECT count(*) FROM tx2").fetchone(), (i + 1,))
            equal(conn.execute("SELECT count(*) FROM tx2").fetchone(), (i + 1,))
        conn.execute("DROP TABLE tx2")


@quick
def test_errors_in_a_transaction(weir):
    with weir.connect() as conn:
        conn.execute("BEGIN")
        raises("22012", conn.execute, "SELECT 1/0")
        equal(conn.info.transaction_status.name, "INERROR")
        e = raises("25P02", conn.execute, "SELECT 1")
        check("current transaction is aborted" in str(e), str(e))
        raises("25P02", conn.execute, "SET work_mem = '5MB'")
        equal(conn.execute("COMMIT").statusmessage, "ROLLBACK")
        equal(conn.info.transaction_status.name, "IDLE")


@quick
def test_savepoints(weir):
    with weir.connect() as conn:
        fresh(conn, "tx3")
        with conn.transaction():
            conn.execute("INSERT INTO tx3 VALUES (1, 1)")
            conn.execute("SAVEPOINT a")
            raises("23505", conn.execute, "INSERT INTO tx3 VALUES (1, 1)")
            conn.execute("ROLLBACK TO a")
            conn.execute("INSERT INTO tx3 VALUES (2, 2)")
            conn.execute("RELEASE a")
        equal(conn.execute("SELECT array_agg(k ORDER BY k) FROM tx3").fetchone(), ([1, 2],))
        conn.execute("DROP TABLE tx3")


STATUS = [
    # texts in turn; after each the command's tag and the status letter
    [("BEGIN", "BEGIN", "T"), ("COMMIT", "COMMIT", "I")],
    [("START TRANSACTION", "START TRANSACTION", "T"), ("END", "COMMIT", "I")],
    [("BEGIN", "BEGIN", "T"), ("BEGIN", "BEGIN", "T"), ("ABORT", "ROLLBACK", "I")],
    [("BEGIN", "BEGIN", "T"), ("COMMIT AND CHAIN", "COMMIT", "T"), ("ROLLBACK", "ROLLBACK", "I")],
    [("COMMIT", "COMMIT", "I"), ("SELECT 1", "SELECT 1", "I")],
    [("BEGIN READ ONLY", "BEGIN", "T"), ("SHOW transaction_read_only", "SHOW", "T"),
     ("COMMIT", "COMMIT", "I")],
    [("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN", "T"), ("SELECT 1", "SELECT 1", "T"),
     ("PREPARE TRANSACTION 'tx_status'", "PREPARE TRANSACTION", "I"),
     ("ROLLBACK PREPARED 'tx_status'", "ROLLBACK PREPARED", "I")],
    [("BEGIN", "BEGIN", "T"), ("SELECT 1/0", "22012", "E"), ("ROLLBACK", "ROLLBACK", "I")],
    [("BEGIN", "BEGIN", "T"), ("BEGIN; SELECT", "SELECT 1", "T"), ("COMMIT;", "COMMIT", "I")],
    [("SAVEPOINT x", "25P01", "I"), ("ROLLBACK TO x", "25P01", "I"), ("RELEASE x", "25P01", "I")],
    [("BEGIN;COMMIT;BEGIN", "BEGIN", "T"), ("ROLLBACK", "ROLLBACK", "I")],
    [("SELECT 1; BEGIN", "BEGIN", "T"), ("ROLLBACK AND NO CHAIN", "ROLLBACK", "I")],
]


@quick
def test_status_after_every_command(weir, sub):
    for script in STATUS:
        with sub("transactions::status " + "; ".join(text for text, _, _ in script)), \
                Raw(weir.port) as raw:
            equal(raw.log_in(), None)
            for text, tag, status in script:
                raw.send(query(text))
                got = raw.read_until("Z")
                tags = [b[:-1].decode() for k, b in got if k == "C"]
                errors = [error_fields(b)["C"] for k, b in got if k == "E"]
                equal(((errors or tags)[-1], got[-1][1].decode()), (tag, status), text)


@quick
def test_warnings_are_postgresqls(weir):
    with weir.connect() as conn:
        seen = []
        conn.add_notice_handler(lambda d: seen.append((d.severity, d.sqlstate)))
        for text in ("COMMIT", "ROLLBACK", "BEGIN", "BEGIN", "COMMIT"):
            conn.execute(text)
        equal(seen, [("WARNING", "25P01"), ("WARNING", "25P01"), ("WARNING", "25001")])


@quick
def test_begin_alone_holds_no_server(weir):
    """More clients in an empty transaction than there are servers."""
    conns = [weir.connect() for _ in range(8)]
    if weir.is_pgweir:
        for conn in conns:
            conn.execute("BEGIN")
        with weir.connect() as other:
            equal(other.execute("SELECT 1").fetchone(), (1,))
        for conn in conns:
            conn.execute("COMMIT")
    for conn in conns:
        conn.close()


# A BEGIN that its parser takes and the server's encoding doesn't: it fails there, long answered.
BAD_BEGIN = b"BEGIN /* \xff */"
INSERT = "INSERT INTO it_begun VALUES (1)"
BATCH = parse("", INSERT) + bind("", "") + execute() + SYNC


def statuses(got):
    return [body.decode() for kind, body in got if kind == "Z"]


def errors(got):
    return [error_fields(body)["C"] for kind, body in got if kind == "E"]


@quick
def test_nothing_runs_outside_when_begin_fails(weir, sub):
    """What follows a BEGIN that was answered but fails at the server isn't run without it."""
    weir.need_pgweir()
    with weir.connect() as owner:
        owner.execute("DROP TABLE IF EXISTS it_begun")
        owner.execute("CREATE TABLE it_begun(a int)")
        for name, request, count in (
                ("a query", query(INSERT), 1), ("a batch", BATCH, 1), ("two batches", BATCH * 2, 2),
                ("a batch and a query", BATCH + query(INSERT), 2), ("two queries", query(INSERT) * 2, 2),
                ("a batch with Flush", BATCH[:-5] + FLUSH + BATCH, 1),
                ("a multi-statement query", query(f"{INSERT}; COMMIT; {INSERT}"), 1)):
            with sub(f"transactions::BEGIN fails in front of {name}"), Raw(weir.port) as raw:
                equal(raw.log_in(), None)
                raw.send(query(BAD_BEGIN) + request)
                equal(statuses(raw.read_until("Z")), ["T"])
                got = [m for _ in range(count) for m in raw.read_until("Z")]
                equal((errors(got), statuses(got)), (["22021", "25P02"][:count], ["E"] * count))
                raw.send(query("SELECT 1") + query("ROLLBACK") + query("SELECT 2"))
                got = [m for _ in range(3) for m in raw.read_until("Z")]
                equal((errors(got), statuses(got)), (["25P02"], ["E", "I", "I"]))
                equal(owner.execute("SELECT count(*) FROM it_begun").fetchone(), (0,))
        owner.execute("DROP TABLE it_begun")


@quick
def test_deferred_begin_in_every_form(weir, sub):
    """The transaction is open behind it, however its first request is sent, and its isolation is told."""
    for name, request in (("query", query("SHOW transaction_isolation")),
                          ("batch", parse("", "SHOW transaction_isolation") + bind("", "") +
                           execute() + SYNC)):
        for begin in ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN ISOLATION LEVEL SERIALIZABLE;"):
            with sub(f"transactions::{begin} in front of a {name}"), Raw(weir.port) as raw:
                equal(raw.log_in(), None)
                raw.send(query(begin), request)
                raw.read_until("Z")
                got = raw.read_until("Z")
                equal([row_values(b) for k, b in got if k == "D"], [["serializable"]])
                raw.send(query("SELECT count(*) FROM pg_prepared_statements"), query("ROLLBACK"))
                got = raw.read_until("Z") + raw.read_until("Z")
                equal([row_values(b) for k, b in got if k == "D"], [["0"]])
                equal(statuses(got), ["T", "I"])
    with sub("transactions::BEGIN and SET TRANSACTION"), Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        raw.send(query("BEGIN"), query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
                 query("SHOW transaction_isolation"), query("COMMIT"))
        got = [m for _ in range(4) for m in raw.read_until("Z")]
        equal((errors(got), [row_values(b) for k, b in got if k == "D"]), ([], [["repeatable read"]]))


@quick
def test_begin_takes_its_snapshot_with_the_first_statement(weir):
    with weir.connect() as conn, weir.connect() as other:
        fresh(other, "tx4")
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("INSERT INTO tx4 VALUES (1, 1)")
        equal(conn.execute("SELECT count(*) FROM tx4 -- primary\n").fetchone()[0] in (0, 1), True)
        first = conn.execute("SELECT count(*) FROM tx4").fetchone()
        other.execute("INSERT INTO tx4 VALUES (2, 2)")
        equal(conn.execute("SELECT count(*) FROM tx4").fetchone(), first)
        conn.execute("COMMIT")
        other.execute("DROP TABLE tx4")


@quick
def test_read_only_transactions(weir):
    with weir.connect() as conn:
        fresh(conn, "tx5")
        conn.execute("BEGIN READ ONLY")
        equal(conn.execute("SELECT count(*) FROM tx5").fetchone(), (0,))
        raises("25006", conn.execute, "INSERT INTO tx5 VALUES (1, 1)")
        conn.execute("ROLLBACK")
        conn.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        equal(conn.execute("SHOW transaction_isolation").fetchone(), ("repeatable read",))
        equal(conn.execute("SELECT count(*) FROM tx5").fetchone(), (0,))
        conn.execute("COMMIT")
        conn.execute("INSERT INTO tx5 VALUES (1, 1)")
        conn.execute("SET default_transaction_read_only = on")
        raises("25006", conn.execute, "INSERT INTO tx5 VALUES (2, 2)")
        conn.execute("RESET default_transaction_read_only")
        conn.execute("DROP TABLE tx5")


@quick
def test_set_transaction(weir):
    with weir.connect() as conn:
        conn.execute("BEGIN")
        conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE")
        equal(conn.execute("SHOW transaction_isolation").fetchone(), ("serializable",))
        conn.execute("COMMIT")
        equal(conn.execute("SHOW transaction_isolation").fetchone(), ("read committed",))


@quick
def test_commands_that_want_no_transaction(weir):
    with weir.connect() as conn:
        fresh(conn, "tx6")
        conn.execute("VACUUM tx6")
        conn.execute("CREATE INDEX CONCURRENTLY ON tx6(v)")
        conn.execute("BEGIN")
        raises("25001", conn.execute, "VACUUM tx6")
        conn.execute("ROLLBACK")
        conn.execute("DROP TABLE tx6")


@quick
def test_cursors(weir):
    with weir.connect() as conn:
        with conn.transaction():
            conn.execute("DECLARE c CURSOR FOR SELECT generate_series(1, 10)")
            equal(conn.execute("FETCH 3 FROM c").fetchall(), [(1,), (2,), (3,)])
            conn.execute("MOVE 2 FROM c")
            equal(conn.execute("FETCH NEXT FROM c").fetchall(), [(6,)])
        raises("34000", conn.execute, "FETCH 1 FROM c")
        with conn.transaction(), conn.cursor(name="server_side") as cur:
            cur.execute("SELECT generate_series(1, 5000)")
            equal(sum(r[0] for r in cur), 5000 * 5001 // 2)


@quick
def test_with_hold_cursor(weir):
    with weir.connect() as conn:
        with conn.transaction():
            conn.execute("DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 6)")
        others = [weir.connect() for _ in range(3)]
        for i in range(1, 7):
            for other in others:
                other.execute("SELECT 1")
            equal(conn.execute("FETCH 1 FROM h").fetchall(), [(i,)])
        conn.execute("CLOSE h")
        for other in others:
            other.close()


@quick
def test_implicit_transaction_of_a_simple_query(weir):
    with weir.connect(cursor_factory=psycopg.ClientCursor) as conn:
        fresh(conn, "tx7")
        raises("22012", conn.execute, "INSERT INTO tx7 VALUES (1,1); SELECT 1/0")
        equal(conn.execute("SELECT count(*) FROM tx7").fetchone(), (0,))
        conn.execute("INSERT INTO tx7 VALUES (1,1); INSERT INTO tx7 VALUES (2,2)")
        equal(conn.execute("SELECT count(*) FROM tx7").fetchone(), (2,))
        conn.execute("DROP TABLE tx7")


@quick
def test_implicit_transaction_of_a_pipeline(weir):
    with weir.connect() as conn, Raw(weir.port) as raw:
        fresh(conn, "tx8")
        equal(raw.log_in(), None)
        raw.send(parse("", "INSERT INTO tx8 VALUES (1,1)"), bind("", ""), execute(),
                 parse("", "SELECT 1/0"), bind("", ""), execute(), SYNC)
        raw.read_until("Z")
        equal(conn.execute("SELECT count(*) FROM tx8").fetchone(), (0,))
        conn.execute("DROP TABLE tx8")


@quick
def test_two_phase_commit(weir):
    with weir.connect() as conn, weir.connect() as other:
        fresh(conn, "tx9")
        conn.execute("BEGIN")
        conn.execute("INSERT INTO tx9 VALUES (1, 1)")
        conn.execute("PREPARE TRANSACTION 'two_phase_test'")
        equal(other.execute("SELECT count(*) FROM tx9").fetchone(), (0,))
        other.execute("COMMIT PREPARED 'two_phase_test'")
        equal(other.execute("SELECT count(*) FROM tx9").fetchone(), (1,))
        conn.execute("DROP TABLE tx9")


def reads(weir):
    """recv(2) so far: as published together with a transaction that has just begun."""
    def published(active):
        found = weir.metrics()
        return found if found["pgweir_clients_active"] == active else None
    until("nobody to be active", 20, lambda: published(0))
    with weir.connect() as conn:
        conn.execute("BEGIN")
        conn.execute("SELECT txid_current()")
        found = until("it to be active", 20, lambda: published(1))
    return found['pgweir_system_calls_total{call="read"}']


@quick
def test_a_deferred_begin_is_answered_with_its_statement(start):
    """The server answers twice per transaction, the client asks three times: BEGIN's answer isn't read on its own.
    Half a read more per transaction is for what else pgweir reads."""
    weir = start({"workers": 1, "io_backend": "epoll", "cache_redis": ""})
    weir.need_pgweir()
    with Raw(weir.port) as raw, weir.connect() as other:
        raw.log_in()
        fresh(other, "tx9")
        found = []
        for _ in range(3):    # the slower it goes, the more is read beside it
            before = reads(weir)
            for _ in range(400):
                for text in "BEGIN", "INSERT INTO tx9 VALUES (1, 1)", "ROLLBACK":
                    raw.send(query(text))
                    raw.read_until("Z")
            found.append((reads(weir) - before) / 400)
            if found[-1] < 5.5:
                break
        check(4.9 < min(found) < 5.5, f"{found} reads")
        other.execute("DROP TABLE tx9")


@quick
def test_errors_behind_a_deferred_begin(weir):
    """An error of the statement aborts the transaction, whether text or execution fails, in both protocols."""
    def extended(text):
        return parse("", text) + bind("", "") + execute() + SYNC

    for make in query, extended:
        for text, state in (("SELEC 1", "42601"), ("SELECT 1/0", "22012"), ("SELECT * FROM nowhere_", "42P01")):
            with Raw(weir.port) as raw:
                raw.log_in()
                raw.send(query("BEGIN /* x */"))
                equal(raw.read_until("Z"), [("C", b"BEGIN\0"), ("Z", b"T")], text)
                raw.send(make(text))
                got = raw.read_until("Z")
                equal([error_fields(body)["C"] for kind, body in got if kind == "E"], [state], text)
                equal(got[-1], ("Z", b"E"), text)
                raw.send(query("ROLLBACK"), make("SELECT 1"))
                equal([raw.read_until("Z")[-1][1] for _ in range(2)], [b"I", b"I"], text)


@quick
def test_a_begin_leaves_no_portal(weir):
    """As a Query doesn't: the unnamed portal isn't there after it."""
    with Raw(weir.port) as raw:
        raw.log_in()
        raw.send(query("BEGIN"))
        equal(raw.read_until("Z")[-1], ("Z", b"T"))
        raw.send(parse("", "SELECT 1"), execute(), SYNC)
        got = raw.read_until("Z")
        equal([error_fields(body)["C"] for kind, body in got if kind == "E"], ["34000"])
        raw.send(query("ROLLBACK"))
        raw.read_until("Z")


def inside(conn):
    return conn.pgconn.transaction_status


def abort_by(conn, sqlstate, sql, **kw):
    raises(sqlstate, conn.execute, sql, **kw)
    equal(inside(conn), Status.INERROR, "as after an error of PostgreSQL")
    raises("25P02", conn.execute, "SELECT 1")
    equal(inside(conn), Status.INERROR)


def ended(conn, end, tag):
    equal(conn.execute(end).statusmessage, tag)
    equal(inside(conn), Status.IDLE)


TEMPORARY = "CREATE TEMPORARY TABLE tx_refused (a int)"


@quick
def test_an_error_of_pgweir_aborts_the_transaction(start, sub):
    weir = start({"default_pool_size": 3, "pin_temp_table": "refuse"})
    with weir.connect(prepare_threshold=None) as conn, weir.connect() as other:
        fresh(conn, "tx_refuse")

        def rows():
            return sorted(k for k, in conn.execute("SELECT k FROM tx_refuse").fetchall())
        for end in ("COMMIT", "ROLLBACK"):
            with sub(f"its first statement, {end}"):
                conn.execute("BEGIN")
                abort_by(conn, "0A000", TEMPORARY)
                raises("25P02", conn.execute, "INSERT INTO tx_refuse VALUES (1, 1)")
                ended(conn, end, "ROLLBACK")
                equal(rows(), [])
            with sub(f"a later one, {end}"):
                conn.execute("BEGIN")
                conn.execute("INSERT INTO tx_refuse VALUES (2, 2)")
                abort_by(conn, "0A000", TEMPORARY)
                raises("25P02", conn.execute, "INSERT INTO tx_refuse VALUES (3, 3)")
                ended(conn, end, "ROLLBACK")
                equal(rows(), [])
        with sub("behind a savepoint"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO tx_refuse VALUES (4, 4)")
            conn.execute("SAVEPOINT a")
            conn.execute("INSERT INTO tx_refuse VALUES (5, 5)")
            abort_by(conn, "0A000", TEMPORARY)
            conn.execute("ROLLBACK TO a")
            equal(inside(conn), Status.INTRANS)
            conn.execute("INSERT INTO tx_refuse VALUES (6, 6)")
            ended(conn, "COMMIT", "COMMIT")
            equal(rows(), [4, 6])
        with sub("the transactions behind it"):
            with conn.transaction():
                conn.execute("INSERT INTO tx_refuse VALUES (7, 7)")
            equal(rows(), [4, 6, 7])
        with sub("settings of the aborted one"):
            conn.execute("BEGIN")
            conn.execute("SET work_mem = '7MB'")
            abort_by(conn, "0A000", TEMPORARY)
            ended(conn, "COMMIT", "ROLLBACK")
            equal(conn.execute("SHOW work_mem").fetchone(), other.execute("SHOW work_mem").fetchone())
        with sub("outside of one"):
            raises("0A000", conn.execute, TEMPORARY)
            equal(inside(conn), Status.IDLE)


@quick
def test_an_error_of_pgweir_in_a_batch_aborts_the_transaction(start, sub):
    weir = start({"default_pool_size": 3, "pin_temp_table": "refuse"})
    for label, first in (("before it has a server", []), ("on its server", ["SELECT 1"])):
        for end in (SYNC, FLUSH):
            with sub(f"{label}, {'Sync' if end == SYNC else 'Flush'}"), logged_in(weir) as raw:
                for sql in ["BEGIN", *first]:
                    ask_sql(raw, sql)
                raw.send(parse("", TEMPORARY), bind("", ""), execute(), end)
                equal(error_fields(raw.read_until("E")[-1][1])["C"], "0A000")
                if end == FLUSH:
                    raw.send(SYNC)
                equal(raw.read_until("Z")[-1][1], b"E")
                equal(first_error(ask(raw, parse("", "SELECT 1"), bind("", ""), execute())), "25P02")
                told = ask_sql(raw, "COMMIT")
                equal([b for k, b in told if k in "CZ"], [b"ROLLBACK\0", b"I"])


@quick
def test_a_wait_that_is_canceled_aborts_the_transaction(start):
    weir = start({"default_pool_size": 1})
    with weir.connect() as holder, weir.connect() as conn:
        holder.execute("BEGIN")
        holder.execute("CREATE TABLE IF NOT EXISTS tx_holder (a int)")
        conn.execute("BEGIN READ WRITE")
        heard = []

        def ask():
            try:
                conn.execute("CREATE TABLE IF NOT EXISTS tx_waiter (a int)")
            except psycopg.Error as e:
                heard.append(e.sqlstate)
        thread = threading.Thread(target=ask)
        thread.start()
        until("it to wait", 20, lambda: [r for r in weir.show("CLIENTS") if r["state"] == "waiting"])
        conn.cancel()
        thread.join(30)
        equal(heard, ["57014"])
        equal(inside(conn), Status.INERROR)
        holder.execute("ROLLBACK")
        raises("25P02", conn.execute, "SELECT 1")
        ended(conn, "COMMIT", "ROLLBACK")
        equal(conn.execute("SELECT 1").fetchone(), (1,))
