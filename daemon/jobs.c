/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jobs: the list, and one timer per job that asks trigger.c and ask.c what is due.  Called by requests.c. */
#include "jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ask.h"
#include "log.h"

/* No timer is armed for longer: a machine that slept, or a clock that stopped, is noticed so late at most. */
#define LOOK_NS (60 * CLOCK_SECOND)
#define LATE_NS (5 * CLOCK_SECOND) /* a timer that is so late means that the loop does not turn as it should */

/* ---- state ------------------------------------------------------------------------------------------------------- */

/*
 * One line about a job.  A process that the scheduler counts to no job is nobody's news, and a user whose agents come and
 * go all the time must not fill the log.
 */
static void line(const struct jobs_entry *e, const char *text)
{
        char label[JOB_LABEL];

        if (e->known == KNOWN_AS_NO_JOB)
                log_debug("%s: %s", job_label(&e->job, label), text);
        else if (user_may_log(e->peer->user, clock_now()))
                log_notice("%s: %s", job_label(&e->job, label), text);
        else if (user_may_be_named(e->peer->user, clock_now()))
                log_warning("uid %u: its jobs change faster than is logged", (unsigned)e->job.uid);
}

static void say(const struct jobs_entry *e, enum job_state before, enum job_event event)
{
        const struct job *job = &e->job;
        char text[300], why[160];

        snprintf(text, sizeof text, "%s -> %s (%s)", job_state_name(before), job_state_name(job->state),
                 job_why(job, event, clock_now(), why, sizeof why));
        line(e, text);
}

