#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/someone.sh: a program as a stranger would bring it, with some 30 lines added: momentum that comes late, a
# random number in one integer, a place in the data, an array that grows. It resumes bit by bit, whatever cut it off.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

train=(someone 10 3000) # 10 epochs of 32 batches, 3 ms each
STINT_DIR=off run "${train[@]}" "$TEST_DIR/reference.bin"
is "$status" 0 "the program runs without stint"
expected=$(cat "$TEST_DIR/out")
lines=$(grep -c stint "$TEST_SOURCE/tests/programs/someone.c")
ok "stint is in $lines of its lines, which is 30 at most" test "$lines" -le 30

# ---- killed again and again ------------------------------------------------------------------------------------------

run=$TEST_DIR/killed
command=(stint run --stint-dir "$run" --stint-interval 50ms -- "${train[@]}" "$run.bin")
# Before momentum is there, with it, and after the array grew.
for n in 1 2 3; do
        killed_after "$run" "$n" "${command[@]}"
done
run "${command[@]}"
is "$status" 0 "killed three times, it comes to its end"
is "$(count_events "$run" restore)" 3 "each start resumed"
is "$(cat "$TEST_DIR/out")" "$expected" "it prints what it prints when nobody touches it"
same_weights "$run.bin" "its factors and its record of losses are the same bits"
ok "the run is DONE" test -e "$run/DONE"

# ---- under limits ----------------------------------------------------------------------------------------------------

run=$TEST_DIR/limits
run stint run --stint-dir "$run" --stint-interval off --stint-limit 900ms --stint-margin 200ms -- "${train[@]}" "$run.bin"
is "$status" 0 "under limits it comes to its end"
ok "after several stints" has_events "$run" 2 start
is "$(journal "$run" end lost_steps | sort -u)" 0 "without a step lost"
is "$(tail -n 1 "$TEST_DIR/out")" "$expected" "and prints the same"
same_weights "$run.bin" "with the same bits"

# ---- other epochs ----------------------------------------------------------------------------------------------------

# A DONE run of a program whose command changed is carried on by nobody by accident.
run stint run --stint-dir "$run" -- someone 11 3000 "$run.bin"
is "$status" 125 "another command is refused where the run is DONE"
# ---- a stranger who writes C++ ---------------------------------------------------------------------------------------

cat >"$TEST_DIR/other.cc" <<'END'
#include <stint.h>

struct place { int epoch, batch; };

int main()
{
        struct stint_options options = STINT_OPTIONS;
        float w[6] = { 0 };
        double sum = 0;
        place at = { 0, 0 };
        int64_t step = 0;
        stint *s = stint_open(&options, NULL);

        if (stint_attach(s, "model/w", STINT_MATRIX(w, STINT_F32, 2, 3)) < 0 ||
            stint_attach(s, "model/b", STINT_ARRAY(&w[3], STINT_F32, 3)) < 0 ||
            stint_attach(s, "loss", STINT_SCALAR(&sum, STINT_F64)) < 0 ||
            stint_attach(s, "data", STINT_OBJECT(&at)) < 0 || stint_restore(s, &step) < 0)
                return 1;
        for (; step < 20; stint_step(s, ++step)) {
                sum += (double)step;
                w[5] += 0.5f;
                at.batch++;
        }
        int rc = stint_complete(s) < 0 || sum != 190 || w[5] != 10 || at.batch != 20;
        stint_close(s);
        return rc;
}
END
if command -v g++ >/dev/null; then
        for standard in c++98 c++11 c++20; do
                ok "the header and its tensors are clean in $standard" g++ -std=$standard -Wall -Wextra -pedantic \
                        -Werror -I "$TEST_BUILD/public" -fsyntax-only "$TEST_DIR/other.cc"
        done
        if [ "$TEST_SANITIZERS" = yes ]; then
                skip "the sanitizers want to come first" "a program in C++ links, runs and is complete"
        else
                libs=$TEST_BUILD/lib/.libs
                g++ -I "$TEST_BUILD/public" -o "$TEST_DIR/other" "$TEST_DIR/other.cc" -L "$libs" -Wl,-rpath,"$libs" \
                        -lstint
                run stint run --stint-dir "$TEST_DIR/other.stint" -- "$TEST_DIR/other"
                is "$status" 0 "a program in C++ links, runs and is complete"
                ok "its run is DONE" test -e "$TEST_DIR/other.stint/DONE"
        fi
else
        skip "no g++ here" "the header and its tensors are clean in C++"
fi
done_testing
