/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gpu_test: the CUDA plugin on a machine with a GPU, call by call: whose memory a pointer is, copies on every path, and
 * that the program's own CUDA stays as it was.  dev/gpu-test builds and runs it; a flow test does so with the stand-in
 * for the CUDA runtime, so that it is known to work before it meets a GPU.
 *
 *   gpu_test [BYTES [ROUNDS [GATE]]]    GATE 0: nothing that is measured decides anything
 *
 * Exit status: 0 all points hold, 1 one does not, 2 there is no device.
 */
#include "gpu_test.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "memory.h"
#include "plugin.h"

#define MIB ((size_t)1 << 20)

static int points, failures;

/* ---- tools ---------------------------------------------------------------------------------------------------- */

void point(int passed, const char *format, ...)
{
        va_list arguments;

        printf("%sok %d - ", passed ? "" : "not ", ++points);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        printf("\n");
        failures += !passed;
}

void skipped(const char *why, const char *name)
{
        printf("ok %d - %s # SKIP %s\n", ++points, name, why);
}

void must(cudaError_t code, const char *what)
{
        if (code == cudaSuccess)
                return;
        printf("Bail out! %s: %s (%s)\n", what, cudaGetErrorString(code), cudaGetErrorName(code));
        exit(1);
}

char *staging_of(size_t bytes)
{
        int fd = memfd_create("gpu-test", 0);
        char *p = fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 ? memory_map(fd, 0, bytes, PROT_READ | PROT_WRITE) : NULL;

        if (!p || memory_populate(p, bytes, MEMORY_LARGE, NULL) < 0) {
                printf("Bail out! no %zu bytes of shared memory\n", bytes);
                exit(1);
        }
        close(fd);
        return p;
}

void *device_memory(int device, size_t bytes)
{
        void *p;

        must(cudaSetDevice(device), "choosing a device");
        must(cudaMalloc(&p, bytes), "memory of a device");
        return p;
}

static void fill(char *p, size_t bytes, unsigned int seed)
{
        size_t i;

        for (i = 0; i < bytes; i++)
                p[i] = (char)((i * 2654435761u + seed) >> 13);
}

/* There through stint, back through CUDA's own call, there through that, and back through stint. */
static int there_and_back(char *memory, char *staging, size_t bytes, struct stint_error *err)
{
        char *was = malloc(bytes), *seen = malloc(bytes);
        int index, good;
        const struct device *cuda = device_of(STINT_DEVICE_AUTO, memory, bytes, &index, err);

        good = cuda && cuda->kind == STINT_DEVICE_CUDA;
        error_clear(good ? err : NULL);
        fill(was, bytes, 1);
        memcpy(staging, was, bytes);
        good = good && cuda->copy_in(memory, staging, bytes, "there", err) == 0 && device_sync_all(err) == 0;
        must(cudaMemcpy(seen, memory, bytes, cudaMemcpyDefault), "reading what was copied");
        good = good && memcmp(seen, was, bytes) == 0;
        fill(was, bytes, 2);
        must(cudaMemcpy(memory, was, bytes, cudaMemcpyDefault), "writing what is to be copied");
        memset(staging, 0, bytes);
        good = good && cuda->copy_out(staging, memory, bytes, "back", err) == 0 && device_sync_all(err) == 0;
        good = good && memcmp(staging, was, bytes) == 0;
        free(was);
        free(seen);
        return good;
}

/* ---- contexts ------------------------------------------------------------------------------------------------- */

static int has_context(int device)
{
        int (*state)(int device, unsigned int *flags, int *active) = NULL;
        void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
        unsigned int flags;
        int active = -1;

        *(void **)&state = dlsym(driver ? driver : RTLD_DEFAULT, "cuDevicePrimaryCtxGetState");
        return state && state(device, &flags, &active) == 0 ? active : -1;
}

