#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/prefetch.sh: the newest checkpoint is in memory before the program asks for it. One that is damaged is found
# then, and the older one is there instead. What is still in staging is used without the disk. Memory that nobody needs any
# more is given back.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

reference

# A run with two checkpoints that is not at its end, and copies of it.
good=$TEST_DIR/good
command=(stint run --stint-interval 80ms)
killed_after "$good" 2 "${command[@]}" --stint-dir "$good" -- "${flow_train[@]}" --out "$TEST_DIR/good.bin"
rm -rf "$good"/checkpoints/*.part
newer=$(basename "$(newest "$good")")
older=$(whole "$good" | tail -n 2 | head -n 1)
isnt "$older" "$newer" "there are two checkpoints"

# Waits, as one that imports a framework does, until the test has seen what it waits for.
cat >"$TEST_DIR/slowly" <<'END_OF_PROGRAM'
#!/bin/bash
until [ -e "$1" ]; do sleep 0.02; done
shift
exec "$@"
END_OF_PROGRAM
chmod +x "$TEST_DIR/slowly"

# slow NAME [OPTION...]: a stint of a copy of the run, in $run, whose program begins when $TEST_DIR/NAME.go is there
slow()
{
        local name=$1
        shift
        run=$TEST_DIR/$name
        cp -a "$good" "$run"
        [ -z "${prepare-}" ] || (cd "$run/checkpoints/$newer" && $prepare)
        start "$name" "${command[@]}" --stint-dir "$run" "$@" -- "$TEST_DIR/slowly" "$TEST_DIR/$name.go" \
                "${flow_train[@]}" --out "$run.bin"
}

images() # NAME: how many images of checkpoints its agent holds
{
        local pid n=0
        for pid in $(by_executable "$1" stint-agent); do
                n=$((n + $(find "/proc/$pid/fd" -lname '/memfd:stint-restore*' 2>/dev/null | wc -l)))
                n=$((n + $(grep -c 'memfd:stint-restore' "/proc/$pid/maps" || :)))
        done
        echo "$n"
}

holds() # NAME N
{
        [ "$(images "$1")" -eq "$2" ]
}

# ---- in time ---------------------------------------------------------------------------------------------------------

slow ahead
wait_for 60 "the checkpoint to be read" has_events "$run" 1 prefetched
is "$(journal "$run" prefetched checkpoint)" "$newer" "the newest checkpoint is read while the program starts"
is "$(images ahead)" 1 "the agent holds its image"
# What is not on the disk any more cannot be read when the program asks.
mkdir "$TEST_DIR/away"
mv "$run/checkpoints/$newer"/rank-* "$TEST_DIR/away"
touch "$TEST_DIR/ahead.go"
wait_for 60 "the restore" has_events "$run" 1 restore
mv "$TEST_DIR/away"/rank-* "$run/checkpoints/$newer"
wait_for 30 "the agent to let go of the image" holds ahead 0
pass "when the program has its state, the agent has its memory back"
wait_exit ahead 60
is "$status" 0 "the program goes on from what is in memory"
is "$(journal "$run" restore checkpoint prefetched from)" "$newer true disk" "the journal says that it was read ahead"
like "$(cat "$TEST_DIR/ahead.err")" "restored step $(step_of "$newer") .*read ahead" "and so does the log"
same_weights "$run.bin" "it ends with the weights of a training that nobody touched"
run stint show "$run" --json --events
json_holds "stint show has how long the program waited" \
        'next(e for e in d["events"] if e["event"] == "restore")["wait_s"] >= 0'
json_holds "and of each stint what it was given back" \
        'd["stints"][0]["restore"] is None and d["stints"][1]["restore"]["prefetched"] is True and d["stints"][1]["restore"]["from"] == "disk"'

# ---- damaged ---------------------------------------------------------------------------------------------------------

flip_middle() # a bit in the middle of the file, where tensors are
{
        local file=rank-00000-of-00001.h5 at byte
        at=$(($(stat -c %s "$file") / 2))
        byte=$(od -An -tu1 -j "$at" -N 1 "$file")
        # shellcheck disable=SC2059  # an octal escape is made
        printf "\\$(printf %03o $((byte ^ 4)))" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
}
prepare=flip_middle
slow damaged
wait_for 60 "the older checkpoint to be read" has_events "$run" 1 prefetched
ok "a damaged checkpoint is set aside before the program asks" test -d "$run/checkpoints/quarantined-$newer"
is "$(journal "$run" prefetched checkpoint)" "$older" "and the next older one is read"
touch "$TEST_DIR/damaged.go"
wait_exit damaged 60
is "$status" 0 "the program comes to its end"
is "$(journal "$run" restore checkpoint prefetched)" "$older true" "it began at the older one, from memory"
like "$(journal "$run" restore passed_over)" "$newer: .*hash" "the journal says which newer one was not used, and why"
like "$(cat "$TEST_DIR/damaged.err")" "$newer is not used: .*hash" "and so does the log"
same_weights "$run.bin" "it ends as if nothing had been"

prepare="rm manifest.json"
slow faceless
wait_for 60 "the older checkpoint to be read" has_events "$run" 1 prefetched
touch "$TEST_DIR/faceless.go"
wait_exit faceless 60
is "$(journal "$run" restore checkpoint prefetched)" "$older true" "one without a manifest is none to be read ahead"
like "$(journal "$run" restore passed_over)" "$newer" "and the journal says that it was passed over"
same_weights "$run.bin" "this one ends as if nothing had been, too"
prepare=

# ---- not wanted ------------------------------------------------------------------------------------------------------

slow off --stint-prefetch=off
wait_for 60 "the agent" has_program off stint-agent
touch "$TEST_DIR/off.go"
wait_exit off 60
is "$(journal "$run" restore checkpoint prefetched streamed)" "$newer false true" "with --stint-prefetch=off it is read when it is asked for"
is "$(count_events "$run" prefetched)" 0 "and not before"
same_weights "$run.bin" "with the same weights"

has_ended() # NAME
{
        ! has_program "$1" bash
}

mkdir "$TEST_DIR/faults"
run=$TEST_DIR/short
cp -a "$good" "$run"
STINT_FAULT=restore.before_read:pause STINT_FAULT_DIR=$TEST_DIR/faults start short \
        "${command[@]}" --stint-dir "$run" -- "$TEST_DIR/slowly" "$TEST_DIR/short.go" true
wait_for 60 "the file to be read" reached "$TEST_DIR/faults"
touch "$TEST_DIR/short.go"
wait_for 60 "the end of the program" has_ended short
find "$TEST_DIR/faults" -type f -delete
wait_exit short 60
is "$status" 0 "a program that knows nothing of stint ends as it likes, while its checkpoint is read"
is "$(basename "$(newest "$run")")" "$newer" "and every checkpoint is where it was"

# ---- asked for while it is read --------------------------------------------------------------------------------------

# early NAME POINT: the program asks when the agent, which reads ahead, has come to this point; then the agent goes on
early()
{
        run=$TEST_DIR/$1
        cp -a "$good" "$run"
        STINT_FAULT=$2:pause STINT_FAULT_DIR=$TEST_DIR/faults start "$1" \
                "${command[@]}" --stint-dir "$run" -- "$TEST_DIR/slowly" "$TEST_DIR/$1.go" "${flow_train[@]}" --out "$run.bin"
        wait_for 60 "the file to be read" reached "$TEST_DIR/faults"
        touch "$TEST_DIR/$1.go"
        wait_for 60 "the program to be there" has_events "$run" 1 attached
}

early late restore.after_read
find "$TEST_DIR/faults" -type f -delete
wait_exit late 60
is "$status" 0 "a program that asks when most of its file is read gets that"
is "$(journal "$run" restore checkpoint prefetched streamed)" "$newer true false" "and the file is not read once more"
same_weights "$run.bin" "its weights are the same"

early early restore.mid_read
wait_for 60 "the restore" has_events "$run" 1 restore
find "$TEST_DIR/faults" -type f -delete
wait_exit early 60
is "$status" 0 "one that asks before does not wait for that"
is "$(journal "$run" restore checkpoint prefetched streamed)" "$newer false true" "the file is streamed"
same_weights "$run.bin" "with the same weights, too"

# ---- from staging ----------------------------------------------------------------------------------------------------

# The program is killed and started again within its stint, and what it saved is still in memory.
run=$TEST_DIR/staging
start staging stint run --stint-dir "$run" --stint-interval off -- bash -c \
        '"$@" --step-ms 1000 & wait $! || :; exec "$@"' wrapper "${flow_train[@]}" --out "$run.bin"
wait_for 60 "the training to be on its way" has_events "$run" 1 fresh
run stint save "$run"
is "$status" 0 "a snapshot has landed"
step=$(journal "$run" save step | tail -n 1)
mv "$(newest "$run")"/rank-*.h5 "$TEST_DIR/away"
kill -KILL "$(by_executable staging train_lm)"
wait_for 60 "the restore" has_events "$run" 1 restore
mv "$TEST_DIR/away"/rank-*.h5 "$(newest "$run")"
wait_exit staging 60
is "$status" 0 "a program that was killed and started again in its stint goes on"
is "$(journal "$run" restore step from prefetched)" "$step staging false" "from the snapshot in staging, without its file"
like "$(cat "$TEST_DIR/staging.err")" "restored step $step .*from memory" "as the log says"
same_weights "$run.bin" "with the same weights in the end"

# ---- a listing that is behind the journal ----------------------------------------------------------------------------

# hidden NAME [OPTION...]: the newest checkpoint is not where the journal says it is, and then it is
hidden()
{
        local name=$1
        shift
        run=$TEST_DIR/$name
        cp -a "$good" "$run"
        mv "$run/checkpoints/$newer" "$TEST_DIR/away/$name"
        start "$name" "${command[@]}" --stint-dir "$run" "$@" -- "${flow_train[@]}" --out "$run.bin"
        wait_for_line 60 "$TEST_DIR/$name.err" "$newer has landed, says the journal, and .* does not show it"
        wait_for 60 "the program" has_events "$run" 2 attached
        mv "$TEST_DIR/away/$name" "$run/checkpoints/$newer"
        wait_exit "$name" 90
        is "$status $(journal "$run" restore checkpoint passed_over)" "0 $newer []" "$name: it is waited for, and used"
        same_weights "$run.bin" "$name: with the same weights in the end"
}
hidden behind
hidden behind-off --stint-prefetch=off

# ---- two ranks -------------------------------------------------------------------------------------------------------

# ranks NAME N: a stint of $run with so many ranks, that begins when $TEST_DIR/NAME.go is there
ranks()
{
        start "$1" stint run --stint-dir "$run" --stint-interval off -- "$TEST_DIR/slowly" "$TEST_DIR/$1.go" \
                env -u LD_PRELOAD -u MALLOC_CHECK_ mpirun --oversubscribe -np "$2" mpi_train --steps 20 --step-us 1000 --coupled
}

if command -v mpirun >/dev/null && command -v mpi_train >/dev/null; then
        run=$TEST_DIR/ranks
        touch "$TEST_DIR/two.go" "$TEST_DIR/again.go"
        ranks two 2
        wait_exit two 60
        is "$status" 0 "a training of two ranks"
        rm "$run/DONE" "$TEST_DIR/again.go"
        ranks again 2
        wait_for 60 "both files to be read" has_events "$run" 1 prefetched
        is "$(images again)" 2 "the files of both ranks are read ahead"
        touch "$TEST_DIR/again.go"
        wait_exit again 60
        is "$(journal "$run" restore step prefetched)" "20 true" "and both ranks begin from memory"
        rm "$run/DONE"
        ranks three 3
        wait_for 60 "both files to be read" has_events "$run" 2 prefetched
        touch "$TEST_DIR/three.go"
        wait_for 60 "the ranks" has_events "$run" 1 attached '"ranks": *3,'
        wait_for 30 "the agent to let go of them" holds three 0 || is_gone three
        pass "for three ranks they are of no use, and let go of"
        wait_exit three 60
        like "$(journal "$run" restore_failed reason)" "was saved by 2 ranks, and this program has 3" "as the program hears"
else
        skip "mpirun or mpi_train is not here" "the files of both ranks are read ahead"
fi
done_testing
