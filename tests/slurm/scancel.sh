#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/scancel.sh: a job that its owner cancels stays cancelled, whenever that comes: in the midst of training, while
# its last save is on its way, or when it is in the queue again already. Its state is saved where there is time, and
# whoever changes his mind submits it again and loses nothing.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
# Time for a shell on a busy machine to let go of a save that it holds, before Slurm kills what holds it.
cluster_start --kill-wait 12 --grace 20 --set ProctrackType=proctrack/pgid

train=(--small --steps 300 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
training() # NAME LINE...: a batch script with that in front of the training
{
        batch u1 "$1" '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' "${@:2}" \
                "exec stint run --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out $1.bin"
}
batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'sleep 1'

# ---- in the midst of training ----------------------------------------------------------------------------------------

training plain
submit u1 --stint-name=plain plain
plain=$job run=$cluster/u1/plain.stint
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
as_user u1 scancel "$plain"
wait_slurm 60 "the verdict" has_events "$run" 1 end
is "$(journal "$run" end why lost_steps)" "cancelled 0" the_verdict_is_cancelled_and_no_step_is_lost
like "$(journal "$run" end verdict)" '^saved step [0-9]+, ' the_state_is_saved_although_the_step_is_shielded
is "$(count_events "$run" requeue)" 0 nobody_even_asks_for_a_requeue
unlike "$(output "$plain")" 'ended: .*to be continued' nobody_promises_to_go_on
wait_job 60 "$plain" CANCELLED
no_process_of "$plain" no_process_of_it_is_left

# ---- while the last save is on its way -------------------------------------------------------------------------------

training held "$(fault_in 0 commit.before_rename:pause@2)"
submit u1 -w n1 --stint-name=held held
held=$job run=$cluster/u1/held.stint
wait_landed "$run" # its first, to measure; the second is held
submit_plain u2 -w n1 urgent
wait_slurm 60 "the last save" reached "$faults"
as_user u1 scancel "$held"
wait_output 30 "$held" 'this job was cancelled'
release
wait_slurm 60 "the verdict" has_events "$run" 1 end
is "$(journal "$run" save reason landed | tail -n 1)" "preemption true" the_save_in_flight_lands
is "$(journal "$run" end why lost_steps)" "cancelled 0" and_the_verdict_is_cancelled_all_the_same
is "$(count_events "$run" requeue)" 0 no_requeue_is_asked_for_here_either
wait_job 60 "$held" CANCELLED
no_process_of "$held" no_process_of_this_one_is_left

# ---- between the save and the kill, when it is in the queue again ----------------------------------------------------

training queued
submit u1 -w n1 --stint-name=queued queued
queued=$job run=$cluster/u1/queued.stint
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
submit_plain u2 -w n1 urgent
wait_slurm 60 "the requeue" has_events "$run" 1 requeue
is "$(journal "$run" requeue granted)" true the_preempted_job_is_queued_again
as_user u1 scancel "$queued"
wait_job 60 "$queued" CANCELLED
no_process_of "$queued" no_process_of_the_queued_one_is_left

# ---- with a successor in the queue -----------------------------------------------------------------------------------

training chained
submit u1 --stint-mode=chain --stint-name=chained chained
chained=$job run=$cluster/u1/chained.stint
wait_slurm 60 "the successor" has_events "$run" 1 successor
successor=$(journal "$run" successor job)
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
is "$(job_field "$successor" JobState)" PENDING a_chain_has_its_next_job_in_the_queue
as_user u1 scancel "$chained"
wait_slurm 60 "the verdict" has_events "$run" 1 end
is "$(journal "$run" end why lost_steps)" "cancelled 0" the_chain_ends_with_the_verdict_cancelled
wait_job 60 "$chained" CANCELLED
wait_job 60 "$successor" CANCELLED
is "$(journal "$run" "successor withdrawn" job)" "$successor" its_successor_is_taken_out_of_the_queue
no_process_of "$chained" no_process_of_the_chain_is_left

# ---- all of them stay so ---------------------------------------------------------------------------------------------

# Longer than cred_expire and than the StartTime of a requeue, counted from when the last of them was over.
as_user u1 sbatch --wait --begin=now+20 --output=/dev/null --wrap true >"$TEST_DIR/later"
is "$(sed -n 's/^Submitted batch job //p' "$TEST_DIR/later" | grep -c .)" 1 a_later_job_of_the_same_user_runs_through
for id in "$plain" "$held" "$queued" "$chained" "$successor"; do
        is "$(job_field "$id" JobState) $(job_restarts "$id")" "CANCELLED $([ "$id" = "$queued" ] && echo 1 || echo 0)" \
                "job $id is cancelled as before"
done
is "$(squeue -ha -u stint-u1 -t PENDING,RUNNING,COMPLETING)" "" nothing_of_the_user_is_in_the_queue

# ---- another mind ----------------------------------------------------------------------------------------------------

run=$cluster/u1/plain.stint
submit u1 --stint-name=plain plain
wait_job 120 "$job" COMPLETED
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" submitted_again_it_goes_on_where_it_was_cancelled
is "$(journal "$run" end why)" "$(printf 'cancelled\ncomplete')" and_completes
same_as_reference "$cluster/u1/plain.bin" with_the_weights_of_a_training_that_nobody_cut
done_testing
