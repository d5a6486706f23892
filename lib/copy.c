/* SPDX-License-Identifier: BSD-3-Clause */
/* copy: many tensors at once, by several threads.  Snapshot and restore call in. */
#include "copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cores.h"
#include "stream.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels answer EINVAL, and the pages come one by one */
#endif

/*
 * One thread's share at a time: long enough that each is one stream for the memory, short enough that nobody waits long
 * for the last one.
 */
#define STEP_MOST ((uint64_t)2 << 20)
#define STEP_LEAST ((uint64_t)256 << 10)
#define PRESENT_LEAST ((uint64_t)64 << 10) /* for fewer bytes of a tensor it is not asked whether they have pages */
#define FIRST_ROOM 256
#define EXPECTED_HELPERS 3 /* four threads come near the bandwidth of most sockets */

/* ---- the list ------------------------------------------------------------------------------------------------- */

static int grow(struct copy *c)
{
        size_t room = c->room ? 2 * c->room : FIRST_ROOM;
        struct copy_piece *pieces = reallocarray(c->pieces, room, sizeof *pieces);

        if (!pieces)
                return -1;
        c->pieces = pieces;
        c->room = room;
        return 0;
}

void copy_add(struct copy *c, void *to, const void *from, uint64_t bytes)
{
        uint64_t before = c->count ? c->pieces[c->count - 1].end : 0;

        if (!bytes)
                return;
        if (c->count == c->room && grow(c) < 0) {
                memcpy(to, from, bytes);
                return;
        }
        c->pieces[c->count++] = (struct copy_piece){ .to = to, .from = from, .bytes = bytes, .end = before + bytes };
}

void copy_forget(struct copy *c)
{
        c->count = 0;
}

/* ---- a member's part ------------------------------------------------------------------------------------------ */

/* The piece that byte `at` of the whole list is in. */
static const struct copy_piece *piece_at(const struct copy_job *job, uint64_t at)
{
        size_t low = 0, high = job->count - 1, middle;

        while (low < high) {
                middle = low + (high - low) / 2;
                if (job->pieces[middle].end > at)
                        high = middle;
                else
                        low = middle + 1;
        }
        return &job->pieces[low];
}

/*
 * Memory that the program has not touched yet has no pages, and getting them one fault at a time takes longer than the
 * copy does: where the first page of a stretch is missing, all are made at once.  Where pages are there, making them
 * present would cost a third of the copy, so it is asked first.
 */
static void make_present(char *to, uint64_t bytes)
{
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)to + page - 1) & ~(page - 1);
        uintptr_t end = ((uintptr_t)to + bytes) & ~(page - 1);
        unsigned char present;

        if (bytes < PRESENT_LEAST || mincore((void *)first, page, &present) < 0 || present & 1)
                return;
        madvise((void *)first, end - first, MADV_POPULATE_WRITE);
}

static void copy_stretch(const struct copy_job *job, uint64_t at, uint64_t end)
{
        const struct copy_piece *piece;
        uint64_t skip, bytes;

        for (piece = piece_at(job, at); at < end; piece++, at += bytes) {
                skip = at - (piece->end - piece->bytes);
                bytes = piece->bytes - skip < end - at ? piece->bytes - skip : end - at;
                if (job->way == COPY_BACK)
                        make_present(piece->to + skip, bytes);
                stream_copy(piece->to + skip, piece->from + skip, bytes);
        }
}

uint64_t copy_work(struct copy_job *job)
{
        uint64_t at, end, done = 0;

        while ((at = atomic_fetch_add(&job->next, job->step)) < job->bytes) {
                end = at + job->step < job->bytes ? at + job->step : job->bytes;
                copy_stretch(job, at, end);
                done += end - at;
        }
        stream_fence();
        return done;
}

/* ---- all together --------------------------------------------------------------------------------------------- */

static void work(void *arg, int member)
{
        (void)member;
        copy_work(arg);
}

static uint64_t step_for(uint64_t bytes, int threads)
{
        uint64_t step = bytes / (uint64_t)threads / 16;

        return step > STEP_MOST ? STEP_MOST : step < STEP_LEAST ? STEP_LEAST : step;
}

/* Waits until the crew is free; a measurement that has it ends early. */
static void take(struct copy *c)
{
        pthread_mutex_lock(&c->lock);
        c->waited_for++;
        atomic_store(&c->probe.next, COPY_NO_MORE);
        while (c->taken)
                pthread_cond_wait(&c->free, &c->lock);
        c->waited_for--;
        c->taken = 1;
        pthread_mutex_unlock(&c->lock);
}

void copy_leave(struct copy *c)
{
        pthread_mutex_lock(&c->lock);
        c->taken = 0;
        pthread_cond_broadcast(&c->free);
        pthread_mutex_unlock(&c->lock);
}

void copy_run(struct copy *c, enum copy_way way)
{
        struct copy_job *job = &c->job;

        if (!c->count)
                return;
        take(c);
        job->pieces = c->pieces;
        job->count = c->count;
        job->bytes = c->pieces[c->count - 1].end;
        job->step = step_for(job->bytes, c->helpers + 1);
        job->way = way;
        atomic_store(&job->next, 0);
        crew_work(&c->crew, job->bytes < COPY_ALONE ? 0 : c->helpers, work, job);
        c->count = 0;
        copy_leave(c);
}

void copy_hire(struct copy *c, uint64_t bytes)
{
        int most;

        if (bytes < COPY_ALONE)
                return;
        take(c);
        if (c->learning) {
                copy_leave(c);
                return;
        }
        most = (c->asked ? c->asked : cores_usable()) - 1;
        if (!c->asked && most > EXPECTED_HELPERS)
                most = EXPECTED_HELPERS;
        c->helpers = crew_hire(&c->crew, most);
        copy_leave(c);
}

/* ---- beginning and end ---------------------------------------------------------------------------------------- */

static int read_asked(int *asked, struct stint_error *err)
{
        const char *text = getenv("STINT_COPY_THREADS");
        char *end;
        long n;

        if (!text || !*text)
                return 0;
        n = strtol(text, &end, 10);
        if (*end || n < 1 || n > CREW_MOST + 1)
                return error_set(err, EINVAL, "STINT_COPY_THREADS=%.40s is not a number from 1 to %d: it is ignored",
                                 text, CREW_MOST + 1);
        *asked = (int)n;
        return 0;
}

int copy_init(struct copy *c, struct stint_error *err)
{
        pthread_condattr_t steady;

        memset(c, 0, sizeof *c);
        crew_init(&c->crew);
        pthread_mutex_init(&c->lock, NULL);
        pthread_condattr_init(&steady);
        pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
        pthread_cond_init(&c->free, &steady);
        pthread_condattr_destroy(&steady);
        return read_asked(&c->asked, err);
}

void copy_fini(struct copy *c)
{
        if (c->learning) {
                pthread_mutex_lock(&c->lock);
                atomic_store(&c->stop, 1);
                atomic_store(&c->probe.next, COPY_NO_MORE);
                pthread_cond_broadcast(&c->free);
                pthread_mutex_unlock(&c->lock);
                pthread_join(c->learner, NULL);
        }
        crew_fini(&c->crew);
        pthread_cond_destroy(&c->free);
        pthread_mutex_destroy(&c->lock);
        free(c->pieces);
}
