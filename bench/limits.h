/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * limits: what this machine can do at best with the bytes of a state: copy them to memory that is there already, write
 * them past the page cache until they are synced, read them back.  Nothing of stint's is in it.  The trainer measures
 * these between its saves, so that a save is compared with the limit of the same minute.
 */
#ifndef STINT_BENCH_LIMITS_H
#define STINT_BENCH_LIMITS_H

#include <stddef.h>
#include <stdint.h>
#include "state.h"

/* Memory for one image of the state: shared memory, as staging is, with every page there and mapped. */
struct limits {
        const struct state *state;
        unsigned char *image;
        int fd;
};

/* -1 with errno. */
int limits_open(struct limits *l, const struct state *state);
void limits_close(struct limits *l);

enum limits_way {
        LIMITS_LIBC, /* memcpy of libc, as large pieces as there are */
        LIMITS_NT16, /* stores of 16 bytes past the caches */
        LIMITS_NT32, /* stores of 32 bytes past the caches */
        LIMITS_WAYS
};

/* "libc", "nt16", "nt32". */
const char *limits_way_name(enum limits_way way);

/* Whether this processor has it. */
int limits_has_way(enum limits_way way);

/* Nanoseconds that it takes to copy all tensors to their places in the image; -1 with errno. */
int64_t limits_copy(struct limits *l, enum limits_way way, unsigned threads);

/* How a file is written or read, and what came of it. */
struct limits_io {
        const char *path;
        unsigned threads;
        size_t block;  /* bytes in one call; a multiple of 4096 */
        int fresh;     /* write: into a new file, whose space is reserved first; else over what is there */
        int cached;    /* read: through the page cache, which is emptied of this file first */
        int direct;    /* out: past the page cache; 0 where the filesystem refuses that */
};

/*
 * Nanoseconds from open(2) until the image is in the file and synced, or until it is in memory; -1 with errno.  What
 * limits_write leaves behind is a file for limits_read.
 */
int64_t limits_write(struct limits *l, struct limits_io *io);
int64_t limits_read(struct limits *l, struct limits_io *io);

#endif
