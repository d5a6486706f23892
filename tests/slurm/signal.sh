#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/signal.sh: the agent's step has SIGTERM while nobody can say why, for the controller hangs: the state is saved
# as a precaution, and training goes on. With a controller that knows of no end nothing is done; and a signal that comes so
# soon after such a one that both look like one is not passed over when it is the start of a grace.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

train=(--small --steps 800 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
batch u1 train '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' \
        "stint run --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out whole.bin"
submit u1 -w n1 train
run=$cluster/u1/run.stint
# To every process of the agents' step, as Slurm does.
term_to_agents()
{
        local pid
        for pid in $(job_processes "$job"); do
                [ "$(readlink "/proc/$pid/exe")" != "$cluster/opt/libexec/stint/stint-agent" ] || kill -TERM "$pid"
        done
}
wait_landed "$run" # its first, to measure
wait_slurm 60 "the training to be on its way" progress_is "$run" 30

# ---- the controller knows of no end ----------------------------------------------------------------------------------

as_user u1 scancel --signal=TERM "$job"
wait_output 30 "$job" 'the scheduler knows of no end; training goes on'
is "$(journal "$run" save reason)" calibration nothing_is_saved_when_the_controller_knows_of_no_end

# ---- nobody knows ----------------------------------------------------------------------------------------------------

daemon_signal STOP slurmctld
term_to_agents
wait_slurm 90 "the save" has_events "$run" 1 save '"SIGTERM"' || { daemon_signal CONT slurmctld; exit 1; }
is "$(journal "$run" save reason landed | tail -n 1)" "SIGTERM true" what_can_be_saved_is_saved_as_a_precaution
step=$(journal "$run" save step | tail -n 1)
wait_slurm 60 "the training to go on" progress_is "$run" $((step + 20)) && pass training_goes_on || fail training_goes_on
daemon_signal CONT slurmctld
wait_slurm 60 "slurmctld to answer" eval 'scontrol ping | grep -q " is UP"'

# ---- one that means nothing, and right behind it one that does -------------------------------------------------------

batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'sleep 1'
as_user u1 scancel --signal=TERM "$job"
train_job=$job
submit_plain u2 -w n1 urgent
wait_slurm 60 "the end of the stint" has_events "$run" 1 end
is "$(journal "$run" end why lost_steps)" "preempted 0" a_grace_that_begins_right_after_another_signal_is_seen_too

wait_restart 60 "$train_job" 1
wait_job 180 "$train_job" COMPLETED
is "$(journal "$run" end why)" "$(printf 'preempted\ncomplete')" the_job_comes_to_its_end
no_process_of "$train_job" no_process_is_left
same_as_reference "$cluster/u1/whole.bin" with_the_weights_of_a_training_that_nobody_touched
done_testing
