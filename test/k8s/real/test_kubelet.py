# SPDX-License-Identifier: PostgreSQL
"""The little cluster itself: what the other tests lean on must be so.

A pod of a shell is given what pods of the manifests ask for, and says what it
sees: user, capabilities, read-only root, volumes, names, probes, restarts, the
order of its end, a Service that follows readiness.
"""
import os
import socket
import subprocess
import threading

from lib import check, equal, limit, needs, quick, until

SHELL = {"name": "main", "image": "test/shell:1",
         "command": ["/bin/sh", "-c", "trap 'echo terminated; exit 7' TERM; echo started; "
                     "while :; do sleep 0.1; done"],
         "securityContext": {"runAsUser": 4321, "runAsGroup": 4322, "allowPrivilegeEscalation": False,
                             "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
         "env": [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                 {"name": "GREETING", "value": "I am $(WHO)"}],
         "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
         "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo hook >/tmp/hook"]}}}}


def template(**changes):
    return {"metadata": {"labels": {"app": "shell"}},
            "spec": {"containers": [{**SHELL, **changes}], "automountServiceAccountToken": False,
                     "terminationGracePeriodSeconds": 5, "securityContext": {"fsGroup": 4999},
                     "volumes": [{"name": "tmp", "emptyDir": {}}]}}


@quick
def test_what_a_container_sees(cluster):
    pod = cluster.pod_from("default", "shell-0", template()).start()
    pod.wait_ready(20)
    out = pod.exec(None, ["sh", "-c", "id -u; id -g; id -G; echo $GREETING; ps ax | wc -l; "
                          "grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; "
                          "touch /x 2>&1; touch /etc/x 2>&1; touch /tmp/y && echo written; cat /etc/hostname"])
    lines = out.stdout.splitlines()
    equal(lines[:3], ["4321", "4322", "4322 4999"])
    equal(lines[3], "I am shell-0")
    check("0000000000000000" in out.stdout, f"capabilities: {out.stdout}")
    check("NoNewPrivs:\t1" in out.stdout, f"no new privileges: {out.stdout}")
    equal(out.stdout.count("Read-only file system"), 2, out.stdout)
    check("written" in lines, out.stdout)
    ended = pod.stop()
    equal(ended, {"main": 7})
    equal(pod.hooks["main"][0], True, str(pod.hooks))
    check("terminated" in pod.log(), pod.log())


@quick
def test_restart_and_crash(cluster):
    pod = cluster.pod_from("default", "shell-1", template()).start()
    pod.wait_ready(20)
    pod.kill()
    until("a restarted container", 20, lambda: pod.container().restarts == 1 and pod.is_ready())
    pod.crash()
    equal(pod.phase, "stopped")


@quick
def test_a_start_that_fails_is_tried_again(cluster):
    pod = cluster.pod_from("default", "shell-2", template()).start()
    pod.wait_ready(20)

    def fails(_):
        del pod.launch
        raise OSError("no room")
    pod.launch = fails
    pod.kill()
    until("a restarted container", 20, lambda: pod.container().restarts == 2 and pod.is_ready())
    check("no room" in pod.error, f"it said {pod.error}")
    pod.stop(grace=1)


@quick
@limit(90)
def test_a_service_follows_readiness(cluster):
    cluster.apply({"apiVersion": "v1", "kind": "Service",
                   "metadata": {"name": "echo", "namespace": "default"},
                   "spec": {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": "web"}]}})
    text = template(command=["/usr/bin/python3", "-m", "http.server", "8000", "--directory", "/tmp"],
                    ports=[{"name": "web", "containerPort": 8000}],
                    readinessProbe={"exec": {"command": ["test", "!", "-e", "/tmp/unready"]},
                                    "periodSeconds": 1, "failureThreshold": 1})
    text["metadata"]["labels"] = {"app": "echo"}
    pod = cluster.pod_from("default", "echo-0", text).start().wait_ready(20)

    def answers():
        try:
            with socket.create_connection(("echo.default.svc.cluster.local", 80), 2) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return s.recv(15).startswith(b"HTTP/1.0 200")
        except OSError:
            return False

    until("an answer through the Service", 10, answers)
    pod.exec(None, ["touch", "/tmp/unready"])
    until("no endpoint", 10, lambda: not pod.is_ready() and not answers())
    pod.exec(None, ["rm", "/tmp/unready"])
    until("the endpoint again", 10, answers)
    pod.stop()
    check(not answers(), "an answer from a stopped pod")
    pod.start().wait_ready(20)
    until("an answer of the new pod", 10, answers)
    cluster.endpoint_lag_s = 3
    pod.spec["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 4}}}
    ending = threading.Thread(target=pod.stop)
    ending.start()
    until("the end's begin", 5, lambda: pod.phase == "terminating")
    check(answers(), "the Service has forgotten the ending pod at once")
    until("no endpoint after the lag", 10, lambda: not answers())
    check(pod.phase == "terminating", "it was the pod that ended, not the lag")
    ending.join()
    cluster.endpoint_lag_s = 0


@quick
@needs("kubectl")
@limit(90)
def test_kubectl_reads_and_executes(cluster):
    pod = cluster.pod_from("default", "shell-2", template()).start()
    pod.wait_ready(20)
    env = {**os.environ, "KUBECONFIG": cluster.kubeconfig()}

    def kubectl(*words, **options):
        return subprocess.run(["kubectl", *words], env=env, capture_output=True, text=True, timeout=60, check=False,
                              **options)

    said = kubectl("get", "pods", "-l", "app=shell", "-o",
                   'jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}')
    check("shell-2 True\n" in said.stdout, f"{said}")
    said = kubectl("exec", "-i", "shell-2", "-c", "main", "--", "sh", "-c", "cat; echo err >&2; exit 3", input="x" * 70000)
    equal((said.returncode, said.stdout), (3, "x" * 70000), said.stderr)
    check("err" in said.stderr, said.stderr)
    equal(kubectl("exec", "shell-2", "--", "id", "-u").stdout, "4321\n")
    check(kubectl("exec", "gone", "--", "id").returncode != 0, "a pod that isn't there")
    said = kubectl("get", "secret", "-n", "data", "postgres-credentials", "-o", "jsonpath={.data.restapi-username}")
    equal(said.stdout, "cGF0cm9uaQ==", said.stderr)
    equal(kubectl("get", "secret", "-n", "data", "gone", "--ignore-not-found").returncode, 0)
    pod.stop()
