/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_story: one stint from its first line to its last.  run_stint() at the end of this file is the story; what is above it
 * are its steps, in the order in which they happen.  cmd_run.c calls in.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "duration.h"
#include "fault.h"
#include "log.h"
#include "process_tree.h"
#include "run_attend.h"
#include "run_events.h"
#include "run_measured.h"
#include "run_requeue.h"
#include "run_saving.h"
#include "run_story.h"

#define AGENT_START_LIMIT (30 * CLOCK_SECOND)  /* then the program starts without waiting for it */
#define AGENT_STOP_LIMIT (10 * CLOCK_SECOND)
#define STOP_LIMIT (10 * CLOCK_SECOND)         /* a program that was told to stop has so long to do it */
#define GONE_LIMIT (2 * CLOCK_SECOND)          /* the program has ended; its ranks are said to be gone by then */
#define SAVE_END_LIMIT (10 * CLOCK_SECOND)     /* the same, with a save in flight */
#define REQUEUE_WAIT (60 * CLOCK_SECOND)

/* ---- what every room needs ------------------------------------------------------------------------------------- */

void story_note(struct run *r, const char *event, json_t *fields)
{
        struct stint_error err;

        if (!r->has_journal || r->ending.lease_lost) {
                json_decref(fields);
                return;
        }
        if (journal_add(&r->journal, event, fields, &err) == 0) {
                r->journal_said = 0;
                return;
        }
        if (!r->journal_said)
                log_warning("stint %u: %s; the journal has gaps from here on", r->stint, err.text);
        r->journal_said = 1;
}

static void warn_of(struct run *r, const char *event, const json_t *fields)
{
        const char *name = json_string_value(json_object_get(fields, "checkpoint"));
        const char *reason = json_string_value(json_object_get(fields, "reason"));

        if (name == NULL)
                return;
        if (strcmp(event, "finished_part") == 0)
                log_notice("stint %u: %s was sealed by all ranks and is whole now", r->stint, name);
        else if (reason != NULL)
                log_warning("stint %u: %s: %s: %s", r->stint, event, name, reason);
}

void story_note_all(struct run *r, json_t *events)
{
        size_t i;
        json_t *event;

        json_array_foreach(events, i, event) {
                json_t *fields = json_copy(event);
                char name[64];

                snprintf(name, sizeof name, "%s", json_string_value(json_object_get(event, "event")));
                json_object_del(fields, "event");
                if (strcmp(name, "finished_part") == 0)
                        r->landed_step = json_integer_value(json_object_get(fields, "step"));
                warn_of(r, name, fields);
                story_note(r, name, fields);
        }
        json_decref(events);
}

struct commit story_commit(const struct run *r)
{
        return (struct commit){ .run_dir = r->o->dir, .run_id = r->identity.run_id, .lease = &r->lease, .stint = r->stint,
                                .keep = r->o->keep };
}

void story_lease_lost(struct run *r, const struct stint_error *err)
{
        if (r->ending.lease_lost)
                return;
        log_error("stint %u: %s; the program is left alone, and goes on without checkpoints", r->stint, err->text);
        r->ending.lease_lost = 1;
}

void story_tell_deadline(struct run *r)
{
        struct wire_run_deadline m = { .left_ns = run_deadline_left(&r->deadline), .cause = r->deadline.cause };

        WIRE_INIT(&m, WIRE_RUN_DEADLINE);
        agents_send_all(&r->agents, &m, sizeof m);
}

void story_tell_measured(struct run *r)
{
        struct wire_run_measured m;

        measured_message(&r->measured, r->o, &m);
        agents_send_all(&r->agents, &m, sizeof m);
}

void story_tell_best(struct run *r)
{
        struct wire_run_best m = { .goal = r->best.goal, .value = r->best.value };

        WIRE_INIT(&m, WIRE_RUN_BEST);
        memcpy(m.name, r->best.name, sizeof m.name);
        agents_send_all(&r->agents, &m, sizeof m);
}

/* ---- the run directory ----------------------------------------------------------------------------------------- */

static int make_dir(const char *path, struct stint_error *err)
{
        if (mkdir(path, 0777) == 0 || errno == EEXIST)
                return 0;
        return error_system(err, errno, "the run directory %s cannot be created", path);
}

