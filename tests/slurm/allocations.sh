#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/allocations.sh: the ways to ask for nodes, GPUs and memory under which a helper step was seen to die when it
# inherited the job's variables, and the job whose environment does not reach its steps. In each the agents' step starts,
# the program finds its agent, the job is requeued in the middle, and the training ends with the bits of one that nobody cut.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
cluster_start --cpus 8

train=(--small --steps 300 --eval-every 0 --log-every 0)
slurm_reference "${train[@]}"

kinds=()
declare -A jobs

# kind NAME OPTION...: a job of that name with these options of sbatch
kind()
{
        local name=$1
        shift
        kinds+=("$name")
        # With --export=NONE neither the script nor its steps have a PATH to find anything by.
        batch u1 "$name" "#SBATCH --time=10 --requeue $*" \
                "export PATH=$cluster/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
                "stint run --stint-name=$name -- srun $cluster/opt/bin/stint exec -- $cluster/opt/bin/train_lm ${train[*]} --step-ms 60 --out $name.bin"
        submit_plain u1 "$name"
        jobs[$name]=$job
}

kind ntasks-per-gpu --gpus=1 --ntasks-per-gpu=1
kind mem-per-gpu --ntasks=1 --gpus-per-node=1 --mem-per-gpu=100
kind cpus-per-gpu --ntasks=1 --gpus=1 --cpus-per-gpu=1
kind gpus-per-task --ntasks=1 --gpus-per-task=1
kind mem-per-cpu --ntasks=1 --mem-per-cpu=100
kind export-none --ntasks=1 --export=NONE
for name in "${kinds[@]}"; do
        wait_slurm 120 "$name to train" progress_is "$cluster/u1/$name.stint" 30
done
for name in "${kinds[@]}"; do
        scontrol requeue "${jobs[$name]}"
done

end_of() # NAME: what must be true of every kind at its end
{
        local name=$1 run=$cluster/u1/$1.stint
        wait_job 120 "${jobs[$name]}" COMPLETED || { fail "$name: it completes"; diag_file "$cluster/u1/${jobs[$name]}.out"; return 0; }
        is "$(journal "$run" end why)" "$(printf 'requeued\ncomplete')" "$name: its first stint is requeued, its second completes"
        is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" "$name: nothing was lost between them"
        is "$(count_events "$run" agent_lost)" 0 "$name: its agents lived"
        unlike "$(output "${jobs[$name]}")" 'no step of this job|mutually exclusive|Invalid|started a coordinator' "$name: its agent was a step"
        same_weights "$cluster/u1/$name.bin" "$name: the weights are those of a training that nobody cut"
}
wait_exit reference 300
is "$status" 0 the_reference_ran
for name in "${kinds[@]}"; do
        end_of "$name"
done
is "$(journal "$cluster/u1/gpus-per-task.stint" attached places | sed -n 1p | grep -c '"devices": *"[01]"\|devices.: .[01].')" 1 a_step_with_a_GPU_sees_that_one

# A job that has its node alone leaves room for no other.
kinds=()
kind exclusive --exclusive
wait_slurm 120 "exclusive to train" progress_is "$cluster/u1/exclusive.stint" 30
scontrol requeue "${jobs[exclusive]}"
end_of exclusive
done_testing
