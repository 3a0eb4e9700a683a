# SPDX-License-Identifier: PostgreSQL
"""Who gets in, and what the others are told: PostgreSQL's SQLSTATEs and texts."""
import os
import socket
import struct
import time

import psycopg

from lib import check, equal, limit, needs, quick, raises, until
from rawpg import Closed, Raw, cstr, message, query, startup
import servers

REFUSED = [
    # user, password, database, SQLSTATE, text
    ("app", "wrong", "app", "28P01", 'password authentication failed for user "app"'),
    ("app", "", "app", "28P01", None),
    ("nobody_such", "x", "app", "28P01", 'password authentication failed for user "nobody_such"'),
    ("app", None, "no_such_db", "3D000", 'database "no_such_db" does not exist'),
    ("pgweir", "app_password", "app", "28P01", None),
    ("u" * 70, "x", "app", "28P01", f'password authentication failed for user "{"u" * 63}"'),
    ("app", None, "d" * 70, "3D000", f'database "{"d" * 63}" does not exist'),
]


@quick
def test_refused(weir, sub):
    for user, password, dbname, sqlstate, text in REFUSED:
        with sub(f"login::refused {user}/{password}/{dbname}"), Raw(weir.port) as raw:
            fields = raw.log_in(user, dbname, password)
            check(fields is not None, "was let in")
            equal((fields["S"], fields["V"], fields["C"]), ("FATAL", "FATAL", sqlstate))
            if text:
                equal(fields["M"], text)
            check(raw.is_closed(), "connection stays open after FATAL")


@quick
def test_accepted(weir, sub):
    for user in ("app", "postgres"):
        with sub(f"login::accepted {user}"), weir.connect(user=user) as conn:
            equal(conn.execute("SELECT current_user, session_user").fetchone(), (user, user))
            equal(conn.info.transaction_status.name, "IDLE")


@quick
def test_database_defaults_to_the_user_name(weir):
    with Raw(weir.port) as raw:
        raw.send(startup({"user": "app"}))
        equal(raw.read()[0], "R")


@quick
def test_no_user_in_the_startup_packet(weir):
    with Raw(weir.port) as raw:
        raw.send(startup({"database": "app"}))
        kind, body = raw.read()
        equal(kind, "E")
        check(b"C28000\0" in body, f"SQLSTATE 28000 in {body!r}")


@quick
def test_parameters_at_log_in_are_postgresqls(weir, tier):
    with Raw(tier.primary_port()) as direct, Raw(weir.port) as raw:
        equal(direct.log_in(), None)
        equal(raw.log_in(), None)
        for name, value in direct.params.items():
            equal(raw.params.get(name), value, name)
        equal(len(raw.key), 8)


@quick
def test_startup_parameters_are_applied(weir):
    with Raw(weir.port) as raw:
        equal(raw.log_in(application_name="startup test", DateStyle="German, DMY",
                         TimeZone="Asia/Tokyo", options="-c work_mem=5MB -c search_path=pg_catalog",
                         extra_float_digits="2"), None)
        equal(raw.params["application_name"], "startup test")
        equal(raw.params["TimeZone"], "Asia/Tokyo")
        for name, value in (("application_name", "startup test"), ("DateStyle", "German, DMY"),
                            ("TimeZone", "Asia/Tokyo"), ("work_mem", "5MB"),
                            ("search_path", "pg_catalog"), ("extra_float_digits", "2")):
            equal(raw.rows(f"SHOW {name}"), [[value]], name)


# name, value, what SHOW gives then; PostgreSQL 15 has a "?" for each byte
NAMES = [("application_name", b"caf\xe9 \x01z", "caf? ?z"), ("application_name", b"caf\xc3\xa9", "caf??"),
         ("options", b"-c application_name=b\xe9", "b?"), ("application_name", b"\xff" * 300, "?" * 63)]


