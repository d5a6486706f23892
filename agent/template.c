/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * template: where the template of a checkpoint file is built, as a file in memory, and how it is read.  Called by
 * staging, on a thread.
 */
#include "template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "table.h"

/*
 * HDF5 wants a path.  The one in /proc leads to memory that never had a name, so that a kill at any instant leaves
 * nothing behind.
 */
static int build(struct template *t, void *table, uint64_t count, uint32_t record_bytes, struct stint_error *err)
{
        struct stat status;
        char path[64];

        snprintf(path, sizeof path, "/proc/self/fd/%d", t->fd);
        if (store_build(&t->at, path, table, count, record_bytes, err) < 0)
                return -1;
        if (fstat(t->fd, &status) < 0)
                return error_system(err, errno, "cannot look at the template");
        t->image_bytes = (uint64_t)status.st_size;
        return table_check(table, count, record_bytes, t->image_bytes, err);
}

int template_build(struct template *t, void *table, uint64_t count, uint32_t record_bytes, struct stint_error *err)
{
        *t = (struct template){ .fd = memfd_create("stint-template", MFD_CLOEXEC) };
        if (t->fd < 0)
                return error_system(err, errno, "cannot make memory for the template");
        if (build(t, table, count, record_bytes, err) == 0)
                return 0;
        template_close(t);
        return error_wrap(err, "template of %llu tensors", (unsigned long long)count);
}

/* The next stretch from there on that is no hole: 1, 0 when there is none, or -1. */
static int next_extent(const struct template *t, uint64_t from, struct template_extent *e, struct stint_error *err)
{
        const off_t begin = from < t->image_bytes ? lseek(t->fd, (off_t)from, SEEK_DATA) : -1;
        off_t end;

        if (begin < 0 && (from >= t->image_bytes || errno == ENXIO))
                return 0; /* a hole up to the end */
        end = begin < 0 ? -1 : lseek(t->fd, begin, SEEK_HOLE);
        if (end < 0)
                return error_system(err, errno, "cannot find the data of the template");
        e->at = (uint64_t)begin;
        e->bytes = ((uint64_t)end < t->image_bytes ? (uint64_t)end : t->image_bytes) - e->at;
        return 1;
}

static int add_extent(struct template_extent **all, int64_t n, const struct template_extent *e,
                      struct stint_error *err)
{
        struct template_extent *more = *all;

        if (n == 0 || (n >= 64 && (n & (n - 1)) == 0)) { /* 64 at first, then twice as many */
                more = realloc(*all, (n ? (size_t)n * 2 : 64) * sizeof *more);
                if (!more)
                        return error_set(err, ENOMEM, "no memory for the extents of the template");
        }
        more[n] = *e;
        *all = more;
        return 0;
}

int64_t template_copy(const struct template *t, void *image, struct template_extent **extents,
                      struct stint_error *err)
{
        struct template_extent *all = NULL, e = { 0 };
        int64_t n = 0;
        int rc;

        while ((rc = next_extent(t, e.at + e.bytes, &e, err)) > 0) {
                rc = image ? durable_pread(t->fd, (char *)image + e.at, e.bytes, (off_t)e.at, "the template", err) : 0;
                if (rc < 0 || add_extent(&all, n, &e, err) < 0)
                        break;
                n++;
        }
        if (rc != 0) {
                free(all);
                return -1;
        }
        *extents = all;
        return n;
}

void template_close(struct template *t)
{
        if (t->fd >= 0)
                close(t->fd);
        t->fd = -1;
}
