/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_saving: the save from the side of `stint run`: a wish becomes messages to the agents, their seals a commit in the
 * work queue, and its result a line in the journal, a message to everybody who waits, and what was learned.  run_save.c
 * decides; this room does.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "log.h"
#include "run_loop.h"
#include "run_measured.h"
#include "run_prune.h"
#include "run_saving.h"
#include "run_settle.h"
#include "run_story.h"

#define WORTH_SAYING (CLOCK_SECOND / 2) /* a wait that a verdict tells of */
#define AGENT_BACK (15 * CLOCK_SECOND) /* for ranks to find an agent that died and came back; libstint tries for 10 s */

static void act_on(struct run *r, enum saving_act act);
static void act_behind(struct run *r, enum saving_act act);
static void begin_pending(struct run *r);
static void give_way(struct run *r);

/* One commit, or one tidying up, in the thread. */
struct saving_job {
        struct run *run;
        struct commit commit;
        int64_t step;
        uint32_t ranks;
        int unchanged;
        int64_t began_ns;
        struct manifest manifest;
        struct seal_metric best;
        struct measured measured;
        struct stint_error problem;
};

static struct saving_job *new_job(struct run *r)
{
        struct saving_job *job = calloc(1, sizeof *job);

        if (job == NULL)
                return NULL;
        job->run = r;
        job->commit = story_commit(r);
        job->commit.events = json_array();
        job->step = r->save.step;
        job->ranks = r->save.ranks;
        job->began_ns = clock_now();
        return job;
}

static void free_job(struct saving_job *job)
{
        story_note_all(job->run, job->commit.events);
        manifest_fini(&job->manifest);
        free(job);
}

/* Queues it; without memory the problem is told to `done` as if the work had failed. */
static void start_job(struct saving_job *job, void (*does)(void *arg), void (*done)(void *arg))
{
        if (work_add(&job->run->work, does, done, job, &job->problem) != 0)
                done(job);
}

/* ---- telling what became of it --------------------------------------------------------------------------------- */

static double seconds(int64_t ns)
{
        return (double)ns / (double)CLOCK_SECOND;
}

static void tell_agents(struct run *r, uint32_t save_id, int32_t rank, int landed, int64_t step, uint64_t bytes,
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

/* A save that cannot even be begun is a save that did not land, and gets its verdict too. */
static void refuse(struct run *r, enum save_reason reason, int32_t rank, const char *text)
{
        snprintf(r->last_save, sizeof r->last_save, "NOT saved: %.460s", text);
        if (save_is_final(reason))
                snprintf(r->not_saved, sizeof r->not_saved, "%.460s", text);
        log_warning("stint %u: NOT saved: %s (%s)", r->stint, text, save_reason_name(reason));
        story_note(r, "save",
                   json_pack("{s:I, s:s, s:I, s:b, s:s}", "id", (json_int_t)0, "reason", save_reason_name(reason),
                             "step", (json_int_t)ranks_step(&r->ranks), "landed", 0, "text", text));
        tell_agents(r, 0, rank, 0, ranks_step(&r->ranks), 0, 0, text);
        listen_answer(&r->listen, 0, ECANCELED, ranks_step(&r->ranks), 0, 0, text);
}

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
                        refuse(r, reason, rank, text);
                }
                return;
        }
        r->wanted_final = SAVE_NONE;
        if (s == &r->behind)
                s->id = r->save.id;
        if (save_begin(s, reason, step, r->ranks.n, clock_now(), &act, &err) != 0) {
                refuse(r, reason, rank, err.text);
                return;
        }
        say_begin(r, s);
        if (s == &r->behind)
                act_behind(r, act);
        else
                act_on(r, act);
}

