/* SPDX-License-Identifier: GPL-2.0-or-later */
/* patience: who is held by a streamed save, and since when.  Called by watch, once a second. */
#include "patience.h"

#include <errno.h>
#include <stdio.h>
#include "clock.h"
#include "duration.h"
#include "log.h"
#include "streamed.h"
#include "writer.h"

/* The program waits for the end of these anyhow, and what they hold is nowhere else. */
static int is_waited_for(const struct ranks *r, const struct rank_snapshot *s)
{
        const enum save_reason reason = (enum save_reason)r->save.reason;

        if (r->save.save_id != s->told.save_id)
                return 1;
        return save_is_final(reason) || reason == SAVE_COMPLETE || reason == SAVE_PROGRAM;
}

/* What its state comes through, while it does. */
static struct passage *passage_of(const struct rank *rank, const struct rank_snapshot *s)
{
        if (!(s->told.flags & SNAPSHOT_STREAMED) || s->left)
                return NULL;
        if (s->passage)
                return s->passage;
        return rank->writer && rank->writer->save_id == s->told.save_id ? rank->writer->passage : NULL;
}

static void end(const struct rank *rank, struct passage *p, int64_t held_ns, int64_t limit_ns)
{
        char why[200], held[32], limit[32];

        snprintf(why, sizeof why, "the disk has held a streamed save, and training with it, for %s (%s at most)",
                 duration_format(held, sizeof held, held_ns), duration_format(limit, sizeof limit, limit_ns));
        log_warning("rank %d: %s: it is given up, and training goes on", rank->rank, why);
        passage_stop(p, ETIMEDOUT, why);
}

void patience_look(struct ranks *r, const struct deadline_measured *measured, uint64_t state_bytes)
{
        const int64_t now_ns = clock_now(), limit_ns = deadline_patience(measured, state_bytes, r->given_up);
        const struct rank *rank;
        int i, ended = 0;

        for (rank = r->first; rank; rank = rank->next)
                for (i = 0; i < STAGING_IMAGES; i++) {
                        const struct rank_snapshot *s = &rank->snapshots[i];
                        struct passage *p = passage_of(rank, s);

                        if (!p || is_waited_for(r, s) || now_ns - s->since_ns <= limit_ns || atomic_load(&p->stopped))
                                continue;
                        end(rank, p, now_ns - s->since_ns, limit_ns);
                        ended = 1;
                }
        r->given_up += (unsigned)ended;
}

void patience_result(struct ranks *r, const struct wire_run_result *m)
{
        if (m->landed)
                r->given_up = 0;
}
