# SPDX-License-Identifier: GPL-2.0-or-later
"""bench: what the parts share: the options, the ground that is measured on, the limits of the machine, and rounds.

dev/bench calls main.py, which makes one Bench and gives it to each part.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time

from figures import Report, Series
from players import Peers, Problem, Stage, Trainer, await_until, now_ns

MIB = 1 << 20


class Bench:
    def __init__(self, options, log):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="stint-bench.", dir=options.dir)
        self.sockets = tempfile.mkdtemp(prefix="stint-bench.", dir="/tmp")
        self.stage = Stage(options.build, self.folder, self.sockets, log)
        self.attached_ms = 1000 if options.quick else 3000  # "a few seconds" after which a process is saved first
        self.report = Report(options.gate, facts(options))
        self.size, self.tensors, self.rounds = options.bytes, options.tensors, options.rounds
        self.chosen = {}
        self.runs = 0
        self.with_peers = None
        self.help = self.stage.run([f"{options.build}/client/stint", "run", "--help"])

    def wants(self, *names):
        return not self.options.only or any(name in self.options.only for name in names)

    def say(self, text):
        if not self.options.quiet:
            print(f"bench: {text}", file=self.options.words, flush=True)

    def path(self, name):
        return f"{self.folder}/{name}"

    def run_folder(self):
        self.runs += 1
        return self.path(f"run{self.runs}.stint")

    def knows(self, option):
        """Whether this `stint run` has such an option."""
        return option in self.help

    def sizes_of(self, size, tensors):
        path = self.path(f"sizes-{size}-{tensors}")
        with open(path, "w", encoding="ascii") as f:
            f.write(self.stage.run([f"{self.stage.build}/bench/trainer", str(size), str(tensors), "--list"]))
        return path

    def peers(self):
        """The other ways to save and load, which are started when first asked for."""
        if not self.options.peers:
            return []
        if not self.with_peers:
            self.with_peers = Peers(self.stage, self.sizes_of(self.size, self.tensors))
        return self.with_peers.all

    def end_peers(self):
        if self.with_peers:
            self.with_peers.end()
        self.with_peers = None

    def peer_path(self, peer):
        return self.path("peer-" + peer.name.replace(" ", "-"))

    def trainer(self, directory=None, run=None, size=None, tensors=None, ranks=1):
        return Trainer(self.stage, size or self.size, tensors or self.tensors, directory, run, ranks)

    def attach(self, trainer):
        """open, and safe points for some seconds: until staging is there, which takes longer where the host has to find the
        memory first, and until the save is over that a run makes by itself to know what one costs."""
        trainer.ask("open")
        trainer.ask("steps", self.attached_ms)
        before = None
        while (now := work_of(self.stage.marked("stint-agent"))) != before:
            before = now
            trainer.ask("steps", 500)

    # ---- rounds ------------------------------------------------------------------------------------------------------

    def settle(self, directory=None):
        """Nothing that was written before is still on its way, and what was retired is gone."""
        if directory:
            await_until(60, "the old checkpoints to go", lambda: not any(
                name.startswith("retired-") for name in listed(f"{directory}/checkpoints")))
        os.sync()

    def play(self, players, directory=None, rounds=None):
        """Each once a round, each round beginning with another one, so that nobody always follows the same one."""
        for i in range(rounds or self.rounds):
            first = i % len(players)
            for player in players[first:] + players[:first]:
                self.settle(directory)
                player()

    # ---- the limits --------------------------------------------------------------------------------------------------

    def copy_ways(self, trainer):
        """The two best ways to copy, of all that this machine has: tried three times each, once for a size."""
        key = ("copy", self.size)
        if key not in self.chosen:
            threads = sorted({1, 2, min(4, os.cpu_count()), os.cpu_count()} - {0})
            threads = [n for n in threads if n <= max(2, os.cpu_count())]
            tried = []
            for way in ("libc", "nt16", "nt32"):
                for n in threads:
                    try:
                        took = sorted(trainer.ask("copy", way, n)["ns"] for _ in range(3))
                    except Problem:
                        continue
                    tried.append((took[1], way, n))
            self.chosen[key] = [(way, n) for _, way, n in sorted(tried)[:2]]
        return self.chosen[key]

    def io_way(self, trainer, kind):
        """The best number of threads and size of a block to write a fresh file, to write it over, or to read it."""
        if kind not in self.chosen:
            path = self.path("limit-trial")
            tried = []
            ways = [(threads, block, how) for threads in ((1, 4) if self.options.quick else (1, 2, 4))
                    for block in ((8,) if self.options.quick else (4, 8, 16))
                    for how in (("direct", "cached") if kind == "read" else ("direct",))]
            for way in ways:
                os.sync()
                tried.append((self.limit(trainer, kind, path, way), *way))
            if os.path.exists(path):
                os.unlink(path)
            self.chosen[kind] = min(tried)[1:]
        return self.chosen[kind]

    def limit(self, trainer, kind, path, way):
        """Seconds of one raw write or read. The file to write over or to read is made when it is not there."""
        threads, block, how = way
        if kind == "fresh" and os.path.exists(path):
            os.unlink(path)
            os.sync()
        if kind != "fresh" and not os.path.exists(path):
            trainer.ask("write", path, "fresh", 4, 8 * MIB)
            os.sync()
        if kind == "read":
            answer = trainer.ask("read", path, how, threads, block * MIB)
        else:
            answer = trainer.ask("write", path, kind, threads, block * MIB)
        if not answer["direct"] and how == "direct":
            self.report.facts["direct"] = False
        return answer["ns"] / 1e9

    def copy_limits(self, trainer):
        """A series per way that is worth measuring."""
        return [CopyLimit(trainer, way, threads) for way, threads in self.copy_ways(trainer)]

    def end(self):
        self.stage.end()
        shutil.rmtree(self.sockets, ignore_errors=True)
        if not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


class CopyLimit:
    NAMES = {"libc": "memcpy", "nt16": "stores of 16 bytes past the caches", "nt32": "stores of 32 bytes past the caches"}

    def __init__(self, trainer, way, threads):
        self.trainer, self.way, self.threads = trainer, way, threads
        self.series = Series(f"warm copy, {self.NAMES[way]}, {threads} thread{'s' if threads > 1 else ''}")

    def measure(self, trainer=None):
        self.series.add((trainer or self.trainer).ask("copy", self.way, self.threads)["ns"] / 1e9)


def best_of(limits):
    """Of copies that were measured side by side in every round, the one with the best median."""
    return min((limit.series for limit in limits), key=lambda series: series.median)


def io_name(kind, way):
    words = {"fresh": "raw write, new file, space reserved", "over": "raw write over a file",
             "read": "raw read" if way[2] == "direct" else "read through the page cache"}
    return f"{words[kind]}, {way[0]} thread{'s' if way[0] > 1 else ''} of {way[1]} MiB"


def work_of(pids):
    """What these processes have done so far, in ticks and bytes; it stands still when they wait."""
    done = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                done += f.read().rpartition(")")[2].split()[11:13]
            with open(f"/proc/{pid}/io", encoding="ascii") as f:
                done += f.read().split()
        except OSError:
            continue
    return done


def listed(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


# ---- a run -----------------------------------------------------------------------------------------------------------

def journal(directory, event):
    """Its lines with this event, oldest first."""
    found = []
    with open(f"{directory}/journal.jsonl", encoding="utf-8") as f:
        for line in f:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("event") == event:
                found.append(entry)
    return found


def saves(directory):
    return [line for line in journal(directory, "save") if line.get("landed")]


def newest_checkpoint(directory):
    whole = [name for name in listed(f"{directory}/checkpoints")
             if name.startswith("step-") and os.path.exists(f"{directory}/checkpoints/{name}/manifest.json")
             and not name.endswith(".part")]
    if not whole:
        raise Problem("the run has no checkpoint")
    return f"{directory}/checkpoints/{max(whole)}"


def drop_cache(folder):
    """What the page cache has of its files goes away."""
    for name in os.listdir(folder):
        fd = os.open(f"{folder}/{name}", os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


class Saving:
    """One save that `stint save` asks for: what the program saw of it, when it landed, and what the journal says."""

    def __init__(self, bench, trainer, directory, mark):
        verb = bench.stage.start([f"{bench.stage.build}/client/stint", "save", "--json", directory],
                                 stdout=subprocess.PIPE, text=True)
        try:
            trainer.ask("save", mark, 120000)
            status = verb.wait(600)
        finally:
            if verb.poll() is None:
                verb.kill()
        landed_ns = now_ns()
        answer = verb.stdout.read()
        verb.stdout.close()
        if status != 0:
            raise Problem(f"stint save: {answer.strip()}")
        self.stall_s = max(seen["stall_ns"] for seen in trainer.answers) / 1e9
        self.landed_s = (landed_ns - max(seen["end_ns"] for seen in trainer.answers)) / 1e9
        self.whole_s = (landed_ns - min(seen["begin_ns"] for seen in trainer.answers)) / 1e9
        self.journal = [line for line in saves(directory) if line["step"] == trainer.answers[0]["step"]][-1]

    def told_s(self):
        """From the snapshot until it landed, by the journal: all of it but the wait for the safe point and the copy."""
        return self.journal["took_s"] - self.journal["delay_s"] - self.journal["copy_s"]


# ---- the machine -----------------------------------------------------------------------------------------------------

def memory_available():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def filesystem(folder):
    best = ("", "?", "?")
    with open("/proc/self/mounts", encoding="utf-8") as f:
        for line in f:
            device, at, kind = line.split()[:3]
            if (os.path.realpath(folder) + "/").startswith(at.rstrip("/") + "/") and len(at) >= len(best[0]):
                best = (at, kind, os.path.basename(device))
    return best[1], best[2]


def busy():
    """How much of a second the processors were at work for others."""
    def ticks():
        with open("/proc/stat", encoding="ascii") as f:
            return [int(word) for word in f.readline().split()[1:9]]
    before = ticks()
    time.sleep(1)
    spent = [b - a for a, b in zip(before, ticks())]
    return 1 - (spent[3] + spent[4]) / max(1, sum(spent))


def facts(options):
    kind, device = filesystem(options.dir)
    return {"bytes": options.bytes, "tensors": options.tensors, "rounds": options.rounds, "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "kernel": os.uname().release,
            "machine": os.uname().machine, "filesystem": kind, "device": device, "direct": True,
            "load_before": os.getloadavg()[0], "busy_before": busy()}
