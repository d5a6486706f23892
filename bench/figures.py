# SPDX-License-Identifier: GPL-2.0-or-later
"""figures: what was measured, what it is compared with, and what may be said of it.

A Series is one figure, taken several times. A Row is a series, the limit that was measured beside it round by round,
the ratio of the two, and the gate that the ratio's median is to hold. A Report is all rows, as a table and as JSON.
the parts (part_*.py) make rows; dev/bench prints the report.
"""
import json

# A limit whose middle half is spread over more than this part of its median was not measured on a quiet machine. Where the
# rounds then do not agree whether the gate holds, nothing is said of it.
NOISY_SPREAD = 0.20


def quantile(values, q):
    """Between two values by their distance to it; values need not be sorted, and are not empty."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


class Series:
    """One figure, taken several times."""

    def __init__(self, name, unit="s", values=()):
        self.name, self.unit, self.values = name, unit, list(values)

    def add(self, value):
        self.values.append(value)

    @property
    def n(self):
        return len(self.values)

    def at(self, q):
        return quantile(self.values, q)

    @property
    def median(self):
        return self.at(0.5)

    @property
    def spread(self):
        """The distance of the quartiles over the median."""
        return (self.at(0.75) - self.at(0.25)) / self.median if self.n and self.median > 0 else 0.0

    def as_json(self):
        if not self.n:
            return {"name": self.name, "unit": self.unit, "n": 0}
        return {"name": self.name, "unit": self.unit, "n": self.n, "min": min(self.values), "median": self.median,
                "max": max(self.values), "spread": self.spread, "values": self.values}


class Gate:
    """What the median of a ratio is to hold: `op` is "<=" or ">="; ci is the wider one for noisy machines."""

    def __init__(self, op, limit, ci=None, aim=None):
        self.op, self.limit, self.ci, self.aim = op, limit, limit if ci is None else ci, aim

    def bound(self, which):
        return self.ci if which == "ci" else self.limit

    def holds(self, value, which):
        return value <= self.bound(which) if self.op == "<=" else value >= self.bound(which)


class Row:
    """A figure beside its limit, or a peer's beside that of stint; without either the gate is held against it alone."""

    def __init__(self, part, name, figure=None, limit=None, gate=None, over="limit", note="", peer=False,
                 beside="limit", quantile_at=0.5):
        """over "limit": the ratio is how many times the limit the figure is; "figure": the other way round, as for
        rates. peer: the figure is another program's, and the limit is stint's own. beside: what the limit is called in
        the table. quantile_at: of what the gate is held against."""
        self.part, self.name, self.figure, self.limit, self.gate, self.note = part, name, figure, limit, gate, note
        self.peer, self.beside, self.quantile_at = peer, beside, quantile_at
        self.problem = self.skipped = ""
        self.disturbed = ""  # what says that the machine was not quiet, for a figure that has no limit beside it
        self.ratio = None
        if limit is not None and figure is not None:
            pairs = zip(figure.values, limit.values)
            self.ratio = Series("ratio", "x", [a / b if over == "limit" else b / a for a, b in pairs])

    def judged(self):
        """The series that the gate is held against."""
        return self.ratio if self.ratio is not None else self.figure

    def is_noisy(self, which):
        """What is not stint's was spread widely, and the rounds do not agree."""
        if self.disturbed and not self.gate.holds(self.judged().at(self.quantile_at), which):
            return True
        if self.ratio is None or self.limit.n < 2:
            return False
        spread = self.figure.spread if self.peer else self.limit.spread
        if self.beside != "limit":  # both are stint's own
            spread = max(self.figure.spread, self.limit.spread)
        if spread <= NOISY_SPREAD:
            return False
        return len({self.gate.holds(value, which) for value in self.ratio.values}) > 1

    def verdict(self, which):
        if self.problem:
            return "fails"
        if self.skipped:
            return "skipped"
        if self.gate is None or not self.judged().n:
            return ""
        if self.is_noisy(which):
            return "noisy"
        return "holds" if self.gate.holds(self.judged().at(self.quantile_at), which) else "fails"

    def as_json(self, which):
        out = {"part": self.part, "name": self.name, "verdict": self.verdict(which), "note": self.note}
        if self.figure is not None:
            out["figure"] = self.figure.as_json()
        if self.limit is not None:
            out["limit"] = self.limit.as_json()
        if self.ratio is not None:
            out["ratio"] = self.ratio.as_json()
        if self.gate is not None:
            out["gate"] = {"op": self.gate.op, "bound": self.gate.bound(which), "aim": self.gate.aim,
                           "quantile": self.quantile_at}
        for key in ("problem", "skipped"):
            if getattr(self, key):
                out[key] = getattr(self, key)
        return out


