/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_deadline: the questions of `stint run` to its scheduler, at the start, when half of the time is over, and
 * whenever a signal or a trigger must be understood.  One question is on its way at a time; who asks meanwhile hears
 * its answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "run_deadline.h"

/* Between two questions that nobody but the clock asks, when they go next door and not to a busy controller. */
#define AGAIN_LEAST_LOCAL (1 * CLOCK_SECOND)
#define AGAIN_MOST_LOCAL (300 * CLOCK_SECOND)
/* The same while no question was ever answered: a job whose limit nobody knows is not left so for long. */
#define AGAIN_UNKNOWN (60 * CLOCK_SECOND)

/*
 * Of its own in memory, because the process that is asked may be replaced by another at any time, and libuv lets go of
 * a handle only in its next round.
 */
struct deadline_ear {
        uv_poll_t poll;
        struct run_deadline *d;
};

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
        d->known = 1;
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

/* ---- when to ask again ----------------------------------------------------------------------------------------- */

static int is_local(const struct run_deadline *d)
{
        return strcmp(d->scheduler.name, "local") == 0;
}

static void on_again(uv_timer_t *timer)
{
        run_deadline_ask(timer->data, NULL, NULL);
}

/* A tenth earlier or later, so that a thousand jobs that began together do not ask together. */
static int64_t jitter(const struct run_deadline *d, int64_t wait_ns)
{
        uint32_t h = 2166136261u;
        const char *c;

        for (c = d->scheduler.job; *c != '\0'; c++)
                h = (h ^ (unsigned char)*c) * 16777619u;
        return wait_ns + wait_ns / 1000 * ((int64_t)(h % 200) - 100);
}

/*
 * At half of the remaining time, for a limit may have been moved; and never more often than ask_every_ns: the question
 * before the final save is the one that counts, and asks in any case.
 */
static int64_t until_next(const struct run_deadline *d)
{
        const int64_t least = is_local(d) ? AGAIN_LEAST_LOCAL : jitter(d, d->ask_every_ns);
        const int64_t most = is_local(d) ? AGAIN_MOST_LOCAL : 12 * d->ask_every_ns;
        int64_t left = run_deadline_left(d), wait = left == CLOCK_NEVER ? most : left / 2;

        if (!d->known)
                return least < AGAIN_UNKNOWN ? least : AGAIN_UNKNOWN;
        if (wait > most)
                wait = most;
        return wait < least ? least : wait;
}

static void plan_again(struct run_deadline *d)
{
        if (d->open)
                uv_timer_start(&d->again_timer, on_again, (uint64_t)(until_next(d) / CLOCK_MS), 0);
}

/* ---- listening ------------------------------------------------------------------------------------------------- */

static void on_answer(uv_poll_t *poll, int status, int events);

static void on_ear_closed(uv_handle_t *handle)
{
        free(handle->data);
}

static void stop_listening(struct run_deadline *d)
{
        if (d->ear == NULL)
                return;
        uv_close((uv_handle_t *)&d->ear->poll, on_ear_closed);
        d->ear = NULL;
}

static int listen_for_answer(struct run_deadline *d, struct stint_error *err)
{
        struct deadline_ear *ear = calloc(1, sizeof *ear);
        int rc = ear == NULL ? UV_ENOMEM : uv_poll_init(d->loop, &ear->poll, d->scheduler.fd);

        if (rc != 0) {
                free(ear);
                return error_set(err, -rc, "the scheduler cannot be listened to: %s", uv_strerror(rc));
        }
        ear->d = d;
        ear->poll.data = ear;
        d->ear = ear;
        uv_poll_start(&ear->poll, UV_READABLE, on_answer);
        return 0;
}

