# SPDX-License-Identifier: PostgreSQL
"""Mutants of the choices that single manifests make: one of each row of checker/traits.py, and more."""
from checker import traits

from . import POSTGRES, pod, put, rule


def spoil(where, path, value):
    """A row's value is another."""
    def change(body):
        put(traits.reach(body, path[:-1]), path[-1], value)
    shown = ".".join(str(p) for p in path if p not in traits.SPEC)
    rule("traits", f"{where[0]} {where[2]}: {shown} is {str(value)[:40]!r}", where, change)


for trait in traits.TRAITS:
    spoil(trait[0], trait[1], trait[3])

rule("traits", "workers of another minor version", ("MachineDeployment", "finai", "finai-workers-a"),
     lambda b: put(b["spec"]["template"]["spec"], "version", "v1.31.9"))
rule("traits", "an autoscaler of another minor version", ("Deployment", "kube-system", "cluster-autoscaler"),
     lambda b: put(pod(b)["containers"][0], "image", "registry.k8s.io/autoscaling/cluster-autoscaler:v1.31.1"))
rule("traits", "a namespace whose Pod Security isn't pinned", ("Namespace", None, "data"),
     lambda b: b["metadata"]["labels"].pop("pod-security.kubernetes.io/enforce-version"))
rule("traits", "a namespace that enforces less", ("Namespace", None, "apps"),
     lambda b: put(b["metadata"]["labels"], "pod-security.kubernetes.io/enforce", "baseline"))
rule("traits", "a setting that the backend doesn't have", ("ConfigMap", "apps", "app-config"),
     lambda b: put(b["data"], "FINAI_POOL", "8"))
rule("traits", "PostgreSQL with the runtime's 64 MiB of /dev/shm", POSTGRES, lambda b: [
    v.pop("emptyDir") and put(v, "emptyDir", {"sizeLimit": "64Mi"}) for v in pod(b)["volumes"] if v["name"] == "shm"])
