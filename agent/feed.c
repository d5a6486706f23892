/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * feed: blocks of a file into a window, from several threads, and the hashing right behind.  A block's place is used
 * again when it is hashed and the program has copied it.  Called by reader.
 */
#include "feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "durable.h"
#include "fault.h"
#include "memory.h"

_Static_assert(BLOCKS_BYTES == WINDOW_BLOCK, "a block lies in the window in one piece");

#define TABLE_PIECE (UINT64_C(1) << 20) /* of the table, read at a time; a multiple of DISK_UNIT */

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Through a little memory of the right alignment, since the table begins anywhere in the file, but not in the copy. */
static int copy_table(struct feed *f, uint64_t bytes, void *page, struct stint_error *err)
{
        uint64_t done, n, begin = f->seal.table_offset & ~(DISK_UNIT - 1), skip = f->seal.table_offset - begin;

        for (done = 0; done < bytes; done += n, begin += TABLE_PIECE, skip = 0) {
                n = TABLE_PIECE - skip < bytes - done ? TABLE_PIECE - skip : bytes - done;
                if (disk_read(&f->disk, page, skip + n, begin, err) < 0 ||
                    durable_pwrite(f->table_fd, (const char *)page + skip, n, done, "the table for the program", err) < 0)
                        return -1;
        }
        return 0;
}

/* From here on it is the same for the hashing and for the program, and neither can change it for the other. */
static int seal_table(struct feed *f, struct stint_error *err)
{
        void *memory;

        if (fcntl(f->table_fd, F_ADD_SEALS, F_SEAL_WRITE) < 0)
                return error_system(err, errno, "the table of %s cannot be sealed against writing", f->path);
        memory = mmap(NULL, f->table_bytes, PROT_READ, MAP_SHARED, f->table_fd, 0);
        if (memory == MAP_FAILED)
                return error_system(err, errno, "the table of %s cannot be mapped", f->path);
        f->table = memory;
        return 0;
}

/* The table tells where the tensors are, so it is read before all the rest. */
static int read_table(struct feed *f, struct stint_error *err)
{
        const uint64_t bytes = f->seal.table_count * f->seal.record_bytes;
        void *page;
        int rc;

        f->table_bytes = bytes + 1;
        f->table_fd = channel_memory("stint-table", f->table_bytes, err);
        if (f->table_fd < 0)
                return -1;
        if (posix_memalign(&page, DISK_UNIT, TABLE_PIECE) != 0)
                return error_system(err, ENOMEM, "no memory to read the table of %s", f->path);
        rc = copy_table(f, bytes, page, err);
        free(page);
        return rc < 0 ? -1 : seal_table(f, err);
}

static void close_ring(int ring_fd)
{
        if (ring_fd >= 0)
                close(ring_fd);
}

/* A ring that is larger than the image would be of no use. */
static int make_window(struct feed *f, int ring_fd, struct stint_error *err)
{
        const uint64_t ring_bytes = FEED_BLOCKS * WINDOW_BLOCK, bytes = f->seal.file_bytes;

        if (ring_fd >= 0 && bytes >= ring_bytes)
                return window_make_in(&f->window, ring_fd, ring_bytes, bytes, err);
        close_ring(ring_fd);
        return window_make(&f->window, ring_bytes, bytes, err);
}

struct feed *feed_open(int fd, const char *path, const struct seal *seal, int ring_fd, struct stint_error *err)
{
        struct feed *f = calloc(1, sizeof *f);

        if (!f) {
                close(fd);
                close_ring(ring_fd);
                error_system(err, ENOMEM, "no memory to read %s", path);
                return NULL;
        }
        f->path = path;
        f->seal = *seal;
        f->table_fd = f->window.fd = -1;
        disk_to_read(&f->disk, fd, path, seal->file_bytes);
        if (image_check_places(seal->file_bytes, seal, err) < 0 || read_table(f, err) < 0)
                close_ring(ring_fd);
        else if (make_window(f, ring_fd, err) == 0)
                return f;
        feed_free(f);
        return NULL;
}

void feed_free(struct feed *f)
{
        if (!f)
                return;
        close(f->disk.fd);
        if (f->table_fd >= 0)
                close(f->table_fd);
        window_fini(&f->window);
        if (f->table)
                munmap((void *)f->table, f->table_bytes);
        free(f);
}

/* ---- bringing it ------------------------------------------------------------------------------------------------- */

/*
 * Where a block is read for the first time, large pages are made of the window: a disk takes 4 MiB in them as two pieces
 * instead of a thousand, which is twice as fast, and the program enters them with two faults.
 */
static int read_block(struct feed *f, uint64_t at, uint64_t n, struct stint_error *err)
{
        const uint64_t middle = f->blocks.bytes / 2;
        int code;

        if (window_await_room(&f->window, at + n, CLOCK_NEVER, err) < 1)
                return error_wrap(err, "the program does not take %s", f->path);
        code = at <= middle && middle < at + n ? fault_point("restore.mid_read") : 0;
        if (code)
                return error_system(err, code, "cannot read %s (fault restore.mid_read)", f->path);
        if (at < f->window.ring_bytes)
                memory_make_large(window_at(&f->window, at), WINDOW_BLOCK);
        return disk_read(&f->disk, window_at(&f->window, at), n, at, err);
}

/* Whoever fails first says why, and only then wakes those that wait for room. */
static void give_up(struct feed *f, const struct stint_error *why)
{
        blocks_stop(&f->blocks, why);
        window_stop(&f->window);
}

static int on_block(void *arg, uint64_t at, uint64_t n, struct stint_error *err)
{
        struct feed *f = arg;

        if (read_block(f, at, n, err) == 0)
                return 0;
        give_up(f, err);
        return -1;
}

static void on_progress(void *arg, uint64_t upto)
{
        struct feed *f = arg;

        window_fill(&f->window, upto);
}

/* The hashing asks for one byte after another: with those before `at` it is done. */
static const unsigned char *take(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                 struct stint_error *err)
{
        struct feed *f = (struct feed *)source;
        const uint64_t left = BLOCKS_BYTES - at % BLOCKS_BYTES;

        *n = most < left ? most : left;
        if (at % BLOCKS_BYTES == 0)
                blocks_pass(&f->blocks, at);
        return blocks_await(&f->blocks, at, *n, err) < 0 ? NULL : window_at(&f->window, at);
}

int feed_run(struct feed *f, struct stint_error *err)
{
        struct stint_error damage = {0};

        f->source = (struct image_source){.take = take, .threads = 1};
        f->blocks = (struct blocks){.bytes = f->seal.file_bytes,
                                    .window = f->window.ring_bytes / BLOCKS_BYTES,
                                    .on_block = on_block,
                                    .on_progress = on_progress,
                                    .arg = f};
        if (blocks_start(&f->blocks, err) < 0) {
                window_stop(&f->window);
                return -1;
        }
        if (image_check_from(&f->source, f->table, f->blocks.bytes, &f->seal, &damage) < 0)
                give_up(f, &damage);
        return blocks_join(&f->blocks, err);
}

void feed_stop(struct feed *f)
{
        window_stop(&f->window);
}
