/* SPDX-License-Identifier: GPL-2.0-or-later */
/* whose: a queue of questions in front of one child.  Called by requests.c when an agent says hello or wants memory. */
#include "whose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "log.h"

/* slurmd answers in milliseconds, from its own tables; an agent that waits for staging gives up after two seconds. */
#define LIMIT_MS 1500
/* Nobody answered: those who come now are told so at once, for every one of them would wait as long as the last. */
#define PAUSE_NS (10 * CLOCK_SECOND)

static void on_timer(uv_timer_t *timer);

static void on_poll_closed(uv_handle_t *handle)
{
        free(handle);
}

/* The descriptor must not be watched when the child is given up. */
static void stop_poll(struct whose *w)
{
        if (w->poll)
                uv_close((uv_handle_t *)w->poll, on_poll_closed);
        w->poll = NULL;
}

/* Hands over the answer to the first question.  The next one waits for the timer, so that no stack grows. */
static void answer(struct whose *w, const char *job, const char *why)
{
        struct whose_question *q = w->first;

        if (q) {
                w->first = q->next;
                if (!w->first)
                        w->last = NULL;
                q->next = NULL;
                q->waiting = 0;
                if (q->on_answer)
                        q->on_answer(q, job, why);
        }
        uv_timer_start(&w->timer, on_timer, 0, 0);
}

static void nobody(struct whose *w, const char *why)
{
        w->pause_ns = clock_now() + PAUSE_NS;
        if (!w->said)
                log_warning("whose job a process is cannot be learnt now (%s): agents that come are served as no job's, "
                            "and get no staging from stintd",
                            why);
        w->said = 1;
        answer(w, NULL, why);
}

static void heard(struct whose *w, const struct scheduler_answer *a)
{
        const struct whose_question *q = w->first;
        char why[160];

        if (a->failed && a->failed != ESRCH) {
                nobody(w, a->text);
                return;
        }
        if (w->said)
                log_notice("whose job a process is can be learnt again");
        w->said = 0;
        if (a->failed == ESRCH) {
                answer(w, "", "");
        } else if (q && a->uid != UINT32_MAX && a->uid != (uint32_t)q->uid) {
                snprintf(why, sizeof why, "is in job %s of uid %u", a->job, a->uid);
                answer(w, "", why);
        } else {
                answer(w, a->job, "");
        }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
        struct whose *w = poll->data;
        struct scheduler_answer a;
        struct stint_error err = { 0 };
        int rc;

        (void)status;
        (void)events;
        rc = scheduler_read(&w->slurm, &a, &err);
        if (rc < 0 && err.code == EAGAIN)
                return;
        stop_poll(w);
        if (rc == 0) {
                heard(w, &a);
        } else {
                scheduler_drop(&w->slurm);
                nobody(w, err.text);
        }
}

static int watch(struct whose *w)
{
        w->poll = malloc(sizeof *w->poll);
        if (!w->poll)
                return -1;
        if (uv_poll_init(w->loop, w->poll, w->slurm.fd) < 0) {
                free(w->poll);
                w->poll = NULL;
                return -1;
        }
        w->poll->data = w;
        uv_poll_start(w->poll, UV_READABLE | UV_DISCONNECT, on_readable);
        return 0;
}

static void ask(struct whose *w)
{
        const struct scheduler_query query = { .question = SCHEDULER_WHOSE, .pid = w->first->pid, .limit_s = 1 };
        struct stint_error err = { 0 };

        if (scheduler_ask_about(&w->slurm, &query, &err) < 0) {
                nobody(w, err.text);
        } else if (watch(w) < 0) {
                scheduler_drop(&w->slurm);
                nobody(w, "no memory");
        } else {
                uv_timer_start(&w->timer, on_timer, LIMIT_MS, 0);
        }
}

/* What comes next: a question for the child, or an answer while it is given a pause. */
static void look(struct whose *w)
{
        if (!w->first || w->poll)
                return;
        if (clock_now() < w->pause_ns)
                answer(w, NULL, "there was no answer a moment ago");
        else
                ask(w);
}

static void on_timer(uv_timer_t *timer)
{
        struct whose *w = timer->data;

        if (w->poll) {
                stop_poll(w);
                scheduler_drop(&w->slurm);
                nobody(w, "no answer in time");
        } else {
                look(w);
        }
}

void whose_ask(struct whose *w, struct whose_question *q)
{
        q->next = NULL;
        q->waiting = 1;
        if (w->last)
                w->last->next = q;
        else
                w->first = q;
        w->last = q;
        if (!w->poll && !uv_is_active((uv_handle_t *)&w->timer))
                uv_timer_start(&w->timer, on_timer, 0, 0);
}

/* The answer on its way will come, and must not be taken for the next one's. */
static void orphan(struct whose *w)
{
        w->orphan = *w->first;
        w->orphan.on_answer = NULL;
        if (w->last == w->first)
                w->last = &w->orphan;
        w->first = &w->orphan;
}

void whose_withdraw(struct whose *w, struct whose_question *q)
{
        struct whose_question **at, *before = NULL;

        if (!q->waiting)
                return;
        q->waiting = 0;
        if (q == w->first && w->poll) {
                orphan(w);
                return;
        }
        for (at = &w->first; *at && *at != q; at = &(*at)->next)
                before = *at;
        if (*at)
                *at = q->next;
        if (w->last == q)
                w->last = before;
}

void whose_open(struct whose *w, uv_loop_t *loop)
{
        memset(w, 0, sizeof *w);
        w->loop = loop;
        uv_timer_init(loop, &w->timer);
        w->timer.data = w;
        scheduler_open_slurm(&w->slurm, "", 0);
}

void whose_close(struct whose *w)
{
        w->first = w->last = NULL;
        stop_poll(w);
        scheduler_close(&w->slurm);
        uv_close((uv_handle_t *)&w->timer, NULL);
}
