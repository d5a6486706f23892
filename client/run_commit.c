/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_commit: a part becomes whole, and `best` is pointed.  Called by `stint run` from the loop's thread pool, one call
 * at a time, and by run_settle for the parts of earlier stints.
 *
 * The order never changes: what is new is whole and on disk before anything older is touched, a directory is renamed
 * out of the way before it is removed, and the lease is re-read before each change.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable.h"
#include "fault.h"
#include "image.h"
#include "run_commit.h"

/* ---- the seals of a part --------------------------------------------------------------------------------------- */

static int file_has_size(const char *path, uint64_t bytes, struct stint_error *err)
{
        struct stat st;

        if (lstat(path, &st) != 0)
                return error_system(err, errno, "%s cannot be looked at", path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, EBADMSG, "%s is %s", path, S_ISLNK(st.st_mode) ? "a symbolic link" : "no regular file");
        if ((uint64_t)st.st_size != bytes)
                return error_set(err, EBADMSG, "%s has %jd bytes, and its seal says %" PRIu64, path,
                                 (intmax_t)st.st_size, bytes);
        return 0;
}

/* Reads the seals of all ranks, and looks whether each file is there in its size.  The caller frees *seals. */
static int read_seals(const char *part, uint32_t ranks, struct seal **seals, struct stint_error *err)
{
        char name[RUNDIR_NAME], path[CHECKPOINTS_PATH + RUNDIR_NAME];
        struct seal *read = calloc(ranks, sizeof *read);
        uint32_t i;

        if (read == NULL)
                return error_system(err, ENOMEM, "the seals of %u ranks", ranks);
        for (i = 0; i < ranks; i++) {
                if (rundir_join(path, sizeof path, part, rundir_rank_seal(name, i, ranks), NULL, err) != 0 ||
                    seal_read(&read[i], path, err) != 0) {
                        error_wrap(err, "rank %u of %u is not sealed", i, ranks);
                        goto out;
                }
                if (rundir_join(path, sizeof path, part, rundir_rank_file(name, i, ranks), NULL, err) != 0 ||
                    file_has_size(path, read[i].file_bytes, err) != 0)
                        goto out;
        }
        *seals = read;
        return 0;
out:
        free(read);
        return -1;
}

int commit_manifest(const struct commit *c, const char *part, int64_t step, uint32_t ranks, struct manifest *m,
                    struct stint_error *err)
{
        struct seal *seals;
        int rc;

        if (read_seals(part, ranks, &seals, err) != 0)
                return -1;
        rc = manifest_from_seals(m, seals, ranks, err);
        free(seals);
        if (rc != 0)
                return -1;
        if (strcmp(m->run_id, c->run_id) == 0 && m->step == step)
                return 0;
        error_set(err, EBADMSG, "%s is sealed for step %" PRId64 " of run %s, not for step %" PRId64 " of run %s", part,
                  m->step, m->run_id, step, c->run_id);
        manifest_fini(m);
        return -1;
}

/* ---- a part becomes whole -------------------------------------------------------------------------------------- */

static int write_manifest(const struct manifest *m, const char *part, struct stint_error *err)
{
        char path[CHECKPOINTS_PATH + RUNDIR_NAME];
        char *text;
        size_t n;
        int rc;

        if (rundir_join(path, sizeof path, part, RUNDIR_MANIFEST, NULL, err) != 0 ||
            manifest_encode(m, &text, &n, err) != 0)
                return -1;
        rc = durable_replace(path, text, n, 0644, err);
        free(text);
        return rc;
}

/*
 * The name may be taken: by the same step saved before (in this lineage, or in one the run was set back from).  That
 * one is not removed, only renamed, until the new one has landed; a crash in between leaves a part that is whole.
 */
static int make_room(const struct commit *c, int64_t step, struct stint_error *err)
{
        char name[RUNDIR_NAME], now[RUNDIR_NAME], path[CHECKPOINTS_PATH], checkpoints[CHECKPOINTS_PATH];
        struct manifest old = { 0 };
        struct stat st;
        int whole;

        rundir_whole(name, step);
        if (checkpoints_path(c, name, path, err) != 0 || checkpoints_path(c, NULL, checkpoints, err) != 0)
                return -1;
        if (lstat(path, &st) != 0)
                return errno == ENOENT ? 0 : error_system(err, errno, "%s cannot be looked at", path);
        whole = manifest_read(&old, path, NULL) == 0;
        manifest_fini(&old);
        if (!whole)
                return checkpoints_set_aside(c, name, RUNDIR_QUARANTINED, "its manifest cannot be read", err);
        return rundir_set_aside(checkpoints, name, RUNDIR_RETIRED, now, err);
}

