#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/preempt.sh: a job in a partition of higher priority takes the node. Slurm tells only steps about it; the agent
# is one, and the save begins within a second. The training goes on where it can, and ends with the right bits.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

train=(--small --steps 500 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
# The other step notes down when Slurm's signal came, as any step would have it.
batch u1 train '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' \
        "srun --overlap bash -c 'trap \"date +%s.%N >>signalled\" TERM; while :; do sleep 0.05; done' &" \
        "stint run -- srun --overlap stint exec -- train_lm ${train[*]} --step-ms 60 --out resumed.bin"
batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'sleep 5'
submit u1 -w n1 train
run=$cluster/u1/run.stint
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
urgent_at=$(date +%s.%N)
victim=$job
submit_plain u2 -w n1 urgent
wait_for 20 "the signal" test -s "$cluster/u1/signalled"
signalled=$(head -n 1 "$cluster/u1/signalled")
wait_slurm 30 "the end of the first stint" has_events "$run" 1 end

within_seconds Slurm_signals_at_once "$urgent_at" "$signalled" 5
is "$(journal "$run" deadline cause | tail -n 1)" preemption the_preemption_is_noticed_as_one
noticed=$(event_time "$run" deadline "$(count_events "$run" deadline)")
within_seconds it_is_acted_on_within_a_second_of_the_signal "$signalled" "$noticed" 1
is "$(journal "$run" end why lost_steps)" "preempted 0" the_stint_ends_as_preempted_and_no_step_is_lost
like "$(journal "$run" end verdict)" '^saved step [0-9]+, ' its_state_is_saved
wait_job 90 "$job" COMPLETED
pass the_urgent_job_ran
wait_restart 60 "$victim" 1
wait_job 90 "$victim" COMPLETED
is "$(journal "$run" end why)" "$(printf 'preempted\ncomplete')" the_second_stint_completes_the_training
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" it_was_restored_where_the_first_one_ended
same_as_reference "$cluster/u1/resumed.bin" the_weights_are_those_of_a_training_that_nobody_cut
done_testing
