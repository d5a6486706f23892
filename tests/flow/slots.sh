#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/slots.sh: the files of a checkpoint that is no longer needed are written over, where that was not switched
# off; no reader of the product sees them, and nothing of them is left when the run is complete.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

reference
stint_run=(stint run --stint-interval 50ms --stint-keep 1)

# ---- used ------------------------------------------------------------------------------------------------------------

# The point is reached by an agent that has taken a slot, and by nobody else; there it waits, so that all can be seen.
run=$TEST_DIR/used
mkdir "$TEST_DIR/faults"
STINT_FAULT=slot.after_take:pause@2 STINT_FAULT_DIR=$TEST_DIR/faults start used \
        "${stint_run[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
taken()
{
        [ -n "$(find "$TEST_DIR/faults" -type f -name 'slot.*')" ]
}
wait_for 60 "a slot to be taken" taken
newest=$(newest "$run")
ok the_newest_checkpoint_is_whole_while_a_slot_is_written_over stint verify "$run"
ok and_so_are_all_others stint verify "$run" --all
is "$(stint ls "$run" | grep -c slots)" 0 stint_ls_knows_no_slots
is "$(find "$run"/checkpoints/*.part -name '*.h5' -size +0 | wc -l)" 1 the_file_of_the_slot_is_in_the_part
is "$(find "$run"/checkpoints/*.part -name '*.seal' -size +0 | wc -l)" 0 and_nothing_vouches_for_it
ok the_newest_one_has_its_own_file test -s "$newest/rank-00000-of-00001.h5"
find "$TEST_DIR/faults" -type f -delete
wait_exit used 60
is "$status" 0 a_run_that_writes_over_slots_comes_to_its_end
same_weights "$run.bin" and_ends_with_the_weights_of_a_training_nobody_touched
ok all_its_checkpoints_hold stint verify "$run" --all
ok no_slot_is_left_when_the_run_is_complete test ! -e "$run/checkpoints/slots"
is "$(count_events "$run" save "$failed")" 0 no_save_failed

# ---- left by a kill --------------------------------------------------------------------------------------------------

# Between DONE and the end of the stint, which removes it: whoever looks next does so instead.
run=$TEST_DIR/left
mkdir "$TEST_DIR/left.faults"
STINT_FAULT=complete.after_done:pause STINT_FAULT_DIR=$TEST_DIR/left.faults start left \
        "${stint_run[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
wait_for 60 "DONE to be written" reached "$TEST_DIR/left.faults"
kill_family KILL left
wait_exit left 30
find "$TEST_DIR/left.faults" -type f -delete
ok the_run_is_complete_and_its_slot_is_there test -e "$run/DONE" -a -e "$run/checkpoints/slots"
run stint run --stint-dir "$run" -- "${flow_train[@]}" --steps 1 --out "$run.bin"
is "$status" 125 another_command_is_refused
ok and_removes_nothing test -e "$run/checkpoints/slots"
run "${stint_run[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 whoever_looks_next_has_nothing_to_do
ok but_to_remove_the_slot test ! -e "$run/checkpoints/slots"
ok and_gives_the_lease_back test ! -e "$run/lease"
is "$(count_events "$run" start)" 1 no_stint_was_begun_for_it
ok all_its_checkpoints_hold_still stint verify "$run" --all

# ---- one that cannot be written ------------------------------------------------------------------------------------

run=$TEST_DIR/fails
STINT_FAULT=slot.after_take:fail=EIO run "${stint_run[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 a_training_survives_a_slot_that_cannot_be_written
ok the_save_over_it_failed_and_was_said_to test "$(grep -c 'slot.after_take' "$run/journal.jsonl")" -ge 1
ok and_all_checkpoints_hold stint verify "$run" --all

# ---- switched off ----------------------------------------------------------------------------------------------------

run=$TEST_DIR/off
STINT_FAULT=slot.before_keep:kill,slot.after_take:kill run \
        "${stint_run[@]}" --stint-slots off --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 without_slots_nobody_comes_near_one
ok no_slot_is_there test ! -e "$run/checkpoints/slots"
ok old_checkpoints_went_all_the_same test "$(count_events "$run" pruned)" -ge 1
done_testing
