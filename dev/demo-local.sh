# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
#
# dev/demo-local.sh: the demo on the scheduler that is built in: two time limits, a preemption, and a SIGKILL of
# everything. Read by dev/demo with `.`, which has built what runs here.

export PATH="$build/client:$PATH" STINT_LIBEXEC_DIR="$build/agent"
work=$(mktemp -d "${TMPDIR:-/tmp}/stint-demo.XXXXXX")
run=$work/demo.stint
reference=$work/reference.bin
resumed=$work/resumed.bin
job=

# Everything below a process, itself first. A stint's tree has no other root: agents and programs are its children.
tree_of() # PID
{
        local child
        echo "$1"
        # shellcheck disable=SC2013  # they are words on one line
        for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
                tree_of "$child"
        done
}

leave()
{
        if [ -n "$job" ] && kill -0 "$job" 2>/dev/null; then
                # shellcheck disable=SC2046  # process ids are words
                kill -KILL $(tree_of "$job") 2>/dev/null || :
        fi
        if [ -n "$keep" ]; then
                say "kept: $work (try: $build/client/stint show $run)"
        else
                rm -rf "$work"
        fi
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the reference ---------------------------------------------------------------------------------------------------

options=(--log-every 0)
if [ -z "$steps" ]; then
        began=$(date +%s%N)
        STINT_DIR=off "$train" "${options[@]}" --steps 40 --eval-every 0 >/dev/null
        steps=$(awk -v t="$(seconds_since "$began")" 'BEGIN { n = int(45 * 40 / t / 50) * 50; print n < 300 ? 300 : n }')
fi
options=(--steps "$steps" --eval-every $((steps / 12)) --log-every $((steps / 6)))
say "the reference: $steps steps without interruption, and without stint"
began=$(date +%s%N)
STINT_DIR=off "$train" "${options[@]}" --out "$reference" >"$work/reference.log" 2>&1 ||
        { cat "$work/reference.log" >&2; fail "the reference did not run"; }
reference_s=$(seconds_since "$began")
say "took $reference_s s: $(tail -n 1 "$work/reference.log")"

# ---- the same training under limits ----------------------------------------------------------------------------------

program=("$train" "${options[@]}" --out "$resumed")

share() # OF_SECONDS PART LEAST: that part of it in whole seconds
{
        awk -v t="$1" -v part="$2" -v least="$3" 'BEGIN { n = t * part; printf "%.0f", n < least ? least : n }'
}

# killed_stint LIMIT: stints one to four; the fourth is killed when it has saved something of its own and has gone on for a
# while since. 1 when the training was over before it came to that.
killed_stint()
{
        local limit=$1 preempt landed=
        preempt=$(share "$limit" 0.4 3)
        say "the same under limits of $limit s; the third stint is preempted after $preempt s, the fourth killed with SIGKILL"
        command=(stint run --stint-dir "$run" --stint-interval 3s --stint-limit "${limit}s" --stint-grace 5s --stint-kill-wait 5s)
        "${command[@]}" --stint-preempt-after "-,-,${preempt}s" -- "${program[@]}" &
        job=$!
        while kill -0 "$job" 2>/dev/null; do
                landed=$(journal save | grep '"stint": *4.*"landed": *true' | tail -n 1 | sed 's/.*"step": *\([0-9]*\).*/\1/')
                if [ -n "$landed" ] && [ "$(step_now)" -gt "$((landed + 5))" ]; then
                        say "SIGKILL to the whole tree of stint 4"
                        # shellcheck disable=SC2046  # process ids are words
                        kill -KILL $(tree_of "$job") 2>/dev/null || :
                        wait "$job" 2>/dev/null || :
                        job=
                        return 0
                fi
                sleep 0.1
        done
        wait "$job" || fail "stint run ended with exit status $?"
        job=
        return 1
}

began=$(date +%s%N)
limit=$(share "$reference_s" 0.33 8)
until killed_stint "$limit"; do
        # The machine was slower during the reference than it is now.
        limit=$(share "$limit" 0.6 0)
        [ "$limit" -ge 4 ] || fail "the training is too short to be cut four times: give --steps more than $steps"
        say "the training was over before its fourth stint could be killed; again, with shorter limits"
        rm -rf "$run" "$resumed"
        began=$(date +%s%N)
done

"${command[@]}" -- "${program[@]}" &
job=$!
wait "$job" || fail "stint run ended with exit status $?"
job=
say "took $(seconds_since "$began") s, all starts and saves included"

echo
stint show "$run"
echo
verdict 2 1 1
