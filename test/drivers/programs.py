# SPDX-License-Identifier: PostgreSQL
"""Programs of our own, one per driver: what it does with statements, sessions and
pipelines, told on stdout. What is told through pgweir must be told on a direct
connection, word by word.

A program finds the server by libpq's variables (PGHOST is the folder of the Unix
socket; 127.0.0.1 serves too) and begins each part with a line `== name`. It tells
neither times nor PIDs.
"""
import os
import re
import shutil
import subprocess

from servers import Failed, run_bounded
from suites import HERE, PYTHON, Outcome, Suite, Unavailable, DATABASE

SOURCES = os.path.join(HERE, "programs")
SECONDS = 240         # of one run of a program
MAKE_SECONDS = 900    # of making one


def parts(text):
    """{name: what was told}"""
    pieces = re.split(r"(?m)^== (.+)$", text)
    return dict(zip(pieces[1::2], pieces[2::2]))


class Program(Suite):
    """argv runs it in the folder that its source was copied to; commands make it first."""

    def __init__(self, source, argv, packages=(), commands=()):
        self.source, self.argv, self.packages, self.commands = source, argv, packages, commands

    def prepare(self, build):
        super().prepare(build)
        if not self.argv[0].startswith("./") and not shutil.which(self.argv[0]):
            raise Unavailable(f"{self.argv[0]} isn't installed")

    def bring(self, folder):
        """What the program needs beside its source, in the folder of the run."""
        for command in self.commands:
            try:
                done = subprocess.run(["sh", "-c", command], cwd=folder, text=True, capture_output=True,
                                      timeout=MAKE_SECONDS, stdin=subprocess.DEVNULL)
            except subprocess.TimeoutExpired as e:
                raise Failed(f"{command}: not done in {MAKE_SECONDS} s") from e
            if done.returncode:
                raise Failed(f"{command}: {done.stdout}{done.stderr}")

    def run(self, place, label, port, pattern):
        folder = place.folder("tests", self.source)
        for name in os.listdir(SOURCES):
            if name.split(".")[0] == self.source and name != self.source:
                shutil.copy(os.path.join(SOURCES, name), folder)
        self.bring(folder)
        status, text = run_bounded(
            place, self.argv, place.path(f"{self.source}-{label}.log"), SECONDS, folder,
            PGHOST=place.dir, PGPORT=str(port), PGUSER=place.name, PGDATABASE=DATABASE,
            PGSSLMODE="disable")
        found = {name: Outcome(True, said=said) for name, said in parts(text).items()
                 if re.search(pattern, name)}
        found["end"] = Outcome(status == 0, f"exit status {status}\n{text[-2000:]}")
        return found


class Project(Program):
    """In a folder of its own."""

    def bring(self, folder):
        shutil.copytree(os.path.join(SOURCES, self.source), folder, dirs_exist_ok=True)
        super().bring(folder)


class Crate(Project):
    """Of Debian's crates alone; what was compiled is kept in the build folder."""

    def prepare(self, build):
        super().prepare(build)
        if not shutil.which("cargo"):
            raise Unavailable("cargo isn't installed")
        self.target = os.path.join(build, "cargo")
        self.commands = (f"CARGO_TARGET_DIR='{self.target}' cargo build --offline --quiet",
                         f"cp '{self.target}/debug/program' .")


class Node(Program):
    """With its packages, fetched once into the build folder."""

    def prepare(self, build):
        super().prepare(build)
        self.modules = os.path.join(build, "node")
        shutil.copytree(os.path.join(SOURCES, "node"), self.modules, dirs_exist_ok=True)
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                              cwd=self.modules, capture_output=True, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Unavailable("npm can't fetch: " + done.stderr.strip().splitlines()[-1])

    def bring(self, folder):
        if not os.path.exists(os.path.join(folder, "package.json")):    # the first of two runs
            shutil.copytree(self.modules, folder, dirs_exist_ok=True, symlinks=True)


JAR = "/usr/share/java/postgresql.jar"
PROGRAMS = {
    "psycopg3": Program("psycopg_3", [PYTHON, "-B", "psycopg_3.py"], ("python3-psycopg",)),
    "psycopg2": Program("psycopg_2", [PYTHON, "-B", "psycopg_2.py"], ("python3-psycopg2",)),
    "asyncpg": Program("asyncpg_", [PYTHON, "-B", "asyncpg_.py"], ("python3-asyncpg",)),
    "dbd-pg": Program("perl", ["perl", "perl.pl"], ("libdbd-pg-perl",)),
    "php": Program("php", ["php", "php.php"], ("php-cli", "php-pgsql")),
    "jdbc": Program("Jdbc", ["java", "-cp", f"{JAR}:.", "Jdbc"], ("libpostgresql-jdbc-java",),
                    (f"javac -cp {JAR} Jdbc.java",)),
    "tokio-postgres": Crate("tokio", ["./program"], (
        "librust-tokio-postgres-dev", "librust-tokio-dev", "librust-futures-util-dev")),
    "pg8000": Program("pg8000_", [PYTHON, "-B", "pg8000_.py"], ("python3-pg8000",)),
    "py-postgresql": Program("postgresql_", [PYTHON, "-B", "postgresql_.py"], ("python3-postgresql",)),
    "p1_pgsql": Program("p1_pgsql", ["escript", "p1_pgsql.escript"], ("erlang-p1-pgsql",)),
    "node": Node("node", ["node", "node.js"]),
    "libpqxx": Program("pqxx", ["./pqxx_"], ("libpqxx-dev",),
                       ("g++ -std=c++17 -O1 -o pqxx_ pqxx.cc $(pkg-config --cflags --libs libpqxx)",)),
    "ecpg": Program("ecpg", ["./ecpg_"], ("libecpg-dev",),
                    ("ecpg -o ecpg.c ecpg.pgc && "
                     "cc -O1 -o ecpg_ ecpg.c $(pkg-config --cflags --libs libecpg)",)),
    "odbc": Program("odbc", [PYTHON, "-B", "odbc.py"], ("python3-pyodbc", "odbc-postgresql")),
    "django": Project("django", [PYTHON, "-B", "program.py"], ("python3-django",)),
    "activerecord": Program("activerecord", ["ruby", "activerecord.rb"], ("ruby-activerecord",)),
    "ruby-pg": Program("ruby", ["ruby", "ruby.rb"], ("ruby-pg", "ruby-sequel")),
}
