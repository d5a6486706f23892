/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * streamed: an image for which there is no memory as a whole.  What of it is no tensor's is kept here, and put around
 * the tensors as they come through a window (lib/common/window.h); so the program fills in nothing but its tensors.
 * Staging makes one in place of an image, and writer writes from it as from any source.
 */
#ifndef STINT_STREAMED_H
#define STINT_STREAMED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include "error.h"
#include "pipeline.h"
#include "staging.h"
#include "window.h"

#define STREAMED_MOST (64 * WINDOW_BLOCK) /* more of it makes no save faster: the disk has its blocks long before */
#define STREAMED_LEAST (2 * WINDOW_BLOCK) /* one is filled while the other is written */

/* Bytes of an image that are no tensor's. */
struct streamed_piece {
        uint64_t at, bytes;
        int is_zero;
};

/* What staging has when its image is the template only: a mapping with holes where the tensors are. */
struct streamed {
        int table_fd; /* sealed, for the program: the table with its offsets */
        uint64_t window_bytes;
        struct passage *first; /* for the first save, with all of its pages; NULL: somebody has taken it */
        struct streamed_piece *pieces; /* in order; together with the tensors every byte there is */
        uint64_t n;
};

struct passage;

/*
 * How large a window an image gets that there is no memory for: as much as helps, but no more than `limit` (0: none) and
 * than half of what is `available` (-1: nobody knows).  0: not even the least, or the image is no larger than that.
 */
uint64_t streamed_window(uint64_t image_bytes, uint64_t limit, int64_t available);

/* Makes it for staging that has its image, its extents and all of its offsets.  NULL and err. */
struct streamed *streamed_new(const struct staging *s, uint64_t window_bytes, struct stint_error *err);
void streamed_free(struct streamed *x); /* NULL is allowed */

/* ---- one save ---------------------------------------------------------------------------------------------------- */

/* One image on its way.  Whoever has it last frees it. */
struct passage {
        struct window window;
        atomic_int stopped;
        struct stint_error why; /* once it is */
};

struct passage *passage_new(uint64_t window_bytes, uint64_t image_bytes, struct stint_error *err);
void passage_free(struct passage *p); /* NULL is allowed */

/* Nothing more will come, or nobody wants it: both sides hear it, and what has come stays.  On the loop's thread. */
void passage_stop(struct passage *p, int code, const char *why);

/* What pipeline takes the image from. */
struct source_streamed {
        struct source source;
        const struct staging *staging;
        struct passage *passage;
        pthread_mutex_t lock;     /* of what follows */
        unsigned char *framed;    /* one for each block: what is no tensor's is in it */
        unsigned char *late, *end; /* pages that are asked for once more: with the hashes, and a last one not full */
        uint64_t late_at, late_bytes, end_at, end_bytes;
        _Atomic uint64_t released;
};

int source_streamed_init(struct source_streamed *s, const struct staging *staging, struct passage *passage,
                         struct stint_error *err);
void source_streamed_fini(struct source_streamed *s);

/* Where the hashes are to be put: count * 8 bytes. */
void *source_streamed_hashes(struct source_streamed *s);

#endif
