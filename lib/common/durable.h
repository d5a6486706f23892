/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * durable: writing so that a crash leaves the old or the new, never a mixture.  Every call checks every result, close
 * too.
 */
#ifndef STINT_DURABLE_H
#define STINT_DURABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "error.h"

/* Writes n bytes at offset, however often the kernel takes fewer.  path is for the sentence. */
int durable_pwrite(int fd, const void *bytes, size_t n, off_t offset, const char *path, struct stint_error *err);

/* Reads exactly n bytes at offset; EIO when the file ends before. */
int durable_pread(int fd, void *bytes, size_t n, off_t offset, const char *path, struct stint_error *err);

/* fsync(2) of a file that is open, of the directory at path. */
int durable_sync(int fd, const char *path, struct stint_error *err);
int durable_sync_dir(const char *path, struct stint_error *err);

/*
 * Makes path hold exactly these bytes (mode 0600 less umask for new ones; `mode` is passed to open): a new file beside
 * it, written, synced, closed, renamed over it, its directory synced.  On failure path is what it was; or, where only
 * that last sync failed, the new one, which a crash may still take back.
 */
int durable_replace(const char *path, const void *bytes, size_t n, mode_t mode, struct stint_error *err);

/* The whole file, with a NUL behind it that is not counted, in memory the caller frees; EFBIG above most bytes. */
int durable_read(const char *path, size_t most, char **bytes, size_t *n, struct stint_error *err);

/*
 * Opens what must be a regular file for reading; *status (may be NULL) is what fstat(2) says of it.  A link is not followed
 * and a FIFO not waited for: EBADMSG for these and whatever else is no file, since nobody here makes such things.
 */
int durable_open(const char *path, struct stat *status, struct stint_error *err);

/* rename(2) that never replaces: EEXIST when `to` exists.  Not synced. */
int durable_move(const char *from, const char *to, struct stint_error *err);

/* rename(2) within one directory, then that directory synced.  EEXIST when `to` exists (never replaces). */
int durable_rename(const char *from, const char *to, struct stint_error *err);

/* Removes a directory and what is in it (files, and directories below it); a path that is not there is a success. */
int durable_remove_tree(const char *path, struct stint_error *err);

#endif
