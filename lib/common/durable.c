/* SPDX-License-Identifier: BSD-3-Clause */
/* durable: the system calls behind "landed", each with its result checked; called by all who write a run directory. */
#include "durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEPEST 32      /* directories below one another that are removed; each holds a descriptor open meanwhile */
#define FIRST_READ 4096 /* bytes asked for from a file that does not know its size, as those of /proc */
#define TEMPORARY_TRIES 64

int durable_pwrite(int fd, const void *bytes, size_t n, off_t offset, const char *path, struct stint_error *err)
{
        const char *at = bytes;

        while (n > 0) {
                ssize_t done = pwrite(fd, at, n, offset);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done <= 0)
                        return error_system(err, done < 0 ? errno : EIO, "cannot write %zu bytes at offset %lld of %s",
                                            n, (long long)offset, path);
                at += done;
                n -= (size_t)done;
                offset += done;
        }
        return 0;
}

int durable_pread(int fd, void *bytes, size_t n, off_t offset, const char *path, struct stint_error *err)
{
        char *at = bytes;

        while (n > 0) {
                ssize_t done = pread(fd, at, n, offset);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done < 0)
                        return error_system(err, errno, "cannot read %zu bytes at offset %lld of %s", n,
                                            (long long)offset, path);
                if (done == 0)
                        return error_set(err, EIO, "%s ends at offset %lld, %zu bytes too early", path,
                                         (long long)offset, n);
                at += done;
                n -= (size_t)done;
                offset += done;
        }
        return 0;
}

int durable_sync(int fd, const char *path, struct stint_error *err)
{
        int rc;

        /* Only an interrupted fsync is asked again: after any other failure the kernel may have dropped the dirty
         * pages, and a second fsync would succeed without them (fsync(2)). */
        do
                rc = fsync(fd);
        while (rc < 0 && errno == EINTR);
        return rc < 0 ? error_system(err, errno, "cannot sync %s", path) : 0;
}

int durable_sync_dir(const char *path, struct stint_error *err)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
        struct stint_error why;

        if (fd < 0)
                return error_system(err, errno, "cannot open the directory %s to sync it", path);
        rc = durable_sync(fd, path, &why);
        close(fd); /* opened for reading: it has nothing to report that fsync did not */
        /* A filesystem that answers EINVAL keeps its directories by other means and has no call to wait for them. */
        if (rc < 0 && why.code != EINVAL)
                return error_set(err, why.code, "%s", why.text);
        return 0;
}

static int sync_dir_of(const char *path, struct stint_error *err)
{
        char dir[PATH_MAX];
        const char *slash = strrchr(path, '/');
        size_t n = slash ? (size_t)(slash - path) : 0;

        if (!slash)
                return durable_sync_dir(".", err);
        if (n >= sizeof dir)
                return error_system(err, ENAMETOOLONG, "cannot sync the directory of %.200s...", path);
        memcpy(dir, path, n);
        dir[n] = '\0';
        return durable_sync_dir(n ? dir : "/", err);
}

/*
 * Opens a new file beside path; its name, for this machine and process and time, into name.  Another machine may have
 * the same pid on the same filesystem, and a process killed here may have left one behind: O_EXCL finds that, and the
 * next name is tried.
 */
static int open_beside(const char *path, mode_t mode, char name[PATH_MAX], struct stint_error *err)
{
        static atomic_uint counter;

        for (int tries = 0; tries < TEMPORARY_TRIES; tries++) {
                unsigned number = atomic_fetch_add(&counter, 1);
                int n = snprintf(name, PATH_MAX, "%s.%d.%u.tmp", path, (int)getpid(), number), fd;

                if (n >= PATH_MAX)
                        return error_system(err, ENAMETOOLONG, "cannot write a file beside %.200s...", path);
                fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
                if (fd >= 0)
                        return fd;
                if (errno != EEXIST && errno != EINTR)
                        return error_system(err, errno, "cannot create %s", name);
        }
        return error_set(err, EEXIST, "too many files %s.*.tmp were left behind; remove them", path);
}

int durable_replace(const char *path, const void *bytes, size_t n, mode_t mode, struct stint_error *err)
{
        char name[PATH_MAX];
        int fd = open_beside(path, mode, name, err);

        if (fd < 0)
                return -1;
        if (durable_pwrite(fd, bytes, n, 0, name, err) < 0 || durable_sync(fd, name, err) < 0) {
                close(fd); /* what failed is told already */
                goto failed;
        }
        if (close(fd) < 0) {
                error_system(err, errno, "cannot close %s", name);
                goto failed;
        }
        if (rename(name, path) < 0) {
                error_system(err, errno, "cannot rename %s to %s", name, path);
                goto failed;
        }
        return sync_dir_of(path, err);
failed:
        unlink(name);
        return -1;
}

/* Reads until the file ends; its size beforehand is only a guess, since it may grow, and those of /proc have none. */
static int read_whole(int fd, const char *path, size_t most, size_t room, char **bytes, size_t *n,
                      struct stint_error *err)
{
        char *buffer = NULL, *larger;
        size_t used = 0;
        ssize_t done;

        for (;;) {
                larger = realloc(buffer, room + 1);
                if (!larger) {
                        error_system(err, ENOMEM, "cannot read %s", path);
                        goto failed;
                }
                buffer = larger;
                do
                        done = read(fd, buffer + used, room - used);
                while (done < 0 && errno == EINTR);
                if (done < 0) {
                        error_system(err, errno, "cannot read %s", path);
                        goto failed;
                }
                used += (size_t)done;
                if (used > most) {
                        error_set(err, EFBIG, "%s is larger than %zu bytes, which is more than stint ever writes there",
                                  path, most);
                        goto failed;
                }
                if (done == 0)
                        break;
                if (used == room)
                        room = room < most ? (room > most / 2 ? most + 1 : room * 2) : most + 1;
        }
        buffer[used] = '\0';
        *bytes = buffer;
        *n = used;
        return 0;
failed:
        free(buffer);
        return -1;
}

