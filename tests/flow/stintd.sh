#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/stintd.sh: the daemon without a Slurm: its settings and its door, agents and verbs as a script plays them, their
# enemies, memory, and real agents that lose it and find it again. Whose job a process is, a stand-in for stint-slurm says.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

export PATH="$TEST_BUILD/daemon:$PATH"
chmod 711 "$TEST_DIR" # another user is to reach the socket
mkdir -m 755 "$TEST_DIR/run"
mkdir "$TEST_DIR/libexec"
ln -s "$TEST_BUILD/tests/programs/whose_stand_in" "$TEST_DIR/libexec/stint-slurm"
cp "$TEST_BUILD/tests/programs/stintd_peer" "$TEST_DIR/stintd_peer"
chmod 755 "$TEST_DIR/stintd_peer"
socket=$TEST_DIR/run/stintd.sock
jobs=$TEST_DIR/jobs # what the stand-in answers
: >"$jobs"
cat >"$TEST_DIR/stint.conf" <<'END'
# of this test
StagingMemory = 8M
StagingMemoryPerUser = 6M
MaxConnectionsPerUser = 6
LogLevel = debug
END

daemon() # NAME [OPTION...]: starts one, and waits until it serves
{
        local name=$1
        shift
        STINT_LIBEXEC_DIR=$TEST_DIR/libexec SLURM_CONF=$jobs start "$name" \
                stintd --config "$TEST_DIR/stint.conf" --socket "$socket" --node n1 --exit-with-parent "$@"
        wait_for_line 10 "$TEST_DIR/$name.err" "ready on node n1"
}

declare -A peer_in
peer() # NAME [COMMAND...]: the other end of a connection, which `say NAME` makes speak; its process is $started_pid
{
        local name=$1 fd
        shift
        mkfifo "$TEST_DIR/$name.in"
        start "$name" "$@" bash -c 'exec "$0" "$1" <"$2"' "$TEST_DIR/stintd_peer" "$socket" "$TEST_DIR/$name.in"
        exec {fd}>"$TEST_DIR/$name.in"
        peer_in[$name]=$fd
        wait_for_line 10 "$TEST_DIR/$name.out" '^(connected|cannot connect)'
}

say() # NAME WORD...
{
        echo "${@:2}" >&"${peer_in[$1]}"
}

heard() # NAME REGEX TEXT: passes when it hears such a line within ten seconds
{
        ok "$3" wait_for_line 10 "$TEST_DIR/$1.out" "$2"
}

leave() # NAME
{
        local fd=${peer_in[$1]}
        say "$1" quit # others that were started since have this end of its stdin too, so it does not end by itself
        exec {fd}>&-
        wait_exit "$1" 10
        rm "$TEST_DIR/$1.in"
}

logged() # REGEX TEXT: by the daemon that runs now
{
        ok "$2" wait_for_line 10 "$TEST_DIR/$daemon_name.err" "$1"
}

# ---- settings --------------------------------------------------------------------------------------------------------

run stintd --check-config --config "$TEST_SOURCE/systemd/stint.conf"
is "$status" 0 "the settings that are shipped hold"
shipped=$(cat "$TEST_DIR/out")
: >"$TEST_DIR/empty.conf"
run stintd --check-config --config "$TEST_DIR/empty.conf"
is "$(cat "$TEST_DIR/out")" "$shipped" "and are the defaults"
is "$(sed -n 's/^#\([A-Z][A-Za-z]*=.*\)/\1/p' "$TEST_SOURCE/systemd/stint.conf")" "$(stintd --help | sed -n 's/^  \([A-Z][A-Za-z]*=[^ ]*\) (.*/\1/p')" \
        "every one is in the file, with its default"
words() # FILE: as one line of single spaces, without the marks of a manual page or of comments
{
        sed -e 's/^#//' -e 's/^\.[A-Z][a-z] //' -e 's/\\&//g' "$1" | tr -s ' \n' ' '
}
strange=
while read -r sentence; do
        for file in docs/man/stint.conf.5 systemd/stint.conf; do
                case $(words "$TEST_SOURCE/$file") in
                *"$sentence"*) ;;
                *) strange="$strange$file: $sentence"$'\n' ;;
                esac
        done
