/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libexec: finds stint's own programs by absolute path, for PATH belongs to the user and may lead anywhere.
 */
#include "libexec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/local/libexec/stint"
#endif

/* FOLDER/NAME, where FOLDER is told from the one in which this program lies; -1 when nothing can be executed there. */
static int beside_us(char *out, size_t size, const char *folder, const char *name)
{
        ssize_t n = readlink("/proc/self/exe", out, size - 1);
        char *slash;
        size_t room;

        if (n <= 0)
                return -1;
        out[n] = '\0';
        slash = strrchr(out, '/');
        if (slash == NULL)
                return -1;
        room = size - (size_t)(slash + 1 - out);
        if ((size_t)snprintf(slash + 1, room, "%s%s", folder, name) >= room)
                return -1;
        return access(out, X_OK);
}

void libexec_program(char *out, size_t size, const char *name, const char *built)
{
        const char *dir = getenv("STINT_LIBEXEC_DIR");
        char folder[64];

        if (dir != NULL && dir[0] != '\0') {
                snprintf(out, size, "%s/%s", dir, name);
                return;
        }
        snprintf(out, size, "%s/%s", LIBEXECDIR, name);
        if (access(out, X_OK) == 0)
                return;
        snprintf(folder, sizeof folder, "../%s/", built);
        if (beside_us(out, size, "", name) != 0 && beside_us(out, size, "../libexec/stint/", name) != 0 &&
            beside_us(out, size, folder, name) != 0)
                snprintf(out, size, "%s/%s", LIBEXECDIR, name);
}