@quick
def test_application_name_is_cleaned(weir, start, sub):
    """Any bytes do, whatever the encoding; first on a pgweir that has seen no server yet."""
    fresh = start({}) if weir.is_pgweir else weir
    for name, value, shown in NAMES:
        for at in (fresh, weir):
            with sub(f"login::{name} {value[:20]}"), Raw(at.port) as raw:
                equal(raw.log_in(**{name: value}), None)
                equal(raw.rows("SHOW application_name"), [[shown]])
                equal(raw.params["application_name"], shown)
    with sub("login::in another encoding"), Raw(weir.port) as raw:
        equal(raw.log_in(client_encoding="LATIN1", application_name="é".encode()), None)
        equal(raw.rows("SHOW application_name"), [["??"]])


@quick
def test_settings_that_are_refused(weir, sub):
    """What a start-up packet sets wrongly ends the log-in, with PostgreSQL's FATAL error."""
    for name, value, sqlstate, text in (
            ("client_encoding", "nosuch", "22023",
             'invalid value for parameter "client_encoding": "nosuch"'),
            ("nosuch", "1", "42704", 'unrecognized configuration parameter "nosuch"'),
            ("work_mem", "-3", "22023", None), ("role", "nosuch", "22023", None)):
        with sub(f"login::{name}={value}"), Raw(weir.port) as raw:
            fields = raw.log_in(**{name: value})
            equal((fields["S"], fields["V"], fields["C"]), ("FATAL", "FATAL", sqlstate))
            if text:
                equal(fields["M"], text)
            check(raw.is_closed(), "stays open")


# options, SQLSTATE, text
SWITCHES = [
    ("-c search_path", "42601", "-c search_path requires a value"),
    ("--search-path", "42601", "--search-path requires a value"),
    ("-c geqo =off", "42601", "-c geqo requires a value"),
    ("-c", "42601", "invalid command-line argument for server process: -c"),
    ("-x", "42601", "invalid command-line argument for server process: -x"),
    ("-nx", "42601", "invalid command-line argument for server process: -nx"),
    ("x -c geqo=off", "42601", "invalid command-line argument for server process: x"),
    ("x -c geqo", "42601", "-c geqo requires a value"),
    ("-- -e", "42601", "invalid command-line argument for server process: -e"),
    ("\\", "42601", "invalid command-line argument for server process: "),
    ("-f x", "42601", "invalid command-line argument for server process: x"),
    ("-c =1", "42704", 'unrecognized configuration parameter ""'),
    (f"-c {'n' * 200}=1", "42704", None),
    ("-c -geqo=off", "42704", 'unrecognized configuration parameter "_geqo"'),
    ("-S x", "22023", 'invalid value for parameter "work_mem": "x"'),
    ("-F", "55P02", 'parameter "fsync" cannot be changed now'),
    ("-h x", "55P02", 'parameter "listen_addresses" cannot be changed without restarting the server'),
    ("-s", "42501", 'permission denied to set parameter "log_statement_stats"'),
]


@quick
def test_switches_that_are_refused(weir, sub):
    for options, sqlstate, text in SWITCHES:
        with sub(f"login::options {options[:20]}"), Raw(weir.port) as raw:
            fields = raw.log_in(options=options)
            equal((fields["S"], fields["V"], fields["C"]), ("FATAL", "FATAL", sqlstate))
            if text is not None:
                equal(fields["M"], text)
            if text and text.startswith("invalid command"):
                equal(fields["H"], 'Try "postgres --help" for more information.')
            check(raw.is_closed(), "stays open")


