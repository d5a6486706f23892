/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reader: reads one rank's file and believes none of it before every hash was checked.  Called by restoring and
 * prefetch, on a thread.  A program that waits already gets it while it is read (feed.h); else it is read whole, into
 * memory for the program to map.  What it answers tells damage (set the checkpoint aside) from not being able to read
 * (leave it where it is: another node or another hour may read it).
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "assembly.h"
#include "blocks.h"
#include "channel.h"
#include "clock.h"
#include "disk.h"
#include "durable.h"
#include "fault.h"
#include "feed.h"
#include "image.h"
#include "memory.h"
#include "staging.h"

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

/* ---- the bytes --------------------------------------------------------------------------------------------------- */

/*
 * A file on its way into memory, and the hashing right behind.  Where the memfd can have large pages, each block is
 * read straight into them.  Where it has small ones, each is read into a buffer that is there already, hashed there,
 * and written to the memfd, which costs half of what it costs to map the pages of the memfd and to read into those: a
 * page that is mapped first is cleared, entered and, in the end, taken out one by one.
 */
#define BUFFERS 8

struct reading {
        struct image_source source;
        struct blocks blocks;
        struct disk disk;
        struct reader *reader;
        int memory;             /* the memfd */
        unsigned char *image;   /* all of it, mapped, when its pages are large; NULL: through buffers */
        unsigned char *buffers; /* BUFFERS blocks; the nth block of the file is in the one of n % BUFFERS */
        unsigned char *mapped;  /* the pages of the memfd with the table in them */
        uint64_t mapped_bytes;
        const void *table;
};

static unsigned char *place_of(const struct reading *g, uint64_t at)
{
        if (g->image)
                return g->image + at;
        return g->buffers + at / BLOCKS_BYTES % BUFFERS * BLOCKS_BYTES + at % BLOCKS_BYTES;
}

static int on_block(void *arg, uint64_t at, uint64_t n, struct stint_error *err)
{
        struct reading *g = arg;
        const uint64_t middle = g->blocks.bytes / 2;
        unsigned char *place = place_of(g, at);

        if (atomic_load_explicit(&g->reader->unwanted, memory_order_relaxed))
                return error_set(err, ECANCELED, "%s is not wanted any more", g->disk.path);
        if (at <= middle && middle < at + n && point("restore.mid_read", g->disk.path, err) < 0)
                return -1;
        if (g->image && memory_populate(place, n, MEMORY_LARGE, err) < 0)
                return -1;
        if (disk_read(&g->disk, place, n, at, err) < 0)
                return -1;
        return g->image ? 0 : durable_pwrite(g->memory, place, n, (off_t)at, "the memory to restore from", err);
}

static void on_progress(void *arg, uint64_t upto)
{
        struct reading *g = arg;

        atomic_store_explicit(&g->reader->read_bytes, upto, memory_order_relaxed);
}

/* The hashing asks for one byte after another: what is before `at` is done with, its buffer may be filled again. */
static const unsigned char *take(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                 struct stint_error *err)
{
        struct reading *g = (struct reading *)source;
        const uint64_t block = BLOCKS_BYTES - at % BLOCKS_BYTES;

        *n = most < block ? most : block;
        if (at % BLOCKS_BYTES == 0)
                blocks_pass(&g->blocks, at);
        return blocks_await(&g->blocks, at, *n, err) < 0 ? NULL : place_of(g, at);
}

/* The table tells where the tensors are, so it is read before all the rest, to its own place. */
static int read_table(struct reading *g, const struct seal *seal, struct stint_error *err)
{
        const uint64_t begin = seal->table_offset - seal->table_offset % DISK_UNIT,
                       end = seal->table_offset + seal->table_count * seal->record_bytes;

        g->table = "";
        if (end == begin)
                return 0;
        g->mapped = mmap(NULL, end - begin, PROT_READ | PROT_WRITE, MAP_SHARED, g->memory, (off_t)begin);
        if (g->mapped == MAP_FAILED)
                return error_system(err, errno, "cannot map the table of %s", g->disk.path);
        g->mapped_bytes = end - begin;
        g->table = g->mapped + (seal->table_offset - begin);
        return disk_read(&g->disk, g->mapped, end - begin, begin, err);
}

