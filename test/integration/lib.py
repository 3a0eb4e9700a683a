# SPDX-License-Identifier: PostgreSQL
"""A tiny test framework: files test_*.py with functions test_*, TAP on stdout.

A test function names what it needs as parameters, like `weir` (a pgweir that
is started once per file with the file's OPTIONS), `tier`, `sub` (a context
manager that makes a counted sub-test) or `start` (starts another pgweir).
Marks: @quick puts a test into the quick set, @long leaves it out unless a pattern
or --long asks for it, @needs skips without a program, @limit sets its time limit. A failing check raises; the rest of the file runs.
"""
import contextlib
import importlib
import inspect
import shutil
import signal
import sys
import time
import traceback


class Skip(Exception):
    """Raised by a test that can't run here; the text says why."""


class TimeLimit(BaseException):
    """The test took too long; no `except Exception` of a test may eat it."""


def quick(func):
    func.is_quick = True
    return func


def long(func):
    func.is_long = True
    return func


def limit(seconds):
    def mark(func):
        func.limit_s = seconds
        return func
    return mark


def needs(*programs):
    def mark(func):
        func.programs = programs
        return func
    return mark


def equal(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what + ': ' if what else ''}got {got!r}, want {want!r}")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(sqlstate, func, *args, text=None):
    """Call func; it must fail with this SQLSTATE, and with this in its text."""
    import psycopg
    try:
        func(*args)
    except psycopg.Error as e:
        state = e.sqlstate or getattr(e.diag, "sqlstate", None)
        said = str(e)
        if sqlstate and state is None:
            # libpq keeps no SQLSTATE of a failed log-in; the text must do.
            check(text is not None, f"no SQLSTATE in {said!r} and no text to compare")
        elif sqlstate:
            equal(state, sqlstate, said.strip())
        if text is not None:
            check(text in said, f"got {said!r}, want {text!r} in it")
        return e
    raise AssertionError(f"no error, want {sqlstate} {text or ''}")


# What every wait is stretched by; a runner whose machine may be busy sets it.
PATIENCE = 1.0


def patient(seconds):
    """A bound for something that happens in these seconds where nothing else runs."""
    return seconds * PATIENCE


def until(what, seconds, probe, pause_s=0.05):
    """Poll probe() until it is true; its value."""
    seconds = patient(seconds)
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(pause_s)


class Report:
    """Counts and prints; one line per test."""

    def __init__(self, out=sys.stdout):
        self.out, self.passed, self.failed, self.skipped = out, 0, 0, 0
        self.failures = []

    def line(self, text):
        print(text, file=self.out, flush=True)

    def number(self):
        return self.passed + self.failed + self.skipped

    def ok(self, name, seconds):
        self.passed += 1
        self.line(f"ok {self.number()} - {name}" + (f" # {seconds:.1f} s" if seconds >= 1 else ""))

    def fail(self, name, text):
        self.failed += 1
        self.failures.append(name)
        self.line(f"not ok {self.number()} - {name}")
        for one in text.rstrip().splitlines():
            self.line("#   " + one)

    def skip(self, name, why):
        self.skipped += 1
        self.line(f"ok {self.number()} - {name} # SKIP {why}")

    @contextlib.contextmanager
    def sub(self, name):
        """A counted sub-test; its failure doesn't end the test around it."""
        began = time.monotonic()
        try:
            yield
        except Skip as e:
            self.skip(name, str(e))
        except Exception:    # noqa: BLE001: whatever it is, it is reported
            self.fail(name, last_frames())
        else:
            self.ok(name, time.monotonic() - began)


def last_frames():
    text = traceback.format_exc(limit=-4)
    return text if len(text) < 4000 else text[:2000] + "\n...\n" + text[-2000:]


def on_alarm(_signo, _frame):
    raise TimeLimit()


class Runner:
    def __init__(self, report, session, only_quick=False, patterns=(), with_long=True):
        self.report, self.session, self.with_long = report, session, with_long
        self.only_quick, self.patterns = only_quick, patterns
        signal.signal(signal.SIGALRM, on_alarm)

    def wanted(self, name, func):
        if self.only_quick and not getattr(func, "is_quick", False):
            return False
        if getattr(func, "is_long", False) and not self.patterns and not self.with_long:
            return False
        return not self.patterns or any(p in name for p in self.patterns)

    def run_file(self, file_name):
        module = importlib.import_module(file_name)
        tests = [(f"{file_name[5:]}::{n[5:]}", f) for n, f in vars(module).items()
                 if n.startswith("test_") and inspect.isfunction(f)
                 and f.__module__ == file_name]
        tests = [t for t in tests if self.wanted(*t)]
        if not tests:
            return
        self.report.line(f"# {file_name}")
        self.session.open_file(module)
        for name, func in tests:
            self.run_test(name, func)
        for name, problem in self.session.close_file():
            if problem:
                self.report.fail(f"{file_name[5:]}::{name}", problem)
            else:
                self.report.ok(f"{file_name[5:]}::{name}", 0)

    def run_test(self, name, func):
        for program in getattr(func, "programs", ()):
            if not shutil.which(program):
                self.report.skip(name, f"{program} isn't installed")
                return
        began = time.monotonic()
        before = self.report.number()
        seconds = patient(getattr(func, "limit_s", 60))
        signal.alarm(int(seconds))
        try:
            func(**self.arguments(func))
        except Skip as e:
            self.report.skip(name, str(e))
        except TimeLimit:
            self.report.fail(name, f"time limit of {seconds:.0f} s:\n" + last_frames())
        except Exception:    # noqa: BLE001
            self.report.fail(name, last_frames() + self.session.log_tails())
        else:
            if self.report.number() == before:
                self.report.ok(name, time.monotonic() - began)
        finally:
            signal.alarm(0)
            self.session.close_test()

    def arguments(self, func):
        values = {}
        for name in inspect.signature(func).parameters:
            values[name] = self.report.sub if name == "sub" else self.session.fixture(name)
        return values
