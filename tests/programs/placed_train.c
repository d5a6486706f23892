/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * placed_train: a training that asks where its state is to be before it allocates it, for tests/flow/placement.sh: on
 * the host or on the simulated device, with the same bits.
 *
 *   placed_train STEPS STEP_MS              prints "model on …", "starts at step N", and at last the model's hash
 *   placed_train --model RUN newest|best    prints the step and the hash of the model of a run's checkpoint
 *
 * Its metric is best at step 30, and is reported at every tenth.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stint.h>

#define VALUES 10000

/* An array of floats wherever it is. */
struct array {
        struct stint_place place;
        float *data;
};

struct training {
        uint64_t rng;
        int64_t steps_done; /* the counter that an optimizer keeps */
        struct array model, momentum;
        float values[VALUES], speeds[VALUES];
};

static struct stint_tensor tensor_of(const struct array *a)
{
        return (struct stint_tensor){ .data = a->data, .dtype = STINT_F32, .ndim = 1, .shape = { VALUES } };
}

/* Asks, allocates, attaches. */
static int make(struct stint *stint, const char *name, const char *parameter, struct array *a)
{
        struct stint_tensor t = tensor_of(a);

        if (stint_place(stint, name, &t, parameter, &a->place) < 0) {
                fprintf(stderr, "placed_train: %s\n", stint_why(stint));
                return -1;
        }
        a->data = a->place.device == STINT_DEVICE_SIM ? stint_sim_alloc(a->place.index, VALUES * sizeof *a->data)
                                                      : calloc(VALUES, sizeof *a->data);
        if (!a->data)
                return -1;
        t = tensor_of(a);
        return stint_attach(stint, name, &t);
}

static void forget(struct array *a)
{
        if (a->place.device == STINT_DEVICE_SIM)
                stint_sim_free(a->data);
        else
                free(a->data);
}

static int fetch(float *to, const struct array *from)
{
        if (from->place.device == STINT_DEVICE_SIM)
                return stint_sim_read(to, from->data, VALUES * sizeof *to);
        memcpy(to, from->data, VALUES * sizeof *to);
        return 0;
}

static int put(const struct array *to, const float *from)
{
        if (to->place.device == STINT_DEVICE_SIM)
                return stint_sim_write(to->data, from, VALUES * sizeof *from);
        memcpy(to->data, from, VALUES * sizeof *from);
        return 0;
}

static float draw(uint64_t *rng)
{
        *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (float)(*rng >> 40) / 16777216.0f - 0.5f;
}

static int train(struct training *t)
{
        int i;

        if (fetch(t->values, &t->model) || fetch(t->speeds, &t->momentum))
                return -1;
        for (i = 0; i < VALUES; i++) {
                t->speeds[i] = 0.9f * t->speeds[i] - 0.01f * t->values[i] + 0.1f * draw(&t->rng);
                t->values[i] += t->speeds[i];
        }
        t->steps_done++;
        return put(&t->model, t->values) || put(&t->momentum, t->speeds) ? -1 : 0;
}

static void say_hash(struct training *t, int64_t step)
{
        const unsigned char *bytes = (const unsigned char *)t->values;
        uint64_t h = UINT64_C(1469598103934665603);
        size_t i;

        if (fetch(t->values, &t->model))
                return;
        for (i = 0; i < sizeof t->values; i++)
                h = (h ^ bytes[i]) * UINT64_C(1099511628211);
        printf("step %" PRId64 " hash %016" PRIx64 "\n", step, h);
}

static int loop(struct training *t, struct stint *stint, int64_t steps, long step_ms)
{
        int64_t step = 0;

        if (stint_restore(stint, &step) < 0) {
                fprintf(stderr, "placed_train: %s\n", stint_why(stint));
                return 1;
        }
        printf("starts at step %" PRId64 "\n", step);
        while (step < steps) {
                if (train(t))
                        return 1;
                usleep((useconds_t)step_ms * 1000);
                if (++step % 10 == 0)
                        stint_metric(stint, "distance", (double)llabs((long long)step - 30), STINT_GOAL_MIN);
                if (stint_step(stint, step) == STINT_STOP)
                        return 0;
        }
        if (t->steps_done != step || stint_complete(stint) < 0)
                printf("not complete: %s\n", stint_why(stint));
        say_hash(t, step);
        return 0;
}

/* Everything in its place.  The first values are drawn as if they had always been there. */
static int begin(struct training *t, struct stint *stint)
{
        int i;

        t->rng = 42;
        if (make(stint, "model/values", NULL, &t->model) < 0 ||
            make(stint, "optimizer/values/momentum", "model/values", &t->momentum) < 0 ||
            stint_attach(stint, "optimizer/step", STINT_SCALAR(&t->steps_done, STINT_I64)) < 0 ||
            stint_attach(stint, "rng", STINT_SCALAR(&t->rng, STINT_U64)) < 0)
                return -1;
        for (i = 0; i < VALUES; i++)
                t->values[i] = draw(&t->rng);
        if (t->model.place.device == STINT_DEVICE_HOST)
                printf("model on the host\n");
        else
                printf("model on device %d\n", t->model.place.index);
        return put(&t->model, t->values) || put(&t->momentum, t->speeds) ? -1 : 0;
}

static int evaluate(struct training *t, struct stint *stint, const char *run, const char *which)
{
        const enum stint_which meant = strcmp(which, "best") ? STINT_NEWEST : STINT_BEST;
        int64_t step = -1;

        if (make(stint, "model/values", NULL, &t->model) < 0)
                return 1;
        if (stint_restore_model(stint, run, meant, &step) != STINT_RESTORED) {
                fprintf(stderr, "placed_train: %s\n", stint_why(stint));
                return 1;
        }
        say_hash(t, step);
        return 0;
}

int main(int argc, char **argv)
{
        static struct training t;
        struct stint_error why;
        struct stint *stint;
        int rc;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc < 3) {
                fprintf(stderr, "usage: placed_train STEPS STEP_MS | --model RUN newest|best\n");
                return 2;
        }
        stint = stint_open(NULL, &why);
        if (!stint) {
                fprintf(stderr, "placed_train: %s\n", why.text);
                return 2;
        }
        if (!strcmp(argv[1], "--model"))
                rc = evaluate(&t, stint, argv[2], argc > 3 ? argv[3] : "newest");
        else
                rc = begin(&t, stint) < 0 ? 1 : loop(&t, stint, atoll(argv[1]), atol(argv[2]));
        stint_close(stint);
        forget(&t.model);
        forget(&t.momentum);
        return rc;
}
