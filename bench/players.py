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
    """A trainer and what runs it. run: options of `stint run`; None: it is started by itself."""

    def __init__(self, stage, size, tensors, directory=None, run=None, program="trainer", before=()):
        self.stage, self.directory = stage, directory
        path = f"{stage.sockets}/{stage.number()}"
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(path)
        self.listening.listen(1)
        self.listening.settimeout(0.2)
        command = [f"{stage.build}/bench/{program}", str(size), str(tensors), path]
        if run is not None:
            command = [f"{stage.build}/client/stint", "run", f"--stint-dir={directory}", *run, "--", *before, *command]
        self.started_ns = now_ns()
        self.process = stage.start(command, env={"STINT_DIR": directory or "off"})
        self.line = None
        self.accept()

    def accept(self, seconds=START_S):
        """The program's connection: of the first one, and of each one that `stint run` starts after it."""
        def connection():
            try:
                return self.listening.accept()[0]
            except socket.timeout:
                if self.process.poll() is not None:
                    raise Problem(f"the trainer ended with {self.process.returncode} before it began") from None
                return None
        taken = await_until(seconds, "the trainer", connection)
        taken.settimeout(ANSWER_S)
        self.line = Line(taken.makefile("r"), taken.makefile("w"), "the trainer")
        self.hello = self.line.told()
        return self.hello

    def ask(self, *words):
        return self.line.ask(*words)

    def leave(self):
        """The program is told to quit, without an answer."""
        self.line.say("quit")

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


class Peer(Line):
    """A program that saves and loads the same tensors in another way: `save PATH`, `load PATH`."""

    def __init__(self, stage, name, command):
        self.process = stage.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        super().__init__(self.process.stdout, self.process.stdin, name)
        self.hello = self.told()

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


def python_peer(stage, library, sizes):
    """None when the library is not installed for this Python."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        return Peer(stage, library, [sys.executable, f"{here}/peers.py", library, sizes])
    except Problem:
        return None
