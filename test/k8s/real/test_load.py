# SPDX-License-Identifier: PostgreSQL
"""The load test of k8s/testing, small: the k6 script played by node, the pgbench Job's own command in its pod.

No k6 can be had here, so k6/ holds its modules for node: real requests to the real backend, real SQL to pgweir, and
the script's thresholds judged on that. How fast it was is printed, not asserted. Changed in sight: addresses, and
pgbench's clients and seconds.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request

import manifests
from apptier import WEIR, AppTier
from lib import Skip, check, equal, limit, quick, until
from plain_pg import metric

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(manifests.TOP, "bench"))
import mix    # noqa: E402

PROMETHEUS = "127.0.0.1:9090"
# Enough that the first look at each of ten quotes, which no cache can answer, is a small part.
ITERATIONS = 120
# The plan's figures, which the thresholds must say (test/k8s/check compares them with rules and dashboards).
TARGETS = {("http_req_duration", "p(95)<100"), ("http_req_failed", "rate<0.001"), ("query_duration", "p(95)<50"),
           ("query_failed", "rate<0.001"), ("checks", "rate>0.999"), ("cache_hit_ratio", "value>0.9")}
TIMES = {"http_req_duration", "query_duration"}
# What a few iterations one after the other can't reach.
NOT_HERE = {"peak_requests"}


def statement_texts():
    """Every statement of the backend with its hints, from its table, as the compiler puts them together."""
    folder = os.path.join(manifests.K8S, "apps", "backend")
    with open(os.path.join(folder, "statement.c"), encoding="utf-8") as f:
        source = f.read()
    hints = dict(re.findall(r'#define HINT_(\w+) "(.*)"', source))
    hints.update((a, hints[b]) for a, b in re.findall(r"#define HINT_(\w+) HINT_(\w+)", source))
    with open(os.path.join(folder, "statement.def"), encoding="utf-8") as f:
        table = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    found = set()
    for kind, parts in re.findall(r'STATEMENT\(\w+, "\w+", (\w+),((?:\s*"[^"]*")+)\)', table):
        text = "".join(re.findall(r'"([^"]*)"', parts))
        found |= {plain(hints[f"{where}_{kind}"] + text) for where in ("ANYWHERE", "PRIMARY")}
    check(len(found) > 15, f"only {len(found)} statements in the table")
    return found


def plain(text):
    """A statement without what may differ: white space, parameters' names, the literal of a note."""
    text = re.sub(r"(?<!:):[a-z]\w*|\$\d+|'[^']*'", "?", text)
    return re.sub(r"\s+", " ", re.sub(r"\s*([()])\s*", r" \1 ", text)).strip()


def script_folder(cluster):
    """The ConfigMap's files, as the operator mounts them."""
    folder = os.path.join(cluster.scratch, "k6")
    if not os.path.isdir(folder):
        os.makedirs(folder)
        for name, text in cluster.get("ConfigMap", "testing", "load-test")["data"].items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        with open(os.path.join(folder, "package.json"), "w", encoding="utf-8") as f:
            f.write('{"type": "module"}')    # k6 takes every script for a module
    return folder


def node(*words, **options):
    if not shutil.which("node"):
        raise Skip("node isn't installed")
    return subprocess.run(["node", *words], capture_output=True, text=True, timeout=120, check=False,
                          stdin=subprocess.DEVNULL, **options)


@quick
def test_mix(cluster, sub):
    with sub("load::every_statement_is_one_of_the_backends"):
        known = statement_texts()
        count = 0
        for script in mix.load():
            for text in script.statements():
                check(plain(text) in known, f"{script.name}: not the backend's: {plain(text)}")
                count += 1
        check(count >= 10, str(count))
    with sub("load::weights_are_percentages"):
        equal(sum(one.weight for one in mix.load()), 100)
    with sub("load::runners_share_as_the_script_is_told"):
        spec = cluster.get("TestRun", "testing", "load")["spec"]
        env = {e["name"]: e["value"] for e in spec["runner"]["env"]}
        equal(int(env["RUNNERS"]), spec["parallelism"])
    with sub("load::script_is_a_module_that_node_accepts"):
        done = node("--check", os.path.join(script_folder(cluster), "load.js"))
        equal(done.returncode, 0, done.stderr)
    with sub("load::thresholds_can_be_missed"):
        wrong = [("p(95)<100", [50] * 90 + [200] * 10), ("rate<0.001", [0] * 99 + [1]), ("rate>0.999", [1] * 99 + [0]),
                 ("value>0.9", [1, 0.8]), ("count>=10", [1] * 9)]
        right = [("p(95)<100", [50] * 99 + [200]), ("rate<0.001", [0] * 99), ("rate>0.999", [1] * 99),
                 ("value>0.9", [0.1, 0.95]), ("count>=10", [1] * 10)]
        text = (f"import {{ judge }} from {json.dumps(HERE + '/k6/run.mjs')};"
                f"console.log(JSON.stringify({json.dumps(wrong + right)}.map(([e, s]) => judge(e, s).isMet)))")
        done = node("--input-type=module", "-e", text)
        equal(json.loads(done.stdout or "null"), [False] * len(wrong) + [True] * len(right), done.stderr)


