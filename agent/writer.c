/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writer: creates the file, hashes and writes the image, syncs it, and seals it last.  Called by saving, on a thread.
 * The seal exists, empty, before the file does, so that a part is never without the mark that it is not whole.
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "durable.h"
#include "duration.h"
#include "fault.h"
#include "image.h"
#include "meta.h"
#include "slot.h"
#include "store.h"

#define BLOCK_BYTES (UINT64_C(8) << 20)
#define DIRECT_BYTES UINT64_C(4096) /* O_DIRECT wants offsets and sizes that are multiples of this */

/* The files of one save while it is written. */
struct part {
        char folder[RUNDIR_PATH + 192], file[RUNDIR_PATH + 256], seal[RUNDIR_PATH + 256];
        int file_fd, seal_fd;
        int direct; /* file_fd goes past the page cache */
};

/* A named fault point that fails like the step it stands before. */
static int point(const char *name, const char *path, struct stint_error *err)
{
        const int code = fault_point(name);

        return code ? error_system(err, code, "cannot write %s (fault %s)", path, name) : 0;
}

static int name_part(struct part *p, const struct writer *w, struct stint_error *err)
{
        char name[RUNDIR_NAME], file[RUNDIR_NAME], seal[RUNDIR_NAME];

        rundir_part(name, w->checkpoint_step, w->seal.stint);
        rundir_rank_file(file, w->seal.rank, w->seal.ranks);
        rundir_rank_seal(seal, w->seal.rank, w->seal.ranks);
        if (rundir_join(p->folder, sizeof p->folder, w->checkpoints, name, NULL, err) < 0 ||
            rundir_join(p->file, sizeof p->file, w->checkpoints, name, file, err) < 0 ||
            rundir_join(p->seal, sizeof p->seal, w->checkpoints, name, seal, err) < 0)
                return -1;
        return 0;
}

static int make_folder(const char *path, struct stint_error *err)
{
        if (mkdir(path, 0777) == 0 || errno == EEXIST)
                return 0;
        return error_system(err, errno, "cannot create the folder %s", path);
}

/* The part of this save: made by this rank or another one. A link in its place would lead the files elsewhere. */
static int make_part(const char *path, struct stint_error *err)
{
        struct stat status;

        if (make_folder(path, err) < 0)
                return -1;
        if (lstat(path, &status) < 0)
                return error_system(err, errno, "cannot look at %s", path);
        if (!S_ISDIR(status.st_mode))
                return error_set(err, ENOTDIR, "%s is no folder, and nothing of stint's: remove it", path);
        return 0;
}

/* O_EXCL: a name is used once; what is there already belongs to somebody else. */
static int create(const char *path, int flags, struct stint_error *err)
{
        const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0666);

        return fd >= 0 ? fd : error_system(err, errno, "cannot create %s", path);
}

/*
 * Past the page cache the disk is used at twice the speed; not every filesystem can (tmpfs before Linux 6.6, some
 * FUSE).
 */
static int create_file(struct part *p, const struct writer *w, struct stint_error *err)
{
        char name[RUNDIR_NAME];
        int fd;

        rundir_rank_file(name, w->seal.rank, w->seal.ranks);
        fd = slot_take(w->checkpoints, name, p->file, w->staging->image_bytes);
        if (fd >= 0 && point("slot.after_take", p->file, err) < 0) {
                close(fd);
                return -1;
        }
        if (fd < 0)
                fd = create(p->file, 0, err);
        if (fd >= 0)
                p->direct = fcntl(fd, F_SETFL, O_DIRECT) == 0;
        return fd;
}

static int part_create(struct part *p, const struct writer *w, struct stint_error *err)
{
        if (name_part(p, w, err) < 0 || make_folder(w->checkpoints, err) < 0 || make_part(p->folder, err) < 0)
                return -1;
        if (point("save.before_create", p->file, err) < 0)
                return -1;
        if (w->attempt > 1) { /* this rank's own, of an attempt that was still at work when its part was removed */
                unlink(p->seal);
                unlink(p->file);
        }
        p->seal_fd = create(p->seal, 0, err);
        if (p->seal_fd < 0)
                return -1;
        p->file_fd = create_file(p, w, err);
        if (p->file_fd < 0)
                return -1;
        return point("save.after_create", p->file, err);
}

/* ---- the hashes -------------------------------------------------------------------------------------------------- */

/* The hashing of an image, on a thread of its own while the blocks without hashes in them are written already. */
struct hashing {
        struct writer *w;
        pthread_t thread;
        int threaded, failed;
        struct stint_error err;
};

/* Fills in what the image and its seal say about themselves, but for the hashes. */
static void describe(struct writer *w)
{
        const struct staging *s = w->staging;
        struct seal *seal = &w->seal;

        seal->file_bytes = s->image_bytes;
        seal->table_offset = s->table_offset;
        seal->table_count = s->count;
        seal->record_bytes = s->record_bytes;
        seal->hashes_offset = s->hashes_offset;
        meta_fill((char *)s->image + s->meta_offset, STORE_META_BYTES, seal, w->program);
}

static void *hash(void *arg)
{
        struct hashing *h = arg;
        const struct staging *s = h->w->staging;

        h->failed = image_hash(s->image, s->image_bytes, &h->w->seal, &h->err) < 0;
        return NULL;
}

static void hashing_begin(struct hashing *h)
{
        h->threaded = pthread_create(&h->thread, NULL, hash, h) == 0;
        if (!h->threaded)
                hash(h);
}

