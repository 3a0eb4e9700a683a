# SPDX-License-Identifier: PostgreSQL
"""Stands where the backend's pods stand, for tests of what is before them: says what reached it.

GET gives the request's headers as JSON, padded well beyond what is worth compressing; ?sleep=N answers after N
seconds, ?status=N with that status. Runs as `python3 echo_backend.py PORT`.
"""
import http.server
import json
import sys
import time
import urllib.parse


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        time.sleep(float(query.get("sleep", 0)))
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"method": self.command, "path": self.path, "headers": dict(self.headers),
                           "body": sent.decode(), "padding": "x" * 4000}).encode()
        self.send_response(int(query.get("status", 200)))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        """Quiet."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Echo).serve_forever()
