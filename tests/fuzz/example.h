/* SPDX-License-Identifier: GPL-2.0-or-later */
/* example: a rank's file of three tensors and its seal, as an agent leaves them, small and without HDF5: seeds of the
 * targets. */
#ifndef STINT_FUZZ_EXAMPLE_H
#define STINT_FUZZ_EXAMPLE_H

#include "fuzz.h"
#include "image.h"
#include "seal.h"
#include "table.h"

#define EXAMPLE_RUN_ID "00112233445566778899aabbccddeeff"
#define EXAMPLE_TENSORS 3
#define EXAMPLE_TENSOR 64 /* bytes */
#define EXAMPLE_IMAGE 2048

static inline void example_record(struct table_record *r, unsigned i)
{
        static const char *const names[EXAMPLE_TENSORS] = {"model/w", "model/b", "rng"};

        r->file_offset = 1024 + i * 128;
        r->bytes = EXAMPLE_TENSOR;
        r->dtype = STINT_U8;
        r->role = STINT_ROLE_MODEL;
        r->device = STINT_DEVICE_HOST;
        r->device_index = -1;
        r->ndim = 2;
        r->shape[0] = 8;
        r->shape[1] = EXAMPLE_TENSOR / 8;
        strcpy(r->name, names[i]);
}

/* image: EXAMPLE_IMAGE bytes at a multiple of 8. */
static inline struct seal example_image(unsigned char *image)
{
        struct seal s = {
                .ranks = 1, .stint = 2, .step = 40, .table_count = EXAMPLE_TENSORS, .metric_count = 1, .wall_ns = 1};
        unsigned i;

        memset(image, 0, EXAMPLE_IMAGE);
        s.record_bytes = table_record_bytes(7);
        s.table_offset = 64;
        s.hashes_offset = 64 + s.record_bytes * EXAMPLE_TENSORS;
        FUZZ_CHECK(s.hashes_offset + 8 * EXAMPLE_TENSORS <= 1024);
        strcpy(s.run_id, EXAMPLE_RUN_ID);
        strcpy(s.metrics[0].name, "loss");
        s.metrics[0].goal = STINT_GOAL_MIN;
        s.metrics[0].value = 0.5;
        for (i = 0; i < EXAMPLE_TENSORS; i++) {
                example_record(table_at(image + s.table_offset, s.record_bytes, i), i);
                memset(image + 1024 + i * 128, (int)i + 1, EXAMPLE_TENSOR);
        }
        FUZZ_CHECK(image_hash(image, EXAMPLE_IMAGE, &s, NULL) == 0);
        return s;
}

/* An input of the targets that take a whole part: the mode, the seal, the image.  Answers its size. */
static inline size_t example_part(uint8_t *out, unsigned mode)
{
        _Alignas(16) unsigned char image[EXAMPLE_IMAGE];
        const struct seal s = example_image(image);

        memset(out, 0, FUZZ_MODE);
        out[0] = (uint8_t)mode;
        seal_encode(&s, out + FUZZ_MODE);
        memcpy(out + FUZZ_MODE + SEAL_BYTES, image, sizeof image);
        return FUZZ_MODE + SEAL_BYTES + sizeof image;
}

/* Back to a checksum that holds: most mutations would be refused for it alone. */
static inline void example_reseal(unsigned char bytes[SEAL_BYTES], uint64_t sum)
{
        for (int i = 0; i < 8; i++)
                bytes[SEAL_BYTES - 8 + i] = (unsigned char)(sum >> 8 * i);
}

#endif
