#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/streamed.sh: a state that is several times as large as the memory for staging. It is written while it is
# copied, training waits for that and is told what it cost, and whoever is killed in the middle loses nothing that had
# landed.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

# 37 MiB through 8, on /tmp: the disk itself is no part of this. 120 steps take longer than the limit of a stint.
flow_train=(train_lm --small --rows 100000 --steps 120 --step-ms 20 --eval-every 0 --log-every 0)
little=(--stint-staging=8M --stint-interval 300ms)
reference

newest_is_whole() # RUN NAME: every checkpoint holds, and h5dump can read the newest
{
        ok "$2: every checkpoint holds" stint verify "$1" --all
        if command -v h5dump >/dev/null; then
                ok "$2: h5dump reads the newest" h5dump -H "$(find "$(newest "$1")" -name '*.h5' | head -n 1)"
        else
                skip "h5dump is not here" "$2: h5dump reads the newest"
        fi
}

# ---- limits ------------------------------------------------------------------------------------------------------------

run=$TEST_DIR/limits
limit=2s
[ "${TEST_SANITIZERS-no}" = no ] || limit=6s # training is slower with them, and each stint has to come somewhere
run stint run --stint-dir "$run" "${little[@]}" --stint-limit "$limit" --stint-requeues 30 -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a training whose state is larger than its staging comes to its end, over time limits"
same_weights "$run.bin" "with the weights of a training nobody touched"
like "$(cat "$TEST_DIR/err")" "rank 0: no memory for a whole image of [0-9.]+ MiB \(--stint-staging leaves 8\.0 MiB\): saves are streamed through 8\.0 MiB and training waits while they are written" \
        "and says at its start what it cannot have"
like "$(cat "$TEST_DIR/err")" "saved step [0-9]+, .* streamed through 8\.0 MiB: training waited [0-9.a-z ]+, [0-9.a-z ]+ of it for the disk" \
        "and with each save what that has cost"
ok "the final save at a limit is streamed too" has_events "$run" 1 save '"reason": *"time limit".*"landed": *true.*"window_bytes": *8388608'
is "$(journal "$run" end lost_steps | sort -u | tr '\n' ' ')" "0 " "and no step was lost"
newest_is_whole "$run" limits
ok "what training waited for is in the cost of a save" /usr/bin/python3 -c 'import json, sys
m = json.load(open(sys.argv[1] + "/measured.json"))
assert min(m["snapshot_ns"]) > 0 and min(c for c in m["cost_ns"]) >= min(m["snapshot_ns"]), m' "$run"

# ---- kills -------------------------------------------------------------------------------------------------------------

run=$TEST_DIR/killed
killed_after "$run" 2 stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --out "$run.bin"
run stint show "$run"
like "$(cat "$TEST_DIR/out")" "saved step .* streamed through 8\.0 MiB: training waited" "\`stint show\` says so of a stint that was killed"
run stint run --stint-dir "$run" "${little[@]}" --stint-preempt-after 1s --stint-grace 20s -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "after a kill and a preemption the training comes to its end"
same_weights "$run.bin" "with the same weights"
ok "the save in the grace was streamed" has_events "$run" 1 save '"reason": *"preemption".*"landed": *true.*"window_bytes"'
newest_is_whole "$run" killed

# ---- one of them dies in the middle ------------------------------------------------------------------------------------

run=$TEST_DIR/program
STINT_FAULT=snapshot.mid_copy:kill@2 run stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 137 "a program that dies in the middle of its state ends the stint"
ok "its save failed, and why is said" has_events "$run" 1 save "$failed.*went away during the save"
is "$(count_events "$run" save "$landed")" 1 "the one before it is whole"
is "$(find "$run/checkpoints" -name '*.part' | wc -l)" 0 "and nothing is left of the other"
run stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "the next stint goes on"
same_weights "$run.bin" "to the same weights"
newest_is_whole "$run" program

run=$TEST_DIR/agent
mkdir "$TEST_DIR/faults"
over_released() # NAME: the next agent comes to the same point, and need not wait there
{
        find "$TEST_DIR/faults" -type f -delete
        tap_is_over "$(pid_of "$1")"
}
STINT_FAULT=save.mid_write:pause@2 STINT_FAULT_DIR=$TEST_DIR/faults start agent \
        stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --out "$run.bin"
