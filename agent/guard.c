/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guard: the small process above the agent.  It holds nothing of the programs and does nothing but wait, so that what
 * ends an agent - a fault in it, the kernel in need of memory - spares it.  Called by main.
 */
#include "guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "armour.h"
#include "clock.h"
#include "log.h"

struct guard {
        uint32_t node;
        sigset_t waited, before; /* SIGTERM and SIGCHLD; the mask that the agent gets */
        pid_t agent;
        int64_t restarted_ns[GUARD_RESTARTS];
        unsigned restarts;
};

/* The agent has made its stdout non-blocking, which is ours too. */
static void write_line(const char *line, size_t n)
{
        struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };

        while (write(STDOUT_FILENO, line, n) < 0 && (errno == EAGAIN || errno == EINTR))
                if (errno == EAGAIN)
                        poll(&p, 1, -1);
}

/* One line, in one piece: what the agent had written before is whole lines too. */
static void tell(const struct guard *g, const char *how, int restarting)
{
        struct wire_agent_died m = { .restarting = (uint32_t)restarting };
        char line[ARMOUR_LINE];

        _Static_assert(sizeof m <= ARMOUR_PIECE, "it is one line");
        WIRE_INIT(&m, WIRE_AGENT_DIED);
        wire_text(m.how, sizeof m.how, how);
        write_line(line, armour_line(line, g->node, &m, sizeof m, 0));
}

/* One that dies again and again is broken; one that died now and then in a month was unlucky. */
static int may_restart(struct guard *g)
{
        int64_t *oldest_ns = &g->restarted_ns[g->restarts % GUARD_RESTARTS], now_ns = clock_now();

        if (*oldest_ns != 0 && now_ns - *oldest_ns < GUARD_RESTARTS_IN)
                return 0;
        *oldest_ns = now_ns;
        g->restarts++;
        return 1;
}

/* 0 in the agent, its pid in the guard, -1. */
static pid_t divide(struct guard *g)
{
        const pid_t guard = getpid();

        g->agent = fork();
        if (g->agent != 0)
                return g->agent;
        sigprocmask(SIG_SETMASK, &g->before, NULL);
        /* The guard may have gone before this was asked for. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != guard)
                _exit(125);
        return 0;
}

/* The agent is over: 0 in the next one; otherwise does not return. */
static int follow(struct guard *g, int status)
{
        char how[80];
        int again;

        if (WIFEXITED(status))
                exit(WEXITSTATUS(status));
        snprintf(how, sizeof how, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        again = may_restart(g);
        tell(g, how, again);
        if (!again)
                exit(0); /* a bad exit would end the agents of the other nodes too */
        if (divide(g) == 0)
                return 0;
        if (g->agent < 0) {
                log_error("no process for another agent: %s", strerror(errno));
                tell(g, "no process for another agent", 0);
                exit(0);
        }
        return 1;
}

/* 0 in an agent; the guard stays here. */
static int watch(struct guard *g)
{
        siginfo_t info;
        int status;

        for (;;) {
                if (sigwaitinfo(&g->waited, &info) == SIGTERM)
                        kill(g->agent, SIGTERM);
                if (waitpid(g->agent, &status, WNOHANG) == g->agent && follow(g, status) == 0)
                        return 0;
        }
}

int guard_begin(uint32_t node, struct stint_error *err)
{
        struct guard g = { .node = node };

        sigemptyset(&g.waited);
        sigaddset(&g.waited, SIGTERM);
        sigaddset(&g.waited, SIGCHLD);
        signal(SIGCHLD, SIG_DFL);
        sigprocmask(SIG_BLOCK, &g.waited, &g.before);
        switch (divide(&g)) {
        case 0:
                return 0;
        case -1:
                return error_system(err, errno, "no process for the agent");
        }
        return watch(&g);
}
