#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/controller-dies.sh: slurmctld is killed while a job trains. The deadline that was known triggers the final
# save, the state lands before it, and no step of the training notices. Nobody can requeue the job meanwhile, which is
# said; when the controller is back, it is requeued and goes on. Called as controller-hangs.sh, the controller is not
# killed but stopped: it takes questions and never answers.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

case $0 in
*hangs*)
        away() { daemon_signal STOP slurmctld; }
        back() { daemon_signal CONT slurmctld; } ;;
*)
        away() { cluster_daemon kill slurmctld; }
        back() { cluster_daemon start slurmctld; } ;;
esac

# The same training without stint, beside it: what it ends with, and how long a step takes on this machine just now.
steps=350
step_ms=200
SIM_TRAIN_TIMES=$TEST_DIR/alone.times STINT_DIR=off start alone sim_train "$steps" "$step_ms"
# Asked for as often as it can be: every question is one that is not answered.
batch u1 train '#SBATCH --time=1 --ntasks=1' 'export SIM_TRAIN_TIMES=times' \
        "stint run --stint-interval off --stint-ask-every 4s -- srun --overlap stint exec -- sim_train $steps $step_ms"
submit_plain u1 train
run=$cluster/u1/run.stint
wait_slurm 60 "the training to be on its way" progress_is "$run" 10
limit=$(date -d "$(job_field "$job" EndTime)" +%s)

# ---- away ------------------------------------------------------------------------------------------------------------

away
away_at=$(date +%s)
wait_output 60 "$job" 'the deadline that is known stands'
pass it_is_said_that_nobody_answers_and_what_is_done
wait_for 90 "the end of the stint" has_events "$run" 1 end
ok the_controller_was_away_for_most_of_it test $((limit - away_at)) -ge 30
is "$(journal "$run" end why lost_steps)" "time limit 0" the_known_deadline_triggers_and_no_step_is_lost
like "$(journal "$run" end verdict)" '^saved step [0-9]+, .* before the limit$' the_verdict_says_that_it_was_in_time
within_seconds the_state_landed_before_the_limit "$(event_time "$run" save "$(count_events "$run" save)")" "$limit" 15
is "$(journal "$run" deadline cause | sort -u)" "time limit" the_deadline_was_never_taken_for_another

# What a step takes is measured inside the program, the wait in its safe point included. The promise is twice the median; only
# where the same program without stint, beside it, was held up by more than that is the machine the one to blame.
median_and_most() # FILE
{
        sort -n -k2 "$1" | awk '{ us[NR] = $2 } END { print us[int((NR + 1) / 2)], us[NR] }'
}
timed=$(grep -c . "$cluster/u1/times")
read -r median most < <(median_and_most "$cluster/u1/times")
read -r alone_median alone_most < <(median_and_most "$TEST_DIR/alone.times")
diag "$timed steps: median $median us, longest $most us; without stint: median $alone_median us, longest $alone_most us"
ok more_than_a_hundred_steps_were_timed test "$timed" -gt 100
bound=$((2 * median))
[ "$alone_most" -le "$bound" ] || bound=$((2 * alone_most))
ok no_step_took_more_than_twice_the_median test "$most" -le "$bound"

# ---- the verdict about what comes ------------------------------------------------------------------------------------

wait_output 120 "$job" 'the requeue was not answered \(.*\); it is asked for again, and until it is answered Slurm may end this job without running it again$'
pass that_it_was_not_requeued_is_said
is "$(count_events "$run" requeue)" 0 and_not_journalled_as_anything_else
isnt "$(job_processes "$job")" "" the_batch_job_goes_on

# ---- back ------------------------------------------------------------------------------------------------------------

back
wait_slurm 60 "slurmctld to answer" eval 'scontrol ping | grep -q " is UP"'
wait_for 120 "the requeue" has_events "$run" 1 requeue
is "$(journal "$run" requeue granted)" true the_controller_is_back_and_the_job_requeued
wait_restart 90 "$job" 1
wait_job 120 "$job" COMPLETED
is "$(journal "$run" end why)" "$(printf 'time limit\ncomplete')" the_second_stint_completes_the_training
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" it_was_restored_where_the_first_one_ended
is "$(job_restarts "$job")" 1 it_was_requeued_once
wait_exit alone 300
is "$(output "$job" | grep '^steps ')" "$(grep '^steps ' "$TEST_DIR/alone.out")" it_ends_with_the_state_of_a_training_that_nobody_cut
no_process_of "$job" no_process_is_left
done_testing
