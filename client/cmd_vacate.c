/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_vacate: `stint vacate`: asks this node's stintd to have its jobs save, stop and be requeued, and waits until their
 * agents are gone.  Root empties a node with it; a user moves his own jobs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "cmd.h"
#include "duration.h"
#include "node.h"
#include "print.h"
#include "run.h"
#include "wire.h"

#define EXIT_SOME_LEFT 1
#define ANSWER_NS (10 * CLOCK_SECOND) /* stintd answers at once, or not at all */
#define LOOK_EVERY CLOCK_SECOND

struct vacate_options {
        int list, no_wait;
        const char *job;
        int64_t wait_ns;
};

static const struct flag table[] = {
        {"--list", NULL, offsetof(struct vacate_options, list), flag_switch, "only list the jobs that stintd knows here",
         NULL},
        {"--job", "ID", offsetof(struct vacate_options, job), flag_text, "this job alone", NULL},
        {"--no-wait", NULL, offsetof(struct vacate_options, no_wait), flag_switch, "do not wait until they are gone",
         NULL},
        {"--wait", "D", offsetof(struct vacate_options, wait_ns), flag_duration,
         "wait for that at most so long (default: 10m)", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] =
        "Usage: stint vacate [OPTION...]\n\n"
        "Has the jobs of this node save, stop and be requeued: root all of them, a user his own. Set the node to DRAIN "
        "in Slurm first, or they may come back. Exit code 1: some are still here.";

/* What stintd told in answer to one request. */
struct told {
        struct wire_daemon_job *jobs;
        size_t n;
        struct wire_daemon_done done;
};

/* ---- one request ------------------------------------------------------------------------------------------------- */

static int connect_to_stintd(struct stint_error *err)
{
        const char *named = getenv("STINT_DAEMON_SOCKET");
        char path[108];
        int fd;

        if (node_expand(path, sizeof path, named && *named ? named : DAEMON_SOCKET, NULL, err))
                return -1;
        fd = channel_connect_path(path, NULL, err);
        if (fd < 0)
                return error_wrap(err, "stintd is not running on this node, or not at %s", path);
        return fd;
}

static int add_job(struct told *told, const struct wire_daemon_job *job, struct stint_error *err)
{
        struct wire_daemon_job *more = realloc(told->jobs, (told->n + 1) * sizeof *more);

        if (!more)
                return error_set(err, ENOMEM, "no memory for what stintd tells");
        told->jobs = more;
        told->jobs[told->n++] = *job;
        return 0;
}

/* 1: that was the end of the answer; 0: there is more; -1. */
static int take(int fd, struct told *told, struct stint_error *err)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        const struct wire_header *header = (const void *)message;
        const struct wire_daemon_refused *refused = (const void *)message;
        ssize_t n;

        if (!channel_wait(fd, ANSWER_NS))
                return error_set(err, ETIMEDOUT, "stintd does not answer");
        n = channel_receive(fd, message, sizeof message, NULL, NULL, err);
        if (n < 0 && err->code == EAGAIN)
                return 0;
        if (n == 0)
                return error_set(err, ECONNRESET, "stintd ended the connection");
        if (n < 0 || wire_check(message, (size_t)n, err))
                return -1;
        switch (header->type) {
        case WIRE_DAEMON_JOB:
                return add_job(told, (const void *)message, err);
        case WIRE_DAEMON_DONE:
                memcpy(&told->done, message, sizeof told->done);
                return told->done.code ? error_set(err, told->done.code, "%s", told->done.text) : 1;
        case WIRE_DAEMON_REFUSED:
                return error_set(err, EPERM, "stintd refuses: %s", refused->text);
        default:
                return error_set(err, EBADMSG, "stintd answered with something else (%s)", wire_name(header->type));
        }
}

static int request(int fd, enum daemon_request what, const char *job, struct told *told, struct stint_error *err)
{
        struct wire_daemon_request m = {.what = what};
        int rc;

        free(told->jobs);
        memset(told, 0, sizeof *told);
        WIRE_INIT(&m, WIRE_DAEMON_REQUEST);
        wire_text(m.job, sizeof m.job, job ? job : "");
        if (channel_send(fd, &m, sizeof m, NULL, 0, err))
                return -1;
        while ((rc = take(fd, told, err)) == 0)
                ;
        return rc < 0 ? -1 : 0;
}

/* ---- what is shown ----------------------------------------------------------------------------------------------- */

