/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cuda_train: a training whose model lies in the memory of a CUDA device and whose momentum is managed memory, for
 * tests/flow/cudadevice.sh, where a stand-in is the CUDA runtime, and for dev/gpu-test, where it is CUDA's own.  It has
 * no kernels, so that a C compiler builds it: each step is computed on copies that the host makes.
 *
 *   cuda_train STEPS STEP_MS [DEVICE [VALUES]]   prints "starts at step N on cuda:D", one line per safe point that
 * failed, the hash, and at the end what is wrong with the process's CUDA, if anything
 */
#include <cuda_runtime_api.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stint.h>

struct training {
        uint64_t rng;
        size_t values;
        int device;
        float *model;    /* on the device */
        float *momentum; /* managed; reached by copies alone all the same */
        float *weight, *speed;
};

/* Of the stand-in, where it is one: how many ranges of the host's memory are pinned. */
extern unsigned long standin_registered(void) __attribute__((weak));

static float draw(uint64_t *rng)
{
        *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (float)(*rng >> 40) / 16777216.0f - 0.5f;
}

static int check(cudaError_t code, const char *what)
{
        if (code != cudaSuccess)
                fprintf(stderr, "cuda_train: %s: %s\n", what, cudaGetErrorString(code));
        return code != cudaSuccess;
}

static int fetch(struct training *t)
{
        const size_t bytes = t->values * sizeof(float);

        return check(cudaMemcpy(t->weight, t->model, bytes, cudaMemcpyDeviceToHost), "reading the model") ||
               check(cudaMemcpy(t->speed, t->momentum, bytes, cudaMemcpyDefault), "reading the momentum");
}

static int put(const struct training *t)
{
        const size_t bytes = t->values * sizeof(float);

        return check(cudaMemcpy(t->model, t->weight, bytes, cudaMemcpyHostToDevice), "writing the model") ||
               check(cudaMemcpy(t->momentum, t->speed, bytes, cudaMemcpyDefault), "writing the momentum");
}

static int begin(struct training *t)
{
        const size_t bytes = t->values * sizeof(float);

        t->rng = 42;
        t->weight = calloc(t->values, sizeof(float));
        t->speed = calloc(t->values, sizeof(float));
        if (!t->weight || !t->speed || check(cudaSetDevice(t->device), "choosing the device") ||
            check(cudaMalloc((void **)&t->model, bytes), "memory for the model") ||
            check(cudaMallocManaged((void **)&t->momentum, bytes, cudaMemAttachGlobal), "memory for the momentum"))
                return -1;
        for (size_t i = 0; i < t->values; i++)
                t->weight[i] = draw(&t->rng);
        return put(t);
}

static int train(struct training *t)
{
        if (fetch(t))
                return -1;
        for (size_t i = 0; i < t->values; i++) {
                t->speed[i] = 0.9f * t->speed[i] - 0.01f * t->weight[i] + 0.1f * draw(&t->rng);
                t->weight[i] += t->speed[i];
        }
        return put(t);
}

static uint64_t hash_on(uint64_t h, const void *data, size_t bytes)
{
        const unsigned char *p = data;

        for (size_t i = 0; i < bytes; i++)
                h = (h ^ p[i]) * UINT64_C(1099511628211);
        return h;
}

static uint64_t hash(const struct training *t)
{
        uint64_t h = hash_on(UINT64_C(1469598103934665603) ^ t->rng, t->weight, t->values * sizeof(float));

        return hash_on(h, t->speed, t->values * sizeof(float));
}

static int loop(struct training *t, struct stint *stint, int64_t steps, long step_ms)
{
        int64_t step = 0;
        int go;

        if (stint_restore(stint, &step) < 0) {
                fprintf(stderr, "cuda_train: %s\n", stint_why(stint));
                return 1;
        }
        printf("starts at step %" PRId64 " on cuda:%d\n", step, t->device);
        while (step < steps) {
                if (train(t))
                        return 1;
                usleep((useconds_t)step_ms * 1000);
                go = stint_step(stint, ++step);
                if (go == STINT_STOP)
                        return 0;
                if (go < 0)
                        printf("step %" PRId64 ": %s\n", step, stint_why(stint));
        }
        if (fetch(t))
                return 1;
        if (stint_complete(stint) < 0)
                printf("not complete: %s\n", stint_why(stint));
        printf("steps %" PRId64 " hash %016" PRIx64 "\n", step, hash(t));
        return 0;
}

/* Behind stint_close CUDA is as the program left it. */
static void look_around(const struct training *t)
{
        int device = -1;

        cudaGetDevice(&device);
        if (device != t->device)
                printf("the current device has become %d\n", device);
        if (cudaPeekAtLastError() != cudaSuccess)
                printf("an error was left behind: %s\n", cudaGetErrorString(cudaPeekAtLastError()));
        if (standin_registered && standin_registered())
                printf("%lu ranges of memory are still pinned\n", standin_registered());
}

int main(int argc, char **argv)
{
        struct training t = {.device = argc > 3 ? atoi(argv[3]) : 0,
                             .values = argc > 4 ? strtoul(argv[4], NULL, 10) : 10000};
        struct stint *stint;
        int rc;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc < 3 || t.values < 1 || begin(&t)) {
                fprintf(stderr, "usage: cuda_train STEPS STEP_MS [DEVICE [VALUES]]\n");
                return 2;
        }
        stint = stint_open(NULL, NULL);
        stint_attach(stint, "model/values", STINT_ARRAY(t.model, STINT_F32, t.values));
        stint_attach(stint, "optimizer/speeds", STINT_ARRAY(t.momentum, STINT_F32, t.values));
        stint_attach(stint, "rng", STINT_SCALAR(&t.rng, STINT_U64));
        rc = loop(&t, stint, atoll(argv[1]), atol(argv[2]));
        stint_close(stint);
        look_around(&t);
        cudaFree(t.model);
        cudaFree(t.momentum);
        free(t.weight);
        free(t.speed);
        return rc;
}
