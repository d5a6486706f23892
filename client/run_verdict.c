/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_verdict: decides what an end is called and what `stint run` exits with, and speaks for stints that were killed
 * before they could.  run_story.c calls in at the beginning and at the end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "catalog.h"
#include "duration.h"
#include "json_file.h"
#include "log.h"
#include "print.h"
#include "run.h"
#include "run_verdict.h"
#include "rundir.h"

/* ---- the past -------------------------------------------------------------------------------------------------- */

static const char *event_of(const json_t *line)
{
        const char *event = json_string_value(json_object_get(line, "event"));

        return event == NULL ? "" : event;
}

static int64_t integer_of(const json_t *line, const char *key, int64_t otherwise)
{
        const json_t *value = json_object_get(line, key);

        return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static int is_landing(const json_t *line)
{
        if (strcmp(event_of(line), "finished_part") == 0)
                return 1;
        return strcmp(event_of(line), "save") == 0 && json_is_true(json_object_get(line, "landed"));
}

/* Only of an end that a stint's own time brought it can be said that another stint would get no further. */
static int ran_into_limit(const json_t *end)
{
        const char *why = json_string_value(json_object_get(end, "why"));

        return why != NULL && strcmp(why, "time limit") == 0;
}

/* The lines of one stint that follow each other in the journal, and over what time. */
struct stretch {
        int64_t stint, first_ns, last_ns;
};

static void add_stretch(struct past *p, struct stretch *s)
{
        int64_t ns = s->last_ns - s->first_ns;

        if (s->stint > 0 && ns > 0 && p->trained_ns < CLOCK_NEVER - ns)
                p->trained_ns += ns;
        *s = (struct stretch){ 0 };
}

/* The end of a stint that was killed is a line of the next one, and says when that began. */
static void take_time(struct past *p, struct stretch *s, const json_t *line)
{
        const int64_t at_ns = print_time_read(print_member_text(line, "t", ""));
        const int64_t stint = integer_of(line, "stint", 0);

        if (at_ns <= 0 || json_object_get(line, "by") != NULL)
                return;
        if (stint != s->stint) {
                add_stretch(p, s);
                *s = (struct stretch){ .stint = stint, .first_ns = at_ns };
        }
        s->last_ns = at_ns;
}

static int is_failure(const json_t *line)
{
        const char *why = print_member_text(line, "why", "");

        return strcmp(event_of(line), "end") == 0 && (strcmp(why, "killed") == 0 || strcmp(why, "crashed") == 0);
}

/* A set-back makes older steps the newest again, so the last line counts, not the highest step. */
static int is_setting_aside(const json_t *line, int64_t landed_step)
{
        const char *name = json_string_value(json_object_get(line, "checkpoint")), *event = event_of(line);
        int64_t step;

        return (strcmp(event, "quarantined") == 0 || strcmp(event, "superseded") == 0) && name != NULL &&
               rundir_parse(name, &step, NULL) == RUNDIR_WHOLE && step == landed_step;
}

void past_read(struct past *p, const json_t *lines)
{
        struct stretch stretch = { 0 };
        int landed = 0;
        size_t i;
        json_t *line;

        *p = (struct past){ .landed_step = -1 };
        json_array_foreach(lines, i, line) {
                int64_t stint = integer_of(line, "stint", 0);

                take_time(p, &stretch, line);
                p->failures += (uint32_t)is_failure(line);
                if (strcmp(event_of(line), "start") == 0)
                        landed = 0;
                if (strcmp(event_of(line), "end") == 0 && (landed || ran_into_limit(line)))
                        p->idle = landed ? 0 : p->idle + 1;

                if (stint > p->last_stint && stint <= UINT32_MAX)
                        p->last_stint = (uint32_t)stint;
                p->set_aside |= is_setting_aside(line, p->landed_step);
                if (is_landing(line)) {
                        p->ever_landed = landed = 1;
                        p->landed_step = integer_of(line, "step", -1);
                        p->set_aside = 0;
                }
        }
        add_stretch(p, &stretch);
}

int64_t past_mtbf(const struct past *p)
{
        const int64_t assumed_ns = 24 * 3600 * CLOCK_SECOND;
        const int64_t trained_ns = p->trained_ns < CLOCK_NEVER - assumed_ns ? p->trained_ns : CLOCK_NEVER - assumed_ns;

        return (assumed_ns + trained_ns) / (1 + (int64_t)p->failures);
}

int64_t lost_steps(int64_t last_step, int64_t landed_step)
{
        if (last_step < 0)
                return 0;
        if (landed_step < 0)
                return last_step;
        return last_step > landed_step ? last_step - landed_step : 0;
}

/* ---- this stint's end ------------------------------------------------------------------------------------------ */

static const char *stop_word(enum save_reason reason)
{
        switch (reason) {
        case SAVE_LIMIT:
                return "time limit";
        case SAVE_PREEMPTED:
                return "preempted";
        case SAVE_REQUEUED:
                return "requeued";
        case SAVE_DRAIN:
                return "drained";
        default:
                return "stopped";
        }
}

static int child_code(const struct ending *e)
{
        return e->child_signal != 0 ? 128 + e->child_signal : e->child_code;
}

const char *ending_why(const struct ending *e, int *exit_code)
{
        *exit_code = child_code(e);
        if (e->complete)
                return "complete";
        if (e->lease_lost) {
                *exit_code = EXIT_OWN;
                return "stopped";
        }
        if (e->stop != SAVE_NONE || e->limit != SAVE_NONE || e->cancelled) {
                *exit_code = EXIT_CONTINUE;
                if (e->cancelled)
                        return "cancelled";
                return stop_word(e->stop != SAVE_NONE ? e->stop : e->limit);
        }
        if (e->child_signal != 0 || e->broke)
                return "crashed";
        if (e->unfinished && e->child_code == 0) {
                *exit_code = EXIT_CONTINUE; /* so that nobody takes it for complete */
                return "complete, not saved";
        }
        return e->child_code != 0 ? "exited" : "ended, not complete";
}

int ending_requeues(const struct ending *e)
{
        enum save_reason reason = e->stop != SAVE_NONE ? e->stop : e->limit;

        if (e->complete || e->cancelled || e->lease_lost)
                return 0;
        return save_is_final(reason) && reason != SAVE_STOP;
}

const char *verdict_saved(char *out, size_t size, int64_t step, uint64_t bytes, int64_t took_ns, int64_t left_ns)
{
        char how_much[32], how_long[32], before[32];

        size_format(how_much, sizeof how_much, (int64_t)bytes);
        duration_format(how_long, sizeof how_long, took_ns);
        if (left_ns == CLOCK_NEVER)
                snprintf(out, size, "saved step %" PRId64 ", %s, in %s", step, how_much, how_long);
        else if (left_ns >= 0)
                snprintf(out, size, "saved step %" PRId64 ", %s, in %s, %s before the limit", step, how_much, how_long,
                         duration_format(before, sizeof before, left_ns));
        else
                snprintf(out, size, "saved step %" PRId64 ", %s, in %s, %s after the limit", step, how_much, how_long,
                         duration_format(before, sizeof before, -left_ns));
        return out;
}

void verdict_streamed(char *out, size_t size, uint64_t window_bytes, int64_t copy_ns, int64_t blocked_ns)
{
        char window[32], waited[32], blocked[32];
        const size_t n = strlen(out);

        if (window_bytes > 0)
                snprintf(out + n, size - n, ", streamed through %s: training waited %s, %s of it for the disk",
                         size_format(window, sizeof window, (int64_t)window_bytes),
                         duration_format(waited, sizeof waited, copy_ns),
                         duration_format(blocked, sizeof blocked, blocked_ns));
}

/* ---- an earlier stint that was killed -------------------------------------------------------------------------- */

/* Its end follows its start, at line `at`, before long: a journal of many stints is not read once for each. */
static int has_end(const json_t *lines, size_t at, int64_t stint)
{
        const json_t *line;

        for (; at < json_array_size(lines); at++) {
                line = json_array_get(lines, at);
                if (integer_of(line, "stint", 0) == stint && strcmp(event_of(line), "end") == 0)
                        return 1;
        }
        return 0;
}

/*
 * What was on disk when that stint was over: the last landing in a line of it or of an earlier one, or of its part that
 * was finished since.
 */
static int64_t landed_by(const json_t *lines, int64_t stint)
{
        int64_t step = -1;
        size_t i;
        json_t *line;

        json_array_foreach(lines, i, line)
                if (is_landing(line) && integer_of(line, "of_stint", integer_of(line, "stint", 0)) <= stint)
                        step = integer_of(line, "step", step);
        return step;
}

/* The progress file is a hint, written without a sync; of another stint it says nothing. */
static int64_t progress_of(const char *run_dir, int64_t stint)
{
        json_t *root = json_file_read(run_dir, RUNDIR_PROGRESS);
        int64_t step = -1;

        if (root != NULL && integer_of(root, "stint", 0) == stint)
                step = integer_of(root, "step", -1);
        json_decref(root);
        return step;
}

/*
 * A stint that was killed between the rename and its line in the journal has landed a checkpoint that nobody has told
 * of.
 */
static int64_t untold_landing(struct journal *j, const char *run_dir, uint32_t stint, int64_t landed)
{
        const struct catalog_entry *newest = NULL;
        struct catalog all;
        size_t i;

        if (catalog_read(&all, run_dir, NULL) != 0)
                return landed;
        for (i = 0; i < all.whole; i++)
                if (all.entries[i].manifest.stint == stint && all.entries[i].step > landed &&
                    (newest == NULL || all.entries[i].step > newest->step))
                        newest = &all.entries[i];
        if (newest != NULL) {
                landed = newest->step;
                journal_add(j, "finished_part",
                            json_pack("{s:s, s:I, s:I, s:I}", "checkpoint", newest->name, "step", (json_int_t)landed,
                                      "of_stint", (json_int_t)stint, "bytes",
                                      (json_int_t)manifest_bytes(&newest->manifest)),
                            NULL);
        }
        catalog_fini(&all);
        return landed;
}

static int end_killed(struct journal *j, const char *run_dir, const json_t *lines, uint32_t stint,
                      struct stint_error *err)
{
        int64_t landed = untold_landing(j, run_dir, stint, landed_by(lines, stint)), last = progress_of(run_dir, stint);
        uint32_t by = j->stint;
        char verdict[200];
        int rc;

        if (last < landed)
                last = landed;
        if (landed >= 0)
                snprintf(verdict, sizeof verdict, "killed; step %" PRId64 " stands, at least %" PRId64 " steps lost",
                         landed, lost_steps(last, landed));
        else
                snprintf(verdict, sizeof verdict, "killed before anything had landed");
        log_notice("stint %u: ended: %s", stint, verdict);
        j->stint = stint;
        rc = journal_add(j, "end",
                         json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "why", "killed", "verdict", verdict, "last_step",
                                   (json_int_t)last, "landed_step", (json_int_t)landed, "lost_steps",
                                   (json_int_t)lost_steps(last, landed), "by", (json_int_t)by),
                         err);
        j->stint = by;
        return rc;
}

int verdict_on_earlier(struct journal *j, const char *run_dir, const json_t *lines, struct stint_error *err)
{
        size_t i;
        json_t *line;

        json_array_foreach(lines, i, line) {
                int64_t stint = integer_of(line, "stint", 0);

                if (strcmp(event_of(line), "start") != 0 || stint <= 0 || stint >= j->stint || has_end(lines, i, stint))
                        continue;
                if (end_killed(j, run_dir, lines, (uint32_t)stint, err) != 0)
                        return -1;
        }
        return 0;
}
