# SPDX-License-Identifier: PostgreSQL
"""The three suites: how each is run, and what came out, test by test.

A suite runs twice, directly and through pgweir, with the same other clients at
work; `run_*` give a dict of test to Outcome. pg_regress and pg_isolation_regress
do the first two themselves, libpq_pipeline's tests are called one by one.
"""
import os
import re
import shutil

from source import BINDIR, PGXS
from servers import Failed, run_bounded

HERE = os.path.dirname(os.path.realpath(__file__))
LINE = re.compile(r"^(?:test|    ) (\S+)\s+\.\.\. (ok|FAILED|failed)\b(.*)")
# What pg_regress sets on a database that it makes itself.
DATABASE_SETTINGS = ("lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'",
                     "lc_time TO 'C'", "bytea_output TO 'hex'",
                     "timezone_abbreviations TO 'Default'")
# The suites' outputs have these names in them.
DATABASES = {"regress": "regression", "isolation": "isolation_regression", "pipeline": "pipeline"}
PIPELINE_ROWS = "700"
STEP_SECONDS = "60"    # of a step of the isolation tests that doesn't end
TRACED = ("simple_pipeline", "nosync", "multi_pipelines", "prepared", "singlerow",
          "pipeline_abort", "pipeline_idle", "transaction", "disallowed_in_pipeline")


class Outcome:
    """What one test did: whether it passed, its output, and how that differs from what it must."""

    def __init__(self, is_ok, output, diff):
        self.is_ok, self.output, self.diff = is_ok, output, diff


def make_database(place, port, name):
    """The other clients work in it too, so that they share the pool's servers."""
    place.sql(port, "postgres", f'CREATE DATABASE "{name}" TEMPLATE template0')
    place.sql(port, "postgres", *(f'ALTER DATABASE "{name}" SET {s}' for s in DATABASE_SETTINGS))


def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def diffs_by_test(path):
    """pg_regress's regression.diffs cut into the tests' parts."""
    parts = {}
    name = None
    for line in read(path).splitlines(keepends=True):
        match = re.match(r"diff -U3 \S+ \S+/results/(\S+)\.out$", line)
        if match:
            name = match.group(1)
        if name:
            parts[name] = parts.get(name, "") + line
    return parts


def outcomes(text, out):
    """From the lines of pg_regress and its output folder."""
    diffs = diffs_by_test(os.path.join(out, "regression.diffs"))
    found = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            name, verdict, rest = match.groups()
            output = read(os.path.join(out, "results", f"{name}.out"))
            found[name] = Outcome(verdict == "ok" or "ignored" in rest, output,
                                  diffs.get(name, rest.strip()))
    return found


def pg_regress(run, program, suite, label, port, schedule, extra):
    place = run.place
    out = place.folder(f"{suite}-{label}")
    argv = [program, f"--bindir={BINDIR}", "--use-existing", f"--dbname={DATABASES[suite]}",
            f"--host={place.dir}", f"--port={port}", f"--user={place.name}",
            f"--inputdir={place.path('tests', suite)}", f"--outputdir={out}",
            f"--schedule={schedule}", f"--max-connections={run.jobs}", *extra]
    status, text = run_bounded(place, argv, place.path(f"{suite}-{label}.log"), run.seconds,
                               PGISOLATIONTIMEOUT=STEP_SECONDS)
    found = outcomes(text, out)
    if not found or status not in (0, 1):
        raise Failed(f"{suite} {label}: status {status}\n{text[-3000:]}")
    return found


def schedule_of(run, suite, full):
    """The whole schedule, the quick one, or the chosen tests behind those that they stand on."""
    source = run.place.path("tests", suite, full)
    if run.quick:
        source = os.path.join(HERE, f"quick-{suite}")
    groups = [line[5:].split() for line in read(source).splitlines() if line.startswith("test:")]
    if run.patterns and suite == "regress":
        base = read(os.path.join(HERE, "base-regress")).split()
        groups = [[name] for name in base] + [
            [name for name in group if name not in base and run.wants(name)] for group in groups]
    elif run.patterns:
        groups = [[name for name in group if run.wants(name)] for group in groups]
    path = run.place.path(f"schedule-{suite}")
    with open(path, "w") as f:
        f.writelines(f"test: {' '.join(group)}\n" for group in groups if group)
        if any("random" in group for group in groups):
            f.write("ignore: random\n")
    return path if any(groups) else None


def run_regress(run, label, port):
    schedule = schedule_of(run, "regress", "parallel_schedule")
    if not schedule:
        return {}
    return pg_regress(run, f"{PGXS}/regress/pg_regress", "regress", label, port, schedule,
                      [f"--dlpath={run.place.path('programs')}"])


def run_isolation(run, label, port):
    schedule = schedule_of(run, "isolation", "isolation_schedule")
    if not schedule:
        return {}
    return pg_regress(run, f"{PGXS}/isolation/pg_isolation_regress", "isolation", label, port,
                      schedule, [])


def run_pipeline(run, label, port):
    """Each of libpq_pipeline's tests, with the trace of its messages where one is expected."""
    place = run.place
    program = place.path("programs", "libpq_pipeline")
    traces = place.folder(f"pipeline-{label}")
    found = {}
    for name in place.command([program, "tests"]).split():
        if not run.wants(name):
            continue
        trace = os.path.join(traces, f"{name}.trace")
        traced = ["-t", trace] if name in TRACED else []
        conninfo = f"host={place.dir} port={port} user={place.name} dbname={DATABASES['pipeline']}"
        status, text = run_bounded(place, [program, "-r", PIPELINE_ROWS, *traced, name, conninfo],
                                   place.path(f"pipeline-{label}-{name}.log"), 60)
        want = read(place.path("tests", "modules", "libpq_pipeline", "traces", f"{name}.trace"))
        same = not traced or read(trace) == want
        found[name] = Outcome(status == 0 and same, text + (read(trace) if traced else ""),
                              text[-1500:] + ("" if same else f"its trace isn't {name}.trace"))
    return found


SUITES = {"regress": run_regress, "isolation": run_isolation, "pipeline": run_pipeline}


def give_tests(place, tests, programs):
    """Copies that the servers' user can read."""
    for source, name in ((tests, "tests"), (programs, "programs")):
        shutil.copytree(source, place.path(name), dirs_exist_ok=True)
