# SPDX-License-Identifier: PostgreSQL
"""What keeps the pods of StatefulSets and Deployments: deletions, evictions, nodes.

A deleted pod ends as the kubelet ends it; a StatefulSet's comes back under its name when it is gone, a Deployment's
replacement starts at once under another. Evictions obey the PodDisruptionBudgets as the eviction API does (Kubernetes
documentation, "Specifying a Disruption Budget"). Nodes are names: pods are told apart by them, and drain empties one.
"""
import threading
import time

import manifests


class Controllers:
    """Made by Cluster; idle until a test or kubectl deletes or evicts."""

    def __init__(self, cluster, count=5):
        self.cluster, self.lock = cluster, threading.RLock()
        self.nodes = {f"node-{n}": False for n in range(count)}    # name: cordoned
        self.ended, self.errors, self.threads = [], [], []

    def place(self, pod):
        """A node for a new pod: of those that take any, the one with the fewest of its kind."""
        def load(node):
            there = [p for p in list(self.cluster.pods.values()) if p.node == node]
            return sum(p.owner == pod.owner for p in there), len(there)
        pod.node = min((n for n, cordoned in self.nodes.items() if not cordoned), key=load)

    def wait(self, seconds=300):
        """Until everything that was deleted has come back."""
        deadline = time.monotonic() + seconds
        for thread in list(self.threads):
            thread.join(max(deadline - time.monotonic(), 0.01))
            if thread.is_alive():
                raise AssertionError("a deleted pod hasn't come back")
        if self.errors:
            raise self.errors[0]

    # -- deletion ------------------------------------------------------------

    def delete(self, pod):
        """End a pod and put another in its place; returns at once."""
        with self.lock:
            if pod.phase not in ("running", "starting") or pod.is_deleted:
                return
            pod.is_deleted = True
            self.ended.append(pod)
            thread = threading.Thread(target=self.replace, args=(pod,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def replace(self, pod):
        try:
            kind, name = pod.owner
            if kind == "Deployment":
                with self.lock:
                    taken = [int(p.name.rpartition("-")[2]) for p in self.cluster.pods.values() if p.owner == pod.owner]
                    fresh = self.cluster.pod(pod.ns, name, max(taken) + 1, pod.patch)
                starting = threading.Thread(target=fresh.start, daemon=True)
                starting.start()
            pod.stop()
            with self.lock:
                del self.cluster.pods[(pod.ns, pod.name)]
                if kind == "StatefulSet":
                    fresh = self.cluster.pod(pod.ns, name, int(pod.name.rpartition("-")[2]), pod.patch)
            if kind == "StatefulSet":
                fresh.start()
            else:
                starting.join()
        except Exception as e:    # noqa: BLE001: told by wait()
            self.errors.append(e)

    # -- eviction ------------------------------------------------------------

    def evict(self, pod):
        """Delete the pod if its budget allows it; else why not."""
        with self.lock:
            budgets = [b for b in self.cluster.manifests.find("PodDisruptionBudget", pod.ns)
                       if manifests.selects(b["spec"]["selector"], pod.labels)]
            if len(budgets) > 1:
                return "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            if budgets and not self.allows(budgets[0], pod):
                return "Cannot evict pod as it would violate the pod's disruption budget."
            self.delete(pod)
            return None

    def allows(self, budget, pod):
        spec = budget["spec"]
        held = [p for p in list(self.cluster.pods.values()) if p.ns == pod.ns and p.phase != "stopped"
                and manifests.selects(spec["selector"], p.labels)]
        healthy = sum(p.is_ready() and not p.is_deleted for p in held)
        if "minAvailable" in spec:
            wanted = spec["minAvailable"]
        else:
            wanted = self.expected(held) - spec["maxUnavailable"]
        if not pod.is_ready():
            return spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or healthy >= wanted
        return healthy - 1 >= wanted

    def expected(self, held):
        """How many pods the owners of these want; a Deployment has as many as the test started."""
        count = 0
        for ns, (kind, name) in {(p.ns, p.owner) for p in held}:
            one = self.cluster.manifests.workload(ns, name)
            count += one["spec"]["replicas"] if kind == "StatefulSet" else \
                sum(p.owner == (kind, name) and not p.is_deleted for p in held)
        return count
