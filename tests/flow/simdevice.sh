#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/simdevice.sh: state on the simulated device: saved, restored to whichever device the next stint has, and
# NOT saved, without harm, when the device fails a copy.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

train=(sim_train 100 5)
hash_in() # FILE
{
        sed -n 's/^steps .* hash //p' "$1"
}

STINT_DIR=off run "${train[@]}"
is "$status" 0 "a training on the simulated device runs without stint"
reference_hash=$(hash_in "$TEST_DIR/out")

# ---- saved, killed, restored -----------------------------------------------------------------------------------------

run=$TEST_DIR/killed
command=(stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}")
killed_after "$run" 2 "${command[@]}"
step=$(step_of "$(newest "$run")")
run "${command[@]}"
is "$status" 0 "a training on the device is resumed"
like "$(cat "$TEST_DIR/out")" "^starts at step $step\$" "from its newest checkpoint"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"
ok "its checkpoints hold" stint verify "$run" --all

run=$TEST_DIR/moved
STINT_DEVICE=sim:devices=2 killed_after "$run" 1 stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}" 1
STINT_DEVICE=sim run stint run --stint-dir "$run" --stint-adopt -- "${train[@]}" 0
is "$status" 0 "state from device 1 is restored where there is only device 0"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"

# ---- a slow device ---------------------------------------------------------------------------------------------------

run=$TEST_DIR/slow
STINT_DEVICE=sim:delay=20ms run stint run --stint-dir "$run" --stint-interval 100ms -- sim_train 20 1
is "$status" 0 "a device whose copies take long only takes longer"
# Nothing is copied for a save of the last step that comes when it has landed already.
is "$(journal "$run" save copy_s unchanged | awk '$1 < 0.04 && $2 == "false" { n++ } END { print n + 0 }')" 0 "the time of the copies is in the journal"

# ---- a device that fails ---------------------------------------------------------------------------------------------

run=$TEST_DIR/fails
STINT_DEVICE=sim:fail_copy=3 run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
is "$status" 0 "a copy that fails does not end the training"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "which comes to the same bits"
like "$(cat "$TEST_DIR/err")" "NOT saved: .*simulated device failed" "that save is NOT saved, and why"
is "$(count_events "$run" save "$failed")" 1 "it is the only one"
like "$(cat "$TEST_DIR/out")" "^step [0-9]+: .*simulated device failed" "the program can ask why"
ok "later saves land, and the run is DONE" test -e "$run/DONE"
ok "every checkpoint holds" stint verify "$run" --all

# The first copies of a stint that resumes are those of its restore.
run=$TEST_DIR/restore
killed_after "$run" 1 stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
before=$(whole "$run")
STINT_DEVICE=sim:fail_copy=2 run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
isnt "$status" 0 "a restore that the device fails does not go on with half a state"
is "$(whole "$run")" "$before" "and costs no checkpoint"
run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "the next stint comes to the same bits"
done_testing
