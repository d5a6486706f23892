/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_save: the state of a save, as a table of states and pure functions.  run_saving.c does what they answer.
 *
 *   IDLE -> WANTED      every agent was asked
 *        -> SEALING     a rank has sealed, others have not
 *        -> COMMITTING  all have: the part is being made whole
 *        -> IDLE        landed, or failed
 *   CLEARING comes before WANTED when an earlier try left something, and between two attempts; DOOMED is CLEARING of a
 *   save that has failed meanwhile.
 *
 * Two can be in flight: while one is being written, another is asked for as soon as every rank has given its snapshot
 * for the first and has another image to copy into.  That one is *behind* the first: its snapshots are taken at once, and
 * are written after it; whatever else becomes of it is done when the first is over, so that saves are over in the order
 * in which they were asked for.
 */
#ifndef STINT_RUN_SAVE_H
#define STINT_RUN_SAVE_H

#include <stdint.h>
#include "deadline.h"
#include "error.h"
#include "wire.h"

enum saving_state {
        SAVING_IDLE = 0, SAVING_CLEARING, SAVING_DOOMED, SAVING_WANTED, SAVING_SEALING, SAVING_COMMITTING, SAVING_STATES
};

enum saving_event {
        SAVING_START = 0,    /* a save is wanted and may begin */
        SAVING_START_DIRTY,  /* the same, and leftovers of an earlier one must go first */
        SAVING_CLEARED,      /* they went */
        SAVING_RANK_SEALED,
        SAVING_ALL_SEALED,
        SAVING_BROKEN,       /* a rank failed, went away, or was never there */
        SAVING_COMMITTED,
        SAVING_COMMIT_FAILED,
        SAVING_EVENTS
};

/* What the caller does now. */
enum saving_act { SAVING_NOTHING = 0, SAVING_CLEAR, SAVING_ASK, SAVING_COMMIT, SAVING_LAND, SAVING_FAIL };

/* These are worth a second attempt: the program waits for them, and what they hold is nowhere else. */
static inline int save_must_land(enum save_reason reason)
{
        return save_is_final(reason) || reason == SAVE_COMPLETE;
}

/* What becomes of a wish to save. */
enum saving_wish { SAVING_BEGINS, SAVING_WAITS, SAVING_JOINS, SAVING_DROPPED };

#define SAVING_ATTEMPTS 2                          /* of a save that must land; others have one */
#define SAVING_TOO_SOON (1 * CLOCK_SECOND)         /* the most that too_soon_ns can be */

struct save {
        enum saving_state state;
        uint32_t id, attempt;        /* of the save in flight, or the last one */
        enum save_reason reason;
        int64_t wish_step;           /* when the program asked for it: the step it asked at; else -1 */
        enum save_reason pending;    /* waits for the one in flight; SAVE_NONE: nothing does */
        int64_t pending_step;        /* its wish_step */
        int64_t pending_ns;          /* since when */
        uint32_t ranks;              /* of this save */
        unsigned char *sealed;       /* one per rank: 0, or 1 */
        unsigned char *taken;        /* likewise: its snapshot is in staging; 2: and it has another image free */
        uint32_t sealed_count, unchanged_count, taken_count, free_count;
        int64_t taken_ns;            /* when the last of them was */
        int64_t taken_step;          /* of the checkpoint; -1 until a rank has told */
        int64_t held_ns, wait_ns;    /* it waited for the save before: unasked; and at the slowest safe point */
        enum saving_act owed;        /* of a save behind another: to be done when that is over */
        int64_t step;                /* of the checkpoint, -1 until a rank has told */
        uint64_t bytes;
        int64_t delay_ns, copy_ns, hash_ns, write_ns; /* the slowest rank's */
        int64_t drag_ns;             /* likewise; -1: not one has told */
        uint64_t window_bytes;       /* of a streamed one, likewise; 0: every rank had memory for its image */
        int64_t blocked_ns;          /* of copy_ns, waiting for the disk */
        int64_t asked_ns, last_seal_ns, finished_ns;  /* finished: of the save before */
        int64_t failed_step;         /* of the last save that failed; 0 when none did, or before it had a step */
        int64_t too_soon_ns;         /* so long after a save, an interval save is dropped: another has just been made */
        int dirty;                   /* a failed save may have left a part */
        int64_t unasked_ns;          /* since when it waits for ranks whose agent died, asked of nobody; 0: it does not */
        char text[WIRE_TEXT];        /* why it failed */
};

