/* SPDX-License-Identifier: GPL-2.0-or-later */
/* example_save: a staging area filled with the example's bytes, and the jobs that write and read it, run where they stand. */
#ifndef STINT_EXAMPLE_SAVE_H
#define STINT_EXAMPLE_SAVE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "example_table.h"
#include "reader.h"
#include "staging.h"
#include "writer.h"

#define EXAMPLE_RUN_ID "00112233445566778899aabbccddeeff"

/* Staging of this layout; old may be NULL and is taken over.  Frees the table. */
static inline struct staging *example_staging(struct example_table *table, struct staging *old)
{
        struct staging_job *job = calloc(1, sizeof *job);
        struct staging *made;

        job->count = table->count;
        job->record_bytes = table->record_bytes;
        job->table_fd = example_memory(table);
        job->old = old;
        staging_job_run(&job->work);
        ck_assert_msg(job->made != NULL, "%s", job->err.text);
        made = job->made;
        job->made = NULL;
        staging_job_free(job);
        example_fill(made->image, made->table_offset, made->count, made->record_bytes);
        return made;
}

/* A writer of rank 0 of 1 at this step, not run yet. */
static inline struct writer *example_writer(const char *checkpoints, struct staging *staging, int64_t step)
{
        struct writer *w = calloc(1, sizeof *w);

        strcpy(w->checkpoints, checkpoints);
        w->checkpoint_step = step;
        w->staging = staging_hold(staging);
        w->seal.ranks = 1;
        w->seal.stint = 3;
        w->seal.step = step;
        w->seal.wall_ns = clock_wall();
        strcpy(w->seal.run_id, EXAMPLE_RUN_ID);
        strcpy(w->program, "train");
        return w;
}

/* A reader of what that writer has written and somebody has renamed to `folder`. */
static inline struct reader *example_reader(const char *folder, const struct seal *seal)
{
        struct reader *r = calloc(1, sizeof *r);

        r->fd = -1;
        strcpy(r->checkpoint, folder);
        r->ranks = 1;
        r->checkpoint_step = seal->step;
        r->file_bytes = seal->file_bytes;
        r->root = seal->root;
        strcpy(r->run_id, EXAMPLE_RUN_ID);
        return r;
}

#endif
