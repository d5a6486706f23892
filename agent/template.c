/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * template: where the template of a checkpoint file is built, as a file, and how it is read.  Called by staging, on a
 * thread.
 */
#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "table.h"

static int measure(struct template *t, const char *path, struct stint_error *err)
{
        struct stat status;

        if (fstat(t->fd, &status) < 0)
                return error_system(err, errno, "cannot look at the template %s", path);
        t->image_bytes = (uint64_t)status.st_size;
        return 0;
}

/* HDF5 wants a path, so the file has a name until it was opened for the last time. */
static int build_in(struct template *t, const char *folder, void *table, uint64_t count, uint32_t record_bytes,
                    struct stint_error *err)
{
        char path[4096];

        if ((size_t)snprintf(path, sizeof path, "%s/stint-template.XXXXXX", folder) >= sizeof path)
                return error_set(err, ENAMETOOLONG, "the name of the folder %s is too long", folder);
        t->fd = mkostemp(path, O_CLOEXEC);
        if (t->fd < 0)
                return error_system(err, errno, "cannot create %s", path);
        if (store_build(&t->at, path, table, count, record_bytes, err) == 0 && measure(t, path, err) == 0 &&
            table_check(table, count, record_bytes, t->image_bytes, err) == 0)
                return 0;
        unlink(path);
        template_close(t);
        return error_wrap(err, "template in %s", folder);
}

int template_build(struct template *t, void *table, uint64_t count, uint32_t record_bytes, struct stint_error *err)
{
        const char *folders[] = { "/dev/shm", getenv("TMPDIR"), "/tmp" };
        size_t i;
        int rc = -1;

        *t = (struct template){ .fd = -1 };
        for (i = 0; rc < 0 && i < sizeof folders / sizeof folders[0]; i++)
                if (folders[i] && folders[i][0] == '/')
                        rc = build_in(t, folders[i], table, count, record_bytes, err);
        return rc;
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
