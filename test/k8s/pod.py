# SPDX-License-Identifier: PostgreSQL
"""A pod: its containers in the kubelet's order, its probes, its end.

Start: initContainers one after the other, native sidecars (restartPolicy
Always) stay and hold up the next until their startup probe passed; then the
containers. A thread per pod runs the probes as written, starts ended
containers again as restartPolicy says, and kills what fails its liveness or
startup probe. Stop: preStop hooks and the stop signal within the grace period, main
containers first, then sidecars from the last to the first (Kubernetes
documentation, "Pod Lifecycle", "Sidecar Containers").
"""
import os
import signal
import subprocess
import threading
import time
import uuid

import volumes
from container import Container, expand
from lib import patient
from probes import Probe, run_action

TICK_S = 0.1
CRASH_DELAY_S = 1.0    # the first back-off of a kubelet is 10 s; a test has less time


class Pod:
    """Made by Cluster.pod(); start() makes it anew with another address each time."""

    def __init__(self, cluster, ns, name, template, labels=None):
        self.cluster, self.ns, self.name = cluster, ns, name
        self.spec = template["spec"]
        meta = template.get("metadata", {})
        self.labels = {**(meta.get("labels") or {}), **(labels or {})}
        self.annotations = dict(meta.get("annotations") or {})
        self.uid = str(uuid.uuid4())
        # Of controllers.py: (kind, name) of the workload, how the test changed its template, the node.
        self.owner, self.patch, self.node, self.is_deleted = None, None, "node-0", False
        self.ip = self.netns = None
        self.log_dir = os.path.join(cluster.log_dir, f"{ns}.{name}")
        os.makedirs(self.log_dir, exist_ok=True)
        self.phase = "stopped"    # starting, running, terminating, ended, stopped
        self.ready, self.lingers_until = False, 0.0
        self.containers, self.sidecars, self.probes, self.started = [], [], {}, set()
        self.thread, self.error = None, None
        self.hooks, self.ends, self.containers_by_name = {}, {}, {}
        self.lock = threading.RLock()

    # -- life ------------------------------------------------------------

    def start(self):
        """Make the pod and start it; returns when its containers run (not: are ready)."""
        self.prepare()
        for spec in self.spec.get("initContainers", []):
            one = self.containers_by_name[spec["name"]]
            if spec.get("restartPolicy") == "Always":
                self.sidecars.append(one)
                self.launch(one)
                self.wait_started(one)
            else:
                self.run_to_end(one)
        for spec in self.spec["containers"]:
            one = self.containers_by_name[spec["name"]]
            self.containers.append(one)
            self.launch(one)
        self.phase = "running"
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def prepare(self):
        if self.phase not in ("stopped", "ended"):
            raise RuntimeError(f"{self.name} is {self.phase}")
        self.phase, self.ready, self.error, self.lingers_until = "starting", False, None, 0.0
        self.containers, self.sidecars, self.probes, self.started = [], [], {}, set()
        self.netns, self.ip = self.cluster.network.add_pod(self.name)
        self.cluster.changed()
        folder = os.path.join(self.cluster.scratch, "pods", f"{self.ns}.{self.name}.{self.ip}")
        made = volumes.make_all(self.cluster, self, os.path.join(folder, "volumes"))
        self.add_token(made, folder)
        self.containers_by_name = {}
        for spec in self.spec.get("initContainers", []) + self.spec["containers"]:
            one = Container(self, spec, self.cluster.image(spec["image"]),
                            os.path.join(folder, "containers", spec["name"]))
            one.env = volumes.environment(self.cluster, self, spec, expand)
            one.build_root(made, lambda path: self.cluster.network.bind_hosts(self.ns, path))
            self.containers_by_name[spec["name"]] = one

    def add_token(self, made, folder):
        """The API's token, where the pod asks for it."""
        if self.spec.get("automountServiceAccountToken") is False or not self.cluster.automounts(self):
            return
        path = os.path.join(folder, "token")
        os.makedirs(path)
        volumes.write_keys(path, self.cluster.api.token_files(self), None, 0o644)
        made["kube-api-access"] = path
        for spec in self.spec.get("initContainers", []) + self.spec["containers"]:
            mounts = spec.setdefault("volumeMounts", [])
            if not any(m["name"] == "kube-api-access" for m in mounts):
                mounts.append({"name": "kube-api-access", "readOnly": True,
                               "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"})

    def run_to_end(self, one):
        """An ordinary init container: it must end with 0."""
        one.start()
        status = one.wait(self.cluster.init_limit_s)
        if status is None:
            one.stop(signal.SIGKILL, 1)
        if status != 0:
            raise RuntimeError(f"{self.name}: init container {one.name} ended with {status}:\n"
                               + one.log()[-2000:])

    def launch(self, one):
        one.start()
        self.started.discard(one.name)
        self.probes[one.name] = {kind: Probe(one.spec[kind + "Probe"])
                                 for kind in ("startup", "readiness", "liveness")
                                 if kind + "Probe" in one.spec}
        hook = (one.spec.get("lifecycle") or {}).get("postStart")
        self.wait_pid(one)
        if hook:
            worked, said = run_action(one, hook, 60)
            if not worked:
                self.error = f"postStart of {one.name}: {said}"

    @staticmethod
    def wait_pid(one):
        deadline = time.monotonic() + patient(5)
        while one.is_running() and one.pid() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def wait_started(self, one):
        """A sidecar holds up what follows until its startup probe has passed."""
        deadline = time.monotonic() + self.cluster.init_limit_s
        while not self.check_started(one):
            if time.monotonic() > deadline or not one.is_running():
                raise RuntimeError(f"{self.name}: sidecar {one.name} didn't start:\n" + one.log()[-2000:])
            time.sleep(TICK_S)

    # -- the kubelet's thread ---------------------------------------------

    def all_running(self):
        return self.sidecars + self.containers

    def watch(self):
        """The thread; what it can't do once it tries again, as a kubelet does, and the test hears of it."""
        while self.phase == "running":
            try:
                self.look()
            except Exception as e:    # noqa: BLE001: nobody else would start the containers again
                if self.error != repr(e):
                    self.error = repr(e)
                    print(f"# {self.name}: {self.error}", flush=True)
            time.sleep(TICK_S)

    def look(self):
        """One round over the pod."""
        for one in self.all_running():
            if self.phase != "running":
                return
            self.look_at(one)
        self.update_ready()
        if self.has_ended():
            self.phase = "ended"
            self.ready = False
            self.cluster.changed()
            self.end_sidecars()

    def look_at(self, one):
        if not one.is_running():
            self.started.discard(one.name)
            policy = "Always" if one in self.sidecars else self.spec.get("restartPolicy", "Always")
            if policy == "Always" or policy == "OnFailure" and one.proc.returncode != 0:
                time.sleep(CRASH_DELAY_S)
                if self.phase == "running":
                    one.restarts += 1
                    self.launch(one)
            return
        if not self.check_started(one):
            return
        for kind in ("readiness", "liveness"):
            probe = self.probes[one.name].get(kind)
            if probe and probe.is_due():
                probe.run(one)
                if kind == "liveness" and probe.has_failed():
                    self.restart(one, "liveness: " + probe.said)

    def check_started(self, one):
        """Whether the startup probe has passed; runs it when it is due."""
        if one.name in self.started:
            return True
        probe = self.probes[one.name].get("startup")
        if probe and probe.is_due():
            probe.run(one)
            if probe.has_failed():
                self.restart(one, "startup: " + probe.said)
        if not probe or probe.has_passed():
            self.started.add(one.name)
        return one.name in self.started

    def restart(self, one, why):
        """A failed probe ends the container; the next look starts it again."""
        with open(one.log_path, "a", encoding="utf-8") as log:
            log.write(f"\n--- killed by its probe: {why}\n")
        one.stop(one.stop_signal(), min(30, self.grace()))

    def update_ready(self):
        now = all(self.is_container_ready(one) for one in self.all_running())
        if now != self.ready:
            self.ready = now
            if now:
                self.lingers_until = 0.0
                self.cluster.changed()
            else:
                self.cluster.withdraw(self)

    def is_container_ready(self, one):
        if not one.is_running() or one.name not in self.started:
            return False
        probe = self.probes[one.name].get("readiness")
        if not probe:
            return True
        # Ready after successThreshold, and until failureThreshold is reached.
        if probe.has_passed():
            probe.was_ready = True
        elif probe.has_failed():
            probe.was_ready = False
        return getattr(probe, "was_ready", False)

    def has_ended(self):
        return self.spec.get("restartPolicy", "Always") != "Always" and self.containers and \
            all(not c.is_running() for c in self.containers) and \
            (self.spec["restartPolicy"] == "Never" or all(c.proc.returncode == 0 for c in self.containers))

    # -- what a test asks --------------------------------------------------

    def is_ready(self):
        return self.phase == "running" and self.ready

    def wait_ready(self, seconds=60):
        seconds = patient(seconds)
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if time.monotonic() > deadline or self.phase == "ended":
                said = {c: {k: p.said for k, p in probes.items()} for c, probes in self.probes.items()}
                raise AssertionError(f"{self.name} isn't ready after {seconds:g} s: {self.phase} {said} "
                                     f"{self.error or ''}\n{self.log_tails()}")
            time.sleep(TICK_S)
        return self

    def container(self, name=None):
        """A container by name; without one, the first of the pod's containers."""
        return self.containers_by_name[name or self.spec["containers"][0]["name"]]

    def container_spec(self, name):
        """A container's part of the pod's text, for a test to change before a start."""
        return next(c for c in self.spec["containers"] if c["name"] == name)

    def probe(self, kind, container=None):
        """Run one probe now, as written; (worked, what it said)."""
        one = self.container(container)
        definition = one.spec[kind + "Probe"]
        return run_action(one, definition, definition.get("timeoutSeconds", 1))

    def exec(self, container, argv, **options):
        return self.container(container).exec(argv, **options)

    def kill(self, container=None, signo=signal.SIGKILL):
        return self.container(container).kill(signo)

    def log(self, container=None):
        return self.container(container).log()

    def log_tails(self):
        return "\n".join(f"--- {self.name}/{c.name}\n{c.log()[-1500:]}"
                         for c in self.containers_by_name.values())

    def cut(self, is_cut=True):
        """Pull the network cable, or put it back."""
        self.cluster.network.cut(self.netns, is_cut)

    def grace(self):
        return self.spec.get("terminationGracePeriodSeconds", 30)

    # -- the end -----------------------------------------------------------

    def stop(self, grace=None):
        """The kubelet's order; {container: exit status}. self.hooks has what preStop hooks said."""
        if self.phase in ("stopped", "terminating"):
            return {}
        was_ready, was, self.phase = self.is_ready(), self.phase, "terminating"
        self.ready = False
        if was_ready:
            self.cluster.withdraw(self)
        else:
            self.cluster.changed()
        if self.thread and self.thread is not threading.current_thread():
            self.thread.join()
        deadline = time.monotonic() + (self.grace() if grace is None else grace)
        ended = {}
        if was == "running":
            # All hooks start now, the sidecars' too; only their SIGTERM waits for its turn.
            turns = {one.name: threading.Event() for one in self.sidecars}
            threads = [threading.Thread(target=self.end, args=(one, deadline, ended)) for one in self.containers]
            late = [threading.Thread(target=self.end, args=(one, deadline, ended, turns[one.name]))
                    for one in self.sidecars]
            for thread in threads + late:
                thread.start()
            for thread in threads:
                thread.join()
            for one, thread in reversed(list(zip(self.sidecars, late))):
                turns[one.name].set()
                thread.join()
        else:
            for one in reversed(self.sidecars):
                self.end(one, deadline, ended)
        self.tear_down()
        return ended

    def end(self, one, deadline, ended, turn=None):
        """Hook, then the signal, once it is this container's turn; self.ends has when that was."""
        hook = (one.spec.get("lifecycle") or {}).get("preStop")
        if hook and one.is_running():
            left = max(deadline - time.monotonic(), 0.1)
            self.hooks[one.name] = run_action(one, hook, left)
        if turn:
            turn.wait(max(deadline - time.monotonic(), 0.1))
        # A hook that used up the grace leaves two seconds (kubelet).
        ended[one.name] = one.stop(one.stop_signal(), max(deadline - time.monotonic(), 2))
        self.ends[one.name] = time.monotonic()

    def end_sidecars(self):
        for one in reversed(self.sidecars):
            one.stop(one.stop_signal(), 5)

    def crash(self):
        """The node's end: everything killed at once, no hook, no signal handler."""
        self.phase = "terminating"
        self.ready = False
        for one in self.all_running():
            one.stop(signal.SIGKILL, 1)
        if self.thread:
            self.thread.join()
        self.tear_down()

    def tear_down(self):
        for one in self.containers_by_name.values():
            one.tear_down()
        try:
            self.cluster.network.remove_pod(self.netns)
        except subprocess.CalledProcessError:
            pass
        self.phase = "stopped"
        self.cluster.changed()
