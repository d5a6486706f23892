/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * known_arrays: a training of one step on four ranks, which are its own children, for the flow test of `stint export`.
 * Its arrays are divided among the ranks in every way there is, and what an element is follows from its place in the
 * whole array: so whoever reads them can tell that each is where it belongs.  tests/flow/export.sh has the same list.
 * With --hole no rank has the rows of rank 2.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "stint.h"

#define RANKS 4

/* ---- how the ranks agree: in memory that they share -------------------------------------------------------------- */

struct together {
        pthread_barrier_t all;
        int64_t values[RANKS][64];
};

struct rank {
        int rank, n;
        int64_t *values;
        struct together *together;
};

static int agree_begin(void *arg, int64_t *values, int n)
{
        struct rank *r = arg;

        if (n > 64)
                return -1;
        r->values = values;
        r->n = n;
        memcpy(r->together->values[r->rank], values, (size_t)n * sizeof *values);
        return 0;
}

static int agree_wait(void *arg)
{
        struct rank *r = arg;
        int i, k;

        pthread_barrier_wait(&r->together->all);
        for (i = 0; i < r->n; i++)
                for (k = 0; k < RANKS; k++)
                        if (r->together->values[k][i] > r->values[i])
                                r->values[i] = r->together->values[k][i];
        pthread_barrier_wait(&r->together->all);
        return 0;
}

/* ---- the arrays -------------------------------------------------------------------------------------------------- */

/* The element at that place of the whole array, whose number is `array`: below 251, so that every type can hold it. */
static int value(int64_t array, int64_t place)
{
        return (int)((array * 101 + place * 7919 + place / 251) % 251);
}

static void put(void *data, enum stint_dtype dtype, int64_t i, int v)
{
        switch (dtype) {
        case STINT_U8:
        case STINT_I8:
                ((uint8_t *)data)[i] = (uint8_t)(v / 2);
                break;
        case STINT_BOOL:
                ((uint8_t *)data)[i] = (uint8_t)(v & 1);
                break;
        case STINT_I32:
                ((int32_t *)data)[i] = v;
                break;
        case STINT_I64:
                ((int64_t *)data)[i] = v;
                break;
        case STINT_F32:
                ((float *)data)[i] = (float)v;
                break;
        case STINT_F64:
                ((double *)data)[i] = v;
                break;
        case STINT_C64:
                ((float *)data)[2 * i] = (float)v;
                ((float *)data)[2 * i + 1] = (float)(v + 1);
                break;
        default: /* float16 and bfloat16: these bits */
                ((uint16_t *)data)[i] = (uint16_t)v;
                break;
        }
}

static void *attached[32]; /* until the training ends */
static size_t attached_count;

static void free_attached(void)
{
        while (attached_count > 0)
                free(attached[--attached_count]);
}

/* Attaches the box of a whole array, or without `offset` an array of that shape. */
static void attach(struct stint *s, int64_t array, const char *name, enum stint_dtype dtype, int ndim,
                   const int64_t *whole, const int64_t *offset, const int64_t *shape)
{
        struct stint_tensor t = { .dtype = dtype, .ndim = ndim };
        int64_t n = 1, i;
        int d;

        for (d = 0; d < ndim; d++) {
                t.shape[d] = shape[d];
                n *= shape[d];
                if (offset) {
                        t.global_shape[d] = whole[d];
                        t.global_offset[d] = offset[d];
                }
        }
        t.data = attached[attached_count++] = calloc((size_t)n + 1, stint_dtype_size(dtype));
        for (i = 0; i < n; i++) {
                int64_t left = i, place = 0, stride = 1;

                for (d = ndim; d-- > 0; left /= shape[d], stride *= whole[d])
                        place += (left % shape[d] + (offset ? offset[d] : 0)) * stride;
                put(t.data, dtype, i, value(array, place));
        }
        if (stint_attach(s, name, &t) < 0) {
                fprintf(stderr, "known_arrays: %s\n", stint_why(s));
                exit(1);
        }
}

/* Even parts of one dimension, as even as they go. */
static void divided(struct stint *s, int64_t array, const char *name, enum stint_dtype dtype, int ndim,
                    const int64_t *whole, int along, int part, int parts)
{
        int64_t offset[STINT_MAX_DIMS] = { 0 }, shape[STINT_MAX_DIMS];

        memcpy(shape, whole, (size_t)ndim * sizeof *whole);
        offset[along] = whole[along] * part / parts;
        shape[along] = whole[along] * (part + 1) / parts - offset[along];
        attach(s, array, name, dtype, ndim, whole, offset, shape);
}

