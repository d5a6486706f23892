/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_supervise: the program that `stint run` was given: started through `stint exec`, waited for, ended when it must
 * be.
 */
#ifndef STINT_RUN_SUPERVISE_H
#define STINT_RUN_SUPERVISE_H

#include <stdint.h>
#include <uv.h>
#include "error.h"

struct child {
        uv_process_t process;
        int started, running;
        int64_t status;      /* when it ended: its exit status, */
        int signal;          /* or the signal that ended it */
        void (*on_exit)(void *arg);
        void *arg;
};

/* Starts `stint exec -- COMMAND` with this process's stdin, stdout and stderr. */
int child_start(struct child *c, uv_loop_t *loop, char *const *command, void (*on_exit)(void *arg), void *arg,
                struct stint_error *err);

/* Sends a signal to the program and to everything that descends from it; not to the process `but` (an agent, or the srun
 * of several) and what comes from that. */
void child_signal(const struct child *c, int signal, pid_t but);

/* Kills everything that still descends from this process, so that nothing outlives the stint. */
void child_kill_rest(void);

/* The exit code a shell would give: its status, or 128 + signal. */
int child_exit_code(const struct child *c);

/* "exit status 3", "signal 11 (Segmentation fault)".  Answers out. */
const char *child_how(const struct child *c, char *out, size_t size);

void child_close(struct child *c);

#endif
