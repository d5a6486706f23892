/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mapping: an image mapped ahead of its use, and unmapped behind it.  restore.c takes it and lets it go; what the agent
 * shows comes from there too.
 */
#include "mapping.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "memory.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older kernels answer EINVAL */
#endif

#define PIECE ((size_t)16 << 20) /* after which the thread looks whether it is to end: a few milliseconds */

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* Entering every page does what populating does not have to have done. */
static void *fill(void *arg)
{
        struct mapping *m = arg;
        size_t at, n;

        for (at = 0; at < m->job_bytes && !atomic_load_explicit(&m->stop, memory_order_relaxed); at += n) {
                unsigned char *piece = (unsigned char *)m->job + at;

                n = m->job_bytes - at < PIECE ? m->job_bytes - at : PIECE;
                if (madvise(piece, n, MADV_POPULATE_READ) < 0 && errno != EINVAL)
                        break; /* the copy will find out what there is to find out */
                memory_enter(piece, n, 0);
        }
        device_pin(m->job, m->job_bytes, 1, &m->stop);
        return NULL;
}

static void *unmap(void *arg)
{
        struct mapping *m = arg;

        device_unpin(m->job, m->job_bytes);
        munmap(m->job, m->job_bytes);
        return NULL;
}

/* Signals are for the program's own threads. */
static int start(struct mapping *m, void *(*does)(void *arg), void *base, size_t bytes)
{
        sigset_t all, before;

        m->job = base;
        m->job_bytes = bytes;
        sigfillset(&all);
        atomic_store(&m->stop, 0);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        m->at_work = pthread_create(&m->thread, NULL, does, m) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return m->at_work ? 0 : -1;
}

static void join(struct mapping *m)
{
        if (!m->at_work)
                return;
        atomic_store(&m->stop, 1);
        pthread_join(m->thread, NULL);
        m->at_work = 0;
}

/* ---- what callers ask for ---------------------------------------------------------------------------------------- */

void mapping_prepare(struct mapping *m, int fd, size_t bytes)
{
        struct stat st;

        mapping_fini(m);
        if (fstat(fd, &st) < 0)
                return;
        m->base = memory_map(fd, 0, bytes, PROT_READ);
        if (!m->base)
                return;
        m->bytes = bytes;
        m->device = st.st_dev;
        m->inode = st.st_ino;
        start(m, fill, m->base, m->bytes);
}

static int is_it(const struct mapping *m, int fd, size_t bytes)
{
        struct stat st;

        return m->base && m->bytes == bytes && fstat(fd, &st) == 0 && st.st_dev == m->device && st.st_ino == m->inode;
}

void *mapping_take(struct mapping *m, int fd, size_t bytes, struct stint_error *err)
{
        void *base;

        if (is_it(m, fd, bytes)) {
                join(m);
                base = m->base;
                m->base = NULL;
                return base;
        }
        mapping_let_go(m, NULL, 0);
        base = memory_map(fd, 0, bytes, PROT_READ);
        if (!base)
                error_system(err, errno, "the %zu bytes of the checkpoint cannot be mapped", bytes);
        return base;
}

void mapping_let_go(struct mapping *m, void *base, size_t bytes)
{
        join(m);
        if (!base) {
                base = m->base;
                bytes = m->bytes;
                m->base = NULL;
        }
        if (base && start(m, unmap, base, bytes) < 0)
                unmap(m);
}

void mapping_fini(struct mapping *m)
{
        join(m);
        device_unpin(m->base, m->bytes);
        if (m->base)
                munmap(m->base, m->bytes);
        m->base = NULL;
}
