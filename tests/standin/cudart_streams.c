/* A stand-in for the CUDA runtime: streams, events and copies.  SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cudart_streams: a thread for each stream, which makes the copies given to it in their order, each as much later as
 * CUDA_STANDIN says.  So whoever looks at the bytes before he has waited sees old ones, and whoever lets go of
 * memory too early is told.
 */
#include "standin.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct copy {
        char *to;
        const char *from;
        size_t bytes;
        struct copy *next;
};

struct standin_stream {
        int device, blocking;
        struct copy *first, **last; /* the first of them is being made */
        unsigned long begun, done;
        cudaError_t error; /* of a copy, told by the next that waits */
        pthread_t thread;
        pthread_cond_t come;
        int ends;
        struct standin_stream *next;
};

struct standin_event {
        struct standin_stream *stream;
        unsigned long until; /* copies of the stream that were begun before it */
};

static struct standin_stream *streams;

/* ---- the thread ----------------------------------------------------------------------------------------------- */

static void wait_ms(long ms)
{
        struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

        if (ms > 0)
                nanosleep(&t, NULL);
}

static void make_copy(struct standin_stream *stream)
{
        struct copy *copy = stream->first;
        cudaError_t error = standin_fault("copy");
        long late_ms = standin_late_ms;

        pthread_mutex_unlock(&standin_lock);
        wait_ms(late_ms);
        if (error == cudaSuccess)
                memcpy(copy->to, copy->from, copy->bytes);
        pthread_mutex_lock(&standin_lock);
        stream->first = copy->next;
        if (!stream->first)
                stream->last = &stream->first;
        if (error != cudaSuccess && stream->error == cudaSuccess)
                stream->error = error;
        stream->done++;
        free(copy);
        pthread_cond_broadcast(&standin_moved);
}

static void *work(void *arg)
{
        struct standin_stream *stream = arg;

        pthread_mutex_lock(&standin_lock);
        while (stream->first || !stream->ends)
                if (stream->first)
                        make_copy(stream);
                else
                        pthread_cond_wait(&stream->come, &standin_lock);
        pthread_mutex_unlock(&standin_lock);
        return NULL;
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

/* With the lock.  An error is told once, to whoever waits first. */
static cudaError_t await(struct standin_stream *stream, unsigned long until)
{
        cudaError_t error;

        while (stream->done < until)
                pthread_cond_wait(&standin_moved, &standin_lock);
        error = stream->error;
        stream->error = cudaSuccess;
        return error;
}

static cudaError_t await_all(int device, int only_blocking)
{
        cudaError_t error, first = cudaSuccess;
        struct standin_stream *stream;

        for (stream = streams; stream; stream = stream->next) {
                if ((device >= 0 && stream->device != device) || (only_blocking && !stream->blocking))
                        continue;
                error = await(stream, stream->begun);
                first = first ? first : error;
        }
        return first;
}

void standin_drain(int device)
{
        struct standin_stream *stream;

        for (stream = streams; stream; stream = stream->next)
                while ((device < 0 || stream->device == device) && stream->done < stream->begun)
                        pthread_cond_wait(&standin_moved, &standin_lock);
}

int standin_busy(const char *real, size_t bytes)
{
        struct standin_stream *stream;
        struct copy *copy;

        for (stream = streams; stream; stream = stream->next)
                for (copy = stream->first; copy; copy = copy->next)
                        if ((copy->to < real + bytes && real < copy->to + copy->bytes) ||
                            (copy->from < real + bytes && real < copy->from + copy->bytes))
                                return 1;
        return 0;
}

STANDIN_API cudaError_t cudaDeviceSynchronize(void)
{
        cudaError_t error = standin_enter("cudaDeviceSynchronize");

        return standin_leave(error ? error : await_all(standin_physical(), 0));
}

/* ---- streams and events --------------------------------------------------------------------------------------- */

STANDIN_API cudaError_t cudaStreamCreateWithFlags(cudaStream_t *made, unsigned int flags)
{
        cudaError_t error = standin_enter("cudaStreamCreateWithFlags");
        struct standin_stream *stream = error ? NULL : calloc(1, sizeof *stream);

        if (!stream)
                return standin_leave(error ? error : cudaErrorMemoryAllocation);
        stream->device = standin_physical();
        stream->blocking = !(flags & cudaStreamNonBlocking);
        stream->last = &stream->first;
        stream->next = streams;
        pthread_cond_init(&stream->come, NULL);
        if (pthread_create(&stream->thread, NULL, work, stream)) {
                free(stream);
                return standin_leave(cudaErrorMemoryAllocation);
        }
        streams = stream;
        standin_count_stream();
        *made = stream;
        return standin_leave(cudaSuccess);
}

/* What is on its way comes to its end first. */
STANDIN_API cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
        cudaError_t error = standin_enter("cudaStreamDestroy");
        struct standin_stream **link;

        for (link = &streams; *link && *link != stream; link = &(*link)->next)
                ;
        if (!*link)
                return standin_leave(cudaErrorInvalidResourceHandle);
        while (stream->done < stream->begun)
                pthread_cond_wait(&standin_moved, &standin_lock);
        for (link = &streams; *link != stream; link = &(*link)->next)
                ;
        *link = stream->next;
        stream->ends = 1;
        pthread_cond_signal(&stream->come);
        standin_leave(error);
        pthread_join(stream->thread, NULL);
        pthread_cond_destroy(&stream->come);
        free(stream);
        return error;
}