done < <(stintd --help | sed -n 's/^      \([A-Z].*\)/\1/p')
is "$strange" "" "and file, manual and --help say the same words"
printf 'MaxJobs=3\nStagingMemroy=1G\n' >"$TEST_DIR/wrong.conf"
run stintd --check-config --config "$TEST_DIR/wrong.conf"
is "$status" 125 "a setting that there is not is refused"
like "$(cat "$TEST_DIR/err")" "wrong.conf, line 2: .*StagingMemroy.*StagingMemory" "with file, line and the nearest name"
run stintd --config "$TEST_DIR/wrong.conf" --socket "$socket"
is "$status" 125 "and the daemon does not start with it"

# ---- the door --------------------------------------------------------------------------------------------------------

mkdir -m 777 "$TEST_DIR/open"
chmod 777 "$TEST_DIR/open"
run stintd --config "$TEST_DIR/stint.conf" --socket "$TEST_DIR/open/sock"
is "$status" 125 "a folder in which others may write is refused"
like "$(cat "$TEST_DIR/err")" "chmod go-w" "and what to do is said"
: >"$socket"
run stintd --config "$TEST_DIR/stint.conf" --socket "$socket"
is "$status:$(cat "$socket" | wc -c)" "125:0" "a file that is no socket is not replaced"
rm "$socket"
daemon first
is "$(stat -c %a "$socket")" 666 "everybody may connect"
run stintd --config "$TEST_DIR/stint.conf" --socket "$socket"
is "$status" 125 "a second daemon refuses to start"
like "$(cat "$TEST_DIR/err")" "another stintd" "and says why"
kill -KILL "$(pid_of first)"
wait_exit first
ok "one that was killed leaves its socket behind" test -S "$socket"
daemon second
daemon_name=second
pass "which the next one replaces"

# ---- an agent --------------------------------------------------------------------------------------------------------

peer a
echo "$started_pid 4711 $(id -u)" >"$jobs"
say a hello
heard a "^WELCOME job '4711'" "an agent is told whose job it is, as slurmd says"
logged "job 4711: stint 3 of run 0011.*uid $(id -u), is here" "and so is the log"
say a plan 1500 1000 1
logged "job 4711: idle -> training \\(deadline in 1.*s\\)" "its plan makes it train"
heard a "^TRIGGER time limit left (9[0-9][0-9]|1000) ms lead 1000 ms" "and the save is ordered when the lead has come"
say a asked
say a plan 900 1000 1
say a saving begun time limit
logged "job 4711: training -> saving \\(time limit, deadline in " "a save is a line in the log"
say a saving landed
logged "job 4711: saving -> landed \\(step 8\\)" "and so is its end"
leave a
logged "job 4711: landed -> gone \\(its agent is gone\\)" "and so is the agent's"

peer preempted
say preempted hello
heard preempted "^WELCOME job ''" "a process that slurmd does not know is no job's"
say preempted plan 60000 100 1
logged "process [0-9]+ of uid [0-9]+: idle -> training" "and is served by its own name"
leave preempted

# ---- verbs -----------------------------------------------------------------------------------------------------------

peer b
echo "$started_pid 4712 $(id -u)" >"$jobs"
say b hello
heard b "^WELCOME job '4712'" "another agent"
say b plan - 100 1
peer verb
say verb request list
heard verb "^JOB '4712' uid $(id -u) training drain 0 landed -1" "who asks is told of his jobs"
heard verb "^DONE 0 1" "and how many there are"
say verb request save 4712
heard b "^TRIGGER user" "a save that is asked for is ordered"
say verb request drain
heard b "^TRIGGER drain" "and a drain"
logged "job 4712: is to save, stop and be requeued" "which the log says"
say verb request drain 99
heard verb "^DONE [1-9][0-9]* 0 no job 99 of yours" "a job that there is not is refused"
say verb request bogus
heard verb "^DONE 22 0" "and so is what is no request"

# ---- other users -----------------------------------------------------------------------------------------------------

