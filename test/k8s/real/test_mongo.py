# SPDX-License-Identifier: PostgreSQL
"""MongoDB's sharding script under recording stand-ins: no server runs here.

The very JavaScript of ConfigMap mongo-sharding-config runs under node with
mongo_stub.js in place of mongosh and the servers: what it does and in which
order, that a second run changes nothing, that its hosts are the StatefulSets'
pods, and what it makes of half-done and wrong states. What real servers would
say to it stays unproven.
"""
import json
import os
import subprocess

from lib import check, equal, needs, quick

STUB = os.path.join(os.path.dirname(os.path.realpath(__file__)), "mongo_stub.js")
ENV = {"KEYFILE": "c2VjcmV0\n+/=\n", "ROOT_USERNAME": "root", "ROOT_PASSWORD": "p@ss/word",
       "EXPORTER_PASSWORD": "watch", "LIMIT_SECONDS": "60"}


def sets(cluster):
    """{replica set: [host:port]} from the StatefulSets: names of pods, ports, and --replSet."""
    found = {}
    for one in cluster.objects("StatefulSet", "mongodb"):
        spec = one["spec"]
        container = spec["template"]["spec"]["containers"][0]
        args = container["command"] + container.get("args", [])
        name, port = args[args.index("--replSet") + 1], args[args.index("--port") + 1]
        equal(port, str(container["ports"][0]["containerPort"]), one["metadata"]["name"])
        found[name] = [f"{one['metadata']['name']}-{n}.{spec['serviceName']}.mongodb.svc.cluster.local:{port}"
                       for n in range(spec["replicas"])]
    return found


def hosts(cluster):
    return [host for members in sets(cluster).values() for host in members]


def run(cluster, runs=1, **more):
    script = cluster.get("ConfigMap", "mongodb", "mongo-sharding-config")["data"]["sharding.js"]
    given = {"script": script, "env": ENV, "hosts": hosts(cluster), "runs": runs, **more}
    done = subprocess.run(["node", STUB], input=json.dumps(given), capture_output=True, text=True,
                          check=False)
    equal(done.returncode, 0, done.stderr)
    return json.loads(done.stdout)


def config_of(cluster, name):
    return {"_id": name, "members": [{"_id": i, "host": h} for i, h in enumerate(sets(cluster)[name])]}


def formed(cluster):
    """The state after a first run."""
    out = run(cluster)
    equal(out["runs"][0]["error"], None)
    return out["state"]


@quick
@needs("node")
def test_everything_in_order(cluster):
    out = run(cluster)["runs"][0]
    equal(out["error"], None, str(out["lines"]))
    calls = out["calls"]
    names = ["configs", "shard-a", "shard-b", "shard-c"]
    equal([c[0] for c in calls], ["rs.initiate"] * 4 + ["createUser"] * 2 + ["sh.addShard"] * 3 +
          ["sh.enableSharding"] + ["sh.shardCollection"] * 2 + ["updateOne"])
    for call, name in zip(calls, names):
        want = config_of(cluster, name)
        if name == "configs":
            want["configsvr"] = True
        equal(call[2], want)
        equal(call[1], want["members"][0]["host"])
    equal(calls[4], ["createUser", "root", ["root"], "localhost exception"])
    equal(calls[5][1:2] + calls[5][3:], ["exporter", "root"])
    equal([c[1] for c in calls[6:9]], [f"{n}/" + ",".join(sets(cluster)[n]) for n in names[1:]])
    equal(calls[9][1], "finai")
    equal(calls[12][2], {"_id": "balancer"})
    equal(sorted(calls[12][3]["$set"]["activeWindow"]), ["start", "stop"])


@quick
@needs("node")
def test_a_second_run_changes_nothing(cluster):
    first, second, third = run(cluster, runs=3)["runs"]
    check(len(first["calls"]) == 13, str(first["calls"]))
    for again in (second, third):
        equal(again["error"], None)
        equal(again["calls"], [])


