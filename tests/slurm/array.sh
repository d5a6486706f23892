#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/array.sh: an array of three, each task a run of its own. One task is preempted and requeues itself; the others
# are left alone, although the job id of that task is the id of the whole array.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --cpus 2

train=(--small --steps 500 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"
batch u1 train '#SBATCH --time=10 --ntasks=1 --mem=100 --array=1-3' \
        "stint run --stint-dir=task-%a.stint -- srun stint exec -- train_lm ${train[*]} --step-ms 60 --out task-\$SLURM_ARRAY_TASK_ID.bin"
submitted u1 sbatch --output=%A-%a.out --open-mode=append train
array=$job
for task in 1 2 3; do
        wait_slurm 120 "task $task to train" progress_is "$cluster/u1/task-$task.stint" 30
done

# Two fit on the first node. The last task of an array keeps the id that all of it was submitted under.
is "$(journal "$cluster/u1/task-3.stint" start job)" "$array" the_third_task_has_the_id_of_the_array
like "$(journal "$cluster/u1/task-3.stint" attached places)" n2 and_a_node_of_its_own
batch u2 urgent '#SBATCH --partition=urgent --exclusive --nodelist=n2 --time=5' 'sleep 3'
submit_plain u2 urgent
wait_slurm 60 "the end of its first stint" has_events "$cluster/u1/task-3.stint" 1 end
is "$(journal "$cluster/u1/task-3.stint" end why lost_steps)" "preempted 0" it_is_preempted_and_loses_nothing
wait_exit reference 300
is "$status" 0 the_reference_ran
for task in 1 2 3; do
        wait_slurm 120 "the run of task $task" test -e "$cluster/u1/task-$task.stint/DONE"
        # DONE is written before the last words of the stint, so those are waited for too.
        wait_slurm 60 "the last words of task $task" has_events "$cluster/u1/task-$task.stint" 1 end complete
        same_weights "$cluster/u1/task-$task.bin" "the_weights_of_task_${task}_are_right"
done
is "$(journal "$cluster/u1/task-3.stint" end why)" "$(printf 'preempted\ncomplete')" the_third_was_continued
is "$(count_events "$cluster/u1/task-1.stint" start)$(count_events "$cluster/u1/task-2.stint" start)" 11 the_others_were_left_alone
done_testing
