# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/tap.sh: what every flow test begins with. It counts points as TAP, gives the test a folder of its own, puts the
# programs just built first in PATH, starts programs in the background, waits for events, and leaves no process behind.
#
#       #!/bin/bash
#       set -eu
#       . "$(dirname "$0")/../tap.sh"
#       start run stint run --dir "$TEST_DIR/run" -- train_lm
#       wait_for 30 "the first checkpoint" test -d "$TEST_DIR"/run/checkpoints/step-*
#       kill -KILL "$started_pid"
#       wait_exit run; is "$status" 137 "was_killed"
#       done_testing
#
# By hand, from anywhere, `bash tests/flow/NAME.sh` uses what `dev/test` built, or the folder in TEST_BUILD.
# TEST_KEEP=1 keeps the folder of the test.

if [ -z "${TEST_RUNNER-}" ]; then
        # By hand: the surroundings that tests/run-test makes, and then once more from the first line.
        tap_source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
        export TEST_BUILD="${TEST_BUILD:-${STINT_BUILD:-$tap_source/build}/test-gcc}"
        exec bash "$tap_source/tests/run-test" bash "$0" "$@"
fi
unset TEST_RUNNER

# A short path: sockets lie in it, and their names end at 107 bytes.
TEST_DIR=$(mktemp -d "${TMPDIR:-/tmp}/stint.XXXXXX")
# In the environment of every program that this test starts, and of whatever those start, wherever they go.
TEST_MARK=$TEST_DIR
export TEST_DIR TEST_MARK
mkdir "$TEST_DIR/.tap" "$TEST_DIR/tmp" "$TEST_DIR/home"
mkdir -m 700 "$TEST_DIR/xdg"
export TMPDIR=$TEST_DIR/tmp HOME=$TEST_DIR/home XDG_RUNTIME_DIR=$TEST_DIR/xdg
export PATH="$TEST_BUILD/client:$TEST_BUILD/agent:$TEST_BUILD/examples:$TEST_BUILD/tests/programs:$PATH"
export STINT_LIBEXEC_DIR=$TEST_BUILD/agent

tap_points=0       # points printed so far
tap_failed=0       # of these, not ok
tap_planned=       # the plan, once it was printed
declare -A tap_pid # name given to `start` -> process id, while it was not waited for
tap_names=()       # every name given to `start`, in order
started_pid=       # set by start
status=            # set by wait_exit and run

# ---- points ----------------------------------------------------------------------------------------------------------

diag() # TEXT...: each line becomes a comment of the log
{
        printf '%s\n' "$*" | sed 's/^/# /'
}

diag_file() # FILE [LINES]: the end of a file as comments
{
        [ -e "$1" ] || return 0
        diag "the end of ${1##*/}:"
        tail -n "${2:-40}" "$1" | tr -d '\000' | sed 's/^/#   /'
}

plan() # N: how many points will come; tests that cannot know end with done_testing instead
{
        tap_planned=$1
        echo "1..$1"
}

skip_all() # REASON: the test cannot run here
{
        echo "1..0 # SKIP $*"
        tap_planned=0
        exit 0
}

pass() # NAME
{
        tap_points=$((tap_points + 1))
        echo "ok $tap_points - $*"
}

fail() # NAME
{
        tap_points=$((tap_points + 1))
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_points - $*"
}

skip() # REASON NAME
{
        tap_points=$((tap_points + 1))
        echo "ok $tap_points - $2 # SKIP $1"
}

ok() # NAME COMMAND [ARGUMENT...]: passes when the command exits with 0
{
        local name=$1 rc=0
        shift
        "$@" >"$TEST_DIR/.tap/ok" 2>&1 || rc=$?
        if [ "$rc" -eq 0 ]; then
                pass "$name"
        else
                fail "$name"
                diag "exit status $rc of: $*"
                diag_file "$TEST_DIR/.tap/ok"
        fi
}

not_ok() # NAME COMMAND [ARGUMENT...]: passes when the command exits with 1 to 123, which no kill and no missing program does
{
        local name=$1 rc=0
        shift
        "$@" >"$TEST_DIR/.tap/ok" 2>&1 || rc=$?
        if [ "$rc" -ge 1 ] && [ "$rc" -le 123 ]; then
                pass "$name"
        else
                fail "$name"
                diag "exit status $rc of: $*"
                diag_file "$TEST_DIR/.tap/ok"
        fi
}

is() # GOT EXPECTED NAME
{
        if [ "$1" = "$2" ]; then
                pass "$3"
        else
                fail "$3"
                diag "got:      $1"
                diag "expected: $2"
        fi
}

isnt() # GOT UNEXPECTED NAME
{
        if [ "$1" != "$2" ]; then
                pass "$3"
        else
                fail "$3"
                diag "got just what it must not be: $1"
        fi
}

like() # TEXT EXTENDED_REGEX NAME: passes when a line of the text matches
{
        if grep -Eq -e "$2" <<<"$1"; then
                pass "$3"
        else
                fail "$3"
                diag "no line matches: $2"
                diag "$1"
        fi
}

unlike() # TEXT EXTENDED_REGEX NAME
{
        if ! grep -Eq -e "$2" <<<"$1"; then
                pass "$3"
        else
                fail "$3"
                diag "a line matches: $2"
                diag "$1"
        fi
}

done_testing() # the last line of a test without a plan
{
        if [ "$tap_points" -eq 0 ]; then
                echo "Bail out! the test ended without one point"
                exit 1
        fi
        plan "$tap_points"
}

# ---- programs --------------------------------------------------------------------------------------------------------

run() # COMMAND [ARGUMENT...]: in the foreground; sets status, output goes to $TEST_DIR/out and $TEST_DIR/err
{
        status=0
        "$@" >"$TEST_DIR/out" 2>"$TEST_DIR/err" </dev/null || status=$?
}

