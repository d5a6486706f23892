#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/planted.sh: things in a run directory that stint did not put there, or that somebody else did: other kinds of file
# under its names, links to elsewhere, seals of another run, files far too large. Nothing hangs, nothing crashes, nothing
# outside is touched, and what stands in the way is named.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

reference
h5=rank-00000-of-00001.h5
seal=rank-00000-of-00001.seal
stint_run=(stint run --stint-interval 80ms --stint-dir)
good=$TEST_DIR/good
killed_after "$good" 2 "${stint_run[@]}" "$good" -- "${flow_train[@]}" --out "$TEST_DIR/planted.bin"
rm -rf "$good"/checkpoints/*.part
newer=$(basename "$(newest "$good")")
older=$(whole "$good" | tail -n 2 | head -n 1)
isnt "$older" "$newer" "there is a run with two checkpoints"
other=$TEST_DIR/other
run stint run --stint-interval off --stint-dir "$other" -- "${flow_train[@]}" --out "$TEST_DIR/other.bin"
is "$status" 0 "and another run"

# ---- one thing after the other ---------------------------------------------------------------------------------------

run=$TEST_DIR/run
outside=$TEST_DIR/outside

outside_is() # everything about what lies outside of the run directory
{
        find "$outside" -printf '%p %y %m %s %T@ %l\n' | sort
        find "$outside" -type f -exec cksum {} + | sort
}

# Each verb that only looks must come to an end by itself, and not by a signal.
verbs_end() # NAME
{
        local verb rc wrong=
        for verb in "ls" "ls --json" "show" "status" "verify --all"; do
                rc=0
                # shellcheck disable=SC2086  # a verb and its options
                timeout 30 stint $verb "$run" >"$TEST_DIR/verb.out" 2>&1 || rc=$?
                # 125 is stint's own "it could not be done", and timeout's too, which says so.
                [ "$rc" -lt 124 ] || [ "$rc" -eq 125 ] || wrong="$wrong$verb: exit status $rc; "
        done
        is "$wrong" "" "$1: ls, show, status and verify come to an end"
}

# planted NAME COMMAND...: a copy of the good run in which the command is run; then the verbs, and the next stint.
planted()
{
        local name=$1
        shift
        rm -rf "$run" "$outside" "$TEST_DIR/planted.bin"
        mkdir "$outside"
        cp -a "$good" "$run"
        (cd "$run" && "$@")
        before=$(outside_is)
        verbs_end "$name"
        start next "${stint_run[@]}" "$run" -- "${flow_train[@]}" --out "$TEST_DIR/planted.bin"
        wait_exit next 180
        said=$(cat "$TEST_DIR/next.err")
        is "$(outside_is)" "$before" "$name: nothing outside of the run directory is touched"
}

goes_on() # NAME: it came to its end, and to the right one
{
        is "$status" 0 "$1: the training comes to its end"
        ok "$1: the run is DONE" test -f "$run/DONE"
        same_weights "$TEST_DIR/planted.bin" "$1: it ends as if nothing had been"
        ok "$1: what is whole holds" stint verify "$run" --all
}

refused() # NAME REGEX: nothing ran, and it was said what is in the way
{
        is "$status" 125 "$1: no stint begins"
        not_ok "$1: no training ran" test -e "$TEST_DIR/planted.bin"
        like "$said" "$2" "$1: it is said what stands in the way"
}

# ---- parts -----------------------------------------------------------------------------------------------------------

foreign_part()
{
        cp -a "$other/checkpoints/step-000000000060" checkpoints/step-000000000060.s1.part
        rm checkpoints/step-000000000060.s1.part/manifest.json
}
name="a sealed part of another run"
planted "$name" foreign_part
goes_on "$name"
ok "$name: it is set aside" test -d "$run/checkpoints/abandoned-step-000000000060.s1"
like "$(journal "$run" abandoned_part reason)" "of run [0-9a-f]+, not" "$name: the journal says why"
is "$(journal "$run" restore checkpoint)" "$newer" "$name: nothing is restored from it"

foreign_whole()
{
        cp -a "$other/checkpoints/step-000000000060" checkpoints/
}
name="a whole checkpoint of another run"
planted "$name" foreign_whole
goes_on "$name"
like "$(journal "$run" quarantined reason)" "another run" "$name: the journal says why it was not taken"
is "$(journal "$run" restore checkpoint)" "$newer" "$name: nothing is restored from it"

linked_part()
{
        cp -a "checkpoints/$newer" "$outside/part"
        rm "$outside/part/manifest.json"
        ln -s "$outside/part" "checkpoints/$newer.s1.part"
        rm -r "checkpoints/$newer"
}
name="a sealed part that is a link to elsewhere"
planted "$name" linked_part
goes_on "$name"
is "$(journal "$run" restore checkpoint)" "$older" "$name: nothing is restored from it"
like "$(journal "$run" abandoned_part reason)" "link" "$name: the journal says why"

# The next stint is the second one, and its last save is of step 60.
coming_link()
{
        ln -s "$outside" checkpoints/step-000000000060.s2.part
}
name="a link in the place of the part that comes next"
planted "$name" coming_link
like "$said" "NOT saved: .*step-000000000060.s2.part|saved step 60" "$name: the verdict says what became of the save"
# Whether that save could be made or not, the command comes to its end.
run "${stint_run[@]}" "$run" -- "${flow_train[@]}" --out "$TEST_DIR/planted.bin"
is "$(outside_is)" "$before" "$name: nor by the stint after that"
goes_on "$name"

coming_file()
{
        : >checkpoints/step-000000000060.s2.part
}
name="a file in the place of the part that comes next"
planted "$name" coming_file
run "${stint_run[@]}" "$run" -- "${flow_train[@]}" --out "$TEST_DIR/planted.bin"
goes_on "$name"

# ---- within a checkpoint ---------------------------------------------------------------------------------------------

instead() # PATH COMMAND...: the command makes something else of that name
{
        local path=$1
        shift
        rm -rf "$path"
        "$@" "$path"
}
moved() # PATH: elsewhere, with a link to it
{
        [ -e "$1" ] || echo "{}" >"$1"
        mv "$1" "$outside/moved"
        ln -s "$outside/moved" "$1"
}
device()
{
        mknod "$1" c 1 5
}
kinds=(mkfifo mkdir)
if mknod "$TEST_DIR/null" c 1 3 2>/dev/null && : 2>/dev/null >"$TEST_DIR/null"; then
        kinds+=(device)
else
        skip "devices can be made by root alone, and not in every container" "a device in the place of a file"
fi

for file in "$h5" "$seal" manifest.json; do
        for kind in "${kinds[@]}"; do
                name="$kind $file"
                planted "$name" instead "checkpoints/$newer/$file" "$kind"
                goes_on "$name"
                is "$(journal "$run" restore checkpoint)" "$older" "$name: the older checkpoint is restored"
                like "$said" "$newer" "$name: it is said of which checkpoint"
        done
done
for file in "$h5" "$seal"; do
        name="a link to $file"
        planted "$name" moved "checkpoints/$newer/$file"
        goes_on "$name"
        is "$(journal "$run" restore checkpoint)" "$older" "$name: the older checkpoint is restored"
        like "$said" "$newer.*link" "$name: it is said what is wrong"
done
name="a link to a whole checkpoint"
planted "$name" moved "checkpoints/$newer"
goes_on "$name"
is "$(journal "$run" restore checkpoint)" "$older" "$name: the older checkpoint is restored"
like "$said" "$newer.*link" "$name: it is said what is wrong"

# ---- the run's own files ---------------------------------------------------------------------------------------------

for file in run.json journal.jsonl lease lease.lock; do
        for kind in "${kinds[@]}"; do
                name="$kind $file"
                planted "$name" instead "$file" "$kind"
                refused "$name" "$run/$file"
        done
done
for file in DONE progress.json measured.json; do
        for kind in "${kinds[@]}"; do
                name="$kind $file"
                planted "$name" instead "$file" "$kind"
                if [ "$file" = DONE ]; then
                        isnt "$status" 124 "$name: the start comes to an end"
                else
                        is "$status" 0 "$name: the training comes to its end"
                        same_weights "$TEST_DIR/planted.bin" "$name: it ends as if nothing had been"
                fi
        done
done
for file in journal.jsonl lease.lock progress.json; do
        name="a link in the place of $file"
        planted "$name" moved "$file"
        if [ "$file" = progress.json ]; then
                goes_on "$name"
        else
                refused "$name" "$run/$file"
        fi
done
best_dir()
{
        rm -f best
        mkdir best best.new
}
name="folders in the places of best"
planted "$name" best_dir
goes_on "$name"

# ---- whose it is -----------------------------------------------------------------------------------------------------

of_another()
{
        sed -i "s/\"uid\": *[0-9]*/\"uid\": 4242/" run.json
}
name="a run of another user"
planted "$name" of_another
refused "$name" "belongs to the user with uid 4242"
if [ "$(id -u)" -eq 0 ]; then
        name="a run.json that another user wrote"
        planted "$name" chown 4242 run.json
        refused "$name" "run.json .*uid 4242"
