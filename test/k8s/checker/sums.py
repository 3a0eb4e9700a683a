# SPDX-License-Identifier: PostgreSQL
"""Check 10: what adds up. Connections, memory, quotas and nodes, computed from the shipped texts.

Every sum is taken at the worst moment: each autoscaler at its maximum, each roll-out's surge beside
it, all Jobs at once. Numbers in comments count for nothing here.
"""
import configparser
import json
import math
import re

import yaml

from .load import Finding, NOT_APPLIED, TOP, parse
from .selectors import config_text, least

SUFFIXES = {"Ki": 2 ** 10, "Mi": 2 ** 20, "Gi": 2 ** 30, "Ti": 2 ** 40, "kB": 2 ** 10, "MB": 2 ** 20, "GB": 2 ** 30,
            "kb": 2 ** 10, "mb": 2 ** 20, "gb": 2 ** 30, "k": 1e3, "M": 1e6, "G": 1e9, "m": 1e-3, "": 1}
# What the machine types of cluster-config.yaml have: processors, memory.
MACHINES = {"m6i.xlarge": (4, 16 * 2 ** 30), "m6i.2xlarge": (8, 32 * 2 ** 30)}
# The operator's reloader beside each Prometheus and Alertmanager.
RELOADER = {"requests": {"cpu": "10m", "memory": "50Mi"}, "limits": {"memory": "50Mi"}}
# A kubelet's pods start with no more files than this, unless the node says otherwise (systemd's hard limit).
FILES = 524288
# overlays/development: one node of kind, less what the cluster's own pods ask for and kubelet keeps free.
SMALL = (4 - 0.95, (8 - 0.5) * 2 ** 30)


def number(text):
    """A quantity of Kubernetes, PostgreSQL, Redis or pgweir as a plain number."""
    found = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]*)", str(text))
    return float(found.group(1)) * SUFFIXES[found.group(2)]


class Demand:
    """What pods ask for, summed."""

    KEYS = ("requests.cpu", "requests.memory", "limits.memory", "pods", "persistentvolumeclaims", "requests.storage")

    def __init__(self):
        self.of = dict.fromkeys(self.KEYS, 0)

    def add(self, resources, count):
        for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            self.of[f"{kind}.{what}"] += count * number((resources.get(kind) or {}).get(what, 0))

    def pod(self, containers, count, claims=()):
        self.of["pods"] += count
        for container in containers:
            self.add(container.get("resources") or {}, count)
        for claim in claims:
            self.claim(claim["spec"], count)

    def claim(self, spec, count):
        self.of["persistentvolumeclaims"] += count
        self.of["requests.storage"] += count * number(spec["resources"]["requests"]["storage"])


def scaler(tree, pod):
    for hpa in tree.all("HorizontalPodAutoscaler"):
        target = hpa.spec.get("scaleTargetRef") or {}
        if (hpa.ns, target.get("kind"), target.get("name")) == (pod.ns, pod.owner.kind, pod.owner.name):
            return hpa
    return None


def most(tree, pod):
    """How many pods of one workload may run at once."""
    if pod.owner.kind == "CronJob":
        return pod.owner.spec["jobTemplate"]["spec"].get("parallelism", 1)
    if pod.owner.kind == "Job":
        return pod.owner.spec.get("parallelism", 1)
    hpa = scaler(tree, pod)
    count = hpa.spec["maxReplicas"] if hpa else pod.replicas
    strategy = pod.owner.spec.get("strategy") or {}
    if pod.owner.kind != "Deployment" or strategy.get("type") == "Recreate":
        return count
    surge = str((strategy.get("rollingUpdate") or {}).get("maxSurge", "25%"))
    return count + (math.ceil(count * int(surge[:-1]) / 100) if surge.endswith("%") else int(surge))


def running(pod):
    """The containers that run together: the main ones and native sidecars."""
    return pod.main + [c for c in pod.init if c.get("restartPolicy") == "Always"]


def _mesh(tree):
    """The mesh's own pods and the proxy that it puts beside others: ({name: component}, resources)."""
    install = next(iter(tree.all("IstioOperator")), None)
    if install is None or not tree.get("Namespace", None, "istio-system"):
        return {}, {}
    parts = install.spec["components"]
    own = {"istiod": parts["pilot"]["k8s"], **{g["name"]: g["k8s"] for g in parts["ingressGateways"]}}
    return own, install.spec["values"]["global"]["proxy"]["resources"]