STANDIN_API cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
        cudaError_t error = standin_enter("cudaStreamSynchronize");
        cudaError_t own = stream ? await(stream, stream->begun) : cudaSuccess;

        return standin_leave(own ? own : error);
}

STANDIN_API cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
        cudaError_t error = standin_enter("cudaEventCreateWithFlags");

        (void)flags;
        *event = error ? NULL : calloc(1, sizeof **event);
        return standin_leave(error);
}

STANDIN_API cudaError_t cudaEventDestroy(cudaEvent_t event)
{
        free(event);
        return cudaSuccess;
}

STANDIN_API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
        cudaError_t error = standin_enter("cudaEventRecord");

        event->stream = stream;
        event->until = stream ? stream->begun : 0;
        return standin_leave(error);
}

STANDIN_API cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
        cudaError_t error = standin_enter("cudaEventSynchronize");
        cudaError_t own = event->stream ? await(event->stream, event->until) : cudaSuccess;

        return standin_leave(own ? own : error);
}

/* ---- copies --------------------------------------------------------------------------------------------------- */

static int is_host(enum standin_kind kind)
{
        return kind == STANDIN_PAGEABLE || kind == STANDIN_HOST || kind == STANDIN_REGISTERED;
}

static int fits(enum cudaMemcpyKind kind, enum standin_kind to, enum standin_kind from)
{
        switch (kind) {
        case cudaMemcpyHostToHost:
                return to != STANDIN_DEVICE && from != STANDIN_DEVICE;
        case cudaMemcpyHostToDevice:
                return !is_host(to) && from != STANDIN_DEVICE;
        case cudaMemcpyDeviceToHost:
                return to != STANDIN_DEVICE && !is_host(from);
        case cudaMemcpyDeviceToDevice:
                return !is_host(to) && !is_host(from);
        case cudaMemcpyDefault:
                return 1;
        }
        return 0;
}

static cudaError_t add(struct standin_stream *stream, char *to, const char *from, size_t bytes)
{
        struct copy *copy = malloc(sizeof *copy);

        if (!copy)
                return cudaErrorMemoryAllocation;
        *copy = (struct copy){to, from, bytes, NULL};
        *stream->last = copy;
        stream->last = &copy->next;
        stream->begun++;
        pthread_cond_signal(&stream->come);
        return cudaSuccess;
}

/* With the default stream, or memory that is not pinned, it is over when this returns. */
static cudaError_t begin(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
        enum standin_kind to_kind, from_kind;
        char *real_to = standin_real(to, bytes, &to_kind), *real_from = standin_real(from, bytes, &from_kind);
        int pageable = to_kind == STANDIN_PAGEABLE || from_kind == STANDIN_PAGEABLE;
        cudaError_t error;

        if (!real_to || !real_from || !fits(kind, to_kind, from_kind))
                return cudaErrorInvalidValue;
        standin_count_copy(!pageable);
        if (!stream) {
                error = await_all(standin_physical(), 1);
                memcpy(real_to, real_from, bytes);
                return error;
        }
        error = add(stream, real_to, real_from, bytes);
        return error || !pageable ? error : await(stream, stream->begun);
}

STANDIN_API cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
        cudaError_t error = standin_enter("cudaMemcpy");

        return standin_leave(error ? error : begin(to, from, bytes, kind, NULL));
}

STANDIN_API cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                                        cudaStream_t stream)
{
        cudaError_t error = standin_enter("cudaMemcpyAsync");

        return standin_leave(error ? error : begin(to, from, bytes, kind, stream));
}
