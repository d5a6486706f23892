/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of train_lm: read from disk, split into training and validation, and handed out in shuffled windows.
 * train_lm.c calls in once at the start and once for every window.
 */
#include "lm_data.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The text is cut into blocks, and the last of every ten is kept for validation. */
#define BLOCK_BYTES 2048
#define BLOCKS_PER_VALID 10

/* ---- chance --------------------------------------------------------------------------------------------------- */

static uint64_t rotate_left(uint64_t x, int bits)
{
        return (x << bits) | (x >> (64 - bits));
}

/* Fills the state by splitmix64, which makes four unrelated words of any seed, zero included. */
void lm_rng_seed(struct lm_rng *rng, uint64_t seed)
{
        for (int i = 0; i < 4; i++) {
                uint64_t z = seed += 0x9e3779b97f4a7c15u;
                z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
                z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
                rng->word[i] = z ^ (z >> 31);
        }
}

uint64_t lm_rng_next(struct lm_rng *rng)
{
        uint64_t *w = rng->word;
        uint64_t answer = rotate_left(w[1] * 5, 7) * 9, shifted = w[1] << 17;
        w[2] ^= w[0];
        w[3] ^= w[1];
        w[1] ^= w[2];
        w[0] ^= w[3];
        w[2] ^= shifted;
        w[3] = rotate_left(w[3], 45);
        return answer;
}

float lm_rng_symmetric(struct lm_rng *rng)
{
        return (float)(lm_rng_next(rng) >> 40) * (1.0f / (1 << 23)) - 1.0f;
}

/* ---- the text ------------------------------------------------------------------------------------------------- */

uint64_t lm_hash(uint64_t hash, const void *data, size_t bytes)
{
        const unsigned char *p = data;
        for (size_t i = 0; i < bytes; i++)
                hash = (hash ^ p[i]) * 1099511628211u;
        return hash;
}

struct bytes {
        unsigned char *data;
        size_t used, room;
};

static int fail(const char *path, const char *reason)
{
        fprintf(stderr, "train_lm: cannot read text from %s: %s; name a text file or a directory of them with --data\n",
                path, reason);
        return -1;
}

static int append_stream(struct bytes *all, FILE *file)
{
        for (;;) {
                if (all->used == all->room) {
                        size_t room = all->room ? all->room * 2 : 1 << 16;
                        unsigned char *grown = realloc(all->data, room);
                        if (!grown)
                                return -1;
                        all->data = grown;
                        all->room = room;
                }
                size_t got = fread(all->data + all->used, 1, all->room - all->used, file);
                if (got == 0)
                        return ferror(file) ? -1 : 0;
                all->used += got;
        }
}

static int append_file(struct bytes *all, const char *path)
{
        FILE *file = fopen(path, "rb");
        if (!file)
                return fail(path, strerror(errno));
        int rc = append_stream(all, file);
        if (rc < 0)
                fail(path, strerror(errno));
        fclose(file);
        return rc;
}

/* By bytes, not by locale: the order of the files is part of what makes two trainings the same. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int append_directory(struct bytes *all, const char *directory)
{
        struct dirent **entries;
        int rc = 0, n = scandir(directory, &entries, NULL, by_name);
        if (n < 0)
                return fail(directory, strerror(errno));
        for (int i = 0; i < n; i++) {
                char path[PATH_MAX];
                struct stat st;
                int length = snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
                if (rc == 0 && length < (int)sizeof path && lstat(path, &st) == 0 && S_ISREG(st.st_mode))
                        rc = append_file(all, path);
                free(entries[i]);
        }
        free(entries);
        return rc;
}

static int split(struct lm_text *text, const struct bytes *all)
{
        unsigned char *train = calloc(1, all->used + LM_CONTEXT), *valid = calloc(1, all->used + LM_CONTEXT);
        text->train = train ? train + LM_CONTEXT : NULL;
        text->valid = valid ? valid + LM_CONTEXT : NULL;
        if (!train || !valid)
                return -1;
        for (size_t at = 0; at < all->used; at += BLOCK_BYTES) {
                size_t n = all->used - at < BLOCK_BYTES ? all->used - at : BLOCK_BYTES;
                int is_valid = at / BLOCK_BYTES % BLOCKS_PER_VALID == BLOCKS_PER_VALID - 1;
                int64_t *used = is_valid ? &text->valid_bytes : &text->train_bytes;
                memcpy((is_valid ? text->valid : text->train) + *used, all->data + at, n);
                *used += (int64_t)n;
        }
        text->fingerprint = lm_hash(LM_HASH_START, all->data, all->used);
        return 0;
}

int lm_text_read(struct lm_text *text, const char *path)
{
        struct bytes all = {NULL, 0, 0};
        struct stat st;

        memset(text, 0, sizeof *text);
        if (stat(path, &st) < 0)
                return fail(path, strerror(errno));
        int rc = S_ISDIR(st.st_mode) ? append_directory(&all, path) : append_file(&all, path);
        if (rc == 0 && all.used < 2 * BLOCKS_PER_VALID * BLOCK_BYTES)
                rc = fail(path, "less than 40 KiB of text");
        if (rc == 0 && split(text, &all) < 0)
                rc = fail(path, "out of memory");
        if (rc < 0)
                lm_text_free(text);
        free(all.data);
        return rc;
}

void lm_text_free(struct lm_text *text)
{
        free(text->train ? text->train - LM_CONTEXT : NULL);
        free(text->valid ? text->valid - LM_CONTEXT : NULL);
        memset(text, 0, sizeof *text);
}

/* ---- the order ------------------------------------------------------------------------------------------------ */

static void begin_epoch(struct lm_order *order, struct lm_rng *rng)
{
        order->position = 0;
        order->offset = (int64_t)(lm_rng_next(rng) % (uint64_t)order->seq);
        for (int64_t i = order->count - 1; i > 0; i--) {
                int64_t other = (int64_t)(lm_rng_next(rng) % (uint64_t)(i + 1));
                uint32_t window = order->window[i];
                order->window[i] = order->window[other];
                order->window[other] = window;
        }
}

int lm_order_init(struct lm_order *order, const struct lm_text *text, int64_t seq, struct lm_rng *rng)
{
        /* One window less than fits, so that every offset leaves room for the byte after the last window. */
        order->count = (text->train_bytes - 1) / seq - 1;
        order->seq = seq;
        order->epoch = 0;
        order->window = malloc((size_t)order->count * sizeof *order->window);
        if (!order->window)
                return -1;
        for (int64_t i = 0; i < order->count; i++)
                order->window[i] = (uint32_t)i;
        begin_epoch(order, rng);
        return 0;
}

void lm_order_free(struct lm_order *order)
{
        free(order->window);
        order->window = NULL;
}

int64_t lm_order_next(struct lm_order *order, struct lm_rng *rng)
{
        if (order->position == order->count) {
                order->epoch++;
                begin_epoch(order, rng);
        }
        return order->offset + (int64_t)order->window[order->position++] * order->seq;
}
