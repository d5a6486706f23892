#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/stop.sh: `stint stop` saves and ends a chain, with whatever waits in the queue; `stint resume` goes on with
# it as it was submitted; `stint cancel` ends it without waiting for a save. What was stopped does not start by itself.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
home=$cluster/u1
run=$home/run.stint
endless="train_lm --small --steps 100000 --step-ms 5 --log-every 0"
batch u1 endless.sh '#SBATCH -n1 --time=5' "stint run -- $endless" 'echo "exit $?"'

submit u1 --stint-mode=chain endless.sh
wait_for 30 "the successor" has_events "$run" 1 successor
next=$(journal "$run" successor job)
wait_landed "$run"

# ---- stop ------------------------------------------------------------------------------------------------------------

run as_user u2 stint stop "$run"
is "$status" 125 another_user_cannot_stop_it
not_ok and_leaves_no_mark test -e "$run/STOPPED"
run as_user u1 stint stop
is "$status" 0 its_owner_can
like "$(cat "$TEST_DIR/out")" '^saved step [0-9]+, ' with_the_verdict
wait_end 30 "$job"
like "$(output "$job")" 'exit 75' the_stint_ends_to_be_continued
wait_end 30 "$next"
is "$(job_field "$next" JobState)" CANCELLED and_the_job_that_waited_is_gone
step=$(sed -n 's/^saved step \([0-9]*\),.*/\1/p' "$TEST_DIR/out")
is "$(step_of "$(newest "$run")")" "$step" what_it_told_is_on_disk
is "$(count_events "$run" start)" 1 nothing_has_started_since

batch u1 by-hand.sh '#SBATCH -n1 --time=5' "stint run --stint-dir $run -- $endless" 'echo "exit $?"'
submit_plain u1 by-hand.sh
wait_end 30 "$job"
like "$(output "$job")" 'was stopped by stint-u1 on .*stint resume' a_job_that_starts_anyway_sees_the_mark
like "$(output "$job")" 'exit 0' and_exits_with_0
is "$(count_events "$run" start)" 1 without_a_stint
run as_user u1 stint submit endless.sh
is "$status" 125 nor_is_it_submitted_again
like "$(cat "$TEST_DIR/err")" 'stint resume' but_resumed

# ---- resume ----------------------------------------------------------------------------------------------------------

submitted u1 stint resume run --time=7 --output=%j.out
like "$(job_field "$job" TimeLimit)" '00:07:00' resume_submits_with_the_options_given
is "$(job_field "$job" JobName)" endless.sh and_those_it_had
wait_for 60 "a restore" has_events "$run" 1 restore
is "$(journal "$run" restore step)" "$step" and_goes_on_where_it_was_stopped
run as_user u1 stint resume run
is "$status" 125 once_is_enough
like "$(cat "$TEST_DIR/err")" "runs now|is (running|pending) already" and_that_is_said

# ---- stop from another host: only the mark is seen -------------------------------------------------------------------

wait_landed "$run" 3
sed -i 's/"control": *"[^"]*"/"control":""/' "$run/lease" 2>/dev/null || :
run as_user u1 stint stop --json
is "$status" 0 the_mark_alone_is_enough
json_holds "and the verdict is JSON" "d['landed'] is True and d['was_running'] is True and d['text'].startswith('saved step')"
wait_end 30 "$job"

# ---- cancel ----------------------------------------------------------------------------------------------------------

trained=$(count_events "$run" attached)
submitted u1 stint resume run
wait_slurm 60 "job $job to train" has_events "$run" "$((trained + 1))" attached
run as_user u1 stint cancel run
is "$status" 0 a_run_is_cancelled
like "$(cat "$TEST_DIR/out")" "^job $job is cancelled" by_the_number_of_its_job
wait_end 30 "$job"
is "$(job_field "$job" JobState)" CANCELLED which_is_then_cancelled
wait_slurm 30 "an empty queue" eval '[ -z "$(squeue -ha -o %i)" ]'
run as_user u1 stint cancel run --json
json_holds "there is nothing left to cancel" "d['cancelled'] == []"
run as_user u1 stint stop nowhere
is "$status" 125 a_run_that_there_is_not
like "$(cat "$TEST_DIR/err")" 'no run directory' and_that_is_said_too
done_testing
