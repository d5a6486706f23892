#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/demo-devices.sh: the training of the demo, whose stints get one GPU, another one of a list in another order,
# and none: it ends with the very bits of the same training left alone on the host. A stand-in is the CUDA runtime, the plugin
# is the real one; between the stints everything is killed.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

a=GPU-8932f937-d72c-4106-c12f-20bd9faed9f6
b=GPU-8932b0a4-1c1a-d9ed-fe37-18b8466a78ad
c=GPU-e429a63e-c61c-4795-b757-5132caeb8e70
export STINT_DEVICE_PATH=$TEST_BUILD/tests/standin/.libs CUDA_STANDIN=devices=3,uuids=$a:$b:$c
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER

options=(--small --steps 100 --step-ms 5 --eval-every 20 --log-every 0)
STINT_DIR=off run train_lm "${options[@]}" --out "$TEST_DIR/reference.bin"
is "$status" 0 "the training of the demo runs on the host, without stint"
reference_end=$(grep '^final step 100 ' "$TEST_DIR/out")

command_in() # RUN: sets `command`
{
        command=(stint run --stint-dir "$1" --stint-interval 80ms -- cuda_lm "${options[@]}" --out "$1.bin")
}

# placed FILE WHERE NAME: weights and moments are there, and everything else is on the host
placed()
{
        local elsewhere floats='^(model|optimizer/[mv])/[^ ]* on '
        elsewhere=$(grep -E "$floats" "$1" | grep -vF " on $2" || :)
        elsewhere+=$(grep ' on ' "$1" | grep -vE "$floats" | grep -v ' on the host$' || :)
        is "$elsewhere" "" "$3"
        is "$(grep -cE "^model/[^ ]* on $2" "$1")" 6 "all tensors of the model"
        is "$(grep -cE "^optimizer/[mv]/[^ ]* on $2" "$1")" 12 "and two moments of each"
}

resumed_at() # FILE STEP NAME
{
        like "$(cat "$1")" "^resumed at step $2\$" "$3"
}

same_end() # RUN NAME: of the last `run`
{
        is "$(grep '^final step' "$TEST_DIR/out")" "$reference_end" "$2: moments, generator, order of the data and loss, too"
        ok "with the same weights, to the bit" cmp "$1.bin" "$TEST_DIR/reference.bin"
        ok "and the run is DONE" test -e "$1/DONE"
        ok "its checkpoints hold" stint verify "$1" --all
}

# ---- a GPU, another one, none ----------------------------------------------------------------------------------------

run=$TEST_DIR/down
command_in "$run"
CUDA_VISIBLE_DEVICES=0 killed_after "$run" 1 "${command[@]}"
placed "$TEST_DIR/killed-down.out" "cuda:0, $a" "the first stint has GPU 0, and sees no other"
like "$(cat "$TEST_DIR/killed-down.out")" "^fresh start\$" "it begins"

first=$(step_of "$(newest "$run")")
CUDA_VISIBLE_DEVICES=$c,$b STINT_MODEL_DEVICE=cuda:1 killed_after "$run" 1 "${command[@]}"
placed "$TEST_DIR/killed-down.out" "cuda:1, $b" "the second has GPU 1, the second of a list of UUIDs in another order"
resumed_at "$TEST_DIR/killed-down.out" "$first" "it goes on with what GPU 0 had"

second=$(step_of "$(newest "$run")")
ok "further than that" test "$second" -gt "$first"
before=$(whole "$run")
CUDA_VISIBLE_DEVICES='' run "${command[@]}"
isnt "$status" 0 "the third has no GPU, and is refused"
like "$(cat "$TEST_DIR/err")" "cannot resume: tensor 'model/.*': it was on cuda:1 .*STINT_MODEL_DEVICE=cpu" \
        "with the reason and what to say"
is "$(whole "$run")" "$before" "at no cost"
CUDA_STANDIN=devices=1,memory=400000 run "${command[@]}"
isnt "$status" 0 "one with a smaller GPU is refused as well"
like "$(cat "$TEST_DIR/err")" \
        "cannot resume: checkpoint $(whole "$run" | tail -n 1) will put [0-9.]+ KiB on cuda:0 \(model [0-9.]+ KiB, optimizer [0-9.]+ KiB\), which has 390.6 KiB" \
        "with the numbers"
unlike "$(cat "$TEST_DIR/err")" "cuda_lm:" "before the program has asked for any of it"
is "$(whole "$run")" "$before" "at no cost either"
CUDA_VISIBLE_DEVICES='' STINT_MODEL_DEVICE=cpu run "${command[@]}"
is "$status" 0 "it goes on when the host is allowed"
placed "$TEST_DIR/out" "the host" "there"
resumed_at "$TEST_DIR/out" "$second" "with what GPU 1 had"
same_end "$run" "to the end of the training that nobody touched"

# ---- none, then one of three -----------------------------------------------------------------------------------------

run=$TEST_DIR/up
command_in "$run"
CUDA_VISIBLE_DEVICES=NoDevFiles killed_after "$run" 1 "${command[@]}"
placed "$TEST_DIR/killed-up.out" "the host" "a training begins on a node without a GPU"
is "$(grep -c "stint: the model goes to host memory, as there is no device: CUDA shows this process no device" "$TEST_DIR/killed-up.err")" 1 \
        "which is said once"
first=$(step_of "$(newest "$run")")
STINT_MODEL_DEVICE=cuda:2,cuda:0 run "${command[@]}"
is "$status" 0 "and goes on on one with three"
placed "$TEST_DIR/out" "cuda:2, $c" "on the first of those that were said"
resumed_at "$TEST_DIR/out" "$first" "with what the host had"
same_end "$run" "to the same end"
done_testing
