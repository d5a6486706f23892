/* SPDX-License-Identifier: BSD-3-Clause */
/* The model of train_lm: its weights, the way forward and the way back.  train_lm.c calls in. */
#include "lm_model.h"

#include "lm_math.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often a context of two, three or four bytes is dropped in training: in 51 of 256 cases, about every fifth. */
#define DROP_OF_256 51

/* ---- memory --------------------------------------------------------------------------------------------------- */

static struct lm_param *new_param(struct lm_model *model, const char *name, int rows, int columns, float scale,
                                  struct lm_rng *rng)
{
        struct lm_param *param = &model->params[model->count++];
        size_t n = (size_t)rows * (size_t)columns;
        snprintf(param->name, sizeof param->name, "%s", name);
        param->rows = rows;
        param->columns = columns;
        param->value = malloc(n * sizeof(float));
        param->gradient = calloc(n, sizeof(float));
        for (size_t i = 0; param->value && i < n; i++)
                param->value[i] = scale * lm_rng_symmetric(rng);
        return param;
}

static void new_params(struct lm_model *model, struct lm_rng *rng)
{
        int hidden = model->sizes.hidden;
        float scale = 1.0f / sqrtf((float)hidden);

        model->embedding = new_param(model, "embedding", model->sizes.rows, hidden, 0.1f, rng);
        for (int i = 0; i < model->sizes.layers; i++) {
                struct lm_layer *layer = &model->layers[i];
                char name[32];
                snprintf(name, sizeof name, "layer%d/input", i);
                layer->input = new_param(model, name, hidden, 3 * hidden, scale, rng);
                snprintf(name, sizeof name, "layer%d/hidden", i);
                layer->hidden = new_param(model, name, hidden, 3 * hidden, scale, rng);
                snprintf(name, sizeof name, "layer%d/bias", i);
                layer->bias = new_param(model, name, 2, 3 * hidden, 0, rng);
        }
        model->output = new_param(model, "output/weight", hidden, LM_SYMBOLS, scale, rng);
        model->output_bias = new_param(model, "output/bias", 1, LM_SYMBOLS, 0, rng);
}

static float *floats(size_t rows, size_t columns)
{
        return calloc(rows * columns, sizeof(float));
}

static void new_buffers(struct lm_model *model)
{
        size_t hidden = (size_t)model->sizes.hidden, batch = (size_t)model->sizes.batch;
        size_t n = batch * (size_t)model->sizes.seq;
        size_t wide = 3 * hidden > LM_SYMBOLS ? 3 * hidden : LM_SYMBOLS;

        for (int i = 0; i < model->sizes.layers; i++) {
                struct lm_layer *layer = &model->layers[i];
                layer->gates = floats(n, 3 * hidden);
                layer->recurrent = floats(n, hidden);
                layer->state = floats(n + batch, hidden);
                layer->out = floats(n, hidden);
        }
        model->feature = calloc(n * LM_FEATURES, sizeof *model->feature);
        model->target = calloc(n, sizeof *model->target);
        model->embedded = floats(n, hidden);
        model->logits = floats(n, LM_SYMBOLS);
        model->flow = floats(n, hidden);
        model->d_input = floats(n, 3 * hidden);
        model->d_hidden = floats(n, 3 * hidden);
        model->d_state = floats(batch, hidden);
        model->transposed = floats(wide, hidden);
        model->panel = floats(n > wide ? n : wide, LM_TILE_COLUMNS);
}

static int all_allocated(const struct lm_model *model)
{
        int ok = model->feature && model->target && model->embedded && model->logits && model->flow && model->d_input &&
                 model->d_hidden && model->d_state && model->transposed && model->panel;
        for (int i = 0; i < model->count; i++)
                ok = ok && model->params[i].value && model->params[i].gradient;
        for (int i = 0; i < model->sizes.layers; i++) {
                const struct lm_layer *layer = &model->layers[i];
                ok = ok && layer->gates && layer->recurrent && layer->state && layer->out;
        }
        return ok;
}

