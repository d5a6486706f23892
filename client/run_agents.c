/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_agents: starting stint-agent, speaking with it over its stdin and stdout, and starting it again when it died.
 * Called by run_story.c; what agents say goes on to run_events.c.
 *
 * An agent is lost when it has ended *and* everything it wrote before was read: a seal that it reported with its last
 * breath counts.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "run_agents.h"

#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/local/libexec/stint"
#endif

static int start_one(struct agent *g, struct stint_error *err);

/* ---- what it says ---------------------------------------------------------------------------------------------- */

static int on_frame(void *arg, const struct wire_header *message)
{
        struct agent *g = arg;

        if (message->type == WIRE_AGENT_READY) {
                const struct wire_agent_ready *m = (const struct wire_agent_ready *)(const void *)message;

                snprintf(g->node, sizeof g->node, "%s", m->node);
                g->state = AGENT_READY;
                g->all->events.on_ready(g->all->arg, g->index);
                return 0;
        }
        g->all->events.on_message(g->all->arg, g->index, message);
        return 0;
}

static void on_allocate(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
        (void)handle;
        (void)wanted;
        buffer->base = malloc(WIRE_MOST);
        buffer->len = buffer->base == NULL ? 0 : WIRE_MOST;
}

static void look_whether_lost(struct agent *g);

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
        struct agent *g = stream->data;
        struct stint_error err;

        if (n > 0 && frame_feed(&g->frame, buffer->base, (size_t)n, on_frame, g, &err) != 0) {
                log_error("the agent%s%s speaks nonsense (%s); it is ended", g->node[0] != '\0' ? " on " : "", g->node,
                          err.text);
                n = UV_EOF;
        }
        free(buffer->base);
        if (n >= 0)
                return;
        uv_read_stop(stream);
        g->at_end = 1;
        if (!g->exited && !g->asked_to_end)
                uv_process_kill(&g->process, SIGKILL); /* without its stdout it is of no use */
        look_whether_lost(g);
}

/* ---- what is said to it ---------------------------------------------------------------------------------------- */

struct outgoing {
        uv_write_t request;
        char bytes[];
};

static void on_written(uv_write_t *request, int status)
{
        (void)status; /* a broken pipe is noticed by its end */
        free(request->data);
}

void agents_send(struct agents *a, unsigned agent, const void *message, size_t n)
{
        struct agent *g = &a->agent[agent];
        struct outgoing *out;
        uv_buf_t buffer;

        if (g->state != AGENT_READY || uv_is_closing((uv_handle_t *)&g->to))
                return;
        out = malloc(sizeof *out + n);
        if (out == NULL)
                return;
        memcpy(out->bytes, message, n);
        out->request.data = out;
        buffer = uv_buf_init(out->bytes, (unsigned)n);
        if (uv_write(&out->request, (uv_stream_t *)&g->to, &buffer, 1, on_written) != 0)
                free(out);
}

void agents_send_all(struct agents *a, const void *message, size_t n)
{
        unsigned i;

        for (i = 0; i < a->n; i++)
                agents_send(a, i, message, n);
}

/* ---- its end --------------------------------------------------------------------------------------------------- */

static void on_end_timer_closed(uv_handle_t *timer)
{
        struct agents *a = timer->data;

        a->events.on_all_over(a->arg);
}

static void look_whether_all_over(struct agents *a)
{
        unsigned i;

        for (i = 0; i < a->n; i++)
                if (a->agent[i].state != AGENT_OVER && a->agent[i].state != AGENT_NONE)
                        return;
        if (a->stopping && !uv_is_closing((uv_handle_t *)&a->end_timer))
                uv_close((uv_handle_t *)&a->end_timer, on_end_timer_closed);
}

static void on_handle_closed(uv_handle_t *handle)
{
        struct agent *g = handle->data;
        struct stint_error err;

        if (--g->open_handles > 0)
                return;
        if (g->comes_back && !g->all->stopping) {
                g->restarted_ns[g->restarts++ % AGENT_RESTARTS] = clock_now();
                if (start_one(g, &err) != 0)
                        g->all->events.on_lost(g->all->arg, g->index, err.text, 0);
                return;
        }
        g->state = AGENT_OVER;
        look_whether_all_over(g->all);
}

