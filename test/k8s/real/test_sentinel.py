# SPDX-License-Identifier: PostgreSQL
"""The Redis set under Sentinel from its manifests: who is master, and who says so.

Three servers and three sentinels run k8s/redis as it ships. A master that is
lost is replaced and comes back as a replica with another address; one that is
stopped in order is replaced before it ends; after a restart of everything the
servers follow whom the sentinels remember, not redis-0.
"""
from cache_tools import Pair
from lib import check, equal, limit, needs, quick, until
from redis_tools import all_ready, cli, credentials, field, masters, role

DOMAIN = ".redis-nodes.cache.svc.cluster.local"
STATE = {}


def tier(cluster):
    """The servers and the sentinels, started on first use."""
    if "servers" not in STATE:
        credentials(cluster)
        start(cluster)
    return STATE["servers"], STATE["sentinels"]


def start(cluster):
    STATE["servers"] = cluster.start_all("cache", "redis", 3)
    STATE["sentinels"] = cluster.start_all("cache", "redis-sentinel", 3)
    all_ready("ready servers", STATE["servers"])
    all_ready("ready sentinels", STATE["sentinels"])


def told(sentinel):
    """The master's name, as a sentinel tells it to clients."""
    lines = cli(sentinel, "sentinel", "get-master-addr-by-name", "finai", port=26379).splitlines()
    return lines[0].removesuffix(DOMAIN) if lines else ""


def agree(servers, sentinels):
    """The one master that all sentinels name and all replicas follow, or None."""
    names = {told(s) for s in sentinels if s.phase == "running"}
    found = [p for p in masters(servers) if {p.name} == names]
    if len(found) != 1 or len(masters(servers)) != 1:
        return None
    others = [p for p in servers if p is not found[0] and p.phase == "running"]
    infos = [cli(p, "info", "replication") for p in others]
    follow = all(field(i, "master_host") == found[0].name + DOMAIN and
                 field(i, "master_link_status") == "up" for i in infos)
    return found[0] if follow else None


def wait_agreed(servers, sentinels, what, seconds=90):
    return until(what, seconds, lambda: agree(servers, sentinels), 0.5)


def wait_known(sentinels, seconds=90):
    """Every sentinel sees the two others and two replicas that are up: a failover can be done."""
    def knows(one):
        text = cli(one, "sentinel", "master", "finai", port=26379).splitlines()
        values = dict(zip(text[::2], text[1::2]))
        return values.get("num-slaves") == "2" and values.get("num-other-sentinels") == "2" and \
            values.get("flags") == "master" and \
            "s_down" not in cli(one, "sentinel", "replicas", "finai", port=26379)
    until("sentinels that know everybody", seconds, lambda: all(knows(s) for s in sentinels), 0.5)


@quick
@limit(150)
@needs("redis-server", "redis-cli")
def test_the_first_start_makes_redis_0_master(cluster):
    servers, sentinels = tier(cluster)
    equal(wait_agreed(servers, sentinels, "agreement").name, "redis-0")
    wait_known(sentinels)
    equal(cli(servers[0], "set", "kept", "1"), "OK")


@limit(150)
def test_a_lost_master_is_replaced_and_comes_back_as_a_replica(cluster):
    servers, sentinels = tier(cluster)
    old = wait_agreed(servers, sentinels, "agreement")
    address = old.ip
    old.crash()
    new = wait_agreed(servers, sentinels, "another master")
    check(new is not old, "the same master")
    equal(cli(new, "get", "kept"), "1")
    old.start()
    check(old.ip != address, "the pod got its old address")
    all_ready("ready again", [old])
    equal(role(old), "slave")
    equal(wait_agreed(servers, sentinels, "agreement").name, new.name)
    wait_known(sentinels)


