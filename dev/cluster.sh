# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# dev/cluster.sh: what a private cluster consists of: its settings, ports, users and configuration, and how all of it is
# taken away again. Read by dev/cluster with `.`; $cluster is its folder everywhere.

# Settings travel from `dev/cluster start` to the keeper in the environment.
: "${CLUSTER_cpus:=2}" "${CLUSTER_grace:=10}" "${CLUSTER_cred_expire:=5}" "${CLUSTER_kill_wait:=5}" "${CLUSTER_requeue:=1}"
: "${CLUSTER_stintd:=yes}"
export CLUSTER_cpus CLUSTER_grace CLUSTER_cred_expire CLUSTER_kill_wait CLUSTER_requeue CLUSTER_stintd

# All clusters of this machine: a file per keeper, named by its process id, with `START-TICKS PORT DIR`. Whoever changes
# something there holds a lock on /run, the folder itself, so that no file of ours stays.
cluster_registry=/run/stint-clusters
# They are there while any cluster is: two ordinary ones, and that of stintd. The comment says that they are ours.
cluster_users="stint-u1 stint-u2 stint-d"
cluster_comment="private cluster of stint"
cluster_nodes="n1 n2"

cluster_setting() # NAME VALUE
{
        export "CLUSTER_$1=$2"
}

cluster_needs()
{
        local program missing=
        for program in slurmctld slurmd munged munge scontrol sinfo srun sbatch setpriv useradd /usr/bin/python3; do
                command -v "$program" >/dev/null 2>&1 || missing="$missing ${program##*/}"
        done
        [ -z "$missing" ] ||
                die "missing here:$missing; on Debian: apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge python3"
}

within() # SECONDS COMMAND [ARGUMENT...]: 0 as soon as the command exits with 0, 1 when it has not by then
{
        local until=$((SECONDS + $1 + 1))
        shift
        while ! "$@" >/dev/null 2>&1; do
                [ "$SECONDS" -lt "$until" ] || return 1
                sleep 0.1
        done
}

# ---- processes -------------------------------------------------------------------------------------------------------

start_ticks() # PID: when it started, in ticks since boot; with the pid that names a process for good
{
        local line
        read -r line 2>/dev/null <"/proc/$1/stat" || return 1
        line=${line##*) }
        # shellcheck disable=SC2086  # fields are words
        set -- $line
        echo "${20}"
}

# Everything below a process, from one look at all of them. Zombies are left to their parents.
tree_below() # PID
{
        local file line pid top=$1 self=$BASHPID
        for file in /proc/[0-9]*/stat; do
                read -r line 2>/dev/null <"$file" || continue
                pid=${line%% *}
                line=${line##*) }
                # shellcheck disable=SC2086
                set -- $line
                echo "$pid $2 $1"
        done | awk -v top="$top" -v self="$self" '{ parent[$1] = $2; state[$1] = $3 }
                function below(pid) { return pid == top ? 1 : (pid in parent) && pid != self ? below(parent[pid]) : 0 }
                END { for (pid in parent) if (pid != top && state[pid] != "Z" && state[pid] != "X" && below(pid)) print pid }'
}

kill_tree_below() # PID: until nothing is left. Stopped first, so that none sees the others die and acts on it
{
        local pids
        while pids=$(tree_below "$1") && [ -n "$pids" ]; do
                # shellcheck disable=SC2086
                kill -STOP $pids 2>/dev/null || :
                # shellcheck disable=SC2086
                kill -KILL $pids 2>/dev/null || :
                sleep 0.02
        done
}

# What is no keeper's child, or no longer: the command of `dev/cluster run`, and where the keeper was killed, its daemons,
# steps and jobs. A shell that merely uses the surroundings of the cluster is not meant.
kill_marked() # DIR
{
        local pids
        while pids=$(marked "$1") && [ -n "$pids" ]; do
                # shellcheck disable=SC2086
                kill -KILL $pids 2>/dev/null || :
                sleep 0.05
        done
}

marked() # DIR: process ids
{
        local step pid
        {
                with_variable "STINT_CLUSTER_MARK=$1" /proc/[0-9]*/environ
                # shellcheck disable=SC2046  # these are words
                with_variable "SLURM_CONF=$1/slurm.conf" $(grep -lzs -e '^SLURM_JOB_ID=' /proc/[0-9]*/environ)
        } | sed 's,^/proc/\(.*\)/environ,\1,' | sort -u
        # The title of a slurmstepd has its environment's place, but its log is open.
        for step in $(grep -lsx slurmstepd /proc/[0-9]*/comm); do
                pid=${step%/comm}
                ! find "$pid/fd" -lname "$1/*" 2>/dev/null | grep -q . || echo "${pid##*/}"
        done
}

with_variable() # NAME=VALUE FILE...: of these, those of processes that run and have it
{
        local file state
        # grep itself must not carry the mark.
        { env -u STINT_CLUSTER_MARK -u SLURM_CONF grep -lzxFs -e "$1" -- "${@:2}" /dev/null || :; } | while read -r file; do
                state=$(sed -n 's/.*) \(.\) .*/\1/p' "${file%environ}stat" 2>/dev/null) || :
                case $state in '' | Z | X) ;; *) echo "$file" ;; esac
        done
}

