#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/alone.sh: a program that is started by itself, without `stint run`. The library starts what it needs, and
# nothing of that outlives the program.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

flow_train=(train_lm --small --steps 150 --step-ms 5 --eval-every 40 --log-every 0)
reference
export STINT_BIN=$TEST_BUILD/client/stint

# ---- from the first step to DONE --------------------------------------------------------------------------------------

run=$TEST_DIR/alone
STINT_DIR=$run start first "${flow_train[@]}" --out "$run.bin"
wait_landed "$run"
isnt "$(by_executable first stint)" "" "a program without \`stint run\` brings its own"
ok "the status of its run can be asked for" stint status "$run"
kill -KILL "$(pid_of first)"
wait_exit first
before=$(newest "$run")
STINT_DIR=$run run "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "killed and started again at once, it comes to its end"
is "$(journal "$run" restore step | tail -n 1)" "$(step_of "$before")" "from the newest checkpoint"
same_weights "$run.bin" "with the same weights"
ok "the run is DONE" test -e "$run/DONE"
ok "every checkpoint holds" stint verify "$run" --all

# ---- the whole family is killed --------------------------------------------------------------------------------------

run=$TEST_DIR/tree
STINT_DIR=$run start tree "${flow_train[@]}" --out "$run.bin"
wait_landed "$run"
kill_family KILL tree
wait_exit tree
STINT_DIR=$run run "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "after a SIGKILL of everything it resumes as well"
same_weights "$run.bin" "to the same weights"

# ---- the coordinator is killed ---------------------------------------------------------------------------------------

run=$TEST_DIR/coordinator
STINT_DIR=$run start orphan "${flow_train[@]}" --out "$run.bin"
wait_landed "$run"
# shellcheck disable=SC2046  # process ids are words
kill -KILL $(by_executable orphan stint)
wait_exit orphan 60
is "$status" 0 "a program whose coordinator is killed trains on to its end"
same_weights "$run.bin" "with the same weights"

# ---- by the places it looks ------------------------------------------------------------------------------------------

mkdir "$TEST_DIR/here"
(cd "$TEST_DIR/here" && exec minimal 1000 >"$TEST_DIR/minimal.out" 2>"$TEST_DIR/minimal.err")
ok "without STINT_DIR the run directory is ./run.stint" test -e "$TEST_DIR/here/run.stint/DONE"
STINT_DIR=off run minimal 1000
is "$(cat "$TEST_DIR/out")" "$(cat "$TEST_DIR/minimal.out")" "a run and no run compute the same"
is "$(find "$TEST_DIR" -maxdepth 1 -name '*.stint')" "" "STINT_DIR=off makes no run"
is "$(wc -l <"$TEST_DIR/err")" 1 "and is one line of log"

STINT_BIN=$TEST_DIR/no-stint STINT_DIR=$TEST_DIR/missing PATH=/usr/bin:/bin run "$TEST_BUILD/examples/minimal" 1000
is "$status" 0 "a program that cannot have a coordinator trains on"
is "$(cat "$TEST_DIR/out")" "$(cat "$TEST_DIR/minimal.out")" "to the same end"
is "$(wc -l <"$TEST_DIR/err")" 1 "and says so in one line"
ok "when the programs are gone all that they started ends" wait_for 20 "the families to end" is_gone first
not_ok "and has given back the lease" test -e "$TEST_DIR/alone/lease"
done_testing