int lm_model_init(struct lm_model *model, const struct lm_sizes *sizes, struct lm_rng *rng)
{
        memset(model, 0, sizeof *model);
        model->sizes = *sizes;
        new_params(model, rng);
        new_buffers(model);
        if (all_allocated(model))
                return 0;
        lm_model_fini(model);
        return -1;
}

void lm_model_fini(struct lm_model *model)
{
        for (int i = 0; i < model->count; i++) {
                free(model->params[i].value);
                free(model->params[i].gradient);
        }
        for (int i = 0; i < model->sizes.layers; i++) {
                free(model->layers[i].gates);
                free(model->layers[i].recurrent);
                free(model->layers[i].state);
                free(model->layers[i].out);
        }
        void *buffers[] = {model->feature, model->target,   model->embedded, model->logits,     model->flow,
                           model->d_input, model->d_hidden, model->d_state,  model->transposed, model->panel};
        for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
                free(buffers[i]);
        memset(model, 0, sizeof *model);
}

/* ---- what goes in --------------------------------------------------------------------------------------------- */

/* The table's row for the `length` bytes that end at `last`. */
static int32_t feature_row(const struct lm_model *model, const unsigned char *last, int length)
{
        if (length == 1)
                return *last;
        uint64_t key = (uint64_t)length;
        for (int i = 0; i < length; i++)
                key = key << 8 | last[-i];
        key *= 0x9e3779b97f4a7c15u;
        return LM_SYMBOLS + (int32_t)((key >> 32) % (uint64_t)(model->sizes.rows - LM_SYMBOLS));
}

void lm_model_window(struct lm_model *model, int column, const unsigned char *at, struct lm_rng *rng)
{
        for (int t = 0; t < model->sizes.seq; t++) {
                int n = t * model->sizes.batch + column;
                uint64_t chance = rng ? lm_rng_next(rng) : UINT64_MAX;
                for (int i = 0; i < LM_FEATURES; i++, chance >>= 8) {
                        int dropped = rng && i > 0 && (chance & 255) < DROP_OF_256;
                        model->feature[n * LM_FEATURES + i] = dropped ? -1 : feature_row(model, at + t, i + 1);
                }
                model->target[n] = at[t + 1];
        }
}

/* ---- forward -------------------------------------------------------------------------------------------------- */

static void embed(struct lm_model *model)
{
        int hidden = model->sizes.hidden, n = model->sizes.seq * model->sizes.batch;
        memset(model->embedded, 0, (size_t)n * (size_t)hidden * sizeof(float));
        for (int i = 0; i < n * LM_FEATURES; i++)
                if (model->feature[i] >= 0)
                        add(model->embedded + (ptrdiff_t)(i / LM_FEATURES) * hidden,
                            model->embedding->value + (ptrdiff_t)model->feature[i] * hidden, hidden);
}

/* One row of one time step: turns the sums in `gates` into the gates' values and makes the next state. */
static void gru_row(float *restrict gates, const float *restrict from_state, float *restrict recurrent,
                    const float *restrict before, float *restrict after, int hidden)
{
        const float *reset = gates, *update = gates + hidden;
        float *candidate = gates + 2 * hidden;
        for (int i = 0; i < 2 * hidden; i++)
                gates[i] = sigmoid(gates[i] + from_state[i]);
        memcpy(recurrent, from_state + 2 * hidden, (size_t)hidden * sizeof(float));
        for (int i = 0; i < hidden; i++)
                candidate[i] = 2 * sigmoid(2 * (candidate[i] + reset[i] * recurrent[i])) - 1;
        for (int i = 0; i < hidden; i++)
                after[i] = candidate[i] + update[i] * (before[i] - candidate[i]);
}

