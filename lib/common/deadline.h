/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * deadline: when to save.  Pure functions of what is known now, called by whoever watches a stint (the agent's watch,
 * stintd's trigger) and tested without a clock.
 */
#ifndef STINT_DEADLINE_H
#define STINT_DEADLINE_H

#include <stdint.h>
#include "clock.h"

/* Why a stint will end at its deadline. */
enum deadline_cause {
        DEADLINE_NONE = 0, DEADLINE_LIMIT, DEADLINE_PREEMPTED, DEADLINE_RESERVATION, DEADLINE_STEP, DEADLINE_POLICY
};

/* Why a save is made.  Those from SAVE_LIMIT on are final: the stint stops when they landed. */
enum save_reason {
        SAVE_NONE = 0, SAVE_CALIBRATE, SAVE_INTERVAL, SAVE_USER, SAVE_PROGRAM, SAVE_BEST, SAVE_COMPLETE,
        SAVE_SIGNAL,   /* SIGTERM came and nobody can say what for: better saved */
        SAVE_LIMIT, SAVE_PREEMPTED,
        SAVE_REQUEUED, /* somebody else has requeued this job already */
        SAVE_DRAIN,    /* an admin wants this node empty; the run goes on elsewhere */
        SAVE_STOP
};

static inline int save_is_final(enum save_reason reason)
{
        return reason >= SAVE_LIMIT;
}

/*
 * "time limit", "preemption", "interval", ... as journal, log and verdict say it; and back, SAVE_NONE for another word.
 */
const char *save_reason_name(enum save_reason reason);
enum save_reason save_reason_from_name(const char *word);
const char *deadline_cause_name(enum deadline_cause cause);

/*
 * What saves of this run on this filesystem have cost, in ns: each the 99th percentile of the last ones (with few: the
 * worst), but for cost_ns, which is their mean.
 */
struct deadline_measured {
        int64_t delay_ns;    /* from asking until the safe point was reached, beyond the step in progress */
        int64_t snapshot_ns; /* copying the state */
        int64_t write_ns;    /* hashing, writing, syncing, sealing */
        int64_t commit_ns;   /* from the last seal to landed */
        int64_t cost_ns;     /* what a save takes from training: the snapshot, and what its write slows the steps by */
        uint32_t saves;      /* how many that rests on; 0: nothing measured, the others are not looked at */
};

struct deadline_inputs {
        int64_t now_ns;
        int64_t start_ns;          /* when this stint began */
        int64_t end_ns;            /* its deadline; CLOCK_NEVER: not known */
        enum deadline_cause cause;
        int64_t step_ns;           /* 99th percentile of a step; 0: no step measured yet */
        uint32_t steps;            /* how many were measured */
        int agree_every;           /* K: ranks agree at every K-th safe point; 1 for one rank too, which needs no K+1 */
        int several_ranks;         /* ranks act one safe point after they agreed: K + 1 steps instead of 1 */
        struct deadline_measured measured;
        uint64_t state_bytes;      /* of all ranks on the slowest node, for the estimate; 0: not known yet */
        int64_t flying_since_ns;   /* since when a snapshot has been in the writing, or when it should come; 0: none */
        int64_t margin_ns;         /* kept free before the deadline on top of everything */
        int64_t last_save_ns;      /* when the last save was asked for, or training began; 0: nothing to save yet */
        int64_t interval_ns;       /* fixed time between saves; 0: automatic (Young/Daly); CLOCK_NEVER: none */
        int64_t mtbf_ns;           /* mean time between failures that the automatic interval assumes */
        int64_t outlive_ns;        /* stintd goes on so long with the final save's write, and the owner lets it; 0: no */
        int final_asked;           /* the final save of this deadline was asked for already */
        int calibrate_asked;       /* the calibrating save was asked for; landed or not, it is not repeated */
};

struct deadline_plan {
        int64_t lead_ns;     /* time before the deadline at which the final save is asked for */
        int64_t final_ns;    /* = end_ns - lead_ns, never before start_ns; CLOCK_NEVER without a deadline; see below */
        int64_t interval_ns; /* between interval saves, as it stands */
        int64_t next_ns;     /* when to act next; <= now_ns: now; CLOCK_NEVER: nothing planned */
        enum save_reason next; /* what for */
};

/*
 * lead = (K+1) steps + safe-point delay + snapshot + write + commit + margin, and what a write in flight still has to
 * do, for it comes first.  One that has taken longer than any is to go on for as long as it is late already, and the next
 * one is to take as long: so the lead grows while a filesystem slows, and not only when the save has ended.  Nothing
 * measured: the write is estimated from state_bytes at DEADLINE_GUESS_RATE plus DEADLINE_GUESS_FIXED, and the lead is at
 * most half of the whole stint; a calibrating save, due when DEADLINE_CALIBRATE_STEPS steps are done, replaces the
 * estimate.  A preemption is acted on at once whatever the lead: final_ns is now_ns.
 *
 * Where stintd goes on with a write after the end, for outlive_ns, and that is twice what the write should take, its write
 * and its commit are not in the lead: they are left to stintd and to the next stint.
 *
 * A measured lead as long as the whole stint or longer: the final save waits until DEADLINE_CALIBRATE_STEPS steps are
 * done (final_ns moves with now_ns meanwhile, and is end_ns while no step was measured), for a chain whose stints save
 * what they restored gets nowhere.  An interval save is planned only if it would land before final_ns.  Nothing is
 * planned once final_asked.  The plan is a matter of what is known now: make it anew whenever a step or a save was
 * measured.
 */
struct deadline_plan deadline_plan(const struct deadline_inputs *in);

/*
 * For how long a streamed save may hold a program that is to train on: ten times what a save of this run has taken, or is
 * guessed to take, and 10 s at the least.  Each one in a row that was given up doubles it, so that a disk that has become
 * slow for good is met with in the end, and is measured then.
 */
int64_t deadline_patience(const struct deadline_measured *m, uint64_t state_bytes, unsigned given_up);

#define DEADLINE_PATIENCE 10 /* times */
#define DEADLINE_PATIENCE_LEAST (10 * CLOCK_SECOND)
#define DEADLINE_PATIENCE_DOUBLED 6 /* most */

#define DEADLINE_GUESS_RATE (100 * INT64_C(1000000)) /* bytes per second: a busy shared filesystem */
#define DEADLINE_GUESS_FIXED (2 * CLOCK_SECOND)
#define DEADLINE_CALIBRATE_STEPS 3

/*
 * Young/Daly: sqrt(2 * cost * mtbf) - cost, between 5 s and mtbf, which it is when cost is half of it or more; cost_ns
 * is what a save takes from training.
 *
 * The automatic interval is that of cost_ns, but never so short that writing goes on for more than a tenth of the time: a
 * filesystem is there for others too.  Nor is it ever longer than if training stood for the whole of every save.
 */
int64_t deadline_interval(int64_t cost_ns, int64_t mtbf_ns);

#endif
