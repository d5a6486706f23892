/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writing: the snapshots of a rank on their way to the disk, one after the other, the older first.  Called by saving,
 * which says what is to be written.
 */
#ifndef STINT_WRITING_H
#define STINT_WRITING_H

#include "ranks.h"
#include "writer.h"

/* The rank's snapshot for that save; NULL: it has given none, or its result was told. */
struct rank_snapshot *writing_find(struct rank *rank, uint32_t save_id);

/* Whether the writer at work is on that one. */
int writing_is_of(const struct rank *rank, const struct rank_snapshot *s);

/* Lets go of a snapshot that no writer has. */
void writing_forget(struct rank_snapshot *s);

/* Begins the next one that has an attempt to be made, when nothing is being written. */
void writing_next(struct rank *rank);

/* The writer and, of a streamed state, the program are both done with it. */
void writing_over(struct rank *rank, struct writer *w);

#endif
