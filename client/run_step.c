/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_step: starts the agent, or the srun that starts one on every node, and carries messages.  Called by run_agents.c.
 *
 * A step is over when it has ended *and* everything it wrote before was read: a seal that an agent reported with its
 * last breath counts.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "run_step.h"

extern char **environ;

/* ---- how: pure, but for looking at PATH ------------------------------------------------------------------------ */

static int find_in_path(char *out, size_t size, const char *program)
{
        const char *path = getenv("PATH"), *end;

        for (; path != NULL && *path != '\0'; path = *end != '\0' ? end + 1 : end) {
                end = path + strcspn(path, ":");
                if (end > path && snprintf(out, size, "%.*s/%s", (int)(end - path), path, program) < (int)size &&
                    access(out, X_OK) == 0)
                        return 0;
        }
        return -1;
}

static unsigned count_nodes(void)
{
        const char *text = getenv("SLURM_JOB_NUM_NODES");
        unsigned long n = text == NULL ? 1 : strtoul(text, NULL, 10);

        return n < 1 || n > STEP_NODES_MOST ? 1 : (unsigned)n;
}

const char *step_choose(struct step_plan *plan, int wanted)
{
        const char *job = getenv("SLURM_JOB_ID"), *named = getenv("STINT_SRUN");

        *plan = (struct step_plan){ .nodes = 1 };
        if (job == NULL || job[0] == '\0' || strlen(job) >= sizeof plan->job || (!wanted && named == NULL))
                return NULL;
        if (named != NULL && named[0] != '\0')
                snprintf(plan->srun, sizeof plan->srun, "%s", named);
        else if (find_in_path(plan->srun, sizeof plan->srun, "srun") != 0)
                return "srun is not in PATH, so the agent is no step of this job: a preemption will not be felt before "
                       "the kill, and only programs on this node find it";
        plan->slurm = 1;
        plan->nodes = count_nodes();
        snprintf(plan->job, sizeof plan->job, "%s", job);
        if (getenv("SLURM_HET_SIZE") != NULL)
                return "this is a heterogeneous job: only the nodes of its first component have an agent, and programs "
                       "on the others are not saved";
        return NULL;
}

