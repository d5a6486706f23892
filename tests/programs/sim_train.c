/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_train: a training whose model and momentum live on the simulated device, for tests/flow/simdevice.sh and the
 * stories on a real Slurm.  The host has the random number and a copy that every step works on, as with a device whose
 * memory cannot be touched.
 *
 *   sim_train STEPS STEP_MS [DEVICE]      prints "starts at step N", one line per safe point that failed, and the hash
 *
 * With SIM_TRAIN_TIMES=FILE it appends a line per step, "STEP MICROSECONDS": from the end of the safe point before to the
 * end of its own, which is what a user would call a step.  The one that stops it is not in it.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <stint.h>

#define VALUES 10000

struct training {
        uint64_t rng;
        float *model, *momentum; /* on the device */
        float values[VALUES], speeds[VALUES];
};

static float draw(uint64_t *rng)
{
        *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (float)(*rng >> 40) / 16777216.0f - 0.5f;
}

static int fetch(struct training *t)
{
        return stint_sim_read(t->values, t->model, sizeof t->values) || stint_sim_read(t->speeds, t->momentum, sizeof t->speeds);
}

static int put(const struct training *t)
{
        return stint_sim_write(t->model, t->values, sizeof t->values) || stint_sim_write(t->momentum, t->speeds, sizeof t->speeds);
}

static int begin(struct training *t, int device)
{
        t->rng = 42;
        t->model = stint_sim_alloc(device, sizeof t->values);
        t->momentum = stint_sim_alloc(device, sizeof t->speeds);
        for (int i = 0; i < VALUES; i++)
                t->values[i] = draw(&t->rng);
        return t->model && t->momentum ? put(t) : -1;
}

static int train(struct training *t)
{
        if (fetch(t))
                return -1;
        for (int i = 0; i < VALUES; i++) {
                t->speeds[i] = 0.9f * t->speeds[i] - 0.01f * t->values[i] + 0.1f * draw(&t->rng);
                t->values[i] += t->speeds[i];
        }
        return put(t);
}

static uint64_t hash(const struct training *t)
{
        const unsigned char *bytes = (const unsigned char *)t->values;
        uint64_t h = UINT64_C(1469598103934665603) ^ t->rng;

        for (size_t i = 0; i < sizeof t->values; i++)
                h = (h ^ bytes[i]) * UINT64_C(1099511628211);
        bytes = (const unsigned char *)t->speeds;
        for (size_t i = 0; i < sizeof t->speeds; i++)
                h = (h ^ bytes[i]) * UINT64_C(1099511628211);
        return h;
}

static int64_t now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Written line by line, for this program may be killed; the time that takes is in no step. */
static FILE *open_times(void)
{
        const char *path = getenv("SIM_TRAIN_TIMES");
        FILE *times = path && *path ? fopen(path, "ae") : NULL;

        if (path && *path && !times)
                perror(path);
        if (times)
                setvbuf(times, NULL, _IOLBF, 0);
        return times;
}

static int loop(struct training *t, struct stint *stint, int64_t steps, long step_ms)
{
        FILE *times = open_times();
        int64_t step = 0, began_us;
        int go;

        if (stint_restore(stint, &step) < 0) {
                fprintf(stderr, "sim_train: %s\n", stint_why(stint));
                return 1;
        }
        printf("starts at step %" PRId64 "\n", step);
        while (step < steps) {
                began_us = now_us();
                if (train(t)) {
                        perror("sim_train: the device");
                        return 1;
                }
                usleep((useconds_t)step_ms * 1000);
                go = stint_step(stint, ++step);
                if (go == STINT_STOP)
                        return 0;
                if (go < 0)
                        printf("step %" PRId64 ": %s\n", step, stint_why(stint));
                if (times)
                        fprintf(times, "%" PRId64 " %" PRId64 "\n", step, now_us() - began_us);
        }
        if (fetch(t))
                return 1;
        if (stint_complete(stint) < 0)
                printf("not complete: %s\n", stint_why(stint));
        printf("steps %" PRId64 " hash %016" PRIx64 "\n", step, hash(t));
        return 0;
}

int main(int argc, char **argv)
{
        static struct training t;
        struct stint *stint;
        int rc;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc < 3 || begin(&t, argc > 3 ? atoi(argv[3]) : 0)) {
                fprintf(stderr, "sim_train: no memory on the simulated device, or usage: sim_train STEPS STEP_MS [DEVICE]\n");
                return 2;
        }
        stint = stint_open(NULL, NULL);
        stint_attach(stint, "model/values", STINT_ARRAY(t.model, STINT_F32, VALUES));
        stint_attach(stint, "optimizer/speeds", STINT_ARRAY(t.momentum, STINT_F32, VALUES));
        stint_attach(stint, "rng", STINT_SCALAR(&t.rng, STINT_U64));
        rc = loop(&t, stint, atoll(argv[1]), atol(argv[2]));
        stint_close(stint);
        stint_sim_free(t.model);
        stint_sim_free(t.momentum);
        return rc;
}
