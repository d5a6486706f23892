/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cuda_lm: the training of examples/train_lm.c, its source as it is, with weights and moments in the memory of a CUDA
 * device, for tests/flow/demo-devices.sh, where a stand-in is the CUDA runtime.  The linker puts this file between the
 * example and libstint (--wrap): what is attached gets its place from stint_place.  Each step is computed on the host:
 * what it made is written to the device before the safe point, and the next one begins with what the device has.
 *
 *   cuda_lm OPTION...   those of train_lm; prints "NAME on cuda:N, UUID" or "NAME on the host" for each tensor besides
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stint.h>
#include <standin.h>

#define MOST 128

/* Tensors on a device, and the example's arrays that stand for them while it computes. */
static struct twin {
        void *on_device, *on_host;
        size_t bytes;
} twins[MOST];
static int count;

int __real_stint_attach(struct stint *, const char *, const struct stint_tensor *);
int __real_stint_restore(struct stint *, int64_t *);
int __real_stint_step(struct stint *, int64_t);
void __real_stint_close(struct stint *);
int __wrap_stint_attach(struct stint *, const char *, const struct stint_tensor *);
int __wrap_stint_restore(struct stint *, int64_t *);
int __wrap_stint_step(struct stint *, int64_t);
void __wrap_stint_close(struct stint *);

static void check(cudaError_t code, const char *what)
{
        if (code == cudaSuccess)
                return;
        fprintf(stderr, "cuda_lm: %s: %s\n", what, cudaGetErrorString(code));
        exit(1);
}

/* The host's bytes are spoilt first, so that a tensor that did not come back is seen in the weights. */
static void fetch(const struct twin *t)
{
        memset(t->on_host, 0xff, t->bytes);
        check(cudaMemcpy(t->on_host, t->on_device, t->bytes, cudaMemcpyDeviceToHost), "reading a tensor");
}

static void put(const struct twin *t)
{
        check(cudaMemcpy(t->on_device, t->on_host, t->bytes, cudaMemcpyHostToDevice), "writing a tensor");
}

static size_t bytes_of(const struct stint_tensor *t)
{
        size_t bytes = sizeof(float); /* whatever is told to be on a device here is an array of these */

        for (int i = 0; i < t->ndim; i++)
                bytes *= (size_t)t->shape[i];
        return bytes;
}

/* Moments are named after their parameter: "optimizer/m/embedding" after "model/embedding".  NULL for all others. */
static const char *parameter_of(const char *name, char parameter[STINT_MAX_NAME + 1])
{
        if (strncmp(name, "optimizer/m/", 12) != 0 && strncmp(name, "optimizer/v/", 12) != 0)
                return NULL;
        snprintf(parameter, STINT_MAX_NAME + 1, "model/%s", name + 12);
        return parameter;
}

static struct twin *make_twin(const struct stint_tensor *tensor, int device)
{
        struct twin *t = &twins[count];

        if (count == MOST || tensor->dtype != STINT_F32) {
                fprintf(stderr, "cuda_lm: a tensor that is none of floats, or more than %d, are on a device\n", MOST);
                exit(1);
        }
        *t = (struct twin){NULL, tensor->data, bytes_of(tensor)};
        check(cudaSetDevice(device), "choosing the device");
        check(cudaMalloc(&t->on_device, t->bytes), "memory on it");
        count++;
        return t;
}

int __wrap_stint_attach(struct stint *s, const char *name, const struct stint_tensor *tensor)
{
        char parameter[STINT_MAX_NAME + 1];
        struct stint_tensor there = *tensor;
        struct stint_place place;
        struct twin *t;
        int rc;

        if (stint_place(s, name, tensor, parameter_of(name, parameter), &place) < 0)
                return -1;
        if (place.device != STINT_DEVICE_CUDA) {
                printf("%s on the host\n", name);
                return __real_stint_attach(s, name, tensor);
        }
        printf("%s on cuda:%d, %s\n", name, place.index, standin_uuid(place.index));
        t = make_twin(tensor, place.index);
        put(t);
        there.data = t->on_device;
        rc = __real_stint_attach(s, name, &there);
        if (rc >= 0)
                fetch(t);
        return rc;
}

int __wrap_stint_restore(struct stint *s, int64_t *step)
{
        const int rc = __real_stint_restore(s, step);

        for (int i = 0; rc >= 0 && i < count; i++)
                fetch(&twins[i]);
        return rc;
}

int __wrap_stint_step(struct stint *s, int64_t step)
{
        int rc;

        for (int i = 0; i < count; i++)
                put(&twins[i]);
        rc = __real_stint_step(s, step);
        for (int i = 0; i < count; i++)
                fetch(&twins[i]);
        return rc;
}

void __wrap_stint_close(struct stint *s)
{
        __real_stint_close(s);
        for (int i = 0; i < count; i++)
                cudaFree(twins[i].on_device);
        count = 0;
}
