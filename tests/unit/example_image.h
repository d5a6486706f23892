/* SPDX-License-Identifier: GPL-2.0-or-later */
/* example_image: the image of a checkpoint as plain memory, without HDF5: a table, hashes, and one large tensor. */
#ifndef TEST_EXAMPLE_IMAGE_H
#define TEST_EXAMPLE_IMAGE_H

#include <stdlib.h>
#include <string.h>
#include "seal.h"
#include "table.h"

#define EXAMPLE_RECORD 248
#define EXAMPLE_TABLE_AT 64
#define EXAMPLE_HASHES_AT 333 /* not aligned: HDF5 promises no alignment */
#define EXAMPLE_TENSOR_AT 4096

/* An image of so many bytes, and its seal as an agent hands it over: everything but the hashes. */
static inline unsigned char *example_image(uint64_t bytes, struct seal *seal)
{
        unsigned char *image = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
        struct table_record *r = (struct table_record *)(void *)(image + EXAMPLE_TABLE_AT);
        uint64_t i;

        for (i = 0; i < bytes; i++)
                image[i] = (unsigned char)(i * 31 + i / 257);
        memset(r, 0, EXAMPLE_RECORD);
        r->file_offset = EXAMPLE_TENSOR_AT;
        r->bytes = bytes - EXAMPLE_TENSOR_AT;
        r->dtype = STINT_U8;
        r->role = STINT_ROLE_MODEL;
        r->device = STINT_DEVICE_HOST;
        r->device_index = -1;
        r->ndim = 1;
        r->shape[0] = (int64_t)r->bytes;
        strcpy(r->name, "model/w");
        *seal = (struct seal){ .ranks = 1, .stint = 3, .step = 1200, .file_bytes = bytes, .table_offset = EXAMPLE_TABLE_AT,
                               .table_count = 1, .record_bytes = EXAMPLE_RECORD, .hashes_offset = EXAMPLE_HASHES_AT };
        strcpy(seal->run_id, "00112233445566778899aabbccddeeff");
        return image;
}

#endif
