# SPDX-License-Identifier: GPL-2.0-or-later
"""part_restore: 3. a restore that is cold, beside raw reads of as many bytes, and one that was prefetched, beside a copy.

Cold is everything between the program's first call and its last byte: nobody could have begun to read before. The program
starts stint by itself there, and what that takes is measured in the same round with a state of 64 KiB and taken off.
Prefetched is what stint_restore takes when the program asks for its
state some seconds after it was started under `stint run`, as one does that imports its framework first and makes its model
between stint_open and stint_restore; a further row is of one that makes its model before stint_open.
"""
import os
import time

from bench import Saving, best_of, drop_cache, io_name, journal, newest_checkpoint, work_of
from figures import Gate, Row, Series, failed
from part_save import run_options
from players import Problem, await_until

COLD = Gate(">=", 0.90, ci=0.75, aim=0.97)
PREFETCHED = Gate(">=", 0.85, ci=0.6, aim=0.95)
QUIET_S = 0.3
MODEL_MS = 1000  # between stint_open and stint_restore: a program makes its model there
SMALL = {"size": 64 << 10, "tensors": 8}


def saved_run(bench, mark, size=None, tensors=None):
    """The folder of a run whose newest checkpoint has this mark in its tensors."""
    directory = bench.run_folder()
    trainer = bench.trainer(directory, run_options(bench, "fresh"), size, tensors)
    bench.attach(trainer)
    Saving(bench, trainer, directory, mark)
    trainer.end()
    return directory


def prove(trainer, mark):
    wrong = trainer.ask("check", mark)["wrong"]
    if wrong:
        raise Problem(f"{wrong} tensors are not what was saved")


# ---- cold ------------------------------------------------------------------------------------------------------------

class ColdRestores:
    def __init__(self, bench, directory, mark, size=None, tensors=None):
        self.bench, self.directory, self.mark = bench, directory, mark
        self.trainer = bench.trainer(directory, None, size, tensors)
        self.restored = Series("cold, the start of stint included")
        self.attached = Series("attached")

    def play(self):
        self.trainer.ask("wipe")
        drop_cache(newest_checkpoint(self.directory))
        answer = self.trainer.ask("open")
        if not answer["restored"]:
            raise Problem("nothing was restored")
        self.restored.add((answer["end_ns"] - answer["begin_ns"]) / 1e9)
        self.attached.add(answer["attach_ns"] / 1e9)
        prove(self.trainer, self.mark)
        self.trainer.ask("close")
        await_until(60, "the end of the run", lambda: not os.path.exists(f"{self.directory}/lease"))


class PeerLoad:
    def __init__(self, bench, peer):
        self.path, self.peer = bench.peer_path(peer), peer
        self.series = Series(f"{peer.name}, cold")
        peer.ask("remove", self.path)
        peer.ask("save", self.path)

    def play(self):
        self.peer.ask("drop", self.path)
        self.series.add(self.peer.ask("load", self.path)["ns"] / 1e9)

    def end(self):
        self.peer.ask("remove", self.path)


def cold(bench, directory, mark):
    runs = ColdRestores(bench, directory, mark)
    small = ColdRestores(bench, saved_run(bench, mark, **SMALL), mark, **SMALL)
    way = bench.io_way(runs.trainer, "read")
    raw = Series(io_name("read", way))
    peers = [PeerLoad(bench, peer) for peer in bench.peers()]
    try:
        bench.play([lambda: raw.add(bench.limit(runs.trainer, "read", bench.path("limit-read"), way)), small.play,
                    runs.play, *(peer.play for peer in peers)])
    finally:
        for peer in peers:
            peer.end()
    runs.trainer.end()
    small.trainer.end()
    alone = Series("cold", "s", [a - b for a, b in zip(runs.restored.values, small.restored.values)])
    bench.report.add(Row(3, alone.name, alone, raw, COLD, over="figure",
                         note=f"{bench.size / alone.median / 1e9:.2f} GB/s; starting stint takes {small.restored.median:.3f} s "
                              "more"))
    for peer in peers:
        bench.report.add(Row(3, f"peer: {peer.series.name}", peer.series, alone, peer=True))


# ---- prefetched ------------------------------------------------------------------------------------------------------

def await_quiet(bench):
    """Until the agent does nothing any more: what it could read ahead is there."""
    quiet_since, before = time.monotonic(), None
    while time.monotonic() - quiet_since < QUIET_S:
        now = work_of(bench.stage.marked("stint-agent"))
        if now != before:
            quiet_since, before = time.monotonic(), now
        time.sleep(0.05)


class Prefetched:
    """Every restore in a process of its own, whose agent has read ahead what it could before stint_open."""

    def __init__(self, bench, directory, mark, pause_ms, name):
        self.bench, self.directory, self.mark, self.pause_ms = bench, directory, mark, pause_ms
        self.series, self.limits = Series(name), None

    def play(self):
        drop_cache(newest_checkpoint(self.directory))
        trainer = self.bench.trainer(self.directory, run_options(self.bench, "fresh"))
        await_quiet(self.bench)
        trainer.ask("wipe")
        self.limits = self.limits or self.bench.copy_limits(trainer)
        for copy in self.limits:
            copy.measure(trainer)
        self.series.add(trainer.ask("open", self.pause_ms)["restore_ns"] / 1e9)
        prove(trainer, self.mark)
        trainer.end()

    def row(self, gate=None):
        told = journal(self.directory, "restore")[-1]
        note = "" if told.get("prefetched") else "the journal does not say that this was prefetched"
        self.bench.report.add(Row(3, self.series.name, self.series, best_of(self.limits), gate, over="figure", note=note))


def prefetched(bench, directory, mark):
    later = Prefetched(bench, directory, mark, MODEL_MS, "prefetched, stint_restore")
    at_once = Prefetched(bench, directory, mark, 0, "prefetched, with nothing between stint_open and stint_restore")
    bench.play([later.play, at_once.play])
    later.row(PREFETCHED)
    at_once.row()


def measure(bench):
    bench.say("restores, cold")
    directory = saved_run(bench, 7)
    try:
        cold(bench, directory, 7)
    except Problem as problem:
        bench.report.add(failed(3, "cold", problem, COLD))
    bench.end_peers()
    bench.say("restores, prefetched")
    try:
        prefetched(bench, directory, 7)
    except Problem as problem:
        bench.report.add(failed(3, "prefetched", problem, PREFETCHED))
