/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_events: translates what happens into what it means, and hands it over: to saving, restoring, ranks, or the story
 * itself.  A signal or a trigger means nothing before the scheduler was asked: it may be the end, a preemption, a
 * cancelled job, or an old deadline that has moved.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "log.h"
#include "run_events.h"
#include "run_loop.h"
#include "run_saving.h"
#include "run_story.h"
#include "visible.h"

#define NEAR (2 * CLOCK_SECOND)         /* so near to its end, a job that has SIGTERM has it because of that */
#define TRIGGER_SLACK (250 * CLOCK_MS)  /* a deadline that moved by less has not moved */
#define TERM_AGAIN (2 * CLOCK_SECOND)   /* between two signals that mean two things */
#define KILL_WAIT_GUESS (5 * CLOCK_SECOND)

/* ---- what a deadline means ------------------------------------------------------------------------------------- */

static enum save_reason final_reason(const struct run_deadline *d)
{
        /* At the end of a grace Slurm itself requeues the job: a preemption that was heard of stays the reason. */
        if (d->cause == DEADLINE_PREEMPTED)
                return SAVE_PREEMPTED;
        return d->state == SCHEDULER_PENDING ? SAVE_REQUEUED : SAVE_LIMIT;
}

static int end_is_near(const struct run_deadline *d, int64_t near_ns)
{
        int64_t left = run_deadline_left(d);

        return d->state == SCHEDULER_COMPLETING || d->state == SCHEDULER_ENDED || d->state == SCHEDULER_PENDING ||
               (left != CLOCK_NEVER && left <= near_ns);
}

static void note_cancelled(struct run *r)
{
        if (r->ending.cancelled)
                return;
        r->ending.cancelled = 1;
        log_notice("stint %u: this job was cancelled: it will not be continued", r->stint);
}

void event_deadline(void *arg, const struct run_deadline *d, int fresh)
{
        struct run *r = arg;
        char left[32];
        int64_t left_ns = run_deadline_left(d);

        (void)fresh;
        story_note(r, "deadline",
                   left_ns == CLOCK_NEVER ? json_pack("{s:s}", "cause", deadline_cause_name(d->cause))
                                          : json_pack("{s:s, s:f}", "cause", deadline_cause_name(d->cause), "left_s",
                                                      (double)left_ns / (double)CLOCK_SECOND));
        if (d->cause == DEADLINE_PREEMPTED)
                log_notice("stint %u: preempted: %s left", r->stint, duration_format(left, sizeof left, left_ns));
        story_tell_deadline(r, AGENTS_ALL);
}

/* ---- signals --------------------------------------------------------------------------------------------------- */

static void after_signal(void *arg, const struct run_deadline *d, int fresh)
{
        struct run *r = arg;
        int64_t kill_wait_ns = r->o->kill_wait_ns > 0 ? r->o->kill_wait_ns : KILL_WAIT_GUESS;

        if (d->cancelled) {
                note_cancelled(r);
                saving_want(r, SAVE_STOP, -1, -1);
                loop_end_program_in(r, kill_wait_ns * 6 / 10, "the job was cancelled");
        } else if (!run_deadline_has_scheduler(d)) {
                saving_want(r, SAVE_STOP, -1, -1);
        } else if (end_is_near(d, NEAR)) {
                r->ending.limit = final_reason(d);
                saving_want(r, r->ending.limit, -1, -1);
                /* What is in flight may still land; then there must be time left to be requeued. */
                loop_end_program_in(r, kill_wait_ns * 6 / 10, "the time is over");
        } else if (!fresh) {
                saving_want(r, SAVE_SIGNAL, -1, -1);
        } else {
                saving_want(r, d->cause == DEADLINE_PREEMPTED ? SAVE_PREEMPTED : SAVE_STOP, -1, -1);
        }
}