int commit_make_whole(const struct commit *c, const char *part_name, const struct manifest *m, int settling,
                      struct stint_error *err)
{
        char part[CHECKPOINTS_PATH], whole[CHECKPOINTS_PATH], name[RUNDIR_NAME];

        if (checkpoints_path(c, part_name, part, err) != 0 ||
            checkpoints_path(c, rundir_whole(name, m->step), whole, err) != 0)
                return -1;
        if (lease_check(c->lease, err) != 0 ||
            checkpoints_fault(settling ? "settle.before_manifest" : "commit.before_manifest", err) != 0 ||
            write_manifest(m, part, err) != 0)
                return -1;
        if (!settling && checkpoints_fault("commit.after_manifest", err) != 0)
                return -1;
        if (checkpoints_fault(settling ? "settle.before_rename" : "commit.before_rename", err) != 0 ||
            lease_check(c->lease, err) != 0 || make_room(c, m->step, err) != 0 || durable_rename(part, whole, err) != 0)
                return -1;
        /* It is whole now, whatever a fault says here. */
        if (!settling)
                fault_point("commit.after_rename");
        return 0;
}

int commit_part(const struct commit *c, int64_t step, uint32_t ranks, struct manifest *m, struct stint_error *err)
{
        char name[RUNDIR_NAME], part[CHECKPOINTS_PATH];

        rundir_part(name, step, c->stint);
        if (checkpoints_path(c, name, part, err) != 0 || commit_manifest(c, part, step, ranks, m, err) != 0)
                return -1;
        if (commit_make_whole(c, name, m, 0, err) == 0)
                return 0;
        manifest_fini(m);
        return -1;
}

int commit_find(const struct commit *c, int64_t step, struct manifest *m, struct stint_error *err)
{
        char name[RUNDIR_NAME], path[CHECKPOINTS_PATH];

        if (checkpoints_path(c, rundir_whole(name, step), path, err) != 0 || manifest_read(m, path, err) != 0)
                return error_wrap(err, "the program says that step %" PRId64 " has landed already", step);
        return 0;
}

/* ---- best ------------------------------------------------------------------------------------------------------ */

static int link_best(const struct commit *c, const char *name, struct stint_error *err)
{
        char link[CHECKPOINTS_PATH], fresh[CHECKPOINTS_PATH + 16], target[2 * RUNDIR_NAME], now[2 * RUNDIR_NAME];
        ssize_t n;

        if (rundir_join(link, sizeof link, c->run_dir, RUNDIR_BEST, NULL, err) != 0)
                return -1;
        snprintf(target, sizeof target, RUNDIR_CHECKPOINTS "/%s", name);
        n = readlink(link, now, sizeof now);
        if (n == (ssize_t)strlen(target) && memcmp(now, target, (size_t)n) == 0)
                return 0;
        if (lease_check(c->lease, err) != 0 || checkpoints_fault("best.before_link", err) != 0)
                return -1;
        snprintf(fresh, sizeof fresh, "%s.new", link);
        if (unlink(fresh) != 0 && errno != ENOENT)
                return error_system(err, errno, "%s cannot be removed", fresh);
        if (symlink(target, fresh) != 0)
                return error_system(err, errno, "%s cannot be created", fresh);
        if (rename(fresh, link) != 0)
                return error_system(err, errno, "%s cannot be renamed to %s", fresh, link);
        checkpoints_note(c, "best", json_pack("{s:s}", "checkpoint", name));
        return 0;
}

static const struct seal_metric *deciding(const struct manifest *m)
{
        uint32_t i;

        for (i = 0; i < m->metric_count; i++)
                if (m->metrics[i].goal != STINT_GOAL_NONE)
                        return &m->metrics[i];
        return NULL;
}

static int unlink_best(const struct commit *c, struct stint_error *err)
{
        char link[CHECKPOINTS_PATH];

        if (rundir_join(link, sizeof link, c->run_dir, RUNDIR_BEST, NULL, err) != 0)
                return -1;
        if (unlink(link) != 0 && errno != ENOENT)
                return error_system(err, errno, "%s cannot be removed", link);
        return 0;
}

int commit_best(const struct commit *c, int64_t *best, struct seal_metric *metric, struct stint_error *err)
{
        const struct catalog_entry *entry;
        struct catalog all;
        int rc;

        if (catalog_read(&all, c->run_dir, err) != 0)
                return -1;
        entry = catalog_best(&all);
        if (best != NULL)
                *best = entry == NULL ? -1 : entry->step;
        if (entry != NULL && metric != NULL)
                *metric = *deciding(&entry->manifest);
        rc = entry == NULL ? unlink_best(c, err) : link_best(c, entry->name, err);
        catalog_fini(&all);
        return rc;
}
