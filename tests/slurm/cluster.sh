#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/cluster.sh: the private cluster is what the other stories take it for, without anything of stint in it: two
# nodes with GPUs, preemption with a grace, requeues that start soon, users that are strangers. And it leaves nothing behind.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

is "$(sinfo -h -N -p main -o '%N %T %G' | sort)" "$(printf 'n1 idle gpu:2\nn2 idle gpu:2')" two_nodes_with_two_GPUs_each

# ---- nodes, users and GPUs -------------------------------------------------------------------------------------------

batch u1 look '#SBATCH -N2 --ntasks-per-node=1 --gres=gpu:2' 'id -un' 'srun bash -c "echo \$SLURMD_NODENAME \$CUDA_VISIBLE_DEVICES"'
submit_plain u1 look
wait_job 60 "$job" COMPLETED
is "$(output "$job" | head -n 1)" stint-u1 a_job_runs_as_the_user_who_submitted_it
is "$(output "$job" | tail -n 2 | sort)" "$(printf 'n1 0,1\nn2 0,1')" a_step_on_both_nodes_sees_both_GPUs_of_each

batch u1 one '#SBATCH --gres=gpu:1 -n1' 'echo "gpu $CUDA_VISIBLE_DEVICES on $SLURMD_NODENAME"' \
        "trap : TERM; until [ -e go ]; do sleep 0.2; done"
submit_plain u1 -w n1 one
first=$job
submit_plain u1 -w n1 one
second=$job
wait_output 60 "$first" '^gpu'
wait_output 60 "$second" '^gpu'
is "$(cat "$cluster/u1/$first.out" "$cluster/u1/$second.out" | sort)" "$(printf 'gpu 0 on n1\ngpu 1 on n1')" \
        two_jobs_on_one_node_have_a_GPU_each
run as_user u2 scancel "$first"
like "$(cat "$TEST_DIR/err")" 'Access/permission denied' another_user_cannot_cancel_it
not_ok another_user_cannot_look_into_the_folder as_user u2 ls "$cluster/u1"
touch "$cluster/u1/go"
wait_job 60 "$first" COMPLETED
wait_job 60 "$second" COMPLETED

# ---- preemption ------------------------------------------------------------------------------------------------------

batch u1 victim '#SBATCH -N2 --ntasks-per-node=1 --exclusive' 'echo "start $SLURM_RESTART_COUNT"' \
        'srun bash -c "trap \"echo TERM \$SLURMD_NODENAME\" TERM; echo ready; for i in {1..600}; do sleep 0.2; done"'
batch u2 urgent '#SBATCH -p urgent -N2 --ntasks-per-node=1 --exclusive' 'sleep 1'
submit_plain u1 victim
victim=$job
wait_for 60 "both tasks" eval '[ "$(output "$victim" | grep -c ready)" = 2 ]'
submit_plain u2 urgent
wait_output 20 "$victim" 'TERM n1'
wait_output 20 "$victim" 'TERM n2'
like "$(job_field "$victim" PreemptTime)" '^20' the_time_of_the_preemption_is_shown_at_once
job_is "$victim" RUNNING && pass it_runs_through_its_grace || fail it_runs_through_its_grace
wait_job 60 "$job" COMPLETED
pass the_urgent_job_runs
wait_restart 60 "$victim" 1
pass a_preempted_job_is_requeued_and_starts_again

# ---- requeue by the owner --------------------------------------------------------------------------------------------

not_ok another_user_cannot_requeue_it as_user u2 scontrol requeue "$victim"
as_user u1 scontrol requeue "$victim"
wait_restart 60 "$victim" 2
pass the_owner_may_requeue_and_it_starts_soon
as_user u1 scancel "$victim"
wait_job 60 "$victim" CANCELLED

# ---- daemons ---------------------------------------------------------------------------------------------------------

daemon_signal STOP slurmctld
run timeout 2 scontrol show job "$victim"
is "$status" 124 a_stopped_controller_does_not_answer
daemon_signal CONT slurmctld
wait_slurm 30 "slurmctld to answer" eval 'scontrol ping | grep -q " is UP"'
cluster_daemon kill slurmctld
not_ok a_killed_controller_is_away eval 'scontrol ping | grep -q " is UP"'
cluster_daemon start slurmctld
wait_slurm 30 "slurmctld to answer" eval 'scontrol ping | grep -q " is UP"'
pass a_controller_that_was_killed_comes_back
is "$(job_field "$first" JobState)" COMPLETED and_knows_its_jobs_as_before

# ---- side by side, and gone ------------------------------------------------------------------------------------------

other=$(TMPDIR=/tmp "$slurm_dev/cluster" start --build "$TEST_BUILD" --with $$)
"$slurm_dev/cluster" env "$other" >"$TEST_DIR/other"
is "$(. "$TEST_DIR/other"; squeue -h | wc -l; sinfo -h -p main -o '%T %D')" "$(printf '0\nidle 2')" a_second_cluster_runs_beside_it
keeper=$(grep -l " $other\$" /run/stint-clusters/[0-9]*)
(
        . "$TEST_DIR/other"
        cd "$other/u2"
        setpriv --reuid stint-u2 --regid stint-u2 --clear-groups sbatch -o /dev/null -N2 --wrap 'srun sleep 300'
) >/dev/null
in_other() # ids of all processes of the other cluster
{
        local all=(/proc/[0-9]*) # before the programs of the next line are there: they have its surroundings
        { grep -lzsF -e "$other/" "${all[@]/%//environ}" "${all[@]/%//cmdline}" || :; } | cut -d/ -f3 | sort -u | grep -vx -e $$
}
wait_slurm 30 "its job" eval '(. "$TEST_DIR/other"; squeue -h -o %T | grep RUNNING)'
kill -KILL "${keeper##*/}"
ok a_cluster_whose_keeper_was_killed_can_still_be_stopped "$slurm_dev/cluster" stop "$other"
not_ok its_folder_is_gone test -e "$other"
wait_for 10 "its processes to end" eval '[ -z "$(in_other)" ]' && pass its_processes_are_gone || fail its_processes_are_gone
ok the_users_stay_as_long_as_a_cluster_is_left getent passwd stint-u1

submit_plain u1 victim
wait_output 60 "$job" ready
other=$cluster
cluster_stop
not_ok the_folder_is_gone test -e "$other"
wait_for 10 "its processes to end" eval '[ -z "$(in_other)" ]' && pass the_processes_are_gone || fail the_processes_are_gone
if [ -e /run/stint-clusters ]; then
        skip "another cluster runs on this machine" the_users_are_gone
else
        not_ok the_users_are_gone getent passwd stint-u1
fi
done_testing
