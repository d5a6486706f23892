# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/security/security.sh: what the stories about strangers share. Three ordinary users on one node: a victim, who trains; an
# intruder, who may do whatever an ordinary user can; and the one that stintd runs as. Their accounts need not exist.
#
#       . "$(dirname "$0")/../tap.sh"
#       . "$TEST_SOURCE/tests/security/security.sh"
#       security_users
#       train 2000 --stint-interval 300ms            # the victim's training, in $run
#       attack noise churn "@$agent_name" junk       # the intruder's program, until `cease noise`
#       ...
#       done_testing
. "$TEST_SOURCE/tests/flow/flow.sh"

# ---- users -----------------------------------------------------------------------------------------------------------

# Sets as_victim, as_intruder and as_daemon: what goes before a command of theirs; and their folders. The uids are this
# test's own, so that two that run at once are strangers too.
security_users()
{
        local base=$((50000 + $$ % 3000 * 3))
        [ "$(id -u)" -eq 0 ] || skip_all "two users need root, who can be both"
        command -v setpriv >/dev/null || skip_all "setpriv is not here"
        chmod 711 "$TEST_DIR"
        # The build may lie where only its owner can look.
        mkdir -m 755 "$TEST_DIR/bin" "$TEST_DIR/libexec" "$TEST_DIR/run"
        install -m 755 "$TEST_BUILD/client/stint" "$TEST_BUILD/daemon/stintd" "$TEST_BUILD/examples/train_lm" \
                "$TEST_BUILD/tests/programs/intruder" "$TEST_BUILD/tests/programs/traitor" "$TEST_BUILD/tests/programs/stintd_peer" "$TEST_DIR/bin"
        install -m 755 "$TEST_BUILD/agent/stint-agent" "$TEST_DIR/libexec"
        install -m 755 "$TEST_BUILD/tests/programs/whose_stand_in" "$TEST_DIR/libexec/stint-slurm"
        victim_uid=$((base + 0)) intruder_uid=$((base + 1)) daemon_uid=$((base + 2))
        as_victim=() as_intruder=() as_daemon=()
        a_user as_victim victim $victim_uid
        a_user as_intruder intruder $intruder_uid
        a_user as_daemon daemon $daemon_uid
        victim=$TEST_DIR/victim intruder=$TEST_DIR/intruder
        chown "$daemon_uid" "$TEST_DIR/run"
        daemon_socket=$TEST_DIR/run/stintd.sock
        run=$victim/run.stint
}

a_user() # ARRAY NAME UID
{
        local -n words=$1
        install -d -m 700 -o "$3" -g "$3" "$TEST_DIR/$2" "$TEST_DIR/$2/tmp"
        words=(setpriv --reuid "$3" --regid "$3" --clear-groups -- env -C "$TEST_DIR/$2" HOME="$TEST_DIR/$2" TMPDIR="$TEST_DIR/$2/tmp"
                XDG_RUNTIME_DIR="$TEST_DIR/$2" PATH="$TEST_DIR/bin:/usr/bin:/bin" STINT_LIBEXEC_DIR="$TEST_DIR/libexec"
                STINT_DAEMON_SOCKET="$TEST_DIR/run/stintd.sock")
}

# ---- the victim ------------------------------------------------------------------------------------------------------

security_train=(train_lm --small --eval-every 0 --step-ms 5 --log-every 10)

# train STEPS [OPTION of stint run...]: begins the victim's training, called `victim`, and waits until it is on its way. Sets
# agent_name and verb_name, the sockets it is found under, and agent_pid and run_pid.
train()
{
        local steps=$1
        shift
        start victim "${as_victim[@]}" stint run --stint-dir "$run" "$@" -- "${security_train[@]}" --steps "$steps" --out "$victim/trained.bin"
        wait_for 60 "the victim's training" steps_are 20 || { diag_file "$TEST_DIR/victim.err"; exit 1; }
        run_pid=$(pid_of victim)
        agent_pid=$(by_executable victim stint-agent | head -n 1)
        agent_name=$(intruder names "stint-$victim_uid-" | head -n 1)
        verb_name=$(intruder names "stint-run-$victim_uid-" | head -n 1)
}

# The same training that nobody disturbs, in $TEST_DIR/reference.bin: as root, in the background. end_reference waits for it.
train_reference() # STEPS
{
        start reference env STINT_DIR=off "${security_train[@]}" --step-ms 0 --steps "$1" --out "$TEST_DIR/reference.bin"
}

# The victim's training comes to its end, with the right weights, in whole checkpoints.
train_ends_well() # NAME
{
        wait_exit victim 180
        is "$status" 0 "$1: the victim's training is complete"
        wait_exit reference 120
        same_weights "$victim/trained.bin" "$1: its weights are those of a training that nobody disturbed"
        ok "$1: every checkpoint of it holds" "${as_victim[@]}" stint verify "$run" --all
        is "$(count_events "$run" save "$failed")" 0 "$1: no save of it failed"
}

steps_made()
{
        # shellcheck disable=SC2016
        sed -n 's/^step *\([0-9][0-9]*\).*/\1/p' "$TEST_DIR/victim.out" | tail -n 1
}

