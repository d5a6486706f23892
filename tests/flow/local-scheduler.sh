#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/local-scheduler.sh: what the local scheduler does to a job: limits, preemptions, requeues, cancels, and that
# nothing of a job outlives it. The job is a script in the place of `stint run` (STINT_BIN), so that it can misbehave; what
# the real one makes of it is in limits.sh.
set -eu
. "$(dirname "$0")/../tap.sh"

# ---- the job ---------------------------------------------------------------------------------------------------------

# ask QUESTION: one question to the scheduler, as wire.h draws it; prints state cause left_s can_requeue restarts failed text.
cat >"$TEST_DIR/ask" <<'END'
#!/usr/bin/python3
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(20)
s.connect("\0" + os.environ["STINT_LOCAL_JOB"])
if sys.argv[1] == "nonsense":
    s.send(b"nonsense")
    sys.exit(len(s.recv(4096)))
s.send(struct.pack("<IHHIIII64s400s", 488, 1, 128, {"state": 1, "requeue": 2}[sys.argv[1]], 0, 0, 0, b"", b""))
(size, version, kind, question, failed, state, cause, left, submit, start, wait, can, restarts, uid, nodes, gone, reserved, job,
 text) = struct.unpack("<IHHIiIIqqqqIIIIII64s400s", s.recv(4096))
assert (size, version, kind) == (544, 1, 129)
states = ["unknown", "running", "completing", "cancelled", "pending", "ended"]
causes = ["none", "limit", "preempted", "reservation", "step", "policy"]
left = "never" if left == 2**63 - 1 else "%.1f" % (left / 1e9)
print(states[state], causes[cause], left, "can" if can else "cannot", restarts, failed, text.rstrip(b"\0").decode())
END

# What the job does is the shell code in JOB; `hear` writes what it gets to the log, in order.
cat >"$TEST_DIR/job" <<'END'
#!/bin/bash
hear() { echo "$*" >>"$TEST_DIR/log"; }
ask() { hear "$1: $("$TEST_DIR/ask" "$1")"; }
forever() { while :; do sleep 0.05; done; }
# A step that says when it is told to end, and ends. Steps are known by the name of the agent.
step() { (printf stint-agent >"/proc/$BASHPID/comm"; trap 'hear "step: TERM"; exit 0' TERM; hear "step: began"; forever) & }
# One that does not care, with a session of its own and without a parent.
stubborn() { (setsid bash -c 'trap "" TERM INT HUP; echo $$ >"$TEST_DIR/stubborn"; while :; do sleep 0.05; done' &); }
until_file() { until [ -s "$1" ]; do sleep 0.02; done; }
until_heard() { until grep -q "$1" "$TEST_DIR/log"; do sleep 0.02; done; }
hear "start ${STINT_LOCAL_RESTARTS}"
eval "$JOB"
END
chmod +x "$TEST_DIR/ask" "$TEST_DIR/job"
export STINT_BIN=$TEST_DIR/job

# Two seconds between a SIGTERM and the kill, unless a test says otherwise.
job() # CODE [OPTION...]: runs a job with that code; sets status, and heard
{
        export JOB=$1
        shift
        : >"$TEST_DIR/log"
        rm -f "$TEST_DIR/stubborn"
        run stint run --stint-kill-wait 1s "$@" -- program
        heard=$(cat "$TEST_DIR/log")
}

start_job() # NAME CODE [OPTION...]
{
        local name=$1
        export JOB=$2
        shift 2
        : >"$TEST_DIR/log"
        rm -f "$TEST_DIR/stubborn"
        start "$name" stint run "$@" -- program
}

said() { cat "$TEST_DIR/err"; }

# ---- by itself -------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2016  # the job's own
job 'exit 7' --stint-limit 60s
is "$status" 7 "the exit status of a job that ends by itself comes through"
like "$(said)" "local: job [0-9]+ started \(restart 0, time limit 1m 00s\)" "its start is said, with its limit"
like "$(said)" "local: job [0-9]+ ended \(by itself, exit 7\)" "its end too"
# shellcheck disable=SC2016
job 'kill -KILL $$' --stint-limit 60s
is "$status" 137 "a job that was killed by somebody else ends with 128 and the signal"
is "$heard" "start 0" "and is not run again"
# shellcheck disable=SC2016
JOB='hear "$0 $*"' run stint run --stint-limit 60s --stint-keep=2 -- program --stint-limit x
like "$(cat "$TEST_DIR/log")" "job run --stint-limit 60s --stint-keep=2 -- program --stint-limit x\$" "the job has the whole command line"

