/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_record: from a job's record to an answer.  The traps are Slurm's and were measured: an end is one only while
 * the base state is RUNNING and COMPLETING is clear (afterwards it reads now + limit and moves on every second); a
 * cancelled job says so in its base state at once, while its steps still work; a preemption is a time in the record,
 * which stays there when the job is run again.
 */
#include "slurm_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "deadline.h"
#include "scheduler.h"

#define CLOCKS_AGREE (2 * CLOCK_SECOND)
#define CRED_EXPIRE_S 120 /* Slurm's default; less than 5 it does not take */
#define CRED_EXPIRE_LEAST_S 5

uint32_t record_job_id(const char *text)
{
        char *end;
        unsigned long id;

        if (text[0] < '1' || text[0] > '9')
                return 0;
        id = strtoul(text, &end, 10);
        return *end == '\0' && id < NO_VAL ? (uint32_t)id : 0;
}

const slurm_job_info_t *record_find(const job_info_msg_t *jobs, uint32_t job)
{
        uint32_t i;

        for (i = 0; i < jobs->record_count; i++)
                if (jobs->job_array[i].job_id == job)
                        return &jobs->job_array[i];
        return NULL;
}

int64_t record_now(time_t last_update, int64_t wall_ns)
{
        int64_t told_ns = (int64_t)last_update * CLOCK_SECOND;

        if (last_update == 0 || (wall_ns > told_ns - CLOCKS_AGREE && wall_ns < told_ns + CLOCKS_AGREE))
                return wall_ns;
        return told_ns + CLOCK_SECOND; /* the second it told may be as good as over */
}

/* ---- state ----------------------------------------------------------------------------------------------------- */

static uint32_t base_of(const slurm_job_info_t *job)
{
        return job->job_state & JOB_STATE_BASE;
}

static int is_completing(const slurm_job_info_t *job)
{
        return (job->job_state & JOB_COMPLETING) != 0;
}

static enum scheduler_state state_of(const slurm_job_info_t *job)
{
        if (base_of(job) >= JOB_END)
                return SCHEDULER_UNKNOWN;
        if (base_of(job) == JOB_CANCELLED)
                return SCHEDULER_CANCELLED;
        /* Somebody has requeued it: its turn is being ended, and another one comes.  REVOKED: another cluster has it. */
        if (base_of(job) == JOB_PENDING && !(job->job_state & JOB_REVOKED))
                return SCHEDULER_PENDING;
        if (is_completing(job))
                return SCHEDULER_COMPLETING;
        if (base_of(job) == JOB_RUNNING)
                return SCHEDULER_RUNNING;
        if (base_of(job) == JOB_SUSPENDED)
                return SCHEDULER_SUSPENDED;
        return SCHEDULER_ENDED;
}

/* What has been requeued once more still has the time of an older preemption in its record. */
static int is_preempted(const slurm_job_info_t *job)
{
        return job->preempt_time != 0 && job->preempt_time >= job->start_time;
}

/* A job without a limit has an end in a year, until it is preempted. */
static void set_end(const slurm_job_info_t *job, int64_t now_ns, struct wire_scheduler_answer *answer)
{
        answer->left_ns = CLOCK_NEVER;
        answer->cause = DEADLINE_NONE;
        if (answer->state != SCHEDULER_RUNNING || job->end_time == 0)
                return;
        if (is_preempted(job))
                answer->cause = DEADLINE_PREEMPTED;
        else if (job->time_limit != INFINITE)
                answer->cause = DEADLINE_LIMIT;
        else
                return;
        answer->left_ns = (int64_t)job->end_time * CLOCK_SECOND - now_ns;
        if (answer->left_ns < 0)
                answer->left_ns = 0;
}

/*
 * What is cut off by a limit, a preemption or a broken node can still be put back in the queue while it is completing;
 * what ended by itself or was cancelled must not be. Requeue=0 is no reason: the owner may change it, and REQUEUE does.
 */
static const char *why_no_requeue(const slurm_job_info_t *job)
{
        uint32_t base = base_of(job);

        if (base == JOB_CANCELLED)
                return "the job was cancelled, and stays so";
        if (!job->batch_flag)
                return "Slurm runs only batch jobs again, and this one was not submitted with sbatch";
        if (base == JOB_RUNNING || base == JOB_PENDING || base == JOB_SUSPENDED)
                return NULL;
        if (is_completing(job) && (base == JOB_TIMEOUT || base == JOB_PREEMPTED || base == JOB_NODE_FAIL))
                return NULL;
        return "the job is over";
}