if [ "$(id -u)" -eq 0 ]; then
        peer stranger setpriv --reuid 65534 --regid 65534 --clear-groups
        say stranger request list
        heard stranger "^DONE 0 0" "another user sees none of these jobs"
        say stranger request save 4712
        heard stranger "^DONE [1-9][0-9]* 0 no job 4712 of yours" "and cannot trigger one, nor learn that it is there"
        say stranger request drain
        say stranger request list
        ok "whatever he asks for" wait_for 10 "three answers" bash -c "[ \$(grep -c '^DONE 0 0' '$TEST_DIR/stranger.out') -ge 3 ]"
        is "$(grep -c '^TRIGGER' "$TEST_DIR/b.out")" 2 "the agent hears nothing of it"
        leave stranger
        # Somebody who says that he is in a job which slurmd gives to another user.
        peer liar setpriv --reuid 65534 --regid 65534 --clear-groups
        echo "$started_pid 4712 0" >>"$jobs"
        say liar hello
        heard liar "^WELCOME job ''" "a process of another uid is not served as the job's"
        say liar memory 4096
        heard liar "closed" "and an agent's connection is for nothing else"
        leave liar
else
        skip "not root" "another user sees none of these jobs"
fi

# ---- enemies ---------------------------------------------------------------------------------------------------------

enemy() # NAME TEXT WORD...: says this as its first words, and is cut off
{
        local name=$1 text=$2
        shift 2
        peer "$name"
        say "$name" "$@"
        heard "$name" "^closed" "$text"
        leave "$name"
}
enemy short "a message that is too short ends its connection" bytes 192 8 4
enemy size "a message of a wrong size does" bytes 192 12 12
enemy huge "a message that is too long does" bytes 192 5000 5000
enemy type "a type that there is not does" bytes 250 8 8
enemy other "a message that belongs to another conversation does" bytes 1 224 224
enemy passes "descriptors that nobody asked for do" descriptor
enemy order "a plan without a hello does" plan - 100 1
peer silent
heard silent "^REFUSED .*nothing was said" "and so does saying nothing"
leave silent

# Root is not limited. Without root the flood would be our own, and what it costs ourselves is our affair.
other=()
if [ "$(id -u)" -eq 0 ]; then
        other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
        peer flood "${other[@]}"
        say flood hello
        heard flood "^WELCOME" "an agent that floods is served first"
        say flood flood 3000
        peer timely
        say timely hello
        say timely plan 1200 1000 1
        heard timely "^TRIGGER time limit left (9[0-9][0-9]|1000) ms" "another user's agent has its order in time meanwhile"
        not_ok "and the flood waits" grep -q '^flooded' "$TEST_DIR/flood.out"
        leave timely
        kill -KILL "$(pid_of flood)"
        wait_exit flood
else
        skip "not root" "another user's agent has its order in time"
fi

# Somebody else again, for one that has just flooded may not speak for a while. Without root, the verb and an agent of ours count too.
[ "$(id -u)" -ne 0 ] || other=(setpriv --reuid 65533 --regid 65533 --clear-groups)
for i in 1 2 3 4 5 6 7; do peer "many$i" "${other[@]}"; done
heard many7 "^REFUSED .*too many connections" "a user has so many connections and no more"
say verb request list
ok "and others still are served" wait_for 10 "an answer" bash -c "[ \$(grep -c '^DONE' '$TEST_DIR/verb.out') -ge 6 ]"
for i in 1 2 3 4 5 6 7; do leave "many$i"; done

# ---- memory ----------------------------------------------------------------------------------------------------------

peer memory
echo "$started_pid 4713 $(id -u)" >"$jobs"
say memory memory 4194304
heard memory "^GRANT soon 4194304" "a job is promised staging"
heard memory "^GRANT ready 4194304" "and gets it"
unlike "$(cat "$TEST_DIR/memory.out")" "does not hold" "in memory that can neither shrink nor grow"
say memory map
heard memory "^mapped" "which it can use"
peer greedy
echo "$started_pid 4713 $(id -u)" >"$jobs"
say greedy memory 4194304
heard greedy "^REFUSED 12 .*StagingMemoryPerUser" "a user has no more than his share"
leave greedy
peer greedy2
echo "$started_pid 4713 $(id -u)" >"$jobs"
say greedy2 memory 99999999999
heard greedy2 "^REFUSED 12 .*StagingMemory" "and nobody more than there is"
leave greedy2
say memory look
heard memory "^kept 1024 pages" "what was written stays"
say memory hangup
heard memory "^closed" "until the connection ends"
gone() # what was in it, which stintd sees to some time after the connection ended
{
        say memory look
        grep -q "^kept 0 pages" "$TEST_DIR/memory.out"
}
ok "and then the node has its memory back, whoever still holds a descriptor" wait_for 10 "its pages to go" gone
leave memory
peer again
echo "$started_pid 4713 $(id -u)" >"$jobs"
say again memory 6000000
heard again "^GRANT ready 6000000" "for the next one"
leave again
peer nobody
say nobody memory 4096
heard nobody "^REFUSED .*belongs to no job" "who is in no job gets none"
leave nobody

