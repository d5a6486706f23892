/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpi_train: a training on several MPI ranks for the flow tests.  Every rank walks a state of its own, coupled to the
 * others once a step by a sum (--coupled), so that a rank restored to another step than its neighbours ends with other
 * numbers.  Prints one line per rank at the end: "rank R steps S hash H".
 */
#include <inttypes.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stint.h"
#include "stint_mpi.h"

struct settings {
        int64_t steps;
        long step_us;
        size_t values;
        int coupled;       /* sum over all ranks in every step */
        int early_rank;    /* this rank does early_steps fewer steps; -1: none */
        int64_t early_steps;
        int poll_rank;     /* this rank polls 100 times a step; -1: none */
        int metric;        /* report a metric every 10 steps */
        int no_agree;      /* hand over no way to agree, which stint must refuse */
        const char *tell;  /* a folder in which every rank keeps the minutes it has left, rounded, in a file rank-R; or NULL */
};

struct state {
        int64_t step;
        uint64_t rng;      /* an RNG in one integer */
        double *values;
        double *momentum;  /* allocated at the first step */
};

static uint64_t next_random(uint64_t *state)
{
        uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static void parse(struct settings *set, int argc, char **argv)
{
        int i;

        *set = (struct settings){ .steps = 100, .step_us = 1000, .values = 4096, .early_rank = -1, .poll_rank = -1 };
        for (i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : "0";

                if (!strcmp(argv[i], "--coupled"))
                        set->coupled = 1;
                else if (!strcmp(argv[i], "--metric"))
                        set->metric = 1;
                else if (!strcmp(argv[i], "--no-agree"))
                        set->no_agree = 1;
                else if (!strcmp(argv[i], "--steps"))
                        set->steps = atoll(value), i++;
                else if (!strcmp(argv[i], "--step-us"))
                        set->step_us = atol(value), i++;
                else if (!strcmp(argv[i], "--values"))
                        set->values = (size_t)atoll(value), i++;
                else if (!strcmp(argv[i], "--early-rank"))
                        set->early_rank = atoi(value), i++;
                else if (!strcmp(argv[i], "--early-steps"))
                        set->early_steps = atoll(value), i++;
                else if (!strcmp(argv[i], "--poll-rank"))
                        set->poll_rank = atoi(value), i++;
                else if (!strcmp(argv[i], "--tell-time"))
                        set->tell = value, i++;
                else {
                        fprintf(stderr, "mpi_train: unknown option %s\n", argv[i]);
                        MPI_Abort(MPI_COMM_WORLD, 2);
                }
        }
}

static void train(const struct settings *set, struct state *s, struct stint *stint)
{
        struct timespec pause = { set->step_us / 1000000, set->step_us % 1000000 * 1000 };
        double mine = 0, all = 0;
        size_t i;

        if (!s->momentum) {
                s->momentum = calloc(set->values, sizeof *s->momentum);
                stint_attach(stint, "optimizer/momentum", STINT_ARRAY(s->momentum, STINT_F64, set->values));
        }
        for (i = 0; i < set->values; i++)
                mine += s->values[i];
        if (set->coupled)
                MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        else
                all = mine;
        for (i = 0; i < set->values; i++) {
                double noise = (double)(next_random(&s->rng) >> 11) / 9007199254740992.0 - 0.5;

                s->momentum[i] = 0.9 * s->momentum[i] + noise - 1e-6 * all;
                s->values[i] += 0.01 * s->momentum[i];
        }
        nanosleep(&pause, NULL);
}

static void tell_time(const struct settings *set, int rank, struct stint *stint)
{
        static long told = -1;
        double left = stint_time_left(stint);
        long minutes = left > 1e6 ? -1 : (long)(left / 60 + 0.5);
        char path[4096];
        FILE *f;

        if (!set->tell || minutes == told || snprintf(path, sizeof path, "%s/rank-%d", set->tell, rank) >= (int)sizeof path)
                return;
        f = fopen(path, "w");
        if (!f || fprintf(f, "%ld\n", minutes) < 0 || fclose(f))
                fprintf(stderr, "mpi_train: rank %d: %s cannot be written\n", rank, path);
        told = minutes;
}

static uint64_t hash(const struct settings *set, const struct state *s)
{
        const unsigned char *bytes[2] = { (const void *)s->values, (const void *)s->momentum };
        uint64_t h = UINT64_C(1469598103934665603) ^ s->rng;
        size_t k, i;

        for (k = 0; k < 2; k++)
                for (i = 0; bytes[k] && i < set->values * sizeof(double); i++)
                        h = (h ^ bytes[k][i]) * UINT64_C(1099511628211);
        return h;
}

int main(int argc, char **argv)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint_error err;
        struct stint_mpi mpi;
        struct settings set;
        struct state s = { 0 };
        struct stint *stint;
        int rank, go = STINT_CONTINUE, i;
        size_t v;

        MPI_Init(&argc, &argv);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        parse(&set, argc, argv);
        if (rank == set.early_rank)
                set.steps -= set.early_steps;

        s.rng = (uint64_t)rank + 1;
        s.values = calloc(set.values, sizeof *s.values);
        for (v = 0; v < set.values; v++)
                s.values[v] = (double)(v + (size_t)rank);

        stint_mpi_options(&options, &mpi, MPI_COMM_WORLD);
        if (set.no_agree)
                options.agree = NULL;
        stint = stint_open(&options, &err);
        if (!stint) {
                fprintf(stderr, "mpi_train: %s\n", err.text);
                MPI_Abort(MPI_COMM_WORLD, 3);
        }
        stint_attach(stint, "model/values", STINT_ARRAY(s.values, STINT_F64, set.values));
        stint_attach(stint, "rng", STINT_SCALAR(&s.rng, STINT_U64));
        if (stint_restore(stint, &s.step) < 0) {
                fprintf(stderr, "mpi_train: rank %d: %s\n", rank, stint_why(stint));
                MPI_Abort(MPI_COMM_WORLD, 4);
        }
        printf("rank %d starts at step %" PRId64 "\n", rank, s.step);
        fflush(stdout);

        while (s.step < set.steps) {
                train(&set, &s, stint);
                s.step++;
                for (i = 0; rank == set.poll_rank && i < 100; i++)
                        stint_poll(stint);
                if (set.metric && s.step % 10 == 0)
                        stint_metric(stint, "loss", 1.0 / (double)s.step, STINT_GOAL_MIN);
                go = stint_step(stint, s.step);
                tell_time(&set, rank, stint);
                if (go < 0)
                        fprintf(stderr, "mpi_train: rank %d: %s\n", rank, stint_why(stint));
                if (go == STINT_STOP)
                        break;
        }
        if (s.step >= set.steps && stint_complete(stint) < 0)
                fprintf(stderr, "mpi_train: rank %d: %s\n", rank, stint_why(stint));
        if (s.step >= set.steps)
                printf("rank %d steps %" PRId64 " hash %016" PRIx64 "\n", rank, s.step, hash(&set, &s));
        fflush(stdout);
        stint_close(stint);
        stint_mpi_free(&mpi);
        free(s.values);
        free(s.momentum);
        MPI_Finalize();
        return 0;
}
