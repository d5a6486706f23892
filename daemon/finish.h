/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * finish: one write that an agent handed over, and the rest of it when that agent is gone: from the memory that stintd
 * gave, to the two descriptors that the owner's own process opened, and to nothing else.  What is here may block for
 * ever, so it runs on a thread of finishes.c, which also says when there is no more time.
 */
#ifndef STINTD_FINISH_H
#define STINTD_FINISH_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include "error.h"
#include "seal.h"
#include "users.h"

struct finishes;

enum finish_state {
        FINISH_HELD = 0, /* the agent is at work, and stintd only holds what it was handed */
        FINISH_WAITING,  /* the agent is gone; other writes of its user come first */
        FINISH_RUNNING,  /* on its thread */
        FINISH_OVER      /* told; what is left is closing the descriptors, which may hang too */
};

struct finish {
        int file_fd, seal_fd, image_fd;
        int *more, n_more;   /* descriptors that came with them, only to be closed */
        uid_t uid;           /* whose the files must be */
        struct seal seal;    /* what the image says of itself; its hashes are found here */
        uint64_t image_bytes;
        uint64_t written;    /* so much of the file is written, but for pages with hashes and a last one not full */
        int64_t until_ns;    /* what is not sealed by then is given up */
        atomic_int stop;     /* for the thread: there is no more time */

        /* What became of it: the thread's, until it has said `ended`. */
        int failed;
        struct stint_error err;
        uint64_t wrote; /* bytes */

        /* Of finishes.c. */
        struct finish *next;
        struct finishes *all;
        struct user *user;
        enum finish_state state;
        int writes;               /* for the thread: it is to write, and not only to close */
        int threaded;
        int sealed;               /* when on_over is called: all of it is on disk */
        atomic_int ended, closed; /* how far the thread has come */
        int64_t begun_ns;
        char label[256];          /* "job 4711: step 1200, rank 0 of 4" */
        void (*on_over)(void *arg, struct finish *f); /* NULL: nobody waits for it */
        void *arg;
};

/* 0 when a descriptor is open for reading and writing, as both must be; asks the kernel alone, and never blocks. */
int finish_check_mode(int fd, const char *what, struct stint_error *err);

/* Writes the rest, syncs it, and seals it: 0; -1 with the reason, and no seal.  What the thread does. */
int finish_write(struct finish *f, struct stint_error *err);

#endif
