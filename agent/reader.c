/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader: reads one rank's file into memory and believes none of it before every hash was checked.  Called by
 * restoring, on a thread.  What it answers tells damage (set the checkpoint aside) from not being able to read (leave
 * it where it is: another node or another hour may read it).
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "durable.h"
#include "fault.h"
#include "image.h"
#include "staging.h"

#define BLOCK_BYTES (UINT64_C(8) << 20)

static int point(const char *name, const char *path, struct stint_error *err)
{
        const int code = fault_point(name);

        return code ? error_system(err, code, "cannot read %s (fault %s)", path, name) : 0;
}

/* The seal must be whole and belong to this rank of this run, and the manifest must mean this very file. */
static int check_seal(const struct reader *r, const char *path, struct stint_error *err)
{
        const struct seal *s = &r->seal;

        if (strcmp(s->run_id, r->run_id) != 0)
                return error_set(err, EBADMSG, "%s belongs to another run, %s", path, s->run_id);
        if (s->rank != r->rank || s->ranks != r->ranks)
                return error_set(err, EBADMSG, "%s is of rank %u of %u, not of rank %u of %u", path, s->rank, s->ranks,
                                 r->rank, r->ranks);
        if (s->step < 0 || s->step > r->checkpoint_step)
                return error_set(err, EBADMSG, "%s is of step %lld, after that of its checkpoint", path,
                                 (long long)s->step);
        if (s->root != r->root || s->file_bytes != r->file_bytes)
                return error_set(err, EBADMSG, "%s is not the seal that the manifest was made from", path);
        return 0;
}

/* A file that a manifest names and that is not there is damage, like any other change to a whole checkpoint. */
static int damage_if_missing(struct stint_error *err)
{
        if (err->code == ENOENT || err->code == ENODATA)
                err->code = EBADMSG;
        return -1;
}

static int open_file(const struct reader *r, const char *path, struct stint_error *err)
{
        struct stat status;
        const int fd = durable_open(path, &status, err);

        if (fd < 0)
                return damage_if_missing(err);
        if ((uint64_t)status.st_size == r->file_bytes)
                return fd;
        close(fd);
        return error_set(err, EBADMSG, "%s has %lld bytes, the manifest says %llu", path, (long long)status.st_size,
                         (unsigned long long)r->file_bytes);
}

/* Reads the file in blocks, which lets the kernel read ahead of us. */
static int read_blocks(const struct reader *r, int fd, unsigned char *image, const char *path, struct stint_error *err)
{
        const uint64_t middle = r->file_bytes / 2;
        uint64_t at, n;

        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        for (at = 0; at < r->file_bytes; at += n) {
                n = r->file_bytes - at < BLOCK_BYTES ? r->file_bytes - at : BLOCK_BYTES;
                if (at <= middle && middle < at + n && point("restore.mid_read", path, err) < 0)
                        return -1;
                if (durable_pread(fd, image + at, n, (off_t)at, path, err) < 0)
                        return -1;
        }
        return 0;
}

/* Memory for the image, filled from fd and checked.  Answers the memfd. */
static int read_image(const struct reader *r, int fd, const char *path, struct stint_error *err)
{
        unsigned char *image;
        int memory, rc;

        if (staging_room(r->file_bytes, err) < 0)
                return -1;
        memory = channel_memory("stint-restore", r->file_bytes, err);
        if (memory < 0)
                return -1;
        image = mmap(NULL, r->file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        if (image == MAP_FAILED) {
                error_system(err, errno, "cannot map %llu bytes to read %s into", (unsigned long long)r->file_bytes,
                             path);
                close(memory);
                return -1;
        }
        rc = read_blocks(r, fd, image, path, err);
        if (rc == 0)
                rc = image_check(image, r->file_bytes, &r->seal, err);
        munmap(image, r->file_bytes);
        if (rc == 0)
                rc = point("restore.after_read", path, err);
        if (rc < 0) {
                close(memory);
                return -1;
        }
        return memory;
}

/* The story of one restore: seal, file, bytes, hashes. */
static int restore(struct reader *r, struct stint_error *err)
{
        char file[RUNDIR_NAME], seal[RUNDIR_NAME], file_path[RUNDIR_PATH + 256], seal_path[RUNDIR_PATH + 256];
        int fd, memory;

        rundir_rank_file(file, r->rank, r->ranks);
        rundir_rank_seal(seal, r->rank, r->ranks);
        if (rundir_join(file_path, sizeof file_path, r->checkpoint, file, NULL, err) < 0 ||
            rundir_join(seal_path, sizeof seal_path, r->checkpoint, seal, NULL, err) < 0 ||
            point("restore.before_read", file_path, err) < 0)
                return -1;
        if (seal_read(&r->seal, seal_path, err) < 0)
                return damage_if_missing(err);
        if (check_seal(r, seal_path, err) < 0)
                return -1;
        fd = open_file(r, file_path, err);
        if (fd < 0)
                return -1;
        memory = read_image(r, fd, file_path, err);
        close(fd);
        return memory;
}

void reader_run(struct work *work)
{
        struct reader *r = (struct reader *)work;
        const int64_t begin_ns = clock_now();

        r->fd = restore(r, &r->err);
        r->took_ns = clock_now() - begin_ns;
}

void reader_free(struct reader *r)
{
        if (r->fd >= 0)
                close(r->fd);
        free(r);
}
