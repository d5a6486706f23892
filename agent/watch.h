/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watch: the agent's own timer.  Gathers what deadline.h asks for, tells `stint run` when a save is due, keeps the
 * times in the control pages right, and reports progress once a second while a program is connected.
 */
#ifndef STINT_WATCH_H
#define STINT_WATCH_H

#include <uv.h>
#include "deadline.h"
#include "ranks.h"

struct watch {
        uv_timer_t due;  /* when to act next */
        uv_timer_t tick; /* once a second while a program is connected */
        struct ranks *ranks;
        struct deadline_inputs in;
        int64_t asked_end_ns; /* the deadline for which the final save was asked */
        int64_t retry_ns;     /* no trigger that is not final before this */
        int64_t told_ns;      /* when `stint run` last told the deadline; 0: never */
        int programs;         /* that train, when it was last planned */
        int64_t step;         /* of the furthest of them; -1: none was made */
        void (*on_planned)(void *arg); /* NULL, or: planned anew, maybe to the same end */
        void *planned_arg;
        int outlives; /* the owner lets stintd finish the final save */
        int closed;
};

void watch_open(struct watch *w, uv_loop_t *loop, struct ranks *ranks);

/* Something changed: plans again, and acts when it is time to. */
void watch_plan(struct watch *w);

/* What `stint run` says. */
void watch_deadline(struct watch *w, const struct wire_run_deadline *m);
void watch_measured(struct watch *w, const struct wire_run_measured *m);
/* What became of a save: a calibrating one that did not land is made again. */
void watch_result(struct watch *w, const struct wire_run_result *m);

void watch_save(struct watch *w, const struct wire_run_save *m);

/* What the plan rests on, for stintd, which plans too; and what it orders: acted on unless it was done already, or rests
 * on a deadline that has moved. */
void watch_describe(struct watch *w, struct wire_daemon_plan *m);
void watch_order(struct watch *w, const struct wire_daemon_trigger *m);

void watch_close(struct watch *w);

#endif
