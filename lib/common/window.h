/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window: an image on its way from one process to another through shared memory that is smaller than it.  One side fills
 * the bytes in the order of the file, the other passes what it has done with, and a byte of the image has its place in
 * the ring until it is passed.  Agent and libstint use it in both directions: to restore, and to save a state for which
 * there is not memory enough.
 *
 * The ring is a memfd of fixed size: its bytes, and behind them one page with the two counters.  What the other side
 * writes there is checked before it is believed.  A side that waits must look now and then whether the other one is
 * still there: nothing here tells.  The ring is mapped where large pages stay large, for the
 * side that makes them (memory.h).
 */
#ifndef STINT_WINDOW_H
#define STINT_WINDOW_H

#include <stdatomic.h>
#include <stdint.h>
#include "error.h"

/* A range of the image that crosses no multiple of this lies in the ring in one piece.  The ring is a multiple of it. */
#define WINDOW_BLOCK (UINT64_C(4) << 20)

/* In shared memory.  Each counter has a cache line of its own, with the word that its waiters sleep on. */
struct window_page {
        _Alignas(64) _Atomic uint64_t filled;
        _Atomic uint32_t filled_event; /* counts up with every change; a futex */
        _Alignas(64) _Atomic uint64_t passed;
        _Atomic uint32_t passed_event;
        _Alignas(64) _Atomic uint32_t stopped;
};

/* One side's view of it. */
struct window {
        int fd; /* -1: not the one who made it */
        unsigned char *ring;
        struct window_page *page;
        uint64_t ring_bytes, image_bytes;
        /* What this side has said itself, whatever stands in the page now. */
        _Atomic uint64_t filled, passed;
};

/* The memory of a ring, not in use yet: for window_make_in, now or later.  -1 with err. */
int window_memory(uint64_t ring_bytes, struct stint_error *err);

/* Makes one of that memory, which it takes over, also when it fails; w->fd is for the other side. */
int window_make_in(struct window *w, int fd, uint64_t ring_bytes, uint64_t image_bytes, struct stint_error *err);

/* Both at once.  The bytes of an image that is smaller need no more ring than itself. */
int window_make(struct window *w, uint64_t ring_bytes, uint64_t image_bytes, struct stint_error *err);

/* Takes one that the other side made.  fd stays the caller's and may be closed. */
int window_take(struct window *w, int fd, uint64_t ring_bytes, uint64_t image_bytes, struct stint_error *err);

/* Lets go of it; on one that is all zero it does nothing.  The other side does not notice: window_stop tells it. */
void window_fini(struct window *w);

/* The one who made it begins anew, when the other side has let go of it; what the ring has in it stays. */
void window_renew(struct window *w);

/* Where the byte `at` of the image lies, while it is in the window. */
unsigned char *window_at(const struct window *w, uint64_t at);

/*
 * The filling side: waits until all bytes before `upto` may be written, at most timeout_ns.  1: they may; 0: time is up;
 * -1 with ECANCELED when the other side has stopped, EPROTO when it says what cannot be.  Any number of threads.
 */
int window_await_room(const struct window *w, uint64_t upto, int64_t timeout_ns, struct stint_error *err);

/* All bytes before `upto` are there.  Rising, one call at a time. */
void window_fill(struct window *w, uint64_t upto);

/* The emptying side, in the same way: waits until all bytes before `upto` are there.  Those that are outlast a stop. */
int window_await_filled(const struct window *w, uint64_t upto, int64_t timeout_ns, struct stint_error *err);

/* How many bytes are there now. */
uint64_t window_filled(const struct window *w);

/* All bytes before `upto` are done with.  Rising, one call at a time. */
void window_pass(struct window *w, uint64_t upto);

/* Either side gives up: whoever waits, on both sides, ends. */
void window_stop(struct window *w);

#endif
