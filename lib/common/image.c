/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image: one walk over the bytes of a rank's checkpoint, in the order of the file.  The agent's writer hashes the image
 * it is about to write, its reader checks the one it has read, and `stint verify` and the settling of leftovers check
 * files in place.  Every byte belongs to exactly one of three: a tensor, the array of hashes, or the rest; so none goes
 * unseen.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "checksum.h"
#include "durable.h"
#include "table.h"

#define IMAGE_PIECE ((size_t)4 << 20) /* bytes of a file in memory at a time */

/* ---- where the bytes come from ---- */

/* The bytes of an image, taken once from the first to the last: all there at once, or read piece by piece. */
struct stream {
        const unsigned char *at; /* the next byte */
        size_t have;             /* so many are there */
        uint64_t position;       /* of the next byte in the image */

        int fd; /* -1: the image is in memory */
        const char *path;
        unsigned char *buffer;
        uint64_t bytes; /* size of the file */
        void (*on_progress)(void *arg, uint64_t bytes);
        void *arg;
};

static int stream_refill(struct stream *s, struct stint_error *err)
{
        uint64_t left = s->bytes - s->position;
        size_t n = left < IMAGE_PIECE ? (size_t)left : IMAGE_PIECE;

        if (durable_pread(s->fd, s->buffer, n, (off_t)s->position, s->path, err) < 0)
                return -1;
        s->at = s->buffer;
        s->have = n;
        if (s->on_progress)
                s->on_progress(s->arg, s->position + n);
        return 0;
}

/* Between 1 and `most` of the next bytes; the caller never asks beyond the end of the image.  NULL when they cannot be
 * read. */
static const unsigned char *stream_take(struct stream *s, uint64_t most, size_t *n, struct stint_error *err)
{
        const unsigned char *taken;

        if (s->have == 0 && stream_refill(s, err) < 0)
                return NULL;
        *n = s->have < most ? s->have : (size_t)most;
        taken = s->at;
        s->at += *n;
        s->have -= *n;
        s->position += *n;
        return taken;
}

/* ---- what the bytes are ---- */

enum extent_kind { EXTENT_TENSOR, EXTENT_TABLE, EXTENT_HASHES };

struct extent {
        uint64_t begin, bytes;
        enum extent_kind kind;
        uint64_t index; /* of the tensor */
};

/* An image as its table says it is, and the hashes that a walk over it finds. */
struct plan {
        struct extent *extents; /* by begin, none overlapping another */
        size_t n_extents;
        uint64_t image_bytes, count, state_bytes;
        uint64_t *found;       /* hash of each tensor */
        unsigned char *stored; /* the array of hashes as it stands in the image, 8 bytes each */
        uint64_t rest;
};

static void plan_fini(struct plan *p)
{
        free(p->extents);
        free(p->found);
        free(p->stored);
}

static int by_begin(const void *a, const void *b)
{
        const struct extent *x = a, *y = b;

        return (x->begin > y->begin) - (x->begin < y->begin);
}

static const char *kind_words(enum extent_kind kind)
{
        return kind == EXTENT_TENSOR ? "a tensor" : kind == EXTENT_TABLE ? "the table of tensors" : "the hashes";
}

static int plan_check(struct plan *p, struct stint_error *err)
{
        size_t i;

        qsort(p->extents, p->n_extents, sizeof *p->extents, by_begin);
        for (i = 0; i < p->n_extents; i++) {
                const struct extent *e = &p->extents[i];

                if (e->bytes > p->image_bytes || e->begin > p->image_bytes - e->bytes)
                        return error_set(err, EBADMSG, "%s reaches out of the file", kind_words(e->kind));
                if (i > 0 && e->begin < e[-1].begin + e[-1].bytes)
                        return error_set(err, EBADMSG, "%s overlaps %s at offset %" PRIu64, kind_words(e->kind),
                                         kind_words(e[-1].kind), e->begin);
        }
        return 0;
}

static void plan_add(struct plan *p, uint64_t begin, uint64_t bytes, enum extent_kind kind, uint64_t index)
{
        if (bytes > 0)
                p->extents[p->n_extents++] = (struct extent){ begin, bytes, kind, index };
}

/*
 * From a table that table_check found right for this image.  Offsets and sizes are copied before they are checked once
 * more, so that a program that writes into its staging at the wrong moment spoils its checkpoint and not the agent.
 */
static int plan_init(struct plan *p, const void *table, uint64_t image_bytes, const struct seal *seal,
                     struct stint_error *err)
{
        uint64_t i, count = seal->table_count;

