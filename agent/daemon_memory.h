/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon_memory: staging out of stintd's budget, so that its pages are not charged to the job, and snapshots that are
 * still in it when their job is gone.  A short conversation on a connection of its own, held from a thread that may wait;
 * the memory is the job's as long as that stays open.
 */
#ifndef STINT_DAEMON_MEMORY_H
#define STINT_DAEMON_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include "error.h"

#define DAEMON_PATH 108 /* what a socket's address holds */

/* Where stintd listens: STINT_DAEMON_SOCKET, a pattern, or the usual place. */
int daemon_socket(char out[DAEMON_PATH], struct stint_error *err);

/*
 * Asks for that much.  Answers the memory's descriptor, every page of it present, and in *line the connection that keeps
 * it; -1 when stintd is not there (ENOENT, ECONNREFUSED), refuses, or takes too long.  *outlive_ns receives how long
 * stintd goes on with a write that was handed over on that line (handover.h); 0: it takes none.
 */
int daemon_memory(uint64_t bytes, int *line, int64_t *outlive_ns, struct stint_error *err);

/* A snapshot, as the seal of its rank's file names it. */
struct daemon_wanted {
        const char *run_id;
        uint32_t rank, ranks;
        uint64_t root, bytes; /* root and file_bytes of the seal */
};

/*
 * Asks for a snapshot that is still in the memory of this node.  Answers as daemon_memory: sealed memory of `bytes`
 * bytes that is said to hold it, and in *line the connection that keeps it; once that is closed, the pages may go.  -1 with
 * ENOENT, and at once, when there is no such snapshot, with other codes when there is no stintd.
 *
 * Nothing of it may be believed: its program may have begun another snapshot in it.  Check it against the seal, as a
 * file, and where it does not hold, read the file; that says nothing against the file.
 */
int daemon_memory_find(const struct daemon_wanted *wanted, int *line, struct stint_error *err);

#endif
