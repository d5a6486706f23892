/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_prefetch: the newest candidate is read by the agents before any program asks for it.  Begun with the stint; what
 * an agent finds damaged is set aside and the next older one named.  It ends when the programs ask, for then
 * run_restore.c chooses, and takes over what was found here.
 *
 *   OFF      nothing is read ahead: not wanted, nothing there, or it is over
 *   LOOKING  the catalog is read, or a damaged candidate is being set aside
 *   WAITING  the newest is not in the listing yet, which is read again in a moment
 *   NAMED    the candidate is known; agents that are ready have been told, others are when they are
 */
#ifndef STINT_RUN_PREFETCH_H
#define STINT_RUN_PREFETCH_H

#include "run_candidates.h"

enum prefetching { PREFETCH_OFF = 0, PREFETCH_LOOKING, PREFETCH_WAITING, PREFETCH_NAMED };

struct prefetch {
        enum prefetching state;
        int over;                     /* not wanted any more when the work in the thread is done */
        int told;                     /* of the candidate, the agents were */
        int held;                     /* agents may hold images */
        struct candidates candidates;
        unsigned *agent;              /* per rank of the candidate: who was told to read its file */
        unsigned char *read;          /* ... and whether it has */
        uint64_t bytes;               /* of what was read */
        int64_t took_ns;              /* longest of any */
        json_t *set_aside;            /* as passed_over: what was set aside on the way */
        uint32_t lineage;             /* highest there was */
};

/*
 * Which of n agents will have that rank, of so many: where its node's name is among theirs, that one; else the k-th for
 * what was the k-th node of the last stint; without places in blocks.  places: of the journal's last "attached", or
 * NULL.  nodes: the agents' names.  Pure.
 */
unsigned prefetch_place(const json_t *places, const char *const *nodes, unsigned n, uint32_t rank, uint32_t ranks);

/* The stint has begun and its leftovers are settled. */
void prefetch_begin(struct run *r);

/* An agent is ready, perhaps once more. */
void prefetch_agent_came(struct run *r, unsigned agent);

/* A rank is there: on this agent, and not necessarily where its file is being read. */
void prefetch_rank_came(struct run *r, uint32_t rank);

/* Message of an agent. */
void prefetch_read(struct run *r, const struct wire_agent_prefetched *m);

/* The programs have asked: from here on run_restore.c chooses, and takes the images. */
void prefetch_stop(struct run *r);

/* What was set aside before they asked is passed over for them too. */
void prefetch_hand_over(const struct run *r, struct candidates *to);

/* The run goes on, with a checkpoint or without: whatever agents still hold is let go of. */
void prefetch_end(struct run *r);

void prefetch_fini(struct prefetch *p);

#endif
