/* A stand-in for the CUDA runtime: what its rooms share.  SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * standin: pretended devices, and what tests ask them.  CUDA_STANDIN in the environment says what there is; it is read
 * at the first call:
 *
 *   CUDA_STANDIN=SETTING[,SETTING...]
 *     devices=N             before CUDA_VISIBLE_DEVICES chooses from them (1; at most 16)
 *     memory=BYTES          of each (64 MiB)
 *     uuids=WORD[:WORD...]  theirs ("GPU-0000", "GPU-0001", ...); one that begins with "MIG-" is an instance of the GPU
 * before it, which is divided then
 *     late=MS               an asynchronous copy begins so much later
 *     register=off          cudaHostRegister fails;  read_only=off: when asked for memory that is only read
 *     pinned=off            cudaHostAlloc fails too
 *     driver=old            every call says cudaErrorInsufficientDriver
 *     fail=CALL:N[:CODE]    the N-th call of that function returns that error (999); CALL "copy" is the N-th
 * asynchronous copy that is made, told by what waits for it.  Codes from 700 to 719 stay, as with CUDA
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <cuda_runtime_api.h>
#include <pthread.h>

#define STANDIN_MOST 16
#define STANDIN_API __attribute__((visibility("default")))

/* ---- for tests ------------------------------------------------------------------------------------------------ */

/* 1 when that device, in the program's numbering, has a context. */
int standin_context(int device);

/* The UUID of that device; "" when there is none.  For programs that are no tests, too. */
const char *standin_uuid(int device);

/*
 * Which of n entries (STANDIN_MOST at most), GPUs by address with the instances of each behind it, a process with this
 * CUDA_VISIBLE_DEVICES sees (NULL: not set): their places, in its own numbers, go to chosen[], which has room for n.
 * How many.  Pure.
 */
int standin_visible(const char *const *uuid, int n, const char *text, int *chosen);

struct standin_counts {
        unsigned long registered;       /* ranges of host memory that are pinned now */
        unsigned long pinned, pageable; /* copies begun so far whose host side was pinned, was not */
        unsigned long streams;          /* made so far */
};
struct standin_counts standin_counts(void);

/* Of these `registered`, for programs that are no tests. */
unsigned long standin_registered(void);

/* 1 when the program has called the runtime, which initialises the driver. */
int standin_initialised(void);

/* Reads CUDA_STANDIN once more, but for what devices there are; calls are counted anew and errors that stay go. */
void standin_again(void);

/* Of the driver; no header of the stand-in has it, since the plugin finds them by name. */
int cuDeviceGet(int *device, int ordinal);
int cuDevicePrimaryCtxGetState(int device, unsigned int *flags, int *active);
int cuDeviceTotalMem_v2(size_t *bytes, int device);

/* ---- cudart.c and cudart_memory.c, for each other and for cudart_streams.c -------------------------------------- */

enum standin_kind { STANDIN_PAGEABLE, STANDIN_HOST, STANDIN_REGISTERED, STANDIN_DEVICE, STANDIN_MANAGED };

/* Memory that the runtime knows of.  What lies behind the address of a device's is somewhere else. */
struct standin_block {
        enum standin_kind kind;
        char *base, *real;
        size_t bytes;
        int device; /* of those that are there, not the program's number */
        struct standin_block *next;
};

/* All there is, with the lock. */
struct standin_all {
        int ready, initialised, count, visible;
        int physical[STANDIN_MOST]; /* of the program's numbers */
        int context[STANDIN_MOST];
        size_t memory, used[STANDIN_MOST];
        char uuid[STANDIN_MOST][64];
        int no_register, no_read_only, no_pinned, old_driver;
        char fail_call[64];
        long fail_at, calls;
        cudaError_t fail_code, stays;
        struct standin_block *blocks;
        struct standin_counts counts;
};

extern struct standin_all standin_it;
extern pthread_mutex_t standin_lock;
extern pthread_cond_t standin_moved; /* a copy has come to its end */
extern long standin_late_ms;
extern _Thread_local int standin_current;

/* What every function of the interface begins with: the error that it shall return, or cudaSuccess with a context. */
cudaError_t standin_enter(const char *function);
/* And ends with. */
cudaError_t standin_leave(cudaError_t error);

/* With the lock.  The N-th `what` that was asked to fail: its code, else cudaSuccess. */
cudaError_t standin_fault(const char *what);

/* With the lock: where these bytes really are, and what they are.  NULL when they leave what they begin in. */
char *standin_real(const void *pointer, size_t bytes, enum standin_kind *kind);

/* With the lock: the physical number of the calling thread's device. */
int standin_physical(void);

void standin_count_copy(int pinned);
void standin_count_stream(void);

/* Ends the program: the caller has done what corrupts memory with a real device. */
void standin_abuse(const char *what) __attribute__((noreturn));

/* ---- cudart_streams.c, for cudart.c --------------------------------------------------------------------------- */

/* With the lock: waits until no copy is on its way on that device, -1: on any. */
void standin_drain(int device);

/* With the lock: 1 when a copy is on its way from or to these bytes. */
int standin_busy(const char *real, size_t bytes);

#endif
