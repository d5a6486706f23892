/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_saved: one verdict for each save, whether it landed, failed, or could not even be begun: in the journal, in the
 * log, to the agents and to whoever asked for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "duration.h"
#include "log.h"
#include "run_measured.h"
#include "run_saved.h"

#define WORTH_SAYING (CLOCK_SECOND / 2) /* a wait that a verdict tells of */

static double seconds(int64_t ns)
{
        return (double)ns / (double)CLOCK_SECOND;
}

void saved_tell(struct run *r, uint32_t save_id, int32_t rank, int landed, int64_t step, uint64_t bytes,
                int64_t took_ns, const char *text)
{
        struct wire_run_result m = { .save_id = save_id, .landed = (uint32_t)landed, .step = step, .bytes = bytes,
                                     .took_ns = took_ns, .rank = rank };

        WIRE_INIT(&m, WIRE_RUN_RESULT);
        wire_text(m.text, sizeof m.text, text);
        agents_send_all(&r->agents, &m, sizeof m);
}

static void note_save(struct run *r, int landed, int64_t step, uint64_t bytes, int64_t took_ns, int64_t commit_ns,
                      const char *text)
{
        const struct save *s = &r->save;
        int64_t left_ns = run_deadline_left(&r->deadline);
        json_t *line = json_pack("{s:I, s:s, s:I, s:b, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:b, s:s}", "id",
                                 (json_int_t)s->id, "reason", save_reason_name(s->reason), "step", (json_int_t)step,
                                 "landed", landed, "bytes", (json_int_t)bytes, "took_s", seconds(took_ns), "delay_s",
                                 seconds(s->delay_ns), "wait_s", seconds(s->held_ns + s->wait_ns), "copy_s",
                                 seconds(s->copy_ns), "hash_s", seconds(s->hash_ns), "write_s", seconds(s->write_ns),
                                 "commit_s", seconds(commit_ns), "attempt", (json_int_t)s->attempt, "unchanged",
                                 s->ranks > 0 && s->unchanged_count == s->ranks, "text", text);

        if (line != NULL && s->drag_ns >= 0)
                json_object_set_new(line, "drag_s", json_real(seconds(s->drag_ns)));
        if (line != NULL && s->window_bytes > 0) {
                json_object_set_new(line, "window_bytes", json_integer((json_int_t)s->window_bytes));
                json_object_set_new(line, "blocked_s", json_real(seconds(s->blocked_ns)));
        }
        if (line != NULL && left_ns != CLOCK_NEVER)
                json_object_set_new(line, "left_s", json_real(seconds(left_ns)));
        story_note(r, "save", line);
}

void saved_refuse(struct run *r, enum save_reason reason, int32_t rank, const char *text)
{
        snprintf(r->last_save, sizeof r->last_save, "NOT saved: %.460s", text);
        if (save_is_final(reason))
                snprintf(r->not_saved, sizeof r->not_saved, "%.460s", text);
        log_warning("stint %u: NOT saved: %s (%s)", r->stint, text, save_reason_name(reason));
        story_note(r, "save",
                   json_pack("{s:I, s:s, s:I, s:b, s:s}", "id", (json_int_t)0, "reason", save_reason_name(reason),
                             "step", (json_int_t)ranks_step(&r->ranks), "landed", 0, "text", text));
        saved_tell(r, 0, rank, 0, ranks_step(&r->ranks), 0, 0, text);
        listen_answer(&r->listen, 0, ECANCELED, ranks_step(&r->ranks), 0, 0, text);
}

/* ---- it landed ------------------------------------------------------------------------------------------------- */

static int64_t step_p99(const struct run *r)
{
        int64_t step_ns = 0;
        uint32_t i;

        for (i = 0; i < r->ranks.n; i++)
                if (r->ranks.rank[i].step_p99_ns > step_ns)
                        step_ns = r->ranks.rank[i].step_p99_ns;
        return step_ns;
}

