# SPDX-License-Identifier: PostgreSQL
"""Other drivers in transaction mode: libpq pipelines, node-postgres, JDBC, psql, pgbench."""
import os
import shutil
import subprocess

from lib import Skip, equal, limit, needs, patient, quick
import servers

HERE = os.path.dirname(os.path.realpath(__file__))
OPTIONS = {"default_pool_size": 4}
JDBC_JAR = "/usr/share/java/postgresql.jar"


def run(argv, seconds=100, **kw):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=patient(seconds),
                          stdin=subprocess.DEVNULL, **kw)
    equal(done.returncode, 0, (done.stdout + done.stderr)[-3000:])
    return done.stdout


@quick
@needs("cc", "pkg-config")
@limit(90)
def test_libpq_pipeline(weir, folder):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libpq"], text=True,
                           capture_output=True, stdin=subprocess.DEVNULL)
    if flags.returncode:
        raise Skip("libpq-dev isn't installed")
    program = os.path.join(folder, "pipeline")
    run(["cc", "-Wall", "-Wextra", "-O1", "-o", program, os.path.join(HERE, "c", "pipeline.c"),
         *flags.stdout.split()])
    run([program, weir.url()])


@needs("node", "npm")
@limit(240)
def test_node_postgres(weir, folder):
    place = os.path.join(folder, "node")
    shutil.copytree(os.path.join(HERE, "node"), place, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("node_modules"))
    fetched = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                             cwd=place, capture_output=True, text=True, timeout=patient(120),
                             stdin=subprocess.DEVNULL)
    if fetched.returncode:
        raise Skip("npm can't fetch pg: " + fetched.stderr.strip().splitlines()[-1])
    run(["node", "client.js"], cwd=place, env=dict(os.environ, DATABASE_URL=weir.url()))


@needs("java", "javac")
@limit(180)
def test_jdbc(weir, folder):
    if not os.path.exists(JDBC_JAR):
        raise Skip("libpostgresql-jdbc-java isn't installed")
    classes = os.path.join(folder, "jdbc")
    run(["javac", "-cp", JDBC_JAR, "-d", classes, os.path.join(HERE, "jdbc", "Drive.java")])
    run(["java", "-cp", f"{classes}:{JDBC_JAR}", "Drive",
         f"jdbc:postgresql://127.0.0.1:{weir.port}/app", "app", servers.USERS["app"]])


@quick
@limit(90)
def test_psql(weir):
    psql = [servers.PG_BIN + "/psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", weir.url()]
    out = run(psql + ["-c", "CREATE TABLE psql_t(k int)", "-c", "INSERT INTO psql_t VALUES (1)",
                      "-c", "SELECT count(*) FROM psql_t", "-c", "\\d psql_t", "-c", "\\dt",
                      "-c", "\\copy (SELECT generate_series(1,3)) TO STDOUT",
                      "-c", "DROP TABLE psql_t"])
    equal(out.splitlines()[2], "1")


@limit(180)
def test_pgbench(weir, sub):
    pgbench = servers.PG_BIN + "/pgbench"
    env = dict(os.environ, PGPASSWORD=servers.USERS["app"])
    common = [pgbench, "-h", "127.0.0.1", "-p", str(weir.port), "-U", "app"]
    with sub("drivers::pgbench -i"):
        run(common + ["-i", "-q", "-s", "2", "app"], env=env)
    for protocol in ("simple", "extended", "prepared"):
        for script in ([], ["-S"]):
            with sub(f"drivers::pgbench {protocol} {' '.join(script)}"):
                out = run(common + ["-n", "-c", "10", "-j", "1", "-t", "100", "-M", protocol,
                                    *script, "app"], env=env)
                equal("1000/1000" in out, True, out)
    with sub("drivers::pgbench keeps its books"), weir.connect() as conn:
        equal(conn.execute("SELECT (SELECT sum(abalance) FROM pgbench_accounts) = "
                           "(SELECT sum(delta) FROM pgbench_history)").fetchone(), (True,))
