#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/agent-dies.sh: the agent goes away, once or again and again, or was never there. Training goes on to the same
# weights; a new agent saves as the old one did.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

flow_train=(train_lm --small --steps 250 --step-ms 5 --eval-every 0 --log-every 0)
reference

# ---- once ------------------------------------------------------------------------------------------------------------

run=$TEST_DIR/once
start once stint run --stint-dir "$run" --stint-interval 100ms -- "${flow_train[@]}" --out "$run.bin"
wait_landed "$run"
agent=$(by_executable once stint-agent)
program=$(by_executable once train_lm)
kill -KILL "$agent"
so_far=$(count_events "$run" save "$landed")
wait_for_line 30 "$TEST_DIR/once.err" "the agent is back"
is "$(by_executable once train_lm)" "$program" "the program survives its agent"
isnt "$(by_executable once stint-agent)" "$agent" "there is a new agent"
wait_landed "$run" $((so_far + 2))
wait_exit once 60
is "$status" 0 "the training comes to its end"
same_weights "$run.bin" "with the same weights"
ok "the run is DONE" test -e "$run/DONE"
is "$(count_events "$run" agent_lost)" 1 "the journal says that an agent was lost"
ok "every checkpoint holds" stint verify "$run" --all

# ---- at the end ------------------------------------------------------------------------------------------------------

run=$TEST_DIR/last
mkdir "$TEST_DIR/faults"
STINT_FAULT=save.mid_write:pause@2 STINT_FAULT_DIR=$TEST_DIR/faults start last \
        stint run --stint-dir "$run" --stint-interval off -- "${flow_train[@]}" --out "$run.bin"
wait_for 60 "the save of the last state" reached "$TEST_DIR/faults"
kill -KILL "$(by_executable last stint-agent)"
wait_exit last 60
is "$status" 0 "when the agent dies in the save of the last state the training ends with 0"
ok "and the run is DONE, for the next agent saved it" test -e "$run/DONE"
ok "every checkpoint holds" stint verify "$run" --all

# The program hears of it at its last safe point, when the next agent is only just starting.
run=$TEST_DIR/late
start late stint run --stint-dir "$run" --stint-interval off -- \
        train_lm --small --steps 6 --step-ms 300 --eval-every 0 --log-every 0 --out "$run.bin"
wait_landed "$run"
kill -KILL "$(by_executable late stint-agent)"
wait_exit late 60
is "$status" 0 "when the agent dies in the last step the training ends with 0"
ok "and the run is DONE, for the next agent is waited for" test -e "$run/DONE"

# ---- again and again -------------------------------------------------------------------------------------------------

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
is "$(grep -c 'without checkpoints' "$TEST_DIR/err")" 2 "that training goes on without checkpoints is said once by stint and once by the program"
not_ok "the run is not DONE" test -e "$run/DONE"
run stint run --stint-dir "$run" --stint-interval 50ms -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "and the next stint begins it again, with an agent"
ok "to its end" test -e "$run/DONE"
same_weights "$run.bin" "with the same weights"
done_testing
