#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/requeue0.sh: Requeue=0. Under `stint submit` such a script is a chain of jobs; a job that stint did not submit
# is requeued all the same, for its owner may change that, and `stint run` says nobody else's word against it.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
home=$cluster/u1
train="train_lm --small --steps 1300 --step-ms 50 --log-every 0 --eval-every 0"

batch u1 plain.sh '#SBATCH -n1 --time=1 --no-requeue' "stint run --stint-name plain -- $train"
submit_plain u1 plain.sh
plain=$job
batch u1 chain.sh '#SBATCH -n1 --time=1 --no-requeue' "stint run --stint-name chain -- $train"
submit u1 chain.sh
chain=$job
like "$(cat "$TEST_DIR/submitted.err")" 'no-requeue in the script, so each stint is a job of its own' a_script_that_wants_no_requeue_is_a_chain
is "$(job_field "$plain" Requeue):$(job_field "$chain" Requeue)" 0:0 both_jobs_have_Requeue_0

wait_end 120 "$chain"
is "$(job_field "$chain" Requeue)" 0 what_the_script_says_is_not_overridden
next=$(journal "$home/chain.stint" successor job | sed -n 1p)
wait_job 90 "$next" COMPLETED
ok the_successor_completes_the_training test -e "$home/chain.stint/DONE"
like "$(journal "$home/plain.stint" requeue granted)" true a_plain_job_is_requeued_by_its_owner
wait_job 90 "$plain" COMPLETED
is "$(job_field "$plain" Restarts)" 1 once
ok and_completes_its_training test -e "$home/plain.stint/DONE"
done_testing
