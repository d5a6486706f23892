/* SPDX-License-Identifier: GPL-2.0-or-later */
/* measure: a figure that was taken several times, and its quantiles.  Every program of bench/ calls in. */
#include "measure.h"

#include <stdlib.h>
#include <string.h>

void series_add(struct series *s, double value)
{
        if (s->n == s->room) {
                s->room = s->room ? 2 * s->room : 16;
                s->values = realloc(s->values, s->room * sizeof *s->values);
                if (!s->values) {
                        perror(s->name);
                        exit(1);
                }
        }
        s->values[s->n++] = value;
}

void series_fini(struct series *s)
{
        free(s->values);
        s->values = NULL;
        s->n = s->room = 0;
}

static int ascending(const void *a, const void *b)
{
        const double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

double series_quantile(const struct series *s, double q)
{
        double *sorted, at, value;
        size_t below;

        if (s->n == 0)
                return 0;
        sorted = malloc(s->n * sizeof *sorted);
        if (!sorted) {
                perror(s->name);
                exit(1);
        }
        memcpy(sorted, s->values, s->n * sizeof *sorted);
        qsort(sorted, s->n, sizeof *sorted, ascending);
        at = q * (double)(s->n - 1);
        below = (size_t)at;
        value = sorted[below];
        if (below + 1 < s->n)
                value += (at - (double)below) * (sorted[below + 1] - value);
        free(sorted);
        return value;
}

double series_spread(const struct series *s)
{
        const double median = series_median(s);

        return median > 0 ? (series_quantile(s, 0.75) - series_quantile(s, 0.25)) / median : 0;
}

void series_ratio(struct series *out, const struct series *a, const struct series *b)
{
        size_t i;

        for (i = 0; i < a->n && i < b->n; i++)
                series_add(out, b->values[i] > 0 ? a->values[i] / b->values[i] : 0);
}

void series_print(const struct series *s, FILE *out)
{
        fprintf(out, "%-36s n %-4zu min %-10.4g median %-10.4g max %-10.4g %s\n", s->name, s->n,
                series_quantile(s, 0), series_median(s), series_quantile(s, 1), s->unit);
}

void series_json(const struct series *s, FILE *out)
{
        fprintf(out, "{\"name\": \"%s\", \"unit\": \"%s\", \"n\": %zu, \"min\": %.9g, ", s->name, s->unit, s->n,
                series_quantile(s, 0));
        fprintf(out, "\"median\": %.9g, \"p99\": %.9g, \"max\": %.9g}", series_median(s), series_quantile(s, 0.99),
                series_quantile(s, 1));
}
