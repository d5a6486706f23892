/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table: what tensors there are, as an array of fixed records.  The same bytes serve three times: libstint hands its
 * layout to the agent as one (in a sealed memfd), the agent answers with the offsets filled in, and it is the dataset
 * /stint/table of every checkpoint file, so a restore needs no HDF5.  Little-endian, no padding.
 */
#ifndef STINT_TABLE_H
#define STINT_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include "error.h"

struct table_record {
        uint64_t file_offset; /* of the tensor's bytes in the image; 0 in a layout that asks, and when bytes is 0 */
        uint64_t bytes;
        uint32_t dtype;       /* enum stint_dtype */
        uint32_t role;        /* enum stint_role, never AUTO */
        uint32_t device;      /* enum stint_device it was saved from */
        int32_t device_index; /* which one; -1 for the host.  History, not truth */
        uint32_t ndim;
        uint32_t flags;       /* TABLE_SHARD */
        int64_t shape[STINT_MAX_DIMS];
        int64_t global_shape[STINT_MAX_DIMS];
        int64_t global_offset[STINT_MAX_DIMS];
        char name[];          /* record_bytes - TABLE_RECORD_FIXED bytes, zeros behind; always one zero at least */
};

#define TABLE_RECORD_FIXED 232 /* bytes before the name */
#define TABLE_SHARD 1u
#define TABLE_MOST 4000000u    /* records that any reader accepts */

/* Size of records whose longest name has that many bytes: room for the NUL, rounded up to 8. */
uint32_t table_record_bytes(size_t longest_name);

/* The i-th record of a table in memory that is aligned to 8. */
static inline struct table_record *table_at(void *table, uint32_t record_bytes, uint64_t i)
{
        return (struct table_record *)(void *)((char *)table + i * record_bytes);
}

/*
 * Checks everything a reader relies on: count and record_bytes sane, names terminated and legal, none twice and none
 * the parent of another, dtype and role known, ndim and shape consistent with bytes (no overflow), and with image_bytes
 * > 0 that each tensor lies within the image and none overlaps another.  The table is aligned to 8.  -1 with EBADMSG
 * and which record is wrong, or ENOMEM.
 */
int table_check(const void *table, uint64_t count, uint32_t record_bytes, uint64_t image_bytes,
                struct stint_error *err);

/* The record of that name, or NULL.  Linear; whoever looks often builds an index of its own. */
const struct table_record *table_find(const void *table, uint64_t count, uint32_t record_bytes, const char *name);

/* Elements and bytes of a shape: 0, or -1 with EOVERFLOW when it does not fit, EINVAL when a dimension is negative. */
int shape_bytes(enum stint_dtype dtype, int ndim, const int64_t *shape, uint64_t *bytes, struct stint_error *err);

/* "float32 [3, 224]" for sentences.  Answers out. */
const char *shape_format(char *out, size_t size, enum stint_dtype dtype, int ndim, const int64_t *shape);

#endif
