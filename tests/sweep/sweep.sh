# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/sweep/sweep.sh: what the kill sweeps share. One case is one training: something is killed at one named fault
# point, the next stint carries on, and at the end the weights must be those of a training nobody touched.
#
# The process that reaches the point waits there ("pause" of lib/common/fault.h), so the kill comes at exactly that
# place, whoever it hits.

# shellcheck disable=SC2154  # status comes from tap.sh
sweep_steps=80
sweep_options=()
sweep_train=(train_lm --small --steps "$sweep_steps" --step-ms 5 --eval-every 15 --log-every 0)

reference() # the weights that every case must end with
{
        STINT_DIR=off "${sweep_train[@]}" --out "$TEST_DIR/reference.bin" >"$TEST_DIR/reference.log" 2>&1 ||
                { diag_file "$TEST_DIR/reference.log"; exit 1; }
}

stint_once() # NAME RUN [FAULT]: one stint of RUN in the background
{
        local name=$1 run=$2
        mkdir -p "$run.faults"
        STINT_FAULT=${3-} STINT_FAULT_DIR=$run.faults start "$name" \
                stint run --stint-dir "$run" --stint-interval 60ms --stint-keep 1 "${sweep_options[@]}" -- "${sweep_train[@]}" --out "$run.bin"
}

reached() # RUN: the file of the point at which a process waits
{
        find "$1.faults" -type f ! -name '.*' 2>/dev/null | head -n 1
}

# Whoever took the place of the one that was killed comes to the same point and need not wait there.
is_over_released() # NAME RUN
{
        find "$2.faults" -type f ! -name '.*' -delete
        tap_is_over "$(pid_of "$1")"
}

is_over_or_reached() # NAME RUN
{
        [ -n "$(reached "$2")" ] || tap_is_over "$(pid_of "$1")"
}

by_executable() # NAME EXECUTABLE: ids in that family which run this program
{
        local pid
        for pid in $(family_of "$1"); do
                case $(readlink "/proc/$pid/exe" 2>/dev/null) in
                */"$2") echo "$pid" ;;
                esac
        done
}

has_program() # NAME
{
        [ -n "$(by_executable "$1" train_lm)" ]
}

none_of() # NAME
{
        [ -z "$(family_of "$1")" ]
}

strike() # NAME VICTIM: SIGKILL to one of them, or to all at once
{
        local pids
        case $2 in
        program)
                # The point may be reached while the program is only being started.
                wait_for 60 "the program of $1" has_program "$1" || return 1
                pids=$(by_executable "$1" train_lm)
                ;;
        agent) pids=$(by_executable "$1" stint-agent) ;;
        run) pids=$(pid_of "$1") ;;
        tree) kill_family KILL "$1"; return ;;
        esac
        # shellcheck disable=SC2086  # process ids are words
        [ -n "$pids" ] && kill -KILL $pids 2>/dev/null
}

newest_whole() # RUN: the step of the newest checkpoint that is whole, 0 without one
{
        stint ls "$1" --json | /usr/bin/python3 -c '
import json, sys
print(max((c["step"] for c in json.load(sys.stdin) if c["whole"]), default=0))'
}

restored_step() # RUN STINT: where that stint began; 0 when it began afresh
{
        sed -n "s/.*\"stint\": *$2,.*\"event\": *\"restore\".*\"step\": *\([0-9]*\).*/\1/p" "$1/journal.jsonl" | tail -n 1 | grep . || echo 0
}

# finish NAME RUN: runs stints until the run is DONE, five at most; fails the point when it does not get there.
finish()
{
        local i
        for i in 1 2 3 4 5; do
                [ ! -e "$2/DONE" ] || return 0
                stint_once "$1.$i" "$2"
                wait_exit "$1.$i" 60
        done
        [ -e "$2/DONE" ]
}

# One case. kill_at RUN FAULT VICTIM: starts a stint with that fault armed, strikes, lets the survivors end, carries on.
# Echoes nothing when all is well, else what is wrong.
kill_at()
{
        local run=$1 fault=$2 victim=$3 name point before next
        name=$(basename "$run")
        stint_once "$name" "$run" "$fault:pause${4-}"
        wait_for 60 "$fault to be reached" is_over_or_reached "$name" "$run" || { echo "hangs before the point"; return; }
        point=$(reached "$run")
        if [ -z "$point" ]; then
                wait_exit "$name" 1
                echo "the point was never reached (exit status $status)"
                return
        fi
        before=$(newest_whole "$run")
        strike "$name" "$victim" || { echo "nobody to kill"; return; }
        rm -f "$point"
        # Whoever is left must come to an end by itself: a dead agent is replaced, a dead program ends the stint.
        wait_for 60 "the end of $name" is_over_released "$name" "$run" || :
        wait_exit "$name" 1
        [ "$status" -ne 124 ] || { echo "hangs after the kill"; return; }
        wait_for 15 "the survivors to end" none_of "$name" || { echo "survivors do not end"; return; }
        next=$(($(grep -c '"event": *"start"' "$run/journal.jsonl") + 1))
        finish "$name" "$run" || { echo "does not come to DONE"; return; }
        if [ "$victim" != agent ] && grep -q "\"stint\": *$next,.*\"event\": *\"start\"" "$run/journal.jsonl" &&
                [ "$(restored_step "$run" "$next")" -lt "$before" ]; then
                echo "stint $next began at step $(restored_step "$run" "$next") although step $before was whole"
                return
        fi
        # Who finds the run complete removes what the kill kept its last stint from removing.
        stint_once "$name.done" "$run"
        wait_exit "$name.done" 30
        [ ! -e "$run/checkpoints/slots" ] || { echo "a slot is left for ever"; return; }
        cmp -s "$run.bin" "$TEST_DIR/reference.bin" || { echo "ends with other weights"; return; }
        stint verify "$run" --all >"$run.verify" 2>&1 || { echo "verify: $(tail -n 1 "$run.verify")"; return; }
}

# sweep PREPARE POINT...: every victim at every point. PREPARE RUN makes the run directory ready, or is `:`. Where not all of
# them live at that point, sweep_victims names those that do.
sweep_victims="program agent run tree"
sweep_nth=@2 # in a run that begins here
sweep()
{
        local prepare=$1 point victim run wrong nth
        shift
        reference
        for point in "$@"; do
                for victim in $sweep_victims; do
                        run=$TEST_DIR/$point.$victim
                        # In a run that begins here, the second time: then there is a checkpoint that must survive.
                        nth=
                        [ "$prepare" != : ] || nth=$sweep_nth
                        "$prepare" "$run"
                        wrong=$(kill_at "$run" "$point" "$victim" "$nth")
                        if [ -z "$wrong" ]; then
                                pass "SIGKILL of the $victim at $point${sweep_options[*]:+ (${sweep_options[*]})} loses nothing that had landed"
                        else
                                fail "SIGKILL of the $victim at $point${sweep_options[*]:+ (${sweep_options[*]})} loses nothing that had landed"
                                diag "$wrong"
                                diag_file "$TEST_DIR/$(basename "$run").err" 30
                        fi
                        rm -rf "$run" "$run".* 
                done
        done
}
