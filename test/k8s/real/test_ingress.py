# SPDX-License-Identifier: PostgreSQL
"""The limits, body sizes and TCP port of k8s/ingress, in Debian's NGINX.

The ingress controller can't run here. Its mapping of annotations to directives is written down in server() and
location(), for what these files use: limit-req-* to limit_req_zone and limit_req (delay only without no-delay; the
scale by pods is left out, as for one pod), client-max-body-size, proxy-*-timeout, proxy-next-upstream*, max-fails and
fail-timeout; http-snippets and server-snippets of nginx-config as they stand; GlobalConfiguration and TransportServer
to a stream server. Left out: sticky cookies, which Debian's NGINX hasn't, and TLS of the host.
"""
import http.client
import http.server
import os
import subprocess
import threading

import psycopg

from lib import check, equal, until
from plain_pg import PASSWORD, Plain

BACKEND, HTTP, WEIR = 18080, 18000, 6432
OTHER = "10.0.0.5"          # of the whitelist: the cluster's own network


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *args):
        """Quiet."""


def minions(cluster):
    """The Ingresses that hold paths."""
    found = [o for o in cluster.objects(kind="Ingress", ns="apps")
             if o["metadata"]["annotations"].get("nginx.org/mergeable-ingress-type") == "minion"]
    check(len(found) >= 3, f"minions: {len(found)}")
    return found


def location(ingress):
    """The zone, the upstream and the location of one minion."""
    name, notes = ingress["metadata"]["name"], ingress["metadata"]["annotations"]
    note = {k.removeprefix("nginx.org/"): v for k, v in notes.items()}
    path = ingress["spec"]["rules"][0]["http"]["paths"][0]
    top = (f"upstream {name} {{ server 127.0.0.1:{BACKEND} max_fails={note.get('max-fails', 1)} "
           f"fail_timeout={note.get('fail-timeout', '10s')}; }}\n")
    lines = [f"proxy_pass http://{name};"]
    for key in ("client-max-body-size", "proxy-connect-timeout", "proxy-read-timeout", "proxy-next-upstream",
                "proxy-next-upstream-tries", "proxy-next-upstream-timeout"):
        if key in note:
            lines.append(f"{key.replace('-', '_')} {note[key]};")
    if "limit-req-rate" in note:
        top += (f"limit_req_zone {note['limit-req-key']} zone={name}:{note['limit-req-zone-size']} "
                f"rate={note['limit-req-rate']};\n")
        delay = "nodelay" if note.get("limit-req-no-delay") == "true" else ""
        lines.append(f"limit_req zone={name} burst={note['limit-req-burst']} {delay};")
        lines.append(f"limit_req_status {note['limit-req-reject-code']};")
    exact = "= " if path["pathType"] == "Exact" else ""
    return top, f"location {exact}{path['path']} {{ {' '.join(lines)} }}\n"


def stream(cluster):
    """The server of the TransportServer's listener."""
    ts = cluster.get("TransportServer", "pgweir", "pgweir")["spec"]
    listeners = cluster.get("GlobalConfiguration", "ingress-nginx", "nginx-configuration")["spec"]["listeners"]
    port = next(one["port"] for one in listeners if one["name"] == ts["listener"]["name"])
    up = next(u for u in ts["upstreams"] if u["name"] == ts["action"]["pass"])
    times = ts["upstreamParameters"]
    return f"""stream {{
  upstream {up['name']} {{
    {up['loadBalancingMethod']};
    server 127.0.0.1:{WEIR} max_fails={up['maxFails']} fail_timeout={up['failTimeout']} max_conns={up['maxConns']};
  }}
  server {{
    listen 127.0.0.2:{port};
    proxy_connect_timeout {times['connectTimeout']};
    proxy_timeout {ts['sessionParameters']['timeout']};
    proxy_pass {up['name']};
  }}
}}
""", port


def configuration(cluster, folder):
    """nginx.conf as a whole, and the port of the stream."""
    settings = cluster.get("ConfigMap", "ingress-nginx", "nginx-config")["data"]
    parts = [location(i) for i in minions(cluster)]
    tcp, port = stream(cluster)
    temp = "".join(f"{k}_temp_path {folder}/{k};\n" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user root;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
access_log off;
{temp}{settings['http-snippets']}
{"".join(p[0] for p in parts)}
server {{
listen 0.0.0.0:{HTTP};
{settings['server-snippets']}
{"".join(p[1] for p in parts)}
}}
}}
{tcp}""", port


def ask(path, count, source="127.0.0.1", body=None):
    """So many requests on one connection: how often each status came."""
    seen = {}
    conn = http.client.HTTPConnection("127.0.0.1", HTTP, source_address=(source, 0), timeout=10)
    for _ in range(count):
        conn.request("POST" if body else "GET", path, body=body)
        answer = conn.getresponse()
        answer.read()
        seen[answer.status] = seen.get(answer.status, 0) + 1
    conn.close()
    return seen


def test_ingress(cluster, binary):
    check(binary, "no program")
    folder = os.path.join(cluster.scratch, "nginx")
    os.makedirs(folder)
    text, port = configuration(cluster, folder)
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    subprocess.run(["ip", "addr", "add", OTHER + "/32", "dev", "lo"], check=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", BACKEND), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", path, "-e", f"{folder}/error.log"])
    try:
        def up():
            try:
                return ask("/", 1)
            except OSError:
                return False
        until("nginx", 10, up, 0.1)
        limits(cluster)
        plain = Plain(cluster)
        plain.weir(binary, WEIR, {})
        with psycopg.connect(host="127.0.0.2", port=port, user="app", dbname="finai", password=PASSWORD) as conn:
            equal(conn.execute("SELECT 41 + 1").fetchone()[0], 42, "through the stream")
    finally:
        nginx.terminate()
        nginx.wait()


def limits(cluster):
    """429 beyond the burst of the strict path, none for the whitelist nor for paths without a limit; 413."""
    note = cluster.get("Ingress", "apps", "finai-transfers")["metadata"]["annotations"]
    burst = int(note["nginx.org/limit-req-burst"])
    seen = ask("/api/transfers", burst + 100)
    check(seen.get(429, 0) > 0, f"no 429: {seen}")
    check(seen.get(200, 0) >= burst + 1, f"the burst wasn't let through: {seen}")
    equal(ask("/api/transfers", burst + 100, source=OTHER), {200: burst + 100}, "whitelist")
    equal(ask("/", burst + 100), {200: burst + 100}, "pages")
    equal(ask("/api/transfers", 1, source=OTHER, body=b"x" * 17000), {413: 1}, "too large")
    equal(ask("/api/quotes", 1, body=b"x" * 17000), {200: 1}, "large, elsewhere")