/* The memfd itself, when the kernel gives it one large page; else buffers. */
static int get_places(struct reading *g, struct stint_error *err)
{
        g->image = memory_map(g->memory, 0, g->blocks.bytes, PROT_READ | PROT_WRITE);
        if (g->image && g->blocks.bytes >= MEMORY_LARGE_PAGE && memory_make_large(g->image, MEMORY_LARGE_PAGE) == 0)
                return 0;
        if (g->image)
                munmap(g->image, g->blocks.bytes);
        g->image = NULL;
        g->buffers = mmap(NULL, BUFFERS * BLOCKS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (g->buffers == MAP_FAILED)
                return error_system(err, errno, "no memory to read %s", g->disk.path);
        madvise(g->buffers, BUFFERS * BLOCKS_BYTES, MADV_HUGEPAGE); /* a wish and no more */
        return 0;
}

/* The first failure is told: what could not be read, or what does not hold. */
static int read_and_check(struct reading *g, const struct seal *seal, struct stint_error *err)
{
        struct stint_error damage = { 0 };

        g->source = (struct image_source){ .take = take, .threads = 1 };
        g->blocks.window = g->image ? 0 : BUFFERS;
        g->blocks.on_block = on_block;
        g->blocks.on_progress = on_progress;
        g->blocks.arg = g;
        if (blocks_start(&g->blocks, err) < 0)
                return -1;
        if (image_check_from(&g->source, g->table, g->blocks.bytes, seal, &damage) < 0)
                blocks_stop(&g->blocks, &damage);
        return blocks_join(&g->blocks, err);
}

static int fill(struct reading *g, const struct seal *seal, struct stint_error *err)
{
        int rc = -1;

        if (image_check_places(g->blocks.bytes, seal, err) < 0 || get_places(g, err) < 0)
                return -1;
        if (read_table(g, seal, err) == 0)
                rc = read_and_check(g, seal, err);
        if (g->mapped_bytes)
                munmap(g->mapped, g->mapped_bytes);
        if (g->image)
                munmap(g->image, g->blocks.bytes);
        else
                munmap(g->buffers, BUFFERS * BLOCKS_BYTES);
        return rc;
}

/* Memory for the image, filled from fd and checked.  Answers the memfd. */
static int read_image(struct reader *r, int fd, const char *path, struct stint_error *err)
{
        struct reading g = { .blocks.bytes = r->file_bytes, .reader = r };
        int rc;

        if (staging_room(r->file_bytes, err) < 0)
                return -1;
        g.memory = channel_memory("stint-restore", r->file_bytes, err);
        if (g.memory < 0)
                return -1;
        disk_to_read(&g.disk, fd, path, r->file_bytes);
        rc = fill(&g, &r->seal, err);
        if (rc == 0)
                rc = point("restore.after_read", path, err);
        if (rc == 0)
                return g.memory;
        close(g.memory);
        return -1;
}

int reader_read_seal(struct reader *r, struct stint_error *err)
{
        char seal[RUNDIR_NAME], path[RUNDIR_PATH + 256];

        rundir_rank_seal(seal, r->rank, r->ranks);
        if (rundir_join(path, sizeof path, r->checkpoint, seal, NULL, err) < 0)
                return -1;
        if (seal_read(&r->seal, path, err) < 0)
                return damage_if_missing(err);
        return check_seal(r, path, err);
}

/* Seal and file, and nothing of its bytes yet.  Answers the descriptor. */
static int open_checked(struct reader *r, struct stint_error *err)
{
        char file[RUNDIR_NAME];

        rundir_rank_file(file, r->rank, r->ranks);
        if (rundir_join(r->path, sizeof r->path, r->checkpoint, file, NULL, err) < 0 ||
            point("restore.before_read", r->path, err) < 0 || reader_read_seal(r, err) < 0)
                return -1;
        return open_file(r, r->path, err);
}

/* The story of one restore: seal, file, bytes, hashes. */
static int restore(struct reader *r, struct stint_error *err)
{
        int fd = open_checked(r, err), memory;

        if (fd < 0)
                return -1;
        atomic_store(&r->at_disk, 1);
        if (atomic_load(&r->streams)) {
                r->feed = feed_open(fd, r->path, &r->seal, r->ring_fd, err);
                r->ring_fd = -1;
                return -1;
        }
        memory = read_image(r, fd, r->path, err);
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

void reader_bring(struct work *work)
{
        struct reader *r = (struct reader *)work;
        const int64_t begin_ns = clock_now();

        if (feed_run(r->feed, &r->err) == 0 && point("restore.after_read", r->path, &r->err) == 0)
                r->streamed = 1;
        r->took_ns += clock_now() - begin_ns;
}

struct reader *reader_new(const char *run_dir, const char *checkpoint, const char *run_id, struct stint_error *err)
{
        struct reader *r = calloc(1, sizeof *r);

        if (!r) {
                error_set(err, ENOMEM, "no memory to read a checkpoint");
                return NULL;
        }
        r->fd = r->ring_fd = -1;
        memcpy(r->run_id, run_id, strnlen(run_id, sizeof r->run_id - 1));
        /* The name comes from `stint run`, but what is no name of a checkpoint is not opened. */
        if (rundir_parse(checkpoint, NULL, NULL) != RUNDIR_WHOLE)
                error_set(err, EINVAL, "'%s' is no name of a checkpoint", checkpoint);
        else if (rundir_join(r->checkpoint, sizeof r->checkpoint, run_dir, RUNDIR_CHECKPOINTS, checkpoint, err) == 0)
                return r;
        free(r);
        return NULL;
}

int reader_is_half_way(const struct reader *r)
{
        /* The proof of what is in staging takes less than any disk. */
        return !atomic_load(&r->at_disk) ||
               atomic_load_explicit(&r->read_bytes, memory_order_relaxed) >= r->file_bytes / 2;
}

void reader_stop(struct reader *r)
{
        atomic_store_explicit(&r->unwanted, 1, memory_order_relaxed);
        if (r->brought)
                feed_stop(r->feed);
}

void reader_free(struct reader *r)
{
        if (r->fd >= 0)
                close(r->fd);
        if (r->ring_fd >= 0)
                close(r->ring_fd);
        feed_free(r->feed);
        assembly_free(r->assembly);
        staging_drop(r->staging);
        free(r);
}
