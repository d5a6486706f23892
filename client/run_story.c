/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_story: one stint from its first line to its last.  run_stint() at the end of this file is the story; what is
 * above it are its steps, in the order in which they happen.  cmd_run.c calls in.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "duration.h"
#include "log.h"
#include "process_tree.h"
#include "run_attend.h"
#include "run_begin.h"
#include "run_events.h"
#include "run_loop.h"
#include "run_measured.h"
#include "run_prune.h"
#include "run_requeue.h"
#include "run_saving.h"
#include "run_stopped.h"
#include "run_story.h"

#define REQUEUE_WAIT (15 * 60 * CLOCK_SECOND) /* for a controller that is away or slow */

/* ---- what every room needs ------------------------------------------------------------------------------------- */

void story_note(struct run *r, const char *event, json_t *fields)
{
        struct stint_error err;

        if (!r->has_journal || r->ending.lease_lost) {
                json_decref(fields);
                return;
        }
        if (journal_add(&r->journal, event, fields, &err) == 0) {
                r->journal_said = 0;
                return;
        }
        if (!r->journal_said)
                log_warning("stint %u: %s; the journal has gaps from here on", r->stint, err.text);
        r->journal_said = 1;
}

static void warn_of(struct run *r, const char *event, const json_t *fields)
{
        const char *name = json_string_value(json_object_get(fields, "checkpoint"));
        const char *reason = json_string_value(json_object_get(fields, "reason"));

        if (name == NULL)
                return;
        if (strcmp(event, "finished_part") == 0)
                log_notice("stint %u: %s was sealed by all ranks and is whole now", r->stint, name);
        else if (reason != NULL)
                log_warning("stint %u: %s: %s: %s", r->stint, event, name, reason);
}

void story_note_all(struct run *r, json_t *events)
{
        size_t i;
        json_t *event;

        json_array_foreach(events, i, event) {
                json_t *fields = json_copy(event);
                char name[64];

                snprintf(name, sizeof name, "%s", json_string_value(json_object_get(event, "event")));
                json_object_del(fields, "event");
                if (strcmp(name, "finished_part") == 0)
                        r->landed_step = json_integer_value(json_object_get(fields, "step"));
                warn_of(r, name, fields);
                story_note(r, name, fields);
        }
        json_decref(events);
}

struct commit story_commit(const struct run *r)
{
        return (struct commit){ .run_dir = r->o->dir,
                                .run_id = r->identity.run_id,
                                .lease = &r->lease,
                                .stint = r->stint,
                                .keep = r->o->keep,
                                .slots = r->o->slots };
}

void story_lease_lost(struct run *r, const struct stint_error *err)
{
        if (r->ending.lease_lost)
                return;
        log_error("stint %u: %s; the program is left alone, and goes on without checkpoints", r->stint, err->text);
        r->ending.lease_lost = 1;
}

void story_tell_deadline(struct run *r, unsigned agent)
{
        struct wire_run_deadline m = { .left_ns = run_deadline_left(&r->deadline), .cause = r->deadline.cause };

        WIRE_INIT(&m, WIRE_RUN_DEADLINE);
        agents_send(&r->agents, agent, &m, sizeof m);
}

void story_tell_measured(struct run *r, unsigned agent)
{
        struct wire_run_measured m;

        measured_message(&r->measured, r->o, r->mtbf_ns, &m);
        /* The question before a final save may go unanswered for so long; the state is to land in time even then. */
        if (strcmp(r->deadline.scheduler.name, "slurm") == 0 && m.margin_ns < CLOCK_NEVER - DEADLINE_ANSWER_LIMIT)
                m.margin_ns += DEADLINE_ANSWER_LIMIT;
        /* Who is requeued must have landed; a successor that is queued comes whatever becomes of this stint. */
        m.outlives = r->o->outlive && r->successor.chain && r->successor.job[0] != '\0';
        agents_send(&r->agents, agent, &m, sizeof m);
}

void story_tell_best(struct run *r, unsigned agent)
{
        struct wire_run_best m = { .goal = r->best.goal, .value = r->best.value };

        WIRE_INIT(&m, WIRE_RUN_BEST);
        memcpy(m.name, r->best.name, sizeof m.name);
        agents_send(&r->agents, agent, &m, sizeof m);
}

/* ---- the agents ------------------------------------------------------------------------------------------------ */

static void tell_environment(const struct run *r)
{
        char stint[16];

        snprintf(stint, sizeof stint, "%" PRIu32, r->stint);
        setenv("STINT_DIR", r->o->dir, 1);
        setenv("STINT_AGENT", r->agents.pattern, 1);
        setenv("STINT_STINT", stint, 1);
        setenv("STINT_RUN_ID", r->identity.run_id, 1);
}

