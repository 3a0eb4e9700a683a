# SPDX-License-Identifier: PostgreSQL
"""Mutants of the load test: the pods that an operator makes of a TestRun are judged like any other."""
from . import put, rule

RUN = ("TestRun", "testing", "load")


def lose_prometheus(policy):
    policy["spec"]["egress"] = [r for r in policy["spec"]["egress"] if r["ports"][0]["port"] != 9090]


rule("restricted", "k6 runners may escalate", RUN,
     lambda b: put(b["spec"]["runner"]["containerSecurityContext"], "allowPrivilegeEscalation", True))
rule("restricted", "the k6 starter runs as root", RUN,
     lambda b: put(b["spec"]["starter"]["securityContext"], "runAsNonRoot", False))
rule("bar", "k6 without a memory limit", RUN, lambda b: b["spec"]["runner"]["resources"].pop("limits"))
rule("references", "k6 reads a Secret that isn't there", RUN,
     lambda b: put(b["spec"]["runner"]["envFrom"][0]["secretRef"], "name", "nothing"))
rule("flows", "k6 may not ask Prometheus", ("NetworkPolicy", "testing", "k6"), lose_prometheus)
