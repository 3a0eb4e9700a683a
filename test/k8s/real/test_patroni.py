# SPDX-License-Identifier: PostgreSQL
"""The Patroni tier from the text of its manifests: roles, probes, settings, failover.

etcd and four members start from the StatefulSets with TLS and passwords as
shipped; the Job brings the settings; the leader's label moves the Service.
A primary whose certificate another authority signed is refused; passwords are
made anew by the shipped generator and take effect.
"""
import copy
import json
import os
import shutil

import psycopg

import pgtier
from lib import check, equal, limit, until


def roles(pods):
    """What each member answers to the paths that Services and probes may use."""
    return {path: sorted(pgtier.rest(p, path)[0] for p in pods) for path in ("/primary", "/replica")}


@limit(400)
def test_tier(cluster, sub):
    pods = pgtier.start(cluster)
    until("all replicas stream", 60, lambda: sorted(
        m["state"] for m in pgtier.members(pods[0]).values()) == ["running"] * 4, 1)
    with sub("patroni::one_primary_three_replicas"):
        equal(roles(pods), {"/primary": [200, 503, 503, 503], "/replica": [200, 200, 200, 503]})
    with sub("patroni::probes_pass_on_every_member"):
        for pod in pods:
            for kind in ("startup", "readiness", "liveness"):
                for container in ("postgres", "role-label", "pgbackrest"):
                    worked, said = pod.probe(kind, container)
                    check(worked, f"{pod.name}/{container} {kind}: {said}")
    with sub("patroni::rest_api_wants_its_password"):
        equal(pgtier.rest(pods[0], "/config", "-X", "PATCH", "-d", "{}")[0], 401)
    check_settings(cluster, pods, sub)
    check_roles_and_login(cluster, pods, sub)
    check_switchover_by_prestop(cluster, pods, sub)
    check_failover(cluster, pods, sub)
    check_certificates(cluster, pods, sub)
    check_rotation(cluster, pods, sub)


def check_settings(cluster, pods, sub):
    wanted = json.loads(cluster.get("ConfigMap", "data", "postgres-config")["data"]["dynamic.json"])
    with sub("patroni::settings_job_runs_twice"):
        for _ in range(2):
            done = cluster.run_job("data", "postgres-config")
            equal(done.returncode, 0, done.stdout)
            check("applied" in done.stdout, done.stdout)
        equal(json.loads(pgtier.rest(pods[0], "/config")[1])["postgresql"], wanted["postgresql"])
    with sub("patroni::settings_take_effect"):
        names = [n for n in wanted["postgresql"]["parameters"] if "." not in n]

        def differences():
            with pgtier.connect(cluster, "postgres-primary") as conn:
                return conn.execute(
                    "select name from pg_settings where name = any(%s) and not pending_restart and"
                    " source <> 'command line' and source <> 'configuration file'", (names,)).fetchall()

        until("reloaded settings", 40, lambda: differences() == [], 1)
        equal(pgtier.show(cluster, "postgres-primary", "work_mem"),
              wanted["postgresql"]["parameters"]["work_mem"])


def check_roles_and_login(cluster, pods, sub):
    with sub("patroni::labels_follow_roles"):
        def labels():
            return sorted(p.labels.get("role") or "none" for p in pods)
        until("labels", 30, lambda: labels() == ["master", "replica", "replica", "replica"], 0.5)
        equal(pgtier.leader(pods).labels["role"], "master")
        allowed = {(v, r) for v, _, r, _, _ in cluster.api.requests}
        equal(allowed, {("patch", "pods")})
    with sub("patroni::application_role_and_database"):
        with pgtier.connect(cluster, "postgres-primary", "finai", "app-password", "finai") as conn:
            equal(conn.execute("select current_user::text, current_database()::text").fetchone(),
                  ("finai", "finai"))
        with pgtier.connect(cluster, "postgres-primary", "pgweir", "pgweir-password") as conn:
            check(conn.execute("select pg_has_role('pg_monitor', 'member')").fetchone()[0], "pg_monitor")
    with sub("patroni::no_plain_connection"):
        try:
            psycopg.connect(host="postgres-primary.data.svc.cluster.local", user="finai", dbname="finai",
                            password=pgtier.password(cluster, "app-password"), sslmode="disable")
        except psycopg.OperationalError as e:
            check("no encryption" in str(e), str(e))
        else:
            raise AssertionError("a connection without TLS was let in")


def check_switchover_by_prestop(cluster, pods, sub):
    with sub("patroni::stopping_the_leader_switches_over"):
        old = pgtier.leader(pods)
        with pgtier.connect(cluster, "postgres-primary") as conn:
            conn.execute("create table if not exists kept (n int)")
            conn.execute("insert into kept values (1)")
        ended = old.stop()
        check("Successfully" in old.hooks["postgres"][1], f"{old.hooks} {ended}")
        new = pgtier.leader(pods, 30, but=old)
        until("the Service follows", 30, lambda: new.labels.get("role") == "master", 0.5)
        old.start().wait_ready(120)
        until("the old leader replicates", 60, lambda: pgtier.rest(old, "/replica")[0] == 200, 0.5)
        with pgtier.connect(cluster, "postgres-primary") as conn:
            equal(conn.execute("select count(*) from kept").fetchone()[0], 1)


