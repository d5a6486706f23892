/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writer: one save of one rank, from staging to a synced file with a seal.  Started by saving for each snapshot; it
 * never touches anything but the part it is told to write.
 */
#ifndef STINT_WRITER_H
#define STINT_WRITER_H

#include <stdatomic.h>
#include <stdint.h>
#include "error.h"
#include "rundir.h"
#include "seal.h"
#include "staging.h"
#include "work.h"

struct passage;

struct writer {
        struct work work;
        void *owner; /* of whoever started it; nothing here looks at it */
        uint32_t save_id, attempt;

        /* What to write, and where. */
        char checkpoints[RUNDIR_PATH + 16]; /* the folder checkpoints/ of the run */
        int64_t checkpoint_step;
        struct staging *staging; /* held; dropped by writer_free */
        struct passage *passage; /* where staging is streamed: what comes through this.  Freed by writer_free */
        struct seal seal;        /* who, when and which metrics; the rest is filled in */
        char program[64];
        atomic_int given_up; /* nobody wants it any more: it ends with ECANCELED, and without a seal */
        int64_t expected_ns; /* what writes of this run have cost; 0: nothing was measured */

        /* What became of it. */
        int over;   /* on_written has been here */
        int failed;
        struct stint_error err;
        int64_t hash_ns;  /* waiting for hashes when everything else was written */
        int64_t write_ns; /* all the rest, from creating the file to the synced seal */
};

/* What the job does, on a thread.  A failure leaves the part as it is: whoever asked for the save removes it. */
void writer_run(struct work *work);

/* It need not go on; when it has ended, it has failed, unless it was done already. */
void writer_give_up(struct writer *w);

void writer_free(struct writer *w);

#endif
