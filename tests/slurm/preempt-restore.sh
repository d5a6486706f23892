#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/preempt-restore.sh: a preemption that comes while a stint is still reading its checkpoint. There is nothing
# new to save; what landed stays as it was, and the stint after that begins from the same step.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
# It is to read the file, so its snapshot must not be in memory any more.
cluster_start --stintd KeepStaging=off

train=(--small --steps 300 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
# The agent reads ahead, and once more when the program asks before that comes anywhere; neither gets on.
stuck=$(fault_in 1 restore.mid_read:pause,restore.mid_read:pause@2)
batch u1 train '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' "$stuck" \
        "stint run --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out resumed.bin"
batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'sleep 1'
submit u1 -w n1 train
victim=$job run=$cluster/u1/run.stint
wait_landed "$run"
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
submit_plain u2 -w n1 urgent
wait_slurm 60 "the end of the first stint" has_events "$run" 1 end
step=$(journal "$run" end landed_step)
wait_slurm 90 "the second stint to be reading" reached "$faults"
before=$(cd "$run/checkpoints" && find . -path '*/step-*' -type f -exec sha256sum {} + | sort)
submit_plain u2 -w n1 urgent
wait_slurm 120 "the second stint to be preempted, and the third to begin" has_events "$run" 3 start

is "$(journal "$run" end why lost_steps | sed -n 2p)" "preempted 0" the_second_stint_has_the_verdict_preempted
like "$(journal "$run" end verdict | sed -n 2p)" '^NOT saved: ' and_says_that_it_saved_nothing
wait_slurm 60 "the restore of the third stint" has_events "$run" 1 restore
is "$(journal "$run" restore step | tail -n 1)" "$step" the_third_begins_where_the_first_one_ended
is "$(cd "$run/checkpoints" && sha256sum --quiet --check <<<"$before" 2>&1)" "" what_had_landed_is_as_it_was
wait_job 120 "$victim" COMPLETED
is "$(journal "$run" end why)" "$(printf 'preempted\npreempted\ncomplete')" it_completes_the_training
no_process_of "$victim" no_process_is_left
same_as_reference "$cluster/u1/resumed.bin" the_weights_are_those_of_a_training_that_nobody_cut
done_testing
