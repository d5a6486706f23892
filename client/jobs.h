/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobs: which jobs of Slurm belong to a run, as its submission, its lease and its journal name them, and how they
 * stand. `stint submit`, `stop`, `resume` and `cancel` call in, before they queue another or end them.
 */
#ifndef STINT_JOBS_H
#define STINT_JOBS_H

#include <jansson.h>
#include "error.h"
#include "scheduler.h"

#define JOBS_MOST 8
#define JOBS_ANSWER_LIMIT (25 * CLOCK_SECOND) /* for one answer, where a person waits */

struct jobs_one {
        char id[64];
        int known;                  /* Slurm has said how it stands */
        enum scheduler_state state; /* then */
        char text[200];             /* else why not */
};

struct jobs {
        struct jobs_one one[JOBS_MOST]; /* the newest first */
        int n;
};

/* Which there are; none when the run never was in Slurm. */
void jobs_find(struct jobs *j, const char *run_dir);

/* The same from lines of a journal, and what else is known; for tests.  "" for what is not. */
void jobs_gather(struct jobs *j, const json_t *lines, const char *submitted, const char *holder);

/*
 * Asks how each of them stands.  One that is another user's, or that Slurm knows nothing of any more, has ended.
 * Answers how many are not known because nobody answered.
 */
int jobs_ask(struct jobs *j, struct scheduler *s);

/* The first that is pending, running, completing or suspended; NULL. */
struct jobs_one *jobs_alive(struct jobs *j);

/* Cancels it: 0, also when it is over; -1 with what to do. */
int jobs_cancel(const struct jobs_one *job, struct scheduler *s, struct stint_error *err);

/*
 * Opens Slurm for questions.  -1 with EXDEV when the run was submitted on another cluster (its folder is seen by both,
 * and ids mean nothing here).
 */
int jobs_open_slurm(struct scheduler *s, const char *run_dir, struct stint_error *err);

#endif
