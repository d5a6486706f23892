/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nearest: the distance between a mistyped name and those that exist.  Verbs and options of `stint` and the settings of
 * stintd are looked for here.
 */
#include <string.h>
#include "nearest.h"

#define LONGEST 48 /* bytes of a name that are looked at */

static size_t least(size_t a, size_t b, size_t c)
{
        size_t m = a < b ? a : b;

        return m < c ? m : c;
}

/* How many characters must be put in, taken out or changed, two neighbours that changed places counted as one. */
static size_t distance(const char *a, const char *b)
{
        size_t before[LONGEST + 1], last[LONGEST + 1], row[LONGEST + 1];
        size_t n = strnlen(a, LONGEST), m = strnlen(b, LONGEST);

        for (size_t j = 0; j <= m; j++)
                last[j] = before[j] = j;
        for (size_t i = 1; i <= n; i++) {
                row[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                            before[j - 2] + 1 < row[j])
                                row[j] = before[j - 2] + 1;
                }
                memcpy(before, last, sizeof before);
                memcpy(last, row, sizeof last);
        }
        return last[m];
}

/* A name that begins with what was typed is meant before any other; else a third of the letters may differ. */
void nearest_begin(struct nearest *n, const char *wanted)
{
        size_t length = strlen(wanted);

        n->wanted = wanted;
        n->best = NULL;
        n->distance = length / 3 + 2;
}

void nearest_see(struct nearest *n, const char *name)
{
        size_t length = strlen(n->wanted);
        size_t d = length > 1 && !strncmp(name, n->wanted, length) ? 0 : distance(n->wanted, name);

        if (d < n->distance) {
                n->distance = d;
                n->best = name;
        }
}
