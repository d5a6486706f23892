/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_behind: waiting for a checkpoint that the journal has and the listing has not.  Restore and prefetch call in. */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "log.h"
#include "run_behind.h"
#include "run_story.h"

#define PATIENCE (60 * CLOCK_SECOND) /* as long as NFS keeps what it knows of a folder, by default */
#define PAUSE_MS 500

int behind_is(const struct catalog *c, int64_t landed_step)
{
        size_t i;

        for (i = 0; i < c->n; i++)
                if (c->entries[i].step == landed_step && c->entries[i].kind != RUNDIR_PART &&
                    c->entries[i].kind != RUNDIR_OTHER)
                        return 0;
        return landed_step >= 0;
}

static void on_pause_over(uv_timer_t *timer)
{
        struct run *r = timer->data;

        if (!r->over)
                r->listing.again(r);
}

int behind_wait(struct candidates *c, void (*again)(struct run *r))
{
        struct run *r = c->run;
        struct behind *b = &r->listing;
        char name[RUNDIR_NAME];

        /* One that was set aside, and perhaps removed since, is missed by nobody. */
        if (!behind_is(&c->catalog, r->landed_step) || (r->landed_step == r->past.landed_step && r->past.set_aside))
                return 0;
        rundir_whole(name, r->landed_step);
        if (b->until_ns == 0) {
                log_warning("stint %u: %s has landed, says the journal, and %s does not show it; looking again for %d s",
                            r->stint, name, r->o->dir, (int)(PATIENCE / CLOCK_SECOND));
                b->until_ns = clock_now() + PATIENCE;
        }
        if (clock_now() >= b->until_ns) {
                log_warning("stint %u: %s is not there; an older checkpoint is used if there is one", r->stint, name);
                candidates_miss(c, name, "it has landed, says the journal, and is not there");
                return 0;
        }
        b->again = again;
        uv_timer_start(&b->timer, on_pause_over, PAUSE_MS, 0);
        return 1;
}

void behind_stop(struct run *r)
{
        uv_timer_stop(&r->listing.timer);
}
