/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gathered: what the files of all ranks of a checkpoint hold: their seals, compared with what the manifest says, their
 * tables, and the arrays that their tensors are pieces of.  Read once for all ranks of this node, by the first of them
 * that gets to it.  Called by assembly.
 */
#ifndef STINT_GATHERED_H
#define STINT_GATHERED_H

#include <pthread.h>
#include "pieces.h"
#include "rundir.h"
#include "wire.h"

struct gathered {
        /* Of the loop's thread. */
        int references;
        struct gathered **known; /* where others find it */

        /* What to read. */
        char checkpoint[RUNDIR_PATH + 192]; /* the folder of the checkpoint */
        char run_id[SEAL_RUN_ID];
        int64_t checkpoint_step;
        struct wire_run_pieces told; /* as the manifest has it */

        /* What became of it: under the lock until gathered_read has answered. */
        pthread_mutex_t lock;
        int was_read;
        struct stint_error err;
        struct contents *contents; /* of each rank */
        struct pieces pieces;
};

/* One that is held: *known, where that is of this checkpoint; else a new one, which stands in *known from then on. */
struct gathered *gathered_hold(struct gathered **known, const char *checkpoint, const char *run_id,
                               int64_t checkpoint_step, const struct wire_run_pieces *told, struct stint_error *err);

void gathered_drop(struct gathered *g); /* NULL is allowed */

/*
 * On a thread: reads it, or waits for who does.  EBADMSG: damaged, or something is missing; EPROTO: it holds, and can be
 * restored by as many ranks as have saved it only.
 */
int gathered_read(struct gathered *g, struct stint_error *err);

#endif