@quick
@needs("node")
def test_the_sets_are_the_mongos_and_the_manifests_ones(cluster):
    """--configdb of every mongos, the sets' names, and the wiredTiger cache within the limit."""
    want = "configs/" + ",".join(sets(cluster)["configs"])
    found = 0
    for one in cluster.objects("Deployment", "mongodb", "mongos") + \
            cluster.objects("Job", "mongodb", "mongo-sharding-config"):
        pod = one["spec"]["template"]["spec"]
        for container in pod.get("initContainers", []) + pod["containers"]:
            if container["command"][0] == "mongos":
                found += 1
                equal(container["command"][container["command"].index("--configdb") + 1], want)
    equal(found, 2)
    equal(sorted(sets(cluster)), ["configs", "shard-a", "shard-b", "shard-c"])
    for one in cluster.objects("StatefulSet", "mongodb"):
        container = one["spec"]["template"]["spec"]["containers"][0]
        cache = float(container["command"][container["command"].index("--wiredTigerCacheSizeGB") + 1])
        limit = container["resources"]["limits"]["memory"]
        check(limit.endswith("Gi") and cache <= float(limit[:-2]) / 2, f"{cache} of {limit}")


@quick
@needs("node")
def test_it_waits_for_what_comes_late(cluster):
    late = sets(cluster)["shard-b"][1]
    out = run(cluster, faults={"refuse": {late: 3, "127.0.0.1:27017": 2},
                               "unreachable": {"shard": "shard-c", "times": 2}})["runs"][0]
    equal(out["error"], None)
    equal(len(out["calls"]), 13)
    check(any("ECONNREFUSED" in x for x in out["lines"]), str(out["lines"]))
    check(any("HostUnreachable" in x for x in out["lines"]), str(out["lines"]))


@quick
@needs("node")
def test_it_gives_up_in_the_end(cluster):
    out = run(cluster, faults={"refuse": {sets(cluster)["shard-b"][1]: 10 ** 6}})["runs"][0]
    check("ECONNREFUSED" in (out["error"] or ""), str(out))
    out = run(cluster, faults={"noPrimary": True})["runs"][0]
    check("no primary yet" in (out["error"] or ""), str(out))
    equal([c[0] for c in out["calls"]], ["rs.initiate"] * 4)


@quick
@needs("node")
def test_it_goes_on_where_it_was_interrupted(cluster):
    state = formed(cluster)
    state["shards"].pop()
    state["collections"].pop("finai.audit")
    del state["users"]["exporter"]
    state["settings"] = {"balancer": {"_id": "balancer", "activeWindow": {"start": "09:00", "stop": "10:00"}}}
    out = run(cluster, state=state)["runs"][0]
    equal(out["error"], None)
    equal([c[:2] for c in out["calls"]], [
        ["createUser", "exporter"], ["sh.addShard", "shard-c/" + ",".join(sets(cluster)["shard-c"])],
        ["sh.shardCollection", "finai.audit"], ["updateOne", "settings"]])


@quick
@needs("node")
def test_a_member_without_its_volume_founds_no_second_set(cluster):
    for member in (2, 0):
        state = formed(cluster)
        state["hosts"][sets(cluster)["shard-a"][member]] = None
        out = run(cluster, state=state)["runs"][0]
        equal((out["error"], out["calls"]), (None, []), f"member {member}")


@quick
@needs("node")
def test_races_are_no_errors(cluster):
    out = run(cluster, faults={"racedInitiate": True})["runs"][0]
    equal(out["error"], None)
    check("rs.initiate" not in [c[0] for c in out["calls"]], str(out["calls"]))
    out = run(cluster, state=formed(cluster), faults={"hideCollections": True})["runs"][0]
    equal((out["error"], out["calls"]), (None, []))


@quick
@needs("node")
def test_wrong_states_are_told_and_left_alone(cluster):
    state = formed(cluster)
    state["users"] = {"root": "another"}
    cases = [(state, "has users, but not root")]
    state = formed(cluster)
    for host in sets(cluster)["shard-a"]:
        state["hosts"][host] = {**config_of(cluster, "shard-a"), "_id": "shard-x"}
    cases.append((state, "belongs to replica set shard-x"))
    state = formed(cluster)
    state["shards"][0]["host"] = "shard-a/elsewhere:1"
    cases.append((state, "shard-a is at elsewhere:1"))
    state = formed(cluster)
    state["collections"]["finai.events"]["key"] = {"other": 1}
    cases.append((state, "finai.events is sharded by"))
    for given, text in cases:
        out = run(cluster, state=given)["runs"][0]
        check(text in (out["error"] or ""), f"{text}: {out}")
        equal(out["calls"], [], text)
