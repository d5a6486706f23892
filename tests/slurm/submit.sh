#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/submit.sh: `stint submit` is sbatch to whoever reads its answer, keeps how a run was submitted, and lets
# nobody submit it twice. A job without its submitter's environment, and each task of an array, finds its own run.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start
home=$cluster/u1
small="train_lm --small --steps 60 --step-ms 5 --log-every 0"
long="train_lm --small --steps 100000 --step-ms 5 --log-every 0"

# ---- what it answers -------------------------------------------------------------------------------------------------

batch u1 long.sh '#SBATCH -n1 --time=5' "stint run -- $long"
run as_user u1 stint submit --output=%j.out long.sh
is "$status" 0 a_script_is_submitted
like "$(cat "$TEST_DIR/out")" '^Submitted batch job [0-9]+$' the_answer_is_that_of_sbatch
is "$(wc -l <"$TEST_DIR/out")" 1 and_nothing_else
job=$(sed 's/.* //' "$TEST_DIR/out")
is "$(job_field "$job" JobName)" long.sh the_job_has_the_name_of_the_script
like "$(cat "$home/run.stint/submit.json")" "\"job\": \"$job\"" the_run_knows_its_job
is "$(cat "$home/run.stint/script")" "$(cat "$home/long.sh")" and_keeps_the_script
run as_user u1 stint submit long.sh
is "$status" 125 a_second_job_for_the_same_run_is_refused
like "$(cat "$TEST_DIR/err")" "job $job of .*/run.stint is (pending|running) already" with_the_job_that_has_it
wait_output 60 "$job" 'saved step'
run as_user u1 stint submit long.sh
like "$(cat "$TEST_DIR/err")" "(runs now|is running already)" while_it_runs_too
run as_user u2 stint status "$home/run.stint"
isnt "$status" 0 another_user_does_not_see_it
as_user u1 stint cancel run >"$TEST_DIR/out"
is "$(sed -n 1p "$TEST_DIR/out")" "job $job is cancelled" it_can_be_cancelled_by_the_name_of_the_run
wait_job 30 "$job" CANCELLED

run as_user u1 stint submit --parsable --stint-name=p --output=%j.out -J other --test-only long.sh
is "$status" 0 a_test_is_passed_on
not_ok and_leaves_no_run_behind test -e "$home/p.stint"
run as_user u1 stint submit --parsable --stint-name=p --output=%j.out -J other --hold long.sh
like "$(cat "$TEST_DIR/out")" '^[0-9]+$' what_asks_for_another_answer_gets_that
job=$(cat "$TEST_DIR/out")
is "$(job_field "$job" JobName)" other options_reach_the_job
run as_user u1 stint cancel p
wait_job 30 "$job" CANCELLED
run as_user u1 stint submit --stint-name=q --partition=nowhere long.sh
is "$status" 1 the_exit_code_is_that_of_sbatch
is "$(cat "$TEST_DIR/out")" "" and_an_error_leaves_stdout_empty
run as_user u1 bash -c 'stint submit --stint-name=in --hold --parsable < long.sh'
like "$(cat "$TEST_DIR/out")" '^[0-9]+$' a_script_may_come_on_standard_input
is "$(cat "$home/in.stint/script")" "$(cat "$home/long.sh")" and_is_kept_too
run as_user u1 stint cancel in
run as_user u1 stint submit --stint-name=w --hold --parsable --wrap='stint run -- true'
like "$(cat "$TEST_DIR/out")" '^[0-9]+$' or_be_a_line
run as_user u1 stint cancel w

# ---- what is told before anything is queued --------------------------------------------------------------------------

queued=$(squeue -ha -o %i | wc -l)
refused() # NAME REGEX ARGUMENT...
{
        local name=$1 regex=$2
        shift 2
        run as_user u1 stint submit "$@"
        is "$status" 125 "$name"
        like "$(cat "$TEST_DIR/err")" "$regex" "$name, with the reason"
}
refused an_option_that_nobody_knows "no option of sbatch.*'long.sh' may be its value" --frobnicate long.sh
refused an_option_of_stint_that_there_is_not "no option --stint-nam" --stint-nam=x long.sh
refused two_wishes_that_contradict "remove one of them" --stint-mode=requeue --no-requeue long.sh
refused a_script_that_there_is_not "nothing.sh" nothing.sh
echo 'stint run -- true' >"$home/bare.sh"
refused a_script_without_its_first_line "#!" bare.sh
batch u1 named.sh 'stint run --stint-name=own -- true'
refused a_run_that_the_script_names_otherwise "which it names itself" --stint-dir=other.stint named.sh
refused a_job_that_cannot_be_told_its_run "with this --export" --export=NONE --stint-dir=other.stint long.sh
is "$(squeue -ha -o %i | wc -l)" "$queued" none_of_these_has_queued_anything
batch u1 other.sh 'sleep 1'
run as_user u1 stint submit --hold --stint-name=z --signal=USR1@30 --open-mode=truncate --no-requeue other.sh
like "$(cat "$TEST_DIR/err")" "no \`stint run\`" a_script_without_stint_run_is_told
like "$(cat "$TEST_DIR/err")" "signal=USR1@30 in the command line: the program gets" a_signal_is_told
like "$(cat "$TEST_DIR/err")" "open-mode=truncate .*lost" a_truncated_output_is_told
like "$(cat "$TEST_DIR/err")" "each stint is a job of its own" and_what_no_requeue_means
run as_user u1 stint cancel z

# ---- runs that find themselves ---------------------------------------------------------------------------------------

batch u1 none.sh '#SBATCH -n1 --time=5 --export=NONE --output=none.out' ". $cluster/env" "stint run -- $small"
as_user u1 rm -rf run.stint
submitted u1 stint submit none.sh
wait_end 60 "$job"
is "$(job_field "$job" JobState)" COMPLETED without_the_environment_the_job_ends_well
ok and_its_run_is_the_default_one test -e "$home/run.stint/DONE"
run as_user u1 stint submit none.sh
is "$status" 125 a_run_that_is_complete_is_not_submitted
like "$(cat "$TEST_DIR/err")" "training is complete" and_that_is_said

batch u1 array.sh '#SBATCH -n1 --time=5 --array=1-3 --output=array-%a.out' "stint run -- $small"
submitted u1 stint submit array.sh
array_is_done()
{
        [ -e "$home/run-1.stint/DONE" ] && [ -e "$home/run-2.stint/DONE" ] && [ -e "$home/run-3.stint/DONE" ]
}
wait_slurm 90 "three tasks" array_is_done && pass each_task_of_an_array_has_a_run_of_its_own || {
        fail each_task_of_an_array_has_a_run_of_its_own
        diag_file "$home/array-1.out"
}
like "$(cat "$home/run-2.stint/submit.json")" '"array_task": 2' and_a_record_of_its_own
done_testing
