/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pipeline: an image on its way to its file.  Several threads write its blocks while the caller's hashes them, and what
 * is both can be let go.  Called by writer, on a thread; where the bytes come from is the source's affair.
 */
#ifndef STINT_PIPELINE_H
#define STINT_PIPELINE_H

#include <stdatomic.h>
#include <stdint.h>
#include "disk.h"
#include "error.h"
#include "seal.h"

/* Where the bytes of an image come from.  The first member of a struct that knows. */
struct source {
        /*
         * Where the bytes [at, at + n) are, once they are there: waits for them.  NULL and err when they never come.  A
         * range crosses no multiple of BLOCKS_BYTES (blocks.h) unless all is there.  It is asked for once by a thread
         * that writes and, in pieces, by those that hash.  The pages that the hashes lie in, and the last page of an
         * image that ends within one, are asked for once more when all is released: they must stay.
         */
        const unsigned char *(*get)(struct source *s, uint64_t at, uint64_t n, struct stint_error *err);
        /* NULL: nothing is let go.  The first `upto` bytes are written and hashed.  Rising, one call at a time. */
        void (*release)(struct source *s, uint64_t upto);
        /* May be NULL: the save has failed, get() must not wait any longer. */
        void (*stop)(struct source *s);
        int whole;        /* everything is there from the beginning, one byte behind the other */
        unsigned hashers; /* threads that hash, the caller's included.  Up to 1: in the order of the file */
};

/* An image that is in memory as a whole. */
struct source_memory {
        struct source source;
        const unsigned char *image;
};
void source_memory_init(struct source_memory *m, const void *image);

/* What is written, and where. */
struct pipeline {
        struct disk *disk;
        struct source *source;
        uint64_t image_bytes;
        const void *table; /* in memory before the rest, aligned to 8 */
        void *hashes;      /* where the hashes go: at seal->hashes_offset of the image */
        struct seal *seal; /* table_offset, table_count, record_bytes, hashes_offset given; the hashes are filled in */
        /* May be NULL: the first `upto` bytes are in the file, but for the hashes' pages and the last.  Rising. */
        void (*on_progress)(void *arg, uint64_t upto);
        void *arg;
        /* May be NULL: set to 1 on any thread, it ends the whole with ECANCELED at the next block. */
        const atomic_int *given_up;

        int64_t hash_ns; /* out: how long was waited for hashes when all blocks were written */
};

/* Writes everything but does not sync.  -1 and the first failure. */
int pipeline_run(struct pipeline *p, struct stint_error *err);

#endif
