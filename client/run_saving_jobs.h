/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_saving_jobs: what a save needs of the disk: room for it, its commit, and tidying up behind it.  Called by
 * run_saving, which goes on where a job has ended.
 */
#ifndef STINT_RUN_SAVING_JOBS_H
#define STINT_RUN_SAVING_JOBS_H

#include "run_story.h"

/* Removes what an attempt that failed has left; then save_cleared(). */
void saving_job_clear(struct run *r);

/* Makes the part whole that all ranks have sealed; then save_committed(), and after a save that landed, pruning. */
void saving_job_commit(struct run *r);

#endif
