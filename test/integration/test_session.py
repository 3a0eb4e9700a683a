# SPDX-License-Identifier: PostgreSQL
"""Session state is the client's: it follows onto whichever server serves it."""
import threading

import psycopg

from lib import check, equal, patient, quick, raises, until
from rawpg import SYNC, Raw, bind, execute, parse, query, row_values

# Two servers per node for many clients: everybody meets everybody's servers.
OPTIONS = {"default_pool_size": 2}


def crowd(weir, count=6):
    return [weir.connect() for _ in range(count)]


def leave(conns):
    for conn in conns:
        conn.close()


@quick
def test_a_custom_setting_is_empty_behind_its_reset(weir):
    conns = crowd(weir)
    raises("42704", conns[0].execute, "SHOW gone.value")
    conns[0].execute("SET gone.value = 'x'")
    conns[0].execute("RESET gone.value")
    for _ in range(4):
        others = [c for c in conns[1:3] if c.execute("BEGIN") and c.execute("SELECT 1")]
        others[0].execute("COMMIT")
        equal(conns[0].execute("SHOW gone.value").fetchone(), ("",))
        others[1].execute("COMMIT")
    leave(conns)


SETTINGS = [
    ("work_mem", "5MB"), ("search_path", "pg_catalog, public"), ("DateStyle", "German, DMY"),
    ("TimeZone", "Asia/Tokyo"), ("statement_timeout", "77s"), ("extra_float_digits", "-2"),
    ("application_name", "it's \"quoted\""), ("IntervalStyle", "iso_8601"),
    ("default_transaction_isolation", "serializable"), ("my.custom", "α β"),
    ("client_min_messages", "error"), ("bytea_output", "escape"), ("lock_timeout", "9s"),
]


@quick
def test_settings_follow_the_client(weir, sub):
    for name, value in SETTINGS:
        with sub(f"session::SET {name}"):
            conns = crowd(weir)
            quoted = value
            if name != "search_path":
                quoted = psycopg.sql.Literal(value).as_string(conns[0])
            conns[0].execute(f"SET {name} = {quoted}")
            default = None if "." in name else conns[1].execute(f"SHOW {name}").fetchone()
            for _ in range(4):
                equal(conns[0].execute(f"SHOW {name}").fetchone(), (value,))
                for other in conns[1:]:
                    got = other.execute("SELECT current_setting(%s, true)", (name,)).fetchone()
                    check(got[0] != value, f"{name} leaked to another client")
            conns[0].execute(f"RESET {name}")
            if default:
                equal(conns[0].execute(f"SHOW {name}").fetchone(), default)
            leave(conns)


@quick
def test_parameter_status_reports(weir):
    with Raw(weir.port) as raw, Raw(weir.port) as other:
        equal(raw.log_in(), None)
        equal(other.log_in(), None)

        def statuses(sql):
            raw.send(query(sql))
            return [tuple(p.decode() for p in b.split(b"\0")[:2])
                    for k, b in raw.read_until("Z") if k == "S"]
        equal(statuses("SET TimeZone = 'Asia/Tokyo'"), [("TimeZone", "Asia/Tokyo")])
        equal(statuses("SET application_name = 'me'"), [("application_name", "me")])
        for _ in range(4):
            other.send(query("SELECT 1"))
            equal([k for k, _ in other.read_until("Z") if k == "S"], [])
            equal(statuses("SELECT 1"), [])
        equal(statuses("RESET TimeZone")[0][0], "TimeZone")


