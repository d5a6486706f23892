/* SPDX-License-Identifier: BSD-3-Clause */
/* histogram: reading the counters that histogram.h fills; the agent's watch and the program's session call in. */
#include "histogram.h"

/* The writer is another process and does not wait for us: a counter is loaded once, whole. */
static uint32_t load(const struct histogram *h, unsigned bucket)
{
        return __atomic_load_n(&h->counts[bucket], __ATOMIC_RELAXED);
}

/* The longest duration that falls in this bucket: the inverse of histogram_bucket. */
static int64_t upper_edge(unsigned bucket)
{
        unsigned shift;

        if (bucket < 4)
                return bucket;
        shift = bucket / 4 - 1;
        return (int64_t)(((UINT64_C(5) + bucket % 4) << shift) - 1);
}

uint64_t histogram_count(const struct histogram *h)
{
        uint64_t count = 0;

        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
                count += load(h, i);
        return count;
}

int64_t histogram_quantile(const struct histogram *h, double q)
{
        uint64_t count = histogram_count(h), seen = 0, wanted;
        double exact = q * (double)count - 1e-9; /* 0.07 * 100 is a little above 7 and means 7 */
        unsigned last = 0;

        if (count == 0)
                return 0;
        wanted = exact > 0 ? (uint64_t)exact : 0;
        if ((double)wanted < exact || wanted == 0)
                wanted++;
        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
                uint32_t here = load(h, i);

                if (here == 0)
                        continue;
                last = i;
                seen += here;
                if (seen >= wanted)
                        break;
        }
        return upper_edge(last);
}

void histogram_since(struct histogram *out, const struct histogram *now, const struct histogram *then)
{
        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
                out->counts[i] = load(now, i) - load(then, i);
}
