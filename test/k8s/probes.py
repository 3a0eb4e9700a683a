# SPDX-License-Identifier: PostgreSQL
"""Probes and hooks as the kubelet runs them: httpGet, tcpSocket, exec, sleep.

An HTTP probe comes from the node, that is from the bridge's address, follows
the named port, doesn't verify certificates, and counts 200 to 399 as success
(Kubernetes documentation, "Configure Liveness, Readiness and Startup Probes").
"""
import http.client
import socket
import ssl
import subprocess
import time

DEFAULTS = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3, "successThreshold": 1,
            "initialDelaySeconds": 0}


def port_of(container, port):
    """A probe's port, by number or by the name of a containerPort."""
    if isinstance(port, int):
        return port
    for one in container.spec.get("ports", []):
        if one.get("name") == port:
            return one["containerPort"]
    raise LookupError(f"{container.pod.name}/{container.name} has no port {port}")


def http_get(container, wish, timeout):
    """(status, body) of an httpGet action."""
    host, port = wish.get("host", container.pod.ip), port_of(container, wish["port"])
    if wish.get("scheme", "HTTP") == "HTTPS":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        conn = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    else:
        conn = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        headers = {h["name"]: h["value"] for h in wish.get("httpHeaders", [])}
        conn.request("GET", wish.get("path", "/"), headers=headers)
        answer = conn.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        conn.close()


def run_action(container, action, timeout):
    """(worked, text) of one handler of a probe or a hook."""
    try:
        if "httpGet" in action:
            status, body = http_get(container, action["httpGet"], timeout)
            return 200 <= status < 400, f"{status} {body[:200]}"
        if "tcpSocket" in action:
            wish = action["tcpSocket"]
            address = (wish.get("host", container.pod.ip), port_of(container, wish["port"]))
            socket.create_connection(address, timeout).close()
            return True, "connected"
        if "sleep" in action:
            time.sleep(min(action["sleep"]["seconds"], timeout))
            return True, "slept"
        done = container.exec(action["exec"]["command"], timeout=timeout)
        return done.returncode == 0, f"exit {done.returncode} {done.stdout}{done.stderr}"
    except (OSError, http.client.HTTPException, subprocess.TimeoutExpired, RuntimeError) as e:
        return False, f"{type(e).__name__}: {e}"


class Probe:
    """A probe's definition and its counts."""

    def __init__(self, definition):
        self.wish = {**DEFAULTS, **definition}
        self.successes = self.failures = 0
        self.next_at = time.monotonic() + self.wish["initialDelaySeconds"]
        self.said = ""

    def run(self, container):
        worked, self.said = run_action(container, self.wish, self.wish["timeoutSeconds"])
        self.successes = self.successes + 1 if worked else 0
        self.failures = 0 if worked else self.failures + 1
        self.next_at = time.monotonic() + self.wish["periodSeconds"]
        return worked

    def is_due(self):
        return time.monotonic() >= self.next_at

    def has_passed(self):
        return self.successes >= self.wish["successThreshold"]

    def has_failed(self):
        return self.failures >= self.wish["failureThreshold"]
