/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_saving: the save from the side of `stint run`: a wish becomes messages to the agents, their seals a commit in the
 * work queue (run_saving_jobs.c), and its result is told to everybody who waits (run_saved.c).  run_save.c decides;
 * this room does.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "duration.h"
#include "log.h"
#include "run_loop.h"
#include "run_measured.h"
#include "run_saved.h"
#include "run_saving.h"
#include "run_saving_jobs.h"
#include "run_settle.h"
#include "run_story.h"

#define AGENT_BACK (15 * CLOCK_SECOND) /* for ranks to find an agent that died and came back; libstint tries for 10 s */

static void act_behind(struct run *r, enum saving_act act);
static void begin_pending(struct run *r);
static void give_way(struct run *r);

/* ---- beginning ------------------------------------------------------------------------------------------------- */

static void say_begin(struct run *r, const struct save *s)
{
        char left[32], until[48] = "", where[48] = "";
        int64_t left_ns = run_deadline_left(&r->deadline), step = ranks_step(&r->ranks);

        if (!save_is_final(s->reason))
                return;
        if (left_ns < 0)
                left_ns = 0;
        if (left_ns != CLOCK_NEVER)
                snprintf(until, sizeof until, ", %s left", duration_format(left, sizeof left, left_ns));
        if (step > 0)
                snprintf(where, sizeof where, " after step %" PRId64, step);
        log_notice("stint %u: saving%s (%s%s)", r->stint, where, save_reason_name(s->reason), until);
}

/* Why a save cannot be begun now; 0: it can. */
static int cannot_begin(struct run *r, char *text, size_t size)
{
        char who[200];

        if (r->ending.lease_lost) {
                snprintf(text, size, "the lease is lost");
                return 1;
        }
        if (!r->ranks.ever) {
                snprintf(text, size, "no program has opened this run yet: there is nothing to save");
                return 1;
        }
        if (!ranks_missing(&r->ranks, who, sizeof who))
                return 0;
        snprintf(text, size, "%s", who);
        return 1;
}

/* Begins it as that save, the one in flight or the one behind it. */
static void begin(struct run *r, struct save *s, enum save_reason reason, int32_t rank, int64_t step)
{
        char text[WIRE_TEXT];
        enum saving_act act;
        struct stint_error err;

        if (cannot_begin(r, text, sizeof text)) {
                /* An agent that died comes back, and its programs to it: what must land waits for them. */
                if (save_must_land(reason) && r->ranks.ever && !r->ending.lease_lost &&
                    (agents_any_restarting(&r->agents) || r->ranks.cut_off)) {
                        r->wanted_final = reason;
                        r->wanted_ns = clock_now();
                } else {
                        saved_refuse(r, reason, rank, text);
                }
                return;
        }
        r->wanted_final = SAVE_NONE;
        if (s == &r->behind)
                s->id = r->save.id;
        if (save_begin(s, reason, step, r->ranks.n, clock_now(), &act, &err) != 0) {
                saved_refuse(r, reason, rank, err.text);
                return;
        }
        say_begin(r, s);
        if (s == &r->behind)
                act_behind(r, act);
        else
                saving_do(r, act);
}

void saving_want(struct run *r, enum save_reason reason, int32_t rank, int64_t step)
{
        if (r->over || r->ending.stop != SAVE_NONE) {
                saved_tell(r, 0, rank, 0, ranks_step(&r->ranks), 0, 0, "this stint is ending");
                if (r->ending.stop != SAVE_NONE && rank < 0 && reason == SAVE_USER)
                        listen_answer(&r->listen, 0, 0, r->landed_step, 0, 0,
                                      "the stint is ending; its final save has landed");
                return;
        }
        if (save_joins(&r->behind, reason, step))
                return;
        switch (save_wish(&r->save, reason, step, clock_now())) {
        case SAVING_BEGINS:
                begin(r, &r->save, reason, rank, step);
                break;
        case SAVING_DROPPED:
        case SAVING_JOINS:
                break;
        case SAVING_WAITS:
                begin_pending(r);
                give_way(r);
                break;
        }
}

/* The program took part in a save at that very step or later: its wish is granted. */
static int is_granted(const struct run *r, int64_t step)
{
        const int64_t flying_step = save_in_flight(&r->save) ? r->save.taken_step : -1;

        return step >= 0 && (r->landed_step >= step || flying_step >= step);
}