@limit(150)
def test_a_master_that_stops_is_replaced_before(cluster):
    servers, sentinels = tier(cluster)
    old = wait_agreed(servers, sentinels, "agreement")
    before = [len(s.log()) for s in sentinels]
    equal(old.stop(), {"redis": 0})
    worked, said = old.hooks["redis"]
    check(worked and "still master" not in said, f"preStop: {said}")
    new = wait_agreed(servers, sentinels, "another master")
    for sentinel, length in zip(sentinels, before):
        news = sentinel.log()[length:].partition("+switch-master")
        check(news[1] and "+odown" not in news[0], "not switched, or only after a failure: " + news[0])
    check(new is not old, "the same master")
    old.start()
    all_ready("ready again", [old])
    wait_agreed(servers, sentinels, "agreement")
    wait_known(sentinels)


@limit(240)
def test_a_whole_restart_keeps_the_master(cluster):
    """Addresses are all new, the master isn't redis-0, and no sentinel is there to ask at first."""
    servers, sentinels = tier(cluster)
    master = wait_agreed(servers, sentinels, "agreement")
    if master.name == "redis-0":
        cli(sentinels[0], "sentinel", "failover", "finai", port=26379)
        until("another master", 60, lambda: role(master) == "slave", 0.5)
        master = wait_agreed(servers, sentinels, "agreement")
    equal(cli(master, "set", "kept", "2"), "OK")
    for pod in servers + sentinels:
        pod.crash()
    STATE["servers"] = servers = cluster.start_all("cache", "redis", 3)
    until("answers", 60, lambda: all(role(p) for p in servers), 0.5)
    equal([p.name for p in masters(servers)], [master.name])
    STATE["sentinels"] = sentinels = cluster.start_all("cache", "redis-sentinel", 3)
    equal(wait_agreed(servers, sentinels, "agreement", 120).name, master.name)
    all_ready("all ready", servers + sentinels)
    equal(cli([p for p in servers if p.name == master.name][0], "get", "kept"), "2")
    wait_known(sentinels)


@limit(60)
def test_sentinels_want_a_password_and_keep_their_state(cluster):
    _, sentinels = tier(cluster)
    said = sentinels[0].exec(None, ["env", "-u", "REDISCLI_AUTH", "redis-cli", "-p", "26379",
                                    "sentinel", "masters"]).stdout
    check("NOAUTH" in said, said)
    kept = sentinels[0].exec(None, ["cat", "/data/sentinel.conf"]).stdout
    equal(kept.count("sentinel known-replica finai "), 2, kept)
    equal(kept.count("sentinel known-sentinel finai "), 2, kept)
    check("10.42." not in kept, "addresses instead of names:\n" + kept)


@limit(240)
@needs("/usr/lib/postgresql/15/bin/initdb")
def test_two_pgweir_share_results_and_follow_the_master(cluster, binary, sub):
    """With the rights of the Secret's user pgweir; a switch in order, then a lost master, both under load."""
    servers, sentinels = tier(cluster)
    wait_agreed(servers, sentinels, "agreement")
    secret = credentials(cluster)
    names = ",".join(f"{s.name}.redis-sentinel-nodes.cache.svc.cluster.local" for s in sentinels)
    options = {"cache_redis": f"redis+sentinel://pgweir:{secret['pgweir-password']}@{names}/finai",
               "cache_redis_sentinel_password": secret["sentinel-password"], "cache_redis_timeout": 0.5}
    pair = Pair(cluster, binary, options)
    try:
        with sub("sentinel::hits of what the other pgweir stored"):
            pair.share()
            equal(pair.sum("pgweir_cache_redis_errors_total"), 0.0, "commands that Redis refused")
        with sub("sentinel::a switch in order is followed under load"):
            old = wait_agreed(servers, sentinels, "agreement")
            wait_known(sentinels)
            with pair.load():
                cli(sentinels[0], "sentinel", "failover", "finai", port=26379)
                until("another master", 60, lambda: agree(servers, sentinels) not in (None, old), 0.5)
                pair.wait_connected()
            pair.share()
        with sub("sentinel::a lost master is followed under load"):
            wait_known(sentinels)
            old = wait_agreed(servers, sentinels, "agreement")
            with pair.load():
                old.crash()
                new = wait_agreed(servers, sentinels, "another master")
                pair.wait_connected()
            check(new is not old, "the same master")
            pair.share()
            old.start()
            all_ready("ready again", [old])
    finally:
        pair.stop()
