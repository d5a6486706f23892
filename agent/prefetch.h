/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prefetch: files of the checkpoint that a program will ask for, read and checked before it does: while it starts,
 * imports its framework and builds its model.  main hands over what `stint run` says, restoring takes the images.
 *
 * Files are read one after the other, in the order in which they were named, and only while all of them together leave
 * half of the free memory alone.  An image that nobody asks for is let go of.
 */
#ifndef STINT_PREFETCH_H
#define STINT_PREFETCH_H

#include "clock.h"
#include "ranks.h"
#include "reader.h"

#define PREFETCH_KEEP (5 * CLOCK_SECOND * 60) /* so long an image waits for its program */

struct prefetched;

struct prefetch {
        struct ranks *ranks;
        struct prefetched *first; /* in the order in which they are read */
        int at_work;              /* a read of this room is under way; one that nobody wants any more counts too */
        int closed;
        int64_t keep_ns;
        uv_timer_t forget;
};

void prefetch_open(struct prefetch *p, uv_loop_t *loop, struct ranks *ranks);

/* `stint run` names a file to read, or tells to let go of one rank's image or of all. */
void prefetch_want(struct prefetch *p, const struct wire_run_prefetch *m);

/*
 * The image that answers this, or a read of it that is under way: then *at_work is 1, its owner is `owner`, and `done`
 * is called when it ends.  NULL when there is none, and when the program takes a stream (`streams`) and the read has
 * not come half-way: to begin anew is quicker then.  Images of other checkpoints are let go of.
 */
struct reader *prefetch_take(struct prefetch *p, const struct wire_run_restore *m, int streams, void *owner,
                             void (*done)(struct work *work), int *at_work);

/* This rank's program is there: when its image is, it may map it already. */
void prefetch_show(struct prefetch *p, struct rank *rank);

/* This rank's program will not ask any more, or has just been answered otherwise. */
void prefetch_drop(struct prefetch *p, int32_t rank);

/* Lets go of everything; a read that is under way ends soon, by itself. */
void prefetch_close(struct prefetch *p);

#endif
