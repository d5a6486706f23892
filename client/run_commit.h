/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_commit: everything that changes RUN/checkpoints from the side of `stint run`: making a part whole, finishing or
 * setting aside what an earlier stint left, `best`, and removing old generations.  All of it blocks, touches no loop,
 * and re-reads the lease first.  What was done is appended to `events`, a JSON array of {"event": ..., fields...} that
 * the caller writes to the journal.
 */
#ifndef STINT_RUN_COMMIT_H
#define STINT_RUN_COMMIT_H

#include <jansson.h>
#include <stdint.h>
#include "catalog.h"
#include "manifest.h"
#include "run_lease.h"

struct commit {
        const char *run_dir;
        const char *run_id;
        const struct lease *lease;
        json_t *events;
        uint32_t stint;  /* whose parts these are */
        int keep;        /* generations kept by pruning, `best` not counted; at least 1 */
        int slots;       /* the files of one retired checkpoint are kept, to be written over */
};

/*
 * Makes the part of this step whole: re-reads all seals and the sizes of all files, writes the manifest, renames.  *m
 * receives the manifest (the caller ends it).  -1: the part is what it was; ESTALE when the lease is lost.
 */
int commit_part(const struct commit *c, int64_t step, uint32_t ranks, struct manifest *m, struct stint_error *err);

/* 0 when that step is whole already, and *m is its manifest: for a save whose state has not changed. */
int commit_find(const struct commit *c, int64_t step, struct manifest *m, struct stint_error *err);

/*
 * Points `best` at the best whole checkpoint; no metric with a goal: removes it.  *best (may be NULL) receives its
 * step, -1 for none, and *metric (may be NULL) what it was chosen by.
 */
int commit_best(const struct commit *c, int64_t *best, struct seal_metric *metric, struct stint_error *err);

/*
 * Retires whole generations beyond the newest `keep` and best, and removes retired ones, also those of an earlier
 * stint; with `slots` the files of the newest of these become the slot instead; without, no slot is left.  Of abandoned, quarantined and superseded ones the newest two each stay.  The newest whole one is never
 * touched.
 */
int commit_prune(const struct commit *c, struct stint_error *err);

/* 1 when this run has slots; asks for no lease. */
int commit_has_slots(const char *run_dir);

/* Removes the slots: nothing will be written any more. */
int commit_drop_slots(const struct commit *c, struct stint_error *err);

/*
 * Looks at every part of an earlier stint: one that is sealed by all ranks and verifies to the last byte is made whole,
 * another is set aside as abandoned.  One that cannot be read is left, with a warning among the events.
 */
int commit_settle(const struct commit *c, struct stint_error *err);

/* The same for the parts of this stint itself, after a save that failed; what is not whole is removed. */
int commit_settle_own(const struct commit *c, struct stint_error *err);

/* Sets a checkpoint aside as quarantined (with the reason) or superseded. */
int commit_set_aside(const struct commit *c, const char *name, enum rundir_kind kind, const char *reason,
                     struct stint_error *err);

#endif