start() # NAME COMMAND [ARGUMENT...]: in the background; sets started_pid, output goes to $TEST_DIR/NAME.out and NAME.err
{
        local name=$1
        shift
        TEST_FAMILY=$TEST_DIR/$name "$@" >"$TEST_DIR/$name.out" 2>"$TEST_DIR/$name.err" </dev/null &
        started_pid=$!
        tap_pid[$name]=$started_pid
        tap_names+=("$name")
        # Until it is the program, it is a copy of this shell, and a signal sent now would meet the traps of this shell.
        until tap_is_over "$started_pid" || grep -qzxFs -e "TEST_FAMILY=$TEST_DIR/$name" "/proc/$started_pid/environ"; do
                sleep 0.01
        done
}

pid_of() # NAME: the process id of what `start NAME` started
{
        echo "${tap_pid[$1]}"
}

wait_exit() # NAME [SECONDS]: until it ended; sets status. It is killed, with status 124, when it has not by then
{
        local pid=${tap_pid[$1]} late=0
        wait_for "${2:-120}" "the end of $1" tap_is_over "$pid" || late=1
        if [ "$late" -eq 1 ]; then
                diag_file "$TEST_DIR/$1.err"
                kill -KILL "$pid" 2>/dev/null || :
        fi
        status=0
        wait "$pid" 2>/dev/null || status=$?
        [ "$late" -eq 0 ] || status=124
        unset "tap_pid[$1]"
}

tap_is_over() # PID: it is gone, or a zombie that only waits for us
{
        local line
        read -r line 2>/dev/null <"/proc/$1/stat" || return 0
        line=${line##*) }
        case $line in
        Z* | X*) return 0 ;;
        esac
        return 1
}

tap_marked() # NAME VALUE: ids of the processes that have NAME=VALUE in their environment
{
        local file
        # grep itself must not carry the mark. A process may end while it is looked at, which is no error.
        { env -u TEST_MARK -u TEST_FAMILY grep -lzxFs -e "$1=$2" /proc/[0-9]*/environ || :; } | while IFS=/ read -r _ _ file _; do
                echo "$file"
        done
}

family_of() # NAME: ids of what `start NAME` started and of everything that came from it, whatever session it is in
{
        tap_marked TEST_FAMILY "$TEST_DIR/$1"
}

kill_family() # SIGNAL NAME: the whole tree at once, as the end of a job does. Members that are born meanwhile are found too
{
        local pids
        # Stopped first, so that none of them sees the others die and acts on it.
        if [ "$1" = KILL ]; then
                pids=$(family_of "$2")
                # shellcheck disable=SC2086
                [ -z "$pids" ] || kill -STOP $pids 2>/dev/null || :
        fi
        while pids=$(family_of "$2") && [ -n "$pids" ]; do
                # shellcheck disable=SC2086
                kill "-$1" $pids 2>/dev/null || :
                [ "$1" = KILL ] || break
        done
}

# ---- events ----------------------------------------------------------------------------------------------------------

# wait_for SECONDS WHAT COMMAND [ARGUMENT...]: returns 0 as soon as the command exits with 0, looked at 20 times a second;
# 1, with WHAT in the log, when it has not within SECONDS. Be generous: a limit is for what hangs, not for what is slow.
wait_for()
{
        local seconds=$1 what=$2 until
        shift 2
        until=$((SECONDS + seconds + 1))
        while ! "$@" >/dev/null 2>&1; do
                if [ "$SECONDS" -ge "$until" ]; then
                        diag "waited $seconds s in vain for $what"
                        return 1
                fi
                sleep 0.05
        done
}

wait_for_line() # SECONDS FILE EXTENDED_REGEX: until a line of the file matches
{
        wait_for "$1" "a line like '$3' in ${2##*/}" grep -Eqs -e "$3" "$2" || {
                diag_file "$2"
                return 1
        }
}

wait_for_file() # SECONDS FILE
{
        wait_for "$1" "$2" test -e "$2"
}

# ---- the end ---------------------------------------------------------------------------------------------------------

tap_none_left()
{
        [ -z "$(tap_marked TEST_MARK "$TEST_MARK")" ]
}

tap_kill_left() # kills what still runs, and says whether there was any
{
        local pid left=1
        for pid in $(tap_marked TEST_MARK "$TEST_MARK"); do
                left=0
                diag "left behind: process $pid: $(tr '\000' ' ' 2>/dev/null <"/proc/$pid/cmdline" || :)"
                kill -KILL "$pid" 2>/dev/null || :
        done
        return "$left"
}

tap_end()
{
        local rc=$? name
        trap - EXIT
        # A child of this shell that a signal met before it was a program.
        [ "$BASHPID" = "$$" ] || exit "$rc"
        set +e
        if [ "$rc" -ne 0 ]; then
                diag "the test ended early, with exit status $rc"
        elif [ -z "$tap_planned" ]; then
                diag "the test ended without done_testing"
                rc=1
        else
                # What was started may take a moment to end by itself; what has not by then was left behind.
                wait_for 15 "the last process of the test to end" tap_none_left || rc=1
        fi
        while tap_kill_left; do
                sleep 0.05
        done
        if [ "$rc" -ne 0 ] || [ "$tap_failed" -ne 0 ]; then
                for name in "${tap_names[@]}"; do
                        diag_file "$TEST_DIR/$name.out" 20
                        diag_file "$TEST_DIR/$name.err" 40
                done
        fi
        cd /
        if [ -n "${TEST_KEEP-}" ]; then
                diag "kept: $TEST_DIR"
        else
                rm -rf "$TEST_DIR"
        fi
        exit "$rc"
}
trap tap_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cd "$TEST_DIR" || exit 1
