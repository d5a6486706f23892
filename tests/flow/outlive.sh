#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/outlive.sh: a job is killed, all of it at once, in the middle of a write. Its stintd finishes that write, and the
# next stint goes on from there; where stintd is killed as well, from the checkpoint before.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

export PATH="$TEST_BUILD/daemon:$PATH"
mkdir -m 755 "$TEST_DIR/run" "$TEST_DIR/libexec"
ln -s "$TEST_BUILD/tests/programs/whose_stand_in" "$TEST_DIR/libexec/stint-slurm"
echo "0 4711 $(id -u)" >"$TEST_DIR/jobs" # whatever runs here is in job 4711
printf 'StagingMemory=512M\nLogLevel=debug\n' >"$TEST_DIR/stint.conf"
export STINT_DAEMON_SOCKET=$TEST_DIR/run/stintd.sock

daemon() # NAME [OPTION...]: starts one, and waits until it serves
{
        daemon_name=$1
        shift
        STINT_LIBEXEC_DIR=$TEST_DIR/libexec SLURM_CONF=$TEST_DIR/jobs start "$daemon_name" \
                stintd --config "$TEST_DIR/stint.conf" --socket "$STINT_DAEMON_SOCKET" --node n1 --exit-with-parent "$@"
        wait_for_line 10 "$TEST_DIR/$daemon_name.err" "ready on node n1"
}

logged() # REGEX TEXT: by the daemon that runs now
{
        ok "$2" wait_for_line 20 "$TEST_DIR/$daemon_name.err" "$1"
}

# Larger than one block of a write, so that there is a middle.
train=(train_lm --layers 1 --hidden 64 --batch 2 --seq 8 --steps 60 --step-ms 5 --eval-every 0 --log-every 0)
STINT_DIR=off "${train[@]}" --out "$TEST_DIR/reference.bin" >"$TEST_DIR/reference.log" 2>&1

# stop_at NAME POINT: a stint of this name comes to that point of its second save, and stands there
stop_at()
{
        mkdir -p "$TEST_DIR/$1.faults"
        STINT_FAULT=$2:pause@2 STINT_FAULT_DIR=$TEST_DIR/$1.faults start "$1" \
                stint run --stint-dir "$TEST_DIR/$1.run" --stint-interval 60ms -- "${train[@]}" --out "$TEST_DIR/$1.bin"
        wait_for 60 "$2 to be reached" reached "$TEST_DIR/$1.faults" || { diag_file "$TEST_DIR/$1.err"; exit 1; }
}

go_on() # NAME: the next stint, to the end
{
        find "$TEST_DIR/$1.faults" -type f -delete
        run stint run --stint-dir "$TEST_DIR/$1.run" -- "${train[@]}" --out "$TEST_DIR/$1.bin"
        is "$status" 0 "$1: the next stint trains to the end"
        same_weights "$TEST_DIR/$1.bin" "$1: with the weights of a training that nobody touched"
}

