/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slot: a retired file is taken, or it is not.  The writer calls in, for each file that it is about to create. */
#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "rundir.h"

/*
 * Whether somebody on this node still reads what was a whole checkpoint a generation ago: a lease for writing is given
 * only for a file that nobody else has open.  Filesystems without leases do not know; then age alone is what protects.
 */
static int is_being_read(int fd)
{
        /* Should somebody open it in this very moment, the signal that says so is one that does nothing. */
        if (fcntl(fd, F_SETSIG, SIGURG) < 0)
                return 0;
        if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
                fcntl(fd, F_SETLEASE, F_UNLCK);
                return 0;
        }
        return errno == EAGAIN;
}

static int is_usable(const struct stat *st, uint64_t bytes)
{
        return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 && (uint64_t)st->st_size == bytes;
}

/* Opens what was taken; -1 when it may not be written over. */
static int open_taken(const char *path, uint64_t bytes)
{
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (fd < 0)
                return -1;
        if (fstat(fd, &st) == 0 && is_usable(&st, bytes) && !is_being_read(fd) && fcntl(fd, F_SETFL, 0) == 0)
                return fd;
        close(fd);
        return -1;
}

int slot_take(const char *checkpoints, const char *name, const char *to, uint64_t bytes)
{
        char slot[RUNDIR_PATH + 2 * RUNDIR_NAME];
        struct stat st;
        int fd;

        if (rundir_join(slot, sizeof slot, checkpoints, RUNDIR_SLOTS, name, NULL) < 0 || lstat(slot, &st) < 0 ||
            !S_ISREG(st.st_mode))
                return -1;
        if (!is_usable(&st, bytes)) {
                unlink(slot); /* its room may be what the new file needs */
                return -1;
        }
        if (durable_move(slot, to, NULL) < 0)
                return -1;
        fd = open_taken(to, bytes);
        if (fd < 0)
                unlink(to);
        return fd;
}
