#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/successor.sh: a successor that was queued for nothing. The stint before it was killed between DONE and its
# last words, so nobody has taken it back: it starts, sees DONE and exits with 0. And after a job that was cancelled before
# it could say so, the successor asks, and does nothing either.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
home=$cluster/u1

# ---- after DONE ------------------------------------------------------------------------------------------------------

batch u1 done.sh '#SBATCH -n1 --time=5 --output=%j.out' '[ -z "$STINT_DIR" ] || export STINT_FAULT=complete.after_done:kill' \
        'stint run -- train_lm --small --steps 300 --step-ms 5 --log-every 0' 'echo "exit $?"'
submit u1 --stint-mode=chain --stint-name=done done.sh
wait_end 60 "$job"
ok the_training_is_complete test -e "$home/done.stint/DONE"
is "$(count_events "$home/done.stint" end)" 0 and_its_stint_could_not_say_so
next=$(journal "$home/done.stint" successor job)
isnt "$next" "" a_successor_was_queued
wait_job 60 "$next" COMPLETED
like "$(output "$next")" 'nothing to do' it_finds_nothing_to_do
like "$(output "$next")" 'exit 0' and_exits_with_0
is "$(count_events "$home/done.stint" start)" 1 without_a_stint_of_its_own
is "$(count_events "$home/done.stint" successor)" 1 and_without_another_successor

# ---- after scancel ---------------------------------------------------------------------------------------------------

batch u1 gone.sh '#SBATCH -n1 --time=5 --output=%j.out' 'stint run -- train_lm --small --steps 100000 --step-ms 5 --log-every 0' 'rc=$?; echo "exit $rc"; [ "$rc" = 0 ] || sleep 60'
submit u1 --stint-mode=chain --stint-name=gone gone.sh
wait_for 30 "the successor" has_events "$home/gone.stint" 1 successor
next=$(journal "$home/gone.stint" successor job)
wait_landed "$home/gone.stint"
pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$home/gone.stint/lease")
kill -KILL "$pid" # so that it cannot take the successor back
wait_output 30 "$job" 'exit 137'
as_user u1 scancel "$job"
wait_end 60 "$job"
is "$(job_field "$job" JobState)" CANCELLED a_job_is_cancelled_that_could_not_speak
wait_job 60 "$next" COMPLETED
like "$(output "$next")" "job $job, which this one was to carry on after, was cancelled" its_successor_asks_and_does_nothing
like "$(output "$next")" 'exit 0' but_exits_with_0
is "$(count_events "$home/gone.stint" start)" 1 no_stint_came_after_the_cancelled_one
done_testing
