/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_ranks: the table of ranks; run_events.c fills it, saving and restoring ask it who is there. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "run_ranks.h"

static void forget_seen(struct run_rank *rank)
{
        free(rank->seen);
        rank->seen = NULL;
}

static void drop_world(struct ranks *r)
{
        uint32_t i;

        for (i = 0; i < r->n; i++)
                forget_seen(&r->rank[i]);
        free(r->rank);
}

/* A world of another size may begin when nobody of the last one is left: the program was started again. */
static int make_world(struct ranks *r, uint32_t n, struct stint_error *err)
{
        struct run_rank *rank;
        uint32_t i;

        if (r->n == n)
                return 0;
        if (r->present > 0)
                return error_set(err, EPROTO,
                                 "a rank says that there are %u ranks, and others said %u; all must say the same", n,
                                 r->n);
        rank = calloc(n, sizeof *rank);
        if (rank == NULL)
                return error_system(err, ENOMEM, "%u ranks", n);
        for (i = 0; i < n; i++)
                rank[i].step = -1;
        drop_world(r);
        r->rank = rank;
        r->n = n;
        return 0;
}

void ranks_see(struct ranks *r, const struct wire_devices *m)
{
        struct run_rank *rank;

        if (m->ranks < 1 || (uint32_t)m->ranks > RANKS_MOST || m->rank < 0 || m->rank >= m->ranks ||
            m->rank >= WIRE_DEVICES_RANKS || make_world(r, (uint32_t)m->ranks, NULL) != 0)
                return;
        rank = &r->rank[m->rank];
        if (rank->seen == NULL)
                rank->seen = malloc(sizeof *rank->seen);
        if (rank->seen != NULL)
                *rank->seen = *m;
}

int ranks_arrive(struct ranks *r, unsigned agent, const struct wire_agent_rank *m, struct stint_error *err)
{
        struct run_rank *rank;

        if (m->ranks < 1 || (uint32_t)m->ranks > RANKS_MOST || m->rank < 0 || m->rank >= m->ranks)
                return error_set(err, EPROTO, "there is no rank %d of %d", m->rank, m->ranks);
        if (make_world(r, (uint32_t)m->ranks, err) != 0)
                return -1;
        rank = &r->rank[m->rank];
        r->present += !rank->present;
        r->cut_off = 0;
        r->ever = 1;
        rank->present = 1;
        rank->complete = 0;
        rank->agent = agent;
        rank->pid = m->pid;
        memcpy(rank->devices, m->devices, sizeof rank->devices);
        return 0;
}

int ranks_leave(struct ranks *r, const struct wire_agent_gone *m)
{
        if (!ranks_has(r, m->rank) || !r->rank[m->rank].present)
                return 0;
        r->rank[m->rank].present = 0;
        forget_seen(&r->rank[m->rank]);
        if (m->step > r->rank[m->rank].step)
                r->rank[m->rank].step = m->step;
        r->present--;
        r->left_ns = clock_now();
        r->gone_broken += m->clean == 0;
        return 1;
}

void ranks_leave_agent(struct ranks *r, unsigned agent)
{
        uint32_t i;

        for (i = 0; i < r->n; i++)
                if (r->rank[i].present && (r->rank[i].agent == agent || agent == UINT32_MAX)) {
                        r->rank[i].present = 0;
                        forget_seen(&r->rank[i]);
                        r->present--;
                        r->cut_off = 1;
                        r->left_ns = clock_now();
                }
}

void ranks_progress(struct ranks *r, const struct wire_agent_progress *m)
{
        struct run_rank *rank;

        if (!ranks_has(r, m->rank))
                return;
        rank = &r->rank[m->rank];
        rank->step = m->step;
        rank->step_p50_ns = m->step_p50_ns;
        rank->step_p99_ns = m->step_p99_ns;
        rank->lead_ns = m->lead_ns;
}

int ranks_missing(const struct ranks *r, char *out, size_t size)
{
        uint32_t i, listed = 0, missing = r->n - r->present;
        size_t used;

        out[0] = '\0';
        if (missing == 0)
                return 0;
        used = (size_t)snprintf(out, size, missing == 1 ? "rank" : "ranks");
        for (i = 0; i < r->n && listed < 4 && used < size; i++)
                if (!r->rank[i].present)
                        used += (size_t)snprintf(out + used, size - used, "%s %u", listed++ == 0 ? "" : ",", i);
        if (missing > listed && used < size)
                used += (size_t)snprintf(out + used, size - used, " and %u more", missing - listed);
        if (used < size)
                snprintf(out + used, size - used, " of %u %s missing", r->n, missing == 1 ? "is" : "are");
        return 1;
}

int ranks_complete(const struct ranks *r)
{
        uint32_t i;

        for (i = 0; i < r->n; i++)
                if (!r->rank[i].complete)
                        return 0;
        return r->n > 0;
}

int64_t ranks_step(const struct ranks *r)
{
        int64_t step = -1;
        uint32_t i;

        for (i = 0; i < r->n; i++)
                if (r->rank[i].step > step)
                        step = r->rank[i].step;
        return step;
}

void ranks_fini(struct ranks *r)
{
        drop_world(r);
        *r = (struct ranks){ 0 };
}
