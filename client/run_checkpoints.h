/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_checkpoints: RUN/checkpoints as `stint run` changes it: who may, in which stint, what is told of it, and the
 * steps that commit, pruning and settling have in common.  Called by these three, and by run_candidates.
 *
 * All of it blocks, touches no loop, and re-reads the lease before each change.  What was done is appended to `events`,
 * a JSON array of {"event": ..., fields...} that the caller writes to the journal.
 */
#ifndef STINT_RUN_CHECKPOINTS_H
#define STINT_RUN_CHECKPOINTS_H

#include <jansson.h>
#include <stdint.h>
#include "catalog.h"
#include "run_lease.h"

#define CHECKPOINTS_PATH (RUNDIR_PATH + 2 * RUNDIR_NAME) /* of a name in RUN/checkpoints, and of one below it */

struct commit {
        const char *run_dir;
        const char *run_id;
        const struct lease *lease;
        json_t *events;
        uint32_t stint;  /* whose parts these are */
        int keep;        /* generations kept by pruning, `best` not counted; at least 1 */
        int slots;       /* the files of one retired checkpoint are kept, to be written over */
};

/* A named fault point, which fails like the step it stands before. */
int checkpoints_fault(const char *point, struct stint_error *err);

/* The path of a checkpoint, or of the folder of all (name NULL), into out (CHECKPOINTS_PATH bytes). */
int checkpoints_path(const struct commit *c, const char *name, char *out, struct stint_error *err);

/* A link that somebody put in a checkpoint's place is removed itself, not what it leads to. */
int checkpoints_remove(const char *path, struct stint_error *err);

/* A whole checkpoint of another run, which somebody has put here. */
int checkpoints_is_foreign(const struct commit *c, const struct catalog_entry *e);

/* One event more; takes fields. */
void checkpoints_note(const struct commit *c, const char *event, json_t *fields);

/* Sets a checkpoint aside as quarantined (with the reason) or superseded. */
int checkpoints_set_aside(const struct commit *c, const char *name, enum rundir_kind kind, const char *reason,
                          struct stint_error *err);

#endif
