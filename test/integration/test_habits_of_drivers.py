# SPDX-License-Identifier: PostgreSQL
"""What drivers' own test suites do that a splitting pooler easily gets wrong (see test/drivers)."""
from lib import equal, limit, quick
from rawpg import SYNC, Raw, error_fields, logged_in, parse, query

OPTIONS = {"default_pool_size": 1, "server_round_robin": 1, "databases": ["* = cluster=main"]}


def prepare(raw, name, text):
    """None, or the SQLSTATE of the refusal."""
    raw.send(parse(name, text), SYNC)
    errors = [error_fields(body)["C"] for kind, body in raw.read_until("Z") if kind == "E"]
    return errors[0] if errors else None


@quick
def test_serializable_by_default_is_not_left_on_a_replica(weir):
    with logged_in(weir) as leaver, logged_in(weir, work_mem="2MB") as other:
        for i in range(12):
            leaver.rows("SET default_transaction_isolation = 'serializable'")
            equal(prepare(other, f"p{i}", f"SET work_mem = '{i + 1}MB'"), None)
            equal(other.rows("SHOW default_transaction_isolation"), [["read committed"]])
            equal(leaver.rows("SHOW default_transaction_isolation"), [["serializable"]])
            leaver.rows("RESET default_transaction_isolation")


@quick
def test_a_read_sees_the_primarys_settings(weir):
    with logged_in(weir) as raw:
        for name in ("transaction_read_only", "in_hot_standby"):
            for text in (f"SELECT current_setting('{name}')", f"SHOW {name}"):
                equal({raw.rows(text)[0][0] for _ in range(6)}, {"off"}, text)
        raw.rows("SET app.tenant = 'ann'")
        equal({raw.rows("SELECT current_setting('app.tenant')")[0][0] for _ in range(6)}, {"ann"})


@quick
def test_prepared_statements_keep_the_order_they_were_made_in(weir):
    names = ["zeta", "alpha", "mu", "beta", "omega", "eta"]
    view = "SELECT name FROM pg_prepared_statements ORDER BY prepare_time"
    with logged_in(weir) as raw:
        for name in names:
            equal(prepare(raw, name, f"SELECT '{name}'"), None)
        equal(raw.rows(view), [[name] for name in names])
        raw.rows("DEALLOCATE alpha")
        equal(prepare(raw, "alpha", "SELECT 1"), None)
        equal(raw.rows(view), [["zeta"], ["mu"], ["beta"], ["omega"], ["eta"], ["alpha"]])


@quick
def test_a_parameter_of_its_own_wins_over_options(weir):
    switches = {"options": "-c client_encoding=LATIN1 -c work_mem=3MB"}
    for params in ({"client_encoding": "UTF8", **switches}, {**switches, "client_encoding": "UTF8"}):
        with logged_in(weir, **params) as raw:
            equal(raw.params["client_encoding"], "UTF8")
            equal(raw.rows("SHOW client_encoding"), [["UTF8"]])
            equal(raw.rows("SHOW work_mem"), [["3MB"]])


def is_there(weir, name):
    """Can one connect to that database, and use it?"""
    with Raw(weir.port) as raw:
        refusal = raw.log_in(user="postgres", dbname=name)
        if refusal:
            equal(refusal["C"], "3D000")
            return False
        equal(raw.rows("SELECT current_database()"), [[name]])
        return True


@quick
@limit(90)
def test_a_database_that_nobody_uses_can_be_dropped(weir):
    steps = [("CREATE DATABASE it_passing", ["it_passing"]),
             ("CREATE DATABASE it_copy TEMPLATE it_passing", ["it_passing", "it_copy"]),
             ("ALTER DATABASE it_passing RENAME TO it_renamed", ["it_copy", "it_renamed"]),
             ("ALTER DATABASE it_renamed RENAME TO it_passing", ["it_passing", "it_copy"]),
             ("DROP DATABASE it_copy", ["it_passing"]), ("DROP DATABASE it_passing", [])]
    names = ["it_passing", "it_copy", "it_renamed"]
    with logged_in(weir, user="postgres") as raw:
        for text, there in steps:
            for _ in range(3):
                raw.rows("SELECT 1")
            raw.rows(text)
            equal([name for name in names if is_there(weir, name)], there, text)


@quick
def test_a_database_in_use_can_not_be_dropped(weir):
    with logged_in(weir, user="postgres") as raw:
        raw.rows("CREATE DATABASE it_used")
        with logged_in(weir, user="postgres", dbname="it_used") as other:
            other.rows("BEGIN")
            equal(other.rows("SELECT 1"), [["1"]])
            raw.send(query("DROP DATABASE it_used"))
            equal([error_fields(body)["C"] for kind, body in raw.read_until("Z") if kind == "E"],
                  ["55006"])
        raw.rows("DROP DATABASE it_used")


@limit(60)
def test_dropping_a_database_waits_for_who_is_leaving(weir, tier):
    """PostgreSQL gives them five seconds."""
    with logged_in(weir, user="postgres") as raw:
        raw.rows("CREATE DATABASE it_left")
        others = [logged_in(weir, user="postgres", dbname="it_left") for _ in range(3)]
        for other in others:
            equal(other.rows("SELECT 1"), [["1"]])
        raw.send(query("DROP DATABASE it_left"))
        tier.wait_running("DROP DATABASE it_left")
        for other in others:
            other.sock.close()
        equal([error_fields(body)["C"] for kind, body in raw.read_until("Z") if kind == "E"], [])