@quick
def test_set_in_a_transaction(weir):
    conns = crowd(weir)
    conn = conns[0]
    before = conn.execute("SHOW work_mem").fetchone()
    conn.execute("BEGIN")
    conn.execute("SET work_mem = '6MB'")
    conn.execute("ROLLBACK")
    for _ in range(4):
        equal(conn.execute("SHOW work_mem").fetchone(), before)
    conn.execute("BEGIN")
    conn.execute("SET work_mem = '6MB'")
    conn.execute("SAVEPOINT s")
    conn.execute("SET work_mem = '7MB'")
    conn.execute("ROLLBACK TO s")
    conn.execute("COMMIT")
    for _ in range(4):
        equal(conn.execute("SHOW work_mem").fetchone(), ("6MB",))
    conn.execute("BEGIN")
    conn.execute("SET LOCAL work_mem = '8MB'")
    equal(conn.execute("SHOW work_mem").fetchone(), ("8MB",))
    conn.execute("COMMIT")
    for _ in range(4):
        equal(conn.execute("SHOW work_mem").fetchone(), ("6MB",))
    leave(conns)


@quick
def test_a_failed_set_changes_nothing(weir):
    conns = crowd(weir, 3)
    conns[0].execute("SET work_mem = '6MB'")
    raises("22023", conns[0].execute, "SET work_mem = 'nonsense'")
    raises("42704", conns[0].execute, "SET no_such_setting = 1")
    for _ in range(4):
        equal(conns[0].execute("SHOW work_mem").fetchone(), ("6MB",))
    leave(conns)


@quick
def test_set_config_function(weir):
    conns = crowd(weir)
    conns[0].execute("SELECT set_config('work_mem', '9MB', false)")
    conns[0].execute("SELECT set_config('my.thing', %s, false)", ("by function",))
    for _ in range(4):
        equal(conns[0].execute("SHOW work_mem").fetchone(), ("9MB",))
        equal(conns[0].execute("SELECT current_setting('my.thing')").fetchone(), ("by function",))
        for other in conns[1:]:
            check(other.execute("SHOW work_mem").fetchone() != ("9MB",), "leaked")
    leave(conns)


@quick
def test_reset_all_and_discard_all(weir):
    for command in ("RESET ALL", "DISCARD ALL"):
        conns = crowd(weir, 4)
        default = conns[0].execute("SHOW work_mem").fetchone()
        conns[0].execute("SET work_mem = '6MB'")
        conns[0].execute(command)
        for _ in range(4):
            equal(conns[0].execute("SHOW work_mem").fetchone(), default)
        leave(conns)


@quick
def test_reset_goes_back_to_the_startup_value(weir):
    conns = crowd(weir, 3) + [weir.connect(options="-c work_mem=11MB", application_name="first")]
    conn = conns[-1]
    conn.execute("SET work_mem = '6MB'")
    conn.execute("SET application_name = 'second'")
    conn.execute("RESET ALL")
    for _ in range(4):
        equal(conn.execute("SHOW work_mem").fetchone(), ("11MB",))
        equal(conn.execute("SHOW application_name").fetchone(), ("first",))
    leave(conns)


@quick
def test_set_role(weir):
    with weir.connect(user="postgres") as admin:
        admin.execute("DROP ROLE IF EXISTS it_role")
        admin.execute("CREATE ROLE it_role NOLOGIN")
        admin.execute("GRANT it_role TO app")
        conns = crowd(weir)
        conns[0].execute("SET ROLE it_role")
        for _ in range(4):
            equal(conns[0].execute("SELECT current_user, session_user").fetchone(),
                  ("it_role", "app"))
            for other in conns[1:]:
                equal(other.execute("SELECT current_user").fetchone(), ("app",))
        conns[0].execute("RESET ROLE")
        equal(conns[0].execute("SELECT current_user").fetchone(), ("app",))
        leave(conns)
        admin.execute("DROP ROLE it_role")


@quick
def test_session_authorization(weir):
    conns = [weir.connect(user="postgres") for _ in range(4)]
    conns[0].execute("SET SESSION AUTHORIZATION app")
    for _ in range(4):
        equal(conns[0].execute("SELECT session_user").fetchone(), ("app",))
        for other in conns[1:]:
            equal(other.execute("SELECT session_user").fetchone(), ("postgres",))
    conns[0].execute("RESET SESSION AUTHORIZATION")
    equal(conns[0].execute("SELECT session_user").fetchone(), ("postgres",))
    leave(conns)


