/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader: one rank's file of a checkpoint, read whole into memory and checked, byte for byte, against its seal and
 * against what the manifest says of it.  Started by restoring and prefetch, by way of recall.
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

struct feed;
struct assembly;

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
        int ring_fd;               /* memory from spare_take for a stream; -1: none */
        atomic_int streams;        /* a program waits and takes the file as it comes: it is opened, and reader_bring
                                      is to follow */

        /* What became of it. */
        char path[RUNDIR_PATH + 256]; /* of the file */
        atomic_int at_disk;           /* the file is being read, and not what staging may have of it */
        _Atomic uint64_t read_bytes;  /* so far, into memory */
        int fd; /* the image, in memory that can neither shrink nor grow; -1 and err when it failed */
        struct assembly *assembly; /* the image is no file's: it is put together (assembly.h); NULL: it is */
        int recalled; /* 1: that is the staging's, which must be held as long as the image is in use */
        struct feed *feed; /* opened, instead of fd */
        int brought;           /* reader_bring was started: the loop's thread's */
        int streamed;          /* ... and has ended well: the program has all of it, or is about to */
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

/* What it does in a second turn, when the first has opened a stream and the program knows of it. */
void reader_bring(struct work *work);

/* The file was read and holds. */
static inline int reader_holds(const struct reader *r)
{
        return r->fd >= 0 || r->streamed;
}

/* Its first part: the seal from the disk, checked against what the manifest says.  Answers into r->seal. */
int reader_read_seal(struct reader *r, struct stint_error *err);

/* It has read so much that to wait for the rest costs less than to begin anew, with a stream. */
int reader_is_half_way(const struct reader *r);

/* Nobody wants it any more: it ends soon, with ECANCELED.  Its done is called all the same.  By the loop's thread. */
void reader_stop(struct reader *r);

void reader_free(struct reader *r);

#endif