def failed(part, name, problem, gate=None):
    row = Row(part, name, gate=gate)
    row.problem = str(problem)
    return row


def skipped(part, name, reason, gate=None):
    row = Row(part, name, gate=gate)
    row.skipped = reason
    return row


# ---- the table -------------------------------------------------------------------------------------------------------

TITLES = {1: "1. Training stalled per save", 2: "2. A save, from the snapshot until it landed",
          3: "3. A restore", 4: "4. Many tensors, and large ones", 5: "5. With nothing to do, and at a trigger",
          6: "6. Time lost per stint"}


def number(value):
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"


def cells(series):
    if series is None or not series.n:
        return ["", "", "", "", ""]
    return [str(series.n), number(min(series.values)), number(series.median), number(max(series.values)), series.unit]


class Report:
    def __init__(self, which, facts):
        self.which, self.facts, self.rows = which, facts, []

    def add(self, row):
        self.rows.append(row)

    def noisy(self):
        return [row for row in self.rows if row.verdict(self.which) == "noisy"]

    def exit_status(self):
        verdicts = {row.verdict(self.which) for row in self.rows}
        return 1 if "fails" in verdicts else 2 if "noisy" in verdicts else 0

    def lines_of(self, row, seen):
        """The limit on a line of its own when it was not shown yet, and the figure."""
        lines = []
        seen.add(id(row.figure))
        if row.limit is not None and row.limit.n and id(row.limit) not in seen:
            seen.add(id(row.limit))
            lines.append([f"  {row.beside}: {row.limit.name}"] + cells(row.limit) +
                         ["", "", f"spread {row.limit.spread:.0%}"])
        verdict = row.verdict(self.which)
        ratio = gate = ""
        if row.ratio is not None and row.ratio.n:
            ratio = f"{number(row.ratio.median)} ({number(min(row.ratio.values))}-{number(max(row.ratio.values))})"
        if row.gate is not None:
            gate = f"{row.gate.op} {number(row.gate.bound(self.which))}"
        lines.append(["  " + row.name] + cells(row.figure) + [ratio, gate, verdict])
        for text in (row.problem, row.skipped, row.note, row.disturbed if verdict == "noisy" else ""):
            if text:
                lines.append(["      " + text])
        return lines

    def table(self):
        head = ["", "n", "min", "median", "max", "unit", "ratio (min-max)", "gate", ""]
        lines, seen = [head], set()
        for part in sorted({row.part for row in self.rows}):
            lines.append([TITLES[part]])
            for row in self.rows:
                if row.part == part:
                    lines.extend(self.lines_of(row, seen))
        widths = [max((len(line[i]) for line in lines if len(line) > 1), default=0) for i in range(len(head))]
        out = []
        for line in lines:
            if len(line) == 1:
                out.append(line[0])
                continue
            out.append("  ".join(cell.ljust(width) if i in (0, 5, 8) else cell.rjust(width)
                                 for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
        return "\n".join(out)

    def noise_line(self):
        load = (f"before it began the processors were {self.facts['busy_before']:.0%} busy, "
                f"load average {self.facts['load_before']:.2f}")
        rows = self.noisy()
        if not rows:
            return f"noise: quiet enough to judge every gate; {load}"
        names = "; ".join(f"'{row.name}'" for row in rows)
        return (f"noise: TOO NOISY TO JUDGE {names}: the middle half of what is compared was spread over more than "
                f"{NOISY_SPREAD:.0%} of its median, and the rounds do not agree; or sleeps took too long; {load}")

    def last_line(self):
        count = {}
        for row in self.rows:
            verdict = row.verdict(self.which)
            count[verdict] = count.get(verdict, 0) + 1
        words = ["holds", "fails", "noisy", "skipped"]
        return "bench: " + " ".join(f"{word}={count.get(word, 0)}" for word in words) + f" gate={self.which}"

    def as_json(self):
        return json.dumps({"facts": self.facts, "gate": self.which, "noise": {"spread": NOISY_SPREAD,
                           "rows": [row.name for row in self.noisy()]}, "exit": self.exit_status(),
                           "rows": [row.as_json(self.which) for row in self.rows]}, indent=1)
