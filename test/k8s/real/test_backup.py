# SPDX-License-Identifier: PostgreSQL
"""pgBackRest by the very Jobs of the manifests, and a restore to a point in time.

Four members, the stanza Job, WAL that arrives, a full and a differential backup
from a replica, refused certificates, rows before and after a moment; then everything is stopped, one
volume is restored to that moment by restore.sh, and Patroni goes on with it.
"""
import os
import shutil
import time

import apiserver
import pgtier
from lib import check, equal, limit, until


def count(cluster, host="postgres-primary"):
    with pgtier.connect(cluster, host) as conn:
        return conn.execute("select count(*) from ledger").fetchone()[0]


def run(cluster, job):
    done = cluster.run_job("data", job, limit_s=180)
    equal(done.returncode, 0, f"{job}: {done.stdout[-3000:]}")
    return done.stdout


def archived(cluster):
    """Switch to a new WAL segment and wait until the old one is in the repository."""
    with pgtier.connect(cluster, "postgres-primary") as conn:
        last = conn.execute("select pg_walfile_name(pg_switch_wal())").fetchone()[0]

        def is_there():
            got = conn.execute("select last_archived_wal from pg_stat_archiver").fetchone()[0]
            return got is not None and got >= last
        until(f"{last} in the archive", 60, is_there, 0.5)


def restore(cluster, to):
    """restore.sh in a pod with the volume of postgres-0; what it said."""
    template = cluster.get("StatefulSet", "data", "postgres")["spec"]["template"]
    spec = template["spec"]
    spec["initContainers"], spec["restartPolicy"] = [], "Never"
    one = spec["containers"][0]
    spec["containers"] = [one]
    for name in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        del one[name]
    one["command"] = ["/bin/bash", "/etc/restore/restore.sh", to]
    one["volumeMounts"].append({"name": "restore", "mountPath": "/etc/restore"})
    spec["volumes"] += [{"name": "restore", "configMap": {"name": "pgbackrest-config"}},
                        {"name": "data", "persistentVolumeClaim": {"claimName": "data-postgres-0"}}]
    pod = cluster.pod_from("data", "restore", template).start()
    status = pod.container("postgres").wait(120)
    said = pod.log("postgres")
    pod.stop(grace=5)
    equal(status, 0, said[-3000:])
    return said


def refused(cluster, secret):
    """What the check says with another Secret in place of postgres-tls; it must fail."""
    def patch(template):
        next(v for v in template["spec"]["volumes"] if v["name"] == "tls")["secret"]["secretName"] = secret
    done = cluster.run_job("data", "pgbackrest-check", patch, limit_s=180)
    check(done.returncode != 0, f"{secret} is taken: {done.stdout[-2000:]}")
    return done.stdout


def check_certificates(cluster, sub):
    """Members and repository know each other by the CA, and who may ask by the certificate's name."""
    other = pgtier.foreign_authority(cluster)
    names = [f"DNS:postgres-0.{pgtier.NODES}"]
    with sub("backup::a_member_of_another_authority_is_refused"):
        pgtier.foreign_secret(cluster, "other-tls", {"ca.crt": other["crt"]})
        said = refused(cluster, "other-tls")
        check("unable to verify certificate" in said or "certificate verify failed" in said, said[-2000:])
    for what, authority, name in (("of_another_authority", other, "postgres"),
                                  ("with_another_name", cluster.authority, "somebody")):
        with sub(f"backup::a_client_{what}_is_refused"):
            made = apiserver.make_certificate(cluster.tls_folder, f"client-{what}", names, authority, name)
            pgtier.foreign_secret(cluster, "client-tls", {"tls.crt": made["crt"], "tls.key": made["key"]})
            said = refused(cluster, "client-tls")
            check("access denied" in said or "unknown ca" in said or "server closed" in said, said[-2000:])


@limit(500)
def test_backup(cluster, sub):
    pods = pgtier.start(cluster)
    with sub("backup::stanza_job_runs_twice"):
        run(cluster, "pgbackrest-stanza")
        run(cluster, "pgbackrest-stanza")
    with sub("backup::full_from_a_replica_then_differential"):
        check("backup command end: completed" in run(cluster, "pgbackrest-full"), "a full backup")
        with pgtier.connect(cluster, "postgres-primary") as conn:
            conn.execute("create table ledger as select g from generate_series(1, 1000) g")
        check("diff backup" in run(cluster, "pgbackrest-diff"), "a differential backup")
        run(cluster, "pgbackrest-check")
    check_certificates(cluster, sub)
    with sub("backup::restore_to_a_moment"):
        with pgtier.connect(cluster, "postgres-primary") as conn:
            conn.execute("insert into ledger select g from generate_series(1, 234) g")
            time.sleep(1)
            moment = conn.execute("select now()::text").fetchone()[0]
            time.sleep(1)
            conn.execute("delete from ledger")
        archived(cluster)
        equal(count(cluster), 0)
        for pod in reversed(pods):
            pod.stop(grace=30)
        said = restore(cluster, moment)
        check(f"restore: /var/lib/postgresql/data/pgdata is at {moment}" in said, said[-2000:])
    with sub("backup::patroni_goes_on_and_the_replica_is_copied_anew"):
        for n in (1, 2, 3):
            shutil.rmtree(os.path.join(cluster.scratch, "claims", f"data.data-postgres-{n}"))
        pods[0].start().wait_ready(120)
        until("a leader", 60, lambda: pods[0].labels.get("role") == "master", 0.5)
        equal(count(cluster), 1234)
        run(cluster, "postgres-config")
        pods[1].start().wait_ready(120)
        until("the replica's rows", 60, lambda: count(cluster, "postgres-1.postgres-nodes") == 1234, 1)