wait_for 60 "the middle of the second save" reached "$TEST_DIR/faults"
program=$(by_executable agent train_lm)
kill -KILL "$(by_executable agent stint-agent)"
ok "a program whose agent dies in the middle of a save hears of it" wait_for_line 30 "$TEST_DIR/agent.err" "the agent is back"
is "$(by_executable agent train_lm)" "$program" "and trains on"
wait_landed "$run" 2
wait_for 120 "the end of agent" over_released agent || :
wait_exit agent 1
is "$status" 0 "to its end"
same_weights "$run.bin" "with the same weights"
newest_is_whole "$run" agent

# The final save: the program waits for the next agent and streams to that.
run=$TEST_DIR/last
STINT_FAULT=save.mid_write:pause@2 STINT_FAULT_DIR=$TEST_DIR/faults start last \
        stint run --stint-dir "$run" --stint-staging=8M --stint-interval off -- "${flow_train[@]}" --out "$run.bin"
wait_for 60 "the save of the last state" reached "$TEST_DIR/faults"
kill -KILL "$(by_executable last stint-agent)"
find "$TEST_DIR/faults" -type f -delete
wait_exit last 60
is "$status" 0 "when the agent dies in the save of the last state the training ends with 0"
ok "and the run is DONE, for the next agent saved it" test -e "$run/DONE"
newest_is_whole "$run" last

# ---- what fails --------------------------------------------------------------------------------------------------------

run=$TEST_DIR/again
STINT_FAULT=save.before_sync:fail=EIO@2 run stint run --stint-dir "$run" --stint-staging=8M --stint-interval off -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a last save whose write fails is streamed once more"
ok "at the second attempt" has_events "$run" 1 save '"reason": *"complete".*"landed": *true.*"attempt": *2'
newest_is_whole "$run" again

run=$TEST_DIR/half
STINT_FAULT=save.mid_write:fail=ENOSPC@2 run stint run --stint-dir "$run" --stint-staging=8M --stint-interval off -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "likewise one that fails in the middle, while the program fills the window"
ok "at the second attempt too" has_events "$run" 1 save '"reason": *"complete".*"landed": *true.*"attempt": *2'
newest_is_whole "$run" half

run=$TEST_DIR/copy
STINT_FAULT=snapshot.mid_copy:fail=EIO@2 run stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a copy that fails in the middle costs that save and no more"
ok "and its reason is told" has_events "$run" 1 save "$failed.*snapshot.mid_copy"
same_weights "$run.bin" "the weights are the same"
newest_is_whole "$run" copy

# ---- a disk that hangs -------------------------------------------------------------------------------------------------

run=$TEST_DIR/hangs
STINT_FAULT=save.mid_write:pause@2 STINT_FAULT_DIR=$TEST_DIR/faults start hangs \
        stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --log-every 10 --out "$run.bin"
wait_for 60 "the middle of the second save" reached "$TEST_DIR/faults"
ok "a disk that hangs in a streamed save holds training for so long only" wait_for_line 120 "$TEST_DIR/hangs.err" \
        "rank 0: the disk has held a streamed save, and training with it, for [0-9.]+s \(10\.0s at most\): it is given up, and training goes on"
ok "which goes on to its last step while the disk still hangs" wait_for_line 60 "$TEST_DIR/hangs.out" "^step +120 "
ok "which it did until now" reached "$TEST_DIR/faults"
find "$TEST_DIR/faults" -type f -delete
wait_exit hangs 60
is "$status" 0 "when it does no more the last state is saved"
ok "and the journal has why the other one was not" has_events "$run" 1 save "$failed.*the disk has held a streamed save"
same_weights "$run.bin" "the weights are the same"
newest_is_whole "$run" hangs

# ---- `stint run` dies --------------------------------------------------------------------------------------------------

run=$TEST_DIR/alone
STINT_FAULT=save.mid_write:pause@2 STINT_FAULT_DIR=$TEST_DIR/faults start alone \
        stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --out "$run.bin"
wait_for 60 "the middle of the second save" reached "$TEST_DIR/faults"
kill -KILL "$(pid_of alone)"
find "$TEST_DIR/faults" -type f -delete
wait_exit alone 30
wait_for 30 "the survivors to end" is_gone alone
run stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "after \`stint run\` alone was killed the next stint comes to the end"
same_weights "$run.bin" "with the same weights"
newest_is_whole "$run" alone

# ---- several ranks -----------------------------------------------------------------------------------------------------

