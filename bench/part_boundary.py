# SPDX-License-Identifier: GPL-2.0-or-later
"""part_boundary: 6. of a slice of 600 s, how much is no training: with stint, and as it is done today.

Today: a signal 120 s before the limit, at which the program writes its tensors one behind the other into a new file,
syncs it, and exits; the next slice reads them. What no training is done in is from the last step to the limit, and from the
start of the slice to its first step; the program's own start (here: making its state) is taken off on both sides.

With stint every figure is measured on slices of the local scheduler, which are shorter than 600 s unless --long is given: what
is lost does not depend on how long a slice is. Of today's way all is measured but the 120 s themselves, which are added;
with --long they pass.
"""
import os
import signal
import threading

from bench import MIB, journal
from figures import Gate, Row, Series, failed
from players import Problem, now_ns

TEN_TIMES = Gate(">=", 10, aim=20)
LEAD_S = 120
STEP_US = 100000


def seconds(later_ns, earlier_ns):
    return (later_ns - earlier_ns) / 1e9


class WithStint:
    """Slices of the local scheduler, one after the other; the first, which restores nothing, is not counted."""

    PARTS = ("restart", "restore", "snapshot, write and commit", "kept free before the limit")

    def __init__(self, bench, size, slice_s, slices):
        self.lost, self.wall = Series("lost of a slice, stint"), Series("between two steps, stint")
        self.parts = {name: Series(name) for name in self.PARTS}
        directory = bench.run_folder()
        trainer = bench.trainer(directory, ["--stint-interval=off", "--stint-quiet", f"--stint-limit={slice_s}s",
                                            f"--stint-requeues={slices}"], size)
        before = None
        for i in range(slices + 1):
            trainer.ask("open")
            ended = trainer.ask("loop", i, STEP_US)
            trainer.leave()
            if before:
                self.count(trainer.hello, ended, before, slice_s)
            before = ended
            if i < slices:
                trainer.accept()
        trainer.process.wait(120)
        self.saves = [line for line in journal(directory, "save") if line["reason"] == "time limit"][1:]

    def count(self, hello, ended, before, slice_s):
        begin_ns = ended["deadline_ns"] - slice_s * 10**9
        own_s = seconds(hello["ready_ns"], hello["began_ns"])
        parts = (seconds(hello["began_ns"], begin_ns), seconds(ended["first_ns"], hello["ready_ns"]),
                 seconds(ended["end_ns"], ended["begin_ns"]), seconds(ended["deadline_ns"], ended["end_ns"]))
        for series, value in zip(self.parts.values(), parts):
            series.add(value)
        self.lost.add(sum(parts))
        self.wall.add(seconds(ended["first_ns"], before["begin_ns"]) - own_s)

    def told(self):
        """What the journal says of the saves: medians, in seconds."""
        names = {"delay_s": "waiting for the step", "copy_s": "snapshot", "write_s": "write", "hash_s": "hash",
                 "commit_s": "commit"}
        found = {words: Series(words, "s", [line.get(name, 0.0) for line in self.saves]) for name, words in names.items()}
        return ", ".join(f"{words} {series.median:.3f}" for words, series in found.items() if series.n)


class AsToday:
    """One slice after the other, each a process of its own."""

    PARTS = ("restart", "load", "waiting for the step", "save and sync")

    def __init__(self, bench, size, slice_s, long):
        self.bench, self.size, self.slice_s, self.long = bench, size, slice_s, long
        self.lost, self.wall = Series("lost of a slice, a signal 120 s before"), Series("between two steps, today's way")
        self.parts = {name: Series(name) for name in self.PARTS}
        self.kept = self.before = None

    def play(self, number):
        begin_ns = now_ns()
        trainer = self.bench.trainer(None, None, self.size)
        own_s = seconds(trainer.hello["ready_ns"], trainer.hello["began_ns"])
        load_s = trainer.ask("load", self.kept)["ns"] / 1e9 if self.kept else 0.0
        signalled = []

        def end_of_training():
            signalled.append(now_ns())
            os.kill(trainer.hello["pid"], signal.SIGUSR1)
        until_s = (self.slice_s - LEAD_S if self.long else 2) - seconds(now_ns(), begin_ns)
        timer = threading.Timer(max(0.5, until_s), end_of_training)
        timer.start()
        ended = trainer.ask("loop", number, STEP_US)
        timer.join()
        path = self.bench.path(f"today-{number % 2}")
        save_s = trainer.ask("dump", path)["ns"] / 1e9
        trainer.end()
        if self.kept:
            waited_s = seconds(ended["begin_ns"], signalled[0])
            restart_s = seconds(trainer.hello["began_ns"], begin_ns)
            for series, value in zip(self.parts.values(), (restart_s, load_s, waited_s, save_s)):
                series.add(value)
            self.lost.add(seconds(ended["first_ns"], begin_ns) - own_s + LEAD_S - waited_s)
            self.wall.add(seconds(ended["first_ns"], self.before["begin_ns"]) - own_s)
        self.kept, self.before = path, ended


def medians(parts):
    return ", ".join(f"{name} {series.median:.3f}" for name, series in parts.items())


def measure(bench):
    options = bench.options
    size = min(bench.size, 1024 * MIB)
    slice_s, slices = (600, 2) if options.long else (4 if options.quick else 20, bench.rounds)
    bench.say(f"slices of {slice_s} s")
    try:
        today = AsToday(bench, size, slice_s, options.long)
        for i in range(slices + 1):
            bench.settle()
            today.play(i)
        stint = WithStint(bench, size, slice_s, slices)
    except Problem as problem:
        bench.report.add(failed(6, "lost of a slice", problem, TEN_TIMES))
        return
    how = "measured" if options.long else f"its {LEAD_S} s are added, the rest is measured"
    bench.report.add(Row(6, stint.lost.name, stint.lost, note=f"{medians(stint.parts)}; by the journal: {stint.told()}"))
    bench.report.add(Row(6, today.lost.name, today.lost, stint.lost, TEN_TIMES, peer=True,
                         note=f"{medians(today.parts)}; {how}"))
    bench.report.add(Row(6, stint.wall.name, stint.wall, note="where the next slice begins at once"))
    bench.report.add(Row(6, today.wall.name, today.wall, stint.wall, peer=True))
