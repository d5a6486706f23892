#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/security/stintd.sh: two users and one stintd. Whatever the second does to its socket, the first one's agent is told
# when to save, has its memory, and trains; stintd lives, says it once, grows by nothing, and serves third persons.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/security/security.sh"
security_users
cat >"$TEST_DIR/stint.conf" <<'CONF'
StagingMemory=256M
StagingMemoryPerUser=64M
MessagesPerSecond=200
MaxConnections=256
CONF
echo "0 4711 $victim_uid" >"$TEST_DIR/jobs" # every process of the victim is in job 4711, and nobody else is in one
daemon first
train 1000000 --stint-interval 500ms
wait_landed "$run" 2
wait_for_line 10 "$daemon_log" "job 4711: idle -> training"
pass "the victim's agent is served as job 4711"
unlike "$(cat "$TEST_DIR/victim.err")" "staging is made of the job's own memory" "with stintd's memory"
daemon_fds=$(descriptors_of "$daemon_pid") daemon_kib=$(memory_of "$daemon_pid")
before=$(pace 100)

# shellcheck disable=SC2034  # for ask
as_root=(env PATH="$TEST_DIR/bin:/usr/bin:/bin")

lives() # NAME
{
        ok "$1: stintd lives" test "$(readlink "/proc/$daemon_pid/exe")" = "$TEST_DIR/bin/stintd"
        like "$(ask as_victim request list)" "^JOB '4711' uid $victim_uid " "$1: and answers others"
        not_grown "$daemon_pid" "$daemon_fds" "$daemon_kib" "$1: and has not grown"
}

# ---- who sees and orders what ----------------------------------------------------------------------------------------

like "$(ask as_victim request list)" "^JOB '4711' uid $victim_uid " "the owner sees his job"
answer=$(ask as_intruder request list)
is "$answer" "$(printf 'connected\nDONE 0 0')" "another user sees nothing"
for word in save drain list; do
        like "$(ask as_intruder request "$word" 4711)" '^DONE 3 0 no job 4711 of yours' "$word of another's job is refused like one of a job that there is not"
        is "$(ask as_intruder request "$word" 4711 | sed 's/4711/9999/')" "$(ask as_intruder request "$word" 9999)" "$word: in the same words"
        [ "$word" = list ] || like "$(ask as_intruder request "$word")" '^DONE 0 0' "$word of all jobs is one of his own, and he has none"
done
unlike "$(cat "$daemon_log")" "was asked for|is to save" "nothing was ordered"
like "$(ask as_root request list)" "^JOB '4711' uid $victim_uid" "root sees every job"
unlike "$(cat "$TEST_DIR/victim.err")" '\((user|drain)\)' "and the victim heard of none of it"
"${as_intruder[@]}" bash -c 'rm -f "$0/stintd.sock"; : >"$0/new"; mv "$0/stintd.sock.lock" "$0/old"' "$TEST_DIR/run" 2>/dev/null || :
is "$(find "$TEST_DIR/run" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ')" "stintd.sock stintd.sock.lock " "he can neither take the socket away nor put another there"
closed=
for pid in "$daemon_pid" "$agent_pid" "$run_pid" $(by_executable victim train_lm); do
        ! "${as_intruder[@]}" bash -c 'ls "/proc/$0/fd/" || cat "/proc/$0/environ" || : <"/proc/$0/mem"' "$pid" >/dev/null 2>&1 || closed="$closed $pid"
done
is "$closed" "" "no descriptor, no page and no environment of these processes is open to him"
is "$("${as_victim[@]}" find "$run" -perm /022 ! -type l)" "" "and nothing of the run can be written by others"

# ---- lies ------------------------------------------------------------------------------------------------------------

intruder_run says "$daemon_socket"
# A plan and a saving after a hello are right, and have no answer, when their sender is not over his limit by then.
like "$said" '^said [1-9][0-9]+, refused [0-9]+, closed [1-9][0-9]*, silent [0-2], answered( DAEMON_WELCOME| DAEMON_DONE)*\.$' \
        "every message is answered as its sender deserves, or ends the connection"
lives "every kind of message"
intruder_run descriptors "$daemon_socket"
nothing_answered "descriptors of all kinds end the connection"
lives "descriptors"
like "$(ask as_intruder memory 4096)" "^REFUSED 1 .*belongs to no job" "who is in no job has no memory, whatever the node has"

