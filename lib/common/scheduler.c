/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scheduler: the asking side, in `stint run`, in stintd, and in the verbs that ask Slurm.  It finds the local job
 * manager's socket in the environment, or starts stint-slurm when there is a question for it, and keeps one question at
 * a time on its way; what an answer means is decided elsewhere (deadline.h, client/run_*).
 */
#include "scheduler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "wire.h"

_Static_assert(SCHEDULER_TEXT == WIRE_TEXT, "an answer has room for the text of its message");

static void none(struct scheduler *s)
{
        *s = (struct scheduler){ .fd = -1, .name = "none" };
        slurm_child_init(&s->child);
}

static int is_slurm(const struct scheduler *s)
{
        return strcmp(s->name, "slurm") == 0;
}

int scheduler_is_there(const struct scheduler *s)
{
        return s->fd >= 0 || is_slurm(s);
}

/* ---- finding it ------------------------------------------------------------------------------------------------ */

static int open_local(struct scheduler *s, const char *socket, struct stint_error *err)
{
        const char *id = getenv("STINT_LOCAL_JOB_ID"), *restarts = getenv("STINT_LOCAL_RESTARTS");
        int fd, flags;

        fd = channel_connect(socket, NULL, err);
        if (fd < 0)
                return error_wrap(
                        err, "the local scheduler named by STINT_LOCAL_JOB cannot be reached, so no limit is known");
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
                int code = errno;

                close(fd);
                return error_system(err, code, "cannot use the socket of the local scheduler");
        }
        s->fd = fd;
        s->started = 1;
        wire_text(s->name, sizeof s->name, "local");
        wire_text(s->job, sizeof s->job, id && *id ? id : socket);
        s->restarts = restarts ? (uint32_t)strtoul(restarts, NULL, 10) : 0;
        return 0;
}

void scheduler_open_slurm(struct scheduler *s, const char *job, uint32_t restarts)
{
        none(s);
        wire_text(s->name, sizeof s->name, "slurm");
        wire_text(s->job, sizeof s->job, job);
        s->restarts = restarts;
}

