/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_save: the table of a save's states, and what each message of an agent means to it.  Nothing here waits, writes or
 * sends; run_saving.c calls in and does what is answered.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_save.h"

/* ---- the table ------------------------------------------------------------------------------------------------- */

struct row {
        unsigned char known; /* 0: this event means nothing in this state */
        unsigned char state, act;
        unsigned char retry_state, retry_act; /* instead, when an attempt is left */
};

#define TO(state, act) { 1, (state), (act), (state), (act) }
#define FAILS_OR_RETRIES { 1, SAVING_IDLE, SAVING_FAIL, SAVING_CLEARING, SAVING_CLEAR }

static const struct row table[SAVING_STATES][SAVING_EVENTS] = {
        [SAVING_IDLE] = {
                [SAVING_START] = TO(SAVING_WANTED, SAVING_ASK),
                [SAVING_START_DIRTY] = TO(SAVING_CLEARING, SAVING_CLEAR),
        },
        [SAVING_CLEARING] = {
                [SAVING_CLEARED] = TO(SAVING_WANTED, SAVING_ASK),
                [SAVING_BROKEN] = TO(SAVING_DOOMED, SAVING_NOTHING),
        },
        [SAVING_DOOMED] = {
                [SAVING_CLEARED] = TO(SAVING_IDLE, SAVING_FAIL),
        },
        [SAVING_WANTED] = {
                [SAVING_RANK_SEALED] = TO(SAVING_SEALING, SAVING_NOTHING),
                [SAVING_ALL_SEALED] = TO(SAVING_COMMITTING, SAVING_COMMIT),
                [SAVING_BROKEN] = FAILS_OR_RETRIES,
        },
        [SAVING_SEALING] = {
                [SAVING_RANK_SEALED] = TO(SAVING_SEALING, SAVING_NOTHING),
                [SAVING_ALL_SEALED] = TO(SAVING_COMMITTING, SAVING_COMMIT),
                [SAVING_BROKEN] = FAILS_OR_RETRIES,
        },
        /* Whatever breaks now comes too late to harm: every rank's bytes are on disk. */
        [SAVING_COMMITTING] = {
                [SAVING_COMMITTED] = TO(SAVING_IDLE, SAVING_LAND),
                [SAVING_COMMIT_FAILED] = FAILS_OR_RETRIES,
        },
};

enum saving_act save_next(enum saving_state *state, enum saving_event event, int may_retry)
{
        const struct row *row = &table[*state][event];

        if (!row->known)
                return SAVING_NOTHING;
        *state = may_retry ? row->retry_state : row->state;
        return may_retry ? row->retry_act : row->act;
}

static void forget_ranks(struct save *s)
{
        if (s->sealed != NULL)
                memset(s->sealed, 0, 2 * (size_t)s->ranks);
        s->sealed_count = s->unchanged_count = s->taken_count = s->free_count = 0;
        s->taken_ns = 0;
        s->taken_step = -1;
        s->step = -1;
        s->bytes = 0;
        s->delay_ns = s->copy_ns = s->hash_ns = s->write_ns = 0;
        s->drag_ns = -1;
        s->window_bytes = 0;
        s->blocked_ns = 0;
}

static enum saving_act move_on(struct save *s, enum saving_event event, int may_retry)
{
        enum saving_act act = save_next(&s->state, event, may_retry);

        if (act == SAVING_CLEAR && event != SAVING_START_DIRTY) {
                s->attempt++;
                forget_ranks(s);
        }
        if (act == SAVING_FAIL)
                s->dirty = 1;
        s->unasked_ns = 0;
        return act;
}

static enum saving_act move(struct save *s, enum saving_event event, int retry)
{
        return move_on(s, event, retry && save_must_land(s->reason) && s->attempt < SAVING_ATTEMPTS);
}

/* ---- wishes ---------------------------------------------------------------------------------------------------- */

static int is_planned(enum save_reason reason)
{
        return reason == SAVE_INTERVAL || reason == SAVE_CALIBRATE;
}

static int asked_by_program(enum save_reason reason)
{
        return reason == SAVE_PROGRAM || reason == SAVE_BEST || reason == SAVE_COMPLETE;
}

/*
 * All ranks of a program may ask for the same save, one after the other: the first begins it, the others are part of
 * it.  A rank that asks at a later step may have had its snapshot taken for this one already, and means another.
 */
static int is_same_wish(const struct save *s, enum save_reason reason, int64_t step)
{
        return asked_by_program(reason) && s->reason == reason && step >= 0 && step <= s->wish_step;
}

int save_joins(const struct save *s, enum save_reason reason, int64_t step)
{
        return save_in_flight(s) && (save_is_final(s->reason) || is_same_wish(s, reason, step));
}

