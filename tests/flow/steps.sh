#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/steps.sh: one agent on each of two nodes, as a step of a job that srun starts, here a stand-in for it. The ranks
# of both nodes save the same step or none, whoever dies when, and resume to the numbers of a training nobody touched.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"
command -v mpirun >/dev/null || skip_all "mpirun is not here"
command -v mpi_train >/dev/null || skip_all "mpi_train was not built: no MPI for programs was found"
[ "${TEST_SANITIZERS-no}" = no ] || export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" # as in ranks.sh

# What a batch script has in its environment, and what the helper step must not inherit of it.
export STINT_SRUN=$TEST_BUILD/tests/programs/srun_stand_in SLURM_JOB_ID=4711 SLURM_JOB_NUM_NODES=2 SLURM_NTASKS_PER_GPU=1
export SLURM_MEM_PER_GPU=100 SRUN_DEBUG=4 SBATCH_EXCLUSIVE=1 SLURM_NTASKS=8 SLURM_CPU_BIND=cores
faults=$TEST_DIR/faults
mkdir "$faults"
flow_ranks=1 # agents have their fault points to themselves, and one rank each

# STEP_US: two ranks, each on a node of its own, in the array `mpi`. mpirun is to see nothing of Slurm.
ranks()
{
        local train=(mpi_train --steps 200 --coupled --step-us "$1")
        mpi=(env -u LD_PRELOAD -u MALLOC_CHECK_ -u SLURM_JOB_ID -u SLURM_JOB_NUM_NODES -u SLURM_NTASKS
                -u SLURM_NTASKS_PER_GPU -u SLURM_MEM_PER_GPU -u SLURM_CPU_BIND mpirun --oversubscribe
                -np 1 env SLURMD_NODENAME=n1 SLURM_JOB_ID=4711 "${train[@]}" :
                -np 1 env SLURMD_NODENAME=n2 SLURM_JOB_ID=4711 "${train[@]}")
}
stint=(stint run --stint-limit 10m)

hashes() # FILE: what the ranks ended with
{
        grep '^rank [0-9]* steps [0-9]* hash' "$1" | sort
}

same_hashes() # FILE NAME
{
        is "$(hashes "$1")" "$(cat "$TEST_DIR/alone")" "$2"
}

# An agent is the child of its guard, which runs the same program.
agent_on() # NAME NODE: its process id
{
        local pid parent
        for pid in $(by_executable "$1" stint-agent); do
                grep -qzxFs "SLURMD_NODENAME=$2" "/proc/$pid/environ" || continue
                parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null || :)
                case $(readlink "/proc/$parent/exe" 2>/dev/null) in
                */stint-agent) echo "$pid" ;;
                esac
        done
}

guard_on() # NAME NODE
{
        sed -n 's/^PPid:[[:space:]]*//p' "/proc/$(agent_on "$1" "$2")/status"
}

# Only the agent of one node has the fault: what srun starts there is this, and the agent elsewhere.
mkdir "$TEST_DIR/libexec"
cat >"$TEST_DIR/libexec/stint-agent" <<END
#!/bin/bash
[ "\$SLURMD_NODENAME" = n2 ] || unset STINT_FAULT
exec "$TEST_BUILD/agent/stint-agent" "\$@"
END
chmod +x "$TEST_DIR/libexec/stint-agent"
on_n2=(env "STINT_LIBEXEC_DIR=$TEST_DIR/libexec" "STINT_FAULT_DIR=$faults")

ranks 100
STINT_DIR=off "${mpi[@]}" >"$TEST_DIR/alone.log" 2>&1 </dev/null || { diag_file "$TEST_DIR/alone.log"; exit 1; }
hashes "$TEST_DIR/alone.log" >"$TEST_DIR/alone"
ranks 5000

# ---- two nodes, killed and run again ---------------------------------------------------------------------------------

