# SPDX-License-Identifier: PostgreSQL
"""The few calls of the Kubernetes API that pods of the manifests make.

No API server can be had from Debian's packages, so this stands in for it:
GET and PATCH of pods and config maps, with the token of the pod's
ServiceAccount, and only what the Roles of the manifests allow, so that a
missing rule fails here as it would in a cluster (403). A patch of a pod's
labels changes the pod, and with it the Services that select it. What an
administrator's kubectl asks is answered by kubectl.py.
"""
import http.server
import json
import os
import ssl
import threading

import kubectl

# path's kind -> resource name in a Role
RESOURCES = {"pods", "configmaps", "endpoints", "services"}
VERBS = {"GET": "get", "PATCH": "patch", "PUT": "update", "POST": "create", "DELETE": "delete"}


def merge(target, patch):
    """RFC 7386; a strategic merge of labels is the same."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value
    return target


class Api:
    """Tokens, permissions and the server."""

    def __init__(self, cluster, address, certificate):
        self.cluster, self.certificate = cluster, certificate
        self.tokens, self.requests, self.admin_token = {}, [], None
        handler = type("Handler", (Handler,), {"api": self})
        self.server = http.server.ThreadingHTTPServer((address, 443), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate["crt"], certificate["key"])
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, pod):
        token = f"token-{pod.uid}"
        self.tokens[token] = (pod.ns, pod.spec.get("serviceAccountName", "default"))
        return token

    def token_files(self, pod):
        with open(self.certificate["ca"], "rb") as f:
            return {"token": self.token(pod).encode(), "namespace": pod.ns.encode(), "ca.crt": f.read()}

    def may(self, account, verb, ns, resource, name):
        """Whether a Role bound to the ServiceAccount allows it."""
        for binding in self.cluster.manifests.find("RoleBinding", ns):
            subjects = [(s.get("namespace", ns), s["name"]) for s in binding.get("subjects", [])
                        if s["kind"] == "ServiceAccount"]
            if account not in subjects:
                continue
            for rule in self.cluster.manifests.get("Role", ns, binding["roleRef"]["name"])["rules"]:
                names = rule.get("resourceNames")
                if verb in rule["verbs"] and resource in rule["resources"] and "" in rule["apiGroups"] \
                        and (not names or name in names):
                    return True
        return False


class Handler(http.server.BaseHTTPRequestHandler):
    """/api/v1/namespaces/NS/RESOURCE/NAME"""

    protocol_version = "HTTP/1.1"
    api = None

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message):
        self.answer(status, {"kind": "Status", "status": "Failure", "code": status, "message": message})

    def handle_call(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        words = self.path.partition("?")[0].strip("/").split("/")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.api.admin_token and token == self.api.admin_token:
            return kubectl.Call(self, body).answer()
        account = self.api.tokens.get(token)
        if account is None:
            return self.refuse(401, "Unauthorized")
        if len(words) != 6 or words[:3] != ["api", "v1", "namespaces"] or words[4] not in RESOURCES:
            return self.refuse(404, "not found: " + self.path)
        ns, resource, name = words[3:]
        self.api.requests.append((VERBS[self.command], ns, resource, name, body))
        if not self.api.may(account, VERBS[self.command], ns, resource, name):
            return self.refuse(403, f"{account} may not {VERBS[self.command]} {resource} in {ns}")
        if resource != "pods":
            return self.refuse(404, "only pods are kept here")
        return self.pod_call(ns, name, body)

    def pod_call(self, ns, name, body):
        pod = self.api.cluster.pods.get((ns, name))
        if pod is None:
            return self.refuse(404, f"pods {name} not found")
        meta = {"name": name, "namespace": ns, "labels": pod.labels, "annotations": pod.annotations}
        if self.command == "PATCH":
            merge(meta, (body.get("metadata") or {}) if isinstance(body, dict) else {})
            self.api.cluster.changed()
        return self.answer(200, {"kind": "Pod", "apiVersion": "v1", "metadata": meta})

    do_GET = do_PATCH = do_PUT = do_POST = do_DELETE = handle_call

    def log_message(self, *_):
        pass


def make_certificate(folder, name, sans, authority=None, common_name=None):
    """A certificate by openssl; {"crt", "key", "ca"} as paths. Without authority: a CA."""
    import subprocess
    base = os.path.join(folder, name.replace("/", "."))
    key, crt = base + ".key", base + ".crt"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-keyout", key, "-out", crt, "-subj", "/CN=" + (common_name or name)[:60]]
    if authority:
        words += ["-CA", authority["crt"], "-CAkey", authority["key"], "-addext", "subjectAltName=" + ",".join(sans),
                  "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(words, check=True, capture_output=True)
    return {"crt": crt, "key": key, "ca": (authority or {"crt": crt})["crt"]}
