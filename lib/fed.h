/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fed: a checkpoint that is copied to where it belongs while the agent reads and checks it.  The image comes
 * through a window, in the order of the file, and each tensor's bytes go to their place as they pass.  What the agent
 * finds out at the end counts for all of it: until then the program's memory holds what may be damaged.  restore calls
 * in.
 */
#ifndef STINT_FED_H
#define STINT_FED_H

#include <stddef.h>
#include <stdint.h>
#include "fit.h"
#include "window.h"

struct device;
struct stint;

/* The bytes of one tensor: where they are in the image, and where they go. */
struct fed_piece {
        uint64_t begin, bytes;
        char *to;
        const struct device *device; /* NULL: memory of the library's own, for what is carried along */
        struct layout_tensor *tensor;
};

struct fed {
        struct window window;
        void *table; /* a copy of our own, checked; fit.table is this */
        struct fit fit;
        char checkpoint[128];
        struct fed_piece *pieces; /* in the order of the image */
        size_t count, next;       /* pieces[next] is the first that is not copied whole */
        int on_device;            /* some go elsewhere than to the host's memory */
        void *carried;            /* what is carried along; NULL: nothing */
        size_t carried_bytes;
        int complete;           /* all of the image has come by */
        struct stint_error why; /* code 0: all of it was copied; else why it can not be used */
        int64_t copy_ns;        /* spent in copying */
};

/*
 * Takes what has come into the inbox as RESTORE_STREAM, and copies it as it comes: into everything attached, for that
 * must fit, and with *touched set before the first byte.  With `forgone` it goes by without being copied, as it does
 * when it does not fit.  0 when it has come to an end, whole (->complete) or because the agent gave it up; -1 with
 * ENOTCONN when the agent is gone, or with why its memory cannot be taken.
 */
int fed_take(struct stint *s, struct fed *f, const struct stint_error *forgone, int *touched, struct stint_error *err);

/* Lets go of it, and of what it did to the layout.  Allowed on one that is all zero. */
void fed_drop(struct stint *s, struct fed *f);

/* It counts: lets go of all but what is carried along, which is the caller's from here on. */
void fed_settle(struct stint *s, struct fed *f);

#endif
