# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/flow.sh: what the flow tests share: a training of a second, its undisturbed end to compare with, questions
# to a run's journal and folders, and waiting for what happens in a run.

flow_steps=60
flow_train=(train_lm --small --steps "$flow_steps" --step-ms 5 --eval-every 0 --log-every 0)

reference() # what `flow_train` ends with when nobody touches it, in $TEST_DIR/reference.bin
{
        STINT_DIR=off "${flow_train[@]}" --out "$TEST_DIR/reference.bin" >"$TEST_DIR/reference.log" 2>&1 ||
                { diag_file "$TEST_DIR/reference.log"; exit 1; }
}

same_weights() # FILE NAME: passes when it has the weights of the reference
{
        ok "$2" cmp "$1" "$TEST_DIR/reference.bin"
}

# journal RUN EVENT [FIELD...]: one line per event, with the values of these fields, or the whole object without any
journal()
{
        /usr/bin/python3 - "$@" <<'END'
import json, sys
run, event, fields = sys.argv[1], sys.argv[2], sys.argv[3:]
for line in open(run + "/journal.jsonl"):
    try:
        entry = json.loads(line)
    except ValueError:
        continue
    if entry.get("event") == event:
        show = lambda value: value if isinstance(value, str) else json.dumps(value)
        print(" ".join(show(entry.get(f)) for f in fields) if fields else line.strip())
END
}

count_events() # RUN EVENT [TEXT]: lines of the journal with that event, and that text behind it
{
        grep -cs -e "\"event\": *\"$2\".*${3-}" "$1/journal.jsonl" || :
}

has_events() # RUN N EVENT [TEXT]: at least so many of them
{
        [ "$(count_events "$1" "$3" "${4-}")" -ge "$2" ]
}

landed='"landed": *true'
failed='"landed": *false'

wait_landed() # RUN [N]: until so many saves landed, those of earlier stints counted
{
        wait_for 60 "${2:-1} saves to land in ${1##*/}" has_events "$1" "${2:-1}" save "$landed" ||
                { diag_file "$1/journal.jsonl"; return 1; }
}

progress_is() # RUN STEP: the training is there, or further
{
        local step
        step=$(sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$1/progress.json" 2>/dev/null)
        [ "${step:-0}" -ge "$2" ]
}

whole() # RUN: the names of its whole checkpoints, oldest first
{
        local dir
        for dir in "$1"/checkpoints/step-*; do
                [ ! -e "$dir/manifest.json" ] || echo "${dir##*/}"
        done | grep -v '\.part$' || :
}

newest() # RUN: the folder of the newest one
{
        echo "$1/checkpoints/$(whole "$1" | tail -n 1)"
}

step_of() # CHECKPOINT: its step, from its name
{
        local step=${1##*step-}
        echo $((10#$step))
}

by_executable() # NAME EXECUTABLE: ids of the processes that `start NAME` brought about and that run this program
{
        local pid
        for pid in $(family_of "$1"); do
                case $(readlink "/proc/$pid/exe" 2>/dev/null) in
                */"$2") echo "$pid" ;;
                esac
        done
}

has_program() # NAME EXECUTABLE
{
        [ -n "$(by_executable "$1" "$2")" ]
}

reached() # FOLDER [N]: N processes wait at a fault point, whose files are in this folder
{
        [ "$(find "$1" -type f ! -name '.*' 2>/dev/null | wc -l)" -ge "${2:-1}" ]
}

# killed_after RUN N COMMAND [ARGUMENT...]: the command is started, and killed with all that it started when N saves of its
# own have landed. It can come to no end before that, for its agent stands still before the next one. With several ranks
# each has a file, and flow_ranks says how many there are.
flow_ranks=1
killed_after()
{
        local run=$1 n=$2 name
        name=killed-$(basename "$run")
        shift 2
        mkdir -p "$TEST_DIR/$name"
        STINT_FAULT=save.before_create:pause@$((n * flow_ranks + 1)) STINT_FAULT_DIR=$TEST_DIR/$name start "$name" "$@"
        wait_for 60 "save $((n + 1)) of $name" reached "$TEST_DIR/$name" || { diag_file "$run/journal.jsonl"; return 1; }
        kill_family KILL "$name"
        wait_exit "$name" 30
        find "$TEST_DIR/$name" -type f -delete
}

is_gone() # NAME: nothing that `start NAME` brought about is left
{
        [ -z "$(family_of "$1")" ]
}

# json_holds NAME EXPRESSION: passes when the output of the last `run` is JSON of which, as `d`, the Python expression is true
json_holds()
{
        ok "$1" /usr/bin/python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
assert eval(sys.argv[2]), json.dumps(d, indent=1)' "$TEST_DIR/out" "$2"
}