# ---- writes that are handed over -------------------------------------------------------------------------------------

owner() # NAME [BYTES]: a job's connection with staging, all of it filled
{
        peer "$1"
        echo "$started_pid 4714 $(id -u)" >"$jobs"
        say "$1" memory "${2-1048576}"
        wait_for_line 10 "$TEST_DIR/$1.out" "^GRANT ready"
        say "$1" map
        wait_for_line 10 "$TEST_DIR/$1.out" "^mapped"
}

filled() # FILE BYTES: it has so many of what `map` writes
{
        [ "$(tr -d '\132' <"$1" | wc -c):$(wc -c <"$1")" = "0:$2" ]
}

root_of() # SEAL: the hash of hashes that is in it
{
        od -An -tu8 -j88 -N8 "$1" | tr -d ' '
}

owner hands
say hands handover "$TEST_DIR/a.h5" "$TEST_DIR/a.seal" 20000
heard hands "^DONE 0 1" "a write can be handed over"
say hands written 65536
say hands hangup
logged "job 4714: step 8, rank 0 of 1: its agent is gone: stintd goes on writing" "when its agent is gone, stintd goes on"
logged "job 4714: step 8, rank 0 of 1: finished: sealed in .* with 960.0 KiB that its agent had not written" "and seals it"
ok "with what was not written yet, and nothing else" test "$(head -c 65536 "$TEST_DIR/a.h5" | tr -d '\0' | wc -c)" -eq 0
tail -c +65537 "$TEST_DIR/a.h5" >"$TEST_DIR/a.rest"
ok "the rest is what was in staging" filled "$TEST_DIR/a.rest" 983040
leave hands

root=$(root_of "$TEST_DIR/a.seal")
peer finds
echo "$started_pid 4714 $(id -u)" >"$jobs"
say finds find 1048576 "$root"
heard finds "^GRANT ready 1048576" "its snapshot is still there for the next job"
say finds look
heard finds "^kept 256 pages" "as it was"
peer finds2
echo "$started_pid 4714 $(id -u)" >"$jobs"
say finds2 find 1048576 "$root"
heard finds2 "^REFUSED 2 " "for one at a time"
leave finds2
leave finds
peer finds3
echo "$started_pid 4714 $(id -u)" >"$jobs"
say finds3 find 1048576 "$((root - 1))"
heard finds3 "^REFUSED 2 " "another than what is there is not"
leave finds3
peer finds4
say finds4 find 1048576 "$root"
heard finds4 "^REFUSED 1 .*belongs to no job" "and who is in no job has none"
leave finds4
if [ "$(id -u)" -eq 0 ]; then
        peer thief setpriv --reuid 65534 --regid 65534 --clear-groups
        echo "$started_pid 4715 65534" >"$jobs"
        say thief find 1048576 "$root"
        heard thief "^REFUSED 2 " "to another user there is none"
        leave thief
else
        skip "not root" "to another user there is none"
fi
owner needs 6000000
pass "memory that is needed takes the place of what is kept"
leave needs
peer finds5
echo "$started_pid 4714 $(id -u)" >"$jobs"
say finds5 find 1048576 "$root"
heard finds5 "^REFUSED 2 " "which then is gone"
leave finds5