static void step(struct jobs_entry *e, int event)
{
        const enum job_state before = e->job.state;

        if (event < 0)
                return;
        e->job.state = job_next(before, (enum job_event)event);
        e->event = (enum job_event)event;
        if (e->job.state != before && e->known)
                say(e, before, e->event);
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

static void order(struct jobs_entry *e, const struct trigger_order *o, int64_t now_ns)
{
        struct wire_daemon_trigger m = { .reason = o->reason, .lead_ns = o->lead_ns };
        char label[JOB_LABEL];

        WIRE_INIT(&m, WIRE_DAEMON_TRIGGER);
        m.left_ns = job_left(&e->job, now_ns);
        log_debug("%s: trigger: %s", job_label(&e->job, label), save_reason_name(o->reason));
        trigger_sent(&e->trigger, o->reason, now_ns);
        peer_send(e->peer, &m, -1);
}

/* Reminds of the controller when it is time to; answers when that is next.  Only a scheduler's job has one to ask. */
static int64_t remind(struct jobs_entry *e, int64_t now_ns)
{
        struct wire_daemon_ask m = { .header = { 0 } };
        struct ask_inputs in = {
                .begun_ns = e->job.in.start_ns,
                .end_ns = e->job.in.end_ns,
                .told_ns = e->job.told_ns,
                .asked_ns = e->asked_ns,
                .every_ns = e->all->settings->ask_every_ns,
                .spread = (uint32_t)e->job.pid * 2654435761u >> 16,
        };
        int64_t next_ns;

        if (!e->job.id[0] || e->job.ranks == 0 || e->job.in.final_asked || e->job.in.cause == DEADLINE_PREEMPTED)
                return CLOCK_NEVER;
        next_ns = ask_next(&in);
        if (next_ns > now_ns)
                return next_ns;
        WIRE_INIT(&m, WIRE_DAEMON_ASK);
        peer_send(e->peer, &m, -1);
        in.asked_ns = e->asked_ns = now_ns;
        return ask_next(&in);
}

static void look(struct jobs_entry *e);

static void on_timer(uv_timer_t *timer)
{
        look(timer->data);
}

static void arm(struct jobs_entry *e, int64_t at_ns, int64_t now_ns)
{
        int64_t wait_ms;

        if (at_ns == CLOCK_NEVER) {
                e->due_ns = CLOCK_NEVER;
                uv_timer_stop(&e->timer);
                return;
        }
        if (at_ns > now_ns + LOOK_NS)
                at_ns = now_ns + LOOK_NS;
        e->due_ns = at_ns;
        wait_ms = at_ns > now_ns ? (at_ns - now_ns + CLOCK_MS - 1) / CLOCK_MS : 1;
        uv_update_time(e->all->loop); /* libuv counts from when the loop woke */
        uv_timer_start(&e->timer, on_timer, (uint64_t)wait_ms, 0);
}

/* Whatever is due now is ordered, and the timer armed for what comes next. */
static void look(struct jobs_entry *e)
{
        const int64_t now_ns = clock_now();
        struct trigger_order o;
        int64_t reminder_ns;
        int left;

        if (!e->peer)
                return;
        e->job.in.now_ns = now_ns;
        /* A drain, a save and a deadline can be due at once, and no more than that. */
        for (left = 3; left > 0; left--) {
                o = trigger_decide(&e->trigger, &e->job.in, e->job.ranks);
                if (o.reason == SAVE_NONE)
                        break;
                order(e, &o, now_ns);
        }
        reminder_ns = remind(e, now_ns);
        arm(e, reminder_ns < o.next_ns ? reminder_ns : o.next_ns, now_ns);
}

const char *jobs_late(const struct jobs *jobs, int64_t now_ns)
{
        static char text[JOB_LABEL + 64];
        char label[JOB_LABEL];
        const struct jobs_entry *e;

        for (e = jobs->first; e; e = e->next)
                if (e->due_ns != CLOCK_NEVER && now_ns - e->due_ns > LATE_NS) {
                        snprintf(text, sizeof text, "%s is overdue for its plan", job_label(&e->job, label));
                        return text;
                }
        return NULL;
}

/* ---- what the agent says ----------------------------------------------------------------------------------------- */

void jobs_plan(struct jobs_entry *e, const struct wire_daemon_plan *m)
{
        job_plan(&e->job, m, clock_now(), e->all->settings->margin_ns);
        step(e, job_plan_event(&e->job));
        /* The final save was for a deadline that has moved, or did not come about. */
        if (!e->job.in.final_asked && !e->trigger.saving)
                e->trigger.saving_final = 0;
        look(e);
}

void jobs_saving(struct jobs_entry *e, const struct wire_daemon_saving *m)
{
        const int event = job_saving(&e->job, m);

        if (event < 0)
                return;
        e->trigger.saving = event == JOB_SAVE;
        /* A final save that landed is final still; one that failed may be asked for again. */
        if (event == JOB_SAVE)
                e->trigger.saving_final = save_is_final((enum save_reason)m->reason);
        else if (event == JOB_FAILS)
                e->trigger.saving_final = 0;
        step(e, event);
        look(e);
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void jobs_lost(struct jobs_entry *e)
{
        struct jobs_entry **at;

        step(e, JOB_LOST);
        for (at = &e->all->first; *at && *at != e; at = &(*at)->next)
                ;
        if (*at)
                *at = e->next;
        e->all->count--;
        e->peer->job = NULL;
        e->peer = NULL;
        uv_close((uv_handle_t *)&e->timer, on_closed);
}

/* ---- what is asked of it ----------------------------------------------------------------------------------------- */

void jobs_save(struct jobs_entry *e)
{
        if (!e->trigger.save)
                line(e, "a save was asked for");
        e->trigger.save = 1;
        look(e);
}

void jobs_drain(struct jobs_entry *e)
{
        if (!e->trigger.drain)
                line(e, "is to save, stop and be requeued");
        e->trigger.drain = 1;
        look(e);
}

void jobs_describe(const struct jobs_entry *e, struct wire_daemon_job *m)
{
        const struct job *job = &e->job;
        struct deadline_inputs in = job->in;

        in.now_ns = clock_now();
        *m = (struct wire_daemon_job){
                .uid = (uint32_t)job->uid,
                .pid = (uint32_t)job->pid,
                .stint = job->stint,
                .drain = (uint32_t)e->trigger.drain,
                .left_ns = job_left(job, in.now_ns),
                .lead_ns = deadline_plan(&in).lead_ns,
                .step = job->step,
                .landed_step = job->landed_step,
        };
        WIRE_INIT(m, WIRE_DAEMON_JOB);
        wire_text(m->job, sizeof m->job, job->id);
        wire_text(m->run_id, sizeof m->run_id, job->run_id);
        wire_text(m->state, sizeof m->state, job_state_name(job->state));
}

/* ---- coming ------------------------------------------------------------------------------------------------------ */

int jobs_add(struct jobs *jobs, struct peer *p, const struct wire_daemon_hello *hello, struct stint_error *err)
{
        struct jobs_entry *e;

        if (jobs->count >= jobs->settings->jobs)
                return error_set(err, EMFILE, "stintd serves %d agents already (MaxJobs)", (int)jobs->count);
        e = calloc(1, sizeof *e);
        if (!e)
                return error_set(err, ENOMEM, "stintd has no memory for one job more");
        job_init(&e->job, p->uid, p->pid, hello);
        e->all = jobs;
        e->peer = p;
        e->due_ns = CLOCK_NEVER;
        uv_timer_init(jobs->loop, &e->timer);
        e->timer.data = e;
        e->next = jobs->first;
        jobs->first = e;
        jobs->count++;
        p->job = e;
        return 0;
}

void jobs_know(struct jobs_entry *e, const char *id)
{
        char text[200];

        wire_text(e->job.id, sizeof e->job.id, id ? id : "");
        e->known = !id ? KNOWN_BY_NOBODY : id[0] ? KNOWN : KNOWN_AS_NO_JOB;
        snprintf(text, sizeof text, "stint %u of run %s, uid %u, is here%s", e->job.stint, e->job.run_id,
                 (unsigned)e->job.uid, id ? "" : "; whose job it is, nobody could say");
        line(e, text);
        if (e->job.state != JOB_IDLE)
                say(e, JOB_IDLE, e->event);
        look(e);
}

void jobs_open(struct jobs *jobs, uv_loop_t *loop, const struct settings *settings)
{
        memset(jobs, 0, sizeof *jobs);
        jobs->loop = loop;
        jobs->settings = settings;
}