run=$TEST_DIR/two
command=("${stint[@]}" --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
killed_after "$run" 2 "${command[@]}"
is "$(wc -l <"$TEST_DIR/srun.log")" 1 "one srun starts the agents of both nodes"
like "$(cat "$TEST_DIR/srun.log")" "^--jobid=4711 --nodes=2 --ntasks=2 --ntasks-per-node=1 --overlap --mem=0 --gres=none" "with what a helper step needs"
is "$(journal "$run" attached places | tail -n 1)" '[{"node": "n1", "devices": "unset"}, {"node": "n2", "devices": "unset"}]' "each rank found the agent of its node"
run "${command[@]}"
is "$status" 0 "ranks of two nodes are restored, and come to the end"
is "$(count_events "$run" restore)" 1 "from what both had saved"
same_hashes "$TEST_DIR/out" "with the numbers of a training nobody touched"
ok "the run is DONE" test -e "$run/DONE"
ok "every checkpoint holds" stint verify "$run" --all

# ---- one of two agents dies ------------------------------------------------------------------------------------------

ranks 25000 # there is to be some training left when the next agent is there
run=$TEST_DIR/one
command=("${stint[@]}" --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
start one "${command[@]}"
wait_landed "$run"
first=$(agent_on one n1)
second=$(agent_on one n2)
kill -KILL "$second"
wait_for_line 30 "$TEST_DIR/one.err" "the agent is back"
is "$(agent_on one n1)" "$first" "when the agent of one node dies, that of the other goes on"
isnt "$(agent_on one n2)" "$second" "and there is a new one beside it"
so_far=$(count_events "$run" save "$landed")
wait_landed "$run" $((so_far + 1))
wait_exit one 60
is "$status" 0 "the training comes to its end"
same_hashes "$TEST_DIR/one.out" "with the same numbers"
is "$(journal "$run" agent_lost agent how)" "the agent on n2 signal 9 (Killed)" "the journal says which agent was lost"
ok "the run is DONE" test -e "$run/DONE"

# ---- in a save that must land ----------------------------------------------------------------------------------------

ranks 5000
# Rank 0 has sealed, waits for the end of this save, and makes no other while rank 1 has not.
run=$TEST_DIR/final
command=("${stint[@]}" --stint-dir "$run" --stint-interval off -- "${mpi[@]}")
start final "${on_n2[@]}" STINT_FAULT=save.mid_write:pause@2 "${command[@]}"
wait_landed "$run"
start stop stint save --stop "$run"
wait_for 60 "the agent of n2 to write the last state" reached "$faults"
wait_for 30 "the seal of n1" test -n "$(find "$run"/checkpoints/*.part -name 'rank-00000*.seal' -size +0)"
kill -KILL "$(agent_on final n2)"
find "$faults" -type f -delete
wait_exit final 60
is "$status" 75 "an agent that dies in the final save does not keep it from landing"
like "$(journal "$run" end verdict)" "^saved step " "as the verdict says"
is "$(journal "$run" save attempt landed | tail -n 1)" "2 true" "with a second attempt at the same save"

# ---- read ahead on both nodes -----------------------------------------------------------------------------------------

cp -a "$run" "$TEST_DIR/ahead"
start ahead "${stint[@]}" --stint-dir "$TEST_DIR/ahead" --stint-interval off -- bash -c \
        'until [ -e "$0" ]; do sleep 0.02; done; exec "$@"' "$TEST_DIR/ahead.go" "${mpi[@]}"
wait_for 60 "the files of both ranks to be read" has_events "$TEST_DIR/ahead" 1 prefetched
touch "$TEST_DIR/ahead.go"
wait_exit ahead 60
is "$(journal "$TEST_DIR/ahead" restore step prefetched)" "$(journal "$run" end landed_step | sed -n 1p) true" \
        "each node has read the file of its rank before that asked"
same_hashes "$TEST_DIR/ahead.out" "and the ranks go on to the same numbers"

# ---- in a restore ----------------------------------------------------------------------------------------------------

start restore "${on_n2[@]}" STINT_FAULT=restore.mid_read:pause "${command[@]}"
wait_for 60 "the agent of n2 to read" reached "$faults"
victim=$(agent_on restore n2)
kill -KILL "$victim"
rm "$faults/restore.mid_read.$victim" # and no other: the next agent may be there by now
wait_for 60 "the next agent of n2 to read" reached "$faults"
find "$faults" -type f -delete
wait_exit restore 60
is "$status" 0 "an agent that dies while it reads is started again, and both ranks are restored"
like "$(journal "$run" restore step)" "^$(journal "$run" end landed_step | sed -n 1p)\$" "to the state that both had saved"
same_hashes "$TEST_DIR/restore.out" "and go on to the same numbers"

# ---- between two seals -----------------------------------------------------------------------------------------------

run=$TEST_DIR/between
command=("${stint[@]}" --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
start between "${on_n2[@]}" STINT_FAULT=seal.before_write:pause@2 "${command[@]}"
wait_for 60 "the agent of n2 to seal" reached "$faults"
parts=("$run"/checkpoints/step-*.part)
wait_for 30 "the other seal" test -n "$(find "${parts[0]}" -name '*.seal' -size +0)"
before=$(newest "$run")
kill_family KILL between
wait_exit between 30
find "$faults" -type f -delete
is "$(find "${parts[0]}" -name '*.seal' -size +0 | wc -l)" 1 "a kill between the seals of two nodes leaves one of two"
run "${command[@]}"
is "$status" 0 "the next stint comes to the end"
like "$(journal "$run" restore checkpoint | tail -n 1)" "${before##*/}" "it began at the checkpoint before"
is "$(journal "$run" abandoned_part checkpoint | tail -n 1)" "$(basename "${parts[0]}")" "and set aside what was sealed on one node only"
same_hashes "$TEST_DIR/out" "both ranks end with the same numbers"

# Both have sealed, and nobody lived to make it whole.
run=$TEST_DIR/sealed
command=("${stint[@]}" --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
start sealed env STINT_FAULT=commit.before_manifest:pause@2 STINT_FAULT_DIR="$faults" "${command[@]}"
wait_for 60 "the second commit" reached "$faults"
parts=("$run"/checkpoints/step-*.part)
kill_family KILL sealed
wait_exit sealed 30
find "$faults" -type f -delete
run "${command[@]}"
is "$status" 0 "after a kill behind both seals the next stint comes to the end"
is "$(journal "$run" finished_part step)" "$(step_of "${parts[0]%.s*.part}")" "and finished the part first"
same_hashes "$TEST_DIR/out" "both ranks end with the same numbers"

# ---- the whole step dies ---------------------------------------------------------------------------------------------

ranks 25000
for victim in guard srun; do
        run=$TEST_DIR/$victim
        command=("${stint[@]}" --stint-dir "$run" --stint-interval 60ms -- "${mpi[@]}")
        start "$victim" "${command[@]}"
        wait_landed "$run"
        case $victim in
        guard) kill -KILL "$(guard_on "$victim" n2)" ;;
        srun) kill -KILL "$(by_executable "$victim" srun_stand_in)" ;;
        esac
        so_far=$(count_events "$run" save "$landed")
        wait_landed "$run" $((so_far + 2))
        wait_exit "$victim" 60
        is "$status" 0 "when the $victim of the agents dies, the training comes to its end"
        same_hashes "$TEST_DIR/$victim.out" "with the same numbers"
        is "$(journal "$run" agent_lost agent)" "the agents of all 2 nodes" "all agents are started again"
        ok "the run is DONE" test -e "$run/DONE"
done

# ---- programs that inherit nothing -----------------------------------------------------------------------------------

export SLURM_JOB_NUM_NODES=1
reference
bare=(env -i "PATH=$PATH" "HOME=$HOME" "TEST_MARK=$TEST_MARK" "SLURM_JOB_ID=4711" SLURMD_NODENAME=n1 "STINT_BIN=/nowhere")
run=$TEST_DIR/none
run "${stint[@]}" --stint-dir "$run" -- "${bare[@]}" "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a program that inherits nothing but the job comes to its end"
ok "and is DONE, for it knows the name of its agent" test -e "$run/DONE"
same_weights "$run.bin" "with the same weights"
mkdir "$TEST_DIR/own.stint"
run=$TEST_DIR/other
run "${stint[@]}" --stint-dir "$run" -- "${bare[@]}" "STINT_DIR=$TEST_DIR/own.stint" "${flow_train[@]}" --out "$run.bin"
not_ok "a program that names a run of its own is not taken into that of the job" test -e "$run/DONE"

# ---- no srun ---------------------------------------------------------------------------------------------------------

printf '#!/bin/sh\necho "srun: error: Unable to create step" >&2\nexit 1\n' >"$TEST_DIR/no-srun"
chmod +x "$TEST_DIR/no-srun"
run=$TEST_DIR/refused
STINT_SRUN=$TEST_DIR/no-srun run "${stint[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "where srun can start nothing the training comes to its end"
ok "and is saved, by an agent beside it" test -e "$run/DONE"
is "$(grep -c 'a preemption will not be felt' "$TEST_DIR/err")" 1 "what that means is said"
done_testing
