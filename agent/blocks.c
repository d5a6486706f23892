/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blocks: the threads that take an image's blocks one by one, and who waits.  Called by pipeline and reader. */
#include "blocks.h"

#include <errno.h>
#include <stdlib.h>
#include "clock.h"

/* The blocks in which [at, at + n) lies. */
static uint64_t first_of(uint64_t at)
{
        return at / BLOCKS_BYTES;
}

static uint64_t behind(uint64_t at, uint64_t n)
{
        return (at + n + BLOCKS_BYTES - 1) / BLOCKS_BYTES;
}

/* Under the lock. */
static void advance(struct blocks *b, uint64_t block)
{
        uint64_t frontier = atomic_load(&b->frontier), at = first_of(frontier);

        b->done[block] = 1;
        b->ended_ns = clock_now();
        while (at < b->count && b->done[at])
                at++;
        if (at * BLOCKS_BYTES > frontier) {
                frontier = at < b->count ? at * BLOCKS_BYTES : b->bytes;
                atomic_store(&b->frontier, frontier);
                if (b->on_progress)
                        b->on_progress(b->arg, frontier);
        }
        pthread_cond_broadcast(&b->changed);
}

/* Under the lock: whether the next block would be too far ahead. */
static int must_wait(const struct blocks *b)
{
        return b->window && b->taken < b->count && b->taken >= first_of(b->passed) + b->window &&
               !atomic_load(&b->stopped);
}

/* The next block for a thread that has done with `last` (UINT64_MAX: none); UINT64_MAX when there is none. */
static uint64_t next_block(struct blocks *b, uint64_t last)
{
        uint64_t block = UINT64_MAX;

        pthread_mutex_lock(&b->lock);
        if (last != UINT64_MAX)
                advance(b, last);
        while (must_wait(b))
                pthread_cond_wait(&b->changed, &b->lock);
        if (b->taken < b->count && !atomic_load(&b->stopped))
                block = b->taken++;
        pthread_mutex_unlock(&b->lock);
        return block;
}

static void *take_blocks(void *arg)
{
        struct blocks *b = arg;
        struct stint_error err = { 0 };
        uint64_t block = UINT64_MAX, at, n;

        while ((block = next_block(b, block)) != UINT64_MAX) {
                at = block * BLOCKS_BYTES;
                n = b->bytes - at < BLOCKS_BYTES ? b->bytes - at : BLOCKS_BYTES;
                if (b->on_block(b->arg, at, n, &err) < 0) {
                        blocks_stop(b, &err);
                        break;
                }
        }
        return NULL;
}

int blocks_start(struct blocks *b, struct stint_error *err)
{
        int rc = 0;

        b->count = behind(0, b->bytes);
        b->done = calloc(b->count, 1);
        if (!b->done)
                return error_system(err, ENOMEM, "no memory for a line of %llu blocks", (unsigned long long)b->count);
        pthread_mutex_init(&b->lock, NULL);
        pthread_cond_init(&b->changed, NULL);
        while (rc == 0 && b->n_threads < BLOCKS_THREADS && b->n_threads < b->count) {
                rc = pthread_create(&b->threads[b->n_threads], NULL, take_blocks, b);
                if (rc == 0)
                        b->n_threads++;
        }
        if (b->n_threads > 0) /* fewer are slower and no failure */
                return 0;
        pthread_cond_destroy(&b->changed);
        pthread_mutex_destroy(&b->lock);
        free(b->done);
        return error_system(err, rc, "cannot start a thread for the disk");
}

/* Under the lock. */
static int all_done(const struct blocks *b, uint64_t at, uint64_t n)
{
        uint64_t block;

        for (block = first_of(at); block < behind(at, n); block++)
                if (!b->done[block])
                        return 0;
        return 1;
}

int blocks_await(struct blocks *b, uint64_t at, uint64_t n, struct stint_error *err)
{
        int rc = 0;

        if (at + n <= atomic_load(&b->frontier))
                return 0;
        pthread_mutex_lock(&b->lock);
        while (!all_done(b, at, n) && !atomic_load(&b->stopped))
                pthread_cond_wait(&b->changed, &b->lock);
        if (!all_done(b, at, n))
                rc = error_set(err, b->err.code, "%s", b->err.text);
        pthread_mutex_unlock(&b->lock);
        return rc;
}

void blocks_pass(struct blocks *b, uint64_t upto)
{
        pthread_mutex_lock(&b->lock);
        if (first_of(upto) > first_of(b->passed)) {
                b->passed = upto;
                pthread_cond_broadcast(&b->changed);
        }
        pthread_mutex_unlock(&b->lock);
}

void blocks_stop(struct blocks *b, const struct stint_error *why)
{
        pthread_mutex_lock(&b->lock);
        if (!atomic_load(&b->stopped)) {
                b->err = *why;
                atomic_store(&b->stopped, 1);
        }
        pthread_cond_broadcast(&b->changed);
        pthread_mutex_unlock(&b->lock);
}

int blocks_join(struct blocks *b, struct stint_error *err)
{
        unsigned i;

        for (i = 0; i < b->n_threads; i++)
                pthread_join(b->threads[i], NULL);
        pthread_cond_destroy(&b->changed);
        pthread_mutex_destroy(&b->lock);
        free(b->done);
        return atomic_load(&b->stopped) ? error_set(err, b->err.code, "%s", b->err.text) : 0;
}
