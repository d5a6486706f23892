# SPDX-License-Identifier: GPL-2.0-or-later
"""part_idle: 5. what stint costs when nothing is to do, and how soon a trigger is in the program's control page.

The state is small here. A trigger is timed from just before `stint run` is asked, on its own socket as `stint save` does,
until the agent has written the control page (published) and until the program, which looks every 50 us, has seen it.
"""
import json
import os
import subprocess
import sys
import time

from bench import Series
from figures import NOISY_SPREAD, Gate, Row, failed
from part_restore import SMALL
from players import Problem, await_until

STEP = Gate("<=", 10)
QUIET = Gate("<=", 5.0)
LOADED = Gate("<=", 20.0)
DUE = Gate("<=", 20.0)
MEMORY = Gate("<=", 10.0)
JOBS = 64
OVERSLEPT_MS = 1.0  # the program's sleeps, beyond what it asked for: on a quiet machine a tenth of that


def small_run(bench, *options):
    directory = bench.run_folder()
    return directory, bench.trainer(directory, ["--stint-interval=off", "--stint-quiet", *options], **SMALL)


def control_of(directory):
    with open(f"{directory}/lease", encoding="utf-8") as f:
        return json.load(f).get("control")


# ---- the safe point --------------------------------------------------------------------------------------------------

def steps(bench):
    _, trainer = small_run(bench)
    trainer.ask("open")
    trainer.ask("steps", 500)
    # Short batches, so that few of them are interrupted, and the median is one that was not.
    told = trainer.ask("idle", 200 if bench.options.quick else 1000, 10000)
    trainer.end()
    clock, step = Series("clock_gettime", "ns", told["clock"]), Series("stint_step, nothing to do", "ns", told["step"])
    more = Series("stint_step beyond clock_gettime", "ns", [b - a for a, b in zip(clock.values, step.values)])
    bench.report.add(Row(5, clock.name, clock))
    bench.report.add(Row(5, step.name, step))
    row = Row(5, more.name, more, gate=STEP, note="each the mean of 10,000 calls")
    if clock.spread > NOISY_SPREAD:
        row.disturbed = f"clock_gettime itself is spread over {clock.spread:.0%} of its median"
    bench.report.add(row)


# ---- triggers --------------------------------------------------------------------------------------------------------

class Load:
    """Every core has one process that never waits."""

    def __enter__(self):
        self.busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
        return self

    def __exit__(self, *_):
        for process in self.busy:
            process.kill()
            process.wait()


def milliseconds(name, series):
    return Series(name, "ms", [value / 1e6 for value in series])


def asked(bench, trainer, directory, words, gate, n):
    told = trainer.ask("trigger", n, control_of(directory))
    seen = milliseconds(f"a save asked for, until the program sees it, {words}", told["seen"])
    published = milliseconds(f"of it until it was published, {words}", told["published"])
    for series in (seen, published):
        row = Row(5, series.name, series, gate=gate if series is seen else None, quantile_at=0.99,
                  note=f"p99 {series.at(0.99):.2f} ms")
        bench.report.add(disturb(row, milliseconds("", told["overslept"])))


def disturb(row, slept):
    """Where the program could not even sleep for as long as it wanted, nothing is said of how late it was told."""
    longest = slept.at(row.quantile_at)
    if longest > OVERSLEPT_MS:
        row.disturbed = f"the program's own sleeps of 50 us took up to {longest:.2f} ms longer"
    return row


def triggers(bench):
    directory, trainer = small_run(bench)
    trainer.ask("open")
    trainer.ask("steps", 500)
    n = 50 if bench.options.quick else 300
    asked(bench, trainer, directory, "quiet", QUIET, n)
    with Load():
        asked(bench, trainer, directory, "all cores loaded", LOADED, n)
    trainer.end()