else
        skip "only root can give files away" "a run.json that another user wrote"
fi
name="a run directory that everybody may write"
planted "$name" chmod 0777 .
goes_on "$name"
like "$said" "$run can be written by .*chmod" "$name: it is warned of"

# ---- too much of it --------------------------------------------------------------------------------------------------

too_large()
{
        truncate -s 300M "checkpoints/$newer/manifest.json"
}
name="a manifest of 300 MB"
planted "$name" too_large
goes_on "$name"
is "$(journal "$run" restore checkpoint)" "$older" "$name: the older checkpoint is restored"
like "$said" "$newer.*larger than" "$name: it is said why"

deep()
{
        head -c 2M /dev/zero | tr '\0' '[' >"checkpoints/$newer/manifest.json"
        head -c 2M /dev/zero | tr '\0' '{' >measured.json
        head -c 2M /dev/zero | tr '\0' '[' >>journal.jsonl
}
name="brackets by the million"
planted "$name" deep
goes_on "$name"

long_journal()
{
        awk 'BEGIN { for (i = 0; i < 800000; i++) printf "{\"t\":\"2026-01-01T00:00:00.000Z\",\"stint\":1,\"event\":\"save\",\"id\":%d,\"step\":1,\"landed\":false,\"text\":\"no\"}\n", i }' >>journal.jsonl
}
name="a journal of 100 MB"
planted "$name" long_journal
goes_on "$name"
done_testing
