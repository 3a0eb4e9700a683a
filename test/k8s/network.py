# SPDX-License-Identifier: PostgreSQL
"""The network of the little cluster: a bridge, an address per pod, Services, names.

Pods have network namespaces of their own with an address on a bridge in the
test's own namespace (10.42.0.0/16); a Service has an address beside the bridge
(10.43.0.0/16) where relay.py listens. Names are hosts files, one per namespace,
since a short name means the own namespace; they are bound over /etc/hosts of
the pods and of the test itself. A headless Service's name has a line per pod.
"""
import json
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
GATEWAY = "10.42.0.1"
DOMAIN = "svc.cluster.local"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def write_over(path, data):
    """Write a file in place, since it is bound in many places, and so that nobody ever reads it empty."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.pwrite(fd, data + b"\n" * max(os.fstat(fd).st_size - len(data), 0), 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


class Network:
    """The bridge, the addresses, the hosts files and the relay."""

    def __init__(self, scratch):
        self.scratch, self.next_pod, self.next_service = scratch, 10, 10
        self.lock = threading.Lock()
        self.table, self.hosts = {}, {}
        self.relay = None
        os.makedirs("/run/netns", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
        ip("link", "set", "lo", "up")
        # Without an address of its own a bridge takes another each time that a port comes with a lower one, and
        # pods go on sending to the old one until their neighbour tables notice.
        ip("link", "add", "br0", "address", "02:00:0a:2a:00:01", "type", "bridge", "forward_delay", "0")
        ip("addr", "add", GATEWAY + "/16", "dev", "br0")
        ip("link", "set", "br0", "up")
        self.bind_hosts("default", "/etc/hosts")

    def add_pod(self, name):
        """A network namespace with an address of its own; (namespace's path, address)."""
        with self.lock:
            number, self.next_pod = self.next_pod, self.next_pod + 1
        address = f"10.42.{number // 250}.{number % 250 + 1}"
        netns, inner, outer = f"p{number}", f"i{number}", f"o{number}"
        ip("netns", "add", netns)
        ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        ip("link", "set", inner, "netns", netns)
        ip("link", "set", outer, "master", "br0")
        ip("link", "set", outer, "up")
        for words in (["link", "set", "lo", "up"], ["link", "set", inner, "name", "eth0"],
                      ["addr", "add", address + "/16", "dev", "eth0"],
                      ["link", "set", "eth0", "up"], ["route", "add", "default", "via", GATEWAY]):
            ip("-n", netns, *words)
        return "/run/netns/" + netns, address

    def remove_pod(self, netns):
        ip("netns", "del", os.path.basename(netns))

    def cut(self, netns, is_cut):
        """Pull a pod's cable, or put it back."""
        ip("-n", os.path.basename(netns), "link", "set", "eth0", "down" if is_cut else "up")
        if not is_cut:
            ip("-n", os.path.basename(netns), "route", "replace", "default", "via", GATEWAY)

    def add_service(self):
        with self.lock:
            number, self.next_service = self.next_service, self.next_service + 1
        address = f"10.43.{number // 250}.{number % 250 + 1}"
        ip("addr", "add", address + "/32", "dev", "br0")
        return address

    def route(self, table):
        """Tell the relay where Services lead: {"ip:port": ["ip:port", ...]}."""
        with self.lock:
            if table == self.table:
                return
            if self.relay is None:
                log = open(os.path.join(self.scratch, "relay.log"), "ab")    # noqa: SIM115
                self.relay = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "relay.py")],
                                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                              stderr=log, text=True)
            self.table = table
            self.relay.stdin.write(json.dumps(table) + "\n")
            self.relay.stdin.flush()
            if self.relay.stdout.readline().strip() != "ok":
                raise RuntimeError("the relay ended, see relay.log")

    def hosts_path(self, ns):
        return os.path.join(self.scratch, f"hosts.{ns}")

    def bind_hosts(self, ns, path):
        """Bind the hosts file of a namespace over a file."""
        source = self.hosts_path(ns)
        if not os.path.exists(source):
            self.write_hosts(ns)
        subprocess.run(["mount", "--bind", source, path], check=True)

    def write_hosts(self, ns):
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        for full, address in self.hosts.get("", []):
            short = full.removesuffix("." + DOMAIN)
            names = [full, short + ".svc", short]
            if short.endswith("." + ns):
                names.append(short.removesuffix("." + ns))
            lines.append(address + " " + " ".join(names))
        write_over(self.hosts_path(ns), ("\n".join(lines) + "\n").encode())

    def publish(self, names):
        """names: (name below DOMAIN, address) of all pods and Services, in full."""
        with self.lock:
            wanted = [(n + "." + DOMAIN, a) for n, a in names]
            if wanted == self.hosts.get(""):
                return
            self.hosts[""] = wanted
            for name in os.listdir(self.scratch):
                if name.startswith("hosts."):
                    self.write_hosts(name.removeprefix("hosts."))
