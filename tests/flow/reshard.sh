#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/reshard.sh: a run that goes on with another number of ranks, under a real MPI. The program checks every
# element that it is given; here it is looked at what is said, what is refused, and what becomes of damage.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"
command -v mpirun >/dev/null || skip_all "mpirun is not here"
command -v mpi_sharded >/dev/null || skip_all "mpi_sharded was not built: no MPI for programs was found"

# The leak checker cannot tell what MPI's unloaded components kept from what we did.
[ "${TEST_SANITIZERS-no}" = no ] || export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"

# N [ARGUMENT...]: the program on so many ranks, in the array `program`; 1: the one without MPI, whose arrays are in no pieces.
ranks()
{
        local n=$1
        shift
        program=(sharded "$@")
        [ "$n" = 1 ] || program=(env -u LD_PRELOAD -u MALLOC_CHECK_ mpirun --oversubscribe -np "$n" mpi_sharded "$@")
}

# RUN N [ARGUMENT...]: a stint of it, with these options
options=()
stint_of()
{
        local dir=$1
        shift
        ranks "$@"
        run stint run --stint-dir "$dir" "${options[@]}" -- "${program[@]}"
}

# N K STEP: all of N ranks have said that they begin at that step with what K had saved
all_start()
{
        is "$(grep -c "^rank [0-9]* of $1 starts at step $3, saved by $2\$" "$TEST_DIR/out")" "$1" \
                "$1 ranks begin at step $3 with what $2 had saved, every element as it should be"
}

positions() # the position in the data of each rank, in order
{
        sed -n 's/^rank \([0-9]*\) position \([0-9]*\) .*/\1 \2/p' "$TEST_DIR/out" | sort -n | cut -d' ' -f2 | paste -sd' '
}

generators() # what each rank's generator is, in order
{
        sed -n 's/^rank \([0-9]*\) position [0-9]* rng \(.*\)/\1 \2/p' "$TEST_DIR/out" | sort -n | cut -d' ' -f2 | paste -sd' '
}

bytes_of_ranks() # RUN: how many bytes of state each rank of the newest has
{
        /usr/bin/python3 -c 'import json, sys
print(*[r["state_bytes"] for r in json.load(open(sys.argv[1] + "/manifest.json"))["ranks"]])' "$(newest "$1")"
}

