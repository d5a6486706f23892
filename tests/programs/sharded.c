/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sharded: a training whose arrays are divided among its ranks, for the flow tests: rows of a matrix, columns of
 * another, blocks of an array of three dimensions, and a vector that every rank has whole.  What an element is after so many
 * steps follows from its place in the whole array alone, so every rank can check what it was given, whoever had saved
 * it.  Built with MPI (mpi_sharded), and without for a single rank (sharded), which attaches its arrays as they are.
 *
 * Prints "rank R of N starts at step S, saved by K", and at the end "steps S sum H", H over all elements of all arrays.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stint.h"
#ifdef SHARDED_MPI
#include <mpi.h>
#include "stint_mpi.h"
#endif

#define BATCH 12 /* samples that all ranks together take in a step */
#define VECTOR 300

struct settings {
        int64_t steps, leave_at; /* saves there and goes; -1: never */
        int64_t rows;            /* of the matrix that is in rows: how large all of it is */
        long step_us;
        int hole;       /* rank 1 says that it has one row less than it should */
        int differs;    /* what is in no pieces is not the same on all ranks */
        int turned;     /* the rows are divided by columns as well */
        int late;       /* the columns are attached after stint_restore */
        int replicated; /* the vector is said to be the same on all ranks */
        int late_vector;
};

/* This rank's piece of an array. */
struct part {
        const char *name;
        int ndim;
        int64_t whole[3], offset[3], shape[3];
        double *values;
        int64_t n;
};

struct state {
        int rank, ranks;
        int64_t step;
        struct part rows, columns, blocks, vector;
        uint64_t rng;
        int64_t position; /* samples of its own share that this rank has taken */
        int64_t mine;
};

/* ---- which piece ------------------------------------------------------------------------------------------------- */

/* Rank `at` of so many has these of n, as even as can be. */
static void divide(int64_t n, int at, int parts, int64_t *offset, int64_t *shape)
{
        *offset = n * at / parts;
        *shape = n * (at + 1) / parts - *offset;
}

static struct part make_part(const char *name, int ndim, const int64_t *whole)
{
        struct part p = { .name = name, .ndim = ndim };

        memcpy(p.whole, whole, (size_t)ndim * sizeof *whole);
        memcpy(p.shape, whole, (size_t)ndim * sizeof *whole);
        return p;
}

static void allocate(struct part *p)
{
        int d;

        p->n = 1;
        for (d = 0; d < p->ndim; d++)
                p->n *= p->shape[d];
        p->values = calloc((size_t)p->n + 1, sizeof *p->values);
}

static void make_parts(struct state *s, const struct settings *set)
{
        const int64_t rows[] = { set->rows, 24 }, columns[] = { 18, 241 }, blocks[] = { 12, 30, 14 };
        const int64_t vector[] = { VECTOR };
        const int cut = set->turned;
        int down = 1;

        while ((down + 1) * (down + 1) <= s->ranks)
                down++;
        while (s->ranks % down)
                down--;
        s->rows = make_part("model/rows", 2, rows);
        divide(rows[cut], s->rank, s->ranks, &s->rows.offset[cut], &s->rows.shape[cut]);
        s->columns = make_part("model/columns", 2, columns);
        divide(columns[1], s->rank, s->ranks, &s->columns.offset[1], &s->columns.shape[1]);
        s->blocks = make_part("optimizer/blocks", 3, blocks);
        divide(blocks[0], s->rank % down, down, &s->blocks.offset[0], &s->blocks.shape[0]);
        divide(blocks[1], s->rank / down, s->ranks / down, &s->blocks.offset[1], &s->blocks.shape[1]);
        s->vector = make_part("model/vector", 1, vector);
        allocate(&s->rows);
        allocate(&s->columns);
        allocate(&s->blocks);
        allocate(&s->vector);
}

/* ---- what its elements are --------------------------------------------------------------------------------------- */

/* The place in the whole array of this piece's i-th element. */
static int64_t place(const struct part *p, int64_t i)
{
        int64_t at = 0, stride = 1;
        int d;

        for (d = p->ndim; d-- > 0;) {
                at += (p->offset[d] + i % p->shape[d]) * stride;
                i /= p->shape[d];
                stride *= p->whole[d];
        }
        return at;
}

static double growth(int64_t at, int64_t step)
{
        return (double)(at % 97 + 1) * (double)step;
}