enum saving_wish save_wish(struct save *s, enum save_reason reason, int64_t step, int64_t now_ns)
{
        if (!save_in_flight(s) && s->pending == SAVE_NONE) {
                if (is_planned(reason) && s->finished_ns > 0 && now_ns - s->finished_ns < s->too_soon_ns)
                        return SAVING_DROPPED;
                return SAVING_BEGINS;
        }
        if (is_planned(reason))
                return SAVING_DROPPED;
        if (save_joins(s, reason, step))
                return SAVING_JOINS;
        if (s->pending == SAVE_NONE)
                s->pending_ns = now_ns;
        if (s->pending == SAVE_NONE || step > s->pending_step)
                s->pending_step = step;
        if (s->pending != SAVE_NONE && (int)s->pending >= (int)reason)
                return SAVING_JOINS;
        s->pending = reason;
        return SAVING_WAITS;
}

enum save_reason save_take_next(struct save *s, int64_t *step)
{
        enum save_reason reason = s->pending;

        *step = s->pending_step;
        s->pending = SAVE_NONE;
        return reason;
}

enum save_reason save_take_pending(struct save *s, int64_t *step)
{
        return save_in_flight(s) ? SAVE_NONE : save_take_next(s, step);
}

/* ---- its life -------------------------------------------------------------------------------------------------- */

int save_begin(struct save *s, enum save_reason reason, int64_t step, uint32_t ranks, int64_t now_ns,
               enum saving_act *act, struct stint_error *err)
{
        unsigned char *sealed = calloc(ranks > 0 ? ranks : 1, 2);

        if (sealed == NULL)
                return error_system(err, ENOMEM, "a save of %u ranks", ranks);
        free(s->sealed);
        s->sealed = sealed;
        s->taken = sealed + ranks;
        s->wish_step = step;
        s->ranks = ranks;
        s->held_ns = s->wait_ns = 0;
        s->id++;
        s->attempt = 1;
        s->reason = reason;
        s->asked_ns = now_ns;
        s->last_seal_ns = 0;
        s->text[0] = '\0';
        forget_ranks(s);
        *act = move(s, s->dirty ? SAVING_START_DIRTY : SAVING_START, 0);
        return 0;
}

static int is_of_this_save(const struct save *s, uint32_t id, uint32_t attempt, int32_t rank)
{
        if (s->state != SAVING_WANTED && s->state != SAVING_SEALING)
                return 0;
        return id == s->id && attempt == s->attempt && rank >= 0 && (uint32_t)rank < s->ranks && !s->sealed[rank];
}

static void take_highest(int64_t *value, int64_t other)
{
        if (other > *value)
                *value = other;
}

void save_taken(struct save *s, const struct wire_agent_taken *m, int64_t now_ns)
{
        unsigned char now;

        if (!is_of_this_save(s, m->save_id, m->attempt, m->rank))
                return;
        now = m->free_images > 0 ? 2 : 1;
        s->taken_count += s->taken[m->rank] == 0;
        s->free_count += (now == 2) - (s->taken[m->rank] == 2);
        s->taken[m->rank] = now;
        s->taken_ns = s->taken_count == s->ranks && s->taken_ns == 0 ? now_ns : s->taken_ns;
        s->taken_step = m->checkpoint_step;
        take_highest(&s->wait_ns, m->wait_ns);
}

enum saving_act save_sealed(struct save *s, const struct wire_agent_sealed *m, int64_t now_ns)
{
        char text[WIRE_TEXT];

        if (!is_of_this_save(s, m->save_id, m->attempt, m->rank))
                return SAVING_NOTHING;
        if (m->ranks != s->ranks || (s->sealed_count > 0 && m->checkpoint_step != s->step)) {
                snprintf(text, sizeof text, "rank %d sealed step %lld of %u ranks, others step %lld of %u", m->rank,
                         (long long)m->checkpoint_step, m->ranks, (long long)s->step, s->ranks);
                return save_broken(s, text, 1);
        }
        s->sealed[m->rank] = 1;
        s->sealed_count++;
        s->unchanged_count += (m->flags & SNAPSHOT_UNCHANGED) != 0;
        s->step = m->checkpoint_step;
        s->bytes += m->file_bytes;
        s->last_seal_ns = now_ns;
        take_highest(&s->delay_ns, m->delay_ns);
        take_highest(&s->copy_ns, m->copy_ns);
        take_highest(&s->hash_ns, m->hash_ns);
        take_highest(&s->drag_ns, m->drag_ns);
        take_highest(&s->write_ns, m->write_ns);
        take_highest(&s->blocked_ns, m->blocked_ns);
        if (m->window_bytes > s->window_bytes)
                s->window_bytes = m->window_bytes;
        return move(s, s->sealed_count == s->ranks ? SAVING_ALL_SEALED : SAVING_RANK_SEALED, 0);
}

enum saving_act save_failed(struct save *s, const struct wire_agent_save_failed *m)
{
        char text[WIRE_TEXT + 32];

