# SPDX-License-Identifier: PostgreSQL
"""The Redis Cluster from its manifests: six pods, the create Job, failures, rights.

The pods run k8s/redis as it ships. Tests build on one another: formed by the
Job (and left alone by its second run), a killed master is replaced, pods come
back with other addresses (one of them, then all), a master that is stopped in
order hands over first, and users can do what they need and no more. At the end
two pgweir share results there, with the address that ships, through all of that.
"""
import re
import signal
import time

from cache_tools import Pair
from lib import check, equal, limit, needs, quick, until
from redis_tools import all_ready, cli, credentials, field, masters, role

SLOTS = 16384
STATE = {}


def pods_of(cluster):
    """The six, started on first use."""
    if "pods" not in STATE:
        credentials(cluster)
        count = cluster.get("StatefulSet", "cache", "redis-cluster")["spec"]["replicas"]
        STATE["pods"] = cluster.start_all("cache", "redis-cluster", count)
    return STATE["pods"]


def is_whole(pod, pods):
    """This node sees a whole cluster: all slots served, every node connected at the address that it has now."""
    info = cli(pod, "cluster", "info")
    lines = [line.split() for line in cli(pod, "cluster", "nodes").splitlines()]
    return field(info, "cluster_state") == "ok" and field(info, "cluster_slots_ok") == str(SLOTS) and \
        sorted(line[1].split(":")[0] for line in lines) == sorted(p.ip for p in pods) and \
        all(line[7] == "connected" and "fail" not in line[2] for line in lines)


def wait_whole(pods, what, seconds=90):
    until(what, seconds, lambda: all(is_whole(p, pods) for p in pods), 0.5)


def node_id(pod):
    return cli(pod, "cluster", "myid")


def replica_of(master, pods):
    """The pods that replicate this master."""
    mine = node_id(master)
    line = re.compile(rf"^\S+ \S+ \S*myself,slave {mine} ", re.M)
    return [p for p in pods if line.search(cli(p, "cluster", "nodes"))]


@quick
@limit(240)
@needs("redis-server", "redis-cli")
def test_the_job_forms_it_once(cluster):
    pods = pods_of(cluster)
    until("answers", 60, lambda: all(cli(p, "ping") == "PONG" for p in pods))
    check(not any(p.is_ready() for p in pods), "a node is ready before there is a cluster")
    done = cluster.run_job("cache", "redis-cluster-create")
    equal(done.returncode, 0, done.stdout)
    wait_whole(pods, "a whole cluster")
    all_ready("six ready pods", pods)
    equal(sorted(role(p) for p in pods), ["master"] * 3 + ["slave"] * 3)
    before = [(node_id(p), role(p)) for p in pods]
    again = cluster.run_job("cache", "redis-cluster-create")
    equal(again.returncode, 0, again.stdout)
    check("formed already: 6 nodes" in again.stdout, again.stdout)
    equal([(node_id(p), role(p)) for p in pods], before)
    for pod in pods:
        names = cli(pod, "cluster", "nodes")
        equal(names.count(".redis-cluster-nodes.cache.svc.cluster.local"), 6, names)


@limit(120)
def test_a_killed_master_is_replaced(cluster):
    """It hangs, a replica is promoted, and the container that is killed then comes back as a replica."""
    pods = pods_of(cluster)
    victim = masters(pods)[0]
    heir = replica_of(victim, pods)[0]
    victim.kill(signo=signal.SIGSTOP)
    until("the replica's promotion", 60, lambda: role(heir) == "master", 0.3)
    victim.kill(signo=signal.SIGKILL)
    until("a restarted container", 30,
          lambda: victim.container().restarts > 0 and role(victim) == "slave", 0.3)
    all_ready("ready again", pods)
    wait_whole(pods, "a whole cluster after the kill")


