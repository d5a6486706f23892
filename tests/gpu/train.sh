#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/gpu/train.sh PROGRAMS TRAIN FOLDER: a training whose state is in the memory of a GPU, killed in its middle and resumed,
# comes to the bits of one that nobody touched. dev/gpu-test calls it; PROGRAMS is the folder of a build with client/stint
# and agent/stint-agent, TRAIN is cuda_train, FOLDER a new one. Prints two points for each way to the disk, as TAP.
set -eu
export PATH="$1/client:$PATH" STINT_LIBEXEC_DIR=$1/agent
train=$2
folder=$3
points=0
failed=0

point() # NAME COMMAND [ARGUMENT...]
{
        local name=$1
        shift
        points=$((points + 1))
        if "$@"; then
                echo "ok $points - $name"
        else
                echo "not ok $points - $name"
                failed=1
        fi
}

hash_in() # FILE
{
        sed -n 's/^steps .* hash //p' "$1"
}

# The run is killed, with all that it started, when its second save has landed: the agent stands still before the third.
killed() # RUN COMMAND...
{
        local run=$1 pid
        shift
        mkdir "$run.fault"
        STINT_FAULT=save.before_create:pause@3 STINT_FAULT_DIR=$run.fault setsid "$@" >"$run.killed" 2>&1 </dev/null &
        pid=$!
        for _ in $(seq 600); do
                [ -z "$(find "$run.fault" -type f ! -name '.*')" ] && kill -0 "$pid" 2>/dev/null || break
                sleep 0.1
        done
        kill -KILL -- "-$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
        find "$run.fault" -type f -delete
}

# STEPS and VALUES are such that a save is made every few steps.
story() # NAME VALUES STINT-OPTION...
{
        local run=$folder/$1 name=$1 command
        STINT_DIR=off "$train" 60 10 0 "$2" >"$run.reference" 2>&1 || :
        command=(stint run --stint-dir "$run" --stint-interval 100ms "${@:3}" -- "$train" 60 10 0 "$2")
        killed "$run" "${command[@]}"
        "${command[@]}" >"$run.out" 2>"$run.err" </dev/null || :
        point "$name: the training is resumed, and not from its beginning" grep -q '^starts at step [1-9]' "$run.out"
        point "$name: to the same bits" test -n "$(hash_in "$run.out")" -a "$(hash_in "$run.out")" = "$(hash_in "$run.reference")"
        [ "$failed" -eq 0 ] || sed 's/^/# /' "$run.out" "$run.err" "$run.reference"
}

story staging 2000000
story window 10000000 --stint-staging 16M
echo "1..$points"
exit "$failed"
