#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/requeue-by-hand.sh: `scontrol requeue` in the midst of training. Slurm says nothing of it beforehand, and
# leaves KillWait: the state is saved in that, and the same job goes on with it.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --set ProctrackType=proctrack/pgid

train=(--small --steps 400 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
batch u1 train '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' 'echo "$SLURM_JOB_ID" >>jobs' \
        "exec stint run -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out resumed.bin"
submit u1 train
run=$cluster/u1/run.stint
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
asked_at=$(date +%s.%N)
as_user u1 scontrol requeue "$job"
wait_slurm 60 "the end of the first stint" has_events "$run" 1 end

is "$(journal "$run" end why lost_steps)" "requeued 0" the_verdict_is_requeued_and_no_step_is_lost
like "$(journal "$run" end verdict)" '^saved step [0-9]+, ' the_state_is_saved
is "$(journal "$run" save reason landed | tail -n 1)" "requeue true" and_that_is_the_reason_it_names
within_seconds it_is_saved_within_KillWait "$asked_at" "$(event_time "$run" save "$(count_events "$run" save)")" 5

wait_restart 60 "$job" 1
wait_job 120 "$job" COMPLETED
is "$(journal "$run" end why)" "$(printf 'requeued\ncomplete')" the_second_stint_completes_the_training
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" it_was_restored_where_the_first_one_ended
is "$(job_restarts "$job")" 1 it_was_started_twice_and_not_more_often
is "$(cat "$cluster/u1/jobs")" "$(printf '%s\n%s' "$job" "$job")" both_times_as_the_same_job
is "$(squeue -ha -o %i)" "" no_other_job_is_in_the_queue
ok the_run_is_done test -e "$run/DONE"
no_process_of "$job" no_process_is_left
same_as_reference "$cluster/u1/resumed.bin" the_weights_are_those_of_a_training_that_nobody_cut
done_testing
