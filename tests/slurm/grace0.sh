#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/grace0.sh: a partition without a grace, which is Slurm's default. A preemption is the end at once, and only
# KillWait is left. A save that fits in it lands. What does not fit is finished by stintd. Without stintd it is lost, and
# nothing else is: what had landed stands, and the verdict says what is missing.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --grace 0 --set ProctrackType=proctrack/pgid

train=(--small --steps 300 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
training() # NAME LINE...: a batch script with that in front of the training
{
        batch u1 "$1" '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' "${@:2}" \
                "exec stint run --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out $1.bin"
}
batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'sleep 1'

# ---- the save fits ---------------------------------------------------------------------------------------------------

training fits
submit u1 -w n1 --stint-name=fits fits
fits=$job run=$cluster/u1/fits.stint
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
submit_plain u2 -w n1 urgent
wait_slurm 60 "the next stint" has_events "$run" 2 start
is "$(journal "$run" end lost_steps | sed -n 1p)" 0 no_step_is_lost_when_the_save_fits_in_KillWait
like "$(journal "$run" end verdict | sed -n 1p)" '^saved step [0-9]+, ' and_the_verdict_says_that_it_was_saved
diag "$(journal "$run" end why)"
like "$(journal "$run" end why | sed -n 1p)" '^(preempted|requeued)$' and_that_the_job_goes_on

# ---- it does not fit, and there is no stintd --------------------------------------------------------------------------

# On the other node, while the first one goes on. Its first save is to measure; the last one hangs in the filesystem.
training late "$(fault_in 0 save.before_sync:pause@2)" "export STINT_DAEMON_SOCKET=$cluster/none.sock"
submit u1 -w n2 --stint-name=late late
late=$job run=$cluster/u1/late.stint
wait_landed "$run"
landed=$(journal "$run" save step)
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
submit_plain u2 -w n2 urgent
wait_slurm 60 "the last save to hang" reached "$faults"
wait_slurm 60 "the next stint" has_events "$run" 2 start
is "$(journal "$run" end landed_step | sed -n 1p)" "$landed" what_had_landed_before_stands
lost=$(journal "$run" end lost_steps | sed -n 1p)
is "$((lost > 0))" 1 the_verdict_does_not_hide_that_steps_are_lost
like "$(journal "$run" end verdict | sed -n 1p)" "NOT saved|step $landed stands, at least $lost steps lost" and_says_so_in_words
wait_slurm 60 "the restore" has_events "$run" 1 restore
is "$(journal "$run" restore step)" "$landed" the_next_stint_begins_from_it
wait_job 120 "$fits" COMPLETED
wait_job 120 "$late" COMPLETED

# ---- it does not fit, and stintd goes on with it ------------------------------------------------------------------------

find "$faults" -type f -delete
training finished "$(fault_in 0 save.before_sync:pause@2)"
submit u1 -w n2 --stint-name=finished finished
finished=$job run=$cluster/u1/finished.stint
wait_landed "$run"
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
submit_plain u2 -w n2 urgent
wait_slurm 60 "the last save to hang" reached "$faults"
wait_slurm 90 "the restore" has_events "$run" 1 restore
is "$(journal "$run" end lost_steps | sed -n 1p)" 0 with_stintd_no_step_is_lost
is "$(journal "$run" finished_part step)" "$(journal "$run" restore step)" the_next_stint_begins_from_what_stintd_finished
wait_job 120 "$finished" COMPLETED
no_process_of "$finished" no_process_of_the_third_is_left
same_weights "$cluster/u1/finished.bin" the_third_has_the_same_weights

is "$(job_restarts "$fits") $(job_restarts "$late")" "1 1" each_is_requeued_once
no_process_of "$fits" no_process_of_the_first_is_left
no_process_of "$late" no_process_of_the_second_is_left
same_as_reference "$cluster/u1/fits.bin" the_first_has_the_weights_of_a_training_that_nobody_cut
same_weights "$cluster/u1/late.bin" and_so_has_the_second
done_testing