@quick
def test_session_characteristics(weir):
    conns = crowd(weir)
    conns[0].execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    for _ in range(4):
        equal(conns[0].execute("SHOW transaction_isolation").fetchone(), ("serializable",))
        for other in conns[1:]:
            equal(other.execute("SHOW transaction_isolation").fetchone(), ("read committed",))
    leave(conns)


@quick
def test_client_encoding_and_names(weir):
    with weir.connect() as conn, weir.connect() as other:
        conn.execute("SET NAMES 'LATIN1'")
        equal(conn.info.encoding, "iso8859-1")
        equal(conn.execute("SELECT 'ä'").fetchone(), ("ä",))
        equal(other.execute("SELECT 'ä'").fetchone(), ("ä",))


@quick
def test_temporary_tables_pin(weir):
    conns = crowd(weir, 2)
    conns[0].execute("CREATE TEMP TABLE mine(k int)")
    conns[0].execute("INSERT INTO mine VALUES (1)")
    others = crowd(weir, 2)
    for _ in range(4):
        equal(conns[0].execute("SELECT k FROM mine").fetchall(), [(1,)])
        for other in others[:1]:
            raises("42P01", other.execute, "SELECT k FROM mine")
    conns[0].execute("DROP TABLE mine")
    raises("42P01", conns[0].execute, "SELECT k FROM mine")
    leave(conns + others)


@quick
def test_temporary_table_of_a_rolled_back_transaction(weir):
    conns = crowd(weir, 3)
    conns[0].execute("BEGIN")
    conns[0].execute("CREATE TEMP TABLE fleeting(k int) ON COMMIT DROP")
    equal(conns[0].execute("SELECT count(*) FROM fleeting").fetchone(), (0,))
    conns[0].execute("COMMIT")
    for conn in conns:
        raises("42P01", conn.execute, "SELECT k FROM fleeting")
    leave(conns)


@quick
def test_advisory_locks(weir):
    conns = crowd(weir, 2)
    conns[0].execute("SELECT pg_advisory_lock(77)")
    equal(conns[1].execute("SELECT pg_try_advisory_lock(77)").fetchone(), (False,))
    for _ in range(3):
        conns[1].execute("SELECT 1")
        conns[0].execute("SELECT 1")
    equal(conns[0].execute("SELECT pg_advisory_unlock(77)").fetchone(), (True,))
    equal(conns[1].execute("SELECT pg_try_advisory_lock(77)").fetchone(), (True,))
    equal(conns[1].execute("SELECT pg_advisory_unlock(77)").fetchone(), (True,))
    conns[0].execute("SELECT pg_advisory_lock(78)")
    conns[0].close()
    until("the lock of a client that left", 10, lambda: conns[1].execute(
        "SELECT pg_try_advisory_lock(78)").fetchone()[0])
    conns[1].close()


@quick
def test_currval_and_lastval(weir):
    conns = crowd(weir, 2)
    conns[0].execute("DROP SEQUENCE IF EXISTS it_seq")
    conns[0].execute("CREATE SEQUENCE it_seq")
    equal(conns[0].execute("SELECT nextval('it_seq')").fetchone(), (1,))
    equal(conns[1].execute("SELECT nextval('it_seq')").fetchone(), (2,))
    equal(conns[0].execute("SELECT currval('it_seq')").fetchone(), (1,))
    conns[0].execute("ALTER SEQUENCE it_seq RESTART")
    others = crowd(weir, 2)
    for i in range(1, 6, 2):
        equal(conns[0].execute("SELECT nextval('it_seq')").fetchone(), (i,))
        equal(others[0].execute("SELECT nextval('it_seq')").fetchone(), (i + 1,))
        equal(conns[0].execute("SELECT currval('it_seq'), lastval()").fetchone(), (i, i))
        equal(others[0].execute("SELECT currval('it_seq')").fetchone(), (i + 1,))
    leave(others)
    conns[0].execute("DROP SEQUENCE it_seq")
    leave(conns)