def check_failover(cluster, pods, sub):
    with sub("patroni::killed_leader_is_replaced"):
        old = pgtier.leader(pods)
        with pgtier.connect(cluster, "postgres-primary") as conn:
            conn.execute("insert into kept values (2)")
        old.crash()
        new = pgtier.leader(pods, 90, but=old)
        until("the Service follows", 30, lambda: new.labels.get("role") == "master", 0.5)
        with pgtier.connect(cluster, "postgres-primary") as conn:
            equal(conn.execute("select count(*) from kept").fetchone()[0], 2)
            conn.execute("insert into kept values (3)")
        for pod in pods:
            if pod not in (old, new):
                worked, said = pod.probe("readiness", "postgres")
                check(worked, said)
    with sub("patroni::the_old_leader_comes_back_as_replica"):
        old.start().wait_ready(120)
        until("roles", 90, lambda: roles(pods) == {"/primary": [200, 503, 503, 503],
                                                   "/replica": [200, 200, 200, 503]}, 1)
        until("the rows", 30, lambda: count_rows(cluster, old.name) == 3, 0.5)


def count_rows(cluster, pod):
    try:
        with pgtier.connect(cluster, f"{pod}.postgres-nodes") as conn:
            return conn.execute("select count(*) from kept").fetchone()[0]
    except psycopg.OperationalError:
        return None


def check_certificates(cluster, pods, sub):
    with sub("patroni::members_verify_each_other"):
        for pod in pods:
            if pgtier.rest(pod, "/replica")[0] == 200:
                with pgtier.connect(cluster, f"{pod.name}.postgres-nodes") as conn:
                    said = conn.execute("show primary_conninfo").fetchone()[0]
                check("sslmode=verify-full" in said and "sslrootcert=/etc/postgres-tls/ca.crt" in said, said)
                check(f".{pgtier.NODES}" in said, said)
        with pgtier.connect(cluster, "postgres-primary") as conn:
            equal(conn.execute("select count(*) from pg_stat_ssl s join pg_stat_replication r using (pid)"
                               " where not s.ssl").fetchone(), (0,))
    with sub("patroni::a_primary_of_another_authority_is_refused"):
        pod = next(p for p in pods if pgtier.rest(p, "/replica")[0] == 200)
        pod.stop(grace=30)
        shutil.rmtree(os.path.join(cluster.scratch, "claims", f"data.data-{pod.name}"))
        shipped, spec = cluster.get("ConfigMap", "data", "patroni-config"), copy.deepcopy(pod.spec)
        wrong = copy.deepcopy(shipped)
        trusted = "replication: {sslmode: verify-full, sslrootcert: /etc/postgres-tls/ca.crt}"
        check(trusted in wrong["data"]["patroni.yml"], "patroni.yml has another text")
        wrong["data"]["patroni.yml"] = wrong["data"]["patroni.yml"].replace(
            trusted, trusted.replace("/etc/postgres-tls", "/etc/other-tls"))
        cluster.apply(wrong)
        pgtier.foreign_secret(cluster, "other-tls", {"ca.crt": pgtier.foreign_authority(cluster)["crt"]})
        pod.spec["volumes"].append({"name": "other", "secret": {"secretName": "other-tls"}})
        pod.container_spec("postgres")["volumeMounts"].append({"name": "other", "mountPath": "/etc/other-tls"})
        pod.start()
        until("a refused copy", 60, lambda: "certificate verify failed" in pod.log("postgres"), 0.5)
        check(pgtier.rest(pod, "/readiness")[0] != 200, "a copy of a primary that isn't trusted")
        pod.stop(grace=10)
        pod.spec = spec
        cluster.apply(shipped)
        pod.start().wait_ready(120)


def check_rotation(cluster, pods, sub):
    """As k8s/README.md says: generate, ALTER ROLE on the leader, the Secret."""
    places = [f"data/postgres-credentials/{key}-password" for key in ("app", "pgweir", "replication")]
    with sub("patroni::rotated_passwords_take_effect"):
        old = pgtier.password(cluster, "app-password")
        cluster.make_secrets(*(word for place in places for word in ("--rotate", place)))
        done = pgtier.leader(pods).exec("postgres", [
            "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "/run/postgresql", "-U", "postgres"],
            stdin=cluster.make_secrets("--sql"))
        equal(done.returncode, 0, done.stderr)
        check(pgtier.password(cluster, "app-password") != old, "no new password")
        for user, key in (("finai", "app-password"), ("pgweir", "pgweir-password"), ("postgres", "superuser-password")):
            pgtier.connect(cluster, "postgres-primary", user, key).close()
        try:
            psycopg.connect(host="postgres-primary.data.svc.cluster.local", user="finai", dbname="finai", password=old,
                            sslmode="require")
        except psycopg.OperationalError as e:
            check("authentication failed" in str(e), str(e))
        else:
            raise AssertionError("the old password is still taken")
    with sub("patroni::a_replica_comes_back_with_the_new_password"):
        pod = next(p for p in pods if pgtier.rest(p, "/replica")[0] == 200)
        pod.stop(grace=30)
        pod.start().wait_ready(120)

        def streams():
            with pgtier.connect(cluster, "postgres-primary") as conn:
                return conn.execute("select count(*) from pg_stat_replication where application_name = %s",
                                    (pod.name,)).fetchone() == (1,)
        until("the replica streams", 60, streams, 0.5)
