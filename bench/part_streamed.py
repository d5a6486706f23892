# SPDX-License-Identifier: GPL-2.0-or-later
"""part_streamed: a save of a state that staging has a quarter of, beside a raw write of a new file in the same round.

Training stands still until the last byte is in the window, so there is no copy to compare that with: both figures stand beside the
write, and both count from the beginning of the save.
"""
from bench import Saving, io_name, saves
from figures import Gate, Row, Series, failed, skipped
from players import Problem

STREAMED = Gate(">=", 0.90, ci=0.75, aim=0.97)
NAME = "landed, streamed"
LEAST = 8 << 20  # what --stint-staging takes


class StreamedRun:
    """One run, saved once a round, every checkpoint a new file."""

    def __init__(self, bench, staging):
        self.bench = bench
        self.directory = bench.run_folder()
        options = ["--stint-interval=off", "--stint-keep=1", "--stint-quiet", "--stint-slots=off",
                   f"--stint-staging={staging}"]
        self.trainer = bench.trainer(self.directory, options)
        self.way = bench.io_way(self.trainer, "fresh")
        bench.attach(self.trainer)
        self.mark = 0
        self.stall, self.landed = Series("training stalled, streamed"), Series(NAME)
        self.blocked = Series("waiting for the disk")
        self.raw = Series(io_name("fresh", self.way))

    def save(self):
        self.mark += 1
        saved = Saving(self.bench, self.trainer, self.directory, self.mark)
        if not saved.journal.get("window_bytes"):
            raise Problem("the journal does not say that this save was streamed")
        return saved

    def play_save(self):
        saved = self.save()
        self.stall.add(saved.stall_s)
        self.landed.add(saved.whole_s)
        self.blocked.add(saved.journal["blocked_s"])

    def play_raw(self):
        self.raw.add(self.bench.limit(self.trainer, "fresh", self.bench.path("limit"), self.way))

    def play(self):
        self.bench.settle(self.directory)
        self.save()
        self.bench.play([self.play_raw, self.play_save], self.directory)
        self.trainer.end()

    def rows(self):
        window = saves(self.directory)[-1]["window_bytes"] / (1 << 20)
        self.bench.report.add(Row(1, self.stall.name, self.stall, self.raw,
                                  note=f"{self.blocked.median:.3f} s of it waiting for the disk, through {window:.0f} MiB"))
        gigabytes = self.bench.size / self.landed.median / 1e9
        self.bench.report.add(Row(2, self.landed.name, self.landed, self.raw, STREAMED, over="figure",
                                  note=f"{gigabytes:.2f} GB/s, from the beginning of the save"))


def measure(bench):
    staging = max(bench.size // 4, LEAST)
    if staging >= bench.size or not bench.knows("--stint-staging"):
        bench.report.add(skipped(2, NAME, f"a state of {bench.size} bytes is not streamed through {staging}", STREAMED))
        return
    bench.say("saves, streamed")
    try:
        run = StreamedRun(bench, staging)
        run.play()
        run.rows()
    except Problem as problem:
        bench.report.add(failed(2, NAME, problem, STREAMED))
