/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_agents: who of the agents is there, what is said to whom, and starting them again.  Called by run_story.c; what
 * agents say goes on to run_events.c.
 */
#include <inttypes.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "libexec.h"
#include "log.h"
#include "run_agents.h"

static int start_step(struct agents *a, struct stint_error *err);

/* ---- what they say --------------------------------------------------------------------------------------------- */

static void on_ready(struct agents *a, unsigned agent, const struct wire_agent_ready *m)
{
        struct agent *g = &a->agent[agent];

        snprintf(g->node, sizeof g->node, "%s", m->node);
        snprintf(g->socket, sizeof g->socket, "%s", m->socket);
        g->state = AGENT_READY;
        a->ever_ready = 1;
        a->events.on_ready(a->arg, agent);
}

static void on_died(struct agents *a, unsigned agent, const struct wire_agent_died *m)
{
        struct agent *g = &a->agent[agent];

        g->state = m->restarting ? AGENT_LOST : AGENT_OVER;
        g->came_back = 1;
        a->events.on_lost(a->arg, agent, m->how, m->restarting != 0);
}

static void on_message(void *arg, unsigned node, const struct wire_header *message)
{
        struct agents *a = arg;

        if (message->type == WIRE_AGENT_READY)
                on_ready(a, node, (const struct wire_agent_ready *)(const void *)message);
        else if (message->type == WIRE_AGENT_DIED)
                on_died(a, node, (const struct wire_agent_died *)(const void *)message);
        else
                a->events.on_message(a->arg, node, message);
}

/* ---- what is said to them -------------------------------------------------------------------------------------- */

void agents_send(struct agents *a, unsigned agent, const void *message, size_t n)
{
        if (agent == AGENTS_ALL)
                agents_send_all(a, message, n);
        else if (agent < a->n && a->agent[agent].state == AGENT_READY)
                step_send(&a->step, agent, message, n);
}

/* An agent that is only starting may hear it too, and has no program yet to which it could mean anything. */
void agents_send_all(struct agents *a, const void *message, size_t n)
{
        unsigned i;

        for (i = 0; i < a->n; i++)
                if (a->agent[i].state == AGENT_READY) {
                        step_send(&a->step, ARMOUR_ALL, message, n);
                        return;
                }
}

/* ---- their end ------------------------------------------------------------------------------------------------- */

static void on_end_timer_closed(uv_handle_t *timer)
{
        struct agents *a = timer->data;

        a->events.on_all_over(a->arg);
}

static void look_whether_all_over(struct agents *a)
{
        if (a->stopping && a->step.open_handles == 0 && !uv_is_closing((uv_handle_t *)&a->end_timer))
                uv_close((uv_handle_t *)&a->end_timer, on_end_timer_closed);
}

static void set_all(struct agents *a, enum agent_state state)
{
        unsigned i;

        for (i = 0; i < a->n; i++) {
                a->agent[i].state = state;
                a->agent[i].came_back |= state == AGENT_LOST;
        }
}

/* One that dies again and again is broken; one that died now and then in a month was unlucky. */
static int may_restart(const struct agents *a)
{
        const int64_t oldest_ns = a->restarted_ns[a->restarts % AGENT_RESTARTS];

        return oldest_ns == 0 || clock_now() - oldest_ns > AGENT_RESTARTS_IN;
}

/* A step that never came about, on the one node that there is: the agent is as good there as a child. */
static int falls_back(struct agents *a)
{
        if (!a->plan.slurm || a->n > 1 || a->ever_ready || a->stopping)
                return 0;
        a->plan.slurm = 0;
        log_warning("the agent could not be started as a step of this job (srun: %s), and is started beside it: a "
                    "preemption will not be felt before the kill",
                    a->step.how);
        return 1;
}

static void on_over(void *arg)
{
        struct agents *a = arg;
        const int asked = a->step.asked_to_end || a->stopping;

        if (falls_back(a)) {
                a->comes_back = 1;
                set_all(a, AGENT_STARTING);
                return;
        }
        a->comes_back = !asked && may_restart(a);
        set_all(a, a->comes_back ? AGENT_LOST : AGENT_OVER);
        if (!asked)
                a->events.on_lost(a->arg, AGENTS_ALL, a->step.how, a->comes_back);
}

static void on_closed(void *arg)
{
        struct agents *a = arg;
        struct stint_error err;

        if (a->comes_back && !a->stopping) {
                a->comes_back = 0;
                a->restarted_ns[a->restarts++ % AGENT_RESTARTS] = clock_now();
                if (start_step(a, &err) != 0)
                        a->events.on_lost(a->arg, AGENTS_ALL, err.text, 0);
                return;
        }
        set_all(a, AGENT_OVER);
        look_whether_all_over(a);
}

