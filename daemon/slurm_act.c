/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_act: requeue, cancel, comment.  A requeue is one question because its parts belong together: look whether the
 * job was cancelled, put it back, and shorten its wait while the batch script still lives.
 *
 * The wait: a job that is requeued may not start for cred_expire + 1 s (121 s by default), unless its StartTime lies in
 * the future at the end of COMPLETING.  So StartTime is set beyond that end, which comes KillWait after the requeue at
 * the latest, and read back, for rc 0 does not mean that it stayed.  Where a site has made the wait shorter than that,
 * it is left alone.
 */
#include "slurm_act.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "scheduler.h"
#include "slurm_query.h"
#include "slurm_record.h"

#define BEYOND_KILL_S 5 /* after KillWait; less, and a slow node's end would come after it */

/* ---- requeue --------------------------------------------------------------------------------------------------- */

static int is_pending(const slurm_job_info_t *job)
{
        return (job->job_state & JOB_STATE_BASE) == JOB_PENDING;
}

/* Not --requeue, or JobRequeue=0: both are the owner's to change. */
static int allow_requeue(uint32_t job, struct stint_error *err)
{
        job_desc_msg_t change;

        call_change(&change, job);
        change.requeue = 1;
        if (call_update(&change, err) < 0)
                return error_wrap(err, "job %u has Requeue=0, which could not be changed", job);
        return 0;
}

static int requeue(uint32_t job, int allowed, struct stint_error *err)
{
        struct stint_error why = { 0 };

        if (!allowed && allow_requeue(job, err) < 0)
                return -1;
        if (call_requeue(job, &why) == 0 || why.code == EALREADY)
                return 0;
        /* The record said that it may, and an admin's word came in between. */
        if (why.code == EPERM && allowed && allow_requeue(job, NULL) == 0 && call_requeue(job, &why) == 0)
                return 0;
        return error_set(err, why.code, "%s", why.text);
}

static int set_start(uint32_t job, time_t start, struct stint_error *err)
{
        job_desc_msg_t change;

        call_change(&change, job);
        change.begin_time = start;
        return call_update(&change, err);
}

/*
 * What became of it: eligible_time is the StartTime that was asked for, start_time may be the scheduler's forecast.
 * least_s is what Slurm will put there only when the job has ended.
 */
static void read_back(uint32_t job, unsigned least_s, const char *trouble, struct wire_scheduler_answer *answer)
{
        struct stint_error err = { 0 };
        struct query_job q;
        int64_t wait_s;

        if (query_load(job, &q, &err) < 0) {
                snprintf(answer->text, sizeof answer->text, "requeued; when it starts is not known: %.200s", err.text);
                return;
        }
        record_answer(q.record, q.now_ns, answer);
        answer->wait_ns = q.record->eligible_time == 0 ? 0 : q.record->eligible_time * CLOCK_SECOND - q.now_ns;
        if (answer->wait_ns < least_s * CLOCK_SECOND)
                answer->wait_ns = least_s * CLOCK_SECOND;
        wait_s = (answer->wait_ns + CLOCK_SECOND - 1) / CLOCK_SECOND;
        if (answer->state == SCHEDULER_CANCELLED)
                wire_text(answer->text, sizeof answer->text, "the job was requeued and then cancelled");
        else if (trouble[0] != '\0')
                snprintf(answer->text, sizeof answer->text,
                         "requeued; it waits as long as Slurm makes it (cred_expire), for its StartTime could not be set: "
                         "%.200s",
                         trouble);
        else
                snprintf(answer->text, sizeof answer->text, "requeued; it may start in %lld s", (long long)wait_s);
        query_free(&q);
}

/* Of a heterogeneous job every part waits by itself, and a leader's message has the records of all. */
static int set_starts(const struct query_job *q, uint32_t leader, time_t start, struct stint_error *err)
{
        int rc = 0, has_leader = 0;
        uint32_t i;

        for (i = 0; i < q->message->record_count; i++) {
                const slurm_job_info_t *part = &q->message->job_array[i];

                if (record_leader(part) != leader)
                        continue;
                has_leader |= part->job_id == leader;
                rc |= set_start(part->job_id, start, err);
        }
        return has_leader ? rc : rc | set_start(leader, start, err);
}

/* The whole of it, once the record is at hand. */
static int run_again(const struct query_job *q, struct wire_scheduler_answer *answer, struct stint_error *err)
{
        uint32_t leader = record_leader(q->record);
        struct stint_error trouble = { 0 };
        unsigned kill_wait_s, requeue_wait_s, least_s = 0;
        time_t start;

        if (!is_pending(q->record) && requeue(leader, q->record->requeue != 0, err) < 0)
                return -1;
        query_waits(&kill_wait_s, &requeue_wait_s);
        start = (time_t)(q->now_ns / CLOCK_SECOND) + (time_t)kill_wait_s + BEYOND_KILL_S;
        /* Where nothing of it runs any more, whoever asks is not this job, and its wait is not ours to change. */
        if (!answer->gone && requeue_wait_s + 1 <= kill_wait_s + BEYOND_KILL_S)
                least_s = requeue_wait_s + 1;
        else if (!answer->gone && set_starts(q, leader, start, &trouble) < 0 && trouble.text[0] == '\0')
                wire_text(trouble.text, sizeof trouble.text, "no reason given");
        read_back(q->record->job_id, least_s, trouble.text, answer);
        return 0;
}

int act_requeue(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err)
{
        struct query_job q;
        uint32_t job;
        int rc;

        if (query_job_id(ask, &job, err) < 0 || query_load(job, &q, err) < 0)
                return -1;
        record_answer(q.record, q.now_ns, answer);
        if (answer->can_requeue)
                rc = run_again(&q, answer, err);
        else
                rc = error_set(err, answer->state == SCHEDULER_CANCELLED ? ECANCELED : EPERM, "%s", answer->text);
        query_free(&q);
        return rc;
}

/* ---- cancel, comment ------------------------------------------------------------------------------------------- */

static void about(uint32_t job, struct wire_scheduler_answer *answer)
{
        answer->left_ns = CLOCK_NEVER;
        answer->uid = UINT32_MAX;
        memset(answer->job, 0, sizeof answer->job);
        snprintf(answer->job, sizeof answer->job, "%u", job);
}

int act_cancel(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err)
{
        struct stint_error why = { 0 };
        uint32_t job;

        if (query_job_id(ask, &job, err) < 0)
                return -1;
        about(job, answer);
        if (call_cancel(job, &why) == 0) {
                answer->state = SCHEDULER_CANCELLED;
                return 0;
        }
        if (why.code != ESRCH)
                return error_set(err, why.code, "%s", why.text);
        answer->state = SCHEDULER_ENDED; /* or about to be: its last processes may still be there */
        return 0;
}

int act_comment(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err)
{
        job_desc_msg_t change;
        char text[WIRE_TEXT];
        uint32_t job;

        if (query_job_id(ask, &job, err) < 0)
                return -1;
        about(job, answer);
        memcpy(text, ask->text, sizeof text);
        call_change(&change, job);
        change.comment = text;
        return call_update(&change, err);
}
