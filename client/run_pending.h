/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_pending: parts of earlier stints that stintd of their node may still finish.  run_begin.c waits here. */
#ifndef STINT_RUN_PENDING_H
#define STINT_RUN_PENDING_H

#include <stdint.h>

/*
 * Waits until no part of a stint other than `stint` can be expected to change any more: every seal is there, or one is
 * missing that nobody writes, or the time is over that stands in their place.  Says what it waits for.  What cannot be
 * read is not waited for.  Answers how long it waited, in ns; -1 when `unwanted`, which may be NULL and is asked while it
 * waits, says that nobody wants this stint any more: the parts are as they were.
 */
int64_t pending_await(const char *run_dir, uint32_t stint, int (*unwanted)(void *arg), void *arg);

#endif
