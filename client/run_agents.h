/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_agents: the agents of a stint, one per node: starting them, messages to and from them, and starting them again
 * when they died.  One that dies alone on one of several nodes is started again there, by its guard; this room starts
 * the process through which all are reached (run_step.h).
 */
#ifndef STINT_RUN_AGENTS_H
#define STINT_RUN_AGENTS_H

#include <stdint.h>
#include <uv.h>
#include "run_step.h"
#include "rundir.h"
#include "wire.h"

#define AGENT_RESTARTS 3                            /* so often within AGENT_RESTARTS_IN they are started again */
#define AGENT_RESTARTS_IN (60 * INT64_C(1000000000))
#define AGENTS_ALL UINT32_MAX                       /* every one of them */

enum agent_state {
        AGENT_NONE = 0,
        AGENT_STARTING, /* it runs, and has not said READY */
        AGENT_READY,
        AGENT_LOST,     /* it ended, and is started again */
        AGENT_OVER      /* it ended and stays so */
};

struct agent {
        enum agent_state state;
        int came_back;           /* it is not the first on its node */
        char node[64];
        char socket[104];        /* where it listens; "" until it is ready */
};

/* Of one agent, or of AGENTS_ALL. */
struct agents_events {
        void (*on_ready)(void *arg, unsigned agent);
        void (*on_message)(void *arg, unsigned agent, const struct wire_header *message);
        void (*on_lost)(void *arg, unsigned agent, const char *how, int restarting); /* its programs are cut off */
        void (*on_all_over)(void *arg); /* after agents_stop: none is left */
};

struct agents {
        uv_loop_t *loop;
        struct agents_events events;
        void *arg;
        char dir[RUNDIR_PATH], run_id[SEAL_RUN_ID];
        char pattern[104];      /* what programs find in STINT_AGENT: %n in it stands for their node */
        uint32_t stint;
        uint64_t staging_bytes; /* as the option says; 0: nothing */
        struct step_plan plan;
        struct step step;
        unsigned n;
        struct agent *agent;
        unsigned restarts;
        int64_t restarted_ns[AGENT_RESTARTS]; /* when, the last few; 0: never */
        int comes_back;         /* the step is over, and is started again when its handles are closed */
        int ever_ready;         /* one of them was */
        uv_timer_t end_timer;   /* agents_stop: who has not ended by then is killed */
        int stopping;
};

/*
 * Makes the agents, not started.  as_step: by srun, where this is a job of Slurm; otherwise one, as a child.  Says what
 * the user should know of that.  -1: no memory.
 */
int agents_init(struct agents *a, uv_loop_t *loop, int as_step, const char *dir, uint32_t stint, const char *run_id,
                const struct agents_events *events, void *arg, struct stint_error *err);

/* Starts all.  -1 when that cannot even be tried. */
int agents_start(struct agents *a, struct stint_error *err);

/* Sends to one agent that is ready, or to all, with AGENTS_ALL too.  One that is not hears what it needs when it is. */
void agents_send(struct agents *a, unsigned agent, const void *message, size_t n);
void agents_send_all(struct agents *a, const void *message, size_t n);

int agents_all_ready(const struct agents *a);

/* 1 when one of them ended and may still come back. */
int agents_any_restarting(const struct agents *a);

/* Who that is, for a log line: "the agent", "the agent on n2", "the agents". */
const char *agents_who(const struct agents *a, unsigned agent, char *out, size_t size);

/* Closes their stdin, by which they end, and kills those that have not after limit_ns; on_all_over follows. */
void agents_stop(struct agents *a, int64_t limit_ns);

/* The id of the process through which they are reached, 0 for none. */
pid_t agents_pid(const struct agents *a);

void agents_fini(struct agents *a);

#endif