part_of() # NAME: the step that is being written
{
        local part
        for part in "$TEST_DIR/$1.run"/checkpoints/*.part; do
                part=${part##*/step-}
                echo $((10#${part%%.*}))
        done
}

restored() # NAME [STINT]: the step from which stint 2, or that one, went on
{
        journal "$TEST_DIR/$1.run" restore stint step | sed -n "s/^${2-2} //p"
}

# ---- the whole job is killed -----------------------------------------------------------------------------------------

daemon first
for point in save.after_create save.mid_write save.before_sync seal.before_write; do
        stop_at "$point" "$point"
        step=$(part_of "$point")
        kill_family KILL "$point"
        wait_exit "$point" 30
        if [ "$point" = save.after_create ]; then
                # Nothing was handed over yet: that file is empty, and stays so.
                go_on "$point"
                isnt "$(restored "$point")" "$step" "$point: before the hand-over the checkpoint before serves"
                continue
        fi
        logged "job 4711: step $step, rank 0 of 1: finished: sealed in " "$point: stintd writes the rest and seals it"
        go_on "$point"
        is "$(journal "$TEST_DIR/$point.run" finished_part of_stint step)" "1 $step" "$point: the next stint makes it whole"
        is "$(restored "$point")" "$step" "$point: and restores it"
        is "$(journal "$TEST_DIR/$point.run" restore from)" staging "$point: out of the memory that stintd has kept"
        like "$(journal "$TEST_DIR/$point.run" end verdict | sed -n 1p)" "killed; step $step stands" "$point: which the verdict on the killed one says"
done

# ---- with two saves in flight ----------------------------------------------------------------------------------------

# The second snapshot waits in its image until the write before it is over, so it has no file yet that could be handed over.
mkdir "$TEST_DIR/two.faults"
STINT_FAULT=save.mid_write:pause@2,snapshot.after_copy:pause@3 STINT_FAULT_DIR=$TEST_DIR/two.faults start two \
        stint run --stint-dir "$TEST_DIR/two.run" --stint-interval 60ms -- "${train[@]}" --out "$TEST_DIR/two.bin"
is_at() # POINT
{
        compgen -G "$TEST_DIR/two.faults/$1.*" >/dev/null
}
wait_for 60 "the second write to stop" is_at save.mid_write || { diag_file "$TEST_DIR/two.err"; exit 1; }
older=$(part_of two)
start two.ask stint save "$TEST_DIR/two.run"
wait_for 60 "another snapshot, behind it" is_at snapshot.after_copy || { diag_file "$TEST_DIR/two.err"; exit 1; }
rm "$TEST_DIR/two.faults"/snapshot.after_copy.*
ok "two: training goes on, with a snapshot that is being written and one that waits" \
        wait_for 60 "its last step" progress_is "$TEST_DIR/two.run" 60
is "$(part_of two)" "$older" "two: of which only the older one has files"
kill_family KILL two
wait_exit two 30
wait_exit two.ask 30
logged "job 4711: step $older, rank 0 of 1: finished: sealed in " "two: stintd writes the rest of that"
go_on two
is "$(restored two)" "$older" "two: and the next stint goes on from there"
is "$(journal "$TEST_DIR/two.run" abandoned_part checkpoint)" "" "two: with nothing to be set aside"

# ---- it is quicker to begin again than stintd is to finish -----------------------------------------------------------

stop_at waits save.mid_write
step=$(part_of waits)
kill -STOP "$(pid_of first)"
kill_family KILL waits
wait_exit waits 30
find "$TEST_DIR/waits.faults" -type f -delete
start waits.2 stint run --stint-dir "$TEST_DIR/waits.run" -- "${train[@]}" --out "$TEST_DIR/waits.bin"
ok "a stint that finds a write pending says what it waits for" \
        wait_for_line 20 "$TEST_DIR/waits.2.err" "stint 2: waits until .* for stintd of node .* step $step of stint 1"
kill -TERM "$(pid_of waits.2)"
wait_exit waits.2 60
is "$status" 75 "a signal ends the waiting"
is "$(journal "$TEST_DIR/waits.run" end stint why | tail -n 1)" "2 stopped" "as the journal says"
start waits.3 stint run --stint-dir "$TEST_DIR/waits.run" -- "${train[@]}" --out "$TEST_DIR/waits.bin"
wait_for_line 20 "$TEST_DIR/waits.3.err" "stint 3: waits until .*"
run stint stop "$TEST_DIR/waits.run"
wait_exit waits.3 60
is "$status" 75 "and so does stint stop"
like "$(cat "$TEST_DIR/waits.3.err")" "stint 3: this run was stopped by .*stint resume" "which is told"
is "$(part_of waits)" "$step" "and what is being written stays where it is"
rm "$TEST_DIR/waits.run/STOPPED"
start waits.4 stint run --stint-dir "$TEST_DIR/waits.run" -- "${train[@]}" --out "$TEST_DIR/waits.bin"
ok "the next one waits again" wait_for_line 20 "$TEST_DIR/waits.4.err" "stint 4: waits until .*"
kill -CONT "$(pid_of first)"
wait_exit waits.4 60
is "$status" 0 "and goes on when it is done"
is "$(restored waits 4)" "$step" "from there"
same_weights "$TEST_DIR/waits.bin" "with the right weights"

# ---- stintd dies, and the job does not -------------------------------------------------------------------------------

stop_at alone save.mid_write
step=$(part_of alone)
kill -KILL "$(pid_of first)"
wait_exit first
find "$TEST_DIR/alone.faults" -type f -delete
wait_exit alone 60
is "$status" 0 "without stintd a write goes on by itself"
like "$(journal "$TEST_DIR/alone.run" save step landed)" "^$step true" "and lands"
same_weights "$TEST_DIR/alone.bin" "and so does what comes after"

# ---- stintd is killed as well ----------------------------------------------------------------------------------------

daemon second
stop_at both save.mid_write
before=$(step_of "$(newest "$TEST_DIR/both.run")")
kill -KILL "$(pid_of second)"
kill_family KILL both
wait_exit both 30
wait_exit second
go_on both
is "$(restored both)" "$before" "stintd killed as well: the checkpoint before serves"
like "$(journal "$TEST_DIR/both.run" abandoned_part reason)" "not sealed: stintd of node .* was to finish" "and what was left says whose it was"

# ---- who does not want it --------------------------------------------------------------------------------------------

printf 'StagingMemory=512M\nOutliveJobs=no\n' >"$TEST_DIR/stint.conf"
daemon third
stop_at unwanted save.mid_write
before=$(step_of "$(newest "$TEST_DIR/unwanted.run")")
kill_family KILL unwanted
wait_exit unwanted 30
go_on unwanted
is "$(restored unwanted)" "$before" "with OutliveJobs=no nothing is handed over, and nothing waited for"
unlike "$(cat "$TEST_DIR/err")" "waits until" "by nobody"
unlike "$(cat "$TEST_DIR/third.err")" "finished" "nor finished"
kill -TERM "$(pid_of third)"
wait_exit third 20
is "$status" 0 "stintd ends in order"
done_testing
