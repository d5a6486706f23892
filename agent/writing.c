/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writing: each rank has one writer at a time, on a thread; when it is over, `stint run` hears what became of it, and
 * the next one begins.
 */
#include "writing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "report.h"
#include "saving.h"
#include "streamed.h"
#include "windows.h"

struct rank_snapshot *writing_find(struct rank *rank, uint32_t save_id)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (save_id != 0 && rank->snapshots[i].told.save_id == save_id)
                        return &rank->snapshots[i];
        return NULL;
}

int writing_is_of(const struct rank *rank, const struct rank_snapshot *s)
{
        return rank->writer && rank->writer->save_id == s->told.save_id;
}

void writing_forget(struct rank_snapshot *s)
{
        if (s->passage)
                passage_stop(s->passage, ECANCELED, "the save was given up");
        passage_free(s->passage);
        staging_drop(s->staged);
        memset(s, 0, sizeof *s);
}

static void report_written(struct rank *rank, const struct rank_snapshot *s, const struct writer *w)
{
        struct wire_snapshot told = { .save_id = w->save_id, .step = w->seal.step,
                                      .checkpoint_step = w->checkpoint_step };

        if (s)
                told = s->told;
        if (w->failed)
                report_failure(rank, w->save_id, w->attempt, w->checkpoint_step, &w->err);
        else
                report_sealed(rank, &told, w->attempt, w, s);
}

/* The writer and, of a streamed state, the program are both done with it. */
void writing_over(struct rank *rank, struct writer *w)
{
        struct rank_snapshot *s = writing_find(rank, w->save_id);
        const int again = s && w->passage && s->attempt != 0 && s->result.save_id == 0 && !rank->ranks->run->over;

        rank->writer = NULL;
        w->staging->root = w->failed || w->passage ? 0 : w->seal.root;
        if (s && s->result.save_id != 0) {
                /* It was given up.  The image is the program's again, now that nobody reads it. */
                rank_send(rank, &s->result, -1);
                writing_forget(s);
        } else if (!s || s->attempt == 0 || rank->ranks->run->over) {
                report_written(rank, s, w);
                if (s && w->passage && w->failed)
                        writing_forget(s); /* a further attempt has the state come anew */
        } /* else another attempt was asked for meanwhile, and what became of this one is of no interest */
        rank->flight.since_ns = 0;
        if (rank->ranks->run->over)
                saving_forget(rank);
        if (again)
                writing_forget(s);
        if (w->passage && !w->failed) {
                windows_return(rank, w->staging, w->passage);
                w->passage = NULL;
        }
        windows_next(rank);
        if (again && !rank->gone)
                saving_ask_again(rank);
        writing_next(rank);
        writer_free(w);
        rank_release(rank);
}

static void on_written(struct work *work)
{
        struct writer *w = (struct writer *)work;
        struct rank *rank = w->owner;
        const struct rank_snapshot *s = writing_find(rank, w->save_id);

        rank->jobs--;
        w->over = 1;
        if (!w->passage || rank->gone || !s || s->left)
                writing_over(rank, w);
}

/* What the seal says of who, when and which metrics. */
static void fill_seal(struct seal *seal, const struct rank *rank, const struct wire_snapshot *s)
{
        const struct ranks *r = rank->ranks;

        seal->rank = (uint32_t)rank->rank;
        seal->ranks = (uint32_t)rank->of;
        seal->stint = r->stint;
        seal->lineage = r->save.lineage;
        seal->step = s->step;
        seal->wall_ns = s->wall_ns;
        memcpy(seal->run_id, r->run_id, sizeof r->run_id);
        seal->metric_count = s->metric_count;
        memcpy(seal->metrics, s->metrics, sizeof seal->metrics);
}

static void start_writer(struct rank *rank, struct rank_snapshot *kept)
{
        const struct wire_snapshot *s = &kept->told;
        const uint32_t attempt = kept->attempt;
        struct writer *w = calloc(1, sizeof *w);
        struct stint_error err = { 0 };

        kept->attempt = 0;
        if (!w) {
                error_set(&err, ENOMEM, "no memory to write the checkpoint");
                report_failure(rank, s->save_id, attempt, s->checkpoint_step, &err);
                return;
        }
        w->owner = rank;
        w->save_id = s->save_id;
        w->attempt = attempt;
        w->checkpoint_step = s->checkpoint_step;
        w->staging = staging_hold(kept->staged);
        w->passage = kept->passage;
        kept->passage = NULL;
        w->expected_ns = rank->ranks->write_ns;
        fill_seal(&w->seal, rank, s);
        memcpy(w->program, rank->program, sizeof w->program);
        if (rundir_join(w->checkpoints, sizeof w->checkpoints, rank->ranks->dir, RUNDIR_CHECKPOINTS, NULL, &err) < 0) {
                report_failure(rank, s->save_id, attempt, s->checkpoint_step, &err);
                writer_free(w);
                return;
        }
        rank->writer = w;
        report_begin(rank, attempt > 1 || rank->save_flags != 0, w->passage != NULL);
        rank->jobs++;
        work_start(rank->ranks->loop, NULL, &w->work, writer_run, on_written);
}

/* Snapshots of one rank are written one after the other, the older first: side by side both would land later. */
void writing_next(struct rank *rank)
{
        struct rank_snapshot *next;
        int i;

        do {
                next = NULL;
                for (i = 0; i < STAGING_IMAGES; i++) {
                        struct rank_snapshot *s = &rank->snapshots[i];

                        if (s->attempt != 0 && (!next || s->told.save_id < next->told.save_id))
                                next = s;
                }
                if (next && !rank->writer)
                        start_writer(rank, next);
        } while (next && !rank->writer);
}
