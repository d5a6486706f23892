/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run: the two entrances of `stint run`: the job manager of the local scheduler around it, and the thing itself. */
#ifndef STINT_RUN_H
#define STINT_RUN_H

#include "options.h"

/* Exit codes of stint's own, as in timeout(1) and env(1). */
#define EXIT_CONTINUE 75  /* stopped, to be continued */
#define EXIT_OWN 125      /* stint itself failed */
#define EXIT_NO_EXEC 126  /* the program cannot be executed */
#define EXIT_NO_PROGRAM 127

/* The stint itself (run_story.c): lease, agents, child, saves, verdict.  Answers the exit code. */
int run_stint(const struct run_options *o);

/*
 * The local scheduler (local_job.c): runs argv (the whole command line of this `stint run`) as a job, again and again
 * while it is requeued, with the limits of *o.  Answers the exit code.
 */
int local_job(const struct run_options *o, char **argv);

#endif