ranks()
{
        local hashes
        if ! command -v mpirun >/dev/null || ! command -v mpi_train >/dev/null; then
                skip "no MPI for programs" "several ranks stream side by side"
                return
        fi
        [ "${TEST_SANITIZERS-no}" = no ] || export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"
        mpi=(env -u LD_PRELOAD -u MALLOC_CHECK_ mpirun --oversubscribe -np 2 mpi_train --steps 60 --step-us 5000 --coupled --values 5000000)
        STINT_DIR=off "${mpi[@]}" </dev/null 2>&1 | grep '^rank [0-9]* steps [0-9]* hash' | sort >"$TEST_DIR/ranks.alone"
        run=$TEST_DIR/ranks
        flow_ranks=2
        killed_after "$run" 2 stint run --stint-dir "$run" "${little[@]}" -- "${mpi[@]}"
        run stint run --stint-dir "$run" "${little[@]}" --stint-limit 6s --stint-requeues 10 -- "${mpi[@]}"
        is "$status" 0 "several ranks stream side by side, over a kill and limits"
        hashes=$(grep -h '^rank [0-9]* steps [0-9]* hash' "$TEST_DIR/out" | sort)
        is "$hashes" "$(cat "$TEST_DIR/ranks.alone")" "to the state of a training nobody touched"
        ok "streamed" has_events "$run" 1 save '"landed": *true.*"window_bytes": *8388608'
        newest_is_whole "$run" ranks
}
ranks

# ---- stintd's budget ---------------------------------------------------------------------------------------------------

mkdir -m 755 "$TEST_DIR/run" "$TEST_DIR/libexec"
ln -s "$TEST_BUILD/tests/programs/whose_stand_in" "$TEST_DIR/libexec/stint-slurm"
echo "0 4711 $(id -u)" >"$TEST_DIR/jobs" # whatever runs here is in job 4711
export STINT_DAEMON_SOCKET=$TEST_DIR/run/stintd.sock
daemon() # NAME BUDGET
{
        printf 'StagingMemory=%s\nLogLevel=debug\n' "$2" >"$TEST_DIR/stint.conf"
        STINT_LIBEXEC_DIR=$TEST_DIR/libexec SLURM_CONF=$TEST_DIR/jobs start "$1" \
                stintd --config "$TEST_DIR/stint.conf" --socket "$STINT_DAEMON_SOCKET" --node n1 --exit-with-parent
        wait_for_line 10 "$TEST_DIR/$1.err" "ready on node"
}
PATH=$TEST_BUILD/daemon:$PATH
daemon small 8M
run=$TEST_DIR/budget
start budget stint run --stint-dir "$run" "${little[@]}" -- "${flow_train[@]}" --steps 100000
wait_landed "$run" 1
like "$(cat "$TEST_DIR/budget.err")" "StagingMemory" "a state larger than stintd's budget: that is said"
ok "and streamed" has_events "$run" 1 save '"landed": *true.*"window_bytes"'
run stint save "$run"
like "$(cat "$TEST_DIR/out")" "^saved step [0-9]+, .* streamed through 8\.0 MiB: training waited [0-9.]+s, [0-9.]+s of it for the disk\$" \
        "\`stint save\` answers with what a streamed save has cost"
kill -TERM "$(pid_of small)"
wait_exit small 10
daemon large 512M
ok "when stintd has more to give" wait_for_line 60 "$TEST_DIR/budget.err" "there is memory for a whole image of .* again"
so_far=$(count_events "$run" save "$landed")
wait_landed "$run" $((so_far + 2))
unlike "$(journal "$run" save | tail -n 1)" "window_bytes" "saves are streamed no more"
run stint save "$run" --stop
is "$status" 0 "and the run can be stopped with a save"
unlike "$(cat "$TEST_DIR/out")" "streamed" "whose answer says nothing of a window any more"
wait_exit budget 60
newest_is_whole "$run" budget
kill -TERM "$(pid_of large)"
wait_exit large 10

# ---- started by itself -------------------------------------------------------------------------------------------------

run=$TEST_DIR/itself
STINT_DIR=$run STINT_STAGING=8M run "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a program that is started by itself is told by STINT_STAGING"
ok "and streamed" has_events "$run" 1 save '"reason": *"complete".*"landed": *true.*"window_bytes": *8388608'
same_weights "$run.bin" "with the same weights"

# ---- too little for anything -------------------------------------------------------------------------------------------

run stint run --stint-dir "$TEST_DIR/none" --stint-staging=4M -- "${flow_train[@]}"
is "$status" 125 "less than a window needs is no value for the option"
like "$(cat "$TEST_DIR/err")" "stint-staging.*8M at least" "which says how much that is"
done_testing
