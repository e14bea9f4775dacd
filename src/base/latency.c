/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/latency.h"

#include "base/assert.h"

#define SUB_COUNT (1u << LATENCY_SUB_BITS)

const char *
latency_name(enum latency_class id)
{
    static const char *const names[] = {
#define X(id, name) name,
        LATENCY_CLASSES(X)
#undef X
    };

    assert((unsigned)id < LATENCY_CLASS_COUNT);
    return names[id];
}

static unsigned
bucket_of(uint64_t ns)
{
    unsigned bit;

    if (ns < SUB_COUNT)
        return (unsigned)ns;
    bit = 63u - (unsigned)__builtin_clzll(ns);
    if (bit > LATENCY_BIT_MAX)
        return LATENCY_BUCKETS - 1;
    return ((bit - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS) |
           (unsigned)((ns >> (bit - LATENCY_SUB_BITS)) & (SUB_COUNT - 1));
}

void
latency_add(struct latency *latency, enum latency_class id, uint64_t ns, uint64_t n)
{
    assert((unsigned)id < LATENCY_CLASS_COUNT);
    counter_add(&latency->classes[id].buckets[bucket_of(ns)], n);
    counter_add(&latency->classes[id].sum_ns, ns * n);
}

void
latency_sum(const struct latency *latency, struct latency_counts *sum)
{
    for (unsigned id = 0; id < LATENCY_CLASS_COUNT; id++) {
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
            sum->classes[id].buckets[i] +=
                counter_get(&latency->classes[id].buckets[i]);
        sum->classes[id].sum_ns += counter_get(&latency->classes[id].sum_ns);
    }
}

void
latency_subtract(struct latency_counts *counts, const struct latency_counts *before)
{
    for (unsigned id = 0; id < LATENCY_CLASS_COUNT; id++) {
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
            counts->classes[id].buckets[i] -= before->classes[id].buckets[i];
        counts->classes[id].sum_ns -= before->classes[id].sum_ns;
    }
}

uint64_t
latency_total(const struct latency_count *count)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        total += count->buckets[i];
    return total;
}

uint64_t
latency_bound(unsigned i)
{
    assert(i < LATENCY_BUCKETS);
    if (i < SUB_COUNT)
        return i + 1;
    return (uint64_t)(SUB_COUNT + i % SUB_COUNT + 1) << (i / SUB_COUNT - 1);
}

uint64_t
latency_quantile(const struct latency_count *count, double q)
{
    uint64_t total = latency_total(count), seen = 0;
    unsigned last = 0;

    assert(q > 0);
    assert(q <= 1);
    if (total == 0)
        return 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        if (count->buckets[i] == 0)
            continue;
        last = i;
        seen += count->buckets[i];
        if ((double)seen >= q * (double)total)
            break;
    }
    return latency_bound(last);
}
