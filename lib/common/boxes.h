/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boxes: pieces of N-dimensional arrays that lie in memory or in files in row-major order, and what two pieces of one
 * array have in common, as runs of bytes.  Called by plan, and by whoever makes a whole array out of pieces.
 */
#ifndef STINT_BOXES_H
#define STINT_BOXES_H

#include <stdint.h>
#include "stint.h"

/* A piece of an array: where it begins, and how many elements it has in each dimension. */
struct box {
        uint32_t ndim;
        const int64_t *offset; /* NULL: all zeros */
        const int64_t *shape;
};

/* Runs that repeat: how often, and how many bytes lie from one to the next on either side. */
struct box_repeat {
        uint64_t count, from, to;
};

/* What goes from one piece into another: runs of `run` bytes, the first one from `from` to `to`, counted from where the
 * pieces begin. */
struct box_copy {
        uint64_t from, to, run;
        uint64_t bytes; /* in all */
        uint32_t repeats;
        struct box_repeat repeat[STINT_MAX_DIMS]; /* the innermost last */
};

/*
 * What two pieces of one array of such elements have in common: 1, or 0 when that is nothing.  Both fit memory, as
 * shape_bytes says.
 */
int box_meet(struct box_copy *c, const struct box *from, const struct box *to, uint64_t element_bytes);

/* A copy whose source comes in the order of its bytes, a part at a time. */
struct box_cursor {
        const struct box_copy *copy;
        uint64_t index[STINT_MAX_DIMS]; /* of the run that is next */
        uint64_t from, to;              /* where it begins */
        int over;
};

void box_begin(struct box_cursor *cursor, const struct box_copy *copy);

/* The source's bytes [at, at + n) have come: what is wanted of them goes to its place in the piece at `to`. */
void box_take(struct box_cursor *cursor, const void *bytes, uint64_t at, uint64_t n, void *to);

#endif
