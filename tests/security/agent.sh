#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/security/agent.sh: the sockets of somebody else's training: the agent's, and the one on which `stint run` takes orders.
# Their names are no secret. A stranger is sent away before a byte of his is looked at, however often he comes, and the
# training does not notice; and where he took a name first, that is said and nothing is told to him.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/security/security.sh"
security_users
steps=3000
train_reference $steps
train $steps --stint-interval 400ms

like "$agent_name" "^@stint-$victim_uid-" "the agent is found by whoever looks"
like "$verb_name" "^@stint-run-$victim_uid-" "and so is the socket for orders"
wait_landed "$run" 1
agent_fds=$(descriptors_of "$agent_pid") agent_kib=$(memory_of "$agent_pid")
run_fds=$(descriptors_of "$run_pid") run_kib=$(memory_of "$run_pid")
before=$(pace 100)

# ---- every message, every descriptor ---------------------------------------------------------------------------------

intruder_run says "$agent_name"
nothing_answered "no message of a stranger is answered by the agent"
intruder_run says "$verb_name"
nothing_answered "nor by stint run"
intruder_run descriptors "$agent_name"
nothing_answered "no descriptor of a stranger reaches the agent"
intruder_run descriptors "$verb_name"
nothing_answered "nor stint run"

# ---- many of them ----------------------------------------------------------------------------------------------------

for name in "$agent_name" "$verb_name"; do
        intruder_run hold "$name" 800
        like "$(cat "$TEST_DIR/out")" '^of 800 connections 0 are open' "$name keeps none of 800 silent connections"
done
saves=$(count_events "$run" save "$landed")
attack noise1 churn "$agent_name" junk
attack noise2 churn "$verb_name" junk
wait_for_line 10 "$TEST_DIR/noise2.out" begins
under=$(pace 100)
wait_landed "$run" $((saves + 3))
cease noise1
churned 100 "the agent was visited again and again"
cease noise2
churned 100 "and so was stint run"
not_slowed "$before" "$under" "while it is visited"
pass "and its saves land meanwhile"
# The victim's own orders are heard.
run "${as_victim[@]}" stint save "$run"
is "$status" 0 "the owner's own orders are carried out"
run "${as_intruder[@]}" stint save "$run"
isnt "$status" 0 "and nobody else's"
is "$("${as_intruder[@]}" ls "$victim" 2>/dev/null | wc -l)" 0 "who cannot look into the folder either"

not_grown "$agent_pid" "$agent_fds" "$agent_kib" "the agent holds no more than before"
not_grown "$run_pid" "$run_fds" "$run_kib" "nor does stint run"
is "$(by_executable victim stint-agent | head -n 1)" "$agent_pid" "it is the same agent"
said_at_most 1 "$TEST_DIR/victim.err" "^stint-agent: .*uid $intruder_uid" "the stranger is spoken of once by the agent"
said_at_most 1 "$TEST_DIR/victim.err" "^stint: .*uid $intruder_uid" "and once by stint run"
like "$(cat "$TEST_DIR/victim.err")" "uid $intruder_uid" "for the owner is to know"
train_ends_well agent

# ---- names that a stranger took first --------------------------------------------------------------------------------

# What of a name is in run.json, or can be counted, an intruder may know; he does here, down to the process id.
id=$(sed -n 's/.*"id": *"\([0-9a-f]\{32\}\)".*/\1/p' "$run/run.json")
like "$id" '^[0-9a-f]{32}$' "there is a run to guess names for"
unlike "$(intruder names "stint-$victim_uid-")" . "and the names of its first stint are gone"
rm "$run/DONE"
# shellcheck disable=SC2016
start guessed "${as_victim[@]}" bash -c 'echo $$; until [ -e go ]; do sleep 0.05; done; exec "$@"' - \
        stint run --stint-dir "$run" --stint-interval 100ms -- "${security_train[@]}" --steps $((steps + 200)) --out "$victim/longer.bin"
wait_for_line 10 "$TEST_DIR/guessed.out" '^[0-9]'
pid=$(cat "$TEST_DIR/guessed.out")
guesses=()
for name in "stint-$victim_uid" "stint-run-$victim_uid"; do
        for part in "$id" "${id:0:16}" "${id:0:8}"; do
                guesses+=("@$name-$part-"{1,2,3}"-$pid" "@$name-$part-"{1,2,3})
        done
done
start guesser "${as_intruder[@]}" intruder squat "${guesses[@]}"
wait_for_line 20 "$TEST_DIR/guesser.out" "^sits on ${#guesses[@]} names"
touch "$victim/go"
wait_exit guessed 120
is "$status" 0 "a run whose names were guessed goes on"
is "$(journal "$run" end why | tail -n 1)" complete "and is complete, with its saves"
is "$(tail -n +2 "$TEST_DIR/guesser.out")" "" "and nobody comes to who guessed them"
cease guesser

# The well-known name of job 77 can be guessed by anybody. A program of that job that lost its environment finds the squatter
# there, tells him nothing, and trains with saves all the same.
run=$victim/lost.stint
start squatter "${as_intruder[@]}" intruder squat "@stint-$victim_uid-77-n1"
wait_for_line 10 "$TEST_DIR/squatter.out" '^sits on 1 name'
start lost "${as_victim[@]}" SLURM_JOB_ID=77 SLURMD_NODENAME=n1 STINT_DIR="$run" "${security_train[@]}" --steps 200 --out "$victim/lost.bin"
wait_exit lost 60
is "$status" 0 "a program that finds a squatter in its agent's place trains"
ok "and its end is saved" test -f "$run/DONE"
like "$(cat "$TEST_DIR/squatter.out")" "^uid $victim_uid came" "the squatter saw it come"
unlike "$(cat "$TEST_DIR/squatter.out")" "said" "and was told nothing"
cease squatter
done_testing