/* The local scheduler does not come back; of Slurm only the process that asked is gone, and the next one may do better. */
static void hear_nothing(struct run_deadline *d, const char *why)
{
        uv_timer_stop(&d->answer_timer);
        if (is_local(d)) {
                log_warning("the scheduler is gone (%s); the deadline that is known stands, and this job cannot be "
                            "requeued",
                            why);
                d->can_requeue = 0;
                uv_timer_stop(&d->again_timer);
                scheduler_close(&d->scheduler);
        } else {
                if (!d->loud)
                        log_warning("Slurm was not heard (%s); %s", why,
                                    d->known ? "the deadline that is known stands"
                                             : "this job's time limit is not known");
                d->loud = 1;
                scheduler_drop(&d->scheduler);
                plan_again(d);
        }
        tell(d, 0);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
        struct run_deadline *d = ((struct deadline_ear *)poll->data)->d;
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        int fresh;

        (void)events;
        uv_poll_stop(poll); /* what is read next may close the descriptor */
        if (status < 0 || scheduler_read(&d->scheduler, &answer, &err) != 0) {
                if (status >= 0 && err.code == EAGAIN) {
                        uv_poll_start(poll, UV_READABLE, on_answer);
                        return;
                }
                stop_listening(d);
                hear_nothing(d, status < 0 ? uv_strerror(status) : err.text);
                return;
        }
        stop_listening(d);
        uv_timer_stop(&d->answer_timer);
        if (answer.failed != 0 && !d->loud)
                log_warning("the scheduler does not know the deadline (%s); %s", answer.text,
                            d->known ? "the one that is known stands" : "this job's time limit is not known");
        d->loud = answer.failed != 0;
        fresh = take(d, &answer);
        plan_again(d);
        tell(d, fresh);
}

static void on_no_answer(uv_timer_t *timer)
{
        struct run_deadline *d = timer->data;

        if (!d->loud)
                log_warning("the scheduler has not answered within %d s; %s",
                            (int)(DEADLINE_ANSWER_LIMIT / CLOCK_SECOND),
                            d->known ? "the deadline that is known stands" : "this job's time limit is not known");
        d->loud = 1;
        plan_again(d);
        tell(d, 0);
}

/* ---- questions ------------------------------------------------------------------------------------------------- */

/* One that was not answered in time is still on its way: its answer is waited for again. */
static int ask(struct run_deadline *d, struct stint_error *err)
{
        if (d->scheduler.asked)
                return 0;
        d->asked_ns = clock_now();
        if (scheduler_ask(&d->scheduler, SCHEDULER_STATE, err) != 0)
                return -1;
        return listen_for_answer(d, err);
}

void run_deadline_ask(struct run_deadline *d, deadline_told *told, void *arg)
{
        struct stint_error err;

        if (!d->open || !scheduler_is_there(&d->scheduler) || d->askers == DEADLINE_ASKERS) {
                if (told != NULL)
                        told(arg, d, 0);
                return;
        }
        d->asker[d->askers].told = told;
        d->asker[d->askers].arg = arg;
        d->askers++;
        if (ask(d, &err) != 0)
                hear_nothing(d, err.text);
        else if (!uv_is_active((uv_handle_t *)&d->answer_timer))
                uv_timer_start(&d->answer_timer, on_no_answer, (uint64_t)(DEADLINE_ANSWER_LIMIT / CLOCK_MS), 0);
}

void run_deadline_refresh(struct run_deadline *d)
{
        if (d->asked_ns == 0 || clock_now() - d->asked_ns > DEADLINE_FRESH)
                run_deadline_ask(d, NULL, NULL);
}

/* ---- beginning and end ----------------------------------------------------------------------------------------- */

/* What the environment says was true when the job began; a limit that was moved since is heard of with the first answer. */
static void take_environment(struct run_deadline *d)
{
        const char *text = getenv("SLURM_JOB_END_TIME");
        const int64_t now_s = (int64_t)time(NULL);
        int64_t end_s;
        char *behind;

        if (strcmp(d->scheduler.name, "slurm") != 0 || text == NULL || *text == '\0')
                return;
        end_s = strtoimax(text, &behind, 10);
        if (*behind != '\0' || end_s <= now_s || end_s - now_s > INT64_C(10) * 366 * 86400)
                return;
        d->end_ns = clock_now() + (end_s - now_s) * CLOCK_SECOND;
        d->cause = DEADLINE_LIMIT;
        d->known = 1;
}

int run_deadline_open(struct run_deadline *d, uv_loop_t *loop, int64_t ask_every_ns, deadline_told *on_change,
                      void *arg, struct stint_error *err)
{
        int rc;

        *d = (struct run_deadline){ .loop = loop, .end_ns = CLOCK_NEVER, .ask_every_ns = ask_every_ns,
                                    .on_change = on_change, .arg = arg, .open = 1 };
        rc = scheduler_open(&d->scheduler, err);
        uv_timer_init(loop, &d->answer_timer);
        uv_timer_init(loop, &d->again_timer);
        d->answer_timer.data = d->again_timer.data = d;
        take_environment(d);
        return rc;
}

void run_deadline_close(struct run_deadline *d)
{
        if (!d->open)
                return;
        d->open = 0;
        d->askers = 0;
        uv_close((uv_handle_t *)&d->answer_timer, NULL);
        uv_close((uv_handle_t *)&d->again_timer, NULL);
        stop_listening(d);
}
