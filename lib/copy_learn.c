/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy_learn: how many helpers a copy pays for, found out by trying, once, on a thread of its own.  lib/snapshot.c has
 * it begin when staging is there; a save that comes in between ends the measurement it meets, and goes on at once.
 *
 * What is compared is the sum of the speeds of all members, each against the time that it was running itself: a core
 * that training keeps busy meanwhile says nothing against a helper that will run there while training waits.
 */
#include "copy.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include "clock.h"
#include "cores.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PROBE_BYTES ((size_t)16 << 20)
#define PROBE_STEP ((uint64_t)256 << 10)
#define ROUNDS 6      /* the best of them counts */
#define APART_NS (40 * CLOCK_MS) /* between two rounds, so that what else the machine does at a moment decides less */
#define PAYS 1.05     /* more helpers must be that much faster; the first one must be no slower, for it costs little */

/* The numbers of helpers that are tried. */
static const int tried[] = { 0, 1, 2, 3, 5, 7, 11, CREW_MOST };
#define TRIED ((int)(sizeof tried / sizeof tried[0]))

struct trial {
        struct copy *copy;
        char *memory; /* two halves, copied to and fro: what was streamed is in no cache when it is read */
        struct copy_piece piece;
        uint64_t bytes[CREW_MOST + 1];
        int64_t ran_ns[CREW_MOST + 1];
        double best[TRIED]; /* bytes per nanosecond; 0: not tried */
};

/* ---- one measurement ------------------------------------------------------------------------------------------ */

static int64_t ran_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

static void work(void *arg, int member)
{
        struct trial *t = arg;
        int64_t began_ns = ran_ns();

        t->bytes[member] = copy_work(&t->copy->probe);
        t->ran_ns[member] = ran_ns() - began_ns;
}

/* Waits for the crew, behind everybody who copies; -1 when it is time to end. */
static int take(struct copy *c)
{
        int ends;

        pthread_mutex_lock(&c->lock);
        while ((c->taken || c->waited_for) && !atomic_load(&c->stop))
                pthread_cond_wait(&c->free, &c->lock);
        ends = atomic_load(&c->stop);
        if (!ends) {
                c->taken = 1;
                atomic_store(&c->probe.next, 0);
        }
        pthread_mutex_unlock(&c->lock);
        return ends ? -1 : 0;
}

/* The speed of one copy with so many helpers; 0 when it was ended early. */
static double measure(struct trial *t, int helpers)
{
        uint64_t bytes = 0;
        double speed = 0;
        int i;

        memset(t->bytes, 0, sizeof t->bytes);
        crew_work(&t->copy->crew, helpers, work, t);
        for (i = 0; i <= helpers; i++) {
                bytes += t->bytes[i];
                if (t->ran_ns[i] > 0)
                        speed += (double)t->bytes[i] / (double)t->ran_ns[i];
        }
        return bytes == PROBE_BYTES ? speed : 0;
}

/* ---- all of them ---------------------------------------------------------------------------------------------- */

static int try_number(struct trial *t, int which)
{
        const char *from = t->piece.from;
        double speed;

        if (take(t->copy) < 0)
                return -1;
        speed = measure(t, tried[which]);
        t->piece.from = t->piece.to;
        t->piece.to = (char *)from;
        t->best[which] = speed > t->best[which] ? speed : t->best[which];
        copy_leave(t->copy);
        return 0;
}

/* The fewest helpers that no larger number beats by enough. */
static int choose(const struct trial *t)
{
        int chosen = t->best[1] > t->best[0], i;

        for (i = 2; i < TRIED; i++)
                if (t->best[i] > t->best[chosen] * PAYS)
                        chosen = i;
        return tried[chosen];
}

static void pause_between(struct copy *c)
{
        struct timespec until;
        int rc = 0;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += APART_NS;
        until.tv_sec += until.tv_nsec / CLOCK_SECOND;
        until.tv_nsec %= CLOCK_SECOND;
        pthread_mutex_lock(&c->lock);
        while (!atomic_load(&c->stop) && rc == 0)
                rc = pthread_cond_timedwait(&c->free, &c->lock, &until);
        pthread_mutex_unlock(&c->lock);
}

static int try_all(struct trial *t, int most)
{
        int round, i;

        t->piece = (struct copy_piece){ .to = t->memory + PROBE_BYTES, .from = t->memory, .bytes = PROBE_BYTES,
                                        .end = PROBE_BYTES };
        for (round = 0; round < ROUNDS; round++, pause_between(t->copy))
                for (i = 0; i < TRIED && tried[i] <= most; i++)
                        if (try_number(t, i) < 0)
                                return -1;
        return 0;
}

/* Gets the crew together and the number that is right before anything is measured. */
static int begin(struct copy *c)
{
        int most;

        if (take(c) < 0)
                return 0;
        most = crew_hire(&c->crew, (c->asked ? c->asked : cores_usable()) - 1);
        c->helpers = c->asked ? most : most > 0;
        copy_leave(c);
        return c->asked ? 0 : most;
}

static void settle(struct copy *c, int helpers)
{
        if (take(c) < 0)
                return;
        c->helpers = helpers;
        crew_dismiss(&c->crew, helpers);
        copy_leave(c);
}

static void *learn(void *arg)
{
        struct copy *c = arg;
        struct trial t = { .copy = c };
        int most;

        prctl(PR_SET_NAME, "stint-learn");
        most = begin(c);
        if (most <= 0)
                return NULL;
        t.memory = mmap(NULL, 2 * PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (t.memory == MAP_FAILED)
                return NULL; /* one helper it is */
        if (madvise(t.memory, 2 * PROBE_BYTES, MADV_POPULATE_WRITE) < 0)
                memset(t.memory, 1, 2 * PROBE_BYTES);
        c->probe.pieces = &t.piece;
        if (try_all(&t, most) == 0)
                settle(c, choose(&t));
        munmap(t.memory, 2 * PROBE_BYTES);
        return NULL;
}

void copy_learn(struct copy *c)
{
        sigset_t all, before;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pthread_mutex_lock(&c->lock);
        if (!c->learning) {
                c->probe = (struct copy_job){ .count = 1, .bytes = PROBE_BYTES, .step = PROBE_STEP, .way = COPY_OUT };
                c->learning = pthread_create(&c->learner, NULL, learn, c) == 0;
        }
        pthread_mutex_unlock(&c->lock);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
}
