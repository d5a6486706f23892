/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work: everything of the agent that blocks (HDF5, hashing, reading, writing, populating memory) goes to libuv's
 * threads through here.  Jobs of one line run one after another, in the order they were started: HDF5 must not be
 * entered twice at the same time.  Jobs without a line run side by side.
 */
#ifndef STINT_WORK_H
#define STINT_WORK_H

#include <uv.h>

struct work_line {
        struct work *first, *last; /* first is the one that runs */
};

/* One job: the first member of the struct that holds what it needs and what it found. */
struct work {
        uv_work_t request;
        uv_loop_t *loop;
        struct work_line *line;
        struct work *next;
        void (*run)(struct work *);  /* on a thread: may block, must not touch what the loop's thread owns */
        void (*done)(struct work *); /* on the loop's thread, afterwards; may free the job */
};

/* Threads for these jobs, read by libuv when the first is started; call it before any thread exists. */
void work_prepare(void);

/* Starts a job.  line may be NULL. */
void work_start(uv_loop_t *loop, struct work_line *line, struct work *work, void (*run)(struct work *),
                void (*done)(struct work *));

#endif
