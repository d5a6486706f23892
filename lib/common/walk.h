/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk: the hashes of an image, found by one thread in the order of the file or by several at a time.  Hashing before a
 * write and checking after a read are the same walk.  Called by image.
 */
#ifndef STINT_WALK_H
#define STINT_WALK_H

#include <stdint.h>
#include "extents.h"
#include "image.h"

/* What a walk finds. */
struct sums {
        uint64_t *tensors;     /* the hash of each */
        unsigned char *stored; /* the array of hashes as it stands in the image, 8 bytes each */
        uint64_t rest;         /* the hash of every byte that is neither a tensor's nor in that array */
};

int sums_init(struct sums *sums, uint64_t count, struct stint_error *err);
void sums_fini(struct sums *sums);

/* Hashes everything that source brings.  -1 with what source said, or ENOMEM. */
int walk(const struct extents *x, struct image_source *source, struct sums *sums, struct stint_error *err);

/* The rest and the stored hashes alone: the source is asked for no tensor's byte, and sums->tensors stay as before. */
int walk_around(const struct extents *x, struct image_source *source, struct sums *sums, struct stint_error *err);

#endif
