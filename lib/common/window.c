/* SPDX-License-Identifier: BSD-3-Clause */
/* window: the ring, its two counters, and sleeping on them.  Called by whoever brings an image to the other process. */
#include "window.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "memory.h"

#define PAGE_BYTES 4096

/* ---- making and taking ------------------------------------------------------------------------------------------- */

static uint64_t blocks_up(uint64_t bytes)
{
        return (bytes + WINDOW_BLOCK - 1) / WINDOW_BLOCK * WINDOW_BLOCK;
}

static int map(struct window *w, int fd, struct stint_error *err)
{
        void *base = memory_map(fd, 0, w->ring_bytes + PAGE_BYTES, PROT_READ | PROT_WRITE);

        if (!base)
                return error_system(err, errno, "cannot map a window of %llu bytes", (unsigned long long)w->ring_bytes);
        w->ring = base;
        w->page = (struct window_page *)(void *)(w->ring + w->ring_bytes);
        return 0;
}

static int check_size(uint64_t ring_bytes, uint64_t image_bytes, struct stint_error *err)
{
        if (ring_bytes && image_bytes && ring_bytes % WINDOW_BLOCK == 0 && ring_bytes < INT64_MAX / 2)
                return 0;
        return error_set(err, EINVAL, "a window of %llu bytes cannot bring an image of %llu",
                         (unsigned long long)ring_bytes, (unsigned long long)image_bytes);
}

int window_memory(uint64_t ring_bytes, struct stint_error *err)
{
        return channel_memory("stint-window", ring_bytes + PAGE_BYTES, err);
}

int window_make_in(struct window *w, int fd, uint64_t ring_bytes, uint64_t image_bytes, struct stint_error *err)
{
        *w = (struct window){ .fd = fd, .ring_bytes = ring_bytes, .image_bytes = image_bytes };
        if (check_size(ring_bytes, image_bytes, err) == 0 && map(w, fd, err) == 0)
                return 0;
        close(fd);
        w->fd = -1;
        return -1;
}

int window_make(struct window *w, uint64_t ring_bytes, uint64_t image_bytes, struct stint_error *err)
{
        int fd;

        if (image_bytes < INT64_MAX / 2 && blocks_up(image_bytes) < ring_bytes)
                ring_bytes = blocks_up(image_bytes);
        *w = (struct window){ .fd = -1 };
        if (check_size(ring_bytes, image_bytes, err) < 0)
                return -1;
        fd = window_memory(ring_bytes, err);
        return fd < 0 ? -1 : window_make_in(w, fd, ring_bytes, image_bytes, err);
}

int window_take(struct window *w, int fd, uint64_t ring_bytes, uint64_t image_bytes, struct stint_error *err)
{
        *w = (struct window){ .fd = -1, .ring_bytes = ring_bytes, .image_bytes = image_bytes };
        if (check_size(ring_bytes, image_bytes, err) < 0 ||
            channel_memory_check(fd, ring_bytes + PAGE_BYTES, err) < 0)
                return -1;
        return map(w, fd, err);
}

void window_fini(struct window *w)
{
        if (!w->ring)
                return;
        munmap(w->ring, w->ring_bytes + PAGE_BYTES);
        if (w->fd >= 0)
                close(w->fd);
        *w = (struct window){ .fd = -1 };
}

void window_renew(struct window *w)
{
        atomic_store(&w->filled, 0);
        atomic_store(&w->passed, 0);
        atomic_store(&w->page->filled, 0);
        atomic_store(&w->page->passed, 0);
        atomic_store(&w->page->stopped, 0);
}

unsigned char *window_at(const struct window *w, uint64_t at)
{
        return w->ring + at % w->ring_bytes;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/* Until the word is another than `seen`, or somebody wakes, or the time is up: the caller looks again in any case. */
static void sleep_on(_Atomic uint32_t *event, uint32_t seen, int64_t left_ns)
{
        const struct timespec t = { .tv_sec = (time_t)(left_ns / CLOCK_SECOND),
                                    .tv_nsec = (long)(left_ns % CLOCK_SECOND) };

        syscall(SYS_futex, event, FUTEX_WAIT, seen, left_ns == CLOCK_NEVER ? NULL : &t, NULL, 0);
}

static void announce(_Atomic uint32_t *event)
{
        atomic_fetch_add_explicit(event, 1, memory_order_release);
        syscall(SYS_futex, event, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/*
 * Waits until *counter, which the other side raises, is `least`.  It is never more than what this side has filled (`most`;
 * NULL: the image).  The event is read before the counter, so that a change in between makes the sleep end at once; and
 * what this side has filled after it, for another thread may have filled more meanwhile.
 */
static int await(const struct window *w, _Atomic uint64_t *counter, _Atomic uint32_t *event, uint64_t least,
                 const _Atomic uint64_t *most, int64_t timeout_ns, struct stint_error *err)
{
        const int64_t begun_ns = clock_now();
        int64_t left_ns = timeout_ns;
        uint64_t is, limit;
        uint32_t seen;

        for (;;) {
                seen = atomic_load_explicit(event, memory_order_acquire);
                is = atomic_load_explicit(counter, memory_order_acquire);
                limit = most ? atomic_load_explicit(most, memory_order_acquire) : w->image_bytes;
                if (is > limit)
                        return error_set(err, EPROTO, "the other side of a window counts %llu bytes of %llu",
                                         (unsigned long long)is, (unsigned long long)limit);
                if (is >= least)
                        return 1;
                if (atomic_load_explicit(&w->page->stopped, memory_order_acquire))
                        return error_set(err, ECANCELED, "the other side of a window has stopped");
                if (left_ns <= 0)
                        return 0;
                sleep_on(event, seen, left_ns);
                if (timeout_ns != CLOCK_NEVER)
                        left_ns = timeout_ns - (clock_now() - begun_ns);
        }
}

int window_await_room(const struct window *w, uint64_t upto, int64_t timeout_ns, struct stint_error *err)
{
        return await(w, &w->page->passed, &w->page->passed_event, upto < w->ring_bytes ? 0 : upto - w->ring_bytes,
                     &w->filled, timeout_ns, err);
}

int window_await_filled(const struct window *w, uint64_t upto, int64_t timeout_ns, struct stint_error *err)
{
        return await(w, &w->page->filled, &w->page->filled_event, upto, NULL, timeout_ns, err);
}

uint64_t window_filled(const struct window *w)
{
        const uint64_t filled = atomic_load_explicit(&w->page->filled, memory_order_acquire);

        return filled < w->image_bytes ? filled : w->image_bytes;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

void window_fill(struct window *w, uint64_t upto)
{
        atomic_store_explicit(&w->filled, upto, memory_order_release);
        atomic_store_explicit(&w->page->filled, upto, memory_order_release);
        announce(&w->page->filled_event);
}

void window_pass(struct window *w, uint64_t upto)
{
        atomic_store_explicit(&w->passed, upto, memory_order_release);
        atomic_store_explicit(&w->page->passed, upto, memory_order_release);
        announce(&w->page->passed_event);
}

void window_stop(struct window *w)
{
        atomic_store_explicit(&w->page->stopped, 1, memory_order_release);
        announce(&w->page->filled_event);
        announce(&w->page->passed_event);
}
