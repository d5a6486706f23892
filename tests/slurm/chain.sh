#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/chain.sh: in chain mode each stint is a job of its own. Its successor is queued while it runs, its number is
# in the journal, and a job that is run again finds it there. A chain ends with its training, with a crash, and with scancel.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
home=$cluster/u1

successor_of() # RUN JOB: the last one that the journal names
{
        journal "$1" successor job after | awk -v after="$2" '$2 == after { job = $1 } END { print job }'
}

# ---- through a time limit, in the background -------------------------------------------------------------------------

train="train_lm --small --steps 1300 --step-ms 50 --log-every 0 --eval-every 0"
slurm_reference --small --steps 1300 --step-ms 0 --eval-every 0
batch u1 long.sh '#SBATCH -n1 --time=1' "stint run -- $train --out $home/long.bin && echo after-it"
submit u1 --stint-mode=chain --stint-name=long long.sh
first=$job

# ---- requeued, and then cancelled ------------------------------------------------------------------------------------

endless="train_lm --small --steps 100000 --step-ms 5 --log-every 0"
batch u1 endless.sh '#SBATCH -n1 --time=5' "stint run -- $endless"
submit u1 --stint-mode=chain --stint-name=again endless.sh
again=$job
wait_for 30 "the successor in the journal" has_events "$home/again.stint" 1 successor
next=$(successor_of "$home/again.stint" "$again")
is "$(job_field "$next" JobState)" PENDING the_successor_waits_while_the_job_runs
like "$(job_field "$next" Dependency)" "afterany:$again" for_its_end
is "$(job_field "$next" JobName)" endless.sh under_the_name_of_the_script
wait_landed "$home/again.stint"
as_user u1 scontrol requeue "$again"
wait_restart 60 "$again" 1
wait_for 30 "the second stint" has_events "$home/again.stint" 2 start
wait_landed "$home/again.stint" 2
is "$(job_field "$next" JobState)" PENDING a_requeue_leaves_the_successor_waiting
wait_for 30 "the restore" has_events "$home/again.stint" 1 restore
is "$(count_events "$home/again.stint" successor)" 1 the_same_job_queues_no_other
as_user u1 scancel "$again"
wait_end 60 "$again"
is "$(job_field "$again" JobState)" CANCELLED scancel_ends_the_job
wait_end 60 "$next"
is "$(count_events "$home/again.stint" start)" 2 and_the_chain_with_it
unlike "$(squeue -ha -o '%j %T')" 'endless.sh (PENDING|RUNNING)' nothing_of_it_is_left_in_the_queue

# ---- a crash ---------------------------------------------------------------------------------------------------------

batch u1 crash.sh '#SBATCH -n1 --time=5' "stint run -- bash -c 'sleep 3; exit 3'"
submit u1 --stint-mode=chain --stint-name=crash crash.sh
wait_end 60 "$job"
is "$(job_field "$job" JobState):$(job_field "$job" ExitCode)" FAILED:3:0 a_program_that_fails_ends_its_job
next=$(successor_of "$home/crash.stint" "$job")
wait_end 30 "$next"
is "$(job_field "$next" JobState)" CANCELLED and_the_successor_is_taken_back

# ---- the limit -------------------------------------------------------------------------------------------------------

wait_end 120 "$first"
like "$(output "$first")" 'saved step .* before the limit' the_first_job_saves_before_its_limit
unlike "$(output "$first")" 'after-it' what_follows_in_the_script_does_not_run_after_a_slice
next=$(successor_of "$home/long.stint" "$first")
wait_job 90 "$next" COMPLETED
like "$(output "$next")" 'restored step' the_successor_goes_on_where_it_ended
like "$(output "$next")" 'after-it' and_what_follows_runs_at_the_end
ok the_training_is_complete test -e "$home/long.stint/DONE"
is "$(job_field "$first" Restarts)" 0 no_job_was_requeued
same_as_reference "$home/long.bin" the_weights_are_those_of_an_undisturbed_run
last=$(successor_of "$home/long.stint" "$next")
wait_end 30 "$last"
is "$(job_field "$last" JobState)" CANCELLED the_last_successor_was_cancelled_by_the_stint_that_completed_the_training
done_testing
