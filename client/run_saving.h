/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_saving: does what run_save.h decides: asks agents, commits, tells everybody what became of it. */
#ifndef STINT_RUN_SAVING_H
#define STINT_RUN_SAVING_H

#include "deadline.h"
#include "run_save.h"
#include "wire.h"

struct run;

/* Somebody wants a save; rank is who asked, and at which step; -1, -1 for anybody but a rank of the program. */
void saving_want(struct run *r, enum save_reason reason, int32_t rank, int64_t step);

/* Messages of agents. */
void saving_taken(struct run *r, const struct wire_agent_taken *m);
void saving_sealed(struct run *r, const struct wire_agent_sealed *m);
void saving_failed(struct run *r, const struct wire_agent_save_failed *m);

/*
 * A rank is there, or gone; an agent is gone with all of its ranks.  One that begins hears which saves are over: its ranks
 * may meet others that are still about to act on them.
 */
void saving_rank_came(struct run *r);
void saving_agent_came(struct run *r, unsigned agent);
void saving_rank_gone(struct run *r, uint32_t rank);
void saving_agent_lost(struct run *r, int restarting);

/* Every second. */
void saving_tick(struct run *r);

/* The program has ended: what is in flight can only end badly, unless every rank has sealed. */
void saving_give_up(struct run *r, const char *text);

/* After the last agent ended: finishes or removes what this stint left in parts.  Blocks. */
void saving_settle_own(struct run *r);

/* What was decided of the save in flight is done: for run_saving_jobs, when a job is over. */
void saving_do(struct run *r, enum saving_act act);

#endif
