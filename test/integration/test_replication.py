# SPDX-License-Identifier: PostgreSQL
"""Replication connections through pgweir, by PostgreSQL's own tools and by hand: physical and logical
streams, base backups, limits, and what becomes of either side when the other ends."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import psycopg
import servers
from lib import check, equal, limit, long, patient, quick, until
from rawpg import TERMINATE, Raw, error_fields, message, query, row_values, struct

WHO = {"user": "replicator", "dbname": "app"}
BIN = servers.PG_BIN


def environment(weir):
    return {**os.environ, "PGPASSWORD": servers.USERS["replicator"], "PGHOST": "127.0.0.1",
            "PGPORT": str(weir.port), "PGUSER": "replicator", "PGCONNECT_TIMEOUT": "20"}


def tool(weir, name, *words, seconds=60):
    """One of PostgreSQL's programs to its end: its output."""
    done = subprocess.run([os.path.join(BIN, name), *words], env=environment(weir), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=patient(seconds))
    equal(done.returncode, 0, f"{name}: {done.stdout}")
    return done.stdout


@contextlib.contextmanager
def running(weir, name, *words):
    """The same, while the block runs; ended by SIGINT as a user does."""
    with tempfile.TemporaryFile("w+") as out:
        proc = subprocess.Popen([os.path.join(BIN, name), *words], env=environment(weir), text=True,
                                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        proc.said = lambda: (out.seek(0), out.read())[1]
        try:
            yield proc
        finally:
            proc.send_signal(signal.SIGINT)
            try:
                proc.wait(patient(20))
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait(patient(20))
                raise AssertionError(f"{name} didn't end by SIGINT: {proc.said()}") from None


@contextlib.contextmanager
def slot(tier, name, plugin=None):
    """A replication slot on the primary, for the block."""
    with tier.connect(user="postgres") as conn:
        made = "pg_create_logical_replication_slot(%s, %s)" if plugin else \
            "pg_create_physical_replication_slot(%s, true)"
        conn.execute(f"SELECT {made}", (name, plugin) if plugin else (name,))
        try:
            yield conn
        finally:
            until(f"slot {name} to be free", 20, lambda: not is_active(conn, name))
            conn.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def is_active(conn, name):
    return conn.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s",
                        (name,)).fetchone()[0]


def walsenders(tier):
    with tier.connect(user="postgres") as conn:
        return conn.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' "
                            "AND usename = 'replicator' AND application_name NOT LIKE 'node%'"
                            ).fetchone()[0]


def rows_of(weir, what):
    return [r for r in weir.show(what) if r["replication"] != "none"]


@contextlib.contextmanager
def logged_in(weir, replication, **params):
    with Raw(weir.port, timeout=20) as raw:
        equal(raw.log_in(**WHO, replication=replication, **params), None)
        yield raw


# ---- by hand ----

@quick
def test_commands(weir, sub):
    for mode in ("true", "on", "1", "t", "YES", "database"):
        with sub(f"replication::IDENTIFY_SYSTEM with replication={mode}"), logged_in(weir, mode) as raw:
            row, = raw.rows("IDENTIFY_SYSTEM")
            equal(row[3], "app" if mode == "database" else None)
            check("/" in row[2], row)
            equal(raw.rows("SHOW server_version_num")[0][0][:2], "15")
    for mode in ("false", "off", "0", "NO"):
        with sub(f"replication::none with replication={mode}"), logged_in(weir, mode) as raw:
            equal(raw.rows("SELECT 1"), [["1"]])


@quick
def test_a_bad_value_is_refused(weir):
    for value in ("maybe", "o", ""):
        with Raw(weir.port) as raw:
            said = raw.log_in(**WHO, replication=value)
            equal((said["S"], said["C"]), ("FATAL", "22023"))
            check('invalid value for parameter "replication"' in said["M"], said)
            check("Valid values are" in said["H"], said)


