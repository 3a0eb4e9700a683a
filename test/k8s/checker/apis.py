# SPDX-License-Identifier: PostgreSQL
"""API versions that clusters have, and the forms of names, ports, times and annotations.

Schemas by npm still carry versions that Kubernetes has removed, and no schema at all looks at a
name's form: the API server does both.
"""
import re

from .load import Finding

# Kubernetes' deprecated API migration guide: the release that no longer serves the version.
REMOVED = {
    "extensions/v1beta1": "1.22", "apps/v1beta1": "1.16", "apps/v1beta2": "1.16",
    "admissionregistration.k8s.io/v1beta1": "1.22", "apiextensions.k8s.io/v1beta1": "1.22",
    "apiregistration.k8s.io/v1beta1": "1.22", "authentication.k8s.io/v1beta1": "1.22",
    "authorization.k8s.io/v1beta1": "1.22", "certificates.k8s.io/v1beta1": "1.22",
    "coordination.k8s.io/v1beta1": "1.22", "networking.k8s.io/v1beta1": "1.22",
    "rbac.authorization.k8s.io/v1beta1": "1.22", "scheduling.k8s.io/v1beta1": "1.22",
    "storage.k8s.io/v1beta1": "1.22", "batch/v1beta1": "1.25", "batch/v2alpha1": "1.21",
    "discovery.k8s.io/v1beta1": "1.25", "events.k8s.io/v1beta1": "1.25", "autoscaling/v2beta1": "1.25",
    "policy/v1beta1": "1.25", "node.k8s.io/v1beta1": "1.25", "autoscaling/v2beta2": "1.26",
    "flowcontrol.apiserver.k8s.io/v1beta1": "1.26", "flowcontrol.apiserver.k8s.io/v1beta2": "1.29",
    "flowcontrol.apiserver.k8s.io/v1beta3": "1.32",
}
# Of the Custom Resources, the one version that the tier speaks.
CUSTOM = {
    "autoscaling.k8s.io": {"v1"}, "bootstrap.cluster.x-k8s.io": {"v1beta2"}, "cluster.x-k8s.io": {"v1beta2"},
    "controlplane.cluster.x-k8s.io": {"v1beta2"}, "infrastructure.cluster.x-k8s.io": {"v1beta2"},
    "cert-manager.io": {"v1"}, "install.istio.io": {"v1alpha1"}, "k8s.nginx.org": {"v1"}, "k6.io": {"v1alpha1"},
    "monitoring.coreos.com": {"v1"}, "networking.istio.io": {"v1"}, "security.istio.io": {"v1"},
    "telemetry.istio.io": {"v1"},
}
DEPRECATED = {("v1", "Endpoints"): "deprecated since 1.33", ("v1", "ComponentStatus"): "deprecated since 1.19",
              ("k6.io/v1alpha1", "K6"): "replaced by TestRun"}
# Annotations that nothing reads any more, or that the shipped controller doesn't know.
DEAD = (("kubernetes.io/ingress.class", "spec.ingressClassName has replaced it"),
        ("nginx.ingress.kubernetes.io/", "the controller is F5's, which reads nginx.org/"),
        ("seccomp.security.alpha.kubernetes.io/", "gone since 1.27"),
        ("container.apparmor.security.beta.kubernetes.io/", "appArmorProfile has replaced it"))


def _version(obj):
    """What is wrong with an object's apiVersion, or None."""
    api = obj.api or ""
    group, _, version = api.rpartition("/")
    if api in REMOVED:
        return f"{api} is gone since {REMOVED[api]}"
    if (api, obj.kind) in DEPRECATED:
        return f"{api} {obj.kind}: {DEPRECATED[(api, obj.kind)]}"
    if group in CUSTOM:
        return None if version in CUSTOM[group] else f"{api}: the tier speaks {'/'.join(sorted(CUSTOM[group]))}"
    if "." in group and not group.endswith(".k8s.io"):
        return f"{group} is a group that nothing here brings"
    return None if re.fullmatch(r"v\d+", version) else f"{api} isn't a stable version"


def apis(tree):
    """Section 2: only API versions that 1.32 to 1.36 serve, and that are stable where Kubernetes' own."""
    out = []
    for obj in tree.objects:
        wrong = _version(obj)
        if wrong:
            out.append(Finding(obj, "apiVersion", wrong))
        for name in obj.meta.get("annotations") or {}:
            out += [Finding(obj, f"annotations.{name}", why) for start, why in DEAD if name.startswith(start)]
    return out


LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
PORT = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
DNS = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def cron_is_good(text):
    """Whether Kubernetes takes a CronJob's schedule: five fields of numbers, ranges, lists and steps."""
    if text in ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"):
        return True
    fields = str(text).split()
    if len(fields) != 5:
        return False
    for field, (low, high) in zip(fields, CRON):
        for part in field.split(","):
            found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
            numbers = [int(n) for n in (found.group(1), found.group(2)) if n] if found else [-1]
            if any(not low <= n <= high for n in numbers) or numbers != sorted(numbers):
                return False
    return True


def _ports(obj, tree):
    """(where, port's name, number) of all ports that an object names."""
    for port in obj.spec.get("ports") or [] if obj.kind == "Service" else []:
        yield "ports", port.get("name", "a"), port.get("port")
    for own in tree.pods():
        if own.owner is obj:
            for container in own.containers:
                for port in container.get("ports") or []:
                    yield container["name"], port.get("name", "a"), port.get("containerPort")


def names(tree):
    """Section 2: names, labels, ports and schedules have the form that the API server wants."""
    out = []
    for obj in tree.objects:
        form = SERVICE if obj.kind == "Service" else SUBDOMAIN
        if obj.kind not in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            if not form.fullmatch(str(obj.name)) or len(str(obj.name)) > 253:
                out.append(Finding(obj, "metadata.name", f"{obj.name!r} is no name"))
        for label, value in (obj.meta.get("labels") or {}).items():
            if not LABEL.fullmatch(str(value)):
                out.append(Finding(obj, f"labels.{label}", f"{value!r} is no value"))
        seen = set()
        for where, name, number in _ports(obj, tree):
            if not PORT.fullmatch(name):
                out.append(Finding(obj, where, f"port name {name!r}: at most 15 of a-z, 0-9 and -"))
            if not isinstance(number, int) or not 0 < number < 65536:
                out.append(Finding(obj, where, f"port {number}"))
            if name in seen and name != "a":
                out.append(Finding(obj, where, f"two ports {name}"))
            seen.add(name)
        if obj.kind == "CronJob" and not cron_is_good(obj.spec.get("schedule")):
            out.append(Finding(obj, "schedule", f"{obj.spec.get('schedule')!r} is no schedule"))
        if obj.kind == "StatefulSet":
            out += [Finding(obj, "volumeClaimTemplates", f"{c['metadata']['name']} without accessModes or a size")
                    for c in obj.spec.get("volumeClaimTemplates") or []
                    if not c["spec"].get("accessModes")
                    or not ((c["spec"].get("resources") or {}).get("requests") or {}).get("storage")]
        for host in [r.get("host") for r in obj.spec.get("rules") or [] if obj.kind == "Ingress"] + \
                (obj.spec.get("dnsNames") or [] if obj.kind == "Certificate" else []):
            if host and not DNS.fullmatch(host):
                out.append(Finding(obj, "hosts", f"{host!r} is no name"))
    return out
