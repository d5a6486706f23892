/* SPDX-License-Identifier: BSD-3-Clause */
/* clock: the wall clock and how it is written; the clock that is waited on is inline in clock.h. */
#include "clock.h"

#include <stdio.h>

int64_t clock_wall(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

const char *clock_format(char *out, size_t size, int64_t wall_ns)
{
        int64_t second = wall_ns / CLOCK_SECOND, rest = wall_ns % CLOCK_SECOND;
        char day[32];
        struct tm tm;
        time_t t;

        if (rest < 0) { /* before 1970: division went towards zero, time goes towards the past */
                rest += CLOCK_SECOND;
                second--;
        }
        t = (time_t)second;
        gmtime_r(&t, &tm);
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(out, size, "%s.%03dZ", day, (int)(rest / CLOCK_MS));
        return out;
}
