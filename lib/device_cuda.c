/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_cuda: memory of NVIDIA's devices, as the table of device.h.  libstint loads the plugin that this is the front
 * of (plugin.c) and calls in through that table.
 *
 * Device memory and managed memory are CUDA's; pinned memory of the host is the host's, for it can be read as it is.
 * Devices have the program's numbers, those that CUDA_VISIBLE_DEVICES leaves.
 */
#include "device_cuda.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "plugin.h"

static atomic_int met = -1; /* a device that has an attached tensor */
static atomic_ullong begun; /* copies since the last sync: none, and there is nothing to wait for */

int cuda_met(void)
{
        return atomic_load(&met);
}

/* ---- whose memory it is --------------------------------------------------------------------------------------- */

/* The runtime keeps the last error for the program; one that came of our asking is taken away again. */
static int refuse(const void *pointer, cudaError_t code, struct stint_error *err)
{
        cudaGetLastError();
        return error_set(err, code == cudaErrorInsufficientDriver ? ENOTSUP : EIO,
                         "CUDA does not say whose memory %p is: %s (%s)%s", pointer, cudaGetErrorString(code),
                         cudaGetErrorName(code),
                         code == cudaErrorInsufficientDriver
                                 ? "; build stint with the CUDA version of this driver, configure --with-cuda=DIR"
                                 : "");
}

/* 1 with type and device, 0 when CUDA does not know the pointer. */
static int ask(const void *pointer, struct cudaPointerAttributes *attributes, struct stint_error *err)
{
        cudaError_t code = cudaPointerGetAttributes(attributes, pointer);

        if (code == cudaErrorInvalidValue) { /* how runtimes before 11.0 say "unregistered" */
                cudaGetLastError();
                return 0;
        }
        if (code != cudaSuccess)
                return refuse(pointer, code, err);
        return attributes->type == cudaMemoryTypeDevice || attributes->type == cudaMemoryTypeManaged;
}

int cuda_look(const void *pointer, size_t bytes, int *index, struct stint_error *err)
{
        struct cudaPointerAttributes begin, end;
        int rc = ask(pointer, &begin, err);

        if (rc <= 0)
                return rc;
        rc = ask((const char *)pointer + bytes - 1, &end, err);
        if (rc < 0)
                return -1;
        if (rc == 0 || end.type != begin.type || end.device != begin.device)
                return error_set(err, EINVAL, "%zu bytes at %p begin on cuda:%d and end elsewhere", bytes, pointer,
                                 begin.device);
        *index = begin.device;
        return 1;
}

/* ---- which devices the program uses --------------------------------------------------------------------------- */

/*
 * Of the driver's interface, which the program has loaded: the runtime has no question that tells of a context without
 * making it, nor one that tells how much memory there is.  They answer 0 when they could, and CUdevice is an int.
 */
static struct {
        int (*get)(int *device, int ordinal);
        int (*state)(int device, unsigned int *flags, int *active);
        int (*total)(size_t *bytes, int device);
} driver;

static void find_driver(void)
{
        void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);

        if (!library)
                library = RTLD_DEFAULT; /* a program that is linked with it under another name */
        *(void **)&driver.get = dlsym(library, "cuDeviceGet");
        *(void **)&driver.state = dlsym(library, "cuDevicePrimaryCtxGetState");
        *(void **)&driver.total = dlsym(library, "cuDeviceTotalMem_v2");
}

static void ask_for_driver(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, find_driver);
}

#define NO_SUCH_DEVICE (-2) /* or the driver was never initialised: then none has a context */

static int state_of(int ordinal)
{
        unsigned int flags;
        int device, active;

        ask_for_driver();
        if (!driver.get || !driver.state)
                return -1;
        if (driver.get(&device, ordinal))
                return NO_SUCH_DEVICE;
        return driver.state(device, &flags, &active) == 0 && active;
}

int cuda_in_use(int ordinal)
{
        const int state = state_of(ordinal);

        return state == NO_SUCH_DEVICE ? 0 : state;
}

/* 1 when the program uses a device at all, 0 when it does not (yet), -1 when that cannot be told. */
static int any_in_use(void)
{
        static atomic_int seen;
        int i, state = 0;

        for (i = 0; !atomic_load(&seen) && (state = state_of(i)) >= 0; i++)
                if (state)
                        atomic_store(&seen, 1);
        return atomic_load(&seen) ? 1 : state == NO_SUCH_DEVICE ? 0 : -1;
}

/*
 * 0: it makes no difference to CUDA when this thread asks it; 1: it would make a context; -1: the program uses no
 * device. In that case the runtime is not called at all, since its first call initialises CUDA, and a program that
 * forks before it begins with CUDA could not use it in its children any more.
 */