static int make_dirs(const char *path, struct stint_error *err)
{
        char part[RUNDIR_PATH + RUNDIR_NAME];
        char *slash;

        snprintf(part, sizeof part, "%s", path);
        for (slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (make_dir(part, err) != 0)
                        return -1;
                *slash = '/';
        }
        return make_dir(part, err);
}

static int open_run_dir(struct run *r, struct stint_error *err)
{
        char checkpoints[RUNDIR_PATH + RUNDIR_NAME];

        if (rundir_join(checkpoints, sizeof checkpoints, r->o->dir, RUNDIR_CHECKPOINTS, NULL, err) != 0)
                return -1;
        return make_dirs(checkpoints, err);
}

static int read_identity(struct run *r, struct stint_error *err)
{
        if (identity_read(&r->identity, r->o->dir, err) == 0)
                return 0;
        return err->code == ENOENT ? 0 : -1;
}

/* The command of the last stint counts as the run's too: it may have been changed on the way. */
static int is_command_of_run(const struct run *r)
{
        json_t *lines, *line, *words = NULL;
        int same = identity_same_command(&r->identity, r->o->command);
        size_t i;

        lines = same ? NULL : journal_read(r->o->dir, NULL, NULL);
        json_array_foreach(lines, i, line) {
                const char *event = json_string_value(json_object_get(line, "event"));

                if (event != NULL && strcmp(event, "start") == 0)
                        words = json_object_get(line, "command");
        }
        if (words != NULL) {
                struct identity last = { .command = words };

                same = identity_same_command(&last, r->o->command);
        }
        json_decref(lines);
        return same;
}

/* DONE ends the chain, for the command that the run belongs to.  1: there is nothing to do; *code is what to exit with. */
static int nothing_to_do(const struct run *r, int *code)
{
        char command[200];
        int64_t step;

        if (r->o->attend_fd >= 0 || r->identity.run_id[0] == '\0' || !done_read(r->o->dir, &step))
                return 0;
        if (r->o->adopt || is_command_of_run(r)) {
                log_notice("training is complete (step %" PRId64 "); nothing to do", step);
                *code = 0;
                return 1;
        }
        log_error("this run directory (%s) belongs to `%s`, which is complete: give this command its own --stint-name, or "
                  "--stint-adopt",
                  r->o->dir, identity_command(command, sizeof command, &r->identity));
        *code = EXIT_OWN;
        return 1;
}

/* ---- taking it over -------------------------------------------------------------------------------------------- */

static uint32_t next_stint(struct run *r, struct stint_error *err)
{
        json_t *lines = journal_read(r->o->dir, NULL, err);

        if (lines == NULL)
                return 0;
        past_read(&r->past, lines);
        json_decref(lines);
        return r->past.last_stint + 1;
}

static int take_lease(struct run *r, struct stint_error *err)
{
        struct lease_holder me = { .attending = r->o->attend_fd >= 0 };
        const struct scheduler *s = &r->deadline.scheduler;
        int code;

        r->stint = next_stint(r, err);
        if (r->stint == 0)
                return -1;
        lease_self(&me);
        me.stint = r->stint;
        snprintf(me.scheduler, sizeof me.scheduler, "%s", s->name);
        snprintf(me.job, sizeof me.job, "%s", s->job);
        if (lease_take(&r->lease, r->o->dir, &me, r->o->take_over, &r->other, err) != 0)
                return -1;
        r->has_lease = 1;
        code = fault_point("lease.after_take");
        if (code != 0)
                return error_system(err, code, "lease.after_take");
        /* Somebody may have had a whole stint since the journal was read. */
        r->stint = next_stint(r, err);
        r->lease.holder.stint = r->stint;
        return r->stint == 0 ? -1 : 0;
}

static int settle_identity(struct run *r, struct stint_error *err)
{
        const struct scheduler *s = &r->deadline.scheduler;

        if (r->identity.run_id[0] == '\0' && read_identity(r, err) != 0)
                return -1;
        if (r->identity.run_id[0] != '\0') {
                r->other_command = r->o->attend_fd < 0 && !identity_same_command(&r->identity, r->o->command);
                return 0;
        }
        return identity_create(&r->identity, r->o->dir, r->o->name, s->name, s->job, r->o->command, err);
}