void event_signal(struct run *r, int signal)
{
        r->interrupts++;
        if (r->interrupts > 1 && (signal == SIGINT || !run_deadline_has_scheduler(&r->deadline))) {
                log_notice("stint %u: %s again: the program is killed", r->stint, strsignal(signal));
                child_signal(&r->child, SIGKILL, agents_pid(&r->agents));
                return;
        }
        log_notice("stint %u: %s: asking for a last save", r->stint, strsignal(signal));
        run_deadline_ask(&r->deadline, after_signal, r);
}

/* ---- the agents' timers and signals ---------------------------------------------------------------------------- */

static void after_trigger(void *arg, const struct run_deadline *d, int fresh)
{
        struct run *r = arg;

        (void)fresh;
        if (d->cancelled) {
                note_cancelled(r);
                saving_want(r, SAVE_STOP, -1, -1);
        } else if (d->cause == DEADLINE_PREEMPTED || end_is_near(d, r->trigger_lead_ns + TRIGGER_SLACK)) {
                saving_want(r, final_reason(d), -1, -1);
        } else {
                log_notice("stint %u: the deadline has moved; training goes on", r->stint);
                story_tell_deadline(r, AGENTS_ALL);
        }
}

static void on_trigger(struct run *r, const struct wire_agent_trigger *m)
{
        switch (m->reason) {
        case SAVE_INTERVAL:
        case SAVE_CALIBRATE:
        case SAVE_USER:
        case SAVE_DRAIN:
                saving_want(r, m->reason, -1, -1);
                break;
        case SAVE_LIMIT:
        case SAVE_PREEMPTED:
                r->trigger_lead_ns = m->lead_ns;
                run_deadline_ask(&r->deadline, after_trigger, r);
                break;
        default:
                break;
        }
}

static int64_t longest_lead(const struct run *r)
{
        int64_t lead_ns = NEAR;
        uint32_t i;

        for (i = 0; i < r->ranks.n; i++)
                if (r->ranks.rank[i].lead_ns > lead_ns)
                        lead_ns = r->ranks.rank[i].lead_ns;
        return lead_ns;
}

/*
 * Slurm sends SIGTERM to steps when a grace begins, when a job is cancelled, requeued or out of time, and when somebody
 * says `scancel --signal=TERM`; the signal itself does not tell which.  When nobody else does either, what can be saved
 * now is saved, and training goes on.
 */
static void after_term(void *arg, const struct run_deadline *d, int fresh)
{
        struct run *r = arg;
        const int before = r->term_missed;

        r->term_missed = 0;
        if (d->cancelled) {
                note_cancelled(r);
                saving_want(r, SAVE_STOP, -1, -1);
        } else if (!run_deadline_has_scheduler(d)) {
                saving_want(r, SAVE_STOP, -1, -1);
        } else if (d->cause == DEADLINE_PREEMPTED || end_is_near(d, longest_lead(r))) {
                saving_want(r, final_reason(d), -1, -1);
        } else if (!fresh) {
                log_warning("stint %u: the agent had SIGTERM, and nobody says why; saving in any case", r->stint);
                saving_want(r, SAVE_SIGNAL, -1, -1);
        } else {
                r->term_missed = before;
                log_notice("stint %u: the agent had SIGTERM, but the scheduler knows of no end; training goes on",
                           r->stint);
        }
}

/*
 * The agents of all nodes have the signal within a moment, each perhaps twice, once by its guard: the scheduler is asked
 * once, and once more by event_tick when it knew of no end.
 */
static void on_term(struct run *r)
{
        const int64_t now_ns = clock_now();

        if (r->term_ns > 0 && now_ns - r->term_ns < TERM_AGAIN) {
                r->term_missed = 1;
                return;
        }
        r->term_ns = now_ns;
        run_deadline_ask(&r->deadline, after_term, r);
}

static void after_missed_term(void *arg, const struct run_deadline *d, int fresh)
{
        if (!fresh || d->cancelled || d->cause == DEADLINE_PREEMPTED || end_is_near(d, longest_lead(arg)))
                after_term(arg, d, fresh);
}

