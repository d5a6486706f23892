/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_checkpoints: small steps, of which a commit, a pruning and a settling are made. */
#include "run_checkpoints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable.h"
#include "fault.h"

int checkpoints_fault(const char *point, struct stint_error *err)
{
        int code = fault_point(point);

        return code == 0 ? 0 : error_system(err, code, "%s", point);
}

int checkpoints_path(const struct commit *c, const char *name, char *out, struct stint_error *err)
{
        return rundir_join(out, CHECKPOINTS_PATH, c->run_dir, RUNDIR_CHECKPOINTS, name, err);
}

int checkpoints_remove(const char *path, struct stint_error *err)
{
        struct stat st;

        if (lstat(path, &st) != 0 || S_ISDIR(st.st_mode))
                return durable_remove_tree(path, err);
        if (unlink(path) != 0 && errno != ENOENT)
                return error_system(err, errno, "%s cannot be removed", path);
        return 0;
}

int checkpoints_is_foreign(const struct commit *c, const struct catalog_entry *e)
{
        return e->has_manifest && strcmp(e->manifest.run_id, c->run_id) != 0;
}

void checkpoints_note(const struct commit *c, const char *event, json_t *fields)
{
        if (fields == NULL)
                return;
        json_object_set_new(fields, "event", json_string(event));
        json_array_append_new(c->events, fields);
}

int checkpoints_set_aside(const struct commit *c, const char *name, enum rundir_kind kind, const char *reason,
                          struct stint_error *err)
{
        char checkpoints[CHECKPOINTS_PATH], now[RUNDIR_NAME];
        const char *event = kind == RUNDIR_QUARANTINED ? "quarantined"
                            : kind == RUNDIR_ABANDONED ? "abandoned_part"
                                                       : "superseded";

        if (lease_check(c->lease, err) != 0 || checkpoints_path(c, NULL, checkpoints, err) != 0 ||
            rundir_set_aside(checkpoints, name, kind, now, err) != 0)
                return -1;
        checkpoints_note(c, event, json_pack("{s:s, s:s, s:s}", "checkpoint", name, "now", now, "reason", reason));
        return 0;
}