@quick
def test_switches(weir, sub):
    for options, name, shown in (
            ("-nTc geqo=off --", "geqo", "off"), ("-f s", "enable_seqscan", "off"), ("-S 100", "work_mem", "100kB"),
            ("-e", "DateStyle", "ISO, DMY"), ("-c search_path=a\\", "search_path", "a"), ("-C x -n-geqo=off", "geqo", "off"),
            ("-c Search-Path=x", "search_path", "x")):
        with sub(f"login::options {options}"), Raw(weir.port) as raw:
            equal(raw.log_in(options=options), None)
            equal(raw.rows(f"SHOW {name}"), [[shown]])
    with sub("login::options of a superuser"), Raw(weir.port) as raw:
        equal(raw.log_in("postgres", options="-d 2 -t pl"), None)
        for name, shown in (("log_min_messages", "debug2"), ("log_statement", "all"), ("log_planner_stats", "on")):
            equal(raw.rows(f"SHOW {name}"), [[shown]], name)


@quick
def test_requests_for_encryption_get_one_byte(weir):
    weir.need_pgweir()
    for code in (80877103, 80877104):
        with Raw(weir.port) as raw:
            raw.send(struct.pack("!II", 8, code))
            equal(raw.take(1), b"N")
            equal(raw.log_in(), None)


@quick
def test_protocol_3_2_is_negotiated_or_spoken(weir):
    with Raw(weir.port) as raw:
        equal(raw.log_in(version=196610), None)
        equal(raw.rows("SELECT 1"), [["1"]])


def key_after(weir, version, **params):
    """The cancel key of a session, and the version that it was told, if any."""
    with Raw(weir.port) as raw:
        told = []
        read = raw.read

        def watched():
            kind, body = read()
            if kind == "v":
                told.append(struct.unpack_from("!HHI", body))
            return kind, body
        raw.read = watched
        equal(raw.log_in(version=version, **params), None)
        equal(raw.rows("SELECT 1"), [["1"]])
        return raw.key[4:], told


@quick
def test_protocol_versions(weir):
    """As PostgreSQL 18: 3.2 has long keys, 3.1 is 3.0 by another name, above there is nothing."""
    weir.need_pgweir()
    for minor, length, want in ((0, 4, []), (1, 4, []), (2, 32, []), (3, 32, [(3, 2, 0)]),
                                (9999, 32, [(3, 2, 0)])):
        key, told = key_after(weir, 196608 + minor)
        equal((len(key), told), (length, want), f"3.{minor}")
    _, told = key_after(weir, 196608, **{"_pq_.no_such_option": "1"})
    equal(told, [(3, 0, 1)])
    _, told = key_after(weir, 196610, **{"_pq_.no_such_option": "1"})
    equal(told, [(3, 2, 1)])


def cancel(port, key):
    with Raw(port) as raw:
        raw.send(struct.pack("!II", 8 + len(key), 80877102) + key)
        check(raw.is_closed(), "stays open")


def is_canceled(tier, raw, port, key, is_right):
    """Does a cancel request with this key end what runs? Without it the answer comes."""
    raw.send(query(f"SELECT pg_sleep({60 if is_right else 1.2})"))
    if is_right:
        tier.wait_running("pg_sleep(60)")
    else:
        time.sleep(0.3)
    cancel(port, key)
    return any(k == "E" and b"57014" in b for k, b in raw.read_until("Z"))


@quick
@limit(90)
def test_long_cancel_keys(weir, tier, start):
    weir.need_pgweir()
    with Raw(weir.port) as raw:
        equal(raw.log_in(version=196610), None)
        key = raw.key
        bad = bytes([key[-1] ^ 1])
        check(is_canceled(tier, raw, weir.port, key, True), "not canceled")
        for wrong in (key[:-1] + bad, key[:8], key[:-1], key + b"\0", key + bytes(220)):
            check(not is_canceled(tier, raw, weir.port, wrong, False), f"canceled by {wrong}")
    # Behind another pgweir, which stands for a server of PostgreSQL 18.
    second = start({"server_max_protocol_version": "3.2", "databases":
                    [f"behind = host=127.0.0.1 port={weir.port} dbname=app"]})
    for version in (196608, 196610):
        with Raw(second.port) as raw:
            equal(raw.log_in(dbname="behind", version=version), None)
            check(is_canceled(tier, raw, second.port, raw.key, True), "canceled through both")
            equal(raw.rows("SELECT 1"), [["1"]])
    # PostgreSQL 15 speaks 3.0, whatever it is asked for.
    with second.connect() as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@quick
