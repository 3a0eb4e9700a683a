# SPDX-License-Identifier: PostgreSQL
"""/metrics, /healthz, /readyz."""
import os
import re
import socket

from lib import check, equal, limit, quick, until

OPTIONS = {"cache": "on"}
PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "metrics.md")


@quick
def test_metrics(weir):
    weir.need_pgweir()
    with weir.connect() as conn:
        for _ in range(20):
            conn.execute("SELECT 1")
        status, text = weir.http("/metrics")
        equal(status, 200)
        for line in text.splitlines():
            check(re.fullmatch(r"#.*|[a-zA-Z_:][\w:]*(\{.*\})? [-+0-9.eEinfNa]+", line),
                  f"not the text format: {line!r}")
        check(weir.stat("query_count") >= 20, "queries counted")
        check(weir.metrics()["pgweir_clients"] >= 1, "clients counted")


@quick
def test_every_series_once(weir):
    weir.need_pgweir()
    _, text = weir.http("/metrics")
    names = [line.rpartition(" ")[0] for line in text.splitlines()
             if line and not line.startswith("#")]
    equal(sorted(n for n in set(names) if names.count(n) > 1), [])


@quick
def test_every_series_is_documented(weir):
    """docs/metrics.md has a row for each name, with its help, and no other rows."""
    weir.need_pgweir()
    _, text = weir.http("/metrics")
    said = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    with open(PAGE) as f:
        rows = dict(re.findall(r"^\| `(\w+)` \|(?:.*\|)? (.*) \|$", f.read(), re.M))
    equal(rows, said)


@quick
def test_health_and_readiness(weir):
    weir.need_pgweir()
    equal(weir.http("/healthz")[0], 200)
    until("ready", 10, lambda: weir.http("/readyz")[0] == 200)


@quick
def test_unknown_page(weir):
    weir.need_pgweir()
    equal(weir.http("/no-such-page")[0], 404)


@quick
def test_hostile_requests(weir, sub):
    weir.need_pgweir()
    for name, data in (("nothing", b""), ("no end", b"GET / HTTP/1.1\r\nA: "),
                       ("long line", b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n\r\n"),
                       ("noise", bytes(range(256)) * 10),
                       ("wrong method", b"BREW / HTTP/1.1\r\n\r\n"),
                       ("path up", b"GET /../../etc/passwd HTTP/1.1\r\n\r\n"),
                       ("negative length",
                        b"POST /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n")):
        with sub(f"http::hostile {name}"):
            with socket.create_connection(("127.0.0.1", weir.http_port), 10) as s:
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    answer = b""
                    while more := s.recv(65536):
                        answer += more
                except OSError:  # it may hang up at any point
                    pass
            check(b"root:" not in answer, "a file came")
            equal(weir.http("/healthz")[0], 200)


@limit(120)
def test_readiness_while_there_is_no_primary(start, tier):
    """A pgweir that can't serve writes says so, once its bound is over; then it recovers."""
    weir = start({"failover_wait_timeout": 2})
    until("ready", 10, lambda: weir.http("/readyz")[0] == 200)
    tier.command("kill-primary")
    try:
        equal(weir.http("/healthz")[0], 200)
        until("not ready", 30, lambda: weir.http("/readyz")[0] != 200, 0.3)
    finally:
        tier.command("resume")
    until("ready again", 30, lambda: weir.http("/readyz")[0] == 200, 0.3)