int durable_read(const char *path, size_t most, char **bytes, size_t *n, struct stint_error *err)
{
        /* O_NONBLOCK: a FIFO in this place is refused below instead of waited for. */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = -1;
        struct stat st;

        if (fd < 0)
                return error_system(err, errno, "cannot open %s", path);
        if (fstat(fd, &st) < 0)
                error_system(err, errno, "cannot ask for the size of %s", path);
        else if (!S_ISREG(st.st_mode))
                error_set(err, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "%s is not a regular file", path);
        else if ((uintmax_t)st.st_size > most)
                error_set(err, EFBIG, "%s is larger than %zu bytes, which is more than stint ever writes there", path,
                          most);
        else
                /* One byte more than the size, so that the end is found without a second buffer. */
                rc = read_whole(fd, path, most, st.st_size ? (size_t)st.st_size + 1 : FIRST_READ, bytes, n, err);
        close(fd);
        return rc;
}

int durable_open(const char *path, struct stat *status, struct stint_error *err)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW), code;
        struct stat st;

        /* ENXIO: a socket, or a device that is not there. */
        if (fd < 0 && errno == ELOOP)
                return error_set(err, EBADMSG, "%s is a symbolic link, which stint never makes there and does not follow", path);
        if (fd < 0 && errno == ENXIO)
                return error_set(err, EBADMSG, "%s is no regular file", path);
        if (fd < 0)
                return error_system(err, errno, "cannot open %s", path);
        if (fstat(fd, &st) < 0) {
                code = errno;
                close(fd);
                return error_system(err, code, "cannot look at %s", path);
        }
        if (!S_ISREG(st.st_mode)) {
                close(fd);
                return error_set(err, EBADMSG, "%s is no regular file", path);
        }
        if (status)
                *status = st;
        return fd;
}

/*
 * rename(2) that never replaces.  Where the filesystem cannot promise that (NFS answers EINVAL, an old kernel ENOSYS)
 * it is looked for first; between the look and the rename nobody else can come, since only the holder of the run's
 * lease renames.
 */
static int rename_to_new(const char *from, const char *to)
{
        struct stat st;

        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
                return -1;
        if (lstat(to, &st) == 0) {
                errno = EEXIST;
                return -1;
        }
        return errno == ENOENT ? rename(from, to) : -1;
}

int durable_move(const char *from, const char *to, struct stint_error *err)
{
        if (rename_to_new(from, to) < 0)
                return error_system(err, errno, "cannot rename %s to %s", from, to);
        return 0;
}

int durable_rename(const char *from, const char *to, struct stint_error *err)
{
        if (durable_move(from, to, err) < 0)
                return -1;
        return sync_dir_of(to, err);
}

static int remove_within(int dir_fd, const char *path, int depth, struct stint_error *err);

/* Removes the directory `name` in dir_fd and everything below; path is for the sentence. */
static int remove_directory(int dir_fd, const char *name, const char *path, int depth, struct stint_error *err)
{
        /* O_NOFOLLOW: should somebody put a symlink in its place meanwhile, that is an error and not another tree. */
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT ? 0
                                       : error_system(err, errno, "cannot open the directory %s to remove it", path);
        if (depth >= DEEPEST) {
                close(fd);
                return error_set(err, ELOOP, "%s is %d directories deep, which is nothing of stint's; look at it", path,
                                 depth);
        }
        if (remove_within(fd, path, depth, err) < 0)
                return -1;
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return error_system(err, errno, "cannot remove the directory %s", path);
        return 0;
}

static int remove_entry(int dir_fd, const char *name, const char *above, int depth, struct stint_error *err)
{
        char path[PATH_MAX];

        /* EPERM is POSIX's answer for a directory, EISDIR is Linux's. */
        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        snprintf(path, sizeof path, "%s/%s", above, name); /* cut or not, it is for the sentence alone */
        if (errno != EISDIR && errno != EPERM)
                return error_system(err, errno, "cannot remove %s", path);
        return remove_directory(dir_fd, name, path, depth + 1, err);
}

/* Removes all entries of the directory dir_fd, and closes it. */
static int remove_within(int dir_fd, const char *path, int depth, struct stint_error *err)
{
        DIR *dir = fdopendir(dir_fd);
        struct dirent *entry;
        int removed, rc = -1;

        if (!dir) {
                error_system(err, errno, "cannot list the directory %s", path);
                close(dir_fd);
                return -1;
        }
        /* A listing may leave entries out while others are removed from under it; it is done when one pass finds
         * nothing. */
        do {
                removed = 0;
                rewinddir(dir);
                while (errno = 0, (entry = readdir(dir))) {
                        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                                continue;
                        if (remove_entry(dirfd(dir), entry->d_name, path, depth, err) < 0)
                                goto out;
                        removed = 1;
                }
                if (errno) {
                        error_system(err, errno, "cannot list the directory %s", path);
                        goto out;
                }
        } while (removed);
        rc = 0;
out:
        closedir(dir);
        return rc;
}

int durable_remove_tree(const char *path, struct stint_error *err)
{
        return remove_directory(AT_FDCWD, path, path, 0, err);
}
