/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_slots: RUN/checkpoints/slots/, where the files of one retired checkpoint wait to be written over by the agents
 * (agent/slot.c).  run_commit calls in, for checkpoints that are not whole any more, and that a crash cannot make so.
 */
#ifndef STINT_RUN_SLOTS_H
#define STINT_RUN_SLOTS_H

#include "error.h"

/*
 * Moves the ranks' files of a retired checkpoint into slots/, in place of those there, and removes slots of a run with
 * another number of ranks.  The rest of the retired one is the caller's to remove.  On failure some files are left.
 */
int slots_keep(const char *checkpoints, const char *retired, struct stint_error *err);

/* 1 when there is a folder slots/, whatever is in it. */
int slots_are_there(const char *checkpoints);

/* Removes slots/ with what is in it, if it is there. */
int slots_drop(const char *checkpoints, struct stint_error *err);

#endif
