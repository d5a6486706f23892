/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_behind: a listing that is behind the journal.  On NFS a folder that another node has renamed may not be seen for a
 * while; the journal knows that a step has landed, and so it is looked for again before an older one is taken.
 * run_restore.c and run_prefetch.c call in with what they have listed.
 */
#ifndef STINT_RUN_BEHIND_H
#define STINT_RUN_BEHIND_H

#include <uv.h>
#include "run_candidates.h"

struct behind {
        uv_timer_t timer;
        int64_t until_ns;              /* looked for until then; 0: nothing was missing so far */
        void (*again)(struct run *r);
};

/* 1 when nothing in the listing has that step, neither whole nor set aside.  Pure. */
int behind_is(const struct catalog *c, int64_t landed_step);

/*
 * 1: the step that landed last is missing; `again` is called in a moment, to list once more.  0: nothing is missing, or
 * it has been looked for long enough, which is said; then it is among those passed over.
 */
int behind_wait(struct candidates *c, void (*again)(struct run *r));

/* It is not to be called any more. */
void behind_stop(struct run *r);

#endif
