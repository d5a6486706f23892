/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export_copy: reads each piece once, from its first byte to its last, hashes it, and puts its rows where they belong
 * in the whole array.  export_main calls in.  The file is mapped, for a piece of columns is very many short rows; its
 * blocks are allocated before, so that a full disk is an error and no signal.
 */
#include "export_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "checksum.h"
#include "durable.h"
#include "names.h"
#include "rundir.h"

#define AT_ONCE ((uint64_t)1 << 20) /* bytes of a piece in memory at a time */

/* Where the bytes of a piece, in their order, go in its array. */
struct places {
        uint32_t outer;                  /* dimensions that are stepped through; those behind lie in one run */
        uint64_t run;                    /* bytes that lie together */
        uint64_t shape[STINT_MAX_DIMS];  /* of the piece, in the outer dimensions */
        uint64_t stride[STINT_MAX_DIMS]; /* of the array, in bytes */
        uint64_t begin;                  /* of the piece's first byte */
};

static struct places places_of(const struct export_array *a, const struct piece *piece)
{
        const struct table_record *r = piece->record;
        struct places p = { .run = dtype_size((enum stint_dtype)a->dtype) };
        uint64_t stride = p.run;
        uint32_t d;
        int whole = 1; /* in all dimensions behind d */

        for (d = a->ndim; d-- > 0;) {
                p.shape[d] = (uint64_t)r->shape[d];
                p.stride[d] = stride;
                p.begin += a->sharded ? (uint64_t)r->global_offset[d] * stride : 0;
                stride *= (uint64_t)a->shape[d];
                if (whole)
                        p.run *= p.shape[d];
                else if (p.outer == 0)
                        p.outer = d + 1;
                whole = whole && r->shape[d] == a->shape[d];
        }
        return p;
}

/* Where the i-th run of the piece begins in the array. */
static uint64_t place_of(const struct places *p, uint64_t i)
{
        uint64_t at = p->begin;
        uint32_t d;

        for (d = p->outer; d-- > 0;) {
                at += i % p->shape[d] * p->stride[d];
                i /= p->shape[d];
        }
        return at;
}

/* n bytes of the piece, from its byte `at` on, to their places in the array. */
static void put(unsigned char *array, const struct places *p, uint64_t at, const unsigned char *bytes, uint64_t n)
{
        while (n > 0) {
                const uint64_t within = at % p->run, left = p->run - within, some = left < n ? left : n;

                memcpy(array + place_of(p, at / p->run) + within, bytes, some);
                at += some;
                bytes += some;
                n -= some;
        }
}

struct copying {
        const struct export_list *list;
        unsigned char *file; /* mapped */
        unsigned char *buffer;
        int fd; /* of the file of `rank`, which is open */
        int32_t rank;
        char path[PATH_MAX + RUNDIR_NAME];
};

/* Pieces of one rank often follow each other. */
static int open_rank(struct copying *c, int32_t rank, struct stint_error *err)
{
        if (c->fd >= 0 && c->rank == rank)
                return 0;
        if (c->fd >= 0)
                close(c->fd);
        export_list_file(c->path, sizeof c->path, c->list, c->list->dir, rank);
        c->rank = rank;
        c->fd = durable_open(c->path, NULL, err);
        return c->fd < 0 ? -1 : 0;
}

static int copy_bytes(struct copying *c, const struct export_array *a, const struct piece *piece, struct checksum *sum,
                      struct stint_error *err)
{
        const struct places places = places_of(a, piece);
        const struct table_record *r = piece->record;
        uint64_t at, n;

        for (at = 0; at < r->bytes; at += n) {
                n = r->bytes - at < AT_ONCE ? r->bytes - at : AT_ONCE;
                if (durable_pread(c->fd, c->buffer, n, (off_t)(r->file_offset + at), c->path, err) < 0)
                        return -1;
                checksum_add(sum, c->buffer, n);
                put(c->file + a->offset, &places, at, c->buffer, n);
        }
        return 0;
}

static int copy_piece(struct copying *c, const struct export_array *a, const struct piece *piece,
                      struct stint_error *err)
{
        struct checksum *sum;
        uint64_t hash;
        int rc;

        if (open_rank(c, piece->rank, err) < 0)
                return -1;
        sum = checksum_begin();
        if (!sum)
                return error_system(err, ENOMEM, "cannot hash a tensor");
        rc = copy_bytes(c, a, piece, sum, err);
        hash = checksum_end(sum);
        return rc < 0 ? -1 : piece_prove(piece, hash, err);
}

static int copy_all(struct copying *c, struct stint_error *err)
{
        uint32_t i, k;

        for (i = 0; i < c->list->count; i++) {
                const struct export_array *a = &c->list->arrays[i];

                for (k = 0; a->offset > 0 && k < a->count; k++)
                        if (copy_piece(c, a, &a->pieces[k], err) < 0)
                                return -1;
        }
        return 0;
}

/* The whole file, with all its blocks; NULL and err. */
static void *map_file(int fd, const char *path, size_t *bytes, struct stint_error *err)
{
        struct stat st;
        void *at;
        int code;

        if (fstat(fd, &st) < 0) {
                error_system(err, errno, "cannot look at %s", path);
                return NULL;
        }
        *bytes = (size_t)st.st_size;
        code = posix_fallocate(fd, 0, st.st_size);
        if (code) {
                error_system(err, code, "there is no room for the %lld bytes of %s", (long long)st.st_size, path);
                return NULL;
        }
        at = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED)
                return at;
        error_system(err, errno, "cannot map %s", path);
        return NULL;
}

int export_copy(const char *path, const struct export_list *list, struct stint_error *err)
{
        struct copying c = { .list = list, .fd = -1 };
        size_t bytes = 0;
        int fd = open(path, O_RDWR | O_CLOEXEC), rc = -1;

        if (fd < 0)
                return error_system(err, errno, "cannot open %s", path);
        c.buffer = malloc(AT_ONCE);
        if (!c.buffer)
                error_system(err, ENOMEM, "cannot copy to %s", path);
        else
                c.file = map_file(fd, path, &bytes, err);
        if (c.file) {
                rc = copy_all(&c, err);
                munmap(c.file, bytes);
        }
        if (c.fd >= 0)
                close(c.fd);
        close(fd); /* whoever wants it on disk syncs it */
        free(c.buffer);
        return rc;
}
