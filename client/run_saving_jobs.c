/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_saving_jobs: each job is done in a thread, on what it needs of the run and nothing else, and its end is told on
 * the loop.  They come one after the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "run_commit.h"
#include "run_loop.h"
#include "run_measured.h"
#include "run_prune.h"
#include "run_saved.h"
#include "run_saving.h"
#include "run_saving_jobs.h"
#include "run_settle.h"

/* One clearing, one commit, or one tidying up, in the thread. */
struct saving_job {
        struct run *run;
        struct commit commit;
        int64_t step;
        uint32_t ranks;
        int unchanged;
        int64_t began_ns;
        struct manifest manifest;
        struct seal_metric best;
        struct measured measured;
        struct stint_error problem;
};

static struct saving_job *new_job(struct run *r)
{
        struct saving_job *job = calloc(1, sizeof *job);

        if (job == NULL)
                return NULL;
        job->run = r;
        job->commit = story_commit(r);
        job->commit.events = json_array();
        job->step = r->save.step;
        job->ranks = r->save.ranks;
        job->began_ns = clock_now();
        return job;
}

static void free_job(struct saving_job *job)
{
        story_note_all(job->run, job->commit.events);
        manifest_fini(&job->manifest);
        free(job);
}

/* Queues it; without memory the problem is told to `done` as if the work had failed. */
static void start_job(struct saving_job *job, void (*does)(void *arg), void (*done)(void *arg))
{
        if (work_add(&job->run->work, does, done, job, &job->problem) != 0)
                done(job);
}

/* ---- leftovers of a save that failed --------------------------------------------------------------------------- */

static void clear(void *arg)
{
        struct saving_job *job = arg;

        if (job->problem.code == 0)
                settle_own(&job->commit, &job->problem);
}

static void on_cleared(void *arg)
{
        struct saving_job *job = arg;
        struct run *r = job->run;
        struct stint_error problem = job->problem;

        free_job(job);
        if (problem.code == ESTALE)
                story_lease_lost(r, &problem);
        else if (problem.code != 0)
                log_warning("stint %u: what a failed save left could not be removed: %s", r->stint, problem.text);
        saving_do(r, save_cleared(&r->save));
}

void saving_job_clear(struct run *r)
{
        struct saving_job *job = new_job(r);

        if (r->save.attempt > 1)
                log_warning("stint %u: attempt %u to save, because: %s", r->stint, r->save.attempt, r->save.text);
        if (job == NULL)
                saving_do(r, save_cleared(&r->save));
        else
                start_job(job, clear, on_cleared);
}

/* ---- the commit ------------------------------------------------------------------------------------------------ */

static void commit(void *arg)
{
        struct saving_job *job = arg;

        if (job->problem.code != 0)
                return;
        if (job->unchanged)
                commit_find(&job->commit, job->step, &job->manifest, &job->problem);
        else
                commit_part(&job->commit, job->step, job->ranks, &job->manifest, &job->problem);
}

static void on_tidied(void *arg)
{
        struct saving_job *job = arg;
        struct run *r = job->run;
        int better = memcmp(&job->best, &r->best, sizeof r->best) != 0;

        if (job->problem.code == ESTALE)
                story_lease_lost(r, &job->problem);
        else if (job->problem.code != 0)
                log_warning("stint %u: after the save: %s", r->stint, job->problem.text);
        r->best = job->best;
        free_job(job);
        if (better)
                story_tell_best(r, AGENTS_ALL);
        loop_look_for_end(r);
}

/* What nobody waits for: best, pruning, what was measured. */
static void tidy(void *arg)
{
        struct saving_job *job = arg;
        struct stint_error ignored;

        if (job->problem.code != 0)
                return;
        measured_write(&job->measured, job->commit.run_dir, &ignored);
        if (commit_best(&job->commit, NULL, &job->best, &job->problem) == 0)
                prune_old(&job->commit, &job->problem);
}

static void start_tidying(struct run *r)
{
        struct saving_job *job = new_job(r);

        if (job == NULL)
                return;
        job->measured = r->measured;
        start_job(job, tidy, on_tidied);
}

static void on_committed(void *arg)
{
        struct saving_job *job = arg;
        struct run *r = job->run;
        struct stint_error problem = job->problem;
        enum saving_act act;

        if (problem.code == ESTALE)
                story_lease_lost(r, &problem);
        act = save_committed(&r->save, problem.code != 0, problem.text);
        if (act == SAVING_LAND) {
                saved_landed(r, &job->manifest, job->unchanged);
                if (!job->unchanged)
                        start_tidying(r);
        }
        free_job(job);
        saving_do(r, act);
}

void saving_job_commit(struct run *r)
{
        struct saving_job *job = new_job(r);

        if (job == NULL) {
                saving_do(r, save_committed(&r->save, 1, "no memory for the commit"));
                return;
        }
        job->unchanged = r->save.unchanged_count == r->save.ranks;
        start_job(job, commit, on_committed);
}
