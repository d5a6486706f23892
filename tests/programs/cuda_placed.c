/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cuda_placed: a training that asks stint where its state is to be and allocates it there, in the memory of a CUDA
 * device or of the host, for tests/flow/device-matrix.sh, where a stand-in is the CUDA runtime.  The device's bits and
 * the host's are the same.
 *
 *   cuda_placed STEPS STEP_MS   prints "sees UUID..." of the devices that CUDA shows it, "model on cuda:D" or "model on
 * the host" and likewise "momentum on ...", "starts at step N", and at last the hash of both
 */
#include <cuda_runtime_api.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stint.h>
#include <standin.h>

#define VALUES 2000
#define BYTES (VALUES * sizeof(float))

/* Floats, wherever they are. */
struct array {
        struct stint_place place;
        float *data;
};

struct training {
        uint64_t rng;
        struct array model, momentum;
        float weight[VALUES], speed[VALUES];
};

static int check(cudaError_t code, const char *what)
{
        if (code != cudaSuccess)
                fprintf(stderr, "cuda_placed: %s: %s\n", what, cudaGetErrorString(code));
        return code != cudaSuccess ? -1 : 0;
}

static int allocate(struct array *a)
{
        a->data = NULL;
        if (a->place.device != STINT_DEVICE_CUDA)
                return (a->data = calloc(1, BYTES)) ? 0 : -1;
        return check(cudaSetDevice(a->place.index), "choosing the device") ||
                               check(cudaMalloc((void **)&a->data, BYTES), "memory on it")
                       ? -1
                       : 0;
}

static void release(struct array *a)
{
        if (a->place.device == STINT_DEVICE_CUDA)
                cudaFree(a->data);
        else
                free(a->data);
}

static int copy(void *to, const void *from, const struct array *a)
{
        if (a->place.device == STINT_DEVICE_CUDA)
                return check(cudaMemcpy(to, from, BYTES, cudaMemcpyDefault), "a copy");
        memcpy(to, from, BYTES);
        return 0;
}

static int fetch(struct training *t)
{
        return copy(t->weight, t->model.data, &t->model) || copy(t->speed, t->momentum.data, &t->momentum) ? -1 : 0;
}

static int put(struct training *t)
{
        return copy(t->model.data, t->weight, &t->model) || copy(t->momentum.data, t->speed, &t->momentum) ? -1 : 0;
}

static float draw(uint64_t *rng)
{
        *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (float)(*rng >> 40) / 16777216.0f - 0.5f;
}

static int train(struct training *t)
{
        if (fetch(t) < 0)
                return -1;
        for (int i = 0; i < VALUES; i++) {
                t->speed[i] = 0.9f * t->speed[i] - 0.01f * t->weight[i] + 0.1f * draw(&t->rng);
                t->weight[i] += t->speed[i];
        }
        return put(t);
}

static uint64_t hash_on(uint64_t h, const float *values)
{
        const unsigned char *p = (const unsigned char *)values;

        for (size_t i = 0; i < BYTES; i++)
                h = (h ^ p[i]) * UINT64_C(1099511628211);
        return h;
}

/* Asks, allocates, attaches, and says where that is. */
static int make(struct stint *stint, const char *name, const char *parameter, struct array *a)
{
        struct stint_tensor t = {.dtype = STINT_F32, .ndim = 1, .shape = {VALUES}};

        if (stint_place(stint, name, &t, parameter, &a->place) < 0) {
                fprintf(stderr, "cuda_placed: %s\n", stint_why(stint));
                return -1;
        }
        if (allocate(a) < 0)
                return -1;
        if (a->place.device == STINT_DEVICE_CUDA)
                printf("%s on cuda:%d\n", strrchr(name, '/') + 1, a->place.index);
        else
                printf("%s on the host\n", strrchr(name, '/') + 1);
        t.data = a->data;
        return stint_attach(stint, name, &t);
}

static int begin(struct training *t, struct stint *stint)
{
        t->rng = 42;
        if (make(stint, "model/weights", NULL, &t->model) < 0 ||
            make(stint, "optimizer/weights/momentum", "model/weights", &t->momentum) < 0 ||
            stint_attach(stint, "rng", STINT_SCALAR(&t->rng, STINT_U64)) < 0)
                return -1;
        for (int i = 0; i < VALUES; i++)
                t->weight[i] = draw(&t->rng);
        return put(t);
}

static int loop(struct training *t, struct stint *stint, int64_t steps, long step_ms)
{
        int64_t step = 0;

        if (stint_restore(stint, &step) < 0) {
                fprintf(stderr, "cuda_placed: %s\n", stint_why(stint));
                return 1;
        }
        printf("starts at step %" PRId64 "\n", step);
        while (step < steps) {
                if (train(t) < 0)
                        return 1;
                usleep((useconds_t)step_ms * 1000);
                if (stint_step(stint, ++step) == STINT_STOP)
                        return 0;
        }
        if (fetch(t) < 0)
                return 1;
        if (stint_complete(stint) < 0)
                printf("not complete: %s\n", stint_why(stint));
        printf("steps %" PRId64 " hash %016" PRIx64 "\n", step,
               hash_on(hash_on(UINT64_C(1469598103934665603) ^ t->rng, t->weight), t->speed));
        return 0;
}

static void say_what_is_seen(void)
{
        int count = 0;

        if (cudaGetDeviceCount(&count) != cudaSuccess)
                count = 0;
        printf("sees");
        for (int i = 0; i < count; i++)
                printf(" %s", standin_uuid(i));
        printf("\n");
}

int main(int argc, char **argv)
{
        static struct training t;
        struct stint *stint;
        int rc;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc != 3) {
                fprintf(stderr, "usage: cuda_placed STEPS STEP_MS\n");
                return 2;
        }
        say_what_is_seen();
        stint = stint_open(NULL, NULL);
        rc = begin(&t, stint) < 0 ? 1 : loop(&t, stint, atoll(argv[1]), atol(argv[2]));
        stint_close(stint);
        release(&t.model);
        release(&t.momentum);
        return rc;
}
