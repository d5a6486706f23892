/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_restore: how a program gets its state back: the newest candidate that every rank can read to the last byte.
 *
 *   ASKING    some ranks have asked, others have not
 *   CHOOSING  the catalog is read, or a damaged generation is being set aside
 *   READING   every rank's agent reads the same candidate
 *   GIVEN     every rank has read it; the programs copy it
 */
#ifndef STINT_RUN_RESTORE_H
#define STINT_RUN_RESTORE_H

#include "run_candidates.h"
#include "wire.h"

struct run;

enum restoring_state { RESTORING_ASKING = 0, RESTORING_CHOOSING, RESTORING_READING, RESTORING_GIVEN };

struct restore {
        enum restoring_state state;
        uint32_t ranks;
        unsigned char *asking;      /* per rank: its program waits for its state */
        unsigned char *heard;       /* per rank: has it answered what this state waits for, or gone away? */
        uint32_t heard_count;
        int code;                   /* worst answer of this state: EBADMSG before others */
        char text[WIRE_TEXT];
        struct candidates candidates;
        struct wire_run_pieces pieces; /* of the one that is read */
        int abandoned;              /* a rank went away meanwhile: once the others have answered, all begins anew */
        int64_t began_ns, asked_ns; /* the first has asked; all have */
        int64_t wait_ns, read_ns;   /* from then until the images were handed over; the longest reading, ahead or not */
        uint32_t prefetched, staged, streamed; /* how many ranks' images were read ahead; were still in staging; were
                                                  copied while they were read */
        uint32_t pieced;  /* ... and were put together of several files */
        uint64_t bytes;
        int misfit;       /* an agent found that this program cannot have the checkpoint, which holds */
        json_t *left_out; /* what ranks do not get of a checkpoint of other ranks: sentences, the first few; NULL: none */
};

/* Messages of agents. */
void restore_ask(struct run *r, const struct wire_agent_restore_ask *m);
void restore_read(struct run *r, const struct wire_agent_restore_read *m);
void restore_done(struct run *r, const struct wire_agent_restore_done *m);

/*
 * A rank went away, its agent perhaps: the others wait until it asks again, and all read anew.  One that had not taken
 * its state yet when the others had gets the same when it asks again.
 */
void restore_rank_gone(struct run *r);

void restore_fini(struct restore *s);

#endif