static int start_journal(struct run *r, struct stint_error *err)
{
        const struct scheduler *s = &r->deadline.scheduler;
        json_t *command = json_array(), *start;
        char *const *word;
        int code;

        if (journal_open(&r->journal, r->o->dir, r->stint, err) != 0) {
                json_decref(command);
                return -1;
        }
        r->has_journal = 1;
        for (word = r->o->command; word != NULL && *word != NULL; word++)
                json_array_append_new(command, identity_word(*word));
        start = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "scheduler", s->name, "job", s->job, "host", r->lease.holder.host, "pid",
                          (json_int_t)getpid(), "restarts", (json_int_t)s->restarts, "command", command);
        if (journal_add(&r->journal, "start", start, err) != 0)
                return -1;
        code = fault_point("journal.after_start");
        return code == 0 ? 0 : error_system(err, code, "journal.after_start");
}

static void mind_the_command(struct run *r)
{
        char command[200];

        if (!r->other_command)
                return;
        log_warning("stint %u: this run was begun by another command: `%s`", r->stint,
                    identity_command(command, sizeof command, &r->identity));
        story_note(r, "command changed", NULL);
}

/* ---- what earlier stints left ---------------------------------------------------------------------------------- */

static int settle_leftovers(struct run *r, struct stint_error *err)
{
        struct commit c = story_commit(r);
        struct stint_error problem;
        int rc;

        c.events = json_array();
        rc = commit_settle(&c, &problem);
        if (rc == 0)
                rc = commit_best(&c, NULL, &r->best, &problem);
        if (rc == 0)
                rc = commit_prune(&c, &problem);
        story_note_all(r, c.events);
        if (rc != 0 && problem.code == ESTALE)
                return error_set(err, ESTALE, "%s", problem.text);
        if (rc != 0)
                log_warning("stint %u: what earlier stints left could not all be settled: %s", r->stint, problem.text);
        return 0;
}

static void judge_earlier_stints(struct run *r)
{
        struct stint_error err;
        json_t *lines = journal_read(r->o->dir, NULL, &err);

        if (lines == NULL || verdict_on_earlier(&r->journal, r->o->dir, lines, &err) != 0)
                log_warning("stint %u: the journal says nothing of earlier stints: %s", r->stint, err.text);
        json_decref(lines);
        lines = journal_read(r->o->dir, NULL, NULL); /* with what was just added */
        if (lines != NULL)
                past_read(&r->past, lines);
        json_decref(lines);
        r->landed_step = r->past.landed_step;
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
        if (!r->child.started && clock_now() - r->began_ns > AGENT_START_LIMIT && !r->over) {
                log_warning("stint %u: the agent has not answered for %d s; the program is started all the same", r->stint,
                            (int)(AGENT_START_LIMIT / CLOCK_SECOND));
                story_start_child(r);
        }
        story_look_for_end(r);
}

static int start_loop(struct run *r, struct stint_error *err)
{
        int rc = uv_loop_init(&r->loop);

        if (rc != 0)
                return error_set(err, -rc, "no event loop: %s", uv_strerror(rc));
        r->has_loop = 1;
        uv_poll_init(&r->loop, &r->signal_poll, r->signal_fd);
        uv_timer_init(&r->loop, &r->tick_timer);
        uv_timer_init(&r->loop, &r->wait_timer);
        uv_timer_init(&r->loop, &r->child_timer);
        r->signal_poll.data = r->tick_timer.data = r->wait_timer.data = r->child_timer.data = r;
        work_init(&r->work, &r->loop);
        return 0;
}

static void on_first_deadline(void *arg, const struct run_deadline *d, int fresh)
{
        struct run *r = arg;
        char left[32], limit[64] = "";
        int64_t left_ns = run_deadline_left(d);

        if (left_ns != CLOCK_NEVER)
                snprintf(limit, sizeof limit, " (%s in %s)", deadline_cause_name(d->cause), duration_format(left, sizeof left, left_ns));
        else if (!fresh && run_deadline_has_scheduler(d))
                snprintf(limit, sizeof limit, " (its time limit is not known: nobody answers)");
        log_notice("stint %u: started on %s%s", r->stint, r->lease.holder.host, limit);
        if (d->cancelled)
                r->ending.cancelled = 1;
}

