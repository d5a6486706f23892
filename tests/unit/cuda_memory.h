/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cuda_memory: what the tests of the CUDA plugin share: the stand-in's devices, memory on them, and a copy there and
 * back. Every test program has a copy of its own.
 */
#ifndef STINT_CUDA_MEMORY_H
#define STINT_CUDA_MEMORY_H

#include <check.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "plugin.h"
#include "standin.h"

#define MIB ((size_t)1 << 20)

static struct stint_error err;

static inline void use(const char *settings)
{
        char all[300];

        snprintf(all, sizeof all, "devices=3,memory=268435456,%s", settings);
        setenv("CUDA_STANDIN", all, 1);
        standin_again();
}

static inline void setup(void)
{
        char path[4096];

        snprintf(path, sizeof path, "%s/tests/standin/.libs", getenv("TEST_BUILD"));
        setenv("STINT_DEVICE_PATH", path, 1);
        use("");
}

static inline void teardown(void)
{
        use("");
        cudaGetLastError();
}

static inline void *on_device(int device, size_t bytes)
{
        void *p;

        ck_assert_int_eq(cudaSetDevice(device), cudaSuccess);
        ck_assert_int_eq(cudaMalloc(&p, bytes), cudaSuccess);
        return p;
}

static inline char *on_host(size_t bytes)
{
        char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        ck_assert_ptr_ne(p, MAP_FAILED);
        return p;
}

static inline void fill(char *p, size_t bytes, unsigned int seed)
{
        size_t i;

        for (i = 0; i < bytes; i++)
                p[i] = (char)((i * 2654435761u + seed) >> 13);
}

static inline const struct device *of(const void *p, size_t bytes, int *index)
{
        const struct device *device = device_of(STINT_DEVICE_AUTO, p, bytes, index, &err);

        ck_assert_msg(device != NULL, "%s", err.text);
        return device;
}

static inline const struct device *cuda_of(const void *p, size_t bytes)
{
        int index;
        const struct device *device = of(p, bytes, &index);

        ck_assert_int_eq(device->kind, STINT_DEVICE_CUDA);
        return device;
}

/* There and back, each through `staging`; what comes back must be what went there. */
static inline void there_and_back(void *device_memory, char *staging, size_t bytes)
{
        const struct device *cuda = cuda_of(device_memory, bytes);
        char *was = malloc(bytes);

        fill(staging, bytes, 1);
        memcpy(was, staging, bytes);
        ck_assert_int_eq(cuda->copy_in(device_memory, staging, bytes, "model/w", &err), 0);
        ck_assert_msg(device_sync_all(&err) == 0, "%s", err.text);
        memset(staging, 0, bytes);
        ck_assert_int_eq(cuda->copy_out(staging, device_memory, bytes, "model/w", &err), 0);
        ck_assert_msg(device_sync_all(&err) == 0, "%s", err.text);
        ck_assert(memcmp(staging, was, bytes) == 0);
        free(was);
}

#endif
