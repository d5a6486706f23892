/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store: the HDF5 file that a checkpoint of one rank is, with every group, dataset and offset in place, and no data.
 * docs/checkpoint-format.md says what is where.
 *
 * Not to be entered by two threads at the same time.
 */
#ifndef STINT_STORE_H
#define STINT_STORE_H

#include <stdint.h>
#include "error.h"

#define STORE_META_BYTES 4096 /* of /stint/meta: JSON text, zeros behind */

/* Where the bytes of the datasets of /stint are. */
struct store_places {
        uint64_t table_offset;  /* of /stint/table; 0 when there are no tensors */
        uint64_t hashes_offset; /* of /stint/hashes; likewise */
        uint64_t meta_offset;   /* of /stint/meta */
};

/*
 * Builds the file with these tensors (table.h; the table must have passed table_check) at path, where an empty one is,
 * and writes each tensor's file_offset into the table.  path may be a link in /proc/self/fd to memory without a name.
 */
int store_build(struct store_places *at, const char *path, void *table, uint64_t count, uint32_t record_bytes,
                struct stint_error *err);

#endif
