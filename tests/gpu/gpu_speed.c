/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gpu_speed: how fast the plugin copies, beside one cudaMemcpyAsync of the same bytes from and to memory that CUDA
 * itself has pinned, which is the limit.  gpu_test calls in.  In each round everything is done once, each product next
 * to its limit; what a gate is held against is the median of the rounds' ratios.
 */
#include "gpu_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "clock.h"
#include "plugin.h"

#define MOST_ROUNDS 50

struct bench {
        size_t bytes;
        char *memory;  /* on the device */
        char *limit;   /* pinned by CUDA */
        char *staging; /* pinned by the plugin, or not */
        cudaStream_t stream;
};

enum way { OUT, IN };

static double limit(const struct bench *b, enum way way)
{
        int64_t began_ns = clock_now();

        must(cudaMemcpyAsync(way == OUT ? b->limit : b->memory, way == OUT ? b->memory : b->limit, b->bytes,
                             cudaMemcpyDefault, b->stream),
             "the limit's copy");
        must(cudaStreamSynchronize(b->stream), "the limit's end");
        return (double)(clock_now() - began_ns);
}

static double product(const struct bench *b, enum way way, size_t tensors)
{
        const struct device *cuda = plugin_loaded();
        size_t each = b->bytes / tensors, i;
        struct stint_error err = {0};
        int64_t began_ns = clock_now();

        for (i = 0; i < tensors; i++)
                if (way == OUT)
                        cuda->copy_out(b->staging + i * each, b->memory + i * each, each, "w", &err);
                else
                        cuda->copy_in(b->memory + i * each, b->staging + i * each, each, "w", &err);
        if (device_sync_all(&err) < 0) {
                printf("Bail out! %s\n", err.text);
                exit(1);
        }
        return (double)(clock_now() - began_ns);
}

static int ascending(const void *a, const void *b)
{
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static double median(double *values, int n)
{
        qsort(values, (size_t)n, sizeof *values, ascending);
        return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* One line, and where it is a gate a point. */
static void compare(const struct bench *b, const struct gpu_settings *settings, enum way way, size_t tensors,
                    const char *what, int is_gate)
{
        double ratios[MOST_ROUNDS], limits[MOST_ROUNDS], products[MOST_ROUNDS], ratio, speed;
        int i, n = settings->rounds < MOST_ROUNDS ? settings->rounds : MOST_ROUNDS;

        product(b, way, tensors);
        for (i = 0; i < n; i++) {
                if (i % 2)
                        products[i] = product(b, way, tensors);
                limits[i] = limit(b, way);
                if (i % 2 == 0)
                        products[i] = product(b, way, tensors);
                ratios[i] = limits[i] / products[i];
        }
        ratio = median(ratios, n);
        speed = (double)b->bytes / median(products, n);
        printf("# %-8s %-44s %6.2f GB/s, limit %6.2f GB/s, ratio %.3f (%.3f to %.3f)\n",
               way == OUT ? "save" : "restore", what, speed, (double)b->bytes / median(limits, n), ratio, ratios[0],
               ratios[n - 1]);
        if (is_gate && settings->gates)
                point(ratio >= settings->least, "%s, %s: %.3f of a pinned cudaMemcpyAsync (at least %.2f)",
                      way == OUT ? "save" : "restore", what, ratio, settings->least);
}

static void compare_all(const struct bench *b, const struct gpu_settings *settings, const char *where, int is_gate)
{
        static const size_t tensors[] = {1, 500, 20000};
        char what[64];
        enum way way;
        size_t i;

        for (way = OUT; way <= IN; way++)
                for (i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
                        snprintf(what, sizeof what, "%zu tensors of %zu KiB, %s", tensors[i],
                                 b->bytes / tensors[i] / 1024, where);
                        if (b->bytes / tensors[i] >= 1024)
                                compare(b, settings, way, tensors[i], what, is_gate && tensors[i] <= 500);
                }
}

void measure(const struct gpu_settings *settings)
{
        struct bench b = {.bytes = settings->bytes};
        int64_t began_ns;
        int index;

        b.memory = device_memory(0, b.bytes);
        b.staging = staging_of(b.bytes);
        must(cudaHostAlloc((void **)&b.limit, b.bytes, 0), "pinned memory for the limit");
        must(cudaStreamCreateWithFlags(&b.stream, cudaStreamNonBlocking), "a stream");
        device_of(STINT_DEVICE_AUTO, b.memory, b.bytes, &index, NULL);
        compare_all(&b, settings, "through the ring", 0);
        began_ns = clock_now();
        device_pin(b.staging, b.bytes, 0, NULL);
        printf("# pinning staging that is present: %.2f GB/s, once for each layout, while training goes on\n",
               (double)b.bytes / (double)(clock_now() - began_ns));
        compare_all(&b, settings, "pinned", 1);
        began_ns = clock_now();
        device_unpin(b.staging, b.bytes);
        printf("# unpinning it: %.2f GB/s\n", (double)b.bytes / (double)(clock_now() - began_ns));
        must(cudaStreamDestroy(b.stream), "letting a stream go");
        must(cudaFreeHost(b.limit), "freeing");
        must(cudaFree(b.memory), "freeing");
        munmap(b.staging, b.bytes);
}
