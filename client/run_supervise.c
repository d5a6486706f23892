/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_supervise: the child of `stint run` and everything that comes from it.  `stint run` is a subreaper
 * (process_tree.h), so helpers of the program cannot get out of its sight by losing their parent.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "process_tree.h"
#include "run_supervise.h"

#define KILL_ROUNDS 100

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal)
{
        struct child *c = process->data;

        c->running = 0;
        c->status = status;
        c->signal = signal;
        c->on_exit(c->arg);
}

/* "stint exec --parent PID -- COMMAND": shielded from SIGTERM, and gone when this process is. */
static char **exec_arguments(char *const *command, char *parent)
{
        char *const before[] = { "stint", "exec", "--parent", parent, "--" };
        const size_t n_before = sizeof before / sizeof *before;
        size_t n = 0;
        char **args;

        while (command[n] != NULL)
                n++;
        args = calloc(n_before + n + 1, sizeof *args);
        if (args == NULL)
                return NULL;
        memcpy(args, before, sizeof before);
        memcpy(args + n_before, command, n * sizeof *args);
        return args;
}

int child_start(struct child *c, uv_loop_t *loop, char *const *command, void (*on_exit)(void *arg), void *arg,
                struct stint_error *err)
{
        uv_stdio_container_t stdio[3] = {
                { .flags = UV_INHERIT_FD, .data.fd = STDIN_FILENO },
                { .flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO },
                { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
        };
        uv_process_options_t options = {
                .exit_cb = on_exit_of_child, .file = "/proc/self/exe", .stdio = stdio, .stdio_count = 3
        };
        char parent[16];
        int rc;

        *c = (struct child){ .on_exit = on_exit, .arg = arg };
        snprintf(parent, sizeof parent, "%d", (int)getpid());
        options.args = exec_arguments(command, parent);
        if (options.args == NULL)
                return error_set(err, ENOMEM, "the program %s cannot be started: no memory", command[0]);
        c->process.data = c;
        rc = uv_spawn(loop, &c->process, &options);
        free(options.args);
        c->started = 1; /* its handle has to be closed either way */
        if (rc != 0)
                return error_set(err, -rc, "the program %s cannot be started: %s", command[0], uv_strerror(rc));
        c->running = 1;
        return 0;
}

void child_signal(const struct child *c, int signal, pid_t but)
{
        const int signals[] = { signal, 0 };
        struct stint_error err;

        if (process_tree_signal_but(but, signals, &err) < 0) {
                log_warning("%s; only the program itself is signalled", err.text);
                if (c->running)
                        kill(c->process.pid, signal);
        }
}

void child_kill_rest(void)
{
        const int signals[] = { SIGKILL, 0 };
        int round;

        for (round = 0; round < KILL_ROUNDS; round++)
                if (process_tree_signal(0, signals, NULL) <= 0)
                        return;
}

int child_exit_code(const struct child *c)
{
        return c->signal != 0 ? 128 + c->signal : (int)c->status;
}

const char *child_how(const struct child *c, char *out, size_t size)
{
        if (c->signal != 0)
                snprintf(out, size, "signal %d (%s)", c->signal, strsignal(c->signal));
        else
                snprintf(out, size, "exit status %" PRId64, c->status);
        return out;
}

void child_close(struct child *c)
{
        if (c->started && !uv_is_closing((uv_handle_t *)&c->process))
                uv_close((uv_handle_t *)&c->process, NULL);
}