static void attach_shards(struct stint *s, int rank, int hole)
{
        const int64_t rows[] = { 10, 6 }, columns[] = { 5, 14 }, grid[] = { 8, 6, 4 }, twelve[] = { 12 }, two[] = { 2 };
        const int64_t flat[] = { 100003 }, square[] = { 4, 4 }, thin[] = { 3000, 4 };
        const int64_t wide[] = { 1100, 4003 }; /* its pieces are larger than what an export reads at once, 1 MiB */
        const int64_t tile[] = { rank / 2 * 4, 0, rank % 2 * 2 }, tile_shape[] = { 4, 6, 2 };

        divided(s, 1, "model/rows", STINT_F32, 2, rows, 0, hole && rank == 2 ? 1 : rank, RANKS);
        divided(s, 2, "model/columns", STINT_F64, 2, columns, 1, RANKS - 1 - rank, RANKS);
        attach(s, 3, "model/grid", STINT_I32, 3, grid, tile, tile_shape);
        divided(s, 4, "model/half", STINT_F16, 1, twelve, 0, rank, RANKS);
        divided(s, 5, "model/brain", STINT_BF16, 1, twelve, 0, rank, RANKS);
        divided(s, 6, "model/complex", STINT_C64, 2, rows, 1, rank, RANKS);
        divided(s, 7, "model/mask", STINT_BOOL, 1, two, 0, rank, RANKS); /* two ranks have none of it */
        divided(s, 8, "optimizer/flat", STINT_U8, 1, flat, 0, rank, RANKS);
        divided(s, 9, "model/twice", STINT_F32, 2, square, 0, rank % 2, 2); /* each half on two ranks */
        divided(s, 10, "optimizer/thin", STINT_I64, 2, thin, 1, rank, RANKS);
        divided(s, 11, "optimizer/wide", STINT_U8, 2, wide, 1, rank, RANKS);
}

static void attach_others(struct stint *s, int rank)
{
        const int64_t seven[] = { 7 }, three[] = { 3 }, none[] = { 4, 0 }, own[] = { rank + 1 };

        attach(s, 20, "model/bias", STINT_F32, 1, seven, NULL, seven);
        attach(s, 21, "model/100% of it", STINT_F32, 1, seven, NULL, seven);
        attach(s, 22, "model/scale", STINT_F64, 0, NULL, NULL, NULL);
        attach(s, 23, "model/none", STINT_F32, 2, none, NULL, none);
        attach(s, 30 + rank, "metrics/mine", STINT_F32, 1, three, NULL, three);
        attach(s, 40 + rank, "rng", STINT_I64, 1, three, NULL, three);
        attach(s, 50, "data/order", STINT_I32, 1, own, NULL, own);
        attach(s, 60 + rank, "data/position", STINT_I64, 0, NULL, NULL, NULL);
        if (rank == RANKS - 1)
                attach(s, 70, "model/last", STINT_F32, 1, seven, NULL, seven);
}

static int train(int rank, int hole, struct together *together)
{
        struct rank r = { .rank = rank, .together = together };
        const struct stint_agree agree = { agree_begin, agree_wait, &r };
        struct stint_options options = STINT_OPTIONS;
        int64_t step = 0;
        struct stint *s;

        options.rank = rank;
        options.ranks = RANKS;
        options.agree = &agree;
        s = stint_open(&options, NULL);
        attach_shards(s, rank, hole);
        attach_others(s, rank);
        if (stint_restore(s, &step) < 0) {
                fprintf(stderr, "known_arrays: %s\n", stint_why(s));
                return 1;
        }
        stint_step(s, ++step);
        stint_complete(s);
        stint_close(s);
        free_attached();
        return 0;
}

int main(int argc, char **argv)
{
        const int hole = argc > 1 && strcmp(argv[1], "--hole") == 0;
        struct together *together =
                mmap(NULL, sizeof *together, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pthread_barrierattr_t shared;
        int rank, status, failed = 0;

        if (together == MAP_FAILED)
                return 1;
        pthread_barrierattr_init(&shared);
        pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
        pthread_barrier_init(&together->all, &shared, RANKS);
        for (rank = 0; rank < RANKS; rank++) {
                const pid_t pid = fork();

                if (pid < 0)
                        return 1; /* those that were started wait for the others until `stint run` ends them */
                if (pid == 0)
                        exit(train(rank, hole, together));
        }
        for (rank = 0; rank < RANKS; rank++)
                failed |= wait(&status) < 0 || status != 0;
        return failed;
}
