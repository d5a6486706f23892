/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writer: creates the file, hashes and writes the image, syncs it, and seals it last.  Called by saving, on a thread.
 * The seal exists, empty, before the file does, so that a part is never without the mark that it is not whole.
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "disk.h"
#include "durable.h"
#include "fault.h"
#include "handover.h"
#include "meta.h"
#include "pipeline.h"
#include "slot.h"
#include "store.h"
#include "streamed.h"

/* The files of one save while it is written. */
struct part {
        char folder[RUNDIR_PATH + 192], file[RUNDIR_PATH + 256], seal[RUNDIR_PATH + 256];
        int file_fd, seal_fd;
        struct disk disk; /* of file_fd */
        struct handover handover;
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

/* The file that the image goes to: that of a retired checkpoint, or a new one. */
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
        return fd >= 0 ? fd : create(p->file, 0, err);
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
        disk_to_write(&p->disk, p->file_fd, p->file);
        return point("save.after_create", p->file, err);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

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

static int is_given_up(struct writer *w, struct stint_error *err)
{
        if (!atomic_load_explicit(&w->given_up, memory_order_relaxed))
                return 0;
        error_set(err, ECANCELED, "the save was given up");
        return 1;
}

static void on_progress(void *arg, uint64_t upto)
{
        struct part *p = arg;

        handover_written(&p->handover, upto);
}

static int write_from(struct part *p, struct writer *w, struct source *source, void *hashes, struct stint_error *err)
{
        const struct staging *s = w->staging;
        struct pipeline line = { .disk = &p->disk, .source = source, .image_bytes = s->image_bytes,
                                 .table = s->image + s->table_offset, .hashes = hashes, .seal = &w->seal,
                                 .given_up = &w->given_up, .on_progress = on_progress, .arg = p };

        if (disk_reserve(&p->disk, s->image_bytes, err) < 0 || pipeline_run(&line, err) < 0)
                return -1;
        w->hash_ns = line.hash_ns;
        return 0;
}

/* What comes while it is written cannot be finished by anybody else, so it is not handed over. */
static int write_streamed(struct part *p, struct writer *w, struct stint_error *err)
{
        struct source_streamed source;
        int rc;

        if (source_streamed_init(&source, w->staging, w->passage, err) < 0)
                return -1;
        rc = write_from(p, w, &source.source, source_streamed_hashes(&source), err);
        source_streamed_fini(&source);
        return rc;
}

/* All of the image, with the hashes in it.  What is in the file afterwards is not on the disk yet. */
static int write_image(struct part *p, struct writer *w, struct stint_error *err)
{
        const struct staging *s = w->staging;
        struct source_memory memory;

        describe(w);
        if (w->passage)
                return write_streamed(p, w, err);
        handover_begin(&p->handover, s, &w->seal, p->file_fd, p->seal_fd, w->expected_ns);
        source_memory_init(&memory, s->image);
        return write_from(p, w, &memory.source, s->image + s->hashes_offset, err);
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
        if (durable_sync(p->seal_fd, p->seal, err) < 0)
                return -1;
        handover_sealed(&p->handover, seal->root);
        if (close_file(&p->seal_fd, p->seal, err) < 0 ||
            durable_sync_dir(p->folder, err) < 0)
                return -1;
        return point("seal.after_sync", p->seal, err);
}

/* The story of one save. */
static int save(struct writer *w, struct part *p, struct stint_error *err)
{
        const int64_t begin_ns = clock_now();

        if (part_create(p, w, err) < 0 || write_image(p, w, err) < 0 || is_given_up(w, err) ||
            part_sync(p, err) < 0 || is_given_up(w, err) || part_seal(p, &w->seal, err) < 0)
                return -1;
        w->write_ns = clock_now() - begin_ns - w->hash_ns;
        return 0;
}

void writer_run(struct work *work)
{
        struct writer *w = (struct writer *)work;
        struct part p = { .file_fd = -1, .seal_fd = -1, .handover = { .line = -1 } };

        w->failed = save(w, &p, &w->err) < 0;
        if (w->failed && w->passage) /* whatever failed, the program need not wait for room */
                window_stop(&w->passage->window);
        handover_end(&p.handover);
        if (p.file_fd >= 0)
                close(p.file_fd);
        if (p.seal_fd >= 0)
                close(p.seal_fd);
}

void writer_give_up(struct writer *w)
{
        atomic_store_explicit(&w->given_up, 1, memory_order_relaxed);
        if (w->passage)
                passage_stop(w->passage, ECANCELED, "the save was given up");
}

void writer_free(struct writer *w)
{
        passage_free(w->passage);
        staging_drop(w->staging);
        free(w);
}
