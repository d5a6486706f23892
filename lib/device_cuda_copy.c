/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_cuda_copy: copies between CUDA devices and the host, and the pinning of the host's side.  Everything here runs
 * on the plugin's thread (device_cuda_thread.c), which hands in one task after another.
 *
 * Each device has a few streams, and each copy goes to the next of them, so that many small ones overlap.  Pinned
 * memory is one side of a copy as it is.  Other memory takes the way through a ring of small pinned buffers, of which
 * one is filled while another is on its way.
 */
#include "device_cuda.h"

#include <cuda_runtime_api.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEVICES 64
#define STREAMS 4
#define SLOTS 4                      /* of the ring: 16 MiB for each device that needs one, to the end of the process */
#define SLOT_BYTES ((size_t)4 << 20) /* long enough that a copy runs at full speed */
#define SLOT_PIECES 1024
#define SLOT_ALIGN ((size_t)256) /* of a tensor in a buffer, as in CUDA's own memory */

/* A stretch of a tensor in a buffer of the ring, and where it goes from there. */
struct piece {
        char *to;
        size_t at, bytes;
};

/*
 * One buffer of a ring.  Small tensors lie in it side by side, with a copy each on the same stream; when it is full an
 * event is put behind them.  What came from the device is copied on when that event is over.
 */
struct slot {
        char *memory;
        cudaEvent_t event;
        size_t used;
        int pieces; /* of those that go on from here */
        struct piece piece[SLOT_PIECES];
        unsigned long long copies; /* since it was empty */
        const char *name;          /* the tensor of the first of them */
        int closed;                /* the event is behind them */
};

struct stream {
        cudaStream_t handle;
        unsigned long long copies; /* begun since the last wait */
        const char *name;          /* the tensor of the first of them */
};

struct gpu {
        int ready;   /* its streams are there */
        int settled; /* what the program had begun before these copies is over */
        struct stream stream[STREAMS];
        unsigned int next_stream;
        int ring; /* 1: there is one; -1: there is no pinned memory for it; 0: it was not tried */
        struct slot slot[SLOTS];
        unsigned int next_slot;
};

struct pinned {
        char *base;
        size_t bytes;
};

static struct gpu gpus[MOST_DEVICES];
static int current = -1;          /* the device that this thread has made current */
static struct stint_error failed; /* the first copy since the last CUDA_SYNC that failed; code 0: none */
static struct pinned *pins;       /* by their addresses */
static size_t pins_count, pins_room;

/* ---- errors --------------------------------------------------------------------------------------------------- */

static int errno_of(cudaError_t code)
{
        return code == cudaErrorMemoryAllocation ? ENOMEM : code == cudaErrorNoDevice ? ENODEV : EIO;
}

/* CUDA's words, with the device and the tensor, and how many others it can have been as well. */
static int say(cudaError_t code, int device, const char *name, unsigned long long others, struct stint_error *err)
{
        char beside[64] = "";

        cudaGetLastError(); /* of this thread, which nobody else asks */
        if (others)
                snprintf(beside, sizeof beside, " (or one of %llu copied beside it)", others);
        return error_set(err, errno_of(code), "tensor '%s'%s on cuda:%d: %s (%s)", name, beside, device,
                         cudaGetErrorString(code), cudaGetErrorName(code));
}

/* ---- a device's streams --------------------------------------------------------------------------------------- */

/* Only of a device that holds memory of the program's. */
static cudaError_t use(int device)
{
        cudaError_t code;

        if (device < 0 || device >= MOST_DEVICES)
                return cudaErrorInvalidDevice;
        if (device == current)
                return cudaSuccess;
        code = cudaSetDevice(device);
        current = code == cudaSuccess ? device : -1;
        return code;
}

/* After an error they are made anew, for the program may have reset the device. */
static void drop(struct gpu *gpu)
{
        int i;

        for (i = 0; i < STREAMS; i++)
                if (gpu->stream[i].handle)
                        cudaStreamDestroy(gpu->stream[i].handle);
        for (i = 0; i < SLOTS; i++) {
                if (gpu->slot[i].event)
                        cudaEventDestroy(gpu->slot[i].event);
                if (gpu->slot[i].memory)
                        cudaFreeHost(gpu->slot[i].memory);
        }
        cudaGetLastError();
        memset(gpu, 0, sizeof *gpu);
        current = -1;
}