int scheduler_open(struct scheduler *s, struct stint_error *err)
{
        const char *socket = getenv("STINT_LOCAL_JOB"), *job = getenv("SLURM_JOB_ID");
        const char *restarts = getenv("SLURM_RESTART_COUNT"); /* not there in the first run of a job */

        none(s);
        if (socket && *socket)
                return open_local(s, socket, err);
        if (job && *job)
                scheduler_open_slurm(s, job, restarts ? (uint32_t)strtoul(restarts, NULL, 10) : 0);
        return 0;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static int start_child(struct scheduler *s, struct stint_error *err)
{
        if (slurm_child_start(&s->child, err) < 0)
                return -1;
        s->fd = s->child.fd;
        s->started++;
        return 0;
}

static void end_child(struct scheduler *s)
{
        slurm_child_end(&s->child);
        s->fd = -1;
}

/* A child that ended since its last answer costs nobody a question: another one gets it. */
static int send_ask(struct scheduler *s, const struct wire_scheduler_ask *ask, struct stint_error *err)
{
        int fresh = s->fd < 0;

        if (is_slurm(s) && fresh && start_child(s, err) < 0)
                return -1;
        if (channel_send(s->fd, ask, sizeof *ask, NULL, 0, err) == 0)
                return 0;
        if (!is_slurm(s))
                return error_wrap(err, "the %s scheduler", s->name);
        end_child(s);
        if (fresh)
                return error_wrap(err, "stint-slurm was started and is gone");
        return send_ask(s, ask, err);
}

int scheduler_ask_about(struct scheduler *s, const struct scheduler_query *query, struct stint_error *err)
{
        const char *job = query->job ? query->job : s->job;
        struct wire_scheduler_ask ask = { 0 };

        if (!scheduler_is_there(s))
                return error_set(err, ENOTCONN, "there is no scheduler to ask");
        if (s->asked)
                return error_set(err, EALREADY, "the %s scheduler has not answered the last question yet", s->name);
        WIRE_INIT(&ask, WIRE_SCHEDULER_ASK);
        ask.question = (uint32_t)query->question;
        ask.limit_s = query->limit_s;
        ask.pid = (uint32_t)query->pid;
        wire_text(ask.job, sizeof ask.job, job);
        wire_text(ask.text, sizeof ask.text, query->text ? query->text : "");
        if (send_ask(s, &ask, err) < 0)
                return -1;
        s->asked = (int)query->question;
        wire_text(s->about, sizeof s->about, strcmp(job, s->job) != 0 ? job : "");
        return 0;
}

int scheduler_ask(struct scheduler *s, enum scheduler_question question, struct stint_error *err)
{
        return scheduler_ask_about(s, &(struct scheduler_query){ .question = question }, err);
}

int scheduler_drop(struct scheduler *s)
{
        if (!is_slurm(s))
                return 0;
        end_child(s);
        s->asked = 0;
        return 1;
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

/* Whether every field of an answer is one that the enums have, and the answer is one to what was asked. */
static int answer_holds(const struct scheduler *s, const struct wire_scheduler_answer *w)
{
        return s->asked && w->question == (uint32_t)s->asked && w->state <= SCHEDULER_SUSPENDED &&
               w->cause <= DEADLINE_POLICY && w->failed >= 0;
}

/* Whoever speaks out of turn is not asked again: of Slurm, the next question starts another child. */
static int nonsense(struct scheduler *s, const char *what, struct stint_error *err)
{
        s->asked = 0;
        if (is_slurm(s))
                slurm_child_kill(&s->child);
        return error_set(err, EBADMSG, "the %s scheduler %s", s->name, what);
}

static int is_gone(struct scheduler *s, struct stint_error *err)
{
        char why[320];

        if (!is_slurm(s))
                return error_set(err, ECONNRESET, "the %s scheduler is gone: the last limit it told stands", s->name);
        slurm_child_reap(&s->child, why, sizeof why);
        return error_set(err, ECONNRESET, "stint-slurm did not answer: %s", why);
}

/* One message off the socket, checked as far as wire.h goes, into `message` of WIRE_MOST bytes. */
static int receive(struct scheduler *s, void *message, struct stint_error *err)
{
        ssize_t n;

        if (s->fd < 0)
                return error_set(err, ENOTCONN, "there is no scheduler to answer");
        n = channel_receive(s->fd, message, WIRE_MOST, NULL, NULL, err);
        if (n < 0)
                return error_wrap(err, "the %s scheduler", s->name);
        if (n == 0)
                return is_gone(s, err);
        if (wire_check(message, (size_t)n, err) < 0)
                return error_wrap(err, "the %s scheduler", s->name);
        return 0;
}

/* As receive; what is no message of this type, or the end of everything, leaves no question on its way. */
static int receive_answer(struct scheduler *s, void *message, unsigned type, struct stint_error *err)
{
        struct stint_error why = { 0 };

        if (receive(s, message, &why) < 0) {
                if (why.code != EAGAIN && why.code != ECONNRESET)
                        nonsense(s, "", NULL);
                else if (why.code != EAGAIN)
                        s->asked = 0;
                return error_set(err, why.code, "%s", why.text);
        }
        if (((const struct wire_header *)message)->type == type)
                return 0;
        return nonsense(s, "sent something that is no answer", err);
}

int scheduler_read(struct scheduler *s, struct scheduler_answer *answer, struct stint_error *err)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        const struct wire_scheduler_answer *w = (const void *)message;

        if (receive_answer(s, message, WIRE_SCHEDULER_ANSWER, err) < 0)
                return -1;
        if (!answer_holds(s, w))
                return nonsense(s, "gave an answer that makes no sense", err);
        s->asked = 0;
        *answer = (struct scheduler_answer){
                .question = (enum scheduler_question)w->question,
                .failed = w->failed,
                .state = (enum scheduler_state)w->state,
                .left_ns = w->left_ns < 0 ? 0 : w->left_ns,
                .cause = (enum deadline_cause)w->cause,
                .can_requeue = w->can_requeue != 0,
                .restarts = w->restarts,
                .uid = w->uid,
                .nodes = w->nodes,
                .gone = w->gone != 0,
                .submit_s = w->submit_s,
                .start_s = w->start_s,
                .wait_ns = w->wait_ns < 0 ? 0 : w->wait_ns,
        };
        memcpy(answer->job, w->job, sizeof answer->job);
        memcpy(answer->text, w->text, sizeof answer->text);
        if (!s->about[0] && answer->question == SCHEDULER_STATE && !answer->failed)
                s->restarts = answer->restarts;
        return 0;
}

int scheduler_read_cluster(struct scheduler *s, struct cluster *cluster, struct stint_error *err)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        const struct wire_scheduler_cluster *w = (const void *)message;

        if (receive_answer(s, message, WIRE_SCHEDULER_CLUSTER, err) < 0)
                return -1;
        if (s->asked != SCHEDULER_CLUSTER || w->failed < 0)
                return nonsense(s, "gave an answer that makes no sense", err);
        s->asked = 0;
        if (w->failed != 0)
                return error_set(err, w->failed, "%s", w->text);
        *cluster = w->cluster;
        return 0;
}

