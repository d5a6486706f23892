/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blocks: the bytes of an image as a line of blocks that several threads take one after another, to write or to read
 * them; a disk gives its best only when it is asked for several things at a time.  Called by pipeline and reader, which
 * hash behind it.
 */
#ifndef STINT_BLOCKS_H
#define STINT_BLOCKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include "error.h"

/*
 * Four threads with 4 MiB each reach what the disk gives; two do not always, and more or larger ones gain nothing and
 * take the cores from the training.
 */
#define BLOCKS_BYTES (UINT64_C(4) << 20)
#define BLOCKS_THREADS 4

struct blocks {
        /* Set before blocks_start. */
        uint64_t bytes;  /* of the image, 1 at least; the last block may be shorter */
        uint64_t window; /* blocks that may be begun before the bytes before them are passed; 0: all */
        /* One block, on any of the threads. */
        int (*on_block)(void *arg, uint64_t at, uint64_t n, struct stint_error *err);
        /* May be NULL: the first `upto` bytes are done.  With rising numbers, by one thread at a time. */
        void (*on_progress)(void *arg, uint64_t upto);
        void *arg;

        /* How far it is. */
        atomic_int stopped;
        _Atomic uint64_t frontier; /* all bytes before it are done */
        int64_t ended_ns;          /* when the last block was done; after blocks_join */

        pthread_mutex_t lock; /* of all that follows */
        pthread_cond_t changed;
        uint64_t count, taken, passed;
        unsigned char *done; /* one for each block */
        struct stint_error err;
        pthread_t threads[BLOCKS_THREADS];
        unsigned n_threads;
};

/* Begins.  After 0, and only then, blocks_join must follow. */
int blocks_start(struct blocks *b, struct stint_error *err);

/* Waits until [at, at + n) is done.  -1 with what stopped it when that will never be. */
int blocks_await(struct blocks *b, uint64_t at, uint64_t n, struct stint_error *err);

/* With a window: the first `upto` bytes are not needed any more. */
void blocks_pass(struct blocks *b, uint64_t upto);

/* Makes the threads end after the block they are at, for this reason; the first reason stands. */
void blocks_stop(struct blocks *b, const struct stint_error *why);

/* Waits for the threads.  0 when every block is done, else -1 and the first failure. */
int blocks_join(struct blocks *b, struct stint_error *err);

#endif
