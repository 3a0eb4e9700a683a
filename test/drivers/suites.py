# SPDX-License-Identifier: PostgreSQL
"""The suites: where each comes from, how it is run, what came out, test by test.

A suite is prepared once, in the build folder, and run against a directory of a
Unix socket and a port. Everything comes by Debian's packages: Go's drivers and
SQLAlchemy ship their tests in the package.
"""
import os
import re
import shutil
import subprocess

from servers import Failed, run_bounded

HERE = os.path.dirname(os.path.realpath(__file__))
PYTHON = "/usr/bin/python3"
DATABASE = "app"
SECONDS = 1500    # of one run of a suite


class Unavailable(Exception):
    """The suite can't be had here; the text says why."""


class Outcome:
    """Whether a test passed, and what it said if not. None for is_ok: it was skipped.
    said: what must be the same in both runs."""

    def __init__(self, is_ok, text="", said=""):
        self.is_ok, self.text, self.said = is_ok, text, said


def installed(package):
    """The package's version, for names of what is made from it."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status} ${Version}", package],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode or " installed " not in done.stdout:
        raise Unavailable(f"{package} isn't installed: scripts/deps drivers")
    return done.stdout.split()[-1]


def cut(text, patterns):
    """{name: Outcome} by lines that begin a test and lines that end it."""
    begin, end = (re.compile(p) for p in patterns)
    found, said, name = {}, {}, None
    for line in text.splitlines():
        match = begin.match(line)
        if match:
            name = match.group(1)
        ended = end.match(line)
        if ended:
            word, which = ended.group("word"), ended.group("name")
            is_ok = None if word.upper() in ("SKIP", "SKIPPED") else word.upper() in (
                "PASS", "PASSED", "OK", "XFAIL", "XPASS", "EXPECTED FAILURE")
            found[which] = Outcome(is_ok)
        elif name and not match:
            said.setdefault(name, []).append(line)
    for which, outcome in found.items():
        outcome.text = "\n".join(said.get(which, []))
    return found


class Suite:
    packages = ()

    def prepare(self, build):
        """Makes what the runs need; raises Unavailable."""
        self.versions = [installed(p) for p in self.packages]

class Go(Suite):
    """A Go package's tests, compiled once. The sources lie in Debian's GOPATH."""

    def __init__(self, package, debian, left_out=()):
        self.package, self.left_out = package, left_out
        self.packages = (debian, "golang-go")

    def prepare(self, build):
        super().prepare(build)
        path = os.path.join(build, "go")
        self.folder = os.path.join(path, "src/github.com", self.package)
        name = f"{self.package.replace('/', '-')}-{self.versions[0]}.test"
        self.program = os.path.join(build, name)
        if os.path.exists(self.program):
            return
        shutil.copytree("/usr/share/gocode/src", os.path.join(path, "src"), dirs_exist_ok=True)
        env = dict(os.environ, GOPATH=path, GO111MODULE="off", GOFLAGS="",
                   GOCACHE=os.path.join(build, "go-cache"))
        done = subprocess.run(["go", "test", "-c", "-o", self.program,
                               f"github.com/{self.package}"], cwd=path, env=env, text=True,
                              capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Failed(f"go test -c {self.package}: {done.stdout}{done.stderr}")

    def tests(self, program, place):
        names = place.command([program, "-test.list", ".*"]).split()
        return [name for name in names if name not in self.left_out]

    def run(self, place, label, port, pattern):
        program = place.path(os.path.basename(self.program))
        shutil.copy(self.program, program)
        os.chmod(program, 0o755)
        folder = place.path("tests", self.package.replace("/", "-"))
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        names = [n for n in self.tests(program, place) if re.search(pattern, n)]
        if not names:
            return {}
        conninfo = f"host={place.dir} port={port} user={place.name} dbname={DATABASE}"
        argv = [program, "-test.v", "-test.timeout", f"{SECONDS}s", "-test.parallel", "4",
                "-test.run", f"^({'|'.join(names)})$"]
        _status, text = run_bounded(
            place, argv, place.path(f"{os.path.basename(folder)}-{label}.log"), SECONDS, folder,
            PGHOST=place.dir, PGPORT=str(port), PGUSER=place.name, PGDATABASE=DATABASE,
            PGSSLMODE="disable", PGX_TEST_DATABASE=conninfo)
        return cut(text, (r"=== (?:RUN|CONT|NAME) +(\S+)",
                          r"\s*--- (?P<word>PASS|FAIL|SKIP): (?P<name>\S+)"))


class SqlAlchemy(Suite):
    """The tests that SQLAlchemy ships for dialects, by psycopg2."""

    packages = ("python3-sqlalchemy", "python3-pytest", "python3-psycopg2")

    def run(self, place, label, port, pattern):
        folder = place.path("tests", "sqlalchemy")
        shutil.copytree(os.path.join(HERE, "sqlalchemy"), folder, dirs_exist_ok=True)
        for schema in ("test_schema", "test_schema_2"):
            place.sql(port, DATABASE, f"CREATE SCHEMA {schema}")
        chosen = ["-k", pattern] if pattern else []
        uri = f"postgresql+psycopg2://{place.name}@/{DATABASE}?host={place.dir}&port={port}"
        _status, text = run_bounded(
            place, [PYTHON, "-B", "-m", "pytest", "-v", "-rf", "--dburi", uri, *chosen],
            place.path(f"sqlalchemy-{label}.log"), SECONDS, folder)
        return cut(text, (r"_{4,} (\S+) _{4,}$",
                          r"test_suite\.py::(?P<name>\S+) (?P<word>[A-Z]+)"))


SUITES = {
    "lib-pq": Go("lib/pq", "golang-github-lib-pq-dev",
                 # looks at the owner of a file
                 left_out=("TestHasCorrectRootGroupPermissions",)),
    "pgx": Go("jackc/pgx/v4", "golang-github-jackc-pgx-v4-dev",
              # minutes of one NOTIFY after the other, and no database
              left_out=("TestListenNotifyWhileBusyIsSafe",)),
    "sqlalchemy": SqlAlchemy(),
}
