/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cluster: those settings of a Slurm cluster that decide what becomes of a checkpoint.  stint-slurm fills them in, the
 * message SCHEDULER_CLUSTER carries them as they are (fixed sizes, no holes), `stint doctor` and `stint submit` read
 * them.
 */
#ifndef STINT_CLUSTER_H
#define STINT_CLUSTER_H

#include <stdint.h>

#define CLUSTER_UNLIMITED UINT32_MAX      /* a number that Slurm calls UNLIMITED or INFINITE */
#define CLUSTER_UNKNOWN (UINT32_MAX - 1u) /* a number that was not told */

/* What happens to a job that is preempted; of the whole cluster, or of a partition. */
enum cluster_preempt {
        CLUSTER_PREEMPT_OFF = 0, CLUSTER_PREEMPT_SUSPEND, CLUSTER_PREEMPT_REQUEUE, CLUSTER_PREEMPT_CANCEL,
        CLUSTER_PREEMPT_UNKNOWN
};

struct cluster {
        char name[64];
        char version[16];            /* of the controller, "22.05.8" */
        char library[16];            /* of the libslurm that asked it */
        uint32_t kill_wait_s;        /* KillWait: between TERM and KILL */
        uint32_t over_time_min;      /* OverTimeLimit, minutes */
        uint32_t job_requeue;        /* JobRequeue: what a job has that does not say --requeue or --no-requeue */
        uint32_t job_file_append;    /* JobFileAppend: the output of a job that is requeued goes on, and is not cut off */
        uint32_t preempt;            /* enum cluster_preempt, PreemptMode */
        uint32_t preempt_gang;       /* PreemptMode has GANG: jobs take turns, suspended meanwhile */
        uint32_t max_batch_requeue;  /* launch failures until a job is held */
        uint32_t cred_expire_s;      /* AuthInfo=cred_expire: a requeued job waits so long and one second */
        uint32_t rate_limit;         /* SlurmctldParameters has rl_enable */
        uint32_t user_signal;        /* SlurmctldParameters has preempt_send_user_signal: --signal replaces SIGTERM */
        uint32_t private_jobs;       /* PrivateData has jobs: only the owner and operators see one */
        uint32_t one_host;           /* every node of the cluster is the host that asks, by NodeHostname */
        uint32_t nodes;              /* how many nodes there are */
        uint32_t constrain_devices;  /* cgroup.conf: 0 no, 1 yes, CLUSTER_UNKNOWN */
        uint32_t min_job_age_s;      /* MinJobAge: afterwards the controller knows nothing of an ended job */
        uint32_t resv_over_run_min;  /* ResvOverRun */
        char preempt_type[48];       /* "preempt/partition_prio" */
        char task_plugin[64];        /* "task/affinity,task/cgroup" */
        char proctrack[48];          /* "proctrack/cgroup" */
        char partition[64];          /* the one that the numbers below are of; "": there is none of that name */
        uint32_t part_preempt;       /* enum cluster_preempt as it holds for its jobs */
        uint32_t part_grace_s;       /* GraceTime: between the news of a preemption and the kill */
        uint32_t part_max_min;       /* MaxTime */
        uint32_t part_over_time_min; /* OverTimeLimit of the partition; CLUSTER_UNKNOWN: the cluster's */
};

#endif