/* What came so shortly after a signal that meant nothing may have been the start of a grace. */
void event_tick(struct run *r)
{
        if (!r->term_missed || r->over || clock_now() - r->term_ns < TERM_AGAIN)
                return;
        r->term_missed = 0;
        run_deadline_ask(&r->deadline, after_missed_term, r);
}

/* ---- ranks ----------------------------------------------------------------------------------------------------- */

/* Of more ranks than this the journal does not say where each is. */
#define PLACES_MOST WIRE_DEVICES_RANKS

/* The words between the commas, escaped; null for one that is not known. */
static json_t *words(const char *list)
{
        json_t *all = json_array();

        while (*list != '\0') {
                char word[VISIBLE_UUID], escaped[4 * sizeof word];
                size_t n = strcspn(list, ",");

                snprintf(word, sizeof word, "%.*s", n < sizeof word ? (int)n : (int)sizeof word - 1, list);
                json_array_append_new(all, strcmp(word, "?") == 0 ? json_null()
                                                                  : json_string(log_escape(escaped, sizeof escaped, word)));
                list += n + (list[n] == ',');
        }
        return all;
}

/* What a rank sees by its variable, as far as that could be known without CUDA. */
static void add_seen(json_t *place, const struct wire_devices *seen)
{
        char driver[4 * sizeof seen->driver];

        if (seen == NULL || (seen->count == 0 && seen->certainty == VISIBLE_UNKNOWN))
                return;
        json_object_set_new(place, "count", json_integer(seen->count));
        if (seen->certainty == VISIBLE_LIKELY || seen->certainty == VISIBLE_UNKNOWN)
                json_object_set_new(place, "certainty", json_string(visible_certainty_name(seen->certainty)));
        if (seen->count > 0) {
                json_object_set_new(place, "uuids", words(seen->uuids));
                json_object_set_new(place, "models", words(seen->models));
        }
        if (seen->driver[0] != '\0')
                json_object_set_new(place, "driver", json_string(log_escape(driver, sizeof driver, seen->driver)));
}

/* Where the ranks are and what they see: history, for people; no number in it is ever used again. */
static json_t *places(const struct run *r)
{
        json_t *all = json_array();
        uint32_t i;

        for (i = 0; i < r->ranks.n && i < PLACES_MOST; i++) {
                const struct run_rank *rank = &r->ranks.rank[i];
                char devices[4 * sizeof rank->devices];

                json_t *place = json_pack("{s:s, s:s}", "node", r->agents.agent[rank->agent].node, "devices",
                                          log_escape(devices, sizeof devices, rank->devices));

                add_seen(place, rank->seen);
                json_array_append_new(all, place);
        }
        return all;
}

static void on_rank(struct run *r, unsigned agent, const struct wire_agent_rank *m)
{
        struct stint_error err;

        if (ranks_arrive(&r->ranks, agent, m, &err) != 0) {
                log_error("stint %u: %s", r->stint, err.text);
                return;
        }
        prefetch_rank_came(r, (uint32_t)m->rank);
        if (r->ranks.present < r->ranks.n)
                return;
        story_note(r, "attached",
                   json_pack("{s:I, s:I, s:s, s:o}", "ranks", (json_int_t)m->ranks, "pid", (json_int_t)m->pid, "program",
                             m->program, "places", places(r)));
        saving_rank_came(r);
}

static void tell_completed(struct run *r, int done, int code, const char *text)
{
        struct wire_run_completed m = { .done = (uint32_t)done, .code = code };
        uint32_t i;

        WIRE_INIT(&m, WIRE_RUN_COMPLETED);
        wire_text(m.text, sizeof m.text, text);
        agents_send_all(&r->agents, &m, sizeof m);
        for (i = 0; i < r->ranks.n && !done; i++)
                r->ranks.rank[i].complete = 0;
}

