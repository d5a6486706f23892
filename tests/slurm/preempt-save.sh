#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/preempt-save.sh: a preemption that comes while a save is on its way already, one that somebody asked for. The
# save that is in flight lands, the last one follows it, and the next stint begins from that one.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --grace 20

train=(--small --steps 300 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
# The first save, of its own accord, is to measure; the second is the user's, and is held before its bytes are safe.
batch u1 train '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' "$(fault_in 0 save.before_sync:pause@2)" \
        "stint run --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out resumed.bin"
batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'sleep 1'
submit u1 -w n1 train
victim=$job run=$cluster/u1/run.stint
wait_landed "$run"
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
as_user u1 stint save --wait 120s "$run" >"$TEST_DIR/save.out" 2>&1 &
save=$!
wait_slurm 60 "the user's save to be held" reached "$faults"
submit_plain u2 -w n1 urgent
wait_output 30 "$victim" 'stint 1: preempted: '
is "$(count_events "$run" save)" 1 the_preemption_comes_while_a_save_is_in_flight
release
wait_slurm 60 "the end of the first stint" has_events "$run" 1 end

is "$(journal "$run" save reason landed | sed 1d)" "$(printf 'user true\npreemption true')" what_was_in_flight_lands_and_the_last_save_follows
status=0
wait "$save" || status=$?
is "$status" 0 whoever_asked_for_the_save_hears_that_it_landed
is "$(journal "$run" end why lost_steps)" "preempted 0" no_step_is_lost
wait_restart 90 "$victim" 1
wait_job 120 "$victim" COMPLETED
is "$(journal "$run" restore step)" "$(journal "$run" save step | sed -n 3p)" the_next_stint_begins_with_the_last_save
is "$(journal "$run" end why)" "$(printf 'preempted\ncomplete')" and_completes_the_training
no_process_of "$victim" no_process_is_left
same_as_reference "$cluster/u1/resumed.bin" the_weights_are_those_of_a_training_that_nobody_cut
done_testing
