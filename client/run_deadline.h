/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_deadline: what `stint run` knows of its deadline, and asking the scheduler for it.  Unknown is never infinite: an
 * old deadline stands until a newer answer replaces it.
 */
#ifndef STINT_RUN_DEADLINE_H
#define STINT_RUN_DEADLINE_H

#include <stdint.h>
#include <uv.h>
#include "scheduler.h"

#define DEADLINE_ANSWER_LIMIT (2 * CLOCK_SECOND)
#define DEADLINE_ASKERS 16

struct run_deadline;

/*
 * fresh: the scheduler has just answered; 0: it did not within its limit, or there is none, and what is known stands.
 */
typedef void deadline_told(void *arg, const struct run_deadline *d, int fresh);

struct run_deadline {
        struct scheduler scheduler;
        uv_poll_t poll;
        uv_timer_t answer_timer, again_timer;
        int open, polling;
        int64_t end_ns;              /* CLOCK_BOOTTIME; CLOCK_NEVER: not known, or no limit */
        enum deadline_cause cause;
        enum scheduler_state state;  /* of the last answer */
        int cancelled;               /* it has said so; that does not go away */
        int can_requeue;
        int loud;                    /* silence was already said */
        struct {
                deadline_told *told;
                void *arg;
        } asker[DEADLINE_ASKERS];
        int askers;
        deadline_told *on_change;    /* the deadline or its cause is another */
        void *arg;
};

/* Finds the scheduler; err says why when one was named that cannot be reached (then there is none, and -1). */
int run_deadline_open(struct run_deadline *d, uv_loop_t *loop, deadline_told *on_change, void *arg,
                      struct stint_error *err);

/* Asks how things stand; told is called once, maybe before this returns. */
void run_deadline_ask(struct run_deadline *d, deadline_told *told, void *arg);

/* Until the deadline; CLOCK_NEVER when there is none. */
int64_t run_deadline_left(const struct run_deadline *d);

static inline int run_deadline_has_scheduler(const struct run_deadline *d)
{
        return d->scheduler.fd >= 0;
}

/* Ends the watching; the scheduler itself stays open for run_requeue.c, which closes it. */
void run_deadline_close(struct run_deadline *d);

#endif
