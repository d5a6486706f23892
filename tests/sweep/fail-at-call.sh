#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every system call that changes the run directory, or makes memory, fails once: the n-th one that the agent makes, or `stint
# run`, in a whole small training. What landed stays, what is said is true, nothing hangs, and the training comes to the
# weights of one that nobody touched.
#
# SWEEP_CASES is how many calls of each program fail in each way; with `all` it is every one.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/sweep/sweep.sh"
[ "$TEST_SANITIZERS" != yes ] || skip_all "the sanitizers must be the first library that is loaded"
failing=$TEST_BUILD/tests/programs/.libs/failing.so
most=${SWEEP_CASES:-16}

sweep_steps=40
# shellcheck disable=SC2034  # sweep.sh uses it
sweep_train=(train_lm --small --steps "$sweep_steps" --step-ms 4 --eval-every 15 --log-every 0)
reference

# stint_failing NAME RUN SETTING: one stint of RUN in which that call fails
stint_failing()
{
        head -c 16 /dev/zero >"$2.count"
        : >"$2.calls"
        STINT_FAILING=$3 STINT_FAILING_DIR=$2 STINT_FAILING_COUNT=$2.count STINT_FAILING_LOG=$2.calls \
                LD_PRELOAD="$failing${LD_PRELOAD:+:$LD_PRELOAD}" stint_once "$1" "$2"
        wait_exit "$1" 60
}

# What a stint said and what is there. All that it said has landed must be whole unless a newer one pruned it; prints what is
# not so. claims.py RUN STDERR
cat >"$TEST_DIR/claims.py" <<'END'
import json, os, re, subprocess, sys
run, said = sys.argv[1], open(sys.argv[2], errors="replace").read()
listed = []
if os.path.exists(run + "/run.json"):
    listed = json.loads(subprocess.run(["stint", "ls", run, "--json"], capture_output=True, text=True, check=True).stdout)
whole = {c["step"] for c in listed if c["whole"]}
events = []
try:
    for line in open(run + "/journal.jsonl"):
        try:
            events.append(json.loads(line))
        except ValueError:
            pass
except FileNotFoundError:
    pass
saves = [e for e in events if e["event"] == "save"]
claimed = [e["step"] for e in saves if e["landed"]] + [int(s) for s in re.findall(r"saved step (\d+)", said)]
if claimed and max(claimed) not in whole:
    print(f"step {max(claimed)} was said to have landed, and whole are {sorted(whole)}")
told = len(re.findall(r"NOT saved", said))
failed = sum(1 for e in saves if not e["landed"])
if failed > told:
    print(f"{failed} saves did not land, and {told} were said not to have")
for e in saves:
    if not e["landed"] and not e.get("text"):
        print("a save did not land, and nobody says why")
if os.path.exists(run + "/DONE") and max(whole, default=0) != int(sys.argv[3]):
    print(f"the run is DONE, and its newest checkpoint is that of step {max(whole, default=0)}")
END

newest_if_any() # RUN: a call may have failed before there was a run
{
        if [ -e "$1/run.json" ]; then newest_whole "$1"; else echo 0; fi
}

verified() # RUN: every checkpoint that calls itself whole holds; when there is none there is nothing to verify
{
        [ "$(newest_if_any "$1")" -eq 0 ] || stint verify "$1" --all >"$1.verify" 2>&1 || { tail -n 1 "$1.verify"; return 1; }
}

# fail_at RUN SETTING: one case. Prints nothing when all is well, else what is wrong.
fail_at()
{
        local run=$1 name before next wrong
        name=$(basename "$run")
        stint_failing "$name" "$run" "$2"
        [ "$status" -ne 124 ] || { echo "hangs"; return; }
        [ "$status" -eq 0 ] || [ -s "$TEST_DIR/$name.err" ] || { echo "ends with $status and not a word"; return; }
        [ "$status" -lt 128 ] || { echo "is killed: exit status $status"; return; }
        wait_for 15 "the end of $name" none_of "$name" || { echo "leaves processes behind"; return; }
        wrong=$(/usr/bin/python3 "$TEST_DIR/claims.py" "$run" "$TEST_DIR/$name.err" "$sweep_steps") || wrong="the claims cannot be read"
        [ -z "$wrong" ] || { echo "$wrong"; return; }
        verified "$run" >"$run.wrong" || { echo "verify, after the failure: $(cat "$run.wrong")"; return; }
        before=$(newest_if_any "$run")
        next=$(($(cat "$run/journal.jsonl" 2>/dev/null | grep -c '"event": *"start"' || :) + 1))
        finish "$name" "$run" || { echo "does not come to DONE"; return; }
        if grep -q "\"stint\": *$next,.*\"event\": *\"start\"" "$run/journal.jsonl" && [ "$(restored_step "$run" "$next")" -lt "$before" ]; then
                echo "stint $next began at step $(restored_step "$run" "$next") although step $before was whole"
                return
        fi
        cmp -s "$run.bin" "$TEST_DIR/reference.bin" || { echo "ends with other weights"; return; }
        verified "$run" >"$run.wrong" || { echo "verify: $(cat "$run.wrong")"; return; }
}

# count PROGRAM: how many calls a training makes of which nobody fails; sets calls
count()
{
        local run=$TEST_DIR/$1-count
        stint_failing "$1-count" "$run" "$1:0:EIO"
        is "$status" 0 "a training with the calls of $1 counted ends with 0"
        ok "and with the same weights" cmp "$run.bin" "$TEST_DIR/reference.bin"
        calls=$(wc -l <"$run.calls")
        diag "$calls calls: $(cut -d ' ' -f 2 "$run.calls" | sort | uniq -c | tr -s ' \n' ' ')"
        [ "$calls" -gt 20 ] || { fail "$1 makes calls that can fail"; exit 1; }
}

# sweep_calls PROGRAM HOW...: each way at evenly spread calls. The ways begin at different ones, so that together they meet more.
sweep_calls()
{
        local program=$1 how ways i=0 n step run wrong hit tried missed
        shift
        count "$program"
        ways=$#
        step=1
        [ "$most" = all ] || [ "$calls" -le "$most" ] || step=$(((calls + most - 1) / most))
        for how in "$@"; do
                tried=0
                missed=0
                wrong=
                for ((n = 1 + i * step / ways; n <= calls; n += step)); do
                        run=$TEST_DIR/$program-$how-$n
                        wrong=$(fail_at "$run" "$program:$n:$how")
                        hit=$(head -n 1 "$run.calls" 2>/dev/null) || :
                        if [ -n "$wrong" ]; then
                                diag "call $n of $program fails with $how: ${hit:-none was left to fail}: $wrong"
                                diag_file "$TEST_DIR/$(basename "$run").err" 30
                                diag_file "$run/journal.jsonl" 12
                                break
                        fi
                        tried=$((tried + 1))
                        # Trainings differ in how many saves they make, and what comes last may have no such call.
                        [ -n "$hit" ] || missed=$((missed + 1))
                        rm -rf "$run" "$run".*
                done
                if [ -z "$wrong" ] && [ "$tried" -gt "$missed" ]; then
                        pass "$program: $how at $((tried - missed)) of $calls calls loses nothing and hides nothing"
                else
                        fail "$program: $how at any of $calls calls loses nothing and hides nothing"
                fi
                i=$((i + 1))
        done
}

sweep_calls stint-agent EIO ENOSPC EDQUOT EINTR short ENOSPC+
sweep_calls stint EIO ENOSPC EDQUOT EINTR short
done_testing