@quick
def test_who_may_not_replicate_hears_it_from_the_server(weir):
    with Raw(weir.port) as raw:
        said = raw.log_in(user="app", dbname="app", replication="database")
        equal((said["S"], said["C"]), ("FATAL", "42501"))
    with Raw(weir.port) as raw:
        said = raw.log_in(**WHO, replication="database", no_such_setting="1")
        equal((said["S"], said["C"]), ("FATAL", "42704"))
        check("no_such_setting" in said["M"], said)


@quick
def test_start_up_parameters_are_the_clients(weir):
    with logged_in(weir, "database", application_name="mine", options="-c work_mem=7MB",
                   DateStyle="German") as raw:
        equal(raw.rows("SHOW work_mem"), [["7MB"]])
        equal(raw.rows("SHOW DateStyle"), [["German, DMY"]])
        equal(raw.rows("SHOW application_name"), [["mine"]])
        equal(raw.params["application_name"], "mine")


@quick
def test_sql_on_a_logical_connection(weir):
    with logged_in(weir, "database") as raw:
        equal(raw.rows("CREATE TEMP TABLE own(a int)"), [])
        equal(raw.rows("INSERT INTO own VALUES (1), (2)"), [])
        equal(raw.rows("BEGIN"), [])
        equal(raw.rows("SELECT sum(a) FROM own"), [["3"]])
        raw.send(query("SELECT 1/0"))
        got = raw.read_until("Z")
        equal((error_fields(got[0][1])["C"], got[-1][1]), ("22012", b"E"))
        equal(raw.rows("ROLLBACK"), [])
        raw.send(query("SELECT 1"), query("SELECT 2"))
        equal([row_values(b) for k, b in raw.read_until("Z") + raw.read_until("Z") if k == "D"],
              [["1"], ["2"]])


@quick
def test_sql_on_a_physical_connection_is_refused_by_the_server(weir):
    with logged_in(weir, "true") as raw:
        raw.send(query("SELECT 1"))
        got = raw.read_until("Z")
        equal([k for k, _ in got], ["E", "Z"])
        equal(len(raw.rows("IDENTIFY_SYSTEM")), 1)


@quick
def test_no_extended_protocol(weir):
    with logged_in(weir, "database") as raw:
        raw.send(message("P", b"\0SELECT 1\0\0\0") + message("S"))
        got = raw.read_until("Z")
        equal(error_fields(got[0][1])["C"], "08P01")
        equal(raw.rows("SELECT 1"), [["1"]])


@quick
def test_broken_messages_are_the_servers_to_judge(weir):
    for data in (b"@\0\0\0\x04", message("Q", b"SELECT 1")):
        with logged_in(weir, "database") as raw:
            raw.send(data)
            kind, body = raw.read()
            equal((kind, error_fields(body)["C"]), ("E", "08P01"))
    with logged_in(weir, "database") as raw:
        raw.send(b"Q\0\0\0\x01")    # PostgreSQL hangs up at a length that can't be
        check(raw.is_closed(), "stays open")
    with logged_in(weir, "database") as raw:
        equal(raw.rows("SELECT 1"), [["1"]])


@quick
def test_driver(weir):
    with weir.connect(**WHO, replication="database", cursor_factory=psycopg.ClientCursor) as conn:
        equal(conn.execute("SELECT %s + 1", (41,)).fetchone(), (42,))
        equal(conn.execute("IDENTIFY_SYSTEM").fetchone()[3], "app")


@quick
def test_messages_cut_everywhere(weir):
    with logged_in(weir, "database") as raw:
        raw.sock.setsockopt(6, 1, 1)
        for byte in query("SELECT 'cut'"):
            raw.send(bytes([byte]))
        equal([row_values(b) for k, b in raw.read_until("Z") if k == "D"], [["cut"]])


def start_stream(raw):
    row, = raw.rows("IDENTIFY_SYSTEM")
    raw.send(query(f"START_REPLICATION PHYSICAL {row[2]}"))
    equal(raw.read()[0], "W")
    return row[2]


