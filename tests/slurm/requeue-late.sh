#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/requeue-late.sh: the controller hangs when a stint has saved and asks to be run again. No answer is no
# permission, and no refusal either: it is asked again until it answers, and while it is away it ends no job.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
run=$cluster/u1/run.stint

batch u1 train.sh '#SBATCH -n1 --time=1' 'stint run -- train_lm --small --steps 100000 --step-ms 20 --log-every 0 --eval-every 0'
submit u1 train.sh
wait_output 60 "$job" 'started on'
# Not at once: what the controller has told by then, the limit, must still be acted upon.
wait_output 60 "$job" '[^0-9][0-9](\.[0-9]*)?s left$|1[0-9](\.[0-9]*)?s left$'
daemon_signal STOP slurmctld
wait_output 60 "$job" 'saved step .* before the limit'
pass the_limit_that_was_known_is_acted_upon
wait_output 60 "$job" 'requeue was not answered .* it is asked for again'
pass a_requeue_that_is_not_answered_is_asked_for_again
is "$(count_events "$run" requeue)" 0 and_nothing_is_decided_yet
daemon_signal CONT slurmctld
wait_restart 120 "$job" 1
is "$(journal "$run" requeue granted)" true then_it_is_granted
wait_for 60 "the restore" has_events "$run" 1 restore
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step)" and_the_next_stint_goes_on_where_it_was
as_user u1 scancel "$job"
wait_end 60 "$job"
done_testing
