# SPDX-License-Identifier: PostgreSQL
"""What every pod owes: the Pod Security Standard "restricted", and the common bar of the tier.

The bar: a read-only root, a pinned image, requests and a memory limit, probes (checks of a Job's
pod aside), no token that nothing uses, spread over zones and hosts, the five labels.
"""
from .load import Finding
from .selectors import least

LABELS = ["name", "instance", "component", "part-of", "version"]
# Volume types that "restricted" allows.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
           "projected", "secret"}


def _security(pod, container):
    own = container.get("securityContext") or {}
    whole = pod.spec.get("securityContext") or {}
    both = {**whole, **own}
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if both.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if (both.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile is not RuntimeDefault"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("privileged"):
        yield "privileged"
    caps = own.get("capabilities") or {}
    if "ALL" not in (caps.get("drop") or []):
        yield "capabilities.drop lacks ALL"
    if set(caps.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add has more than NET_BIND_SERVICE"
    if any("hostPort" in p for p in container.get("ports") or []):
        yield "hostPort"


def restricted(tree):
    """Pod Security Standard "restricted"."""
    out = []
    for pod in tree.pods():
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(field):
                out.append(Finding(pod, field, "not allowed"))
        for volume in pod.spec.get("volumes") or []:
            wrong = set(volume) - {"name"} - VOLUMES
            if wrong:
                out.append(Finding(pod, f"volumes.{volume['name']}", f"{wrong.pop()} is not allowed"))
        for container in pod.containers:
            out += [Finding(pod, container["name"], text) for text in _security(pod, container)]
    return out


def _resources(pod, container):
    resources = container.get("resources") or {}
    for what in ("cpu", "memory"):
        if what not in (resources.get("requests") or {}):
            yield f"no request of {what}"
    if "memory" not in (resources.get("limits") or {}):
        yield "no limit of memory"
    image = container.get("image", "")
    if "@sha256:" not in image and (":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")):
        yield f"image {image} has no pinned tag"
    if (container.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"


def bar(tree):
    """Requests, a limit of memory, a pinned image, a read-only root, labels, spread, tokens."""
    out = []
    for pod in tree.pods():
        for container in pod.containers:
            out += [Finding(pod, container["name"], text) for text in _resources(pod, container)]
        for label in LABELS:
            if f"app.kubernetes.io/{label}" not in pod.labels:
                out.append(Finding(pod, "template.metadata.labels", f"no app.kubernetes.io/{label}"))
        if pod.spec.get("serviceAccountName", "default") == "default":
            out.append(Finding(pod, "serviceAccountName", "no ServiceAccount of its own"))
        if not pod.is_job and least(tree, pod) > 1:
            keys = {c.get("topologyKey") for c in pod.spec.get("topologySpreadConstraints") or []}
            for key in {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} - keys:
                out.append(Finding(pod, "topologySpreadConstraints", f"no constraint on {key}"))
        for volume in pod.spec.get("volumes") or []:
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                out.append(Finding(pod, f"volumes.{volume['name']}", "emptyDir without a sizeLimit"))
    return out


def labels(tree):
    """The five labels on every object that is ours."""
    out = []
    for obj in tree.objects:
        if obj.kind in ("Namespace", "IstioOperator", "Kustomization"):
            continue
        have = obj.meta.get("labels") or {}
        missing = [l for l in LABELS if f"app.kubernetes.io/{l}" not in have]
        if missing:
            out.append(Finding(obj, "metadata.labels", "no app.kubernetes.io/" + ",".join(missing)))
    return out


def probes(tree):
    """Check 12: three probes; liveness is not readiness; none asks who is primary."""
    out = []
    for pod in tree.pods():
        if pod.is_job:
            continue
        for container in pod.main:
            have = {k: container.get(k + "Probe") for k in ("startup", "readiness", "liveness")}
            if "pause" in container.get("image", ""):
                continue
            for kind, probe in have.items():
                if not probe:
                    out.append(Finding(pod, container["name"], f"no {kind}Probe"))
                    continue
                path = (probe.get("httpGet") or {}).get("path", "")
                if path in ("/primary", "/master", "/replica", "/leader", "/read-write", "/read-only"):
                    out.append(Finding(pod, f"{container['name']}.{kind}Probe", f"{path} follows the role"))
            keys = ("httpGet", "exec", "tcpSocket")
            ready, live = ({k: (have[n] or {}).get(k) for k in keys} for n in ("readiness", "liveness"))
            stateful = pod.labels.get("app.kubernetes.io/component") in ("pooler", "cache", "database", "backend")
            if stateful and container is pod.main[0] and ready == live and have["liveness"]:
                out.append(Finding(pod, container["name"], "livenessProbe is the readinessProbe"))
            if pod.labels.get("app.kubernetes.io/name") == "pgweir" and container["name"] == "pgweir":
                if ((have["liveness"] or {}).get("httpGet") or {}).get("path") == "/readyz":
                    out.append(Finding(pod, "pgweir.livenessProbe", "/readyz depends on backends"))
    return out