owner ended
say ended handover "$TEST_DIR/b.h5" "$TEST_DIR/b.seal" 20000
heard ended "^DONE 0 1" "another write is handed over"
say ended sealed 0
say ended handover "$TEST_DIR/c.h5" "$TEST_DIR/c.seal" 20000
ok "and after its end the next one" wait_for 10 "its answer" bash -c "[ \$(grep -c '^DONE 0 1' '$TEST_DIR/ended.out') -eq 2 ]"
say ended sealed 4242
say ended look
heard ended "^kept" "which is sealed"
say ended hangup
heard ended "^closed" "before its agent goes"
leave ended
peer finds6
echo "$started_pid 4714 $(id -u)" >"$jobs"
say finds6 find 1048576 4242
heard finds6 "^GRANT ready" "what its agent sealed is kept too"
leave finds6
is "$(wc -c <"$TEST_DIR/b.h5"):$(wc -c <"$TEST_DIR/c.h5")" "0:0" "and neither file is touched"

# What is no file of the owner's, or not open for both, or does not fit.
mkfifo "$TEST_DIR/fifo"
wrong=0
refused() # TEXT REGEX FILE SEAL MS [BYTES]
{
        local name=wrong$((wrong += 1))
        owner "$name"
        say "$name" handover "${@:3}"
        heard "$name" "^DONE [1-9][0-9]* 0 .*$2" "$1 is refused"
        say "$name" look
        heard "$name" "^kept 256 pages" "and the memory stays"
        leave "$name"
}
refused "a file that is only to be read" "the file is not open for reading and writing" "r:$TEST_DIR/b.h5" "$TEST_DIR/d.seal" 5000
refused "one that is only to be written" "the file is not open for reading and writing" "w:$TEST_DIR/b.h5" "$TEST_DIR/d.seal" 5000
refused "one that is only named" "the file is not open for reading and writing" "p:$TEST_DIR/b.h5" "$TEST_DIR/d.seal" 5000
refused "one that is appended to" "the file is open for appending" "a:$TEST_DIR/b.h5" "$TEST_DIR/d.seal" 5000
refused "a seal that is only to be read" "its seal is not open for reading and writing" "$TEST_DIR/d.h5" "r:$TEST_DIR/b.seal" 5000
refused "a folder" "the file is not open for reading and writing" "r:$TEST_DIR" "$TEST_DIR/d.seal" 5000
refused "one descriptor" "with two descriptors" "$TEST_DIR/d.h5" - 5000
refused "none" "without its descriptors" - - 5000
refused "a file of another size" "cannot come from 1048576 bytes" "$TEST_DIR/d.h5" "$TEST_DIR/d.seal" 5000 1048577
refused "a write without a time" "without a time" "$TEST_DIR/d.h5" "$TEST_DIR/d.seal" 0

unfinished() # TEXT REGEX FILE SEAL: it is taken, and nothing comes of it
{
        local name=never$((wrong += 1))
        owner "$name"
        say "$name" handover "$3" "$4" 5000
        heard "$name" "^DONE 0 1" "$1 is taken"
        say "$name" hangup
        ok "and not written: $2" wait_for_line 10 "$TEST_DIR/$daemon_name.err" "not finished: $2"
        leave "$name"
}
unfinished "a device" "the file is no regular file" /dev/null "$TEST_DIR/e.seal"
unfinished "a pipe" "the file is no regular file" "$TEST_DIR/fifo" "$TEST_DIR/f.seal"
unfinished "a file that is its own seal" "the file and its seal are the same" "$TEST_DIR/g.h5" "$TEST_DIR/g.h5"
unfinished "a seal that is not marked" "its seal does not say that it is to be finished" "$TEST_DIR/h.h5" "u:$TEST_DIR/h.h5.seal"
if [ "$(id -u)" -eq 0 ]; then
        : >"$TEST_DIR/others.h5"
        chown 65534 "$TEST_DIR/others.h5"
        unfinished "a file of another user" "the file belongs to uid 65534, and its writer was uid 0" "$TEST_DIR/others.h5" "$TEST_DIR/i.seal"
        is "$(wc -c <"$TEST_DIR/others.h5")" 0 "which stays empty"
else
        skip "not root" "a file of another user is not written"
fi
for i in e f i; do ! [ -s "$TEST_DIR/$i.seal" ] || [ "$(head -c 8 "$TEST_DIR/$i.seal")" = STNTPEND ] || fail "seal $i is sealed"; done

peer kept # until the daemon ends
echo "$started_pid 4713 $(id -u)" >"$jobs"
say kept memory 4194304
wait_for_line 10 "$TEST_DIR/kept.out" "^GRANT ready"
say kept map
heard kept "^mapped" "another job has some"