@limit(180)
def test_a_lost_node_comes_back_with_another_address(cluster):
    pods = pods_of(cluster)
    victim = masters(pods)[0]
    heir = replica_of(victim, pods)[0]
    identity, old = node_id(victim), victim.ip
    cli(heir, "-c", "set", "pgweir:kept", "1")
    victim.crash()
    until("promotion", 60, lambda: role(heir) == "master", 0.3)
    victim.start()
    check(victim.ip != old, "the pod got its old address")
    all_ready("it is ready again", [victim])
    wait_whole(pods, "a whole cluster with the new address")
    equal(node_id(victim), identity, "it is the same node")
    equal(role(victim), "slave")
    equal(cli(heir, "-c", "get", "pgweir:kept"), "1")
    for pod in pods:
        check(f" {old}:" not in cli(pod, "cluster", "nodes"), f"{pod.name} still knows {old}")


@limit(240)
def test_all_addresses_change_at_once(cluster):
    """A whole restart: no address of any nodes.conf is right."""
    pods = pods_of(cluster)
    identities = sorted(node_id(p) for p in pods)
    equal(cli(pods[0], "-c", "set", "pgweir:kept", "2"), "OK")
    time.sleep(1.5)    # the append-only file is synced every second
    for pod in pods:
        pod.crash()
    STATE["pods"] = pods = cluster.start_all("cache", "redis-cluster", len(pods))
    wait_whole(pods, "a whole cluster of new addresses", 120)
    all_ready("six ready pods", pods)
    equal(sorted(node_id(p) for p in pods), identities)
    equal(cli(pods[0], "-c", "get", "pgweir:kept"), "2", "from the append-only file")
    done = cluster.run_job("cache", "redis-cluster-create")
    check(done.returncode == 0 and "formed already" in done.stdout, done.stdout)


@limit(120)
def test_a_master_hands_over_before_it_stops(cluster):
    pods = pods_of(cluster)
    victim = masters(pods)[0]
    heir = replica_of(victim, pods)[0]
    others = [p for p in pods if p is not victim]
    ended = victim.stop()
    worked, said = victim.hooks["redis"]
    check(worked, f"preStop: {said}")
    equal(ended, {"redis": 0})
    # No election: the others saw no failure, the heir has been master since before the end.
    equal(role(heir), "master")
    check("Failover auth granted" not in "".join(p.log() for p in others if p is heir), "it was an election")
    check("Manual failover user request accepted" in heir.log(), heir.log()[-1500:])
    equal(field(cli(heir, "cluster", "info"), "cluster_slots_ok"), str(SLOTS))
    victim.start()
    all_ready("it is ready again", [victim])
    wait_whole(pods, "a whole cluster again")


@quick
@limit(60)
def test_users_can_what_they_need_and_no_more(cluster):
    pod = pods_of(cluster)[0]

    def refused(user, *words):
        said = cli(pod, *words, user=user)
        check(said.startswith("NOPERM") or "command not allowed" in said, f"{user} may {words}: {said}")

    def allowed(user, *words):
        said = cli(pod, "-c", *words, user=user)
        check(not re.match("NOPERM|ERR |WRONGPASS|NOAUTH", said), f"{user} can't {words}: {said}")

    equal(cli(pod, "ping", user="pgweir"), "PONG")
    said = pod.exec(None, ["env", "-u", "REDISCLI_AUTH", "redis-cli", "get", "x"]).stdout
    check("NOAUTH" in said, f"without a password: {said}")
    for words in (("flushall",), ("flushdb",), ("keys", "*"), ("debug", "sleep", "0"), ("shutdown",),
                  ("module", "list"), ("monitor",), ("config", "set", "maxmemory", "1"), ("acl", "list"),
                  ("migrate", "h", "1", "k", "0", "1")):
        refused("default", *words)
        refused("pgweir", *words)
        refused("exporter", *words)
    for words in (("set", "pgweir:e:a", "1", "PX", "100000"), ("get", "pgweir:e:a"), ("mget", "pgweir:e:a"),
                  ("getrange", "pgweir:e:a", "0", "9"), ("pttl", "pgweir:e:a"), ("info", "server"),
                  ("publish", "pgweir:i", "x"), ("cluster", "slots"), ("cluster", "shards")):
        allowed("pgweir", *words)
    for words in (("set", "other", "1"), ("publish", "other", "x"), ("cluster", "failover"),
                  ("eval", "return 1", "0")):
        refused("pgweir", *words)
    for words in (("info", "all"), ("config", "get", "maxmemory"), ("slowlog", "get"), ("latency", "latest"),
                  ("cluster", "info")):
        allowed("exporter", *words)
    for words in (("get", "pgweir:e:a"), ("set", "pgweir:e:a", "1"), ("publish", "pgweir:i", "x")):
        refused("exporter", *words)


