/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * template: the checkpoint file of one rank, built once without its data.  Whoever holds the template's bytes and puts
 * tensors at the offsets has the finished file, so a save needs no HDF5.
 *
 * Not to be entered by two threads at the same time.
 */
#ifndef STINT_TEMPLATE_H
#define STINT_TEMPLATE_H

#include <stdint.h>
#include "error.h"
#include "store.h"

struct template {
        int fd;                 /* sparse, without a name; template_close closes it */
        uint64_t image_bytes;   /* of the finished file */
        struct store_places at; /* in it */
};

/*
 * Builds the template of a file with these tensors (table.h; the table must have passed table_check) and writes each
 * tensor's file_offset into the table.  -1 when HDF5 refuses, or when there is no memory for it.
 */
int template_build(struct template *t, void *table, uint64_t count, uint32_t record_bytes, struct stint_error *err);

/* A stretch of an image. */
struct template_extent {
        uint64_t at, bytes;
};

/*
 * Copies what the template has (its metadata: everything but holes) to the same offsets of image, image_bytes long; NULL:
 * nothing is copied.  Answers how many stretches that were, and in *extents what they are, for the caller to free; -1.
 */
int64_t template_copy(const struct template *t, void *image, struct template_extent **extents,
                      struct stint_error *err);

void template_close(struct template *t);

#endif