steps_are() # STEP: the victim is there, or further
{
        local step
        step=$(steps_made)
        [ "${step:-0}" -ge "$1" ]
}

# pace STEPS: how long the victim takes for so many more, in milliseconds
pace()
{
        local begun
        wait_for 60 "a step" steps_are $(($(steps_made) + 10)) || return 1
        begun=$(date +%s%N)
        wait_for 120 "$1 steps" steps_are $(($(steps_made) + $1)) || return 1
        echo $((($(date +%s%N) - begun) / 1000000))
}

# A machine with few processors shares them among all users, whatever the programs do. What this is to find is a victim that
# is stopped, waits for its attacker, or crawls.
not_slowed() # BEFORE AFTER NAME: times from pace
{
        diag "$3: $1 ms before, $2 ms under attack"
        ok "$3: it trains on at its pace" test "$2" -le $(($1 * 3 + 500))
}

# ---- the intruder ----------------------------------------------------------------------------------------------------

attack() # NAME ARGUMENT of intruder...: in the background, until cease
{
        start "$1" "${as_intruder[@]}" intruder "${@:2}"
}

cease() # NAME: sets said to its last line
{
        kill -TERM "$(pid_of "$1")" 2>/dev/null || :
        wait_exit "$1" 30
        said=$(tail -n 1 "$TEST_DIR/$1.out")
        diag "$1: $said"
}

intruder_run() # ARGUMENT of intruder...: to its end; sets said to its last line
{
        run "${as_intruder[@]}" intruder "$@"
        said=$(tail -n 1 "$TEST_DIR/out")
        diag "intruder $1: $said $(head -n 3 "$TEST_DIR/err")"
}

# nothing_answered NAME: what the intruder last said was refused or cut off, every single time
nothing_answered()
{
        like "$said" '^said [1-9][0-9]*, refused [0-9]+, closed [0-9]+, silent 0, answered\.$' "$1"
}

churned() # TIMES NAME: the attack that ceased last came so often, or it was none
{
        local times
        times=$(sed -n 's/^came \([0-9]*\) times and said \([0-9]*\) .*/\1 + \2/p' <<<"$said")
        ok "$2" test "$((${times:-0}))" -ge "$1"
}

# ---- what a process holds --------------------------------------------------------------------------------------------

descriptors_of() # PID
{
        find "/proc/$1/fd" -type l 2>/dev/null | wc -l
}

memory_of() # PID: KiB that it holds of its own
{
        sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}

holds_at_most() # PID DESCRIPTORS KIB
{
        [ "$(descriptors_of "$1")" -le "$2" ] && [ "$(memory_of "$1")" -le "$3" ]
}

# not_grown PID DESCRIPTORS KIB NAME: since these were taken, but for what one connection more may need
not_grown()
{
        wait_for 15 "what is closed to be gone" holds_at_most "$1" $(($2 + 2)) $(($3 + 4096)) || :
        diag "process $1: $2 descriptors and $3 KiB before, $(descriptors_of "$1") and $(memory_of "$1") after"
        ok "$4" holds_at_most "$1" $(($2 + 2)) $(($3 + 4096))
}

# said_at_most TIMES FILE REGEX NAME
said_at_most()
{
        local times
        times=$(grep -Ec -e "$3" "$2" || :)
        if [ "$times" -le "$1" ]; then
                pass "$4"
        else
                fail "$4"
                diag "said $times times: $(grep -Em1 -e "$3" "$2")"
        fi
}

# Only newlines and tabs of what must not be there; and whole characters.
is_clean() # FILE
{
        [ -s "$1" ] && ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$1" && iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1 &&
                ! grep -qP '[\x{80}-\x{9f}]' "$1"
}

# ---- stintd ----------------------------------------------------------------------------------------------------------

# daemon NAME: starts stintd with what stands in $TEST_DIR/stint.conf, waits until it serves; sets daemon_pid and daemon_log.
# Whose job a process is stands in $TEST_DIR/jobs, see whose_stand_in.
daemon()
{
        touch "$TEST_DIR/jobs" "$TEST_DIR/stint.conf"
        chmod 644 "$TEST_DIR/jobs" "$TEST_DIR/stint.conf"
        start "$1" "${as_daemon[@]}" SLURM_CONF="$TEST_DIR/jobs" "$TEST_DIR/bin/stintd" --config "$TEST_DIR/stint.conf" --socket "$daemon_socket" --node n1
        daemon_pid=$started_pid
        daemon_log=$TEST_DIR/$1.err
        wait_for_line 10 "$daemon_log" "ready on node n1"
}

# ask UID-ARRAY WORD...: one request to stintd as that user; prints the answer
ask()
{
        local -n whom=$1
        shift
        "${whom[@]}" timeout 20 bash -c '
                coproc peer { exec stintd_peer "$0"; }
                echo "$*" >&"${peer[1]}"
                while read -r line <&"${peer[0]}"; do
                        echo "$line"
                        case $line in DONE* | REFUSED* | closed | cannot*) break ;; esac
                done
                echo quit >&"${peer[1]}"' "$daemon_socket" "$@" 2>/dev/null || :
}
