/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * train_lm: a real training that survives its limits.  A small language model learns the licence texts every Debian
 * has, on one core, with Adam; wherever it is cut off, the next stint goes on and ends with the same bits.
 *
 * What stint needs from a program is under "stint" below and in main().  The rest would be here without it: options,
 * the optimizer, validation, one line of log every so often.  lm_model.c is the network, lm_data.c the text.
 */
#include "lm_data.h"
#include "lm_model.h"
#include "stint.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Adam's usual constants, and the longest gradient that is followed at full length. */
#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8f
#define LONGEST_GRADIENT 1.0

#define HIGHEST_RATE 0.002
#define LOWEST_RATE 0.0003 /* not halved any more from here */
#define WARMUP_UPDATES 50  /* the rate grows linearly up to here */
#define PATIENCE 4         /* validations without a new best until the rate is halved */
#define SMOOTHING 0.05     /* weight of the newest loss in the running average */

struct settings {
        int64_t steps, eval_every, eval_batches, log_every, step_ms, seed;
        int64_t hidden, layers, batch, seq, rows;
        const char *data, *out;
        int check_gradients;
};

/* Numbers of the training's state.  Eight bytes each, so that the hash sees no padding. */
struct progress {
        int64_t updates; /* of Adam */
        double beta1_power, beta2_power;
        double learning_rate; /* after warm-up; halved when validation stalls */
        int64_t stalled;      /* validations since the best */
        double loss_average, last_valid, best_valid;
};

/* What two stints of one training must have in common; stored, and compared when a stint resumes. */
enum { SAME_TEXT, SAME_SEED, SAME_HIDDEN, SAME_LAYERS, SAME_BATCH, SAME_SEQ, SAME_ROWS, SAME_COUNT };

struct trainer {
        struct settings settings;
        struct lm_text text;
        struct lm_model model;
        struct lm_rng rng;
        struct lm_order order;
        float *moment1[LM_MAX_PARAMS], *moment2[LM_MAX_PARAMS]; /* Adam's; NULL before the first update */
        struct progress progress;
        int64_t same[SAME_COUNT];
        int64_t step;
        struct stint *stint;
};

/* ---- stint ---------------------------------------------------------------------------------------------------- */

static int attach(struct trainer *t, const char *prefix, const struct lm_param *param, float *data)
{
        char name[STINT_MAX_NAME + 1];
        snprintf(name, sizeof name, "%s/%s", prefix, param->name);
        return stint_attach(t->stint, name, STINT_MATRIX(data, STINT_F32, param->rows, param->columns));
}

/* Everything the next step depends on, but Adam's moments: those come with the first update. */
static int attach_state(struct trainer *t)
{
        struct progress *p = &t->progress;
        int rc = 0;

        for (int i = 0; i < t->model.count; i++)
                rc |= attach(t, "model", &t->model.params[i], t->model.params[i].value);
        rc |= stint_attach(t->stint, "optimizer/updates", STINT_SCALAR(&p->updates, STINT_I64));
        rc |= stint_attach(t->stint, "optimizer/beta1_power", STINT_SCALAR(&p->beta1_power, STINT_F64));
        rc |= stint_attach(t->stint, "optimizer/beta2_power", STINT_SCALAR(&p->beta2_power, STINT_F64));
        rc |= stint_attach(t->stint, "optimizer/learning_rate", STINT_SCALAR(&p->learning_rate, STINT_F64));
        rc |= stint_attach(t->stint, "optimizer/stalled", STINT_SCALAR(&p->stalled, STINT_I64));
        rc |= stint_attach(t->stint, "metrics/loss_average", STINT_SCALAR(&p->loss_average, STINT_F64));
        rc |= stint_attach(t->stint, "metrics/last_valid", STINT_SCALAR(&p->last_valid, STINT_F64));
        rc |= stint_attach(t->stint, "metrics/best_valid", STINT_SCALAR(&p->best_valid, STINT_F64));
        rc |= stint_attach(t->stint, "data/order", STINT_ARRAY(t->order.window, STINT_U32, t->order.count));
        rc |= stint_attach(t->stint, "data/position", STINT_SCALAR(&t->order.position, STINT_I64));
        rc |= stint_attach(t->stint, "data/epoch", STINT_SCALAR(&t->order.epoch, STINT_I64));
        rc |= stint_attach(t->stint, "data/offset", STINT_SCALAR(&t->order.offset, STINT_I64));
        rc |= stint_attach(t->stint, "data/same", STINT_ARRAY(t->same, STINT_I64, SAME_COUNT));
        rc |= stint_attach(t->stint, "rng", STINT_OBJECT(&t->rng));
        return rc < 0 ? -1 : 0;
}