@quick
def test_copy_both_ends_from_the_client(weir):
    with logged_in(weir, "true") as raw:
        start_stream(raw)
        # A status update that asks for an answer, then the end of the stream.
        raw.send(message("d", b"r" + struct.pack("!QQQQB", 0, 0, 0, 0, 1)))
        while raw.read()[1][:1] != b"k":
            pass
        raw.send(message("c"))
        kinds = "".join(k for k, _ in raw.read_until("Z") if k not in "d")
        equal(kinds, "cCCZ")
        equal(len(raw.rows("IDENTIFY_SYSTEM")), 1)


@quick
def test_shown(weir):
    weir.need_pgweir()
    with logged_in(weir, "true") as one, logged_in(weir, "database"):
        start_stream(one)
        clients = sorted((r["replication"], r["state"], r["pinned"]) for r in rows_of(weir, "CLIENTS"))
        equal(clients, [("logical", "active", "replication"), ("physical", "active", "replication")])
        found = rows_of(weir, "SERVERS")
        equal(sorted(r["replication"] for r in found), ["logical", "physical"])
        equal({r["ptr"] for r in found}, {r["link"] for r in rows_of(weir, "CLIENTS")})
    until("they are gone", 10, lambda: not rows_of(weir, "SERVERS"))


# ---- PostgreSQL's tools ----

@limit(120)
def test_receivewal(weir, tier):
    with slot(tier, "weir_wal") as conn, tempfile.TemporaryDirectory() as folder:
        with running(weir, "pg_receivewal", "-D", folder, "-S", "weir_wal", "--synchronous", "-n",
                     "-s", "1"):
            until("the stream to run", 20, lambda: is_active(conn, "weir_wal"))
            conn.execute("CREATE TABLE IF NOT EXISTS streamed(t text)")
            conn.execute("INSERT INTO streamed SELECT repeat(md5(i::text), 20) "
                         "FROM generate_series(1, 40000) i")
            end, = conn.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
            conn.execute("SELECT pg_switch_wal()")
            until("everything to arrive", 60, lambda: conn.execute(
                "SELECT restart_lsn >= %s FROM pg_replication_slots WHERE slot_name = 'weir_wal'",
                (end,)).fetchone()[0])
        conn.execute("DROP TABLE streamed")
        done = [f for f in os.listdir(folder) if re.fullmatch("[0-9A-F]{24}", f)]
        check(done, "no whole segment")
        out = subprocess.run([os.path.join(BIN, "pg_waldump"), "-n", "3", os.path.join(folder, done[0])],
                             capture_output=True, text=True, timeout=patient(30))
        check("rmgr:" in out.stdout, f"{out.stdout}{out.stderr}")


@limit(120)
def test_recvlogical(weir, tier):
    name = "weir_logical"
    with slot(tier, name, "test_decoding") as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS decoded(a int, t text)")
        with running(weir, "pg_recvlogical", "-d", "app", "-S", name, "--start", "-f", "-", "-n",
                     "-F", "1") as proc:
            until("the stream to run", 20, lambda: is_active(conn, name))
            with weir.connect() as app, tier.connect(user="postgres") as owner:
                owner.execute("GRANT ALL ON decoded TO app")
                app.execute("INSERT INTO decoded VALUES (1, 'one'), (2, %s)", ("x" * 300000,))
            until("both rows", 30, lambda: "x" * 300000 in proc.said())
            check("a[integer]:1 t[text]:'one'" in proc.said(), "the first row")
        conn.execute("DROP TABLE decoded")


