#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/security/names.sh: names that a user can choose, and that somebody else's terminal or log will show: the run directory,
# the program, its arguments, CUDA_VISIBLE_DEVICES, a checkpoint's file. With newlines, escape sequences, bytes that are no
# UTF-8, and 64 KiB of them; what is shown is one line each, of characters, and JSON is JSON.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/security/security.sh"
security_users
nasty=$'x\nstintd: job 1: all is well\r\e[31m\e]0;owned\a\x7f\xc2\x9b31m\xff\xfe\xc0\x80\xed\xa0\x80é'
run=$victim/$nasty
program=$victim/$nasty.bin
install -m 755 "$TEST_BUILD/examples/train_lm" "$program"
devices=$'0\n\e[2J\xff,1'

shown() # NAME FILE...: each has something to show, and it is clean
{
        local name=$1 file dirty=
        shift
        for file; do
                is_clean "$file" || dirty="$dirty ${file##*/}"
        done
        is "$dirty" "" "$name"
        [ -z "$dirty" ] || { for file in $dirty; do diag "$(head -n 8 "$TEST_DIR/$file" | cat -v)"; done; }
}

# verbs RUN NAME: what every verb shows of it. Some end with 1, which says that there was nothing, or something wrong.
verbs()
{
        local verb rc files=()
        for verb in "status" "show" "ls" "verify" "doctor"; do
                rc=0
                "${as_victim[@]}" timeout 60 stint "$verb" "$1" >"$TEST_DIR/$verb.shown" 2>&1 || rc=$?
                [ "$rc" -lt 124 ] || [ "$rc" -eq 125 ] || files+=("$verb ended with $rc")
                files+=("$TEST_DIR/$verb.shown")
        done
        shown "$2: status, show, ls, verify and doctor show no control character" "${files[@]}"
        for verb in "status" "show" "ls" "verify"; do
                "${as_victim[@]}" timeout 60 stint "$verb" --json "$1" >"$TEST_DIR/$verb.json" 2>/dev/null || :
                ok "$2: stint $verb --json is JSON, and not empty" /usr/bin/python3 -c 'import json, sys; assert json.loads(open(sys.argv[1], "rb").read().decode("utf-8"))' "$TEST_DIR/$verb.json"
        done
}

# ---- a run ----------------------------------------------------------------------------------------------------------------

run "${as_victim[@]}" CUDA_VISIBLE_DEVICES="$devices" stint run --stint-dir "$victim/plain.stint" --stint-interval 100ms -- \
        "$program" --small --steps 60 --step-ms 5 --eval-every 0 --log-every 0 --out "$victim/$nasty.out"
is "$status" 0 "a program and devices of such names are trained with"
cp "$TEST_DIR/err" "$TEST_DIR/run.shown"
shown "what stint run says of them is one line each" "$TEST_DIR/run.shown"
is "$(grep -vcE '^stint(-agent)?( [0-9]+)?: ' "$TEST_DIR/run.shown" || :)" 0 "and each is its own"
verbs "$victim/plain.stint" "program and devices"
ok "the journal is JSON, line by line" /usr/bin/python3 -c 'import json, sys
for line in open(sys.argv[1], "rb"): json.loads(line.decode("utf-8"))' "$victim/plain.stint/journal.jsonl"

run "${as_victim[@]}" stint run --stint-dir "$run" --stint-interval 100ms -- train_lm --small --steps 60 --step-ms 5 --eval-every 0 --log-every 0
cp "$TEST_DIR/err" "$TEST_DIR/dir.shown"
shown "what stint run says of such a run directory is clean" "$TEST_DIR/dir.shown"
verbs "$run" "run directory"

# ---- what somebody else put there --------------------------------------------------------------------------------------------

plain=$victim/plain.stint
"${as_victim[@]}" mkdir -p "$plain/checkpoints/step-000000009999$nasty" "$plain/checkpoints/$nasty"
"${as_victim[@]}" bash -c 'printf "{\"event\": \"end\", \"verdict\": \"a\\u001b[31m\\u0000b\\nc\", \"stint\": 1}\n\xff\x1b[31m\n" >>"$0/journal.jsonl"' "$plain"
verbs "$plain" "planted"
run "${as_victim[@]}" stint status "$victim/no such $nasty"
cat "$TEST_DIR/out" "$TEST_DIR/err" >"$TEST_DIR/none.shown"
shown "what is said of a run that there is not is clean" "$TEST_DIR/none.shown"

# ---- 64 KiB -------------------------------------------------------------------------------------------------------------------

long=$(printf 'y\e%.0s' $(seq 32768))
run "${as_victim[@]}" CUDA_VISIBLE_DEVICES="$long" stint run --stint-dir "$victim/long.stint" -- \
        bash -c 'exec train_lm --small --steps 20 --eval-every 0 --log-every 0' "$long"
is "$status" 0 "names of 64 KiB are trained with"
cp "$TEST_DIR/err" "$TEST_DIR/long.shown"
shown "and what is said of them is clean" "$TEST_DIR/long.shown"
ok "in lines that end" test "$(wc -L <"$TEST_DIR/long.shown")" -le 4096
verbs "$victim/long.stint" "64 KiB"

# ---- stintd -------------------------------------------------------------------------------------------------------------------

daemon stintd
for word in list save drain; do
        ask as_intruder request "$word" $'\e[31m1\xff' >"$TEST_DIR/answer"
        like "$(cat "$TEST_DIR/answer")" '^DONE 3 0 no job' "stintd: $word of a job with such a name is answered"
done
kill -TERM "$daemon_pid"
wait_exit stintd 20
ok "and nothing of it is in stintd's log" is_clean "$daemon_log"
unlike "$(cat "$daemon_log")" '31m' "not even escaped"
done_testing
