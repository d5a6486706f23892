/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state: what a training would save: float32 tensors of many sizes, each in memory of its own, filled with numbers that
 * do not compress.  The list of sizes follows from the total and the number of tensors alone, so that limits, stint and
 * its peers are measured with the very same one.
 */
#ifndef STINT_BENCH_STATE_H
#define STINT_BENCH_STATE_H

#include <stddef.h>
#include <stdint.h>

struct piece {
        void *data;
        size_t bytes; /* a multiple of 4 */
        size_t at;    /* where it lies in an image of all of them; a multiple of 64, of large ones of 4096 */
};

struct state {
        struct piece *pieces;
        size_t n;
        size_t bytes;       /* the sum of theirs */
        size_t image_bytes; /* of the image; a multiple of 4096 */
};

/*
 * The sizes: from 1 KiB to 64 MiB, and so that they sum up to `bytes`; all alike where that cannot be (100,000 tensors of
 * 1 KiB, one of 8 GiB).  Nothing is allocated for the tensors yet.  -1 with errno.
 */
int state_plan(struct state *s, size_t bytes, size_t n);

/* Makes the tensors and fills them: every page is there afterwards.  -1 with errno. */
int state_make(struct state *s);

/* Writes `mark` into the first bytes of every tensor, as a step of training would change them. */
void state_mark(struct state *s, uint32_t mark);

/* Sets every byte to zero, so that a restore has something to prove. */
void state_wipe(struct state *s);

/* How many tensors are not what state_make and state_mark(mark) made them. */
size_t state_check(const struct state *s, uint32_t mark);

void state_fini(struct state *s);

#endif
