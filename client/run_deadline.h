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
#define DEADLINE_FRESH (15 * CLOCK_SECOND) /* what others may ask for as often as they like is asked only so often */

struct run_deadline;

/*
 * fresh: the scheduler has just answered; 0: it did not within its limit, or there is none, and what is known stands.
 */
typedef void deadline_told(void *arg, const struct run_deadline *d, int fresh);

struct run_deadline {
        struct scheduler scheduler;
        uv_loop_t *loop;
        struct deadline_ear *ear;    /* listens while a question is on its way; NULL: none is */
        uv_timer_t answer_timer, again_timer;
        int open;
        int64_t ask_every_ns;        /* the clock alone asks a cluster's scheduler at most so often */
        int64_t asked_ns;            /* when it was last asked, by anybody */
        int64_t end_ns;              /* CLOCK_BOOTTIME; CLOCK_NEVER: not known, or no limit */
        int known;                   /* somebody has told how long this job has, if only that it has no limit */
        enum deadline_cause cause;
        enum scheduler_state state;  /* of the last answer */
        int cancelled;               /* it has said so; that does not go away */
        int can_requeue;
        int loud;                    /* that nobody answers was already said */
        struct {
                deadline_told *told;
                void *arg;
        } asker[DEADLINE_ASKERS];
        int askers;
        deadline_told *on_change;    /* the deadline or its cause is another */
        void *arg;
};

/*
 * Finds the scheduler, and what the environment says of the job's end (SLURM_JOB_END_TIME, since Slurm 23.02), which
 * stands until the scheduler has said better; err says why when one was named that cannot be reached (then there is none, and -1). */
int run_deadline_open(struct run_deadline *d, uv_loop_t *loop, int64_t ask_every_ns, deadline_told *on_change,
                      void *arg, struct stint_error *err);

/* Asks how things stand; told is called once, maybe before this returns. */
void run_deadline_ask(struct run_deadline *d, deadline_told *told, void *arg);

/* The same for whoever may ask often (stintd): nothing when the last question is younger than DEADLINE_FRESH. */
void run_deadline_refresh(struct run_deadline *d);

/* Until the deadline; CLOCK_NEVER when there is none. */
int64_t run_deadline_left(const struct run_deadline *d);

static inline int run_deadline_has_scheduler(const struct run_deadline *d)
{
        return scheduler_is_there(&d->scheduler);
}

/* Ends the watching; the scheduler itself stays open for run_requeue.c, which closes it. */
void run_deadline_close(struct run_deadline *d);

#endif
