# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/slurm/slurm.sh: what the stories on a real Slurm share. Each has a private cluster of its own, which takes two
# seconds, so that none can disturb another and any may stop the controller or kill a daemon:
#
#       . "$(dirname "$0")/../tap.sh"
#       . "$TEST_SOURCE/tests/slurm/slurm.sh"
#       cluster_start --grace 20                        # options of dev/cluster
#       batch u1 train '#SBATCH -t 1' 'stint run -- train_lm --steps 500'
#       submit u1 train                                 # sets job; `submit_plain` is sbatch without stint
#       wait_job 120 "$job" COMPLETED
#       done_testing
#
# The folders of the users are $cluster/u1 and $cluster/u2; what a job prints is there, in JOBID.out.
. "$TEST_SOURCE/tests/flow/flow.sh"

slurm_dev=$TEST_SOURCE/dev
cluster=
job= # set by submit and submit_plain
faults= # set by cluster_start

# ---- the cluster -----------------------------------------------------------------------------------------------------

# A story that cannot run says so with a reason, before its first point.
slurm_needed()
{
        local program
        [ "$(id -u)" -eq 0 ] || skip_all "a private Slurm needs root"
        for program in slurmctld slurmd munged sbatch srun scontrol setpriv useradd; do
                command -v "$program" >/dev/null || skip_all "Slurm is not here: no $program"
        done
}

cluster_start() # [OPTION...] of dev/cluster: sets cluster and points this shell at it
{
        slurm_needed
        cluster=$(TMPDIR=/tmp "$slurm_dev/cluster" start --build "$TEST_BUILD" --with $$ "$@" 2>"$TEST_DIR/cluster.err") ||
                { diag_file "$TEST_DIR/cluster.err" 200; exit 1; }
        . "$cluster/env"
        faults=$cluster/u1/faults
}

cluster_stop()
{
        "$slurm_dev/cluster" stop "$cluster" 2>"$TEST_DIR/cluster.err" || { diag_file "$TEST_DIR/cluster.err"; return 1; }
        cluster=
}

cluster_daemon() # start|kill NAME
{
        "$slurm_dev/cluster" daemon "$cluster" "$@" 2>"$TEST_DIR/cluster.err" || { diag_file "$TEST_DIR/cluster.err"; return 1; }
}

daemon_signal() # SIGNAL NAME: STOP and CONT make a daemon that hangs, and goes on
{
        kill "-$1" "$(cat "$cluster/run/$2.pid")"
}

