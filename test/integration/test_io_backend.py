# SPDX-License-Identifier: PostgreSQL
"""What workers talk to the kernel with: io_uring where it may be had, else epoll, and that is said."""
import ctypes
import os
import resource
import struct
import subprocess
import threading

import rawpg
from lib import Skip, check, equal, limit, long, patient, quick, until

# The numbers are the same on every machine that Linux runs on.
CALLS = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}
ENOSYS, EPERM, EINVAL = 38, 1, 22
DENIALS = [("io_uring_setup", ENOSYS, "no io_uring, or a seccomp profile hides it"),
           ("io_uring_setup", EPERM, "forbidden here"),
           ("io_uring_setup", EINVAL, "older than 6.1"),
           ("io_uring_register", EPERM, "forbidden here"),
           ("io_uring_enter", EPERM, "forbidden here")]


def deny(call, errno):
    """As seccomp profiles of containers do: this process's calls fail from now on."""
    load, equals, returns = 0x20, 0x15, 0x06  # linux/bpf_common.h
    refuse, allow = 0x00050000 | errno, 0x7FFF0000
    code = b"".join(struct.pack("HBBI", *op) for op in (
        (load, 0, 0, 0), (equals, 0, 1, CALLS[call]), (returns, 0, 0, refuse), (returns, 0, 0, allow)))
    text = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(text))
    libc = ctypes.CDLL(None)
    no_new_privileges, seccomp, filter_mode = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(seccomp, filter_mode, program):
        os._exit(99)


def locked_memory(size):
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (size, size))


def said(weir):
    lines = [line for line in weir.log_lines() if " io_backend used=" in line]
    equal(len(lines), 1, weir.log_tail())
    return lines[0].split(" io_backend ")[1]


def on_ring(start, options=None):
    weir = start({"io_backend": "auto", **(options or {})})
    if "used=io_uring" not in said(weir):
        raise Skip(said(weir))
    return weir


def workers(weir, count):
    """How many of each kind, as /metrics tells once all of them have said it."""
    def found():
        m = weir.metrics()
        return [int(m[f'pgweir_workers{{io_backend="{kind}"}}']) for kind in ("epoll", "io_uring")]
    return until("workers are counted", 20, lambda: sum(found()) == count and found())


def rings(weir):
    """How many descriptors of rings the process has."""
    folder = f"/proc/{weir.proc.pid}/fd"
    links = []
    for fd in os.listdir(folder):
        try:
            links.append(os.readlink(f"{folder}/{fd}"))
        except OSError:
            pass  # closed meanwhile
    return sum("io_uring" in link for link in links)


def big_results(weir):
    with weir.connect() as conn:
        for size in (1, 100000, 3000000):
            equal(conn.execute("SELECT repeat('x', %s)", (size,)).fetchone()[0], "x" * size)


@quick
def test_auto_says_what_it_took(start):
    """Log, metrics and console agree, and the other back end's system calls aren't made."""
    weir = start({"io_backend": "auto", "io_uring_buffers": 16, "workers": 2})
    is_ring = "used=io_uring" in said(weir)
    big_results(weir)
    equal(workers(weir, 2), [0, 2] if is_ring else [2, 0])
    equal(rings(weir), 2 if is_ring else 0)
    rows = [row for row in weir.show("MEM") if row["name"] == "io_uring"]
    equal([(row["size"], row["used"] + row["free"]) for row in rows],
          [(16384, 16)] * 2 if is_ring else [])

    def calls():
        m = weir.metrics()
        return {c: int(m[f'pgweir_system_calls_total{{call="{c}"}}'])
                for c in ("read", "write", "poll_change", "io_uring")}
    found = until("calls are counted", 20, lambda: any(calls().values()) and calls())
    equal(found["io_uring"] > 0, is_ring, f"{found}")
    equal(found["poll_change"] > 0, not is_ring, f"{found}")


@quick
def test_epoll_says_so(start):
    weir = start({"io_backend": "epoll", "workers": 1})
    equal(said(weir), "used=epoll")
    big_results(weir)
    equal((workers(weir, 1), rings(weir)), ([1, 0], 0))


@quick
def test_where_it_is_denied(start, session, sub):
    """auto takes epoll and says why; io_uring is refused at the start, in the same words."""
    absent = "built without liburing"
    for call, errno, words in DENIALS:
        def before(call=call, errno=errno):
            deny(call, errno)
        with sub(f"io_backend::{call} fails with {errno}"):
            weir = start({"io_backend": "auto", "workers": 2}, before)
            line = said(weir)
            check(line.startswith("used=epoll reason="), line)
            check(absent in line or (call in line and words in line), line)
            big_results(weir)
            equal((workers(weir, 2), rings(weir)), ([2, 0], 0))
            demand_is_refused(session, before, (absent, words))


