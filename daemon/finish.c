/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * finish: look at the files, write what is missing, sync, seal.  The image is read with pread(2) into memory of stintd's
 * own and never mapped: its pages can be punched out and written to by whoever has the other descriptor, and what was
 * hashed must be what was written.  A program that does so spoils its own checkpoint, which is verified before it is used.
 */
#include "finish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "image.h"

#define PIECE_BYTES ((size_t)4 << 20)
#define PAGE_BYTES UINT64_C(4096) /* O_DIRECT wants offsets and sizes that are multiples of this */

int finish_check_mode(int fd, const char *what, struct stint_error *err)
{
        const int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) != O_RDWR)
                return error_set(err, EINVAL, "%s is not open for reading and writing", what);
        if (flags & O_APPEND)
                return error_set(err, EINVAL, "%s is open for appending", what);
        return 0;
}

/* ---- what was handed over ---------------------------------------------------------------------------------------- */

static int check_file(const struct finish *f, int fd, const char *what, struct stat *st, struct stint_error *err)
{
        if (fstat(fd, st) < 0)
                return error_system(err, errno, "%s cannot be looked at", what);
        if (!S_ISREG(st->st_mode))
                return error_set(err, EINVAL, "%s is no regular file", what);
        if (st->st_uid != f->uid)
                return error_set(err, EPERM, "%s belongs to uid %u, and its writer was uid %u", what,
                                 (unsigned)st->st_uid, (unsigned)f->uid);
        return 0;
}

/* A descriptor says nothing of the rights to what it is open on: two users can pass one to another. */
static int check_files(const struct finish *f, struct stint_error *err)
{
        struct stat file, seal;

        if (check_file(f, f->file_fd, "the file", &file, err) < 0 ||
            check_file(f, f->seal_fd, "its seal", &seal, err) < 0)
                return -1;
        if (file.st_dev == seal.st_dev && file.st_ino == seal.st_ino)
                return error_set(err, EINVAL, "the file and its seal are the same");
        return 0;
}

/*
 * What stands in the seal is the agent's last word, when its messages did not get through: the pending mark says that
 * the rest is ours to write, a seal that all is done, and anything else that it was given up.  1: sealed already.
 */
static int read_mark(const struct finish *f, struct stint_error *err)
{
        unsigned char bytes[SEAL_BYTES + 1];
        struct seal_pending pending;
        struct seal seal;
        ssize_t n;

        do {
                n = pread(f->seal_fd, bytes, sizeof bytes, 0);
        } while (n < 0 && errno == EINTR);
        if (n < 0)
                return error_system(err, errno, "its seal cannot be read");
        if (seal_decode(&seal, bytes, (size_t)n, NULL) == 0)
                return 1;
        if (seal_pending_decode(&pending, bytes, (size_t)n, NULL) < 0)
                return error_set(err, ECANCELED, "its seal does not say that it is to be finished");
        return 0;
}

static int in_time(struct finish *f, struct stint_error *err)
{
        return atomic_load(&f->stop) ? error_set(err, ETIMEDOUT, "its time was over") : 0;
}

/* ---- the rest of the file ---------------------------------------------------------------------------------------- */

static int is_direct(const struct finish *f)
{
        return (fcntl(f->file_fd, F_GETFL) & O_DIRECT) != 0;
}

static int leave_direct(struct finish *f, struct stint_error *err)
{
        const int flags = fcntl(f->file_fd, F_GETFL);

        if (flags < 0 || fcntl(f->file_fd, F_SETFL, flags & ~O_DIRECT) < 0)
                return error_system(err, errno, "the file cannot be written through the page cache");
        return 0;
}

static uint64_t page_of(uint64_t at)
{
        return at - at % PAGE_BYTES;
}

static int write_at(struct finish *f, const unsigned char *bytes, size_t n, uint64_t at, struct stint_error *err)
{
        struct stint_error why = { 0 };

        if (is_direct(f) && (n % PAGE_BYTES || at % PAGE_BYTES) && leave_direct(f, err) < 0)
                return -1;
        f->wrote += n;
        if (durable_pwrite(f->file_fd, bytes, n, (off_t)at, "the file", &why) == 0)
                return 0;
        if (why.code == EINVAL && is_direct(f)) /* a filesystem may take the flag and refuse the writes */
                return leave_direct(f, err) < 0 ? -1 : durable_pwrite(f->file_fd, bytes, n, (off_t)at, "the file", err);
        return error_set(err, why.code, "%s", why.text);
}

/* What of [at, at + n) lies in [from, to). */
static int write_within(struct finish *f, const unsigned char *bytes, uint64_t at, size_t n, uint64_t from, uint64_t to,
                        struct stint_error *err)
{
        const uint64_t begin = at > from ? at : from, end = at + n < to ? at + n : to;

        return begin < end ? write_at(f, bytes + (begin - at), (size_t)(end - begin), begin, err) : 0;
}

