/* SPDX-License-Identifier: GPL-2.0-or-later */
/* history: from the lines of a journal to one record per stint.  cmd_show.c and cmd_status.c call in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "history.h"
#include "print.h"
#include "run_journal.h"
#include "run_verdict.h"

/* ---- what each event says of its stint --------------------------------------------------------------------------- */

static void on_start(struct history_stint *s, const json_t *event)
{
        s->started_ns = print_time_read(print_member_text(event, "t", ""));
        s->host = print_member_text(event, "host", "");
        s->job = print_member_text(event, "job", "");
}

static void add(char *out, size_t size, const char *between, const char *word)
{
        size_t n = strlen(out);

        snprintf(out + n, size - n, "%s%s", n > 0 ? between : "", word);
}

/* Each node once, in the order of the ranks, which are in order of nodes wherever people start them. */
static void on_attached(struct history_stint *s, const json_t *event)
{
        const json_t *places = json_object_get(event, "places");
        const char *devices = print_member_text(json_array_get(places, 0), "devices", "unset"), *last = "";
        size_t i;
        json_t *place;

        s->where[0] = '\0';
        json_array_foreach(places, i, place)
        {
                const char *node = print_member_text(place, "node", "");

                if (strcmp(node, last) != 0)
                        add(s->where, sizeof s->where, ",", node);
                last = node;
        }
        s->devices = strcmp(devices, "unset") != 0;
        if (!s->devices)
                return;
        add(s->where, sizeof s->where, " ", "gpu ");
        add(s->where, sizeof s->where, "", devices[0] != '\0' ? devices : "none");
}

static void on_fresh(struct history_stint *s, const json_t *event)
{
        (void)event;
        s->from = 0;
}

static void on_restore(struct history_stint *s, const json_t *event)
{
        s->from = print_member_int(event, "step", -1);
        s->restore = (json_t *)(uintptr_t)event; /* history has it */
}

/* Within what an int64_t can hold, whatever somebody wrote into the journal. */
static int64_t ns_of(double seconds)
{
        if (!(seconds > -9e9 && seconds < 9e9))
                return seconds < 0 ? INT64_MIN / 2 : INT64_MAX / 2;
        return (int64_t)(seconds * 1e9);
}

/* A save has its verdict in numbers; only one that failed has a text. */
static void on_save(struct history_stint *s, const json_t *event)
{
        int64_t step = print_member_int(event, "step", -1);
        const json_t *left = json_object_get(event, "left_s");

        if (step > s->to)
                s->to = step;
        if (!json_is_true(json_object_get(event, "landed"))) {
                s->failures++;
                snprintf(s->last_save, sizeof s->last_save, "NOT saved: %s", print_member_text(event, "text", ""));
                return;
        }
        s->saves++;
        s->landed = step;
        verdict_saved(s->last_save, sizeof s->last_save, step, (uint64_t)print_member_int(event, "bytes", 0),
                      ns_of(print_member_real(event, "took_s", 0)),
                      left ? ns_of(json_number_value(left)) : CLOCK_NEVER);
        verdict_streamed(s->last_save, sizeof s->last_save, (uint64_t)print_member_int(event, "window_bytes", 0),
                         ns_of(print_member_real(event, "copy_s", 0)), ns_of(print_member_real(event, "blocked_s", 0)));
}

static void on_end(struct history_stint *s, const json_t *event)
{
        int64_t to = print_member_int(event, "last_step", -1);

        s->ended = 1;
        /* An end that a later stint wrote does not tell when this one ended. */
        if (!json_object_get(event, "by") || print_member_int(event, "by", s->number) == s->number)
                s->ended_ns = print_time_read(print_member_text(event, "t", ""));
        s->why = print_member_text(event, "why", "");
        s->verdict = print_member_text(event, "verdict", "");
        s->exit = (int)print_member_int(event, "exit", -1);
        s->lost = print_member_int(event, "lost_steps", -1);
        if (to > s->to)
                s->to = to;
        if (s->landed < 0)
                s->landed = print_member_int(event, "landed_step", -1);
}

static const struct {
        const char *event;
        void (*take)(struct history_stint *s, const json_t *event);
} takers[] = {
        {"start", on_start},     {"attached", on_attached}, {"fresh", on_fresh},
        {"restore", on_restore}, {"save", on_save},         {"end", on_end},
};

/* ---- gathering --------------------------------------------------------------------------------------------------- */

/* Stints stand in the order in which they are first named; the last one is looked at first. */
static struct history_stint *find(struct history *h, int64_t number)
{
        struct history_stint *more;

        for (size_t i = h->n; i-- > 0;)
                if (h->stints[i].number == number)
                        return &h->stints[i];
        more = realloc(h->stints, (h->n + 1) * sizeof *more);
        if (!more)
                return NULL;
        h->stints = more;
        more[h->n] = (struct history_stint){.number = number,
                                            .from = -1,
                                            .to = -1,
                                            .landed = -1,
                                            .lost = -1,
                                            .exit = -1,
                                            .why = "",
                                            .verdict = "",
                                            .host = "",
                                            .job = ""};
        return &more[h->n++];
}

static int take(struct history *h, const json_t *event)
{
        const char *name = print_member_text(event, "event", "");
        int64_t number = print_member_int(event, "stint", 0);
        struct history_stint *s;

        if (number <= 0)
                return 0;
        for (size_t i = 0; i < sizeof takers / sizeof *takers; i++) {
                if (strcmp(takers[i].event, name))
                        continue;
                s = find(h, number);
                if (!s)
                        return -1;
                takers[i].take(s, event);
        }
        return 0;
}

int history_read(struct history *h, const char *run_dir, struct stint_error *err)
{
        const json_t *event;
        size_t i;

        *h = (struct history){0};
        h->events = journal_read(run_dir, &h->torn, err);
        if (!h->events)
                return -1;
        json_array_foreach(h->events, i, event) if (take(h, event))
        {
                history_fini(h);
                return error_set(err, ENOMEM, "no memory for the history of %s", run_dir);
        }
        return 0;
}

const struct history_stint *history_last(const struct history *h)
{
        return h->n ? &h->stints[h->n - 1] : NULL;
}

void history_fini(struct history *h)
{
        json_decref(h->events);
        free(h->stints);
        *h = (struct history){0};
}
