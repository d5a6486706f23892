#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/limits.sh: every way in which a stint is told to end: limits, preemptions, signals. Each ends in a final save
# with a verdict, and the next stint begins at the very step; or it does not, and the verdict says so.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

train=(train_lm --small --steps 300 --step-ms 5 --eval-every 0 --log-every 0)
flow_train=("${train[@]}")
reference
options=(--stint-interval off --stint-margin 200ms --stint-kill-wait 2s)

nothing_lost() # RUN NAME: each stint begins where the one before it ended
{
        local from to wrong='' last=0 n=0
        while read -r from && read -r to <&3; do
                [ "$n" -eq 0 ] || [ "$from" = "$last" ] || wrong+="stint $((n + 1)) began at $from after $last; "
                last=$to
                n=$((n + 1))
        done < <({ echo 0; journal "$1" restore step; }) 3< <(journal "$1" end last_step)
        is "$wrong" "" "$2"
}

# ---- time limits -----------------------------------------------------------------------------------------------------

run=$TEST_DIR/limit
run stint run --stint-dir "$run" "${options[@]}" --stint-limit 1500ms -- "${train[@]}" --out "$run.bin"
cp "$TEST_DIR/err" "$TEST_DIR/limit.err"
is "$status" 0 "a training under a time limit is run again until it is complete, and ends with 0"
same_weights "$run.bin" "its weights are those of a training without a limit"
ends=$(journal "$run" end why)
like "$ends" "^time limit\$" "the journal says that a stint ended at the time limit"
is "$(tail -n 1 <<<"$ends")" "complete" "and the last one because training was complete"
is "$(journal "$run" end why | grep -cv -e '^time limit$' -e '^complete$')" 0 "and nothing else happened"
verdicts=$(journal "$run" end verdict | sed '$d')
is "$(grep -cvE '^saved step [0-9]+, .*B, in .*s, .*s before the limit$' <<<"$verdicts")" 0 "every stint that was cut off has a verdict with bytes, time and margin"
nothing_lost "$run" "each stint begins at the step at which the one before it ended"
is "$(count_events "$run" requeue '"granted": *true')" "$(($(count_events "$run" start) - 1))" "each start but the first was a requeue"

# ---- without a requeue -----------------------------------------------------------------------------------------------

run=$TEST_DIR/once
command=(stint run --stint-dir "$run" "${options[@]}" --stint-limit 1500ms --stint-requeues 0 -- "${train[@]}" --out "$run.bin")
run "${command[@]}"
is "$status" 75 "a stint that ended at its limit and is not requeued ends with 75"
like "$(cat "$TEST_DIR/err")" "saved step [0-9]+, .*before the limit" "after it said what it saved"
is "$(count_events "$run" start)" 1 "it is one stint"
not_ok "the run is not DONE" test -e "$run/DONE"
for _ in 1 2 3 4 5; do
        run "${command[@]}"
        [ "$status" -eq 75 ] || break
done
is "$status" 0 "the same command carries on to the end"
same_weights "$run.bin" "with the same weights"
nothing_lost "$run" "and without a step lost"

# ---- preemption ------------------------------------------------------------------------------------------------------

run=$TEST_DIR/preempted
run stint run --stint-dir "$run" "${options[@]}" --stint-preempt-after 700ms --stint-grace 1500ms -- "${train[@]}" --out "$run.bin"
is "$status" 0 "a preempted training is run again and ends with 0"
same_weights "$run.bin" "with the same weights"
is "$(journal "$run" end why | head -n 1)" "preempted" "the journal says that it was preempted"
like "$(journal "$run" save reason | head -n 5)" "preempt" "and that the save was made for that reason"
like "$(journal "$run" end verdict | head -n 1)" "^saved step [0-9]+, .*before the limit" "its verdict has the margin"
nothing_lost "$run" "nothing was lost"

# ---- no safe point in time -------------------------------------------------------------------------------------------

run=$TEST_DIR/slow
run stint run --stint-dir "$run" "${options[@]}" --stint-limit 1200ms --stint-kill-wait 200ms --stint-requeues 0 -- \
        train_lm --small --steps 3 --step-ms 60000 --eval-every 0 --log-every 0 --out "$run.bin"
is "$status" 75 "a program without a safe point is ended by its limit"
like "$(cat "$TEST_DIR/err")" "NOT saved: " "and nobody claims that it was saved"
is "$(whole "$run")" "" "for nothing was"
run stint run --stint-dir "$run" "${options[@]}" --stint-adopt -- train_lm --small --steps 3 --eval-every 0 --log-every 0 --out "$run.bin"
is "$status" 0 "the next stint starts afresh and comes to the end"
like "$(journal "$run" end verdict | head -n 1)" "^NOT saved: " "the stint that was killed has a true verdict in the journal"

# ---- signals ---------------------------------------------------------------------------------------------------------

signalled() # NAME SIGNAL PID WHAT
{
        kill "-$2" -- "$3"
        wait_exit "$1" 30
        is "$status" 75 "$4 ends the stint with 75"
        like "$(cat "$TEST_DIR/$1.err")" "saved step [0-9]+, " "$4 has it save first"
}

run=$TEST_DIR/signals
command=(stint run --stint-dir "$run" --stint-interval off -- train_lm --small --steps 100000 --step-ms 2 --eval-every 0 --log-every 0)
begun() # RUN N: so many stints had their state back, or began afresh
{
        [ "$(grep -cs '"event": *"\(fresh\|restore\)"' "$1/journal.jsonl")" -ge "$2" ]
}

nth=0
started() # NAME COMMAND...: and it trains
{
        nth=$((nth + 1))
        start "$@"
        wait_for 30 "$1 to train" begun "$run" "$nth"
}
started term "${command[@]}"
signalled term TERM "$(pid_of term)" "SIGTERM"
started int "${command[@]}"
signalled int INT "$(pid_of int)" "SIGINT"
started typed setsid "${command[@]}"
# As a terminal does it: to everybody in the foreground.
signalled typed INT "-$(pid_of typed)" "Ctrl-C"
is "$(journal "$run" end why | sort -u)" "stopped" "the journal says that they were stopped"
nothing_lost "$run" "each stint begins where the one before it ended"

# ---- a job that its user cancels --------------------------------------------------------------------------------------

run=$TEST_DIR/cancelled
command=(stint run --stint-dir "$run" "${options[@]}" --stint-limit 60s -- "${train[@]}" --out "$run.bin")
start cancelled "${command[@]}"
wait_for 30 "training to begin" begun "$run" 1
kill -TERM "$(pid_of cancelled)"
wait_exit cancelled 30
isnt "$status" 0 "a job that was cancelled does not end with 0"
isnt "$status" 124 "a job that was cancelled ends"
is "$(count_events "$run" start)" 1 "a job that was cancelled stays cancelled"
run "${command[@]}"
is "$status" 0 "started again by hand, it comes to the end"
same_weights "$run.bin" "with the same weights"
done_testing
