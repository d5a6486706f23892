/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pieces: which arrays a checkpoint has, over the files of all its ranks, and of which pieces each is made.  An array
 * that was attached as shards (TABLE_SHARD) is one, covered exactly; any other is there once for each rank that has it.
 * Called by whoever needs an array wherever it lies: a restore on another number of ranks, and `stint export`.
 *
 *     struct pieces p = { 0 };
 *     for each rank: pieces_add(&p, rank, &contents[rank], err)
 *     pieces_close(&p, err)
 *     pieces_find(&p, "model/w")
 *     pieces_fini(&p)
 */
#ifndef STINT_PIECES_H
#define STINT_PIECES_H

#include <stdint.h>
#include "contents.h"

struct piece {
        int32_t rank;                      /* in whose file it is */
        const struct table_record *record; /* in that rank's contents */
        uint64_t hash;                     /* of its bytes */
};

struct pieces_array {
        const char *name; /* in the contents of the first rank that has it */
        uint32_t dtype, role, ndim;
        int64_t shape[STINT_MAX_DIMS]; /* of the whole array; of one that is no shard its own, on the first rank */
        int sharded;
        int32_t differs; /* the first rank where it is something else, of arrays that are not sharded; -1: nowhere */
        /*
         * Sharded: in the order of their place in the array, one for each box that has elements (none at all when the
         * array has none), and of ranks with the same box (replicas) the lowest.  Else: one for each rank that has it,
         * by rank.
         */
        struct piece *pieces;
        uint32_t count;
        uint32_t room; /* pieces that there is memory for */
};

/* All zero to begin with. */
struct pieces {
        struct pieces_array *arrays; /* in the order in which they were met: rank 0's table, what rank 1 adds, … */
        uint32_t count;
        uint32_t room;
        uint32_t *slots; /* the index by name: 1 + place in arrays, 0 where none is */
        uint32_t slot_count;
        int32_t next_rank;
};

/*
 * Adds what is in that rank's file: rank 0, then 1, and so on.  The contents have to stay until pieces_fini.  -1 with
 * ENOMEM, or EINVAL when it is another rank's turn; then there is nothing to be done with p but pieces_fini.
 */
int pieces_add(struct pieces *p, int32_t rank, const struct contents *c, struct stint_error *err);

/*
 * Sorts the pieces, and checks that the shards of an array agree on what it is (dtype, role, global shape) and cover
 * it: no hole, and no overlap but of equal boxes.  -1 with EINVAL, the array, the ranks and the box: that is nobody's
 * damage, it was attached so.  ENOMEM.
 */
int pieces_close(struct pieces *p, struct stint_error *err);

/* The array of that name, or NULL. */
const struct pieces_array *pieces_find(const struct pieces *p, const char *name);

/* 0 when that is the hash of a piece's bytes, all of them; else -1 with EBADMSG, the tensor and its rank. */
int piece_prove(const struct piece *piece, uint64_t hash, struct stint_error *err);

/* The piece of an array that is not sharded which that rank has, or NULL. */
const struct piece *pieces_of_rank(const struct pieces_array *a, int32_t rank);

/*
 * 0 when an array that is not sharded is the same thing on all ranks that have it (dtype, role, shape; their bytes are
 * not compared), else -1 with EINVAL and what it is on which two ranks.  To be asked where any of them has to do; a
 * rank's own state, such as its position in the data, may differ.
 */
int pieces_check_same(const struct pieces_array *a, struct stint_error *err);

void pieces_fini(struct pieces *p);

/* "[0:4, 8:16]" for sentences: where in the whole array a box lies.  Answers out. */
const char *pieces_box(char *out, size_t size, uint32_t ndim, const int64_t *offset, const int64_t *shape);

#endif
