/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_work: what blocks on the disk, done one after the other in a thread while the loop goes on.  One queue, so that
 * nothing else changes checkpoints while a commit does.
 */
#ifndef STINT_RUN_WORK_H
#define STINT_RUN_WORK_H

#include <uv.h>
#include "error.h"

struct work_item;

struct work_queue {
        uv_loop_t *loop;
        struct work_item *first, *last; /* first is the one being done */
};

void work_init(struct work_queue *q, uv_loop_t *loop);

/* does(arg) runs in a thread when everything added before is done; then done(arg) on the loop.  -1: no memory. */
int work_add(struct work_queue *q, void (*does)(void *arg), void (*done)(void *arg), void *arg,
             struct stint_error *err);

static inline int work_pending(const struct work_queue *q)
{
        return q->first != NULL;
}

#endif