/* How long training or the wish to save stood behind the save before: with one image that is a whole write. */
static void say_wait(char *verdict, size_t size, int64_t wait_ns)
{
        const size_t n = strlen(verdict);
        char waited[32];

        if (wait_ns >= WORTH_SAYING)
                snprintf(verdict + n, size - n, ", after %s of waiting for the save before",
                         duration_format(waited, sizeof waited, wait_ns));
}

/* Numbers say it all, but for what a streamed one has cost. */
static void answer_landed(struct run *r, uint64_t bytes, int64_t took_ns)
{
        const struct save *s = &r->save;
        char text[WIRE_TEXT] = "";

        if (s->window_bytes > 0) {
                verdict_saved(text, sizeof text, r->landed_step, bytes, took_ns, CLOCK_NEVER);
                verdict_streamed(text, sizeof text, s->window_bytes, s->copy_ns, s->blocked_ns);
        }
        listen_answer(&r->listen, s->id, 0, r->landed_step, bytes, took_ns, text);
}

void saved_landed(struct run *r, const struct manifest *m, int unchanged)
{
        struct save *s = &r->save;
        const int64_t now = clock_now();
        int64_t took_ns = now - s->asked_ns, commit_ns = now - s->last_seal_ns;
        int64_t left_ns = save_is_final(s->reason) ? run_deadline_left(&r->deadline) : CLOCK_NEVER;
        uint64_t bytes = manifest_bytes(m);

        s->finished_ns = now;
        r->landed_step = m->step;
        verdict_saved(r->last_save, sizeof r->last_save, m->step, bytes, took_ns, left_ns);
        verdict_streamed(r->last_save, sizeof r->last_save, s->window_bytes, s->copy_ns, s->blocked_ns);
        say_wait(r->last_save, sizeof r->last_save, s->held_ns + s->wait_ns);
        r->not_saved[0] = '\0';
        note_save(r, 1, m->step, bytes, took_ns, commit_ns, "");
        if (save_is_final(s->reason))
                r->ending.stop = s->reason;
        saved_tell(r, s->id, -1, 1, m->step, bytes, took_ns, "");
        log_notice("stint %u: %s%s%s%s", r->stint, r->last_save, save_is_final(s->reason) ? "" : " (",
                   save_is_final(s->reason) ? "" : save_reason_name(s->reason), save_is_final(s->reason) ? "" : ")");
        answer_landed(r, bytes, took_ns);
        if (!unchanged) {
                measured_learn(&r->measured, s, step_p99(r), commit_ns);
                story_tell_measured(r, AGENTS_ALL);
        }
}

/* ---- it did not ------------------------------------------------------------------------------------------------ */

/* Its program was complete before it came to another safe point: there was nothing left to save, and nobody to tell. */
static int is_moot(const struct run *r)
{
        const enum save_reason reason = r->save.reason;

        return r->complete_step >= 0 && (reason == SAVE_INTERVAL || reason == SAVE_CALIBRATE);
}

void saved_failed(struct run *r)
{
        struct save *s = &r->save;
        int64_t now = clock_now();

        s->finished_ns = now;
        if (is_moot(r)) {
                saved_tell(r, s->id, -1, 0, s->step, 0, now - s->asked_ns, s->text);
                return;
        }
        snprintf(r->last_save, sizeof r->last_save, "NOT saved: %.460s", s->text);
        if (save_is_final(s->reason))
                snprintf(r->not_saved, sizeof r->not_saved, "%.460s", s->text);
        note_save(r, 0, s->step >= 0 ? s->step : ranks_step(&r->ranks), 0, now - s->asked_ns, 0, s->text);
        saved_tell(r, s->id, -1, 0, s->step, 0, now - s->asked_ns, s->text);
        log_warning("stint %u: NOT saved: %s (%s)%s", r->stint, s->text, save_reason_name(s->reason),
                    r->child.running ? "; training goes on" : "");
        listen_answer(&r->listen, s->id, EIO, s->step, 0, now - s->asked_ns, s->text);
}
