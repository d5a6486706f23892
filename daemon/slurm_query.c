/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_query: a job's record, its reservation where it has one, and whose job a process is.  Never slurm_get_end_time
 * or slurm_get_rem_time: for a job that is not there they answer with another job's end.
 */
#include "slurm_query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "scheduler.h"
#include "slurm_record.h"

#define KILL_WAIT_S 30 /* Slurm's defaults */
#define REQUEUE_WAIT_S 120

int query_job_id(const struct wire_scheduler_ask *ask, uint32_t *job, struct stint_error *err)
{
        *job = record_job_id(ask->job);
        return *job != 0 ? 0 : error_set(err, EINVAL, "'%s' is not the number of a job", ask->job);
}

int query_load(uint32_t job, struct query_job *out, struct stint_error *err)
{
        struct stint_error why = { 0 };

        *out = (struct query_job){ 0 };
        if (call_load_job(job, &out->message, &why) < 0 && why.code != ESRCH)
                return error_set(err, why.code, "%s", why.text);
        if (out->message != NULL)
                out->record = record_find(out->message, job);
        if (out->record != NULL) {
                out->now_ns = record_now(out->message->last_update, clock_wall());
                return 0;
        }
        query_free(out);
        return error_set(err, ESRCH, "Slurm knows nothing of job %u (any more)", job);
}

void query_free(struct query_job *q)
{
        if (q->message != NULL)
                slurm_free_job_info_msg(q->message);
        *q = (struct query_job){ 0 };
}

/* A reservation that cannot be asked for is no reason to keep the job's own end back. */
static void look_at_reservation(const struct query_job *q, struct wire_scheduler_answer *answer)
{
        const slurm_conf_t *conf = call_own_conf();
        reserve_info_msg_t *all;
        struct stint_error err;

        if (call_load_reservations(&all, &err) < 0) {
                wire_text(answer->text, sizeof answer->text, err.text);
                return;
        }
        record_reservation(q->record, all, conf != NULL ? conf->resv_over_run : 0, q->now_ns, answer);
        slurm_free_reservation_info_msg(all);
}

int query_state(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err)
{
        struct stint_error why = { 0 };
        struct query_job q;
        uint32_t job;

        if (query_job_id(ask, &job, err) < 0)
                return -1;
        if (query_load(job, &q, &why) < 0) {
                if (why.code != ESRCH)
                        return error_set(err, why.code, "%s", why.text);
                record_unknown(job, answer);
                return 0;
        }
        record_answer(q.record, q.now_ns, answer);
        if (record_reserved(q.record, answer))
                look_at_reservation(&q, answer);
        query_free(&q);
        return 0;
}

int query_whose(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err)
{
        struct stint_error why = { 0 };
        uint32_t job;

        if (call_whose((pid_t)ask->pid, &job, &why) < 0) {
                if (why.code == ESRCH)
                        return error_set(err, ESRCH, "process %u belongs to no job of this node", ask->pid);
                return error_set(err, why.code, "%s", why.text);
        }
        answer->state = SCHEDULER_RUNNING;
        answer->left_ns = CLOCK_NEVER;
        answer->uid = UINT32_MAX;
        memset(answer->job, 0, sizeof answer->job);
        snprintf(answer->job, sizeof answer->job, "%u", job);
        return 0;
}

void query_waits(unsigned *kill_wait_s, unsigned *requeue_wait_s)
{
        static unsigned kill_wait = KILL_WAIT_S, requeue_wait = REQUEUE_WAIT_S;
        static int known;
        const slurm_conf_t *own = call_own_conf();
        slurm_conf_t *asked;

        if (own != NULL) {
                kill_wait = own->kill_wait;
                requeue_wait = record_requeue_wait(own);
        } else if (!known && call_load_conf(&asked, NULL) == 0) {
                kill_wait = asked->kill_wait;
                requeue_wait = record_requeue_wait(asked);
                slurm_free_ctl_conf(asked);
                known = 1;
        }
        *kill_wait_s = kill_wait;
        *requeue_wait_s = requeue_wait;
}
