#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/short-of-memory.sh: a job whose control group leaves no room for an image of its state beside it. Its saves
# are streamed, with a stintd that has too little memory too; and are not where stintd has enough, whose memory is not the
# job's.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

[ "${TEST_SANITIZERS-no}" = no ] || skip_all "a sanitizer's own memory is larger than the state"

group=
leave_group() # and end as every test does
{
        local rc=$?
        set +e
        [ -z "$group" ] || wait_for 15 "$group to be empty" rmdir "$group"
        (exit "$rc")
        tap_end
}
trap leave_group EXIT

# Version 1 has a hierarchy for memory; in version 2 the group above must give the controller away.
make_group() # BYTES
{
        local own file
        own=$(sed -n 's/^[0-9]*:memory:\(.*\)/\1/p' /proc/self/cgroup)
        file=memory.limit_in_bytes
        if [ -n "$own" ]; then
                group=/sys/fs/cgroup/memory$own/stint-flow-$$
        else
                file=memory.max
                group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/stint-flow-$$
        fi
        mkdir "$group" 2>/dev/null || { group=; return 1; }
        echo "$1" 2>/dev/null >"$group/$file"
}
make_group 760M || skip_all "no control group with a limit for memory can be made here"

# 367 MiB, and between 140 and 270 are left, for what the program has for a moment while it begins counts too. Half of
# that is a window.
train=(train_lm --small --rows 1000000 --steps 12 --step-ms 20 --eval-every 0 --log-every 0)
within() # RUN [OPTION...]: in that group, and to its end
{
        local dir=$1
        shift
        # shellcheck disable=SC2016 # the inner shell is to see them
        run bash -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' - "$group" \
                stint run --stint-dir "$dir" --stint-interval off "$@" -- "${train[@]}" --out "$dir.bin"
}
run env STINT_DIR=off "${train[@]}" --out "$TEST_DIR/alone.bin"

run=$TEST_DIR/group
within "$run"
is "$status" 0 "a training whose control group leaves no room for an image comes to its end"
like "$(cat "$TEST_DIR/err")" "no memory for a whole image of [0-9.]+ MiB \(staging needs [0-9.]+ MiB of memory and this node has [0-9.]+ MiB left" \
        "its log says what is missing"
ok "its last save was streamed" has_events "$run" 1 save '"reason": *"complete".*"landed": *true.*"window_bytes": *[1-9]'
ok "its checkpoints hold" stint verify "$run" --all
ok "the weights are those of a training without stint" cmp "$run.bin" "$TEST_DIR/alone.bin"

mkdir -m 755 "$TEST_DIR/run" "$TEST_DIR/libexec"
ln -s "$TEST_BUILD/tests/programs/whose_stand_in" "$TEST_DIR/libexec/stint-slurm"
echo "0 4711 $(id -u)" >"$TEST_DIR/jobs" # whatever runs here is in job 4711
export STINT_DAEMON_SOCKET=$TEST_DIR/run/stintd.sock
PATH=$TEST_BUILD/daemon:$PATH
daemon() # NAME BUDGET
{
        printf 'StagingMemory=%s\nLogLevel=debug\n' "$2" >"$TEST_DIR/stint.conf"
        STINT_LIBEXEC_DIR=$TEST_DIR/libexec SLURM_CONF=$TEST_DIR/jobs start "$1" \
                stintd --config "$TEST_DIR/stint.conf" --socket "$STINT_DAEMON_SOCKET" --node n1 --exit-with-parent
        wait_for_line 10 "$TEST_DIR/$1.err" "ready on node"
}

daemon small 64M
run=$TEST_DIR/small-budget
within "$run"
is "$status" 0 "likewise where stintd has memory, and less than an image"
like "$(cat "$TEST_DIR/err")" "StagingMemory" "which is said"
ok "that is streamed too" has_events "$run" 1 save '"reason": *"complete".*"landed": *true.*"window_bytes": *[1-9]'
kill -TERM "$(pid_of small)"
wait_exit small 10

daemon large 1G
run=$TEST_DIR/large-budget
within "$run"
is "$status" 0 "where stintd has enough the image is there"
unlike "$(cat "$TEST_DIR/err")" "streamed" "and nothing is streamed"
unlike "$(journal "$run" save)" "window_bytes" "nor in the journal"
kill -TERM "$(pid_of large)"
wait_exit large 10
done_testing
