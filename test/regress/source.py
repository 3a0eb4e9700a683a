# SPDX-License-Identifier: PostgreSQL
"""PostgreSQL's own tests: their source, and the two programs that are built from it.

Debian's source package of the installed PostgreSQL has them. It is fetched by
apt into a cache folder, from the very mirrors that this machine's apt knows,
with a source list and an index of our own: nothing outside the folder changes.
Where a mirror hasn't got the source of a fresh security update yet, that of
another minor release is taken: both runs, the direct one too, have the same.
pg_regress, pg_isolation_regress and isolationtester are in Debian's packages;
regress.so and libpq_pipeline are compiled here against the server's headers.
"""
import os
import shutil
import subprocess

MAJOR = "15"
BINDIR = f"/usr/lib/postgresql/{MAJOR}/bin"
PKGLIBDIR = f"/usr/lib/postgresql/{MAJOR}/lib"
PGXS = f"{PKGLIBDIR}/pgxs/src/test"
INCLUDE = "/usr/include/postgresql"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PARTS = ("src/test/regress", "src/test/isolation", "src/test/modules/libpq_pipeline")
INDEX_FORMAT = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
SECONDS = 300    # of one command: a download or a compilation


class SourceError(Exception):
    """The suite can't be had; the text says which step failed, and how."""


def command(argv, cwd, what):
    try:
        done = subprocess.run(argv, cwd=cwd, text=True, capture_output=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, env=dict(os.environ, LC_ALL="C.UTF-8"))
    except (OSError, subprocess.TimeoutExpired) as e:
        raise SourceError(f"{what}: {e}") from None
    if done.returncode:
        raise SourceError(f"{what}: {shlex_line(argv)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def shlex_line(argv):
    import shlex
    return " ".join(shlex.quote(a) for a in argv)


def installed_version():
    """Debian's version of the server that the tests run on."""
    return command(["dpkg-query", "-W", "-f", "${Version}", f"postgresql-{MAJOR}"], "/",
                   f"version of postgresql-{MAJOR}").strip()


def upstream_of(version):
    return version.partition("-")[0]


def write_source_list(path):
    """The deb-src lines that stand beside the machine's own deb lines of Debian."""
    rows = command(["apt-get", "indextargets", "--format", INDEX_FORMAT, "Created-By: Packages",
                    "Origin: Debian"], "/", "apt's own sources").splitlines()
    if not rows:
        raise SourceError("apt has no index of Debian: run apt-get update")
    signed = f"[signed-by={KEYRING}] " if os.path.exists(KEYRING) else ""
    with open(path, "w") as f:
        for row in sorted(set(rows)):
            f.write(f"deb-src {signed}{row}\n")


def tarball_of(folder, version):
    return os.path.join(folder, f"postgresql-{MAJOR}_{upstream_of(version)}.orig.tar.bz2")


def other_versions(options, folder, version):
    """Of the source packages that the index has besides this one, in its order."""
    text = command(["apt-cache", *options, "showsrc", f"postgresql-{MAJOR}"], folder, "versions of the source")
    known = [line.split()[1] for line in text.splitlines() if line.startswith("Version:")]
    return [v for v in dict.fromkeys(known) if v != version]


def download_first(options, folder, version):
    """The source of that version, else of another; the version that was to be had."""
    failure = None
    for candidate in [version, *other_versions(options, folder, version)]:
        try:
            if not os.path.exists(tarball_of(folder, candidate)):
                command(["apt-get", *options, "source", "--download-only", f"postgresql-{MAJOR}={candidate}"],
                        folder, f"source package of postgresql-{MAJOR} {candidate}")
            return candidate
        except SourceError as e:
            failure = failure or e
    raise failure


def download(folder, version):
    """The source package, checked by apt against Debian's signature; its version."""
    apt = os.path.join(folder, "apt")
    for sub in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(apt, sub), exist_ok=True)
    sources = os.path.join(apt, "sources.list")
    write_source_list(sources)
    options = ["-q", "-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=-",
               "-o", f"Dir::State::Lists={apt}/lists", "-o", f"Dir::Cache={apt}/cache",
               "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2"]
    command(["apt-get", *options, "update"], folder, "index of Debian's sources")
    found = download_first(options, folder, version)
    shutil.rmtree(apt)
    return found


def unpack(tarball, folder, name):
    """The parts that hold tests, under their own name only when they are whole."""
    part = os.path.join(folder, "unpacking")
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    command(["tar", "-xf", tarball, "-C", part, *(f"{name}/{p}" for p in PARTS)], folder,
            "unpacking the source")
    os.rename(os.path.join(part, name), os.path.join(folder, name))
    os.rmdir(part)


def compile_programs(tree, out):
    include = [f"-I{INCLUDE}/{MAJOR}/server", f"-I{INCLUDE}/internal", f"-I{INCLUDE}"]
    tests = os.path.join(tree, "src/test")
    command(["cc", "-O2", "-fPIC", "-shared", *include, f"{tests}/regress/regress.c", "-o",
             f"{out}/regress.so"], out, "regress.so")
    command(["cc", "-O2", *include, f"{tests}/modules/libpq_pipeline/libpq_pipeline.c", "-o",
             f"{out}/libpq_pipeline", f"-L{PKGLIBDIR}", "-lpgcommon", "-lpgport", "-lpq"], out,
            "libpq_pipeline")
    for name in ("autoinc.so", "refint.so"):    # contrib's, which the suite loads from beside
        shutil.copy(os.path.join(PKGLIBDIR, name), out)


def prepare(folder):
    """Everything in the cache folder, made if it isn't there: (tests' tree, programs' folder)."""
    server = version = installed_version()
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(tarball_of(folder, version)):
        version = download(folder, version)
    if version != server:
        print(f"# tests of {version}, server {server}", flush=True)
    name = f"postgresql-{upstream_of(version)}"
    tree = os.path.join(folder, name)
    programs = os.path.join(folder, f"programs-{version}-for-{server}")
    if not os.path.isdir(tree):
        unpack(tarball_of(folder, version), folder, name)
    if not os.path.isdir(programs):
        part = os.path.join(folder, "compiling")
        shutil.rmtree(part, ignore_errors=True)
        os.makedirs(part)
        compile_programs(tree, part)
        os.rename(part, programs)
    return os.path.join(tree, "src/test"), programs
