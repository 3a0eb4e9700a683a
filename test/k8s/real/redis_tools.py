# SPDX-License-Identifier: PostgreSQL
"""What the tests of both Redis sets share: redis-cli as a user of the Secret, in a pod."""
from lib import until

SECRET = ("cache", "redis-credentials")


def credentials(cluster):
    """The Secret's values as text."""
    return {key: value.decode() for key, value in cluster.secrets[SECRET].items()}


def cli(pod, *words, user="default", port=6379, host="127.0.0.1"):
    """redis-cli in a pod; its answer without the end of line."""
    secret = credentials(pod.cluster)
    key = "sentinel-password" if port == 26379 else f"{user}-password"
    env = "env REDISCLI_AUTH=" + secret[key]
    as_user = [] if user == "default" or port == 26379 else ["--user", user]
    done = pod.exec(None, env.split() + ["redis-cli", "-h", host, "-p", str(port)] + as_user + list(words))
    return (done.stdout + done.stderr).replace("\r", "").strip()


def role(pod):
    """master, slave, or '' when it doesn't answer."""
    lines = cli(pod, "role").splitlines()
    return lines[0] if lines and lines[0] in ("master", "slave") else ""


def field(text, name):
    """A line name:value of INFO or CLUSTER INFO."""
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return line[len(name) + 1:]
    return None


def masters(pods):
    return [p for p in pods if p.phase == "running" and role(p) == "master"]


def all_ready(what, pods, seconds=90):
    until(what, seconds, lambda: all(p.is_ready() for p in pods), 0.3)