# ---- all clusters of this machine ------------------------------------------------------------------------------------

registry_locked() # COMMAND [ARGUMENT...]
{
        local rc=0
        (
                flock -w 60 6 || die "/run stays locked: is another dev/cluster stuck?"
                "$@" 6<&-
        ) 6</run || rc=$?
        return "$rc"
}

entry_lives() # FILE: 0 when its keeper runs; sets ticks, port and dir
{
        read -r ticks port dir <"$1" && [ "$(start_ticks "${1##*/}")" = "$ticks" ]
}

cluster_entries()
{
        find "$cluster_registry" -name '[0-9]*' 2>/dev/null || :
}

cluster_list() # folders of those that run
{
        local file ticks port dir
        for file in $(cluster_entries); do
                ! entry_lives "$file" || echo "$dir"
        done
}

cluster_keeper() # its process id, when it runs
{
        local file ticks port dir
        for file in $(cluster_entries); do
                if entry_lives "$file" && [ "$dir" = "$cluster" ]; then
                        echo "${file##*/}"
                fi
        done
}

cluster_claim() # PID of the keeper: enters it with ports and users of its own
{
        registry_locked claim_locked "$1"
}

claim_locked()
{
        local file ticks port dir
        mkdir -p "$cluster_registry"
        # What a killed keeper could not take away.
        for file in $(cluster_entries); do
                if ! entry_lives "$file"; then
                        rm -f "$file"
                        [ ! -p "$dir/keeper.fifo" ] || { kill_marked "$dir"; rm -rf "$dir"; }
                fi
        done
        port=$(free_port) || die "no free ports between 20000 and 32000"
        echo "$(start_ticks "$1") $port $cluster" >"$cluster_registry/$1"
        echo "$port" >"$cluster/run/port"
        make_users
}

# Three ports in a row below those the kernel gives out: slurmctld, and a slurmd per node.
free_port()
{
        local port used tries
        used=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '{ split($2, a, ":"); print a[length(a)] }')
        for tries in $(seq 50); do
                port=$((20000 + (RANDOM % 4000) * 3))
                if ! grep -qsh " $port " "$cluster_registry"/[0-9]* &&
                        ! grep -qx -e "$(printf %04X $port)" -e "$(printf %04X $((port + 1)))" -e "$(printf %04X $((port + 2)))" <<<"$used"; then
                        echo "$port"
                        return 0
                fi
        done
        return 1
}

is_our_user() # NAME: 0 when dev/cluster made it
{
        getent passwd "$1" | cut -d: -f5 | grep -qx "$cluster_comment"
}

make_users() # those that are not there. One that somebody else made is never touched, and not used either
{
        local name
        for name in $cluster_users; do
                ! is_our_user "$name" || continue
                ! getent passwd "$name" >/dev/null ||
                        die "there is a user $name here that dev/cluster did not make; rename it to use a private cluster"
                useradd --no-create-home --home-dir /nonexistent --shell /bin/bash --user-group \
                        --comment "$cluster_comment" "$name" 7>&- || die "the user $name could not be made"
        done
}

cluster_forget() # the keeper's last act but one; the last cluster takes the users with it
{
        registry_locked forget_locked "$$"
}

forget_locked()
{
        local file ticks port dir name
        rm -f "$cluster_registry/$1"
        for file in $(cluster_entries); do
                ! entry_lives "$file" || return 0
        done
        for name in $cluster_users; do
                ! is_our_user "$name" || userdel "$name" >/dev/null || say "the user $name could not be removed"
        done
        rm -rf "$cluster_registry"
}

take_away() # DIR, whose keeper is gone
{
        local file ticks port dir
        kill_marked "$1"
        for file in $(cluster_entries); do
                read -r ticks port dir <"$file"
                [ "$dir" != "$1" ] || registry_locked forget_locked "${file##*/}"
        done
        rm -rf "$1"
}

# ---- configuration ---------------------------------------------------------------------------------------------------

cluster_configure()
{
        local name node host port memory
        port=$(cat "$cluster/run/port")
        host=$(uname -n)
        host=${host%%.*}
        # Half of the memory for each node's jobs, on paper: nothing here enforces it.
        memory=$(awk '/^MemTotal:/ { print int($2 / 2048) }' /proc/meminfo)
        mkdir -m 755 "$cluster/munge" "$cluster/state" "$cluster/spool" "$cluster/dev" "$cluster/tmp"
        for name in u1 u2; do
                install -d -m 700 -o "stint-$name" -g "stint-$name" "$cluster/$name"
        done
        for node in $cluster_nodes; do
                mkdir -m 755 "$cluster/spool/$node"
                mkdir -m 1777 "$cluster/tmp/$node"
                install -d -m 755 -o stint-d -g stint-d "$cluster/run/$node"
        done
        # As Slurm wants them: device nodes. What is behind them plays no part.
        mknod -m 666 "$cluster/dev/gpu0" c 1 3 && mknod -m 666 "$cluster/dev/gpu1" c 1 3 ||
                die "this container may not make device nodes (CAP_MKNOD), without which there are no stand-in GPUs"
        head -c 128 /dev/urandom >"$cluster/munge/key"
        chmod 600 "$cluster/munge/key"
        slurm_conf "$host" "$port" "$memory" >"$cluster/slurm.conf"
        printf 'CgroupPlugin=%s\n' "$(unused_cgroups)" >"$cluster/cgroup.conf"
        printf 'NodeName=n[1-2] Name=gpu File=%s/dev/gpu[0-1]\n' "$cluster" >"$cluster/gres.conf"
        printf '%s\n' "${CLUSTER_stintd_more-}" >"$cluster/stint.conf"
        grep -q '^StagingMemory=' "$cluster/stint.conf" || echo StagingMemory=512M >>"$cluster/stint.conf"
        # Complete at once: it is what `dev/cluster start` waits for.
        cluster_environment >"$cluster/env.new"
        mv "$cluster/env.new" "$cluster/env"
}

# slurmd looks for cgroups although nothing here uses them, and ends where there are none, or version 2 without systemd. The
# plugin for version 1 looks for nothing before it is used; newer ones can be told that it never will be.
unused_cgroups()
{
        case $(slurmd -V) in
        *\ 22.05* | *\ 23.02*) echo cgroup/v1 ;;
        *) echo disabled ;;
        esac
}