# ---- questions -------------------------------------------------------------------------------------------------------

job 'ask state' --stint-limit 60s
like "$heard" "^state: running limit (60.0|59.[0-9]) can 0 0 *\$" "a job is told how long it has"
job 'ask state'
like "$heard" "^state: running none never can 0 0 *\$" "or that it has no limit"
# shellcheck disable=SC2016
job '"$TEST_DIR/ask" nonsense; hear "cut off: $?"; ask state' --stint-limit 60s
like "$heard" "^cut off: 0" "who does not ask is cut off"
like "$heard" "^state: running" "and others are still answered"

# ---- the time limit --------------------------------------------------------------------------------------------------

# shellcheck disable=SC2016
job 'trap "hear batch: TERM; ask state; exit 75" TERM; step; until_heard began; forever' --stint-limit 1s
is "$status" 75 "a job that ends when its limit is reached has its own exit status"
like "$(said)" "local: time limit reached" "the limit is said"
like "$(said)" "at its time limit and was not requeued" "and that it is not run again"
like "$heard" "^step: TERM" "its steps get SIGTERM"
like "$heard" "^batch: TERM" "and so does itself"
like "$heard" "^state: completing limit 0.0 can" "it is completing then"
is "$(grep -c '^start' <<<"$heard")" 1 "it was started once"

job 'trap "" TERM; stubborn; forever' --stint-limit 500ms --stint-kill-wait 300ms
is "$status" 75 "a job that has to be killed at its limit ends with 75"
like "$(said)" "local: killed" "the kill is said"
ok "what left the session of the job was killed with it" test -s "$TEST_DIR/stubborn"
ok "and is gone when the scheduler ends" tap_is_over "$(cat "$TEST_DIR/stubborn")"

# shellcheck disable=SC2016
job 'stubborn; until_file "$TEST_DIR/stubborn"; exit 3' --stint-limit 60s --stint-kill-wait 300ms
is "$status" 3 "what a job leaves behind does not change its exit status"
ok "but is killed" tap_is_over "$(cat "$TEST_DIR/stubborn")"

# ---- preemption ------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2016
job 'trap "hear batch: TERM; exit 0" TERM
[ "$STINT_LOCAL_RESTARTS" = 0 ] || { ask state; exit 4; }
step; until_heard "step: TERM"; ask state; forever' --stint-limit 60s --stint-preempt-after 500ms --stint-grace 1500ms
is "$status" 4 "a job that was preempted is run again when its grace is over"
like "$(said)" "local: preempting: 1.50s of grace" "the grace is said"
like "$(said)" "local: requeued" "the requeue too"
like "$heard" "^state: running preempted [01]\.[0-9] can 0 0 *\$" "within the grace it runs, and has until its end"
is "$(grep -e TERM -e start <<<"$heard" | tr '\n' ',')" "start 0,step: TERM,batch: TERM,start 1," \
        "at the beginning only its steps are told, at the end the job too"
like "$heard" "^state: running limit (60.0|59.[0-9]) can 1 0 *\$" "the next start has its whole limit again"

job 'trap "exit 5" TERM; step; until_heard "step: TERM"; exit 6' --stint-preempt-after 300ms --stint-grace 30s
is "$status" 6 "a job that ends within its grace has ended: it is not run again"
# shellcheck disable=SC2016
job '[ "$STINT_LOCAL_RESTARTS" = 2 ] && exit 0; forever' --stint-preempt-after 200ms,-,1ms --stint-grace 100ms --stint-limit 800ms \
        --stint-requeues 5
is "$status" 75 "each start has its own time of preemption"
is "$(grep -c 'preempting' "$TEST_DIR/err")" 1 "and '-' none"
job 'forever' --stint-preempt-after 200ms --stint-grace 100ms --stint-requeues 0
is "$status:$(grep -c '^start' <<<"$heard")" "75:1" "a preemption does not requeue more often than is allowed"

# ---- requeue ---------------------------------------------------------------------------------------------------------

