/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * images: the memory that snapshots are copied into, as this process has it: the agent's staging, mapped, with its pages
 * made present in the background.  One image for a layout, and a second one where the agent had memory for it: one is
 * filled while the other is written.  Snapshot decides which.
 */
#ifndef STINT_IMAGES_H
#define STINT_IMAGES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "copy.h"
#include "error.h"
#include "layout.h"
#include "wire.h"

struct image_area {
        char *base; /* NULL: none */
        size_t bytes;
        int populating; /* `thread` was started and not joined */
        pthread_t thread;
        atomic_int stop; /* tells it to end */
        struct copy *copy; /* which it tells to learn when it has done its own work; NULL: it does not */
};

struct images {
        uint32_t layout; /* for which one they were made; 0: there is none */
        struct image_area area[STAGING_IMAGES];
        struct copy *copy; /* that will fill them */
};

/*
 * Maps an image that the agent sent for the layout as it is.  The first one takes the place of what was there, and tells
 * the layout where each tensor is; a further one must be like it.  -1 leaves a first one unmade and the others alone.
 */
int images_map(struct images *m, struct layout *layout, const struct wire_staging *told, int fd,
               struct stint_error *err);

/* Lets go of all of them. */
void images_drop(struct images *m);

#endif