def due(bench):
    """The final save before a limit, by the agent's own timer: when it was due stood in the control page before."""
    n = min(2, bench.rounds) if bench.options.quick else bench.rounds
    directory = bench.run_folder()
    # The first stint learns what a save costs; the time it has is not measured.
    trainer = bench.trainer(directory, ["--stint-interval=off", "--stint-quiet", "--stint-limit=3s",
                                        f"--stint-requeues={n}"], **SMALL)
    late, slept = Series("a limit, from when its save was due until the program sees it", "ms"), Series("", "ms")
    for i in range(n + 1):
        trainer.ask("open")
        told = trainer.ask("due")
        if i > 0:
            late.add((told["seen_ns"] - told["due_ns"]) / 1e6)
            slept.add(told["overslept_ns"] / 1e6)
        trainer.ask("loop", i, 1000)
        trainer.leave()
        if i < n:
            trainer.accept()
    trainer.process.wait(60)
    row = Row(5, late.name, late, gate=DUE, quantile_at=1, note="the highest of them is held against the gate")
    bench.report.add(disturb(row, slept))


# ---- stintd ----------------------------------------------------------------------------------------------------------

def waits_of(pid):
    """How often all of its threads have waited and been woken."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
    return total


def memory_of(pid, *names):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        kept = {line.split(":")[0]: line.split()[1] for line in f if "kB" in line}
    return sum(int(kept[name]) for name in names) * 1024


class Daemon:
    """A stintd with so many jobs: a script plays the agents, and says whose jobs they are in place of Slurm."""

    def __init__(self, bench, jobs):
        stage, build = bench.stage, bench.stage.build
        folder = f"{bench.sockets}/stintd"
        os.makedirs(f"{folder}/libexec")
        os.chmod(folder, 0o755)
        os.symlink(f"{build}/tests/programs/whose_stand_in", f"{folder}/libexec/stint-slurm")
        whose = f"{folder}/jobs"
        for path, text in ((whose, ""), (f"{folder}/conf", f"MaxConnectionsPerUser = {jobs + 8}\n")):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        self.process = stage.start([f"{build}/daemon/stintd", "--config", f"{folder}/conf", "--socket", f"{folder}/sock",
                                    "--node", "n1"], env={"STINT_LIBEXEC_DIR": f"{folder}/libexec", "SLURM_CONF": whose})
        await_until(20, "stintd", lambda: self.process.poll() is not None or os.path.exists(f"{folder}/sock"))
        if self.process.poll() is not None:
            raise Problem(f"stintd ended with {self.process.returncode}")
        self.peers = [stage.start([f"{build}/tests/programs/stintd_peer", f"{folder}/sock"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True) for _ in range(jobs)]
        with open(whose, "a", encoding="ascii") as f:
            f.writelines(f"{peer.pid} {4700 + i} {os.getuid()}\n" for i, peer in enumerate(self.peers))
        for peer in self.peers:
            self.register(peer)

    def register(self, peer):
        for words, answer in (("", "connected"), ("hello\n", "WELCOME job '47")):
            peer.stdin.write(words)
            peer.stdin.flush()
            line = peer.stdout.readline()
            if not line.startswith(answer):
                raise Problem(f"stintd: an agent heard '{line.strip()}'")

    def plan(self):
        """What each agent sends on every change, and every 5 s."""
        for peer in self.peers:
            peer.stdin.write("plan 3600000 1000 1\n")
            peer.stdin.flush()

    def end(self):
        for peer in self.peers:
            peer.stdin.close()
            peer.wait(20)
            peer.stdout.close()
        self.process.terminate()
        self.process.wait(20)


def stintd(bench):
    jobs = 8 if bench.options.quick else JOBS
    seconds = 3 if bench.options.quick else 30
    daemon = Daemon(bench, jobs)
    daemon.plan()
    time.sleep(1)
    before = waits_of(daemon.process.pid)
    time.sleep(seconds)
    woken = (waits_of(daemon.process.pid) - before) * 60 / seconds
    memory = memory_of(daemon.process.pid, "VmRSS")
    daemon.end()
    bench.report.add(Row(5, f"stintd with {jobs} jobs: woken", Series("", "/min", [woken]), gate=Gate("<=", 60),
                         note=f"over {seconds} s in which no agent said anything; its timers alone"))
    bench.report.add(Row(5, f"stintd with {jobs} jobs: resident", Series("", "MiB", [memory / (1 << 20)]), gate=MEMORY))


def measure(bench):
    for name, part in (("stint_step", steps), ("trigger", triggers), ("limit", due), ("stintd", stintd)):
        bench.say({"limit": "saves before a limit"}.get(name, name))
        try:
            part(bench)
        except Problem as problem:
            bench.report.add(failed(5, name, problem, STEP))