static int asking_makes_a_context(void)
{
        const int any = any_in_use();
        int device;

        if (any <= 0)
                return any < 0 ? 0 : -1;
        if (cudaGetDevice(&device) != cudaSuccess) {
                cudaGetLastError();
                return 0; /* it answers with the same error, which then is told */
        }
        return !cuda_in_use(device);
}

static int owns(const void *pointer, size_t bytes, int *index, struct stint_error *err)
{
        struct cuda_task task = {
                .kind = CUDA_LOOK, .pointer = (void *)(uintptr_t)pointer, .bytes = bytes, .index = index};
        int makes = bytes ? asking_makes_a_context() : 0, rc;

        if (!bytes)
                return 0;
        if (makes < 0)
                return error_set(err, ENODEV, "no device has its primary context in this process (yet)");
        rc = makes ? cuda_thread_do(&task, err) : cuda_look(pointer, bytes, index, err);
        if (rc > 0)
                atomic_store(&met, *index);
        return rc;
}

/* ---- copies --------------------------------------------------------------------------------------------------- */

static int begin(enum cuda_task_kind kind, void *host, void *pointer, size_t bytes, const char *name,
                 struct stint_error *err)
{
        struct cuda_task task = {.kind = kind, .host = host, .pointer = pointer, .bytes = bytes, .name = name};

        atomic_fetch_add(&begun, 1);
        return cuda_thread_begin(&task, err);
}

static int copy_out(void *host, const void *pointer, size_t bytes, const char *name, struct stint_error *err)
{
        return begin(CUDA_COPY_OUT, host, (void *)(uintptr_t)pointer, bytes, name, err);
}

static int copy_in(void *pointer, const void *host, size_t bytes, const char *name, struct stint_error *err)
{
        return begin(CUDA_COPY_IN, (void *)(uintptr_t)host, pointer, bytes, name, err);
}

static int sync_all(struct stint_error *err)
{
        struct cuda_task task = {.kind = CUDA_SYNC};

        return atomic_exchange(&begun, 0) ? cuda_thread_do(&task, err) : 0;
}

static void pin(void *base, size_t bytes, int read_only)
{
        struct cuda_task task = {.kind = read_only ? CUDA_PIN_TO_READ : CUDA_PIN, .host = base, .bytes = bytes};

        if (cuda_met() >= 0)
                cuda_thread_do(&task, NULL); /* what could not be pinned is copied in another way */
}

static void unpin(void *base, size_t bytes)
{
        struct cuda_task task = {.kind = CUDA_UNPIN, .host = base, .bytes = bytes};

        if (cuda_met() >= 0)
                cuda_thread_do(&task, NULL);
}

/* ---- what there is of it -------------------------------------------------------------------------------------- */

/*
 * Counting makes no context, nor does asking which one is current; but it initialises CUDA, which is what whoever asks
 * for a place on a device is about to do.
 */
static int present(int *count, int *current, struct stint_error *err)
{
        cudaError_t code = cudaGetDeviceCount(count);

        if (code == cudaSuccess && *count > 0)
                code = cudaGetDevice(current);
        if (code == cudaSuccess && *count > 0)
                return 0;
        cudaGetLastError();
        return error_set(err, ENODEV, "CUDA shows this process no device: %s",
                         code == cudaSuccess ? "there are 0" : cudaGetErrorString(code));
}

/* Of a device that shall not get a context by being asked: all of it, or 0. */
static int memory_altogether(int index, uint64_t *left, uint64_t *all)
{
        size_t total = 0;
        int device;

        ask_for_driver();
        if (!driver.get || !driver.total || driver.get(&device, index) || driver.total(&total, device))
                total = 0;
        *left = *all = total;
        return 1;
}

/* What is free is told of the device that is current and in use: any other would get a context by being asked. */
static int memory(int index, uint64_t *left, uint64_t *all, struct stint_error *err)
{
        size_t available, total;
        cudaError_t code;
        int current;

        if (cuda_in_use(index) != 1)
                return memory_altogether(index, left, all);
        if (cudaGetDevice(&current) != cudaSuccess || current != index) {
                cudaGetLastError();
                return memory_altogether(index, left, all);
        }
        code = cudaMemGetInfo(&available, &total);
        if (code != cudaSuccess) {
                cudaGetLastError();
                return error_set(err, EIO, "cuda:%d does not say how much memory it has: %s", index,
                                 cudaGetErrorString(code));
        }
        *left = available;
        *all = total;
        return 0;
}

static const struct device device_cuda = {
        .kind = STINT_DEVICE_CUDA,
        .owns = owns,
        .copy_out = copy_out,
        .copy_in = copy_in,
        .sync = sync_all,
        .pin = pin,
        .unpin = unpin,
        .present = present,
        .memory = memory,
};

extern const struct plugin_table stint_device_plugin;
STINT_API const struct plugin_table stint_device_plugin = {
        .magic = PLUGIN_MAGIC,
        .version = PLUGIN_VERSION,
        .error_bytes = sizeof(struct stint_error),
        .device = &device_cuda,
};