static double expected(int64_t at, int64_t step)
{
        return (double)at + (double)(at % 97 + 1) * (double)(step * (step + 1) / 2);
}

static void begin_part(struct part *p)
{
        int64_t i;

        for (i = 0; i < p->n; i++)
                p->values[i] = expected(place(p, i), 0);
}

static void train_part(struct part *p, int64_t step)
{
        int64_t i;

        for (i = 0; i < p->n; i++)
                p->values[i] += growth(place(p, i), step);
}

static void fail(int code)
{
        fflush(stdout);
#ifdef SHARDED_MPI
        MPI_Abort(MPI_COMM_WORLD, code);
#endif
        exit(code);
}

static void check_part(const struct part *p, const struct state *s)
{
        int64_t i;

        for (i = 0; i < p->n; i++) {
                if (p->values[i] == expected(place(p, i), s->step))
                        continue;
                fprintf(stderr, "sharded: rank %d of %d: element %" PRId64 " of %s is %g at step %" PRId64 ", not %g\n",
                        s->rank, s->ranks, place(p, i), p->name, p->values[i], s->step,
                        expected(place(p, i), s->step));
                fail(5);
        }
}

static uint64_t mix(uint64_t z)
{
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* The same for a whole array, in whatever pieces it is summed up. */
static uint64_t sum_part(const struct part *p, uint64_t which)
{
        uint64_t sum = 0;
        int64_t i;

        for (i = 0; i < p->n; i++)
                sum += mix(mix(which + (uint64_t)place(p, i)) ^ (uint64_t)(int64_t)p->values[i]);
        return sum;
}

/* ---- with stint -------------------------------------------------------------------------------------------------- */

static void attach_part(struct stint *stint, const struct state *s, const struct part *p, int missing_rows)
{
        struct stint_tensor t = { .data = p->values, .dtype = STINT_F64, .ndim = p->ndim };

        memcpy(t.shape, p->shape, (size_t)p->ndim * sizeof t.shape[0]);
        if (s->ranks > 1) {
                memcpy(t.global_shape, p->whole, (size_t)p->ndim * sizeof t.shape[0]);
                memcpy(t.global_offset, p->offset, (size_t)p->ndim * sizeof t.shape[0]);
        }
        t.shape[0] -= missing_rows;
        stint_attach(stint, p->name, &t);
}

static void attach_vector(struct stint *stint, const struct state *s, const struct settings *set)
{
        struct stint_tensor t = { .data = s->vector.values, .dtype = STINT_F64, .ndim = 1, .shape = { VECTOR } };

        t.role = STINT_ROLE_MODEL | (set->replicated ? STINT_REPLICATED : 0);
        stint_attach(stint, s->vector.name, &t);
}

static void attach(struct stint *stint, struct state *s, const struct settings *set)
{
        attach_part(stint, s, &s->rows, set->hole && s->rank == 1);
        if (!set->late)
                attach_part(stint, s, &s->columns, 0);
        attach_part(stint, s, &s->blocks, 0);
        if (!set->late_vector)
                attach_vector(stint, s, set);
        if (set->differs)
                stint_attach(stint, "model/mine", STINT_SCALAR(&s->mine, STINT_I64));
        stint_attach(stint, "rng", STINT_SCALAR(&s->rng, STINT_U64));
        stint_attach(stint, "data/position", STINT_SCALAR(&s->position, STINT_I64));
}

/* A share of the data belongs to a number of ranks: with another one it is divided anew. */
static void restore(struct stint *stint, struct state *s, const struct settings *set)
{
        const int rc = stint_restore(stint, &s->step);

        if (rc < 0) {
                fprintf(stderr, "sharded: rank %d: %s\n", s->rank, stint_why(stint));
                fail(4);
        }
        if (set->late)
                attach_part(stint, s, &s->columns, 0);
        if (set->late_vector)
                attach_vector(stint, s, set);
        if (rc == STINT_RESTORED && stint_saved_ranks(stint) != s->ranks)
                s->position = s->step * BATCH / s->ranks;
        printf("rank %d of %d starts at step %" PRId64 ", saved by %d\n", s->rank, s->ranks, s->step,
               stint_saved_ranks(stint));
        printf("rank %d position %" PRId64 " rng %016" PRIx64 "\n", s->rank, s->position, s->rng);
        fflush(stdout);
        check_part(&s->rows, s);
        check_part(&s->columns, s);
        check_part(&s->blocks, s);
        check_part(&s->vector, s);
}

static void train(struct state *s)
{
        s->step++;
        train_part(&s->rows, s->step);
        train_part(&s->columns, s->step);
        train_part(&s->blocks, s->step);
        train_part(&s->vector, s->step);
        s->rng = mix(s->rng + 1);
        s->position += BATCH / s->ranks;
}

static void finish(struct stint *stint, const struct state *s)
{
        uint64_t sum = sum_part(&s->rows, 1000000) + sum_part(&s->columns, 2000000) + sum_part(&s->blocks, 3000000);

        if (stint_complete(stint) < 0)
                fprintf(stderr, "sharded: rank %d: %s\n", s->rank, stint_why(stint));
        check_part(&s->vector, s);
#ifdef SHARDED_MPI
        MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
#endif
        if (s->rank == 0)
                printf("steps %" PRId64 " sum %016" PRIx64 "\n", s->step, sum + sum_part(&s->vector, 4000000));
        fflush(stdout);
}

static void run(struct stint *stint, struct state *s, const struct settings *set)
{
        const struct timespec pause = { set->step_us / 1000000, set->step_us % 1000000 * 1000 };
        int go = STINT_CONTINUE;

        while (s->step < set->steps && go != STINT_STOP) {
                train(s);
                nanosleep(&pause, NULL);
                go = s->step == set->leave_at ? stint_save(stint, s->step) : stint_step(stint, s->step);
                if (go < 0)
                        fprintf(stderr, "sharded: rank %d: %s\n", s->rank, stint_why(stint));
                if (s->step == set->leave_at)
                        return;
        }
        if (s->step >= set->steps)
                finish(stint, s);
}

static void parse(struct settings *set, int argc, char **argv)
{
        int i;

        *set = (struct settings){ .steps = 40, .rows = 137, .step_us = 2000, .leave_at = -1 };
        for (i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : "0";

                if (!strcmp(argv[i], "--hole"))
                        set->hole = 1;
                else if (!strcmp(argv[i], "--differs"))
                        set->differs = 1;
                else if (!strcmp(argv[i], "--turned"))
                        set->turned = 1;
                else if (!strcmp(argv[i], "--replicated"))
                        set->replicated = 1;
                else if (!strcmp(argv[i], "--late-vector"))
                        set->late_vector = 1;
                else if (!strcmp(argv[i], "--late"))
                        set->late = 1;
                else if (!strcmp(argv[i], "--steps"))
                        set->steps = atoll(value), i++;
                else if (!strcmp(argv[i], "--rows"))
                        set->rows = atoll(value), i++;
                else if (!strcmp(argv[i], "--leave-at"))
                        set->leave_at = atoll(value), i++;
                else if (!strcmp(argv[i], "--step-us"))
                        set->step_us = atol(value), i++;
                else {
                        fprintf(stderr, "sharded: unknown option %s\n", argv[i]);
                        fail(2);
                }
        }
}

int main(int argc, char **argv)
{
        struct stint_options options = STINT_OPTIONS;
        struct state s = { .ranks = 1 };
        struct stint_error err;
        struct settings set;
        struct stint *stint;
#ifdef SHARDED_MPI
        struct stint_mpi mpi;

        MPI_Init(&argc, &argv);
        MPI_Comm_rank(MPI_COMM_WORLD, &s.rank);
        MPI_Comm_size(MPI_COMM_WORLD, &s.ranks);
        stint_mpi_options(&options, &mpi, MPI_COMM_WORLD);
#endif
        parse(&set, argc, argv);
        make_parts(&s, &set);
        begin_part(&s.rows);
        begin_part(&s.columns);
        begin_part(&s.blocks);
        begin_part(&s.vector);
        s.rng = mix((uint64_t)s.rank + 1);
        s.mine = s.rank;

        stint = stint_open(&options, &err);
        if (!stint) {
                fprintf(stderr, "sharded: %s\n", err.text);
                fail(3);
        }
        attach(stint, &s, &set);
        restore(stint, &s, &set);
        run(stint, &s, &set);
        stint_close(stint);
        free(s.rows.values);
        free(s.columns.values);
        free(s.blocks.values);
        free(s.vector.values);
#ifdef SHARDED_MPI
        stint_mpi_free(&mpi);
        MPI_Finalize();
#endif
        return 0;
}
