# SPDX-License-Identifier: PostgreSQL
"""The Redis set under Sentinel from its manifests: who is master, and who says so.

Three servers and three sentinels run k8s/redis as it ships. A master that is
lost is replaced and comes back as a replica with another address; one that is
stopped in order is replaced before it ends; after a restart of everything the
servers follow whom the sentinels remember, not redis-0.
"""
from lib import check, equal, limit, needs, quick, until
from plain_pg import Plain, metric
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


@limit(150)
@needs("/usr/lib/postgresql/15/bin/initdb")
def test_two_pgweir_share_results_in_the_master(cluster, binary):
    """With the rights of the Secret's user pgweir: hits of the one by what the other stored, and its writes seen."""
    servers, sentinels = tier(cluster)
    master = wait_agreed(servers, sentinels, "agreement")
    secret = credentials(cluster)
    plain = Plain(cluster)
    options = {"cache_redis": f"redis://pgweir:{secret['pgweir-password']}@{master.name}{DOMAIN}:6379",
               "cache_redis_timeout": 1}
    try:
        for port in (6432, 6442):
            plain.weir(binary, port, options)
        share(plain)
        for port in (6432, 6442):
            equal(metric(port, "pgweir_cache_redis_errors_total"), 0.0, "commands that Redis refused")
        refused = [line for line in (plain.log(6432) + plain.log(6442)).splitlines() if "redis" in line]
        equal(refused, [], "complaints about Redis")
    finally:
        plain.stop()


def share(plain):
    """The hot query through both: hit rate, whose hits, and a write through the other."""
    sql = "SELECT price FROM quotes WHERE symbol = 'A'"
    one, other = plain.connect(6432), plain.connect(6442)
    one.execute("CREATE TABLE quotes(symbol text PRIMARY KEY, price int)")
    one.execute("INSERT INTO quotes VALUES ('A', 1), ('B', 2)")

    def is_hit(conn, port):
        before = metric(port, "pgweir_cache_hits_local_total") + metric(port, "pgweir_cache_hits_redis_total")
        conn.execute(sql).fetchone()
        return metric(port, "pgweir_cache_hits_local_total") + \
            metric(port, "pgweir_cache_hits_redis_total") > before

    until("a hit", 30, lambda: is_hit(one, 6432), 0.2)
    until("a hit by what the other stored", 30,
          lambda: is_hit(other, 6442) and metric(6442, "pgweir_cache_hits_redis_total") > 0, 0.2)
    before = {port: hits_and_misses(port) for port in (6432, 6442)}
    for _ in range(300):
        equal(one.execute(sql).fetchone()[0], 1)
        equal(other.execute(sql).fetchone()[0], 1)
    for port, (hits, misses) in before.items():
        now_hits, now_misses = hits_and_misses(port)
        rate = (now_hits - hits) / (now_hits - hits + now_misses - misses)
        check(rate > 0.9, f"hit rate {rate:.2f} on {port}")
    other.execute("UPDATE quotes SET price = 7 WHERE symbol = 'A'")
    equal(other.execute(sql).fetchone()[0], 7, "own write")
    until("the other's write", 10, lambda: one.execute(sql).fetchone()[0] == 7)


def hits_and_misses(port):
    return (metric(port, "pgweir_cache_hits_local_total") + metric(port, "pgweir_cache_hits_redis_total"),
            metric(port, "pgweir_cache_misses_total"))