# The process that was in a job has ended; another one has its connection. Its number may be anybody's by now.
mkfifo -m 644 "$TEST_DIR/heir.in"
# shellcheck disable=SC2016
start heir "${as_intruder[@]}" bash -c 'exec intruder heir "$1" <"$2"' - "$daemon_socket" "$TEST_DIR/heir.in"
exec 9>"$TEST_DIR/heir.in"
wait_for_line 10 "$TEST_DIR/heir.out" '^process'
echo "$(sed -n 's/^process //p' "$TEST_DIR/heir.out") 4712 $intruder_uid" >>"$TEST_DIR/jobs"
echo go >&9
exec 9>&-
wait_for_line 20 "$TEST_DIR/heir.out" '^said'
is "$(tail -n 1 "$TEST_DIR/heir.out")" "said 1, refused 0, closed 1, silent 0, answered." "who has the connection of a process that has ended is not taken for it"
wait_exit heir 10

# ---- writes that are handed over -------------------------------------------------------------------------------------

# The intruder has a job too, and memory for it: what he hands over must be his own, and what it costs stintd has an end.
in_job() # NAME COMMAND...: as the intruder, with a script from descriptor 9, in job 4713
{
        mkfifo -m 644 "$TEST_DIR/$1.in"
        # shellcheck disable=SC2016
        start "$1" "${as_intruder[@]}" bash -c 'echo $$; exec stintd_peer "$0" <"$1"' "$daemon_socket" "$TEST_DIR/$1.in"
        exec 9>"$TEST_DIR/$1.in"
        wait_for_line 10 "$TEST_DIR/$1.out" '^connected'
        echo "$(sed -n 1p "$TEST_DIR/$1.out") 4713 $intruder_uid" >>"$TEST_DIR/jobs"
        echo "memory 1048576" >&9
        wait_for_line 10 "$TEST_DIR/$1.out" '^GRANT ready'
        echo map >&9
}
out_of_job() # NAME
{
        echo quit >&9
        exec 9>&-
        wait_exit "$1" 20
}
install -m 666 -o "$victim_uid" /dev/null "$TEST_DIR/victims.h5"
install -m 666 -o "$victim_uid" /dev/null "$TEST_DIR/victims.seal"
for which in h5 seal; do
        in_job "hands-$which"
        if [ "$which" = h5 ]; then
                echo "handover $TEST_DIR/victims.h5 $intruder/a.seal 5000" >&9
        else
                echo "handover $intruder/b.h5 $TEST_DIR/victims.seal 5000" >&9
        fi
        wait_for_line 10 "$TEST_DIR/hands-$which.out" '^DONE 0 1'
        out_of_job "hands-$which"
        ok "a $which of another user's, which he may write to himself, is not written by stintd" \
                wait_for_line 10 "$daemon_log" "job 4713: .*not finished: (the file|its seal) belongs to uid $victim_uid"
done
is "$(wc -c <"$TEST_DIR/victims.h5")" 0 "and nothing is in it"
in_job scribbler # his own file, while his other process writes on in the staging: it is his own checkpoint that he spoils
echo "handover $intruder/c.h5 $intruder/c.seal 20000" >&9
wait_for_line 10 "$TEST_DIR/scribbler.out" '^DONE 0 1'
out_of_job scribbler
ok "his own is" wait_for_line 10 "$daemon_log" "job 4713: step 8, rank 0 of 1: finished"
in_job many
for _ in $(seq 300); do printf 'handover %s/d.h5 %s/d.seal 5000\nsealed 0\n' "$intruder" "$intruder"; done >&9
ok "hundreds of hand-overs are heard one after another" wait_for 60 "300 answers" bash -c "[ \$(grep -c '^DONE 0 1' '$TEST_DIR/many.out') -ge 300 ]"
echo "handover $intruder/d.h5 $intruder/d.seal 5000" >&9
echo "handover $intruder/d.h5 $intruder/d.seal 5000" >&9
ok "two at once are refused" wait_for_line 10 "$TEST_DIR/many.out" '^DONE 16 0 '
echo "descriptor" >&9
ok "and descriptors that nobody asked for end the line" wait_for_line 10 "$TEST_DIR/many.out" '^closed'
out_of_job many
lives "hundreds of hand-overs and what nobody asked for"

# ---- floods ----------------------------------------------------------------------------------------------------------

# Beside the victim's agent there is one whose deadline comes soon: its save is ordered in time.
in_time() # NAME
{
        # shellcheck disable=SC2016
        run "${as_victim[@]}" timeout 30 bash -c '
                coproc peer { exec stintd_peer "$0"; }
                printf "hello\nplan 2500 1500 1\n" >&"${peer[1]}"
                while read -r line <&"${peer[0]}"; do
                        case $line in TRIGGER*) echo "$line"; break ;; closed | cannot*) break ;; esac
                done
                echo quit >&"${peer[1]}"' "$daemon_socket"
        like "$(cat "$TEST_DIR/out")" '^TRIGGER time limit left (1[0-9]{3}|[5-9][0-9]{2}) ms' "$1: a save whose time has come is ordered"
}

