/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * saving: from RUN_SAVE to AGENT_SEALED or AGENT_SAVE_FAILED, once for each rank of this node.  Called by main for what
 * `stint run` says and by ranks for what programs say.
 *
 * A snapshot is kept until RESULT, even when its program has died meanwhile: the state of the last step is whole then,
 * and a further attempt writes it again.
 */
#include "saving.h"

#include <errno.h>
#include <string.h>
#include "clock.h"
#include "deadline.h"
#include "layouts.h"
#include "report.h"
#include "streamed.h"
#include "windows.h"
#include "writer.h"
#include "writing.h"

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

void saving_forget(struct rank *rank)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (rank->snapshots[i].attempt == 0)
                        writing_forget(&rank->snapshots[i]);
}

int saving_keeps(const struct rank *rank)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (rank->snapshots[i].staged)
                        return 1;
        return 0;
}

/* ---- snapshots --------------------------------------------------------------------------------------------------- */

static int is_streamed(const struct wire_snapshot *told)
{
        return (told->flags & SNAPSHOT_STREAMED) != 0;
}

/* The attempt that a program's answer belongs to; it is not waited for any more. */
static uint32_t answered(struct rank *rank, uint32_t save_id)
{
        uint32_t attempt = 1;

        if (rank->asked_id == save_id && rank->asked_attempt > 0)
                attempt = rank->asked_attempt;
        if (rank->asked_id == save_id)
                rank->asked_id = 0;
        return attempt;
}

static struct rank_snapshot *free_place(struct rank *rank)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (rank->snapshots[i].told.save_id == 0)
                        return &rank->snapshots[i];
        return NULL;
}

static int check_snapshot(struct rank *rank, const struct wire_snapshot *m, struct stint_error *err)
{
        const struct staging *image = report_image(rank, m->image);

        if (m->step < 0 || m->checkpoint_step < m->step)
                return error_set(err, EBADMSG, "rank %d has step %lld of a checkpoint of step %lld, which cannot be",
                                 rank->rank, (long long)m->step, (long long)m->checkpoint_step);
        if (writing_find(rank, m->save_id))
                return error_set(err, EBADMSG, "rank %d gave two snapshots for the same save", rank->rank);
        if (!free_place(rank))
                return error_set(err, EBUSY, "rank %d: its snapshots before this one are still being written",
                                 rank->rank);
        if (m->flags & SNAPSHOT_UNCHANGED)
                return 0;
        if (is_streamed(m))
                return rank->window && rank->streamed && rank->layout == m->layout
                               ? 0
                               : error_set(err, EPROTO, "rank %d streams through a window that it does not have",
                                           rank->rank);
        if (!image || rank->layout != m->layout)
                return error_set(err, EPROTO, "rank %d: its snapshot is in a staging area that is not there any more",
                                 rank->rank);
        if (report_is_taken(rank, image))
                return error_set(err, EBUSY, "rank %d: its snapshot before this one is still being written from there",
                                 rank->rank);
        return 0;
}

/* The save was given up before this program came to its safe point: it hears so, and nothing is written. */
static void turn_down(struct rank *rank, const struct wire_snapshot *m)
{
        struct wire_result result = { .save_id = m->save_id, .step = m->step };

        WIRE_INIT(&result, WIRE_RESULT);
        wire_text(result.text, sizeof result.text,
                  "that save was given up before this rank had reached its safe point");
        if (is_streamed(m))
                windows_refuse(rank);
        rank_send(rank, &result, -1);
}

void saving_snapshot(struct rank *rank, const struct wire_snapshot *m)
{
        const uint32_t attempt = answered(rank, m->save_id);
        struct stint_error err = { 0 };
        struct rank_snapshot *s;

        if (m->save_id <= rank->ranks->over_id) {
                turn_down(rank, m);
                return;
        }
        if (check_snapshot(rank, m, &err) < 0) {
                if (is_streamed(m))
                        windows_refuse(rank);
                report_failure(rank, m->save_id, attempt, m->checkpoint_step, &err);
                return;
        }
        s = free_place(rank);
        s->told = *m;
        s->since_ns = clock_now();
        if (m->flags & SNAPSHOT_UNCHANGED) {
                report_sealed(rank, m, attempt, NULL, s);
                return;
        }
        s->attempt = attempt;
        if (is_streamed(m)) {
                s->staged = staging_hold(rank->streamed);
                s->passage = windows_take(rank);
        } else {
                s->staged = m->image == 0 ? staging_hold(rank->staging) : staging_hold(rank->second);
                windows_end(rank); /* it knows of its image */
                report_taken(rank, s, attempt);
        }
        writing_next(rank);
        layouts_make_second(rank);
}