def demands(tree, count):
    """{namespace: Demand} with count(tree, pod) pods of each workload."""
    found = {}
    own, proxy = _mesh(tree)
    injected = {o.name for o in tree.all("Namespace") if (o.meta.get("labels") or {}).get("istio-injection") == "enabled"}
    for pod in tree.pods():
        if count is least and pod.owner.file in NOT_APPLIED:    # the load test, at rest
            continue
        demand = found.setdefault(pod.ns, Demand())
        demand.pod(running(pod), count(tree, pod), pod.owner.spec.get("volumeClaimTemplates") or [])
        refused = (pod.labels.get("sidecar.istio.io/inject") or "").lower() == "false"
        if pod.ns in injected and not refused:
            demand.add(proxy, count(tree, pod))
    for obj in tree.all("Prometheus", "Alertmanager"):
        claim = ((obj.spec.get("storage") or {}).get("volumeClaimTemplate"),)
        found.setdefault(obj.ns, Demand()).pod([obj.spec, {"resources": RELOADER}], obj.spec["replicas"], filter(None, claim))
    for obj in tree.all("PersistentVolumeClaim"):
        found.setdefault(obj.ns, Demand()).claim(obj.spec, 1)
    for part in own.values():
        low, high = part["hpaSpec"]["minReplicas"], part["hpaSpec"]["maxReplicas"]
        # Both charts surge by 100 %.
        found.setdefault("istio-system", Demand()).pod([part], low if count is least else 2 * high)
    return found


def quotas(tree):
    """Check 10: what the workloads of a namespace may ask for at once fits its quota and its LimitRange."""
    out = []
    have = demands(tree, most)
    for obj in tree.all("ResourceQuota"):
        for key, hard in obj.spec["hard"].items():
            need = have[obj.ns].of.get(key, 0) if obj.ns in have else 0
            if need > number(hard):
                out.append(Finding(obj, key, f"{hard}, but workloads may ask for {need:.6g}"))
        kinds = [o for o in tree.all("Service") if o.ns == obj.ns]
        for key, wanted in (("services.loadbalancers", "LoadBalancer"), ("services.nodeports", "NodePort")):
            count = sum(o.spec.get("type") == wanted for o in kinds)
            if count > number(obj.spec["hard"].get(key, 0)):
                out.append(Finding(obj, key, f"{count} Services of type {wanted}"))
    for space in {p.ns for p in tree.pods()} - {"kube-system"}:
        if not [o for o in tree.all("ResourceQuota") if o.ns == space]:
            out.append(Finding(tree.get("Namespace", None, space) or space, "", "no ResourceQuota"))
    for obj in tree.all("LimitRange"):
        for limit in obj.spec["limits"]:
            top = number((limit.get("max") or {}).get("memory", "1Ti"))
            out += [Finding(p, c["name"], f"limit over the LimitRange's {limit['max']['memory']}") for p in tree.pods()
                    if p.ns == obj.ns for c in p.containers
                    if number(((c.get("resources") or {}).get("limits") or {}).get("memory", 0)) > top]
    return out


def _reserved(tree):
    """What a worker keeps for itself: processors, memory."""
    args = tree.need("KubeadmConfigTemplate", "finai", "finai-workers").spec["template"]["spec"][
        "joinConfiguration"]["nodeRegistration"]["kubeletExtraArgs"]
    cpu = memory = 0
    for arg in args:
        if arg["name"] in ("system-reserved", "kube-reserved"):
            parts = dict(p.split("=") for p in arg["value"].split(","))
            cpu, memory = cpu + number(parts["cpu"]), memory + number(parts["memory"])
        if arg["name"] == "eviction-hard":
            memory += number(re.search(r"memory\.available<(\w+)", arg["value"]).group(1))
    return cpu, memory


def _groups(tree, out):
    """(least, wished, most) workers, over all zones."""
    groups = tree.all("MachineDeployment")
    prefix = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-"
    sums = [sum(int(o.meta["annotations"][prefix + f"{end}-size"]) for o in groups) for end in ("min", "max")]
    wished = sum(o.spec["replicas"] for o in groups)
    zones = [o.spec["template"]["spec"].get("failureDomain") for o in groups]
    if sums != [3, 20] or wished != 6 or len(set(zones)) != 3 or len(zones) != 3:
        out.append(Finding(groups[0], "", f"{wished} workers of {sums[0]} to {sums[1]} in {zones}: the plan is 6 of 3 to 20 in 3"))
    if {o.spec["replicas"] for o in tree.all("KubeadmControlPlane")} != {3}:
        out.append(Finding(tree.all("KubeadmControlPlane")[0], "spec.replicas", "the plan has 3 masters"))
    return sums[0], wished, sums[1]