slurm_end()
{
        local rc=$? file
        [ "$BASHPID" = "$$" ] || exit "$rc"
        set +e
        if [ -n "$cluster" ] && { [ "$rc" -ne 0 ] || [ "$tap_failed" -ne 0 ]; }; then
                for file in "$cluster"/u?/*.out "$cluster"/log/stintd-*.out "$cluster"/log/slurmctld.log; do
                        diag_file "$file" 60
                done
                [ -z "${TEST_KEEP-}" ] || cp -a "$cluster" "$TEST_DIR/cluster"
        fi
        [ -z "$cluster" ] || cluster_stop || rc=1
        (exit "$rc")
        tap_end
}
trap slurm_end EXIT

# ---- users and jobs --------------------------------------------------------------------------------------------------

# as_user u1|u2 COMMAND [ARGUMENT...]: as that user, in the folder of the user, in surroundings that are a login's
as_user()
{
        local user=$1
        shift
        setpriv --reuid "stint-$user" --regid "stint-$user" --clear-groups -- \
                env -i HOME="$cluster/$user" USER="stint-$user" LOGNAME="stint-$user" SHELL=/bin/bash LC_ALL=C.UTF-8 TZ=UTC \
                TEST_MARK="$TEST_MARK" bash -c '. "$0/env" && cd "$HOME" && exec "$@"' "$cluster" "$@"
}

batch() # USER NAME LINE...: a batch script NAME in the folder of the user
{
        local user=$1 name=$2
        shift 2
        { echo '#!/bin/bash'; printf '%s\n' "$@"; } >"$cluster/$user/$name"
        chown "stint-$user:" "$cluster/$user/$name"
}

submitted() # USER COMMAND...: runs it and takes the job's id from what it printed, which stays in $TEST_DIR/submitted
{
        local user=$1
        shift
        job=
        as_user "$user" "$@" >"$TEST_DIR/submitted" 2>"$TEST_DIR/submitted.err" || {
                diag "exit status $? of: $*"
                diag_file "$TEST_DIR/submitted.err"
                return 1
        }
        job=$(sed -n 's/^Submitted batch job \([0-9]*\)$/\1/p' "$TEST_DIR/submitted")
        [ -n "$job" ] || { diag "no job id from: $*"; diag_file "$TEST_DIR/submitted"; return 1; }
}

submit() # USER [ARGUMENT of stint submit...]: sets job
{
        local user=$1
        shift
        submitted "$user" stint submit --output=%j.out --open-mode=append "$@"
}

submit_plain() # USER [ARGUMENT of sbatch...]: sets job
{
        local user=$1
        shift
        submitted "$user" sbatch --output=%j.out --open-mode=append "$@"
}

# Programs with MPI. Under this simulated cluster, Open MPI 4.1.4 was seen to crash in one start of some hundreds on a busy
# machine, without stint (STINT_DIR=off) and before the program said its first line: a jump to address 0 in MPI_Init, on one
# rank. Such a job is no story, and is submitted again; anything else is one.
submit_mpi() # COMMAND...: submits with that command until the program has begun; sets job
{
        local try
        for try in 1 2 3; do
                "$@" || return 1
                wait_slurm 60 "MPI to begin or to crash" mpi_began_or_crashed || return 1
                ! crashed_in_mpi "$job" || { diag "MPI_Init crashed by itself, try $try"; wait_end 60 "$job"; continue; }
                return 0
        done
        return 1
}

crashed_in_mpi() # JOB: and nothing of the program was heard
{
        output "$1" | grep -q 'Signal: Segmentation fault' && ! output "$1" | grep -q '^rank [0-9]* starts at step'
}

mpi_began_or_crashed()
{
        output "$job" | grep -q -e '^rank [0-9]* starts at step' -e 'Signal: Segmentation fault'
}

job_field() # JOB FIELD: as scontrol shows it, or nothing when there is no such job
{
        scontrol show job -o "$1" 2>/dev/null | head -n 1 | tr ' ' '\n' | sed -n "s/^$2=//p"
}

job_is() # JOB STATE: its base state, for COMPLETING is one of several flags beside it
{
        [ "$(job_field "$1" JobState)" = "$2" ]
}

job_restarts() # JOB
{
        job_field "$1" Restarts
}

has_restarted() # JOB N: and runs
{
        [ "$(job_restarts "$1")" -ge "$2" ] && job_is "$1" RUNNING
}

job_over() # JOB: in whichever way
{
        case $(job_field "$1" JobState) in
        COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL | BOOT_FAIL | PREEMPTED | '') return 0 ;;
        esac
        return 1
}

# As wait_for, four times a second, for a question to the controller is dearer than one to a file.
wait_slurm() # SECONDS WHAT COMMAND [ARGUMENT...]
{
        local seconds=$1 what=$2 until
        shift 2
        until=$((SECONDS + seconds + 1))
        while ! "$@" >/dev/null 2>&1; do
                if [ "$SECONDS" -ge "$until" ]; then
                        diag "waited $seconds s in vain for $what"
                        diag "$(squeue -a -o '%i %u %P %T %r %R %S' 2>&1)"
                        return 1
                fi
                sleep 0.25
        done
}

wait_job() # SECONDS JOB STATE
{
        wait_slurm "$1" "job $2 to be $3" job_is "$2" "$3" || { diag "$(scontrol show job "$2" 2>&1)"; return 1; }
}

wait_restart() # SECONDS JOB N: until it runs for the N-th time after its first
{
        wait_slurm "$1" "restart $3 of job $2" has_restarted "$2" "$3" || { diag "$(scontrol show job "$2" 2>&1)"; return 1; }
}

wait_end() # SECONDS JOB
{
        wait_slurm "$1" "the end of job $2" job_over "$2" || { diag "$(scontrol show job "$2" 2>&1)"; return 1; }
}

output() # JOB [USER]: what it printed
{
        cat "$cluster/${2:-u1}/$1.out" 2>/dev/null || :
}

wait_output() # SECONDS JOB EXTENDED_REGEX [USER]: until it printed a line that matches
{
        wait_for_line "$1" "$cluster/${4:-u1}/$2.out" "$3"
}

job_processes() # JOB: ids of its processes, whatever step they belong to
{
        local pid
        for pid in $(tap_marked SLURM_JOB_ID "$1"); do
                ! grep -qzxFs -e "SLURM_CONF=$SLURM_CONF" "/proc/$pid/environ" || echo "$pid"
        done
}

no_process_of() # JOB NAME: passes when none of its processes is left a while after its end
{
        if wait_slurm 60 "the last process of job $1 to end" eval "[ -z \"\$(job_processes $1)\" ]"; then
                pass "$2"
        else
                fail "$2"
                diag "$(ps -o pid,ppid,stat,args -p "$(job_processes "$1" | paste -sd,)" 2>&1)"
        fi
}

# ---- faults ----------------------------------------------------------------------------------------------------------

# fault_in RESTART SETTING: a line for a batch script of u1, which arms a fault (lib/common/fault.h) in that start of the
# job, 0 being its first. What pauses there is reached() in $faults, and goes on when released.
fault_in()
{
        install -d -o stint-u1 -g stint-u1 "$faults"
        echo "[ \"\${SLURM_RESTART_COUNT:-0}\" != $1 ] || export STINT_FAULT=$2 STINT_FAULT_DIR=$faults"
}

release() # what waits at a fault point
{
        find "$faults" -type f ! -name '.*' -delete
}

# ---- times -----------------------------------------------------------------------------------------------------------

log_time() # FILE EXTENDED_REGEX: when the first line that matches was written, in seconds since 1970
{
        local stamp
        stamp=$(grep -Em1 -e "$2" "$1" | sed -n 's/^\[\([^]]*\)\].*/\1/p')
        [ -n "$stamp" ] && date -d "$stamp" +%s.%N
}

