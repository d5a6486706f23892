/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mapping: the image of a checkpoint in this process's address space.  Where its pages are small, to fill its page
 * tables costs as much as to copy the image, and to let go of it half of that; so both are done on a thread of its own:
 * the first as soon as the agent shows an image that it has read ahead, while the program still makes its model, the
 * second while it trains.  Where they are large, both take the thread a millisecond.
 */
#ifndef STINT_MAPPING_H
#define STINT_MAPPING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

struct mapping {
        void *base;             /* what was prepared and not taken; NULL: nothing */
        size_t bytes;
        uint64_t device, inode; /* of its memory, by which it is known again */
        pthread_t thread;
        int at_work;            /* there is one, to be joined */
        void *job;              /* what it works on */
        size_t job_bytes;
        atomic_int stop;        /* tells it to end */
};

/* Maps memory that may be asked for soon, to read it, and makes its page tables in the background.  fd stays open. */
void mapping_prepare(struct mapping *m, int fd, size_t bytes);

/* That memory, mapped: as it was prepared, or now.  The caller has it from here on.  NULL with err. */
void *mapping_take(struct mapping *m, int fd, size_t bytes, struct stint_error *err);

/* Unmaps what was taken, or with NULL what was prepared in vain, in the background. */
void mapping_let_go(struct mapping *m, void *base, size_t bytes);

/* Waits for what is still being unmapped. */
void mapping_fini(struct mapping *m);

#endif
