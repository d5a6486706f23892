#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/nodes-deadline.sh: a deadline that moves is heard of on both nodes of a job, for one question to the controller.
# The question is provoked by a SIGTERM to the agents, of which each node has one.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
[ -x "$TEST_BUILD/tests/programs/mpi_train" ] || skip_all "mpi_train was not built: no MPI for programs was found"
cluster_start --cpus 4
srun --mpi=list 2>&1 | grep -q pmix || skip_all "this Slurm has no plugin for PMIx, which the MPI of the programs wants"

cp "$TEST_BUILD/tests/programs/mpi_train" "$cluster/opt/bin/"
install -d -o stint-u1 -g stint-u1 "$cluster/u1/left"
batch u1 train '#SBATCH --nodes=2 --ntasks=2 --time=30' \
        'export OMPI_MCA_btl=self,tcp OMPI_MCA_pml=ob1 OMPI_MCA_mpi_yield_when_idle=1' \
        'stint run --stint-interval off -- srun --overlap --kill-on-bad-exit=1 --mpi=pmix --ntasks=2 --ntasks-per-node=1 stint exec --' \
        "mpi_train --steps 100000 --step-us 20000 --tell-time $cluster/u1/left"
sed -i 's/ stint exec --$/ stint exec -- \\/' "$cluster/u1/train"
submit_mpi submit u1 train
run=$cluster/u1/run.stint

left_is() # MINUTES [MINUTES]: what both ranks believe
{
        local rank
        for rank in 0 1; do
                grep -qx -e "$1" ${2+-e "$2"} "$cluster/u1/left/rank-$rank" || return 1
        done
}

wait_for 60 "both ranks to know their deadline" left_is 29 30
step=$(squeue -h -s -j "$job" -o '%i %j' | sed -n 's/ stint-agent$//p')
like "$step" "^$job\\.[0-9]+$" the_agents_are_one_step
asked=$(rpcs_of u1)
scontrol update "JobId=$job" TimeLimit=10
scancel --signal=TERM "$step"
wait_for 30 "both ranks to hear of the new deadline" left_is 9 10
is "$(($(rpcs_of u1) - asked))" 1 one_question_told_both_nodes
is "$(count_events "$run" save '"reason": *"SIGTERM"')" 0 nothing_was_saved_for_it
asked=$(rpcs_of u1)
scontrol update "JobId=$job" TimeLimit=20
scancel --signal=TERM "$step"
wait_for 30 "both ranks to hear that they have more time" left_is 19 20
is "$(($(rpcs_of u1) - asked))" 1 and_another_one_that_there_is_more_time
as_user u1 scancel "$job"
wait_end 60 "$job"
done_testing
