/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_deadline: the questions of `stint run` to its scheduler, at the start, when half of the time is over, and
 * whenever a signal or a trigger must be understood.  One question is on its way at a time; who asks meanwhile hears
 * its answer.
 */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "run_deadline.h"

/* Between two questions that nobody but the clock asks: an RPC to a busy controller, or a message next door. */
#define AGAIN_LEAST_LOCAL (1 * CLOCK_SECOND)
#define AGAIN_LEAST (300 * CLOCK_SECOND)
#define AGAIN_MOST (300 * CLOCK_SECOND)

int64_t run_deadline_left(const struct run_deadline *d)
{
        return d->end_ns == CLOCK_NEVER ? CLOCK_NEVER : d->end_ns - clock_now();
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void tell(struct run_deadline *d, int fresh)
{
        int i, n = d->askers;

        d->askers = 0;
        for (i = 0; i < n; i++) {
                deadline_told *told = d->asker[i].told;
                void *arg = d->asker[i].arg;

                if (told != NULL)
                        told(arg, d, fresh);
        }
}

/* The end of a job is trusted only while it runs: one that is completing has its own. */
static int take(struct run_deadline *d, const struct scheduler_answer *answer)
{
        int64_t end_ns = d->end_ns;
        enum deadline_cause cause = d->cause;
        int changed;

        if (answer->failed != 0 || answer->state == SCHEDULER_UNKNOWN)
                return 0;
        d->state = answer->state;
        d->can_requeue = answer->can_requeue;
        if (answer->state == SCHEDULER_CANCELLED)
                d->cancelled = 1;
        if (answer->state == SCHEDULER_RUNNING) {
                end_ns = answer->left_ns == CLOCK_NEVER ? CLOCK_NEVER : clock_now() + answer->left_ns;
                cause = answer->cause;
        }
        /* A few milliseconds are the way of the answer, not news. */
        changed = cause != d->cause || (end_ns == CLOCK_NEVER) != (d->end_ns == CLOCK_NEVER) ||
                  (end_ns != CLOCK_NEVER && (end_ns > d->end_ns + 50 * CLOCK_MS || end_ns < d->end_ns - 50 * CLOCK_MS));
        d->end_ns = end_ns;
        d->cause = cause;
        if (changed && d->on_change != NULL)
                d->on_change(d->arg, d, 1);
        return 1;
}

static void on_again(uv_timer_t *timer)
{
        run_deadline_ask(timer->data, NULL, NULL);
}

static void plan_again(struct run_deadline *d)
{
        int64_t least = strcmp(d->scheduler.name, "local") == 0 ? AGAIN_LEAST_LOCAL : AGAIN_LEAST;
        int64_t left = run_deadline_left(d), wait = left == CLOCK_NEVER ? AGAIN_MOST : left / 2;

        if (wait < least)
                wait = least;
        if (wait > AGAIN_MOST)
                wait = AGAIN_MOST;
        uv_timer_start(&d->again_timer, on_again, (uint64_t)(wait / CLOCK_MS), 0);
}

static void lose_scheduler(struct run_deadline *d, const char *why)
{
        log_warning("the scheduler is gone (%s); the deadline that is known stands, and this job cannot be requeued",
                    why);
        d->polling = 0;
        d->can_requeue = 0;
        uv_poll_stop(&d->poll);
        uv_timer_stop(&d->answer_timer);
        uv_timer_stop(&d->again_timer);
        scheduler_close(&d->scheduler);
        tell(d, 0);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
        struct run_deadline *d = poll->data;
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        int fresh;

        (void)events;
        if (status < 0) {
                lose_scheduler(d, uv_strerror(status));
                return;
        }
        if (scheduler_read(&d->scheduler, &answer, &err) != 0) {
                if (err.code != EAGAIN)
                        lose_scheduler(d, err.text);
                return;
        }
        uv_timer_stop(&d->answer_timer);
        if (answer.failed != 0)
                log_warning("the scheduler does not know the deadline (%s); the one that is known stands", answer.text);
        d->loud = 0;
        fresh = take(d, &answer);
        plan_again(d);
        tell(d, fresh);
}

static void on_no_answer(uv_timer_t *timer)
{
        struct run_deadline *d = timer->data;

        if (!d->loud)
                log_warning("the scheduler has not answered within %d s; the deadline that is known stands",
                            (int)(DEADLINE_ANSWER_LIMIT / CLOCK_SECOND));
        d->loud = 1;
        plan_again(d);
        tell(d, 0);
}

/* ---- questions ------------------------------------------------------------------------------------------------- */

void run_deadline_ask(struct run_deadline *d, deadline_told *told, void *arg)
{
        struct stint_error err;

        if (d->polling && d->askers < DEADLINE_ASKERS) {
                d->asker[d->askers].told = told;
                d->asker[d->askers].arg = arg;
                d->askers++;
                if (d->scheduler.asked && uv_is_active((uv_handle_t *)&d->answer_timer))
                        return;
                /* One that was not answered in time is still on its way: the next answer is waited for again. */
                if (!d->scheduler.asked && scheduler_ask(&d->scheduler, SCHEDULER_STATE, &err) != 0) {
                        lose_scheduler(d, err.text);
                        return;
                }
                uv_timer_start(&d->answer_timer, on_no_answer, (uint64_t)(DEADLINE_ANSWER_LIMIT / CLOCK_MS), 0);
                return;
        }
        if (told != NULL)
                told(arg, d, 0);
}

/* ---- beginning and end ----------------------------------------------------------------------------------------- */

int run_deadline_open(struct run_deadline *d, uv_loop_t *loop, deadline_told *on_change, void *arg,
                      struct stint_error *err)
{
        int rc;

        *d = (struct run_deadline){ .end_ns = CLOCK_NEVER, .on_change = on_change, .arg = arg, .open = 1 };
        rc = scheduler_open(&d->scheduler, err);
        uv_timer_init(loop, &d->answer_timer);
        uv_timer_init(loop, &d->again_timer);
        d->answer_timer.data = d->again_timer.data = d;
        if (rc != 0 || d->scheduler.fd < 0)
                return rc;
        rc = uv_poll_init(loop, &d->poll, d->scheduler.fd);
        if (rc != 0) {
                scheduler_close(&d->scheduler);
                return error_set(err, -rc, "the scheduler cannot be listened to: %s", uv_strerror(rc));
        }
        d->poll.data = d;
        d->polling = 1;
        uv_poll_start(&d->poll, UV_READABLE, on_answer);
        return 0;
}

void run_deadline_close(struct run_deadline *d)
{
        if (!d->open)
                return;
        d->open = 0;
        d->polling = 0;
        uv_close((uv_handle_t *)&d->answer_timer, NULL);
        uv_close((uv_handle_t *)&d->again_timer, NULL);
        if (d->poll.data != NULL)
                uv_close((uv_handle_t *)&d->poll, NULL);
}
