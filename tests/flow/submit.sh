#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/submit.sh: what reaches sbatch from `stint submit` and `stint resume`, with a stand-in for sbatch; and `stint
# stop`, `resume` and `cancel` of runs that know no Slurm.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

export STAND_IN=$TEST_DIR/stand-in
mkdir "$STAND_IN" "$TEST_DIR/bin" "$TEST_DIR/desk"
ln -s "$TEST_SOURCE/tests/programs/sbatch_stand_in.sh" "$TEST_DIR/bin/sbatch"
with=$TEST_DIR/bin:$PATH
# Nobody answers for Slurm here, so that no story depends on whether one is installed.
mkdir "$TEST_DIR/libexec"
ln -s "$TEST_BUILD/agent/stint-agent" "$TEST_DIR/libexec/stint-agent"
export STINT_LIBEXEC_DIR=$TEST_DIR/libexec
cd "$TEST_DIR/desk"

words() # what the stand-in was called with, in one line
{
        tr '\n' '|' <"$STAND_IN/words"
}
exported() # NAME
{
        sed -n "s/^$1=//p" "$STAND_IN/environment"
}
printf '#!/bin/bash\n#SBATCH --time=4:00:00 -J "a name"\nstint run -- train "$@"\n' >job.sh

# ---- submit ----------------------------------------------------------------------------------------------------------

PATH=$with run stint submit -n 4 --stint-dir=../runs/one --gres gpu:2 --stint-anywhere -Jx job.sh --stint-dir=hers "two words"
is "$status" 0 "a job is handed to sbatch"
is "$(cat "$TEST_DIR/out")" "Submitted batch job 1" "whose answer is all that stdout has"
is "$(words)" "--open-mode=append|-n|4|--gres|gpu:2|-Jx|job.sh|--stint-dir=hers|two words|" "every word but ours goes there as it was"
is "$(exported STINT_DIR)" "$TEST_DIR/desk/../runs/one" "the job is told its run directory"
run_dir=$TEST_DIR/runs/one
is "$(cat "$run_dir/script")" "$(cat job.sh)" "the script is kept"
run cat "$run_dir/submit.json"
json_holds "and the rest of it" "d['arguments'] == ['--ntasks=4', '--gres=gpu:2', '--job-name=x', '--open-mode=append'] and d['script_arguments'] == ['--stint-dir=hers', 'two words'] and d['mode'] == 'auto' and d['job'] == '1' and d['directory'] == '$TEST_DIR/desk'"
PATH=$with run stint submit --stint-anywhere --stint-name=two --open-mode=truncate --parsable job.sh
is "$(words)" "--open-mode=truncate|--parsable|job.sh|" "nothing is added where somebody has said otherwise"
like "$(cat "$TEST_DIR/err")" "truncate in the command line.* lost" "but that is told"
is "$(exported STINT_DIR)" "$TEST_DIR/desk/two.stint" "a name is a directory where the job runs"
mkdir there
printf '#!/bin/bash\n#SBATCH --open-mode=append --chdir=%s\nstint run --stint-name=here -- train\n' "$PWD/there" >there.sh
SBATCH_QOS=fast SLURM_JOB_ID=7 STINT_AGENT=a CUDA_VISIBLE_DEVICES=3 PATH=$with run stint submit --stint-anywhere there.sh
is "$(exported STINT_DIR)" "$PWD/there/here.stint" "what the script names itself counts, and where it goes to"
is "$(words)" "there.sh|" "what the script says is not said again"
is "$(exported SBATCH_QOS):$(exported SLURM_JOB_ID):$(exported STINT_AGENT):$(exported CUDA_VISIBLE_DEVICES)" "fast:::" \
        "what belongs to another job stays here"
PATH=$with run bash -c 'stint submit --stint-anywhere --stint-name=in <job.sh'
is "$(cat "$STAND_IN/stdin")" "$(cat job.sh)" "a script on standard input gets there"
echo 'Submitted batch job 81 on cluster far' >"$STAND_IN/answer"
PATH=$with run stint submit --stint-anywhere --stint-name=far --array=0,2 job.sh
is "$(cat "$TEST_DIR/out")" "Submitted batch job 81 on cluster far" "sbatch's line is not understood, it is passed on"
is "$(exported STINT_DIR):$(ls -d far-?.stint | tr '\n' ' ')" "$TEST_DIR/desk/far-%a.stint:far-0.stint far-2.stint " "each task of an array has its own run"
rm "$STAND_IN/answer"
echo 3 >"$STAND_IN/refuse"
PATH=$with run stint submit --stint-anywhere --stint-name=three job.sh
is "$status:$(cat "$TEST_DIR/out")" "3:" "its exit code is ours"
like "$(cat "$TEST_DIR/err")" "^sbatch: error: Batch job submission failed" "and its words"
rm "$STAND_IN/refuse"

