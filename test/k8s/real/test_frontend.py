# SPDX-License-Identifier: PostgreSQL
"""The frontend's pods: the shipped nginx.conf in Debian's nginx over the pages that the build makes.

A stand-in says what nginx hands on to the backend (echo_backend.py); the real one is before a browser in test_page.py.
"""
import gzip
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time

import manifests
from lib import Skip, check, equal, limit, quick, until

BROTLI_MODULE = "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so"
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(manifests.TOP, "test", "tier"))
HOST = "frontend.apps.svc.cluster.local"
STRANGER, CDN, BROWSER = "198.51.100.5", "173.245.48.9", "203.0.113.7"
SECURITY = {"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=()"}


def ask(path, method="GET", host=HOST, port=80, source=None, body=None, **headers):
    """One request on a connection of its own; (answer, body)."""
    conn = http.client.HTTPConnection(host, port, timeout=15, source_address=(source, 0) if source else None)
    try:
        conn.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = conn.getresponse()
        return answer, answer.read()
    finally:
        conn.close()


def echo_pod(cluster, ordinal=0):
    """A pod that Service backend takes for one of its own."""
    with open(os.path.join(HERE, "echo_backend.py"), encoding="utf-8") as f:
        program = f.read()
    labels = cluster.get("Service", "apps", "backend")["spec"]["selector"]
    return cluster.pod_from("apps", f"echo-{ordinal}", {"metadata": {"labels": labels}, "spec": {
        "automountServiceAccountToken": False, "containers": [{
            "name": "echo", "image": "test/echo:1", "command": ["python3", "-B", "-c", program, "8080"],
            "ports": [{"name": "http", "containerPort": 8080}], "securityContext": {"runAsUser": 10002},
            "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1}}]}})


def start(cluster):
    if not os.path.exists(BROTLI_MODULE):
        raise Skip("libnginx-mod-http-brotli-filter isn't installed")
    # The name must be known before nginx starts, as a Service's is; its pods may come later.
    pod = cluster.pod("apps", "frontend").start()
    echo_pod(cluster).start().wait_ready(20)
    return pod.wait_ready(20)


@quick
@limit(150)
def test_frontend(cluster, sub):
    pod = start(cluster)
    with sub("frontend::probes_pass"):
        for kind in ("startup", "readiness", "liveness"):
            worked, said = pod.probe(kind)
            check(worked, f"{kind}: {said}")
    page = ask("/")[1].decode()
    assets = sorted(set(re.findall(r'"(/assets/[^"]+)"', page)))
    check_pages(page, assets, sub)
    check_compression(page, assets, sub)
    check_caching(assets, sub)
    check_proxy(pod, sub)
    check_addresses(cluster, pod, sub)


def check_pages(page, assets, sub):
    with sub("frontend::pages_name_hashed_assets_that_exist"):
        equal(sorted(a.rpartition(".")[2] for a in assets), ["css", "js", "svg"])
        kinds = {"css": "text/css", "js": "application/javascript", "svg": "image/svg+xml"}
        for path in assets:
            check(re.fullmatch(r"/assets/\w+\.[0-9a-f]{10}\.\w+", path), path)
            answer, body = ask(path)
            equal(answer.status, 200, path)
            check(body, f"{path} is empty")
            equal(answer.getheader("Content-Type"), kinds[path.rpartition(".")[2]] + "; charset=utf-8", path)
        check("noscript" in page, page[:200])
        equal(ask("/")[0].getheader("Content-Type"), "text/html; charset=utf-8")
    with sub("frontend::security_headers_on_every_answer"):
        for path in ["/", *assets, "/nowhere", "/api/echo"]:
            answer, _ = ask(path)
            for name, start_of in SECURITY.items():
                equal(len(answer.headers.get_all(name) or []), 1, f"{path} {name}")
                check(answer.getheader(name).startswith(start_of), f"{path} {name}: {answer.getheader(name)}")
            check(not re.search(r"\d", answer.getheader("Server") or ""), answer.getheader("Server"))


def check_compression(page, assets, sub):
    texts = ["/"] + [a for a in assets if not a.endswith(".svg")]
    with sub("frontend::brotli_and_gzip_as_the_browser_offers"):
        for path in texts:
            plain, whole = ask(path, Accept_Encoding="identity")
            equal(plain.getheader("Content-Encoding"), None, path)
            for offer, want in (("gzip", "gzip"), ("gzip, deflate, br", "br"), ("br", "br")):
                answer, body = ask(path, Accept_Encoding=offer)
                equal(answer.getheader("Content-Encoding"), want, f"{path} for {offer}")
                check("Accept-Encoding" in answer.getheader("Vary", ""), f"{path} Vary {answer.headers}")
                check(len(body) < 0.6 * len(whole), f"{path} {want}: {len(body)} of {len(whole)}")
                unpacked = gzip.decompress(body) if want == "gzip" else subprocess.run(
                    ["brotli", "-d", "-c"], input=body, check=True, capture_output=True).stdout
                equal(unpacked, whole, f"{path} {want}")
        check(page.encode() == ask("/", Accept_Encoding="identity")[1], "pages differ")
    with sub("frontend::answers_of_the_api_are_not_compressed"):
        answer, body = ask("/api/echo", Accept_Encoding="gzip, br")
        equal(answer.getheader("Content-Encoding"), None)
        check(len(body) > 4000, str(len(body)))


def check_caching(assets, sub):
    with sub("frontend::assets_for_ever_pages_anew"):
        for path in assets:
            equal(ask(path)[0].getheader("Cache-Control"), "public, max-age=31536000, immutable", path)
        equal(ask("/")[0].getheader("Cache-Control"), "no-cache")
        equal(ask("/healthz")[0].getheader("Cache-Control"), "no-store")
    with sub("frontend::unchanged_page_is_a_304"):
        for path in ["/", assets[0]]:
            for offer in ("identity", "gzip", "br"):
                tag = ask(path, Accept_Encoding=offer)[0].getheader("ETag")
                check(tag, f"{path} has no ETag for {offer}")
                answer, body = ask(path, Accept_Encoding=offer, If_None_Match=tag)
                equal((answer.status, body), (304, b""), f"{path} {offer} {tag}")
            equal(ask(path, If_None_Match='"another"')[0].status, 200)
    with sub("frontend::a_missing_asset_is_never_kept"):
        for path in ("/assets/app.0123456789.js", "/nowhere", "/assets/", "/.git/config"):
            answer, body = ask(path)
            equal(answer.status, 404, path)
            check("immutable" not in (answer.getheader("Cache-Control") or ""), str(answer.headers))
            check(b"no such page" in body, body[:200])


def check_proxy(pod, sub):
    with sub("frontend::api_reaches_the_backend_once"):
        answer, body = ask("/api/echo?a=b%20c", "POST", body=b'{"x":1}', Content_Type="application/json",
                           Idempotency_Key="key-12345", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
        said = json.loads(body)
        equal((answer.status, said["method"], said["path"], said["body"]), (200, "POST", "/api/echo?a=b%20c", '{"x":1}'))
        headers = {k.lower(): v for k, v in said["headers"].items()}
        equal(headers["idempotency-key"], "key-12345")
        equal((headers["host"], headers["x-forwarded-proto"]), (HOST, "http"))
        check(headers["traceparent"].startswith("00-aaaa"), str(headers))
        check("connection" not in headers, str(headers))
    with sub("frontend::errors_of_the_backend_pass_as_they_are"):
        for status in (404, 409, 422, 429, 500, 503):
            answer, body = ask(f"/api/echo?status={status}", "POST", body=b"{}")
            equal((answer.status, json.loads(body)["method"]), (status, "POST"))
    with sub("frontend::bodies_over_the_limit_are_refused"):
        equal(ask("/api/echo", "POST", body=b"x" * 70000)[0].status, 413)
    with sub("frontend::log_is_json_without_probes"):
        until("the log", 15, lambda: "/nowhere" in pod.log())
        # The one body over the limit is an error of the client's.
        other = [line for line in pod.log().splitlines() if not line.startswith("{")]
        equal([line for line in other if "too large body" not in line], [], "nginx complains")
        lines = [json.loads(line) for line in pod.log().splitlines() if line.startswith("{")]
        check(not any(one["path"] == "/healthz" for one in lines), "probes are logged")
        check({"time", "client", "method", "path", "status", "bytes", "seconds", "encoding"} <= set(lines[0]), str(lines[0]))
        check({"br", "gzip", ""} <= {one["encoding"] for one in lines}, "encodings")


def seen_client(pod, path):
    """The address that nginx took for the client's in its log, for this path."""
    def line():
        found = [json.loads(t) for t in pod.log().splitlines() if f'"path":"{path}"' in t]
        return found and found[-1]["client"]
    return until("a line for " + path, 15, line)


def check_addresses(cluster, pod, sub):
    """X-Forwarded-For is believed from the cluster's networks and the CDN's, and never further."""
    subprocess.run(["ip", "addr", "add", STRANGER + "/32", "dev", "br0"], check=True)
    cases = [("through_ingress_and_cdn", None, f"6.6.6.6, {BROWSER}, {CDN}", BROWSER),
             ("through_the_ingress", None, BROWSER, BROWSER), ("no_header", None, None, "10.42.0.1"),
             ("a_stranger_claims_to_be_the_cdn", STRANGER, CDN, STRANGER)]
    for name, source, header, want in cases:
        with sub(f"frontend::real_address::{name}"):
            headers = {"X_Forwarded_For": header} if header else {}
            answer, body = ask(f"/api/{name}", host=pod.ip, port=8080, source=source, **headers)
            equal(answer.status, 200)
            equal(seen_client(pod, f"/api/{name}"), want)
            handed = json.loads(body)["headers"]["X-Forwarded-For"]
            equal(handed, f"{header}, {want}" if header else want, "handed on")


@quick
def test_loopback(cluster):
    """What ./try app makes of the same text is a configuration too."""
    import finai
    folder = os.path.join(cluster.scratch, "try")
    os.makedirs(os.path.join(folder, "nginx"))
    for name, text in finai.config_texts().items():
        if name == "nginx.conf":
            text = finai.for_loopback(text, folder, 18081, 18080)
            for left in ("/etc/finai", "svc.cluster.local", " /tmp/proxy", ":8080"):
                check(left not in text, f"{left} is left in the text")
        with open(os.path.join(folder, "nginx", name), "w", encoding="utf-8") as f:
            f.write(text)
    done = subprocess.run(["/usr/sbin/nginx", "-t", "-q", "-e", "stderr", "-c", f"{folder}/nginx/nginx.conf"],
                          capture_output=True, text=True, check=False)
    equal((done.returncode, done.stderr), (0, ""))


class Browsers:
    """Clients of the Service until stop(): new connections, kept ones, and what went wrong."""

    def __init__(self):
        self.done, self.errors, self.answers, self.reopened = threading.Event(), [], 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=f) for f in (self.new, self.new, self.kept, self.kept)]
        for thread in self.threads:
            thread.start()

    def count(self, status, what):
        with self.lock:
            self.answers += 1
            if status != 200:
                self.errors.append(f"{what}: {status}")

    def new(self):
        while not self.done.is_set():
            try:
                for path in ("/", "/api/echo"):
                    self.count(ask(path)[0].status, path)
            except (OSError, http.client.HTTPException) as e:
                with self.lock:
                    self.errors.append(f"new: {type(e).__name__} {e}")

    def kept(self):
        """Opens anew what was closed while it lay idle, as browsers do, and only then."""
        conn, is_new = None, True
        while not self.done.is_set():
            try:
                if conn is None:
                    conn, is_new = http.client.HTTPConnection(HOST, 80, timeout=15), True
                conn.request("GET", "/api/echo")
                answer = conn.getresponse()
                answer.read()
                self.count(answer.status, "kept")
                conn, is_new = (None if answer.will_close else conn), False
                time.sleep(0.01)
            except (OSError, http.client.HTTPException) as e:
                with self.lock:
                    self.reopened += 1
                    if is_new:
                        self.errors.append(f"kept: {type(e).__name__} {e}")
                conn = None

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


@limit(200)
def test_drain(cluster, sub):
    """A roll-out: a new pod is ready before the old one is asked to end."""
    old = cluster.pods.get(("apps", "frontend-0"))
    old = old if old and old.is_ready() else start(cluster)
    late, slow = [], None
    load = Browsers()
    try:
        until("load", 20, lambda: load.answers > 50 or load.errors)
        cluster.pod("apps", "frontend", 1).start().wait_ready(30)
        # Asked of the old pod in the middle of its preStop, answered well after SIGQUIT.
        wait_s = next(c for c in old.spec["containers"])["lifecycle"]["preStop"]["sleep"]["seconds"]

        def ask_late():
            time.sleep(wait_s - 1)
            answer, body = ask("/api/echo?sleep=4", host=old.ip, port=8080)
            late.append((answer.status, json.loads(body)["path"]))
        slow = threading.Thread(target=ask_late)
        slow.start()
        began = time.monotonic()
        ended = old.stop()
        took = time.monotonic() - began
    finally:
        load.stop()
        if slow:
            slow.join()
    with sub("frontend::ends_by_sigquit_with_status_0"):
        equal(ended, {"frontend": 0}, old.log_tails())
        check(wait_s + 2 < took < old.grace(), f"took {took:.1f} s")
    with sub("frontend::open_request_is_answered_during_the_drain"):
        equal(late, [(200, "/api/echo?sleep=4")])
    with sub("frontend::no_client_sees_an_error"):
        equal(load.errors, [])
        check(load.answers > 200, str(load.answers))