/* Those that said COMPLETE wait for all others; one that leaves without it will not come. */
static void look_whether_complete_can_be(struct run *r, int32_t gone)
{
        char text[WIRE_TEXT];
        uint32_t i;

        if (r->completing || r->ending.complete || r->ranks.rank[gone].complete)
                return;
        for (i = 0; i < r->ranks.n; i++)
                if (r->ranks.rank[i].complete && r->ranks.rank[i].present) {
                        snprintf(text, sizeof text, "rank %d left without saying that training is complete", gone);
                        log_warning("stint %u: %s; this run is not complete", r->stint, text);
                        tell_completed(r, 0, ECONNRESET, text);
                        return;
                }
}

static void on_gone(struct run *r, const struct wire_agent_gone *m)
{
        if (!ranks_leave(&r->ranks, m))
                return;
        saving_rank_gone(r, (uint32_t)m->rank);
        restore_rank_gone(r);
        look_whether_complete_can_be(r, m->rank);
        loop_look_for_end(r);
}

/* ---- complete -------------------------------------------------------------------------------------------------- */

struct completing {
        struct run *run;
        struct stint_error problem;
};

static void write_done(void *arg)
{
        struct completing *job = arg;
        struct run *r = job->run;

        if (lease_check(&r->lease, &job->problem) == 0)
                done_write(r->o->dir, r->identity.run_id, r->stint, r->complete_step, &job->problem);
}

static void on_done_written(void *arg)
{
        struct completing *job = arg;
        struct run *r = job->run;

        r->completing = 0;
        if (job->problem.code == 0) {
                r->ending.complete = 1;
                story_note(r, "complete", json_pack("{s:I}", "step", (json_int_t)r->complete_step));
                log_notice("stint %u: training is complete at step %" PRId64, r->stint, r->complete_step);
                tell_completed(r, 1, 0, "");
        } else {
                if (job->problem.code == ESTALE)
                        story_lease_lost(r, &job->problem);
                log_error("stint %u: the run cannot be marked as complete: %s", r->stint, job->problem.text);
                tell_completed(r, 0, job->problem.code, job->problem.text);
        }
        free(job);
        loop_look_for_end(r);
}

static void on_complete(struct run *r, const struct wire_agent_complete *m)
{
        struct completing *job;

        if (!ranks_has(&r->ranks, m->rank))
                return;
        r->ranks.rank[m->rank].complete = 1;
        r->ending.unfinished = 1; /* until DONE is written */
        if (m->step > r->ranks.rank[m->rank].step)
                r->ranks.rank[m->rank].step = m->step;
        if (m->step > r->complete_step)
                r->complete_step = m->step;
        if (r->ending.complete) { /* it asked before, and its agent died before it heard */
                tell_completed(r, 1, 0, "");
                return;
        }
        if (!ranks_complete(&r->ranks) || r->completing)
                return;
        job = calloc(1, sizeof *job);
        if (job != NULL)
                job->run = r;
        if (job == NULL || work_add(&r->work, write_done, on_done_written, job, NULL) != 0) {
                free(job);
                tell_completed(r, 0, ENOMEM, "no memory to mark the run as complete");
                return;
        }
        r->completing = 1;
}

/* ---- agents ---------------------------------------------------------------------------------------------------- */

