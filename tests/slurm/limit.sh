#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/limit.sh: a job with the shortest limit Slurm has, a minute, around a training that is longer. It is saved
# before the limit, requeued by its owner, restored, and ends with the bits of a training that nobody cut.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

train=(--small --steps 800 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
batch u1 train '#SBATCH --time=1 --ntasks=1 --gres=gpu:1' \
        "stint run -- srun stint exec -- train_lm ${train[*]} --step-ms 100 --out resumed.bin"
submit u1 train
run=$cluster/u1/run.stint
wait_job 60 "$job" RUNNING
limit=$(date -d "$(job_field "$job" EndTime)" +%s)

wait_slurm 100 "the end of the first stint" has_events "$run" 1 end
is "$(journal "$run" end why lost_steps)" "time limit 0" the_limit_ends_the_stint_and_no_step_is_lost
like "$(journal "$run" end verdict)" '^saved step [0-9]+, .* before the limit$' the_verdict_says_how_long_before
within_seconds it_was_saved_shortly_before_the_limit "$(event_time "$run" save "$(count_events "$run" save)")" "$limit" 15
wait_restart 60 "$job" 1
within_seconds it_runs_again_soon "$(event_time "$run" end)" "$(event_time "$run" start 2)" 30
wait_job 120 "$job" COMPLETED
is "$(journal "$run" end why)" "$(printf 'time limit\ncomplete')" the_second_stint_completes_the_training
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" it_was_restored_where_the_first_one_ended
is "$(job_restarts "$job")" 1 it_was_requeued_once
ok the_run_is_done test -e "$run/DONE"
same_as_reference "$cluster/u1/resumed.bin" the_weights_are_those_of_a_training_that_nobody_cut
done_testing
