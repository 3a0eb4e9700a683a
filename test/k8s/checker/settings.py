# SPDX-License-Identifier: PostgreSQL
"""Check 17: what ships as pgweir's configuration is what pgweir reads.

The built pgweir judges the texts themselves: --check with users, rules, keys and certificates in
place, --print-config to see the settings that come of them.
"""
import pathlib
import re
import shutil
import subprocess
import tempfile

from .load import Finding
from .metrics import program
from .selectors import config_text

SHIPPED = "etc/kubernetes.ini"
USERS = '"finai" "none"\n"pgweir_admin" "none"\n"pgweir_stats" "none"\n'


def _place(folder, parts):
    """The files of a pod below a folder; a text's own paths lead there."""
    root = pathlib.Path(folder)
    for name in ("config", "cache", "auth", "tls"):
        (root / name).mkdir(exist_ok=True)
    for name in ("cluster-password", "redis-password"):
        (root / "auth" / name).write_text("none\n")
    (root / "auth/userlist.txt").write_text(USERS)
    if not (root / "tls/tls.crt").exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "2", "-subj", "/CN=pgweir", "-keyout", str(root / "tls/tls.key"), "-out", str(root / "tls/tls.crt")],
                       check=True, capture_output=True)
        shutil.copy(root / "tls/tls.crt", root / "tls/ca.crt")
    for path, text in parts.items():
        (root / path).write_text(text.replace("/etc/pgweir/", f"{folder}/"))


_SAID = {}


def _pgweir(option, parts):
    """(status, what pgweir says of these files), remembered by their texts."""
    key = (option, tuple(sorted(parts.items())))
    if key not in _SAID:
        folder = tempfile.mkdtemp()
        try:
            _place(folder, parts)
            run = subprocess.run([program("pgweir"), option, f"{folder}/config/pgweir.ini"], capture_output=True, text=True,
                                 timeout=30)
            _SAID[key] = (run.returncode, (run.stdout + run.stderr).replace(folder, "/etc/pgweir"))
        finally:
            shutil.rmtree(folder)
    return _SAID[key]


def parts_of(tree, ns, name):
    """The files of pgweir's pod in a namespace."""
    obj = tree.get("ConfigMap", ns, name)
    cache = config_text(tree, "pgweir", "pgweir-cache", "cache.ini")
    found = {f"config/{key}": text for key, text in (obj.body["data"] if obj else {}).items()}
    if ns == "pgweir" and cache is not None:
        found["cache/cache.ini"] = cache
    return found


def settings(tree):
    """Check 17: pgweir accepts what ships, the ConfigMap's text and etc/kubernetes.ini mean the same."""
    out = []
    obj = tree.need("ConfigMap", "pgweir", "pgweir-config")
    parts = parts_of(tree, "pgweir", "pgweir-config")
    shipped = tree.texts[SHIPPED]
    if parts.get("config/pgweir.ini") != shipped:
        out.append(Finding(obj, "pgweir.ini", f"isn't {SHIPPED}, byte for byte"))
    if program("pgweir") is None:
        return out
    for ns, name in (("pgweir", "pgweir-config"), ("apps", "pgweir-sidecar")):
        own = tree.get("ConfigMap", ns, name)
        if own is not None:
            status, said = _pgweir("--check", parts_of(tree, ns, name))
            if status or re.search(r"no effect|ignored|unknown", said):
                out.append(Finding(own, "pgweir.ini", f"pgweir --check: {said.strip()[-200:]}"))
    dumps = [_pgweir("--print-config", p) for p in (parts, {**parts, "config/pgweir.ini": shipped})]
    if dumps[0][0] == 0 and dumps[0] != dumps[1]:
        differ = set(dumps[0][1].splitlines()) ^ set(dumps[1][1].splitlines())
        out.append(Finding(obj, "pgweir.ini", f"other settings than {SHIPPED}: {sorted(differ)[:2]}"))
    for path in sorted(p for p in tree.texts if p.startswith("etc/") and p.endswith(".ini") and p != SHIPPED):
        status, said = _pgweir("--print-config", {"config/pgweir.ini": tree.texts[path]})
        if status:
            out.append(Finding(path, "", said.strip()[-200:]))
    return out
