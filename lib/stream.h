/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream: one thread's copy of bytes that it will not read again soon.  Stores go past the caches: a plain one fetches
 * each line of the destination before it writes it, which is a third of the traffic, and drives out what training
 * works on.  lib/copy.c calls in.
 */
#ifndef STINT_STREAM_H
#define STINT_STREAM_H

#include <stddef.h>

/* Fewer bytes than that are left to memcpy: the lines at both ends would cost more than the others save. */
#define STREAM_LEAST ((size_t)512)

/* As memcpy.  No other thread may rely on the bytes before this one has called stream_fence. */
void stream_copy(void *to, const void *from, size_t bytes);

/* All that this thread streamed is in memory before anything that it stores from now on. */
void stream_fence(void);

#endif
