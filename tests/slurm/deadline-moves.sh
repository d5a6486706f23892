#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/deadline-moves.sh: an admin moves the time limits of jobs that run. One that is lowered is heard of at the next
# question, and the final save comes before the new end. One that is raised shortly before its end costs no save at all,
# whether it is heard of between two questions or only with the question before the final save. One that is lowered and
# not heard of is Slurm's SIGTERM away from its end, and is saved in what KillWait leaves.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start

# Longer than the shortest limit there is, a minute, and shorter than two.
train=(--small --steps 1200 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
declare -A jobs runs

moves() # NAME MINUTES OPTION of stint run...: a training with that limit
{
        local name=$1 minutes=$2
        shift 2
        # At its limit the batch shell has SIGTERM too. One that does not mind lives through KillWait, and what it started with it.
        batch u1 "$name" "#SBATCH --time=$minutes --ntasks=1" 'trap : TERM' \
                "stint run --stint-name $name --stint-interval off $* -- srun --overlap stint exec -- train_lm ${train[*]} --step-ms ${step_ms:-60} --out $name.bin"
        submit_plain u1 "$name"
        jobs[$name]=$job
        runs[$name]=$cluster/u1/$name.stint
}

# The clock alone asks every 12 x 3 s at the least often.
moves lowered 10 --stint-ask-every 3s
# Slurm looks every 30 s: it must be training still when that comes.
step_ms=95 moves unheard 10
moves raised 1 --stint-ask-every 5s
moves at-once 1
for name in "${!jobs[@]}"; do
        wait_slurm 60 "$name to train" progress_is "${runs[$name]}" 5
done

end_time() # NAME: of its job, in seconds since 1970
{
        date -d "$(job_field "${jobs[$1]}" EndTime)" +%s
}

# ---- moved -----------------------------------------------------------------------------------------------------------

scontrol update JobId="${jobs[lowered]}" TimeLimit=1
scontrol update JobId="${jobs[unheard]}" TimeLimit=1
new_end=$(end_time lowered)
old_end=$(end_time raised)
old_end_at_once=$(end_time at-once)
within_seconds the_limit_was_lowered_to_a_minute "$(date +%s)" "$new_end" 60

# Final saves take less than a second here, and two are left for Slurm to answer: ten are shortly before that.
# shellcheck disable=SC2034  # the eval below reads it
first_end=$((old_end < old_end_at_once ? old_end : old_end_at_once))
wait_for 90 "ten seconds to be left" eval '[ "$(date +%s)" -ge $((first_end - 10)) ]'
scontrol update JobId="${jobs[raised]}" TimeLimit=3
scontrol update JobId="${jobs[at-once]}" TimeLimit=3
raised_at=$(date +%s.%N)

# ---- lowered ---------------------------------------------------------------------------------------------------------

run=${runs[lowered]}
wait_slurm 60 "the end of its first stint" has_events "$run" 1 end
is "$(journal "$run" end why lost_steps | head -n 1)" "time limit 0" a_lowered_limit_ends_the_stint_and_no_step_is_lost
like "$(journal "$run" end verdict | head -n 1)" '^saved step [0-9]+, .* before the limit$' its_verdict_says_so
is "$(journal "$run" save reason landed | grep -v calibration | head -n 1)" "time limit true" its_save_is_for_the_limit
within_seconds and_landed_before_the_new_end "$(event_time "$run" end)" "$new_end" 15
is "$(journal "$run" deadline cause | sort -u)" "time limit" the_journal_has_both_limits
ok the_first_of_ten_minutes eval '[ "$(journal "$run" deadline left_s | sed -n "1s/\..*//p")" -gt 400 ]'
ok the_second_of_one eval '[ "$(journal "$run" deadline left_s | sed -n "2s/\..*//p")" -lt 60 ]'

# ---- raised ----------------------------------------------------------------------------------------------------------

for name in raised at-once; do
        wait_end 120 "${jobs[$name]}"
        run=${runs[$name]}
        is "$(journal "$run" end why)" complete "$name: one stint completes it"
        is "$(count_events "$run" save '"reason": *"time limit"')" 0 "$name: without a save for the old limit"
        within_seconds "$name: it went on beyond the old end" "$old_end" "$(event_time "$run" end)" 60
        within_seconds "$name: the journal has the new one" "$raised_at" "$(event_time "$run" deadline "$(count_events "$run" deadline)")" 10
        ok "$name: which is later" eval '[ "$(journal "$run" deadline left_s | sed -n "\$s/\..*//p")" -gt 60 ]'
done
like "$(output "${jobs[at-once]}")" 'the deadline has moved; training goes on' "at-once: the question before the final save was the one that heard"
is "$(job_restarts "${jobs[raised]}")" 0 "raised: it was not requeued"

# ---- not heard of ----------------------------------------------------------------------------------------------------

run=${runs[unheard]}
wait_slurm 90 "the end of its first stint" has_events "$run" 1 end
is "$(journal "$run" end why lost_steps | head -n 1)" "time limit 0" "unheard: no step is lost in KillWait either"
like "$(journal "$run" end verdict | head -n 1)" '^saved step [0-9]+, ' "unheard: and the verdict is that it was saved"

# ---- to the end ------------------------------------------------------------------------------------------------------

for name in lowered unheard; do
        wait_job 120 "${jobs[$name]}" COMPLETED
        is "$(journal "${runs[$name]}" end why)" "$(printf 'time limit\ncomplete')" "$name: the second stint completes it"
        is "$(journal "${runs[$name]}" restore step)" "$(journal "${runs[$name]}" end landed_step | sed -n 1p)" "$name: from where the first one ended"
        is "$(job_restarts "${jobs[$name]}")" 1 "$name: it was requeued once"
done
wait_exit reference 300
for name in "${!jobs[@]}"; do
        same_weights "$cluster/u1/$name.bin" "$name: the weights are those of a training that nobody cut"
        no_process_of "${jobs[$name]}" "$name: no process is left"
done
done_testing
