/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clock: the two clocks of stint.  Everything that is waited for is in nanoseconds of CLOCK_BOOTTIME, which no date(1)
 * can move and which runs on while a machine sleeps; it differs from node to node, so what crosses nodes is a time
 * *left*.  What people and files see is seconds since 1970.
 */
#ifndef STINT_CLOCK_H
#define STINT_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_MS INT64_C(1000000)
#define CLOCK_SECOND INT64_C(1000000000)
#define CLOCK_NEVER INT64_MAX /* a deadline nobody has told; never compare it with arithmetic */

/* Nanoseconds since boot. */
static inline int64_t clock_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_BOOTTIME, &t);
        return t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

/* Nanoseconds since 1970, UTC. */
int64_t clock_wall(void);

/* "2026-11-22T03:04:05.678Z" for a wall time in nanoseconds; size >= 25.  Answers out. */
const char *clock_format(char *out, size_t size, int64_t wall_ns);

#endif
