# SPDX-License-Identifier: PostgreSQL
"""What idle clients cost: the growth of the process over many of them, counted in bytes of its PSS, and what is left of
large buffers once they idle. bench/clients has the exact figures; the bounds here are generous."""
import resource
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from lib import Skip, check, equal, limit, needs, until
from rawpg import Raw, query, struct
from test_listen import settle
from test_tls import make_certificate

CLIENTS, TLS_CLIENTS, AT_ONCE = 2000, 1000, 50
PLAIN_BYTES, TLS_BYTES = 1200, 12288
LITTLE_SPACE = 1000 * 1000 * 1000    # less than the places take
STILL_BYTES = 32 * 1024
REST_S = 2.5    # longer than a session is kept awake unused


def own_bytes(weir):
    """Without programs and libraries: what of them is whose changes as other processes come and go."""
    with open(f"/proc/{weir.proc.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss_Anon:"))


def at_rest(weir):
    """Its memory once that stays: what was read of the catalog is taken over by the workers some time later."""
    seen = []

    def is_still():
        with weir.connect() as conn:
            conn.execute("SELECT 1")
        seen.append(own_bytes(weir))
        return len(seen) > 3 and max(seen[-4:]) - min(seen[-4:]) < STILL_BYTES
    until("the memory to rest", 30, is_still, 0.3)
    return seen[-1]


def open_files(count):
    """The process that holds the clients needs as many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 500:
        raise Skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))


def measured(start, options):
    """A ring's buffers are no client's: there are few of them here, which the first ones use already."""
    weir = start({"workers": 1, "max_client_conn": CLIENTS + 100, "io_uring_buffers": 16,
                  "io_uring_buffer_size": 1024, **options})
    weir.need_pgweir()
    if weir.is_sanitized():
        raise Skip("under a sanitizer memory says nothing")
    with weir.connect() as conn:    # what the first one costs is nobody's in particular, nor the catalog
        conn.execute("SELECT 1")
    settle(weir)
    return weir


def log_in_many(weir, count, tls=None):
    def one(_):
        raw = Raw(weir.port, 60)
        if tls:
            raw.send(struct.pack("!ii", 8, 80877103))
            equal(raw.take(1), b"S")
            raw.sock = tls.wrap_socket(raw.sock)
        equal(raw.log_in(), None)
        return raw
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(count)))


def close_all(raws):
    for raw in raws:
        raw.sock.close()


def falls_below(weir, bound, what):
    """The memory of a burst is given back within a few rounds of housekeeping."""
    until(what, 60, lambda: own_bytes(weir) < bound, 0.5)


@limit(180)
def test_idle_clients_are_small(start):
    """Logged in, after a query, and after a large one: a client that idles keeps no buffer."""
    open_files(CLIENTS)
    weir = measured(start, {})
    before = at_rest(weir)
    raws = log_in_many(weir, CLIENTS)
    bound = before + CLIENTS * PLAIN_BYTES
    falls_below(weir, bound, f"{CLIENTS} clients to cost at most {PLAIN_BYTES} bytes each")
    for raw in raws:
        raw.send(query("SELECT repeat('x', 2000) /* " + "y" * 2000 + " */"))
    for raw in raws:
        raw.read_until("Z")
    falls_below(weir, bound + 4 * 1024 * 1024, "clients that queried to keep no buffer")
    # Half a message each: kept until the rest comes, and not any longer.
    whole = query("SELECT '" + "z" * 6000 + "'")
    for raw in raws:
        raw.send(whole[:5000])
    until("the halves to be kept", 60, lambda: own_bytes(weir) > before + CLIENTS * 4000, 0.2)
    for raw in raws:
        raw.send(whole[5000:])
    for raw in raws:
        raw.read_until("Z")
    close_all(raws)
    falls_below(weir, before + CLIENTS * PLAIN_BYTES, "what clients had to be free when they have left")


@needs("openssl")
@limit(240)
def test_idle_tls_clients_are_bounded(start, folder):
    """Sessions that nobody uses are put away, and come back with what they had."""
    open_files(TLS_CLIENTS)
    key, cert = make_certificate(folder, start.__self__)
    weir = measured(start, {"client_tls_sslmode": "allow", "client_tls_key_file": key, "client_tls_cert_file": cert})
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    before = at_rest(weir)
    raws = log_in_many(weir, TLS_CLIENTS, tls)
    falls_below(weir, before + TLS_CLIENTS * TLS_BYTES,
                f"{TLS_CLIENTS} clients with TLS to cost at most {TLS_BYTES} bytes each")
    for raw in raws:
        raw.send(query("SELECT 1"))
    for raw in raws:
        equal(raw.read_until("Z")[-1], ("Z", b"I"))
    falls_below(weir, before + TLS_CLIENTS * TLS_BYTES, "clients with TLS that queried to be as small again")
    close_all(raws)


@needs("openssl")
@limit(120)
def test_tls_without_places_for_sessions(start, folder):
    """Where the addresses for them can't be had the log says so, and sessions stay as they are."""
    key, cert = make_certificate(folder, start.__self__)
    weir = measured(start, {"client_tls_sslmode": "require", "client_tls_key_file": key, "client_tls_cert_file": cert})
    check(" tls_sessions_large " not in "\n".join(weir.log_lines()), weir.log_tail())
    weir.stop()
    weir.start(before=lambda: resource.setrlimit(resource.RLIMIT_AS, (LITTLE_SPACE, LITTLE_SPACE)))
    check(" tls_sessions_large " in "\n".join(weir.log_lines()), weir.log_tail())
    with weir.connect(sslmode="verify-full", sslrootcert=cert) as conn:
        time.sleep(REST_S)
        equal(conn.execute("SELECT 1").fetchone(), (1,))