/* Waits for the hashes; how long is what hashing cost this save. */
static int hashing_end(struct hashing *h, struct stint_error *err)
{
        const int64_t begin_ns = clock_now();

        if (h->threaded)
                pthread_join(h->thread, NULL);
        h->w->hash_ns = clock_now() - begin_ns;
        return h->failed ? error_set(err, h->err.code, "%s", h->err.text) : 0;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/*
 * Reserves the whole file: a full disk is found out before gigabytes are written, and writing past the page cache is
 * faster into space that is there.  Where it is not supported, writing finds out as well.
 */
static int reserve(const struct part *p, uint64_t bytes, struct stint_error *err)
{
        char size[32];
        int rc;

        do {
                rc = fallocate(p->file_fd, 0, 0, (off_t)bytes);
        } while (rc < 0 && errno == EINTR);
        if (rc == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EFBIG && errno != EIO))
                return 0;
        return error_system(err, errno, "cannot reserve %s for %s", size_format(size, sizeof size, (int64_t)bytes),
                            p->file);
}

static int leave_direct(struct part *p, struct stint_error *err)
{
        p->direct = 0;
        return fcntl(p->file_fd, F_SETFL, 0) < 0 ? error_system(err, errno, "cannot write %s", p->file) : 0;
}

static int write_block(struct part *p, const unsigned char *image, uint64_t at, uint64_t n, struct stint_error *err)
{
        struct stint_error why = { 0 };

        if (p->direct && n % DIRECT_BYTES != 0 && leave_direct(p, err) < 0) /* the end of the file */
                return -1;
        if (durable_pwrite(p->file_fd, image + at, n, (off_t)at, p->file, &why) == 0)
                return 0;
        /* A filesystem may take the flag and refuse the writes. */
        if (p->direct && why.code == EINVAL) {
                if (leave_direct(p, err) < 0)
                        return -1;
                return durable_pwrite(p->file_fd, image + at, n, (off_t)at, p->file, err);
        }
        return error_set(err, why.code, "%s", why.text);
}

/*
 * Blocks that wait for the hashes: those that hold some, and the end of the file, which is not written past the cache.
 */
static int is_late(const struct staging *s, uint64_t at, uint64_t n)
{
        return at + n == s->image_bytes || (at < s->hashes_offset + s->count * 8 && s->hashes_offset < at + n);
}

/* The late blocks, or all others, in the order of the file. */
static int write_blocks(struct part *p, const struct staging *s, int late, struct stint_error *err)
{
        const uint64_t middle = s->image_bytes / 2;
        uint64_t at, n;

        for (at = 0; at < s->image_bytes; at += n) {
                n = s->image_bytes - at < BLOCK_BYTES ? s->image_bytes - at : BLOCK_BYTES;
                if (n > DIRECT_BYTES)
                        n -= n % DIRECT_BYTES;
                if (is_late(s, at, n) != late)
                        continue;
                if (at <= middle && middle < at + n && point("save.mid_write", p->file, err) < 0)
                        return -1;
                if (write_block(p, s->image, at, n, err) < 0)
                        return -1;
        }
        return 0;
}

/* Hashing runs at the speed of memory and writing at that of the disk, so the one is done beside the other. */
static int write_image(struct part *p, struct writer *w, struct stint_error *err)
{
        struct hashing hashing = { .w = w };
        int rc, hashed;

        if (reserve(p, w->staging->image_bytes, err) < 0)
                return -1;
        describe(w);
        hashing_begin(&hashing);
        rc = write_blocks(p, w->staging, 0, err);
        hashed = hashing_end(&hashing, rc == 0 ? err : NULL);
        if (rc < 0 || hashed < 0)
                return -1;
        return write_blocks(p, w->staging, 1, err);
}

/* close(2) may be the first to say that something was not written. */
static int close_file(int *fd, const char *path, struct stint_error *err)
{
        const int rc = close(*fd);

        *fd = -1;
        return rc < 0 && errno != EINTR ? error_system(err, errno, "cannot close %s", path) : 0;
}

static int part_sync(struct part *p, struct stint_error *err)
{
        if (point("save.before_sync", p->file, err) < 0 || durable_sync(p->file_fd, p->file, err) < 0 ||
            close_file(&p->file_fd, p->file, err) < 0)
                return -1;
        return point("save.after_sync", p->file, err);
}

static int part_seal(struct part *p, const struct seal *seal, struct stint_error *err)
{
        unsigned char bytes[SEAL_BYTES];

        seal_encode(seal, bytes);
        if (point("seal.before_write", p->seal, err) < 0 ||
            durable_pwrite(p->seal_fd, bytes, sizeof bytes, 0, p->seal, err) < 0 ||
            point("seal.after_write", p->seal, err) < 0)
                return -1;
        if (durable_sync(p->seal_fd, p->seal, err) < 0 || close_file(&p->seal_fd, p->seal, err) < 0 ||
            durable_sync_dir(p->folder, err) < 0)
                return -1;
        return point("seal.after_sync", p->seal, err);
}

/* The story of one save. */
static int save(struct writer *w, struct part *p, struct stint_error *err)
{
        const int64_t begin_ns = clock_now();

        if (part_create(p, w, err) < 0 || write_image(p, w, err) < 0 || part_sync(p, err) < 0 ||
            part_seal(p, &w->seal, err) < 0)
                return -1;
        w->write_ns = clock_now() - begin_ns - w->hash_ns;
        return 0;
}

void writer_run(struct work *work)
{
        struct writer *w = (struct writer *)work;
        struct part p = { .file_fd = -1, .seal_fd = -1 };

        w->failed = save(w, &p, &w->err) < 0;
        if (p.file_fd >= 0)
                close(p.file_fd);
        if (p.seal_fd >= 0)
                close(p.seal_fd);
}

void writer_free(struct writer *w)
{
        staging_drop(w->staging);
        free(w);
}
