/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_settle: every part is looked at, and what it turns out to be is done with it. */
#include "run_settle.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "run_commit.h"

#define MOST_RANKS 1000000u

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
            commit_manifest(c, part, e->step, ranks, m, err) != 0)
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
        char path[CHECKPOINTS_PATH];

        if (!own)
                return checkpoints_set_aside(c, e->name, RUNDIR_ABANDONED, reason, err);
        if (lease_check(c->lease, err) != 0 || checkpoints_path(c, e->name, path, err) != 0)
                return -1;
        return checkpoints_remove(path, err);
}

/* A save that was given up for a later one, which has landed: made whole now, it would be told as the newest. */
static int is_overtaken(const struct commit *c, const struct catalog *all, const struct catalog_entry *part)
{
        size_t i;

        for (i = 0; i < all->whole; i++)
                if (!checkpoints_is_foreign(c, &all->entries[i]) && all->entries[i].manifest.stint == part->stint &&
                    all->entries[i].step > part->step)
                        return 1;
        return 0;
}

static int settle_part(const struct commit *c, const struct catalog_entry *e, int own, struct stint_error *err)
{
        struct stint_error problem = { 0 };
        struct manifest m = { 0 };
        char part[CHECKPOINTS_PATH];
        int rc;

        if (checkpoints_path(c, e->name, part, err) != 0 || checkpoints_fault("settle.before_verify", err) != 0)
                return -1;
        if (verify_part(c, e, part, &m, &problem) != 0) {
                if (is_not_whole(problem.code))
                        return give_up_part(c, e, own, problem.text, err);
                checkpoints_note(c, "unreadable_part",
                                 json_pack("{s:s, s:s}", "checkpoint", e->name, "reason", problem.text));
                return 0;
        }
        if (is_outdated(c, &m)) {
                rc = give_up_part(c, e, own, "this step was saved again, and landed", err);
        } else {
                rc = commit_make_whole(c, e->name, &m, 1, err);
                if (rc == 0)
                        checkpoints_note(c, "finished_part",
                                         json_pack("{s:s, s:I, s:I, s:I}", "checkpoint", e->name, "step",
                                                   (json_int_t)m.step, "of_stint", (json_int_t)m.stint, "bytes",
                                                   (json_int_t)manifest_bytes(&m)));
        }
        manifest_fini(&m);
        return rc;
}

static int settle_all(const struct commit *c, int own, struct stint_error *err)
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
                if (!checkpoints_is_foreign(c, &all.entries[i]))
                        continue;
                snprintf(reason, sizeof reason, "it belongs to another run, %s", all.entries[i].manifest.run_id);
                rc = checkpoints_set_aside(c, all.entries[i].name, RUNDIR_QUARANTINED, reason, err);
        }
        catalog_fini(&all);
        return rc;
}

int settle_earlier(const struct commit *c, struct stint_error *err)
{
        return settle_foreign(c, err) != 0 ? -1 : settle_all(c, 0, err);
}

int settle_own(const struct commit *c, struct stint_error *err)
{
        return settle_all(c, 1, err);
}
