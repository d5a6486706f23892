/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store: the HDF5 file that a checkpoint of one rank is, built once as a template: every group, dataset and offset in
 * place, and no data.  Whoever holds the template's bytes and puts tensors at the offsets has the finished file, so a
 * save needs no HDF5.  store.c is the only file that includes hdf5.h.  docs/checkpoint-format.md says what is where.
 *
 * Not to be entered by two threads at the same time.
 */
#ifndef STINT_STORE_H
#define STINT_STORE_H

#include <stdint.h>
#include "error.h"

#define STORE_META_BYTES 4096 /* of /stint/meta: JSON text, zeros behind */

struct store_template {
        int fd;                 /* sparse, without a name; store_close closes it */
        uint64_t image_bytes;   /* of the finished file */
        uint64_t table_offset;  /* of /stint/table; 0 when there are no tensors */
        uint64_t hashes_offset; /* of /stint/hashes; likewise */
        uint64_t meta_offset;   /* of /stint/meta */
};

/*
 * Builds the template of a file with these tensors (table.h; the table must have passed table_check) and writes each
 * tensor's file_offset into the table.  -1 when HDF5 refuses, or when neither /dev/shm, $TMPDIR nor /tmp has room.
 */
int store_build(struct store_template *t, void *table, uint64_t count, uint32_t record_bytes, struct stint_error *err);

/* Copies what the template has (its metadata: everything but holes) to the same offsets of image, image_bytes long. */
int store_copy(const struct store_template *t, void *image, struct stint_error *err);

void store_close(struct store_template *t);

#endif
