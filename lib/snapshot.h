/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * snapshot: copying the state into staging, and the ledger of what was copied and what became of it.  Staging is memory
 * that the agent gave us: images of the checkpoint file for one layout, each tensor at its final place.  Safe points
 * decide that a snapshot is taken; here it is done.
 */
#ifndef STINT_SNAPSHOT_H
#define STINT_SNAPSHOT_H

#include <stdint.h>
#include "copy.h"
#include "images.h"
#include "layout.h"
#include "session.h"
#include "streaming.h"

/* A snapshot that was handed over and whose RESULT has not come: its image must stay as it is. */
struct snapshot_flight {
        uint32_t save_id; /* 0: none */
        uint32_t layout;  /* of the image; 0: it has none, for nothing was copied */
        int image;
        int64_t step, own_step; /* the checkpoint's, and this rank's */
        uint64_t changes;       /* the layout's count of changes at that moment */
        int improves;           /* its metric will be the best there is */
        double value;
};

/* Which of the metrics decides what is best, and its best value so far. */
struct snapshot_best {
        char name[SEAL_METRIC_NAME]; /* "": none yet */
        enum stint_goal goal;
        int chosen;                  /* by this program, not only known from earlier checkpoints */
        int known;                   /* `value` is of a checkpoint that landed */
        double value;
};

struct snapshot {
        struct session *session;
        struct layout *layout;
        struct images images;
        struct streaming streaming; /* instead of images, where there is no memory for one */
        struct copy copy;         /* restore.c copies with it, too */
        uint32_t refused_layout;  /* the agent cannot make staging for that one */
        char refused_text[WIRE_TEXT];

        struct snapshot_flight flight[STAGING_IMAGES];
        int64_t waited_ns; /* how long snapshot_await_ready waited for an image last */

        struct wire_result result[STAGING_IMAGES]; /* of the saves that ended last, the newest first; save_id 0: none */
        int64_t landed_step,
                landed_own_step; /* likewise of the newest checkpoint that holds a state of ours; -1: none */
        uint64_t landed_changes;

        int metric_count;         /* reported for the next safe point */
        struct seal_metric metrics[SEAL_METRICS];
        struct snapshot_best best;
};

struct snapshot_job {
        uint32_t save_id;
        int64_t step, checkpoint_step;
        int64_t delay_ns;
        int unchanged; /* the checkpoint of this step has landed: nothing is copied */
};

void snapshot_init(struct snapshot *n, struct session *session, struct layout *layout);
void snapshot_fini(struct snapshot *n);

/* Tells the agent the layout when it does not know it, and takes the staging that has come.  Never waits. */
int snapshot_prepare(struct snapshot *n, struct stint_error *err);

/*
 * Waits until everything is there that snapshot_take needs: staging, and an image in it with nothing that is being
 * written.  When the state of this very step is on its way, that is waited for.
 */
int snapshot_await_ready(struct snapshot *n, int64_t own_step, int64_t until_ns, struct stint_error *err);

/* 1 when the RESULT of that save has not come; the newest save of which that is so, 0 for none. */
int snapshot_flies(const struct snapshot *n, uint32_t save_id);
uint32_t snapshot_flying(const struct snapshot *n);

/*
 * Copies the state and hands it over; without memory for it as a whole, it is handed over as it is copied, at the speed
 * of the disk.  -1: it could not be copied (the agent has been told), or handed over (ENOTCONN).
 */
int snapshot_take(struct snapshot *n, const struct snapshot_job *job, struct stint_error *err);

/* Tells the agent that this rank takes part in that save no further, and why. */
void snapshot_decline(struct snapshot *n, uint32_t save_id, int64_t step, const struct stint_error *why);

/* The agent wants the state of that save once more, and what it had of it counts no longer. */
void snapshot_lost(struct snapshot *n, uint32_t save_id);

/* 1 when the RESULT of that save has come, landed or not, whether or not this rank took part in it. */
int snapshot_is_over(const struct snapshot *n, uint32_t save_id);

/* Waits for the RESULT of a save: 1 landed, 0 not (text in *err), -1 with ENOTCONN when the connection broke. */
int snapshot_await_result(struct snapshot *n, uint32_t save_id, struct stint_error *err);

/* The state of this process, at that step of its own, is in a checkpoint that has landed. */
void snapshot_landed(struct snapshot *n, int64_t checkpoint_step, int64_t own_step);

/* The step of the checkpoint that holds the state of this step of our own; -1: none does. */
int64_t snapshot_held(const struct snapshot *n, int64_t own_step);

/* Keeps a metric for the next safe point, as stint_metric says; snapshot_clear_metrics when that one has passed. */
int snapshot_metric(struct snapshot *n, const char *name, double value, enum stint_goal goal, struct stint_error *err);
void snapshot_clear_metrics(struct snapshot *n);

/* 1 when the metrics kept hold one that is better than every checkpoint has, or will have. */
int snapshot_improves(const struct snapshot *n);

/* What the checkpoints there are have as their best. */
void snapshot_best_known(struct snapshot *n, const char *name, enum stint_goal goal, double value);

/* For snapshot.c: a snapshot goes on its way with the metrics kept; and it has landed. */
void snapshot_note_best(const struct snapshot *n, struct snapshot_flight *flight);
void snapshot_settle_best(struct snapshot *n, const struct snapshot_flight *flight);

/* A connection was made anew: nothing that the agent before it knew counts any more. */
void snapshot_forget(struct snapshot *n);

#endif