/* ---- agents and program ---------------------------------------------------------------------------------------- */

static void tell_environment(const struct run *r)
{
        char stint[16];

        snprintf(stint, sizeof stint, "%" PRIu32, r->stint);
        setenv("STINT_DIR", r->o->dir, 1);
        setenv("STINT_AGENT", r->agents.agent[0].socket, 1);
        setenv("STINT_STINT", stint, 1);
        setenv("STINT_RUN_ID", r->identity.run_id, 1);
}

static int start_agents(struct run *r, struct stint_error *err)
{
        struct stint_error problem;

        if (listen_open(&r->listen, &r->loop, r->identity.run_id, r->stint, event_verb, r, &problem) == 0)
                snprintf(r->lease.holder.control, sizeof r->lease.holder.control, "%s", r->listen.name);
        else
                log_warning("stint %u: `stint save` will not be heard: %s", r->stint, problem.text);
        if (agents_init(&r->agents, &r->loop, 1, r->o->dir, r->stint, r->identity.run_id, &story_agents_events, r, err) != 0)
                return -1;
        tell_environment(r);
        if (agents_start(&r->agents, &problem) != 0) {
                log_error("stint %u: %s; training goes on without checkpoints", r->stint, problem.text);
                story_start_child(r);
        }
        return 0;
}

static void on_patience_over(uv_timer_t *timer)
{
        struct run *r = timer->data;

        r->patience_over = 1;
        saving_give_up(r, "the program ended before the save was whole");
        story_look_for_end(r);
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
        story_look_for_end(r);
}

void story_start_child(struct run *r)
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

/* ---- the program is to end ------------------------------------------------------------------------------------- */

static void on_kill(uv_timer_t *timer)
{
        struct run *r = timer->data;

        if (!r->child.running)
                return;
        log_warning("stint %u: %s; it is killed", r->stint, r->kill_text);
        child_signal(&r->child, SIGKILL, agents_pid(&r->agents));
}

void story_end_program_in(struct run *r, int64_t limit_ns, const char *text)
{
        if (!r->child.running)
                return;
        snprintf(r->kill_text, sizeof r->kill_text, "%s", text);
        uv_timer_start(&r->child_timer, on_kill, (uint64_t)(limit_ns / CLOCK_MS), 0);
}

void story_await_stop(struct run *r)
{
        int64_t left_ns = run_deadline_left(&r->deadline), limit_ns = STOP_LIMIT;

        if (left_ns != CLOCK_NEVER && left_ns < limit_ns)
                limit_ns = left_ns > CLOCK_SECOND ? left_ns : CLOCK_SECOND;
        story_end_program_in(r, limit_ns, "the program was told to stop, its state is saved, and it has not ended");
}

/* ---- the end of the loop --------------------------------------------------------------------------------------- */

static int program_is_over(const struct run *r)
{
        if (r->o->attend_fd >= 0)
                return attend_is_over(r);
        return r->child_ended && (r->ranks.present == 0 || r->patience_over);
}

void story_look_for_end(struct run *r)
{
        if (r->over || !program_is_over(r) || save_in_flight(&r->save) || r->completing || work_pending(&r->work))
                return;
        r->over = 1;
        listen_answer(&r->listen, ECANCELED, r->landed_step, 0, 0, "the program has ended");
        listen_close(&r->listen);
        agents_stop(&r->agents, AGENT_STOP_LIMIT);
}

void story_close_handles(struct run *r)
{
        run_deadline_close(&r->deadline);
        child_close(&r->child);
        uv_close((uv_handle_t *)&r->signal_poll, NULL);
        uv_close((uv_handle_t *)&r->tick_timer, NULL);
        uv_close((uv_handle_t *)&r->wait_timer, NULL);
        uv_close((uv_handle_t *)&r->child_timer, NULL);
}

static void name_handle(uv_handle_t *handle, void *arg)
{
        (void)arg;
        log_error("still open at the end: %s", uv_handle_type_name(handle->type));
}

/* A handle that is open here would be one that nobody watches: better a loud end than a silent leak. */
static void end_loop(struct run *r)
{
        if (!r->has_loop)
                return;
        if (uv_loop_close(&r->loop) == 0)
                return;
        uv_walk(&r->loop, name_handle, NULL);
        abort();
}

