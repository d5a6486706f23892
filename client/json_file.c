/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json_file: reading the hints that a run directory holds for its verbs and for its next stint: each of them may be missing. */
#include <stdlib.h>

#include "durable.h"
#include "json_file.h"
#include "rundir.h"

#define MOST_BYTES ((size_t)1 << 20) /* each is a few hundred bytes */

json_t *json_file_read(const char *run_dir, const char *name)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        json_t *root;
        char *text;
        size_t n;

        if (rundir_join(path, sizeof path, run_dir, name, NULL, NULL) != 0 || durable_read(path, MOST_BYTES, &text, &n, NULL) != 0)
                return NULL;
        root = json_loadb(text, n, 0, NULL);
        free(text);
        return root;
}
