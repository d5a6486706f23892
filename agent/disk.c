/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk: O_DIRECT as long as it is taken, and what else makes a file quick.  Called by pipeline, writer and reader. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "duration.h"

#define SAMPLES 64 /* pages looked at to learn whether a file is in the page cache */

static void take_direct(struct disk *d)
{
        atomic_store(&d->direct, fcntl(d->fd, F_SETFL, O_DIRECT) == 0);
}

static int leave_direct(struct disk *d, struct stint_error *err)
{
        atomic_store(&d->direct, 0);
        return fcntl(d->fd, F_SETFL, 0) < 0 ? error_system(err, errno, "cannot use %s", d->path) : 0;
}

void disk_to_write(struct disk *d, int fd, const char *path)
{
        d->fd = fd;
        d->path = path;
        take_direct(d);
}

/* Whether the page cache has all of some pages, evenly spread: then reading from memory is quicker than any disk. */
static int is_cached(const struct disk *d, uint64_t bytes)
{
        const uint64_t step = (bytes / SAMPLES + DISK_UNIT) & ~(DISK_UNIT - 1);
        unsigned char *mapped, present = 1;
        uint64_t at;

        mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, d->fd, 0);
        if (mapped == MAP_FAILED)
                return 0;
        for (at = 0; at < bytes && (present & 1); at += step)
                if (mincore(mapped + at, 1, &present) < 0)
                        present = 0;
        munmap(mapped, bytes);
        return present & 1;
}

void disk_to_read(struct disk *d, int fd, const char *path, uint64_t bytes)
{
        d->fd = fd;
        d->path = path;
        if (is_cached(d, bytes))
                atomic_store(&d->direct, 0);
        else
                take_direct(d);
}

void disk_share(struct disk *d)
{
        if (atomic_load(&d->direct))
                leave_direct(d, NULL);
}

int disk_reserve(struct disk *d, uint64_t bytes, struct stint_error *err)
{
        struct stat status;
        char size[32];
        int rc;

        if (fstat(d->fd, &status) < 0)
                return error_system(err, errno, "cannot look at %s", d->path);
        if ((uint64_t)status.st_size == bytes && (uint64_t)status.st_blocks * 512 >= bytes)
                return 0;
        if ((uint64_t)status.st_size > bytes && ftruncate(d->fd, (off_t)bytes) < 0)
                return error_system(err, errno, "cannot cut off the end of %s", d->path);
        do {
                rc = fallocate(d->fd, 0, 0, (off_t)bytes);
        } while (rc < 0 && errno == EINTR);
        /* Where it is not supported, writing finds out as well. */
        if (rc == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EFBIG && errno != EIO))
                return 0;
        return error_system(err, errno, "cannot reserve %s for %s", size_format(size, sizeof size, (int64_t)bytes),
                            d->path);
}

/* Lets the disk begin with what the page cache holds, so that the sync at the end finds little.  A wish and no more. */
static int write_behind(struct disk *d, uint64_t n, uint64_t at)
{
        sync_file_range(d->fd, (off_t)at, (off_t)n, SYNC_FILE_RANGE_WRITE);
        return 0;
}

int disk_write(struct disk *d, const void *bytes, uint64_t n, uint64_t at, struct stint_error *err)
{
        const int direct = atomic_load(&d->direct);
        struct stint_error why = { 0 };

        if (durable_pwrite(d->fd, bytes, n, (off_t)at, d->path, &why) == 0)
                return direct ? 0 : write_behind(d, n, at);
        /* A filesystem may take the flag and refuse the writes.  Another thread may have found that out meanwhile. */
        if (!direct || why.code != EINVAL)
                return error_set(err, why.code, "%s", why.text);
        if (leave_direct(d, err) < 0 || durable_pwrite(d->fd, bytes, n, (off_t)at, d->path, err) < 0)
                return -1;
        return write_behind(d, n, at);
}

int disk_write_end(struct disk *d, const void *bytes, uint64_t n, uint64_t at, struct stint_error *err)
{
        if (atomic_load(&d->direct) && leave_direct(d, err) < 0)
                return -1;
        return durable_pwrite(d->fd, bytes, n, (off_t)at, d->path, err);
}

/* The last bytes, fewer than a unit: asked for as a whole one, which the file may end within. */
static int read_end(struct disk *d, unsigned char *bytes, uint64_t n, uint64_t at, struct stint_error *err)
{
        ssize_t done;

        do {
                done = pread(d->fd, bytes, DISK_UNIT, (off_t)at);
        } while (done < 0 && errno == EINTR);
        if (done < 0)
                return error_system(err, errno, "cannot read the end of %s", d->path);
        if ((uint64_t)done < n)
                return error_set(err, EIO, "%s ends at offset %llu, too early", d->path,
                                 (unsigned long long)(at + (uint64_t)done));
        return 0;
}

static int read_direct(struct disk *d, unsigned char *bytes, uint64_t n, uint64_t at, struct stint_error *err)
{
        const uint64_t end = n % DISK_UNIT, whole = n - end;

        if (durable_pread(d->fd, bytes, whole, (off_t)at, d->path, err) < 0)
                return -1;
        return end ? read_end(d, bytes + whole, end, at + whole, err) : 0;
}

int disk_read(struct disk *d, void *bytes, uint64_t n, uint64_t at, struct stint_error *err)
{
        struct stint_error why = { 0 };

        if (atomic_load(&d->direct)) {
                if (read_direct(d, bytes, n, at, &why) == 0)
                        return 0;
                if (why.code != EINVAL)
                        return error_set(err, why.code, "%s", why.text);
                if (leave_direct(d, err) < 0)
                        return -1;
        }
        posix_fadvise(d->fd, (off_t)at, (off_t)n, POSIX_FADV_WILLNEED);
        return durable_pread(d->fd, bytes, n, (off_t)at, d->path, err);
}
