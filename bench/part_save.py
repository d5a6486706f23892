# SPDX-License-Identifier: GPL-2.0-or-later
"""part_save: a save, 1. as training feels it and 2. until it landed, beside the limits and the peers of the same round.

Landed counts from the end of the snapshot, since the copy is part 1's; the line below it, and what peers are compared with,
count from its beginning. Two runs, since a fresh file and one that is written over have different limits: in the first every checkpoint is a new
file, in the second the files of retired ones are used again where this stint does so. The peers play in the second.
"""
from bench import Saving, best_of, io_name, saves
from figures import Gate, Row, Series, failed, skipped
from players import Problem

STALL = Gate("<=", 1.15, ci=1.5, aim=1.0)
LANDED = Gate(">=", 0.90, ci=0.75, aim=0.97)
TORCH = {"fresh": Gate(">=", 1.6), "over": Gate(">=", 3.0)}
COMPONENTS = ("delay_s", "copy_s", "hash_s", "write_s", "commit_s")
SAVES_EACH = 2  # by one process
WORDS = {"fresh": "new file", "over": "slot used again"}


def run_options(bench, kind):
    options = ["--stint-interval=off", "--stint-keep=1", "--stint-quiet"]
    if kind == "fresh" and bench.knows("--stint-slots"):
        options.append("--stint-slots=off")
    return options


class SaveRun:
    """One run, saved once a round, by a new process every few rounds: how quick a copy is depends on which memory a process
    and its staging happen to have, and stays so until both end."""

    def __init__(self, bench, kind):
        self.bench, self.kind = bench, kind
        self.directory = bench.run_folder()
        self.mark = self.played = 0
        self.trainer = None
        self.begin()
        self.copies = bench.copy_limits(self.trainer)
        self.way = bench.io_way(self.trainer, kind)
        self.stall = Series(f"stall, {WORDS[kind]}")
        self.landed = Series(f"landed, {WORDS[kind]}")
        self.whole = Series(f"landed, and the stall before it, {WORDS[kind]}")
        self.told = Series("by the journal")
        self.raw = Series(io_name(kind, self.way))
        self.components = {name: Series(name) for name in COMPONENTS}

    def begin(self):
        self.trainer = self.bench.trainer(self.directory, run_options(self.bench, self.kind))
        self.bench.attach(self.trainer)

    def begin_anew(self):
        """The first save of the process is no figure here, but below."""
        self.trainer.end()
        self.begin()
        self.bench.settle(self.directory)
        self.save()
        self.bench.settle(self.directory)

    def save(self):
        self.mark += 1
        return Saving(self.bench, self.trainer, self.directory, self.mark)

    def warm_up(self):
        """Until the files of a retired checkpoint are there to be used again: it takes one more than are kept."""
        for _ in range(4 if self.kind == "over" else 1):
            self.bench.settle(self.directory)
            self.save()

    def play_save(self):
        if self.played and self.played % SAVES_EACH == 0:
            self.begin_anew()
        self.played += 1
        for copy in self.copies:
            copy.measure(self.trainer)
        saved = self.save()
        self.stall.add(saved.stall_s)
        self.landed.add(saved.landed_s)
        self.whole.add(saved.whole_s)
        self.told.add(saved.told_s())
        for name, series in self.components.items():
            series.add(saved.journal.get(name, 0.0))

    def play_raw(self):
        self.raw.add(self.bench.limit(self.trainer, self.kind, self.bench.path("limit"), self.way))

    def play(self, others=()):
        self.warm_up()
        self.bench.play([self.play_raw, self.play_save, *others], self.directory)

    def rows(self):
        report = self.bench.report
        report.add(Row(1, self.stall.name, self.stall, best_of(self.copies), STALL))
        gigabytes = self.bench.size / self.landed.median / 1e9
        parts = ", ".join(f"{name[:-2]} {series.median:.3f}" for name, series in self.components.items())
        report.add(Row(2, self.landed.name, self.landed, self.raw, LANDED, over="figure",
                       note=f"{gigabytes:.2f} GB/s; by the journal {self.told.median:.3f} s: {parts}"))
        report.add(Row(2, self.whole.name, self.whole, self.raw, over="figure"))


# ---- the peers -------------------------------------------------------------------------------------------------------

class PeerSave:
    """How long a library takes, which is what training waits for, and how long until it is synced."""

    def __init__(self, bench, peer):
        self.path, self.peer = bench.peer_path(peer), peer
        self.blocked, self.durable = Series(f"{peer.name}, training blocked"), Series(f"{peer.name}, until synced")

    def play(self):
        self.peer.ask("remove", self.path)
        took = self.peer.ask("save", self.path)
        self.blocked.add(took["blocked_ns"] / 1e9)
        self.durable.add(took["ns"] / 1e9)

    def end(self):
        self.peer.ask("remove", self.path)


def peer_rows(bench, run, peers):
    names = [peer.peer.name for peer in peers]
    for peer in peers:
        bench.report.add(Row(1, f"peer: {peer.blocked.name}", peer.blocked, run.stall, peer=True))
        bench.report.add(Row(2, f"peer: {peer.durable.name}", peer.durable, run.whole,
                             TORCH[run.kind] if peer.peer.name == "torch" else None, peer=True))
    if "torch" not in names:
        bench.report.add(skipped(2, "peer: torch, until synced", "torch is not installed (dev/setup --bench)",
                                 TORCH[run.kind]))


# ---- the first save of a process -------------------------------------------------------------------------------------

def first_saves(bench):
    """Each in a process of its own, which has been attached for some seconds. The run has been saved before, so that the
    save that is measured is none that calibrates."""
    directory = bench.run_folder()
    stall, mark = Series("stall, first save of a process"), 0
    limits = None
    for _ in range(bench.rounds + 1):
        trainer = bench.trainer(directory, run_options(bench, "fresh"))
        copies = bench.copy_limits(trainer)
        bench.attach(trainer)
        mark += 1
        if mark > 1:
            limits = limits or copies
            for copy in limits:
                copy.measure(trainer)
        bench.settle(directory)
        saved = Saving(bench, trainer, directory, mark)
        if mark > 1:
            stall.add(saved.stall_s)
        trainer.end()
    bench.report.add(Row(1, stall.name, stall, best_of(limits), STALL))
    first = saves(directory)[0]
    bench.report.add(Row(1, "copy of the very first save of a run", Series("", "s", [first["copy_s"]]),
                         note=f"made by itself at the third step, to know what a save costs ({first['reason']})"))


def one_kind(bench, kind, peers):
    run = SaveRun(bench, kind)
    run.play([peer.play for peer in peers])
    run.trainer.end()
    run.rows()
    if bench.options.peers:
        peer_rows(bench, run, peers)


def measure(bench):
    for kind in ("fresh", "over"):
        peers = []
        bench.say(f"saves, {WORDS[kind]}")
        try:
            peers = [PeerSave(bench, peer) for peer in bench.peers()]
            one_kind(bench, kind, peers)
        except Problem as problem:
            bench.report.add(failed(2, f"landed, {WORDS[kind]}", problem, LANDED))
        for peer in peers:
            peer.end()
    bench.say("first saves of a process")
    try:
        first_saves(bench)
    except Problem as problem:
        bench.report.add(failed(1, "stall, first save of a process", problem, STALL))
