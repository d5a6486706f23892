/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * door: a lock first, for a socket cannot be tried and replaced in one step; then a knock at what lies there, for a
 * daemon that was killed leaves its socket behind.
 */
#include "door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "channel.h"

/* Whoever may write into the folder may replace the socket; so only root and ourselves may. */
static int check_folder(const char *path, struct stint_error *err)
{
        char folder[SETTINGS_PATH];
        struct stat st;
        char *slash;

        snprintf(folder, sizeof folder, "%s", path);
        slash = strrchr(folder, '/');
        slash[slash == folder ? 1 : 0] = '\0';
        if (lstat(folder, &st) < 0)
                return error_system(err, errno, "the folder of the socket %s", path);
        if (!S_ISDIR(st.st_mode))
                return error_set(err, ENOTDIR, "%s is no folder, and the socket is to be in it", folder);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return error_set(err, EPERM,
                                 "%s belongs to uid %u, who could replace the socket: it must belong to root or uid %u",
                                 folder, (unsigned)st.st_uid, (unsigned)geteuid());
        if (st.st_mode & (S_IWGRP | S_IWOTH))
                return error_set(err, EPERM, "others may write into %s and could replace the socket: chmod go-w %s",
                                 folder, folder);
        return 0;
}

static int take_lock(struct door *d, struct stint_error *err)
{
        snprintf(d->lock_path, sizeof d->lock_path, "%s.lock", d->path);
        d->lock_fd = open(d->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (d->lock_fd < 0)
                return error_system(err, errno, "cannot open the lock %s", d->lock_path);
        if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
                return 0;
        if (errno == EWOULDBLOCK)
                error_set(err, EALREADY, "another stintd has %s: one is enough for a node", d->lock_path);
        else
                error_system(err, errno, "cannot lock %s", d->lock_path);
        close(d->lock_fd);
        d->lock_fd = -1;
        return -1;
}

/* What lies at the path must be a socket on which nobody answers. */
static int clear(const struct door *d, struct stint_error *err)
{
        struct stint_error why = { 0 };
        struct stat st;
        int fd;

        if (lstat(d->path, &st) < 0)
                return errno == ENOENT ? 0 : error_system(err, errno, "cannot look at %s", d->path);
        if (!S_ISSOCK(st.st_mode))
                return error_set(err, EEXIST, "%s is there and is no socket: remove it, or set another Socket", d->path);
        fd = channel_connect_path(d->path, NULL, &why);
        if (fd >= 0)
                close(fd);
        if (fd >= 0 || why.code != ECONNREFUSED)
                return error_set(err, EALREADY, "something answers on %s already: stop it first", d->path);
        if (unlink(d->path) < 0)
                return error_system(err, errno, "cannot remove the old socket %s", d->path);
        return 0;
}

int door_open(struct door *d, const char *path, struct stint_error *err)
{
        int fd;

        memset(d, 0, sizeof *d);
        d->lock_fd = -1;
        snprintf(d->path, sizeof d->path, "%s", path);
        if (check_folder(path, err) < 0 || take_lock(d, err) < 0)
                return -1;
        fd = clear(d, err) < 0 ? -1 : channel_listen_path(path, err);
        if (fd >= 0 && lstat(path, &d->mine) == 0)
                return fd;
        if (fd >= 0) {
                error_system(err, errno, "the socket %s was made and is gone", path);
                close(fd);
        }
        close(d->lock_fd);
        d->lock_fd = -1;
        return -1;
}

void door_close(struct door *d)
{
        struct stat st;

        if (d->lock_fd < 0)
                return;
        if (lstat(d->path, &st) == 0 && st.st_ino == d->mine.st_ino && st.st_dev == d->mine.st_dev)
                unlink(d->path);
        /* The lock's file stays: removing it would let two others each lock one of that name. */
        close(d->lock_fd);
        d->lock_fd = -1;
}
