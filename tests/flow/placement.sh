#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/placement.sh: a training that asks where its state is to be goes on wherever the next stint lets it: on another
# device, on the host when somebody says so, and nowhere else unnoticed. Its model alone is had from the run, the best
# and the newest, without an agent.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

train=(placed_train 60 5)
hash_in() # FILE: of the model after 60 steps
{
        sed -n 's/^step 60 hash //p' "$1"
}

STINT_DEVICE=sim:devices=2,current=1 STINT_DIR=off run "${train[@]}"
is "$status" 0 "a training without stint is told where its state is to be, too"
like "$(cat "$TEST_DIR/out")" "^model on device 1\$" "on the device that is in use"
reference_hash=$(hash_in "$TEST_DIR/out")

# killed_on RUN DEVICES: a run whose newest checkpoint was saved there
killed_on()
{
        STINT_DEVICE=$2 killed_after "$1" 1 stint run --stint-dir "$1" --stint-interval 80ms -- "${train[@]}"
}

# ---- another device --------------------------------------------------------------------------------------------------

run=$TEST_DIR/other
killed_on "$run" sim:devices=2,current=1
step=$(step_of "$(newest "$run")")
STINT_DEVICE=sim run stint run --stint-dir "$run" -- "${train[@]}"
is "$status" 0 "a training from device 1 goes on where there is only device 0"
like "$(cat "$TEST_DIR/out")" "^model on device 0\$" "on that"
like "$(cat "$TEST_DIR/out")" "^starts at step $step\$" "from its newest checkpoint"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"

# ---- no device -------------------------------------------------------------------------------------------------------

run=$TEST_DIR/none
killed_on "$run" sim:devices=2,current=1
before=$(whole "$run")
run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "it does not go on without a device unnoticed"
like "$(cat "$TEST_DIR/err")" "'model/values': it was on sim:1 when it was saved.*STINT_MODEL_DEVICE=cpu" "but says what to do"
is "$(whole "$run")" "$before" "and costs no checkpoint"
STINT_MODEL_DEVICE=cpu run stint run --stint-dir "$run" -- "${train[@]}"
is "$status" 0 "it goes on on the host when somebody says so"
like "$(cat "$TEST_DIR/out")" "^model on the host\$" "there"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"

# ---- not that device -------------------------------------------------------------------------------------------------

run=$TEST_DIR/small
killed_on "$run" sim
STINT_DEVICE=sim:memory=64K run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "a device with too little memory is refused before anything is allocated"
like "$(cat "$TEST_DIR/err")" "will put 78.1 KiB on sim:0 \(model 39.1 KiB, optimizer 39.1 KiB\), of whose 64.0 KiB" "with the numbers"
STINT_DEVICE=sim:devices=2 STINT_MODEL_DEVICE=sim:2 run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "so is one that is not there"
like "$(cat "$TEST_DIR/err")" "there is no sim:2: this process sees 2" "with how many there are"
STINT_DEVICE=sim STINT_MODEL_DEVICE=gpu:0 run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "so is a word that is none"
like "$(cat "$TEST_DIR/err")" "STINT_MODEL_DEVICE is 'gpu:0': it is auto, cuda" "with those that are"

# ---- the model alone -------------------------------------------------------------------------------------------------

run=$TEST_DIR/other
ok "the run is DONE" test -e "$run/DONE"
journal_lines=$(wc -l <"$run/journal.jsonl")
STINT_DIR=off run placed_train --model "$run" newest
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "the newest model of a complete run is that of its end, on the host"
STINT_DEVICE=sim STINT_DIR=off run placed_train --model "$run" newest
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "and on a device"
STINT_DIR=off run placed_train --model "$run" best
like "$(cat "$TEST_DIR/out")" "^step $(step_of "$(readlink -f "$run/best")") hash" "the best one is that of the link"
is "$(sed 's/ hash.*//' "$TEST_DIR/out")" "step 30" "by its metric"
is "$(wc -l <"$run/journal.jsonl")" "$journal_lines" "the run is not touched by that"
STINT_DIR=off run placed_train --model "$TEST_DIR/nowhere" newest
isnt "$status" 0 "where there is no run there is no model"
done_testing