wrong() # NAME REGEX ARGUMENT...
{
        local name=$1 regex=$2
        shift 2
        rm -f "$STAND_IN/words"
        PATH=$with run stint "$@"
        is "$status" 125 "$name is refused with 125"
        like "$(cat "$TEST_DIR/err")" "$regex" "$name is explained"
        not_ok "$name never gets to sbatch" test -e "$STAND_IN/words"
}
case $(stat -f -c %T .) in
ext2/ext3 | xfs | btrfs | tmpfs | overlayfs) wrong "a directory of this host alone" "this host's own.*--stint-anywhere" submit --stint-name=four job.sh ;;
*) skip "this is a shared filesystem" "a directory of this host alone is refused" ;;
esac
wrong "an unknown option before a word" "write --plug=VALUE, or --" submit --stint-anywhere --plug job.sh
wrong "a mode that there is not" "none of auto, requeue, chain" submit --stint-mode=never job.sh
wrong "a mode against the script" "remove one of them" submit --stint-anywhere --stint-mode=requeue --no-requeue job.sh
wrong "a name that is none" "--stint-name" submit --stint-anywhere --stint-name=a/b job.sh
printf '#!/bin/sh\n#SBATCH --comment="x\n' >quote.sh
wrong "a quote that is not closed" "line 2 of the script" submit quote.sh
mkfifo fifo.sh
wrong "what is no file" "fifo.sh is no file" submit fifo.sh
PATH=/nothing run "$TEST_BUILD/client/stint" submit --stint-anywhere --stint-name=five job.sh
is "$status" 125 "without sbatch there is no submission"
like "$(cat "$TEST_DIR/err")" "no sbatch in PATH" "and the reason is told"

# ---- resume ----------------------------------------------------------------------------------------------------------

cd "$TEST_DIR"
rm "$TEST_DIR/desk/job.sh"
SBATCH_QOS=other PATH=$with run stint resume runs/one --time=9 -p long
is "$status" 0 "a run is submitted once more"
is "$(words)" "--ntasks=4|--gres=gpu:2|--job-name=x|--open-mode=append|--time=9|-p|long|$run_dir/script|--stint-dir=hers|two words|" \
        "with what it had, and what is new behind it, by the copy of its script"
is "$(cat "$STAND_IN/folder"):$(exported SBATCH_QOS)" "$TEST_DIR/desk:" "from where it was submitted first"
is "$(exported STINT_DIR)" "$run_dir" "into the same directory"
PATH=$with run stint resume "$run_dir" --hold
is "$(words)" "--ntasks=4|--gres=gpu:2|--job-name=x|--open-mode=append|--time=9|--partition=long|--hold|$run_dir/script|--stint-dir=hers|two words|" \
        "what was new is kept for the next time"
PATH=$with run stint resume desk/two
is "$(words)" "--open-mode=truncate|$TEST_DIR/desk/two.stint/script|" "what was meant for once is gone"
PATH=$with run stint resume desk/in
is "$(words)" "--open-mode=append|$TEST_DIR/desk/in.stint/script|" "a script that came on standard input is there too"
printf '#!/bin/bash\nstint run -- train\n' >plain.sh
PATH=$with run stint submit --stint-anywhere --stint-name=plain plain.sh
PATH=$with run stint resume plain
is "$(words)" "--job-name=plain.sh|--open-mode=append|$TEST_DIR/plain.stint/script|" "a job without a name of its own keeps that of its script"
chmod 666 "$run_dir/script"
wrong "a script that anybody may have written" "not your own file alone" resume runs/one
chmod 644 "$run_dir/script"
wrong "an option of stint" "--stint-dir belongs to" resume runs/one --stint-dir=x
wrong "a second word" "one word too many" resume runs/one two

# ---- stop, resume and cancel without Slurm ---------------------------------------------------------------------------

train=(train_lm --small --steps 100000 --step-ms 2 --eval-every 0 --log-every 0)
start train stint run --stint-dir "$TEST_DIR/r.stint" --stint-limit 5m -- "${train[@]}"
wait_landed "$TEST_DIR/r.stint"
run stint stop r
is "$status" 0 "a run under the local scheduler is stopped"
like "$(cat "$TEST_DIR/out")" "^saved step [0-9]+, " "with its verdict"
wait_exit train 30
is "$status" 75 "its chain ends, to be continued"
run stint run --stint-dir "$TEST_DIR/r.stint" -- "${train[@]}"
is "$status" 0 "the same command does nothing now"
like "$(cat "$TEST_DIR/err")" "was stopped by .*stint resume" "and says why"
is "$(count_events "$TEST_DIR/r.stint" start)" 1 "there was one stint"
run stint resume r
is "$status" 0 "a run that was started by hand is resumed"
like "$(cat "$TEST_DIR/out")" "^stint run --stint-dir $TEST_DIR/r.stint -- train_lm " "by the command that is told"
start train stint run --stint-dir "$TEST_DIR/r.stint" -- "${train[@]}"
wait_for 30 "a restore" has_events "$TEST_DIR/r.stint" 1 restore
run stint cancel r
is "$status" 0 "a run is cancelled"
wait_exit train 30
is "$status" 75 "and ends within seconds"
is "$(journal "$TEST_DIR/r.stint" end why | tail -n 1)" cancelled "as cancelled"
run stint stop r --json
json_holds "a run that does not run can be stopped too" "d['was_running'] is False"
start alone env STINT_DIR="$TEST_DIR/r.stint" "${train[@]}"
wait_for 30 "the third stint" has_events "$TEST_DIR/r.stint" 2 restore
run stint save r
is "$status" 0 "a program that is started by itself goes on in a run that was stopped before"
run stint stop r
is "$status" 0 "until it is stopped itself"
wait_exit alone 30
done_testing
