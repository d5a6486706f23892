/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image: one walk over the bytes of a rank's checkpoint.  The agent's writer hashes the image it is writing, its reader
 * checks the one it is reading, and `stint verify` and the settling of leftovers check files in place.  Every byte
 * belongs to exactly one of three: a tensor, the array of hashes, or the rest; so none goes unseen.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "checksum.h"
#include "durable.h"
#include "extents.h"
#include "table.h"
#include "walk.h"

#define IMAGE_PIECE ((size_t)4 << 20) /* bytes of a file in memory at a time */
#define THREADS_MOST 4                /* beyond that memory is the limit, and the ranks of a node share it */

unsigned image_threads(void)
{
        const long cores = sysconf(_SC_NPROCESSORS_ONLN);

        return cores < 4 ? 1 : cores < 4 * THREADS_MOST ? (unsigned)cores / 4 + 1 : THREADS_MOST;
}

/* ---- where the bytes come from ---- */

struct memory_source {
        struct image_source source;
        const unsigned char *image;
};

static const unsigned char *take_memory(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                        struct stint_error *err)
{
        (void)err;
        *n = most;
        return ((struct memory_source *)source)->image + at;
}

struct file_source {
        struct image_source source;
        int fd;
        const char *path;
        uint64_t bytes;          /* of the file */
        unsigned char *buffer;   /* IMAGE_PIECE bytes */
        uint64_t position, have; /* of the first byte in the buffer, and how many are there */
        void (*on_progress)(void *arg, uint64_t bytes);
        void *arg;
};

static int refill(struct file_source *s, uint64_t at, struct stint_error *err)
{
        const uint64_t left = s->bytes - at;
        const size_t n = left < IMAGE_PIECE ? (size_t)left : IMAGE_PIECE;

        if (durable_pread(s->fd, s->buffer, n, (off_t)at, s->path, err) < 0)
                return -1;
        s->position = at;
        s->have = n;
        if (s->on_progress)
                s->on_progress(s->arg, at + n);
        return 0;
}

static const unsigned char *take_file(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                      struct stint_error *err)
{
        struct file_source *s = (struct file_source *)source;

        if (at - s->position >= s->have && refill(s, at, err) < 0)
                return NULL;
        *n = s->position + s->have - at;
        if (*n > most)
                *n = most;
        return s->buffer + (at - s->position);
}

/* ---- the root ---- */

