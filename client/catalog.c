/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalog: reading RUN/checkpoints, for the restore, the pruning, the settling of leftovers and the verbs.  Nothing is
 * kept between two calls: the directory is the truth, and another `stint run` may have had it meanwhile.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "catalog.h"

/* ---- one entry ------------------------------------------------------------------------------------------------- */

static int read_manifest(struct catalog_entry *e, const char *checkpoints)
{
        char path[RUNDIR_PATH + 2 * RUNDIR_NAME];
        struct stint_error *problem = &e->problem;
        struct stat st;

        if (rundir_join(path, sizeof path, checkpoints, e->name, NULL, problem) != 0)
                return -1;
        if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
                return error_set(problem, EBADMSG, "%s is %s, not a directory: stint made no such thing", e->name,
                                 S_ISLNK(st.st_mode) ? "a symbolic link" : "a file");
        if (manifest_read(&e->manifest, path, problem) != 0) {
                if (problem->code == ENOENT)
                        return error_set(problem, ENOENT, "%s has no manifest: it was never committed", e->name);
                return error_wrap(problem, "%s", e->name);
        }
        if (e->manifest.step != e->step) {
                int64_t step = e->manifest.step;

                manifest_fini(&e->manifest);
                return error_set(problem, EBADMSG, "the manifest in %s is that of step %" PRId64, e->name, step);
        }
        return 0;
}

static void fill(struct catalog_entry *e, const char *checkpoints, const char *name)
{
        size_t n = strnlen(name, sizeof e->name - 1);

        memcpy(e->name, name, n);
        e->kind = rundir_parse(e->name, &e->step, &e->stint);
        if (e->kind != RUNDIR_WHOLE || read_manifest(e, checkpoints) != 0)
                return;
        e->has_manifest = 1;
        e->stint = e->manifest.stint;
}

/* ---- order ----------------------------------------------------------------------------------------------------- */

static int newest_first(const void *left, const void *right)
{
        const struct catalog_entry *a = left, *b = right;

        if (a->has_manifest != b->has_manifest)
                return b->has_manifest - a->has_manifest;
        if (!a->has_manifest)
                return strcmp(a->name, b->name);
        if (a->manifest.lineage != b->manifest.lineage)
                return a->manifest.lineage > b->manifest.lineage ? -1 : 1;
        return (a->step < b->step) - (a->step > b->step);
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

static int add(struct catalog *c, size_t *room, const char *checkpoints, const char *name, struct stint_error *err)
{
        struct catalog_entry *more;

        if (c->n == *room) {
                *room = *room == 0 ? 16 : *room * 2;
                more = realloc(c->entries, *room * sizeof *more);
                if (more == NULL)
                        return error_system(err, ENOMEM, "the list of checkpoints in %s", checkpoints);
                c->entries = more;
        }
        c->entries[c->n] = (struct catalog_entry){ 0 };
        fill(&c->entries[c->n], checkpoints, name);
        c->whole += (size_t)c->entries[c->n].has_manifest;
        c->n++;
        return 0;
}

static int list(struct catalog *c, DIR *dir, const char *checkpoints, struct stint_error *err)
{
        struct dirent *entry;
        size_t room = 0;

        while (errno = 0, (entry = readdir(dir)) != NULL) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                    strcmp(entry->d_name, RUNDIR_SLOTS) == 0)
                        continue;
                if (add(c, &room, checkpoints, entry->d_name, err) != 0)
                        return -1;
        }
        return errno == 0 ? 0 : error_system(err, errno, "%s cannot be listed", checkpoints);
}

int catalog_read(struct catalog *c, const char *run_dir, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        struct catalog read = { 0 };
        DIR *dir;
        int rc;

        *c = read;
        if (rundir_join(path, sizeof path, run_dir, RUNDIR_CHECKPOINTS, NULL, err) != 0)
                return -1;
        dir = opendir(path);
        if (dir == NULL)
                return errno == ENOENT ? 0 : error_system(err, errno, "%s cannot be opened", path);
        rc = list(&read, dir, path, err);
        closedir(dir);
        if (rc != 0) {
                catalog_fini(&read);
                return -1;
        }
        if (read.n > 1)
                qsort(read.entries, read.n, sizeof *read.entries, newest_first);
        *c = read;
        return 0;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static const struct seal_metric *first_with_goal(const struct manifest *m)
{
        uint32_t i;

        for (i = 0; i < m->metric_count; i++)
                if (m->metrics[i].goal != STINT_GOAL_NONE)
                        return &m->metrics[i];
        return NULL;
}

static int as_good(const struct seal_metric *a, const struct seal_metric *b)
{
        return a->goal == STINT_GOAL_MIN ? a->value <= b->value : a->value >= b->value;
}

/*
 * Checkpoints that decided by another metric, before the program changed it, cannot be compared; the newest one's
 * metric is what counts.  The walk goes from new to old, so an older one that is as good replaces a newer one.
 */
const struct catalog_entry *catalog_best(const struct catalog *c)
{
        const struct catalog_entry *best = NULL;
        const struct seal_metric *rule = NULL, *best_metric = NULL, *metric;
        size_t i;

        for (i = 0; i < c->whole; i++) {
                metric = first_with_goal(&c->entries[i].manifest);
                if (metric == NULL)
                        continue;
                if (rule == NULL)
                        rule = metric;
                if (strcmp(metric->name, rule->name) != 0 || metric->goal != rule->goal || !isfinite(metric->value))
                        continue;
                if (best == NULL || as_good(metric, best_metric)) {
                        best = &c->entries[i];
                        best_metric = metric;
                }
        }
        return best;
}

const struct catalog_entry *catalog_step(const struct catalog *c, int64_t step)
{
        size_t i;

        for (i = 0; i < c->whole; i++)
                if (c->entries[i].step == step)
                        return &c->entries[i];
        return NULL;
}

void catalog_fini(struct catalog *c)
{
        size_t i;

        for (i = 0; i < c->n; i++)
                manifest_fini(&c->entries[i].manifest);
        free(c->entries);
        *c = (struct catalog){ 0 };
}