        *p = (struct plan){ .image_bytes = image_bytes, .count = count };
        p->extents = calloc(count + 2, sizeof *p->extents);
        p->found = calloc(count + 1, sizeof *p->found);
        p->stored = calloc(count + 1, 8);
        if (!p->extents || !p->found || !p->stored) {
                plan_fini(p);
                return error_system(err, ENOMEM, "cannot hash %" PRIu64 " tensors", count);
        }
        for (i = 0; i < count; i++) {
                const struct table_record *r = (const void *)((const char *)table + i * seal->record_bytes);
                uint64_t begin = r->file_offset, bytes = r->bytes;

                p->found[i] = checksum("", 0); /* of a tensor without bytes, which no extent will replace */
                p->state_bytes += bytes;
                plan_add(p, begin, bytes, EXTENT_TENSOR, i);
        }
        plan_add(p, seal->table_offset, count * seal->record_bytes, EXTENT_TABLE, 0);
        plan_add(p, seal->hashes_offset, count * 8, EXTENT_HASHES, 0);
        if (plan_check(p, err) < 0) {
                plan_fini(p);
                return -1;
        }
        return 0;
}

/* ---- the walk ---- */

static int hash_into(struct stream *s, uint64_t bytes, struct checksum *sum, struct stint_error *err)
{
        while (bytes > 0) {
                size_t n;
                const unsigned char *piece = stream_take(s, bytes, &n, err);

                if (!piece)
                        return -1;
                checksum_add(sum, piece, n);
                bytes -= n;
        }
        return 0;
}

static int hash_tensor(struct stream *s, uint64_t bytes, uint64_t *hash, struct stint_error *err)
{
        struct checksum *sum;
        size_t n;
        int rc;

        /* The usual tensor is there in one piece, and needs no memory for its hash. */
        if (s->have >= bytes) {
                *hash = checksum(stream_take(s, bytes, &n, err), bytes);
                return 0;
        }
        sum = checksum_begin();
        if (!sum)
                return error_system(err, ENOMEM, "cannot hash a tensor");
        rc = hash_into(s, bytes, sum, err);
        *hash = checksum_end(sum);
        return rc;
}

static int copy_stored(struct stream *s, uint64_t bytes, unsigned char *to, struct stint_error *err)
{
        while (bytes > 0) {
                size_t n;
                const unsigned char *piece = stream_take(s, bytes, &n, err);

                if (!piece)
                        return -1;
                memcpy(to, piece, n);
                to += n;
                bytes -= n;
        }
        return 0;
}

static int walk_extents(struct plan *p, struct stream *s, struct checksum *rest, struct stint_error *err)
{
        size_t i;

        for (i = 0; i < p->n_extents; i++) {
                const struct extent *e = &p->extents[i];
                int rc;

                if (hash_into(s, e->begin - s->position, rest, err) < 0)
                        return -1;
                if (e->kind == EXTENT_TENSOR)
                        rc = hash_tensor(s, e->bytes, &p->found[e->index], err);
                else if (e->kind == EXTENT_HASHES)
                        rc = copy_stored(s, e->bytes, p->stored, err);
                else
                        rc = hash_into(s, e->bytes, rest, err);
                if (rc < 0)
                        return -1;
        }
        return hash_into(s, p->image_bytes - s->position, rest, err);
}

