#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/cred-expire.sh: with Slurm's default of 120 s for the life of a credential, a job that is requeued waits 121 s
# before it may start, for nothing: unless its StartTime is set, which stint does. It runs again within 30 s of its end.
#
# Of these 30 s KillWait is none: StartTime is set to KillWait + 5 s after the requeue, and the job ends KillWait after it at
# the latest (5 s in this cluster). With Slurm's default of 30 s a job whose processes end at once still waits for those
# 35 s, and one whose processes need to be killed starts 5 s after its end.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --cred-expire 120
like "$(scontrol show config)" 'AuthInfo.*cred_expire=120' credentials_live_as_long_as_by_default

steps=300
STINT_DIR=off start alone sim_train "$steps" 0
batch u1 plain '#SBATCH --time=5 --ntasks=1' 'until [ -e go ]; do sleep 0.2; done'
batch u1 train '#SBATCH --time=5 --ntasks=1' \
        "stint run --stint-interval off -- srun --overlap stint exec -- sim_train $steps 100"
batch u2 urgent '#SBATCH --partition=urgent --exclusive' 'true'
run=$cluster/u1/run.stint
submit_plain u1 -w n2 plain
plain=$job
submit_plain u1 -w n1 train
training_from() # STEP
{
        wait_slurm 60 "the training to be on its way" progress_is "$run" "$1"
}

seconds() # JOB FIELD: a time of the job, in seconds since 1970
{
        date -d "$(job_field "$1" "$2")" +%s
}

# ---- without stint ---------------------------------------------------------------------------------------------------

wait_job 60 "$plain" RUNNING
as_user u1 scontrol requeue "$plain"
wait_job 60 "$plain" PENDING
ok a_job_that_is_requeued_as_usual_has_to_wait eval '[ "$(seconds "$plain" EligibleTime)" -ge $(($(date +%s) + 60)) ]'

# ---- requeued by stint -----------------------------------------------------------------------------------------------

# what_follows N WHY: the N-th stint has ended for that reason. From its verdict on, which comes before Slurm's own end of the job
what_follows()
{
        wait_slurm 60 "the end of stint $1" has_events "$run" "$1" end
        is "$(journal "$run" end why lost_steps | sed -n "$1p")" "$2 0" "$2: the stint ends and no step is lost"
        wait_slurm 30 "the requeue" has_events "$run" "$1" requeue
        like "$(journal "$run" requeue granted text | sed -n "$1p")" '^true requeued; it may start in [0-9]+ s$' "$2: it is requeued, and its StartTime stayed"
        wait_slurm 160 "the next stint" has_events "$run" $(($1 + 1)) start
        within_seconds "$2: it runs again within 30 s of its end" "$(event_time "$run" end "$1")" "$(event_time "$run" start $(($1 + 1)))" 30
}

training_from 30
run env STINT_DAEMON_SOCKET="$cluster/run/n1/stintd.sock" stint vacate --job "$job"
is "$status" 0 an_admin_asks_it_to_save_stop_and_be_requeued
what_follows 1 drained

# A preemption is Slurm's own requeue, and stint's comes before it; the job that takes the node is over at once.
training_from 60
mine=$job
submit_plain u2 -w n1 urgent
what_follows 2 preempted

job=$mine
wait_job 120 "$job" COMPLETED
wait_exit alone
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed '$d')" each_stint_began_where_the_one_before_ended
is "$(job_restarts "$job")" 2 it_was_requeued_twice
is "$(output "$job" | grep '^steps ')" "$(grep '^steps ' "$TEST_DIR/alone.out")" it_ends_as_if_nobody_had_cut_it
job_is "$plain" PENDING && pass the_other_job_waits_still || fail the_other_job_waits_still
done_testing
