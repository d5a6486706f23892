/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_commit: makes a part whole, and points `best`.  All of it blocks, touches no loop, and re-reads the lease first.
 */
#ifndef STINT_RUN_COMMIT_H
#define STINT_RUN_COMMIT_H

#include <stdint.h>
#include "manifest.h"
#include "run_checkpoints.h"

/*
 * Makes the part of this step whole: re-reads all seals and the sizes of all files, writes the manifest, renames.  *m
 * receives the manifest (the caller ends it).  -1: the part is what it was; ESTALE when the lease is lost.
 */
int commit_part(const struct commit *c, int64_t step, uint32_t ranks, struct manifest *m, struct stint_error *err);

/*
 * The two steps of it, for parts of any stint: the manifest that its seals amount to, when all of them and the sizes of
 * all files hold (the caller ends it); and the part with that manifest under the name of a whole one.  settling: which
 * fault points the steps have.
 */
int commit_manifest(const struct commit *c, const char *part, int64_t step, uint32_t ranks, struct manifest *m,
                    struct stint_error *err);
int commit_make_whole(const struct commit *c, const char *part_name, const struct manifest *m, int settling,
                      struct stint_error *err);

/* 0 when that step is whole already, and *m is its manifest: for a save whose state has not changed. */
int commit_find(const struct commit *c, int64_t step, struct manifest *m, struct stint_error *err);

/*
 * Points `best` at the best whole checkpoint; no metric with a goal: removes it.  *best (may be NULL) receives its
 * step, -1 for none, and *metric (may be NULL) what it was chosen by.
 */
int commit_best(const struct commit *c, int64_t *best, struct seal_metric *metric, struct stint_error *err);

#endif