slurm_conf() # HOST PORT MEMORY-MIB
{
        cat <<END
ClusterName=stint
SlurmctldHost=$1(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$cluster/munge/socket,cred_expire=$CLUSTER_cred_expire
SlurmctldPort=$2
# Clusters side by side share the users and this host; what is named after a job must still be one cluster's alone.
FirstJobId=$(($2 * 100))
SlurmctldPidFile=$cluster/run/slurmctld.own.pid
SlurmdPidFile=$cluster/run/slurmd-%n.own.pid
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool/%n
# Where PMIx has its folders; two nodes in one would disturb each other.
TmpFS=$cluster/tmp/%n
SlurmctldLogFile=$cluster/log/slurmctld.log
SlurmdLogFile=$cluster/log/slurmd-%n.log
SlurmctldDebug=verbose
SlurmdDebug=debug
LogTimeFormat=iso8601_ms
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=$(($3 / CLUSTER_cpus / 2))
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=$CLUSTER_requeue
KillWait=$CLUSTER_kill_wait
GresTypes=gpu
${CLUSTER_more-}
NodeName=n1 NodeHostname=$1 NodeAddr=127.0.0.1 Port=$(($2 + 1)) CPUs=$CLUSTER_cpus RealMemory=$3 Gres=gpu:2 State=UNKNOWN
NodeName=n2 NodeHostname=$1 NodeAddr=127.0.0.1 Port=$(($2 + 2)) CPUs=$CLUSTER_cpus RealMemory=$3 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=$CLUSTER_grace
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
END
}

cluster_environment()
{
        cat <<END
export STINT_CLUSTER=$cluster
export SLURM_CONF=$cluster/slurm.conf
export PATH=$cluster/opt/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
export LD_LIBRARY_PATH=$cluster/opt/lib
export STINT_BIN=$cluster/opt/bin/stint
export STINT_LIBEXEC_DIR=$cluster/opt/libexec/stint
export STINT_DAEMON_SOCKET=$cluster/run/%n/stintd.sock
export STINT_CLUSTER_U1=stint-u1
export STINT_CLUSTER_U2=stint-u2
END
}

# ---- daemons ---------------------------------------------------------------------------------------------------------

stintd_program()
{
        find "$cluster/opt/sbin/stintd" "$cluster/opt/libexec/stint/stintd" -type f 2>/dev/null | head -n 1
}

cluster_daemons() # all but munged
{
        local node
        echo slurmctld
        for node in $cluster_nodes; do
                echo "slurmd-$node"
                [ "$CLUSTER_stintd" != yes ] || [ -z "$(stintd_program)" ] || echo "stintd-$node"
        done
}

cluster_command() # NAME: sets command, and in as the options of setpriv for whom it runs as
{
        local node=${1#*-} munge=$cluster/munge
        as=()
        case $1 in
        munged)
                command=(munged --foreground --num-threads=2 --socket="$munge/socket" --key-file="$munge/key"
                        --pid-file="$munge/munged.pid" --log-file="$cluster/log/munged.log" --seed-file="$munge/seed") ;;
        slurmctld) command=(slurmctld -D -f "$cluster/slurm.conf") ;;
        slurmd-n*) command=(slurmd -D -c -N "$node" -f "$cluster/slurm.conf") ;;
        stintd-n*)
                as=(--reuid stint-d --regid stint-d --clear-groups)
                command=(env SLURM_CONF="$cluster/slurm.conf" SLURMD_NODENAME="$node" STINT_LIBEXEC_DIR="$cluster/opt/libexec/stint"
                        "$(stintd_program)" --node "$node" --socket "$cluster/run/$node/stintd.sock" --config "$cluster/stint.conf"
                        --exit-with-parent) ;;
        *) return 1 ;;
        esac
}

