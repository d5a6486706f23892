/* SPDX-License-Identifier: BSD-3-Clause */
/* boxes: what two pieces of an array have in common, and the copy of it.  plan calls in. */
#include "boxes.h"

#include <string.h>

/* ---- what they have in common --------------------------------------------------------------------------------- */

/* In one dimension. */
struct stretch {
        uint64_t n;        /* elements that both have; 0: none */
        uint64_t from, to; /* where those begin in either piece */
};

static int64_t begin_of(const struct box *b, uint32_t d)
{
        return b->offset ? b->offset[d] : 0;
}

static struct stretch meet_in(const struct box *from, const struct box *to, uint32_t d)
{
        const int64_t a = begin_of(from, d), b = begin_of(to, d);
        const int64_t begin = a > b ? a : b;
        const int64_t end = a + from->shape[d] < b + to->shape[d] ? a + from->shape[d] : b + to->shape[d];

        if (end <= begin)
                return (struct stretch){ 0 };
        return (struct stretch){ (uint64_t)(end - begin), (uint64_t)(begin - a), (uint64_t)(begin - b) };
}

/*
 * From the innermost dimension outwards.  As long as all that is inside of a dimension is one run on both sides, and
 * the next lies directly behind it, the run grows; from there on runs repeat.
 */
static void add_dimension(struct box_copy *c, const struct stretch *s, uint64_t from_stride, uint64_t to_stride)
{
        c->from += s->from * from_stride;
        c->to += s->to * to_stride;
        c->bytes *= s->n;
        if (c->repeats == 0 && c->run == from_stride && c->run == to_stride) {
                c->run *= s->n;
                return;
        }
        if (s->n == 1)
                return;
        memmove(&c->repeat[1], &c->repeat[0], c->repeats * sizeof c->repeat[0]);
        c->repeat[0] = (struct box_repeat){ s->n, from_stride, to_stride };
        c->repeats++;
}

int box_meet(struct box_copy *c, const struct box *from, const struct box *to, uint64_t element_bytes)
{
        uint64_t from_stride = element_bytes, to_stride = element_bytes;
        struct stretch s;
        uint32_t d;

        *c = (struct box_copy){ .run = element_bytes, .bytes = element_bytes };
        for (d = from->ndim; d-- > 0;) {
                s = meet_in(from, to, d);
                if (s.n == 0)
                        return 0;
                add_dimension(c, &s, from_stride, to_stride);
                from_stride *= (uint64_t)from->shape[d];
                to_stride *= (uint64_t)to->shape[d];
        }
        return 1;
}

/* ---- the copy ------------------------------------------------------------------------------------------------- */

void box_begin(struct box_cursor *cursor, const struct box_copy *copy)
{
        *cursor = (struct box_cursor){ .copy = copy, .from = copy->from, .to = copy->to };
}

/* To the next run, as an odometer goes. */
static void step(struct box_cursor *k)
{
        const struct box_copy *c = k->copy;
        const struct box_repeat *r;
        uint32_t d;

        for (d = c->repeats; d-- > 0;) {
                r = &c->repeat[d];
                k->from += r->from;
                k->to += r->to;
                if (++k->index[d] < r->count)
                        return;
                k->from -= r->count * r->from;
                k->to -= r->count * r->to;
                k->index[d] = 0;
        }
        k->over = 1;
}

void box_take(struct box_cursor *cursor, const void *bytes, uint64_t at, uint64_t n, void *to)
{
        const uint64_t end = at + n, run = cursor->copy->run;
        uint64_t begin, upto;

        while (!cursor->over && cursor->from < end) {
                begin = cursor->from > at ? cursor->from : at;
                upto = cursor->from + run < end ? cursor->from + run : end;
                if (upto > begin)
                        memcpy((char *)to + cursor->to + (begin - cursor->from), (const char *)bytes + (begin - at),
                               upto - begin);
                if (cursor->from + run > end)
                        return; /* its end is still to come */
                step(cursor);
        }
}