        if (!is_of_this_save(s, m->save_id, m->attempt, m->rank))
                return SAVING_NOTHING;
        s->failed_step = m->checkpoint_step;
        if (s->ranks == 1)
                snprintf(text, sizeof text, "%s", m->text);
        else
                snprintf(text, sizeof text, "rank %d: %s", m->rank, m->text);
        return save_broken(s, text, 1);
}

/* What is in staging the agent writes without the process, and says itself when it cannot. */
enum saving_act save_rank_gone(struct save *s, uint32_t rank)
{
        char text[WIRE_TEXT];

        if (!save_in_flight(s) || s->state == SAVING_COMMITTING || rank >= s->ranks || s->sealed[rank] ||
            s->taken[rank])
                return SAVING_NOTHING;
        /* What failed the first attempt says more than that nobody is there for the second. */
        if (s->attempt > 1 && s->text[0] != '\0')
                wire_text(text, sizeof text, s->text);
        else
                snprintf(text, sizeof text, "rank %u of %u went away during the save", rank, s->ranks);
        return save_broken(s, text, 0);
}

enum saving_act save_broken(struct save *s, const char *text, int retry)
{
        if (!save_in_flight(s) || s->state == SAVING_COMMITTING)
                return SAVING_NOTHING;
        wire_text(s->text, sizeof s->text, text);
        return move(s, SAVING_BROKEN, retry);
}

enum saving_act save_agent_lost(struct save *s, const char *text)
{
        if ((s->state != SAVING_WANTED && s->state != SAVING_SEALING) || s->unasked_ns != 0)
                return SAVING_NOTHING; /* what is asked next is asked of everybody */
        wire_text(s->text, sizeof s->text, text);
        return move_on(s, SAVING_BROKEN, 1);
}

enum saving_act save_cleared(struct save *s)
{
        s->dirty = 0;
        return move(s, SAVING_CLEARED, 0);
}

enum saving_act save_committed(struct save *s, int failed, const char *text)
{
        if (!failed)
                return move(s, SAVING_COMMITTED, 0);
        wire_text(s->text, sizeof s->text, text);
        return move(s, SAVING_COMMIT_FAILED, 1);
}

/* ---- two saves ------------------------------------------------------------------------------------------------- */

int save_may_follow(const struct save *s, const struct save *behind)
{
        if (s->state != SAVING_WANTED && s->state != SAVING_SEALING && s->state != SAVING_COMMITTING)
                return 0;
        return s->taken_count == s->ranks && s->free_count == s->ranks && !save_must_land(s->reason) && !s->dirty &&
               !save_is_behind(behind);
}

enum saving_act save_promote(struct save *s, struct save *behind)
{
        const struct save over = *s;
        enum saving_act owed = behind->owed;

        free(s->sealed);
        *s = *behind;
        s->owed = SAVING_NOTHING;
        s->pending = over.pending;
        s->pending_step = over.pending_step;
        s->pending_ns = over.pending_ns;
        s->finished_ns = over.finished_ns;
        s->too_soon_ns = over.too_soon_ns;
        s->dirty |= over.dirty;
        if (s->failed_step == 0)
                s->failed_step = over.failed_step;
        memset(behind, 0, sizeof *behind);
        return owed;
}

enum saving_act save_start_over(struct save *s)
{
        if (s->state != SAVING_WANTED || s->taken_count > 0)
                return SAVING_NOTHING;
        return move_on(s, SAVING_BROKEN, 1);
}

int save_gives_way(const struct save *s, const struct deadline_measured *cost, int64_t left_ns, int64_t margin_ns,
                   int64_t now_ns)
{
        const int64_t so_far_ns = s->taken_ns > 0 ? now_ns - s->taken_ns : 0;
        int64_t write_ns = 0, others_ns = 0; /* nothing is known but what this one has cost so far */

        if (!save_in_flight(s) || s->state == SAVING_COMMITTING || save_must_land(s->reason) || left_ns == CLOCK_NEVER)
                return 0;
        if (cost->saves > 0) {
                write_ns = cost->write_ns;
                others_ns = cost->snapshot_ns + 2 * cost->commit_ns;
        }
        /* Slower than ever before: by as much again, for all that is known, and the next one takes as long. */
        if (so_far_ns > write_ns)
                return so_far_ns - write_ns + so_far_ns + others_ns > left_ns - margin_ns / 2;
        return write_ns - so_far_ns + write_ns + others_ns > left_ns - margin_ns / 2;
}

void save_fini(struct save *s)
{
        free(s->sealed);
        s->sealed = NULL;
}

const char *saving_state_name(enum saving_state state)
{
        static const char *const names[SAVING_STATES] = {
                [SAVING_IDLE] = "idle",     [SAVING_CLEARING] = "clearing", [SAVING_DOOMED] = "doomed",
                [SAVING_WANTED] = "wanted", [SAVING_SEALING] = "sealing",   [SAVING_COMMITTING] = "committing",
        };

        return names[state];
}
