# SPDX-License-Identifier: PostgreSQL
"""Alerts and dashboards as text: promtool parses every rule and panel, fires the
alerts below on synthetic series and keeps them quiet on good ones, and each
alert has a section in docs/runbooks.md. No server is scraped here.
"""
import json
import os
import subprocess
import tempfile

import yaml

from lib import check, equal, needs, quick

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..")
# alert: (series, values of a bad time, values of a good one), one each 30 s.
CASES = {
    "PgweirNoPrimary": ('pgweir_node_is_primary{cluster="main",pod="a",node="n"}', "0x60", "1x60"),
    "PgweirDown": ('up{job="pgweir/pgweir"}', "0x60", "1x60"),
    "PgweirNodeDown": ("pgweir_node_up", "0x60", "1x60"),
    "PgweirFailoverHappened": ("pgweir_node_timeline", "1x40 2x20", "1x60"),
    "PgweirFailoverTimeouts": ("pgweir_failover_timeouts_total", "0+5x60", "7x60"),
    "PgweirReplicaLag": ("pgweir_node_lag_bytes", "99000000x60", "1000x60"),
    "PgweirRedisBreakerOpen": ("pgweir_cache_breaker_open", "1x60", "0x60"),
    "PatroniNoLeader": ('patroni_primary{scope="finai"}', "0x60", "1x60"),
    "PatroniPostgresDown": ("patroni_postgres_running", "0x60", "1x60"),
    "RedisDown": ("redis_up", "0x60", "1x60"),
    "RedisClusterDown": ("redis_cluster_state", "0x60", "1x60"),
    "PostgresExporterFails": ("pg_exporter_last_scrape_error", "1x60", "0x60"),
}


def groups(cluster):
    """Every group of every PrometheusRule."""
    return [g for r in cluster.objects("PrometheusRule") for g in r["spec"]["groups"]]


def promtool(*args, **files):
    """Run promtool in a folder with these YAML files; its status and words."""
    with tempfile.TemporaryDirectory() as folder:
        for name, value in files.items():
            with open(os.path.join(folder, name + ".yml"), "w", encoding="utf-8") as f:
                yaml.safe_dump(value, f)
        done = subprocess.run(["promtool", *args], cwd=folder, text=True, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


@quick
@needs("promtool")
def test_alerts_fire_and_stay_quiet(cluster):
    status, words = promtool("check", "rules", "r.yml", r={"groups": groups(cluster)})
    equal(status, 0, words)
    for alert, (series, bad, good) in CASES.items():
        for values, fires in ((bad, True), (good, False)):
            test = {"rule_files": ["r.yml"], "evaluation_interval": "30s", "tests": [{
                "interval": "30s", "input_series": [{"series": series, "values": values}],
                "promql_expr_test": [{
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0',
                    "eval_time": "25m", "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}]}]}
            status, words = promtool("test", "rules", "t.yml", r={"groups": groups(cluster)}, t=test)
            equal(status, 0, f"{alert} fires={fires}: {words}")


@quick
@needs("promtool")
def test_dashboards_and_runbooks(cluster):
    rules, uids = [], set()
    for one in cluster.objects("ConfigMap", "monitoring"):
        if not one["metadata"]["name"].startswith("grafana-dashboards-"):
            continue
        (text,) = one["data"].values()
        board = json.loads(text)
        check(board["uid"] not in uids, board["uid"])
        uids.add(board["uid"])
        equal(len({p["id"] for p in board["panels"]}), len(board["panels"]))
        for panel in board["panels"]:
            equal(panel["datasource"]["uid"], "finai-prometheus")
            rules.append({"record": "a:b", "expr": panel["targets"][0]["expr"],
                          "labels": {"panel": f"{board['uid']}{panel['id']}"}})
    equal(len(uids), 6)
    status, words = promtool("check", "rules", "r.yml", r={"groups": [{"name": "d", "rules": rules}]})
    equal(status, 0, words)
    with open(os.path.join(TOP, "docs", "runbooks.md"), encoding="utf-8") as f:
        sections = {line[3:].strip() for line in f if line.startswith("## ")}
    equal(sections, {r["alert"] for g in groups(cluster) for r in g["rules"] if "alert" in r})
