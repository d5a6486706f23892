/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report: a message to `stint run` for whatever becomes of a rank's save, with what it has cost.  Called by saving. */
#ifndef STINT_REPORT_H
#define STINT_REPORT_H

#include "ranks.h"
#include "writer.h"

/* A write begins: from now on it is counted what it takes from the steps.  stands, streams: as in struct flight. */
void report_begin(struct rank *rank, int stands, int streams);

/* That attempt is over and came to nothing.  checkpoint_step -1: the program did not get as far as a snapshot. */
void report_failure(struct rank *rank, uint32_t save_id, uint32_t attempt, int64_t checkpoint_step,
                    const struct stint_error *why);

/*
 * It is sealed.  w is NULL when nothing was written because nothing had changed; kept is NULL when nobody waits for its
 * result any more.
 */
void report_sealed(struct rank *rank, const struct wire_snapshot *s, uint32_t attempt, const struct writer *w,
                   const struct rank_snapshot *kept);

/* Its snapshot is there: what `stint run` must know before it asks for another save while this one is being written. */
void report_taken(const struct rank *rank, const struct rank_snapshot *s, uint32_t attempt);

/* The image that a program calls by this number, NULL when there is none; and whether a snapshot is in it. */
const struct staging *report_image(const struct rank *rank, uint32_t image);
int report_is_taken(const struct rank *rank, const struct staging *image);

#endif
