/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state: the tensors that are saved and restored.  The trainings of bench/ call in. */
#include "state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_BYTES 1024.0
#define MOST_BYTES (64.0 * 1024 * 1024)
#define LARGE_ALIGN ((size_t)4096) /* of tensors of as many bytes; smaller ones lie closer, as in stint's files */
#define SMALL_ALIGN ((size_t)64)

/* ---- the list of sizes ------------------------------------------------------------------------------------------- */

/* The i-th of n sizes: from least to most on a curve that p bends, towards small tensors the higher it is. */
static double size_at(size_t i, size_t n, double p)
{
        return LEAST_BYTES * pow(MOST_BYTES / LEAST_BYTES, pow((double)i / (double)(n - 1), p));
}

static double sum_at(size_t n, double p)
{
        double sum = 0;
        size_t i;

        for (i = 0; i < n; i++)
                sum += size_at(i, n, p);
        return sum;
}

static size_t aligned(size_t at, size_t to)
{
        return (at + to - 1) / to * to;
}

/* The bend with which they sum up to `bytes`. */
static double bend(double bytes, size_t n)
{
        double low = 0.01, high = 100, middle = 1;
        int i;

        for (i = 0; i < 60; i++) {
                middle = (low + high) / 2;
                if (sum_at(n, middle) > bytes)
                        low = middle;
                else
                        high = middle;
        }
        return middle;
}

/* Whether the smallest and the largest can both be among them. */
static int can_vary(double bytes, size_t n)
{
        return n >= 8 && bytes > sum_at(n, 100) && bytes < sum_at(n, 0.01);
}

int state_plan(struct state *s, size_t bytes, size_t n)
{
        const int varied = can_vary((double)bytes, n);
        const double p = varied ? bend((double)bytes, n) : 1;
        size_t i, left = bytes / 4 * 4;

        memset(s, 0, sizeof *s);
        if (n == 0 || bytes / 4 < n) {
                errno = EINVAL;
                return -1;
        }
        s->pieces = calloc(n, sizeof *s->pieces);
        if (!s->pieces)
                return -1;
        s->n = n;
        s->bytes = left;
        for (i = 0; i < n; i++) { /* the last one, which is the largest, takes what rounding left */
                s->pieces[i].bytes = i + 1 == n ? left : (varied ? (size_t)size_at(i, n, p) : bytes / n) / 4 * 4;
                left -= s->pieces[i].bytes;
                s->pieces[i].at = aligned(s->image_bytes, s->pieces[i].bytes < LARGE_ALIGN ? SMALL_ALIGN : LARGE_ALIGN);
                s->image_bytes = s->pieces[i].at + s->pieces[i].bytes;
        }
        s->image_bytes = aligned(s->image_bytes, LARGE_ALIGN);
        return 0;
}

/* ---- their bytes ------------------------------------------------------------------------------------------------- */

/* Two float32 between 0.5 and 2 of either sign: the exponents of weights, and mantissas without any order. */
static uint64_t next_floats(uint64_t *seed)
{
        uint64_t r;

        *seed += UINT64_C(0x9e3779b97f4a7c15);
        r = *seed;
        r = (r ^ r >> 32) * UINT64_C(0xd6e8feb86659fd93);
        r ^= r >> 32;
        return (r & UINT64_C(0x80ffffff80ffffff)) | UINT64_C(0x3f0000003f000000);
}

static void fill(void *data, size_t bytes, uint64_t seed)
{
        unsigned char *to = data;
        uint64_t pair;
        size_t i;

        for (i = 0; i + sizeof pair <= bytes; i += sizeof pair) {
                pair = next_floats(&seed);
                memcpy(to + i, &pair, sizeof pair);
        }
        pair = next_floats(&seed);
        memcpy(to + i, &pair, bytes - i);
}

static uint64_t seed_of(size_t i)
{
        return (uint64_t)(i + 1) * UINT64_C(0xbf58476d1ce4e5b9);
}

int state_make(struct state *s)
{
        size_t i;

        for (i = 0; i < s->n; i++) {
                errno = posix_memalign(&s->pieces[i].data, 64, s->pieces[i].bytes);
                if (errno)
                        return -1;
                fill(s->pieces[i].data, s->pieces[i].bytes, seed_of(i));
        }
        return 0;
}

void state_mark(struct state *s, uint32_t mark)
{
        size_t i;

        for (i = 0; i < s->n; i++)
                memcpy(s->pieces[i].data, &mark, sizeof mark);
}

void state_wipe(struct state *s)
{
        size_t i;

        for (i = 0; i < s->n; i++)
                memset(s->pieces[i].data, 0, s->pieces[i].bytes);
}

/* The bytes behind the mark are compared as they are made anew, so that this needs no memory. */
static int is_right(const struct piece *p, uint64_t seed, uint32_t mark)
{
        const unsigned char *data = p->data;
        uint64_t pair = next_floats(&seed);
        size_t i, n;

        memcpy(&pair, &mark, sizeof mark);
        for (i = 0; i < p->bytes; i += n) {
                n = p->bytes - i < sizeof pair ? p->bytes - i : sizeof pair;
                if (memcmp(data + i, &pair, n))
                        return 0;
                pair = next_floats(&seed);
        }
        return 1;
}

size_t state_check(const struct state *s, uint32_t mark)
{
        size_t i, wrong = 0;

        for (i = 0; i < s->n; i++)
                wrong += !is_right(&s->pieces[i], seed_of(i), mark);
        return wrong;
}

void state_fini(struct state *s)
{
        size_t i;

        for (i = 0; s->pieces && i < s->n; i++)
                free(s->pieces[i].data);
        free(s->pieces);
        memset(s, 0, sizeof *s);
}
