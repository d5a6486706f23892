/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_requeue: the last thing a stint does that ran into its limit.  Called by run_story.c when the loop is over.
 * SIGTERM alone is never a reason: a step that trapped it and requeued brought a cancelled job back to life, so the
 * scheduler looks right before, in the same question.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "run_requeue.h"

/* One answer: stint-slurm makes up to five requests for it, and bounds each. */
#define ANSWER_LIMIT_LOCAL (5 * CLOCK_SECOND)
#define ANSWER_LIMIT (90 * CLOCK_SECOND)
#define AGAIN_MOST (30 * CLOCK_SECOND) /* between two attempts */

enum requeued requeue_outcome(const struct scheduler_answer *answer, const struct stint_error *err, int *again)
{
        int code = answer == NULL ? err->code : answer->failed;

        *again = code == ETIMEDOUT || (answer == NULL && code == ECONNRESET);
        if (answer == NULL || code == ETIMEDOUT || code == ECANCELED || code == ESRCH)
                return REQUEUE_NOT;
        if (answer->state == SCHEDULER_CANCELLED)
                return REQUEUE_NOT;
        return code == 0 ? REQUEUE_GRANTED : REQUEUE_REFUSED;
}

/* One attempt; *again: nobody answered, and that may pass. */
static enum requeued attempt(struct scheduler *s, char *text, size_t size, int *again)
{
        const struct scheduler_query query = { .question = SCHEDULER_REQUEUE };
        const int local = strcmp(s->name, "local") == 0;
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        enum requeued outcome;

        if (scheduler_ask_wait(s, &query, local ? ANSWER_LIMIT_LOCAL : ANSWER_LIMIT, &answer, &err) != 0) {
                outcome = requeue_outcome(NULL, &err, again);
                snprintf(text, size, "%s", err.text);
        } else {
                outcome = requeue_outcome(&answer, NULL, again);
                snprintf(text, size, "%s",
                         answer.text[0] != '\0' || outcome == REQUEUE_GRANTED ? answer.text
                                                                              : "the scheduler does not run this job again");
        }
        *again &= !local;
        return outcome;
}

/*
 * A SIGTERM between two attempts (it is blocked since the loop began) is a controller's that is back, and has seen that the
 * time is over: what can be requeued now is over for good KillWait later, so it is asked at once.
 */
static enum requeued try_it(struct scheduler *s, int64_t patience_ns, char *text, size_t size)
{
        const int64_t until_ns = clock_now() + patience_ns;
        int64_t pause_ns = CLOCK_SECOND;
        enum requeued outcome;
        int again, said = 0;
        sigset_t term;

        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        if (!scheduler_is_there(s)) {
                snprintf(text, size, "there is no scheduler that could run it again");
                return REQUEUE_NOT;
        }
        while ((outcome = attempt(s, text, size, &again)) == REQUEUE_NOT && again && clock_now() + pause_ns < until_ns) {
                const struct timespec pause = { pause_ns / CLOCK_SECOND, pause_ns % CLOCK_SECOND };

                if (!said++)
                        log_warning("the requeue was not answered (%s); it is asked for again, and until it is answered Slurm "
                                    "may end this job without running it again",
                                    text);
                if (sigtimedwait(&term, NULL, &pause) == SIGTERM)
                        pause_ns = CLOCK_SECOND;
                else
                        pause_ns = 2 * pause_ns < AGAIN_MOST ? 2 * pause_ns : AGAIN_MOST;
        }
        return outcome;
}

enum requeued requeue_ask(struct scheduler *s, struct journal *j, int64_t patience_ns, char *text, size_t size)
{
        enum requeued outcome = try_it(s, patience_ns, text, size);
        struct stint_error err;

        if (journal_add(j, "requeue", json_pack("{s:b, s:s}", "granted", outcome == REQUEUE_GRANTED, "text", text),
                        &err) != 0)
                log_warning("%s", err.text);
        return outcome;
}

/*
 * The batch script, to be waited for: slurmstepd makes it the leader of a process group, and a number is not given to
 * another process while a group has it.  -1: it is not known, as in a group of our own (`set -m`).
 */
static int batch_script(int *is_gone)
{
        pid_t leader = getpgrp();
        int fd;

        *is_gone = 0;
        if (leader == getpid())
                return -1;
        fd = pidfd_open(leader, 0);
        *is_gone = fd < 0 && (errno == ESRCH || errno == EINVAL);
        return fd;
}

int requeue_wait_for_end(int64_t limit_ns)
{
        const int64_t until_ns = clock_now() + limit_ns;
        struct pollfd script = { .events = POLLIN };
        int64_t left_ns = limit_ns;
        sigset_t ends;
        int is_gone;

        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        sigaddset(&ends, SIGHUP);
        sigprocmask(SIG_BLOCK, &ends, NULL);
        script.fd = batch_script(&is_gone);
        while (!is_gone && left_ns > 0) {
                is_gone = poll(&script, 1, (int)(left_ns / CLOCK_MS) + 1) > 0;
                left_ns = until_ns - clock_now();
        }
        if (script.fd >= 0)
                close(script.fd);
        return is_gone;
}
