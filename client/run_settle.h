/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_settle: what a save has left that never became whole is finished, or set aside.  Called by run_begin for earlier
 * stints, and by run_saving_jobs for this one.
 */
#ifndef STINT_RUN_SETTLE_H
#define STINT_RUN_SETTLE_H

#include "run_checkpoints.h"

/*
 * Looks at every part of an earlier stint: one that is sealed by all ranks and verifies to the last byte is made whole,
 * another is set aside as abandoned.  One that cannot be read is left, with a warning among the events.
 */
int settle_earlier(const struct commit *c, struct stint_error *err);

/* The same for the parts of this stint itself, after a save that failed; what is not whole is removed. */
int settle_own(const struct commit *c, struct stint_error *err);

#endif
