/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_agents: the agents of a stint, one per node: starting them, frames to their stdin and from their stdout, starting
 * one that died again under the same socket name.
 */
#ifndef STINT_RUN_AGENTS_H
#define STINT_RUN_AGENTS_H

#include <stdint.h>
#include <uv.h>
#include "frame.h"
#include "rundir.h"
#include "wire.h"

#define AGENT_RESTARTS 3                            /* so often within AGENT_RESTARTS_IN an agent is started again */
#define AGENT_RESTARTS_IN (60 * INT64_C(1000000000))

struct agents;

enum agent_state {
        AGENT_NONE = 0,
        AGENT_STARTING, /* it runs, and has not said READY */
        AGENT_READY,
        AGENT_LOST,     /* it ended; its handles are closing, then it may be started again */
        AGENT_OVER      /* it ended and stays so */
};

struct agent {
        struct agents *all;
        unsigned index;
        enum agent_state state;
        uv_process_t process;
        uv_pipe_t to, from;
        struct frame frame;
        int open_handles;        /* of these three */
        int exited, at_end;      /* the process; its stdout */
        int asked_to_end, comes_back;
        unsigned restarts;
        int64_t restarted_ns[AGENT_RESTARTS]; /* when, the last few; 0: never */
        char how[80];            /* it ended: "exit status 1", "signal 9" */
        char node[64];
        char socket[104];        /* what programs find in STINT_AGENT */
};

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
        uint32_t stint;
        unsigned n;
        struct agent *agent;
        uv_timer_t end_timer; /* agents_stop: who has not ended by then is killed */
        int stopping;
};

/* The agent's program: in $STINT_LIBEXEC_DIR, else where it was installed, else beside this one. */
void agents_program(char *out, size_t size);

/* Makes n agents, not started; names their sockets.  -1: no memory. */
int agents_init(struct agents *a, uv_loop_t *loop, unsigned n, const char *dir, uint32_t stint, const char *run_id,
                const struct agents_events *events, void *arg, struct stint_error *err);

/* Starts all.  -1 when one cannot even be started; those that run are left to agents_stop. */
int agents_start(struct agents *a, struct stint_error *err);

/* Sends to one agent that is ready, or to all.  One that is not hears what it needs when it is. */
void agents_send(struct agents *a, unsigned agent, const void *message, size_t n);
void agents_send_all(struct agents *a, const void *message, size_t n);

int agents_all_ready(const struct agents *a);

/* 1 when one of them ended and may still come back. */
int agents_any_restarting(const struct agents *a);

/* Closes their stdin, by which they end, and kills those that have not after limit_ns; on_all_over follows. */
void agents_stop(struct agents *a, int64_t limit_ns);

/* The process id of the first agent that runs, 0 for none. */
pid_t agents_pid(const struct agents *a);

void agents_fini(struct agents *a);

#endif
