/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_status: `stint status`: how runs stand now, one line each, from what their directories say. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "catalog.h"
#include "clock.h"
#include "cmd.h"
#include "duration.h"
#include "history.h"
#include "json_file.h"
#include "log.h"
#include "pick.h"
#include "print.h"
#include "run.h"
#include "run_identity.h"
#include "run_lease.h"

struct status_options {
        int json;
};

static const struct flag table[] = {
        {"--json", NULL, offsetof(struct status_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] =
        "Usage: stint status [OPTION...] [RUN...]\n\n"
        "How runs stand: RUN are their directories, by default every *.stint here. STATE is one of running,\n"
        "stopped (to be continued), done, not complete (its program ended without completing it), never\n"
        "started. \"running?\" is said of another host, where this one cannot look.";

/* All that is known of a run. */
struct status {
        const char *run;
        const char *state;
        int64_t stint, step;          /* -1: not known */
        double steps_per_s, left_s;   /* negative: not known */
        char checkpoint[RUNDIR_NAME]; /* the newest; "" for none */
        int64_t checkpoint_step, landed_ns;
        char verdict[500];
        char host[64]; /* who holds it; "" for nobody */
        int64_t pid;
};

/* progress.json is written beside the training and never synced: of this stint it is believed, of another it says
 * nothing. */
static void take_progress(struct status *s)
{
        json_t *progress;
        const json_t *time;
        int64_t then_ns;
        double left_s;

        progress = json_file_read(s->run, RUNDIR_PROGRESS);
        if (print_member_int(progress, "stint", -1) == s->stint) {
                s->step = print_member_int(progress, "step", s->step);
                s->steps_per_s = print_member_real(progress, "steps_per_s", -1);
                left_s = print_member_real(progress, "left_s", -1);
                if (!(left_s < 9e9)) /* more than nanoseconds can count: nothing of ours */
                        left_s = -1;
                time = json_object_get(progress, "time");
                then_ns = json_is_string(time) ? print_time_read(json_string_value(time)) : 0;
                if (left_s >= 0 && then_ns)
                        left_s -= (double)(clock_wall() - then_ns) / 1e9;
                s->left_s = left_s;
        }
        json_decref(progress);
}

static int take_checkpoints(struct status *s, struct stint_error *err)
{
        struct catalog c;

        if (catalog_read(&c, s->run, err))
                return -1;
        if (c.whole) {
                snprintf(s->checkpoint, sizeof s->checkpoint, "%s", c.entries[0].name);
                s->checkpoint_step = c.entries[0].step;
                s->landed_ns = c.entries[0].manifest.wall_ns;
        }
        catalog_fini(&c);
        return 0;
}

static int take_history(struct status *s, struct stint_error *err)
{
        struct history h;
        const struct history_stint *last;

        if (history_read(&h, s->run, err))
                return -1;
        last = history_last(&h);
        if (last) {
                s->stint = last->number;
                s->step = last->to;
                s->state = strcmp(last->why, "ended, not complete") ? "stopped" : "not complete";
                snprintf(s->verdict, sizeof s->verdict, "%s", *last->verdict ? last->verdict : last->last_save);
        }
        history_fini(&h);
        return 0;
}

/* A holder that is provably gone was killed; what the journal says of its stint stands. */
static void take_lease(struct status *s)
{
        struct lease_holder holder;
        int over;

        if (lease_read(s->run, &holder, &over, NULL) || over > 0)
                return;
        s->state = over < 0 ? "running?" : "running";
        s->stint = holder.stint;
        s->pid = holder.pid;
        snprintf(s->host, sizeof s->host, "%s", holder.host);
        take_progress(s);
        if (s->step < s->checkpoint_step) /* the hint is written once a second */
                s->step = s->checkpoint_step;
}

static int status_read(struct status *s, const char *run, struct stint_error *err)
{
        int64_t done_step;

        *s = (struct status){.run = run,
                             .state = "never started",
                             .stint = -1,
                             .step = -1,
                             .steps_per_s = -1,
                             .left_s = -1,
                             .checkpoint_step = -1,
                             .pid = -1};
        if (take_history(s, err) || take_checkpoints(s, err))
                return -1;
        take_lease(s);
        if (done_read(run, &done_step)) {
                s->state = "done";
                if (done_step >= 0)
                        s->step = done_step;
        }
        return 0;
}

static void number_text(char *out, size_t size, int64_t value)
{
        if (value >= 0)
                snprintf(out, size, "%" PRId64, value);
        else
                snprintf(out, size, "-");
}

static void row(struct print_table *t, const struct status *s)
{
        char stint[24], step[24], speed[24], landed[24], age[32], left[32];

        number_text(stint, sizeof stint, s->stint);
        number_text(step, sizeof step, s->step);
        number_text(landed, sizeof landed, s->checkpoint_step);
        snprintf(speed, sizeof speed, "%.3g", s->steps_per_s);
        print_age(age, sizeof age, s->landed_ns, clock_wall());
        duration_format(left, sizeof left, (int64_t)(s->left_s * 1e9));
        print_row(t, (const char *[]){s->run, s->state, stint, step, s->steps_per_s >= 0 ? speed : NULL, landed, age,
                                      s->left_s >= 0 ? left : NULL, *s->verdict ? s->verdict : NULL});
}

static json_t *real_or_null(double value)
{
        return value >= 0 ? json_real(value) : json_null();
}

static json_t *number_or_null(int64_t value)
{
        return value >= 0 ? json_integer(value) : json_null();
}

static json_t *status_json(const struct status *s)
{
        char when[32];

        return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:s?, s:o}", "run",
                         print_string(s->run), "state", s->state, "stint", number_or_null(s->stint), "step",
                         number_or_null(s->step), "steps_per_s", real_or_null(s->steps_per_s), "left_s",
                         real_or_null(s->left_s), "checkpoint", *s->checkpoint ? s->checkpoint : NULL,
                         "checkpoint_step", number_or_null(s->checkpoint_step), "checkpoint_time",
                         s->landed_ns ? json_string(clock_format(when, sizeof when, s->landed_ns)) : json_null(),
                         "verdict", *s->verdict ? print_string(s->verdict) : json_null(), "host",
                         *s->host ? s->host : NULL, "pid", number_or_null(s->pid));
}

