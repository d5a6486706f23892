#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/fuzz/run.sh SOURCE BUILD SECONDS FLAGS LIBS FILE... -- TARGET...: what `make fuzz` does. Compiles the rooms in FILE anew with
# clang, with the counters that libFuzzer steers by and both sanitizers, links each target with them, and lets each run for
# SECONDS from the seeds that its own program writes. What it learned is kept in BUILD/fuzz/TARGET.corpus.
set -eu
source=$1 build=$2 seconds=$3 flags=$4 libs=$5
shift 5
command -v clang >/dev/null || { echo "make fuzz: clang is not here; \`make check\` runs the same targets without it"; exit 77; }
mkdir -p "$build/fuzz"
cd "$build"
sanitize="-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
objects=()
while [ "$1" != -- ]; do
        object=fuzz/${1//\//-}.o
        if [ ! "$object" -nt "$source/$1" ] || [ -n "$(find "$source" -name '*.h' -newer "$object" -print -quit)" ]; then
                # shellcheck disable=SC2086  # flags are words
                eval clang -std=gnu11 -pthread $sanitize -fsanitize=fuzzer-no-link $flags -c '"$source/$1"' -o '"$object"'
        fi
        objects+=("$object")
        shift
done
shift
rm -f fuzz/rooms.a
ar rc fuzz/rooms.a "${objects[@]}"
rc=0
for target; do
        name=${target##*/}
        # shellcheck disable=SC2086
        eval clang -std=gnu11 -pthread $sanitize -fsanitize=fuzzer $flags '"$source/$target.c"' fuzz/rooms.a $libs -o 'fuzz/$name'
        mkdir -p "fuzz/$name.corpus"
        "$build/$target" --seeds "fuzz/$name.corpus"
        if fuzz/"$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -artifact_prefix="fuzz/$name." \
                "fuzz/$name.corpus" >"fuzz/$name.log" 2>&1; then
                echo "$name: $(grep -o 'Done .*' "fuzz/$name.log"), nothing found, $(find "fuzz/$name.corpus" -type f | wc -l) inputs kept"
        else
                rc=1
                tail -n 40 "fuzz/$name.log"
                echo "$name: FOUND something; the input is fuzz/$name.crash-* or the like, for \`$target FILE\`"
        fi
done
exit "$rc"