event_time() # RUN EVENT [N]: when the N-th event of that kind, the first unless said, was written to the journal
{
        date -d "$(journal "$1" "$2" t | sed -n "${3:-1}p")" +%s.%N
}

within_seconds() # NAME EARLIER LATER SECONDS: passes when the later time is that much later at most, and a tenth earlier at most
{
        if awk -v a="$2" -v b="$3" -v most="$4" 'BEGIN { exit !(a != "" && b != "" && b - a >= -0.1 && b - a <= most) }'; then
                pass "$1"
        else
                fail "$1"
                diag "from '$2' to '$3' is $(awk -v a="$2" -v b="$3" 'BEGIN { print b - a }') s; at most $4 s were expected"
        fi
}

# ---- trainings -------------------------------------------------------------------------------------------------------

# slurm_reference ARGUMENT of train_lm...: what such a training ends with when nobody touches it, in
# $TEST_DIR/reference.bin; begun in the background, waited for by same_as_reference.
slurm_reference()
{
        start reference env STINT_DIR=off train_lm --log-every 0 "$@" --out "$TEST_DIR/reference.bin"
}

same_as_reference() # FILE NAME
{
        if [ -n "${tap_pid[reference]-}" ]; then
                wait_exit reference 300
                is "$status" 0 the_reference_ran
        fi
        same_weights "$1" "$2"
}

# ---- what the controller was asked -----------------------------------------------------------------------------------

# rpcs_of u1|u2: so many requests of this user the controller has seen since it was started or `sdiag --reset`; whatever the
# user runs counts, so a story that counts waits without asking as that user.
rpcs_of()
{
        sdiag | sed -n '/statistics by user/,/^$/p' | sed -n "s/^[[:space:]]*stint-$1 .*count:\([0-9]*\).*/\1/p" | grep . || echo 0
}

rpcs_by_type() # REQUEST_...: the same of one type, of all users together
{
        sdiag | sed -n '/statistics by message type/,/^$/p' | sed -n "s/^[[:space:]]*$1 .*count:\([0-9]*\).*/\1/p" | grep . || echo 0
}
