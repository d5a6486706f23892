/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_prune: a checkpoint is renamed out of the way before it is removed, the newest whole one never, and what cannot
 * be counted on does not count among those that are kept.
 */
#include "run_prune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "run_slots.h"

#define ASIDE_KEPT 2 /* of abandoned, quarantined and superseded checkpoints each: for looking at, not for ever */

static int remove_entry(const struct commit *c, const char *name, struct stint_error *err)
{
        char path[CHECKPOINTS_PATH];

        if (checkpoints_path(c, name, path, err) != 0 || lease_check(c->lease, err) != 0 ||
            checkpoints_fault("prune.before_remove", err) != 0)
                return -1;
        return checkpoints_remove(path, err);
}

/*
 * The files of the first one, which is the newest, are kept: *slots is cleared.  Where that cannot be, the next save
 * writes new files, and is slower.
 */
static int remove_retired(const struct commit *c, const char *name, int *slots, struct stint_error *err)
{
        char checkpoints[CHECKPOINTS_PATH];

        if (*slots && (checkpoints_path(c, NULL, checkpoints, err) != 0 || lease_check(c->lease, err) != 0))
                return -1;
        if (*slots && slots_keep(checkpoints, name, NULL) == 0)
                *slots = 0;
        return remove_entry(c, name, err);
}

static int retire(const struct commit *c, const struct catalog_entry *e, int *slots, struct stint_error *err)
{
        char checkpoints[CHECKPOINTS_PATH], now[RUNDIR_NAME];

        if (checkpoints_path(c, NULL, checkpoints, err) != 0 || lease_check(c->lease, err) != 0 ||
            checkpoints_fault("prune.before_retire", err) != 0 ||
            rundir_set_aside(checkpoints, e->name, RUNDIR_RETIRED, now, err) != 0)
                return -1;
        checkpoints_note(c, "pruned", json_pack("{s:s, s:I}", "checkpoint", e->name, "step", (json_int_t)e->step));
        return remove_retired(c, now, slots, err);
}

/*
 * A damaged generation at the head must not push out the good one behind it, so `keep` counts none but those whose
 * seals and sizes hold; that is as much as can be known without reading everything.
 */
static int looks_good(const struct commit *c, const struct catalog_entry *e)
{
        char path[CHECKPOINTS_PATH];

        return checkpoints_path(c, e->name, path, NULL) == 0 && manifest_verify(&e->manifest, path, 0, NULL) == 0;
}

static int prune_whole(const struct commit *c, const struct catalog *all, int *slots, struct stint_error *err)
{
        const struct catalog_entry *best = catalog_best(all);
        int kept = 0;
        size_t i;

        for (i = 0; i < all->whole; i++) {
                const struct catalog_entry *e = &all->entries[i];

                if (checkpoints_is_foreign(c, e)) /* it must not push out our own */
                        continue;
                if (kept < c->keep || kept == 0)
                        kept += looks_good(c, e);
                else if (e != best && retire(c, e, slots, err) != 0)
                        return -1;
        }
        return 0;
}

static int newest_aside_first(const void *left, const void *right)
{
        const struct catalog_entry *const *a = left, *const *b = right;

        if ((*a)->step != (*b)->step)
                return (*a)->step > (*b)->step ? -1 : 1;
        return strcmp((*b)->name, (*a)->name);
}

static int prune_aside(const struct commit *c, const struct catalog *all, enum rundir_kind kind, size_t kept,
                       int *slots, struct stint_error *err)
{
        const struct catalog_entry **found = calloc(all->n + 1, sizeof *found);
        size_t i, n = 0;
        int rc = 0;

        if (found == NULL)
                return error_system(err, ENOMEM, "the list of checkpoints in %s", c->run_dir);
        for (i = 0; i < all->n; i++)
                if (all->entries[i].kind == kind)
                        found[n++] = &all->entries[i];
        qsort(found, n, sizeof *found, newest_aside_first);
        for (i = kept; i < n && rc == 0; i++)
                rc = kind == RUNDIR_RETIRED ? remove_retired(c, found[i]->name, slots, err)
                                            : remove_entry(c, found[i]->name, err);
        free(found);
        return rc;
}

int prune_has_slots(const char *run_dir)
{
        char checkpoints[CHECKPOINTS_PATH];

        return rundir_join(checkpoints, sizeof checkpoints, run_dir, RUNDIR_CHECKPOINTS, NULL, NULL) == 0 &&
               slots_are_there(checkpoints);
}

int prune_slots(const struct commit *c, struct stint_error *err)
{
        char checkpoints[CHECKPOINTS_PATH];

        if (checkpoints_path(c, NULL, checkpoints, err) != 0 || lease_check(c->lease, err) != 0)
                return -1;
        return slots_drop(checkpoints, err);
}

int prune_old(const struct commit *c, struct stint_error *err)
{
        struct catalog all;
        int slots = c->slots, rc;

        if (catalog_read(&all, c->run_dir, err) != 0)
                return -1;
        rc = c->slots ? 0 : prune_slots(c, err);
        if (rc == 0)
                rc = prune_whole(c, &all, &slots, err);
        if (rc == 0)
                rc = prune_aside(c, &all, RUNDIR_RETIRED, 0, &slots, err);
        if (rc == 0)
                rc = prune_aside(c, &all, RUNDIR_ABANDONED, ASIDE_KEPT, &slots, err);
        if (rc == 0)
                rc = prune_aside(c, &all, RUNDIR_QUARANTINED, ASIDE_KEPT, &slots, err);
        if (rc == 0)
                rc = prune_aside(c, &all, RUNDIR_SUPERSEDED, ASIDE_KEPT, &slots, err);
        catalog_fini(&all);
        return rc;
}
