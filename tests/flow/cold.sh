#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/cold.sh: a program that asks for what nobody has read yet gets it while it is read: the same bytes, and no memory
# beside its own. What turns out damaged at the last byte is not trained with; whoever dies in its midst, the next one begins anew.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

# 55 MiB: more than the window.
flow_train=(train_lm --small --rows 150000 --steps 40 --step-ms 20 --eval-every 0 --log-every 0)
reference

good=$TEST_DIR/good
command=(stint run --stint-interval 150ms --stint-prefetch=off)
killed_after "$good" 2 "${command[@]}" --stint-dir "$good" -- "${flow_train[@]}" --out "$TEST_DIR/good.bin"
rm -rf "$good"/checkpoints/*.part
newer=$(basename "$(newest "$good")")
older=$(whole "$good" | tail -n 2 | head -n 1)
isnt "$older" "$newer" "there are two checkpoints"
h5=rank-00000-of-00001.h5
size=$(stat -c %s "$good/checkpoints/$newer/$h5")
ok "of more than a window" test "$size" -gt $((49 << 20))
faults=$TEST_DIR/faults
mkdir "$faults"

copy() # NAME: a copy of the run, in $run
{
        run=$TEST_DIR/$1
        cp -a "$good" "$run"
}

flip_last() # FILE: a bit of its last byte
{
        local at byte
        at=$(($(stat -c %s "$1") - 1))
        byte=$(od -An -tu1 -j "$at" -N 1 "$1")
        # shellcheck disable=SC2059  # an octal escape is made
        printf "\\$(printf %03o $((byte ^ 4)))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

let_go() # those that wait at a fault point
{
        find "$faults" -type f -delete
}

# ---- cold ------------------------------------------------------------------------------------------------------------

copy cold
run "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a program whose checkpoint is on the disk goes on from it"
is "$(journal "$run" restore checkpoint from prefetched streamed)" "$newer disk false true" "the journal says that it was streamed"
like "$(cat "$TEST_DIR/err")" "restored step $(step_of "$newer") .*streamed" "and so does the log"
same_weights "$run.bin" "it ends with the weights of a training that nobody touched"
like "$(journal "$run" restore read_s wait_s copy_s)" "^[0-9]*\.[0-9]+ [0-9]*\.[0-9]+ [0-9]*\.[0-9]+\$" "the journal has its times"

# ---- memory ----------------------------------------------------------------------------------------------------------

copy held
STINT_FAULT=restore.after_copy:pause STINT_FAULT_DIR=$faults start held \
        "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
wait_for 60 "the last byte to be copied" reached "$faults"
is "$(find "/proc/$(by_executable held stint-agent)/fd" -lname '/memfd:stint-restore*' | wc -l)" 0 "the agent holds no image of it"
held=$(find "/proc/$(by_executable held stint-agent)/fd" -lname '/memfd:*' -exec stat -L -c %s {} + | awk '{ n += $1 } END { print n + 0 }')
ok "nor, all in all, memory of its size" test "$held" -lt "$size"
let_go
wait_exit held 60
same_weights "$run.bin" "the program goes on"

# ---- another program -------------------------------------------------------------------------------------------------

copy other
run "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --rows 200000 --out "$run.bin"
isnt "$status" 0 "a program that it does not fit does not train"
like "$(cat "$TEST_DIR/err" "$TEST_DIR/out")" "does not fit this program" "it hears why"
unlike "$(cat "$TEST_DIR/err" "$TEST_DIR/out")" "in part only" "and not a byte of it was copied"
ok "the checkpoint is where it was" test -d "$run/checkpoints/$newer"

# ---- damaged ---------------------------------------------------------------------------------------------------------

copy damaged
flip_last "$run/checkpoints/$newer/$h5"
run "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a program whose newest checkpoint is damaged at its last byte comes to its end"
is "$(journal "$run" restore checkpoint streamed)" "$older true" "from the older one, streamed after the damaged one was"
ok "which is set aside" test -d "$run/checkpoints/quarantined-$newer"
same_weights "$run.bin" "with the same weights in the end"

copy spoilt
flip_last "$run/checkpoints/$newer/$h5"
flip_last "$run/checkpoints/$older/$h5"
run "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
isnt "$status" 0 "when none holds the program does not train"
like "$(cat "$TEST_DIR/out" "$TEST_DIR/err")" "restored in part only, do not train with it" "and hears what its memory is"
not_ok "the run is not DONE" test -e "$run/DONE"

# ---- somebody dies ---------------------------------------------------------------------------------------------------

# The program, which is then started again in its stint.
copy program
STINT_FAULT=restore.mid_copy:pause STINT_FAULT_DIR=$faults start program "${command[@]}" --stint-dir "$run" -- bash -c \
        '"$@" & wait $! || :; exec "$@"' wrapper "${flow_train[@]}" --out "$run.bin"
wait_for 60 "half of it to be copied" reached "$faults"
agent=$(by_executable program stint-agent)
kill -KILL "$(by_executable program train_lm)"
let_go
wait_for 60 "the next program to have half of it" reached "$faults"
is "$(by_executable program stint-agent)" "$agent" "a program that is killed in its restore leaves the agent ready for the next"
let_go
wait_exit program 60
is "$status" 0 "which comes to its end"
is "$(journal "$run" restore checkpoint streamed)" "$newer true" "from the newest checkpoint"
same_weights "$run.bin" "with the same weights"

# The agent: the program asks the next one.
copy agent
STINT_FAULT=restore.mid_read:pause STINT_FAULT_DIR=$faults start agent \
        "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
wait_for 60 "half of it to be read" reached "$faults"
program=$(by_executable agent train_lm)
kill -KILL "$(by_executable agent stint-agent)"
let_go
wait_for 60 "the next agent to read half of it" reached "$faults"
is "$(by_executable agent train_lm)" "$program" "a program whose agent is killed in its restore asks the next one"
let_go
wait_exit agent 60
is "$status" 0 "and comes to its end"
is "$(journal "$run" restore checkpoint streamed)" "$newer true" "from the newest checkpoint"
same_weights "$run.bin" "with the same weights, too"

# ---- two ranks -------------------------------------------------------------------------------------------------------

hashes() # FILE: what the ranks ended with
{
        grep '^rank [0-9]* steps [0-9]* hash' "$1" | sort
}

if command -v mpirun >/dev/null && command -v mpi_train >/dev/null; then
        # The leak checker cannot tell what MPI's unloaded components kept from what we did.
        [ "${TEST_SANITIZERS-no}" = no ] || export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"
        mpi=(env -u LD_PRELOAD -u MALLOC_CHECK_ mpirun --oversubscribe -np 2 mpi_train --steps 60 --step-us 5000 --coupled --values 3000000)
        STINT_DIR=off "${mpi[@]}" >"$TEST_DIR/alone" 2>&1 </dev/null
        run=$TEST_DIR/ranks
        flow_ranks=2
        killed_after "$run" 2 "${command[@]}" --stint-dir "$run" -- "${mpi[@]}"
        rm -rf "$run"/checkpoints/*.part
        newer=$(basename "$(newest "$run")")
        older=$(whole "$run" | tail -n 2 | head -n 1)
        flip_last "$run/checkpoints/$newer/rank-00001-of-00002.h5"
        run "${command[@]}" --stint-dir "$run" -- "${mpi[@]}"
        is "$status" 0 "two ranks, one of whose files is damaged, come to their end"
        is "$(journal "$run" restore checkpoint streamed)" "$older true" "both from the older checkpoint, streamed"
        is "$(hashes "$TEST_DIR/out")" "$(hashes "$TEST_DIR/alone")" "with the numbers of a training that nobody touched"
else
        skip "mpirun or mpi_train is not here" "two ranks, one of whose files is damaged, come to their end"
fi
done_testing
