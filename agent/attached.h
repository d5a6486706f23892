/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * attached: what a program has attached when it asks for its state, as it says ahead of the question (WANTED).  Called
 * by ranks and restoring; assembly reads it.
 */
#ifndef STINT_ATTACHED_H
#define STINT_ATTACHED_H

#include "wire.h"

struct attached {
        struct wire_wanted told; /* a count of 0: nothing is, or nothing was said */
        int fd;                  /* the table; -1: none */
};

/* Takes *fd over. */
void attached_take(struct attached *a, const struct wire_wanted *m, int *fd);

void attached_drop(struct attached *a);

/*
 * 1 when one of its pieces of a larger array is another piece in this table of a checkpoint file, which the program
 * would refuse as it is, or when the file mentions a tensor whose bytes are in that of rank 0.  The table need not hold.
 */
int attached_is_cut_otherwise(const struct attached *a, const void *table, uint64_t count, uint32_t record_bytes);

#endif