/* What waits begins when nothing is in flight; or behind what is, when every rank can take another snapshot. */
static void begin_pending(struct run *r)
{
        struct save *s = save_in_flight(&r->save) ? &r->behind : &r->save;
        int64_t step = -1, held_ns = clock_now() - r->save.pending_ns;
        enum save_reason reason;

        if (s == &r->behind && !save_may_follow(&r->save, s))
                return;
        reason = save_take_next(&r->save, &step);
        if (reason == SAVE_NONE || r->over || r->ending.stop != SAVE_NONE ||
            (reason == SAVE_BEST && is_granted(r, step)))
                return;
        begin(r, s, reason, -1, step);
        if (save_in_flight(s))
                s->held_ns = held_ns;
}

/* A final save that waits for the write before it goes first when there is no time for both. */
static void give_way(struct run *r)
{
        const struct deadline_measured cost = measured_costs(&r->measured);
        const int waits = save_is_final(r->save.pending) ||
                          (save_is_behind(&r->behind) && save_is_final(r->behind.reason));

        if (waits &&
            save_gives_way(&r->save, &cost, run_deadline_left(&r->deadline), r->o->margin_ns, clock_now()))
                saving_do(r, save_broken(&r->save, "given up: the time left is not enough for it and the final save",
                                         0));
}

/* Some are cut off and will be back: what is asked of the others meanwhile would not be heard by all. */
static int must_wait(const struct run *r, struct save *s)
{
        if (r->ranks.present == r->ranks.n || !save_must_land(s->reason))
                return 0;
        if (s->unasked_ns == 0)
                s->unasked_ns = clock_now();
        return 1;
}

static void ask(struct run *r, struct save *s)
{
        struct wire_run_save m = { .save_id = s->id, .attempt = s->attempt, .reason = s->reason };

        if (must_wait(r, s))
                return;
        s->unasked_ns = 0;
        WIRE_INIT(&m, WIRE_RUN_SAVE);
        m.lineage = r->lineage;
        agents_send_all(&r->agents, &m, sizeof m);
}

/* ---- what was decided is done ---------------------------------------------------------------------------------- */

/*
 * The save in flight is over: the one behind it takes its place.  What a failed one has left is in the way of a snapshot
 * of the same step, so it goes first when there is none yet.
 */
static void follow(struct run *r, int failed)
{
        if (!save_is_behind(&r->behind))
                return;
        saving_do(r, save_promote(&r->save, &r->behind));
        if (failed && save_in_flight(&r->save))
                saving_do(r, save_start_over(&r->save));
}

void saving_do(struct run *r, enum saving_act act)
{
        switch (act) {
        case SAVING_NOTHING:
                break;
        case SAVING_CLEAR:
                saving_job_clear(r);
                break;
        case SAVING_ASK:
                ask(r, &r->save);
                break;
        case SAVING_COMMIT:
                saving_job_commit(r);
                break;
        case SAVING_FAIL:
                saved_failed(r);
                follow(r, 1);
                begin_pending(r);
                saving_rank_came(r); /* it may be for this one that a final save waits */
                loop_look_for_end(r);
                break;
        case SAVING_LAND:
                if (r->ending.stop != SAVE_NONE)
                        loop_await_stop(r);
                follow(r, 0);
                begin_pending(r);
                saving_rank_came(r);
                loop_look_for_end(r);
                break;
        }
}

