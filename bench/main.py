# SPDX-License-Identifier: GPL-2.0-or-later
"""main: the options of dev/bench, its parts in order, and what is printed at the end."""
import argparse
import os
import signal
import sys
import tempfile
import time

import part_boundary
import part_idle
import part_restore
import part_save
import part_scale
import part_streamed
from bench import Bench
from figures import failed
from players import Problem

# Each with the part of the table that it begins.
PARTS = {"save": (1, part_save.measure), "streamed": (2, part_streamed.measure),
         "restore": (3, part_restore.measure), "scale": (4, part_scale.measure),
         "idle": (5, part_idle.measure), "boundary": (6, part_boundary.measure)}
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size(text):
    """2G, 512M, 1048576"""
    unit = text[-1].lower() if text and not text[-1].isdigit() else ""
    if unit not in UNITS or not text[:len(text) - len(unit)].isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is no size, such as 512M or 2G")
    return int(text[:len(text) - len(unit)]) * UNITS[unit]


def read_options():
    p = argparse.ArgumentParser(prog="dev/bench", description="Measures stint beside the limits of this machine, in one "
                                "run: ratios, with n, min, median and max. Exits with 0 when all gates hold, 1 when one "
                                "does not, 2 when the machine was too noisy to judge one.")
    p.add_argument("--only", metavar="NAME,...", default="", help="these parts: " + ", ".join(PARTS))
    p.add_argument("--bytes", type=size, default=None, help="of the state (2G)")
    p.add_argument("--tensors", type=int, default=500, help="in it (500)")
    p.add_argument("--rounds", type=int, default=None, help="how often everything is measured (5)")
    p.add_argument("--dir", default=os.getcwd(), help="a folder on the filesystem to measure (here)")
    p.add_argument("--quick", action="store_true", help="256M and 3 rounds, for a first look; short slices")
    p.add_argument("--large", action="store_true", help="also one tensor of 8 GiB, where memory and disk have room")
    p.add_argument("--long", action="store_true", help="real slices of 600 s: an hour and more")
    p.add_argument("--no-peers", dest="peers", action="store_false", help="without torch, h5py, numpy and plain HDF5")
    p.add_argument("--gate", choices=("full", "ci"), default="full", help="ci: the wider gates, for a noisy machine")
    p.add_argument("--json", action="store_true", help="everything as JSON on stdout; the table goes to stderr")
    p.add_argument("--paste", metavar="FILE", help="put the table into this file, between its two marks")
    p.add_argument("--keep", action="store_true", help="keep the folder of the runs, and the log")
    p.add_argument("--quiet", action="store_true", help="no word on what is being measured")
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    o = p.parse_args()
    o.keep_log = o.keep
    o.only = [name for name in o.only.split(",") if name]
    for name in o.only:
        if name not in PARTS:
            p.error(f"there is no part '{name}'; there are {', '.join(PARTS)}")
    o.bytes = o.bytes or (256 << 20 if o.quick else 2 << 30)
    o.rounds = o.rounds or (3 if o.quick else 5)
    if o.tensors < 1 or o.bytes < 4096 * o.tensors // 4096 * 4 or not os.path.isdir(o.dir):
        p.error("--tensors needs 4 bytes for each, and --dir a folder that is there")
    o.dir, o.words, o.paste = os.path.abspath(o.dir), sys.stderr, o.paste and os.path.abspath(o.paste)
    return o


def measure(bench):
    for name, (part, measured) in PARTS.items():
        if bench.wants(name):
            try:
                measured(bench)
            except Problem as problem:
                bench.report.add(failed(part, name, problem))


MARKS = ("<!-- dev/bench --paste: the table below is its output -->\n", "<!-- end -->\n")


def heading(bench):
    """What was measured, when, and on what, in words."""
    f, options = bench.report.facts, bench.options
    chosen = [word for word in ("large", "long", "quick") if getattr(options, word)]
    what = [f"{f['bytes'] / (1 << 30):.2f} GiB in {f['tensors']} tensors, {f['rounds']} rounds", *chosen]
    where = [f"{f['cores']} cores ({f['machine']})", f"{f['memory_bytes'] / (1 << 30):.0f} GiB of memory",
             f"Linux {f['kernel'].split('-')[0]}", f["filesystem"] + ("" if f["direct"] else " (refuses O_DIRECT)")]
    return f"dev/bench, {time.strftime('%Y-%m-%d')}: {', '.join(what)}; {', '.join(where)}"


def paste(text, path):
    with open(path, encoding="utf-8") as f:
        before, found, rest = f.read().partition(MARKS[0])
    if not found or MARKS[1] not in rest:
        raise OSError(f"{path} has no place for a table: two lines, {MARKS[0].strip()} and {MARKS[1].strip()}")
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + MARKS[0] + "```\n" + text + "\n```\n" + MARKS[1] + rest.partition(MARKS[1])[2])


def show(bench):
    out = sys.stderr if bench.options.json else sys.stdout
    text = "\n".join([heading(bench), bench.report.table(), bench.report.noise_line(), bench.report.last_line()])
    print(text, file=out)
    if bench.options.paste:
        paste(text, bench.options.paste)
    if bench.options.json:
        print(bench.report.as_json())


def main():
    options = read_options()
    # An interrupt ends what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.NamedTemporaryFile("w", prefix="stint-bench.", suffix=".log", delete=False) as log:
        bench = Bench(options, log)
        try:
            measure(bench)
            show(bench)
            status = bench.report.exit_status()
            if any(row.problem for row in bench.report.rows):
                print(f"bench: what the programs said is in {log.name}", file=sys.stderr)
                options.keep_log = True
        except Exception as error:  # the bench's own, not stint's: nothing can be said of any gate
            print(f"bench: cannot measure: {error}; what the programs said is in {log.name}", file=sys.stderr)
            options.keep_log, status = True, 3
        finally:
            bench.end()
            if not options.keep_log:
                os.unlink(log.name)
    sys.exit(status)


main()