# ---- slurmd that does not answer ---------------------------------------------------------------------------------------

echo hang >"$jobs"
peer waits
say waits hello
say waits plan 1300 1000 1
heard waits "^TRIGGER time limit" "the order does not wait for slurmd"
heard waits "^WELCOME job ''" "and no answer is an answer after a while"
leave waits
peer waits2
say waits2 memory 4096
heard waits2 "^REFUSED 11 .*cannot be learnt now" "but memory is given to nobody who is not known"
leave waits2

# ---- settings again, and the end ---------------------------------------------------------------------------------------

echo 'MaxJobs=many' >"$TEST_DIR/stint.conf"
kill -HUP "$(pid_of second)"
logged "the settings stay as they are: .*MaxJobs" "settings that do not hold are not taken at SIGHUP"
printf 'StagingMemory=off\nLogLevel=notice\n' >"$TEST_DIR/stint.conf"
kill -HUP "$(pid_of second)"
logged "the settings were read again" "and others are"
leave verb
leave b
kill -TERM "$(pid_of second)"
wait_exit second 10
is "$status" 0 "SIGTERM ends it in order"
not_ok "and its socket is gone" test -e "$socket"
like "$(cat "$TEST_DIR/second.err")" "stopping" "which the log says"
say kept look
heard kept "^kept 1024 pages" "and the memory that it gave stays with those who save from it"
leave kept

# ---- the service manager -----------------------------------------------------------------------------------------------

cat >"$TEST_DIR/manager.py" <<'END'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(10)
env = dict(os.environ, NOTIFY_SOCKET=sys.argv[1], WATCHDOG_USEC="300000")
d = subprocess.Popen(sys.argv[2:], env=env)
seen = set()
while "WATCHDOG=1" not in seen or not any(w.startswith("STATUS=") for w in seen):
    seen.add(s.recv(4096).decode())
d.terminate()
while "STOPPING=1" not in seen:
    seen.add(s.recv(4096).decode())
d.wait(10)
print(" ".join(sorted(w.split()[0] for w in seen)), d.returncode)
END
run /usr/bin/python3 "$TEST_DIR/manager.py" "$TEST_DIR/notify" stintd --config "$TEST_DIR/empty.conf" --socket "$socket"
is "$(cat "$TEST_DIR/out")" "READY=1 STATUS=0 STOPPING=1 WATCHDOG=1 0" "the service manager is told: ready, alive, stopping"

start parent bash -c 'stintd --config "$1" --socket "$2" --exit-with-parent & echo $!; sleep 60' - "$TEST_DIR/empty.conf" "$socket"
wait_for_line 10 "$TEST_DIR/parent.err" "ready on node"
daemon_pid=$(cat "$TEST_DIR/parent.out")
kill -KILL "$(pid_of parent)"
wait_exit parent
ok "--exit-with-parent ends it with its parent" wait_for 10 "its end" tap_is_over "$daemon_pid"

unit=$TEST_BUILD/systemd/stintd.service
if [ -e "$unit" ] && command -v systemd-analyze >/dev/null 2>&1; then
        exposure=$(systemd-analyze security --offline=true "$unit" 2>/dev/null | sed -n 's/.*exposure level for stintd.service: \([0-9.]*\).*/\1/p')
        ok "the unit is shut: $exposure of at most 2.5" awk -v e="$exposure" 'BEGIN { exit !(e != "" && e <= 2.5) }'
        mkdir "$TEST_DIR/unit"
        sed "s|^ExecStart=.*|ExecStart=$TEST_BUILD/daemon/stintd|" "$unit" >"$TEST_DIR/unit/stintd.service"
        ok "and systemd finds no fault in it" systemd-analyze verify --man=false "$TEST_DIR/unit/stintd.service"
else
        skip "the unit is left out, or systemd-analyze is not here" "the unit is shut"
        skip "the unit is left out, or systemd-analyze is not here" "and systemd finds no fault in it"
fi

# ---- real agents -------------------------------------------------------------------------------------------------------

