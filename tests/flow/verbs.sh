#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/verbs.sh: what `stint` answers about a run that runs, one that is stopped, one that is DONE, and to those who
# mistype.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

run=$TEST_DIR/verbs.stint
train=(train_lm --small --steps 100000 --step-ms 2 --eval-every 100 --log-every 0)
start train stint run --stint-dir "$run" --stint-interval off --stint-keep 50 -- "${train[@]}"
wait_for 30 "a best checkpoint" has_events "$run" 1 best

# ---- while it runs ---------------------------------------------------------------------------------------------------

run stint status "$run"
is "$status" 0 "the status of a run that runs"
like "$(cat "$TEST_DIR/out")" "running" "says that it is running"
run stint status "$run" --json
json_holds "as JSON too" "'running' in json.dumps(d)"

run stint save "$run"
is "$status" 0 "\`stint save\` saves a run that is running"
like "$(cat "$TEST_DIR/out")" "^saved step [0-9]+, " "and tells what landed"
step=$(sed -n 's/^saved step \([0-9]*\),.*/\1/p' "$TEST_DIR/out")
ok "which is on disk by then" test -e "$run/checkpoints/step-$(printf %012d "$step")/manifest.json"
run stint save "$run" --json
is "$status" 0 "\`stint save --json\` saves"
json_holds "and tells it as JSON" "d['landed'] is True and d['step'] > $step and d['bytes'] > 1000 and d['took_s'] > 0"
is "$(count_events "$run" save '"reason": *"user"')" 2 "the journal says that these were asked for"

run stint ls "$run"
is "$status" 0 "\`stint ls\` lists the checkpoints"
like "$(cat "$TEST_DIR/out")" "^step-$(printf %012d "$step") " "by name"
like "$(cat "$TEST_DIR/out")" "valid_loss [0-9.]+ .*best" "with their metrics, and which is best"
like "$(cat "$TEST_DIR/out")" "newest" "and which is newest"
run stint ls "$run" --json
json_holds "\`stint ls --json\` has them too" "any(c['step'] == $step and c['whole'] and c['bytes'] > 1000 and c['ranks'] == 1 for c in d)"

for which in "" newest best "$step"; do
        # shellcheck disable=SC2086  # no word at all is one of the cases
        run stint verify "$run" $which
        is "$status" 0 "\`stint verify RUN $which\` reads that checkpoint again"
done
run stint verify "$run" --all --json
json_holds "\`stint verify --all --json\`" "len(d) >= 2 and all(c['outcome'] == 'ok' and c['bytes'] > 1000 for c in d)"

# ---- stopped ---------------------------------------------------------------------------------------------------------

run stint save "$run" --stop
is "$status" 0 "\`stint save --stop\` saves"
stopped=$(sed -n 's/^saved step \([0-9]*\),.*/\1/p' "$TEST_DIR/out")
wait_exit train 30
is "$status" 75 "and ends the stint, to be continued"
is "$(step_of "$(newest "$run")")" "$stopped" "at the step it told"
run stint status "$run"
is "$status" 0 "the status of a run that is stopped"
unlike "$(cat "$TEST_DIR/out")" "running" "does not say that it is running"
like "$(cat "$TEST_DIR/out")" "(^|[^0-9])$stopped([^0-9]|\$)" "and tells its last step"
run stint status "$run" --json
json_holds "as JSON too" "'$stopped' in json.dumps(d)"
run stint save "$run"
is "$status" 125 "nothing can be saved when nothing runs"
like "$(cat "$TEST_DIR/err")" "is not running" "and that is said"
run stint show "$run"
is "$status" 0 "\`stint show\` tells the history"
like "$(cat "$TEST_DIR/out")" "stopped" "with why each stint ended"
like "$(cat "$TEST_DIR/out")" "saved step $stopped, " "and its verdict"
run stint show "$run" --json
json_holds "as JSON too" "'stopped' in json.dumps(d) and 'saved step $stopped' in json.dumps(d)"

# ---- DONE ------------------------------------------------------------------------------------------------------------

mkdir "$TEST_DIR/cwd"
(cd "$TEST_DIR/cwd" && exec stint run -- minimal 100 >"$TEST_DIR/minimal.out" 2>"$TEST_DIR/minimal.err")
for verb in status show ls verify; do
        cd "$TEST_DIR/cwd"
        run stint "$verb"
        cd "$TEST_DIR"
        is "$status" 0 "\`stint $verb\` without a name takes the only run there is"
done
run stint status "$TEST_DIR/cwd/run"
like "$(cat "$TEST_DIR/out")" "complete|done|DONE" "a run that is complete says so, and its name does without .stint"

# ---- doctor ----------------------------------------------------------------------------------------------------------

run stint doctor "$run"
is "$status" 0 "\`stint doctor\` finds nothing wrong here"
run stint doctor "$run" --json
json_holds "and says it as JSON" "len(d) > 0"
run stint doctor --faults
is "$(sort "$TEST_DIR/out")" "$(grep -oE '"[a-z]+\.[a-z_]+"' "$TEST_SOURCE/lib/common/fault.c" | tr -d '"' | grep -v '\.h$' | sort)" \
        "\`stint doctor --faults\` lists every point at which stint can be broken"
STINT_LIBEXEC_DIR=$TEST_DIR/nothing run stint doctor "$run"
isnt "$status" 0 "without an agent the doctor finds something"
like "$(cat "$TEST_DIR/out" "$TEST_DIR/err")" "stint-agent" "and names it"

# ---- mistakes --------------------------------------------------------------------------------------------------------

wrong() # NAME REGEX ARGUMENT...
{
        local name=$1 regex=$2
        shift 2
        run stint "$@"
        is "$status" 125 "$name is refused with 125"
        like "$(cat "$TEST_DIR/err")" "$regex" "$name is explained"
        is "$(cat "$TEST_DIR/out")" "" "$name leaves stdout empty"
}
wrong "a verb that there is not" "did you mean .*status" stauts
wrong "no verb" "Usage: stint VERB"
wrong "an option that there is not" "--json" ls "$run" --jason
wrong "a run that there is not" "no run directory .*nowhere" ls "$TEST_DIR/nowhere"
wrong "a folder that is no run" "is no run directory" show "$TEST_DIR/tmp"
wrong "a step that there is not" "77777" verify "$run" 77777
wrong "a step that is none" "neither a step" verify "$run" soon
wrong "a word too many" "one word too many" save "$run" now
wrong "an option of \`stint run\` that there is not" "--stint-interval" run --stint-intervall 5s -- true
wrong "a duration that is none" "--stint-limit" run --stint-limit soon -- true
wrong "\`stint run\` without a command" "command|program" run --stint-dir "$TEST_DIR/nothing.stint"
not_ok "which makes no run directory" test -e "$TEST_DIR/nothing.stint"

for verb in run submit exec status show ls verify save stop resume cancel vacate doctor; do
        run stint "$verb" --help
        is "$status:$(head -c 12 "$TEST_DIR/out")" "0:Usage: stint" "\`stint $verb --help\` tells its options"
done
run stint --version
like "$(cat "$TEST_DIR/out")" "^stint [0-9]+\.[0-9]+\.[0-9]+\$" "\`stint --version\`"
run bash -c 'stint ls "$1" >/dev/full' - "$run"
is "$status" 125 "data that cannot be written is an error"
done_testing
