# SPDX-License-Identifier: PostgreSQL
"""Checks 4, 5 and 13: what an object names is there, rights are narrow, scaling adds up."""
from .load import Finding, NOT_APPLIED

# Made by the cluster or by operators, not by these files.
GIVEN = {"kube-root-ca.crt", "istio-ca-root-cert", "cluster-autoscaler-management"}


# The ingress controller serves the certificates of any namespace's Ingress.
SECRET_READERS = {"nginx-ingress"}


def _keys(tree, kind, ns, name):
    """Keys of a ConfigMap or Secret; None: it doesn't exist; "any": somebody else fills it."""
    if name in GIVEN:
        return "any"
    obj = tree.get(kind, ns, name)
    if obj is not None:
        return set(obj.body.get("data") or {}) | set(obj.body.get("stringData") or {}) | set(
            obj.body.get("binaryData") or {})
    if kind == "Secret":
        for cert in tree.all("Certificate"):
            if cert.ns == ns and cert.spec.get("secretName") == name:
                return {"tls.crt", "tls.key", "ca.crt"}
    return None


def named(pod):
    """(where, kind, name, keys, optional) of all that a pod reads."""
    for volume in pod.spec.get("volumes") or []:
        where = f"volumes.{volume['name']}"
        sources = [volume] + ((volume.get("projected") or {}).get("sources") or [])
        for source in sources:
            for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
                ref = source.get(field)
                if ref is not None:
                    keys = [i["key"] for i in ref.get("items") or []]
                    yield where, kind, ref.get(key, ref.get("name")), keys, ref.get("optional")
    for container in pod.containers:
        for env in container.get("env") or []:
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                ref = (env.get("valueFrom") or {}).get(field)
                if ref:
                    yield f"env.{env['name']}", kind, ref["name"], [ref["key"]], ref.get("optional")
        for source in container.get("envFrom") or []:
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    yield "envFrom", kind, source[field]["name"], [], source[field].get("optional")


def references(tree):
    """Check 4: ConfigMaps, Secrets, keys, claims, mounts and accounts exist in the same namespace."""
    out = []
    for pod in tree.pods():
        for where, kind, name, keys, optional in named(pod):
            have = _keys(tree, kind, pod.ns, name)
            if have is None and not optional:
                out.append(Finding(pod, where, f"no {kind} {pod.ns}/{name}"))
            for key in keys:
                if isinstance(have, set) and key not in have and not optional:
                    out.append(Finding(pod, where, f"{kind} {name} has no key {key}"))
        account = pod.spec.get("serviceAccountName")
        if account and not tree.get("ServiceAccount", pod.ns, account):
            out.append(Finding(pod, "serviceAccountName", f"no ServiceAccount {pod.ns}/{account}"))
        priority = pod.spec.get("priorityClassName")
        if priority and not priority.startswith("system-") and not tree.get("PriorityClass", None, priority):
            out.append(Finding(pod, "priorityClassName", f"no PriorityClass {priority}"))
        volumes = {v["name"] for v in pod.spec.get("volumes") or []}
        volumes |= {v["metadata"]["name"] for v in pod.owner.spec.get("volumeClaimTemplates") or []}
        for container in pod.containers:
            for mount in container.get("volumeMounts") or []:
                if mount["name"] not in volumes:
                    out.append(Finding(pod, container["name"], f"no volume {mount['name']}"))
    namespaces = {o.name for o in tree.all("Namespace")} | {"kube-system", "default", "cert-manager"}
    for obj in tree.objects:
        if obj.ns and obj.ns not in namespaces and obj.file not in NOT_APPLIED:
            out.append(Finding(obj, "metadata.namespace", f"no Namespace {obj.ns}"))
    for obj in tree.all("Ingress"):
        for tls in obj.spec.get("tls") or []:
            if _keys(tree, "Secret", obj.ns, tls.get("secretName")) is None:
                out.append(Finding(obj, "spec.tls", f"no Secret or Certificate {tls.get('secretName')}"))
    return out


def placeholders(tree):
    """Check 4: no Secret in the repository has a real value."""
    out = []
    for obj in tree.all("Secret"):
        for key, value in (obj.body.get("stringData") or {}).items():
            if "CHANGE_ME" not in str(value) and ("password" in key or "key" in key.split("-")):
                out.append(Finding(obj, f"stringData.{key}", "not a placeholder"))
        if obj.body.get("data"):
            out.append(Finding(obj, "data", "encoded values can't be seen to be placeholders"))
    return out


