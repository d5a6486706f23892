/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * contents: reads the table, the hashes and what lies between the tensors, and little else of a file.  A restore on
 * another number of ranks and `stint export` call in, for each rank's file once.
 */
#include "contents.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "checksum.h"
#include "durable.h"
#include "extents.h"
#include "image.h"

#define PIECE ((uint64_t)256 << 10)         /* bytes of a file in memory at a time */
#define WORTH_SKIPPING ((uint64_t)64 << 10) /* of a tensor: reading fewer costs less than another call */

/*
 * The image for who walks around its tensors.  The table is in memory already and is served from there, so that what is
 * proven is what stays, and not what a second read has found.  Everything else is read in few calls.
 */
struct around_source {
        struct image_source source;
        int fd;
        const char *path;
        const struct extents *x;
        const unsigned char *table;
        uint64_t table_begin, table_bytes;
        size_t next;             /* extent, the first that may end a read */
        unsigned char *buffer;   /* PIECE bytes */
        uint64_t position, have; /* of the first byte in the buffer, and how many are there */
};

/* How far it is good to read from `at` on, which only grows: to the next large tensor, the table, or the end. */
static uint64_t read_end(struct around_source *s, uint64_t at)
{
        const struct extents *x = s->x;
        uint64_t end;

        while (s->next < x->n && (x->at[s->next].begin <= at || x->at[s->next].kind == EXTENT_HASHES ||
                                  (x->at[s->next].kind == EXTENT_TENSOR && x->at[s->next].bytes < WORTH_SKIPPING)))
                s->next++;
        end = s->next < x->n ? x->at[s->next].begin : x->image_bytes;
        return end - at < PIECE ? end : at + PIECE;
}

static const unsigned char *take(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                 struct stint_error *err)
{
        struct around_source *s = (struct around_source *)source;

        if (at - s->table_begin < s->table_bytes) {
                const uint64_t left = s->table_bytes - (at - s->table_begin);

                *n = left < most ? left : most;
                return s->table + (at - s->table_begin);
        }
        if (at - s->position >= s->have) {
                const uint64_t bytes = read_end(s, at) - at;

                s->have = 0;
                if (durable_pread(s->fd, s->buffer, bytes, (off_t)at, s->path, err) < 0)
                        return NULL;
                s->position = at;
                s->have = bytes;
        }
        *n = s->position + s->have - at;
        if (*n > most)
                *n = most;
        return s->buffer + (at - s->position);
}

static int prove(struct contents *c, const struct extents *x, int fd, const char *path, struct stint_error *err)
{
        struct around_source s = { .source = { .take = take, .threads = 1 },
                                   .fd = fd,
                                   .path = path,
                                   .x = x,
                                   .table = c->table,
                                   .table_begin = c->seal.table_offset,
                                   .table_bytes = c->seal.table_count * c->seal.record_bytes };
        int rc;

        s.buffer = malloc(PIECE);
        if (!s.buffer)
                return error_system(err, ENOMEM, "cannot check its table");
        rc = image_check_around(&s.source, x, c->hashes, &c->seal, err);
        free(s.buffer);
        return rc;
}

/* The file is as long as its seal says, so that the places in the seal are places in the file. */
static int read_table(struct contents *c, int fd, const char *path, struct stint_error *err)
{
        const struct seal *seal = &c->seal;
        const uint64_t bytes = seal->table_count * seal->record_bytes;
        struct extents x;
        int rc;

        c->table = malloc(bytes + 1);
        c->hashes = calloc(seal->table_count + 1, sizeof *c->hashes);
        if (!c->table || !c->hashes)
                return error_system(err, ENOMEM, "no memory for a table of %" PRIu64 " tensors", seal->table_count);
        if (durable_pread(fd, c->table, bytes, (off_t)seal->table_offset, path, err) < 0 ||
            table_check(c->table, seal->table_count, seal->record_bytes, seal->file_bytes, err) < 0 ||
            extents_init(&x, c->table, seal->file_bytes, seal, err) < 0)
                return -1;
        rc = prove(c, &x, fd, path, err);
        extents_fini(&x);
        return rc;
}

int contents_read_fd(struct contents *c, int fd, const char *path, const struct seal *seal, struct stint_error *err)
{
        struct contents made = { .seal = *seal };
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_system(err, errno, "cannot look at %s", path);
        if (image_check_places((uint64_t)st.st_size, seal, err) < 0 || read_table(&made, fd, path, err) < 0) {
                contents_fini(&made);
                return error_wrap(err, "%s", path);
        }
        *c = made;
        return 0;
}

int contents_read(struct contents *c, const char *path, const struct seal *seal, struct stint_error *err)
{
        int fd = durable_open(path, NULL, err), rc;

        if (fd < 0)
                return -1;
        rc = contents_read_fd(c, fd, path, seal, err);
        close(fd);
        return rc;
}

void contents_fini(struct contents *c)
{
        free(c->table);
        free(c->hashes);
        *c = (struct contents){ .table = NULL };
}
