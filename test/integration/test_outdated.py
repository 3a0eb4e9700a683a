# SPDX-License-Identifier: PostgreSQL
"""Statements whose tables changed since they were prepared: parsed anew where the client can't tell
the difference, else PostgreSQL's 0A000."""
from lib import equal, limit, quick, until
from rawpg import SYNC, Raw, bind, error_fields, execute, parse, query, row_values

OPTIONS = {"default_pool_size": 4, "max_prepared_statements": 20, "workers": 1}

CHANGED = "cached plan must not change result type"


def logged_in(weir, **params):
    raw = Raw(weir.port)
    equal(raw.log_in(**params), None)
    return raw


def ask(raw, *parts):
    raw.send(*parts, SYNC)
    return raw.read_until("Z")


def ask_sql(raw, text):
    raw.send(query(text))
    return raw.read_until("Z")


def first_error(messages):
    return next((error_fields(b)["C"] for k, b in messages if k == "E"), None)


def values(messages):
    return [row_values(b) for k, b in messages if k == "D"]


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
