/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * safepoint: the handle, and what happens at a safe point: almost always nothing, which costs a load, a clock read and
 * two stores; else the slow path, which reads the agent's mail, lets the ranks agree, takes a snapshot, and waits where
 * the stint ends.  The public functions of stint.c call in.
 */
#ifndef STINT_SAFEPOINT_H
#define STINT_SAFEPOINT_H

#include <stdint.h>
#include "agreement.h"
#include "deadline.h"
#include "layout.h"
#include "restore.h"
#include "mapping.h"
#include "placement.h"
#include "session.h"
#include "snapshot.h"
#include "where.h"

/* An attach that was refused.  It stands until the same name is attached or detached. */
struct refused_attach {
        struct refused_attach *next;
        struct stint_error why;
        char name[];
};

struct stint {
        struct session session; /* first: its control page wants its alignment */

        /* What the fast path compares. */
        uint64_t seen;   /* the control word with which there was nothing to do */
        int64_t look_ns; /* from then on the slow path is taken anyway; 0: at the next safe point */
        int64_t last_ns; /* when the safe point before this ended; 0: there was none */
        int64_t step;    /* of the last safe point; -1: there was none */

        struct layout layout;
        struct placement placement; /* of that layout */
        struct where where;
        struct snapshot snapshot;
        struct restored restored;
        struct mapping mapping; /* of the image that is restored */
        struct agreement agreement;

        uint32_t connects;   /* the connection that `handled` belongs to */
        uint32_t handled;    /* id of the last save that was acted on */
        int active;          /* still training: neither in stint_complete nor in stint_close */
        int stopped;         /* STINT_STOP was answered */
        int trained_on;      /* the program went to a safe point after that, and the log says so */
        int missteps;        /* how often it gave a step that is lower than the one before */
        int finished;        /* stint_complete was called: stint_close waits for nobody */
        int allow_missing;
        int refusing;        /* nothing is saved in this stint, so as not to bury checkpoints that were not restored */
        struct stint_error refusal; /* why */
        struct stint_error misstep; /* why the step of the last safe point was refused; code 0: it was not */
        struct refused_attach *refused; /* names that are not what the program wanted, the first one first */
        struct stint_error why;     /* of the last call that failed */
};

/* The slow path of stint_step; now_ns was read at its beginning. */
int safepoint_slow(struct stint *s, int64_t step, int64_t now_ns);

/* stint_save. */
int safepoint_save(struct stint *s, int64_t step, int64_t now_ns);

/* Why nothing may be saved now, whatever the step; NULL: it may. */
static inline const struct stint_error *safepoint_refusal(const struct stint *s)
{
        return s->refusing ? &s->refusal : s->refused ? &s->refused->why : NULL;
}

/* From now on nothing is saved; says so once. */
void safepoint_refuse(struct stint *s, const struct stint_error *why);

/* The words of this rank as they are now, for a reduction. */
void safepoint_words(const struct stint *s, int64_t words[AGREE_WORDS]);

/* ---- for finish.c: the same steps, when there is no safe point any more ---- */

/* The save that this rank's control word asks for and that was not acted on; 0: none. */
int64_t safepoint_wish(const struct stint *s);

/*
 * Asks the coordinator for a save of its own accord: 0 when there is a wish now; -1 when none will be made, or not in
 * time.
 */
int safepoint_ask(struct stint *s, enum save_reason reason, int64_t until_ns, struct stint_error *err);

/* Reads the agent's mail.  After a connection was made anew nothing counts that an agent before it knew. */
void safepoint_hear(struct stint *s, int64_t now_ns);

/*
 * A reduction made and judged at once; and waiting for the one begun at an earlier safe point, if there is one.
 * Answers are those of stint_step: a save that all ranks agree on is made here.  sync: all of them wait until it has
 * landed.
 */
int safepoint_agree(struct stint *s, int sync);
int safepoint_judge_open(struct stint *s);

/* What the reduction that was waited for last asks of everybody. */
int safepoint_judge(struct stint *s);

/* One outcome for all ranks: 1 when every one of them was told; else 0, with the reason in *why where this one was. */
int safepoint_confirm(struct stint *s, int told, const char *what, struct stint_error *why);

/* ---- the fast path ---- */

static inline int safepoint_fast(struct stint *s, int64_t step)
{
        struct control_page *page = s->session.page;
        uint64_t word = atomic_load_explicit(&page->word, memory_order_acquire);
        int64_t now_ns = clock_now();

        if (__builtin_expect(word != s->seen || now_ns >= s->look_ns || step < s->step, 0))
                return safepoint_slow(s, step, now_ns);
        histogram_add(&page->steps, now_ns - s->last_ns);
        s->last_ns = now_ns;
        s->step = step;
        atomic_store_explicit(&page->safe_ns, now_ns, memory_order_relaxed);
        atomic_store_explicit(&page->step, step, memory_order_relaxed);
        return STINT_CONTINUE;
}

#endif