damage() # FILE: a byte changed in one of its tensors
{
        /usr/bin/python3 - "$1" <<'END'
import os, sys
with open(sys.argv[1], "r+b") as f:
    size = os.fstat(f.fileno()).st_size
    f.seek(size // 2)
    byte = f.read(1)[0]
    f.seek(size // 2)
    f.write(bytes([byte ^ 64]))
END
}

# ---- to two, three, one and four --------------------------------------------------------------------------------------

ranks 4
STINT_DIR=off "${program[@]}" >"$TEST_DIR/alone" 2>&1 </dev/null || { diag_file "$TEST_DIR/alone"; exit 1; }
sum=$(grep '^steps 40 sum' "$TEST_DIR/alone")

run=$TEST_DIR/all
stint_of "$run" 4 --leave-at 10
all_start 4 0 0
started=$(generators)
stint_of "$run" 4 --leave-at 12
all_start 4 4 10
is "$(count_events "$run" ranks_changed)" 0 "nothing is said of ranks that have not changed"

stint_of "$run" 2 --leave-at 20
all_start 2 4 12
is "$(positions)" "72 72" "the program divides its data anew, for it hears how many ranks there were"
is "$(journal "$run" ranks_changed saved ranks)" "4 2" "the journal has both numbers"
like "$(cat "$TEST_DIR/err")" "restored on 2 ranks what 4 ranks had saved" "the log as well"
like "$(cat "$TEST_DIR/err")" "nobody takes over 'rng' and 1 more of the ranks from 2 on" "and what of four ranks two do not need"
is "$(journal "$run" restore prefetched from)" "$(printf 'true disk\nfalse pieces')" "four ranks on four had it read ahead, as always"

stint_of "$run" 3 --leave-at 25
all_start 3 2 20
is "$(generators | cut -d' ' -f3)" "$(echo "$started" | cut -d' ' -f3)" "a rank that there was not keeps the generator that the program made"
isnt "$(generators | cut -d' ' -f2)" "$(echo "$started" | cut -d' ' -f2)" "one that there was goes on with its own"
like "$(cat "$TEST_DIR/err")" "rank 2 was not among them, and keeps 'rng'" "which is said"

stint_of "$run" 1 --leave-at 30
all_start 1 3 25
is "$(positions)" "300" "one rank without MPI has all of the data"

stint_of "$run" 4
is "$status" 0 "four ranks come to the end of what one rank had whole"
all_start 4 1 30
is "$(grep '^steps 40 sum' "$TEST_DIR/out")" "$sum" "every element of every array is what it is when nobody touches the training"
ok "the run is DONE" test -e "$run/DONE"
ok "and all of it holds" stint verify "$run" --all

# ---- as many ranks, and other pieces -----------------------------------------------------------------------------------

for prefetch in on off; do
        run=$TEST_DIR/turned-$prefetch
        options=("--stint-prefetch=$prefetch")
        stint_of "$run" 4 --leave-at 10
        stint_of "$run" 4 --turned --leave-at 12
        all_start 4 4 10
        is "$(journal "$run" restore from) $(count_events "$run" ranks_changed)" "pieces 0" "which were as many (read ahead: $prefetch)"
        stint_of "$run" 4 --turned --leave-at 14
        all_start 4 4 12
        stint_of "$run" 4
        is "$(grep '^steps 40 sum' "$TEST_DIR/out")" "$sum" "from rows to columns and back again, nothing is lost"
done
options=()

# ---- what all ranks have alike, written once ---------------------------------------------------------------------------

run=$TEST_DIR/once
vector=2400 # bytes of it
stint_of "$run" 4 --leave-at 10
before=$(bytes_of_ranks "$run")
stint_of "$run" 4 --replicated --leave-at 12
all_start 4 4 10
read -r first others <<<"$before"
is "$(bytes_of_ranks "$run")" "$first$(for n in $others; do printf ' %d' $((n - vector)); done)" "the file of rank 0 alone has its bytes"
stint_of "$run" 4 --replicated --leave-at 14
all_start 4 4 12
is "$(journal "$run" restore from | tail -n 1)" "pieces" "which the others have out of that"
stint_of "$run" 4 --replicated --late-vector --leave-at 16
all_start 4 4 14
stint_of "$run" 3 --replicated --late-vector --leave-at 20
all_start 3 4 16
stint_of "$run" 3 --leave-at 21
all_start 3 3 20
stint_of "$run" 2 --replicated --leave-at 22
all_start 2 3 21
stint_of "$run" 1 --leave-at 24
all_start 1 2 22
stint_of "$run" 4 --replicated
is "$(grep '^steps 40 sum' "$TEST_DIR/out")" "$sum" "each rank has it all the same, on four, three, two and one"
ok "all of it holds" stint verify "$run" --all

# ---- damage -----------------------------------------------------------------------------------------------------------

# What is damaged is found by whoever reads it, not ahead of that.
options=(--stint-prefetch=off)
run=$TEST_DIR/damage
stint_of "$run" 4 --leave-at 10
stint_of "$run" 4 --leave-at 20
damage "$run/checkpoints/step-000000000020/rank-00002-of-00004.h5"
stint_of "$run" 3 --leave-at 22
like "$(cat "$TEST_DIR/err")" "step-000000000020 is not used: .*rank-00002-of-00004.h5: tensor '[a-z/]*' of rank 2 .* does not match its hash" \
        "a damaged piece is refused, with its file and its name"
all_start 3 4 10
ok "what was damaged is set aside" test -d "$run/checkpoints/quarantined-step-000000000020"
stint_of "$run" 2 --leave-at 26
rm "$(newest "$run")/rank-00001-of-00002.h5"
stint_of "$run" 4 --leave-at 28
like "$(cat "$TEST_DIR/err")" "step-000000000026 is not used: .*rank-00001-of-00002.h5" "a file that is missing is named"
all_start 4 3 22

options=()

# ---- what cannot be ---------------------------------------------------------------------------------------------------

# RUN N K WORDS NAME [ARGUMENT...]: what N ranks have saved is refused to K of them, for that reason, and nothing is lost
refused()
{
        local dir=$TEST_DIR/$1 n=$2 k=$3 words=$4 name=$5 kept
        shift 5
        stint_of "$dir" "$n" --leave-at 10 "$@"
        kept=$(whole "$dir")
        stint_of "$dir" "$k" "$@"
        isnt "$status" 0 "$name is refused"
        like "$(cat "$TEST_DIR/err")" "saved by $n ranks, and this program has $k: .*$words" "with its name and the reason"
        is "$(whole "$dir")" "$kept" "nothing of it is set aside"
        stint_of "$dir" "$n" --leave-at 12 "$@"
        all_start "$n" "$n" 10
}

refused hole 4 2 "'model/rows'" "an array with a hole in it" --hole
refused differs 3 2 "'model/mine' is no piece of a larger array, and differs between rank 0 and rank 1" "a tensor that is another one on each rank" --differs
refused late 4 3 "'model/columns' is in pieces and not attached" "a piece that is attached too late" --late
done_testing