/* Allocates Adam's moments once; attaching them late hands back what the checkpoint has. */
static int attach_moments(struct trainer *t)
{
        for (int i = 0; i < t->model.count && !t->moment1[i]; i++) {
                const struct lm_param *param = &t->model.params[i];
                size_t n = (size_t)param->rows * (size_t)param->columns;
                t->moment1[i] = calloc(n, sizeof(float));
                t->moment2[i] = calloc(n, sizeof(float));
                if (!t->moment1[i] || !t->moment2[i]) {
                        fprintf(stderr, "train_lm: out of memory for the optimizer; try --small\n");
                        return -1;
                }
                if (attach(t, "optimizer/m", param, t->moment1[i]) < 0 ||
                    attach(t, "optimizer/v", param, t->moment2[i]) < 0) {
                        fprintf(stderr, "train_lm: cannot take the optimizer's state back: %s\n", stint_why(t->stint));
                        return -1;
                }
        }
        return 0;
}

/* Resumes, or starts afresh.  A run that was begun with another text or other sizes is refused and left as it is. */
static int resume(struct trainer *t)
{
        int64_t same[SAME_COUNT];
        memcpy(same, t->same, sizeof same);

        int rc = attach_state(t) < 0 ? -1 : stint_restore(t->stint, &t->step);
        if (rc < 0) {
                fprintf(stderr, "train_lm: cannot resume: %s\n", stint_why(t->stint));
                return -1;
        }
        if (memcmp(same, t->same, sizeof same) != 0) {
                fprintf(stderr,
                        "train_lm: the run in %s was begun with another text, seed or size; give the options it "
                        "was begun with, or start in another run directory\n",
                        stint_dir(t->stint));
                return -1;
        }
        if (rc == STINT_RESTORED)
                printf("resumed at step %lld\n", (long long)t->step);
        else
                printf("fresh start\n");
        return 0;
}

/* ---- the optimizer -------------------------------------------------------------------------------------------- */

/* The length of all gradients together, in eight sums that a vector unit can carry side by side. */
static double gradient_length(const struct lm_model *model)
{
        double sums[8] = {0}, total = 0;
        for (int i = 0; i < model->count; i++) {
                const float *gradient = model->params[i].gradient;
                size_t n = (size_t)model->params[i].rows * (size_t)model->params[i].columns;
                for (size_t k = 0; k + 8 <= n; k += 8)
                        for (int lane = 0; lane < 8; lane++)
                                sums[lane] += (double)gradient[k + (size_t)lane] * gradient[k + (size_t)lane];
        }
        for (int lane = 0; lane < 8; lane++)
                total += sums[lane];
        return sqrt(total);
}

/* How far one update of Adam goes, everything that is the same for all weights. */
struct stride {
        float clip, rate, correction;
};

static void update_weights(float *restrict value, const float *restrict gradient, float *restrict moment1,
                           float *restrict moment2, size_t n, struct stride stride)
{
        const float keep1 = (float)BETA1, keep2 = (float)BETA2;
        for (size_t i = 0; i < n; i++) {
                float g = gradient[i] * stride.clip;
                moment1[i] = keep1 * moment1[i] + (1 - keep1) * g;
                moment2[i] = keep2 * moment2[i] + (1 - keep2) * g * g;
                value[i] -= stride.rate * moment1[i] / (sqrtf(moment2[i]) * stride.correction + EPSILON);
        }
}

static double rate_now(const struct progress *p)
{
        double warm = (double)p->updates / WARMUP_UPDATES;
        return p->learning_rate * (warm < 1 ? warm : 1);
}

static int update(struct trainer *t)
{
        struct progress *p = &t->progress;
        if (attach_moments(t) < 0)
                return -1;
        p->updates++;
        p->beta1_power *= BETA1;
        p->beta2_power *= BETA2;

        double length = gradient_length(&t->model);
        struct stride stride = {
                .clip = (float)(length > LONGEST_GRADIENT ? LONGEST_GRADIENT / length : 1),
                .rate = (float)(rate_now(p) / (1 - p->beta1_power)),
                .correction = (float)(1 / sqrt(1 - p->beta2_power)),
        };
        for (int i = 0; i < t->model.count; i++) {
                struct lm_param *param = &t->model.params[i];
                update_weights(param->value, param->gradient, t->moment1[i], t->moment2[i],
                               (size_t)param->rows * (size_t)param->columns, stride);
        }
        return 0;
}