# Who asks in the place of the job is a step here, and a requeue ends steps.
# shellcheck disable=SC2016
job 'step; until_heard began; trap "" TERM; ask requeue; [ "$STINT_LOCAL_RESTARTS" = 2 ] && exit 8; exit 75' --stint-requeues 2
is "$status" 8 "a job that asks for it is run again until its requeues are used"
is "$(grep -c '^requeue: completing none never can.* 0 *$' <<<"$heard")" 2 "two are granted"
like "$heard" "^requeue: running .*cannot 2 1 all 2 requeues" "the third is refused with the reason"
is "$(grep '^start' <<<"$heard" | tr '\n' ',')" "start 0,start 1,start 2," "and it is told how often it was started"
# shellcheck disable=SC2016
job '[ "$STINT_LOCAL_RESTARTS" = 1 ] && exit 0; trap "" TERM; stubborn; until_file "$TEST_DIR/stubborn"; ask requeue; forever' \
        --stint-kill-wait 300ms
is "$status" 0 "a job that does not end after its requeue is killed and run again"
ok "with everything it had started" tap_is_over "$(cat "$TEST_DIR/stubborn")"

# ---- cancel ----------------------------------------------------------------------------------------------------------

# A shell starts what is in the background with SIGINT ignored, which stays so; job control does not.
set -m
for signal in TERM INT HUP; do
        start_job "cancel-$signal" 'trap "hear batch: TERM; ask state; ask requeue; exit 9" TERM; step; until_heard began; hear ready; forever' \
                --stint-limit 60s
        wait_for_line 20 "$TEST_DIR/log" "^ready"
        kill "-$signal" "$started_pid"
        wait_exit "cancel-$signal" 20
        heard=$(cat "$TEST_DIR/log")
        is "$status" 9 "SIG$signal cancels the job, which may end in its own way"
        like "$heard" "^state: cancelled " "it is told that it was cancelled"
        like "$heard" "^requeue: cancelled .*cannot 0 [1-9][0-9]* the job was cancelled" "it cannot requeue itself any more"
        is "$(grep -c '^start' <<<"$heard")" 1 "and is not run again"
done
set +m

start_job twice 'trap "hear batch: TERM" TERM; hear ready; forever' --stint-kill-wait 600s
wait_for_line 20 "$TEST_DIR/log" "^ready"
kill -TERM "$started_pid"
wait_for_line 20 "$TEST_DIR/log" "^batch: TERM"
kill -TERM "$started_pid"
wait_exit twice 20
is "$status" 137 "a second signal does not wait"

# ---- the scheduler is killed -----------------------------------------------------------------------------------------

# shellcheck disable=SC2016
start_job killed 'echo $$ >"$TEST_DIR/batch"; hear ready; forever' --stint-limit 60s
wait_for_line 20 "$TEST_DIR/log" "^ready"
batch=$(cat "$TEST_DIR/batch")
kill -KILL "$started_pid"
wait_exit killed 20
is "$status" 137 "a scheduler that is killed is gone"
ok "and its job with it" wait_for 20 "the end of the job" tap_is_over "$batch"

# ---- the shield ------------------------------------------------------------------------------------------------------

unset STINT_BIN
# shellcheck disable=SC2016  # the inner shell's own
run stint exec -- sh -c 'kill -TERM $$; kill -INT $$; sh -c "kill -TERM \$\$"; echo alive; exit 6'
is "$status:$(cat "$TEST_DIR/out")" "6:alive" "what is started by \`stint exec\`, and what that starts, ignores SIGTERM and SIGINT"
run stint exec "$TEST_DIR/no-such-program"
is "$status" 127 "a program that is not there is 127"
run stint exec -- "$TEST_DIR/log"
is "$status" 126 "a program that cannot be executed is 126"
run stint exec --parent 1 -- true
is "$status" 125 "a parent that is not the parent is refused"
# shellcheck disable=SC2016
start parent bash -c 'stint exec --parent $$ -- bash -c "echo \$\$ >$TEST_DIR/child; while :; do sleep 0.05; done" & wait'
wait_for 20 "the program" test -s "$TEST_DIR/child"
kill -KILL "$started_pid"
ok "a program dies with the parent it was told" wait_for 20 "its end" tap_is_over "$(cat "$TEST_DIR/child")"
wait_exit parent 20
done_testing
