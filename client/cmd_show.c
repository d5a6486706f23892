/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_show: `stint show`: what became of each stint of a run, and with --events everything the journal has. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "cmd.h"
#include "history.h"
#include "log.h"
#include "pick.h"
#include "print.h"
#include "run.h"
#include "run_lease.h"

struct show_options {
        int json, events;
};

static const struct flag table[] = {
        {"--events", NULL, offsetof(struct show_options, events), flag_switch, "every event of the journal too", NULL},
        {"--json", NULL, offsetof(struct show_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] = "Usage: stint show [OPTION...] [RUN]\n\n"
                            "The history of a run: its stints, why each ended, what it saved, what was lost.";

/* A last stint without an end either runs, or was killed and waits for the next one to say so. */
static const char *why(const struct history_stint *s, int running)
{
        if (*s->why)
                return s->why;
        return running ? "running" : "killed";
}

static const char *verdict(const struct history_stint *s)
{
        if (*s->verdict)
                return s->verdict;
        return *s->last_save ? s->last_save : NULL;
}

static void steps_text(char *out, size_t size, const struct history_stint *s)
{
        char to[24];

        snprintf(to, sizeof to, "%" PRId64, s->to);
        if (s->from < 0)
                snprintf(out, size, "-");
        else
                snprintf(out, size, "%" PRId64 "-%s", s->from, s->to < s->from ? "?" : to);
}

static void row(struct print_table *t, const struct history_stint *s, int running, int with_where)
{
        const char *cells[8];
        size_t n = 0;
        char number[24], steps[64], started[32], took[32], lost[24];

        snprintf(number, sizeof number, "%" PRId64, s->number);
        steps_text(steps, sizeof steps, s);
        clock_format(started, sizeof started, s->started_ns);
        started[19] = '\0'; /* to the second */
        print_age(took, sizeof took, s->started_ns, s->ended_ns ? s->ended_ns : running ? clock_wall() : s->started_ns);
        snprintf(lost, sizeof lost, "%" PRId64, s->lost);
        cells[n++] = number;
        cells[n++] = steps;
        cells[n++] = s->started_ns ? started : NULL;
        cells[n++] = s->ended_ns || running ? took : NULL;
        if (with_where)
                cells[n++] = *s->where ? s->where : s->host;
        cells[n++] = why(s, running);
        cells[n++] = s->lost >= 0 ? lost : NULL;
        cells[n++] = verdict(s);
        print_row(t, cells);
}

/* On one machine without GPUs a column for the place says nothing. */
static int moves_about(const struct history *h)
{
        for (size_t i = 0; i < h->n; i++)
                if (h->stints[i].devices || (*h->stints[i].where && strcmp(h->stints[i].where, h->stints[0].where)))
                        return 1;
        return 0;
}

static int is_running(const char *run, const struct history *h, size_t i)
{
        struct lease_holder holder;
        int over;

        if (i + 1 < h->n || h->stints[i].ended || lease_read(run, &holder, &over, NULL))
                return 0;
        return over <= 0 && (int64_t)holder.stint == h->stints[i].number;
}

/* The fields of an event as "name=value", but for those that every event has. */
static void fields_text(char *out, size_t size, json_t *event)
{
        const char *name;
        json_t *value;
        size_t n = 0;

        *out = '\0';
        json_object_foreach(event, name, value)
        {
                char *text;

                if (!strcmp(name, "t") || !strcmp(name, "stint") || !strcmp(name, "event") || n >= size)
                        continue;
                text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
                n += (size_t)snprintf(out + n, size - n, "%s%s=%s", n ? " " : "", name, text ? text : "?");
                free(text);
        }
}

static int show_events(const struct history *h)
{
        static const char *const titles[] = {"TIME", ">STINT", "EVENT", "WHAT", NULL};
        struct print_table *t = print_table_new(titles);
        json_t *event;
        size_t i;

        json_array_foreach(h->events, i, event)
        {
                char stint[24], fields[500];

                snprintf(stint, sizeof stint, "%" PRId64, print_member_int(event, "stint", 0));
                fields_text(fields, sizeof fields, event);
                print_row(t, (const char *[]){print_member_text(event, "t", "?"), stint,
                                              print_member_text(event, "event", "?"), fields});
        }
        return print_table_end(t, stdout);
}

static int as_table(const struct history *h, const char *run, int events, struct stint_error *err)
{
        static const char *const short_titles[] = {">STINT",   ">STEPS", "STARTED", ">TIME",
                                                   "ENDED BY", ">LOST",  "VERDICT", NULL};
        static const char *const titles[] = {">STINT",   ">STEPS", "STARTED", ">TIME", "WHERE",
                                             "ENDED BY", ">LOST",  "VERDICT", NULL};
        const int with_where = moves_about(h);
        struct print_table *t = print_table_new(with_where ? titles : short_titles);

        for (size_t i = 0; i < h->n; i++)
                row(t, &h->stints[i], is_running(run, h, i), with_where);
        if (print_table_end(t, stdout) || (events && printf("\n") > 0 && show_events(h)))
                return error_set(err, ENOMEM, "no memory");
        if (!h->n)
                log_notice("%s has no stint in its journal yet", run);
        return 0;
}

static json_t *number_or_null(int64_t value)
{
        return value >= 0 ? json_integer(value) : json_null();
}

static json_t *time_or_null(int64_t wall_ns)
{
        char when[32];

        return wall_ns ? json_string(clock_format(when, sizeof when, wall_ns)) : json_null();
}

/* What it was given back, from where, and how long that took: the event without what every event has. */
static json_t *restore_json(const struct history_stint *s)
{
        json_t *out = s->restore ? json_copy(s->restore) : json_null();

        json_object_del(out, "t");
        json_object_del(out, "stint");
        json_object_del(out, "event");
        return out;
}

static json_t *stint_json(const struct history_stint *s, int running)
{
        return json_pack("{s:I, s:o, s:o, s:o, s:o, s:s, s:s?, s:o, s:o, s:o, s:I, s:I, s:s, s:s, s:s, s:o}", "stint",
                         (json_int_t)s->number, "from", number_or_null(s->from), "to", number_or_null(s->to), "started",
                         time_or_null(s->started_ns), "ended", time_or_null(s->ended_ns), "why", why(s, running),
                         "verdict", verdict(s), "landed_step", number_or_null(s->landed), "lost_steps",
                         number_or_null(s->lost), "exit", number_or_null(s->exit), "saves", (json_int_t)s->saves,
                         "saves_failed", (json_int_t)s->failures, "host", s->host, "job", s->job, "where", s->where,
                         "restore", restore_json(s));
}

static int as_json(const struct history *h, const char *run, int events, struct stint_error *err)
{
        json_t *stints = json_array(), *all;

        for (size_t i = 0; i < h->n; i++)
                json_array_append_new(stints, stint_json(&h->stints[i], is_running(run, h, i)));
        all = json_pack("{s:o, s:o}", "run", print_string(run), "stints", stints);
        if (all && events)
                json_object_set(all, "events", h->events);
        return print_json(all, stdout, err);
}

int cmd_show(int argc, char **argv)
{
        struct show_options o = {0};
        struct stint_error err;
        struct history h;
        char run[RUNDIR_PATH], **words, **rest;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        if (pick_from_words(run, words, 1, &rest, &err) || history_read(&h, run, &err))
                return cmd_fail("show", &err);
        if (h.torn)
                log_warning("%zu lines of the journal could not be read (a crash may tear one) and were passed over",
                            h.torn);
        rc = o.json ? as_json(&h, run, o.events, &err) : as_table(&h, run, o.events, &err);
        history_fini(&h);
        return rc ? cmd_fail("show", &err) : 0;
}
