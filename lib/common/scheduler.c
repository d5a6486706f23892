/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scheduler: the asking side, in `stint run`.  It finds the local job manager's socket in the environment and keeps one
 * question at a time on its way; what an answer means is decided elsewhere (deadline.h, client/run_*).
 */
#include "scheduler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "wire.h"

static void none(struct scheduler *s)
{
        *s = (struct scheduler){ .fd = -1, .name = "none" };
}

int scheduler_open(struct scheduler *s, struct stint_error *err)
{
        const char *socket = getenv("STINT_LOCAL_JOB"), *id = getenv("STINT_LOCAL_JOB_ID");
        const char *restarts = getenv("STINT_LOCAL_RESTARTS");
        int fd, flags;

        none(s);
        if (!socket || !*socket)
                return 0;
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
        wire_text(s->name, sizeof s->name, "local");
        wire_text(s->job, sizeof s->job, id && *id ? id : socket);
        s->restarts = restarts ? (uint32_t)strtoul(restarts, NULL, 10) : 0;
        return 0;
}

int scheduler_ask(struct scheduler *s, enum scheduler_question question, struct stint_error *err)
{
        struct wire_scheduler_ask ask = { 0 };

        if (s->fd < 0)
                return error_set(err, ENOTCONN, "there is no scheduler to ask");
        if (s->asked)
                return error_set(err, EALREADY, "the %s scheduler has not answered the last question yet", s->name);
        WIRE_INIT(&ask, WIRE_SCHEDULER_ASK);
        ask.question = (uint32_t)question;
        wire_text(ask.job, sizeof ask.job, s->job);
        if (channel_send(s->fd, &ask, sizeof ask, NULL, 0, err) < 0)
                return error_wrap(err, "the %s scheduler", s->name);
        s->asked = (int)question;
        return 0;
}

/* Whether every field of an answer is one that the enums have, and the answer is one to what was asked. */
static int answer_holds(const struct scheduler *s, const struct wire_scheduler_answer *w)
{
        return s->asked && w->question == (uint32_t)s->asked && w->state <= SCHEDULER_ENDED &&
               w->cause <= DEADLINE_POLICY && w->failed >= 0;
}

/* One answer off the socket, checked as far as wire.h goes. */
static int receive(struct scheduler *s, struct wire_scheduler_answer *w, struct stint_error *err)
{
        _Alignas(8) unsigned char buffer[WIRE_MOST];
        ssize_t n = channel_receive(s->fd, buffer, sizeof buffer, NULL, NULL, err);

        if (n < 0)
                return error_wrap(err, "the %s scheduler", s->name);
        if (n == 0)
                return error_set(err, ECONNRESET, "the %s scheduler is gone: the last limit it told stands", s->name);
        if (wire_check(buffer, (size_t)n, err) < 0)
                return error_wrap(err, "the %s scheduler", s->name);
        if (((const struct wire_header *)(const void *)buffer)->type != WIRE_SCHEDULER_ANSWER)
                return error_set(err, EBADMSG, "the %s scheduler sent something that is no answer", s->name);
        memcpy(w, buffer, sizeof *w);
        return 0;
}

int scheduler_read(struct scheduler *s, struct scheduler_answer *answer, struct stint_error *err)
{
        struct wire_scheduler_answer w = { 0 };
        struct stint_error why = { 0 };
        int holds;

        if (s->fd < 0)
                return error_set(err, ENOTCONN, "there is no scheduler to answer");
        if (receive(s, &w, &why) < 0) {
                if (why.code != EAGAIN)
                        s->asked = 0;
                return error_set(err, why.code, "%s", why.text);
        }
        holds = answer_holds(s, &w);
        s->asked = 0;
        if (!holds)
                return error_set(err, EBADMSG, "the %s scheduler gave an answer that makes no sense", s->name);
        s->restarts = w.restarts;
        *answer = (struct scheduler_answer){
                .question = (enum scheduler_question)w.question,
                .failed = w.failed,
                .state = (enum scheduler_state)w.state,
                .left_ns = w.left_ns < 0 ? 0 : w.left_ns,
                .cause = (enum deadline_cause)w.cause,
                .can_requeue = w.can_requeue != 0,
        };
        memcpy(answer->text, w.text, sizeof answer->text);
        return 0;
}

void scheduler_close(struct scheduler *s)
{
        if (s->fd >= 0)
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
        case SCHEDULER_UNKNOWN:
                break;
        }
        return "unknown";
}