/* Streams that do not wait for the program's default stream, nor it for them. */
static cudaError_t get_ready(struct gpu *gpu)
{
        cudaError_t code = cudaSuccess;
        int i;

        for (i = 0; i < STREAMS && !gpu->ready && code == cudaSuccess; i++)
                code = cudaStreamCreateWithFlags(&gpu->stream[i].handle, cudaStreamNonBlocking);
        if (code == cudaSuccess)
                gpu->ready = 1;
        return code;
}

/* Kernels that the program has begun may still write what is to be saved, or read what is to be replaced. */
static cudaError_t settle(struct gpu *gpu)
{
        cudaError_t code = gpu->settled ? cudaSuccess : cudaDeviceSynchronize();

        gpu->settled = code == cudaSuccess;
        return code;
}

static struct stream *next_stream(struct gpu *gpu, const char *name)
{
        struct stream *stream = &gpu->stream[gpu->next_stream++ % STREAMS];

        if (!stream->copies++)
                stream->name = name;
        return stream;
}

/* ---- the ring ------------------------------------------------------------------------------------------------- */

static void make_ring(struct gpu *gpu)
{
        int i;

        gpu->ring = 1;
        for (i = 0; i < SLOTS; i++)
                if (cudaHostAlloc((void **)&gpu->slot[i].memory, SLOT_BYTES, cudaHostAllocPortable) != cudaSuccess ||
                    cudaEventCreateWithFlags(&gpu->slot[i].event, cudaEventDisableTiming) != cudaSuccess) {
                        cudaGetLastError();
                        gpu->ring = -1;
                }
}

static cudaStream_t stream_of(struct gpu *gpu, const struct slot *slot)
{
        return gpu->stream[(slot - gpu->slot) % STREAMS].handle;
}

/* No further copy goes into it. */
static cudaError_t shut(struct gpu *gpu, struct slot *slot)
{
        cudaError_t code = cudaSuccess;

        if (slot->copies && !slot->closed)
                code = cudaEventRecord(slot->event, stream_of(gpu, slot));
        slot->closed = slot->copies != 0;
        return code;
}

/* Waits until that buffer is free, with what came into it where it belongs. */
static cudaError_t empty(struct slot *slot)
{
        cudaError_t code = slot->closed ? cudaEventSynchronize(slot->event) : cudaSuccess;
        int i;

        for (i = 0; i < slot->pieces && code == cudaSuccess; i++)
                memcpy(slot->piece[i].to, slot->memory + slot->piece[i].at, slot->piece[i].bytes);
        slot->used = slot->copies = 0;
        slot->pieces = slot->closed = 0;
        return code;
}

/* A buffer with so much room: the one that is being filled, or the next when that is full. */
static cudaError_t find_room(struct gpu *gpu, size_t bytes, struct slot **found)
{
        struct slot *slot = &gpu->slot[gpu->next_slot % SLOTS];
        cudaError_t code = cudaSuccess;

        if (slot->closed || SLOT_BYTES - slot->used < bytes || slot->pieces == SLOT_PIECES) {
                code = shut(gpu, slot);
                slot = &gpu->slot[++gpu->next_slot % SLOTS];
                if (code == cudaSuccess)
                        code = empty(slot);
        }
        *found = slot;
        return code;
}

