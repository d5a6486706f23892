#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/rpc.sh: what a stint costs the controller, as `sdiag` counts it: a whole one that runs into its limit and is
# requeued, on one node and on two, each in a cluster of its own and side by side, for a limit takes a minute. The questions
# of stint-slurm stay below 6 + duration / 300 s; the step of the agents costs what any srun costs, which is measured with one
# that has nothing to do with stint.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
slurm_needed

own='REQUEST_JOB_INFO_SINGLE REQUEST_JOB_REQUEUE REQUEST_UPDATE_JOB'

# Nobody asks this controller but the job: whoever waits here looks at files, and nodes report as root.
count() # FILE: what was counted since the last time, a line per type and one for the user, and begins anew
{
        sdiag | awk '/statistics by message type/ { part = "type" } /statistics by user/ { part = "user" } /Pending RPC/ { part = "" }
                part == "type" && /count:/ { print $1, $0 }
                part == "user" && /stint-u1 / { print "user", $0 }' | sed 's/^\([^ ]*\) .*count:\([0-9]*\).*/\1 \2/' >"$1"
        sdiag --reset >/dev/null
}

measure() # NODES: writes $TEST_DIR/NODES.step and $TEST_DIR/NODES.stint
{
        local out=$TEST_DIR/$1
        # Where requeued jobs wait longer than stint makes them, as with Slurm's default, their StartTime is one request more.
        cluster_start --cred-expire 120
        run=$cluster/u1/run.stint
        batch u1 train "#SBATCH --time=1 --nodes=$1 --ntasks=$1 --ntasks-per-node=1" \
                'await() { until [ -e "$1" ]; do sleep 0.1; done; }' 'touch started; await step' 'srun true; touch stepped; await stint' \
                'stint run --stint-interval off -- sim_train 100000 100'
        submit_plain u1 train
        wait_for_file 60 "$cluster/u1/started"
        sdiag --reset >/dev/null
        touch "$cluster/u1/step"
        wait_for_file 60 "$cluster/u1/stepped"
        count "$out.step"
        touch "$cluster/u1/stint"
        wait_for 120 "the requeue" has_events "$run" 1 requeue
        count "$out.stint"
        mkdir "$out.run"
        cp "$run/journal.jsonl" "$out.run/"
        as_user u1 scancel "$job"
        wait_end 60 "$job"
        cluster_stop
}

sum() # FILE TYPE...: of these
{
        awk -v types=" ${*:2} " 'index(types, " " $1 " ") { n += $2 } END { print n + 0 }' "$1"
}

for nodes in 1 2; do
        (measure "$nodes") >"$TEST_DIR/$nodes.log" 2>&1 &
        measuring[nodes]=$!
done
for nodes in 1 2; do
        wait "${measuring[nodes]}" || { diag_file "$TEST_DIR/$nodes.log"; fail "$nodes: it was measured"; }
done

for nodes in 1 2; do
        out=$TEST_DIR/$nodes
        duration=$(awk -v a="$(event_time "$out.run" start)" -v b="$(event_time "$out.run" requeue)" 'BEGIN { print b - a }')
        diag "$nodes node(s), a stint of $duration s: $(sum "$out.stint" $own) of stint-slurm, $(sum "$out.stint" user) of the user in all; a step without stint: $(sum "$out.step" user)"
        diag "by type, of all users: $(paste -sd' ' "$out.stint")"
        is "$(journal "$out.run" end why)" "time limit" "$nodes: the stint ran into its limit"
        is "$(journal "$out.run" requeue granted)" true "$nodes: and was requeued"
        ok "$nodes: stint-slurm asked, and less than 6 + duration / 300 s times" \
                awk -v n="$(sum "$out.stint" $own)" -v s="$duration" 'BEGIN { exit !(n > 0 && n < 6 + s / 300) }'
        is "$(sum "$out.stint" REQUEST_JOB_REQUEUE)" 1 "$nodes: with one requeue"
        is "$(sum "$out.stint" REQUEST_UPDATE_JOB)" 1 "$nodes: and one StartTime"
        is "$(($(sum "$out.stint" user) - $(sum "$out.stint" $own)))" "$(sum "$out.step" user)" "$nodes: the agents cost what a step costs"
done
is "$(sum "$TEST_DIR/2.stint" $own)" "$(sum "$TEST_DIR/1.stint" $own)" two_nodes_cost_no_question_more_than_one
is "$(sum "$TEST_DIR/2.stint" user)" "$(sum "$TEST_DIR/1.stint" user)" nor_anything_else
done_testing
