/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * finishes: all writes that were handed over: who may hand over how many, which ones run, each on a thread of its own,
 * and when they are given up.  A filesystem may hang, and one that a user made himself hangs when he likes: the loop
 * touches no descriptor that came from a user, not even to close it.  Called by grants.c and requests.c.
 */
#ifndef STINTD_FINISHES_H
#define STINTD_FINISHES_H

#include <pthread.h>
#include <uv.h>
#include "finish.h"

#define FINISHES_RUNNING 4    /* of one user at the same time; those that hang count until they end */
#define FINISHES_OF_USER 64   /* handed over, waiting, running, or being closed */
#define FINISHES_MOST 256     /* of all users */

struct finishes {
        uv_loop_t *loop;
        uv_async_t news; /* a thread has come further */
        uv_timer_t late; /* the next of them to be given up */
        struct finish *first;
        int count;       /* all that there are, those that are only held too */
        int (*write)(struct finish *f, struct stint_error *err); /* finish_write, or what a test puts there */
        pthread_mutex_t lock; /* for `closed`, which threads look at */
        int closed, stopping;
};

/* 0; -1 with the reason when libuv has no handle to give. */
int finishes_open(struct finishes *all, uv_loop_t *loop, struct stint_error *err);

/* Whether this user may hand over one more; else the descriptors must not even be received. */
int finishes_take_more(const struct finishes *all, const struct user *user);

/* A write that the loop holds from now on, with its two descriptors, whatever becomes of it; NULL without memory. */
struct finish *finishes_hold(struct finishes *all, struct user *user, int file_fd, int seal_fd);

/* Closes what does not belong here, away from the loop.  Without memory it stays open. */
void finishes_close(struct finishes *all, struct user *user, const int *fds, int n_fds);

/* The agent is done with it, or it does not hold: the descriptors go. */
void finishes_let_go(struct finish *f);

/* The agent is gone: image_fd (duplicated here) has the image.  on_over is called once, later. */
void finishes_begin(struct finish *f, int image_fd, void (*on_over)(void *arg, struct finish *f), void *arg);

/*
 * stintd ends: what runs has FINISHES_STOP_NS at most, and when nothing runs any more the handles are closed.  Threads
 * that hang are left behind.
 */
void finishes_stop(struct finishes *all);
#define FINISHES_STOP_NS (30 * CLOCK_SECOND)

#endif
