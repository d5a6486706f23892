/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_measured: the measured cost of saves, kept with the run; run_saving.c learns, run_story.c tells the agents. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "durable.h"
#include "json_file.h"
#include "run_measured.h"
#include "rundir.h"

void measured_read(struct deadline_measured *m, const char *run_dir)
{
        json_int_t delay, snapshot, write, commit, saves;
        json_t *root = json_file_read(run_dir, RUNDIR_MEASURED);

        *m = (struct deadline_measured){ 0 };
        if (root != NULL &&
            json_unpack(root, "{s:I, s:I, s:I, s:I, s:I}", "delay_ns", &delay, "snapshot_ns", &snapshot, "write_ns",
                        &write, "commit_ns", &commit, "saves", &saves) == 0 &&
            delay >= 0 && snapshot >= 0 && write >= 0 && commit >= 0 && saves >= 0 && saves <= UINT32_MAX)
                *m = (struct deadline_measured){ delay, snapshot, write, commit, (uint32_t)saves };
        json_decref(root);
}

void measured_learn(struct deadline_measured *m, const struct save *s, int64_t step_ns, int64_t commit_ns)
{
        struct deadline_measured one = { .delay_ns = s->delay_ns > step_ns ? s->delay_ns - step_ns : 0,
                                         .snapshot_ns = s->copy_ns,
                                         .write_ns = s->hash_ns + s->write_ns,
                                         .commit_ns = commit_ns,
                                         .saves = 1 };

        deadline_learn(m, &one);
}

int measured_write(const struct deadline_measured *m, const char *run_dir, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        json_t *root = json_pack("{s:I, s:I, s:I, s:I, s:I}", "delay_ns", (json_int_t)m->delay_ns, "snapshot_ns",
                                 (json_int_t)m->snapshot_ns, "write_ns", (json_int_t)m->write_ns, "commit_ns",
                                 (json_int_t)m->commit_ns, "saves", (json_int_t)m->saves);
        char *text = root == NULL ? NULL : json_dumps(root, 0);
        int rc;

        json_decref(root);
        if (text == NULL)
                return error_set(err, ENOMEM, "%s cannot be written as JSON", RUNDIR_MEASURED);
        rc = rundir_join(path, sizeof path, run_dir, RUNDIR_MEASURED, NULL, err);
        if (rc == 0)
                rc = durable_replace(path, text, strlen(text), 0644, err);
        free(text);
        return rc;
}

void measured_message(const struct deadline_measured *m, const struct run_options *o, struct wire_run_measured *out)
{
        *out = (struct wire_run_measured){ .delay_ns = m->delay_ns,
                                           .snapshot_ns = m->snapshot_ns,
                                           .write_ns = m->write_ns,
                                           .commit_ns = m->commit_ns,
                                           .saves = m->saves,
                                           .margin_ns = o->margin_ns,
                                           .interval_ns = o->interval_ns,
                                           .mtbf_ns = o->mtbf_ns };
        WIRE_INIT(out, WIRE_RUN_MEASURED);
}
