/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * template: where the template of a checkpoint file is built, as a file in memory, and how it is read.  Called by staging, on a
 * thread.
 */
#include "template.h"

#include <errno.h>
#include <stdio.h>
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

int template_copy(const struct template *t, void *image, struct stint_error *err)
{
        const off_t all = (off_t)t->image_bytes;
        off_t begin = 0, end;

        while (begin < all) {
                begin = lseek(t->fd, begin, SEEK_DATA);
                if (begin < 0 && errno == ENXIO)
                        return 0; /* a hole up to the end */
                end = begin < 0 ? -1 : lseek(t->fd, begin, SEEK_HOLE);
                if (end < 0)
                        return error_system(err, errno, "cannot find the data of the template");
                if (end > all)
                        end = all;
                if (durable_pread(t->fd, (char *)image + begin, (size_t)(end - begin), begin, "the template", err) < 0)
                        return -1;
                begin = end;
        }
        return 0;
}

void template_close(struct template *t)
{
        if (t->fd >= 0)
                close(t->fd);
        t->fd = -1;
}