/* What a device has is told before the program uses it, without a context; what is free of that, afterwards. */
static void room(int device, int in_use)
{
        const struct device *cuda = device_of_kind(STINT_DEVICE_CUDA, NULL);
        struct stint_error err = {0};
        uint64_t left = 0, all = 0;
        int before = has_context(device), rc = cuda ? cuda->memory(device, &left, &all, &err) : -1;

        point(rc == !in_use && all >= MIB && left <= all && has_context(device) == before,
              "%s the program uses it cuda:%d tells of %.1f GiB, %.1f GiB %s %s", in_use ? "when" : "before", device,
              (double)all / (1 << 30), (double)left / (1 << 30), in_use ? "free" : "at most", err.text);
}

/* The first, while nothing has made a context yet. */
static void contexts(int devices)
{
        char here[64] = "", *memory, *staging = staging_of(MIB);
        struct stint_error err = {0};
        int index, i, others = 0, last = devices - 1;

        point(device_of(STINT_DEVICE_AUTO, here, sizeof here, &index, &err) == &device_host,
              "memory of the host is the host's");
        for (i = 0; i < devices; i++)
                others += has_context(i) == 1;
        point(others == 0, "and to find that out makes no context");
        room(last, 0);
        memory = device_memory(last, MIB);
        room(last, 1);
        device_of(STINT_DEVICE_AUTO, memory, MIB, &index, &err);
        device_pin(staging, MIB, 0, NULL);
        point(there_and_back(memory, staging, MIB, &err), "a copy there and back on the last device %s", err.text);
        device_unpin(staging, MIB);
        for (i = 0; i < last; i++)
                others += has_context(i) != 0;
        if (devices > 1)
                point(others == 0, "makes no context on any other");
        else
                skipped("there is one device", "makes no context on any other");
        must(cudaFree(memory), "freeing");
        munmap(staging, MIB);
}

/* ---- whose memory it is --------------------------------------------------------------------------------------- */

static void owners(void)
{
        struct stint_error err = {0};
        char *memory = device_memory(0, 3 * MIB), *staging = staging_of(MIB);
        void *pinned, *managed;
        int index = 7;

        must(cudaHostAlloc(&pinned, MIB, 0), "pinned memory");
        point(device_of(STINT_DEVICE_AUTO, pinned, MIB, &index, &err) == &device_host, "pinned memory is the host's");
        point(device_of(STINT_DEVICE_AUTO, memory + 3 * MIB - 1, 1, &index, &err) == plugin_loaded() && index == 0,
              "the last byte of a tensor is its device's");
        point(!device_of(STINT_DEVICE_AUTO, memory, (size_t)1 << 46, &index, &err),
              "bytes that leave their allocation are refused");
        must(cudaMallocManaged(&managed, MIB, cudaMemAttachGlobal), "managed memory");
        point(there_and_back(managed, staging, MIB, &err), "managed memory goes there and back %s", err.text);
        must(cudaFree(managed), "freeing");
        must(cudaFree(memory), "freeing");
        plugin_loaded()->copy_out(staging, memory, MIB, "model/freed", &err);
        point(device_sync_all(&err) < 0 && strstr(err.text, "model/freed"), "a tensor that was freed is named: %s",
              err.text);
        must(cudaFreeHost(pinned), "freeing");
        munmap(staging, MIB);
}

/* ---- copies --------------------------------------------------------------------------------------------------- */

static void paths(int device)
{
        struct stint_error err = {0};
        size_t bytes = 37 * MIB + 12345;
        char *memory = device_memory(device, bytes), *staging = staging_of(64 * MIB);

        point(there_and_back(memory, staging, bytes, &err), "cuda:%d, memory that is not pinned %s", device, err.text);
        device_pin(staging, 64 * MIB, 0, NULL);
        point(there_and_back(memory, staging, bytes, &err), "cuda:%d, pinned staging %s", device, err.text);
        point(there_and_back(memory + 1, staging + 3, 1001, &err), "cuda:%d, at odd addresses %s", device, err.text);
        device_unpin(staging, 64 * MIB);
        device_pin(staging + 4 * MIB, 8 * MIB, 0, NULL);
        device_pin(staging + 12 * MIB, 8 * MIB, 0, NULL);
        point(there_and_back(memory, staging, bytes, &err), "cuda:%d, pinned in part %s", device, err.text);
        device_unpin(staging, 64 * MIB);
        must(cudaFree(memory), "freeing");
        munmap(staging, 64 * MIB);
}

