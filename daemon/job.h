/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job: one agent's job on this node: what it is called, what its agent told, and its state, which is a row of a table.
 * A pure room: jobs.c gives it timers and connections.
 */
#ifndef STINTD_JOB_H
#define STINTD_JOB_H

#include <stdint.h>
#include <sys/types.h>
#include "deadline.h"
#include "wire.h"

enum job_state { JOB_IDLE = 0, JOB_TRAINING, JOB_SAVING, JOB_LANDED, JOB_FAILED, JOB_GONE, JOB_STATES };

enum job_event {
        JOB_TRAINS = 0, /* programs train, and nothing final was asked of them */
        JOB_EMPTY,      /* no program is there any more */
        JOB_SAVE,       /* a save began */
        JOB_LANDS,
        JOB_FAILS,
        JOB_LOST,       /* its agent's connection is over */
        JOB_EVENTS
};

/* The state after an event; `state` itself where the table has no row for the two. */
enum job_state job_next(enum job_state state, enum job_event event);

const char *job_state_name(enum job_state state);

/* How a job is called in the log: "job 4711", or "process 812 of uid 1001" where the scheduler knows of no job. */
#define JOB_LABEL 160

struct job {
        char id[64]; /* "": no job; as the node's scheduler says, never as the agent does */
        uid_t uid;
        pid_t pid;
        uint32_t stint;
        char run_id[40];

        enum job_state state;
        struct deadline_inputs in; /* by this machine's clock */
        uint32_t ranks;
        int64_t step, landed_step; /* -1: none yet */
        int64_t told_ns;           /* when `stint run` told the deadline; 0: never */
        uint32_t saving;           /* enum save_reason of the save in flight, or the last */
};

/* Fresh, with everything unknown. */
void job_init(struct job *job, uid_t uid, pid_t pid, const struct wire_daemon_hello *hello);

const char *job_label(const struct job *job, char out[JOB_LABEL]);

/*
 * Takes over a plan, as seen from now_ns.  Whatever numbers come, those of *job stay within what deadline.h allows.
 * margin_ns is the least margin that this node wants.
 */
void job_plan(struct job *job, const struct wire_daemon_plan *m, int64_t now_ns, int64_t margin_ns);

/* The event that a plan stands for; -1: none. */
int job_plan_event(const struct job *job);

/* Takes over news of a save; answers its event, -1 for none. */
int job_saving(struct job *job, const struct wire_daemon_saving *m);

/* Until the deadline; CLOCK_NEVER: not known. */
int64_t job_left(const struct job *job, int64_t now_ns);

/* "time limit, deadline in 92s", for the line that a change of state is. */
const char *job_why(const struct job *job, enum job_event event, int64_t now_ns, char *out, size_t size);

#endif