/* ---- training ------------------------------------------------------------------------------------------------- */

static int train_step(struct trainer *t)
{
        struct progress *p = &t->progress;
        for (int b = 0; b < t->model.sizes.batch; b++)
                lm_model_window(&t->model, b, t->text.train + lm_order_next(&t->order, &t->rng), &t->rng);
        double loss = lm_model_forward(&t->model);
        p->loss_average = p->updates == 0 ? loss : p->loss_average + SMOOTHING * (loss - p->loss_average);
        lm_model_backward(&t->model);
        return update(t);
}

/* The loss on windows spread evenly over the validation text.  Changes nothing that training depends on. */
static double validate(struct trainer *t)
{
        int64_t windows = t->settings.eval_batches * t->settings.batch;
        int64_t room = t->text.valid_bytes - t->settings.seq - 1;
        double loss = 0;
        for (int64_t i = 0; i < windows; i++) {
                int column = (int)(i % t->settings.batch);
                lm_model_window(&t->model, column, t->text.valid + room * i / windows, NULL);
                if (column < t->settings.batch - 1)
                        continue;
                loss += lm_model_forward(&t->model);
                stint_poll(t->stint);
        }
        return loss / (double)t->settings.eval_batches;
}

static void validate_and_report(struct trainer *t)
{
        struct progress *p = &t->progress;
        p->last_valid = validate(t);
        p->stalled++;
        if (p->last_valid < p->best_valid) {
                p->best_valid = p->last_valid;
                p->stalled = 0;
        } else if (p->stalled % PATIENCE == 0 && p->learning_rate > LOWEST_RATE) {
                p->learning_rate *= 0.5;
        }
        stint_metric(t->stint, "valid_loss", p->last_valid, STINT_GOAL_MIN);
}