@quick
def test_listen_and_notify(weir):
    listener, sender = weir.connect(), weir.connect()
    listener.execute("LISTEN it_channel")
    others = crowd(weir, 3)
    for other in others:
        other.execute("SELECT 1")
    sender.execute("NOTIFY it_channel, 'one'")
    sender.execute("SELECT pg_notify('it_channel', 'two')")
    got = []

    def collect():
        for note in listener.notifies():
            got.append((note.channel, note.payload))
            if len(got) == 2:
                break
    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(patient(10))
    equal(got, [("it_channel", "one"), ("it_channel", "two")])
    leave(others + [listener, sender])


@quick
def test_multi_statement_set(weir):
    conns = [weir.connect(cursor_factory=psycopg.ClientCursor) for _ in range(4)]
    conns[0].execute("SET work_mem = '6MB'; SET TimeZone = 'Asia/Tokyo'; SELECT 1")
    for _ in range(4):
        equal(conns[0].execute("SHOW work_mem").fetchone(), ("6MB",))
        equal(conns[0].execute("SHOW TimeZone").fetchone(), ("Asia/Tokyo",))
        for other in conns[1:]:
            check(other.execute("SHOW TimeZone").fetchone() != ("Asia/Tokyo",), "leaked")
    leave(conns)


@quick
def test_set_by_extended_protocol(weir):
    with Raw(weir.port) as raw:
        equal(raw.log_in(), None)
        others = crowd(weir, 3)
        raw.send(parse("", "SET work_mem = '6MB'"), bind("", ""), execute(), SYNC)
        raw.read_until("Z")
        for _ in range(4):
            for other in others:
                other.execute("SELECT 1")
            raw.send(parse("", "SHOW work_mem"), bind("", ""), execute(), SYNC)
            equal([row_values(b) for k, b in raw.read_until("Z") if k == "D"], [["6MB"]])
        leave(others)


@quick
def test_set_of_a_hidden_function(weir):
    """A SET inside a function body isn't visible in the text sent."""
    conns = crowd(weir, 4)
    conns[0].execute("CREATE OR REPLACE FUNCTION it_set() RETURNS void LANGUAGE plpgsql AS "
                     "$$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$")
    conns[0].execute("SELECT it_set()")
    for _ in range(4):
        equal(conns[0].execute("SHOW TimeZone").fetchone(), ("Asia/Tokyo",))
        for other in conns[1:]:
            check(other.execute("SHOW TimeZone").fetchone() != ("Asia/Tokyo",), "leaked")
    conns[0].execute("DROP FUNCTION it_set()")
    leave(conns)


@quick
def test_a_setting_with_a_name_longer_than_an_identifier(start):
    """RESET would cut the name: it is taken back all the same, and stays its session's."""
    weir = start({"default_pool_size": 1, "split": "off"})
    name = "pgweir_" + "n" * 70 + ".x"
    show = "SELECT coalesce(current_setting(%s, true), '')"
    with weir.connect(options=f"-c {name}=own") as a, weir.connect() as b:
        for _ in range(2):
            equal(a.execute(show, (name,)).fetchone(), ("own",))
            equal(b.execute(show, (name,)).fetchone(), ("",))


@quick
def test_a_setting_whose_library_is_loaded_elsewhere(start):
    """PostgreSQL keeps any name until the library of its prefix is loaded, and then takes it away with a WARNING."""
    weir = start({"default_pool_size": 1, "split": "off"})
    warnings = []
    with weir.connect() as c, weir.connect() as other:
        c.add_notice_handler(lambda diag: warnings.append((diag.severity, diag.sqlstate)))
        c.execute("SET application_name = 'kept'; SET plpgsql.no_such = '1'")
        equal(c.execute("SHOW plpgsql.no_such").fetchone(), ("1",))
        other.execute("DO $$ BEGIN PERFORM 1; END $$")
        equal(c.execute("SELECT 5").fetchone(), (5,))
        equal(warnings, [("WARNING", "42602")])
        raises("42704", c.execute, "SHOW plpgsql.no_such")
        equal(c.execute("SHOW application_name").fetchone(), ("kept",))
        equal(len(warnings), 1)