static int start_agents(struct run *r, struct stint_error *err)
{
        struct stint_error problem;

        if (listen_open(&r->listen, &r->loop, r->identity.run_id, r->stint, event_verb, r, &problem) == 0)
                snprintf(r->lease.holder.control, sizeof r->lease.holder.control, "%s", r->listen.name);
        else
                log_warning("stint %u: `stint save` will not be heard: %s", r->stint, problem.text);
        /* A program that was there first is one step among others of its job: its agent is a child, beside it. */
        if (agents_init(&r->agents, &r->loop, r->o->attend_fd < 0 && strcmp(r->deadline.scheduler.name, "slurm") == 0,
                        r->o->dir, r->stint, r->identity.run_id, &story_agents_events, r, err) != 0)
                return -1;
        r->agents.staging_bytes = (uint64_t)r->o->staging_bytes;
        tell_environment(r);
        prefetch_begin(r);
        if (agents_start(&r->agents, &problem) != 0) {
                log_error("stint %u: %s; training goes on without checkpoints", r->stint, problem.text);
                loop_start_program(r);
        }
        return 0;
}

static void on_first_deadline(void *arg, const struct run_deadline *d, int fresh)
{
        struct run *r = arg;
        char left[32], limit[64] = "";
        int64_t left_ns = run_deadline_left(d);

        if (left_ns != CLOCK_NEVER)
                snprintf(limit, sizeof limit, " (%s in %s)", deadline_cause_name(d->cause),
                         duration_format(left, sizeof left, left_ns));
        else if (!fresh && run_deadline_has_scheduler(d))
                snprintf(limit, sizeof limit, " (its time limit is not known: nobody answers)");
        log_notice("stint %u: started on %s%s", r->stint, r->lease.holder.host, limit);
        if (d->cancelled)
                r->ending.cancelled = 1;
        successor_begin(r);
}

/* ---- the verdict ----------------------------------------------------------------------------------------------- */

static void put_into_words(const struct run *r, char *out, size_t size)
{
        char how[80];
        const struct ending *e = &r->ending;

        if (e->complete && r->complete_step < 0)
                snprintf(out, size, "complete");
        else if (e->complete)
                snprintf(out, size, "complete at step %" PRId64, r->complete_step);
        else if (e->stop != SAVE_NONE)
                snprintf(out, size, "%s", r->last_save);
        else if (e->limit != SAVE_NONE || r->not_saved[0] != '\0')
                snprintf(out, size, "NOT saved: %s",
                         r->not_saved[0] != '\0' ? r->not_saved : "no save landed before the end");
        else if (e->broke)
                snprintf(out, size, "the program went away without closing the run: it crashed or was killed");
        else if (r->o->attend_fd >= 0)
                snprintf(out, size, "the program has ended");
        else
                snprintf(out, size, "%s", child_how(&r->child, how, sizeof how));
}

static void append(char *out, size_t size, const char *text)
{
        size_t n = strlen(out);

        snprintf(out + n, size - n, "%s", text);
}

static int give_verdict(struct run *r)
{
        const char *why;
        int code;
        int64_t last = ranks_step(&r->ranks), lost;
        char verdict[640], costs[80] = "";

        /* Training came to its end, and it is the very last state that did not land. */
        r->ending.unfinished |= r->save.failed_step > r->landed_step && r->save.failed_step == last;
        r->ending.broke = r->o->attend_fd >= 0 && r->ranks.gone_broken > 0;
        why = ending_why(&r->ending, &code);
        if (last < r->landed_step)
                last = r->landed_step;
        lost = r->ending.complete ? 0 : lost_steps(last, r->landed_step);
        put_into_words(r, verdict, sizeof verdict);
        if (r->deadline.loud && !r->deadline.known)
                append(verdict, sizeof verdict, "; its time limit was NOT known: the scheduler never answered");
        if (lost > 0)
                snprintf(costs, sizeof costs, "; %" PRId64 " steps lost", lost);
        story_note(r, "end",
                   json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I}", "why", why, "verdict", verdict, "exit", code,
                             "last_step", (json_int_t)last, "landed_step", (json_int_t)r->landed_step, "lost_steps",
                             (json_int_t)lost, "by", (json_int_t)r->stint));
        log_notice("stint %u: ended: %s: %s%s%s", r->stint, why, verdict, costs,
                   code == EXIT_CONTINUE && !r->ending.cancelled ? "; to be continued" : "");
        if (strcmp(why, "ended, not complete") == 0 && r->ranks.ever)
                log_warning("stint %u: the program ended before stint_complete() had marked the training complete: this run is "
                            "not DONE",
                            r->stint);
        else if (strcmp(why, "ended, not complete") == 0)
                log_warning("stint %u: the program exited with 0 and never called stint_complete(): this run is not DONE "
                            "(--stint-exit0=done for programs that know nothing of stint)",
                            r->stint);
        return code;
}

