/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalog: what a run directory's checkpoints/ holds, read anew each time: whole ones with their manifests, and the
 * rest.
 */
#ifndef STINT_CATALOG_H
#define STINT_CATALOG_H

#include <stddef.h>
#include "manifest.h"
#include "rundir.h"

struct catalog_entry {
        char name[RUNDIR_NAME];
        enum rundir_kind kind;
        int64_t step;
        uint32_t stint;             /* of a part; of a whole one from its manifest */
        int has_manifest;           /* the manifest was read and holds */
        struct manifest manifest;   /* when has_manifest */
        struct stint_error problem; /* why not, for a RUNDIR_WHOLE name without one */
};

struct catalog {
        struct catalog_entry *entries; /* whole ones, the newest (lineage, step) first; then the others by name */
        size_t n, whole;               /* all; those with manifests, which come first */
};

/* Lists RUN/checkpoints.  A directory that is not there is an empty catalog. */
int catalog_read(struct catalog *c, const char *run_dir, struct stint_error *err);

/*
 * The best whole checkpoint by the first metric with a goal in rank 0's metrics; NULL when none has one.  Non-finite
 * values never count.  Of equal ones the older.
 */
const struct catalog_entry *catalog_best(const struct catalog *c);

/* The whole checkpoint of that step, or NULL. */
const struct catalog_entry *catalog_step(const struct catalog *c, int64_t step);

void catalog_fini(struct catalog *c);

#endif
