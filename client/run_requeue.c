/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_requeue: the last thing a stint does that ran into its limit.  Called by run_story.c when the loop is over.
 * SIGTERM alone is never a reason: the scheduler is asked right before, and a job that it calls cancelled stays so.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "run_requeue.h"

#define ANSWER_LIMIT (5 * CLOCK_SECOND)

/* Waits for the answer that is on its way. */
static int await(struct scheduler *s, struct scheduler_answer *answer, struct stint_error *err)
{
        int64_t until = clock_now() + ANSWER_LIMIT, left;
        struct pollfd pfd = { .fd = s->fd, .events = POLLIN };

        while ((left = until - clock_now()) > 0) {
                if (poll(&pfd, 1, (int)(left / CLOCK_MS) + 1) <= 0)
                        continue;
                if (scheduler_read(s, answer, err) == 0)
                        return 0;
                if (err->code != EAGAIN)
                        return -1;
        }
        return error_set(err, ETIMEDOUT, "the scheduler has not answered within %d s",
                         (int)(ANSWER_LIMIT / CLOCK_SECOND));
}

static int ask(struct scheduler *s, enum scheduler_question question, struct scheduler_answer *answer,
               struct stint_error *err)
{
        if (s->asked && await(s, answer, err) != 0) /* an older question's answer, which nobody waits for */
                return -1;
        if (scheduler_ask(s, question, err) != 0 || await(s, answer, err) != 0)
                return -1;
        return answer->failed == 0 ? 0 : error_set(err, answer->failed, "%s", answer->text);
}

static enum requeued try_it(struct scheduler *s, char *text, size_t size)
{
        struct scheduler_answer answer;
        struct stint_error err = { 0 };

        if (s->fd < 0) {
                snprintf(text, size, "there is no scheduler that could run it again");
                return REQUEUE_NOT;
        }
        if (ask(s, SCHEDULER_STATE, &answer, &err) != 0) {
                snprintf(text, size, "%s", err.text);
                return REQUEUE_NOT;
        }
        if (answer.state == SCHEDULER_CANCELLED) {
                snprintf(text, size, "the job was cancelled");
                return REQUEUE_NOT;
        }
        if (!answer.can_requeue) {
                snprintf(text, size, "%s",
                         answer.text[0] != '\0' ? answer.text : "the scheduler does not run this job again");
                return REQUEUE_NOT;
        }
        if (ask(s, SCHEDULER_REQUEUE, &answer, &err) != 0) {
                snprintf(text, size, "%s", err.text);
                return REQUEUE_NOT;
        }
        snprintf(text, size, "%s", answer.text);
        return REQUEUE_GRANTED;
}

enum requeued requeue_ask(struct scheduler *s, struct journal *j, char *text, size_t size)
{
        enum requeued answer = try_it(s, text, size);
        struct stint_error err;

        if (journal_add(j, "requeue", json_pack("{s:b, s:s}", "granted", answer == REQUEUE_GRANTED, "text", text),
                        &err) != 0)
                log_warning("%s", err.text);
        return answer;
}

void requeue_wait_for_end(int64_t limit_ns)
{
        struct timespec limit = { limit_ns / CLOCK_SECOND, limit_ns % CLOCK_SECOND };
        sigset_t ends;

        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        sigprocmask(SIG_BLOCK, &ends, NULL);
        sigtimedwait(&ends, NULL, &limit);
}
