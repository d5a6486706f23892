/* SPDX-License-Identifier: GPL-2.0-or-later */
/* example_table: layouts for the tests of the agent's rooms: one record per dtype and shape that there is, or very many. */
#ifndef STINT_EXAMPLE_TABLE_H
#define STINT_EXAMPLE_TABLE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "names.h"
#include "table.h"

struct example_table {
        void *bytes; /* freed by the test */
        uint64_t count;
        uint32_t record_bytes;
};

static inline struct example_table example_new(uint64_t most, size_t longest_name)
{
        struct example_table t = { .record_bytes = table_record_bytes(longest_name) };

        t.bytes = calloc(most ? most : 1, t.record_bytes);
        return t;
}

static inline struct table_record *example_add(struct example_table *t, const char *name, enum stint_dtype dtype, int ndim,
                                               const int64_t *shape)
{
        struct table_record *r = table_at(t->bytes, t->record_bytes, t->count++);

        r->dtype = dtype;
        r->role = role_from_name(name);
        r->device = STINT_DEVICE_HOST;
        r->device_index = -1;
        r->ndim = (uint32_t)ndim;
        if (ndim > 0)
                memcpy(r->shape, shape, (size_t)ndim * sizeof *shape);
        shape_bytes(dtype, ndim, shape, &r->bytes, NULL);
        strcpy(r->name, name);
        return r;
}

/* Every dtype as a scalar, a vector of 3 and a matrix of a page and more; no elements; groups within groups; UTF-8. */
static inline struct example_table example_all(void)
{
        const int64_t three[] = { 3 }, large[] = { 40, 150 }, none[] = { 4, 0 }, deep[] = { 1, 2, 1, 2, 1, 2, 1, 2 };
        struct example_table t = example_new(64, 120);
        char name[120];
        int dtype;

        for (dtype = STINT_U8; dtype <= STINT_BOOL; dtype++) {
                snprintf(name, sizeof name, "model/scalar/%s", dtype_name((enum stint_dtype)dtype));
                example_add(&t, name, (enum stint_dtype)dtype, 0, NULL);
                snprintf(name, sizeof name, "optimizer/%s/vector", dtype_name((enum stint_dtype)dtype));
                example_add(&t, name, (enum stint_dtype)dtype, 1, three);
                snprintf(name, sizeof name, "model/%s", dtype_name((enum stint_dtype)dtype));
                example_add(&t, name, (enum stint_dtype)dtype, 2, large);
        }
        example_add(&t, "nothing", STINT_F32, 2, none);
        example_add(&t, "a/b/c/d/e/f", STINT_F64, 8, deep);
        example_add(&t, "a/b/c/d/e/g", STINT_I64, 0, NULL);
        example_add(&t, "a/b/x", STINT_I64, 0, NULL);
        example_add(&t, "rng", STINT_U8, 1, three);
        example_add(&t, "gr\xc3\xb6\xc3\x9f" "e/h\xc3\xb6he", STINT_F32, 1, three);
        return t;
}

/* count tensors of float32[n], in groups of ten. */
static inline struct example_table example_many(uint64_t count, int64_t n)
{
        struct example_table t = example_new(count, 60);
        char name[60];
        uint64_t i;

        for (i = 0; i < count; i++) {
                snprintf(name, sizeof name, "model/layer%llu/weight%llu", (unsigned long long)(i / 10),
                         (unsigned long long)(i % 10));
                example_add(&t, name, STINT_F32, 1, &n);
        }
        return t;
}

/* As libstint hands it over: sealed memory.  Frees the table. */
static inline int example_memory(struct example_table *t)
{
        const size_t bytes = t->count * t->record_bytes;
        int fd = memfd_create("layout", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || write(fd, t->bytes, bytes) != (ssize_t)bytes ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                abort();
        free(t->bytes);
        t->bytes = NULL;
        return fd;
}

/* What a tensor's byte is in the images of these tests, by its record and its place; 0 and 1 alone for bool. */
static inline unsigned char example_byte(const struct table_record *r, uint64_t record, uint64_t at)
{
        const uint64_t mixed = (record * 131 + at) * UINT64_C(0x9e3779b97f4a7c15) >> 56;

        return r->dtype == STINT_BOOL ? (unsigned char)(mixed & 1) : (unsigned char)mixed;
}

/* Fills every tensor of an image whose table stands at table_offset. */
static inline void example_fill(unsigned char *image, uint64_t table_offset, uint64_t count, uint32_t record_bytes)
{
        uint64_t i, at;

        for (i = 0; i < count; i++) {
                const struct table_record *r = table_at(image + table_offset, record_bytes, i);

                for (at = 0; at < r->bytes; at++)
                        image[r->file_offset + at] = example_byte(r, i, at);
        }
}

#endif
