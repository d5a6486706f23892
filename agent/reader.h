/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader: one rank's file of a checkpoint, read whole into memory and checked, byte for byte, against its seal and
 * against what the manifest says of it.  Started by restoring.
 */
#ifndef STINT_READER_H
#define STINT_READER_H

#include <stdatomic.h>
#include <stdint.h>
#include "error.h"
#include "rundir.h"
#include "seal.h"
#include "staging.h"
#include "work.h"

struct reader {
        struct work work;
        void *owner; /* of whoever started it; nothing here looks at it */

        /* What to read. */
        char checkpoint[RUNDIR_PATH + 192]; /* the folder of the checkpoint */
        uint32_t rank, ranks;
        int64_t checkpoint_step;
        uint64_t file_bytes, root; /* as the manifest has them */
        char run_id[SEAL_RUN_ID];
        struct staging *staging;   /* held: memory that may have it already (recall.h); NULL: none */
        atomic_int unwanted;       /* set by reader_stop */

        /* What became of it. */
        int fd; /* the image, in memory that can neither shrink nor grow; -1 and err when it failed */
        int recalled; /* 1: that is the staging's, which must be held as long as the image is in use */
        struct seal seal;
        struct stint_error err; /* EBADMSG: the checkpoint is damaged; anything else: it could not be read */
        int64_t took_ns;
};

/*
 * A job that is to read from this checkpoint of that run; which file of it, and what the manifest says of that, is
 * still to be filled in.  NULL with EINVAL when that is no name of a whole checkpoint.
 */
struct reader *reader_new(const char *run_dir, const char *checkpoint, const char *run_id, struct stint_error *err);

/* What the job does, on a thread. */
void reader_run(struct work *work);

/* Its first part: the seal from the disk, checked against what the manifest says.  Answers into r->seal. */
int reader_read_seal(struct reader *r, struct stint_error *err);

/* Nobody wants it any more: it ends soon, with ECANCELED.  Its done is called all the same. */
void reader_stop(struct reader *r);

void reader_free(struct reader *r);

#endif