/* The row of the table: what state and what to do.  may_retry: an attempt is left. */
enum saving_act save_next(enum saving_state *state, enum saving_event event, int may_retry);

/*
 * What becomes of a wish to save for this reason, now.  step is that of the rank that asked, -1 when it was anybody
 * else.  Notes what has to wait.
 */
enum saving_wish save_wish(struct save *s, enum save_reason reason, int64_t step, int64_t now_ns);

/*
 * Begins the save of `ranks` ranks that a rank asked for at that step (-1: none did): a new id, nothing sealed.
 * Answers what to do.  -1 (no memory) leaves it IDLE.
 */
int save_begin(struct save *s, enum save_reason reason, int64_t step, uint32_t ranks, int64_t now_ns,
               enum saving_act *act, struct stint_error *err);

/* A rank's snapshot is in staging. */
void save_taken(struct save *s, const struct wire_agent_taken *m, int64_t now_ns);

/*
 * A rank sealed, failed, or is gone.  Messages of another save or attempt are passed over: SAVING_NOTHING.  A rank
 * whose snapshot is in staging has done its part, and may go.
 */
enum saving_act save_sealed(struct save *s, const struct wire_agent_sealed *m, int64_t now_ns);
enum saving_act save_failed(struct save *s, const struct wire_agent_save_failed *m);
enum saving_act save_rank_gone(struct save *s, uint32_t rank);

/*
 * An agent died and comes back, and ranks of others hold their part of this save: another attempt, however many there
 * were.  Only of a save that must land.
 */
enum saving_act save_agent_lost(struct save *s, const char *text);

/* The save in flight cannot land, for the reason in text; retry 0: not even at a second attempt. */
enum saving_act save_broken(struct save *s, const char *text, int retry);

/* The work that was asked for is done. */
enum saving_act save_cleared(struct save *s);
enum saving_act save_committed(struct save *s, int failed, const char *text);

/* Takes what waits: its reason, or SAVE_NONE, and its step.  The first only when idle. */
enum save_reason save_take_pending(struct save *s, int64_t *step);
enum save_reason save_take_next(struct save *s, int64_t *step);

static inline int save_in_flight(const struct save *s)
{
        return s->state != SAVING_IDLE;
}

/* ---- two saves ---- */

/* Of a save behind another: whether that place is taken. */
static inline int save_is_behind(const struct save *behind)
{
        return save_in_flight(behind) || behind->owed != SAVING_NOTHING;
}

/*
 * Whether another save can be asked for behind this one.  Not behind one that must land, for the program stands until
 * it has; and not while leftovers wait to be cleared, which nothing may be in the midst of.
 */
int save_may_follow(const struct save *s, const struct save *behind);

/* Whether a wish is met by this save, which is in flight. */
int save_joins(const struct save *s, enum save_reason reason, int64_t step);

/* The save is over, and the one behind it takes its place.  Answers what that one is owed. */
enum saving_act save_promote(struct save *s, struct save *behind);

/* The save before has failed, and no rank gave its snapshot for this one yet: begun anew once its leftovers are gone. */
enum saving_act save_start_over(struct save *s);

/*
 * Whether the save in flight must be given up for a final one that waits for it to be written: the time left does not
 * suffice for both, by what saves have cost, or by what this one has cost so far.
 */
int save_gives_way(const struct save *s, const struct deadline_measured *cost, int64_t left_ns, int64_t margin_ns,
                   int64_t now_ns);

void save_fini(struct save *s);

const char *saving_state_name(enum saving_state state);

#endif
