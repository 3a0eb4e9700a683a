# SPDX-License-Identifier: PostgreSQL
"""A pod's volumes and environment from the objects they name.

A missing ConfigMap, Secret or key is an error unless it is optional, as in a
cluster. Modes and group follow defaultMode, mode and fsGroup. A claim's folder
outlives the pod, so a pod that comes back finds its data.
"""
import base64
import os
import shutil

import manifests


def data_of(cluster, kind, ns, name, optional=False):
    """Keys and bytes of a ConfigMap or a Secret; None when optional and absent."""
    if kind == "Secret" and (ns, name) in cluster.secrets:
        return {k: v.encode() if isinstance(v, str) else v
                for k, v in cluster.secrets[(ns, name)].items()}
    if (kind, name) == ("ConfigMap", "kube-root-ca.crt"):    # every namespace has it
        with open(cluster.authority["crt"], "rb") as f:
            return {"ca.crt": f.read()}
    found = cluster.manifests.find(kind, ns, name)
    if not found:
        if optional:
            return None
        raise LookupError(f"no {kind} {ns}/{name}")
    one = found[0]
    data = {k: str(v).encode() for k, v in (one.get("data") or {}).items()}
    if kind == "Secret":
        data = {k: base64.b64decode(v) for k, v in data.items()}
        data.update({k: str(v).encode() for k, v in (one.get("stringData") or {}).items()})
    data.update({k: base64.b64decode(v) for k, v in (one.get("binaryData") or {}).items()})
    return data


def field_of(pod, path):
    """The downward API's fields."""
    simple = {"metadata.name": pod.name, "metadata.namespace": pod.ns, "metadata.uid": pod.uid,
              "spec.nodeName": pod.node, "status.hostIP": "10.42.0.1", "status.podIP": pod.ip,
              "status.podIPs": pod.ip,
              "spec.serviceAccountName": pod.spec.get("serviceAccountName", "default")}
    if path in simple:
        return simple[path]
    for what in ("labels", "annotations"):
        if path.startswith(f"metadata.{what}['"):
            values = pod.labels if what == "labels" else pod.annotations
            return values.get(path.split("'")[1], "")
        if path == "metadata." + what:
            values = pod.labels if what == "labels" else pod.annotations
            return "\n".join(f'{k}="{v}"' for k, v in sorted(values.items()))
    raise LookupError(f"downward API: {path}")