/* Of the save behind another: only the asking cannot wait until that one is over. */
static void act_behind(struct run *r, enum saving_act act)
{
        if (act == SAVING_ASK)
                ask(r, &r->behind);
        else if (act != SAVING_NOTHING)
                r->behind.owed = act;
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static int is_behind(const struct run *r, uint32_t save_id)
{
        return save_in_flight(&r->behind) && save_id == r->behind.id;
}

void saving_taken(struct run *r, const struct wire_agent_taken *m)
{
        save_taken(is_behind(r, m->save_id) ? &r->behind : &r->save, m, clock_now());
        begin_pending(r);
}

void saving_sealed(struct run *r, const struct wire_agent_sealed *m)
{
        if (is_behind(r, m->save_id))
                act_behind(r, save_sealed(&r->behind, m, clock_now()));
        else
                saving_do(r, save_sealed(&r->save, m, clock_now()));
}

void saving_failed(struct run *r, const struct wire_agent_save_failed *m)
{
        if (is_behind(r, m->save_id))
                act_behind(r, save_failed(&r->behind, m));
        else
                saving_do(r, save_failed(&r->save, m));
}

void saving_rank_came(struct run *r)
{
        enum save_reason reason = r->wanted_final;

        if (r->save.unasked_ns != 0 && r->ranks.present == r->ranks.n)
                ask(r, &r->save);
        if (reason == SAVE_NONE || save_in_flight(&r->save) || r->ranks.present < r->ranks.n)
                return;
        r->wanted_final = SAVE_NONE;
        begin(r, &r->save, reason, -1, -1);
}

void saving_agent_came(struct run *r, unsigned agent)
{
        struct wire_run_result m = {.save_id = r->save.id - (save_in_flight(&r->save) ? 1 : 0), .step = -1, .rank = -1};

        if (m.save_id == 0)
                return;
        WIRE_INIT(&m, WIRE_RUN_RESULT);
        wire_text(m.text, sizeof m.text, "that save was over when this agent began");
        agents_send(&r->agents, agent, &m, sizeof m);
}

void saving_rank_gone(struct run *r, uint32_t rank)
{
        act_behind(r, save_rank_gone(&r->behind, rank));
        saving_do(r, save_rank_gone(&r->save, rank));
}

/* Both are lost: what must land is asked for anew when everybody is back. */
static void lose_both(struct run *r, int restarting)
{
        const enum save_reason reason = r->behind.reason;

        if (!save_is_behind(&r->behind))
                return;
        act_behind(r, save_broken(&r->behind, "the agent died during the save", 0));
        saving_do(r, save_broken(&r->save, "the agent died during the save", 0));
        if (restarting && save_must_land(reason)) {
                r->wanted_final = reason;
                r->wanted_ns = clock_now();
        }
}

/*
 * The programs of an agent that comes back come back to it too, and have their state still: a final save is asked
 * again.
 */
void saving_agent_lost(struct run *r, int restarting)
{
        enum save_reason reason;
        int again;

        lose_both(r, restarting);
        reason = r->save.reason;
        again = restarting && save_in_flight(&r->save) && r->save.state != SAVING_COMMITTING &&
                save_must_land(reason);

        if (again && r->ranks.present > 0) { /* on other nodes */
                saving_do(r, save_agent_lost(&r->save, "an agent died during the save"));
                return;
        }
        saving_do(r, save_broken(&r->save, "the agent died during the save", 0));
        if (again) {
                r->wanted_final = reason;
                r->wanted_ns = clock_now();
        }
        if (!restarting && r->wanted_final != SAVE_NONE) {
                reason = r->wanted_final;
                r->wanted_final = SAVE_NONE;
                saved_refuse(r, reason, -1, "the agent died and could not be started again");
        }
}

void saving_give_up(struct run *r, const char *text)
{
        act_behind(r, save_broken(&r->behind, text, 0));
        saving_do(r, save_broken(&r->save, text, 0));
}

void saving_settle_own(struct run *r)
{
        struct commit c = story_commit(r);
        struct stint_error err;

        if (r->ending.lease_lost || !r->has_lease)
                return;
        c.events = json_array();
        if (settle_own(&c, &err) != 0) {
                if (err.code == ESTALE)
                        r->ending.lease_lost = 1;
                log_warning("stint %u: what the last save left: %s", r->stint, err.text);
        }
        story_note_all(r, c.events);
}

/*
 * The ranks of a lost agent did not come back: those of others, who wait for this save, are let go.  A final one is
 * still wanted when they do.
 */
void saving_tick(struct run *r)
{
        const enum save_reason reason = r->save.reason;
        const int64_t now_ns = clock_now();

        give_way(r);
        if (r->save.unasked_ns != 0 && now_ns - r->save.unasked_ns > AGENT_BACK) {
                saving_do(r, save_broken(&r->save, "an agent died, and its ranks did not come back in time", 0));
                if (save_is_final(reason))
                        r->wanted_final = reason;
        }
        if (r->wanted_final == SAVE_COMPLETE && now_ns - r->wanted_ns > AGENT_BACK) {
                r->wanted_final = SAVE_NONE;
                saved_refuse(r, SAVE_COMPLETE, -1, "an agent died, and its ranks did not come back in time");
        }
}
