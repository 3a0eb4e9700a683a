# SPDX-License-Identifier: PostgreSQL
"""The process: start, reload, drain, and what it says about wrong input."""
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

from lib import check, equal, patient, quick, raises, until


def run_binary(start, *args):
    session = start.__self__
    if session.against != "pgweir":
        from lib import Skip
        raise Skip("needs pgweir")
    return subprocess.run([session.binary, *args], capture_output=True, text=True, timeout=patient(20),
                          stdin=subprocess.DEVNULL, cwd=session.dir)


@quick
def test_version_and_help(start):
    done = run_binary(start, "--version")
    equal(done.returncode, 0, done.stderr)
    check("pgweir" in done.stdout, done.stdout)
    done = run_binary(start, "--help")
    equal(done.returncode, 0, done.stderr)
    check("--check" in done.stdout, done.stdout)


@quick
def test_wrong_arguments(start, sub):
    for args in ([], ["--no-such-flag"], ["/no/such/file.ini"]):
        with sub(f"process::arguments {args}"):
            done = run_binary(start, *args)
            check(done.returncode not in (0, -6, -11), f"exit status {done.returncode}")
            check(done.stderr.strip(), "says nothing")


@quick
def test_check_names_file_line_and_option(start, folder):
    path = os.path.join(folder, "wrong.ini")
    with open(path, "w") as f:
        f.write("[pgweir]\nlisten_port = 6432\nmax_client_conn = many\n\n[databases]\n"
                "app = host=127.0.0.1\n")
    os.chmod(path, 0o644)
    done = run_binary(start, "--check", path)
    check(done.returncode != 0, "accepted")
    said = done.stdout + done.stderr
    check("wrong.ini" in said and "3" in said and "max_client_conn" in said, said)


@quick
def test_check_and_print_config(start):
    weir = start({})
    done = run_binary(start, "--check", weir.ini)
    equal(done.returncode, 0, done.stderr)
    done = run_binary(start, "--print-config", weir.ini)
    equal(done.returncode, 0, done.stderr)
    check(str(weir.port) in done.stdout, done.stdout)
    check("pgweir_password" not in done.stdout, "a password is printed")


@quick
def test_check_reads_the_files_that_are_named(start, sub, folder):
    """What would stop the start is found by --check."""
    for option in ("auth_file", "auth_hba_file", "server_tls_ca_file", "client_tls_cert_file"):
        with sub(f"process::check {option}"):
            path = os.path.join(folder, f"{option}.ini")
            more = {"auth_hba_file": "auth_type = hba\n",
                    "server_tls_ca_file": "server_tls_sslmode = verify-ca\n",
                    "client_tls_cert_file": "client_tls_sslmode = require\n"
                                            "client_tls_key_file = /no/such/file\n"}
            with open(path, "w") as f:
                f.write(f"[pgweir]\n{more.get(option, '')}{option} = /no/such/file\n\n"
                        "[databases]\napp = host=127.0.0.1\n")
            os.chmod(path, 0o644)
            done = run_binary(start, "--check", path)
            equal(done.returncode, 1, done.stdout)
            check(f"{path}:" in done.stderr and f" {option}: " in done.stderr, done.stderr)


@quick
def test_check_refuses_a_folder(start, folder):
    done = run_binary(start, "--check", folder)
    equal(done.returncode, 1, done.stdout)
    check(folder in done.stderr, done.stderr)


@quick
def test_the_limit_of_files_is_raised(start, folder):
    """A container's soft limit may be lower than the clients that are to come."""
    weir = start({"max_client_conn": 300})
    weir.stop()
    for hard, warned in ((4096, False), (256, True)):
        log = os.path.join(folder, f"files{hard}.log")
        with open(log, "w", encoding="utf-8") as out:
            proc = subprocess.Popen([start.__self__.binary, weir.ini], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard)))
        try:
            until("pgweir started", 20, lambda: " started " in open(log, encoding="utf-8").read())
            with open(f"/proc/{proc.pid}/limits", encoding="utf-8") as f:
                limits = next(line for line in f if line.startswith("Max open files")).split()
            equal(limits[3:5], [str(hard), str(hard)])
            equal("file_limit_low" in open(log, encoding="utf-8").read(), warned)
        finally:
            proc.terminate()
            proc.wait(patient(20))


