#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/preempt-twice.sh: a job that is preempted twice in a row, the second time when it has hardly begun again.
# Each of its stints ends with a save of its own, and the third does not take an old preemption for its own.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

train=(--small --steps 300 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
batch u1 train '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' \
        "stint run --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out resumed.bin"
batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'sleep 1'
submit u1 -w n1 train
victim=$job run=$cluster/u1/run.stint
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
submit_plain u2 -w n1 urgent
wait_slurm 60 "the end of the first stint" has_events "$run" 1 end
wait_slurm 90 "the restore of the second stint" has_events "$run" 1 restore
submit_plain u2 -w n1 urgent
wait_slurm 60 "the end of the second stint" has_events "$run" 2 end
wait_job 180 "$victim" COMPLETED

is "$(journal "$run" end why lost_steps)" "$(printf 'preempted 0\npreempted 0\ncomplete 0')" two_preemptions_and_no_step_is_lost
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1,2p)" each_stint_begins_where_the_one_before_ended
like "$(journal "$run" end verdict | sed -n 2p)" '^saved step [0-9]+, ' the_second_preemption_is_saved_too
is "$(journal "$run" start stint)" "$(printf '1\n2\n3')" there_are_three_stints
is "$(job_restarts "$victim")" 2 of_one_job
unlike "$(output "$victim" | sed -n '/stint 3: started/,$p')" 'preempted' the_third_stint_takes_no_old_preemption_for_its_own
ok the_run_is_done test -e "$run/DONE"
no_process_of "$victim" no_process_is_left
same_as_reference "$cluster/u1/resumed.bin" the_weights_are_those_of_a_training_that_nobody_cut
done_testing
