#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/done-again.sh: a job whose training is complete is run once more, as Slurm 24.11 does after a requeue in a
# grace, and as anybody can with `scontrol requeue`: it sees DONE, changes nothing, and exits with 0.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
run=$cluster/u1/run.stint

batch u1 short.sh '#SBATCH -n1 --time=5' 'stint run -- train_lm --small --steps 60 --step-ms 5 --log-every 0' 'echo "exit $?"'
submit u1 short.sh
wait_job 60 "$job" COMPLETED
ok the_training_is_complete test -e "$run/DONE"
before=$(cd "$run" && find . -type f -exec sha256sum {} + | sort)
as_user u1 scontrol requeue "$job"
again()
{
        [ "$(job_restarts "$job")" = 1 ] && job_is "$job" COMPLETED
}
wait_slurm 60 "the job to be over once more" again
is "$(output "$job" | grep -c '^exit 0')" 2 it_exits_with_0_both_times
like "$(output "$job")" 'training is complete \(step 60\); nothing to do' the_second_time_there_is_nothing_to_do
is "$(cd "$run" && find . -type f -exec sha256sum {} + | sort)" "$before" and_no_byte_of_the_run_has_changed
is "$(count_events "$run" start)" 1 there_was_one_stint
done_testing
