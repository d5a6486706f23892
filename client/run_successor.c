/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_successor: queues the job after this one, keeps its number, and takes it back when the chain ends.  run_story.c and
 * run_loop.c call in.  sbatch may hang as long as the controller does, so while training goes on it runs in a thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "run_story.h"
#include "run_successor.h"

#define SBATCH_LIMIT (30 * CLOCK_SECOND)
#define ANSWER_LIMIT (25 * CLOCK_SECOND)
#define AGAIN (60 * CLOCK_SECOND)   /* after an attempt that failed */

/* ---- the journal ----------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *line, const char *name)
{
        const char *text = json_string_value(json_object_get(line, name));

        return text == NULL ? "" : text;
}

const char *successor_in_journal(const json_t *lines, const char *after)
{
        const char *found = "";
        size_t i;
        json_t *line;

        json_array_foreach(lines, i, line) {
                const char *event = text_of(line, "event");

                if (strcmp(event, "successor") == 0 && strcmp(text_of(line, "after"), after) == 0)
                        found = text_of(line, "job");
                else if (strcmp(event, "successor withdrawn") == 0 && strcmp(text_of(line, "job"), found) == 0)
                        found = "";
        }
        return found;
}

const char *successor_predecessor(const json_t *lines, const char *job)
{
        const char *found = "";
        size_t i;
        json_t *line;

        json_array_foreach(lines, i, line)
                if (strcmp(text_of(line, "event"), "successor") == 0 && strcmp(text_of(line, "job"), job) == 0)
                        found = text_of(line, "of");
        return found;
}

static int has_landed(const json_t *line, const char *event)
{
        if (strcmp(event, "finished_part") == 0)
                return 1;
        return strcmp(event, "save") == 0 && json_is_true(json_object_get(line, "landed"));
}

/* A stint that could not write its own end has it from the next one; preempted ones do not count. */
unsigned successor_idle(const json_t *lines)
{
        unsigned idle = 0;
        int landed = 0;
        size_t i;
        json_t *line;

        json_array_foreach(lines, i, line) {
                const char *event = text_of(line, "event"), *why = text_of(line, "why");

                if (strcmp(event, "start") == 0)
                        landed = 0;
                else if (has_landed(line, event))
                        landed = 1, idle = 0;
                else if (strcmp(event, "end") == 0 && !landed &&
                         (strcmp(why, "killed") == 0 || strcmp(why, "time limit") == 0))
                        idle++;
        }
        return idle;
}

int successor_of_cancelled(struct run *r, char *predecessor, size_t size)
{
        struct scheduler_query query = { .question = SCHEDULER_STATE, .job = predecessor };
        struct scheduler_answer answer;
        struct scheduler slurm;
        int cancelled = 0;

        if (scheduler_open(&slurm, NULL) == 0 && strcmp(slurm.name, "slurm") == 0) {
                snprintf(predecessor, size, "%s",
                         successor_predecessor(journal_read_on(&r->history, r->o->dir, NULL), slurm.job));
                cancelled = predecessor[0] != '\0' &&
                            scheduler_ask_wait(&slurm, &query, ANSWER_LIMIT, &answer, NULL) == 0 && answer.failed == 0 &&
                            answer.state == SCHEDULER_CANCELLED;
        }
        scheduler_close(&slurm);
        return cancelled;
}

/* ---- beginning ------------------------------------------------------------------------------------------------- */

/* A task of an array is named by array and number: the number of its own may be that of the whole array. */
static void name_own_job(struct successor *s, const char *job)
{
        const char *array = getenv("SLURM_ARRAY_JOB_ID"), *task = getenv("SLURM_ARRAY_TASK_ID");

        if (array != NULL && task != NULL)
                snprintf(s->after, sizeof s->after, "%s_%s", array, task);
        else
                snprintf(s->after, sizeof s->after, "%s", job);
}

static void read_journal(struct run *r)
{
        struct successor *s = &r->successor;
        const json_t *lines = journal_read_on(&r->history, r->o->dir, NULL);

        snprintf(s->job, sizeof s->job, "%s", successor_in_journal(lines, s->after));
        if (s->early && s->job[0] == '\0' && successor_idle(lines) >= IDLE_STINTS_MOST) {
                log_warning("stint %u: %d stints in a row have saved nothing: a successor is queued only when this one has",
                            r->stint, IDLE_STINTS_MOST);
                s->early = 0;
        }
}

void successor_open(struct run *r)
{
        struct successor *s = &r->successor;
        struct stint_error err;

        if (s->opened)
                return;
        s->opened = 1;
        if (strcmp(r->deadline.scheduler.name, "slurm") != 0 || r->o->attend_fd >= 0)
                return;
        if (submission_read(&s->record, r->o->dir, &err) != 0) {
                if (err.code != ENOENT)
                        log_warning("stint %u: %s; so this run cannot queue a successor", r->stint, err.text);
                return;
        }
        s->possible = 1;
        s->chain = s->early = s->record.mode == SUBMISSION_CHAIN;
        name_own_job(s, r->deadline.scheduler.job);
        read_journal(r);
}

/* ---- queueing -------------------------------------------------------------------------------------------------- */

/* What a thread, or the end of the stint, does: looks after the one there is, or queues one. */
struct queueing {
        uv_work_t work;
        struct run *run;
        char job[SBATCH_JOB]; /* the journal's on the way in, the one that is queued on the way out; "" */
        int gone, cancelled;  /* that of the journal is over, or was cancelled */
        struct stint_error problem;
};

