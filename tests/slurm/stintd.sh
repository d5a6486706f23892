#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/stintd.sh: what the daemon of a node is to its jobs, and that they need it for none of their saves. Three run into
# their limits: one whose stintd is killed on the way, one whose stintd is killed and started again, one that never had any.
# Each is saved, requeued and ends as if nobody had cut it. Meanwhile a fourth is moved to the other node by `stint vacate`.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --cpus 4 --stintd KeepStaging=off

steps=350
STINT_DIR=off start alone sim_train "$steps" 0
declare -A jobs

train() # NAME MINUTES STEP_MS [OPTION of sbatch...]
{
        local name=$1 minutes=$2 step_ms=$3
        shift 3
        batch u1 "$name" "#SBATCH --time=$minutes --ntasks=1" \
                "stint run --stint-name $name --stint-interval off -- srun --overlap stint exec -- sim_train $steps $step_ms"
        submit_plain u1 "$@" "$name"
        jobs[$name]=$job
}

trains() # NAME
{
        wait_slurm 60 "$1 to train" progress_is "$cluster/u1/$1.stint" 10
}

log_of() # NODE: what its stintds said
{
        cat "$cluster/log/stintd-$1.out"
}

# says NODE REGEX NAME: passes when its stintd says that within a minute
says()
{
        ok "$3" wait_for_line 60 "$cluster/log/stintd-$1.out" "$2"
}

# ---- memory ----------------------------------------------------------------------------------------------------------

staging_of() # PID...: inodes of the staging that these processes hold
{
        local pid
        for pid; do
                find "/proc/$pid/fd" -lname '*memfd:stint-staging*' -exec stat -L -c %i {} + 2>/dev/null || :
        done | sort -u
}

given_on() # NODE: inodes of the staging that its stintd has given
{
        staging_of "$(cat "$cluster/run/stintd-$1.pid")"
}

agents_of() # NAME: process ids
{
        local pid
        for pid in $(job_processes "${jobs[$1]}"); do
                case $(readlink "/proc/$pid/exe") in
                */stint-agent) echo "$pid" ;;
                esac
        done
}

train killed 1 200 -w n1
train restarted 1 200 -w n2
trains killed
trains restarted
isnt "$(given_on n1)" "" the_staging_of_a_job_comes_from_stintd
# shellcheck disable=SC2046  # process ids
is "$(staging_of $(agents_of killed))" "$(given_on n1)" and_is_what_its_agent_works_with
says n1 "job ${jobs[killed]}: idle -> training \\(deadline in [0-9.]+ ?m?s" stintd_knows_the_job_and_its_deadline

# ---- killed, started again, never there ----------------------------------------------------------------------------------

cluster_daemon kill stintd-n1
cluster_daemon kill stintd-n2
wait_output 60 "${jobs[killed]}" 'stintd is not there on this node: training goes on with the agent.s own timer'
pass an_agent_says_once_that_its_stintd_is_gone
wait_output 60 "${jobs[restarted]}" 'stintd is not there on this node'
lines=$(log_of n2 | wc -l)
cluster_daemon start stintd-n2
again() # REGEX: the second stintd of n2 says so
{
        log_of n2 | tail -n "+$((lines + 1))" | grep -Eq -e "$1"
}
ok a_stintd_that_is_started_again_finds_its_job wait_for 60 "the job" again "job ${jobs[restarted]}: stint 1 of run [0-9a-f]+, uid $(id -u stint-u1), is here"
ok and_its_state wait_for 60 "its state" again "job ${jobs[restarted]}: idle -> training \\(deadline in "
train never 1 200 -w n1

# ---- vacate ----------------------------------------------------------------------------------------------------------

scontrol update NodeName=n1 State=DRAIN Reason=test # so that it begins on n2
train moved 10 100
trains moved
scontrol update NodeName=n1 State=RESUME
scontrol update NodeName=n2 State=DRAIN Reason=maintenance
run env STINT_DAEMON_SOCKET="$cluster/run/n2/stintd.sock" stint vacate --job "${jobs[moved]}"
is "$status:$(cat "$TEST_DIR/out")" "0:$(printf 'asked 1 job to save, stop and be requeued\nall of them are gone')" an_admin_has_a_node_vacated
run=$cluster/u1/moved.stint
is "$(journal "$run" end why lost_steps | head -n 1)" "drained 0" the_job_is_saved_and_no_step_is_lost
like "$(journal "$run" save reason landed)" '^drain true$' because_of_the_drain
ok stintd_says_so again "job ${jobs[moved]}: training -> saving \\(drain, "
wait_restart 60 "${jobs[moved]}" 1
is "$(journal "$run" attached places | grep -o 'n[12]' | head -n 1)" n2 it_was_on_the_one_node
is "$(job_field "${jobs[moved]}" NodeList)" n1 and_goes_on_on_the_other
is "$(job_field "${jobs[restarted]}" JobState)" RUNNING the_other_job_of_that_node_was_left_alone
scontrol update NodeName=n2 State=RESUME

# ---- the limits ------------------------------------------------------------------------------------------------------

for name in killed restarted never; do
        run=$cluster/u1/$name.stint
        wait_slurm 120 "the end of its first stint" has_events "$run" 1 end
        is "$(journal "$run" end why lost_steps | head -n 1)" "time limit 0" "$name: it is saved at its limit and no step is lost"
        like "$(journal "$run" end verdict | head -n 1)" '^saved step [0-9]+, .* before the limit$' "$name: in time"
done
ok stintd_saw_it_save again "job ${jobs[restarted]}: (training|landed) -> saving \\(time limit, deadline in "
ok and_that_it_landed again "job ${jobs[restarted]}: saving -> landed \\(step $(journal "$cluster/u1/restarted.stint" end landed_step | sed -n 1p)\\)"

# ---- to the end ------------------------------------------------------------------------------------------------------

wait_exit alone
for name in moved killed restarted never; do
        run=$cluster/u1/$name.stint
        wait_job 120 "${jobs[$name]}" COMPLETED
        is "$(journal "$run" end why | tail -n 1)" complete "$name: the second stint completes it"
        is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" "$name: from where the first one ended"
        is "$(job_restarts "${jobs[$name]}")" 1 "$name: it was requeued once"
        is "$(output "${jobs[$name]}" | grep '^steps ')" "$(grep '^steps ' "$TEST_DIR/alone.out")" "$name: it ends as if nobody had cut it"
        no_process_of "${jobs[$name]}" "$name: no process is left"
done
is "$(output "${jobs[never]}" | grep -c 'stintd is not there on this node')" "$(count_events "$cluster/u1/never.stint" start)" "never: that there is none is said once in a stint"
ok the_memory_is_given_back wait_for 30 "it" eval '[ -z "$(given_on n2)" ]'
unlike "$(log_of n2)" 'cannot be taken back' without_complaint
done_testing