@limit(60)
def test_pgoutput_by_hand(weir, tier):
    name = "weir_pgoutput"
    with slot(tier, name, "pgoutput") as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS published(a int)")
        conn.execute("DROP PUBLICATION IF EXISTS weir_pub")
        conn.execute("CREATE PUBLICATION weir_pub FOR TABLE published")
        try:
            with logged_in(weir, "database") as raw:
                raw.send(query(f"START_REPLICATION SLOT {name} LOGICAL 0/0 "
                               "(proto_version '1', publication_names 'weir_pub')"))
                equal(raw.read()[0], "W")
                conn.execute("INSERT INTO published VALUES (77)")
                seen = b""
                while "C" not in seen.decode("latin1"):
                    kind, body = raw.read()
                    equal(kind, "d")
                    if body[:1] == b"w":
                        seen += body[25:26]
                check(b"I" in seen, f"an insert among {seen}")
        finally:
            conn.execute("DROP PUBLICATION weir_pub")
            conn.execute("DROP TABLE published")


@limit(180)
def test_basebackup(weir, tier):
    for words in (["-X", "stream"], ["-X", "fetch", "-Ft", "-z"]):
        with tempfile.TemporaryDirectory() as folder:
            tool(weir, "pg_basebackup", "-D", os.path.join(folder, "data"), "-c", "fast",
                 "--no-sync", *words, seconds=150)
            if "-Ft" not in words:
                out = subprocess.run([os.path.join(BIN, "pg_verifybackup"), os.path.join(folder, "data")],
                                     capture_output=True, text=True, timeout=patient(60))
                equal(out.returncode, 0, out.stdout + out.stderr)


# ---- what belongs to pgweir ----

@quick
def test_hba_keyword(session, start, folder):
    """A database's name, also `all`, lets no physical connection in; `replication` no other."""
    path = os.path.join(folder, "replication-hba.conf")

    def log_in(rule, mode):
        with open(path, "w") as f:
            f.write(rule + "\n")
        session.give(path)
        weir = start({"auth_type": "hba", "auth_hba_file": path})
        with Raw(weir.port) as raw:
            said = raw.log_in(**WHO, replication=mode)
        return said and (said["C"], said["M"])
    everybody = "replicator 127.0.0.1/32 scram-sha-256"
    missing = 'no pg_hba.conf entry for replication connection from host "127.0.0.1", ' \
              'user "replicator", no encryption'
    equal(log_in(f"host all {everybody}", "true"), ("28000", missing))
    equal(log_in(f"host all {everybody}", "database"), None)
    equal(log_in(f"host replication {everybody}", "true"), None)
    equal(log_in(f"host replication {everybody}", "database")[0], "28000")
    equal(log_in("host replication all 127.0.0.1/32 reject", "true")[1],
          missing.replace("no pg_hba.conf entry for", "pg_hba.conf rejects")
          .replace("connection from", "connection for"))


@quick
def test_farewell_behind_a_request(weir, sub):
    """In one packet: PostgreSQL answers, then ends."""
    for text in ("IDENTIFY_SYSTEM", "SHOW work_mem", "NO SUCH COMMAND"):
        for count in (1, 3):
            with sub(f"replication::Terminate behind {count} {text}"), Raw(weir.port) as raw:
                equal(raw.log_in(**WHO, replication="database"), None)
                raw.send(*[query(text)] * count, TERMINATE)
                kinds = [raw.read_until("Z")[-2][0] for _ in range(count)]
                equal(kinds, ["E" if text.startswith("NO") else "C"] * count)
                check(raw.is_closed(), "it ends")


@quick
def test_limits(start, tier):
    """A replication connection has its place in the pool, waits for it in line, and gives it back."""
    weir = start({"default_pool_size": 2, "query_wait_timeout": 20, "db.split": "off"})

    def servers_open():
        return len([r for r in weir.show("SERVERS") if r["user"] == "replicator"])
    with weir.connect(**WHO) as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
        until("its connection to be idle", 10, lambda: servers_open() == 1)
        with logged_in(weir, "database") as one, logged_in(weir, "true") as two:
            equal(servers_open(), 2)    # the idle one made room
            equal(len(one.rows("IDENTIFY_SYSTEM") + two.rows("IDENTIFY_SYSTEM")), 2)
            with Raw(weir.port, timeout=30) as third:
                conn.pgconn.send_query(b"SELECT 42")    # waits, both places are taken
                conn.pgconn.flush()
                until("the query to wait", 10, lambda: [
                    r for r in weir.show("CLIENTS") if r["state"] == "waiting"])
                one.sock.close()
                until("its answer", 20, lambda: not (conn.pgconn.consume_input() or
                                                     conn.pgconn.is_busy()))
                equal(conn.pgconn.get_result().get_value(0, 0), b"42")
                while conn.pgconn.get_result():
                    pass
                equal(third.log_in(**WHO, replication="database"), None)
                equal(third.rows("SELECT 1"), [["1"]])
                equal(servers_open(), 2)
    until("only the pooled ones to stay", 10, lambda: not rows_of(weir, "SERVERS"))