static void close_handle(uv_handle_t *handle)
{
        if (!uv_is_closing(handle))
                uv_close(handle, on_handle_closed);
}

static void close_all(struct agent *g)
{
        g->state = AGENT_LOST;
        close_handle((uv_handle_t *)&g->to);
        close_handle((uv_handle_t *)&g->from);
        close_handle((uv_handle_t *)&g->process);
}

/* One that dies again and again is broken; one that died now and then in a month was unlucky. */
static int may_restart(const struct agent *g)
{
        const int64_t oldest_ns = g->restarted_ns[g->restarts % AGENT_RESTARTS];

        return oldest_ns == 0 || clock_now() - oldest_ns > AGENT_RESTARTS_IN;
}

static void look_whether_lost(struct agent *g)
{
        struct agents *a = g->all;

        if (!g->exited || !g->at_end)
                return;
        g->comes_back = !g->asked_to_end && !a->stopping && may_restart(g);
        close_all(g);
        if (!g->asked_to_end)
                a->events.on_lost(a->arg, g->index, g->how, g->comes_back);
}

static void on_exit_of_agent(uv_process_t *process, int64_t status, int signal)
{
        struct agent *g = process->data;

        g->exited = 1;
        if (signal != 0)
                snprintf(g->how, sizeof g->how, "signal %d (%s)", signal, strsignal(signal));
        else
                snprintf(g->how, sizeof g->how, "exit status %" PRId64, status);
        look_whether_lost(g);
}

static void on_end_timer(uv_timer_t *timer)
{
        struct agents *a = timer->data;
        unsigned i;

        for (i = 0; i < a->n; i++)
                if ((a->agent[i].state == AGENT_STARTING || a->agent[i].state == AGENT_READY) && !a->agent[i].exited) {
                        log_warning("the agent did not end when it was told to; it is killed");
                        uv_process_kill(&a->agent[i].process, SIGKILL);
                }
}

void agents_stop(struct agents *a, int64_t limit_ns)
{
        unsigned i;

        if (a->stopping)
                return;
        a->stopping = 1;
        uv_timer_start(&a->end_timer, on_end_timer, (uint64_t)(limit_ns / CLOCK_MS), 0);
        for (i = 0; i < a->n; i++)
                if (a->agent[i].state == AGENT_STARTING || a->agent[i].state == AGENT_READY) {
                        a->agent[i].asked_to_end = 1;
                        close_handle((uv_handle_t *)&a->agent[i].to);
                }
        look_whether_all_over(a);
}

/* ---- its beginning --------------------------------------------------------------------------------------------- */

/* Where this program lies, with what leads from there to the agent; -1 when there is none. */
static int beside_us(char *out, size_t size, const char *way)
{
        ssize_t n = readlink("/proc/self/exe", out, size - 1);
        char *slash;

        if (n <= 0)
                return -1;
        out[n] = '\0';
        slash = strrchr(out, '/');
        if (slash == NULL || (size_t)(slash - out) + strlen(way) + 2 > size)
                return -1;
        strcpy(slash + 1, way);
        return access(out, X_OK);
}

void agents_program(char *out, size_t size)
{
        const char *dir = getenv("STINT_LIBEXEC_DIR");

        snprintf(out, size, "%s/stint-agent", dir != NULL && dir[0] != '\0' ? dir : LIBEXECDIR);
        if ((dir != NULL && dir[0] != '\0') || access(out, X_OK) == 0)
                return;
        /* Moved as a whole, or not installed at all. */
        if (beside_us(out, size, "../libexec/stint/stint-agent") != 0 && beside_us(out, size, "../agent/stint-agent") != 0)
                snprintf(out, size, "%s/stint-agent", LIBEXECDIR);
}