@quick
@limit(60)
def test_memory_is_bounded_below_the_limit(cluster):
    pod = pods_of(cluster)[0]
    limit_text = pod.spec["containers"][0]["resources"]["limits"]["memory"]
    unit = {"Mi": 2 ** 20, "Gi": 2 ** 30}[limit_text[-2:]]
    most = int(cli(pod, "config", "get", "maxmemory").split()[-1])
    check(0 < most <= 0.75 * int(limit_text[:-2]) * unit, f"maxmemory {most}, limit {limit_text}")
    equal(cli(pod, "config", "get", "maxmemory-policy").split()[-1], "allkeys-lfu")


@limit(60)
def test_liveness_waits_for_loading(cluster):
    pod = pods_of(cluster)[0]
    worked, said = pod.probe("liveness")
    check(worked, said)
    pod.kill(signo=signal.SIGSTOP)
    try:
        worked, said = pod.probe("liveness")
        check(not worked, f"a stopped server lives: {said}")
    finally:
        pod.kill(signo=signal.SIGCONT)


def shipped_redis(cluster):
    """cache_redis as the ConfigMap pgweir-cache has it."""
    text = cluster.get("ConfigMap", "pgweir", "pgweir-cache")["data"]["cache.ini"]
    return re.search(r"^cache_redis = (.*)$", text, re.M).group(1)


@limit(420)
@needs("/usr/lib/postgresql/15/bin/initdb")
def test_two_pgweir_share_results_in_it(cluster, binary, sub):
    pods = pods_of(cluster)
    wait_whole(pods, "a whole cluster")
    options = {"cache_redis": shipped_redis(cluster), "cache_redis_timeout": 0.5,
               "cache_redis_password": credentials(cluster)["pgweir-password"]}
    pair = Pair(cluster, binary, options)
    try:
        with sub("redis::pgweir: hits of what the other stored"):
            pair.share()
            equal(pair.sum("pgweir_cache_redis_errors_total"), 0.0, "commands that Redis refused")
            equal(pair.sum("pgweir_cache_redis_masters"), 6.0)
            equal(pair.sum("pgweir_cache_redis_node_up"), 6.0)
        with sub("redis::pgweir: a master killed under load"):
            victim = masters(pods)[0]
            heir = replica_of(victim, pods)[0]
            with pair.load():
                victim.kill(signo=signal.SIGSTOP)
                until("the replica's promotion", 60, lambda: role(heir) == "master", 0.3)
                victim.kill(signo=signal.SIGKILL)
                pair.wait_connected()
            pair.share()
            wait_whole(pods, "a whole cluster after the kill")
        with sub("redis::pgweir: a master that stops in order, under load"):
            victim = masters(pods)[0]
            with pair.load():
                victim.stop()
                pair.wait_connected()
            pair.share()
            victim.start()
            all_ready("it is ready again", [victim])
            wait_whole(pods, "a whole cluster again")
        with sub("redis::pgweir: all addresses change at once"):
            with pair.load():
                for pod in pods:
                    pod.crash()
                STATE["pods"] = pods = cluster.start_all("cache", "redis-cluster", len(pods))
                wait_whole(pods, "a whole cluster of new addresses", 120)
                pair.wait_connected()
            pair.share()
    finally:
        pair.stop()
