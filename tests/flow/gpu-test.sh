#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/gpu-test.sh: dev/gpu-test, which is for machines with a GPU, works: it builds with nothing but a C compiler and
# a CUDA toolkit, here the stand-in, and says plainly what is missing. What it measures decides nothing here.
set -eu
. "$(dirname "$0")/../tap.sh"
[ "$TEST_SANITIZERS" = no ] || skip_all "what it builds without the sanitizers cannot be linked with libstint here"

gpu_test=$TEST_SOURCE/dev/gpu-test
export STINT_BUILD=$TEST_DIR/build CC=$TEST_CC CUDA_STANDIN=devices=2,memory=268435456
unset CUDA_HOME
mkdir toolkit bare
ln -s "$TEST_SOURCE/tests/standin" toolkit/include
ln -s "$TEST_BUILD/tests/standin/.libs" toolkit/lib64

run "$gpu_test" --cuda="$TEST_DIR/toolkit" --bytes=$((4 << 20)) --rounds=2 --no-gates --programs="$TEST_BUILD"
is "$status" 0 "every path is as it should be"
is "$(grep -c '^not ok' out)" 0 "no point fails"
like "$(cat out)" "^ok [0-9]+ - before the program uses it cuda:1 tells of 0.2 GiB" "what a device has is known beforehand"
like "$(cat out)" "^ok [0-9]+ - cuda:1, pinned staging" "every device is tried"
like "$(cat out)" "^# save .* pinned .*GB/s, limit .*ratio" "save is measured beside its limit"
like "$(cat out)" "^# restore .* pinned .*GB/s, limit .*ratio" "and so is restore"
like "$(cat out)" "^ok [0-9]+ - window: to the same bits" "a training is killed and resumed to the same bits"

CUDA_STANDIN=devices=2,fail=copy:1 run "$gpu_test" --cuda="$TEST_DIR/toolkit" --bytes=0 --programs="$TEST_DIR/bare"
is "$status" 1 "a copy that fails is a failure"
like "$(cat out)" "^not ok [0-9]+ - a copy there and back.*cudaErrorUnknown" "which is told"
like "$(cat out)" "NO TRAINING WAS KILLED AND RESUMED" "and that there was no training without stint's programs"

run "$gpu_test" --cuda="$TEST_DIR/bare"
is "$status" 2 "without a toolkit nothing runs"
like "$(cat err)" "there is no $TEST_DIR/bare/include/cuda_runtime_api.h" "and what is missing is said"
mkdir bare/include
touch bare/include/cuda_runtime_api.h
run "$gpu_test" --cuda="$TEST_DIR/bare"
like "$(cat err)" "there is no libcudart.so in $TEST_DIR/bare/lib64" "down to the library"
CC=$TEST_DIR/nothing run "$gpu_test" --cuda="$TEST_DIR/toolkit"
like "$(cat err)" "there is no $TEST_DIR/nothing here" "and the compiler"
CUDA_VISIBLE_DEVICES='' run "$gpu_test" --cuda="$TEST_DIR/toolkit" --bytes=0 --programs="$TEST_DIR/bare"
like "$(cat out)" "^Bail out! CUDA has no device here: .*cudaErrorNoDevice" "and the GPU"
is "$status" 2 "which is something missing"
done_testing
