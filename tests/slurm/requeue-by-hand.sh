#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/requeue-by-hand.sh: `scontrol requeue` in the midst of training. Slurm says nothing of it beforehand, and
# leaves KillWait: the state is saved in that, and the same job goes on with it.
#
# The signal ends the shell of the batch script too, and with it, where Slurm keeps track of processes, `stint run`; a
# script that says `exec stint run` has no shell in between. Without that the agents save alone, and the next stint makes
# it whole.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --kill-wait 12 --set ProctrackType=proctrack/pgid

train=(--small --steps 400 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
training() # NAME HOW: a batch script
{
        batch u1 "$1" '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' 'echo "$SLURM_JOB_ID" >>"$SLURM_JOB_NAME.jobs"' \
                "$2 run --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out $1.bin"
}
training direct "exec stint"
submit u1 -w n1 --stint-name=direct direct
direct=$job run=$cluster/u1/direct.stint
wait_landed "$run" # its first, to measure
wait_slurm 60 "the training to be on its way" progress_is "$run" 30
asked_at=$(date +%s.%N)
as_user u1 scontrol requeue "$direct"
wait_slurm 60 "the end of the first stint" has_events "$run" 1 end

is "$(journal "$run" end why lost_steps)" "requeued 0" the_verdict_is_requeued_and_no_step_is_lost
like "$(journal "$run" end verdict)" '^saved step [0-9]+, ' the_state_is_saved
is "$(journal "$run" save reason landed | tail -n 1)" "requeue true" and_that_is_the_reason_it_names
within_seconds it_is_saved_within_KillWait "$asked_at" "$(event_time "$run" save "$(count_events "$run" save)")" 12

# ---- with a shell in between -----------------------------------------------------------------------------------------

training shell stint
submit u1 -w n2 --stint-name=shell shell
shell=$job other=$cluster/u1/shell.stint
wait_landed "$other"
landed=$(journal "$other" save step)
wait_slurm 60 "the other training to be on its way" progress_is "$other" 30
as_user u1 scontrol requeue "$shell"
wait_slurm 60 "its next stint" has_events "$other" 1 restore
like "$(journal "$other" end why | sed -n 1p)" '^(requeued|killed)$' with_a_shell_in_between_the_verdict_may_come_from_the_next_stint
is "$(journal "$other" restore step)" "$(journal "$other" end landed_step | sed -n 1p)" and_names_the_step_that_the_next_one_begins_from
is "$(($(journal "$other" restore step) > landed))" 1 which_the_agent_has_saved_after_the_signal
is "$(journal "$other" end lost_steps | sed -n 1p)" 0 and_no_step_is_lost_there_either

# ---- the end of both -------------------------------------------------------------------------------------------------

for one in direct shell; do
        job=${!one} run=$cluster/u1/$one.stint
        wait_job 120 "$job" COMPLETED
        is "$(journal "$run" end why | tail -n 1)" complete "$one: the second stint completes the training"
        is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" "$one: it was restored where the first one ended"
        is "$(job_restarts "$job")" 1 "$one: it was started twice and not more often"
        is "$(cat "$cluster/u1/$one.jobs")" "$(printf '%s\n%s' "$job" "$job")" "$one: both times as the same job"
        no_process_of "$job" "$one: no process is left"
done
is "$(squeue -ha -o %i)" "" no_other_job_is_in_the_queue
same_as_reference "$cluster/u1/direct.bin" the_weights_are_those_of_a_training_that_nobody_cut
same_weights "$cluster/u1/shell.bin" and_so_are_those_of_the_other
done_testing
