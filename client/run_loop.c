/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_loop: the event loop of a stint, and the program whose life it lasts: when that is started, how long it has once
 * it is to end, and whether everything is over.  What an event means, run_events.c knows; the process itself is in
 * run_supervise.c.  run_story.c opens, runs and ends the loop; events and saves say when the program starts and ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log.h"
#include "run_attend.h"
#include "run_events.h"
#include "run_loop.h"
#include "run_saving.h"
#include "run_stopped.h"
#include "run_story.h"

#define AGENT_START_LIMIT (30 * CLOCK_SECOND) /* then the program starts without waiting for it */
#define AGENT_STOP_LIMIT (10 * CLOCK_SECOND)
#define STOP_LIMIT (10 * CLOCK_SECOND)        /* a program that was told to stop has so long to do it */
#define GONE_LIMIT (2 * CLOCK_SECOND)         /* the program has ended; its ranks are said to be gone by then */
#define SAVE_END_LIMIT (10 * CLOCK_SECOND)    /* the same, with a save in flight */

/* ---- the program ----------------------------------------------------------------------------------------------- */

static void on_patience_over(uv_timer_t *timer)
{
        struct run *r = timer->data;

        r->patience_over = 1;
        saving_give_up(r, "the program ended before the save was whole");
        loop_look_for_end(r);
}

static void on_child_exit(void *arg)
{
        struct run *r = arg;
        int64_t limit_ns = save_in_flight(&r->save) ? SAVE_END_LIMIT : GONE_LIMIT;

        r->child_ended = 1;
        r->ending.child_code = (int)r->child.status;
        r->ending.child_signal = r->child.signal;
        uv_timer_stop(&r->child_timer);
        uv_timer_start(&r->wait_timer, on_patience_over, (uint64_t)(limit_ns / CLOCK_MS), 0);
        loop_look_for_end(r);
}

void loop_start_program(struct run *r)
{
        struct stint_error err;

        if (r->o->attend_fd >= 0) {
                attend_tell(r, agents_all_ready(&r->agents));
                return;
        }
        if (r->child.started || r->over)
                return;
        if (child_start(&r->child, &r->loop, r->o->command, on_child_exit, r, &err) == 0)
                return;
        log_error("stint %u: %s", r->stint, err.text);
        r->child.status = EXIT_NO_EXEC;
        on_child_exit(r);
}

static void on_kill(uv_timer_t *timer)
{
        struct run *r = timer->data;

        if (!r->child.running)
                return;
        log_warning("stint %u: %s; it is killed", r->stint, r->kill_text);
        child_signal(&r->child, SIGKILL, agents_pid(&r->agents));
}

void loop_end_program_in(struct run *r, int64_t limit_ns, const char *text)
{
        if (!r->child.running)
                return;
        snprintf(r->kill_text, sizeof r->kill_text, "%s", text);
        uv_timer_start(&r->child_timer, on_kill, (uint64_t)(limit_ns / CLOCK_MS), 0);
}

void loop_await_stop(struct run *r)
{
        int64_t left_ns = run_deadline_left(&r->deadline), limit_ns = STOP_LIMIT;

        if (left_ns != CLOCK_NEVER && left_ns < limit_ns)
                limit_ns = left_ns > CLOCK_SECOND ? left_ns : CLOCK_SECOND;
        loop_end_program_in(r, limit_ns, "the program was told to stop, its state is saved, and it has not ended");
}

/* ---- everything is over ---------------------------------------------------------------------------------------- */

static int program_is_over(const struct run *r)
{
        if (r->o->attend_fd >= 0)
                return attend_is_over(r);
        return r->child_ended && (r->ranks.present == 0 || r->patience_over);
}

void loop_look_for_end(struct run *r)
{
        if (r->over || !program_is_over(r) || save_in_flight(&r->save) || r->completing || work_pending(&r->work))
                return;
        r->over = 1;
        listen_answer(&r->listen, 0, ECANCELED, r->landed_step, 0, 0, "the program has ended");
        listen_close(&r->listen);
        agents_stop(&r->agents, AGENT_STOP_LIMIT);
}

