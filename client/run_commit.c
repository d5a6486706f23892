/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_commit: a part becomes whole, leftovers are settled, `best` is pointed, old generations go.  Called by `stint
 * run`, at its start and then from the loop's thread pool, one call at a time.
 *
 * The order never changes: what is new is whole and on disk before anything older is touched, a directory is renamed
 * out of the way before it is removed, and the lease is re-read before each change.
 */
#include <dirent.h>
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
#include "run_slots.h"

#define ASIDE_KEPT 2 /* of abandoned, quarantined and superseded checkpoints each: for looking at, not for ever */
#define MOST_RANKS 1000000u
#define PATH_BYTES (RUNDIR_PATH + 2 * RUNDIR_NAME)

/* ---- small steps ----------------------------------------------------------------------------------------------- */

static int fault(const char *point, struct stint_error *err)
{
        int code = fault_point(point);

        return code == 0 ? 0 : error_system(err, code, "%s", point);
}

static int checkpoints_path(const struct commit *c, const char *name, char *out, struct stint_error *err)
{
        return rundir_join(out, PATH_BYTES, c->run_dir, RUNDIR_CHECKPOINTS, name, err);
}

/* A link that somebody put in a checkpoint's place is removed itself, not what it leads to. */
static int remove_whatever(const char *path, struct stint_error *err)
{
        struct stat st;

        if (lstat(path, &st) != 0 || S_ISDIR(st.st_mode))
                return durable_remove_tree(path, err);
        if (unlink(path) != 0 && errno != ENOENT)
                return error_system(err, errno, "%s cannot be removed", path);
        return 0;
}

static int is_foreign(const struct commit *c, const struct catalog_entry *e)
{
        return e->has_manifest && strcmp(e->manifest.run_id, c->run_id) != 0;
}

static void note(const struct commit *c, const char *event, json_t *fields)
{
        if (fields == NULL)
                return;
        json_object_set_new(fields, "event", json_string(event));
        json_array_append_new(c->events, fields);
}

int commit_set_aside(const struct commit *c, const char *name, enum rundir_kind kind, const char *reason,
                     struct stint_error *err)
{
        char checkpoints[PATH_BYTES], now[RUNDIR_NAME];
        const char *event = kind == RUNDIR_QUARANTINED ? "quarantined"
                            : kind == RUNDIR_ABANDONED ? "abandoned_part"
                                                       : "superseded";

        if (lease_check(c->lease, err) != 0 || checkpoints_path(c, NULL, checkpoints, err) != 0 ||
            rundir_set_aside(checkpoints, name, kind, now, err) != 0)
                return -1;
        note(c, event, json_pack("{s:s, s:s, s:s}", "checkpoint", name, "now", now, "reason", reason));
        return 0;
}

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
        char name[RUNDIR_NAME], path[PATH_BYTES + RUNDIR_NAME];
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

static int manifest_of_part(const struct commit *c, const char *part, int64_t step, uint32_t ranks, struct manifest *m,
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
        char path[PATH_BYTES + RUNDIR_NAME];
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
        char name[RUNDIR_NAME], now[RUNDIR_NAME], path[PATH_BYTES], checkpoints[PATH_BYTES];
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
                return commit_set_aside(c, name, RUNDIR_QUARANTINED, "its manifest cannot be read", err);
        return rundir_set_aside(checkpoints, name, RUNDIR_RETIRED, now, err);
}

/* settling: which fault points these steps have. */
static int make_whole(const struct commit *c, const char *part_name, const struct manifest *m, int settling,
                      struct stint_error *err)
{
        char part[PATH_BYTES], whole[PATH_BYTES], name[RUNDIR_NAME];

        if (checkpoints_path(c, part_name, part, err) != 0 ||
            checkpoints_path(c, rundir_whole(name, m->step), whole, err) != 0)
                return -1;
        if (lease_check(c->lease, err) != 0 ||
            fault(settling ? "settle.before_manifest" : "commit.before_manifest", err) != 0 ||
            write_manifest(m, part, err) != 0)
                return -1;
        if (!settling && fault("commit.after_manifest", err) != 0)
                return -1;
        if (fault(settling ? "settle.before_rename" : "commit.before_rename", err) != 0 ||
            lease_check(c->lease, err) != 0 || make_room(c, m->step, err) != 0 || durable_rename(part, whole, err) != 0)
                return -1;
        /* It is whole now, whatever a fault says here. */
        if (!settling)
                fault_point("commit.after_rename");
        return 0;
}

