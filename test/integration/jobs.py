# SPDX-License-Identifier: PostgreSQL
"""Test files side by side: processes that take the next one each, and one report of them all."""
import multiprocessing
import multiprocessing.connection
import signal
import sys

import lib

FORK = multiprocessing.get_context("fork")


class Relayed(lib.Report):
    """A job's report: counts here, is printed and counted again by who started the job."""

    def __init__(self, sink):
        super().__init__()
        self.sink = sink

    def line(self, text):
        self.sink.send(("line", text))

    def ok(self, name, seconds):
        self.passed += 1
        self.sink.send(("ok", name, seconds))

    def fail(self, name, text):
        self.failed += 1
        self.sink.send(("fail", name, text))

    def skip(self, name, why):
        self.skipped += 1
        self.sink.send(("skip", name, why))


def work(run_names, names, sink, number):
    """One job; SIGTERM, which the run's own end sends, lets it stop its servers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_names(Relayed(sink), iter(names.get, None), number)
    sink.send(("done",))


def run(count, all_names, report, run_names):
    """run_names(report, names, number) in `count` processes that share the names among them."""
    names = FORK.SimpleQueue()
    jobs, ends = [], {}
    for number in range(1, count + 1):
        source, sink = FORK.Pipe(duplex=False)
        job = FORK.Process(target=work, args=(run_names, names, sink, number))
        job.start()
        sink.close()
        jobs.append(job)
        ends[source] = number
    try:
        for name in [*all_names, *[None] * count]:
            names.put(name)
        gather(ends, report)
    finally:
        for job in jobs:
            job.terminate()
        for job in jobs:
            job.join()


def gather(ends, report):
    """Prints what the jobs tell until each has ended; one that ended without being done failed."""
    done = set()
    while ends:
        for source in multiprocessing.connection.wait(list(ends)):
            try:
                what, *args = source.recv()
            except EOFError:
                number = ends.pop(source)
                if number not in done:
                    report.fail(f"job {number}", "ended before its files did")
                continue
            if what == "done":
                done.add(ends[source])
            else:
                getattr(report, what)(*args)
