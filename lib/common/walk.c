/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * walk: from bytes to hashes.  A tensor's hash needs its bytes in order and nothing of the others, so several threads
 * take one tensor after another; the hash of the rest runs through the whole file and belongs to one of them.
 */
#include "walk.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "checksum.h"

#define HELPERS_MOST 15

struct walking {
        const struct extents *x;
        struct image_source *source;
        struct sums *sums;
        atomic_size_t next;   /* extent that no helper has taken yet */
        atomic_int stopped;   /* by the first failure */
        pthread_mutex_t lock; /* of err */
        struct stint_error err;
};

int sums_init(struct sums *sums, uint64_t count, struct stint_error *err)
{
        uint64_t i;

        *sums = (struct sums){ .tensors = malloc((count + 1) * sizeof *sums->tensors), .stored = calloc(count + 1, 8) };
        if (!sums->tensors || !sums->stored) {
                sums_fini(sums);
                return error_system(err, ENOMEM, "cannot hash %" PRIu64 " tensors", count);
        }
        for (i = 0; i < count; i++)
                sums->tensors[i] = checksum("", 0); /* of a tensor without bytes, which no extent will replace */
        return 0;
}

void sums_fini(struct sums *sums)
{
        free(sums->tensors);
        free(sums->stored);
}

/* The first failure is the one that is told; the others follow from it. */
static void stop(struct walking *w, const struct stint_error *why)
{
        pthread_mutex_lock(&w->lock);
        if (!atomic_load(&w->stopped)) {
                w->err = *why;
                atomic_store(&w->stopped, 1);
        }
        pthread_mutex_unlock(&w->lock);
}

static const unsigned char *take(struct walking *w, uint64_t at, uint64_t most, uint64_t *n, struct stint_error *err)
{
        if (!atomic_load_explicit(&w->stopped, memory_order_relaxed))
                return w->source->take(w->source, at, most, n, err);
        error_set(err, ECANCELED, "hashing was given up");
        return NULL;
}

static int hash_into(struct walking *w, uint64_t at, uint64_t bytes, struct checksum *sum, struct stint_error *err)
{
        while (bytes > 0) {
                uint64_t n;
                const unsigned char *piece = take(w, at, bytes, &n, err);

                if (!piece)
                        return -1;
                checksum_add(sum, piece, n);
                at += n;
                bytes -= n;
        }
        return 0;
}

static int hash_tensor(struct walking *w, const struct extent *e, struct stint_error *err)
{
        uint64_t n, *hash = &w->sums->tensors[e->index];
        const unsigned char *piece = take(w, e->begin, e->bytes, &n, err);
        struct checksum *sum;
        int rc;

        if (!piece)
                return -1;
        /* The usual tensor is there in one piece, and needs no memory for its hash. */
        if (n == e->bytes) {
                *hash = checksum(piece, n);
                return 0;
        }
        sum = checksum_begin();
        if (!sum)
                return error_system(err, ENOMEM, "cannot hash a tensor");
        checksum_add(sum, piece, n);
        rc = hash_into(w, e->begin + n, e->bytes - n, sum, err);
        *hash = checksum_end(sum);
        return rc;
}

static int copy_stored(struct walking *w, const struct extent *e, struct stint_error *err)
{
        uint64_t done = 0, n;

        while (done < e->bytes) {
                const unsigned char *piece = take(w, e->begin + done, e->bytes - done, &n, err);

                if (!piece)
                        return -1;
                memcpy(w->sums->stored + done, piece, n);
                done += n;
        }
        return 0;
}

/* The whole file in its order; without the tensors where others hash them. */
static int walk_extents(struct walking *w, int tensors, struct checksum *rest, struct stint_error *err)
{
        uint64_t position = 0;
        size_t i;

        for (i = 0; i < w->x->n; i++) {
                const struct extent *e = &w->x->at[i];
                int rc = 0;

                if (hash_into(w, position, e->begin - position, rest, err) < 0)
                        return -1;
                if (e->kind == EXTENT_TABLE)
                        rc = hash_into(w, e->begin, e->bytes, rest, err);
                else if (e->kind == EXTENT_HASHES)
                        rc = copy_stored(w, e, err);
                else if (tensors)
                        rc = hash_tensor(w, e, err);
                if (rc < 0)
                        return -1;
                position = e->begin + e->bytes;
        }
        return hash_into(w, position, w->x->image_bytes - position, rest, err);
}

static int walk_rest(struct walking *w, int tensors, struct stint_error *err)
{
        struct checksum *rest = checksum_begin();
        int rc;

        if (!rest)
                return error_system(err, ENOMEM, "cannot hash the image");
        rc = walk_extents(w, tensors, rest, err);
        w->sums->rest = checksum_end(rest);
        return rc;
}

/* Tensor after tensor, as long as one is left that nobody has. */
static void *walk_tensors(void *arg)
{
        struct walking *w = arg;
        struct stint_error err = { 0 };
        size_t i;

        while ((i = atomic_fetch_add(&w->next, 1)) < w->x->n)
                if (w->x->at[i].kind == EXTENT_TENSOR && hash_tensor(w, &w->x->at[i], &err) < 0) {
                        stop(w, &err);
                        break;
                }
        return NULL;
}

/* A helper that cannot be had is missed by nobody: this thread comes to its tensors later. */
static void walk_together(struct walking *w)
{
        pthread_t helpers[HELPERS_MOST];
        struct stint_error err = { 0 };
        unsigned i, n = 0;

        while (n < HELPERS_MOST && n + 1 < w->source->threads &&
               pthread_create(&helpers[n], NULL, walk_tensors, w) == 0)
                n++;
        if (walk_rest(w, 0, &err) < 0)
                stop(w, &err);
        else
                walk_tensors(w);
        for (i = 0; i < n; i++)
                pthread_join(helpers[i], NULL);
}

int walk(const struct extents *x, struct image_source *source, struct sums *sums, struct stint_error *err)
{
        struct walking w = { .x = x, .source = source, .sums = sums, .lock = PTHREAD_MUTEX_INITIALIZER };

        if (source->threads <= 1)
                return walk_rest(&w, 1, err);
        walk_together(&w);
        pthread_mutex_destroy(&w.lock);
        return atomic_load(&w.stopped) ? error_set(err, w.err.code, "%s", w.err.text) : 0;
}

int walk_around(const struct extents *x, struct image_source *source, struct sums *sums, struct stint_error *err)
{
        struct walking w = { .x = x, .source = source, .sums = sums };

        return walk_rest(&w, 0, err);
}
