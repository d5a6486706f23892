/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_call: every call of libslurm that speaks to a daemon of Slurm, each under an alarm that ends this process, and
 * with its failure in words.  slurm_query.c, slurm_act.c and slurm_cluster.c call in; their tests put others in place.
 *
 * slurm.h is included here, once for all.  SLURM_BACKWARD_COMPAT: from 26.05 on slurm_load_job and others take a
 * slurm_step_id_t, and with this word the header takes a job id for it.  Of what is used besides, from 22.05 to 26.05
 * job_desc_msg_t.job_id (25.11) and slurm_free_ctl_conf (26.05) have changed their names.
 */
#ifndef STINT_SLURM_CALL_H
#define STINT_SLURM_CALL_H

#ifndef SLURM_BACKWARD_COMPAT
#define SLURM_BACKWARD_COMPAT
#endif
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdint.h>
#include "error.h"

#if SLURM_VERSION_NUMBER < SLURM_VERSION_NUM(22, 5, 0)
#error "stint needs Slurm 22.05 or newer: slurm_init() is not there before"
#endif

#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 5, 0)
#define slurm_free_ctl_conf slurm_free_conf
#endif

#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(25, 11, 0)
#define CHANGED_JOB step_id.job_id
#else
#define CHANGED_JOB job_id
#endif

/* Begins a change of a job. Arrays and parts of jobs are never meant: it is the job of this very number. */
static inline void call_change(job_desc_msg_t *change, uint32_t job)
{
        slurm_init_job_desc_msg(change);
        change->CHANGED_JOB = job;
}

/* Reads slurm.conf. A mistake in it ends this process, with libslurm's words on stderr. */
void call_init(void);

/* The longest that each of the calls below takes; then SIGALRM ends this process. */
void call_limit(unsigned seconds);

/*
 * Each answers 0, or -1 with an errno value and a sentence: ESRCH: there is no such job; EPERM: this job or this user
 * may not; EACCES: the credential was not taken; ETIMEDOUT: nobody answered; EIO: another refusal, in Slurm's words.
 * What they load is freed with libslurm's functions.
 */
int call_load_job(uint32_t job, job_info_msg_t **out, struct stint_error *err);
int call_load_reservations(reserve_info_msg_t **out, struct stint_error *err);
int call_load_partitions(partition_info_msg_t **out, struct stint_error *err);
int call_load_nodes(node_info_msg_t **out, struct stint_error *err);
int call_load_conf(slurm_conf_t **out, struct stint_error *err);
int call_requeue(uint32_t job, struct stint_error *err); /* EALREADY: it was requeued before; EPERM: Requeue=0 */
int call_update(job_desc_msg_t *change, struct stint_error *err);
int call_cancel(uint32_t job, struct stint_error *err);
int call_whose(pid_t pid, uint32_t *job, struct stint_error *err); /* asks the slurmd of this node */

/* The slurm.conf that libslurm has read itself, which costs no request; NULL where this libslurm does not show it. */
const slurm_conf_t *call_own_conf(void);

#endif