static void live(struct run *r)
{
        uv_poll_start(&r->signal_poll, UV_READABLE, on_signal);
        uv_timer_start(&r->tick_timer, on_tick, 1000, 1000);
        run_deadline_ask(&r->deadline, on_first_deadline, r);
        uv_run(&r->loop, UV_RUN_DEFAULT);
}

/* ---- the verdict ----------------------------------------------------------------------------------------------- */

static void put_into_words(const struct run *r, char *out, size_t size)
{
        char how[80];
        const struct ending *e = &r->ending;

        if (e->complete && r->complete_step < 0)
                snprintf(out, size, "complete");
        else if (e->complete)
                snprintf(out, size, "complete at step %" PRId64, r->complete_step);
        else if (e->stop != SAVE_NONE)
                snprintf(out, size, "%s", r->last_save);
        else if (e->limit != SAVE_NONE || r->not_saved[0] != '\0')
                snprintf(out, size, "NOT saved: %s", r->not_saved[0] != '\0' ? r->not_saved : "no save landed before the end");
        else if (r->o->attend_fd >= 0)
                snprintf(out, size, "the program has ended");
        else
                snprintf(out, size, "%s", child_how(&r->child, how, sizeof how));
}

static int give_verdict(struct run *r)
{
        int code;
        const char *why = ending_why(&r->ending, &code);
        int64_t last = ranks_step(&r->ranks), lost;
        char verdict[560], costs[80] = "";

        if (last < r->landed_step)
                last = r->landed_step;
        lost = r->ending.complete ? 0 : lost_steps(last, r->landed_step);
        put_into_words(r, verdict, sizeof verdict);
        if (lost > 0)
                snprintf(costs, sizeof costs, "; %" PRId64 " steps lost", lost);
        story_note(r, "end",
                   json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I}", "why", why, "verdict", verdict, "exit", code, "last_step",
                             (json_int_t)last, "landed_step", (json_int_t)r->landed_step, "lost_steps", (json_int_t)lost, "by",
                             (json_int_t)r->stint));
        log_notice("stint %u: ended: %s: %s%s%s", r->stint, why, verdict, costs, code == EXIT_CONTINUE && !r->ending.cancelled ? "; to be continued" : "");
        if (strcmp(why, "ended, not complete") == 0)
                log_warning("stint %u: the program exited with 0 but never called stint_complete(): this run is not DONE%s", r->stint,
                            r->o->attend_fd < 0 ? " (--stint-exit0=done for programs that know nothing of stint)" : "");
        return code;
}

/* For programs that know nothing of stint_complete, on the user's word. */
static void exit_0_is_done(struct run *r)
{
        struct stint_error err;

        if (!r->o->exit0_done || r->ending.complete || r->ending.stop != SAVE_NONE || r->ending.limit != SAVE_NONE ||
            r->child.status != 0 || r->child.signal != 0 || r->ending.lease_lost || r->ending.cancelled || !r->child_ended)
                return;
        r->complete_step = ranks_step(&r->ranks);
        if (lease_check(&r->lease, &err) == 0 && done_write(r->o->dir, r->identity.run_id, r->stint, r->complete_step, &err) == 0) {
                r->ending.complete = 1;
                story_note(r, "complete", json_pack("{s:I, s:b}", "step", (json_int_t)r->complete_step, "exit0", 1));
                return;
        }
        log_error("stint %u: the run cannot be marked as complete: %s", r->stint, err.text);
}

/* A chain that gets nowhere would go round for ever, at the cost of everybody else on the cluster. */
static int is_stuck(const struct run *r)
{
        if (r->landed_step != r->past.landed_step || r->ending.stop == SAVE_PREEMPTED || r->ending.limit == SAVE_PREEMPTED ||
            r->past.idle + 1 < IDLE_STINTS_MOST)
                return 0;
        log_error("stint %u: not run again: %" PRIu32 " stints in a row have saved nothing (`stint show %s` tells why); once that is "
                  "mended, the same command goes on",
                  r->stint, r->past.idle + 1, r->o->dir);
        story_note(r, "requeue", json_pack("{s:b, s:s}", "granted", 0, "text", "no progress"));
        return 1;
}

