/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_other_ranks: a checkpoint that is restored by another number of ranks than have saved it, or in other pieces: what
 * the agents are told to put it together, and what the log and the journal have of it.  Called by run_restore.
 */
#ifndef STINT_RUN_OTHER_RANKS_H
#define STINT_RUN_OTHER_RANKS_H

#include "run_restore.h"

/* The candidate has another number of ranks than the program. */
int other_ranks_saved(const struct restore *s);

/* What all of the candidate is, into s->pieces.  -1: no memory. */
int other_ranks_describe(struct restore *s);

/* A rank has read it: what it found no place for is kept. */
void other_ranks_leave_out(struct restore *s, const struct wire_agent_restore_read *m);

/* Why this program cannot have the candidate, which holds. */
void other_ranks_refusal(const struct restore *s, char *text, size_t size);

/* The run goes on from it: says so, where the ranks are others. */
void other_ranks_tell(struct run *r);

#endif