static int walk(struct plan *p, struct stream *s, struct stint_error *err)
{
        struct checksum *rest = checksum_begin();
        int rc;

        if (!rest)
                return error_system(err, ENOMEM, "cannot hash the image");
        rc = walk_extents(p, s, rest, err);
        p->rest = checksum_end(rest);
        return rc;
}

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
static int root_of(const struct plan *p, uint64_t *root, struct stint_error *err)
{
        struct checksum *sum = checksum_begin();
        unsigned char bytes[8];
        uint64_t i;

        if (!sum)
                return error_system(err, ENOMEM, "cannot hash the image");
        put_u64(bytes, p->rest);
        checksum_add(sum, bytes, sizeof bytes);
        for (i = 0; i < p->count; i++) {
                put_u64(bytes, p->found[i]);
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

static int check_size(const struct seal *seal, uint64_t image_bytes, struct stint_error *err)
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

/* What the walk found against what the image and its seal say. */
static int compare(const struct plan *p, const void *table, const struct seal *seal, struct stint_error *err)
{
        uint64_t i, root;
        char words[32];

        /* First: when the table is among what changed, the names and places below say nothing. */
        if (p->rest != seal->rest_hash)
                return error_set(err, EBADMSG,
                                 "what is around the tensors (headers, table, gaps) does not match its hash");
        for (i = 0; i < p->count; i++) {
                const struct table_record *r = (const void *)((const char *)table + i * seal->record_bytes);

                if (p->found[i] != get_u64(p->stored + i * 8))
                        return error_set(err, EBADMSG, "tensor '%s' (%s at offset %" PRIu64 ") does not match its hash",
                                         r->name, size_format(words, sizeof words, r->bytes), r->file_offset);
        }
        if (root_of(p, &root, err) < 0)
                return -1;
        if (root != seal->root)
                return error_set(err, EBADMSG, "the hashes of its tensors are not those that were sealed");
        if (p->state_bytes != seal->state_bytes)
                return error_set(err, EBADMSG, "its tensors have %" PRIu64 " bytes, and its seal says %" PRIu64,
                                 p->state_bytes, seal->state_bytes);
        return 0;
}

int image_hash(void *image, uint64_t image_bytes, struct seal *seal, struct stint_error *err)
{
        struct stream s = { .at = image, .have = image_bytes, .fd = -1 };
        struct plan p;
        uint64_t i, root;
        int rc;

        if (check_bounds(seal, image_bytes, err) < 0 ||
            table_check((char *)image + seal->table_offset, seal->table_count, seal->record_bytes, image_bytes, err) <
                    0 ||
            plan_init(&p, (char *)image + seal->table_offset, image_bytes, seal, err) < 0)
                return -1;
        rc = walk(&p, &s, err);
        if (rc == 0)
                rc = root_of(&p, &root, err);
        if (rc == 0) {
                for (i = 0; i < p.count; i++)
                        put_u64((unsigned char *)image + seal->hashes_offset + i * 8, p.found[i]);
                seal->file_bytes = image_bytes;
                seal->rest_hash = p.rest;
                seal->root = root;
                seal->state_bytes = p.state_bytes;
        }
        plan_fini(&p);
        return rc;
}

/* The walk over what `s` brings, against a seal whose bounds hold. */
static int check_stream(struct stream *s, const void *table, uint64_t image_bytes, const struct seal *seal,
                        struct stint_error *err)
{
        struct plan p;
        int rc;

        if (table_check(table, seal->table_count, seal->record_bytes, image_bytes, err) < 0 ||
            plan_init(&p, table, image_bytes, seal, err) < 0)
                return -1;
        rc = walk(&p, s, err);
        if (rc == 0)
                rc = compare(&p, table, seal, err);
        plan_fini(&p);
        return rc;
}

int image_check(const void *image, uint64_t image_bytes, const struct seal *seal, struct stint_error *err)
{
        struct stream s = { .at = image, .have = image_bytes, .fd = -1 };

        if (check_size(seal, image_bytes, err) < 0)
                return -1;
        return check_stream(&s, (const char *)image + seal->table_offset, image_bytes, seal, err);
}

static int check_open_file(struct stream *s, const struct seal *seal, struct stint_error *err)
{
        uint64_t table_bytes = seal->table_count * seal->record_bytes;
        void *table = malloc(table_bytes + 1);
        int rc = -1;

        s->buffer = malloc(IMAGE_PIECE);
        if (!table || !s->buffer)
                error_system(err, ENOMEM, "cannot check %s", s->path);
        else if (durable_pread(s->fd, table, table_bytes, (off_t)seal->table_offset, s->path, err) == 0)
                rc = check_stream(s, table, s->bytes, seal, err);
        free(s->buffer);
        free(table);
        return rc;
}

int image_check_file(const char *path, const struct seal *seal, void (*on_progress)(void *arg, uint64_t bytes),
                     void *arg, struct stint_error *err)
{
        struct stream s = { .path = path, .on_progress = on_progress, .arg = arg };
        struct stat st;
        int rc;

        s.fd = durable_open(path, &st, err);
        if (s.fd < 0)
                return -1;
        s.bytes = (uint64_t)st.st_size;
        /* What the page cache holds says nothing of what a disk gives back later. */
        posix_fadvise(s.fd, 0, 0, POSIX_FADV_DONTNEED);
        posix_fadvise(s.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        rc = check_size(seal, s.bytes, err);
        if (rc == 0)
                rc = check_open_file(&s, seal, err);
        if (rc < 0)
                error_wrap(err, "%s", path);
        close(s.fd);
        return rc;
}
