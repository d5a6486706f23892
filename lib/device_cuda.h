/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_cuda: the rooms of the plugin stint-device-cuda.so and what they ask of each other.  device_cuda.c is what
 * libstint calls; it hands tasks to a thread of the plugin's own (device_cuda_thread.c), which does them in order
 * (device_cuda_copy.c).
 *
 * Why a thread: the program's own threads keep their current device, whatever is copied meanwhile, and a device that
 * the program does not use gets no context by being made current for a moment.  The thread makes only such
 * devices current as hold memory of the program's, and so finds the primary context that the program made.
 */
#ifndef STINT_DEVICE_CUDA_H
#define STINT_DEVICE_CUDA_H

#include <stddef.h>
#include "error.h"

enum cuda_task_kind { CUDA_LOOK, CUDA_COPY_OUT, CUDA_COPY_IN, CUDA_SYNC, CUDA_PIN, CUDA_PIN_TO_READ, CUDA_UNPIN };

struct cuda_task {
        enum cuda_task_kind kind;
        void *host;    /* a copy's other side; what is pinned or unpinned */
        void *pointer; /* the device's side of a copy; what is looked at */
        size_t bytes;
        const char *name;        /* the tensor, for errors */
        int *index;              /* CUDA_LOOK: receives the device */
        int *rc;                 /* receives what cuda_do answers, and *err with it; NULL where nobody waits */
        struct stint_error *err; /* never NULL where rc is not */
};

/* ---- device_cuda_thread.c ------------------------------------------------------------------------------------- */

/* Has it done, some time.  -1 when there is no thread, or no memory to note it. */
int cuda_thread_begin(const struct cuda_task *task, struct stint_error *err);

/* Has it done behind all that was begun, and waits: what cuda_do answered.  task->rc is filled here. */
int cuda_thread_do(struct cuda_task *task, struct stint_error *err);

/* ---- device_cuda_copy.c: on that thread ----------------------------------------------------------------------- */

/* Once, before the first task. */
void cuda_begin(void);

/* Does it.  A copy that fails is told by the next CUDA_SYNC. */
int cuda_do(const struct cuda_task *task, struct stint_error *err);

/* ---- device_cuda.c: on any thread ----------------------------------------------------------------------------- */

/*
 * 1 with the device that has all these bytes, as its own memory or as managed memory; 0 when they are the host's,
 * pinned or not; -1 when CUDA does not say.  A context must be there on the current device, or this makes one.
 */
int cuda_look(const void *pointer, size_t bytes, int *index, struct stint_error *err);

/* 1 when the program has its primary context on that device, 0 when it has not, -1 when that cannot be told. */
int cuda_in_use(int device);

/* A device that has memory of an attached tensor; -1: none was met. */
int cuda_met(void);

#endif
