#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/leases.sh: who may run a run: one at a time, the heir of a dead one, nobody once it is DONE; and what makes a
# run DONE.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

reference
start_in() # NAME RUN [OPTION...]: flow_train in that run
{
        local name=$1 run=$2
        shift 2
        start "$name" stint run --stint-dir "$run" --stint-interval 100ms "$@" -- "${flow_train[@]}" --out "$run.bin"
}

# ---- one at a time ---------------------------------------------------------------------------------------------------

run=$TEST_DIR/one
mkdir "$TEST_DIR/faults"
# The first waits where it has the lease, until the others were refused.
STINT_FAULT=journal.after_start:pause STINT_FAULT_DIR=$TEST_DIR/faults start_in first "$run"
wait_for 30 "the first to hold the lease" reached "$TEST_DIR/faults"
run stint run --stint-dir "$run" --stint-interval 100ms -- "${flow_train[@]}" --out "$run.bin"
is "$status" 125 "a second runner is refused with 125"
like "$(cat "$TEST_DIR/err")" "pid $(pid_of first)([^0-9]|\$)" "it is told the process that holds the lease"
like "$(cat "$TEST_DIR/err")" "$(uname -n)" "it is told the host that holds the lease"
is "$(wc -l <"$TEST_DIR/err")" 1 "it is told in one line"
is "$(count_events "$run" start)" 1 "the second left nothing in the journal"
run stint status "$run"
is "$status" 0 "asking for the status does not need the lease"

kill -KILL "$(pid_of first)"
wait_exit first 30
find "$TEST_DIR/faults" -type f -delete
ok "a dead process leaves its lease behind" test -e "$run/lease"

# ---- the heir --------------------------------------------------------------------------------------------------------

# Four at once find the lease of a dead one. One gets it.
for i in 1 2 3 4; do
        start_in "heir$i" "$run"
done
codes=
for i in 1 2 3 4; do
        wait_exit "heir$i" 60
        codes+=" $status"
done
is "$(tr ' ' '\n' <<<"$codes" | sort | tr '\n' ' ')" " 0 125 125 125 " "of four that find the lease of a dead process one takes it over"
same_weights "$run.bin" "the training of the one that took over ends as if nothing had been"
not_ok "at its orderly end the lease is gone" test -e "$run/lease"

# ---- DONE ------------------------------------------------------------------------------------------------------------

ok "stint_complete makes DONE" test -e "$run/DONE"
rm "$run.bin"
starts=$(count_events "$run" start)
run stint run --stint-dir "$run" --stint-interval 100ms -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a run that is DONE and started again ends with 0"
not_ok "its program is not started for that" test -e "$run.bin"
is "$(count_events "$run" start)" "$starts" "and the journal has no new stint"
like "$(cat "$TEST_DIR/err")" "complete|DONE" "it says why it does nothing"
run stint run --stint-dir "$run" -- touch "$TEST_DIR/foreign"
is "$status" 125 "another command is refused in a run that is DONE"
not_ok "and not started" test -e "$TEST_DIR/foreign"

# ---- what is not DONE ------------------------------------------------------------------------------------------------

run=$TEST_DIR/ignorant
run stint run --stint-dir "$run" -- sh -c 'echo ran'
is "$status" 0 "a program that knows nothing of stint ends with its own status"
is "$(cat "$TEST_DIR/out")" "ran" "its output comes through"
not_ok "exit 0 without stint_complete does not make DONE" test -e "$run/DONE"
like "$(cat "$TEST_DIR/err")" "not complete" "it is said that the run ended without being complete"
is "$(journal "$run" end why)" "ended, not complete" "the journal says so too"
run stint run --stint-dir "$run" -- sh -c 'echo ran'
is "$(cat "$TEST_DIR/out")" "ran" "started again, it runs again"
run stint run --stint-dir "$run" --stint-exit0=done -- sh -c 'echo ran'
ok "with --stint-exit0=done its exit 0 makes DONE" test -e "$run/DONE"
run stint run --stint-dir "$run" --stint-exit0=done -- sh -c 'echo ran'
is "$status:$(cat "$TEST_DIR/out")" "0:" "and then it is not run again"

run=$TEST_DIR/failing
run stint run --stint-dir "$run" -- sh -c 'exit 7'
is "$status" 7 "the exit status of a program that fails comes through"
is "$(journal "$run" end why)" "exited" "and the journal tells it from a crash"
run stint run --stint-dir "$run" -- sh -c 'exit 7'
# shellcheck disable=SC2016  # the inner shell's own
run stint run --stint-dir "$TEST_DIR/crashing" -- sh -c 'kill -SEGV $$'
is "$status" 139 "a program that crashed ends the stint with 128 and its signal"
is "$(journal "$TEST_DIR/crashing" end why)" "crashed" "and the journal says that it crashed"
run stint run --stint-dir "$TEST_DIR/none" -- "$TEST_DIR/no-such-program"
is "$status" 127 "a program that is not there is 127"
like "$(cat "$TEST_DIR/err")" "no-such-program" "and is named"
: >"$TEST_DIR/no-program"
run stint run --stint-dir "$TEST_DIR/none2" -- "$TEST_DIR/no-program"
is "$status" 126 "a program that cannot be executed is 126"

# ---- another command -------------------------------------------------------------------------------------------------

run=$TEST_DIR/other
killed_after "$run" 1 stint run --stint-dir "$run" --stint-interval 60ms -- "${flow_train[@]}" --out "$run.bin"
run stint run --stint-dir "$run" -- "${flow_train[@]}" --out "$run.other.bin"
is "$status" 0 "a run that is not DONE is carried on by another command too"
like "$(cat "$TEST_DIR/err")" "begun by another command" "but that is said"
is "$(count_events "$run" "command changed")" 1 "and written down"
same_weights "$run.other.bin" "it comes to the same weights"

# ---- a lease that nobody can judge ------------------------------------------------------------------------------------

run=$TEST_DIR/far
killed_after "$run" 1 stint run --stint-dir "$run" --stint-interval 60ms -- "${flow_train[@]}" --out "$run.bin"
sed -i 's/"host": *"[^"]*"/"host": "a-node-far-away"/' "$run/lease"
run stint run --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 125 "a lease of another host is not taken over by itself"
like "$(cat "$TEST_DIR/err")" "a-node-far-away.*--stint-take-over" "the host and the way out are named"
run stint run --stint-dir "$run" --stint-take-over -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "with --stint-take-over it is"
same_weights "$run.bin" "and the training ends as if nothing had been"

run=$TEST_DIR/taken
# The holder stands still within its commit while another takes over; what it does afterwards must not count.
STINT_FAULT=commit.before_rename:pause@2 STINT_FAULT_DIR=$TEST_DIR/faults start_in holder2 "$run"
wait_for 60 "the commit of the second save" reached "$TEST_DIR/faults"
run stint run --stint-dir "$run" --stint-interval 100ms --stint-take-over -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a run can be taken over from a living holder"
same_weights "$run.bin" "whose training ends as if nothing had been"
find "$TEST_DIR/faults" -type f -delete
wait_exit holder2 60
isnt "$status" 124 "the holder that lost its lease comes to an end"
ok "and has not spoilt a checkpoint" stint verify "$run" --all
ok "nor the end of the run" test -e "$run/DONE"
done_testing
