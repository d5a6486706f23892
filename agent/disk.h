/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk: one file, read or written past the page cache, at twice the speed, where its filesystem allows that; and
 * through the page cache where not (tmpfs before Linux 6.6, NFS and FUSE of some kinds).  Called by pipeline, writer
 * and reader; one file by several threads at a time.
 */
#ifndef STINT_DISK_H
#define STINT_DISK_H

#include <stdatomic.h>
#include <stdint.h>
#include "error.h"

#define DISK_UNIT UINT64_C(4096) /* O_DIRECT wants memory, offsets and sizes that are multiples of this */

struct disk {
        int fd; /* the caller's */
        const char *path;
        atomic_int direct; /* past the page cache, until it is refused */
};

/* A file that is going to be written, or read: of that size. */
void disk_to_write(struct disk *d, int fd, const char *path);
void disk_to_read(struct disk *d, int fd, const char *path, uint64_t bytes);

/* Through the page cache after all, for others read the same; before the first read. */
void disk_share(struct disk *d);

/*
 * Makes the file of that size and reserves its space: a full disk is found out before gigabytes are written, and
 * writing past the page cache is faster into space that is there.  A file that has all that is left as it is.
 */
int disk_reserve(struct disk *d, uint64_t bytes, struct stint_error *err);

/* Writes n bytes from memory at the offset `at`, all three multiples of DISK_UNIT. */
int disk_write(struct disk *d, const void *bytes, uint64_t n, uint64_t at, struct stint_error *err);

/*
 * Writes the last n bytes of a file, fewer than DISK_UNIT, which must go through the page cache.  When all else is
 * written, by one thread.
 */
int disk_write_end(struct disk *d, const void *bytes, uint64_t n, uint64_t at, struct stint_error *err);

/*
 * Reads n bytes from the offset `at` into memory, both of these multiples of DISK_UNIT.  Where n is none, the memory
 * goes on to the next multiple, and more may be read.  EIO when the file ends before.
 */
int disk_read(struct disk *d, void *bytes, uint64_t n, uint64_t at, struct stint_error *err);

#endif