def resource_of(container_spec, ref):
    """resourceFieldRef: a whole number of the divisor's units, rounded up."""
    what, name = ref["resource"].split(".", 1)
    value = (container_spec.get("resources", {}).get(what) or {}).get(name)
    if value is None:
        raise LookupError(f"resourceFieldRef {ref['resource']} isn't set")
    divisor = manifests.quantity(ref.get("divisor", "1") or "1") or 1
    return str(-int(-manifests.quantity(value) // divisor))


def env_value(cluster, pod, container_spec, source):
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if key in source:
            ref = source[key]
            data = data_of(cluster, kind, pod.ns, ref["name"], ref.get("optional"))
            if data is None or ref["key"] not in data:
                if ref.get("optional"):
                    return None
                raise LookupError(f"{kind} {pod.ns}/{ref['name']} has no key {ref['key']}")
            return data[ref["key"]].decode()
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    return resource_of(container_spec, source["resourceFieldRef"])


def environment(cluster, pod, container_spec, expand):
    """A container's environment: links to Services, envFrom, then env in order."""
    env = {"KUBERNETES_SERVICE_HOST": "kubernetes.default.svc", "KUBERNETES_SERVICE_PORT": "443",
           "KUBERNETES_PORT": "tcp://kubernetes.default.svc:443"}
    if pod.spec.get("enableServiceLinks", True):
        env.update(cluster.service_links(pod.ns))
    for one in container_spec.get("envFrom", []):
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in one:
                data = data_of(cluster, kind, pod.ns, one[key]["name"], one[key].get("optional"))
                env.update({one.get("prefix", "") + k: v.decode() for k, v in (data or {}).items()})
    for one in container_spec.get("env", []):
        if "valueFrom" in one:
            value = env_value(cluster, pod, container_spec, one["valueFrom"])
        else:
            value = expand(str(one.get("value", "")), env)
        if value is not None:
            env[one["name"]] = value
    return env


def write_keys(folder, data, items, mode, optional=False):
    """Keys as files; items choose keys, paths and modes."""
    wanted = items if items is not None else [{"key": k, "path": k} for k in data]
    for item in wanted:
        if item["key"] not in data:
            if optional:
                continue
            raise LookupError(f"no key {item['key']} for a volume")
        path = os.path.join(folder, item["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data[item["key"]])
        os.chmod(path, item.get("mode", mode))


def fill_projected(cluster, pod, folder, volume):
    mode = volume.get("defaultMode", 0o644)
    for source in volume["sources"]:
        for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
            if key in source:
                one = source[key]
                data = data_of(cluster, kind, pod.ns, one["name"], one.get("optional"))
                write_keys(folder, data or {}, one.get("items"), mode, one.get("optional"))
        if "downwardAPI" in source:
            fill_downward(pod, folder, source["downwardAPI"], mode)
        if "serviceAccountToken" in source:
            token = {"token": cluster.api.token(pod).encode()}
            write_keys(folder, token, [{"key": "token", "path": source["serviceAccountToken"]["path"]}],
                       mode)


def fill_downward(pod, folder, volume, mode):
    for item in volume.get("items", []):
        value = field_of(pod, item["fieldRef"]["fieldPath"])
        write_keys(folder, {"v": value.encode()}, [{"key": "v", "path": item["path"]}],
                   item.get("mode", mode))


def give_to_group(folder, gid, is_secret):
    """What fsGroup does to a volume."""
    for path, _, files in os.walk(folder):
        os.chown(path, -1, gid)
        os.chmod(path, os.stat(path).st_mode | 0o2070)
        for name in files:
            full = os.path.join(path, name)
            if os.path.islink(full):
                continue
            os.chown(full, -1, gid)
            os.chmod(full, os.stat(full).st_mode | (0o040 if is_secret else 0o060))


def claim_folder(cluster, pod, claim):
    folder = os.path.join(cluster.scratch, "claims", f"{pod.ns}.{claim}")
    is_new = not os.path.isdir(folder)
    os.makedirs(folder, exist_ok=True)
    return folder, is_new


def fill(cluster, pod, volume, folder):
    """Make one volume; its path on this machine, and whether fsGroup is to be applied how."""
    name, ns = volume["name"], pod.ns
    if "persistentVolumeClaim" in volume:
        claim, is_new = claim_folder(cluster, pod, volume["persistentVolumeClaim"]["claimName"])
        return claim, "data" if is_new else None
    path = os.path.join(folder, name)
    os.makedirs(path)
    for kind, key, name_key in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
        if key in volume:
            one = volume[key]
            data = data_of(cluster, kind, ns, one[name_key], one.get("optional"))
            write_keys(path, data or {}, one.get("items"), one.get("defaultMode", 0o644),
                       one.get("optional"))
            return path, "secret"
    if "projected" in volume:
        fill_projected(cluster, pod, path, volume["projected"])
        return path, "secret"
    if "downwardAPI" in volume:
        fill_downward(pod, path, volume["downwardAPI"], volume["downwardAPI"].get("defaultMode", 0o644))
        return path, "secret"
    if "emptyDir" in volume:
        os.chmod(path, 0o777)
        return path, "data"
    raise LookupError(f"{pod.name}: volume {name} is of a kind that can't be made here")


def make_all(cluster, pod, folder):
    """Every volume of the pod; {name: path}."""
    group = (pod.spec.get("securityContext") or {}).get("fsGroup")
    made = {}
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for volume in pod.spec.get("volumes", []):
        path, how = fill(cluster, pod, volume, folder)
        if group is not None and how:
            give_to_group(path, group, how == "secret")
        made[volume["name"]] = path
    return made