/* ---- streamed ones ----------------------------------------------------------------------------------------------- */

/* The program is out of it; where it has not brought all, for this reason. */
static void leave(struct rank *rank, struct rank_snapshot *s, const struct stint_error *why)
{
        struct writer *w = writing_is_of(rank, s) ? rank->writer : NULL;

        s->left = 1;
        if (w && why)
                passage_stop(w->passage, why->code ? why->code : EIO, why->text);
        if (w && w->over)
                writing_over(rank, w);
        if (w || !why)
                return;
        report_failure(rank, s->told.save_id, s->attempt, s->told.checkpoint_step, why); /* it had yet to be begun */
        writing_forget(s);
        windows_next(rank);
}

void saving_streamed(struct rank *rank, const struct wire_streamed *m)
{
        struct rank_snapshot *s = writing_find(rank, m->save_id);

        if (!s || !is_streamed(&s->told) || s->left)
                return;
        s->told.copy_ns = m->copy_ns;
        s->blocked_ns = m->blocked_ns;
        if (rank->flight.streams)
                report_begin(rank, rank->flight.stands, 0);
        report_taken(rank, s, writing_is_of(rank, s) ? rank->writer->attempt : s->attempt);
        leave(rank, s, NULL);
}

/* What has come stays, and where that is all of it, it is written to its end. */
static void cut_off(struct rank *rank)
{
        struct stint_error why = { 0 };
        int i;

        error_set(&why, ECONNRESET, "the program ended in the middle of its state");
        if (rank->writer && rank->writer->passage)
                passage_stop(rank->writer->passage, why.code, why.text);
        for (i = 0; i < STAGING_IMAGES; i++)
                if (is_streamed(&rank->snapshots[i].told) && !rank->snapshots[i].left)
                        leave(rank, &rank->snapshots[i], &why);
}

int saving_streams(const struct ranks *r)
{
        const struct rank *rank;
        int i;

        for (rank = r->first; rank; rank = rank->next)
                for (i = 0; i < STAGING_IMAGES; i++)
                        if (is_streamed(&rank->snapshots[i].told) && !rank->snapshots[i].left)
                                return 1;
        return 0;
}

/* ---- images that come, programs that go -------------------------------------------------------------------------- */

void saving_image_came(struct rank *rank)
{
        struct rank_snapshot *newest = NULL;
        int i;

        for (i = 0; i < STAGING_IMAGES; i++) {
                struct rank_snapshot *s = &rank->snapshots[i];

                if (s->staged && (!newest || s->told.save_id > newest->told.save_id))
                        newest = s;
        }
        if (newest) /* whatever attempt it is at: of the first ones only can it make a difference */
                report_taken(rank, newest, newest->attempt ? newest->attempt : 1);
}

void saving_snapshot_failed(struct rank *rank, const struct wire_snapshot_failed *m)
{
        struct rank_snapshot *s = writing_find(rank, m->save_id);
        struct stint_error err = { 0 };

        error_set(&err, m->code > 0 ? m->code : EIO, "%s",
                  m->text[0] ? m->text : "the program could not copy its state");
        if (s && is_streamed(&s->told) && !s->left)
                leave(rank, s, &err);
        else
                report_failure(rank, m->save_id, answered(rank, m->save_id), -1, &err);
}

void saving_gone(struct rank *rank)
{
        struct stint_error err = { 0 };

        cut_off(rank);
        if (rank->asked_id == 0)
                return;
        error_set(&err, ECONNRESET, "the program ended before its safe point");
        report_failure(rank, rank->asked_id, rank->asked_attempt, -1, &err);
        rank->asked_id = 0;
}

/* ---- what `stint run` says --------------------------------------------------------------------------------------- */

/* The word first, so that a program that is training sees it; then the message, for one that waits at its socket. */
static void ask(struct rank *rank, const struct wire_run_save *m)
{
        struct wire_wake wake = { .save_id = m->save_id,
                                  .flags = (uint32_t)save_is_final((enum save_reason)m->reason) };

        WIRE_INIT(&wake, WIRE_WAKE);
        rank->asked_id = m->save_id;
        rank->asked_attempt = m->attempt;
        rank->flight.stands |= wake.flags != 0;
        rank->word_id = m->save_id;
        rank->save_flags = wake.flags ? CONTROL_FINAL : 0;
        atomic_store_explicit(&rank->page->request_ns, clock_now(), memory_order_relaxed);
        rank_publish(rank);
        rank_send(rank, &wake, -1);
}