flood() # WORD...: all of these at once, from the intruder
{
        local word under saves
        saves=$(count_events "$run" save "$landed")
        for word; do
                attack "$word" churn "$daemon_socket" "$word"
                wait_for_line 10 "$TEST_DIR/$word.out" begins
        done
        under=$(pace 100)
        in_time "$*"
        like "$(ask as_root request list)" "^JOB '4711' uid $victim_uid" "$*: an admin looks meanwhile"
        wait_landed "$run" $((saves + 2))
        for word; do
                cease "$word"
                churned 20 "$word: this was a flood"
        done
        not_slowed "$before" "$under" "$*"
        lives "$*"
}
flood connect junk
flood hello jobs
flood deaf memory

attack hold hold "$daemon_socket" 400
wait_for_line 30 "$TEST_DIR/hold.out" '^of 400 connections'
like "$(cat "$TEST_DIR/hold.out")" '^of 400 connections ([0-9]|[1-5][0-9]|6[0-4]) are open' "one user has so many connections and no more"
in_time "all his connections taken"
like "$(ask as_victim request list)" "^JOB '4711'" "and others still have theirs"
wait_for_line 30 "$TEST_DIR/hold.out" '^0 are open at the end'
pass "who says nothing is sent away"
wait_exit hold 10
lives "400 silent connections"

# ---- stintd is killed, again and again -------------------------------------------------------------------------------

attack junk churn "$daemon_socket" connect
saves=$(count_events "$run" save "$landed")
for name in second third fourth; do
        kill -KILL "$daemon_pid"
        wait_for 10 "its end" tap_is_over "$daemon_pid"
        daemon "$name"
        wait_for_line 60 "$daemon_log" "job 4711: stint 1 of run .* is here"
done
wait_landed "$run" $((saves + 1))
pass "killed under attack, it comes back, and so does the victim's agent"
cease junk

# ---- an impostor -----------------------------------------------------------------------------------------------------

# Where everybody may make a socket, whoever made it is nobody.
mkdir -m 1777 "$TEST_DIR/open"
chmod 1777 "$TEST_DIR/open"
start impostor "${as_intruder[@]}" intruder squat "$TEST_DIR/open/stintd.sock"
wait_for_line 10 "$TEST_DIR/impostor.out" '^sits on 1'
chmod 666 "$TEST_DIR/open/stintd.sock"
run "${as_victim[@]}" STINT_DAEMON_SOCKET="$TEST_DIR/open/stintd.sock" stint run --stint-dir "$victim/other.stint" --stint-interval 200ms -- \
        "${security_train[@]}" --steps 200 --out "$victim/other.bin"
is "$status" 0 "a training that finds an impostor in the place of stintd goes to its end"
is "$(journal "$victim/other.stint" end why)" complete "and is not drained by him"
like "$(cat "$TEST_DIR/err")" "stintd is not there.*uid $intruder_uid" "the owner is told who is there"
like "$(cat "$TEST_DIR/impostor.out")" "^uid $victim_uid came" "the impostor saw it come"
unlike "$(cat "$TEST_DIR/impostor.out")" "said" "and was told nothing"
cease impostor

# ---- what is left of it all ------------------------------------------------------------------------------------------

for log in first second third fourth; do
        ok "$log: what is logged is one line each, of characters" is_clean "$TEST_DIR/$log.err"
        is "$(grep -vc '^stintd: ' "$TEST_DIR/$log.err" || :)" 0 "$log: and each line is stintd's own"
        said_at_most 40 "$TEST_DIR/$log.err" "uid $intruder_uid" "$log: the intruder is not spoken of a thousand times"
done
like "$(cat "$TEST_DIR/first.err")" "uid $intruder_uid" "but he is spoken of"
run "${as_victim[@]}" stint save --stop "$run"
is "$status" 0 "the owner stops his training"
wait_exit victim 60
like "$(journal "$run" end verdict)" '^saved step ' "with a last save"
is "$(count_events "$run" save "$failed")" 0 "and none before it failed"
ok "and every checkpoint holds" "${as_victim[@]}" stint verify "$run" --all
kill -TERM "$daemon_pid"
wait_exit fourth 20
is "$status" 0 "and stintd ends in order after all of it"
done_testing