/* 1 when the journal's successor still waits, or nobody says that it does not: then no other is queued. */
static int is_waiting(struct queueing *q)
{
        const struct scheduler_query query = { .question = SCHEDULER_STATE, .job = q->job };
        struct scheduler_answer answer;
        struct scheduler slurm;
        int rc;

        scheduler_open_slurm(&slurm, q->run->deadline.scheduler.job, 0);
        rc = scheduler_ask_wait(&slurm, &query, ANSWER_LIMIT, &answer, NULL);
        scheduler_close(&slurm);
        if (rc != 0 || answer.failed != 0)
                return 1;
        q->cancelled = answer.state == SCHEDULER_CANCELLED;
        q->gone = answer.state == SCHEDULER_ENDED;
        return !q->gone && !q->cancelled;
}

static void queue(struct queueing *q)
{
        const struct successor *s = &q->run->successor;
        const struct submission_again how = { .after = s->after, .limit_ns = SBATCH_LIMIT, .quiet = 1 };

        if (q->job[0] != '\0' && (is_waiting(q) || q->cancelled))
                return;
        q->job[0] = '\0';
        if (submission_again(&s->record, q->run->o->dir, &how, q->job, &q->problem) != 0)
                q->job[0] = '\0';
}

static void queued(struct queueing *q)
{
        struct run *r = q->run;
        struct successor *s = &r->successor;

        if (q->cancelled) {
                log_notice("stint %u: its successor, job %s, was cancelled: no other is queued", r->stint, s->job);
                s->refused = 1;
                s->job[0] = '\0';
        } else if (q->job[0] == '\0') {
                log_warning("stint %u: no successor is queued: %s", r->stint, q->problem.text);
                s->job[0] = '\0';
                s->again_ns = clock_now() + AGAIN;
        } else if (strcmp(q->job, s->job) != 0) {
                memcpy(s->job, q->job, sizeof s->job);
                log_notice("stint %u: job %s is queued to carry on after this one", r->stint, s->job);
                story_note(r, "successor", json_pack("{s:s, s:s, s:s}", "job", s->job, "after", s->after, "of",
                                                     r->deadline.scheduler.job));
        }
        if (s->job[0] != '\0')
                s->again_ns = 0;
}

static void in_thread(uv_work_t *work)
{
        queue(work->data);
}

static void out_of_thread(uv_work_t *work, int status)
{
        struct queueing *q = work->data;

        (void)status;
        q->run->successor.queueing = 0;
        queued(q);
        free(q);
}

static void begin_thread(struct run *r)
{
        struct successor *s = &r->successor;
        struct queueing *q = calloc(1, sizeof *q);

        if (q == NULL)
                return;
        q->run = r;
        q->work.data = q;
        memcpy(q->job, s->job, sizeof q->job);
        s->again_ns = 0;
        if (uv_queue_work(&r->loop, &q->work, in_thread, out_of_thread) == 0)
                s->queueing = 1;
        else
                free(q);
}

void successor_begin(struct run *r)
{
        struct successor *s = &r->successor;

        successor_open(r);
        if (s->possible && s->early && !s->queueing && !r->ending.cancelled && !r->over)
                begin_thread(r);
}

void successor_tick(struct run *r)
{
        if (r->successor.again_ns != 0 && clock_now() >= r->successor.again_ns)
                successor_begin(r);
}

int successor_may(const struct run *r)
{
        return !r->successor.possible || r->successor.record.mode != SUBMISSION_REQUEUE;
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

int successor_ensure(struct run *r, char *text, size_t size)
{
        struct successor *s = &r->successor;
        struct queueing q = { .run = r };

        successor_open(r);
        if (!s->possible) {
                snprintf(text, size, "it was not submitted by `stint submit`, so nobody knows how to submit it again");
                return 0;
        }
        if (s->refused) {
                snprintf(text, size, "its successor was cancelled");
                return 0;
        }
        memcpy(q.job, s->job, sizeof q.job);
        queue(&q);
        queued(&q);
        snprintf(text, size, "%s", q.cancelled ? "its successor was cancelled" : q.problem.text);
        return s->job[0] != '\0';
}

void successor_withdraw(struct run *r)
{
        struct successor *s = &r->successor;
        const struct scheduler_query query = { .question = SCHEDULER_CANCEL, .job = s->job };
        struct scheduler_answer answer = { 0 };
        struct stint_error err = { 0 };

        if (s->job[0] == '\0' || r->ending.lease_lost)
                return;
        if (scheduler_ask_wait(&r->deadline.scheduler, &query, ANSWER_LIMIT, &answer, &err) != 0 || answer.failed != 0) {
                log_warning("stint %u: its successor, job %s, could not be cancelled (%s); it will end by itself where there is "
                            "nothing to do: `scancel %s`",
                            r->stint, s->job, err.text[0] != '\0' ? err.text : answer.text, s->job);
                return;
        }
        log_notice("stint %u: its successor, job %s, was cancelled: there is nothing to carry on", r->stint, s->job);
        story_note(r, "successor withdrawn", json_pack("{s:s}", "job", s->job));
        s->job[0] = '\0';
}

void successor_close(struct run *r)
{
        submission_fini(&r->successor.record);
}
