/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_stop: `stint stop`: ends a chain with a last save, from any host that sees the run.  The mark RUN/STOPPED says so
 * to the stint that runs and to every later one; what waits in the queue is cancelled; the verdict is read in the
 * journal.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "cmd.h"
#include "duration.h"
#include "jobs.h"
#include "log.h"
#include "pick.h"
#include "print.h"
#include "run.h"
#include "run_identity.h"
#include "run_journal.h"
#include "run_lease.h"
#include "wire.h"

#define EXIT_NOT_SAVED 1
#define LOOK_EVERY (300 * CLOCK_MS)
#define COMPLETING_LIMIT (60 * CLOCK_SECOND)
#define GONE_AFTER (5 * CLOCK_SECOND) /* a stint that is gone may have written its end a moment ago */

struct stop_options {
        int no_wait, json;
        int64_t wait_ns;
};

static const struct flag table[] = {
        {"--no-wait", NULL, offsetof(struct stop_options, no_wait), flag_switch, "do not wait for the last save", NULL},
        {"--wait", "D", offsetof(struct stop_options, wait_ns), flag_duration,
         "wait for it at most that long (default: 10m)", NULL},
        {"--json", NULL, offsetof(struct stop_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] = "Usage: stint stop [OPTION...] [RUN]\n\n"
                            "Saves a run and ends its chain: nothing of it starts again before `stint resume`. Exit "
                            "code 1: it was not saved.";

/* What became of it. */
struct stopping {
        const char *run;
        json_t *cancelled; /* ids of jobs that waited in the queue */
        int was_running, landed;
        uint32_t stint;
        char verdict[600];
};

/* ---- the jobs that wait ---------------------------------------------------------------------------------------- */

/* A job that was requeued a moment ago is ended by Slurm first, and waits only then. */
static int ask_all(struct jobs *jobs, struct scheduler *slurm, int running)
{
        const int64_t until_ns = clock_now() + COMPLETING_LIMIT;
        const struct timespec pause = {1, 0};
        int silent;

        for (;;) {
                const struct jobs_one *alive;

                silent = jobs_ask(jobs, slurm);
                alive = jobs_alive(jobs);
                if (running || !alive || alive->state != SCHEDULER_COMPLETING || clock_now() > until_ns)
                        return silent;
                nanosleep(&pause, NULL);
        }
}

/* A lease on another host may be of a stint that was killed: its job tells. */
static int is_over(const struct jobs *jobs, const struct lease_holder *holder)
{
        for (int i = 0; i < jobs->n; i++) {
                const struct jobs_one *job = &jobs->one[i];

                if (!strcmp(holder->scheduler, "slurm") && !strcmp(holder->job, job->id) && job->known)
                        return job->state == SCHEDULER_ENDED || job->state == SCHEDULER_CANCELLED ||
                               job->state == SCHEDULER_PENDING;
        }
        return 0;
}

/* Cancels what waits in the queue; *over becomes 1 when the holder of the lease turns out to be. */
static void cancel_pending(struct stopping *s, const struct lease_holder *holder, int *over)
{
        struct scheduler slurm;
        struct jobs jobs;
        struct stint_error err;

        jobs_find(&jobs, s->run);
        if (!jobs.n)
                return;
        if (jobs_open_slurm(&slurm, s->run, &err)) {
                log_warning("stop: %s; what waits in the queue there will end by itself when it starts", err.text);
                return;
        }
        if (ask_all(&jobs, &slurm, *over == 0))
                log_warning("stop: whether a job of this run waits in the queue is not known (%s); it will end by "
                            "itself when "
                            "it starts",
                            jobs.one[jobs.n - 1].text);
        if (*over < 0 && is_over(&jobs, holder))
                *over = 1;
        for (int i = 0; i < jobs.n; i++) {
                if (!jobs.one[i].known || jobs.one[i].state != SCHEDULER_PENDING)
                        continue;
                if (jobs_cancel(&jobs.one[i], &slurm, &err)) {
                        log_warning("stop: %s; it will end by itself when it starts", err.text);
                        continue;
                }
                log_notice("stop: job %s, which waited in the queue, is cancelled", jobs.one[i].id);
                json_array_append_new(s->cancelled, json_string(jobs.one[i].id));
        }
        scheduler_close(&slurm);
}

/* ---- the stint that runs --------------------------------------------------------------------------------------- */

/* On this host the stint can be told at once; from elsewhere it sees the mark within seconds. */
static int knock(const struct lease_holder *holder)
{
        struct wire_verb verb = {.what = VERB_STOP};
        int fd = *holder->control ? channel_connect(holder->control, NULL, NULL) : -1;

        if (fd < 0)
                return -1;
        WIRE_INIT(&verb, WIRE_VERB);
        channel_send(fd, &verb, sizeof verb, NULL, 0, NULL);
        return fd;
}

static const char *text_of(const json_t *line, const char *name)
{
        const char *text = json_string_value(json_object_get(line, name));

        return text ? text : "";
}

/* Reads what the journal says since `from`: 1 when that is the outcome. */
static int read_outcome(struct stopping *s, const json_t *lines, size_t from)
{
        for (size_t i = from; i < json_array_size(lines); i++) {
                const json_t *line = json_array_get(lines, i);

                if (json_integer_value(json_object_get(line, "stint")) != s->stint)
                        continue;
                if (!strcmp(text_of(line, "event"), "save") &&
                    !strcmp(text_of(line, "reason"), save_reason_name(SAVE_STOP))) {
                        s->landed = json_is_true(json_object_get(line, "landed"));
                        snprintf(s->verdict, sizeof s->verdict,
                                 "NOT saved: %.400s; the training goes on until its time is up, and "
                                 "no further (`stint cancel` ends it now)",
                                 text_of(line, "text"));
                        if (!s->landed)
                                return 1;
                }
                if (!strcmp(text_of(line, "event"), "end")) {
                        s->landed |= json_integer_value(json_object_get(line, "lost_steps")) == 0;
                        snprintf(s->verdict, sizeof s->verdict, "%.590s", text_of(line, "verdict"));
                        return 1;
                }
        }
        return 0;
}

static int64_t journal_bytes(const char *run)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        struct stat st;

        return !rundir_join(path, sizeof path, run, RUNDIR_JOURNAL, NULL, NULL) && !stat(path, &st)
                       ? (int64_t)st.st_size
                       : -1;
}

/* A holder that is gone and has not said how is over without a verdict of its own. */
static int is_gone(const char *run, int64_t *gone_ns)
{
        struct lease_holder holder;
        int over, gone = lease_read(run, &holder, &over, NULL) || over > 0;

        if (!gone)
                *gone_ns = 0;
        else if (!*gone_ns)
                *gone_ns = clock_now();
        return gone && clock_now() - *gone_ns > GONE_AFTER;
}

static int await_outcome(struct stopping *s, size_t from, int64_t wait_ns, struct stint_error *err)
{
        const struct timespec pause = {0, LOOK_EVERY};
        const int64_t until_ns = clock_now() + wait_ns;
        int64_t seen = -2, gone_ns = 0;
        char text[32];

        for (;;) {
                int64_t bytes = journal_bytes(s->run);

                if (bytes != seen) {
                        json_t *lines = journal_read(s->run, NULL, NULL);
                        int told = read_outcome(s, lines, from);

                        json_decref(lines);
                        if (told)
                                return 0;
                        seen = bytes;
                }
                if (is_gone(s->run, &gone_ns)) {
                        snprintf(s->verdict, sizeof s->verdict,
                                 "NOT saved: the stint was gone before it could; the next one tells what stands");
                        return 0;
                }
                if (clock_now() >= until_ns)
                        return error_set(err, ETIMEDOUT,
                                         "no verdict within %s; the run is stopped and its last save goes on, `stint "
                                         "status` tells "
                                         "what becomes of it",
                                         duration_format(text, sizeof text, wait_ns));
                nanosleep(&pause, NULL);
        }
}

/* ---- the verb -------------------------------------------------------------------------------------------------- */

static int stop_running(struct stopping *s, const struct lease_holder *holder, size_t from,
                        const struct stop_options *o, struct stint_error *err)
{
        int rc = 0, fd = knock(holder);

        s->was_running = 1;
        s->stint = holder->stint;
        snprintf(s->verdict, sizeof s->verdict, "stint %u on %s saves and ends", holder->stint, holder->host);
        if (!o->no_wait)
                rc = await_outcome(s, from, o->wait_ns, err);
        if (fd >= 0)
                close(fd);
        return rc;
}

static int show(const struct stopping *s, int json, struct stint_error *err)
{
        if (!json)
                return printf("%s\n", s->verdict) < 0 ? error_set(err, EIO, "the answer cannot be written") : 0;
        return print_json(json_pack("{s:o, s:b, s:b, s:s, s:O}", "run", print_string(s->run), "was_running", s->was_running, "landed",
                                    s->landed, "text", s->verdict, "cancelled", s->cancelled),
                          stdout, err);
}

/* The run must be this user's: the mark in another's directory would be somebody else's word. */
int cmd_own_run(const char *run, struct stint_error *err)
{
        struct identity identity;

        if (identity_read(&identity, run, err))
                return err->code == ENOENT ? 0 : -1; /* submitted, and not begun yet */
        identity_fini(&identity);
        return 0;
}

static int stop(struct stopping *s, const struct stop_options *o, struct stint_error *err)
{
        struct lease_holder holder = {0};
        int64_t step;
        int over = 1;
        size_t from;
        json_t *lines;

        if (cmd_own_run(s->run, err))
                return -1;
        if (done_read(s->run, &step)) {
                snprintf(s->verdict, sizeof s->verdict, "training is complete; there is nothing to stop");
                s->landed = 1;
                return show(s, o->json, err);
        }
        lines = journal_read(s->run, NULL, err);
        if (!lines)
                return -1;
        from = json_array_size(lines);
        json_decref(lines);
        if (lease_read(s->run, &holder, &over, NULL))
                over = 1; /* there is none */
        if (stopped_write(s->run, 0, err))
                return -1;
        cancel_pending(s, &holder, &over);
        snprintf(s->verdict, sizeof s->verdict, "stopped; it was not running");
        if (over <= 0 && stop_running(s, &holder, from, o, err))
                return -1;
        return show(s, o->json, err);
}

int cmd_stop(int argc, char **argv)
{
        struct stop_options o = {.wait_ns = 600 * CLOCK_SECOND};
        struct stopping s = {0};
        struct stint_error err;
        char run[RUNDIR_PATH], **words, **rest;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        s.run = run;
        s.cancelled = json_array();
        rc = pick_from_words(run, words, 1, &rest, &err) || stop(&s, &o, &err);
        json_decref(s.cancelled);
        if (rc)
                return cmd_fail("stop", &err);
        return s.was_running && !o.no_wait && !s.landed ? EXIT_NOT_SAVED : 0;
}