void saving_want(struct run *r, enum save_reason reason, int32_t rank, int64_t step)
{
        if (r->over || r->ending.stop != SAVE_NONE) {
                tell_agents(r, 0, rank, 0, ranks_step(&r->ranks), 0, 0, "this stint is ending");
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
                act_on(r, save_broken(&r->save, "given up: the time left is not enough for it and the final save", 0));
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

/* ---- leftovers of a save that failed --------------------------------------------------------------------------- */

static void clear(void *arg)
{
        struct saving_job *job = arg;

        if (job->problem.code == 0)
                settle_own(&job->commit, &job->problem);
}

static void on_cleared(void *arg)
{
        struct saving_job *job = arg;
        struct run *r = job->run;
        struct stint_error problem = job->problem;

        free_job(job);
        if (problem.code == ESTALE)
                story_lease_lost(r, &problem);
        else if (problem.code != 0)
                log_warning("stint %u: what a failed save left could not be removed: %s", r->stint, problem.text);
        act_on(r, save_cleared(&r->save));
}

/* ---- the commit ------------------------------------------------------------------------------------------------ */

static void commit(void *arg)
{
        struct saving_job *job = arg;

        if (job->problem.code != 0)
                return;
        if (job->unchanged)
                commit_find(&job->commit, job->step, &job->manifest, &job->problem);
        else
                commit_part(&job->commit, job->step, job->ranks, &job->manifest, &job->problem);
}

static void on_tidied(void *arg)
{
        struct saving_job *job = arg;
        struct run *r = job->run;
        int better = memcmp(&job->best, &r->best, sizeof r->best) != 0;

        if (job->problem.code == ESTALE)
                story_lease_lost(r, &job->problem);
        else if (job->problem.code != 0)
                log_warning("stint %u: after the save: %s", r->stint, job->problem.text);
        r->best = job->best;
        free_job(job);
        if (better)
                story_tell_best(r, AGENTS_ALL);
        loop_look_for_end(r);
}

/* What nobody waits for: best, pruning, what was measured. */
static void tidy(void *arg)
{
        struct saving_job *job = arg;
        struct stint_error ignored;

        if (job->problem.code != 0)
                return;
        measured_write(&job->measured, job->commit.run_dir, &ignored);
        if (commit_best(&job->commit, NULL, &job->best, &job->problem) == 0)
                prune_old(&job->commit, &job->problem);
}

static void start_tidying(struct run *r)
{
        struct saving_job *job = new_job(r);

        if (job == NULL)
                return;
        job->measured = r->measured;
        start_job(job, tidy, on_tidied);
}

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

static void landed(struct run *r, const struct saving_job *job, int64_t now)
{
        struct save *s = &r->save;
        int64_t took_ns = now - s->asked_ns, commit_ns = now - s->last_seal_ns;
        int64_t left_ns = save_is_final(s->reason) ? run_deadline_left(&r->deadline) : CLOCK_NEVER;
        uint64_t bytes = manifest_bytes(&job->manifest);

        s->finished_ns = now;
        r->landed_step = job->manifest.step;
        verdict_saved(r->last_save, sizeof r->last_save, job->manifest.step, bytes, took_ns, left_ns);
        verdict_streamed(r->last_save, sizeof r->last_save, s->window_bytes, s->copy_ns, s->blocked_ns);
        say_wait(r->last_save, sizeof r->last_save, s->held_ns + s->wait_ns);
        r->not_saved[0] = '\0';
        note_save(r, 1, job->manifest.step, bytes, took_ns, commit_ns, "");
        if (save_is_final(s->reason))
                r->ending.stop = s->reason;
        tell_agents(r, s->id, -1, 1, job->manifest.step, bytes, took_ns, "");
        log_notice("stint %u: %s%s%s%s", r->stint, r->last_save, save_is_final(s->reason) ? "" : " (",
                   save_is_final(s->reason) ? "" : save_reason_name(s->reason), save_is_final(s->reason) ? "" : ")");
        listen_answer(&r->listen, s->id, 0, job->manifest.step, bytes, took_ns, "");
        if (!job->unchanged) {
                measured_learn(&r->measured, s, step_p99(r), commit_ns);
                story_tell_measured(r, AGENTS_ALL);
        }
}

static void on_committed(void *arg)
{
        struct saving_job *job = arg;
        struct run *r = job->run;
        struct stint_error problem = job->problem;
        enum saving_act act;

        if (problem.code == ESTALE)
                story_lease_lost(r, &problem);
        act = save_committed(&r->save, problem.code != 0, problem.text);
        if (act == SAVING_LAND) {
                landed(r, job, clock_now());
                if (!job->unchanged)
                        start_tidying(r);
        }
        free_job(job);
        act_on(r, act);
}

static void start_commit(struct run *r)
{
        struct saving_job *job = new_job(r);

        if (job == NULL) {
                act_on(r, save_committed(&r->save, 1, "no memory for the commit"));
                return;
        }
        job->unchanged = r->save.unchanged_count == r->save.ranks;
        start_job(job, commit, on_committed);
}

/* ---- what was decided is done ---------------------------------------------------------------------------------- */

/* Its program was complete before it came to another safe point: there was nothing left to save, and nobody to tell. */
static int is_moot(const struct run *r)
{
        const enum save_reason reason = r->save.reason;

        return r->complete_step >= 0 && (reason == SAVE_INTERVAL || reason == SAVE_CALIBRATE);
}

static void fail(struct run *r)
{
        struct save *s = &r->save;
        int64_t now = clock_now();

        s->finished_ns = now;
        if (is_moot(r)) {
                tell_agents(r, s->id, -1, 0, s->step, 0, now - s->asked_ns, s->text);
                return;
        }
        snprintf(r->last_save, sizeof r->last_save, "NOT saved: %.460s", s->text);
        if (save_is_final(s->reason))
                snprintf(r->not_saved, sizeof r->not_saved, "%.460s", s->text);
        note_save(r, 0, s->step >= 0 ? s->step : ranks_step(&r->ranks), 0, now - s->asked_ns, 0, s->text);
        tell_agents(r, s->id, -1, 0, s->step, 0, now - s->asked_ns, s->text);
        log_warning("stint %u: NOT saved: %s (%s)%s", r->stint, s->text, save_reason_name(s->reason),
                    r->child.running ? "; training goes on" : "");
        listen_answer(&r->listen, s->id, EIO, s->step, 0, now - s->asked_ns, s->text);
}

static void start_clearing(struct run *r)
{
        struct saving_job *job = new_job(r);

        if (r->save.attempt > 1)
                log_warning("stint %u: attempt %u to save, because: %s", r->stint, r->save.attempt, r->save.text);
        if (job == NULL)
                act_on(r, save_cleared(&r->save));
        else
                start_job(job, clear, on_cleared);
}

/*
 * The save in flight is over: the one behind it takes its place.  What a failed one has left is in the way of a snapshot
 * of the same step, so it goes first when there is none yet.
 */
static void follow(struct run *r, int failed)
{
        if (!save_is_behind(&r->behind))
                return;
        act_on(r, save_promote(&r->save, &r->behind));
        if (failed && save_in_flight(&r->save))
                act_on(r, save_start_over(&r->save));
}

static void act_on(struct run *r, enum saving_act act)
{
        switch (act) {
        case SAVING_NOTHING:
                break;
        case SAVING_CLEAR:
                start_clearing(r);
                break;
        case SAVING_ASK:
                ask(r, &r->save);
                break;
        case SAVING_COMMIT:
                start_commit(r);
                break;
        case SAVING_FAIL:
                fail(r);
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
                act_on(r, save_sealed(&r->save, m, clock_now()));
}

void saving_failed(struct run *r, const struct wire_agent_save_failed *m)
{
        if (is_behind(r, m->save_id))
                act_behind(r, save_failed(&r->behind, m));
        else
                act_on(r, save_failed(&r->save, m));
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
        act_on(r, save_rank_gone(&r->save, rank));
}

/* Both are lost: what must land is asked for anew when everybody is back. */
static void lose_both(struct run *r, int restarting)
{
        const enum save_reason reason = r->behind.reason;

        if (!save_is_behind(&r->behind))
                return;
        act_behind(r, save_broken(&r->behind, "the agent died during the save", 0));
        act_on(r, save_broken(&r->save, "the agent died during the save", 0));
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
                act_on(r, save_agent_lost(&r->save, "an agent died during the save"));
                return;
        }
        act_on(r, save_broken(&r->save, "the agent died during the save", 0));
        if (again) {
                r->wanted_final = reason;
                r->wanted_ns = clock_now();
        }
        if (!restarting && r->wanted_final != SAVE_NONE) {
                reason = r->wanted_final;
                r->wanted_final = SAVE_NONE;
                refuse(r, reason, -1, "the agent died and could not be started again");
        }
}

void saving_give_up(struct run *r, const char *text)
{
        act_behind(r, save_broken(&r->behind, text, 0));
        act_on(r, save_broken(&r->save, text, 0));
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
                act_on(r, save_broken(&r->save, "an agent died, and its ranks did not come back in time", 0));
                if (save_is_final(reason))
                        r->wanted_final = reason;
        }
        if (r->wanted_final == SAVE_COMPLETE && now_ns - r->wanted_ns > AGENT_BACK) {
                r->wanted_final = SAVE_NONE;
                refuse(r, SAVE_COMPLETE, -1, "an agent died, and its ranks did not come back in time");
        }
}
