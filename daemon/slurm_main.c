/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main of stint-slurm: a question of whoever started it comes in on stdin, which is a socket, goes to Slurm, and its
 * answer goes back; until that socket ends.  lib/common/scheduler.c is the other end.  libslurm may block this process
 * or end it: that is what it is for.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "scheduler.h"
#include "slurm_act.h"
#include "slurm_call.h"
#include "slurm_cluster.h"
#include "slurm_query.h"
#include "wire.h"

#define EXIT_USAGE 2

static void usage(FILE *out)
{
        fputs("usage: stint-slurm\n"
              "Asks Slurm for stint. Started by `stint run`, stintd and others, which speak to it over a socket that is its "
              "stdin.\n"
              "  --version  the version of stint, and of the Slurm it was built with\n",
              out);
}

/* Whether there is somebody to speak with; what is left is said on stdout or stderr, and *code is the exit code. */
static int has_socket(int argc, char **argv, int *code)
{
        socklen_t size = sizeof(int);
        int type;

        *code = 0;
        if (argc == 2 && strcmp(argv[1], "--version") == 0) {
                printf("stint-slurm %s, for Slurm %d.%02d.%d\n", PACKAGE_VERSION,
                       SLURM_VERSION_MAJOR(SLURM_VERSION_NUMBER), SLURM_VERSION_MINOR(SLURM_VERSION_NUMBER),
                       SLURM_VERSION_MICRO(SLURM_VERSION_NUMBER));
                return 0;
        }
        if (argc == 2 && strcmp(argv[1], "--help") == 0) {
                usage(stdout);
                return 0;
        }
        if (argc == 1 && getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
                return 1;
        usage(stderr);
        *code = EXIT_USAGE;
        return 0;
}

/* It ends with its parent, and by its alarm (slurm_call.h), whatever was blocked before. */
static void set_signals(void)
{
        sigset_t alarms;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigemptyset(&alarms);
        sigaddset(&alarms, SIGALRM);
        sigprocmask(SIG_UNBLOCK, &alarms, NULL);
}

static int send_cluster(const struct wire_scheduler_ask *ask)
{
        struct wire_scheduler_cluster answer = { 0 };
        struct stint_error err = { 0 };

        WIRE_INIT(&answer, WIRE_SCHEDULER_CLUSTER);
        if (cluster_ask(ask, &answer.cluster, &err) < 0) {
                answer.failed = err.code;
                wire_text(answer.text, sizeof answer.text, err.text);
        }
        return channel_send(STDIN_FILENO, &answer, sizeof answer, NULL, 0, NULL);
}

static int answer_it(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer,
                     struct stint_error *err)
{
        switch ((enum scheduler_question)ask->question) {
        case SCHEDULER_STATE:
                return query_state(ask, answer, err);
        case SCHEDULER_WHOSE:
                return query_whose(ask, answer, err);
        case SCHEDULER_REQUEUE:
                return act_requeue(ask, answer, err);
        case SCHEDULER_CANCEL:
                return act_cancel(ask, answer, err);
        case SCHEDULER_COMMENT:
                return act_comment(ask, answer, err);
        case SCHEDULER_CLUSTER:
                break;
        }
        return error_set(err, EINVAL, "stint-slurm does not know question %u: use one release of stint on both sides",
                         ask->question);
}

static int send_answer(const struct wire_scheduler_ask *ask)
{
        struct wire_scheduler_answer answer = { .left_ns = CLOCK_NEVER, .uid = UINT32_MAX };
        struct stint_error err = { 0 };

        WIRE_INIT(&answer, WIRE_SCHEDULER_ANSWER);
        answer.question = ask->question;
        if (answer_it(ask, &answer, &err) < 0) {
                answer.failed = err.code;
                wire_text(answer.text, sizeof answer.text, err.text);
        }
        return channel_send(STDIN_FILENO, &answer, sizeof answer, NULL, 0, NULL);
}

int main(int argc, char **argv)
{
        struct wire_scheduler_ask ask;
        ssize_t n;
        int code;

        if (!has_socket(argc, argv, &code))
                return code;
        set_signals();
        call_init();
        while ((n = channel_receive(STDIN_FILENO, &ask, sizeof ask, NULL, NULL, NULL)) > 0) {
                if (wire_check(&ask, (size_t)n, NULL) < 0 || ask.header.type != WIRE_SCHEDULER_ASK)
                        return 1;
                call_limit(ask.limit_s);
                if ((ask.question == SCHEDULER_CLUSTER ? send_cluster(&ask) : send_answer(&ask)) < 0)
                        return 1;
        }
        return n == 0 ? 0 : 1;
}