@quick
def test_a_refused_one_gives_its_place_to_who_waits(start):
    weir = start({"default_pool_size": 1, "query_wait_timeout": 20})
    for _ in range(5):
        with weir.connect() as conn:
            equal(conn.execute("SELECT 1").fetchone(), (1,))
            with Raw(weir.port) as raw:
                equal(raw.log_in(user="app", dbname="app", replication="database")["C"], "42501")
            equal(conn.execute("SELECT 2").fetchone(), (2,))


@quick
def test_no_place_is_left(start):
    weir = start({"default_pool_size": 1, "query_wait_timeout": 2})
    with logged_in(weir, "true"), Raw(weir.port) as raw:
        said = raw.log_in(**WHO, replication="true")
        equal(said["C"], "08006")
        check("query_wait_timeout" in said["M"], said)


@quick
def test_either_side_ends(start, tier):
    weir = start()
    with tier.connect(user="postgres") as root:
        with logged_in(weir, "database") as raw:
            pid = int(raw.rows("SELECT pg_backend_pid()")[0][0])
            raw.sock.close()
            until("the walsender to end", 10, lambda: not root.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone())
        with logged_in(weir, "true") as raw:
            start_stream(raw)
            until("its walsender", 10, lambda: walsenders(tier))
            root.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = "
                         "'walsender' AND usename = 'replicator' AND application_name NOT LIKE 'node%'")
            errors = []
            with contextlib.suppress(Exception):
                while True:
                    kind, body = raw.read()
                    if kind == "E":
                        errors.append(error_fields(body)["C"])
            equal(errors, ["57P01"], "the server's own last words, and none behind them")
        with logged_in(weir, "true") as raw:
            start_stream(raw)
            with weir.console() as console:
                number = rows_of(weir, "CLIENTS")[0]["id"]
                console.execute(f"KILL_CLIENT {number}")
            check(raw.is_closed(), "stays open")
    until("all to be gone", 10, lambda: not walsenders(tier))


@quick
def test_cancel(weir, tier):
    with logged_in(weir, "database") as raw:
        raw.send(query("SELECT pg_sleep(30)"))
        tier.wait_running("pg_sleep(30)")
        with socket.create_connection(("127.0.0.1", weir.port), 10) as other:
            other.sendall(struct.pack("!II", 12 + len(raw.key) - 4, 80877102) + raw.key)
            equal(other.recv(1), b"")
        equal(error_fields(raw.read_until("E")[-1][1])["C"], "57014")
        raw.read_until("Z")
        equal(raw.rows("SELECT 1"), [["1"]])


@quick
def test_time_outs_spare_it(start):
    weir = start({"query_timeout": 1, "client_idle_timeout": 1, "idle_transaction_timeout": 1,
                  "transaction_timeout": 1})
    with logged_in(weir, "true") as stream, logged_in(weir, "database") as raw:
        start_stream(stream)
        equal(raw.rows("BEGIN"), [])
        time.sleep(3.2)
        equal(raw.rows("SELECT 1"), [["1"]])
        stream.send(message("d", b"r" + struct.pack("!QQQQB", 0, 0, 0, 0, 1)))
        while stream.read()[1][:1] != b"k":
            pass