def nodes(tree):
    """Check 10: all quotas fit the largest cluster, all minima the first six workers; the plan's 3, 6, 3 to 20."""
    out = []
    _, wished, top = _groups(tree, out)
    machine = tree.need("AWSMachineTemplate", "finai", "finai-workers").spec["template"]["spec"]["instanceType"]
    if machine not in MACHINES:
        return out + [Finding(tree.all("AWSMachineTemplate")[0], "instanceType", f"{machine} is unknown here")]
    for obj in tree.all("MachineDeployment"):
        said = [number(obj.meta["annotations"][f"capacity.cluster-autoscaler.kubernetes.io/{k}"]) for k in ("cpu", "memory")]
        if tuple(said) != MACHINES[machine]:
            out.append(Finding(obj, "annotations", f"the capacity isn't that of {machine}"))
    room = [a - b for a, b in zip(MACHINES[machine], _reserved(tree))]
    have = demands(tree, least)
    for index, key in enumerate(("requests.cpu", "requests.memory")):
        hard = sum(number(o.spec["hard"][key]) for o in tree.all("ResourceQuota"))
        low = sum(d.of[key] for d in have.values())
        where = tree.all("MachineDeployment")[0]
        if hard > top * room[index]:
            out.append(Finding(where, key, f"all quotas ask for {hard:.6g}, {top} workers have {top * room[index]:.6g}"))
        if low > wished * room[index]:
            out.append(Finding(where, key, f"the minima ask for {low:.6g}, {wished} workers have {wished * room[index]:.6g}"))
        if tree.name == "development" and low > SMALL[index]:
            out.append(Finding(where, key, f"the pods ask for {low:.6g}, a small node has {SMALL[index]:.6g}"))
        for pod in tree.pods():
            asked = sum(number(c["resources"]["requests"][key[9:]]) for c in running(pod))
            if asked > room[index]:
                out.append(Finding(pod, key, f"{asked:.6g} is more than a worker has"))
    for pod in tree.pods():
        if pod.owner.name == "cluster-autoscaler":
            said = [re.sub(r"\D", "", a) for a in pod.main[0].get("args") or pod.main[0].get("command")
                    if a.startswith("--max-nodes-total=")]
            if said != [str(top + 3)]:
                out.append(Finding(pod, "--max-nodes-total", f"{said}, but 3 masters and {top} workers are planned"))
    return out