static double seconds_now(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A step takes no less than --step-ms, as one of a larger training would. */
static void wait_for_step(double began, int64_t step_ms)
{
        double left = began + 1e-3 * (double)step_ms - seconds_now();
        if (left > 0)
                usleep((useconds_t)(left * 1e6));
}

static void log_line(const struct trainer *t, double steps_per_second)
{
        const struct progress *p = &t->progress;
        char valid[16] = "-";
        if (isfinite(p->last_valid))
                snprintf(valid, sizeof valid, "%.4f", p->last_valid);
        printf("step %6lld  loss %.4f  valid %6s  lr %.5f  %.1f steps/s\n", (long long)t->step, p->loss_average, valid,
               rate_now(p), steps_per_second);
}

/* 0: all steps are done.  1: this stint is over, another continues.  -1: failed, and said why. */
static int train(struct trainer *t)
{
        const struct settings *s = &t->settings;
        double logged = seconds_now();
        int64_t logged_step = t->step;

        while (t->step < s->steps) {
                double began = seconds_now();
                if (train_step(t) < 0)
                        return -1;
                t->step++;
                if (s->eval_every && t->step % s->eval_every == 0)
                        validate_and_report(t);
                wait_for_step(began, s->step_ms);
                if (s->log_every && t->step % s->log_every == 0) {
                        double now = seconds_now();
                        log_line(t, (double)(t->step - logged_step) / (now - logged));
                        logged = now;
                        logged_step = t->step;
                }
                if (stint_step(t->stint, t->step) == STINT_STOP)
                        return 1;
        }
        return 0;
}

/* ---- beginning and end ---------------------------------------------------------------------------------------- */

static int trainer_init(struct trainer *t)
{
        const struct settings *s = &t->settings;
        const struct lm_sizes sizes = {.hidden = (int)s->hidden,
                                       .layers = (int)s->layers,
                                       .batch = (int)s->batch,
                                       .seq = (int)s->seq,
                                       .rows = (int)s->rows};

        if (lm_text_read(&t->text, s->data) < 0)
                return -1;
        lm_rng_seed(&t->rng, (uint64_t)s->seed);
        if (lm_model_init(&t->model, &sizes, &t->rng) < 0 || lm_order_init(&t->order, &t->text, s->seq, &t->rng) < 0) {
                fprintf(stderr, "train_lm: out of memory for the model; try --small\n");
                return -1;
        }
        t->progress = (struct progress){.beta1_power = 1,
                                        .beta2_power = 1,
                                        .learning_rate = HIGHEST_RATE,
                                        .last_valid = INFINITY,
                                        .best_valid = INFINITY};
        t->same[SAME_TEXT] = (int64_t)t->text.fingerprint;
        t->same[SAME_SEED] = s->seed;
        t->same[SAME_HIDDEN] = s->hidden;
        t->same[SAME_LAYERS] = s->layers;
        t->same[SAME_BATCH] = s->batch;
        t->same[SAME_SEQ] = s->seq;
        t->same[SAME_ROWS] = s->rows;
        return 0;
}

static void trainer_fini(struct trainer *t)
{
        stint_close(t->stint);
        for (int i = 0; i < t->model.count; i++) {
                free(t->moment1[i]);
                free(t->moment2[i]);
        }
        lm_order_free(&t->order);
        lm_model_fini(&t->model);
        lm_text_free(&t->text);
}

/* Of every bit the training has come to: two runs with the same hash are the same. */
static uint64_t hash_state(const struct trainer *t)
{
        uint64_t hash = LM_HASH_START;
        for (int i = 0; i < t->model.count; i++) {
                size_t n = (size_t)t->model.params[i].rows * (size_t)t->model.params[i].columns;
                hash = lm_hash(hash, t->model.params[i].value, n * sizeof(float));
                hash = lm_hash(hash, t->moment1[i], n * sizeof(float));
                hash = lm_hash(hash, t->moment2[i], n * sizeof(float));
        }
        hash = lm_hash(hash, &t->progress, sizeof t->progress);
        hash = lm_hash(hash, t->order.window, (size_t)t->order.count * sizeof *t->order.window);
        const int64_t place[] = {t->order.position, t->order.epoch, t->order.offset, t->step};
        hash = lm_hash(hash, place, sizeof place);
        return lm_hash(hash, &t->rng, sizeof t->rng);
}

static int write_params(const struct lm_model *model, FILE *file)
{
        for (int i = 0; i < model->count; i++) {
                size_t n = (size_t)model->params[i].rows * (size_t)model->params[i].columns;
                if (fwrite(model->params[i].value, sizeof(float), n, file) != n)
                        return -1;
        }
        return fflush(file) == 0 && fsync(fileno(file)) == 0 ? 0 : -1;
}

/* All weights as float32 in the order of the params, under their final name only when they are whole. */
static int write_weights(const struct lm_model *model, const char *path)
{
        char part[4096];
        if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part) {
                fprintf(stderr, "train_lm: the name given with --out is too long\n");
                return -1;
        }
        FILE *file = fopen(part, "wb");
        int rc = file ? write_params(model, file) : -1;
        if (file && fclose(file) != 0)
                rc = -1;
        if (rc == 0)
                rc = rename(part, path);
        if (rc < 0)
                fprintf(stderr, "train_lm: cannot write the weights to %s: %s\n", path, strerror(errno));
        return rc;
}

/* The weights first, the mark that ends the chain last: a run is not complete before its result is there. */
static int finish(struct trainer *t)
{
        if (attach_moments(t) < 0 || (t->settings.out && write_weights(&t->model, t->settings.out) < 0))
                return -1;
        double valid = validate(t);
        if (stint_complete(t->stint) < 0)
                fprintf(stderr, "train_lm: all steps are done, but the run is not marked so: %s\n",
                        stint_why(t->stint));
        printf("final step %lld  valid %.4f  hash %016llx\n", (long long)t->step, valid,
               (unsigned long long)hash_state(t));
        return 0;
}

/* ---- options -------------------------------------------------------------------------------------------------- */

static const struct settings full = {
        .steps = 1800,
        .eval_every = 100,
        .eval_batches = 8,
        .log_every = 20,
        .seed = 1,
        .hidden = 128,
        .layers = 2,
        .batch = 8,
        .seq = 32,
        .rows = 16384,
        .data = "/usr/share/common-licenses",
};

static const struct settings small = {
        .steps = 1000,
        .eval_every = 50,
        .eval_batches = 4,
        .log_every = 50,
        .seed = 1,
        .hidden = 32,
        .layers = 1,
        .batch = 8,
        .seq = 16,
        .rows = 1024,
        .data = "/usr/share/common-licenses",
};

