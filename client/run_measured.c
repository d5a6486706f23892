/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_measured: the measured cost of saves, kept with the run; run_saving.c learns, run_story.c tells the agents.
 *
 * A lead rests on 99th percentiles, so the last hundred saves are kept and not a mean of them: one slow write is
 * remembered for as long, and a filesystem that has become slow counts with the first save that shows it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "durable.h"
#include "json_file.h"
#include "run_measured.h"
#include "rundir.h"

static const char *const part_names[MEASURED_PARTS] = {
        [MEASURED_DELAY] = "delay_ns",   [MEASURED_SNAPSHOT] = "snapshot_ns", [MEASURED_WRITE] = "write_ns",
        [MEASURED_COMMIT] = "commit_ns", [MEASURED_COST] = "cost_ns",
};

/* ---- values ---------------------------------------------------------------------------------------------------- */

static void add(struct measured_values *v, int64_t ns)
{
        v->ns[v->next] = ns < 0 ? 0 : ns;
        v->next = (v->next + 1) % MEASURED_LAST;
        v->n += v->n < MEASURED_LAST;
}

/* The i-th of the values, from the oldest. */
static int64_t value_at(const struct measured_values *v, uint32_t i)
{
        return v->ns[(v->next + MEASURED_LAST - v->n + i) % MEASURED_LAST];
}

static int ascending(const void *left, const void *right)
{
        const int64_t *a = left, *b = right;

        return (*a > *b) - (*a < *b);
}

/* Of fewer than a hundred: the worst. */
static int64_t p99(const struct measured_values *v)
{
        int64_t sorted[MEASURED_LAST];

        if (v->n == 0)
                return 0;
        memcpy(sorted, v->ns, v->n * sizeof *sorted); /* the ring is full, or begins at 0 */
        qsort(sorted, v->n, sizeof *sorted, ascending);
        return sorted[(v->n * 99 + 99) / 100 - 1];
}

static int64_t mean(const struct measured_values *v)
{
        int64_t sum = 0;
        uint32_t i;

        for (i = 0; i < v->n; i++)
                sum += v->ns[i] / v->n;
        return sum;
}

/* ---- what callers ask for -------------------------------------------------------------------------------------- */

void measured_learn(struct measured *m, const struct save *s, int64_t step_ns, int64_t commit_ns)
{
        add(&m->part[MEASURED_DELAY], s->delay_ns > step_ns ? s->delay_ns - step_ns : 0);
        add(&m->part[MEASURED_SNAPSHOT], s->copy_ns);
        add(&m->part[MEASURED_WRITE], s->hash_ns + s->write_ns);
        add(&m->part[MEASURED_COMMIT], commit_ns);
        if (s->drag_ns >= 0) /* the program went on: this is one that an interval could have asked for */
                add(&m->part[MEASURED_COST], s->copy_ns + s->drag_ns);
        if (m->saves < UINT32_MAX)
                m->saves++;
}

/* Where no save was seen that training went on beside, its whole write counts. */
struct deadline_measured measured_costs(const struct measured *m)
{
        struct deadline_measured costs = { .delay_ns = p99(&m->part[MEASURED_DELAY]), .saves = m->saves };

        costs.snapshot_ns = p99(&m->part[MEASURED_SNAPSHOT]);
        costs.write_ns = p99(&m->part[MEASURED_WRITE]);
        costs.commit_ns = p99(&m->part[MEASURED_COMMIT]);
        costs.cost_ns = m->part[MEASURED_COST].n > 0 ? mean(&m->part[MEASURED_COST])
                                                     : costs.snapshot_ns + costs.write_ns + costs.commit_ns;
        return costs;
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

#define LONGEST_NS (INT64_C(30) * 24 * 3600 * CLOCK_SECOND) /* what a file may say that a save has taken */

static int read_part(struct measured_values *v, const json_t *list)
{
        size_t i;
        const json_t *value;

        if (!json_is_array(list) || json_array_size(list) > MEASURED_LAST)
                return -1;
        json_array_foreach((json_t *)list, i, value) {
                if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > LONGEST_NS)
                        return -1;
                add(v, json_integer_value(value));
        }
        return 0;
}

static int read_all(struct measured *m, const json_t *root)
{
        const json_int_t saves = json_integer_value(json_object_get(root, "saves"));
        unsigned part;

        if (saves <= 0 || saves > UINT32_MAX)
                return -1;
        for (part = 0; part < MEASURED_PARTS; part++)
                if (read_part(&m->part[part], json_object_get(root, part_names[part])) < 0)
                        return -1;
        m->saves = (uint32_t)saves;
        return m->part[MEASURED_WRITE].n > 0 ? 0 : -1;
}

void measured_read(struct measured *m, const char *run_dir)
{
        json_t *root = json_file_read(run_dir, RUNDIR_MEASURED);

        *m = (struct measured){ 0 };
        if (root != NULL && read_all(m, root) < 0)
                *m = (struct measured){ 0 };
        json_decref(root);
}

static json_t *part_json(const struct measured_values *v)
{
        json_t *list = json_array();
        uint32_t i;

        for (i = 0; i < v->n; i++)
                json_array_append_new(list, json_integer(value_at(v, i)));
        return list;
}

int measured_write(const struct measured *m, const char *run_dir, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        json_t *root = json_pack("{s:I}", "saves", (json_int_t)m->saves);
        unsigned part;
        char *text;
        int rc;

        for (part = 0; part < MEASURED_PARTS; part++)
                json_object_set_new(root, part_names[part], part_json(&m->part[part]));
        text = root == NULL ? NULL : json_dumps(root, 0);
        json_decref(root);
        if (text == NULL)
                return error_set(err, ENOMEM, "%s cannot be written as JSON", RUNDIR_MEASURED);
        rc = rundir_join(path, sizeof path, run_dir, RUNDIR_MEASURED, NULL, err);
        if (rc == 0)
                rc = durable_replace(path, text, strlen(text), 0644, err);
        free(text);
        return rc;
}

void measured_message(const struct measured *m, const struct run_options *o, int64_t mtbf_ns,
                      struct wire_run_measured *out)
{
        const struct deadline_measured costs = measured_costs(m);

        *out = (struct wire_run_measured){ .delay_ns = costs.delay_ns,
                                           .snapshot_ns = costs.snapshot_ns,
                                           .write_ns = costs.write_ns,
                                           .commit_ns = costs.commit_ns,
                                           .cost_ns = costs.cost_ns,
                                           .saves = costs.saves,
                                           .margin_ns = o->margin_ns,
                                           .interval_ns = o->interval_ns,
                                           .mtbf_ns = mtbf_ns };
        WIRE_INIT(out, WIRE_RUN_MEASURED);
}
