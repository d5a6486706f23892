/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_begin: a stint takes up its run: what the run directory says before anybody may write in it, the lease with which
 * this stint may, its first line in the journal, and what the stints before it left.  run_story.c calls in.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "fault.h"
#include "log.h"
#include "run_begin.h"
#include "run_pending.h"
#include "run_prune.h"
#include "run_settle.h"
#include "run_stopped.h"
#include "run_story.h"

#define LINGER_LIMIT (15 * CLOCK_SECOND) /* for a coordinator whose program is gone to write its verdict and end */
#define OTHER_JOB_LIMIT (10 * CLOCK_SECOND)
#define ENDING_LIMIT (150 * CLOCK_SECOND) /* for another job that Slurm is ending: KillWait, and its epilog */

/* ---- the run directory ----------------------------------------------------------------------------------------- */

static int make_dir(const char *path, struct stint_error *err)
{
        if (mkdir(path, 0777) == 0 || errno == EEXIST)
                return 0;
        return error_system(err, errno, "the run directory %s cannot be created", path);
}

int begin_make_dirs(const char *path, struct stint_error *err)
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
        return begin_make_dirs(checkpoints, err);
}

static int read_identity(struct run *r, struct stint_error *err)
{
        if (identity_read(&r->identity, r->o->dir, err) == 0)
                return 0;
        return err->code == ENOENT ? 0 : -1;
}

int begin_find(struct run *r, struct stint_error *err)
{
        return open_run_dir(r, err) != 0 || read_identity(r, err) != 0 ? -1 : 0;
}

/* The command of the last stint counts as the run's too: it may have been changed on the way. */
static int is_command_of_run(struct run *r)
{
        json_t *lines, *line, *words = NULL;
        int same = json_array_size(r->identity.command) == 0 || identity_same_command(&r->identity, r->o->command);
        size_t i;

        lines = same ? NULL : journal_read_on(&r->history, r->o->dir, NULL);
        json_array_foreach(lines, i, line) {
                const char *event = json_string_value(json_object_get(line, "event"));

                if (event != NULL && strcmp(event, "start") == 0)
                        words = json_object_get(line, "command");
        }
        if (words != NULL) {
                struct identity last = { .command = words };

                same = identity_same_command(&last, r->o->command);
        }
        return same;
}

/* DONE ends the chain, for the command that the run belongs to. */
static int is_done(struct run *r, int64_t step)
{
        char command[200];

        if (r->o->adopt || is_command_of_run(r)) {
                log_notice("training is complete (step %" PRId64 "); nothing to do", step);
                return 0;
        }
        log_error("this run directory (%s) belongs to `%s`, which is complete: give this command its own --stint-name, "
                  "or --stint-adopt",
                  r->o->dir, identity_command(command, sizeof command, &r->identity));
        return EXIT_OWN;
}

/*
 * A job that was started once more after its end, or a successor that was queued for nothing, ends here, with 0: what
 * comes after it in its script has nothing to wait for.
 */
int begin_is_needless(struct run *r, int *code)
{
        struct stopped stopped;
        char before[64];
        int64_t step;

        *code = 0;
        if (r->o->attend_fd >= 0)
                return 0;
        if (r->identity.run_id[0] != '\0' && done_read(r->o->dir, &step)) {
                *code = is_done(r, step);
                return 1;
        }
        if (stopped_read(r->o->dir, &stopped)) {
                log_notice("this run was %s by %s; nothing to do until `stint resume %s`",
                           stopped.cancelled ? "cancelled" : "stopped", stopped.by, r->o->dir);
                return 1;
        }
        if (successor_of_cancelled(r, before, sizeof before)) {
                log_notice("job %s, which this one was to carry on after, was cancelled, so nothing is done; `stint resume %s` "
                           "goes on with the run",
                           before, r->o->dir);
                return 1;
        }
        return 0;
}

/* ---- taking it over -------------------------------------------------------------------------------------------- */

static uint32_t next_stint(struct run *r, struct stint_error *err)
{
        const json_t *lines = journal_read_on(&r->history, r->o->dir, err);

        if (lines == NULL)
                return 0;
        past_read(&r->past, lines);
        return r->past.last_stint + 1;
}

/* The agent that a lease names still takes programs. */
static int agent_listens(const struct lease_holder *holder)
{
        int fd = holder->agent[0] != '\0' ? channel_connect(holder->agent, NULL, NULL) : -1;

        if (fd >= 0)
                close(fd);
        return fd >= 0;
}

/*
 * A program that was started by itself leaves its coordinator behind for a moment, which writes the verdict and goes.  That
 * moment is waited for; a coordinator that is needed, because its program lives, is not.
 */
static int lingers(const struct lease_holder *other, const struct lease_holder *me)
{
        return other->attending && strcmp(other->host, me->host) == 0 && !agent_listens(other);
}

/*
 * Of a holder on another node only Slurm can say that it is over.  1 it is; 0 it is not, or nobody says; -1 not yet: its
 * job is being ended.
 */
static int slurm_says_over(struct run *r)
{
        struct scheduler *s = &r->deadline.scheduler;
        const int own = strcmp(r->other.job, s->job) == 0;
        struct scheduler_query query = { .question = SCHEDULER_STATE, .job = r->other.job };
        struct scheduler_answer answer;
        struct stint_error why;

        if (strcmp(s->name, "slurm") != 0 || strcmp(r->other.scheduler, "slurm") != 0 || r->other.job[0] == '\0')
                return 0;
        if (own)
                return r->other.restarts < s->restarts; /* an earlier turn of this very job */
        if (scheduler_ask_wait(s, &query, OTHER_JOB_LIMIT, &answer, &why) != 0)
                return log_warning("whether %s job %s is over cannot be asked: %s", s->name, r->other.job, why.text), 0;
        if (answer.failed != 0 || answer.gone)
                return answer.failed == 0;
        return answer.state == SCHEDULER_RUNNING || answer.state == SCHEDULER_SUSPENDED ? 0 : -1;
}