@quick
def test_reload(start):
    weir = start({"query_wait_timeout": 60})
    with weir.connect() as conn:
        conn.execute("SET work_mem = '6MB'")
        weir.write_ini({"query_wait_timeout": 61, "databases": [
            "second = cluster=main dbname=app"]})
        weir.reload()
        until("the new value", 10, lambda: weir.config()["query_wait_timeout"].startswith("61"))
        with weir.connect(dbname="second") as other:
            equal(other.execute("SELECT current_database()").fetchone(), ("app",))
        equal(conn.execute("SHOW work_mem").fetchone(), ("6MB",))


@quick
def test_a_wrong_reload_changes_nothing(start):
    weir = start({})
    with open(weir.ini, "a") as f:
        f.write("\n[pgweir]\nno_such_option = 1\n")
    weir.reload()
    time.sleep(0.5)
    with weir.connect() as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@quick
def test_reload_of_the_user_list(start):
    weir = start({})
    users = os.path.splitext(weir.ini)[0] + ".users"
    with open(users) as f:
        text = f.read()
    with open(users, "w") as f:
        f.write(text.replace('"app_password"', '"changed"'))
    weir.reload()

    def old_is_refused():
        try:
            weir.connect().close()
            return False
        except Exception:    # noqa: BLE001
            return True
    until("the new list", 10, old_is_refused)


def main_thread_sleeps(weir):
    """How often the control plane's thread has gone to sleep, so also how often it was woken."""
    pid = weir.proc.pid
    with open(f"/proc/{pid}/task/{pid}/status") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", f.read(), re.M).group(1))


@quick
def test_the_only_worker_accepts_by_itself(start, folder):
    """The control plane isn't woken for it; a drain closes the worker's sockets all the same."""
    weir = start({"workers": 1, "unix_socket_dir": folder, "drain_timeout": 15})
    path, asked = os.path.join(folder, f".s.PGSQL.{weir.port}"), 400
    before = main_thread_sleeps(weir)
    for _ in range(asked):
        with socket.create_connection(("127.0.0.1", weir.port), timeout=patient(20)) as s:
            s.sendall(struct.pack("!ii", 8, 80877103))
            equal(s.recv(1), b"N")
    woken = main_thread_sleeps(weir) - before
    check(woken < asked / 2, f"the control plane was woken {woken} times for {asked} clients")
    conn = weir.connect(autocommit=False)
    conn.execute("SELECT txid_current()")
    weir.proc.send_signal(signal.SIGTERM)
    until("nobody new", 20, lambda: not weir.is_listening() and not os.path.exists(path))
    equal(conn.execute("SELECT 7").fetchone(), (7,))
    conn.commit()
    until("the end", 30, lambda: not weir.is_alive())
    equal(weir.problem(), None)
    conn.close()


@quick
def test_drain_on_sigterm(start, tier):
    """SIGTERM: a running query ends well, no newcomers, exit status 0."""
    weir = start({"drain_timeout": 15})
    conn = weir.connect()
    got = []

    def work():
        got.append(conn.execute("SELECT 7, pg_sleep(5), txid_current()").fetchone()[0])
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    tier.wait_running("SELECT 7, pg_sleep(5)")
    weir.proc.send_signal(signal.SIGTERM)
    until("nobody new", 20, lambda: not weir.is_alive() or not weir.is_listening())
    thread.join(patient(20))
    equal(got, [7])
    conn.close()
    until("the end", 30, lambda: not weir.is_alive())
    equal(weir.problem(), None)


