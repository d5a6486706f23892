#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/agent-dies.sh: the agent goes away, once or again and again, or was never there. Training goes on to the same
# weights; a new agent saves as the old one did.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$(dirname "$0")/flow.sh"

flow_train=(train_lm --small --steps 200 --step-ms 5 --eval-every 0 --log-every 0)
reference

# ---- once ------------------------------------------------------------------------------------------------------------

run=$TEST_DIR/once
start once stint run --stint-dir "$run" --stint-interval 100ms -- "${flow_train[@]}" --out "$run.bin"
wait_landed "$run"
agent=$(by_executable once stint-agent)
program=$(by_executable once train_lm)
kill -KILL "$agent"
so_far=$(count_events "$run" save "$landed")
wait_landed "$run" $((so_far + 2))
is "$(by_executable once train_lm)" "$program" "the program survives its agent"
isnt "$(by_executable once stint-agent)" "$agent" "there is a new agent"
wait_exit once 60
is "$status" 0 "the training comes to its end"
same_weights "$run.bin" "with the same weights"
ok "the run is DONE" test -e "$run/DONE"
is "$(count_events "$run" agent_lost)" 1 "the journal says that an agent was lost"
ok "every checkpoint holds" stint verify "$run" --all

# ---- stopped, not dead -----------------------------------------------------------------------------------------------

run=$TEST_DIR/again
STINT_FAULT=save.mid_write:kill start again stint run --stint-dir "$run" --stint-interval 50ms -- "${flow_train[@]}" --out "$run.bin"
wait_exit again 60
is "$status" 0 "an agent that dies in every save does not keep training from its end"
same_weights "$run.bin" "which has the same weights"
not_ok "but the run is not DONE, for its last state is nowhere" test -e "$run/DONE"
like "$(cat "$TEST_DIR/again.err")" "NOT saved: " "and that is said"
is "$(whole "$run")" "" "nothing looks whole"
run stint run --stint-dir "$run" --stint-interval 50ms -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "with an agent that lives the run comes to its end"
ok "and is DONE" test -e "$run/DONE"

# ---- never there -----------------------------------------------------------------------------------------------------

run=$TEST_DIR/never
mkdir "$TEST_DIR/nothing"
STINT_LIBEXEC_DIR=$TEST_DIR/nothing run stint run --stint-dir "$run" --stint-interval 50ms -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "without an agent's program the training comes to its end"
same_weights "$run.bin" "with the same weights"
is "$(grep -c "$TEST_DIR/nothing" "$TEST_DIR/err")" 1 "one line says that there is none, and where it was looked for"
is "$(grep -ci 'without checkpoints' "$TEST_DIR/err")" 1 "one line says that training goes on without checkpoints"
not_ok "the run is not DONE" test -e "$run/DONE"
run stint run --stint-dir "$run" --stint-interval 50ms -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "and the next stint begins it again, with an agent"
ok "to its end" test -e "$run/DONE"
same_weights "$run.bin" "with the same weights"
done_testing