int step_arguments(struct step_plan *plan, char *const *agent, char *out[STEP_ARGUMENTS])
{
        /*
         * kill-on-bad-exit: what starts a dead agent again on its node (agent/guard.c) has died itself when a task ends
         * badly; then the whole step ends, which is noticed, and is started again.
         */
        static char *const fixed[] = { "--ntasks-per-node=1", "--overlap", "--mem=0", "--gres=none", "--mpi=none",
                                       "--kill-on-bad-exit=1", "--wait=0", "--no-kill", "--job-name=stint-agent" };
        int n = 0;
        size_t i;

        snprintf(plan->jobid, sizeof plan->jobid, "--jobid=%s", plan->job);
        snprintf(plan->nodes_words[0], sizeof plan->nodes_words[0], "--nodes=%u", plan->nodes);
        snprintf(plan->nodes_words[1], sizeof plan->nodes_words[1], "--ntasks=%u", plan->nodes);
        out[n++] = "srun";
        out[n++] = plan->jobid;
        out[n++] = plan->nodes_words[0];
        out[n++] = plan->nodes_words[1];
        for (i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
                out[n++] = fixed[i];
        for (i = 0; agent[i] != NULL; i++) {
                if (n >= STEP_ARGUMENTS - 1)
                        return -1;
                out[n++] = agent[i];
        }
        out[n] = NULL;
        return 0;
}

static int is_slurms(const char *variable)
{
        static const char *const prefixes[] = { "SLURM_", "SRUN_", "SBATCH_", "SALLOC_", "SLURMD_" };
        size_t i;

        if (strncmp(variable, "SLURM_CONF=", 11) == 0)
                return 0;
        for (i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
                if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
                        return 1;
        return 0;
}

char **step_environment(char *const *ours, const struct step_plan *plan, char job[48])
{
        size_t n = 0, kept = 0, i;
        char **out;

        while (ours[n] != NULL)
                n++;
        out = calloc(n + 3, sizeof *out);
        if (out == NULL)
                return NULL;
        for (i = 0; i < n; i++)
                if (!is_slurms(ours[i]))
                        out[kept++] = ours[i];
        snprintf(job, 48, "SLURM_JOB_ID=%s", plan->job);
        out[kept++] = job;
        out[kept] = "SLURM_EXPORT_ENV=ALL";
        return out;
}

/* ---- what it says ---------------------------------------------------------------------------------------------- */

static int on_frame(void *arg, const struct wire_header *message)
{
        struct step *s = arg;

        s->events.on_message(s->arg, 0, message);
        return 0;
}

/* Others may write to the stdout of a step: a prolog, a wrapper around the agent. */
static void say_foreign(struct step *s, const char *line, size_t n)
{
        char text[120], shown[4 * sizeof text];

        if (s->said_foreign++)
                return;
        snprintf(text, sizeof text, "%.*s", (int)(n < 100 ? n : 100), line);
        log_warning("somebody writes to the stdout of the agents' step, which is passed over: %s",
                    log_escape(shown, sizeof shown, text));
}

static int on_line(void *arg, const char *line, size_t n)
{
        struct step *s = arg;
        struct armour_piece piece;
        struct stint_error err;

        if (armour_read(line, n, &piece) != 0 || piece.node >= s->nodes) {
                say_foreign(s, line, n);
                return 0;
        }
        switch (armour_add(&s->message[piece.node], &piece, &err)) {
        case 1:
                s->events.on_message(s->arg, piece.node,
                                     (const struct wire_header *)(const void *)s->message[piece.node].bytes);
                return 0;
        case 0:
                return 0;
        }
        log_error("the agent on node %u of this job speaks nonsense (%s); all agents are ended", piece.node, err.text);
        return -1;
}

static void on_allocate(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
        (void)handle;
        (void)wanted;
        buffer->base = malloc(WIRE_MOST);
        buffer->len = buffer->base == NULL ? 0 : WIRE_MOST;
}

static void look_whether_over(struct step *s);

static int take(struct step *s, const char *bytes, size_t n)
{
        struct stint_error err;

        if (s->armoured)
                return armour_feed(&s->lines, bytes, n, on_line, s);
        if (frame_feed(&s->frame, bytes, n, on_frame, s, &err) == 0)
                return 0;
        log_error("the agent speaks nonsense (%s); it is ended", err.text);
        return -1;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
        struct step *s = stream->data;

        if (n > 0 && take(s, buffer->base, (size_t)n) != 0)
                n = UV_EOF;
        free(buffer->base);
        if (n >= 0)
                return;
        uv_read_stop(stream);
        s->at_end = 1;
        if (!s->exited && !s->asked_to_end)
                uv_process_kill(&s->process, SIGKILL); /* without its stdout it is of no use */
        look_whether_over(s);
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

static size_t put_on(struct step *s, struct outgoing *out, uint32_t node, const void *message, size_t n)
{
        size_t used = 0, length;
        unsigned piece;

        if (!s->armoured) {
                memcpy(out->bytes, message, n);
                return n;
        }
        for (piece = 0; (length = armour_line(out->bytes + used, node, message, n, piece)) > 0; piece++)
                used += length;
        return used;
}

void step_send(struct step *s, uint32_t node, const void *message, size_t n)
{
        struct outgoing *out;
        uv_buf_t buffer;

        if (!s->running || uv_is_closing((uv_handle_t *)&s->to))
                return;
        out = malloc(sizeof *out + (s->armoured ? (n / ARMOUR_PIECE + 1) * ARMOUR_LINE : n));
        if (out == NULL)
                return;
        out->request.data = out;
        buffer = uv_buf_init(out->bytes, (unsigned)put_on(s, out, node, message, n));
        if (uv_write(&out->request, (uv_stream_t *)&s->to, &buffer, 1, on_written) != 0)
                free(out);
}

/* ---- its end --------------------------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
        struct step *s = handle->data;

        if (--s->open_handles == 0)
                s->events.on_closed(s->arg);
}

static void close_handle(uv_handle_t *handle)
{
        if (!uv_is_closing(handle))
                uv_close(handle, on_handle_closed);
}

static void close_all(struct step *s)
{
        s->running = 0;
        close_handle((uv_handle_t *)&s->to);
        close_handle((uv_handle_t *)&s->from);
        close_handle((uv_handle_t *)&s->process);
}

static void look_whether_over(struct step *s)
{
        if (!s->exited || !s->at_end)
                return;
        close_all(s);
        s->events.on_over(s->arg);
}

static void on_exit_of_process(uv_process_t *process, int64_t status, int signal)
{
        struct step *s = process->data;

        s->exited = 1;
        if (signal != 0)
                snprintf(s->how, sizeof s->how, "signal %d (%s)", signal, strsignal(signal));
        else
                snprintf(s->how, sizeof s->how, "exit status %" PRId64, status);
        look_whether_over(s);
}

void step_end(struct step *s)
{
        if (!s->running)
                return;
        s->asked_to_end = 1;
        close_handle((uv_handle_t *)&s->to);
}

void step_kill(struct step *s)
{
        if (s->running && !s->exited)
                uv_process_kill(&s->process, SIGKILL);
}

/* ---- its beginning --------------------------------------------------------------------------------------------- */

static int spawn(struct step *s, struct step_plan *plan, const char *program, char *const *args,
                 struct stint_error *err)
{
        char *by_srun[STEP_ARGUMENTS], job[48];
        uv_stdio_container_t stdio[3] = {
                { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&s->to },
                { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&s->from },
                { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
        };
        uv_process_options_t options = { .exit_cb = on_exit_of_process, .file = program, .args = (char **)args,
                                         .stdio = stdio, .stdio_count = 3 };
        int rc;

        if (plan->slurm) {
                options.env = step_environment(environ, plan, job);
                if (options.env == NULL || step_arguments(plan, args, by_srun) != 0) {
                        free(options.env);
                        return error_set(err, ENOMEM, "no memory to start the agents");
                }
                options.args = by_srun;
                options.file = plan->srun;
                options.flags = UV_PROCESS_DETACHED; /* a terminal's signals are not for it */
        }
        rc = uv_spawn(s->loop, &s->process, &options);
        free(options.env);
        if (rc != 0)
                return error_set(err, -rc, "%s cannot be started: %s%s", options.file, uv_strerror(rc),
                                 plan->slurm ? "" : " (STINT_LIBEXEC_DIR names its folder)");
        return 0;
}

int step_start(struct step *s, struct step_plan *plan, const char *program, char *const *args, struct stint_error *err)
{
        s->armoured = plan->slurm;
        s->exited = s->at_end = s->asked_to_end = s->said_foreign = 0;
        s->running = 1;
        frame_init(&s->frame);
        s->lines = (struct armour_lines){ 0 };
        memset(s->message, 0, s->nodes * sizeof *s->message);
        s->open_handles = 3;
        uv_pipe_init(s->loop, &s->to, 0);
        uv_pipe_init(s->loop, &s->from, 0);
        s->to.data = s->from.data = s->process.data = s;
        if (spawn(s, plan, program, args, err) != 0) {
                close_all(s); /* libuv wants them closed after a failed start too */
                return -1;
        }
        uv_read_start((uv_stream_t *)&s->from, on_allocate, on_read);
        return 0;
}

int step_init(struct step *s, uv_loop_t *loop, unsigned nodes, const struct step_events *events, void *arg,
              struct stint_error *err)
{
        *s = (struct step){ .loop = loop, .events = *events, .arg = arg, .nodes = nodes };
        s->message = calloc(nodes, sizeof *s->message);
        return s->message != NULL ? 0 : error_system(err, ENOMEM, "%u agents", nodes);
}

void step_fini(struct step *s)
{
        free(s->message);
        s->message = NULL;
}
