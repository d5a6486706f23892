/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generation: a whole checkpoint of a run directory, as a program reads it itself, without an agent: which one is the
 * newest or the best, what tensors a rank's file has, and their bytes, checked.  where and model call in.
 */
#ifndef STINT_GENERATION_H
#define STINT_GENERATION_H

#include <stdint.h>
#include "error.h"
#include "rundir.h"
#include "seal.h"

struct generation {
        char name[RUNDIR_NAME]; /* step-… */
        char path[RUNDIR_PATH + 2 * RUNDIR_NAME]; /* of the rank's file */
        int64_t step;           /* the checkpoint's */
        uint32_t lineage, ranks;
        struct seal seal;       /* of the rank's file */
        int fd;                 /* that file */
        void *table;            /* has passed table_check, and nothing more before generation_read */
};

/* Bytes of the file that are wanted, and where to. */
struct generation_piece {
        uint64_t begin, bytes;
        unsigned char *to;
};

/*
 * Finds it and opens the file of a rank of so many: its own where as many ranks saved it, else that of rank 0.  With
 * `before` only those that are older than that one count.  1, and the caller closes it; 0 when there is none, also
 * where there is no such run directory; -1 when it cannot be read (EBADMSG: it is damaged): g->name says which it was,
 * and it is closed already.
 */
int generation_find(struct generation *g, const char *dir, enum stint_which which, int rank, int ranks,
                    const struct generation *before, struct stint_error *err);

/*
 * Reads the whole file, in order, and checks every byte of it; what the pieces (in the order of the file, none
 * overlapping another) want goes to its place on the way, and counts when the answer is 0.  EBADMSG: damaged.
 */
int generation_read(struct generation *g, const struct generation_piece *pieces, size_t n, struct stint_error *err);

void generation_close(struct generation *g); /* again is allowed */

#endif
