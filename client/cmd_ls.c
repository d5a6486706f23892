/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_ls: `stint ls`: what checkpoints a run has, whole ones first, newest first, then what was set aside. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "catalog.h"
#include "clock.h"
#include "cmd.h"
#include "names.h"
#include "pick.h"
#include "print.h"
#include "run.h"

struct ls_options {
        int json;
};

static const struct flag table[] = {
        {"--json", NULL, offsetof(struct ls_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] = "Usage: stint ls [OPTION...] [RUN]\n\n"
                            "Lists the checkpoints of a run: RUN is its directory, by default the only *.stint here.";

/* Why an entry is what it is, in one word. */
static const char *kind_word(const struct catalog_entry *e)
{
        switch (e->kind) {
        case RUNDIR_WHOLE:
                return e->has_manifest ? "" : "damaged";
        case RUNDIR_PART:
                return "part";
        case RUNDIR_ABANDONED:
                return "abandoned";
        case RUNDIR_QUARANTINED:
                return "quarantined";
        case RUNDIR_SUPERSEDED:
                return "superseded";
        case RUNDIR_RETIRED:
                return "retired";
        case RUNDIR_OTHER:
                break;
        }
        return "unknown";
}

static void marks(char *out, size_t size, const struct catalog *c, const struct catalog_entry *e)
{
        int newest = c->whole && e == c->entries, best = e == catalog_best(c);

        snprintf(out, size, "%s%s%s%s", kind_word(e), newest ? "newest" : "", newest && best ? ", " : "",
                 best ? "best" : "");
}

/* "loss 1.234" for each metric. */
static void metrics_text(char *out, size_t size, const struct manifest *m)
{
        size_t n = 0;

        *out = '\0';
        for (uint32_t i = 0; i < m->metric_count && n < size; i++)
                n += (size_t)snprintf(out + n, size - n, "%s%s %.6g", i ? ", " : "", m->metrics[i].name,
                                      m->metrics[i].value);
}

static void row(struct print_table *t, const struct catalog *c, const struct catalog_entry *e, int64_t now_ns)
{
        const struct manifest *m = e->has_manifest ? &e->manifest : NULL;
        char step[24], stint[16], lineage[16], ranks[16], size[24], age[24], metrics[256], mark[64];

        snprintf(step, sizeof step, "%" PRId64, e->step);
        snprintf(stint, sizeof stint, "%u", e->stint);
        marks(mark, sizeof mark, c, e);
        if (m) {
                snprintf(lineage, sizeof lineage, "%u", m->lineage);
                snprintf(ranks, sizeof ranks, "%u", m->ranks);
                print_size(size, sizeof size, (int64_t)manifest_bytes(m));
                print_age(age, sizeof age, m->wall_ns, now_ns);
                metrics_text(metrics, sizeof metrics, m);
        }
        print_row(t, (const char *[]){e->name, e->kind == RUNDIR_OTHER ? NULL : step, e->stint ? stint : NULL,
                                      m ? lineage : NULL, m ? ranks : NULL, m ? size : NULL, m ? age : NULL,
                                      m && *metrics ? metrics : NULL, mark});
}

static int as_table(const struct catalog *c)
{
        static const char *const titles[] = {"CHECKPOINT", ">STEP", ">STINT",  ">LINEAGE", ">RANKS",
                                             ">SIZE",      ">AGE",  "METRICS", "MARKS",    NULL};
        struct print_table *t = print_table_new(titles);
        int64_t now_ns = clock_wall();

        for (size_t i = 0; i < c->n; i++)
                row(t, c, &c->entries[i], now_ns);
        return print_table_end(t, stdout);
}

/* JSON has no word for NaN and infinities: null. */
static json_t *number(double value)
{
        return isfinite(value) ? json_real(value) : json_null();
}

static json_t *metrics_json(const struct manifest *m)
{
        json_t *all = json_object();

        for (uint32_t i = 0; i < m->metric_count; i++)
                json_object_set_new(all, m->metrics[i].name,
                                    json_pack("{s:o, s:s}", "value", number(m->metrics[i].value), "goal",
                                              goal_name((enum stint_goal)m->metrics[i].goal)));
        return all;
}

static json_t *entry_json(const struct catalog *c, const struct catalog_entry *e)
{
        char mark[64], when[32];
        json_t *o = json_pack("{s:s, s:b}", "checkpoint", e->name, "whole", e->has_manifest);

        marks(mark, sizeof mark, c, e);
        json_object_set_new(o, "marks", json_string(mark));
        if (e->kind != RUNDIR_OTHER)
                json_object_set_new(o, "step", json_integer(e->step));
        if (e->stint)
                json_object_set_new(o, "stint", json_integer(e->stint));
        if (e->has_manifest)
                json_object_update_new(o, json_pack("{s:i, s:i, s:I, s:s, s:o}", "lineage", (int)e->manifest.lineage,
                                                    "ranks", (int)e->manifest.ranks, "bytes",
                                                    (json_int_t)manifest_bytes(&e->manifest), "time",
                                                    clock_format(when, sizeof when, e->manifest.wall_ns), "metrics",
                                                    metrics_json(&e->manifest)));
        else if (e->kind == RUNDIR_WHOLE)
                json_object_set_new(o, "problem", json_string(e->problem.text));
        return o;
}

static int as_json(const struct catalog *c, struct stint_error *err)
{
        json_t *all = json_array();

        for (size_t i = 0; i < c->n; i++)
                json_array_append_new(all, entry_json(c, &c->entries[i]));
        return print_json(all, stdout, err);
}

int cmd_ls(int argc, char **argv)
{
        struct ls_options o = {0};
        struct stint_error err;
        struct catalog c;
        char run[RUNDIR_PATH], **words, **rest;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        if (pick_from_words(run, words, 1, &rest, &err) || catalog_read(&c, run, &err))
                return cmd_fail("ls", &err);
        rc = o.json ? as_json(&c, &err) : as_table(&c);
        if (!o.json && rc)
                error_set(&err, ENOMEM, "no memory");
        if (!o.json && !c.n)
                fprintf(stderr, "%s has no checkpoints\n", run);
        catalog_fini(&c);
        return rc ? cmd_fail("ls", &err) : 0;
}