def test_unknown_protocol_option_is_negotiated(weir):
    with Raw(weir.port) as raw:
        raw.send(startup({"user": "app", "database": "app", "_pq_.no_such_option": "1"}))
        kind, body = raw.read()
        equal(kind, "v")
        check(b"_pq_.no_such_option" in body, f"the option is named in {body!r}")


@quick
def test_other_protocols_are_refused(weir, sub):
    for version in (262144, 0x7fffffff):
        with sub(f"login::refused protocol {version}"), Raw(weir.port) as raw:
            raw.send(startup({"user": "app"}, version))
            kind, body = raw.read()
            equal(kind, "E")
            check(b"C0A000\0" in body, f"SQLSTATE 0A000 in {body!r}")
            check(raw.is_closed(), "stays open")


HOSTILE = {
    "length 0": struct.pack("!I", 0),
    "length 4": struct.pack("!I", 4),
    "length 7": struct.pack("!I", 7) + b"abc",
    "protocol 2": struct.pack("!II", 8, 131072),
    "huge length": struct.pack("!II", 0x7fffffff, 196608),
    "negative length": struct.pack("!II", 0xffffffff, 196608),
    "no terminator": struct.pack("!II", 17, 196608) + b"user\0app\0",
    "value without end": struct.pack("!II", 13, 196608) + b"user\0",
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "only noise": bytes(range(256)) * 4,
    "a query before log-in": message("Q", cstr("SELECT 1")),
}


@quick
def test_hostile_startup_bytes(weir, sub):
    for name, data in HOSTILE.items():
        with sub(f"login::hostile {name}"):
            with Raw(weir.port, timeout=20) as raw:
                raw.send(data)
                raw.sock.shutdown(socket.SHUT_WR)
                check(raw.is_closed(), "connection stays open")
            with weir.connect() as conn:
                equal(conn.execute("SELECT 1").fetchone(), (1,))


@quick
def test_who_leaves_before_the_log_in_hears_nothing(weir):
    """node-postgres sends a Terminate in front of its startup packet when it is ended early."""
    with Raw(weir.port) as raw:
        raw.send(message("X"), startup({"user": "app", "database": "app"}))
        try:
            heard = raw.take(1)
        except Closed:
            heard = b""
        equal(heard, b"")


@quick
def test_messages_before_the_password(weir, sub):
    for name, data in (("query", message("Q", cstr("SELECT 1"))),
                       ("huge password", b"p" + struct.pack("!I", 0x7ffffff0)),
                       ("unknown mechanism", message("p", cstr("PLAIN") + struct.pack("!i", -1))),
                       ("short SCRAM", message("p", cstr("SCRAM-SHA-256") + b"\0\0\0\x03n,,")),
                       ("SCRAM garbage",
                        message("p", cstr("SCRAM-SHA-256") + b"\0\0\0\x04\xff\xfe,,")),
                       ("terminate", message("X"))):
        with sub(f"login::instead of the password: {name}"), Raw(weir.port) as raw:
            raw.send(startup({"user": "app", "database": "app"}))
            equal(raw.read()[0], "R")
            raw.send(data)
            raw.sock.shutdown(socket.SHUT_WR)
            check(raw.is_closed(), "connection stays open")


@quick
def test_log_in_cut_everywhere(weir):
    """The startup packet in two halves, cut at every byte."""
    packet = startup({"user": "app", "database": "app"})
    for cut in range(1, len(packet)):
        with Raw(weir.port) as raw:
            raw.send(packet[:cut])
            raw.send(packet[cut:])
            equal(raw.read()[0], "R")


