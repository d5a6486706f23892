# SPDX-License-Identifier: GPL-2.0-or-later
"""players: the processes that are measured: trainers, under `stint run` or by themselves, and the peers.

They answer a line of JSON to a line of words. Everything that is started here carries BENCH_MARK in its environment, by
which agents are found, and has ended, or is killed, when the bench ends. The parts (part_*.py) call in.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

START_S = 300
ANSWER_S = 900


class Problem(Exception):
    """Something that was to be measured did not work; the text is for the table."""


def now_ns():
    """The clock of the trainers: nanoseconds since boot."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Stage:
    """Where it plays: folders, environment, and every process that was started."""

    def __init__(self, build, folder, sockets, log):
        self.build, self.folder, self.sockets, self.log = build, folder, sockets, log
        self.started = []
        self.numbers = 0
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(("STINT_", "SLURM_", "SRUN_", "SBATCH_"))}
        self.env.update(PATH=f"{build}/client:{os.environ['PATH']}", STINT_LIBEXEC_DIR=f"{build}/agent",
                        STINT_BIN=f"{build}/client/stint", BENCH_MARK=folder)

    def number(self):
        self.numbers += 1
        return self.numbers

    def start(self, command, **more):
        env = dict(self.env, **more.pop("env", {}))
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", self.log)
        process = subprocess.Popen(command, env=env, stderr=self.log, cwd=self.folder, **more)
        self.started.append(process)
        return process

    def run(self, command, **more):
        """Waits for it; its output. A failure is a Problem with the last words of its stderr."""
        env = dict(self.env, **more.pop("env", {}))
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=self.folder, **more)
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise Problem(f"{os.path.basename(command[0])} {command[1]} failed with {done.returncode}: "
                          f"{words[-1] if words else 'no word'}")
        return done.stdout

    def marked(self, executable):
        """Ids of the processes of this bench that run this program."""
        found, mark = [], f"BENCH_MARK={self.folder}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if os.path.basename(os.readlink(f"/proc/{entry}/exe")) != executable:
                    continue
                with open(f"/proc/{entry}/environ", "rb") as f:
                    if mark in f.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                continue
        return found

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + 20
        for process in self.started:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in ("stint-agent", "stint", "trainer"):
            for pid in self.marked(name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass


def await_until(seconds, what, condition):
    """The first true answer of the condition; a Problem when there is none in time."""
    until = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise Problem(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


class Line:
    """Words there, JSON back."""

    def __init__(self, reader, writer, name):
        self.reader, self.writer, self.name = reader, writer, name

    def told(self):
        text = self.reader.readline()
        if not text:
            raise Problem(f"{self.name} went away")
        answer = json.loads(text)
        if "error" in answer:
            raise Problem(answer["error"])
        return answer

    def say(self, *words):
        self.writer.write(" ".join(str(word) for word in words) + "\n")
        self.writer.flush()

    def ask(self, *words):
        try:
            self.say(*words)
            return self.told()
        except OSError as error:
            raise Problem(f"{self.name}: {error}") from error


class Trainer:
    """A trainer and what runs it. run: options of `stint run`; None: it is started by itself. With several ranks it is
    several processes, who are all asked the same, and answer it together."""

    EVERY_RANK = 'n=$1; shift; while [ "$n" -gt 0 ]; do "$@" & n=$((n - 1)); done; wait'

    def __init__(self, stage, size, tensors, directory=None, run=None, ranks=1):
        self.stage, self.directory, self.ranks = stage, directory, ranks
        path = f"{stage.sockets}/{stage.number()}"
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(path)
        self.listening.listen(ranks)
        self.listening.settimeout(0.2)
        command = [f"{stage.build}/bench/trainer", str(size), str(tensors), path]
        if ranks > 1:
            command = ["/bin/sh", "-c", self.EVERY_RANK, "sh", str(ranks), *command]
        if run is not None:
            command = [f"{stage.build}/client/stint", "run", f"--stint-dir={directory}", *run, "--", *command]
        self.process = stage.start(command, env={"STINT_DIR": directory or "off"})
        self.lines = self.answers = []
        self.accept()

    def accept(self, seconds=START_S):
        """The program's connections: of the first one, and of each one that `stint run` starts after it."""
        def connection():
            try:
                return self.listening.accept()[0]
            except socket.timeout:
                if self.process.poll() is not None:
                    raise Problem(f"the trainer ended with {self.process.returncode} before it began") from None
                return None
        self.lines = []
        for _ in range(self.ranks):
            taken = await_until(seconds, "the trainer", connection)
            taken.settimeout(ANSWER_S)
            self.lines.append(Line(taken.makefile("r"), taken.makefile("w"), "the trainer"))
        self.hello = [line.told() for line in self.lines][0]
        if self.ranks > 1:
            self.number_ranks()

    def number_ranks(self):
        path = f"{self.stage.folder}/ranks{self.stage.number()}"
        with open(path, "wb") as f:
            f.write(bytes(1 << 16))
        for rank, line in enumerate(self.lines):
            line.ask("ranks", rank, self.ranks, path)

    def ask(self, *words):
        """The answer of the first rank; those of all are in `answers`."""
        try:
            for line in self.lines:
                line.say(*words)
            self.answers = [line.told() for line in self.lines]
        except OSError as error:
            raise Problem(f"the trainer: {error}") from error
        return self.answers[0]

    def leave(self):
        """The program is told to quit, without an answer."""
        for line in self.lines:
            line.say("quit")

    def end(self):
        """It quits, and whatever ran it ends."""
        try:
            self.leave()
        except OSError:
            pass
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired as error:
            raise Problem("the trainer did not end") from error
        self.listening.close()
        if self.directory:
            await_until(60, "the end of the run", lambda: not os.path.exists(f"{self.directory}/lease"))


class Peer:
    """Another way to save and load the same tensors: a library in peers.py, or a program."""

    def __init__(self, line, name, library=None):
        self.line, self.name, self.library = line, name, library

    def ask(self, what, path):
        return self.line.ask(what, self.library, path) if self.library else self.line.ask(what, path)


class Peers:
    """All that are installed here, and their processes."""

    def __init__(self, stage, sizes):
        here = os.path.dirname(os.path.abspath(__file__))
        self.processes = []
        python, hello = self.begin(stage, [sys.executable, f"{here}/peers.py", sizes], "peers.py")
        self.all = [Peer(python, library, library) for library in hello["libraries"]]
        program, _ = self.begin(stage, [f"{stage.build}/bench/hdf5_peer", sizes], "plain HDF5")
        self.all.append(Peer(program, "plain HDF5"))

    def begin(self, stage, command, name):
        process = stage.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        line = Line(process.stdout, process.stdin, name)
        return line, line.told()

    def end(self):
        for process in self.processes:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()
