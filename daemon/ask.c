/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ask: the schedule of reminders.  Called by jobs.c. */
#include "ask.h"

#include "clock.h"

#define SPREAD 1024 /* steps between a quarter and a half of every_ns */

static int64_t latest(const struct ask_inputs *in)
{
        int64_t at = in->begun_ns;

        if (in->told_ns > at)
                at = in->told_ns;
        return in->asked_ns > at ? in->asked_ns : at;
}

int64_t ask_next(const struct ask_inputs *in)
{
        const int64_t last_ns = latest(in);
        int64_t wait_ns = in->every_ns, at_ns;

        if (in->end_ns != CLOCK_NEVER && (in->end_ns - last_ns) / 2 > wait_ns)
                wait_ns = (in->end_ns - last_ns) / 2;
        wait_ns += in->every_ns / 4 + in->every_ns / 4 / SPREAD * (int64_t)(in->spread % SPREAD);
        if (__builtin_add_overflow(last_ns, wait_ns, &at_ns) || (in->end_ns != CLOCK_NEVER && at_ns >= in->end_ns))
                return CLOCK_NEVER;
        return at_ns;
}