/* ---- asking and waiting ---------------------------------------------------------------------------------------- */

/* Until something is there to read, at most until_ns. */
static int await(struct scheduler *s, int64_t until_ns, int64_t limit_ns, struct stint_error *err)
{
        if (channel_wait(s->fd, until_ns - clock_now()))
                return 0;
        scheduler_drop(s);
        return error_set(err, ETIMEDOUT, "%s did not answer within %d s",
                         is_slurm(s) ? "slurmctld" : "the local scheduler", (int)(limit_ns / CLOCK_SECOND));
}

int scheduler_ask_wait(struct scheduler *s, const struct scheduler_query *query, int64_t limit_ns,
                       struct scheduler_answer *answer, struct stint_error *err)
{
        int64_t until_ns = clock_now() + limit_ns;

        /* The answer to an older question of the local scheduler, which nobody waits for any more. */
        if (s->asked && !scheduler_drop(s) &&
            (await(s, until_ns, limit_ns, err) < 0 || scheduler_read(s, answer, err) < 0))
                return -1;
        if (scheduler_ask_about(s, query, err) < 0 || await(s, until_ns, limit_ns, err) < 0)
                return -1;
        return scheduler_read(s, answer, err);
}

int scheduler_cluster_wait(struct scheduler *s, const char *partition, int64_t limit_ns, struct cluster *cluster,
                           struct stint_error *err)
{
        const struct scheduler_query query = { .question = SCHEDULER_CLUSTER, .text = partition };

        if (!is_slurm(s))
                return error_set(err, ENOTCONN, "there is no Slurm to ask");
        if (s->asked)
                scheduler_drop(s);
        if (scheduler_ask_about(s, &query, err) < 0 || await(s, clock_now() + limit_ns, limit_ns, err) < 0)
                return -1;
        return scheduler_read_cluster(s, cluster, err);
}

void scheduler_close(struct scheduler *s)
{
        if (is_slurm(s))
                end_child(s);
        else if (s->fd >= 0)
                close(s->fd);
        none(s);
}

const char *scheduler_state_name(enum scheduler_state state)
{
        switch (state) {
        case SCHEDULER_RUNNING:
                return "running";
        case SCHEDULER_COMPLETING:
                return "completing";
        case SCHEDULER_CANCELLED:
                return "cancelled";
        case SCHEDULER_PENDING:
                return "pending";
        case SCHEDULER_ENDED:
                return "ended";
        case SCHEDULER_SUSPENDED:
                return "suspended";
        case SCHEDULER_UNKNOWN:
                break;
        }
        return "unknown";
}
