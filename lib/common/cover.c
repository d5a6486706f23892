/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cover: cuts an array, and with it the shards that lie in it, where no shard is cut through, as often as it goes.
 * What remains is one shard that is all of its part, or a hole, or shards that overlap or interlock; only these last
 * are compared with each other.  Called by pieces when the contents of all ranks are there.
 */
#include "cover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "names.h"

#define TEXT 300
#define DEEPEST 64 /* cuts below one another: tiles need one for each dimension; what needs more is compared */

/* A part of the array: in each dimension from begin to before end. */
struct part {
        int64_t begin[STINT_MAX_DIMS], end[STINT_MAX_DIMS];
};

static int64_t begin_of(const struct piece *piece, uint32_t d)
{
        return piece->record->global_offset[d];
}

static int64_t end_of(const struct piece *piece, uint32_t d)
{
        return piece->record->global_offset[d] + piece->record->shape[d];
}

/* ---- what is wrong ----------------------------------------------------------------------------------------------- */

static const char *part_format(char *out, size_t size, const struct part *part, uint32_t ndim)
{
        int64_t shape[STINT_MAX_DIMS];
        uint32_t d;

        for (d = 0; d < ndim; d++)
                shape[d] = part->end[d] - part->begin[d];
        return pieces_box(out, size, ndim, part->begin, shape);
}

/* No piece has it, or `all` of it; `beside` is one that lies next to the hole, or NULL. */
static int hole(const struct pieces_array *a, const struct part *part, const char *all, const struct piece *beside,
                struct stint_error *err)
{
        char where[TEXT], shape[TEXT], rank[48] = "";

        if (beside)
                snprintf(rank, sizeof rank, "; beside it is the shard of rank %d", beside->rank);
        return error_set(err, EINVAL, "no rank has %s%s of '%s' (%s)%s", all,
                         part_format(where, sizeof where, part, a->ndim), a->name,
                         shape_format(shape, sizeof shape, (enum stint_dtype)a->dtype, (int)a->ndim, a->shape), rank);
}

static int overlap(const struct pieces_array *a, const struct piece *x, const struct piece *y, struct stint_error *err)
{
        const struct table_record *r = x->record, *s = y->record;
        char first[TEXT], second[TEXT];

        return error_set(err, EINVAL, "the shards of '%s' overlap: rank %d has %s and rank %d has %s", a->name, x->rank,
                         pieces_box(first, sizeof first, a->ndim, r->global_offset, r->shape), y->rank,
                         pieces_box(second, sizeof second, a->ndim, s->global_offset, s->shape));
}

/* ---- what cannot be cut apart ------------------------------------------------------------------------------------ */

static int by_begin(const void *x, const void *y, void *dimension)
{
        const uint32_t d = *(const uint32_t *)dimension;
        const int64_t a = begin_of(*(const struct piece *const *)x, d);
        const int64_t b = begin_of(*(const struct piece *const *)y, d);

        return (a > b) - (a < b);
}

static void sort(const struct piece **pieces, uint32_t n, uint32_t d)
{
        qsort_r(pieces, n, sizeof *pieces, by_begin, &d);
}

static int meet(const struct piece *x, const struct piece *y, uint32_t ndim)
{
        uint32_t d;

        for (d = 0; d < ndim; d++)
                if (begin_of(x, d) >= end_of(y, d) || begin_of(y, d) >= end_of(x, d))
                        return 0;
        return 1;
}

/* The dimension in which the pieces are shortest, measured by the part: along it the fewest stand side by side. */
static uint32_t thinnest(const struct piece **pieces, uint32_t n, const struct part *part, uint32_t ndim)
{
        double least = 0;
        uint32_t d, i, found = 0;

        for (d = 0; d < ndim; d++) {
                double sum = 0;

                for (i = 0; i < n; i++)
                        sum += (double)(end_of(pieces[i], d) - begin_of(pieces[i], d));
                sum /= (double)(part->end[d] - part->begin[d]);
                if (d == 0 || sum < least) {
                        least = sum;
                        found = d;
                }
        }
        return found;
}

/* Pieces that do not overlap fill a part when they have as many elements. */
static int compare_all(const struct pieces_array *a, const struct piece **pieces, uint32_t n, const struct part *part,
                       struct stint_error *err)
{
        const uint32_t along = thinnest(pieces, n, part, a->ndim);
        uint64_t want = dtype_size((enum stint_dtype)a->dtype), have = 0;
        uint32_t i, j, d;