static void on_end_timer(uv_timer_t *timer)
{
        struct agents *a = timer->data;

        if (!a->step.running || a->step.exited)
                return;
        log_warning("%s did not end when told to; killed", a->n > 1 ? "the agents" : "the agent");
        step_kill(&a->step);
}

void agents_stop(struct agents *a, int64_t limit_ns)
{
        if (a->stopping)
                return;
        a->stopping = 1;
        uv_timer_start(&a->end_timer, on_end_timer, (uint64_t)(limit_ns / CLOCK_MS), 0);
        step_end(&a->step);
        look_whether_all_over(a);
}

/* ---- their beginning ------------------------------------------------------------------------------------------- */

static int start_step(struct agents *a, struct stint_error *err)
{
        char path[RUNDIR_PATH], stint[16], staging[24];
        char *args[] = { path, "--dir", a->dir, "--stint", stint, "--run-id", a->run_id, "--socket", a->pattern,
                         NULL, NULL, NULL, NULL };
        char **end = args + 9;

        if (a->staging_bytes > 0) {
                *end++ = "--staging";
                *end++ = staging;
        }
        if (a->plan.slurm)
                *end = "--armour";
        snprintf(staging, sizeof staging, "%" PRIu64, a->staging_bytes);
        libexec_program(path, sizeof path, "stint-agent", "agent");
        snprintf(stint, sizeof stint, "%" PRIu32, a->stint);
        set_all(a, AGENT_STARTING);
        if (step_start(&a->step, &a->plan, path, args, err) == 0)
                return 0;
        set_all(a, AGENT_OVER);
        return -1;
}

/*
 * Several nodes may be simulated on one machine, hence the node in the name.  Nobody can guess the number in it, so
 * nobody can listen under the name before the agent does.
 */
static int name_sockets(struct agents *a, struct stint_error *err)
{
        uint64_t number;

        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
                return error_system(err, errno, "no random bytes for the name of the agent's socket");
        snprintf(a->pattern, sizeof a->pattern, "stint-%u-%.8s-%u-%016" PRIx64 "%s", (unsigned)getuid(), a->run_id,
                 a->stint, number, a->plan.slurm ? "-%n" : "");
        return 0;
}

int agents_init(struct agents *a, uv_loop_t *loop, int as_step, const char *dir, uint32_t stint, const char *run_id,
                const struct agents_events *events, void *arg, struct stint_error *err)
{
        static const struct step_events step_events = { on_message, on_over, on_closed };
        struct step_plan plan;
        const char *to_say = step_choose(&plan, as_step);

        *a = (struct agents){
                .loop = loop, .events = *events, .arg = arg, .stint = stint, .plan = plan, .n = plan.nodes};
        a->agent = calloc(a->n, sizeof *a->agent);
        if (a->agent == NULL || step_init(&a->step, loop, a->n, &step_events, a, err) != 0) {
                free(a->agent);
                *a = (struct agents){ 0 };
                return error_system(err, ENOMEM, "%u agents", plan.nodes);
        }
        snprintf(a->dir, sizeof a->dir, "%s", dir);
        snprintf(a->run_id, sizeof a->run_id, "%s", run_id);
        if (name_sockets(a, err) != 0) {
                agents_fini(a);
                *a = (struct agents){ 0 };
                return -1;
        }
        if (to_say != NULL)
                log_warning("stint %u: %s", stint, to_say);
        uv_timer_init(loop, &a->end_timer);
        a->end_timer.data = a;
        uv_unref((uv_handle_t *)&a->end_timer);
        return 0;
}

int agents_start(struct agents *a, struct stint_error *err)
{
        return start_step(a, err);
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
                if (a->agent[i].state == AGENT_LOST || (a->agent[i].state == AGENT_STARTING && a->agent[i].came_back))
                        return 1;
        return 0;
}

const char *agents_who(const struct agents *a, unsigned agent, char *out, size_t size)
{
        if (a->n == 1)
                snprintf(out, size, "the agent");
        else if (agent >= a->n)
                snprintf(out, size, "the agents of all %u nodes", a->n);
        else
                snprintf(out, size, "the agent on %s",
                         a->agent[agent].node[0] != '\0' ? a->agent[agent].node : "a node");
        return out;
}

pid_t agents_pid(const struct agents *a)
{
        return a->step.running && !a->step.exited ? a->step.process.pid : 0;
}

void agents_fini(struct agents *a)
{
        step_fini(&a->step);
        free(a->agent);
        a->agent = NULL;
}
