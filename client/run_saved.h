/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_saved: what became of a save, told to everybody, and learned from.  Called by run_saving and run_saving_jobs. */
#ifndef STINT_RUN_SAVED_H
#define STINT_RUN_SAVED_H

#include "run_story.h"

/* The save in flight has landed; unchanged: as a step that had landed before, so that nothing was measured. */
void saved_landed(struct run *r, const struct manifest *m, int unchanged);

/* The save in flight has not landed, and r->save.text says why. */
void saved_failed(struct run *r);

/* A save that cannot even be begun is a save that did not land, and gets its verdict too. */
void saved_refuse(struct run *r, enum save_reason reason, int32_t rank, const char *text);

/* The agents, and with them the programs, hear a result; rank -1: of all ranks. */
void saved_tell(struct run *r, uint32_t save_id, int32_t rank, int landed, int64_t step, uint64_t bytes,
                int64_t took_ns, const char *text);

#endif
