/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agreement: what several ranks tell each other, as one element-wise maximum over a short vector.  With one rank every
 * function answers at once with the rank's own words, so nobody else asks how many ranks there are.  Safe points,
 * restore and the end of a stint call in; every rank makes the same calls in the same order, which each of them must
 * see to.
 */
#ifndef STINT_AGREEMENT_H
#define STINT_AGREEMENT_H

#include <stdint.h>
#include "error.h"

/* What each place of the vector is the maximum of. */
enum agreement_word {
        AGREE_WANT = 0,     /* AGREE_WISH of the save that this rank was asked for; 0: none */
        AGREE_SYNC,         /* 1: all wait until that save landed */
        AGREE_STEP,         /* of every rank; -1: it has no state yet */
        AGREE_ACTIVE,       /* 1: still training */
        AGREE_ACTIVE_STEP,  /* of the ranks still training */
        AGREE_ACTIVE_LEAST, /* the same, negative: tells the smallest */
        AGREE_UNABLE,       /* rank + 1 of one that cannot save, or cannot restore */
        AGREE_ABLE,         /* 1: this one has an agent */
        AGREE_LANDED,       /* step of the checkpoint that holds what this rank has now; -1: none does */
        AGREE_LANDED_LEAST, /* the same, negative */
        AGREE_FAILED,       /* rank + 1 of one at which it went wrong */
        AGREE_LEAVING,      /* rank + 1 of one that ends without being complete */
        AGREE_EVERY,        /* agree_every of the options */
        AGREE_WORDS
};

/* A wish orders by the id of the save; final or not rides in its lowest bit. */
#define AGREE_WISH(save_id, final) ((int64_t)(save_id) * 2 + ((final) != 0))
#define AGREE_WISH_ID(wish) ((uint32_t)((wish) / 2))
#define AGREE_WISH_FINAL(wish) ((int)((wish) & 1))
#define AGREE_NOTHING INT64_MIN /* says nothing where a maximum is taken */

struct agreement {
        struct stint_agree agree;
        int rank, ranks;
        int every;       /* reduce at every so many safe points */
        int64_t points;  /* safe points so far */
        int open;        /* a reduction was begun and not waited for */
        int broken;      /* the communicator failed: nothing can be agreed any more */
        int64_t all[AGREE_WORDS];  /* the maxima of the reduction that was waited for last */
        int64_t open_words[AGREE_WORDS]; /* belongs to the communicator while a reduction is open */
};

/* rank 0 of 0 ranks means one.  EINVAL for ranks that cannot be, or several without agree. */
int agreement_init(struct agreement *a, int rank, int ranks, const struct stint_agree *agree, int every,
                   struct stint_error *err);

/* Words that say nothing. */
void agreement_silence(int64_t words[AGREE_WORDS]);

/* Begins a reduction over these words (copied); wait fills a->all.  -1 with ECOMM when the communicator failed, then
 * and always. */
int agreement_begin(struct agreement *a, const int64_t words[AGREE_WORDS], struct stint_error *err);
int agreement_wait(struct agreement *a, struct stint_error *err);

/* Both at once. */
int agreement_now(struct agreement *a, const int64_t words[AGREE_WORDS], struct stint_error *err);

/* Counts a safe point; 1 when it is one at which the ranks agree. */
int agreement_due(struct agreement *a);

/* 1 when the ranks still training gave different steps, as a sentence in *err. */
int agreement_steps_differ(const struct agreement *a, struct stint_error *err);

#endif
