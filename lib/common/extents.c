/* SPDX-License-Identifier: BSD-3-Clause */
/* extents: a table's records in the order of the file, checked against each other.  Called by image. */
#include "extents.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "table.h"

void extents_fini(struct extents *x)
{
        free(x->at);
        x->at = NULL;
}

static int by_begin(const void *a, const void *b)
{
        const struct extent *x = a, *y = b;

        return (x->begin > y->begin) - (x->begin < y->begin);
}

static const char *kind_words(enum extent_kind kind)
{
        return kind == EXTENT_TENSOR ? "a tensor" : kind == EXTENT_TABLE ? "the table of tensors" : "the hashes";
}

static int check(struct extents *x, struct stint_error *err)
{
        size_t i;

        qsort(x->at, x->n, sizeof *x->at, by_begin);
        for (i = 0; i < x->n; i++) {
                const struct extent *e = &x->at[i];

                if (e->bytes > x->image_bytes || e->begin > x->image_bytes - e->bytes)
                        return error_set(err, EBADMSG, "%s reaches out of the file", kind_words(e->kind));
                if (i > 0 && e->begin < e[-1].begin + e[-1].bytes)
                        return error_set(err, EBADMSG, "%s overlaps %s at offset %" PRIu64, kind_words(e->kind),
                                         kind_words(e[-1].kind), e->begin);
        }
        return 0;
}

static void add(struct extents *x, uint64_t begin, uint64_t bytes, enum extent_kind kind, uint64_t index)
{
        if (bytes > 0)
                x->at[x->n++] = (struct extent){ begin, bytes, kind, index };
}

int extents_init(struct extents *x, const void *table, uint64_t image_bytes, const struct seal *seal,
                 struct stint_error *err)
{
        uint64_t i, count = seal->table_count;

        *x = (struct extents){ .image_bytes = image_bytes, .count = count };
        x->at = calloc(count + 2, sizeof *x->at);
        if (!x->at)
                return error_system(err, ENOMEM, "cannot hash %" PRIu64 " tensors", count);
        for (i = 0; i < count; i++) {
                const struct table_record *r = (const void *)((const char *)table + i * seal->record_bytes);
                uint64_t begin = r->file_offset, bytes = r->bytes;

                x->state_bytes += bytes;
                add(x, begin, bytes, EXTENT_TENSOR, i);
        }
        add(x, seal->table_offset, count * seal->record_bytes, EXTENT_TABLE, 0);
        add(x, seal->hashes_offset, count * 8, EXTENT_HASHES, 0);
        if (check(x, err) == 0)
                return 0;
        extents_fini(x);
        return -1;
}