void saving_ask_again(struct rank *rank)
{
        ask(rank, &rank->ranks->save);
}

/* Nobody has it any more but the program, which waits for the end of this save. */
static void again_streamed(struct rank *rank, struct rank_snapshot *s, const struct wire_run_save *m)
{
        if (writing_is_of(rank, s)) {
                s->attempt = m->attempt; /* writing_over asks for it */
                passage_stop(rank->writer->passage, ECANCELED, "another attempt begins");
        } else if (s->attempt != 0) {
                s->attempt = m->attempt; /* it has yet to be begun */
        } else {
                writing_forget(s);
                windows_next(rank);
                if (!rank->gone)
                        ask(rank, m);
        }
}

/* A further attempt: what is in staging is written again; a program that had not come so far is asked again. */
static void again(struct rank *rank, const struct wire_run_save *m)
{
        struct rank_snapshot *s = writing_find(rank, m->save_id);
        struct rank *other;

        /* A program that was started anew must not save beside the snapshot of the one before it. */
        for (other = rank->ranks->first; other; other = other->next)
                if (other != rank && other->rank == rank->rank && writing_find(other, m->save_id))
                        return;
        if (s && is_streamed(&s->told)) {
                again_streamed(rank, s, m);
        } else if (s && s->staged) {
                s->attempt = m->attempt;
                writing_next(rank);
        } else if (s) {
                report_sealed(rank, &s->told, m->attempt, NULL, s);
        } else if (!rank->gone) {
                ask(rank, m);
        }
}

void saving_ask(struct ranks *r, const struct wire_run_save *m)
{
        struct rank *rank;

        r->save = *m;
        for (rank = r->first; rank; rank = rank->next) {
                if (!rank->known)
                        continue;
                if (m->attempt > 1)
                        again(rank, m);
                else if (!rank->gone)
                        ask(rank, m);
        }
}

/* The image is the program's from RESULT on, so nobody may be reading it then: a writer at work is stopped first. */
static void tell(struct rank *rank, const struct wire_run_result *m)
{
        struct wire_result result = { .save_id = m->save_id, .landed = m->landed, .step = m->step, .bytes = m->bytes };
        struct rank_snapshot *s = writing_find(rank, m->save_id);

        WIRE_INIT(&result, WIRE_RESULT);
        result.took_ns = m->took_ns;
        memcpy(result.text, m->text, sizeof result.text);
        if (s && writing_is_of(rank, s)) {
                s->result = result;
                s->attempt = 0;
                writer_give_up(rank->writer);
                return;
        }
        rank_send(rank, &result, -1);
        if (s)
                writing_forget(s);
        windows_next(rank);
}

void saving_result(struct ranks *r, const struct wire_run_result *m)
{
        struct rank *rank, *next;

        if (m->save_id > r->over_id)
                r->over_id = m->save_id;
        for (rank = r->first; rank; rank = next) {
                next = rank->next;
                if (!rank->known)
                        continue;
                if (m->save_id != 0 || m->rank < 0 || m->rank == rank->rank)
                        tell(rank, m);
                if (m->save_id == 0)
                        continue;
                if (m->save_id > rank->word_id && !rank->gone) { /* it came in between, and is not to wait for it */
                        rank->word_id = m->save_id;
                        rank->save_flags = 0;
                        rank_publish(rank);
                }
                if (rank->asked_id == m->save_id)
                        rank->asked_id = 0;
                rank_release(rank);
        }
}

/* ---- nobody commits any more ------------------------------------------------------------------------------------- */

int saving_awaited(const struct ranks *r)
{
        const struct rank *rank;

        for (rank = r->first; rank; rank = rank->next)
                if (rank->known && !rank->gone && rank->asked_id != 0)
                        return 1;
        return 0;
}

/* All agents have heard the same, so each comes to the same number for it. */
int saving_ask_alone(struct ranks *r)
{
        struct wire_run_save m = r->save;

        if (saving_awaited(r))
                return 1;
        /* One that is being written, or waits to be committed, is the last one already. */
        if (r->save.save_id == 0 || r->save.save_id > r->over_id)
                return 0;
        m.save_id = r->over_id + 1;
        m.attempt = 1;
        m.reason = SAVE_SIGNAL;
        saving_ask(r, &m);
        return saving_awaited(r);
}
