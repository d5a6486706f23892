/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor_disk: whether the place of a run can hold checkpoints: which filesystem, how much room, and whether it keeps
 * the promises a commit rests on (O_EXCL, rename, fsync), tried on files of its own.  cmd_doctor.c calls in.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include "clock.h"
#include "doctor.h"
#include "durable.h"
#include "duration.h"
#include "print.h"

#define PROBE_BYTES ((size_t)4 << 20)
#define SLOW_SYNC CLOCK_SECOND /* for PROBE_BYTES */
#define CLOCK_APART (2 * CLOCK_SECOND)

/* Those that linux/magic.h does not have. */
#define MAGIC_LUSTRE 0x0bd00bd0
#define MAGIC_GPFS 0x47504653
#define MAGIC_XFS 0x58465342
#define MAGIC_ZFS 0x2fc12fc1
#define MAGIC_BEEGFS 0x19830326

static const struct {
        unsigned long magic;
        const char *name;
        enum finding finding;
        const char *note;
} filesystems[] = {
        {TMPFS_MAGIC, "tmpfs", FINDING_WARNING,
         "it is memory: checkpoints are gone after a reboot, and other nodes never see them"},
        {RAMFS_MAGIC, "ramfs", FINDING_WARNING,
         "it is memory: checkpoints are gone after a reboot, and other nodes never see them"},
        {OVERLAYFS_SUPER_MAGIC, "overlay", FINDING_WARNING,
         "it usually belongs to a container and goes with it: put runs on a volume that stays"},
        {NFS_SUPER_MAGIC, "NFS", FINDING_OK,
         "other nodes may see a new checkpoint some seconds late; stint waits for what the journal names"},
        {MAGIC_LUSTRE, "Lustre", FINDING_OK, ""},
        {MAGIC_GPFS, "GPFS", FINDING_OK, ""},
        {MAGIC_BEEGFS, "BeeGFS", FINDING_OK, ""},
        {EXT4_SUPER_MAGIC, "ext4", FINDING_OK, ""},
        {MAGIC_XFS, "XFS", FINDING_OK, ""},
        {BTRFS_SUPER_MAGIC, "Btrfs", FINDING_OK, ""},
        {MAGIC_ZFS, "ZFS", FINDING_OK, ""},
        {FUSE_SUPER_MAGIC, "FUSE", FINDING_WARNING,
         "what it promises depends on the program behind it; see the probe below"},
};

static void check_filesystem(const struct doctor *d, const struct statfs *fs)
{
        for (size_t i = 0; i < sizeof filesystems / sizeof *filesystems; i++)
                if (filesystems[i].magic == (unsigned long)fs->f_type) {
                        doctor_found(d, "filesystem", filesystems[i].finding, "%s%s%s", filesystems[i].name,
                                     *filesystems[i].note ? ": " : "", filesystems[i].note);
                        return;
                }
        doctor_found(d, "filesystem", FINDING_OK, "type 0x%lx, which stint has no word on", (unsigned long)fs->f_type);
}

/* Room is needed for the generations kept, the best one, one whose files wait to be written over, and one being written. */
static void check_space(const struct doctor *d, const struct statfs *fs)
{
        int64_t available = (int64_t)fs->f_bavail * (int64_t)fs->f_bsize;
        int64_t need = ((int64_t)d->keep + 3) * d->state_bytes, more = need > d->used_bytes ? need - d->used_bytes : 0;
        char have[32], all[32], rest[32];

        print_size(have, sizeof have, available);
        print_size(all, sizeof all, need);
        print_size(rest, sizeof rest, more);
        if (!d->state_bytes)
                doctor_found(d, "space", FINDING_OK,
                             "%s free; a run needs %d times its state (%d kept, best, one to write over, one written)", have,
                             d->keep + 3, d->keep);
        else if (available < d->state_bytes)
                doctor_found(d, "space", FINDING_PROBLEM,
                             "%s free: not even the next checkpoint fits; free space or lower --stint-keep", have);
        else if (available < more)
                doctor_found(d, "space", FINDING_WARNING,
                             "%s free, but this run needs %s more (%s for keep %d): saves will fail one day", have,
                             rest, all, d->keep);
        else
                doctor_found(d, "space", FINDING_OK, "%s free; this run needs %s more (%s in all)", have, rest, all);
}

