/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trigger: when stintd tells an agent to save, and why: the plan that the agent makes too, from the same inputs, and
 * what a user or an admin asked for.  Pure; jobs.c asks it at every message and at every timer.
 */
#ifndef STINTD_TRIGGER_H
#define STINTD_TRIGGER_H

#include <stdint.h>
#include "deadline.h"

/* What was asked of a job, and when it was last triggered. */
struct trigger {
        int drain;        /* wanted until the job is gone */
        int save;         /* wanted once */
        int saving;       /* a save is in flight */
        int saving_final; /* ... and it is final */
        int64_t drain_ns; /* when DRAIN was last sent; 0: never */
        int64_t timed_ns; /* when a save that time makes due was last sent; 0: never */
};

struct trigger_order {
        enum save_reason reason; /* SAVE_NONE: nothing is to be sent now */
        int64_t next_ns;         /* when to look again; CLOCK_NEVER: when something was told */
        int64_t lead_ns;
};

/* Repeated so late when nothing came of it; what the agent dropped, it dropped for a reason that passes. */
#define TRIGGER_AGAIN_NS CLOCK_SECOND
#define TRIGGER_DRAIN_AGAIN_NS (10 * CLOCK_SECOND)

/* What to do at in->now_ns for a job with so many ranks. */
struct trigger_order trigger_decide(const struct trigger *t, const struct deadline_inputs *in, uint32_t ranks);

/* That order was carried out at now_ns. */
void trigger_sent(struct trigger *t, enum save_reason reason, int64_t now_ns);

#endif