static int show(const struct told *told)
{
        static const char *const titles[] = {"JOB", ">UID", "STATE", ">STEP", ">LANDED", ">LEFT", NULL};
        struct print_table *t = print_table_new(titles);
        char job[32], uid[16], step[24], landed[24], left[32];

        for (size_t i = 0; i < told->n; i++) {
                const struct wire_daemon_job *j = &told->jobs[i];

                snprintf(job, sizeof job, "pid %u", j->pid);
                snprintf(uid, sizeof uid, "%u", j->uid);
                snprintf(step, sizeof step, "%" PRId64, j->step);
                snprintf(landed, sizeof landed, "%" PRId64, j->landed_step);
                duration_format(left, sizeof left, j->left_ns);
                print_row(t, (const char *[]){*j->job ? j->job : job, uid, j->state, j->step < 0 ? NULL : step,
                                              j->landed_step < 0 ? NULL : landed, left});
        }
        return print_table_end(t, stdout);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static int is_stint(const struct wire_daemon_job *a, const struct wire_daemon_job *b)
{
        return a->stint == b->stint && !strcmp(a->run_id, b->run_id);
}

/* Those of `now` that were asked: a job that was requeued and came back is another stint, and not meant. */
static void keep_those_asked(struct told *now, const struct told *asked)
{
        size_t kept = 0;

        for (size_t i = 0; i < now->n; i++)
                for (size_t j = 0; j < asked->n; j++)
                        if (is_stint(&now->jobs[i], &asked->jobs[j])) {
                                now->jobs[kept++] = now->jobs[i];
                                break;
                        }
        now->n = kept;
}

static void keep_those_that_drain(struct told *told)
{
        size_t kept = 0;

        for (size_t i = 0; i < told->n; i++)
                if (told->jobs[i].drain)
                        told->jobs[kept++] = told->jobs[i];
        told->n = kept;
}

/* An agent that died and was started again is new to stintd, and has to be asked again. */
static int ask_newcomers(int fd, const struct told *now, struct stint_error *err)
{
        struct told answer = {.jobs = NULL};
        int rc = 0;

        for (size_t i = 0; !rc && i < now->n; i++)
                if (!now->jobs[i].drain && *now->jobs[i].job)
                        rc = request(fd, DAEMON_DRAIN, now->jobs[i].job, &answer, err);
        free(answer.jobs);
        return rc && err->code != ESRCH ? -1 : 0; /* gone meanwhile is what is wanted */
}

static int wait_until_gone(int fd, int64_t wait_ns, const struct told *asked, struct told *now, struct stint_error *err)
{
        const struct timespec pause = {.tv_sec = LOOK_EVERY / CLOCK_SECOND};
        const int64_t until_ns = clock_now() + wait_ns;

        for (;;) {
                if (request(fd, DAEMON_LIST, NULL, now, err))
                        return -1;
                keep_those_asked(now, asked);
                if (now->n == 0 || clock_now() >= until_ns)
                        return 0;
                if (ask_newcomers(fd, now, err))
                        return -1;
                nanosleep(&pause, NULL);
        }
}

/* 0, or 1 when some are left; -1. */
static int vacate(int fd, const struct vacate_options *o, struct stint_error *err)
{
        struct told asked = {.jobs = NULL}, now = {.jobs = NULL};
        int rc = request(fd, DAEMON_DRAIN, o->job, &asked, err);
        const uint32_t count = asked.done.count;

        if (!rc)
                printf("asked %u job%s to save, stop and be requeued\n", count, count == 1 ? "" : "s");
        fflush(stdout);
        if (!rc && count > 0 && !o->no_wait) {
                rc = request(fd, DAEMON_LIST, NULL, &asked, err);
                keep_those_that_drain(&asked);
                if (!rc)
                        rc = wait_until_gone(fd, o->wait_ns, &asked, &now, err);
                if (!rc && now.n == 0)
                        puts("all of them are gone");
                if (!rc && now.n > 0)
                        rc = show(&now) ? error_set(err, ENOMEM, "no memory") : 1;
        }
        free(asked.jobs);
        free(now.jobs);
        return rc;
}

static int list(int fd, struct stint_error *err)
{
        struct told told = {.jobs = NULL};
        int rc = request(fd, DAEMON_LIST, NULL, &told, err);

        if (!rc && show(&told))
                rc = error_set(err, ENOMEM, "no memory");
        free(told.jobs);
        return rc;
}

int cmd_vacate(int argc, char **argv)
{
        struct vacate_options o = {.wait_ns = 600 * CLOCK_SECOND};
        struct stint_error err = {0};
        char **words;
        int fd, rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        if (*words) {
                error_set(&err, EINVAL, "'%s' is one word too many", *words);
                return cmd_fail("vacate", &err);
        }
        fd = connect_to_stintd(&err);
        if (fd < 0)
                return cmd_fail("vacate", &err);
        rc = o.list ? list(fd, &err) : vacate(fd, &o, &err);
        close(fd);
        if (rc < 0)
                return cmd_fail("vacate", &err);
        return rc > 0 ? EXIT_SOME_LEFT : 0;
}
