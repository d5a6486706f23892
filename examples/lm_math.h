/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arithmetic of train_lm: products of matrices, sums of rows, and the few functions a network needs.  lm_model.c
 * calls in, and nobody else.
 *
 * Loops are written so that a compiler makes vector code of them without changing the order of any sum: -ffast-math
 * would be a little faster and would give up that a resumed training ends with the same bits.  exp and log are here
 * because those of the C library take another path, and round differently, on processors with fused multiplication.
 */
#ifndef LM_MATH_H
#define LM_MATH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Four floats in one register; may be loaded from any address of a float. */
typedef float lanes __attribute__((vector_size(16), aligned(4), may_alias));

#define LM_TILE_ROWS 4
#define LM_TILE_COLUMNS 8

/* A matrix as it is walked: element (i, j) is at[i * row + j * column]. */
struct walk {
        const float *at;
        ptrdiff_t row, column;
};

static inline struct walk plain(const float *at, int columns)
{
        return (struct walk){at, columns, 1};
}

static inline struct walk turned(const float *at, int columns)
{
        return (struct walk){at, 1, columns};
}

/* c[4][8] += a[4][depth] * panel[depth][8], the sum held in registers. */
static inline void multiply_tile(float *c, ptrdiff_t c_row, struct walk a, const float *panel, int depth)
{
        lanes sum[LM_TILE_ROWS][2];
        for (int i = 0; i < LM_TILE_ROWS; i++) {
                sum[i][0] = *(const lanes *)(c + i * c_row);
                sum[i][1] = *(const lanes *)(c + i * c_row + 4);
        }
        for (int k = 0; k < depth; k++) {
                lanes left = *(const lanes *)(panel + k * LM_TILE_COLUMNS);
                lanes right = *(const lanes *)(panel + k * LM_TILE_COLUMNS + 4);
                for (int i = 0; i < LM_TILE_ROWS; i++) {
                        float x = a.at[i * a.row + k * a.column];
                        sum[i][0] += x * left;
                        sum[i][1] += x * right;
                }
        }
        for (int i = 0; i < LM_TILE_ROWS; i++) {
                *(lanes *)(c + i * c_row) = sum[i][0];
                *(lanes *)(c + i * c_row + 4) = sum[i][1];
        }
}

/* The same for one row: what is left when the rows are no multiple of four. */
static inline void multiply_row(float *c, struct walk a, const float *panel, int depth)
{
        lanes left = *(const lanes *)c, right = *(const lanes *)(c + 4);
        for (int k = 0; k < depth; k++) {
                left += a.at[k * a.column] * *(const lanes *)(panel + k * LM_TILE_COLUMNS);
                right += a.at[k * a.column] * *(const lanes *)(panel + k * LM_TILE_COLUMNS + 4);
        }
        *(lanes *)c = left;
        *(lanes *)(c + 4) = right;
}

/*
 * c += a * b, for c of rows x columns and a common `depth`; columns is a multiple of LM_TILE_COLUMNS.  Eight columns of
 * b at a time are laid out densely in `panel` (depth x 8) first, for rows a power of two apart would fight for the
 * cache.
 */
static inline void multiply(float *c, struct walk a, const float *b, int rows, int columns, int depth, float *panel)
{
        for (int j = 0; j < columns; j += LM_TILE_COLUMNS) {
                for (int k = 0; k < depth; k++)
                        memcpy(panel + k * LM_TILE_COLUMNS, b + (ptrdiff_t)k * columns + j,
                               LM_TILE_COLUMNS * sizeof *b);
                int i = 0;
                for (; i + LM_TILE_ROWS <= rows; i += LM_TILE_ROWS) {
                        struct walk below = {a.at + i * a.row, a.row, a.column};
                        multiply_tile(c + (ptrdiff_t)i * columns + j, columns, below, panel, depth);
                }
                for (; i < rows; i++) {
                        struct walk below = {a.at + i * a.row, a.row, a.column};
                        multiply_row(c + (ptrdiff_t)i * columns + j, below, panel, depth);
                }
        }
}

static inline void transpose(float *to, const float *from, int rows, int columns)
{
        for (int i = 0; i < rows; i++)
                for (int j = 0; j < columns; j++)
                        to[(ptrdiff_t)j * rows + i] = from[(ptrdiff_t)i * columns + j];
}

static inline void add(float *restrict to, const float *restrict from, ptrdiff_t n)
{
        for (ptrdiff_t i = 0; i < n; i++)
                to[i] += from[i];
}

static inline void add_rows(float *restrict to, const float *restrict from, int rows, int columns)
{
        for (int i = 0; i < rows; i++)
                add(to, from + (ptrdiff_t)i * columns, columns);
}

static inline void copy_to_rows(float *restrict to, const float *restrict from, int rows, int columns)
{
        for (int i = 0; i < rows; i++)
                memcpy(to + (ptrdiff_t)i * columns, from, (size_t)columns * sizeof *to);
}

/* e^x to about 1e-7, from e^x = 2^n e^r with |r| <= ln 2 / 2.  Adding 1.5 * 2^23 rounds to a whole n. */
static inline float exponential(float x)
{
        const float rounder = 12582912.0f;
        x = x > 87.0f ? 87.0f : x;
        x = x < -87.0f ? -87.0f : x;
        float n = x * 1.44269504f + rounder;
        n -= rounder;
        float r = x - n * 0.693359375f + n * 2.12194440e-4f;
        float p = 1.0f / 720;
        p = p * r + 1.0f / 120;
        p = p * r + 1.0f / 24;
        p = p * r + 1.0f / 6;
        p = p * r + 0.5f;
        p = p * r + 1.0f;
        p = p * r + 1.0f;
        union {
                int32_t bits;
                float value;
        } power = {.bits = ((int32_t)n + 127) << 23};
        return p * power.value;
}

static inline float sigmoid(float x)
{
        return 1.0f / (1.0f + exponential(-x));
}

/* ln x for x >= 1, from ln x = n ln 2 + 2 artanh((m - 1) / (m + 1)) with m in [1, 2). */
static inline double logarithm(double x)
{
        int n = 0;
        for (; x >= 2; n++)
                x *= 0.5;
        double t = (x - 1) / (x + 1), square = t * t, sum = 0;
        for (int k = 27; k > 0; k -= 2)
                sum = sum * square + 1.0 / k;
        return n * 0.69314718055994530942 + 2 * t * sum;
}

#endif
