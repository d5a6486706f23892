/* SPDX-License-Identifier: BSD-3-Clause */
/* nearest: which of the names that exist somebody may have meant by one that does not. */
#ifndef STINT_NEAREST_H
#define STINT_NEAREST_H

#include <stddef.h>

/*
 * Looks at names one after the other: nearest_begin, nearest_see for each, then `best`, NULL when none is near enough.
 */
struct nearest {
        const char *wanted;
        const char *best; /* points to a name seen */
        size_t distance;
};

void nearest_begin(struct nearest *n, const char *wanted);
void nearest_see(struct nearest *n, const char *name);

#endif
