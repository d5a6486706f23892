/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_prune: removes from RUN/checkpoints what is no longer needed.  Called as run_commit is, after it. */
#ifndef STINT_RUN_PRUNE_H
#define STINT_RUN_PRUNE_H

#include "run_checkpoints.h"

/*
 * Retires whole generations beyond the newest `keep` and best, and removes retired ones, also those of an earlier
 * stint; with `slots` the files of the newest of these become the slot instead; without, no slot is left.  Of
 * abandoned, quarantined and superseded ones the newest two each stay.  The newest whole one is never touched.
 */
int prune_old(const struct commit *c, struct stint_error *err);

/* 1 when this run has slots; asks for no lease. */
int prune_has_slots(const char *run_dir);

/* Removes the slots: nothing will be written any more. */
int prune_slots(const struct commit *c, struct stint_error *err);

#endif