static int go_on_or_not(struct run *r, int code)
{
        char text[300];

        if (!ending_requeues(&r->ending) || !r->has_journal || is_stuck(r))
                return code;
        if (requeue_ask(&r->deadline.scheduler, &r->journal, text, sizeof text) == REQUEUE_NOT) {
                log_notice("stint %u: not run again: %s", r->stint, text);
                return code;
        }
        log_notice("stint %u: it will be run again%s%s", r->stint, text[0] != '\0' ? ": " : "", text);
        lease_release(&r->lease);
        r->has_lease = 0;
        /* The local scheduler waits for our end, to begin again; a cluster's must not see one before it ends the job. */
        if (strcmp(r->deadline.scheduler.name, "local") != 0)
                requeue_wait_for_end(REQUEUE_WAIT);
        return code;
}

/* ---- leaving --------------------------------------------------------------------------------------------------- */

static void leave(struct run *r)
{
        if (r->has_lease)
                lease_release(&r->lease);
        if (r->has_journal)
                journal_close(&r->journal);
        scheduler_close(&r->deadline.scheduler);
        if (r->signal_fd >= 0)
                close(r->signal_fd);
        progress_close(r);
        restore_fini(&r->restore);
        save_fini(&r->save);
        ranks_fini(&r->ranks);
        agents_fini(&r->agents);
        identity_fini(&r->identity);
}

/* Nothing has begun yet: the handles are closed, and the reason said. */
static int refuse_to_start(struct run *r, const struct stint_error *err)
{
        if (r->o->attend_fd >= 0)
                attend_refuse(r, err);
        else
                log_error("%s", err->text);
        r->over = 1;
        listen_close(&r->listen);
        if (r->agents.loop != NULL)
                agents_stop(&r->agents, AGENT_STOP_LIMIT); /* story_close_handles follows */
        else if (r->has_loop)
                story_close_handles(r);
        if (r->has_loop)
                uv_run(&r->loop, UV_RUN_DEFAULT);
        end_loop(r);
        leave(r);
        return EXIT_OWN;
}

static int find_scheduler(struct run *r)
{
        struct stint_error err;

        if (run_deadline_open(&r->deadline, &r->loop, event_deadline, r, &err) != 0)
                log_error("%s; this stint goes on without a known time limit, and cannot be requeued", err.text);
        return 0;
}

/* ---- the story ------------------------------------------------------------------------------------------------- */

/* Half of a fixed interval, when that is short: whoever asks for many saves is to have them. */
static int64_t too_soon(const struct run_options *o)
{
        return o->interval_ns > 0 && o->interval_ns / 2 < SAVING_TOO_SOON ? o->interval_ns / 2 : SAVING_TOO_SOON;
}

static int begin(struct run *r, struct stint_error *err)
{
        r->save.too_soon_ns = too_soon(r->o);
        if (block_signals(r, err) != 0 || start_loop(r, err) != 0 || find_scheduler(r) != 0 || take_lease(r, err) != 0 ||
            settle_identity(r, err) != 0 || start_journal(r, err) != 0)
                return -1;
        mind_the_command(r);
        if (settle_leftovers(r, err) != 0)
                return -1;
        judge_earlier_stints(r);
        measured_read(&r->measured, r->o->dir);
        if (process_tree_adopt(err) != 0)
                return -1;
        return start_agents(r, err);
}

static int end(struct run *r)
{
        int code;

        child_kill_rest();
        saving_settle_own(r);
        progress_write(r);
        exit_0_is_done(r);
        code = give_verdict(r);
        return go_on_or_not(r, code);
}

int run_stint(const struct run_options *o)
{
        struct run r = { .o = o, .began_ns = clock_now(), .signal_fd = -1, .attend_fd = o->attend_fd, .landed_step = -1,
                         .complete_step = -1, .progress = { .fd = -1, .line_step = -1, .file_step = -1 },
                         .deadline.scheduler.fd = -1, .listen.fd = -1 };
        struct stint_error err;
        int code;

        if (open_run_dir(&r, &err) != 0 || read_identity(&r, &err) != 0)
                return refuse_to_start(&r, &err);
        if (nothing_to_do(&r, &code)) {
                leave(&r);
                return code;
        }
        if (begin(&r, &err) != 0)
                return refuse_to_start(&r, &err);
        live(&r);
        end_loop(&r);
        code = end(&r);
        leave(&r);
        return code;
}
