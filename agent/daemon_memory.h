/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon_memory: staging out of stintd's budget, so that its pages are not charged to the job.  A short conversation on
 * a connection of its own, held from a thread that may wait; the memory is the job's as long as that stays open.
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
 * it; -1 when stintd is not there (ENOENT, ECONNREFUSED), refuses, or takes too long.
 */
int daemon_memory(uint64_t bytes, int *line, struct stint_error *err);

#endif
