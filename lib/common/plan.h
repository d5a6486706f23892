/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plan: what a rank gets of a checkpoint that other ranks have saved: which tensors, and which bytes of which piece go
 * where in an image that is made for it.  The rules are in docs/ranks.md.  Called by assembly.
 *
 * The image is a table (table.h) and behind it the tensors, each at a multiple of 64 bytes.
 */
#ifndef STINT_PLAN_H
#define STINT_PLAN_H

#include <stdint.h>
#include "boxes.h"
#include "pieces.h"

/* Who wants it, and what its program has attached: a layout that table_check found right. */
struct plan_wanted {
        uint32_t rank, ranks, saved; /* rank 3 of 8, and how many the checkpoint has */
        const struct contents *own;  /* of as many ranks: this one's file, for what is in no other pieces */
        const void *table;           /* NULL with a count of 0 */
        uint64_t count;
        uint32_t record_bytes;
};

/* A piece, read from its first byte to its last, and what of it goes where: copy.to counts from the image's begin. */
struct plan_copy {
        struct piece piece;
        struct box_copy copy;
};

struct plan {
        void *table; /* of the image; the offsets are filled in */
        uint64_t count, image_bytes;
        uint32_t record_bytes;
        struct plan_copy *copies; /* by rank of the piece, and in the order of its file; none twice */
        uint64_t copy_count, read_bytes;

        /* State of ranks themselves: what this one finds none of, and what (asked of rank 0) nobody takes any more. */
        uint64_t kept, left;
        const char *kept_name, *left_name; /* the first of them; in the tables of `wanted` and of the pieces */
};

/*
 * Makes it; the pieces and what is wanted have to stay as long as it is used.  -1 with EPROTO when this program cannot
 * have that checkpoint: a tensor is something else, or what is no piece of a larger array differs from rank to rank.
 * ENOMEM.
 */
int plan_make(struct plan *p, const struct pieces *pieces, const struct plan_wanted *wanted, struct stint_error *err);

void plan_fini(struct plan *p);

#endif
