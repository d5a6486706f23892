/* SPDX-License-Identifier: BSD-3-Clause */
/* cover: whether the shards of an array make it up, all of it and each element once.  Called by pieces. */
#ifndef STINT_COVER_H
#define STINT_COVER_H

#include "pieces.h"

/*
 * For a sharded array whose pieces have elements, lie within it and have no box twice.  -1 with EINVAL and the box that
 * no rank has, or the two ranks whose boxes overlap; EOVERFLOW when the array is larger than can be; ENOMEM.  The time
 * grows as that of sorting the pieces, for whatever can be cut apart along its dimensions, as rows, columns, tiles and
 * flat partitions can.
 */
int cover_check(const struct pieces_array *a, struct stint_error *err);

#endif