@quick
def test_drain_command(start, folder):
    """--drain: unready at once, still accepting for drain_delay; then nobody new, transactions end,
    the idle are told; it returns when that is done, and the process stays until SIGTERM."""
    pidfile = os.path.join(folder, "drained.pid")
    weir = start({"drain_delay": 6, "drain_timeout": 60, "pidfile": pidfile})
    idle, busy = weir.connect(), weir.connect(autocommit=False)
    busy.execute("SELECT txid_current()")
    equal(weir.http("/readyz")[0], 200)
    drain = subprocess.Popen([start.__self__.binary, "--drain", weir.ini], stderr=subprocess.PIPE, text=True)
    until("unready", 10, lambda: weir.http("/readyz")[0] == 503)
    with weir.connect() as late:
        equal(late.execute("SELECT 1").fetchone(), (1,))
    equal(idle.execute("SELECT 2").fetchone(), (2,))
    until("the end of the delay", 20, lambda: not weir.is_listening())
    # libpq tells the text alone: it reads the error where it sends the query
    raises("57P01", idle.execute, "SELECT 3", text="administrator command")
    equal(drain.poll(), None, "it returned although a transaction is open")
    equal(busy.execute("SELECT 4").fetchone(), (4,))
    busy.commit()
    equal(drain.wait(patient(20)), 0)
    check(not os.path.exists(pidfile), "the pidfile is still there")
    check(weir.is_alive(), "it ended before SIGTERM")
    equal(weir.http("/healthz")[0], 200)
    weir.proc.send_signal(signal.SIGTERM)
    until("the end", 10, lambda: not weir.is_alive())
    equal(weir.problem(), None)
    done = run_binary(start, "--drain", weir.ini)
    equal(done.returncode, 1)
    check(pidfile in done.stderr, done.stderr)


@quick
def test_reload_command(start, folder):
    pidfile = os.path.join(folder, "reloaded.pid")
    weir = start({"pidfile": pidfile, "query_wait_timeout": 60})
    weir.write_ini({"pidfile": pidfile, "query_wait_timeout": 61})
    equal(run_binary(start, "--reload", weir.ini).returncode, 0)
    until("the new value", 10, lambda: weir.config()["query_wait_timeout"].startswith("61"))


@quick
def test_second_sigterm_ends_at_once(start):
    weir = start({"drain_timeout": 600})
    conn = weir.connect()
    conn.execute("BEGIN")
    conn.execute("SELECT txid_current()")
    weir.proc.send_signal(signal.SIGTERM)
    time.sleep(1)
    if weir.is_alive():
        weir.proc.send_signal(signal.SIGTERM)
    until("the end", 15, lambda: not weir.is_alive())
    conn.close()


@quick
def test_sigint_ends_it(start):
    weir = start({"drain_timeout": 2})
    weir.proc.send_signal(signal.SIGINT)
    until("the end", 20, lambda: not weir.is_alive())


@quick
def test_taken_port_is_named(start):
    weir = start({})
    done = run_binary(start, weir.ini)
    check(done.returncode not in (0, -6, -11), f"exit status {done.returncode}")
    check(str(weir.port) in done.stderr + done.stdout, done.stderr)


@quick
def test_no_secret_in_the_log(start):
    weir = start({})
    with weir.connect() as conn:
        conn.execute("SELECT %s", ("a very secret value",))
    raises(None, lambda: weir.connect(password="secret typo"))
    weir.stop()
    log = "\n".join(weir.log_lines())
    for secret in ("app_password", "pgweir_password", "a very secret value", "secret typo"):
        check(secret not in log, f"{secret!r} is in the log")


@quick
def test_unix_socket(start, folder, sub):
    """Who comes by it is told by the process, as PgBouncer has it: there is no port."""
    weir = start({"unix_socket_dir": folder, "application_name_add_host": 1})
    import psycopg
    with psycopg.connect(host=folder, port=weir.port, user="app", password="app_password",
                         dbname="app", application_name="shop") as conn:
        equal(conn.execute("SELECT 1").fetchone(), (1,))
        with sub("process::application_name_add_host by a Unix socket"):
            equal(conn.execute("SHOW application_name").fetchone(),
                  (f"shop - unix({os.getpid()}@{socket.gethostname()}):{weir.port}",))
        with sub("process::SHOW CLIENTS by a Unix socket"):
            row, = [r for r in weir.show("CLIENTS") if r["user"] == "app"]
            equal([row[k] for k in ("addr", "port", "local_addr", "local_port", "remote_pid")],
                  ["unix", weir.port, "unix", weir.port, os.getpid()])
