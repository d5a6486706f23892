/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * someone: a training as a stranger would bring it: matrix factorisation by stochastic gradient descent, with a random
 * number in one integer, a place in a shuffled data set, momentum that comes into being late and a record of losses that
 * grows.  It was written without stint; what was added names it, and tests/flow/someone.sh counts these lines.
 *
 *   someone EPOCHS PAUSE_US [OUT]      sleeps PAUSE_US after every batch; writes the factors to OUT
 */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stint.h>

#define USERS 120
#define ITEMS 90
#define FACTORS 8
#define RATINGS 2048
#define BATCH 64
#define WARMUP 40 /* batches before momentum sets in */

struct rating {
        int user, item;
        float value;
};

static struct rating ratings[RATINGS];
static float users[USERS * FACTORS], items[ITEMS * FACTORS];
static float *user_speed, *item_speed; /* NULL before WARMUP */
static int order[RATINGS];
static double *losses; /* one an epoch */
static int64_t loss_count;
static unsigned seed = 12345;

static float draw(void) /* from -0.5 to 0.5 */
{
        return (float)rand_r(&seed) / (float)RAND_MAX - 0.5f;
}

static void make_ratings(void)
{
        unsigned s = 7;

        for (int i = 0; i < RATINGS; i++) {
                ratings[i].user = rand_r(&s) % USERS;
                ratings[i].item = rand_r(&s) % ITEMS;
                ratings[i].value = sinf((float)ratings[i].user * 0.7f) * cosf((float)ratings[i].item * 0.3f) * 2;
        }
}

static void start_values(void)
{
        for (int i = 0; i < USERS * FACTORS; i++)
                users[i] = draw();
        for (int i = 0; i < ITEMS * FACTORS; i++)
                items[i] = draw();
        for (int i = 0; i < RATINGS; i++)
                order[i] = i;
}

static void shuffle(void)
{
        for (int i = RATINGS - 1; i > 0; i--) {
                int j = rand_r(&seed) % (i + 1), other = order[i];

                order[i] = order[j];
                order[j] = other;
        }
}

static void move(float *value, float *speed, float slope)
{
        if (speed) {
                *speed = 0.8f * *speed - 0.02f * slope;
                *value += *speed;
        } else {
                *value -= 0.02f * slope;
        }
}

static double learn(const struct rating *r)
{
        float *u = &users[r->user * FACTORS], *v = &items[r->item * FACTORS], guess = 0;

        for (int k = 0; k < FACTORS; k++)
                guess += u[k] * v[k];
        for (int k = 0; k < FACTORS; k++) {
                float slope_u = (guess - r->value) * v[k], slope_v = (guess - r->value) * u[k] + 0.001f * draw();

                move(&u[k], user_speed ? &user_speed[r->user * FACTORS + k] : NULL, slope_u);
                move(&v[k], item_speed ? &item_speed[r->item * FACTORS + k] : NULL, slope_v);
        }
        return (double)(guess - r->value) * (double)(guess - r->value);
}

static int write_factors(const char *path)
{
        FILE *file = fopen(path, "wb");
        int rc = -1;

        if (file && fwrite(users, sizeof users, 1, file) == 1 && fwrite(items, sizeof items, 1, file) == 1 &&
            fwrite(losses, sizeof *losses, (size_t)loss_count, file) == (size_t)loss_count)
                rc = 0;
        if (!file || fclose(file))
                rc = -1;
        return rc;
}

int main(int argc, char **argv)
{
        int64_t epochs = argc > 1 ? atoll(argv[1]) : 10, epoch = 0, position = 0, step = 0;
        useconds_t pause_us = argc > 2 ? (useconds_t)atol(argv[2]) : 0;
        double sum = 0;

        make_ratings();
        start_values();

        struct stint *stint = stint_open(NULL, NULL);
        stint_attach(stint, "model/users", STINT_MATRIX(users, STINT_F32, USERS, FACTORS));
        stint_attach(stint, "model/items", STINT_MATRIX(items, STINT_F32, ITEMS, FACTORS));
        stint_attach(stint, "rng", STINT_SCALAR(&seed, STINT_U32));
        stint_attach(stint, "data/order", STINT_ARRAY(order, STINT_I32, RATINGS));
        stint_attach(stint, "data/epoch", STINT_SCALAR(&epoch, STINT_I64));
        stint_attach(stint, "data/position", STINT_SCALAR(&position, STINT_I64));
        stint_attach(stint, "metrics/sum", STINT_SCALAR(&sum, STINT_F64));
        stint_attach(stint, "metrics/count", STINT_SCALAR(&loss_count, STINT_I64));
        if (stint_restore(stint, &step) < 0) {
                fprintf(stderr, "someone: %s\n", stint_why(stint));
                return 1;
        }
        losses = calloc((size_t)epochs + 1, sizeof *losses);
        if (!losses)
                return 1;
        if (loss_count && stint_attach(stint, "metrics/losses", STINT_ARRAY(losses, STINT_F64, loss_count)) != STINT_RESTORED) {
                fprintf(stderr, "someone: the record of losses is gone: %s\n", stint_why(stint));
                return 1;
        }

        for (; epoch < epochs; epoch++) {
                if (position == 0)
                        shuffle();
                while (position < RATINGS) {
                        if (step >= WARMUP && !user_speed) {
                                user_speed = calloc(USERS * FACTORS, sizeof *user_speed);
                                item_speed = calloc(ITEMS * FACTORS, sizeof *item_speed);
                                if (!user_speed || !item_speed)
                                        return 1;
                                stint_attach(stint, "optimizer/users", STINT_MATRIX(user_speed, STINT_F32, USERS, FACTORS));
                                stint_attach(stint, "optimizer/items", STINT_MATRIX(item_speed, STINT_F32, ITEMS, FACTORS));
                        }
                        for (int i = 0; i < BATCH; i++)
                                sum += learn(&ratings[order[position++]]);
                        usleep(pause_us);
                        if (stint_step(stint, ++step) == STINT_STOP) {
                                stint_close(stint);
                                return 0;
                        }
                }
                losses[loss_count++] = sqrt(sum / RATINGS);
                stint_attach(stint, "metrics/losses", STINT_ARRAY(losses, STINT_F64, loss_count));
                sum = 0;
                position = 0;
        }

        if (argc > 3 && write_factors(argv[3])) {
                fprintf(stderr, "someone: cannot write %s\n", argv[3]);
                return 1;
        }
        printf("%" PRId64 " batches, error %.6f, then %.6f\n", step, losses[0], losses[loss_count - 1]);
        if (stint_complete(stint) < 0)
                fprintf(stderr, "someone: not complete: %s\n", stint_why(stint));
        stint_close(stint);
        free(losses);
        free(user_speed);
        free(item_speed);
        return 0;
}