class Prometheus:
    """Debian's, looking at pgweir every second."""

    def __init__(self, folder):
        if not shutil.which("prometheus"):
            raise Skip("prometheus isn't installed")
        os.makedirs(folder)
        path = os.path.join(folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: pgweir\n  static_configs:\n"
                    f"  - targets: ['127.0.0.1:{WEIR + 1}']\n")
        with open(os.path.join(folder, "log"), "wb") as log:
            self.proc = subprocess.Popen(["prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder}/data",
                                          f"--web.listen-address={PROMETHEUS}"], stdout=log, stderr=log)
        until("two looks at pgweir", 30, lambda: self.ask("count_over_time(pgweir_cache_misses_total[10s])") >= 2, 0.2)

    @staticmethod
    def ask(query):
        """The first value of a query; 0 while there is none."""
        address = f"http://{PROMETHEUS}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            return 0
        return float(result[0]["value"][1]) if result else 0

    def stop(self):
        self.proc.terminate()
        self.proc.wait(20)


@limit(300)
def test_load(cluster, binary, sub):
    tier = AppTier(cluster, binary)
    prometheus = None
    try:
        prometheus = Prometheus(os.path.join(cluster.scratch, "prometheus"))
        check_k6(cluster, tier, sub)
        check_pgbench(cluster, tier, sub)
    finally:
        if prometheus:
            prometheus.stop()
        tier.stop()


def total(tier):
    """All money there is."""
    return tier.one("select sum(balance) from finai.accounts")[0]


def check_k6(cluster, tier, sub):
    spec = cluster.get("TestRun", "testing", "load")["spec"]
    env = {e["name"]: e["value"] for e in spec["runner"]["env"]}
    before, money = tier.one("select count(*) from finai.transfers")[0], total(tier)
    done = node(os.path.join(HERE, "k6", "run.mjs"), "load.js", str(ITERATIONS), cwd=script_folder(cluster),
                env={**os.environ, **env, "DATABASE_URL": tier.url, "PROMETHEUS_URL": f"http://{PROMETHEUS}"})
    equal(done.returncode, 0, done.stderr[-3000:])
    report = json.loads(done.stdout)
    with sub("load::k6::every_iteration_of_every_scenario"):
        equal(report["problems"], [])
        equal(report["iterations"], 2 * ITERATIONS)
        equal(done.stderr, "", "what the script complains of")
        check(tier.one("select count(*) from finai.transfers")[0] > before, "no transfer")
        equal(total(tier), money, "money")
    with sub("load::k6::the_plans_users_and_figures"):
        equal(report["peak"], 10000)
        found = {(t["metric"], t["expression"]) for t in report["thresholds"]}
        check(TARGETS <= found, f"missing: {TARGETS - found}")
        # 10,000 a second for ten minutes, shared by the runners.
        check(("peak_requests", f"count>={6000000 // spec['parallelism']}") in found, str(found))
    with sub("load::k6::thresholds_judged_on_what_was_measured"):
        for one in report["thresholds"]:
            print(f"# {one['metric']} {one['expression']}: {one['value']:.4g} of {one['count']}"
                  f"{'' if one['isMet'] else ' (missed)'}")
            if one["metric"] not in TIMES | NOT_HERE:
                check(one["isMet"], f"{one['metric']} {one['expression']}: {one['value']}")
            if one["metric"] in NOT_HERE:
                check(not one["isMet"] and one["value"] > 0, "a few requests can't be the plan's number")


def check_pgbench(cluster, tier, sub):
    before, money = tier.one("select count(*) from finai.transfers")[0], total(tier)
    hits = metric(WEIR, "pgweir_cache_hits_local_total")

    def patch(template):
        one = template["spec"]["containers"][0]
        small = {"--client": "8", "--time": "3", "--progress": "1"}
        one["args"] = [f"{a.partition('=')[0]}={small.get(a.partition('=')[0], a.partition('=')[2])}" if "=" in a else a
                       for a in one["args"]]
        one["env"] = [{"name": "DATABASE_URL", "value": tier.url}]
    done = cluster.run_job("testing", "pgbench", patch)
    with sub("load::pgbench::the_jobs_own_command"):
        equal(done.returncode, 0, done.stdout[-3000:])
        check("number of failed transactions: 0 " in done.stdout, done.stdout[-3000:])
    with sub("load::pgbench::every_script_in_its_share"):
        shares = re.findall(r"SQL script \d+: (\w+)\.sql\n - weight: (\d+).*\n - (\d+) transactions", done.stdout)
        equal({(name, int(weight)) for name, weight, _ in shares}, {(m.name, m.weight) for m in mix.load()})
        for name, _, count in shares:
            check(int(count) > 0, f"{name} never ran: {done.stdout[-2000:]}")
        made = next(int(count) for name, _, count in shares if name == "transfer")
        equal(tier.one("select count(*) from finai.transfers")[0] - before, made, "transfers")
        equal(total(tier), money, "money")
    with sub("load::pgbench::quotes_come_from_the_cache"):
        until("the counter", 5, lambda: metric(WEIR, "pgweir_cache_hits_local_total") > hits)
