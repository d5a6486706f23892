/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_begin: how a stint takes up its run, in this order; the next step is taken only when the one before succeeded. */
#ifndef STINT_RUN_BEGIN_H
#define STINT_RUN_BEGIN_H

#include "error.h"

struct run;

/* Makes the run directory where there is none, and reads whose run it is.  Writes nothing into a run that exists. */
int begin_find(struct run *r, struct stint_error *err);

/* Makes a directory and those above it; one that is there is no error. */
int begin_make_dirs(const char *path, struct stint_error *err);

/*
 * 1: the run is complete, or is another command's that is, or was stopped, or this job is the successor of one that was
 * cancelled; it was said, and *code is what to exit with.
 */
int begin_is_needless(struct run *r, int *code);

/*
 * Takes the lease of a run that is DONE and in which something is left to be removed: no stint begins, and nobody is
 * waited for.  -1 with EBUSY where somebody has it, or might.  The scheduler must be open.
 */
int begin_take_done(struct run *r, struct stint_error *err);

/* Takes the lease and opens the journal: from here on the run is this stint's.  The scheduler must be open. */
int begin_take(struct run *r, struct stint_error *err);

/*
 * Finishes or sets aside what earlier stints left, and writes the verdicts that they could not; before that, waits for
 * what a stintd still writes.  1: `stint stop` came meanwhile, or a signal without a scheduler; r->ending says so, and
 * all is as it was.  -1 with ESTALE when the lease is lost; what else fails is said, and stops nothing.
 */
int begin_settle(struct run *r, struct stint_error *err);

#endif