static int take_in_time(struct run *r, const struct lease_holder *me, struct stint_error *err)
{
        const struct timespec soon = { 0, 50 * CLOCK_MS }, later = { 2, 0 };
        const int64_t linger_ns = clock_now() + LINGER_LIMIT, ending_ns = clock_now() + ENDING_LIMIT;
        enum lease_take_over take = r->o->take_over ? LEASE_TAKE_ANY : LEASE_TAKE_FREE;
        int over;

        while (lease_take(&r->lease, r->o->dir, me, take, &r->other, err) != 0) {
                if (err->code != EBUSY || take == LEASE_TAKE_ANY)
                        return -1;
                if (lingers(&r->other, me) && clock_now() < linger_ns) {
                        nanosleep(&soon, NULL);
                        continue;
                }
                over = slurm_says_over(r);
                if (over == 0 || (over < 0 && clock_now() > ending_ns))
                        return -1;
                if (over > 0)
                        take = LEASE_TAKE_OTHER; /* that one, and nobody who was quicker than we */
                else
                        nanosleep(&later, NULL);
        }
        return 0;
}

/* What the lease says of us; -1 when the journal does not tell which stint this would be. */
static int fill_holder(struct run *r, struct lease_holder *me, struct stint_error *err)
{
        const struct scheduler *s = &r->deadline.scheduler;

        r->stint = next_stint(r, err);
        if (r->stint == 0)
                return -1;
        *me = (struct lease_holder){ .stint = r->stint, .restarts = s->restarts, .attending = r->o->attend_fd >= 0 };
        lease_self(me);
        snprintf(me->scheduler, sizeof me->scheduler, "%s", s->name);
        snprintf(me->job, sizeof me->job, "%s", s->job);
        return 0;
}

int begin_take_done(struct run *r, struct stint_error *err)
{
        struct lease_holder me;
        int rc;

        if (fill_holder(r, &me, err) != 0)
                return -1;
        rc = lease_take(&r->lease, r->o->dir, &me, LEASE_TAKE_FREE, &r->other, err);
        if (rc != 0 && err->code == EBUSY && slurm_says_over(r) > 0)
                rc = lease_take(&r->lease, r->o->dir, &me, LEASE_TAKE_OTHER, &r->other, err);
        r->has_lease = rc == 0;
        return rc;
}

static int take_lease(struct run *r, struct stint_error *err)
{
        struct lease_holder me;
        int code;

        if (fill_holder(r, &me, err) != 0 || take_in_time(r, &me, err) != 0)
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
                r->other_command = r->o->attend_fd < 0 && json_array_size(r->identity.command) > 0 &&
                                   !identity_same_command(&r->identity, r->o->command);
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
        start = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "scheduler", s->name, "job", s->job, "host",
                          r->lease.holder.host, "pid", (json_int_t)getpid(), "restarts", (json_int_t)s->restarts,
                          "command", command);
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

int begin_take(struct run *r, struct stint_error *err)
{
        if (take_lease(r, err) != 0 || settle_identity(r, err) != 0 || start_journal(r, err) != 0)
                return -1;
        mind_the_command(r);
        return 0;
}

/* ---- what earlier stints left ---------------------------------------------------------------------------------- */

/*
 * The loop, which hears signals and verbs, does not run yet.  Under a scheduler a signal may mean a preemption or a limit,
 * which is no wish to end the chain: it waits for the loop, which asks.
 */
static int is_unwanted(void *arg)
{
        struct run *r = arg;
        struct signalfd_siginfo info;

        if (!run_deadline_has_scheduler(&r->deadline) && read(r->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
                log_notice("stint %u: %s: it has not begun yet, and ends here", r->stint, strsignal((int)info.ssi_signo));
        else if (!stopped_is(r))
                return 0;
        r->ending.stop = SAVE_STOP;
        snprintf(r->last_save, sizeof r->last_save, "ended while it waited for the rest of an earlier stint's checkpoint");
        return 1;
}

static int settle_leftovers(struct run *r, struct stint_error *err)
{
        struct commit c = story_commit(r);
        struct stint_error problem;
        int rc;

        c.events = json_array();
        rc = settle_earlier(&c, &problem);
        if (rc == 0)
                rc = commit_best(&c, NULL, &r->best, &problem);
        if (rc == 0)
                rc = prune_old(&c, &problem);
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
        const json_t *lines = journal_read_on(&r->history, r->o->dir, &err);

        if (lines == NULL || verdict_on_earlier(&r->journal, r->o->dir, lines, &err) != 0)
                log_warning("stint %u: the journal says nothing of earlier stints: %s", r->stint, err.text);
        lines = journal_read_on(&r->history, r->o->dir, NULL); /* with what was just added */
        if (lines != NULL)
                past_read(&r->past, lines);
        r->landed_step = r->past.landed_step;
}

int begin_settle(struct run *r, struct stint_error *err)
{
        /* A program that started by itself goes on even in a run that was stopped. */
        if (pending_await(r->o->dir, r->stint, r->o->attend_fd < 0 ? is_unwanted : NULL, r) < 0)
                return 1;
        if (settle_leftovers(r, err) != 0)
                return -1;
        judge_earlier_stints(r);
        return 0;
}
