#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/cudadevice.sh: state in the memory of CUDA devices, which the stand-in for the CUDA runtime pretends: saved,
# killed, resumed on another device to the same bits; through staging and through a window; and what is said when CUDA fails.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

export STINT_DEVICE_PATH=$TEST_BUILD/tests/standin/.libs
export CUDA_STANDIN=devices=3
train=(cuda_train 100 5)
hash_in() # FILE
{
        sed -n 's/^steps .* hash //p' "$1"
}
unharmed() # NAME: the program found its CUDA as it was
{
        unlike "$(cat "$TEST_DIR/out")" "current device has become|error was left|still pinned" "$1"
}

STINT_DIR=off run "${train[@]}"
is "$status" 0 "a training on a CUDA device runs without stint"
reference_hash=$(hash_in "$TEST_DIR/out")

# ---- saved, killed, restored -----------------------------------------------------------------------------------------

run=$TEST_DIR/killed
command=(stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}")
killed_after "$run" 2 "${command[@]}" 1
step=$(step_of "$(newest "$run")")
run "${command[@]}" 1
is "$status" 0 "a training on cuda:1 is resumed"
like "$(cat "$TEST_DIR/out")" "^starts at step $step on cuda:1\$" "from its newest checkpoint"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"
unharmed "current device, last error and pinned memory are as without stint"
ok "its checkpoints hold" stint verify "$run" --all

# ---- other devices ---------------------------------------------------------------------------------------------------

run=$TEST_DIR/moved
killed_after "$run" 1 stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}" 2
CUDA_VISIBLE_DEVICES=GPU-0001 killed_after "$run" 1 stint run --stint-dir "$run" --stint-adopt --stint-interval 80ms -- "${train[@]}" 0
CUDA_VISIBLE_DEVICES=2,0 run stint run --stint-dir "$run" --stint-adopt -- "${train[@]}" 1
is "$status" 0 "state goes from one device to another, and to a third"
unlike "$(cat "$TEST_DIR/out")" "^starts at step 0 " "and no stint begins anew"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"

# ---- late copies, no pinned staging ----------------------------------------------------------------------------------

run=$TEST_DIR/late
CUDA_STANDIN=devices=1,late=10 run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
is "$status" 0 "a training whose copies come late comes to its end"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"
copies=$(journal "$run" save copy_s unchanged | awk '$2 == "false" { print ($1 < 0.01 ? "early" : "in time") }' | sort -u)
is "$copies" "in time" "no save was over before its copies were"
ok "and its checkpoints hold" stint verify "$run" --all

run=$TEST_DIR/ring
CUDA_STANDIN=devices=1,register=off killed_after "$run" 1 stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
CUDA_STANDIN=devices=1,register=off run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
unlike "$(cat "$TEST_DIR/out")" "^starts at step 0 " "staging that cannot be pinned is saved and restored through the ring"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"

# ---- a state larger than its staging ---------------------------------------------------------------------------------

large=(cuda_train 12 5 0 5000000)
STINT_DIR=off run "${large[@]}"
large_hash=$(hash_in "$TEST_DIR/out")
run=$TEST_DIR/window
command=(stint run --stint-dir "$run" --stint-interval 80ms --stint-staging 8M -- "${large[@]}")
killed_after "$run" 1 "${command[@]}"
run "${command[@]}"
is "$status" 0 "a state that goes through a window is resumed"
isnt "$(journal "$run" save window_bytes | awk '$1 > 0 { n++ } END { print n + 0 }')" 0 "it was streamed"
is "$(hash_in "$TEST_DIR/out")" "$large_hash" "to the same bits"
unharmed "the windows are not pinned any more"

# ---- CUDA that fails -------------------------------------------------------------------------------------------------

run=$TEST_DIR/fails
CUDA_STANDIN=devices=2,fail=copy:3 run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}" 1
is "$status" 0 "a copy that fails does not end the training"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "which comes to the same bits"
like "$(cat "$TEST_DIR/err")" "NOT saved: .*tensor '(model/values|optimizer/speeds)'.* on cuda:1: .*cudaErrorUnknown" \
        "that save is NOT saved, with the tensor and the device"
is "$(count_events "$run" save "$failed")" 1 "it is the only one"
ok "later saves land, and the run is DONE" test -e "$run/DONE"

run=$TEST_DIR/restore
killed_after "$run" 1 stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
before=$(whole "$run")
CUDA_STANDIN=devices=1,fail=cudaMemcpyAsync:1:2 run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
isnt "$status" 0 "a restore that CUDA fails does not go on with half a state"
like "$(cat "$TEST_DIR/err")" "cuda_train: .*tensor '.*' on cuda:0: .*cudaErrorMemoryAllocation" "and tells the tensor and the device"
is "$(whole "$run")" "$before" "and costs no checkpoint"
run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "the next stint comes to the same bits"

# ---- no plugin -------------------------------------------------------------------------------------------------------

run=$TEST_DIR/without
STINT_DEVICE_PATH=$TEST_DIR run stint run --stint-dir "$run" --stint-interval 80ms -- "${train[@]}"
like "$(cat "$TEST_DIR/err")" "stint_attach refused 'model/values': .*$TEST_DIR/stint-device-cuda.so" \
        "without the plugin a tensor of a device is refused, and why"
is "$(whole "$run")" "" "and nothing is saved without it"

if [ "$TEST_SANITIZERS" = yes ]; then
        skip "a program without the sanitizers cannot be linked with libstint here" "the plugin is found beside libstint"
else
        mkdir lib
        cp -L "$TEST_BUILD"/lib/.libs/libstint.so.0 "$STINT_DEVICE_PATH/stint-device-cuda.so" lib
        ln -s libstint.so.0 lib/libstint.so
        # shellcheck disable=SC2086  # TEST_CC may carry flags
        $TEST_CC -std=gnu11 -O2 -ffp-contract=off -I "$TEST_BUILD/public" -I "$TEST_SOURCE/tests/standin" -o shared_train \
                "$TEST_SOURCE/tests/programs/cuda_train.c" -L lib -lstint -L "$STINT_DEVICE_PATH" -lcudart
        run=$TEST_DIR/shared
        export LD_LIBRARY_PATH=$TEST_DIR/lib:$STINT_DEVICE_PATH
        STINT_DEVICE_PATH='' run stint run --stint-dir "$run" --stint-interval 80ms -- "$TEST_DIR/shared_train" 60 5
        unset LD_LIBRARY_PATH
        isnt "$(whole "$run")" "" "the plugin is found beside libstint"
fi
done_testing
