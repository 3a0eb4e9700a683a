# SPDX-License-Identifier: PostgreSQL
"""Reads expressions of PromQL: which metrics, with which labels; promtool has the last word on the syntax.

Every expression of the tree comes from one place here: rules, dashboards, and the adapter's queries.
"""
import json
import re
import shutil
import subprocess
import tempfile

import yaml

from .load import Finding

WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
OPERATORS = {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end"}
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[a-zA-Z_:][\w:]*|\[[^\]]*\]|=~|!~|!=|[{}(),=]|[^\s]')
# What Grafana and the adapter put in before Prometheus sees the text.
FILLED = (("$__rate_interval", "5m"), ("$__interval", "1m"), ("$__range", "1h"), ("<<.GroupBy>>", "pod"),
          ("<<.LabelMatchers>>", 'pod="a"'))


class Used:
    """One metric of an expression: its name and the matchers on it."""

    def __init__(self, name):
        self.name, self.matchers = name, []


def filled(text, variables=()):
    for name, value in FILLED:
        text = text.replace(name, value)
    for name in variables:
        text = re.sub(rf"\$\{{{name}(:\w+)?\}}|\${name}\b|\[\[{name}\]\]", "x", text)
    return text


def read(text):
    """(metrics, labels that are grouped, joined or rewritten by) of an expression."""
    tokens = TOKEN.findall(text)
    metrics, groups, index = [], set(), 0
    while index < len(tokens):
        token, after = tokens[index], tokens[index + 1] if index + 1 < len(tokens) else ""
        index += 1
        if token in WORDS:
            while index < len(tokens) and after == "(" and tokens[index] != ")":
                groups.update([tokens[index]] if re.match(r"\w", tokens[index]) else [])
                index += 1
        elif token == "{":
            metrics.append(metrics.pop() if metrics and tokens[index - 2] == metrics[-1].name else Used(None))
            while index < len(tokens) and tokens[index] != "}":
                if tokens[index + 1] in ("=", "=~", "!=", "!~"):
                    metrics[-1].matchers.append((tokens[index], tokens[index + 1], tokens[index + 2][1:-1]))
                    index += 2
                index += 1
        elif re.match(r"[a-zA-Z_:]", token) and after not in ("(", "by", "without") and token.lower() not in OPERATORS:
            if not re.fullmatch(r"\d\w*", token) and not (index > 1 and re.fullmatch(r"[\d.]+", tokens[index - 2])):
                metrics.append(Used(token))
    return metrics, groups - {""}


class Expression:
    """One expression and where it stands."""

    def __init__(self, obj, where, text, labels=()):
        self.obj, self.where, self.text, self.template = obj, where, text, labels


def boards(tree):
    """(ConfigMap, key, dashboard) of every dashboard that parses."""
    for obj in tree.all("ConfigMap"):
        for key, text in (obj.body.get("data") or {}).items():
            if obj.name.startswith("grafana-dashboards") and key.endswith(".json"):
                yield obj, key, json.loads(text)


def panels(board):
    """All panels, also those inside of rows."""
    for panel in board.get("panels") or []:
        yield panel
        yield from panel.get("panels") or []


def variables(board):
    return [v["name"] for v in (board.get("templating") or {}).get("list") or []]


def expressions(tree):
    """Every expression of rules, panels and the adapter."""
    found = []
    for obj in tree.all("PrometheusRule"):
        for group in obj.spec.get("groups") or []:
            for rule in group.get("rules") or []:
                words = " ".join(str(v) for v in (rule.get("annotations") or {}).values())
                found.append(Expression(obj, rule.get("alert") or rule.get("record"), str(rule.get("expr")),
                                        set(re.findall(r"\$labels\.(\w+)", words))))
    for obj, _, board in boards(tree):
        for panel in panels(board):
            for target in panel.get("targets") or []:
                where = f"{board.get('uid')}, panel {panel.get('id')}"
                found.append(Expression(obj, where, filled(target.get("expr", ""), variables(board))))
    for obj, rule in adapter(tree):
        series = re.match(r"[\w:]+", rule["seriesQuery"]).group(0)
        found.append(Expression(obj, rule["name"]["as"], rule["seriesQuery"]))
        found.append(Expression(obj, rule["name"]["as"], filled(rule["metricsQuery"].replace("<<.Series>>", series))))
    return found


def adapter(tree):
    """Rules of prometheus-adapter."""
    obj = tree.get("ConfigMap", "monitoring", "prometheus-adapter")
    if obj is None:
        return []
    return [(obj, r) for r in yaml.safe_load(obj.body["data"]["config.yaml"]).get("rules") or []]


def promql(tree):
    """Check 8: promtool parses every expression, and every rule's form."""
    if not shutil.which("promtool"):
        return []
    out, groups = [], []
    found = expressions(tree)
    for index, one in enumerate(found):
        groups.append({"name": f"e{index}", "rules": [{"record": "a:b", "expr": one.text}]})
    whole = [g for obj in tree.all("PrometheusRule") for g in obj.spec["groups"]]
    for text, numbered in (({"groups": groups}, True), ({"groups": whole}, False)):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
            yaml.safe_dump(text, f)
            f.flush()
            run = subprocess.run(["promtool", "check", "rules", "--lint=none", f.name], capture_output=True, text=True)
        if run.returncode == 0:
            continue
        for line in (run.stdout + run.stderr).splitlines():
            name = re.search(r'group "?e(\d+)"?', line) if numbered else None
            if name:
                one = found[int(name.group(1))]
                out.append(Finding(one.obj, one.where, line.partition("could not parse")[2].strip(": ") or line))
            elif not numbered and "rule" in line:
                out.append(Finding(tree.all("PrometheusRule")[0], "", line.strip()))
    return out