static void layer_forward(struct lm_model *model, struct lm_layer *layer, float *in)
{
        int hidden = model->sizes.hidden, batch = model->sizes.batch, seq = model->sizes.seq, n = seq * batch;
        float *from_state = model->d_hidden; /* idle on the way forward */

        layer->in = in;
        copy_to_rows(layer->gates, layer->bias->value, n, 3 * hidden);
        multiply(layer->gates, plain(in, hidden), layer->input->value, n, 3 * hidden, hidden, model->panel);
        for (int t = 0; t < seq; t++) {
                float *before = layer->state + (ptrdiff_t)t * batch * hidden;
                copy_to_rows(from_state, layer->bias->value + 3 * hidden, batch, 3 * hidden);
                multiply(from_state, plain(before, hidden), layer->hidden->value, batch, 3 * hidden, hidden,
                         model->panel);
                for (int b = 0; b < batch; b++) {
                        ptrdiff_t row = (ptrdiff_t)t * batch + b;
                        gru_row(layer->gates + row * 3 * hidden, from_state + (ptrdiff_t)b * 3 * hidden,
                                layer->recurrent + row * hidden, before + (ptrdiff_t)b * hidden,
                                before + (ptrdiff_t)(batch + b) * hidden, hidden);
                }
        }
        memcpy(layer->out, in, (size_t)n * (size_t)hidden * sizeof(float));
        add(layer->out, layer->state + (ptrdiff_t)batch * hidden, (ptrdiff_t)n * hidden);
}

/* Turns one row of logits into the gradient of its loss, before the mean, and answers the loss. */
static double softmax_row(float *logits, int target)
{
        float highest = logits[0], total = 0, expected = logits[target];
        for (int i = 1; i < LM_SYMBOLS; i++)
                highest = logits[i] > highest ? logits[i] : highest;
        for (int i = 0; i < LM_SYMBOLS; i++)
                logits[i] = exponential(logits[i] - highest);
        for (int i = 0; i < LM_SYMBOLS; i++)
                total += logits[i];
        float inverse = 1.0f / total;
        for (int i = 0; i < LM_SYMBOLS; i++)
                logits[i] *= inverse;
        logits[target] -= 1.0f;
        return logarithm(total) + highest - expected;
}

