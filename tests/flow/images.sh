#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/images.sh: training goes on while a save is being written, another save is taken meanwhile and written after
# it, and a write gives way to the final save when there is no time for both.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

train=(train_lm --small --steps 100000 --step-ms 2 --eval-every 0 --log-every 0)

# The first write stops in the middle until go_on, and the program right after its second snapshot until the same.
start_stuck() # NAME [OPTION...]
{
        local name=$1
        shift
        mkdir "$TEST_DIR/$name.faults"
        STINT_FAULT=save.mid_write:pause,snapshot.after_copy:pause@2 STINT_FAULT_DIR=$TEST_DIR/$name.faults start "$name" \
                stint run --stint-dir "$TEST_DIR/$name" --stint-interval off "$@" -- "${train[@]}"
        wait_for 60 "the first write of $name to stop" is_at "$name" save.mid_write
}

is_at() # NAME POINT
{
        compgen -G "$TEST_DIR/$1.faults/$2.*" >/dev/null
}

go_on() # NAME POINT
{
        rm -f "$TEST_DIR/$1.faults/$2".*
}

step_now() # NAME
{
        sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$TEST_DIR/$1/progress.json" 2>/dev/null | grep . || echo 0
}

# ---- a save while the one before is written ---------------------------------------------------------------------------

start_stuck both # the calibrating save is the first
run=$TEST_DIR/both
ok "training goes on while a save is being written" wait_for 60 "more steps" progress_is "$run" $(($(step_now both) + 200))
start ask stint save "$run"
ok "and another snapshot is taken meanwhile" wait_for 60 "the second snapshot" is_at both snapshot.after_copy
is "$(count_events "$run" save)" 0 "while nothing has landed yet"
go_on both snapshot.after_copy
start stop stint save "$run" --stop
go_on both save.mid_write
wait_exit ask 60
is "$status" 0 "both land: the one that was asked for meanwhile"
wait_exit stop 60
is "$status" 0 "and the one that stops the run, which waited"
wait_exit both 60
is "$status" 75 "and the run is to be continued"
is "$(journal "$run" save reason | tr '\n' ' ')" "calibration user stop " "saves are over in the order in which they were asked for"
steps=$(journal "$run" save step)
is "$steps" "$(echo "$steps" | sort -nu)" "each of a later step"
is "$(journal "$run" save landed | sort -u)" true "and all of them landed"
run stint verify "$run" --all
is "$status" 0 "every checkpoint holds what it says"

# ---- no time for both -------------------------------------------------------------------------------------------------

start_stuck limit --stint-limit 12s --stint-margin 8s --stint-requeues 0
run=$TEST_DIR/limit
ok "at the limit the last snapshot is taken while the write before it hangs" \
        wait_for 60 "the final snapshot" is_at limit snapshot.after_copy
go_on limit snapshot.after_copy
ok "which is given up" wait_for 60 "the journal to say so" has_events "$run" 1 save "given up"
go_on limit save.mid_write
wait_exit limit 60
is "$status" 75 "the stint ends at its limit"
is "$(journal "$run" save reason landed | tr '\n' ' ')" "calibration false time limit true " "and its final save has landed"
is "$(find "$run/checkpoints" -name '*.part' | wc -l)" 0 "nothing is left of the other"
run stint verify "$run" --all
is "$status" 0 "what landed holds what it says"
done_testing
