# SPDX-License-Identifier: PostgreSQL
"""Statements whose tables changed since they were prepared: parsed anew where the client can't tell
the difference, else PostgreSQL's 0A000."""
import struct

from lib import check, equal, limit, quick, until
from rawpg import (FLUSH, SYNC, ask, ask_sql, bind, close, describe, error_fields, execute, first_error,
                   logged_in, message, parse, values)

OPTIONS = {"default_pool_size": 4, "max_prepared_statements": 20, "workers": 1}

CHANGED = "cached plan must not change result type"


def waiting_pid(admin, table):
    """The one server that waits for a lock of that table."""
    def pids():
        return admin.execute("SELECT pid FROM pg_locks WHERE NOT granted AND relation = "
                             "%s::regclass", (table,)).fetchall()
    until("the statement waits for the table", 20, lambda: len(pids()) == 1)
    return pids()[0][0]


@quick
@limit(60)
def test_servers_that_end_use_no_healing_up(weir, tier):
    """A request that three servers left unanswered meets an outdated statement on the fourth."""
    weir.need_pgweir()
    raws = [logged_in(weir) for _ in range(4)]
    with tier.connect(user="postgres") as admin, tier.connect() as changer:
        admin.execute("DROP TABLE IF EXISTS it_shifting")
        admin.execute("CREATE TABLE it_shifting AS SELECT 1 AS a")
        admin.execute("ALTER TABLE it_shifting OWNER TO app")
        for raw in raws:    # each on a server of its own
            ask_sql(raw, "BEGIN")
            equal(values(ask(raw, parse("s", "SELECT * FROM it_shifting FOR SHARE"), bind("", "s"),
                             execute())), [["1"]])
        for raw in raws:
            ask_sql(raw, "COMMIT")
        changer.autocommit = False
        changer.execute("ALTER TABLE it_shifting ADD b int DEFAULT 2")
        raws[0].send(bind("", "s"), execute(), SYNC)
        for _ in range(3):
            pid = waiting_pid(admin, "it_shifting")
            admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
            until("its server to end", 20, lambda pid=pid: not admin.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone())
        waiting_pid(admin, "it_shifting")
        changer.commit()
        got = raws[0].read_until("Z")
        equal((first_error(got), values(got)), (None, [["1", "2"]]))
        admin.execute("DROP TABLE it_shifting")
    for raw in raws:
        raw.sock.close()


def told(raw, name, kind="S"):
    """Has the server describe a statement; its columns."""
    return columns(ask(raw, describe(kind, name)))


def columns(messages):
    """Names and types of the first RowDescription; None: none came."""
    body = next((b for k, b in messages if k == "T"), None)
    if body is None:
        return None
    count, = struct.unpack_from("!H", body)
    at, found = 2, []
    for _ in range(count):
        end = body.index(b"\0", at)
        found.append((body[at:end].decode(), struct.unpack_from("!I", body, end + 7)[0]))
        at = end + 19
    return found


def error(messages):
    """What a driver goes by."""
    fields = next((error_fields(b) for k, b in messages if k == "E"), {})
    return {k: fields.get(k) for k in "SVCMR"}


OUTDATED = {"S": "ERROR", "V": "ERROR", "C": "0A000", "M": CHANGED, "R": "RevalidateCachedQuery"}


def outcome(messages):
    """The answer in short: the types of its messages, and the transaction's state."""
    return "".join(k for k, _ in messages if k not in "SN"), messages[-1][1].decode()


