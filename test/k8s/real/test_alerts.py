# SPDX-License-Identifier: PostgreSQL
"""Alerts and dashboards as text: promtool parses every rule and panel, fires each
alert on synthetic series and keeps it quiet just below its threshold (the
series are in alert_cases.py), and each alert has a section in
docs/runbooks.md. No server is scraped here.
"""
import json
import os
import re
import subprocess
import tempfile

import yaml

from alert_cases import CASES
from lib import check, equal, limit, needs, quick

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..")


def groups(cluster):
    """Every group of every PrometheusRule."""
    return [g for r in cluster.objects("PrometheusRule") for g in r["spec"]["groups"]]


def promtool(*args, **files):
    """Run promtool in a folder with these YAML files; its status and words."""
    with tempfile.TemporaryDirectory() as folder:
        for name, value in files.items():
            with open(os.path.join(folder, name + ".yml"), "w", encoding="utf-8") as f:
                yaml.safe_dump(value, f)
        done = subprocess.run(["promtool", *args], cwd=folder, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def unit_test(alert, is_bad):
    """A test of promtool: the alert fires in its bad time, and not in its good one."""
    case = CASES[alert]
    return {"name": f"{alert} {'fires' if is_bad else 'stays quiet'}", "interval": case.step,
            "input_series": case.values(is_bad), "promql_expr_test": [{
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0', "eval_time": case.at,
                "exp_samples": [{"labels": "{}", "value": 1}] if is_bad else []}]}


def files_of(alert, rules):
    """promtool's two files for an alert: it and the recorded series that it asks for, and its tests."""
    (rule,) = [r for r in rules if r.get("alert") == alert]
    records = [r for r in rules if "record" in r and r["record"] in rule["expr"]]
    # Watchdog is the one that shall never be quiet.
    times = (True,) if alert == "Watchdog" else (True, False)
    return {f"rules-{alert}": {"groups": [{"name": "one", "rules": records + [rule]}]},
            f"test-{alert}": {"rule_files": [f"rules-{alert}.yml"], "evaluation_interval": CASES[alert].step,
                              "tests": [unit_test(alert, is_bad) for is_bad in times]}}


@quick
@limit(120)
@needs("promtool")
def test_every_alert_fires_and_stays_quiet(cluster, sub):
    status, words = promtool("check", "rules", "r.yml", r={"groups": groups(cluster)})
    equal(status, 0, words)
    rules = [r for g in groups(cluster) for r in g["rules"]]
    alerts = {r["alert"] for r in rules if "alert" in r}
    with sub("alerts::each_has_a_case"):
        equal(sorted(alerts ^ set(CASES)), [])
    known, files = sorted(alerts & set(CASES)), {}
    for alert in known:
        files.update(files_of(alert, rules))
    status, words = promtool("test", "rules", *[f"test-{a}.yml" for a in known], **files)
    parts = dict(re.findall(r"^Unit Testing: +test-(\w+)\.yml\n(.*?)(?=^Unit Testing|\Z)", words, re.M | re.S))
    for alert in known:
        with sub(f"alerts::{alert}"):
            equal(parts[alert].strip(), "SUCCESS")
    equal(status, 0 if all(p.strip() == "SUCCESS" for p in parts.values()) else 1, words)


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


@quick
def test_an_exporter_for_each_member(cluster):
    def size(name):
        return cluster.get("StatefulSet", "data", name)["spec"]["replicas"]
    equal(size("postgres-exporter"), size("postgres"))
