/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spare: the memory of one window (feed.h), whose pages are made while the program starts.  To make them takes as long as
 * a tenth of the restore of a gigabyte, and a disk that could be read from stands still for most of that.  Opened by main,
 * taken by restoring; all by the loop's thread.
 */
#ifndef STINT_SPARE_H
#define STINT_SPARE_H

#include <stdatomic.h>
#include <uv.h>
#include "work.h"

struct spare {
        struct work work;
        uv_loop_t *loop;
        uv_timer_t forget;
        int fd;          /* -1: there is none, or it was taken */
        void *memory;    /* mapped, while a thread makes its pages */
        atomic_int stop; /* tells that to end */
};

void spare_open(struct spare *s, uv_loop_t *loop);

/* Begins to make one, if this run has a checkpoint that fills it.  It is given up when nobody takes it for a while. */
void spare_make(struct spare *s, const char *run_dir);

/* Memory as of window_memory for a ring of FEED_BLOCKS, the caller's from here on; its pages may still come.  -1: none. */
int spare_take(struct spare *s);

/* Nobody will take it. */
void spare_drop(struct spare *s);

void spare_close(struct spare *s);

#endif
