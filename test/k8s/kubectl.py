# SPDX-License-Identifier: PostgreSQL
"""The part of the API that kubectl needs for get, delete, exec, drain and cordon.

Debian has no API server, but kubectl is at hand; so scripts that go through kubectl run with the real program against
this. Discovery names the few kinds, pods come from the little cluster, StatefulSets from the manifests, an eviction and a
deletion go to controllers.py, exec comes over WebSocket (RFC 6455) in Kubernetes' channels (v5.channel.k8s.io).
"""
import base64
import hashlib
import json
import os
import struct
import urllib.parse

RESOURCES = {
    "/api/v1": ("v1", [("pods", "Pod", True), ("pods/exec", "PodExecOptions", True), ("nodes", "Node", False),
                       ("secrets", "Secret", True)]),
    "/apis/apps/v1": ("apps/v1", [("statefulsets", "StatefulSet", True)]),
    "/apis/policy/v1": ("policy/v1", [("poddisruptionbudgets", "PodDisruptionBudget", True)]),
}
VERBS = ["get", "list", "delete", "patch", "create"]
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def write_config(api, path):
    """A kubeconfig of an administrator; its path."""
    api.admin_token = base64.urlsafe_b64encode(os.urandom(18)).decode()
    with open(api.certificate["ca"], "rb") as f:
        authority = base64.b64encode(f.read()).decode()
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "test",
              "clusters": [{"name": "test", "cluster": {"server": f"https://{api.server.server_address[0]}",
                                                        "certificate-authority-data": authority}}],
              "users": [{"name": "admin", "user": {"token": api.admin_token}}],
              "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}]}
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        json.dump(config, f)
    return path