def rss_kib(weir):
    with open(f"/proc/{weir.proc.pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


@limit(120)
def test_a_slow_reader_holds_the_stream(start, tier):
    """What it doesn't read stays with the server, not in pgweir."""
    weir = start()
    with logged_in(weir, "true") as raw, tier.connect(user="postgres") as root:
        start_stream(raw)
        before = rss_kib(weir)
        root.execute("CREATE TABLE slowly(t text)")
        root.execute("INSERT INTO slowly SELECT repeat(md5(i::text), 30) FROM generate_series(1, 80000) i")
        time.sleep(2)
        if not weir.is_sanitized():    # which keeps what was freed
            check(rss_kib(weir) - before < 20000, f"{rss_kib(weir) - before} KiB more")
        end, = root.execute("SELECT pg_current_wal_flush_lsn() - '0/0'").fetchone()
        root.execute("DROP TABLE slowly")
        at = 0
        while at < end:
            kind, body = raw.read()
            if kind == "d" and body[:1] == b"w":
                first, = struct.unpack_from("!Q", body, 1)
                check(not at or first == at, f"a gap from {at} to {first}")
                at = first + len(body) - 25


@limit(60)
def test_a_slow_server_holds_the_client(weir):
    """COPY FROM STDIN over a replication connection, more than fits between."""
    with logged_in(weir, "database") as raw:
        raw.rows("CREATE TEMP TABLE taken(t text)")
        raw.send(query("COPY taken FROM STDIN"))
        equal(raw.read()[0], "G")
        for _ in range(200):
            raw.send(message("d", b"y" * 99999 + b"\n"))
        raw.send(message("c"))
        raw.read_until("Z")
        equal(raw.rows("SELECT count(*), sum(length(t)) FROM taken"), [["200", "19999800"]])


@limit(60)
def test_drain(start, tier):
    """At the end of pgweir a stream ends between two messages, an idle one at once, a backup is let end."""
    weir = start({"drain_timeout": 20})
    with logged_in(weir, "true") as stream, logged_in(weir, "database") as idle, \
            logged_in(weir, "database") as busy:
        start_stream(stream)
        busy.send(query("SELECT pg_sleep(5), 'done'"))
        tier.wait_running("'done'")
        weir.proc.send_signal(signal.SIGTERM)
        for raw in (stream, idle):
            equal(error_fields(raw.read_until("E")[-1][1])["C"], "57P01")
            check(raw.is_closed(), "stays open")
        equal([row_values(b)[1] for k, b in busy.read_until("Z") if k == "D"], ["done"])
        check(busy.is_closed(), "stays open")
        equal(weir.proc.wait(patient(15)), 0)


@limit(60)
def test_pause_holds_a_newcomer(start):
    weir = start()
    with weir.console() as console:
        console.execute("PAUSE app")
        with Raw(weir.port, timeout=20) as raw:
            threading.Timer(0.7, lambda: console.execute("RESUME app")).start()
            equal(raw.log_in(**WHO, replication="database"), None)
            equal(raw.rows("SELECT 1"), [["1"]])


@limit(120)
def test_one_cluster_serves_a_nameless_physical_connection(start):
    """The tools name the database "replication": with one cluster that is as good as any entry's name."""
    weir = start()
    with Raw(weir.port) as raw:
        equal(raw.log_in(user="replicator", dbname="replication", replication="true"), None)
    with Raw(weir.port) as raw:
        equal(raw.log_in(user="replicator", dbname="nowhere", replication="database")["C"], "3D000")


@long
@limit(180)
def test_failover_ends_it(start, tier):
    weir = start({"failover_wait_timeout": 60})
    with logged_in(weir, "true") as raw:
        start_stream(raw)
        tier.command("switchover")
        with contextlib.suppress(Exception):
            last = None
            while True:
                last = raw.read()
        equal(last[0], "E")
        check(error_fields(last[1])["C"] in ("57P01", "08006"), error_fields(last[1]))
    with logged_in(weir, "true") as raw:
        start_stream(raw)
