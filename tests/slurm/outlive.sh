#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/outlive.sh: a chain that counts on stintd. Its final save leaves the write out of the lead, is cut by the time
# limit in the midst of it, and the successor goes on from what stintd has finished: not one step is lost.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
home=$cluster/u1 run=$cluster/u1/long.stint

train=(--small --steps 1300 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
install -d -o stint-u1 -g stint-u1 "$faults"
# Its first save, which is to measure, takes 20 s in the filesystem; the final one stays there. The successor's do not.
batch u1 long.sh '#SBATCH --time=1 --ntasks=1' \
        "[ -e once ] || export STINT_FAULT=save.before_sync:delay=20s@1,save.before_sync:pause@2 STINT_FAULT_DIR=$faults" \
        'touch once' \
        "stint run --stint-outlive=yes --stint-interval=10m -- srun stint exec -- train_lm ${train[*]} --step-ms 50 --out long.bin"
submit u1 --stint-mode=chain --stint-name=long long.sh
first=$job
wait_landed "$run"
took=$(journal "$run" save took_s)
is "$(python3 -c "print($took >= 20)")" True "the first save takes what the filesystem makes it take"
lead() # in whole seconds, as the agent has it now; nothing while it is not known
{
        sed -n 's/.*"lead_s": *\([0-9]*\).*/\1/p' "$run/progress.json"
}
wait_for 20 "the lead to leave the write out" eval '[ "$(lead)" -lt 20 ]' &&
        pass "the lead is shorter than that" || { fail "the lead is shorter than that"; diag "$(cat "$run/progress.json")"; }
wait_slurm 90 "the final save to hang" reached "$faults"
job_is "$first" RUNNING && pass "the final save is still being written when" || fail "the final save is still being written when"
wait_end 120 "$first"
is "$(job_field "$first" JobState)" TIMEOUT "the time limit ends the job, all of it"
next=$(journal "$run" successor job after | awk -v after="$first" '$2 == after { print $1 }')
wait_slurm 90 "the restore" has_events "$run" 1 restore
is "$(journal "$run" finished_part of_stint)" 1 "stintd has finished the write"
is "$(journal "$run" restore step)" "$(journal "$run" finished_part step)" "and the successor begins from it"
is "$(journal "$run" end lost_steps | sed -n 1p)" 0 "so that no step is lost"
wait_job 120 "$next" COMPLETED
same_as_reference "$home/long.bin" "the weights are those of an undisturbed run"
done_testing