cluster_answers() # every daemon of it, asked. The surroundings are those of $cluster/env
{
        local node
        scontrol ping | grep -q ' is UP' || return 1
        [ "$(sinfo -h -p main -o '%T %D')" = "idle 2" ] || return 1
        for node in $cluster_nodes; do
                [ ! -s "$cluster/run/stintd-$node.pid" ] || [ -S "$cluster/run/$node/stintd.sock" ] || return 1
        done
}

daemon_pid() # NAME: its process id, when it runs
{
        local pid
        pid=$(cat "$cluster/run/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

control_daemon() # start|kill NAME
{
        local pid
        cluster_command "$2" || die "no daemon is called '$2'; there are: munged $(cluster_daemons | tr '\n' ' ')"
        case $1 in
        start)
                [ -z "$(daemon_pid "$2")" ] || die "$2 runs already"
                rm -f "$cluster/run/$2.pid"
                echo "start $2" >"$cluster/keeper.fifo"
                within 10 daemon_pid "$2" || die "$2 does not run; see $cluster/log/$2.out" ;;
        kill)
                pid=$(daemon_pid "$2") || die "$2 does not run"
                kill -KILL "$pid"
                timeout 10 tail -s 0.05 --pid="$pid" -f /dev/null ;;
        *) die "start or kill, not '$1'" ;;
        esac
}

# Becomes the user of the cluster that is called u1 or u2 in it.
as_cluster_user() # u1|u2 COMMAND [ARGUMENT...]
{
        local name=$1
        shift
        setpriv --reuid "stint-$name" --regid "stint-$name" --clear-groups -- \
                env HOME="$cluster/$name" USER="stint-$name" LOGNAME="stint-$name" TMPDIR=/tmp "$@"
}