static void read_only(void)
{
        struct stint_error err = {0};
        char *memory = device_memory(0, 8 * MIB), *image = staging_of(8 * MIB), *seen = malloc(8 * MIB);
        const struct device *cuda = plugin_loaded();

        fill(image, 8 * MIB, 4);
        mprotect(image, 8 * MIB, PROT_READ);
        device_pin(image, 8 * MIB, 1, NULL);
        cuda->copy_in(memory, image, 8 * MIB, "read only", &err);
        point(device_sync_all(&err) == 0, "an image that is only mapped to be read is restored from %s", err.text);
        must(cudaMemcpy(seen, memory, 8 * MIB, cudaMemcpyDefault), "reading what was restored");
        point(memcmp(seen, image, 8 * MIB) == 0, "to the same bytes");
        device_unpin(image, 8 * MIB);
        must(cudaFree(memory), "freeing");
        munmap(image, 8 * MIB);
        free(seen);
}

/* A long copy of the program's own is on its way when the save begins. */
static void own_work(size_t most)
{
        size_t bytes = most < 32 * MIB ? 32 * MIB : most > 256 * MIB ? 256 * MIB : most;
        struct stint_error err = {0};
        char *memory = device_memory(0, bytes), *staging = staging_of(bytes);
        cudaStream_t stream;
        void *mine;

        must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
        must(cudaHostAlloc(&mine, bytes, 0), "pinned memory");
        fill(mine, bytes, 3);
        must(cudaMemcpyAsync(memory, mine, bytes, cudaMemcpyHostToDevice, stream), "the program's own copy");
        plugin_loaded()->copy_out(staging, memory, bytes, "w", &err);
        point(device_sync_all(&err) == 0 && memcmp(staging, mine, bytes) == 0,
              "what the program had begun is in the save %s", err.text);
        must(cudaStreamDestroy(stream), "letting a stream go");
        must(cudaFreeHost(mine), "freeing");
        must(cudaFree(memory), "freeing");
        munmap(staging, bytes);
}

static void stays(int devices)
{
        struct stint_error err = {0};
        char *memory = device_memory(devices - 1, MIB), *staging = staging_of(MIB);
        int device = -1;

        must(cudaSetDevice(0), "choosing a device");
        cudaSetDevice(devices + 7);
        there_and_back(memory, staging, MIB, &err);
        cudaGetDevice(&device);
        point(device == 0, "the current device stays what it was");
        point(cudaGetLastError() == cudaErrorInvalidDevice, "and so does the program's last error");
        must(cudaFree(memory), "freeing");
        munmap(staging, MIB);
}

int main(int argc, char **argv)
{
        struct gpu_settings settings = {.bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : (size_t)2 << 30,
                                        .rounds = argc > 2 ? atoi(argv[2]) : 7,
                                        .gates = argc > 3 ? atoi(argv[3]) : 1,
                                        .least = 0.95};
        int devices, device;
        cudaError_t code;

        setvbuf(stdout, NULL, _IOLBF, 0);
        code = cudaGetDeviceCount(&devices);
        if (code != cudaSuccess) {
                printf("Bail out! CUDA has no device here: %s (%s)\n", cudaGetErrorString(code),
                       cudaGetErrorName(code));
                return 2;
        }
        contexts(devices);
        owners();
        for (device = 0; device < devices; device++)
                paths(device);
        read_only();
        own_work(settings.bytes);
        stays(devices);
        if (settings.bytes)
                measure(&settings);
        printf("1..%d\n", points);
        return failures > 0;
}
