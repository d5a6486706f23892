#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/controller-silent.sh: slurmctld hangs right after two jobs have started, so stint has no answer from it, not
# even the first: nobody knows the time limits (before Slurm 23.02 the environment does not tell them). That is said in the log
# and in the verdict; the agents are started beside `stint run`, for nobody makes steps; and everything else goes its way.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

job_of() # NAME STEPS: a job that runs nothing of stint before the controller is away. Asked for often, so that this is short
{
        batch u1 "$1" '#SBATCH --time=5 --ntasks=1' "touch $1.started" 'until [ -e go ]; do sleep 0.2; done' \
                "stint run --stint-name $1 --stint-interval 5s --stint-ask-every 4s -- sim_train $2 100" 'echo "exit $?"'
        submit_plain u1 "$1"
}
job_of short 100
short=$job
job_of long 400
long=$job
# What they end with, when nothing is in their way.
run env STINT_DIR=off sim_train 100 0
short_end=$(cat "$TEST_DIR/out")
run env STINT_DIR=off sim_train 400 0
long_end=$(cat "$TEST_DIR/out")
wait_for_file 30 "$cluster/u1/short.started"
wait_for_file 30 "$cluster/u1/long.started"
daemon_signal STOP slurmctld
touch "$cluster/u1/go"

# ---- never an answer -------------------------------------------------------------------------------------------------

wait_output 90 "$short" '^exit '
text=$(output "$short")
like "$text" "not answered within .*this job's time limit is not known" the_log_says_that_the_limit_is_not_known
like "$text" 'started on .* \(its time limit is not known: nobody answers\)' and_the_first_line_says_so
is "$(grep -c "time limit is not known$" <<<"$text")" 1 and_it_is_not_said_again_and_again
like "$text" 'could not be started as a step .* beside it' the_agent_that_cannot_be_a_step_is_started_beside
like "$text" '^exit 0$' the_training_goes_its_way
like "$text" "^$(tail -n 1 <<<"$short_end")$" to_its_right_end
run=$cluster/u1/short.stint
is "$(journal "$run" end why)" complete and_is_complete
like "$(journal "$run" end verdict)" '^complete at step 100; its time limit was NOT known' the_verdict_says_that_the_limit_was_not_known
ok interval_saves_landed has_events "$run" 1 save "interval.*$landed"
is "$(count_events "$run" save "$failed")" 0 and_none_failed
is "$(count_events "$run" deadline)" 0 no_deadline_was_made_up

# ---- an answer at last -----------------------------------------------------------------------------------------------

run=$cluster/u1/long.stint
is "$(count_events "$run" end)" 0 the_other_job_trains_still
daemon_signal CONT slurmctld
wait_for 60 "the deadline" has_events "$run" 1 deadline
is "$(journal "$run" deadline cause)" "time limit" when_the_controller_answers_the_limit_is_heard_of
wait_job 60 "$short" COMPLETED
wait_job 120 "$long" COMPLETED
is "$(journal "$run" end why verdict)" "complete complete at step 400" and_the_verdict_has_nothing_to_complain_of
like "$(output "$long")" "^$(tail -n 1 <<<"$long_end")$" it_ends_right_too
no_process_of "$short" no_process_of_the_first_job_is_left
no_process_of "$long" nor_of_the_second
done_testing