void loop_close_handles(struct run *r)
{
        run_deadline_close(&r->deadline);
        child_close(&r->child);
        uv_close((uv_handle_t *)&r->signal_poll, NULL);
        uv_close((uv_handle_t *)&r->tick_timer, NULL);
        uv_close((uv_handle_t *)&r->wait_timer, NULL);
        uv_close((uv_handle_t *)&r->child_timer, NULL);
        uv_close((uv_handle_t *)&r->listing.timer, NULL);
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

/* Blocked before any thread is made, so that they arrive here and nowhere else, also after the loop has ended. */
static int block_signals(struct run *r, struct stint_error *err)
{
        sigset_t ours;

        sigemptyset(&ours);
        sigaddset(&ours, SIGTERM);
        sigaddset(&ours, SIGINT);
        sigaddset(&ours, SIGHUP);
        sigprocmask(SIG_BLOCK, &ours, NULL);
        signal(SIGPIPE, SIG_IGN);
        r->signal_fd = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
        return r->signal_fd >= 0 ? 0 : error_system(err, errno, "signals cannot be listened to");
}

static void on_signal(uv_poll_t *poll, int status, int events)
{
        struct run *r = poll->data;
        struct signalfd_siginfo info;

        (void)events;
        while (status == 0 && read(r->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
                event_signal(r, (int)info.ssi_signo);
}

static void on_tick(uv_timer_t *timer)
{
        struct run *r = timer->data;

        progress_tick(r);
        event_tick(r);
        saving_tick(r);
        stopped_look(r);
        successor_tick(r);
        if (!r->child.started && clock_now() - r->began_ns > AGENT_START_LIMIT && !r->over) {
                log_warning("stint %u: the agent has not answered for %d s; the program is started all the same",
                            r->stint, (int)(AGENT_START_LIMIT / CLOCK_SECOND));
                loop_start_program(r);
        }
        loop_look_for_end(r);
}

static int init_handles(struct run *r, struct stint_error *err)
{
        int rc = uv_loop_init(&r->loop);

        if (rc != 0)
                return error_set(err, -rc, "no event loop: %s", uv_strerror(rc));
        r->has_loop = 1;
        uv_poll_init(&r->loop, &r->signal_poll, r->signal_fd);
        uv_timer_init(&r->loop, &r->tick_timer);
        uv_timer_init(&r->loop, &r->wait_timer);
        uv_timer_init(&r->loop, &r->child_timer);
        uv_timer_init(&r->loop, &r->listing.timer);
        r->signal_poll.data = r->tick_timer.data = r->wait_timer.data = r->child_timer.data = r;
        r->listing.timer.data = r;
        work_init(&r->work, &r->loop);
        return 0;
}

int loop_open(struct run *r, struct stint_error *err)
{
        return block_signals(r, err) != 0 || init_handles(r, err) != 0 ? -1 : 0;
}

static void name_handle(uv_handle_t *handle, void *arg)
{
        (void)arg;
        log_error("still open at the end: %s", uv_handle_type_name(handle->type));
}

/* A handle that is open here would be one that nobody watches: better a loud end than a silent leak. */
static void close_loop(struct run *r)
{
        if (uv_loop_close(&r->loop) == 0)
                return;
        uv_walk(&r->loop, name_handle, NULL);
        abort();
}

void loop_run(struct run *r)
{
        uv_poll_start(&r->signal_poll, UV_READABLE, on_signal);
        uv_timer_start(&r->tick_timer, on_tick, 1000, 1000);
        uv_run(&r->loop, UV_RUN_DEFAULT);
        close_loop(r);
}

void loop_break_off(struct run *r)
{
        r->over = 1;
        listen_close(&r->listen);
        if (r->agents.loop != NULL)
                agents_stop(&r->agents, AGENT_STOP_LIMIT); /* loop_close_handles follows */
        else if (r->has_loop)
                loop_close_handles(r);
        if (!r->has_loop)
                return;
        uv_run(&r->loop, UV_RUN_DEFAULT);
        close_loop(r);
}
