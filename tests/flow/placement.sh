#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/placement.sh [--table]: a training that asks where its state is to be goes on wherever the next stint lets it: on another
# device, on the host when somebody says so, and nowhere else unnoticed. Its model alone is had from the run, the best
# and the newest, without an agent. docs/placement.md names the tests of each row and each number; --table writes that list there.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

# ---- the page --------------------------------------------------------------------------------------------------------

page=$TEST_SOURCE/docs/placement.md

unit_tests() # BEGINNING: the names of the unit tests that begin so
{
        sed -n "s|^START_TEST(\\($1[a-z0-9_]*\\))\$|\\1|p" "$TEST_SOURCE"/tests/unit/test_*.c
}
files_of() # TEST
{
        grep -lx "START_TEST($1)" "$TEST_SOURCE"/tests/unit/test_*.c | sed 's|.*/||'
}
table_of_tests()
{
        local number test
        echo "| | test | in \`tests/unit/\` |"
        echo "|---|---|---|"
        for number in $(unit_tests h | sed -n 's/^h\([0-9][0-9]\)_.*/\1/p' | sort -u); do
                for test in $(unit_tests "h${number}_"); do
                        echo "| H$number | \`$test\` | \`$(files_of "$test")\` |"
                done
        done
}
table_of_tests >"$TEST_DIR/table"
if [ "${1-}" = --table ]; then
        awk -v table="$TEST_DIR/table" '
                /^<!-- end -->$/ { skipping = 0 }
                !skipping
                /^<!-- tests -->$/ { skipping = 1; while ((getline line <table) > 0) print line }' "$page" >"$TEST_DIR/page"
        cp "$TEST_DIR/page" "$page"
fi
is "$(sed -n '/^<!-- tests -->$/,/^<!-- end -->$/{/^<!--/!p}' "$page")" "$(cat "$TEST_DIR/table")" \
        "docs/placement.md lists the tests by their numbers"
for number in {34..49}; do
        is "$(sed '/^<!-- tests -->$/,$d' "$page" | grep -c "^| H$number | [^|][^|]* | [^|][^|]* |\$")" 1 "H$number is told"
        isnt "$(unit_tests "h${number}_" | wc -l)" 0 "and tested"
done
# shellcheck disable=SC2016  # backquotes of the page
rows=$(sed -n '/^## The table/,/^## /s/^| [^|]* | [^|]* | `\(.*\)` |$/\1/p' "$page")
is "$(wc -l <<<"$rows")" "$(sed -n '/^## The table/,/^## /p' "$page" | grep '^| ' | grep -vc '^| role |')" \
        "every row of the table names its test"
for row in $rows; do
        is "$(files_of "$row" | wc -l)" 1 "the row $row is tested"
done

# ---- a training that asks --------------------------------------------------------------------------------------------

train=(placed_train 60 5)
hash_in() # FILE: of the model after 60 steps
{
        sed -n 's/^step 60 hash //p' "$1"
}

STINT_DEVICE=sim:devices=2,current=1 STINT_DIR=off run "${train[@]}"
is "$status" 0 "a training without stint is told where its state is to be, too"
like "$(cat "$TEST_DIR/out")" "^model on device 1\$" "on the device that is in use"
reference_hash=$(hash_in "$TEST_DIR/out")

# killed_on RUN DEVICES: a run whose newest checkpoint was saved there
killed_on()
{
        STINT_DEVICE=$2 killed_after "$1" 1 stint run --stint-dir "$1" --stint-interval 80ms -- "${train[@]}"
}

# ---- another device --------------------------------------------------------------------------------------------------

run=$TEST_DIR/other
killed_on "$run" sim:devices=2,current=1
step=$(step_of "$(newest "$run")")
STINT_DEVICE=sim run stint run --stint-dir "$run" -- "${train[@]}"
is "$status" 0 "a training from device 1 goes on where there is only device 0"
like "$(cat "$TEST_DIR/out")" "^model on device 0\$" "on that"
like "$(cat "$TEST_DIR/out")" "^starts at step $step\$" "from its newest checkpoint"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"

# ---- no device -------------------------------------------------------------------------------------------------------

run=$TEST_DIR/none
killed_on "$run" sim:devices=2,current=1
before=$(whole "$run")
run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "it does not go on without a device unnoticed"
like "$(cat "$TEST_DIR/err")" "'model/values': it was on sim:1 when it was saved.*STINT_MODEL_DEVICE=cpu" "but says what to do"
is "$(whole "$run")" "$before" "and costs no checkpoint"
STINT_MODEL_DEVICE=cpu run stint run --stint-dir "$run" -- "${train[@]}"
is "$status" 0 "it goes on on the host when somebody says so"
like "$(cat "$TEST_DIR/out")" "^model on the host\$" "there"
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "to the same bits"

# ---- not that device -------------------------------------------------------------------------------------------------

run=$TEST_DIR/small
killed_on "$run" sim
STINT_DEVICE=sim:memory=64K run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "a device with too little memory is refused before anything is allocated"
like "$(cat "$TEST_DIR/err")" "will put 78.1 KiB on sim:0 \(model 39.1 KiB, optimizer 39.1 KiB\), of whose 64.0 KiB" "with the numbers"
STINT_DEVICE=sim:devices=2 STINT_MODEL_DEVICE=sim:2 run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "so is one that is not there"
like "$(cat "$TEST_DIR/err")" "there is no sim:2: this process sees 2" "with how many there are"
STINT_DEVICE=sim STINT_MODEL_DEVICE=gpu:0 run stint run --stint-dir "$run" -- "${train[@]}"
isnt "$status" 0 "so is a word that is none"
like "$(cat "$TEST_DIR/err")" "STINT_MODEL_DEVICE is 'gpu:0': it is auto, cuda" "with those that are"

# ---- the model alone -------------------------------------------------------------------------------------------------

run=$TEST_DIR/other
ok "the run is DONE" test -e "$run/DONE"
journal_lines=$(wc -l <"$run/journal.jsonl")
STINT_DIR=off run placed_train --model "$run" newest
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "the newest model of a complete run is that of its end, on the host"
STINT_DEVICE=sim STINT_DIR=off run placed_train --model "$run" newest
is "$(hash_in "$TEST_DIR/out")" "$reference_hash" "and on a device"
STINT_DIR=off run placed_train --model "$run" best
like "$(cat "$TEST_DIR/out")" "^step $(step_of "$(readlink -f "$run/best")") hash" "the best one is that of the link"
is "$(sed 's/ hash.*//' "$TEST_DIR/out")" "step 30" "by its metric"
is "$(wc -l <"$run/journal.jsonl")" "$journal_lines" "the run is not touched by that"
STINT_DIR=off run placed_train --model "$TEST_DIR/nowhere" newest
isnt "$status" 0 "where there is no run there is no model"
done_testing
