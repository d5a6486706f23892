#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/security/jobs.sh: two users with jobs on one node of a real Slurm. Whose job a process is, slurmd says and nobody else:
# not its environment, not its user's other jobs. What one user does to stintd costs the controller nothing, and goes on to be
# decided rightly while there is no controller.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --cpus 4
socket=$cluster/run/n1/stintd.sock
log=$cluster/log/stintd-n1.out

# who FILE, by anybody: says hello as an agent would, and writes what it is told
cat >"$cluster/who" <<'WHO'
coproc peer { exec stintd_peer "$STINT_CLUSTER/run/n1/stintd.sock"; }
echo hello >&"${peer[1]}"
while read -r line <&"${peer[0]}"; do
        echo "$line" >>"$1.part"
        case $line in WELCOME* | REFUSED* | closed | cannot*) break ;; esac
done
mv "$1.part" "$1"
[ -z "${2-}" ] || until [ -e "$2" ]; do sleep 0.2; done
echo quit >&"${peer[1]}"
WHO
chmod 755 "$cluster/who"

request() # USER WORD...: a request to stintd on n1, as that user
{
        local user=$1
        shift
        # shellcheck disable=SC2016
        as_user "$user" timeout 30 bash -c '
                coproc peer { exec stintd_peer "$0"; }
                echo "request $*" >&"${peer[1]}"
                while read -r line <&"${peer[0]}"; do
                        echo "$line"
                        case $line in DONE* | REFUSED* | closed | cannot*) break ;; esac
                done
                echo quit >&"${peer[1]}"' "$socket" "$@" 2>/dev/null || :
}

# ---- a training, and others on its node -----------------------------------------------------------------------------

nasty=$'x\n\e[31mred\a'
batch u1 train '#SBATCH --time=10 --ntasks=1 --gres=gpu:1' \
        "stint run --stint-interval 1s -- srun stint exec -- train_lm --small --steps 1000000 --step-ms 50 --eval-every 0 --log-every 0"
submit u1 -w n1 --job-name="$nasty" train
victim=$job
run=$(find "$cluster/u1" -maxdepth 1 -name '*.stint' | head -n 1)
wait_slurm 60 "the training to be on its way" progress_is "${run:=$cluster/u1/run.stint}" 30
ok "it is served as its job" wait_for_line 20 "$log" "job $victim: .* -> training"

batch u2 other '#SBATCH --time=10 --ntasks=1' "export SLURM_JOB_ID=$victim SLURM_JOBID=$victim" 'bash "$STINT_CLUSTER/who" other.told' \
        'setsid -f bash "$STINT_CLUSTER/who" escaped go >/dev/null 2>&1 </dev/null' \
        'setsid -f bash -c "until [ -e late ]; do sleep 0.2; done; exec bash \"\$STINT_CLUSTER/who\" finished" >/dev/null 2>&1 </dev/null' \
        'until [ -e stop ]; do sleep 0.2; done'
submit_plain u2 -w n1 other
other=$job
wait_for_file 60 "$cluster/u2/other.told"
like "$(cat "$cluster/u2/other.told")" "^WELCOME job '$other'" "a job that says it is another one is its own"
batch u1 second '#SBATCH --time=10 --ntasks=1' "export SLURM_JOB_ID=$victim SLURM_JOBID=$victim" 'bash "$STINT_CLUSTER/who" second.told'
submit_plain u1 -w n1 second
wait_for_file 60 "$cluster/u1/second.told"
like "$(cat "$cluster/u1/second.told")" "^WELCOME job '$job'" "also when both are of one user"
as_user u2 env SLURM_JOB_ID="$victim" bash "$cluster/who" "$cluster/u2/outside"
is "$(grep WELCOME "$cluster/u2/outside")" "WELCOME job ''" "who is in no job is in none"

# ---- what a user sees, and what he orders ---------------------------------------------------------------------------

like "$(request u1 list)" "^JOB '$victim' uid $(id -u stint-u1) " "the owner sees his job"
unlike "$(request u2 list)" "'$victim'" "another user does not"
for word in save drain list; do
        like "$(request u2 "$word" "$victim")" "no job $victim of yours" "nor can he ask for a $word of it"
done
unlike "$(cat "$log")" "job $victim: (a save was asked|is to save)" "and nothing is asked of it"

# ---- the controller -------------------------------------------------------------------------------------------------

before=$(($(rpcs_of u2) + $(rpcs_of d)))
for _ in 1 2 3 4 5; do request u2 list >/dev/null; done
for word in hello memory; do
        start "$word" setpriv --reuid stint-u2 --regid stint-u2 --clear-groups -- intruder churn "$socket" "$word"
done
saves=$(count_events "$run" save "$landed")
wait_slurm 60 "saves" has_events "$run" $((saves + 2)) save "$landed"
pass "under a flood of hellos the training's saves land"
kill -TERM "$(pid_of hello)" "$(pid_of memory)"
wait_exit hello 30
wait_exit memory 30
like "$(tail -q -n 1 "$TEST_DIR/hello.out" "$TEST_DIR/memory.out")" '^came [1-9][0-9][0-9]+ times' "which it was"
is "$(($(rpcs_of u2) + $(rpcs_of d)))" "$before" "and the controller was not asked one thing more"
# One that was killed would forget jobs of the last seconds; one that hangs answers as little.
daemon_signal STOP slurmctld
as_user u1 bash "$cluster/who" "$cluster/u1/down"
is "$(grep WELCOME "$cluster/u1/down")" "WELCOME job ''" "without a controller who is in no job is in none"
unlike "$(request u2 list)" "'$victim'" "nor does another user see the job"
like "$(request u1 list)" "^JOB '$victim'" "which its owner does"
daemon_signal CONT slurmctld

# ---- a job that is over ---------------------------------------------------------------------------------------------

touch "$cluster/u2/stop"
wait_end 90 "$other"
touch "$cluster/u2/late"
finished=$(pgrep -u stint-u2 -f "who\" finished" || :)
if [ -n "$finished" ]; then
        wait_for_file 30 "$cluster/u2/finished"
        is "$(grep WELCOME "$cluster/u2/finished")" "WELCOME job ''" "a process that its job left behind is in none"
else
        pass "no process of a job that is over is there to say so"
fi
touch "$cluster/u2/go"

# ---- the end --------------------------------------------------------------------------------------------------------

as_user u1 scancel "$victim"
wait_end 60 "$victim"
is "$(count_events "$run" save "$failed")" 0 "no save of the training failed"
ok "and every checkpoint of it holds" as_user u1 stint verify "$run" --all
clean() # FILE
{
        [ -s "$1" ] && ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$1"
}
ok "stintd's log is one line each, of characters" clean "$log"
is "$(grep -vc '^stintd: ' "$log" || :)" 0 "and each is its own"
as_user u1 stint status "$run" >"$TEST_DIR/status" 2>&1
ok "and so is what stint status shows of a job with such a name" clean "$TEST_DIR/status"
as_user u1 stint show "$run" >"$TEST_DIR/show" 2>&1
ok "and stint show" clean "$TEST_DIR/show"
ok "and what it was submitted with" clean "$TEST_DIR/submitted"
done_testing