static int spawn(struct agent *g, struct stint_error *err)
{
        char path[RUNDIR_PATH], stint[16];
        char *args[] = { "stint-agent", "--dir",    g->all->dir, "--stint",  stint, "--run-id",
                         g->all->run_id, "--socket", g->socket,  NULL };
        uv_stdio_container_t stdio[3] = {
                { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&g->to },
                { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&g->from },
                { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
        };
        uv_process_options_t options = { .exit_cb = on_exit_of_agent, .file = path, .args = args, .stdio = stdio,
                                         .stdio_count = 3 };
        int rc;

        agents_program(path, sizeof path);
        snprintf(stint, sizeof stint, "%" PRIu32, g->all->stint);
        rc = uv_spawn(g->all->loop, &g->process, &options);
        if (rc != 0)
                return error_set(err, -rc, "%s cannot be started: %s (STINT_LIBEXEC_DIR names its folder)", path,
                                 uv_strerror(rc));
        return 0;
}

static int start_one(struct agent *g, struct stint_error *err)
{
        frame_init(&g->frame);
        g->exited = g->at_end = 0;
        g->open_handles = 3;
        uv_pipe_init(g->all->loop, &g->to, 0);
        uv_pipe_init(g->all->loop, &g->from, 0);
        g->to.data = g->from.data = g->process.data = g;
        g->state = AGENT_STARTING;
        if (spawn(g, err) != 0) {
                g->comes_back = 0;
                close_all(g); /* libuv wants them closed after a failed start too */
                return -1;
        }
        uv_read_start((uv_stream_t *)&g->from, on_allocate, on_read);
        return 0;
}

int agents_init(struct agents *a, uv_loop_t *loop, unsigned n, const char *dir, uint32_t stint, const char *run_id,
                const struct agents_events *events, void *arg, struct stint_error *err)
{
        unsigned i;

        *a = (struct agents){ .loop = loop, .events = *events, .arg = arg, .stint = stint, .n = n };
        a->agent = calloc(n, sizeof *a->agent);
        if (a->agent == NULL) {
                *a = (struct agents){ 0 };
                return error_system(err, ENOMEM, "%u agents", n);
        }
        snprintf(a->dir, sizeof a->dir, "%s", dir);
        snprintf(a->run_id, sizeof a->run_id, "%s", run_id);
        for (i = 0; i < n; i++) {
                a->agent[i].all = a;
                a->agent[i].index = i;
                snprintf(a->agent[i].socket, sizeof a->agent[i].socket, "stint-%u-%.16s-%u-%u-%d", (unsigned)getuid(),
                         run_id, stint, i, (int)getpid());
        }
        uv_timer_init(loop, &a->end_timer);
        a->end_timer.data = a;
        uv_unref((uv_handle_t *)&a->end_timer);
        return 0;
}

int agents_start(struct agents *a, struct stint_error *err)
{
        unsigned i;

        for (i = 0; i < a->n; i++)
                if (start_one(&a->agent[i], err) != 0)
                        return -1;
        return 0;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

int agents_all_ready(const struct agents *a)
{
        unsigned i;

        for (i = 0; i < a->n; i++)
                if (a->agent[i].state != AGENT_READY)
                        return 0;
        return 1;
}

int agents_any_restarting(const struct agents *a)
{
        unsigned i;

        for (i = 0; i < a->n; i++)
                if ((a->agent[i].state == AGENT_LOST && a->agent[i].comes_back) ||
                    (a->agent[i].state == AGENT_STARTING && a->agent[i].restarts > 0))
                        return 1;
        return 0;
}

pid_t agents_pid(const struct agents *a)
{
        unsigned i;

        for (i = 0; i < a->n; i++)
                if ((a->agent[i].state == AGENT_STARTING || a->agent[i].state == AGENT_READY) && !a->agent[i].exited)
                        return a->agent[i].process.pid;
        return 0;
}

void agents_fini(struct agents *a)
{
        free(a->agent);
        a->agent = NULL;
}