void record_answer(const slurm_job_info_t *job, int64_t now_ns, struct wire_scheduler_answer *answer)
{
        const char *why = why_no_requeue(job);

        answer->state = state_of(job);
        answer->gone = answer->state != SCHEDULER_UNKNOWN && !is_completing(job) && base_of(job) != JOB_RUNNING &&
                       base_of(job) != JOB_SUSPENDED;
        set_end(job, now_ns, answer);
        answer->can_requeue = why == NULL;
        wire_text(answer->text, sizeof answer->text, why != NULL ? why : "");
        answer->restarts = job->restart_cnt;
        answer->uid = job->user_id;
        answer->nodes = job->num_nodes;
        answer->submit_s = job->submit_time;
        answer->start_s = job->start_time;
        memset(answer->job, 0, sizeof answer->job);
        snprintf(answer->job, sizeof answer->job, "%u", job->job_id);
}

void record_unknown(uint32_t job, struct wire_scheduler_answer *answer)
{
        answer->state = SCHEDULER_ENDED;
        answer->gone = 1;
        answer->left_ns = CLOCK_NEVER;
        answer->uid = UINT32_MAX;
        memset(answer->job, 0, sizeof answer->job);
        snprintf(answer->job, sizeof answer->job, "%u", job);
        wire_text(answer->text, sizeof answer->text, "Slurm knows nothing of that job (any more)");
}

/* ---- reservations and other jobs ------------------------------------------------------------------------------- */

int record_reserved(const slurm_job_info_t *job, const struct wire_scheduler_answer *answer)
{
        return answer->state == SCHEDULER_RUNNING && job->resv_name != NULL && job->resv_name[0] != '\0';
}

static const reserve_info_t *find_reservation(const reserve_info_msg_t *all, const char *name)
{
        uint32_t i;

        for (i = 0; i < all->record_count; i++)
                if (all->reservation_array[i].name != NULL && strcmp(all->reservation_array[i].name, name) == 0)
                        return &all->reservation_array[i];
        return NULL;
}

/* FLEX: its jobs may go on when it is over. */
void record_reservation(const slurm_job_info_t *job, const reserve_info_msg_t *reservations, uint16_t over_run_min,
                        int64_t now_ns, struct wire_scheduler_answer *answer)
{
        const reserve_info_t *r = find_reservation(reservations, job->resv_name);
        int64_t left_ns;

        if (r == NULL || (r->flags & RESERVE_FLAG_FLEX) || over_run_min == INFINITE16)
                return;
        left_ns = ((int64_t)r->end_time + over_run_min * 60) * CLOCK_SECOND - now_ns;
        if (left_ns < 0)
                left_ns = 0;
        if (answer->left_ns != CLOCK_NEVER && answer->left_ns <= left_ns)
                return;
        answer->left_ns = left_ns;
        answer->cause = DEADLINE_RESERVATION;
}

uint32_t record_leader(const slurm_job_info_t *job)
{
        return job->het_job_id != 0 && job->het_job_id != NO_VAL ? job->het_job_id : job->job_id;
}

/* ---- the configuration ----------------------------------------------------------------------------------------- */

const char *record_word(const char *list, const char *word)
{
        size_t n = strlen(word);
        const char *at;

        for (at = list; at != NULL && (at = strstr(at, word)) != NULL; at += n)
                if ((at == list || at[-1] == ',' || at[-1] == ' ') && strchr("=, ", at[n]) != NULL)
                        return at + n;
        return NULL;
}

static uint32_t cred_expire(const char *auth_info)
{
        const char *value = auth_info != NULL ? strstr(auth_info, "cred_expire=") : NULL;
        int s = value != NULL ? atoi(value + strlen("cred_expire=")) : CRED_EXPIRE_S;

        return s < CRED_EXPIRE_LEAST_S ? CRED_EXPIRE_S : (uint32_t)s;
}

/* requeue_delay is known to newer controllers only; others leave it where it is, so no site has it there for nothing. */
uint32_t record_requeue_wait(const slurm_conf_t *conf)
{
        const char *value = record_word(conf->sched_params, "requeue_delay");

        return value != NULL && *value == '=' ? (uint32_t)atoi(value + 1) : cred_expire(conf->authinfo);
}
