/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_attend: what differs when the program was there first; run_story.c calls in. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "run_attend.h"
#include "run_story.h"

#define FIRST_LIMIT (30 * CLOCK_SECOND)  /* for the first rank to come */
#define RETURN_LIMIT (10 * CLOCK_SECOND) /* the same, when the agent died and programs have to find it again */
#define HELD_LIMIT (20 * CLOCK_SECOND)   /* for the other coordinator to have its agent ready */

static void say(struct run *r, const char *word, const char *text)
{
        if (r->attend_fd < 0)
                return;
        dprintf(r->attend_fd, "%s %s\n", word, text);
        close(r->attend_fd);
        r->attend_fd = -1;
}

void attend_tell(struct run *r, int ready)
{
        if (ready)
                say(r, "agent", r->agents.agent[0].socket);
        else
                say(r, "error", "stint-agent cannot be started");
        r->attend_told_ns = clock_now();
}

/* The first of several ranks has just taken the lease and is starting its agent; the file will name it. */
static int await_other(struct run *r)
{
        const struct timespec pause = { 0, 50 * CLOCK_MS };
        int64_t until = clock_now() + HELD_LIMIT;
        int over = 0;

        while (r->other.attending && r->other.agent[0] == '\0' && over == 0 && clock_now() < until) {
                nanosleep(&pause, NULL);
                if (lease_read(r->o->dir, &r->other, &over, NULL) != 0)
                        return -1;
        }
        return r->other.attending && r->other.agent[0] != '\0' && over == 0 ? 0 : -1;
}

void attend_refuse(struct run *r, const struct stint_error *err)
{
        char host[64] = "";

        gethostname(host, sizeof host - 1);
        if (err->code == EBUSY && strcmp(host, r->other.host) == 0 && await_other(r) == 0)
                say(r, "held", r->other.agent);
        else
                say(r, "error", err->text);
}

int attend_is_over(const struct run *r)
{
        int64_t now = clock_now();

        if (r->attend_fd >= 0)
                return 0;
        if (!r->ranks.ever)
                return now - r->attend_told_ns > FIRST_LIMIT;
        if (r->ranks.present > 0)
                return 0;
        /* Its agent saw it go: it will not come back, and who comes next begins a stint of his own. */
        if (agents_all_ready(&r->agents) && !r->ranks.cut_off)
                return 1;
        return now - r->ranks.left_ns > RETURN_LIMIT;
}
