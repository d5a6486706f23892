#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/ranks.sh: several ranks, with a real MPI. They save the same step or none, whoever dies when, and resume to
# the numbers of a training nobody touched.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"
command -v mpirun >/dev/null || skip_all "mpirun is not here"
command -v mpi_train >/dev/null || skip_all "mpi_train was not built: no MPI for programs was found"

# The leak checker cannot tell what MPI's unloaded components kept from what we did.
[ "${TEST_SANITIZERS-no}" = no ] || export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"

faults=$TEST_DIR/faults
mkdir "$faults"
train=(mpi_train --steps 150 --step-us 5000 --coupled)

# N PROGRAM [ARGUMENT...]: the command that runs it on so many ranks, in the array `mpi`. mpirun forks while it has threads,
# which glibc's checking allocator does not survive: now and then a child stays behind before its exec, with a lock held.
ranks()
{
        local n=$1
        shift
        flow_ranks=$n
        mpi=(env -u LD_PRELOAD -u MALLOC_CHECK_ mpirun --oversubscribe -np "$n" "$@")
}

hashes() # FILE: what the ranks ended with
{
        grep '^rank [0-9]* steps [0-9]* hash' "$1" | sort
}

alone() # NAME N PROGRAM [ARGUMENT...]: what these ranks end with when nobody touches them, in $TEST_DIR/NAME.alone
{
        local name=$1
        shift
        ranks "$@"
        STINT_DIR=off "${mpi[@]}" >"$TEST_DIR/$name.log" 2>&1 </dev/null || { diag_file "$TEST_DIR/$name.log"; exit 1; }
        hashes "$TEST_DIR/$name.log" >"$TEST_DIR/$name.alone"
}

same_hashes() # FILE NAME-OF-ALONE NAME
{
        is "$(hashes "$1")" "$(cat "$TEST_DIR/$2.alone")" "$3"
}

steps_of_ranks() # CHECKPOINT: the steps of its ranks, each once
{
        /usr/bin/python3 -c 'import json, sys
print(*sorted({r["step"] for r in json.load(open(sys.argv[1] + "/manifest.json"))["ranks"]}))' "$1"
}

one_step_each() # RUN: whole checkpoints whose ranks are at several steps, or at another than the name says
{
        local name
        for name in $(whole "$1"); do
                [ "$(steps_of_ranks "$1/checkpoints/$name")" = "$(step_of "$name")" ] || echo "$name"
        done
}

# ---- two ranks, killed and run again ---------------------------------------------------------------------------------

alone two 2 "${train[@]}"
run=$TEST_DIR/two
command=(stint run --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
killed_after "$run" 2 "${command[@]}"
is "$(one_step_each "$run")" "" "both ranks are in a checkpoint with the same step"
ok "each rank has a file and a seal of its own" test -s "$(newest "$run")/rank-00001-of-00002.h5" -a -s "$(newest "$run")/rank-00001-of-00002.seal"

# One rank's seal is written and the other's is not when everything dies.
before=$(newest "$run")
STINT_FAULT=seal.before_write:pause@4 STINT_FAULT_DIR=$faults start between "${command[@]}"
wait_for 60 "one of two seals" reached "$faults"
parts=("$run"/checkpoints/step-*.part)
wait_for 30 "the other seal" test -n "$(find "${parts[0]}" -name '*.seal' -size +0)"
before=$(newest "$run")
kill_family KILL between
wait_exit between 30
find "$faults" -type f -delete
is "$(find "${parts[0]}" -name '*.seal' -size +0 | wc -l)" 1 "a kill between two seals leaves one of two"
run stint ls "$run"
is "$status" 0 "such a part can be listed"
unlike "$(cat "$TEST_DIR/out")" "^ *$(step_of "${parts[0]%.s*.part}") .*whole" "it is not listed as whole"
ok "what was whole before still holds" stint verify "$run" --all

run "${command[@]}"
is "$status" 0 "the next stint of two ranks comes to the end"
like "$(journal "$run" restore checkpoint | tail -n 1)" "${before##*/}" "it began at the checkpoint before"
is "$(journal "$run" abandoned_part checkpoint | tail -n 1)" "$(basename "${parts[0]}")" "it set aside what was sealed by one rank only"
same_hashes "$TEST_DIR/out" two "both ranks end with the numbers of a training nobody touched"
ok "the run is DONE" test -e "$run/DONE"

# ---- a rank that dies ------------------------------------------------------------------------------------------------

run=$TEST_DIR/dies
command=(stint run --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
STINT_FAULT=snapshot.mid_copy:pause@2 STINT_FAULT_DIR=$faults start dies "${command[@]}"
wait_for 60 "both ranks to copy their state a second time" reached "$faults" 2
victim=$(find "$faults" -name 'snapshot.mid_copy.*' | sort | tail -n 1)
kill -KILL "${victim##*.}"
find "$faults" -type f -delete
wait_exit dies 60
isnt "$status" 124 "when one rank dies within a save the stint ends"
isnt "$status" 0 "and not with 0"
is "$(whole "$run" | wc -l)" 1 "only the checkpoint before looks whole"

# ---- ranks that do not fit -------------------------------------------------------------------------------------------

before=$(whole "$run")
ranks 4 "${train[@]}"
run stint run --stint-dir "$run" -- "${mpi[@]}"
isnt "$status" 0 "a checkpoint of two ranks is not restored by four"
like "$(cat "$TEST_DIR/err")" "2 ranks" "it is said how many it has"
is "$(whole "$run")" "$before" "and nothing of it is lost"
ok "all of it holds" stint verify "$run" --all

# ---- a final save ----------------------------------------------------------------------------------------------------

start ends "${command[@]}"
wait_for 60 "the ranks to begin" has_events "$run" 1 restore
kill -TERM "$(pid_of ends)"
wait_exit ends 60
is "$status" 75 "two ranks that are told to end save and end"
like "$(journal "$run" end verdict | tail -n 1)" "^saved step " "with a verdict"
is "$(one_step_each "$run")" "" "of one step for both"
last=$(step_of "$(newest "$run")")
run "${command[@]}"
is "$status" 0 "the next stint comes to the end"
like "$(cat "$TEST_DIR/out")" "^rank 1 starts at step $last\$" "both ranks carried on from there"
same_hashes "$TEST_DIR/out" two "after one that died, one that was refused and one that was ended the numbers are the same"

# ---- four ranks, one early, one that polls ---------------------------------------------------------------------------

train=(mpi_train --steps 80 --step-us 3000 --values 512 --early-rank 1 --early-steps 17 --poll-rank 2 --metric)
alone four 4 "${train[@]}"
run=$TEST_DIR/four
command=(stint run --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
killed_after "$run" 2 "${command[@]}"
is "$(one_step_each "$run")" "" "four ranks, one of which polls a hundred times as often, save the same step"
run "${command[@]}"
is "$status" 0 "ranks that finish at different steps do not hang"
same_hashes "$TEST_DIR/out" four "all four end with the numbers of a training nobody touched"
ok "the run is DONE" test -e "$run/DONE"
is "$(steps_of_ranks "$(newest "$run")")" "63 80" "the last checkpoint has each rank at its own last step"

# ---- no way to agree -------------------------------------------------------------------------------------------------

run mpirun --oversubscribe -np 2 mpi_train --no-agree
isnt "$status" 0 "two ranks without a way to agree are refused"
like "$(cat "$TEST_DIR/err")" "agree" "with a sentence that names what is missing"
done_testing