        sort(pieces, n, along);
        for (i = 0; i < n; i++) {
                have += pieces[i]->record->bytes;
                for (j = i + 1; j < n && begin_of(pieces[j], along) < end_of(pieces[i], along); j++)
                        if (meet(pieces[i], pieces[j], a->ndim))
                                return overlap(a, pieces[i], pieces[j], err);
        }
        for (d = 0; d < a->ndim; d++)
                want *= (uint64_t)(part->end[d] - part->begin[d]);
        return have == want ? 0 : hole(a, part, "all of ", pieces[0], err);
}

/* ---- cutting ----------------------------------------------------------------------------------------------------- */

static int check_part(const struct pieces_array *a, const struct piece **pieces, uint32_t n, const struct part *part,
                      int depth, struct stint_error *err);

/* One piece that lies within the part. */
static int check_one(const struct pieces_array *a, const struct piece *piece, const struct part *part,
                     struct stint_error *err)
{
        struct part missing = *part;
        uint32_t d;

        for (d = 0; d < a->ndim; d++) {
                if (begin_of(piece, d) > part->begin[d])
                        missing.end[d] = begin_of(piece, d);
                else if (end_of(piece, d) < part->end[d])
                        missing.begin[d] = end_of(piece, d);
                else
                        continue;
                return hole(a, &missing, "", piece, err);
        }
        return 0;
}

/* How many of the first pieces, sorted along d, hang together; *end receives where the last of them ends. */
static uint32_t together(const struct piece **pieces, uint32_t n, uint32_t d, int64_t *end)
{
        uint32_t i;

        *end = end_of(pieces[0], d);
        for (i = 1; i < n && begin_of(pieces[i], d) < *end; i++)
                if (end_of(pieces[i], d) > *end)
                        *end = end_of(pieces[i], d);
        return i;
}

/* Whether there is a cut along d; the pieces are sorted along it. */
static int can_cut(const struct piece **pieces, uint32_t n, const struct part *part, uint32_t d)
{
        int64_t end;

        return begin_of(pieces[0], d) > part->begin[d] || together(pieces, n, d, &end) < n || end < part->end[d];
}

/* Part by part along d; what lies between two parts is a hole. */
static int cut(const struct pieces_array *a, const struct piece **pieces, uint32_t n, const struct part *whole,
               uint32_t d, int depth, struct stint_error *err)
{
        struct part part = *whole;

        while (n > 0) {
                int64_t end;
                uint32_t some = together(pieces, n, d, &end);

                part.end[d] = begin_of(pieces[0], d);
                if (part.begin[d] < part.end[d])
                        return hole(a, &part, "", pieces[0], err);
                part.end[d] = end;
                if (check_part(a, pieces, some, &part, depth + 1, err) < 0)
                        return -1;
                part.begin[d] = end;
                pieces += some;
                n -= some;
        }
        part.end[d] = whole->end[d];
        return part.begin[d] < part.end[d] ? hole(a, &part, "", pieces[-1], err) : 0;
}

/* The pieces that lie in a part of the array; at least one. */
static int check_part(const struct pieces_array *a, const struct piece **pieces, uint32_t n, const struct part *part,
                      int depth, struct stint_error *err)
{
        uint32_t d;

        if (n == 1)
                return check_one(a, pieces[0], part, err);
        for (d = 0; d < a->ndim && depth < DEEPEST; d++) {
                sort(pieces, n, d);
                if (can_cut(pieces, n, part, d))
                        return cut(a, pieces, n, part, d, depth, err);
        }
        return compare_all(a, pieces, n, part, err);
}

int cover_check(const struct pieces_array *a, struct stint_error *err)
{
        const struct piece **pieces;
        struct part whole = { .begin = { 0 } };
        uint64_t bytes;
        uint32_t i;
        int rc;

        if (shape_bytes((enum stint_dtype)a->dtype, (int)a->ndim, a->shape, &bytes, err) < 0)
                return error_wrap(err, "'%s', the whole array", a->name);
        if (bytes == 0)
                return 0;
        memcpy(whole.end, a->shape, sizeof whole.end);
        if (a->count == 0)
                return hole(a, &whole, "", NULL, err);
        pieces = calloc(a->count, sizeof *pieces);
        if (!pieces)
                return error_system(err, ENOMEM, "no memory to check the %u shards of '%s'", a->count, a->name);
        for (i = 0; i < a->count; i++)
                pieces[i] = &a->pieces[i];
        rc = check_part(a, pieces, a->count, &whole, 0, err);
        free(pieces);
        return rc;
}