static void check_inodes(const struct doctor *d, const struct statfs *fs)
{
        if (fs->f_files > 0 && fs->f_ffree < 1000)
                doctor_found(d, "inodes", FINDING_PROBLEM, "only %llu left: remove files",
                             (unsigned long long)fs->f_ffree);
}

/* ---- the probe --------------------------------------------------------------------------------------------------- */

struct probe {
        char dir[RUNDIR_PATH + 64], file[RUNDIR_PATH + 96], other[RUNDIR_PATH + 96];
        int64_t sync_ns, file_ns; /* how long the write took; the filesystem's clock less ours */
};

static int probe_exclusive(const struct probe *p, struct stint_error *err)
{
        int fd = open(p->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd >= 0) {
                close(fd);
                return error_set(err, EINVAL, "O_EXCL created a file that was there: two runs could not be told apart");
        }
        return errno == EEXIST
                       ? 0
                       : error_system(err, errno, "O_EXCL on a file that was there failed in a way it must not");
}

static int probe_write(struct probe *p, int fd, struct stint_error *err)
{
        void *bytes = calloc(1, PROBE_BYTES);
        int64_t began = clock_now();
        struct stat st;
        int rc;

        if (!bytes)
                return error_set(err, ENOMEM, "no memory for a probe");
        rc = durable_pwrite(fd, bytes, PROBE_BYTES, 0, p->file, err) || durable_sync(fd, p->file, err) ? -1 : 0;
        free(bytes);
        p->sync_ns = clock_now() - began;
        if (!rc && fstat(fd, &st))
                rc = error_system(err, errno, "%s cannot be looked at", p->file);
        if (!rc)
                p->file_ns = (int64_t)st.st_mtim.tv_sec * CLOCK_SECOND + st.st_mtim.tv_nsec - clock_wall();
        return rc;
}

static int probe_steps(struct probe *p, struct stint_error *err)
{
        int fd, rc;

        if (mkdir(p->dir, 0700))
                return error_system(err, errno, "a directory cannot be made in it");
        fd = open(p->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_system(err, errno, "a file cannot be made in it");
        rc = probe_write(p, fd, err);
        if (close(fd) && !rc)
                rc = error_system(err, errno, "a file cannot be closed there");
        if (rc || probe_exclusive(p, err) || durable_rename(p->file, p->other, err) || durable_sync_dir(p->dir, err))
                return -1;
        return 0;
}

static void check_probe(const struct doctor *d)
{
        struct stint_error err, ignored;
        struct probe p = {0};
        char took[32], apart[32];
        int rc;

        snprintf(p.dir, sizeof p.dir, "%s/.stint-doctor.%d", d->where, (int)getpid());
        snprintf(p.file, sizeof p.file, "%s/file", p.dir);
        snprintf(p.other, sizeof p.other, "%s/renamed", p.dir);
        rc = probe_steps(&p, &err);
        durable_remove_tree(p.dir, &ignored);
        duration_format(took, sizeof took, p.sync_ns);
        duration_format(apart, sizeof apart, p.file_ns);
        if (rc)
                doctor_found(d, "probe", FINDING_PROBLEM, "%s: %s; choose another --stint-dir", d->where, err.text);
        else if (p.sync_ns > SLOW_SYNC)
                doctor_found(d, "probe", FINDING_WARNING,
                             "O_EXCL, rename and fsync work, but 4 MiB took %s to reach the disk", took);
        else
                doctor_found(d, "probe", FINDING_OK, "O_EXCL, rename and fsync work; 4 MiB reached the disk in %s",
                             took);
        if (!rc && (p.file_ns > CLOCK_APART || p.file_ns < -CLOCK_APART))
                doctor_found(d, "file clock", FINDING_WARNING,
                             "files there are dated %s apart from this machine's clock", apart);
}

void doctor_disk(const struct doctor *d)
{
        struct statfs fs;

        if (statfs(d->where, &fs)) {
                doctor_found(d, "filesystem", FINDING_PROBLEM, "%s cannot be looked at: %s", d->where, strerror(errno));
                return;
        }
        check_filesystem(d, &fs);
        check_space(d, &fs);
        check_inodes(d, &fs);
        check_probe(d);
}
