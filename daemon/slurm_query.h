/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slurm_query: the questions of stint-slurm that change nothing.  slurm_main.c calls in. */
#ifndef STINT_SLURM_QUERY_H
#define STINT_SLURM_QUERY_H

#include "slurm_call.h"
#include "wire.h"

/* One job as the controller has it now. */
struct query_job {
        job_info_msg_t *message;      /* holds the record; free with query_free */
        const slurm_job_info_t *record;
        int64_t now_ns;               /* the controller's clock when it answered, ns since 1970 */
};

/* -1 with ESRCH when Slurm does not know it; otherwise as slurm_call.h says. */
int query_load(uint32_t job, struct query_job *out, struct stint_error *err);
void query_free(struct query_job *q);

/* STATE and WHOSE. Each fills in the answer; -1: with the reason, and the caller says that it failed. */
int query_state(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err);
int query_whose(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err);

/* The id that a question is about; -1 with EINVAL when it names none. */
int query_job_id(const struct wire_scheduler_ask *ask, uint32_t *job, struct stint_error *err);

/* KillWait, and what Slurm lets a requeued job wait, in seconds; from the slurm.conf read here, else asked for once. */
void query_waits(unsigned *kill_wait_s, unsigned *requeue_wait_s);

#endif