double lm_model_forward(struct lm_model *model)
{
        int hidden = model->sizes.hidden, n = model->sizes.seq * model->sizes.batch;
        float *x = model->embedded;
        double loss = 0;

        embed(model);
        for (int i = 0; i < model->sizes.layers; i++) {
                layer_forward(model, &model->layers[i], x);
                x = model->layers[i].out;
        }
        copy_to_rows(model->logits, model->output_bias->value, n, LM_SYMBOLS);
        multiply(model->logits, plain(x, hidden), model->output->value, n, LM_SYMBOLS, hidden, model->panel);
        for (int i = 0; i < n; i++)
                loss += softmax_row(model->logits + (ptrdiff_t)i * LM_SYMBOLS, model->target[i]);
        return loss / n;
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

/*
 * One row of one time step.  d_state comes in as the loss's gradient by the state after this step, and leaves as the
 * part of the gradient by the state before it that does not pass through the hidden weights.
 */
static void gru_row_back(const float *restrict gates, const float *restrict recurrent, const float *restrict before,
                         float *restrict d_state, float *restrict d_input, float *restrict d_hidden, int hidden)
{
        const float *reset = gates, *update = gates + hidden, *candidate = gates + 2 * hidden;
        for (int i = 0; i < hidden; i++) {
                float d_candidate = d_state[i] * (1 - update[i]) * (1 - candidate[i] * candidate[i]);
                float d_reset = d_candidate * recurrent[i] * reset[i] * (1 - reset[i]);
                float d_update = d_state[i] * (before[i] - candidate[i]) * update[i] * (1 - update[i]);
                d_input[i] = d_hidden[i] = d_reset;
                d_input[hidden + i] = d_hidden[hidden + i] = d_update;
                d_input[2 * hidden + i] = d_candidate;
                d_hidden[2 * hidden + i] = d_candidate * reset[i];
                d_state[i] *= update[i];
        }
}

/* Through time: fills d_input and d_hidden, the gradients by what the gates were made of, from model->flow. */
static void layer_back_through_time(struct lm_model *model, const struct lm_layer *layer)
{
        int hidden = model->sizes.hidden, batch = model->sizes.batch;
        float *back = model->transposed;

        transpose(back, layer->hidden->value, hidden, 3 * hidden);
        memset(model->d_state, 0, (size_t)batch * (size_t)hidden * sizeof(float));
        for (int t = model->sizes.seq - 1; t >= 0; t--) {
                ptrdiff_t first = (ptrdiff_t)t * batch;
                add(model->d_state, model->flow + first * hidden, (ptrdiff_t)batch * hidden);
                for (int b = 0; b < batch; b++) {
                        ptrdiff_t row = first + b;
                        gru_row_back(layer->gates + row * 3 * hidden, layer->recurrent + row * hidden,
                                     layer->state + row * hidden, model->d_state + (ptrdiff_t)b * hidden,
                                     model->d_input + row * 3 * hidden, model->d_hidden + row * 3 * hidden, hidden);
                }
                multiply(model->d_state, plain(model->d_hidden + first * 3 * hidden, 3 * hidden), back, batch, hidden,
                         3 * hidden, model->panel);
        }
}

/* model->flow comes in as the gradient by the layer's output and leaves as that by its input. */
static void layer_backward(struct lm_model *model, struct lm_layer *layer)
{
        int hidden = model->sizes.hidden, n = model->sizes.seq * model->sizes.batch;

        layer_back_through_time(model, layer);
        add_rows(layer->bias->gradient, model->d_input, n, 3 * hidden);
        add_rows(layer->bias->gradient + 3 * hidden, model->d_hidden, n, 3 * hidden);
        multiply(layer->input->gradient, turned(layer->in, hidden), model->d_input, hidden, 3 * hidden, n,
                 model->panel);
        multiply(layer->hidden->gradient, turned(layer->state, hidden), model->d_hidden, hidden, 3 * hidden, n,
                 model->panel);
        transpose(model->transposed, layer->input->value, hidden, 3 * hidden);
        multiply(model->flow, plain(model->d_input, 3 * hidden), model->transposed, n, hidden, 3 * hidden,
                 model->panel);
}

static void output_backward(struct lm_model *model, const float *in)
{
        int hidden = model->sizes.hidden, n = model->sizes.seq * model->sizes.batch;
        float mean = 1.0f / (float)n;

        for (ptrdiff_t i = 0; i < (ptrdiff_t)n * LM_SYMBOLS; i++)
                model->logits[i] *= mean;
        add_rows(model->output_bias->gradient, model->logits, n, LM_SYMBOLS);
        multiply(model->output->gradient, turned(in, hidden), model->logits, hidden, LM_SYMBOLS, n, model->panel);
        transpose(model->transposed, model->output->value, hidden, LM_SYMBOLS);
        memset(model->flow, 0, (size_t)n * (size_t)hidden * sizeof(float));
        multiply(model->flow, plain(model->logits, LM_SYMBOLS), model->transposed, n, hidden, LM_SYMBOLS, model->panel);
}

void lm_model_backward(struct lm_model *model)
{
        int hidden = model->sizes.hidden, n = model->sizes.seq * model->sizes.batch;

        for (int i = 0; i < model->count; i++) {
                struct lm_param *param = &model->params[i];
                memset(param->gradient, 0, (size_t)param->rows * (size_t)param->columns * sizeof(float));
        }
        output_backward(model, model->layers[model->sizes.layers - 1].out);
        for (int i = model->sizes.layers - 1; i >= 0; i--)
                layer_backward(model, &model->layers[i]);
        for (int i = 0; i < n * LM_FEATURES; i++)
                if (model->feature[i] >= 0)
                        add(model->embedding->gradient + (ptrdiff_t)model->feature[i] * hidden,
                            model->flow + (ptrdiff_t)(i / LM_FEATURES) * hidden, hidden);
}

/* ---- the check ------------------------------------------------------------------------------------------------ */

/* The loss with the weights of one tensor moved by `distance` along `direction`. */
static double loss_along(struct lm_model *model, struct lm_param *param, const float *direction, float distance)
{
        size_t n = (size_t)param->rows * (size_t)param->columns;
        float *kept = param->value, *moved = malloc(n * sizeof *moved);
        if (!moved)
                return NAN;
        for (size_t i = 0; i < n; i++)
                moved[i] = kept[i] + distance * direction[i];
        param->value = moved;
        double loss = lm_model_forward(model);
        param->value = kept;
        free(moved);
        return loss;
}

static double length_of(const float *vector, size_t n)
{
        double sum = 0;
        for (size_t i = 0; i < n; i++)
                sum += (double)vector[i] * vector[i];
        return sqrt(sum);
}

/*
 * The slope of the loss along a direction of length 1, by a central difference, against what the gradient promises.
 * The distance balances the curvature (grows with its square) against the rounding of single precision.
 */
static double slope_error(struct lm_model *model, struct lm_param *param, const float *gradient, float *direction)
{
        const float distance = 0.02f;
        size_t n = (size_t)param->rows * (size_t)param->columns;
        double length = length_of(direction, n), promised = 0;
        for (size_t i = 0; i < n; i++) {
                direction[i] = (float)(direction[i] / length);
                promised += (double)direction[i] * gradient[i];
        }
        double after = loss_along(model, param, direction, distance);
        double before = loss_along(model, param, direction, -distance);
        return fabs((after - before) / (2 * (double)distance) - promised);
}

/* Tries the gradient's own direction, where a wrong length shows, and random ones, where a missing part shows. */
static int check_param(struct lm_model *model, struct lm_param *param, struct lm_rng *rng)
{
        const double tolerance = 0.002;
        size_t n = (size_t)param->rows * (size_t)param->columns;
        float *direction = malloc(n * sizeof *direction);
        double length = length_of(param->gradient, n), worst = 0;

        for (int trial = 0; direction && trial < 8; trial++) {
                for (size_t i = 0; i < n; i++)
                        direction[i] = trial == 0 ? param->gradient[i] : lm_rng_symmetric(rng);
                double error = slope_error(model, param, param->gradient, direction);
                worst = error > worst || isnan(error) ? error : worst;
        }
        free(direction);
        int ok = direction && worst <= tolerance * length;
        printf("%-16s gradient %.6f  worst error %.6f  %s\n", param->name, length, worst, ok ? "ok" : "OFF");
        return ok ? 0 : -1;
}

int lm_model_check_gradients(void)
{
        const struct lm_sizes tiny = {.hidden = 8, .layers = 2, .batch = 5, .seq = 7, .rows = LM_SYMBOLS + 24};
        const unsigned char text[] = "...a model that is wrong by a little learns a little worse, and nobody sees why";
        struct lm_model model;
        struct lm_rng rng;
        int rc = 0;

        lm_rng_seed(&rng, 1);
        if (lm_model_init(&model, &tiny, &rng) < 0)
                return -1;
        /* Large weights, so that gates are neither open nor shut and every path carries something. */
        for (int i = 0; i < model.count; i++)
                for (ptrdiff_t k = 0; k < (ptrdiff_t)model.params[i].rows * model.params[i].columns; k++)
                        model.params[i].value[k] = lm_rng_symmetric(&rng);
        for (int b = 0; b < tiny.batch; b++)
                lm_model_window(&model, b, text + LM_CONTEXT + 11 * b, &rng);
        lm_model_forward(&model);
        lm_model_backward(&model);
        for (int i = 0; i < model.count; i++)
                if (check_param(&model, &model.params[i], &rng) < 0)
                        rc = -1;
        lm_model_fini(&model);
        return rc;
}
