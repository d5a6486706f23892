/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * door: the path on which stintd listens.  Nobody else may be able to put a socket there, and two daemons must not
 * share it.  Opened and closed by server.c.
 */
#ifndef STINTD_DOOR_H
#define STINTD_DOOR_H

#include <sys/stat.h>
#include "error.h"
#include "settings.h"

struct door {
        char path[SETTINGS_PATH];
        char lock_path[SETTINGS_PATH + 8];
        int lock_fd;      /* held as long as the daemon lives */
        struct stat mine; /* the socket that we made */
};

/*
 * Checks the folder, takes the lock, removes a socket that nobody answers on, and listens.  Answers the listening
 * descriptor; -1 with EALREADY when another daemon is here, EPERM when the folder is not safe.
 */
int door_open(struct door *d, const char *path, struct stint_error *err);

/* Removes the socket, if it still is ours, and lets the lock go. */
void door_close(struct door *d);

#endif
