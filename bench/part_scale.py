# SPDX-License-Identifier: GPL-2.0-or-later
"""part_scale: 4. how costs grow with bytes, with tensors and with ranks, and how much memory the agent has of its own.

Two sizes are saved in turns, the second twice the first; a cost that is linear at most doubles. The same bytes are saved by
one rank and by two, with half of them each. The agent's own memory is
what it has resident beyond shared memory, the highest of many looks during saves and restores.
"""
import os
import threading

from bench import MIB, Saving, memory_available, saves
from figures import Gate, Row, Series, failed, skipped
from part_idle import memory_of
from part_restore import ColdRestores
from part_save import run_options
from players import Problem

TWICE = Gate("<=", 2.5, ci=3.0, aim=2.0)
OWN = Gate("<=", 64)
GIB = 1 << 30


class Looks:
    """Looks at the agents fifty times a second, and keeps the most that one of them had."""

    def __init__(self, bench):
        self.bench, self.most, self.over = bench, 0, threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        pids = []
        while not self.over.wait(0.02):
            alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
            pids = alive or self.bench.stage.marked("stint-agent")
            for pid in pids:
                try:
                    self.most = max(self.most, memory_of(pid, "RssAnon", "RssFile"))
                except (OSError, KeyError):
                    continue

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most


class Case:
    """One state of this size, or as many as there are ranks, with a run of its own."""

    def __init__(self, bench, size, tensors, words, ranks=1):
        self.bench, self.size, self.tensors, self.mark = bench, size, tensors, 0
        self.directory = bench.run_folder()
        self.trainer = bench.trainer(self.directory, run_options(bench, "fresh"), size, tensors, ranks)
        self.trainer.ask("open")
        self.stall, self.landed = Series(f"stall, {words}"), Series(f"landed, {words}")
        self.restored, self.attached = Series(f"restored, {words}"), Series(f"attached, {words}")
        self.longest = Series(f"longest safe point at a run's start, {words}")

    def await_template(self):
        """Until the first save, which the run makes by itself, is over; what it made training wait for is kept."""
        longest_s = 0.0
        for _ in range(240):
            self.trainer.ask("walk", 300)
            longest_s = max([longest_s] + [answer["longest_ns"] / 1e9 for answer in self.trainer.answers])
            if saves(self.directory):
                self.longest.add(longest_s)
                return
        raise Problem("no save within some minutes")

    def save(self):
        self.bench.settle(self.directory)
        self.mark += 1
        saved = Saving(self.bench, self.trainer, self.directory, self.mark)
        self.stall.add(saved.stall_s)
        self.landed.add(saved.whole_s)

    def begin_restores(self):
        self.trainer.end()
        self.restores = ColdRestores(self.bench, self.directory, self.mark, self.size, self.tensors)

    def restore(self):
        self.restores.play()
        self.restored.values, self.attached.values = self.restores.restored.values, self.restores.attached.values


def pair_of(bench, size, tensors, less, more, words):
    """Both in turns; rows for what the second costs, beside the first."""
    cases = [Case(bench, size, tensors, less[0]), Case(bench, size * less[1], tensors * less[2], more)]
    for case in cases:
        case.await_template()
    bench.play([cases[0].save, cases[1].save])
    for case in cases:
        case.begin_restores()
    bench.play([cases[0].restore, cases[1].restore], rounds=max(2, bench.rounds - 2))
    for case in cases:
        case.restores.trainer.end()
    compare(bench, cases, words)


def compare(bench, cases, words):
    """A row for each cost of the second, which has twice as much of something as the first."""
    names = ["stall", "landed", "restored"] + (["attached", "longest"] if words == "tensors" else [])
    for name in names:
        first, second = (getattr(case, name) for case in cases)
        bench.report.add(Row(4, second.name, second, first, None if name == "longest" else TWICE, beside="half",
                             note=note_of(words, cases[1], second)))


def note_of(words, case, series):
    if words == "tensors":
        return f"{series.median / case.tensors * 1e6:.2f} us per tensor"
    return f"{case.size / series.median / 1e9:.2f} GB/s"


def bytes_and_tensors(bench):
    small = min(bench.size, 2 * GIB) // 4
    some = 5000 if bench.options.quick else 50000
    pair_of(bench, small, bench.tensors, (f"{small // MIB} MiB", 2, 1), f"twice as much, {2 * small // MIB} MiB", "bytes")
    pair_of(bench, some * 1024, some, (f"{some} tensors of 1 KiB", 2, 2), f"twice as many, {2 * some} tensors of 1 KiB",
            "tensors")


def ranks(bench):
    """The same bytes, by one rank and by two."""
    size, tensors = min(bench.size, 2 * GIB) // 4, max(2, bench.tensors) // 2 * 2
    one = Case(bench, size, tensors, f"{size // MIB} MiB of one rank")
    two = Case(bench, size // 2, tensors // 2, "as many of two ranks", ranks=2)
    for case in (one, two):
        case.await_template()
    bench.play([one.save, two.save])
    for case in (one, two):
        case.trainer.end()
    for name in ("stall", "landed"):
        first, second = (getattr(case, name) for case in (one, two))
        bench.report.add(Row(4, second.name, second, first, beside="one"))


def large(bench):
    """One tensor of 4 GiB, and then one of 8, one after the other: there is no room for both."""
    room = os.statvfs(bench.folder)
    if memory_available() < 19 * GIB or room.f_bavail * room.f_frsize < 18 * GIB:
        bench.report.add(skipped(4, "one tensor of 8 GiB", "needs 19 GiB of memory and 18 GiB on the disk", TWICE))
        return
    cases = []
    for gigabytes in (4, 8):
        case = Case(bench, gigabytes * GIB, 1, f"one tensor of {gigabytes} GiB")
        case.await_template()
        bench.play([case.save], rounds=2)
        case.begin_restores()
        bench.play([case.restore], rounds=2)
        case.restores.trainer.end()
        cases.append(case)
    compare(bench, cases, "bytes")


def measure(bench):
    looks = Looks(bench)
    try:
        bench.say("twice the bytes, twice the tensors")
        bytes_and_tensors(bench)
        ranks(bench)
        if bench.options.large:
            bench.say("one tensor of 8 GiB")
            large(bench)
        else:
            bench.report.add(skipped(4, "one tensor of 8 GiB", "only with --large", TWICE))
    except Problem as problem:
        bench.report.add(failed(4, "many tensors, and large ones", problem, TWICE))
    finally:
        most = looks.end()
    bench.report.add(Row(4, "the agent's own memory, at most", Series("", "MiB", [most / MIB]), gate=OWN))