/* A run that cannot be read is said, and does not hide the others. */
static int show(const struct pick_list *list, struct print_table *t, json_t *all)
{
        int code = 0;

        for (size_t i = 0; i < list->n; i++) {
                struct stint_error err;
                struct status s;

                if (status_read(&s, list->runs[i], &err)) {
                        code = cmd_fail("status", &err);
                        continue;
                }
                if (all)
                        json_array_append_new(all, status_json(&s));
                else
                        row(t, &s);
        }
        return code;
}

int cmd_status(int argc, char **argv)
{
        static const char *const titles[] = {"RUN",     "STATE", ">STINT", ">STEP",        ">STEPS/S",
                                             ">LANDED", ">AGE",  ">LEFT",  "LAST VERDICT", NULL};
        struct status_options o = {0};
        struct stint_error err;
        struct pick_list list;
        char **words;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        if (pick_runs(&list, words, &err))
                return cmd_fail("status", &err);
        if (o.json) {
                json_t *all = json_array();

                rc = show(&list, NULL, all);
                if (print_json(all, stdout, &err))
                        rc = cmd_fail("status", &err);
        } else {
                struct print_table *t = print_table_new(titles);

                if (!list.n)
                        log_notice("there is no run directory (*.stint) here");
                rc = show(&list, t, NULL);
                if (print_table_end(t, stdout)) {
                        error_set(&err, ENOMEM, "no memory");
                        rc = cmd_fail("status", &err);
                }
        }
        pick_list_fini(&list);
        return rc;
}
