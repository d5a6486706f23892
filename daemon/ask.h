/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ask: when the controller should be asked how long a job has.  `stint run` has a schedule of its own, and asks at the
 * end; stintd only reminds it when it is late, so that a job's questions stay within one budget.  Pure; called by
 * jobs.c.
 */
#ifndef STINTD_ASK_H
#define STINTD_ASK_H

#include <stdint.h>

struct ask_inputs {
        int64_t begun_ns; /* when this stint began */
        int64_t end_ns;   /* its deadline; CLOCK_NEVER: not known */
        int64_t told_ns;  /* when the scheduler's word was last heard; 0: never */
        int64_t asked_ns; /* when stintd last reminded; 0: never */
        int64_t every_ns; /* not more often than that */
        uint32_t spread;  /* any number of the job's own, so that jobs that began together do not ask together */
};

/*
 * When to remind: half of the time that was left then has passed since the last word, but not less than every_ns, and a
 * quarter to a half of every_ns more, which `stint run` has to be earlier.  CLOCK_NEVER when that is not before the
 * deadline.
 */
int64_t ask_next(const struct ask_inputs *in);

#endif
