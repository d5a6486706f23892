/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * snapshot: copying the state into staging, and the ledger of what was copied and what became of it.  Staging is memory
 * that the agent gave us: the image of the checkpoint file for one layout, each tensor at its final place.  Safe points
 * decide that a snapshot is taken; here it is done.
 */
#ifndef STINT_SNAPSHOT_H
#define STINT_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include "copy.h"
#include "layout.h"
#include "session.h"

struct snapshot_staging {
        char *base; /* NULL: none */
        size_t bytes;
        uint32_t layout;       /* for which layout it was made */
        int populating;        /* `thread` was started and not joined */
        pthread_t thread;
        atomic_int stop;       /* tells it to end */
        struct copy *copy;     /* which it tells to learn, when it has done its own work */
};

/* Which of the metrics decides what is best, and its best value so far. */
struct snapshot_best {
        char name[SEAL_METRIC_NAME]; /* "": none yet */
        enum stint_goal goal;
        int chosen;                  /* by this program, not only known from earlier checkpoints */
        int known, flying;           /* `value` is of a checkpoint that landed; flying_value of one on its way */
        double value, flying_value;
};

struct snapshot {
        struct session *session;
        struct layout *layout;
        struct snapshot_staging staging;
        struct copy copy;         /* restore.c copies with it, too */
        uint32_t refused_layout;  /* the agent cannot make staging for that one */
        char refused_text[WIRE_TEXT];

        uint32_t in_flight;       /* save whose RESULT has not come: staging must stay as it is; 0: none */
        int64_t flying_step, flying_own_step; /* of that one, or of the last: the checkpoint's step and this rank's */
        uint64_t flying_changes;  /* the layout's count of changes at that moment */

        struct wire_result result; /* of the save that ended last; save_id 0: none did */
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

/* Waits until everything is there that snapshot_take needs: staging, with nothing in it that is being written. */
int snapshot_await_ready(struct snapshot *n, int64_t until_ns, struct stint_error *err);

/* Copies the state and hands it over.  -1: it could not be copied (the agent has been told), or handed over
 * (ENOTCONN). */
int snapshot_take(struct snapshot *n, const struct snapshot_job *job, struct stint_error *err);

/* Tells the agent that this rank takes part in that save no further, and why. */
void snapshot_decline(struct snapshot *n, uint32_t save_id, int64_t step, const struct stint_error *why);

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

/* A connection was made anew: nothing that the agent before it knew counts any more. */
void snapshot_forget(struct snapshot *n);

#endif