export STINT_DAEMON_SOCKET=$socket
reference
echo "0 4711 $(id -u)" >"$jobs"
printf 'StagingMemory=64M\nLogLevel=debug\n' >"$TEST_DIR/stint.conf"
run_with() # NAME: a training with a limit, whose daemon is what it is
{
        start "$1" stint run --stint-dir "$TEST_DIR/$1.stint" --stint-interval off --stint-limit 5s --stint-requeues 20 -- \
                train_lm --small --steps 1200 --step-ms 5 --eval-every 0 --log-every 0 --out "$TEST_DIR/$1.bin"
}
run_with never
run_with lost
# One that does not answer is worse than none: whoever asks it must not wait for long.
start hung stintd --config "$TEST_DIR/stint.conf" --socket "$TEST_DIR/run/hung.sock"
wait_for_line 10 "$TEST_DIR/hung.err" "ready on node"
kill -STOP "$(pid_of hung)"
STINT_DAEMON_SOCKET=$TEST_DIR/run/hung.sock run_with silent_daemon
daemon third
daemon_name=third
logged "job 4711: training -> saving" "real agents find it and tell it of their saves"
logged "bytes of staging for process" "and use its memory"
kill -KILL "$(pid_of third)"
wait_exit third
daemon fourth
daemon_name=fourth
logged "job 4711: idle -> training" "and when it was killed they come back to the next one"
kill -KILL "$(pid_of fourth)"
wait_exit fourth
for name in never lost silent_daemon; do
        wait_exit "$name" 180
        is "$status" 0 "$name: the training is complete"
        is "$(count_events "$TEST_DIR/$name.stint" save "$failed")" 0 "$name: and no save failed"
        unlike "$(journal "$TEST_DIR/$name.stint" end lost_steps)" "^[1-9]" "$name: and no step was lost"
done

kill -KILL "$(pid_of hung)"
wait_exit hung
like "$(cat "$TEST_DIR/silent_daemon.err")" "staging is made of the job's own memory: stintd did not answer in time" "silent_daemon: its agent waits for a moment and says so"

# ---- a margin of the node's ---------------------------------------------------------------------------------------------

printf 'Margin=3s\n' >"$TEST_DIR/stint.conf"
daemon margin
run stint run --stint-dir "$TEST_DIR/margin.stint" --stint-interval off --stint-limit 6s --stint-requeues 1 -- \
        train_lm --small --steps 100000 --step-ms 5 --eval-every 0 --log-every 0
left=$(journal "$TEST_DIR/margin.stint" save reason left_s | sed -n 's/^time limit //p' | sed -n 1p)
ok "a save is ordered as early as the node's admin wants: ${left:-none} s before the limit, of 2.5 at least" \
        awk -v left="$left" 'BEGIN { exit !(left >= 2.5) }'
kill -TERM "$(pid_of margin)"
wait_exit margin 10
printf 'StagingMemory=64M\nLogLevel=debug\n' >"$TEST_DIR/stint.conf"

# ---- a drain -----------------------------------------------------------------------------------------------------------

run stint vacate
is "$status" 125 "without a daemon nothing can be vacated"
like "$(cat "$TEST_DIR/err")" "stintd is not running" "and that is said"
daemon fifth
daemon_name=fifth
start drained stint run --stint-dir "$TEST_DIR/drained.stint" --stint-interval off --stint-limit 300s -- \
        "${flow_train[@]}" --steps 400 --out "$TEST_DIR/drained.bin"
logged "job 4711: idle -> training" "a job that is to be drained"
run stint vacate --list
is "$status" 0 "\`stint vacate --list\` lists it"
like "$(cat "$TEST_DIR/out")" "^4711 +$(id -u) +[a-z]+ " "with its state"
run stint vacate --job 4712
is "$status" 125 "another job is not there"
run stint vacate --job 4711 --wait 60s
is "$status:$(tail -n 1 "$TEST_DIR/out")" "0:all of them are gone" "\`stint vacate\` waits until it is gone"
ok "with a save that landed" has_events "$TEST_DIR/drained.stint" 1 save '"reason": *"drain".*"landed": *true'
wait_exit drained 60
is "$status" 0 "and it was requeued, and is complete"
is "$(journal "$TEST_DIR/drained.stint" end why | sed -n 1p)" "drained" "which the journal calls by its name"
kill -TERM "$(pid_of fifth)"
wait_exit fifth 10
is "$status" 0 "the daemon ends in order after all that"
done_testing
