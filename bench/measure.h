/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * measure: a figure that was taken several times, and what may be said of it: how often, the least, the median, the
 * most, and how far the middle half of it is spread.  Every program of bench/ measures with it; the clock is that of
 * lib/common/clock.h.
 */
#ifndef STINT_BENCH_MEASURE_H
#define STINT_BENCH_MEASURE_H

#include <stddef.h>
#include <stdio.h>

struct series {
        const char *name, *unit; /* not copied */
        double *values;          /* in the order in which they were taken */
        size_t n, room;
};

#define SERIES(name, unit) { (name), (unit), NULL, 0, 0 }

/* Ends the program where there is no memory: a benchmark without one of its figures is none. */
void series_add(struct series *s, double value);

void series_fini(struct series *s);

/* The q-quantile, 0 <= q <= 1, between two values by their distance to it; 0 of an empty series. */
double series_quantile(const struct series *s, double q);

static inline double series_median(const struct series *s)
{
        return series_quantile(s, 0.5);
}

/* What is a limit's noise: the distance of its quartiles over its median. */
double series_spread(const struct series *s);

/* For each round the value of `a` over that of `b`, which were taken side by side. */
void series_ratio(struct series *out, const struct series *a, const struct series *b);

/* "name  n 5  min 1.02  median 1.05  max 1.31 unit" */
void series_print(const struct series *s, FILE *out);

/* {"name": "...", "unit": "...", "n": 5, "min": ..., "median": ..., "p99": ..., "max": ...}, without a line's end */
void series_json(const struct series *s, FILE *out);

#endif
