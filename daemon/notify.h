/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * notify: what stintd tells the service manager: ready, stopping, in a word what it does, and that it is alive, which
 * it says only when it is.  Without NOTIFY_SOCKET in the environment nothing is sent.  Called by main.
 */
#ifndef STINTD_NOTIFY_H
#define STINTD_NOTIFY_H

#include <uv.h>

struct notify {
        uv_timer_t timer;  /* for the watchdog; armed only when there is one */
        int fd;            /* -1: nobody to tell */
        uint64_t every_ms; /* 0: no watchdog */
        /* Answers NULL when everything that was due is done, else what is not. */
        const char *(*check)(void *arg);
        void *arg;
};

/* Finds the service manager, once, and takes its variables out of the environment: children are none of its. */
void notify_open(struct notify *n, uv_loop_t *loop, const char *(*check)(void *arg), void *arg);

void notify_ready(struct notify *n);
void notify_stopping(struct notify *n);
void notify_status(const struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

void notify_close(struct notify *n);

#endif
