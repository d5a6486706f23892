/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_slots: keeps the files of a retired checkpoint.  Called by run_commit.
 *
 * What makes this safe is the order.  The checkpoint was renamed from its whole name, and that directory synced, before
 * it comes here; its manifest goes first, and that is synced, too; and only then does a file get a name under which an
 * agent finds it and writes it over.  Whatever is lost in a crash, no checkpoint that has a manifest under its whole
 * name can have a byte of another one.
 */
#include "run_slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable.h"
#include "fault.h"
#include "rundir.h"

#define PATH_BYTES (RUNDIR_PATH + 2 * RUNDIR_NAME)

/* Both folders, open: what somebody puts in place of one of them meanwhile changes nothing. */
struct move {
        char from_path[PATH_BYTES], to_path[PATH_BYTES];
        int from, to;
        unsigned ranks; /* of the retired checkpoint; 0: it has no file of a rank */
};

/* How many ranks the checkpoint has that this file is of; 0 when it is no rank's file. */
static unsigned ranks_of(const char *name)
{
        char exact[RUNDIR_NAME];
        unsigned rank, of;

        if (sscanf(name, "rank-%u-of-%u.h5", &rank, &of) != 2 || rank >= of)
                return 0;
        return strcmp(name, rundir_rank_file(exact, rank, of)) == 0 ? of : 0;
}

static int open_folder(const char *path, struct stint_error *err)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd >= 0 ? fd : error_system(err, errno, "%s cannot be opened", path);
}

/* Calls visit for each name in the folder, until one fails. */
static int each_name(int folder, const char *path, int (*visit)(struct move *, const char *, struct stint_error *),
                     struct move *move, struct stint_error *err)
{
        int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (dir == NULL) {
                error_system(err, errno, "%s cannot be listed", path);
                if (fd >= 0)
                        close(fd);
                return -1;
        }
        while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL)
                rc = visit(move, entry->d_name, err);
        if (rc == 0 && errno != 0)
                rc = error_system(err, errno, "%s cannot be listed", path);
        closedir(dir);
        return rc;
}

static int count_ranks(struct move *m, const char *name, struct stint_error *err)
{
        (void)err;
        if (ranks_of(name) > 0)
                m->ranks = ranks_of(name);
        return 0;
}

/* A slot that no agent of a run with that many ranks asks for. */
static int remove_stranger(struct move *m, const char *name, struct stint_error *err)
{
        if (ranks_of(name) == 0 || ranks_of(name) == m->ranks || unlinkat(m->to, name, 0) == 0 || errno == ENOENT)
                return 0;
        return error_system(err, errno, "%s/%s cannot be removed", m->to_path, name);
}

static int move_file(struct move *m, const char *name, struct stint_error *err)
{
        struct stat st;

        if (ranks_of(name) != m->ranks || fstatat(m->from, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
                return 0;
        if (renameat(m->from, name, m->to, name) != 0)
                return error_system(err, errno, "%s/%s cannot be moved to %s", m->from_path, name, m->to_path);
        return 0;
}

static int forget_manifest(struct move *m, struct stint_error *err)
{
        if (unlinkat(m->from, RUNDIR_MANIFEST, 0) != 0 && errno != ENOENT)
                return error_system(err, errno, "%s/" RUNDIR_MANIFEST " cannot be removed", m->from_path);
        return durable_sync(m->from, m->from_path, err);
}

/* The story, once the retired folder is open. */
static int keep(struct move *m, struct stint_error *err)
{
        int code;

        if (each_name(m->from, m->from_path, count_ranks, m, err) != 0)
                return -1;
        if (m->ranks == 0)
                return 0;
        if (forget_manifest(m, err) != 0)
                return -1;
        if (mkdir(m->to_path, 0777) != 0 && errno != EEXIST)
                return error_system(err, errno, "the folder %s cannot be created", m->to_path);
        m->to = open_folder(m->to_path, err);
        if (m->to < 0)
                return -1;
        code = fault_point("slot.before_keep");
        if (code != 0)
                return error_system(err, code, "slot.before_keep");
        if (each_name(m->to, m->to_path, remove_stranger, m, err) != 0 ||
            each_name(m->from, m->from_path, move_file, m, err) != 0)
                return -1;
        return durable_sync(m->to, m->to_path, err);
}

int slots_keep(const char *checkpoints, const char *retired, struct stint_error *err)
{
        struct move m = { .from = -1, .to = -1 };
        int rc;

        if (rundir_join(m.from_path, sizeof m.from_path, checkpoints, retired, NULL, err) != 0 ||
            rundir_join(m.to_path, sizeof m.to_path, checkpoints, RUNDIR_SLOTS, NULL, err) != 0)
                return -1;
        m.from = open_folder(m.from_path, err);
        if (m.from < 0)
                return -1;
        rc = keep(&m, err);
        if (m.to >= 0)
                close(m.to);
        close(m.from);
        return rc;
}

static int is_folder(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int slots_are_there(const char *checkpoints)
{
        char path[PATH_BYTES];

        return rundir_join(path, sizeof path, checkpoints, RUNDIR_SLOTS, NULL, NULL) == 0 && is_folder(path);
}

int slots_drop(const char *checkpoints, struct stint_error *err)
{
        char path[PATH_BYTES];

        if (rundir_join(path, sizeof path, checkpoints, RUNDIR_SLOTS, NULL, err) != 0)
                return -1;
        return is_folder(path) ? durable_remove_tree(path, err) : 0;
}