def settings(text):
    """An ini of pgweir as {section: {key: value}}."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("%include", ";"))]
    ini = configparser.ConfigParser(delimiters=("=",), comment_prefixes=(";",), interpolation=None, strict=False)
    ini.read_string("\n".join(lines))
    return ini


def per_host(text):
    """Server connections that one pgweir may have open to one host: (by pools, of its own)."""
    ini = settings(text)
    usual = ini["pgweir"].get("default_pool_size", "20")
    pools = 0
    for value in ini["databases"].values():
        options = dict(o.split("=", 1) for o in value.split() if "=" in o)
        pools += int(options.get("pool_size", usual))
    # The probe, and a reader of each database's catalog on the primary.
    return pools, 1 + len(ini["databases"])


def poolers(tree):
    """(what, pods at most, ini) of everything that runs pgweir."""
    found = []
    for pod in tree.pods():
        for container in pod.containers:
            if container.get("image", "").startswith("pgweir/pgweir:") and not pod.is_job:
                name = "pgweir-config" if pod.ns == "pgweir" else "pgweir-sidecar"
                text = config_text(tree, pod.ns, name, "pgweir.ini")
                if text is not None:
                    found.append((pod, most(tree, pod), text))
    return found


def sidecar():
    """The overlay's sidecars, which other trees don't have: their connections need the room all the same."""
    text = (TOP / "overlays/sidecar/pgweir-sidecar.yaml").read_text()
    return next(o for o in parse(text, "overlays/sidecar") if o.kind == "ConfigMap").body["data"]["pgweir.ini"]


def _used(tree):
    """(connections at most, those of pgweir's own role) of one PostgreSQL host."""
    total = own = 0
    found = poolers(tree)
    if not [pod for pod, _, _ in found if pod.ns == "apps"]:
        backend = next((p for p in tree.pods() if (p.ns, p.owner.name) == ("apps", "backend")), None)
        found += [(backend, most(tree, backend), sidecar())] if backend else []
    for _, count, text in found:
        pools, mine = per_host(text)
        total, own = total + count * (pools + mine), own + count * mine
    return total, own


def connections(tree):
    """Check 10: the server connections of all pgweir fit max_connections; 10,000 clients have files."""
    obj = tree.need("ConfigMap", "data", "postgres-config")
    parameters = json.loads(obj.body["data"]["dynamic.json"])["postgresql"]["parameters"]
    out = []
    total, own = _used(tree)
    exporters = sum(most(tree, p) for p in tree.pods() if p.owner.name == "postgres-exporter")
    members = tree.need("StatefulSet", "data", "postgres").spec["replicas"]
    # Patroni keeps two sessions, the role label's probe and the preStop hook one each.
    rest = exporters + parameters["max_wal_senders"] + 4 + parameters.get("superuser_reserved_connections", 3)
    if total + rest > parameters["max_connections"]:
        out.append(Finding(obj, "max_connections", f"{parameters['max_connections']}, but {total} of pgweir and {rest} others"))
    if parameters["max_wal_senders"] < 2 * (members - 1):
        out.append(Finding(obj, "max_wal_senders", "fewer than a stream and a base backup of each replica"))
    boot = tree.need("ConfigMap", "data", "patroni-config").body["data"]
    role = re.search(r"role pgweir .*connection limit (\d+)", boot["post-bootstrap.sh"])
    if role and int(role.group(1)) < own:
        out.append(Finding(obj, "connection limit", f"role pgweir may have {role.group(1)}, its sessions may be {own}"))
    first = yaml.safe_load(boot["patroni.yml"])["bootstrap"]["dcs"]["postgresql"]["parameters"]
    out += [Finding(obj, key, f"{parameters[key]}, bootstrap.dcs says {first[key]}") for key in first
            if key in parameters and parameters[key] != first[key]]
    for pod, _, text in poolers(tree):
        clients = int(settings(text)["pgweir"].get("max_client_conn", 100))
        if clients + 2 * sum(per_host(text)) * members + 256 > FILES:
            out.append(Finding(pod, "max_client_conn", f"{clients} clients need more than {FILES} files"))
    return out


def memory(tree):
    """Check 10: PostgreSQL's and MongoDB's own sizes fit the limits of their pods."""
    out = []
    obj = tree.need("ConfigMap", "data", "postgres-config")
    parameters = json.loads(obj.body["data"]["dynamic.json"])["postgresql"]["parameters"]
    buffers = number(parameters["shared_buffers"])
    limit = number(next(c for p in tree.pods() if (p.ns, p.owner.name) == ("data", "postgres")
                        for c in p.main if c["name"] == "postgres")["resources"]["limits"]["memory"])
    if not 0.25 * limit <= buffers <= 0.4 * limit:
        out.append(Finding(obj, "shared_buffers", f"{parameters['shared_buffers']} isn't 25 to 40 % of the limit"))
    if buffers + number(parameters["work_mem"]) * parameters["max_connections"] >= limit:
        out.append(Finding(obj, "work_mem", f"{parameters['work_mem']} x max_connections + shared_buffers is over the limit"))
    if buffers + parameters["autovacuum_max_workers"] * number(parameters["maintenance_work_mem"]) >= limit:
        out.append(Finding(obj, "maintenance_work_mem", "with all workers of autovacuum over the limit"))
    if not buffers < number(parameters["effective_cache_size"]) <= limit:
        out.append(Finding(obj, "effective_cache_size", "isn't between shared_buffers and the limit"))
    for pod in tree.pods():
        for container in pod.main:
            args = [str(a) for a in (container.get("args") or []) + (container.get("command") or [])]
            if "--wiredTigerCacheSizeGB" in args:
                cache = float(args[args.index("--wiredTigerCacheSizeGB") + 1])
                if cache * 2 ** 30 > 0.6 * number(container["resources"]["limits"]["memory"]):
                    out.append(Finding(pod, "--wiredTigerCacheSizeGB", f"{cache} is over 60 % of the limit"))
    for pod, _, text in poolers(tree):
        ini = settings(text)["pgweir"]
        size = ini.get("cache_size") or settings("[c]\n" + (config_text(tree, "pgweir", "pgweir-cache", "cache.ini")
                                                            or ""))["c"].get("cache_size", "64MB")
        limits = [c["resources"]["limits"]["memory"] for c in running(pod) if c["image"].startswith("pgweir/pgweir:")]
        if number(size) > 0.5 * number(limits[0]):
            out.append(Finding(pod, "cache_size", f"{size} is over half of the limit {limits[0]}"))
    return out
