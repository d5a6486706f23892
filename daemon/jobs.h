/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobs: all jobs of this node whose agents are connected, each with its timer: tells agents when to save and when the
 * controller should be asked, and says every change of state in one line.  requests.c brings what agents say.
 */
#ifndef STINTD_JOBS_H
#define STINTD_JOBS_H

#include <uv.h>
#include "job.h"
#include "peer.h"
#include "settings.h"
#include "trigger.h"

struct jobs {
        uv_loop_t *loop;
        const struct settings *settings;
        struct jobs_entry *first;
        int64_t count;
};

struct jobs_entry {
        struct job job;
        enum job_event event; /* the last one */
        struct trigger trigger;
        struct jobs *all;
        struct jobs_entry *next;
        struct peer *peer; /* NULL: gone, and about to be freed */
        uv_timer_t timer;
        int64_t due_ns;   /* what the timer is for; CLOCK_NEVER: it is not armed */
        int64_t asked_ns; /* when the controller was last to be asked; 0: never */
        enum { UNKNOWN = 0, KNOWN, KNOWN_AS_NO_JOB, KNOWN_BY_NOBODY } known; /* UNKNOWN: it has no name in the log yet */
};

void jobs_open(struct jobs *jobs, uv_loop_t *loop, const struct settings *settings);

/* A job for an agent that said hello; -1 when there are too many. */
int jobs_add(struct jobs *jobs, struct peer *p, const struct wire_daemon_hello *hello, struct stint_error *err);

/* Which job it is was learnt: "" none, NULL nobody can say. */
void jobs_know(struct jobs_entry *e, const char *id);

/* What the agent says. */
void jobs_plan(struct jobs_entry *e, const struct wire_daemon_plan *m);
void jobs_saving(struct jobs_entry *e, const struct wire_daemon_saving *m);
void jobs_lost(struct jobs_entry *e);

/* What is asked of it. */
void jobs_save(struct jobs_entry *e);
void jobs_drain(struct jobs_entry *e);

/* Everything that is known of one, as a message. */
void jobs_describe(const struct jobs_entry *e, struct wire_daemon_job *m);

/* NULL when every job's timer did what it was armed for; else which did not. */
const char *jobs_late(const struct jobs *jobs, int64_t now_ns);

#endif