static const struct number_option {
        const char *name;
        size_t offset;
        int64_t low, high;
        const char *help;
} number_options[] = {
        {"--steps", offsetof(struct settings, steps), 0, 1000000000, "train up to this step"},
        {"--eval-every", offsetof(struct settings, eval_every), 0, 1000000000, "validate every N steps; 0: never"},
        {"--eval-batches", offsetof(struct settings, eval_batches), 1, 1000, "batches in one validation"},
        {"--log-every", offsetof(struct settings, log_every), 0, 1000000000, "print every N steps; 0: never"},
        {"--seed", offsetof(struct settings, seed), 0, INT64_MAX, "seed of everything random"},
        {"--hidden", offsetof(struct settings, hidden), 8, 2048, "width of a layer, a multiple of 8"},
        {"--layers", offsetof(struct settings, layers), 1, LM_MAX_LAYERS, "recurrent layers"},
        {"--batch", offsetof(struct settings, batch), 1, 256, "windows in a batch"},
        {"--seq", offsetof(struct settings, seq), 1, 512, "bytes in a window"},
        {"--rows", offsetof(struct settings, rows), LM_SYMBOLS + 1, 1 << 20, "rows of the table of contexts"},
        {"--step-ms", offsetof(struct settings, step_ms), 0, 3600000, "let a step take at least N ms"},
};
#define NUMBER_OPTIONS (sizeof number_options / sizeof *number_options)

static void print_help(void)
{
        printf("Usage: train_lm [option ...]\n"
               "Trains a small language model; under `stint run`, across any number of limits and kills.\n\n"
               "  --data PATH         text to learn from: a file, or the files of a directory (%s)\n"
               "  --out FILE          write the final weights, float32 in native byte order\n"
               "  --small             a tiny model, about 1 ms a step\n"
               "  --check-gradients   compare analytic with numeric gradients and exit\n"
               "  --help              this text\n",
               full.data);
        for (size_t i = 0; i < NUMBER_OPTIONS; i++) {
                const struct number_option *option = &number_options[i];
                long long usual = (long long)*(const int64_t *)((const char *)&full + option->offset);
                printf("  %-14s N    %s (%lld)\n", option->name, option->help, usual);
        }
}

static int usage(const char *argument, const char *reason)
{
        fprintf(stderr, "train_lm: %s: %s; see train_lm --help\n", argument, reason);
        return -1;
}

static int set_number(struct settings *s, const struct number_option *option, const char *text)
{
        char *end, reason[100];
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (errno || end == text || *end || value < option->low || value > option->high) {
                snprintf(reason, sizeof reason, "needs a whole number from %lld to %lld", (long long)option->low,
                         (long long)option->high);
                return usage(option->name, reason);
        }
        *(int64_t *)((char *)s + option->offset) = value;
        return 0;
}

static int set_valued(struct settings *s, const char *name, const char *value)
{
        for (size_t i = 0; i < NUMBER_OPTIONS; i++)
                if (strcmp(name, number_options[i].name) == 0)
                        return value ? set_number(s, &number_options[i], value)
                                     : usage(name, "needs a number after it");
        if (strcmp(name, "--data") != 0 && strcmp(name, "--out") != 0)
                return usage(name, "no such option");
        if (!value)
                return usage(name, "needs a path after it");
        *(name[2] == 'd' ? &s->data : &s->out) = value;
        return 0;
}

/* 0: go on.  1: everything is said.  -1: wrong, and said so. */
static int parse_options(struct settings *s, int argc, char **argv)
{
        *s = full;
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--small") == 0)
                        *s = small;
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--help") == 0) {
                        print_help();
                        return 1;
                } else if (strcmp(argv[i], "--check-gradients") == 0) {
                        s->check_gradients = 1;
                } else if (strcmp(argv[i], "--small") != 0) {
                        if (set_valued(s, argv[i], i + 1 < argc ? argv[i + 1] : NULL) < 0)
                                return -1;
                        i++;
                }
        }
        return s->hidden % LM_WIDTH_UNIT ? usage("--hidden", "needs a multiple of 8") : 0;
}

int main(int argc, char **argv)
{
        struct trainer t = {.stint = NULL};
        struct stint_error error;

        int rc = parse_options(&t.settings, argc, argv);
        if (rc)
                return rc < 0 ? 2 : 0;
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (t.settings.check_gradients)
                return lm_model_check_gradients() < 0 ? 1 : 0;
        if (trainer_init(&t) < 0)
                return 1;
        t.stint = stint_open(NULL, &error);
        if (!t.stint)
                fprintf(stderr, "train_lm: training without checkpoints: %s\n", error.text);
        rc = resume(&t);
        if (rc == 0)
                rc = train(&t);
        if (rc == 0)
                rc = finish(&t);
        else if (rc == 1)
                printf("stopped at step %lld, to be continued\n", (long long)t.step);
        trainer_fini(&t);
        return rc < 0 ? 1 : 0;
}