class Shifting:
    """A table to change, and a session that changes it; in either suite."""

    def __init__(self, weir, name):
        self.name, self.admin = name, weir.connect(prepare_threshold=None)
        self.run(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name}(a int)",
                 f"INSERT INTO {name} VALUES (1)")

    def run(self, *texts):
        for text in texts:
            self.admin.execute(text)

    def add(self, column="b", kind="int", default="2"):
        self.run(f"ALTER TABLE {self.name} ADD {column} {kind} DEFAULT {default}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run(f"DROP TABLE {self.name}")
        self.admin.close()


def text_of(table):
    return f"SELECT * FROM {table.name} FOR SHARE"


@quick
def test_a_client_that_was_told_hears_of_the_change(weir):
    """And again, until it prepares the statement anew: as on a connection of its own."""
    with Shifting(weir, "it_told") as t, logged_in(weir) as raw:
        equal(first_error(ask(raw, parse("s", text_of(t)))), None)
        equal(told(raw, "s"), [("a", 23)])
        equal(values(ask(raw, bind("", "s"), execute())), [["1"]])
        t.add()
        for _ in range(3):
            got = ask(raw, bind("", "s"), execute())
            equal((outcome(got), error(got)), (("EZ", "I"), OUTDATED))
            equal(values(ask_sql(raw, "SELECT 5")), [["5"]])
        equal(first_error(ask(raw, close("S", "s"), parse("s", text_of(t)))), None)
        equal(told(raw, "s"), [("a", 23), ("b", 23)])
        equal(values(ask(raw, bind("", "s"), execute())), [["1", "2"]])


@quick
def test_a_portal_tells_too(weir):
    """As pgjdbc has it: the first run is described, later ones aren't."""
    with Shifting(weir, "it_portal") as t, logged_in(weir) as raw:
        got = ask(raw, parse("s", text_of(t)), bind("", "s"), describe("P", ""), execute())
        equal((outcome(got), values(got)), (("12TDCZ", "I"), [["1"]]))
        equal(values(ask(raw, bind("", "s"), execute())), [["1"]])
        t.add()
        equal(error(ask(raw, bind("", "s"), execute())), OUTDATED)


@quick
def test_one_that_was_not_told_or_asks_again_is_healed(weir):
    weir.need_pgweir()
    with Shifting(weir, "it_healed") as t, logged_in(weir) as never, logged_in(weir) as again:
        ask(never, parse("s", text_of(t)), bind("", "s"), execute())
        ask(again, parse("s", text_of(t)))
        equal(told(again, "s"), [("a", 23)])
        for i in range(2):
            t.add(f"c{i}")
            want = [["1"] + ["2"] * (i + 1)]
            for _ in range(3):
                equal(values(ask(never, bind("", "s"), execute())), want)
            got = ask(again, bind("", "s"), describe("P", ""), execute())
            equal((outcome(got)[0], values(got), len(columns(got))), ("2TDCZ", want, i + 2))
            equal(values(ask(again, bind("", "s"), execute())), want)    # it knows by now
            equal(len(told(again, "s")), i + 2)


@quick
def test_a_format_for_each_column_is_a_description_kept(weir):
    """A driver that describes the portal, but asks for each column's format by what it knows."""
    def per_column(count):
        whole = bind("", "s")
        return message("B", whole[5:-2] + struct.pack("!H", count) + b"\0\0" * count)
    with Shifting(weir, "it_formats") as t, logged_in(weir) as raw:
        t.add()
        ask(raw, parse("s", text_of(t)))
        equal(len(told(raw, "s")), 2)
        equal(values(ask(raw, per_column(2), describe("P", ""), execute())), [["1", "2"]])
        t.add("c")
        equal(error(ask(raw, per_column(2), describe("P", ""), execute())), OUTDATED)


@quick
def test_the_same_description_is_no_change(weir):
    """The table is another one, its columns have other numbers, and there is one more elsewhere."""
    with Shifting(weir, "it_same") as t, logged_in(weir) as raw:
        text = "SELECT a FROM it_same FOR SHARE"
        ask(raw, parse("s", text))
        equal(told(raw, "s"), [("a", 23)])
        t.add()
        equal(values(ask(raw, bind("", "s"), execute())), [["1"]])
        t.run("ALTER TABLE it_same DROP a", "ALTER TABLE it_same ADD a int DEFAULT 4")
        equal(values(ask(raw, bind("", "s"), execute())), [["4"]])
        t.run("DROP TABLE it_same", "CREATE TABLE it_same AS SELECT 5 AS a")
        equal(values(ask(raw, bind("", "s"), execute())), [["5"]])
        t.run("ALTER TABLE it_same ALTER a TYPE text")
        equal(error(ask(raw, bind("", "s"), execute())), OUTDATED)
        t.run("ALTER TABLE it_same ALTER a TYPE int USING a::int")
        equal(values(ask(raw, bind("", "s"), execute())), [["5"]])
        t.run("ALTER TABLE it_same RENAME a TO b")
        equal(first_error(ask(raw, bind("", "s"), execute())), "42703")
        equal(values(ask_sql(raw, "SELECT 5")), [["5"]])


@quick
def test_every_server_hears_the_same(weir):
    """Described on one server before the change, run on others after it, known there or not."""
    with Shifting(weir, "it_servers") as t:
        raws = [logged_in(weir) for _ in range(6)]
        for raw in raws:
            ask(raw, parse("s", text_of(t)))
            equal(told(raw, "s"), [("a", 23)])
        for raw in raws[:2]:    # each holds a server that knows the statement, or doesn't
            ask_sql(raw, "BEGIN")
            ask(raw, bind("", "s"), execute())
        for raw in raws[:2]:
            ask_sql(raw, "COMMIT")
        t.add()
        holders = [logged_in(weir) for _ in range(3)]
        for count in range(4):    # the one server left is another each time
            for raw in raws:
                equal(error(ask(raw, bind("", "s"), execute())), OUTDATED, count)
            if count < 3:
                ask_sql(holders[count], "BEGIN")
                ask_sql(holders[count], "SELECT txid_current()")
        for raw in holders + raws:
            raw.sock.close()


@quick
def test_no_row_is_written_for_an_outdated_reader(weir):
    with Shifting(weir, "it_written") as t, logged_in(weir) as raw:
        ask(raw, parse("w", "INSERT INTO it_written(a) VALUES (7) RETURNING *"))
        equal(told(raw, "w"), [("a", 23)])
        t.add()
        before = parse("", "INSERT INTO it_written VALUES (8)"), bind("", ""), execute()
        got = ask(raw, *before, bind("", "w"), execute(), parse("late", "SELECT 1"))
        equal((outcome(got), error(got)), (("12CEZ", "I"), OUTDATED))
        equal(ask_values(raw, "SELECT count(*) FROM it_written"), [["1"]])
        equal(first_error(ask(raw, bind("", "late"), execute())), "26000")
        got = ask(raw, bind("", "w"), execute())
        equal((outcome(got), error(got)), (("EZ", "I"), OUTDATED))
        equal(ask_values(raw, "SELECT count(*) FROM it_written"), [["1"]])


def ask_values(raw, text):
    return values(ask_sql(raw, text))


@quick
def test_a_transaction_fails_as_postgresqls(weir):
    for begin in ("BEGIN", "BEGIN; SELECT txid_current()"):
        with Shifting(weir, "it_txn") as t, logged_in(weir) as raw:
            ask(raw, parse("s", text_of(t)))
            equal(told(raw, "s"), [("a", 23)])
            t.add()
            ask_sql(raw, begin)
            got = ask(raw, bind("", "s"), execute())
            equal((outcome(got), error(got)), (("EZ", "E"), OUTDATED), begin)
            equal(first_error(ask(raw, bind("", "s"), execute())), "25P02")
            equal(outcome(ask_sql(raw, "COMMIT")), ("CZ", "I"))
            equal(first_error(ask(raw, close("S", "s"), parse("s", text_of(t)))), None)
            ask_sql(raw, begin)
            got = ask(raw, bind("", "s"), execute())
            equal((outcome(got), values(got)), (("2DCZ", "T"), [["1", "2"]]))
            ask_sql(raw, "COMMIT")


@quick
def test_prepared_anew_it_works_in_any_transaction(weir):
    """Also where the server at hand has the same text from before the change."""
    with Shifting(weir, "it_anew") as t:
        raws = [logged_in(weir) for _ in range(3)]
        for raw in raws:
            ask_sql(raw, "BEGIN")
            ask(raw, parse("s", text_of(t)))
            told(raw, "s")
            equal(values(ask(raw, bind("", "s"), execute())), [["1"]])
        for raw in raws:
            ask_sql(raw, "COMMIT")
        t.add()
        equal(error(ask(raws[0], bind("", "s"), execute())), OUTDATED)
        ask(raws[0], close("S", "s"))
        for raw in raws[1:]:
            ask_sql(raw, "BEGIN")
            ask_sql(raw, "SELECT txid_current()")
        ask_sql(raws[0], "BEGIN")
        ask_sql(raws[0], "SELECT txid_current()")
        got = ask(raws[0], parse("s", text_of(t)), bind("", "s"), describe("P", ""), execute())
        equal((outcome(got), values(got)), (("12TDCZ", "T"), [["1", "2"]]))
        for raw in raws:
            ask_sql(raw, "ROLLBACK")
            raw.sock.close()


@quick
def test_in_the_middle_of_pipelines(weir):
    """Requests in front are answered, those behind too; with Sync and with Flush between them."""
    with Shifting(weir, "it_pipe") as t, logged_in(weir) as raw:
        ask(raw, parse("s", text_of(t)), parse("n", "SELECT $1::int FROM it_pipe FOR SHARE"))
        told(raw, "s"), told(raw, "n")
        t.add()
        one = bind("", "n", [1]), execute()
        raw.send(*one, SYNC, *one, bind("", "s"), execute(), *one, SYNC, *one, SYNC)
        got = [raw.read_until("Z") for _ in range(3)]
        equal([outcome(g) for g in got], [("2DCZ", "I"), ("2DCEZ", "I"), ("2DCZ", "I")])
        equal(error(got[1]), OUTDATED)
        raw.send(*one, FLUSH)
        equal("".join(k for k, _ in raw.read_until("C")), "2DC")
        raw.send(bind("", "s"), execute(), FLUSH)
        equal(error(raw.read_until("E")), OUTDATED)
        raw.send(*one, FLUSH, *one, SYNC)
        equal(outcome(raw.read_until("Z")), ("Z", "I"))
        equal(values(ask(raw, *one)), [["1"]])


@quick
def test_requests_sent_before_the_answer(weir):
    """The description comes while the next requests are on their way; and long ones in pieces."""
    with Shifting(weir, "it_early") as t, logged_in(weir) as raw:
        raw.send(parse("s", text_of(t)), describe("S", "s"), SYNC,
                 *[bind("", "s"), execute(), SYNC] * 5)
        equal([outcome(raw.read_until("Z"))[0] for _ in range(6)], ["1tTZ"] + ["2DCZ"] * 5)
        t.add()
        raw.send(*[bind("", "s"), execute(), SYNC] * 5)
        for _ in range(5):
            got = raw.read_until("Z")
            equal((outcome(got), error(got)), (("EZ", "I"), OUTDATED))
        text = "SELECT a, length($1::text) FROM it_early FOR SHARE"
        ask(raw, parse("long", text))
        told(raw, "long")
        long = "x" * 3_000_000
        equal(values(ask(raw, bind("", "long", [long]), execute())), [["1", "3000000"]])
        t.run("ALTER TABLE it_early ALTER a TYPE bigint")
        for _ in range(2):
            equal(error(ask(raw, bind("", "long", [long]), execute())), OUTDATED)
        equal(values(ask_sql(raw, "SELECT 5")), [["5"]])


@quick
def test_parameters_are_not_taken_for_others(weir):
    """Encoded for the types that were told, they'd mean something else to a statement parsed anew."""
    weir.need_pgweir()
    with Shifting(weir, "it_params") as t, logged_in(weir) as raw, logged_in(weir) as holder:
        ask(raw, parse("s", "UPDATE it_params SET a = a WHERE a = $1 RETURNING 1"))
        told(raw, "s")
        equal(values(ask(raw, bind("", "s", [1]), execute())), [["1"]])
        t.run("ALTER TABLE it_params ALTER a TYPE text")
        equal(first_error(ask(raw, bind("", "s", [1]), execute())), "42883")
        for _ in range(3):
            ask_sql(holder, "BEGIN; SELECT txid_current()")    # leaves another server
            check(first_error(ask(raw, bind("", "s", [1]), describe("P", ""), execute())) in
                  ("42883", "0A000"), "an error")
            holder.sock.close()
            holder = logged_in(weir)
        holder.sock.close()


@quick
def test_two_search_paths_share_servers(weir):
    """One text, two tables: each client goes on seeing what it was told."""
    with weir.connect(user="postgres") as admin:
        for schema, columns_of in (("path_c", "1 AS x"), ("path_d", "'d' AS y, 2 AS z")):
            admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            admin.execute(f"CREATE SCHEMA {schema} AUTHORIZATION app")
            admin.execute(f"CREATE TABLE {schema}.it_paths AS SELECT {columns_of}")
            admin.execute(f"ALTER TABLE {schema}.it_paths OWNER TO app")
    raws = {schema: logged_in(weir) for schema in ("path_c", "path_d")}
    want = {"path_c": [["1"]], "path_d": [["d", "2"]]}
    for schema, raw in raws.items():
        ask_sql(raw, f"SET search_path = {schema}")
        ask(raw, parse("s", "SELECT * FROM it_paths FOR SHARE"))
        told(raw, "s")
    for begin in ("SELECT 1", "BEGIN; SELECT txid_current()"):
        for _ in range(4):
            for schema, raw in raws.items():
                ask_sql(raw, begin)
                equal(values(ask(raw, bind("", "s"), execute())), want[schema])
                ask_sql(raw, "COMMIT")
    for raw in raws.values():
        raw.sock.close()


@quick
def test_replicas_that_lag(weir, tier):
    """Told on the primary after the change, run where it hasn't come yet; and the other way round."""
    weir.need_pgweir()
    with Shifting(weir, "it_lag") as t, logged_in(weir) as old, logged_in(weir) as new:
        ask_sql(new, "SET pgweir.consistency = 'eventual'")
        ask_sql(old, "SET pgweir.consistency = 'eventual'")
        text = "SELECT * FROM it_lag"
        ask(old, parse("s", text))

        def on_replica():
            got = ask(old, bind("", "s"), describe("P", ""), execute())
            return columns(got) == [("a", 23)] and first_error(got) is None
        until("the table to be there", 20, on_replica)
        replicas = [tier.connect(port=port, user="postgres") for port in tier.replica_ports()]
        try:
            for r in replicas:
                r.execute("SELECT pg_wal_replay_pause()")
            t.add()
            for _ in range(4):    # wherever it runs, it is what was told, or it is said
                got = ask(old, bind("", "s"), execute())
                check(values(got) == [["1"]] or error(got) == OUTDATED, f"{got}")
            ask(new, parse("s", text + " FOR SHARE"), parse("r", text))
            ask_sql(new, "BEGIN; SELECT txid_current()")
            equal(len(told(new, "r")), 2)
            ask_sql(new, "COMMIT")
            for _ in range(8):
                got = ask(new, bind("", "r"), execute())
                equal((first_error(got), values(got)), (None, [["1", "2"]]))
        finally:
            for r in replicas:
                r.execute("SELECT pg_wal_replay_resume()")
                r.close()

        def is_told():
            return error(ask(old, bind("", "s"), execute())) == OUTDATED
        until("the change to be said", 20, is_told)


@quick
def test_an_outdated_statement_costs_only_its_own_client(weir):
    """One never prepares anew; others of the same text do, and go on."""
    with Shifting(weir, "it_stubborn") as t, logged_in(weir) as stubborn, logged_in(weir) as other:
        for raw in (stubborn, other):
            ask(raw, parse("s", text_of(t)))
            told(raw, "s")
        t.add()
        equal(error(ask(other, bind("", "s"), execute())), OUTDATED)
        ask(other, close("S", "s"), parse("s", text_of(t)))
        told(other, "s")
        for _ in range(5):
            equal(error(ask(stubborn, bind("", "s"), execute())), OUTDATED)
            equal(values(ask(other, bind("", "s"), execute())), [["1", "2"]])


@quick
def test_healing_keeps_the_server(start):
    """What is left of the answer that nobody wants is read, however it comes."""
    weir = start({"default_pool_size": 1, "workers": 1, "db.split": "off"})
    with Shifting(weir, "it_kept") as t, logged_in(weir) as raw:
        ask(raw, parse("s", text_of(t)))
        pid = ask_values(raw, "SELECT pg_backend_pid()")
        for i in range(20):
            t.add(f"c{i}")
            equal(len(values(ask(raw, bind("", "s"), execute()))[0]), i + 2)
        equal(ask_values(raw, "SELECT pg_backend_pid()"), pid)