static cudaError_t through_slot(struct gpu *gpu, const struct cuda_task *task, size_t at, size_t bytes)
{
        char *host = (char *)task->host + at, *pointer = (char *)task->pointer + at, *memory;
        struct slot *slot;
        cudaError_t code = find_room(gpu, bytes, &slot);

        if (code != cudaSuccess)
                return code;
        memory = slot->memory + slot->used;
        if (!slot->copies++)
                slot->name = task->name;
        if (task->kind == CUDA_COPY_OUT) {
                slot->piece[slot->pieces++] = (struct piece){host, slot->used, bytes};
                code = cudaMemcpyAsync(memory, pointer, bytes, cudaMemcpyDefault, stream_of(gpu, slot));
        } else {
                memcpy(memory, host, bytes);
                code = cudaMemcpyAsync(pointer, memory, bytes, cudaMemcpyDefault, stream_of(gpu, slot));
        }
        slot->used += (bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
        return code;
}

/* Without pinned memory of any kind CUDA itself takes the detour, and returns when it has. */
static cudaError_t unpinned(struct gpu *gpu, const struct cuda_task *task, size_t at, size_t bytes)
{
        char *host = (char *)task->host + at, *pointer = (char *)task->pointer + at;
        cudaError_t code = cudaSuccess;
        size_t n;

        if (!gpu->ring)
                make_ring(gpu);
        if (gpu->ring < 0)
                return cudaMemcpyAsync(task->kind == CUDA_COPY_OUT ? host : pointer,
                                       task->kind == CUDA_COPY_OUT ? pointer : host, bytes, cudaMemcpyDefault,
                                       next_stream(gpu, task->name)->handle);
        for (; bytes && code == cudaSuccess; at += n, bytes -= n) {
                n = bytes < SLOT_BYTES ? bytes : SLOT_BYTES;
                code = through_slot(gpu, task, at, n);
        }
        return code;
}

/* ---- pinned memory -------------------------------------------------------------------------------------------- */

/* The first piece that ends behind that address, or pins_count. */
static size_t pin_at(const char *host)
{
        size_t low = 0, high = pins_count, middle;

        while (low < high) {
                middle = low + (high - low) / 2;
                if (pins[middle].base + pins[middle].bytes > host)
                        high = middle;
                else
                        low = middle + 1;
        }
        return low;
}

/* 1 when memory is pinned from `host` on, for *n of the *n bytes; 0 when it is not, for so many.  No copy crosses the
 * border of two pieces: for CUDA they are two allocations. */
static int is_pinned(const char *host, size_t *n)
{
        size_t i = pin_at(host), left = *n;
        int inside = i < pins_count && pins[i].base <= host;

        if (i < pins_count)
                left = inside ? (size_t)(pins[i].base + pins[i].bytes - host) : (size_t)(pins[i].base - host);
        *n = left < *n ? left : *n;
        return inside;
}

static int pin(const struct cuda_task *task)
{
        unsigned int flags = cudaHostRegisterPortable;
        size_t i = pin_at(task->host);
        struct pinned *more;

        if (use(cuda_met()) != cudaSuccess)
                return -1;
        if (pins_count == pins_room) {
                more = reallocarray(pins, pins_room + 64, sizeof *pins);
                if (!more)
                        return -1;
                pins = more;
                pins_room += 64;
        }
        if (task->kind == CUDA_PIN_TO_READ) {
#ifdef cudaHostRegisterReadOnly
                flags |= cudaHostRegisterReadOnly;
#else
                return -1;
#endif
        }
        if (cudaHostRegister(task->host, task->bytes, flags) != cudaSuccess) {
                cudaGetLastError();
                return -1;
        }
        memmove(&pins[i + 1], &pins[i], (pins_count - i) * sizeof *pins);
        pins[i] = (struct pinned){task->host, task->bytes};
        pins_count++;
        return 0;
}

static int unpin(const struct cuda_task *task)
{
        size_t i = pin_at(task->host), n = 0;
        char *end = (char *)task->host + task->bytes;

        while (i + n < pins_count && pins[i + n].base < end) {
                if (use(cuda_met()) != cudaSuccess || cudaHostUnregister(pins[i + n].base) != cudaSuccess)
                        cudaGetLastError(); /* a device that was reset has let go of it already */
                n++;
        }
        if (n)
                memmove(&pins[i], &pins[i + n], (pins_count - i - n) * sizeof *pins);
        pins_count -= n;
        return 0;
}

/* ---- a copy --------------------------------------------------------------------------------------------------- */

static cudaError_t stretch(struct gpu *gpu, const struct cuda_task *task, size_t at, size_t *n)
{
        char *host = (char *)task->host + at, *pointer = (char *)task->pointer + at;

        if (!is_pinned(host, n))
                return unpinned(gpu, task, at, *n);
        if (task->kind == CUDA_COPY_OUT)
                return cudaMemcpyAsync(host, pointer, *n, cudaMemcpyDefault, next_stream(gpu, task->name)->handle);
        return cudaMemcpyAsync(pointer, host, *n, cudaMemcpyDefault, next_stream(gpu, task->name)->handle);
}

static int make_usable(int device, const char *name, struct stint_error *err)
{
        cudaError_t code = use(device);

        if (code == cudaSuccess)
                code = get_ready(&gpus[device]);
        if (code != cudaSuccess)
                return say(code, device, name, 0, err);
        code = settle(&gpus[device]);
        if (code == cudaSuccess)
                return 0;
        say(code, device, name, 0, err);
        return error_wrap(err, "CUDA reports an error of the program's own work, met before the copy of");
}

static int copy(const struct cuda_task *task, struct stint_error *err)
{
        cudaError_t code = cudaSuccess;
        size_t at, n;
        int device;

        if (current < 0 && use(cuda_met()) != cudaSuccess)
                cudaGetLastError();
        switch (cuda_look(task->pointer, task->bytes, &device, err)) {
        case 0:
                return error_set(err, EFAULT, "tensor '%s': what was attached is no CUDA memory any more", task->name);
        case -1:
                return error_wrap(err, "tensor '%s'", task->name);
        }
        if (make_usable(device, task->name, err) < 0)
                return -1;
        for (at = 0; at < task->bytes && code == cudaSuccess; at += n) {
                n = task->bytes - at;
                code = stretch(&gpus[device], task, at, &n);
        }
        return code == cudaSuccess ? 0 : say(code, device, task->name, 0, err);
}

/* ---- waiting for them ----------------------------------------------------------------------------------------- */

/* The oldest first.  A code that is no success, with what was in the first buffer that has one. */
static cudaError_t wait_for_ring(struct gpu *gpu, const char **name, unsigned long long *copies)
{
        cudaError_t code, first = cudaSuccess;
        unsigned int i;

        for (i = 1; i <= SLOTS && gpu->ring > 0; i++) {
                struct slot *slot = &gpu->slot[(gpu->next_slot + i) % SLOTS];
                const unsigned long long in_it = slot->copies;

                code = shut(gpu, slot);
                code = code == cudaSuccess ? empty(slot) : code;
                if (code != cudaSuccess && first == cudaSuccess) {
                        first = code;
                        *name = slot->name;
                        *copies = in_it;
                }
        }
        return first;
}

/* All of them are waited for, whatever the first one says: nothing is on its way behind this. */
static void wait_for(int device, struct stint_error *err)
{
        struct gpu *gpu = &gpus[device];
        unsigned long long copies = 1;
        const char *name = "";
        cudaError_t code = use(device);
        unsigned int i;
        int bad = 0;

        if (code == cudaSuccess)
                code = wait_for_ring(gpu, &name, &copies);
        if (code != cudaSuccess) {
                say(code, device, name, copies - 1, err->code ? NULL : err);
                bad = 1;
        }
        for (i = 0; i < STREAMS; i++) {
                struct stream *stream = &gpu->stream[i];

                code = stream->copies ? cudaStreamSynchronize(stream->handle) : cudaSuccess;
                if (code != cudaSuccess) {
                        say(code, device, stream->name, stream->copies - 1, err->code ? NULL : err);
                        bad = 1;
                }
                stream->copies = 0;
        }
        gpu->settled = 0;
        if (bad)
                drop(gpu);
}

static int wait_for_all(struct stint_error *err)
{
        struct stint_error why = failed;
        int i;

        failed.code = 0;
        for (i = 0; i < MOST_DEVICES; i++)
                if (gpus[i].ready)
                        wait_for(i, &why);
        return why.code ? error_set(err, why.code, "%s", why.text) : 0;
}

/* ---- what the thread asks for --------------------------------------------------------------------------------- */

void cuda_begin(void)
{
        enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;

        /* What is done here must not disturb a graph that the program records on a thread of its own meanwhile. */
        if (cudaThreadExchangeStreamCaptureMode(&mode) != cudaSuccess)
                cudaGetLastError();
}

/* This thread has no current device before the first memory was met; one that is in use makes no context. */
static int look(const struct cuda_task *task, struct stint_error *err)
{
        int device = cuda_met() >= 0 ? cuda_met() : 0;

        while (current < 0 && device < MOST_DEVICES && cuda_in_use(device) != 1)
                device++;
        if (current < 0 && use(device) != cudaSuccess)
                cudaGetLastError();
        return cuda_look(task->pointer, task->bytes, task->index, err);
}

int cuda_do(const struct cuda_task *task, struct stint_error *err)
{
        switch (task->kind) {
        case CUDA_LOOK:
                return look(task, err);
        case CUDA_COPY_OUT:
        case CUDA_COPY_IN:
                return failed.code ? 0 : copy(task, &failed);
        case CUDA_SYNC:
                return wait_for_all(err);
        case CUDA_PIN:
        case CUDA_PIN_TO_READ:
                return pin(task);
        case CUDA_UNPIN:
                return unpin(task);
        }
        return 0;
}
