# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
#
# dev/demo-slurm.sh: the demo on a private Slurm of two nodes: an ordinary user's job of one minute, which goes on until
# the training is complete, while another user's jobs take GPUs away and preempt it. Read by dev/demo with `.`, which has
# built what runs here.
. "$here/cluster.sh"

training_s=140 # so long a training has limits to meet
longest_s=450  # of all, from the submission on
cluster=
work=
keeping=

leave()
{
        local rc=$?
        trap '' INT TERM
        if [ -n "$work" ] && [ -n "$keep" ]; then
                keeping=$(mktemp -d "${TMPDIR:-/tmp}/stint-demo.XXXXXX")
                cp -r --preserve=mode,timestamps,links "$work/." "$cluster/log" "$keeping" 2>/dev/null || :
        fi
        [ -z "$cluster" ] || "$here/cluster" stop "$cluster" || rc=1
        [ -z "$keeping" ] || say "kept: $keeping (try: $build/client/stint show $keeping/demo.stint)"
        exit "$rc"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "a private Slurm: two nodes, two GPUs each, two users"
cluster=$("$here/cluster" start --with $$ --build "$build")
. "$cluster/env"
work=$cluster/u1
run=$work/demo.stint
reference=$work/reference.bin
resumed=$work/resumed.bin

as_user() # u1|u2 COMMAND...: in the folder of that user. The mark is what the end of the cluster ends
{
        (cd "$cluster/$1" && as_cluster_user "$1" env STINT_CLUSTER_MARK="$cluster" "${@:2}")
}

show() # FILE [LINES]
{
        [ -s "$1" ] || return 0
        say "---- the end of ${1#"$cluster"/}:"
        tail -n "${2:-25}" "$1" >&2
}

# What the person needs who looks into it.
fail_with_logs() # TEXT...
{
        local file
        say "---- the job, as Slurm sees it:"
        scontrol show job "$job" >&2 || :
        show "$work/job.out" 60
        show "$run/journal.jsonl"
        for file in "$cluster"/log/stintd-*.out "$cluster"/log/slurmd-*.log "$cluster/log/slurmctld.log"; do
                show "$file"
        done
        fail "$@"
}

# ---- the reference, beside the jobs: the machine has two cores -------------------------------------------------------

if [ -z "$steps" ]; then
        # Two at once, as it will be.
        began=$(date +%s%N)
        for _ in 1 2; do
                as_user u1 env STINT_DIR=off train_lm --log-every 0 --steps 60 --eval-every 0 >/dev/null 2>&1 &
                calibrating+=($!)
        done
        wait "${calibrating[@]}"
        steps=$(awk -v t="$(seconds_since "$began")" -v s=$training_s 'BEGIN { n = int(s * 60 / t / 50) * 50; print n < 300 ? 300 : n }')
fi
options=(--steps "$steps" --eval-every $((steps / 12)) --log-every $((steps / 6)))
say "the reference: $steps steps without interruption, and without stint, meanwhile"
as_user u1 env STINT_DIR=off train_lm "${options[@]}" --out "$reference" >"$work/reference.log" 2>&1 &
reference_pid=$!

# ---- the jobs --------------------------------------------------------------------------------------------------------

# So that not every stint gets the same GPU: the first one of the second node is another user's.
as_user u2 sbatch -w n2 -n1 --gres=gpu:1 --mem=100 -J other -o /dev/null --wrap 'exec sleep 1000' >/dev/null

cat >"$work/train.sh" <<END
#!/bin/bash
#SBATCH --job-name=demo --time=1 --ntasks=1 --cpus-per-task=1 --gres=gpu:1 --output=job.out
# Paced, so that it lasts if this machine gets faster than it just was.
stint run --stint-name demo -- srun stint exec -- train_lm ${options[*]} --step-ms $((training_s * 1000 / steps)) --out resumed.bin
END
chmod 755 "$work/train.sh"
say "as an ordinary user: stint submit train.sh, which says"
sed 's/^/    /' "$work/train.sh" >&2
began=$(date +%s%N)
job=
submitted=$(as_user u1 stint submit train.sh) || fail_with_logs "stint submit ended with exit status $?"
job=${submitted##*job }
say "$submitted"

shown=0
follow() # what stint has said in the job since the last time
{
        local line
        while read -r line; do
                shown=$((shown + 1))
                case $line in stint*) printf '%s\n' "$line" >&2 ;; esac
        done < <(tail -n "+$((shown + 1))" "$work/job.out" 2>/dev/null)
}

last() # EVENT FIELD
{
        journal "$1" | number "$2" | tail -n 1
}

stints()
{
        journal start | wc -l
}

# What one stint gets done in its minute, once there was one. When the rest is little more than that, it is this stint's turn
# to be preempted: after a limit, and with something left for the stint behind it.
its_turn() # to be preempted
{
        local first now from
        [ "$(count end '"why": *"time limit"')" -ge 1 ] || return 1
        first=$(journal end | head -n 1 | number landed_step)
        now=$(step_now)
        from=$(last restore step)
        [ "$(journal restore | wc -l)" -eq "$(($(stints) - 1))" ] || return 1
        [ $((steps - from)) -lt $((first * 5 / 4)) ] && [ "$now" -gt $((from + (steps - from) / 4)) ]
}

preempt()
{
        local node
        node=$(squeue -h -j "$job" -t RUNNING -o %N)
        [ -n "$node" ] || return 1
        say "stint $(stints) runs on $node: another user submits a job to the partition urgent that needs all of $node"
        as_user u2 sbatch -p urgent -w "$node" --exclusive -t 1 -J urgent -o /dev/null --wrap 'exec sleep 20' >/dev/null
}

preempted=
until [ -e "$run/DONE" ]; do
        follow
        [ -n "$preempted" ] || ! its_turn || ! preempt || preempted=yes
        case $(squeue -h -a -j "$job" -o %T 2>/dev/null) in
        PENDING | RUNNING | COMPLETING | CONFIGURING | SUSPENDED | REQUEUED) ;;
        *) [ -e "$run/DONE" ] || fail_with_logs "the job is over, and the run is not DONE" ;;
        esac
        awk -v s="$(seconds_since "$began")" -v most=$longest_s 'BEGIN { exit s < most }' &&
                fail_with_logs "the run is not DONE after $longest_s s"
        sleep 0.5
done
done_s=$(seconds_since "$began")
within 60 eval '[ -z "$(squeue -h -j "$job" 2>/dev/null)" ]' || fail_with_logs "the job does not end although the run is DONE"
follow
say "complete $done_s s after it was submitted"
wait "$reference_pid" || { show "$work/reference.log"; fail "the reference did not run"; }

# ---- what became of it -----------------------------------------------------------------------------------------------

echo
as_user u1 stint show demo.stint
echo
verdict 1 1 0 || fail_with_logs "see above"
