/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recall: a checkpoint that is still in this node's memory, as the snapshot that it was written from, is taken from
 * there instead of the disk, under the same proof.  Staging of programs that went away without a word is kept here for
 * the next one; ranks brings it, prefetch and restoring read through here.
 */
#ifndef STINT_RECALL_H
#define STINT_RECALL_H

#include "clock.h"
#include "ranks.h"
#include "reader.h"

#define RECALL_KEEP (5 * 60 * CLOCK_SECOND) /* so long staging waits for the next program of its rank */

struct recalled;

struct recall {
        struct recalled *first;
        int64_t keep_ns;
        uv_timer_t forget;
};

void recall_open(struct recall *r, uv_loop_t *loop);
void recall_close(struct recall *r);

/* Takes over staging that this rank's program has left behind. */
void recall_keep(struct recall *r, int32_t rank, struct staging *staging);

/* The staging that was sealed with this root and size, held; NULL: there is none. */
struct staging *recall_find(const struct recall *r, int32_t rank, uint64_t root, uint64_t bytes);

/* The rank's program makes its own. */
void recall_drop(struct recall *r, int32_t rank);

/*
 * What a reader's job does, on a thread: takes the image out of reader->staging when that holds, to the last byte, what
 * the seal on the disk says (then reader->recalled is 1); reads the file when not, which is no damage.
 */
void recall_run(struct work *work);

#endif
