#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/nodes.sh: one training on two nodes, each with its own agent, both on one step of the job. They save and restore
# together through a preemption, through the death of one agent, and after a kill of everything between two seals.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/slurm/slurm.sh"
[ -x "$TEST_BUILD/tests/programs/mpi_train" ] || skip_all "mpi_train was not built: no MPI for programs was found"
# What was not sealed when the job was killed is to stay so: stintd goes on with nothing.
cluster_start --cpus 4 --stintd OutliveJobs=no
srun --mpi=list 2>&1 | grep -q pmix || skip_all "this Slurm has no plugin for PMIx, which the MPI of the programs wants"

cp "$TEST_BUILD/tests/programs/mpi_train" "$cluster/opt/bin/"
mpi='export OMPI_MCA_btl=self,tcp OMPI_MCA_pml=ob1 OMPI_MCA_mpi_yield_when_idle=1'
train="mpi_train --steps 400 --coupled --step-us"
ranks="srun --overlap --kill-on-bad-exit=1 --mpi=pmix --ntasks=2 --ntasks-per-node=1"
two='#SBATCH --nodes=2 --ntasks=2 --time=10'

hashes() # JOB: what the ranks ended with
{
        output "$1" | grep '^rank [0-9]* steps [0-9]* hash' | sort
}

# In the same surroundings, without stint.
batch u1 alone "$two" "$mpi" "STINT_DIR=off $ranks $train 100"
submit_mpi submit_plain u1 alone
wait_job 60 "$job" COMPLETED
hashes "$job" >"$TEST_DIR/alone"
is "$(wc -l <"$TEST_DIR/alone")" 2 "both ranks end, without stint"

same_hashes() # JOB NAME
{
        is "$(hashes "$1")" "$(cat "$TEST_DIR/alone")" "$2"
}

agent_on() # JOB NODE: the process id of its agent, which is the child of its guard
{
        local pid parent
        for pid in $(job_processes "$1"); do
                case $(readlink "/proc/$pid/exe" 2>/dev/null) in */stint-agent) ;; *) continue ;; esac
                grep -qzxFs "SLURMD_NODENAME=$2" "/proc/$pid/environ" || continue
                parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null || :)
                case $(readlink "/proc/$parent/exe" 2>/dev/null) in */stint-agent) echo "$pid" ;; esac
        done
}

# ---- a preemption, and before it an agent that dies ------------------------------------------------------------------

batch u1 train "$two" "$mpi" "stint run --stint-interval 500ms -- $ranks stint exec -- $train 20000"
batch u2 urgent '#SBATCH --partition=urgent --nodes=1 --exclusive' 'sleep 3'
run=$cluster/u1/run.stint
steps_before=$(rpcs_by_type REQUEST_JOB_STEP_CREATE)
submit_mpi submit u1 train
wait_slurm 60 "a first save" has_events "$run" 1 save "$landed"
is "$(($(rpcs_by_type REQUEST_JOB_STEP_CREATE) - steps_before))" 2 "one step for the agents of both nodes, and one for the program"
is "$(journal "$run" attached places | grep -o '"node": *"[^"]*"' | tr -d ' ' | tr '\n' ' ')" '"node":"n1" "node":"n2" ' "each rank found the agent of its node"
first=$(agent_on "$job" n1)
kill -KILL "$(agent_on "$job" n2)"
wait_slurm 30 "the loss of an agent" has_events "$run" 1 agent_lost
so_far=$(count_events "$run" save "$landed")
wait_slurm 30 "a save after it" has_events "$run" $((so_far + 1)) save "$landed"
is "$(agent_on "$job" n1)" "$first" "when the agent of one node dies, that of the other goes on"
is "$(journal "$run" agent_lost agent)" "the agent on n2" "and the journal says which it was"

victim=$job
submit_plain u2 urgent
wait_slurm 60 "the end of the first stint" has_events "$run" 1 end
is "$(journal "$run" end why lost_steps)" "preempted 0" "a preemption of one node ends the stint on both, and no step is lost"
wait_restart 120 "$victim" 1
wait_job 90 "$victim" COMPLETED
is "$(journal "$run" restore step)" "$(journal "$run" end landed_step | sed -n 1p)" "both nodes are restored where they had ended"
same_hashes "$victim" "and end with the numbers of a training that nobody cut"
ok "the run is DONE" test -e "$run/DONE"
no_process_of "$victim" "no process of the job is left on either node"

# ---- killed between two seals ----------------------------------------------------------------------------------------

run=$cluster/u1/between.stint
install -d -m 755 "$cluster/u1/libexec"
cat >"$cluster/u1/libexec/stint-agent" <<END
#!/bin/bash
[ "\$SLURMD_NODENAME" = n2 ] && [ "\${STINT_BETWEEN-}" = 0 ] && export STINT_FAULT=seal.before_write:pause@3 STINT_FAULT_DIR=$faults
exec $cluster/opt/libexec/stint/stint-agent "\$@"
END
chmod 755 "$cluster/u1/libexec/stint-agent"
ln -s "$cluster/opt/libexec/stint/stint-slurm" "$cluster/u1/libexec/"
install -d -o stint-u1 -g stint-u1 "$faults"
batch u1 between "$two" '#SBATCH --requeue' "$mpi" \
        "export STINT_LIBEXEC_DIR=$cluster/u1/libexec STINT_BETWEEN=\${SLURM_RESTART_COUNT:-0}" \
        "stint run --stint-name between --stint-interval 300ms -- $ranks stint exec -- $train 10000"
submit_mpi submit_plain u1 between
wait_for 60 "the agent of n2 to seal" reached "$faults"
parts=("$run"/checkpoints/step-*.part)
wait_for 30 "the seal of n1" test -n "$(find "${parts[0]}" -name 'rank-00000*.seal' -size +0)"
before=$(newest "$run")
# shellcheck disable=SC2046  # these are words
kill -KILL $(job_processes "$job")
release
wait_end 60 "$job"
scontrol requeue "$job"
wait_restart 120 "$job" 1
wait_job 90 "$job" COMPLETED
is "$(journal "$run" restore checkpoint | tail -n 1)" "${before##*/}" "after a kill between the seals of two nodes it begins at the checkpoint before"
is "$(journal "$run" abandoned_part checkpoint | tail -n 1)" "$(basename "${parts[0]}")" "and what was sealed on one node only is set aside"
same_hashes "$job" "the numbers are those of a training that nobody cut"
done_testing
