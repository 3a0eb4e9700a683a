# SPDX-License-Identifier: PostgreSQL
"""The autoscaler's arithmetic on live metrics of pgweir's pods.

What a HorizontalPodAutoscaler does with a Pods metric (Kubernetes
documentation, "Algorithm details"): ceil(current x average / target), no move
within 10 %, the policies' limits per period, and the highest (going down) or
lowest (going up) recommendation of the stabilisation window. The object is the
shipped one; time is counted, not waited for. The load is real connections:
the target is divided by SCALE so that one machine can hold them.
"""
import math
import re
import socket
import urllib.request

from lib import check, equal, limit, until

SCALE, TOLERANCE = 100, 0.1
METRIC = {"pgweir_client_connections": "pgweir_clients"}


class Autoscaler:
    """One HPA's decisions over its own clock, in seconds."""

    def __init__(self, one, replicas):
        spec = one["spec"]
        self.low, self.high, self.replicas = spec["minReplicas"], spec["maxReplicas"], replicas
        self.behavior = spec["behavior"]
        self.now, self.recommended, self.changes = 0, [], []

    def wanted(self, average, target):
        ratio = average / target
        if abs(ratio - 1) <= TOLERANCE:
            return self.replicas
        return max(self.low, min(self.high, math.ceil(self.replicas * ratio)))

    def stabilised(self, wanted):
        self.recommended.append((self.now, wanted))

        def within(direction):
            window = self.behavior[direction].get("stabilizationWindowSeconds", 0)
            return [n for at, n in self.recommended if at >= self.now - window]
        up, down = min(within("scaleUp")), max(within("scaleDown"))
        return min(max(self.replicas, up), down)

    def allowed(self, direction):
        """How far the policies let it go (selectPolicy Max)."""
        sign = 1 if direction == "scaleUp" else -1
        limits = []
        for policy in self.behavior[direction]["policies"]:
            moved = sum(n for at, n in self.changes
                        if n * sign > 0 and at > self.now - policy["periodSeconds"])
            start = self.replicas - moved
            size = policy["value"] if policy["type"] == "Pods" else math.ceil(start * policy["value"] / 100)
            limits.append(start + sign * size)
        return max(limits) if sign > 0 else min(limits)

    def step(self, average, target, seconds=15):
        self.now += seconds
        goal = self.stabilised(self.wanted(average, target))
        if goal > self.replicas:
            goal = max(self.replicas, min(goal, self.allowed("scaleUp")))
        elif goal < self.replicas:
            goal = min(self.replicas, max(goal, self.allowed("scaleDown")))
        if goal != self.replicas:
            self.changes.append((self.now, goal - self.replicas))
        self.replicas = goal
        return goal


def target_of(one):
    """The Pods metric of the object: the exported series and the scaled target."""
    pods = [m["pods"] for m in one["spec"]["metrics"] if m["type"] == "Pods"]
    equal([p["metric"]["name"] for p in pods], list(METRIC))
    return METRIC[pods[0]["metric"]["name"]], float(pods[0]["target"]["averageValue"]) / SCALE


def total(pods, series):
    """The live sum over the pods."""
    found = 0
    for pod in pods:
        with urllib.request.urlopen(f"http://{pod.ip}:9127/metrics", timeout=10) as reply:
            found += float(re.search(rf"^{series} (\S+)$", reply.read().decode(), re.M)[1])
    return found


def patience(template):
    """hold()'s clients never log in: a busy machine may be slower than the shipped client_login_timeout."""
    one = next(c for c in template["spec"]["containers"] if c["name"] == "pgweir")
    one.setdefault("env", []).append({"name": "PGWEIR_CLIENT_LOGIN_TIMEOUT", "value": "600"})


def hold(pods, count):
    """Clients that have connected and say nothing yet."""
    return [socket.create_connection((pods[n % len(pods)].ip, 6432), 10) for n in range(count)]


@limit(120)
def test_pgweir_scales_on_clients(cluster, sub):
    one = cluster.get("HorizontalPodAutoscaler", "pgweir", "pgweir")
    series, target = target_of(one)
    pods = cluster.start_all("pgweir", "pgweir", 2, patience)
    for pod in pods:
        until("the start", 60, lambda p=pod: p.probe("startup", "pgweir")[0])
    scaler = Autoscaler(one, one["spec"]["minReplicas"])
    with sub("hpa::quiet_stays_at_the_minimum"):
        equal(scaler.step(total(pods, series) / scaler.replicas, target), scaler.low)
    with sub("hpa::load_drives_it_up_within_the_policies"):
        wanted = math.ceil(target * scaler.low * 1.5)
        held = hold(pods, wanted)
        until("the gauge", 60, lambda: total(pods, series) == wanted)
        first = scaler.step(total(pods, series) / scaler.replicas, target)
        equal(first, min(math.ceil(scaler.low * 1.5), scaler.low + 2, scaler.high))
        check(first > scaler.low, f"{first}")
        load = total(pods, series)
        equal(load, wanted)
        for _ in range(20):
            scaler.step(load / scaler.replicas, target)
        check(first <= scaler.replicas <= scaler.high, f"{scaler.replicas}")
    with sub("hpa::back_to_the_minimum_after_the_window"):
        top, since = scaler.replicas, scaler.now
        for one_held in held:
            one_held.close()
        until("the gauge", 60, lambda: total(pods, series) == 0)
        quiet = total(pods, series)
        window = scaler.behavior["scaleDown"]["stabilizationWindowSeconds"]
        while scaler.now + 15 <= since + window:
            equal(scaler.step(quiet, target), top, f"{scaler.now - since} s after the peak")
        for _ in range(200):
            scaler.step(quiet, target)
        equal(scaler.replicas, scaler.low)
