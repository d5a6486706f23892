#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# dev/bench with states so small that nothing can be said of speed, which no test may depend on: every part runs, what is saved
# is what is restored, and the JSON has for each figure what was promised. The rules by which a gate holds, fails or is not
# judged are tried on figures that are made up.
set -eu
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"

bench=$TEST_SOURCE/bench
export PYTHONDONTWRITEBYTECODE=1
if ! /usr/bin/python3 -c '' 2>/dev/null; then
        skip_all "there is no /usr/bin/python3"
fi
# make check does not build these. Neither the surroundings of a make that runs this nor a checking allocator are theirs.
env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u LD_PRELOAD -u MALLOC_CHECK_ make -C "$TEST_BUILD" bench-programs \
        >"$TEST_DIR/make.log" 2>&1 || { diag_file "$TEST_DIR/make.log"; exit 1; }

# ---- what a gate says ------------------------------------------------------------------------------------------------

cat >"$TEST_DIR/rules.py" <<'PYTHON'
import json
import sys

sys.path.insert(0, sys.argv[1])
from figures import Gate, Report, Row, Series, failed, quantile, skipped

steady, wild = Series("steady", "s", [1.0, 1.01, 0.99, 1.0, 1.0]), Series("wild", "s", [1.0, 2.0, 0.5, 3.0, 1.0])
at_most, at_least = Gate("<=", 1.15, ci=1.5), Gate(">=", 0.9, ci=0.75)


def times(series, factor):
    return Series("stint", "s", [value * factor for value in series.values])


def verdict(row, which="full"):
    return row.verdict(which)


assert quantile([4, 1, 3, 2], 0.5) == 2.5 and quantile([5], 0.99) == 5
assert verdict(Row(1, "", times(steady, 1.1), steady, at_most)) == "holds"
assert verdict(Row(1, "", times(steady, 1.2), steady, at_most)) == "fails"
assert verdict(Row(1, "", times(steady, 1.2), steady, at_most), "ci") == "holds"
assert verdict(Row(2, "", times(steady, 1.2), steady, at_least, over="figure")) == "fails"
assert verdict(Row(2, "", times(steady, 1.05), steady, at_least, over="figure")) == "holds"
# The limit was spread widely: all rounds agree, or they do not.
assert verdict(Row(1, "", times(wild, 1.1), wild, at_most)) == "holds"
assert verdict(Row(1, "", times(wild, 1.3), wild, at_most)) == "fails"
mixed = Series("stint", "s", [a * b for a, b in zip(wild.values, (1.0, 1.3, 1.0, 1.3, 1.0))])
noisy = Row(1, "mixed", mixed, wild, at_most)
assert verdict(noisy) == "noisy"
disturbed = Row(5, "", Series("", "ms", [6.0]), gate=Gate("<=", 5))
assert verdict(disturbed) == "fails"
disturbed.disturbed = "sleeps took too long"
assert verdict(Row(5, "", Series("", "ms", [1.0, 9.0]), gate=Gate("<=", 5), quantile_at=1)) == "fails"


def status(*rows):
    report = Report("full", {"busy_before": 0.0, "load_before": 0.0})
    for row in rows:
        report.add(row)
    report.table()
    report.noise_line()
    assert json.loads(report.as_json())["exit"] == report.exit_status()
    return report.exit_status()


good = Row(1, "good", times(steady, 1.0), steady, at_most)
assert status(good, skipped(4, "large", "only with --large", at_most)) == 0
assert status(good, noisy) == 2
assert status(good, noisy, failed(3, "cold", "it crashed", at_least)) == 1
print("all hold")
PYTHON
is "$(/usr/bin/python3 "$TEST_DIR/rules.py" "$bench" 2>&1)" "all hold" "a gate holds, fails, or is not judged"

# ---- the sizes -------------------------------------------------------------------------------------------------------

sizes() # BYTES TENSORS: how many, the least, the most, and the sum
{
        "$TEST_BUILD/bench/trainer" "$1" "$2" --list | sort -n |
                awk 'NR == 1 { least = $1 } { sum += $1; most = $1 } END { printf "%d %d %d %.0f\n", NR, least, most, sum }'
}
like "$(sizes 2147483648 500)" "^500 1024 671[0-9]{5} 2147483648\$" "500 tensors of 2 GiB are from 1 KiB to 64 MiB"
is "$(sizes 102400000 100000)" "100000 1024 1024 102400000" "and 100,000 of 1 KiB are all alike"
is "$(sizes 1048576 1)" "1 1048576 1048576 1048576" "as is one alone"
not_ok "more tensors than numbers are refused" "$TEST_BUILD/bench/trainer" 100 50 --list

