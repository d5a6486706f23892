/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * extents: which bytes of a rank's checkpoint file are a tensor's, which are the table, which are the hashes.  What
 * lies between them belongs to the rest.  Made from the table before an image is hashed or checked.
 */
#ifndef STINT_EXTENTS_H
#define STINT_EXTENTS_H

#include <stddef.h>
#include <stdint.h>
#include "seal.h"

enum extent_kind { EXTENT_TENSOR, EXTENT_TABLE, EXTENT_HASHES };

struct extent {
        uint64_t begin, bytes;
        enum extent_kind kind;
        uint64_t index; /* of the tensor */
};

struct extents {
        struct extent *at; /* by begin, none overlapping another, none without bytes */
        size_t n;
        uint64_t image_bytes, count, state_bytes;
};

/*
 * From a table that table_check found right for this image.  Offsets and sizes are copied before they are checked once
 * more, so that a program that writes into its staging at the wrong moment spoils its checkpoint and not the agent.
 * -1 with EBADMSG or ENOMEM.
 */
int extents_init(struct extents *x, const void *table, uint64_t image_bytes, const struct seal *seal,
                 struct stint_error *err);

void extents_fini(struct extents *x);

#endif
