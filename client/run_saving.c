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
#include "run_saving.h"
#include "run_story.h"

#define AGENT_BACK (15 * CLOCK_SECOND) /* for ranks to find an agent that died and came back; libstint tries for 10 s */

static void act_on(struct run *r, enum saving_act act);
static void begin_pending(struct run *r);

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
        json_t *line = json_pack("{s:I, s:s, s:I, s:b, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:b, s:s}", "id",
                                 (json_int_t)s->id, "reason", save_reason_name(s->reason), "step", (json_int_t)step,
                                 "landed", landed, "bytes", (json_int_t)bytes, "took_s", seconds(took_ns), "delay_s",
                                 seconds(s->delay_ns), "copy_s", seconds(s->copy_ns), "hash_s", seconds(s->hash_ns),
                                 "write_s", seconds(s->write_ns), "commit_s", seconds(commit_ns), "attempt",
                                 (json_int_t)s->attempt, "unchanged", s->ranks > 0 && s->unchanged_count == s->ranks,
                                 "text", text);

        if (line != NULL && s->drag_ns >= 0)
                json_object_set_new(line, "drag_s", json_real(seconds(s->drag_ns)));
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

static void say_begin(struct run *r)
{
        char left[32], until[48] = "", where[48] = "";
        int64_t left_ns = run_deadline_left(&r->deadline), step = ranks_step(&r->ranks);

        if (!save_is_final(r->save.reason))
                return;
        if (left_ns < 0)
                left_ns = 0;
        if (left_ns != CLOCK_NEVER)
                snprintf(until, sizeof until, ", %s left", duration_format(left, sizeof left, left_ns));
        if (step > 0)
                snprintf(where, sizeof where, " after step %" PRId64, step);
        log_notice("stint %u: saving%s (%s%s)", r->stint, where, save_reason_name(r->save.reason), until);
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

static void begin(struct run *r, enum save_reason reason, int32_t rank, int64_t step)
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
        if (save_begin(&r->save, reason, step, r->ranks.n, clock_now(), &act, &err) != 0) {
                refuse(r, reason, rank, err.text);
                return;
        }
        say_begin(r);
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
        switch (save_wish(&r->save, reason, step, clock_now())) {
        case SAVING_BEGINS:
                begin(r, reason, rank, step);
                break;
        case SAVING_DROPPED:
        case SAVING_JOINS:
        case SAVING_WAITS:
                break;
        }
}

static void begin_pending(struct run *r)
{
        int64_t step = -1;
        enum save_reason reason = save_take_pending(&r->save, &step);

        /* The program took part in the save that was in flight, at that very step: its wish is granted. */
        if (reason == SAVE_BEST && step >= 0 && r->landed_step >= step)
                return;
        if (reason != SAVE_NONE && !r->over && r->ending.stop == SAVE_NONE)
                begin(r, reason, -1, step);
}

/* Some are cut off and will be back: what is asked of the others meanwhile would not be heard by all. */
static int must_wait(struct run *r)
{
        if (r->ranks.present == r->ranks.n || !save_must_land(r->save.reason))
                return 0;
        if (r->save.unasked_ns == 0)
                r->save.unasked_ns = clock_now();
        return 1;
}

static void ask(struct run *r)
{
        struct wire_run_save m = { .save_id = r->save.id, .attempt = r->save.attempt, .reason = r->save.reason,
                                   .lineage = r->lineage };

        if (must_wait(r))
                return;
        r->save.unasked_ns = 0;
        WIRE_INIT(&m, WIRE_RUN_SAVE);
        agents_send_all(&r->agents, &m, sizeof m);
}

/* ---- leftovers of a save that failed --------------------------------------------------------------------------- */

static void clear(void *arg)
{
        struct saving_job *job = arg;

        if (job->problem.code == 0)
                commit_settle_own(&job->commit, &job->problem);
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
                commit_prune(&job->commit, &job->problem);
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

static void landed(struct run *r, const struct saving_job *job, int64_t now)
{
        struct save *s = &r->save;
        int64_t took_ns = now - s->asked_ns, commit_ns = now - s->last_seal_ns;
        int64_t left_ns = save_is_final(s->reason) ? run_deadline_left(&r->deadline) : CLOCK_NEVER;
        uint64_t bytes = manifest_bytes(&job->manifest);

        s->finished_ns = now;
        r->landed_step = job->manifest.step;
        verdict_saved(r->last_save, sizeof r->last_save, job->manifest.step, bytes, took_ns, left_ns);
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

static void fail(struct run *r)
{
        struct save *s = &r->save;
        int64_t now = clock_now();

        s->finished_ns = now;
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

static void act_on(struct run *r, enum saving_act act)
{
        switch (act) {
        case SAVING_NOTHING:
                break;
        case SAVING_CLEAR:
                start_clearing(r);
                break;
        case SAVING_ASK:
                ask(r);
                break;
        case SAVING_COMMIT:
                start_commit(r);
                break;
        case SAVING_FAIL:
                fail(r);
                begin_pending(r);
                loop_look_for_end(r);
                break;
        case SAVING_LAND:
                if (r->ending.stop != SAVE_NONE)
                        loop_await_stop(r);
                begin_pending(r);
                loop_look_for_end(r);
                break;
        }
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

void saving_sealed(struct run *r, const struct wire_agent_sealed *m)
{
        act_on(r, save_sealed(&r->save, m, clock_now()));
}

void saving_failed(struct run *r, const struct wire_agent_save_failed *m)
{
        act_on(r, save_failed(&r->save, m));
}

void saving_rank_came(struct run *r)
{
        enum save_reason reason = r->wanted_final;

        if (r->save.unasked_ns != 0 && r->ranks.present == r->ranks.n)
                ask(r);
        if (reason == SAVE_NONE || save_in_flight(&r->save) || r->ranks.present < r->ranks.n)
                return;
        r->wanted_final = SAVE_NONE;
        begin(r, reason, -1, -1);
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
        act_on(r, save_rank_gone(&r->save, rank));
}

/*
 * The programs of an agent that comes back come back to it too, and have their state still: a final save is asked
 * again.
 */
void saving_agent_lost(struct run *r, int restarting)
{
        enum save_reason reason = r->save.reason;
        int again = restarting && save_in_flight(&r->save) && r->save.state != SAVING_COMMITTING &&
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
        act_on(r, save_broken(&r->save, text, 0));
}

void saving_settle_own(struct run *r)
{
        struct commit c = story_commit(r);
        struct stint_error err;

        if (r->ending.lease_lost || !r->has_lease)
                return;
        c.events = json_array();
        if (commit_settle_own(&c, &err) != 0) {
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