/* What the agent had written already is not written again; the pages with hashes it had kept for later. */
static int write_piece(struct finish *f, const unsigned char *piece, uint64_t at, size_t n, struct stint_error *err)
{
        const uint64_t hashes_end = f->seal.hashes_offset + f->seal.table_count * 8;
        const uint64_t done = page_of(f->written < f->image_bytes ? f->written : f->image_bytes);
        uint64_t late = page_of(f->seal.hashes_offset), late_end = page_of(hashes_end + PAGE_BYTES - 1);

        late = late < done ? late : done;
        late_end = late_end < done ? late_end : done;
        if (in_time(f, err) < 0 || write_within(f, piece, at, n, late, late_end, err) < 0)
                return -1;
        return write_within(f, piece, at, n, done, f->image_bytes, err);
}

/* The image on its way to the file, for the hashing that asks for one byte after another. */
struct passage {
        struct image_source source;
        struct finish *f;
        unsigned char *buffer;   /* PIECE_BYTES, aligned */
        uint64_t position, have; /* of its first byte in the image, and how many are in it */
};

/* Read once: what was hashed is what is written, whatever becomes of the memory meanwhile. */
static int pass(struct passage *p, uint64_t at, struct stint_error *err)
{
        const uint64_t left = p->f->image_bytes - at;
        const size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

        if (durable_pread(p->f->image_fd, p->buffer, n, (off_t)at, "the image", err) < 0)
                return -1;
        p->position = at;
        p->have = n;
        return write_piece(p->f, p->buffer, at, n, err);
}

static const unsigned char *on_take(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                    struct stint_error *err)
{
        struct passage *p = (struct passage *)source;

        if (at - p->position >= p->have && pass(p, at, err) < 0)
                return NULL;
        *n = p->position + p->have - at;
        *n = *n < most ? *n : most;
        return p->buffer + (at - p->position);
}

/* The slot of an older checkpoint may have been longer; a file that has a hole at its end, shorter. */
static int set_size(struct finish *f, struct stint_error *err)
{
        struct stat st;

        if (fstat(f->file_fd, &st) < 0)
                return error_system(err, errno, "the file cannot be looked at");
        if ((uint64_t)st.st_size != f->image_bytes && ftruncate(f->file_fd, (off_t)f->image_bytes) < 0)
                return error_system(err, errno, "the file cannot be given its size");
        return 0;
}

/* With the table as it was when it was read, in memory of our own. */
static int hash_and_write(struct passage *p, void *table, unsigned char *hashes, struct stint_error *err)
{
        struct finish *f = p->f;
        const size_t n = f->seal.table_count * 8;

        if (durable_pread(f->image_fd, table, f->seal.table_count * f->seal.record_bytes,
                          (off_t)f->seal.table_offset, "the image", err) < 0 ||
            image_hash_from(&p->source, table, hashes, f->image_bytes, &f->seal, err) < 0)
                return -1;
        return n ? write_at(f, hashes, n, f->seal.hashes_offset, err) : 0;
}

static int write_rest(struct finish *f, struct stint_error *err)
{
        struct passage p = { .source = { .take = on_take, .threads = 1 }, .f = f };
        void *table, *hashes;
        int rc = -1;

        if (image_check_places(f->image_bytes, &f->seal, err) < 0)
                return -1;
        p.buffer = aligned_alloc(PAGE_BYTES, PIECE_BYTES);
        table = malloc(f->seal.table_count * f->seal.record_bytes + 1);
        hashes = malloc(f->seal.table_count * 8 + 1);
        if (p.buffer && table && hashes)
                rc = hash_and_write(&p, table, hashes, err);
        else
                error_set(err, ENOMEM, "stintd has no memory to hash its %" PRIu64 " tensors", f->seal.table_count);
        free(hashes);
        free(table);
        free(p.buffer);
        return rc;
}

/* ---- the seal ---------------------------------------------------------------------------------------------------- */

static int write_seal(struct finish *f, struct stint_error *err)
{
        unsigned char bytes[SEAL_BYTES];

        if (in_time(f, err) < 0)
                return -1;
        seal_encode(&f->seal, bytes);
        if (durable_pwrite(f->seal_fd, bytes, sizeof bytes, 0, "its seal", err) < 0)
                return -1;
        return durable_sync(f->seal_fd, "its seal", err);
}

int finish_write(struct finish *f, struct stint_error *err)
{
        const int sealed = in_time(f, err) < 0 || check_files(f, err) < 0 ? -1 : read_mark(f, err);

        if (sealed != 0) /* it failed, or there is nothing left to do */
                return sealed < 0 ? -1 : 0;
        if (write_rest(f, err) < 0 || set_size(f, err) < 0 || durable_sync(f->file_fd, "the file", err) < 0)
                return -1;
        return write_seal(f, err);
}
