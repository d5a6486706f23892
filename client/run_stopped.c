/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_stopped: looks for the mark of `stint stop` and `stint cancel` while a stint runs.  The socket of verbs is
 * quicker, and is only heard on this host; the mark is seen from everywhere, and stays.
 */
#include "clock.h"
#include "log.h"
#include "run_loop.h"
#include "run_saving.h"
#include "run_stopped.h"
#include "run_story.h"

#define LOOK_EVERY (3 * CLOCK_SECOND)
#define AGAIN (60 * CLOCK_SECOND) /* a final save that did not land is asked for again */

int stopped_is(struct run *r)
{
        struct stopped stopped;

        if (!stopped_read(r->o->dir, &stopped))
                return 0;
        if (!r->stopped_said)
                log_notice("stint %u: this run was %s by %s; `stint resume %s` goes on with it", r->stint,
                           stopped.cancelled ? "cancelled" : "stopped", stopped.by, r->o->dir);
        r->stopped_said = 1;
        return 1;
}

static void cancel(struct run *r)
{
        if (r->ending.cancelled || r->o->attend_fd >= 0)
                return; /* whoever started a program by itself ends it */
        r->ending.cancelled = 1;
        saving_give_up(r, "the run was cancelled");
        loop_end_program_in(r, 0, "the run was cancelled");
}

void stopped_look(struct run *r)
{
        const int64_t now_ns = clock_now();
        struct stopped stopped;

        /* A program that started by itself goes on in a run that was stopped before: nobody has asked it to stop. */
        if (r->stopped_look_ns == 0 && r->o->attend_fd >= 0 && stopped_read(r->o->dir, &stopped))
                r->stopped_look_ns = CLOCK_NEVER;
        if (r->over || now_ns < r->stopped_look_ns)
                return;
        r->stopped_look_ns = now_ns + LOOK_EVERY;
        if (!stopped_is(r) || !stopped_read(r->o->dir, &stopped))
                return;
        if (stopped.cancelled) {
                cancel(r);
        } else if (r->ending.stop == SAVE_NONE && !save_in_flight(&r->save)) {
                r->stopped_look_ns = now_ns + AGAIN;
                saving_want(r, SAVE_STOP, -1, -1);
        }
}