int commit_part(const struct commit *c, int64_t step, uint32_t ranks, struct manifest *m, struct stint_error *err)
{
        char name[RUNDIR_NAME], part[PATH_BYTES];

        rundir_part(name, step, c->stint);
        if (checkpoints_path(c, name, part, err) != 0 || manifest_of_part(c, part, step, ranks, m, err) != 0)
                return -1;
        if (make_whole(c, name, m, 0, err) == 0)
                return 0;
        manifest_fini(m);
        return -1;
}

int commit_find(const struct commit *c, int64_t step, struct manifest *m, struct stint_error *err)
{
        char name[RUNDIR_NAME], path[PATH_BYTES];

        if (checkpoints_path(c, rundir_whole(name, step), path, err) != 0 || manifest_read(m, path, err) != 0)
                return error_wrap(err, "the program says that step %" PRId64 " has landed already", step);
        return 0;
}

/* ---- best ------------------------------------------------------------------------------------------------------ */

static int link_best(const struct commit *c, const char *name, struct stint_error *err)
{
        char link[PATH_BYTES], fresh[PATH_BYTES + 16], target[2 * RUNDIR_NAME], now[2 * RUNDIR_NAME];
        ssize_t n;

        if (rundir_join(link, sizeof link, c->run_dir, RUNDIR_BEST, NULL, err) != 0)
                return -1;
        snprintf(target, sizeof target, RUNDIR_CHECKPOINTS "/%s", name);
        n = readlink(link, now, sizeof now);
        if (n == (ssize_t)strlen(target) && memcmp(now, target, (size_t)n) == 0)
                return 0;
        if (lease_check(c->lease, err) != 0 || fault("best.before_link", err) != 0)
                return -1;
        snprintf(fresh, sizeof fresh, "%s.new", link);
        if (unlink(fresh) != 0 && errno != ENOENT)
                return error_system(err, errno, "%s cannot be removed", fresh);
        if (symlink(target, fresh) != 0)
                return error_system(err, errno, "%s cannot be created", fresh);
        if (rename(fresh, link) != 0)
                return error_system(err, errno, "%s cannot be renamed to %s", fresh, link);
        note(c, "best", json_pack("{s:s}", "checkpoint", name));
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
        char link[PATH_BYTES];

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

/* ---- what is no longer needed ---------------------------------------------------------------------------------- */

static int remove_entry(const struct commit *c, const char *name, struct stint_error *err)
{
        char path[PATH_BYTES];

        if (checkpoints_path(c, name, path, err) != 0 || lease_check(c->lease, err) != 0 ||
            fault("prune.before_remove", err) != 0)
                return -1;
        return remove_whatever(path, err);
}

/*
 * The files of the first one, which is the newest, are kept: *slots is cleared.  Where that cannot be, the next save
 * writes new files, and is slower.
 */
static int remove_retired(const struct commit *c, const char *name, int *slots, struct stint_error *err)
{
        char checkpoints[PATH_BYTES];

        if (*slots && (checkpoints_path(c, NULL, checkpoints, err) != 0 || lease_check(c->lease, err) != 0))
                return -1;
        if (*slots && slots_keep(checkpoints, name, NULL) == 0)
                *slots = 0;
        return remove_entry(c, name, err);
}

static int retire(const struct commit *c, const struct catalog_entry *e, int *slots, struct stint_error *err)
{
        char checkpoints[PATH_BYTES], now[RUNDIR_NAME];

        if (checkpoints_path(c, NULL, checkpoints, err) != 0 || lease_check(c->lease, err) != 0 ||
            fault("prune.before_retire", err) != 0 ||
            rundir_set_aside(checkpoints, e->name, RUNDIR_RETIRED, now, err) != 0)
                return -1;
        note(c, "pruned", json_pack("{s:s, s:I}", "checkpoint", e->name, "step", (json_int_t)e->step));
        return remove_retired(c, now, slots, err);
}

/*
 * A damaged generation at the head must not push out the good one behind it, so `keep` counts none but those whose
 * seals and sizes hold; that is as much as can be known without reading everything.
 */
static int looks_good(const struct commit *c, const struct catalog_entry *e)
{
        char path[PATH_BYTES];

        return checkpoints_path(c, e->name, path, NULL) == 0 && manifest_verify(&e->manifest, path, 0, NULL) == 0;
}

static int prune_whole(const struct commit *c, const struct catalog *all, int *slots, struct stint_error *err)
{
        const struct catalog_entry *best = catalog_best(all);
        int kept = 0;
        size_t i;

        for (i = 0; i < all->whole; i++) {
                const struct catalog_entry *e = &all->entries[i];

                if (is_foreign(c, e)) /* it must not push out our own */
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

int commit_has_slots(const char *run_dir)
{
        char checkpoints[PATH_BYTES];

        return rundir_join(checkpoints, sizeof checkpoints, run_dir, RUNDIR_CHECKPOINTS, NULL, NULL) == 0 &&
               slots_are_there(checkpoints);
}

int commit_drop_slots(const struct commit *c, struct stint_error *err)
{
        char checkpoints[PATH_BYTES];

        if (checkpoints_path(c, NULL, checkpoints, err) != 0 || lease_check(c->lease, err) != 0)
                return -1;
        return slots_drop(checkpoints, err);
}

int commit_prune(const struct commit *c, struct stint_error *err)
{
        struct catalog all;
        int slots = c->slots, rc;

        if (catalog_read(&all, c->run_dir, err) != 0)
                return -1;
        rc = c->slots ? 0 : commit_drop_slots(c, err);
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

/* ---- leftovers ------------------------------------------------------------------------------------------------- */

/* How many ranks a part was meant for, from the name of any file in it: "rank-00001-of-00004.seal". */
static int ranks_of_part(const char *part, uint32_t *ranks, struct stint_error *err)
{
        DIR *dir = opendir(part);
        struct dirent *entry;
        char exact[RUNDIR_NAME];
        unsigned rank, of;

        if (dir == NULL)
                return error_system(err, errno, "%s cannot be opened", part);
        *ranks = 0;
        while (errno = 0, (entry = readdir(dir)) != NULL)
                if (sscanf(entry->d_name, "rank-%u-of-%u.seal", &rank, &of) == 2 && of > 0 && of <= MOST_RANKS &&
                    rank < of && strcmp(entry->d_name, rundir_rank_seal(exact, rank, of)) == 0)
                        *ranks = of;
        if (errno != 0) {
                error_system(err, errno, "%s cannot be listed", part);
                closedir(dir);
                return -1;
        }
        closedir(dir);
        return *ranks > 0 ? 0 : error_set(err, ENODATA, "it has no seal at all");
}

/* What is found through a link lies where nobody promised to leave it alone. */
static int is_folder(const char *part, struct stint_error *err)
{
        struct stat st;

        if (lstat(part, &st) != 0)
                return error_system(err, errno, "%s cannot be looked at", part);
        if (S_ISDIR(st.st_mode))
                return 0;
        return error_set(err, EBADMSG, "it is %s, not a directory", S_ISLNK(st.st_mode) ? "a symbolic link" : "a file");
}

/* Everything the seals promise is read again: the process that wrote it may have died with the machine. */
static int verify_part(const struct commit *c, const struct catalog_entry *e, const char *part, struct manifest *m,
                       struct stint_error *err)
{
        uint32_t ranks;

        if (is_folder(part, err) != 0 || ranks_of_part(part, &ranks, err) != 0 ||
            manifest_of_part(c, part, e->step, ranks, m, err) != 0)
                return -1;
        if (m->stint != e->stint)
                error_set(err, EBADMSG, "its seals were written by stint %u", m->stint);
        else if (manifest_verify(m, part, 1, err) == 0)
                return 0;
        manifest_fini(m);
        return -1;
}

/* What says that it is not whole; anything else says only that it could not be looked at now. */
static int is_not_whole(int code)
{
        return code == EBADMSG || code == ENODATA || code == ENOENT;
}

/* A newer whole one of this step is there already when the same step was saved again after the part was left. */
static int is_outdated(const struct commit *c, const struct manifest *m)
{
        struct manifest there = { 0 };
        int outdated = commit_find(c, m->step, &there, NULL) == 0 && there.lineage >= m->lineage &&
                       there.stint >= m->stint;

        manifest_fini(&there);
        return outdated;
}

static int give_up_part(const struct commit *c, const struct catalog_entry *e, int own, const char *reason,
                        struct stint_error *err)
{
        char path[PATH_BYTES];

        if (!own)
                return commit_set_aside(c, e->name, RUNDIR_ABANDONED, reason, err);
        if (lease_check(c->lease, err) != 0 || checkpoints_path(c, e->name, path, err) != 0)
                return -1;
        return remove_whatever(path, err);
}

/* A save that was given up for a later one, which has landed: made whole now, it would be told as the newest. */
static int is_overtaken(const struct commit *c, const struct catalog *all, const struct catalog_entry *part)
{
        size_t i;

        for (i = 0; i < all->whole; i++)
                if (!is_foreign(c, &all->entries[i]) && all->entries[i].manifest.stint == part->stint &&
                    all->entries[i].step > part->step)
                        return 1;
        return 0;
}

static int settle_part(const struct commit *c, const struct catalog_entry *e, int own, struct stint_error *err)
{
        struct stint_error problem = { 0 };
        struct manifest m = { 0 };
        char part[PATH_BYTES];
        int rc;

        if (checkpoints_path(c, e->name, part, err) != 0 || fault("settle.before_verify", err) != 0)
                return -1;
        if (verify_part(c, e, part, &m, &problem) != 0) {
                if (is_not_whole(problem.code))
                        return give_up_part(c, e, own, problem.text, err);
                note(c, "unreadable_part", json_pack("{s:s, s:s}", "checkpoint", e->name, "reason", problem.text));
                return 0;
        }
        if (is_outdated(c, &m)) {
                rc = give_up_part(c, e, own, "this step was saved again, and landed", err);
        } else {
                rc = make_whole(c, e->name, &m, 1, err);
                if (rc == 0)
                        note(c, "finished_part",
                             json_pack("{s:s, s:I, s:I, s:I}", "checkpoint", e->name, "step", (json_int_t)m.step,
                                       "of_stint", (json_int_t)m.stint, "bytes", (json_int_t)manifest_bytes(&m)));
        }
        manifest_fini(&m);
        return rc;
}

static int settle(const struct commit *c, int own, struct stint_error *err)
{
        struct catalog all;
        size_t i;
        int rc = 0;

        if (catalog_read(&all, c->run_dir, err) != 0)
                return -1;
        for (i = 0; i < all.n && rc == 0; i++) {
                if (all.entries[i].kind != RUNDIR_PART || (all.entries[i].stint == c->stint) != own)
                        continue;
                if (own && is_overtaken(c, &all, &all.entries[i]))
                        rc = give_up_part(c, &all.entries[i], own, "a later step of this stint has landed", err);
                else
                        rc = settle_part(c, &all.entries[i], own, err);
        }
        catalog_fini(&all);
        return rc;
}

/* A checkpoint of another run that was put here is never restored; left among ours, it would count as one that is kept. */
static int settle_foreign(const struct commit *c, struct stint_error *err)
{
        char reason[100];
        struct catalog all;
        size_t i;
        int rc = 0;

        if (catalog_read(&all, c->run_dir, err) != 0)
                return -1;
        for (i = 0; i < all.whole && rc == 0; i++) {
                if (!is_foreign(c, &all.entries[i]))
                        continue;
                snprintf(reason, sizeof reason, "it belongs to another run, %s", all.entries[i].manifest.run_id);
                rc = commit_set_aside(c, all.entries[i].name, RUNDIR_QUARANTINED, reason, err);
        }
        catalog_fini(&all);
        return rc;
}

int commit_settle(const struct commit *c, struct stint_error *err)
{
        return settle_foreign(c, err) != 0 ? -1 : settle(c, 0, err);
}

int commit_settle_own(const struct commit *c, struct stint_error *err)
{
        return settle(c, 1, err);
}
