/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text a model learns from, the order in which it is read, and the chance that shuffles it.  train_lm.c and
 * lm_model.c call in.
 *
 * Everything that decides what is read next lives in struct lm_order and struct lm_rng, so that a training which
 * keeps these two continues in the middle of an epoch with the very window that would have come next.
 */
#ifndef LM_DATA_H
#define LM_DATA_H

#include <stddef.h>
#include <stdint.h>

#define LM_CONTEXT 3 /* readable bytes ahead of every text: the first window, too, has a past to look at */

/* xoshiro256**: four words are its whole state. */
struct lm_rng {
        uint64_t word[4];
};

void lm_rng_seed(struct lm_rng *rng, uint64_t seed);
uint64_t lm_rng_next(struct lm_rng *rng);
float lm_rng_symmetric(struct lm_rng *rng); /* uniform in [-1, 1) */

struct lm_text {
        unsigned char *train, *valid; /* LM_CONTEXT bytes before each may be read; they are zero */
        int64_t train_bytes, valid_bytes;
        uint64_t fingerprint; /* of all bytes: another text is another training */
};

/* Reads a file, or every regular file of a directory in the order of their names.  -1: the reason is on stderr. */
int lm_text_read(struct lm_text *text, const char *path);
void lm_text_free(struct lm_text *text);

/* FNV-1a, 64 bits, going on from `hash`; begin with LM_HASH_START. */
#define LM_HASH_START 14695981039346656037u
uint64_t lm_hash(uint64_t hash, const void *data, size_t bytes);

/* One epoch reads every window once, in shuffled order, and cuts the text at another offset than the epoch before. */
struct lm_order {
        uint32_t *window; /* the numbers 0..count-1, shuffled */
        int64_t count;
        int64_t seq;      /* bytes in a window */
        int64_t position; /* windows of this epoch that have been read */
        int64_t epoch;
        int64_t offset; /* where window 0 begins in the text, less than seq */
};

int lm_order_init(struct lm_order *order, const struct lm_text *text, int64_t seq, struct lm_rng *rng);
void lm_order_free(struct lm_order *order);

/* Where in the training text the next window begins; at least seq + 1 bytes follow. */
int64_t lm_order_next(struct lm_order *order, struct lm_rng *rng);

#endif
