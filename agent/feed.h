/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * feed: one rank's file on its way to the program that waits for it: read into a window, checked there, and copied by
 * the program meanwhile.  So it costs no memory but the window's, and no more time than the disk takes.  Opened and run
 * by reader, on a thread; restoring tells the program of it in between.
 */
#ifndef STINT_FEED_H
#define STINT_FEED_H

#include <stdatomic.h>
#include <stdint.h>
#include "blocks.h"
#include "disk.h"
#include "image.h"
#include "seal.h"
#include "window.h"

/*
 * Blocks in the window: four are being read, and the others wait for the hashing and for the program.  Fewer make the
 * disk wait, and more gain nothing, for their pages must be made first.
 */
#define FEED_BLOCKS 12

struct feed {
        struct image_source source;
        struct window window;
        struct blocks blocks;
        struct disk disk;
        const char *path;
        struct seal seal;
        int table_fd;      /* a copy of the table of tensors that nobody can write, for the program too */
        const void *table; /* it, mapped */
        uint64_t table_bytes;
};

/*
 * Takes over fd, of file_bytes bytes, and ring_fd, memory from spare_take or -1, and reads the table.  path stays.  NULL
 * with EBADMSG: it is damaged.
 */
struct feed *feed_open(int fd, const char *path, const struct seal *seal, int ring_fd, struct stint_error *err);

/* Brings it all, which takes as long as the program does.  0 when every byte held; else nothing of it counts. */
int feed_run(struct feed *f, struct stint_error *err);

/* Makes it end soon, with ECANCELED, also when it has not begun; from any thread. */
void feed_stop(struct feed *f);

void feed_free(struct feed *f); /* NULL is allowed */

#endif