def rights(tree):
    """Check 5: bindings find roles and accounts; no wildcard; tokens only where a role is bound."""
    out = []
    bound = set()
    for obj in tree.all("RoleBinding", "ClusterRoleBinding"):
        ref = obj.body.get("roleRef") or {}
        ns = obj.ns if ref.get("kind") == "Role" else None
        builtin = ref.get("name", "").startswith("system:") or ref.get("name") == "extension-apiserver-authentication-reader"
        if not builtin and not tree.get(ref.get("kind"), ns, ref.get("name")):
            out.append(Finding(obj, "roleRef", f"no {ref.get('kind')} {ref.get('name')}"))
        for subject in obj.body.get("subjects") or []:
            if subject.get("kind") == "ServiceAccount":
                where = (subject.get("namespace", obj.ns), subject["name"])
                bound.add(where)
                if where[0] != "kube-system" and not tree.get("ServiceAccount", *where):
                    out.append(Finding(obj, "subjects", f"no ServiceAccount {where[0]}/{where[1]}"))
    for obj in tree.all("Role", "ClusterRole"):
        for rule in obj.body.get("rules") or []:
            for field in ("verbs", "resources", "apiGroups", "nonResourceURLs"):
                if any("*" in text for text in rule.get(field) or []):
                    out.append(Finding(obj, f"rules.{field}", "wildcard"))
            if {"escalate", "bind", "impersonate"} & set(rule["verbs"]):
                out.append(Finding(obj, "rules.verbs", "leads to every other right"))
            if "secrets" in rule.get("resources", []) and not rule.get("resourceNames") and obj.name not in SECRET_READERS:
                out.append(Finding(obj, "rules", "reads every Secret"))
    for pod in tree.pods():
        account = (pod.ns, pod.spec.get("serviceAccountName"))
        own = tree.get("ServiceAccount", *account)
        silent = pod.spec.get("automountServiceAccountToken", (own.body if own else {}).get(
            "automountServiceAccountToken", True)) is False
        if not silent and account not in bound:
            out.append(Finding(pod, "automountServiceAccountToken", "a token without any right"))
    return out


def scaling(tree):
    """Check 13: autoscalers' targets exist and don't fight; CronJobs don't pile up."""
    out = []
    seen = {}
    for hpa in tree.all("HorizontalPodAutoscaler"):
        target = hpa.spec.get("scaleTargetRef") or {}
        if not tree.get(target.get("kind"), hpa.ns, target.get("name")):
            out.append(Finding(hpa, "scaleTargetRef", f"no {target.get('kind')} {hpa.ns}/{target.get('name')}"))
        owner = tree.get(target.get("kind"), hpa.ns, target.get("name"))
        if owner and "replicas" in owner.spec:
            out.append(Finding(owner, "spec.replicas", "an apply would reset what the autoscaler decided"))
        if hpa.spec.get("minReplicas", 1) > hpa.spec.get("maxReplicas", 0):
            out.append(Finding(hpa, "spec", "minReplicas > maxReplicas"))
        up, down = ((hpa.spec.get("behavior") or {}).get(k) or {} for k in ("scaleUp", "scaleDown"))
        if up.get("stabilizationWindowSeconds", 0) > 0 or down.get("stabilizationWindowSeconds", 300) < 300:
            out.append(Finding(hpa, "behavior", "up at once, down after five minutes"))
        names = {(m.get("resource") or {}).get("name") for m in hpa.spec.get("metrics") or []}
        seen[(hpa.ns, target.get("kind"), target.get("name"))] = names & {"cpu", "memory"}
    for vpa in tree.all("VerticalPodAutoscaler"):
        target = vpa.spec.get("targetRef") or {}
        mode = (vpa.spec.get("updatePolicy") or {}).get("updateMode", "Auto")
        if not tree.get(target.get("kind"), vpa.ns, target.get("name")):
            out.append(Finding(vpa, "targetRef", f"no {target.get('kind')} {vpa.ns}/{target.get('name')}"))
        if mode != "Off" and seen.get((vpa.ns, target.get("kind"), target.get("name"))):
            out.append(Finding(vpa, "updateMode", "an HPA scales the same target by cpu or memory"))
        if target.get("kind") == "StatefulSet" and mode not in ("Off", "Initial"):
            out.append(Finding(vpa, "updateMode", f"{mode} restarts a database"))
    for job in tree.all("Job", "CronJob"):
        inner = job.spec if job.kind == "Job" else job.spec["jobTemplate"]["spec"]
        if "activeDeadlineSeconds" not in inner:
            out.append(Finding(job, "activeDeadlineSeconds", "not set"))
    for job in tree.all("CronJob"):
        if job.spec.get("concurrencyPolicy") != "Forbid":
            out.append(Finding(job, "concurrencyPolicy", "is not Forbid"))
        for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            if field not in job.spec:
                out.append(Finding(job, field, "not set"))
    return out