/* For programs that know nothing of stint_complete, on the user's word. */
static void exit_0_is_done(struct run *r)
{
        struct stint_error err;

        if (!r->o->exit0_done || r->ending.complete || r->ending.stop != SAVE_NONE || r->ending.limit != SAVE_NONE ||
            r->child.status != 0 || r->child.signal != 0 || r->ending.lease_lost || r->ending.cancelled ||
            !r->child_ended)
                return;
        r->complete_step = ranks_step(&r->ranks);
        if (lease_check(&r->lease, &err) == 0 &&
            done_write(r->o->dir, r->identity.run_id, r->stint, r->complete_step, &err) == 0) {
                r->ending.complete = 1;
                story_note(r, "complete", json_pack("{s:I, s:b}", "step", (json_int_t)r->complete_step, "exit0", 1));
                return;
        }
        log_error("stint %u: the run cannot be marked as complete: %s", r->stint, err.text);
}

/* A chain that gets nowhere would go round for ever, at the cost of everybody else on the cluster. */
static int is_stuck(struct run *r)
{
        if (r->landed_step != r->past.landed_step || r->ending.limit != SAVE_LIMIT || r->past.idle + 1 < IDLE_STINTS_MOST)
                return 0;
        log_error("stint %u: not run again: %" PRIu32 " stints in a row have saved nothing (`stint show %s` tells "
                  "why); once that is mended, the same command goes on",
                  r->stint, r->past.idle + 1, r->o->dir);
        story_note(r, "requeue", json_pack("{s:b, s:s}", "granted", 0, "text", "no progress"));
        return 1;
}

/* In chain mode the job after this one waits already; exiting is what it waits for. */
static int go_on_by_successor(struct run *r, int code)
{
        enum save_reason reason = r->ending.stop != SAVE_NONE ? r->ending.stop : r->ending.limit;

        /* In a grace, and when it was put back already, this job is run again by Slurm, if it does not exit before. */
        const int stays = reason == SAVE_PREEMPTED || reason == SAVE_REQUEUED;

        log_notice("stint %u: %sjob %s carries on", r->stint, stays ? "this job is run again, or " : "", r->successor.job);
        lease_release(&r->lease);
        r->has_lease = 0;
        if (stays)
                requeue_wait_for_end(REQUEUE_WAIT);
        return code;
}

static int go_on_by_requeue(struct run *r, int code, const char *text)
{
        log_notice("stint %u: it will be run again%s%s", r->stint, text[0] != '\0' ? ": " : "", text);
        lease_release(&r->lease);
        r->has_lease = 0;
        /*
         * The local scheduler waits for our end, to begin again; a cluster's must not see one before it ends the job.
         */
        if (strcmp(r->deadline.scheduler.name, "local") != 0 && !requeue_wait_for_end(REQUEUE_WAIT))
                log_error("stint %u: Slurm has not ended this job, which it was to run again; exiting", r->stint);
        return code;
}

/* The one way and then the other: each is refused by some clusters, and a run that stands still helps nobody. */
static int go_on(struct run *r, int code)
{
        enum requeued requeued;
        char text[400], why[400] = "";

        successor_open(r);
        if (r->successor.chain && successor_ensure(r, why, sizeof why))
                return go_on_by_successor(r, code);
        if (r->successor.refused) {
                log_notice("stint %u: not run again: %s", r->stint, why);
                return code;
        }
        requeued = requeue_ask(&r->deadline.scheduler, &r->journal, REQUEUE_WAIT, text, sizeof text);
        if (requeued == REQUEUE_GRANTED)
                return go_on_by_requeue(r, code, text);
        if (requeued == REQUEUE_REFUSED && successor_may(r) && successor_ensure(r, why, sizeof why)) {
                log_notice("stint %u: it cannot be requeued (%s)", r->stint, text);
                return go_on_by_successor(r, code);
        }
        log_notice("stint %u: not run again: %s%s%s", r->stint, text, why[0] != '\0' ? "; " : "", why);
        successor_withdraw(r);
        return code;
}

static int go_on_or_not(struct run *r, int code)
{
        if (!r->has_journal)
                return code;
        if (ending_requeues(&r->ending) && !stopped_is(r) && !is_stuck(r))
                return go_on(r, code);
        successor_withdraw(r);
        return code;
}

/* ---- leaving --------------------------------------------------------------------------------------------------- */

static void leave(struct run *r)
{
        if (r->has_lease)
                lease_release(&r->lease);
        if (r->has_journal)
                journal_close(&r->journal);
        journal_forget(&r->history);
        scheduler_close(&r->deadline.scheduler);
        if (r->signal_fd >= 0)
                close(r->signal_fd);
        progress_close(r);
        successor_close(r);
        prefetch_fini(&r->prefetch);
        restore_fini(&r->restore);
        save_fini(&r->save);
        save_fini(&r->behind);
        ranks_fini(&r->ranks);
        agents_fini(&r->agents);
        identity_fini(&r->identity);
}

