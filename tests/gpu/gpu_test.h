/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu_test: what the two rooms of the test on a real GPU share: points, memory, and stopping where CUDA fails. */
#ifndef STINT_GPU_TEST_H
#define STINT_GPU_TEST_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include "device.h"

struct gpu_settings {
        size_t bytes; /* of each copy that is measured */
        int rounds;
        int gates;    /* 0: figures are shown, and decide nothing */
        double least; /* of the limit that a gate asks for */
};

/* Prints one point as TAP. */
void point(int passed, const char *format, ...) __attribute__((format(printf, 2, 3)));
void skipped(const char *why, const char *name);

/* Ends the program, which can go on with nothing, with what CUDA says. */
void must(cudaError_t code, const char *what);

/* Shared memory as staging has it, all of it present. */
char *staging_of(size_t bytes);

void *device_memory(int device, size_t bytes);

/* gpu_speed.c: prints its figures as comments, and a point for each gate. */
void measure(const struct gpu_settings *settings);

#endif