static void on_message(void *arg, unsigned agent, const struct wire_header *message)
{
        struct run *r = arg;
        const void *m = message;

        switch ((enum wire_type)message->type) {
        case WIRE_AGENT_RANK:
                on_rank(r, agent, m);
                break;
        case WIRE_AGENT_DEVICES:
                ranks_see(&r->ranks, m);
                break;
        case WIRE_AGENT_LAYOUT:
                break; /* the agent keeps what it needs of it */
        case WIRE_AGENT_TRIGGER:
                on_trigger(r, m);
                break;
        case WIRE_AGENT_TERM:
                on_term(r);
                break;
        case WIRE_AGENT_ASK_DEADLINE:
                run_deadline_refresh(&r->deadline);
                break;
        case WIRE_AGENT_ASK_SAVE: {
                const struct wire_agent_ask_save *ask = m;

                r->ending.unfinished |= ask->reason == SAVE_COMPLETE;
                if (ask->reason == SAVE_PROGRAM || ask->reason == SAVE_BEST || ask->reason == SAVE_COMPLETE)
                        saving_want(r, ask->reason, ask->rank, ask->step);
                break;
        }
        case WIRE_AGENT_PROGRESS:
                ranks_progress(&r->ranks, m);
                break;
        case WIRE_AGENT_TAKEN:
                saving_taken(r, m);
                break;
        case WIRE_AGENT_SEALED:
                saving_sealed(r, m);
                break;
        case WIRE_AGENT_SAVE_FAILED:
                saving_failed(r, m);
                break;
        case WIRE_AGENT_RESTORE_ASK:
                restore_ask(r, m);
                break;
        case WIRE_AGENT_PREFETCHED:
                prefetch_read(r, m);
                break;
        case WIRE_AGENT_RESTORE_READ:
                restore_read(r, m);
                break;
        case WIRE_AGENT_RESTORE_DONE:
                restore_done(r, m);
                break;
        case WIRE_AGENT_COMPLETE:
                on_complete(r, m);
                break;
        case WIRE_AGENT_GONE:
                on_gone(r, m);
                break;
        default:
                log_warning("the agent sent %s, which is not for us", wire_name(message->type));
                break;
        }
}

static void on_ready(void *arg, unsigned agent)
{
        struct run *r = arg;
        struct stint_error err;

        saving_agent_came(r, agent);
        story_tell_deadline(r, agent);
        story_tell_measured(r, agent);
        story_tell_best(r, agent);
        prefetch_agent_came(r, agent);
        if (!agents_all_ready(&r->agents))
                return;
        snprintf(r->lease.holder.agent, sizeof r->lease.holder.agent, "%s", r->agents.agent[0].socket);
        if (lease_update(&r->lease, &err) != 0) {
                if (err.code == ESTALE)
                        story_lease_lost(r, &err);
                log_warning("stint %u: %s", r->stint, err.text);
        }
        loop_start_program(r);
}

static void on_lost(void *arg, unsigned agent, const char *how, int restarting)
{
        struct run *r = arg;
        char who[100];

        agents_who(&r->agents, agent, who, sizeof who);
        log_warning("stint %u: %s died (%s); %s", r->stint, who, how,
                    restarting ? "it is started again" : "that was too often within a minute: training goes on without checkpoints, and this stint saves nothing more");
        story_note(r, "agent_lost", json_pack("{s:s, s:b, s:s}", "how", how, "restarting", restarting, "agent", who));
        ranks_leave_agent(&r->ranks, agent);
        saving_agent_lost(r, restarting);
        restore_rank_gone(r);
        if (!restarting)
                loop_start_program(r);
        loop_look_for_end(r);
}

static void on_all_over(void *arg)
{
        loop_close_handles(arg);
}

const struct agents_events story_agents_events = { on_ready, on_message, on_lost, on_all_over };

/* ---- verbs ----------------------------------------------------------------------------------------------------- */

uint32_t event_verb(void *arg, enum wire_verb_what what)
{
        struct run *r = arg;
        const struct save *s;
        int waits;

        saving_want(r, what == VERB_STOP ? SAVE_STOP : SAVE_USER, -1, -1);
        s = save_is_behind(&r->behind) ? &r->behind : &r->save;
        waits = r->wanted_final != SAVE_NONE ||
                (save_in_flight(s) && r->save.pending != SAVE_NONE && !save_is_final(s->reason));
        return waits ? s->id + 1 : s->id;
}
