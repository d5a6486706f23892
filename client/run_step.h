/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_step: the process that agents are reached through, and the stream to and from it.  Without a cluster that is the
 * one agent itself, and messages are bytes.  In a job of Slurm it is `srun`, which starts one agent on every node of
 * the job, gives all of them what is written to it, and merges what they say; messages are armoured lines then
 * (armour.h).
 *
 * Measured with Slurm 22.05, two nodes:
 *   - one srun is one REQUEST_JOB_STEP_CREATE, for however many nodes; both agents answered 90 ms after its start
 *   - its end of stdin reaches every agent, and it has ended 20 ms after the last of them
 *   - SIGKILL of srun: it has a helper that asks the controller to end the step, and the agents are killed within 0.5 s
 *   - SIGTERM and SIGHUP: srun kills the step, even where it inherited them as ignored; hence its own session.  At a
 *     preemption the batch script's processes are sent none
 *   - in jobs with --ntasks-per-gpu, --mem-per-gpu, --cpus-per-gpu, --gpus-per-task, --exclusive, --export=NONE,
 *     --mem-per-cpu, --threads-per-core, or all memory taken, it starts like in any other
 *   - --cpu-bind=none is answered with a line on stderr by clusters that cannot bind, so agents see to that themselves
 */
#ifndef STINT_RUN_STEP_H
#define STINT_RUN_STEP_H

#include <uv.h>
#include "armour.h"
#include "frame.h"
#include "rundir.h"

#define STEP_ARGUMENTS 32 /* most of srun and the agent together, the NULL counted */
#define STEP_NODES_MOST 100000u

/* How agents are started here. */
struct step_plan {
        int slurm;               /* by srun; 0: as a child */
        unsigned nodes;          /* so many agents; 1 for a child */
        char srun[RUNDIR_PATH];
        char job[32];
        char jobid[48];          /* "--jobid=4711" and so on, for the arguments */
        char nodes_words[2][24];
};

/*
 * In a job (wanted says whether its scheduler is the one that counts here), by srun where that is in PATH; STINT_SRUN
 * names another program, for the tests.  Answers what the user should know about it, or NULL.
 */
const char *step_choose(struct step_plan *plan, int wanted);

/* The arguments of srun for the plan, followed by those of the agent; out ends with NULL.  -1: too many. */
int step_arguments(struct step_plan *plan, char *const *agent, char *out[STEP_ARGUMENTS]);

/*
 * The environment of srun: that of ours without what Slurm made of the user's options, which would count for the
 * agents' step too.  One allocation, freed by the caller; the strings stay where they are.  NULL: no memory.
 */
char **step_environment(char *const *ours, const struct step_plan *plan, char job[48]);

struct step;

struct step_events {
        void (*on_message)(void *arg, unsigned node, const struct wire_header *message);
        void (*on_over)(void *arg);   /* it ended, and all it wrote was read; step_start may follow on_closed */
        void (*on_closed)(void *arg);
};

struct step {
        uv_loop_t *loop;
        struct step_events events;
        void *arg;
        uv_process_t process;
        uv_pipe_t to, from;
        int open_handles;        /* of these three */
        int running;             /* started, and on_over was not told yet */
        int exited, at_end;      /* the process; its stdout */
        int asked_to_end;
        int armoured;
        unsigned nodes;
        struct frame frame;
        struct armour_lines lines;
        struct armour_message *message; /* of each node */
        int said_foreign;
        char how[80];            /* it ended: "exit status 1", "signal 9" */
};

/* -1: no memory. */
int step_init(struct step *s, uv_loop_t *loop, unsigned nodes, const struct step_events *events, void *arg,
              struct stint_error *err);

/* Starts the agent's program with these arguments, by the plan.  on_closed follows a failure too. */
int step_start(struct step *s, struct step_plan *plan, const char *program, char *const *args, struct stint_error *err);

/* To one node, or to all with ARMOUR_ALL. */
void step_send(struct step *s, uint32_t node, const void *message, size_t n);

/* Closes its stdin, by which agents end; and kills it. */
void step_end(struct step *s);
void step_kill(struct step *s);

void step_fini(struct step *s);

#endif
