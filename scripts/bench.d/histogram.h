/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * histogram.h - latencies in buckets that are never wider than 1/32 of their value.
 *
 *   value 0..31       one bucket each
 *   value 32..        32 buckets for every power of two
 */
#ifndef LOADGEN_HISTOGRAM_H
#define LOADGEN_HISTOGRAM_H

#include <math.h>
#include <stdint.h>

#define HISTOGRAM_STEPS   32u
#define HISTOGRAM_BUCKETS (60u * HISTOGRAM_STEPS)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t highest;
};

static inline unsigned
histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned power = 63u - (unsigned)__builtin_clzll(value);
    uint64_t step = (value >> (power - 5u)) - HISTOGRAM_STEPS;
    return (power - 4u) * HISTOGRAM_STEPS + (unsigned)step;
}

static inline void
histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[histogram_bucket(value)]++;
    if (value > histogram->highest)
        histogram->highest = value;
}

static inline void
histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->counts[i] += from->counts[i];
    if (from->highest > to->highest)
        to->highest = from->highest;
}

/* How many values lie in buckets above that of `value`. */
static inline uint64_t
histogram_over(const struct histogram *histogram, uint64_t value)
{
    uint64_t n = 0;

    for (unsigned i = histogram_bucket(value) + 1; i < HISTOGRAM_BUCKETS; i++)
        n += histogram->counts[i];
    return n;
}

/* The middle of the bucket below which the share `part` (0 .. 1) of all values lies. */
static inline double
histogram_at(const struct histogram *histogram, double part)
{
    uint64_t total = 0, seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += histogram->counts[i];
    uint64_t wanted = (uint64_t)ceil((double)total * part);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen < wanted || seen == 0)
            continue;
        if (i < HISTOGRAM_STEPS)
            return i;
        unsigned power = i / HISTOGRAM_STEPS + 4u;
        return ldexp(HISTOGRAM_STEPS + i % HISTOGRAM_STEPS + 0.5, (int)power - 5);
    }
    return 0;
}

#endif