def discovery(path):
    """What kubectl asks first; None when the path is another question."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [{"groupVersion": v, "version": v.split("/")[1]} for v, _ in list(RESOURCES.values())[1:]]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": g["groupVersion"].split("/")[0], "versions": [g], "preferredVersion": g} for g in groups]}
    if path in RESOURCES:
        version, kinds = RESOURCES[path]
        found = [{"name": n, "singularName": "", "kind": k, "namespaced": ns, "verbs": VERBS} for n, k, ns in kinds]
        if path == "/api/v1":
            found.append({"name": "pods/eviction", "singularName": "", "namespaced": True, "kind": "Eviction",
                          "group": "policy", "version": "v1", "verbs": ["create"]})
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": found}
    return None


def pod_object(pod):
    """A pod as the API shows it."""
    meta = {"name": pod.name, "namespace": pod.ns, "uid": pod.uid, "labels": dict(pod.labels),
            "annotations": dict(pod.annotations)}
    if pod.owner:
        kind = {"Deployment": "ReplicaSet"}.get(pod.owner[0], pod.owner[0])
        meta["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": kind, "name": pod.owner[1], "uid": pod.owner[1],
                                    "controller": True}]
    if pod.phase == "terminating":
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    phase = {"starting": "Pending", "ended": "Succeeded"}.get(pod.phase, "Running")
    ready = "True" if pod.is_ready() else "False"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**pod.spec, "nodeName": pod.node},
            "status": {"phase": phase, "podIP": pod.ip or "", "conditions": [{"type": "Ready", "status": ready}]}}


def matches(query, one):
    """Whether an object is what labelSelector (equality) and fieldSelector (spec.nodeName, metadata.name) ask for."""
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.replace("==", "=").partition("=")
        if one["metadata"].get("labels", {}).get(key) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = term.partition("=")
        node = one
        for step in key.split("."):
            node = node.get(step, {})
        if node != value:
            return False
    return True


class Call:
    """One request of kubectl; handler is the HTTP server's."""

    def __init__(self, handler, body):
        self.handler, self.body = handler, body
        self.cluster, self.controllers = handler.api.cluster, handler.api.cluster.controllers
        url = urllib.parse.urlsplit(handler.path)
        self.path, self.words = url.path.rstrip("/"), url.path.strip("/").split("/")
        self.many = urllib.parse.parse_qs(url.query)
        self.query = {k: v[-1] for k, v in self.many.items()}

    def answer(self):
        found = discovery(self.path)
        if found:
            return self.handler.answer(200, found)
        words = self.words[2:] if self.words[0] == "api" else self.words[3:]
        ns = None
        if words[:1] == ["namespaces"] and len(words) > 2:
            ns, words = words[1], words[2:]
        how = getattr(self, "on_" + words[0], None) if words else None
        return how(ns, *words[1:]) if how else self.handler.refuse(404, "not found: " + self.path)

    def listed(self, kind, version, objects):
        found = [o for o in objects if matches(self.query, o)]
        self.handler.answer(200, {"kind": kind + "List", "apiVersion": version, "metadata": {}, "items": found})

    def on_pods(self, ns, name=None, part=None):
        if name is None:
            return self.listed("Pod", "v1", [pod_object(p) for p in list(self.cluster.pods.values())
                                             if p.phase != "stopped" and ns in (None, p.ns)])
        pod = self.cluster.pods.get((ns, name))
        if pod is None or pod.phase == "stopped":
            return self.handler.refuse(404, f'pods "{name}" not found')
        if part == "exec":
            return self.exec(pod)
        if part == "eviction":
            why = self.controllers.evict(pod)
            return self.handler.refuse(429, why) if why else self.handler.answer(
                201, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
        if self.handler.command == "DELETE":
            self.controllers.delete(pod)
        return self.handler.answer(200, pod_object(pod))

    def on_nodes(self, _ns, name=None):
        nodes = self.controllers.nodes
        if name is not None and name not in nodes:
            return self.handler.refuse(404, f'nodes "{name}" not found')
        if self.handler.command == "PATCH":
            nodes[name] = bool((self.body.get("spec") or {}).get("unschedulable"))
        objects = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": n, "uid": n},
                    "spec": {"unschedulable": True} if cordoned else {}} for n, cordoned in nodes.items()]
        if name is None:
            return self.listed("Node", "v1", objects)
        return self.handler.answer(200, next(o for o in objects if o["metadata"]["name"] == name))

    def on_statefulsets(self, ns, name):
        found = self.cluster.manifests.find("StatefulSet", ns, name)
        if not found:
            return self.handler.refuse(404, f'statefulsets.apps "{name}" not found')
        found[0]["status"] = {"replicas": found[0]["spec"]["replicas"],
                              "updateRevision": self.cluster.revision(found[0])}
        return self.handler.answer(200, found[0])

    def on_secrets(self, ns, name):
        data = self.cluster.secrets.get((ns, name))
        if data is None:
            return self.handler.refuse(404, f'secrets "{name}" not found')
        return self.handler.answer(200, {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": ns},
            "data": {k: base64.b64encode(v).decode() for k, v in data.items()}})

    # -- exec ------------------------------------------------------------

    def exec(self, pod):
        """Read all of stdin, run the command, send what it said and its status."""
        handler = self.handler
        key = handler.headers.get("Sec-WebSocket-Key")
        if key is None:
            return handler.refuse(400, "exec is served over WebSocket only")
        digest = hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()
        handler.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"),
                            ("Sec-WebSocket-Accept", base64.b64encode(digest).decode()),
                            ("Sec-WebSocket-Protocol", "v5.channel.k8s.io")):
            handler.send_header(name, value)
        handler.end_headers()
        stdin = self.read_stdin() if self.query.get("stdin") == "true" else None
        try:
            done = pod.exec(self.query.get("container"), self.many["command"], stdin=stdin, timeout=300)
            out, err, code = done.stdout, done.stderr, done.returncode
        except Exception as e:    # noqa: BLE001: told to kubectl, as a cluster would
            out, err, code = "", f"{type(e).__name__}: {e}\n", 126
        status = {"status": "Success"} if code == 0 else {
            "status": "Failure", "reason": "NonZeroExitCode", "message": f"command terminated with exit code {code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}
        for channel, text in ((1, out), (2, err), (3, json.dumps({"metadata": {}, **status}))):
            if text:
                self.send(2, bytes([channel]) + text.encode())
        self.send(8, struct.pack("!H", 1000))
        handler.close_connection = True
        return None

    def send(self, opcode, data):
        size = len(data)
        head = bytes([0x80 | opcode, size]) if size < 126 else \
            bytes([0x80 | opcode, 126]) + struct.pack("!H", size) if size < 65536 else \
            bytes([0x80 | opcode, 127]) + struct.pack("!Q", size)
        self.handler.wfile.write(head + data)
        self.handler.wfile.flush()

    def read_frame(self):
        """(opcode, data) of the next frame; a client's frames are masked."""
        read = self.handler.rfile.read
        first, second = read(2)
        size = second & 0x7f
        if size >= 126:
            size = struct.unpack("!H" if size == 126 else "!Q", read(2 if size == 126 else 8))[0]
        mask = read(4)
        return first & 0xf, bytes(b ^ mask[i % 4] for i, b in enumerate(read(size)))

    def read_stdin(self):
        text = b""
        while True:
            opcode, data = self.read_frame()
            if opcode == 8 or data[:2] == b"\xff\x00":    # the client's end, or: stdin is closed
                return text.decode()
            if opcode in (0, 1, 2) and data[:1] == b"\x00":
                text += data[1:]
