#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/security/surroundings.sh: what lies around a supervisor: run directories of somebody else, programs of the same name
# earlier in PATH, and an environment that is meant to steer libslurm in the process that asks it.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/security/security.sh"
security_users
chmod 711 "$victim" "$intruder"

train_in() # DIR [VARIABLE=VALUE...]: a short training of the victim's, in that run directory
{
        local dir=$1
        shift
        rm -f "$victim/short.bin"
        run "${as_victim[@]}" "$@" stint run --stint-dir "$dir" --stint-interval 100ms -- "${security_train[@]}" --steps 40 --out "$victim/short.bin"
}

# ---- a run directory of somebody else --------------------------------------------------------------------------------

"${as_intruder[@]}" stint run --stint-dir "$intruder/bait.stint" --stint-interval 100ms -- "${security_train[@]}" --steps 40 >"$TEST_DIR/bait.log" 2>&1
chmod -R a+rwX "$intruder/bait.stint"
train_in "$intruder/bait.stint"
is "$status" 125 "a run of another user is not gone on with"
like "$(cat "$TEST_DIR/err")" "uid $intruder_uid" "and whose it is is said"
not_ok "and nothing was trained" test -e "$victim/short.bin"
sed -i "s/\"uid\": *$intruder_uid/\"uid\": $victim_uid/" "$intruder/bait.stint/run.json"
like "$(cat "$intruder/bait.stint/run.json")" "\"uid\": *$victim_uid" "one that says it is the victim's"
chown "$intruder_uid" "$intruder/bait.stint/run.json"
train_in "$intruder/bait.stint"
is "$status" 125 "is not gone on with either"
run "${as_victim[@]}" stint stop "$intruder/bait.stint"
isnt "$status" 0 "nor stopped, where a mark in it would be another's word"

# ---- a place where everybody may write -------------------------------------------------------------------------------

mkdir -m 1777 "$TEST_DIR/open"
chmod 1777 "$TEST_DIR/open"
"${as_intruder[@]}" ln -s "$victim/precious" "$TEST_DIR/open/link.stint"
"${as_victim[@]}" bash -c 'mkdir precious; echo mine >precious/run.json'
train_in "$TEST_DIR/open/link.stint"
is "$status" 125 "a link that leads to what is no run is not trained in"
is "$(find "$victim/precious" -type f -printf '%f ')$(cat "$victim/precious/run.json")" "run.json mine" "and what lies there is as it was"
train_in "$TEST_DIR/open/own.stint"
is "$status" 0 "a run directory of one's own in such a place is"
is "$("${as_intruder[@]}" bash -c 'rm -rf "$0/DONE" "$0/checkpoints" "$0"; echo x >>"$0/journal.jsonl"' "$TEST_DIR/open/own.stint" 2>/dev/null || :; ls "$TEST_DIR/open/own.stint/DONE")" \
        "$TEST_DIR/open/own.stint/DONE" "in which nobody else changes anything"
ok "so that it holds" "${as_victim[@]}" stint verify --all "$TEST_DIR/open/own.stint"

# ---- programs and variables ------------------------------------------------------------------------------------------

mkdir -m 755 "$TEST_DIR/evil"
for program in stint-agent stint-slurm stintd srun scontrol; do
        printf '#!/bin/sh\n: >"%s/$(basename "$0").ran"\nexit 1\n' "$intruder" >"$TEST_DIR/evil/$program"
done
chmod 755 "$TEST_DIR/evil"/*
chmod 777 "$intruder"
train_in "$victim/path.stint" PATH="$TEST_DIR/evil:$TEST_DIR/bin:/usr/bin:/bin"
is "$status" 0 "a training whose PATH leads elsewhere is saved"
is "$(journal "$victim/path.stint" end why)" complete "by the agent that belongs to stint"

as_daemon+=(PATH="$TEST_DIR/evil:$TEST_DIR/bin:/usr/bin:/bin" LD_LIBRARY_PATH="$TEST_DIR/evil" SLURM_PLUGSTACK="$TEST_DIR/evil" BASH_ENV="$TEST_DIR/evil/stintd")
daemon stintd
ask as_victim memory 4096 >"$TEST_DIR/answer"
like "$(cat "$TEST_DIR/answer")" '^REFUSED' "stintd asks whose job a process is"
child=$(grep -lsx "PPid:[[:space:]]*$daemon_pid" /proc/[0-9]*/status | cut -d/ -f3)
is "$(readlink "/proc/$child/exe")" "$TEST_DIR/libexec/stint-slurm" "with the program that belongs to it"
is "$(tr '\000' '\n' <"/proc/$child/environ" | sed 's/=.*//' | grep -vx 'SLURMD_NODENAME' | tr '\n' ' ')" "SLURM_CONF " "and an environment that steers nothing"
kill -TERM "$daemon_pid"
wait_exit stintd 20
is "$(find "$intruder" -name '*.ran')" "" "no program of another place ran"
done_testing