# ---- all of it, small ------------------------------------------------------------------------------------------------

printf 'before\n<!-- dev/bench --paste: the table below is its output -->\nold\n<!-- end -->\nafter\n' >"$TEST_DIR/paste.md"
start all /usr/bin/python3 "$bench/main.py" --build "$TEST_BUILD" --dir "$TEST_DIR" --json --quick --rounds=1 \
        --bytes=4M --tensors=20 --paste="$TEST_DIR/paste.md"
wait_exit all 600
like "$status" "^[012]\$" "every part runs; whether gates hold with such sizes nobody asks"
cat >"$TEST_DIR/look.py" <<'PYTHON'
import json
import sys

report = json.load(open(sys.argv[1]))
rows = {row["name"]: row for row in report["rows"]}
broken = [f"{row['name']}: {row['problem']}" for row in report["rows"] if "problem" in row]
assert not broken, broken
assert {row["part"] for row in report["rows"]} == {1, 2, 3, 4, 5, 6}
for name in ("stall, new file", "landed, new file", "stall, slot used again", "landed, slot used again",
             "stall, first save of a process", "cold", "prefetched, stint_restore", "the agent's own memory, at most",
             "stint_step beyond clock_gettime", "a save asked for, until the program sees it, quiet",
             "lost of a slice, stint", "lost of a slice, a signal 120 s before"):
    assert name in rows, name
for row in report["rows"]:
    for what in ("figure", "limit", "ratio"):
        series = row.get(what)
        if series and series["n"]:
            assert series["min"] <= series["median"] <= series["max"] and series["n"] == len(series["values"]), row
    if row["verdict"] in ("holds", "fails"):
        assert row["gate"]["op"] in ("<=", ">="), row
assert report["exit"] == int(sys.argv[2]), report["exit"]
assert rows["stall, new file"]["limit"]["min"] > 0
assert report["facts"]["bytes"] == 4 << 20
print(len(rows), "rows")
PYTHON
like "$(/usr/bin/python3 "$TEST_DIR/look.py" "$TEST_DIR/all.out" "$status" 2>&1)" "^[0-9]+ rows\$" \
        "its JSON has every figure with n, min, median and max"
like "$(cat "$TEST_DIR/all.err")" "^bench: holds=[0-9]+ fails=[0-9]+ noisy=[0-9]+ skipped=[0-9]+ gate=full\$" \
        "and the table ends with a count"
is "$(sed -n '1p;$p' "$TEST_DIR/paste.md" | tr '\n' ' '):$(grep -cE '^(old|bench: holds=)' "$TEST_DIR/paste.md")" "before after :1" \
        "which stands between the marks of a file now"
is "$(find "$TEST_DIR" -maxdepth 1 -name 'stint-bench.*')" "" "nothing is left behind on the disk"

# With 4 MiB nothing is streamed: that part says so, and is played with more.
start streamed /usr/bin/python3 "$bench/main.py" --build "$TEST_BUILD" --dir "$TEST_DIR" --json --quick --rounds=1 --no-peers \
        --only=streamed --bytes=32M --tensors=20
wait_exit streamed 300
cat >"$TEST_DIR/look.py" <<'PYTHON'
import json
import sys

few, rows = ({row["name"]: row for row in json.load(open(path))["rows"]} for path in sys.argv[1:])
assert "is not streamed" in few["landed, streamed"]["skipped"], few["landed, streamed"]
assert "problem" not in rows["landed, streamed"], rows
assert set(rows) == {"training stalled, streamed", "landed, streamed"}, rows
assert rows["landed, streamed"]["figure"]["median"] >= rows["training stalled, streamed"]["figure"]["median"] > 0
assert rows["landed, streamed"]["limit"]["median"] > 0
assert "through 8 MiB" in rows["training stalled, streamed"]["note"]
print("streamed")
PYTHON
is "$(/usr/bin/python3 "$TEST_DIR/look.py" "$TEST_DIR/all.out" "$TEST_DIR/streamed.out" 2>&1)" "streamed" \
        "a save that is streamed is measured where the state is large enough"

run /usr/bin/python3 "$bench/main.py" --build "$TEST_BUILD" --only=speed
is "$status" 2 "a part that there is not is refused"
like "$(cat "$TEST_DIR/err")" "no part 'speed'; there are save, streamed, restore" "with those that there are"
done_testing