static void put_u64(unsigned char *to, uint64_t value)
{
        int i;

        for (i = 0; i < 8; i++)
                to[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_u64(const unsigned char *from)
{
        uint64_t value = 0;
        int i;

        for (i = 7; i >= 0; i--)
                value = value << 8 | from[i];
        return value;
}

/* The root: the hash of the rest's hash and then of every tensor's, 8 little-endian bytes each. */
static int root_of(const struct sums *sums, uint64_t count, uint64_t *root, struct stint_error *err)
{
        struct checksum *sum = checksum_begin();
        unsigned char bytes[8];
        uint64_t i;

        if (!sum)
                return error_system(err, ENOMEM, "cannot hash the image");
        put_u64(bytes, sums->rest);
        checksum_add(sum, bytes, sizeof bytes);
        for (i = 0; i < count; i++) {
                put_u64(bytes, sums->tensors[i]);
                checksum_add(sum, bytes, sizeof bytes);
        }
        *root = checksum_end(sum);
        return 0;
}

/* ---- what callers ask for ---- */

/* Whether the table and the hashes that a seal names can lie within an image of this size. */
static int check_bounds(const struct seal *seal, uint64_t image_bytes, struct stint_error *err)
{
        uint64_t table;

        if (seal->table_count > TABLE_MOST)
                return error_set(err, EBADMSG, "it names a table of %" PRIu64 " tensors", seal->table_count);
        table = seal->table_count * seal->record_bytes;
        if (table > image_bytes || seal->table_offset > image_bytes - table)
                return error_set(err, EBADMSG, "the table of tensors would reach out of the file");
        if (seal->table_count * 8 > image_bytes || seal->hashes_offset > image_bytes - seal->table_count * 8)
                return error_set(err, EBADMSG, "the hashes would reach out of the file");
        if (seal->table_offset % 8)
                return error_set(err, EBADMSG, "the table of tensors is not at a multiple of 8 bytes");
        return 0;
}

int image_check_places(uint64_t image_bytes, const struct seal *seal, struct stint_error *err)
{
        if (image_bytes != seal->file_bytes)
                return error_set(err, EBADMSG, "it has %" PRIu64 " bytes, and its seal says %" PRIu64, image_bytes,
                                 seal->file_bytes);
        return check_bounds(seal, image_bytes, err);
}

static const char *size_format(char *out, size_t size, uint64_t bytes)
{
        static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
        double value = (double)bytes;
        int unit = 0;

        while (value >= 1024 && unit < 5) {
                value /= 1024;
                unit++;
        }
        snprintf(out, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
        return out;
}

/* First of all: when the table is among what changed, its names and places say nothing. */
static int compare_rest(const struct sums *sums, const struct seal *seal, struct stint_error *err)
{
        if (sums->rest == seal->rest_hash)
                return 0;
        return error_set(err, EBADMSG, "what is around the tensors (headers, table, gaps) does not match its hash");
}

static int compare_tensors(const struct sums *sums, const void *table, const struct seal *seal, struct stint_error *err)
{
        char words[32];
        uint64_t i;

        for (i = 0; i < seal->table_count; i++) {
                const struct table_record *r = (const void *)((const char *)table + i * seal->record_bytes);

                if (sums->tensors[i] != get_u64(sums->stored + i * 8))
                        return error_set(err, EBADMSG,
                                         "tensor '%.*s' (%s at offset %" PRIu64 ") does not match its hash",
                                         (int)(seal->record_bytes - TABLE_RECORD_FIXED), r->name,
                                         size_format(words, sizeof words, r->bytes), r->file_offset);
        }
        return 0;
}

/* Last: of a whole file beside the seal of another save only the root tells. */
static int compare_root(const struct extents *x, const struct sums *sums, const struct seal *seal,
                        struct stint_error *err)
{
        uint64_t root;

        if (root_of(sums, x->count, &root, err) < 0)
                return -1;
        if (root != seal->root)
                return error_set(err, EBADMSG, "the hashes of its tensors are not those that were sealed");
        if (x->state_bytes != seal->state_bytes)
                return error_set(err, EBADMSG, "its tensors have %" PRIu64 " bytes, and its seal says %" PRIu64,
                                 x->state_bytes, seal->state_bytes);
        return 0;
}

/* What the walk found against what the image and its seal say. */
static int compare(const struct extents *x, const struct sums *sums, const void *table, const struct seal *seal,
                   struct stint_error *err)
{
        return compare_rest(sums, seal, err) < 0 || compare_tensors(sums, table, seal, err) < 0
                       ? -1
                       : compare_root(x, sums, seal, err);
}

/* What there is to hash, by a table whose place holds, and room for what will be found. */
static int prepare(struct extents *x, struct sums *sums, const void *table, uint64_t image_bytes,
                   const struct seal *seal, struct stint_error *err)
{
        if (table_check(table, seal->table_count, seal->record_bytes, image_bytes, err) < 0 ||
            extents_init(x, table, image_bytes, seal, err) < 0)
                return -1;
        if (sums_init(sums, x->count, err) == 0)
                return 0;
        extents_fini(x);
        return -1;
}

int image_hash_from(struct image_source *source, const void *table, void *hashes, uint64_t image_bytes,
                    struct seal *seal, struct stint_error *err)
{
        struct extents x;
        struct sums sums;
        uint64_t i, root;
        int rc;

        if (check_bounds(seal, image_bytes, err) < 0 || prepare(&x, &sums, table, image_bytes, seal, err) < 0)
                return -1;
        rc = walk(&x, source, &sums, err);
        if (rc == 0)
                rc = root_of(&sums, x.count, &root, err);
        if (rc == 0) {
                for (i = 0; i < x.count; i++)
                        put_u64((unsigned char *)hashes + i * 8, sums.tensors[i]);
                seal->file_bytes = image_bytes;
                seal->rest_hash = sums.rest;
                seal->root = root;
                seal->state_bytes = x.state_bytes;
        }
        sums_fini(&sums);
        extents_fini(&x);
        return rc;
}

int image_hash(void *image, uint64_t image_bytes, struct seal *seal, struct stint_error *err)
{
        struct memory_source s = { .source = { .take = take_memory, .threads = 1 }, .image = image };

        if (check_bounds(seal, image_bytes, err) < 0)
                return -1;
        return image_hash_from(&s.source, (char *)image + seal->table_offset, (char *)image + seal->hashes_offset,
                               image_bytes, seal, err);
}

int image_check_from(struct image_source *source, const void *table, uint64_t image_bytes, const struct seal *seal,
                     struct stint_error *err)
{
        struct extents x;
        struct sums sums;
        int rc;

        if (image_check_places(image_bytes, seal, err) < 0 || prepare(&x, &sums, table, image_bytes, seal, err) < 0)
                return -1;
        rc = walk(&x, source, &sums, err);
        if (rc == 0)
                rc = compare(&x, &sums, table, seal, err);
        sums_fini(&sums);
        extents_fini(&x);
        return rc;
}

int image_check_around(struct image_source *source, const struct extents *x, uint64_t *hashes, const struct seal *seal,
                       struct stint_error *err)
{
        struct sums sums;
        uint64_t i;
        int rc;

        if (sums_init(&sums, x->count, err) < 0)
                return -1;
        rc = walk_around(x, source, &sums, err);
        if (rc == 0)
                rc = compare_rest(&sums, seal, err);
        /* The root is then that of the hashes as they are stored, as if the tensors had been found to have them. */
        for (i = 0; i < x->count; i++)
                hashes[i] = sums.tensors[i] = get_u64(sums.stored + i * 8);
        if (rc == 0)
                rc = compare_root(x, &sums, seal, err);
        sums_fini(&sums);
        return rc;
}

int image_check_threads(const void *image, uint64_t image_bytes, const struct seal *seal, unsigned threads,
                        struct stint_error *err)
{
        struct memory_source s = { .source = { .take = take_memory, .threads = threads }, .image = image };

        if (image_check_places(image_bytes, seal, err) < 0)
                return -1;
        return image_check_from(&s.source, (const char *)image + seal->table_offset, image_bytes, seal, err);
}

int image_check(const void *image, uint64_t image_bytes, const struct seal *seal, struct stint_error *err)
{
        return image_check_threads(image, image_bytes, seal, 1, err);
}

static int check_open_file(struct file_source *s, const struct seal *seal, struct stint_error *err)
{
        uint64_t table_bytes = seal->table_count * seal->record_bytes;
        void *table = malloc(table_bytes + 1);
        int rc = -1;

        s->buffer = malloc(IMAGE_PIECE);
        if (!table || !s->buffer)
                error_system(err, ENOMEM, "cannot check %s", s->path);
        else if (durable_pread(s->fd, table, table_bytes, (off_t)seal->table_offset, s->path, err) == 0)
                rc = image_check_from(&s->source, table, s->bytes, seal, err);
        free(s->buffer);
        free(table);
        return rc;
}

int image_check_file(const char *path, const struct seal *seal, void (*on_progress)(void *arg, uint64_t bytes),
                     void *arg, struct stint_error *err)
{
        struct file_source s = { .source = { .take = take_file, .threads = 1 },
                                 .path = path,
                                 .on_progress = on_progress,
                                 .arg = arg };
        struct stat st;
        int rc;

        s.fd = durable_open(path, &st, err);
        if (s.fd < 0)
                return -1;
        s.bytes = (uint64_t)st.st_size;
        /* What the page cache holds says nothing of what a disk gives back later. */
        posix_fadvise(s.fd, 0, 0, POSIX_FADV_DONTNEED);
        posix_fadvise(s.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        rc = image_check_places(s.bytes, seal, err);
        if (rc == 0)
                rc = check_open_file(&s, seal, err);
        if (rc < 0)
                error_wrap(err, "%s", path);
        close(s.fd);
        return rc;
}
