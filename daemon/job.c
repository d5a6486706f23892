/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job: the table of states, and what an agent's messages mean for one job.  Called by jobs.c. */
#include "job.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "duration.h"

/*
 * What is not here changes nothing.  A job that landed its final save says LANDED until its agent goes: only programs
 * of which nothing final is asked bring it back to training.  From GONE nothing leads away.
 */
static const struct {
        enum job_state from;
        enum job_event event;
        enum job_state to;
} rows[] = {
        { JOB_IDLE, JOB_TRAINS, JOB_TRAINING },   { JOB_IDLE, JOB_SAVE, JOB_SAVING },
        { JOB_IDLE, JOB_LOST, JOB_GONE },         { JOB_TRAINING, JOB_EMPTY, JOB_IDLE },
        { JOB_TRAINING, JOB_SAVE, JOB_SAVING },   { JOB_TRAINING, JOB_LOST, JOB_GONE },
        { JOB_SAVING, JOB_LANDS, JOB_LANDED },    { JOB_SAVING, JOB_FAILS, JOB_FAILED },
        { JOB_SAVING, JOB_LOST, JOB_GONE },       { JOB_LANDED, JOB_TRAINS, JOB_TRAINING },
        { JOB_LANDED, JOB_SAVE, JOB_SAVING },     { JOB_LANDED, JOB_LOST, JOB_GONE },
        { JOB_FAILED, JOB_TRAINS, JOB_TRAINING }, { JOB_FAILED, JOB_SAVE, JOB_SAVING },
        { JOB_FAILED, JOB_LOST, JOB_GONE },
};

static const char *const state_names[] = {
        [JOB_IDLE] = "idle",     [JOB_TRAINING] = "training", [JOB_SAVING] = "saving",
        [JOB_LANDED] = "landed", [JOB_FAILED] = "failed",     [JOB_GONE] = "gone",
};

enum job_state job_next(enum job_state state, enum job_event event)
{
        size_t i;

        for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
                if (rows[i].from == state && rows[i].event == event)
                        return rows[i].to;
        return state;
}

const char *job_state_name(enum job_state state)
{
        return (unsigned)state < JOB_STATES ? state_names[state] : "unknown";
}

void job_init(struct job *job, uid_t uid, pid_t pid, const struct wire_daemon_hello *hello)
{
        memset(job, 0, sizeof *job);
        job->uid = uid;
        job->pid = pid;
        job->stint = hello->stint;
        memcpy(job->run_id, hello->run_id, sizeof job->run_id);
        job->in.end_ns = CLOCK_NEVER;
        job->in.agree_every = 1;
        job->step = job->landed_step = -1;
}

const char *job_label(const struct job *job, char out[JOB_LABEL])
{
        if (job->id[0])
                snprintf(out, JOB_LABEL, "job %s", job->id);
        else
                snprintf(out, JOB_LABEL, "process %d of uid %u", (int)job->pid, (unsigned)job->uid);
        return out;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static int64_t length(int64_t ns)
{
        return ns < 0 ? 0 : ns;
}

/* now - ago, and never 0, which stands for "never" in what these are kept in. */
static int64_t since(int64_t now_ns, int64_t ago_ns)
{
        int64_t at = length(ago_ns) >= now_ns ? 1 : now_ns - length(ago_ns);

        return at > 0 ? at : 1;
}

static int64_t in_time(int64_t now_ns, int64_t left_ns)
{
        int64_t at;

        if (left_ns == CLOCK_NEVER || __builtin_add_overflow(now_ns, length(left_ns), &at))
                return CLOCK_NEVER;
        return at;
}

/* 0: nothing is in the writing.  A streamed snapshot will be, and then the write of it comes. */
static int64_t flying_since(int64_t now_ns, const struct wire_daemon_plan *m)
{
        if (m->flying_ns < 0)
                return 0;
        return m->coming_ns > 0 ? in_time(now_ns, m->coming_ns) : since(now_ns, m->flying_ns);
}

void job_plan(struct job *job, const struct wire_daemon_plan *m, int64_t now_ns, int64_t margin_ns)
{
        job->in = (struct deadline_inputs){
                .now_ns = now_ns,
                .start_ns = since(now_ns, m->begun_ns),
                .end_ns = in_time(now_ns, m->left_ns),
                .cause = m->cause <= DEADLINE_POLICY ? (enum deadline_cause)m->cause : DEADLINE_POLICY,
                .step_ns = length(m->step_ns),
                .steps = m->steps,
                .agree_every = m->agree_every > 0 ? m->agree_every : 1,
                .several_ranks = m->several_ranks != 0,
                .measured = { .delay_ns = length(m->delay_ns),
                              .snapshot_ns = length(m->snapshot_ns),
                              .write_ns = length(m->write_ns),
                              .commit_ns = length(m->commit_ns),
                              .cost_ns = length(m->cost_ns),
                              .saves = m->saves },
                .state_bytes = m->state_bytes,
                .flying_since_ns = flying_since(now_ns, m),
                .outlive_ns = length(m->outlive_ns),
                .margin_ns = m->margin_ns > margin_ns ? m->margin_ns : margin_ns,
                .last_save_ns = m->since_save_ns < 0 ? 0 : since(now_ns, m->since_save_ns),
                .interval_ns = length(m->interval_ns),
                .mtbf_ns = length(m->mtbf_ns),
                .final_asked = m->final_asked != 0,
                .calibrate_asked = m->calibrate_asked != 0,
        };
        job->ranks = m->ranks;
        job->step = m->step < 0 ? -1 : m->step;
        job->told_ns = m->told_ns == CLOCK_NEVER ? 0 : since(now_ns, m->told_ns);
}

int job_plan_event(const struct job *job)
{
        if (job->ranks == 0)
                return JOB_EMPTY;
        return job->in.final_asked ? -1 : JOB_TRAINS;
}

int job_saving(struct job *job, const struct wire_daemon_saving *m)
{
        switch (m->state) {
        case DAEMON_SAVING_BEGUN:
                job->saving = m->reason;
                return JOB_SAVE;
        case DAEMON_SAVING_LANDED:
                job->landed_step = m->step < 0 ? -1 : m->step;
                return JOB_LANDS;
        case DAEMON_SAVING_FAILED:
                return JOB_FAILS;
        default:
                return -1;
        }
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

int64_t job_left(const struct job *job, int64_t now_ns)
{
        return job->in.end_ns == CLOCK_NEVER ? CLOCK_NEVER : job->in.end_ns - now_ns;
}

const char *job_why(const struct job *job, enum job_event event, int64_t now_ns, char *out, size_t size)
{
        const int64_t left_ns = job_left(job, now_ns);
        char left[32];

        duration_format(left, sizeof left, left_ns);
        switch (event) {
        case JOB_TRAINS:
        case JOB_SAVE:
                snprintf(out, size, "%s%s%s%s", event == JOB_SAVE ? save_reason_name((enum save_reason)job->saving) : "",
                         event == JOB_SAVE ? ", " : "", left_ns == CLOCK_NEVER ? "no deadline known" : "deadline in ",
                         left_ns == CLOCK_NEVER ? "" : left);
                break;
        case JOB_EMPTY:
                snprintf(out, size, "no program is connected");
                break;
        case JOB_LANDS:
                snprintf(out, size, "step %" PRId64, job->landed_step);
                break;
        case JOB_FAILS:
                snprintf(out, size, "the save did not land");
                break;
        default:
                snprintf(out, size, "its agent is gone");
                break;
        }
        return out;
}
