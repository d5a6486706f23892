/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * histogram: how long something took, many times over, in a fixed array of counters: four buckets per power of two, so
 * a quantile is at most 25 % too high and never too low.  It lives in shared memory (control.h) with one writer.
 */
#ifndef STINT_HISTOGRAM_H
#define STINT_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 168 /* up to 2^43 ns, 146 minutes; longer ones count in the last, as that long */

struct histogram {
        uint32_t counts[HISTOGRAM_BUCKETS];
};

/* Which bucket a duration falls in; negative ones in bucket 0. */
static inline unsigned histogram_bucket(int64_t ns)
{
        unsigned top, bucket;

        if (ns < 4)
                return ns < 0 ? 0 : (unsigned)ns;
        top = 63u - (unsigned)__builtin_clzll((unsigned long long)ns);
        bucket = (top - 1) * 4 + ((unsigned)((uint64_t)ns >> (top - 2)) & 3u);
        return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *h, int64_t ns)
{
        h->counts[histogram_bucket(ns)]++;
}

/* How many durations were added. */
uint64_t histogram_count(const struct histogram *h);

/* The upper edge, in ns, of the bucket that holds the q-quantile (0 < q <= 1); 0 when empty. */
int64_t histogram_quantile(const struct histogram *h, double q);

/* *out = now - then, bucket by bucket: what was added since `then` was copied.  out may be now. */
void histogram_since(struct histogram *out, const struct histogram *now, const struct histogram *then);

#endif
