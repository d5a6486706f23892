/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_pending: looks at the seals of the parts again and again, for the nodes of a run share nothing but its files.  Where
 * a seal is to be, its agent had left until when stintd goes on with the write (seal.h).
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "run_pending.h"
#include "rundir.h"
#include "seal.h"

#define LOOK_EVERY (50 * CLOCK_MS)
#define LOOK_SELDOM (500 * CLOCK_MS)        /* after the first two seconds: a file server has others to serve */
#define SOON (2 * CLOCK_SECOND)
#define MOST (3600 * CLOCK_SECOND)          /* stintd promises no more; a mark that does is none */
#define PATH_BYTES (RUNDIR_PATH + 3 * RUNDIR_NAME)

/* What is waited for. */
struct pending {
        struct seal_pending mark; /* the latest of those that still run */
        int64_t step;
        uint32_t stint;
        int parts;                /* so many */
};

static int is_running(const struct seal_pending *mark, int64_t wall_ns)
{
        return mark->until_wall_ns > wall_ns && mark->until_wall_ns - wall_ns <= MOST;
}

/* The ranks of a part, from the name of any seal in it; 0 without one. */
static unsigned ranks_of(const char *part)
{
        DIR *dir = opendir(part);
        struct dirent *entry;
        char exact[RUNDIR_NAME];
        unsigned rank, of, ranks = 0;

        if (dir == NULL)
                return 0;
        while ((entry = readdir(dir)) != NULL)
                if (sscanf(entry->d_name, "rank-%u-of-%u.seal", &rank, &of) == 2 && rank < of &&
                    strcmp(entry->d_name, rundir_rank_seal(exact, rank, of)) == 0)
                        ranks = of;
        closedir(dir);
        return ranks;
}

/* Whether this part may still become whole, and by when: every rank's seal is there or is being made. */
static int is_pending(const char *part, struct seal_pending *latest)
{
        const int64_t wall_ns = clock_wall();
        const unsigned ranks = ranks_of(part);
        char path[PATH_BYTES], name[RUNDIR_NAME];
        struct seal_pending mark;
        int found = 0, rc;
        unsigned i;

        for (i = 0; i < ranks; i++) {
                if (rundir_join(path, sizeof path, part, rundir_rank_seal(name, i, ranks), NULL, NULL) != 0)
                        return 0;
                rc = seal_pending_read(&mark, path, NULL);
                if (rc < 0 || (rc == 0 && !is_running(&mark, wall_ns)))
                        return 0;
                if (rc == 0 && (!found || mark.until_wall_ns > latest->until_wall_ns))
                        *latest = mark;
                found |= rc == 0;
        }
        return found;
}

static void look(struct pending *p, const char *checkpoints, uint32_t own)
{
        DIR *dir = opendir(checkpoints);
        struct seal_pending mark;
        struct dirent *entry;
        char part[PATH_BYTES];
        uint32_t stint;
        int64_t step;

        *p = (struct pending){ .step = -1 };
        if (dir == NULL)
                return;
        while ((entry = readdir(dir)) != NULL) {
                if (rundir_parse(entry->d_name, &step, &stint) != RUNDIR_PART || stint == own ||
                    rundir_join(part, sizeof part, checkpoints, entry->d_name, NULL, NULL) != 0 ||
                    !is_pending(part, &mark))
                        continue;
                if (p->parts++ == 0 || mark.until_wall_ns > p->mark.until_wall_ns) {
                        p->mark = mark;
                        p->step = step;
                        p->stint = stint;
                }
        }
        closedir(dir);
}

static void say(const struct pending *p, uint32_t stint)
{
        char until[32];

        log_notice("stint %u: waits until %s, or less, for stintd of node %s, which writes the rest of step %" PRId64
                   " of stint %u",
                   stint, clock_format(until, sizeof until, p->mark.until_wall_ns), p->mark.node, p->step, p->stint);
}

int64_t pending_await(const char *run_dir, uint32_t stint, int (*unwanted)(void *arg), void *arg)
{
        const int64_t begun_ns = clock_now();
        char checkpoints[PATH_BYTES];
        struct pending p;
        int said = 0;

        if (rundir_join(checkpoints, sizeof checkpoints, run_dir, RUNDIR_CHECKPOINTS, NULL, NULL) != 0)
                return 0;
        for (;;) {
                const int64_t waited_ns = clock_now() - begun_ns;
                const struct timespec pause = { 0, waited_ns < SOON ? LOOK_EVERY : LOOK_SELDOM };

                look(&p, checkpoints, stint);
                if (p.parts == 0 || waited_ns > MOST)
                        return said ? waited_ns : 0;
                if (!said)
                        say(&p, stint);
                said = 1;
                if (unwanted != NULL && unwanted(arg))
                        return -1;
                nanosleep(&pause, NULL);
        }
}
