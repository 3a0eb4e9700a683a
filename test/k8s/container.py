# SPDX-License-Identifier: PostgreSQL
"""One container of a pod: a root folder, volumes, a user, a process tree.

The image is this machine's root file system seen through a copy-on-write
overlay: Debian's packages stand for the image's content. Folders that hold
things of the machine (/tmp, /home, /run, /work, ...) are empty in it. The
process gets its own process namespace, the pod's network, the user, groups and
capabilities of its securityContext, and a read-only root when that asks for it.
"""
import os
import re
import signal
import subprocess
import time

HIDDEN = ["/tmp", "/run", "/home", "/root", "/work", "/mnt", "/srv", "/var/tmp", "/var/log",
          "/var/lib/postgresql", "/var/lib/redis", "/var/lib/pgbackrest", "/etc/pgweir"]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin"


def mount(*words):
    subprocess.run(["mount", *words], check=True, capture_output=True)


def expand(text, env):
    """$(NAME) as Kubernetes expands it: unknown names stay, $$ escapes."""
    def one(match):
        if match.group(0).startswith("$$"):
            return match.group(0)[1:]
        return env.get(match.group(1), match.group(0))
    return re.sub(r"\$?\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", one, text)


class Container:
    """A container's folder and, while it runs, its process."""

    def __init__(self, pod, spec, image, folder):
        self.pod, self.spec, self.image, self.folder = pod, spec, image, folder
        self.name = spec["name"]
        self.root = os.path.join(folder, "root")
        self.log_path = os.path.join(pod.log_dir, self.name + ".log")
        self.proc = None
        self.mounts = []
        self.env = {}
        self.restarts = 0

    # -- the root folder -------------------------------------------------

    def build_root(self, volumes, hosts):
        """Mount the overlay and the volumes; volumes: {name: path on this machine}."""
        for name in ("upper", "work", "root"):
            os.makedirs(os.path.join(self.folder, name))
        self.mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={self.folder}/upper,"
                   f"workdir={self.folder}/work", self.root)
        for path in HIDDEN:
            if os.path.isdir(self.root + path):
                self.mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", self.root + path)
        self.write_files()
        for one in self.spec.get("volumeMounts", []):
            self.add_volume(volumes[one["name"]], one)
        self.mount("--bind", "/dev", self.root + "/dev")
        self.mount("--bind", "/dev/shm", self.root + "/dev/shm")
        hosts(self.root + "/etc/hosts")
        self.bind_again_shm(volumes)
        if self.context("readOnlyRootFilesystem"):
            for path in ["/"] + [p for p in HIDDEN if os.path.ismount(self.root + p)]:
                if not any(m["mountPath"] == path for m in self.spec.get("volumeMounts", [])):
                    mount("-o", "remount,ro", self.root + path)

    def bind_again_shm(self, volumes):
        """/dev has just been bound over a volume at /dev/shm, if there is one."""
        for one in self.spec.get("volumeMounts", []):
            if one["mountPath"].rstrip("/").startswith("/dev/"):
                self.add_volume(volumes[one["name"]], one)

    def mount(self, *words):
        mount(*words)
        self.mounts.append(words[-1])

    def write_files(self):
        """Accounts, resolver, and what the test says is in the image."""
        user, uid, gid = self.image.get("user", "app"), self.uid(), self.gid()
        home = self.image.get("home", "/")
        files = {"/etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n{user}:x:{uid}:{gid}::{home}:/bin/sh\n"
                 "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
                 "/etc/group": f"root:x:0:\n{user}:x:{gid}:\nnogroup:x:65534:\n",
                 "/etc/resolv.conf": "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n",
                 "/etc/hostname": self.pod.name + "\n", "/etc/hosts": ""}
        for path, text in files.items():
            full = self.root + path
            if os.path.lexists(full):
                os.remove(full)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        for path, source in self.image.get("files", {}).items():
            os.makedirs(os.path.dirname(self.inside(path)), exist_ok=True)
            subprocess.run(["cp", "-aL", "--no-preserve=ownership", source, self.inside(path)], check=True)

    def add_volume(self, source, wish):
        """Bind a volume, or a part of it, at its mountPath."""
        if "subPath" in wish:
            source = os.path.join(source, wish["subPath"])
        target = self.inside(wish["mountPath"])
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8"):
                pass
        self.mount("--bind", source, target)
        if wish.get("readOnly"):
            mount("-o", "remount,bind,ro", target)

    def inside(self, path):
        """A path below the root; Debian's /var/run is a link that would lead out of it."""
        return self.root + (path[4:] if path.startswith(("/var/run/", "/var/lock/")) else path)

    def tear_down(self):
        for path in reversed(self.mounts):
            subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)
        self.mounts = []

    # -- who it is -------------------------------------------------------

    def context(self, field, default=None):
        own = self.spec.get("securityContext") or {}
        return own.get(field, (self.pod.spec.get("securityContext") or {}).get(field, default))

    def uid(self):
        return self.context("runAsUser", 0)

    def gid(self):
        return self.context("runAsGroup", 0)

    def as_user(self):
        """The setpriv words that make a process this container's user."""
        groups = {self.gid()}
        pod = self.pod.spec.get("securityContext") or {}
        groups.update(pod.get("supplementalGroups", []))
        if "fsGroup" in pod:
            groups.add(pod["fsGroup"])
        words = ["setpriv", f"--reuid={self.uid()}", f"--regid={self.gid()}",
                 "--groups=" + ",".join(str(g) for g in sorted(groups))]
        caps = self.context("capabilities") or {}
        if "ALL" in caps.get("drop", []):
            kept = ",".join("+" + c.lower() for c in caps.get("add", []))
            words += ["--bounding-set=-all" + ("," + kept if kept else ""), "--inh-caps=-all"]
        if self.context("allowPrivilegeEscalation", True) is False:
            words.append("--no-new-privs")
        return words

    def command(self):
        entry = self.spec.get("command") or self.image.get("entrypoint")
        args = self.spec.get("args")
        if args is None and not self.spec.get("command"):
            args = self.image.get("cmd", [])
        if not entry and not args:
            raise ValueError(f"{self.pod.name}/{self.name}: no command, and the image's isn't known")
        return [expand(str(w), self.env) for w in (entry or []) + (args or [])]

    # -- its process -----------------------------------------------------

    def environment(self):
        home = self.image.get("home", "/")
        return {"PATH": PATH, "HOME": home, "HOSTNAME": self.pod.name, "LC_ALL": "C.UTF-8", **self.env}

    def env_words(self):
        return ["env", "-i"] + [f"{k}={v}" for k, v in self.environment().items()]

    def start(self):
        """Start the container's command as process 1 of its own process namespace."""
        words = ["nsenter", "--net=" + self.pod.netns, "unshare", "--mount", "--pid", "--fork",
                 "--kill-child", f"--mount-proc={self.root}/proc", "--uts", "--ipc",
                 "sh", "-c", 'hostname "$0" 2>/dev/null; exec "$@"', self.pod.name,
                 "chroot", self.root, *self.env_words(), *self.as_user()]
        if self.spec.get("workingDir"):
            words += ["env", "-C", self.spec["workingDir"]]
        with open(self.log_path, "ab") as log:
            # A runtime gives these to the container's user, who may open /dev/stdout again.
            os.fchown(log.fileno(), self.uid(), self.gid())
            self.proc = subprocess.Popen(words + self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, start_new_session=True)

    def pid(self):
        """Process 1 of the container as this namespace numbers it; None when there is none."""
        if self.proc is None or self.proc.poll() is not None:
            return None
        try:
            with open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children", encoding="ascii") as f:
                children = f.read().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def pid_inside(self, seconds=40):
        """The same, once it has the container's root: it is a shell of this machine for a moment."""
        deadline = time.monotonic() + seconds
        while True:
            pid = self.pid()
            if pid is None:
                raise RuntimeError(f"{self.pod.name}/{self.name} isn't running")
            try:
                if os.stat(f"/proc/{pid}/root/").st_dev == os.stat(self.root).st_dev:
                    return pid
            except FileNotFoundError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.pod.name}/{self.name} hasn't started its program")
            time.sleep(0.02)

    def is_running(self):
        return self.proc is not None and self.proc.poll() is None

    def kill(self, signo=signal.SIGKILL):
        """A signal to the container's process 1; false when it is gone."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            os.kill(pid, signo)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds):
        """The exit status, or None when it still runs after the time."""
        try:
            return self.proc.wait(max(seconds, 0.01))
        except subprocess.TimeoutExpired:
            return None

    def exec(self, argv, timeout=60, stdin=None, env=None):
        """Run a command inside, as kubectl exec would; a CompletedProcess with text."""
        pid = self.pid_inside()
        env_words = self.env_words() + [f"{k}={v}" for k, v in (env or {}).items()]
        words = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--uts", "--ipc",
                 f"--root=/proc/{pid}/root", f"--wd=/proc/{pid}/root", *env_words, *self.as_user()]
        return subprocess.run(words + [str(a) for a in argv], input=stdin, capture_output=True,
                              text=True, timeout=timeout, check=False,
                              stdin=None if stdin is not None else subprocess.DEVNULL)

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def stop_signal(self):
        """What ends it: the pod's word, else the image's STOPSIGNAL."""
        name = (self.spec.get("lifecycle") or {}).get("stopSignal") or self.image.get("stop_signal", "SIGTERM")
        return getattr(signal, name)

    def stop(self, signo, seconds):
        """A signal, then SIGKILL when it doesn't end in time; the exit status, negative for a signal."""
        deadline = time.monotonic() + seconds
        # The process may not have been made yet.
        while self.is_running() and not self.kill(signo) and time.monotonic() < deadline:
            time.sleep(0.02)
        status = self.wait(deadline - time.monotonic())
        if status is None:
            self.kill(signal.SIGKILL)
            self.proc.kill()
            self.proc.wait()
            return -signal.SIGKILL
        return status
