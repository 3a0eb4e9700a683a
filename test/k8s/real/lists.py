# SPDX-License-Identifier: PostgreSQL
"""The lists of test/k8s/metrics and what running exporters export.

A list is {name: set of labels}. read() and write() know the files' format,
live() reads an exposition. The runtime of Go is left out: nothing here is
judged by it, and its names change with the compiler.
"""
import os
import re
import ssl
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDER = os.path.join(HERE, "..", "metrics")
SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ')
LABEL = re.compile(r'([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"')
RUNTIME = ("go_", "promhttp_", "grpc_")


def exposition(text):
    """Names and labels of Prometheus' text format."""
    found = {}
    for line in text.splitlines():
        match = SAMPLE.match(line)
        if match and not match[1].startswith(RUNTIME):
            found.setdefault(match[1], set()).update(LABEL.findall(match[2] or ""))
    return found


def live(urls):
    """What these addresses export together; certificates aren't verified here."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found = {}
    for url in urls:
        with urllib.request.urlopen(url, timeout=10, context=context if url.startswith("https") else None) as answer:
            for name, labels in exposition(answer.read().decode()).items():
                found.setdefault(name, set()).update(labels)
    return found


def read(name):
    """A file's list."""
    found = {}
    with open(os.path.join(FOLDER, name + ".txt"), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.partition("#")[0].strip()
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)\{([\w,]*)\}", line)
            if not line:
                continue
            if not match or match[1] in found:
                raise ValueError(f"{name}.txt:{number}: {line!r}: not name{{labels}}, or there twice")
            found[match[1]] = set(filter(None, match[2].split(",")))
    return found


def write(name, found, head):
    """A captured file, into METRICS_OUT."""
    with open(os.path.join(os.environ["METRICS_OUT"], name + ".txt"), "w", encoding="utf-8") as f:
        f.write(f"# {head}\n# Captured by test/k8s/metrics/capture.\n")
        f.writelines(f"{n}{{{','.join(sorted(labels))}}}\n" for n, labels in sorted(found.items()))


def missing(listed, exported):
    """Lines of the list that the exporter doesn't bear out."""
    return [f"{n}: not exported" if n not in exported else f"{n}: no label {sorted(labels - exported[n])}"
            for n, labels in sorted(listed.items()) if not labels <= exported.get(n, set()) or n not in exported]