@quick
def test_too_many_clients(start):
    weir = start({"max_client_conn": 3})
    conns = [weir.connect() for _ in range(3)]
    with Raw(weir.port) as raw:
        fields = raw.log_in()
        equal((fields["C"], fields["M"]), ("53300", "sorry, too many clients already"))
    consoles = [weir.console() for _ in range(9)]
    equal(consoles[0].execute("SHOW LISTS").fetchall()[6], ("used_clients", 12))
    with weir.console(), Raw(weir.port) as raw:
        equal(raw.log_in("postgres", "pgweir")["C"], "53300", "a bound here too")
    for conn in [conns.pop(), *consoles]:
        conn.close()

    def get_in():
        try:
            return weir.connect()
        except psycopg.OperationalError:
            return None
    conns.append(until("room for a client again", 20, get_in))
    for conn in conns:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
        conn.close()


def weir_with_users(start, auth_type, secret):
    """A pgweir whose user `guest` has this secret; servers see `app`."""
    path = os.path.join(start.__self__.dir, f"guest-{auth_type}.users")
    with open(path, "w") as f:
        f.write(f'"guest" "{secret}"\n')
    start.__self__.give(path)
    return start({"auth_type": auth_type, "auth_file": path,
                  "databases": [f"forced = cluster=main dbname=app user=app "
                                f"password={servers.USERS['app']}"]})


def expect_guest(weir, password, wrong="wrong"):
    with weir.connect(user="guest", password=password, dbname="forced") as conn:
        equal(conn.execute("SELECT current_user").fetchone(), ("app",))
    if wrong is None:
        return
    with Raw(weir.port) as raw:
        equal(raw.log_in("guest", "forced", wrong)["C"], "28P01")


def test_md5_secret(start):
    # md5("secret" + "guest")
    import hashlib
    secret = "md5" + hashlib.md5(b"secretguest").hexdigest()
    expect_guest(weir_with_users(start, "md5", secret), "secret")


def test_md5_with_a_plain_secret(start):
    expect_guest(weir_with_users(start, "md5", "secret"), "secret")


def test_plain_text_password(start):
    expect_guest(weir_with_users(start, "plain", "secret"), "secret")


def test_scram_secret(start, tier):
    with tier.connect(user="postgres") as conn:
        conn.execute("DROP ROLE IF EXISTS scram_guest")
        conn.execute("CREATE ROLE scram_guest PASSWORD 'secret'")
        secret, = conn.execute("SELECT rolpassword FROM pg_authid "
                               "WHERE rolname = 'scram_guest'").fetchone()
        conn.execute("DROP ROLE scram_guest")
    expect_guest(weir_with_users(start, "scram-sha-256", secret), "secret")


# What the server stores, what pgweir's file has, what the client types.
PREPARED = [("\u2168", "IX", "I\u00adX"), ("cafe\u0301", "caf\u00e9", "cafe\u0301"),
            ("\u0627\u0031", "\u0627\u0031", "\u0627\u0031")]


@quick
def test_saslprep(start, tier, sub):
    """Passwords that look the same are the same, between client and pgweir and on to the server."""
    folder = start.__self__.dir
    with tier.connect(user="postgres") as conn:
        for stored, listed, typed in PREPARED:
            conn.execute("DROP ROLE IF EXISTS saslprep_guest")
            conn.execute(f"CREATE ROLE saslprep_guest LOGIN PASSWORD '{stored}'")
            path = os.path.join(folder, "saslprep.users")
            with open(path, "w") as f:
                f.write(f'"saslprep_guest" "{listed}"\n')
            start.__self__.give(path)
            weir = start({"auth_file": path})
            with sub(f"login::password {typed!r}"):
                with weir.connect(user="saslprep_guest", password=typed) as mine:
                    equal(mine.execute("SELECT current_user").fetchone(), ("saslprep_guest",))
            weir.stop()
        conn.execute("DROP ROLE saslprep_guest")


def test_trust(start):
    expect_guest(weir_with_users(start, "trust", ""), "anything", wrong=None)