static int refuse_to_start(struct run *r, const struct stint_error *err)
{
        if (r->o->attend_fd >= 0)
                attend_refuse(r, err);
        else
                log_error("%s", err->text);
        loop_break_off(r);
        leave(r);
        return EXIT_OWN;
}

static int find_scheduler(struct run *r)
{
        struct stint_error err;

        if (run_deadline_open(&r->deadline, &r->loop, r->o->ask_every_ns, event_deadline, r, &err) != 0)
                log_error("%s; this stint goes on without a known time limit, and cannot be requeued", err.text);
        return 0;
}

/* ---- the story ------------------------------------------------------------------------------------------------- */

/* Half of a fixed interval, when that is short: whoever asks for many saves is to have them. */
static int64_t too_soon(const struct run_options *o)
{
        return o->interval_ns > 0 && o->interval_ns / 2 < SAVING_TOO_SOON ? o->interval_ns / 2 : SAVING_TOO_SOON;
}

/* As begin_settle: 1 is the end already. */
static int begin(struct run *r, struct stint_error *err)
{
        int rc;

        r->save.too_soon_ns = too_soon(r->o);
        if (loop_open(r, err) != 0 || find_scheduler(r) != 0 || begin_take(r, err) != 0)
                return -1;
        rc = begin_settle(r, err);
        if (rc != 0)
                return rc;
        measured_read(&r->measured, r->o->dir);
        r->mtbf_ns = r->o->mtbf_ns > 0 ? r->o->mtbf_ns : past_mtbf(&r->past);
        if (process_tree_adopt(err) != 0)
                return -1;
        return start_agents(r, err);
}

static void live(struct run *r)
{
        successor_open(r); /* while it is known what the journal says */
        journal_forget(&r->history);
        run_deadline_ask(&r->deadline, on_first_deadline, r);
        loop_run(r);
}

/* Nothing will be written any more, so nothing needs to be written over. */
static void give_up_slots(struct run *r)
{
        struct commit c = story_commit(r);
        struct stint_error err;

        if (r->ending.complete && !r->ending.lease_lost && prune_slots(&c, &err) != 0)
                log_warning("stint %u: what is left in %s/" RUNDIR_CHECKPOINTS "/" RUNDIR_SLOTS " is of no use: %s",
                            r->stint, r->o->dir, err.text);
}

static int is_done_with_slots(const struct run *r)
{
        int64_t step;

        return r->identity.run_id[0] != '\0' && done_read(r->o->dir, &step) && prune_has_slots(r->o->dir);
}

/* A stint that was killed between DONE and its end came no further; whoever has the lease still does it itself. */
static void give_up_slots_of_done(struct run *r)
{
        struct stint_error err;

        if (loop_open(r, &err) == 0 && find_scheduler(r) == 0 && begin_take_done(r, &err) == 0) {
                r->ending.complete = 1;
                give_up_slots(r);
        } else if (err.code != EBUSY) {
                log_warning("what is left in %s/" RUNDIR_CHECKPOINTS "/" RUNDIR_SLOTS " is of no use: %s", r->o->dir,
                            err.text);
        }
        loop_break_off(r);
}

static int end(struct run *r)
{
        int code;

        child_kill_rest();
        saving_settle_own(r);
        progress_write(r);
        exit_0_is_done(r);
        code = give_verdict(r);
        give_up_slots(r);
        return go_on_or_not(r, code);
}

static int end_before_it_began(struct run *r)
{
        loop_break_off(r);
        return go_on_or_not(r, give_verdict(r));
}

int run_stint(const struct run_options *o)
{
        struct run r = { .o = o, .began_ns = clock_now(), .signal_fd = -1, .attend_fd = o->attend_fd, .landed_step = -1,
                         .complete_step = -1, .progress = { .fd = -1, .line_step = -1, .file_step = -1 },
                         .deadline.scheduler.fd = -1, .listen.fd = -1 };
        struct stint_error err;
        int code, rc;

        if (begin_find(&r, &err) != 0)
                return refuse_to_start(&r, &err);
        if (begin_is_needless(&r, &code)) {
                if (code == 0 && is_done_with_slots(&r))
                        give_up_slots_of_done(&r);
                leave(&r);
                return code;
        }
        rc = begin(&r, &err);
        if (rc < 0)
                return refuse_to_start(&r, &err);
        if (rc == 0) {
                live(&r);
                code = end(&r);
        } else {
                code = end_before_it_began(&r);
        }
        leave(&r);
        return code;
}