def demand_is_refused(session, before, words):
    """A start with io_backend = io_uring ends at once and says one of these words."""
    weir = session.prepare({"io_backend": "io_uring", "workers": 2})
    user = session.user
    done = subprocess.run([session.binary, weir.ini], capture_output=True, text=True, timeout=patient(60),
                          stdin=subprocess.DEVNULL, cwd=session.dir, preexec_fn=before, env=weir.environment(),
                          user=user.pw_uid if user else None)
    text = done.stdout + done.stderr
    equal(done.returncode, 1, text)
    check("io_backend = io_uring isn't possible here: " in text, text)
    check(any(word in text for word in words), text)


@quick
def test_workers_are_equal(start, session):
    """Memory that may be locked for the probe but not for each worker: none has a ring."""
    if session.user is None and os.geteuid() == 0:
        raise Skip("root's memory has no limit")
    weir = start({"io_backend": "auto", "workers": 2}, lambda: locked_memory(65536))
    line = said(weir)
    big_results(weir)
    if "used=io_uring" in line:
        raise Skip("this kernel doesn't count a ring's memory")
    check("RLIMIT_MEMLOCK" in line or "used=epoll reason=" in line, line)
    equal((workers(weir, 2), rings(weir)), ([2, 0], 0))


@quick
def test_more_clients_than_buffers(start):
    """Sixteen buffers of 1 kB for many clients at once: each gets its own bytes, all of them."""
    weir = on_ring(start, {"io_uring_buffers": 16, "io_uring_buffer_size": "1kB", "workers": 1,
                           "default_pool_size": 8})
    wrong = []

    def client(n):
        try:
            with weir.connect() as conn:
                for i in range(10):
                    text = f"{n}-{i}-" * (1 + n * i * 40)
                    if conn.execute("SELECT %s::text", (text,)).fetchone()[0] != text:
                        wrong.append(f"{n}: another's bytes")
        except Exception as e:  # pylint: disable=broad-except
            wrong.append(f"{n}: {e}")
    threads = [threading.Thread(target=client, args=(n,)) for n in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(wrong, [])


def test_idle_clients_hold_no_buffer(start):
    """Many that do nothing, with sixteen buffers: whoever comes next is served, and all still live."""
    weir = on_ring(start, {"io_uring_buffers": 16, "workers": 1})
    idle = [weir.connect() for _ in range(60)]
    rows = [row for row in weir.show("MEM") if row["name"] == "io_uring"]
    check(rows[0]["used"] <= 1, f"{rows}")
    big_results(weir)
    for conn in idle:
        equal(conn.execute("SELECT 1").fetchone()[0], 1)
        conn.close()


def idle_bytes(weir, count):
    """What an idle client adds to the process's own memory, in bytes."""
    def own():
        with open(f"/proc/{weir.proc.pid}/smaps_rollup") as f:
            return 1024 * int(next(line for line in f if line.startswith("Pss_Anon:")).split()[1])
    raws = []

    def more(n):
        for _ in range(n):
            raws.append(rawpg.Raw(weir.port, 60))
            equal(raws[-1].log_in(), None)
    more(100)  # what is allocated once is there
    before = own()
    more(count)
    grown = own() - before
    for raw in raws:
        raw.sock.close()
    return grown / count


@long
@limit(600)
def test_an_idle_client_costs_the_same(start):
    """A few bytes more than with epoll at most: its place in the ring's table, no buffer."""
    options = {"workers": 1, "max_client_conn": 1200, "io_uring_buffers": 16, "io_uring_buffer_size": "1kB"}
    ring = idle_bytes(on_ring(start, options), 1000)
    epoll = idle_bytes(start({**options, "io_backend": "epoll"}), 1000)
    check(ring < epoll + 200, f"{ring:.0f} bytes on a ring, {epoll:.0f} with epoll")


@long
@limit(900)
def test_gigabytes_of_copy(start):
    """Out and in again, with a reader that stops at times; the process stays as small as before."""
    weir = on_ring(start)
    rows, row = 200_000, "x" * 15_000

    def resident():
        with open(f"/proc/{weir.proc.pid}/status") as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1])
    with weir.connect() as out, weir.connect() as into:
        into.execute("BEGIN")
        into.execute("CREATE TEMPORARY TABLE taken (t text) ON COMMIT DROP")
        before = resident()
        with out.cursor().copy(f"COPY (SELECT '{row}' FROM generate_series(1, {rows})) TO STDOUT") as reader, \
                into.cursor().copy("COPY taken FROM STDIN") as writer:
            for data in reader:
                writer.write(data)
        check(resident() - before < 64 * 1024, f"{before} kB, then {resident()} kB")
        equal(into.execute("SELECT count(*), sum(length(t)) FROM taken").fetchone(),
              (rows, rows * len(row)))
        into.execute("ROLLBACK")
