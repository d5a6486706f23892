/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small language model over bytes: it guesses the next byte from the bytes before it.  train_lm.c calls in.
 *
 *   features   a byte and the two, three and four bytes that end with it, each looked up in one table of vectors
 *              (longer contexts share rows by hashing); the sum of the four is what the network sees
 *   layers     gated recurrent units, each added to what went in
 *   output     a linear map to 256 logits
 *
 * All arithmetic is single precision, on one thread, in an order fixed by the source, and calls no function of libm
 * but sqrt, which is exact: the same binary gives the same bits on every machine that runs it.
 */
#ifndef LM_MODEL_H
#define LM_MODEL_H

#include "lm_data.h"

#include <stdint.h>

#define LM_SYMBOLS 256
#define LM_FEATURES 4 /* contexts of 1, 2, 3 and 4 bytes; LM_CONTEXT + 1 */
#define LM_MAX_LAYERS 8
#define LM_MAX_PARAMS (2 + 3 * LM_MAX_LAYERS + 1)

/* Widths of rows are multiples of this; so must `hidden` be. */
#define LM_WIDTH_UNIT 8 /* LM_TILE_COLUMNS of lm_math.h */

struct lm_sizes {
        int hidden; /* width of every layer */
        int layers;
        int batch; /* windows read side by side */
        int seq;   /* bytes in a window */
        int rows;  /* of the feature table; the first 256 belong to single bytes */
};

/* One named tensor of weights and its gradient, rows x columns, row-major. */
struct lm_param {
        char name[32];
        int rows, columns;
        float *value, *gradient;
};

struct lm_layer {
        struct lm_param *input, *hidden, *bias; /* H x 3H, H x 3H, 2 x 3H: row 0 for input, row 1 for hidden */
        /* What forward keeps for backward; N = seq * batch rows, time-major. */
        float *in;        /* N x H, owned by who computed it */
        float *gates;     /* N x 3H: reset, update, candidate */
        float *recurrent; /* N x H: the hidden part of the candidate before the reset gate */
        float *state;     /* (seq + 1) * batch x H, the first `batch` rows zero */
        float *out;       /* N x H: in + state */
};

struct lm_model {
        struct lm_sizes sizes;
        int count; /* of params */
        struct lm_param params[LM_MAX_PARAMS];
        struct lm_layer layers[LM_MAX_LAYERS];
        struct lm_param *embedding, *output, *output_bias;

        int32_t *feature; /* N x LM_FEATURES rows of the table, -1 for one that is dropped */
        uint8_t *target;  /* N: the byte that follows */
        float *embedded;  /* N x H */
        float *logits;    /* N x 256; after lm_model_forward what backward begins with */

        float *flow, *d_input, *d_hidden, *d_state; /* gradients on their way back */
        float *transposed, *panel;                  /* scratch of the products */
};

/* Allocates and fills the weights with small random numbers.  -1: out of memory. */
int lm_model_init(struct lm_model *model, const struct lm_sizes *sizes, struct lm_rng *rng);
void lm_model_fini(struct lm_model *model);

/*
 * Makes `at`, with seq bytes and one more as the last target, the window in column `column` of the batch.  With rng,
 * contexts are dropped at random, as training does, so that the network does not lean on the table alone.
 */
void lm_model_window(struct lm_model *model, int column, const unsigned char *at, struct lm_rng *rng);

/* The mean loss of the batch, in nats per byte. */
double lm_model_forward(struct lm_model *model);

/* Fills every gradient; follows lm_model_forward. */
void lm_model_backward(struct lm_model *model);

/* Compares analytic with numeric gradients of a tiny model, prints one line per tensor.  0, or -1 when one is off. */
int lm_model_check_gradients(void);

#endif
