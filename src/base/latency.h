/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * latency.h - how long commands took, as histograms that one worker each writes.
 *
 *   nanoseconds   0 1 2 ... 7 | 8 9 ... 15 | 16 18 ... 30 | 32 36 ... 60 | ...
 *   buckets       one each    | one each   | of 2         | of 4         | ...
 *
 * Log-linear: each doubling is cut into 8 buckets, so that a bucket is at most an eighth
 * wider than what it begins with, from nanoseconds to two minutes, in 280 numbers. (The
 * idea is HdrHistogram's; Debian has no package of it.)
 *
 * The owner adds without a lock, any thread reads. A reset does not touch the histograms:
 * readers subtract what they were (latency_subtract()).
 */
#ifndef LARDER_BASE_LATENCY_H
#define LARDER_BASE_LATENCY_H

#include <stdint.h>

#include "base/counters.h"

/* Classes of commands, alike in all protocols: `mg` is a get, `ms` a set. */
#define LATENCY_CLASSES(X)                                                                \
    X(GET, "get")       /* get, gets, gat, gats, mg */                                    \
    X(SET, "set")       /* set, add, replace, append, prepend, cas, ms */                 \
    X(DELETE, "delete") /* delete, md */                                                  \
    X(ARITH, "arith")   /* incr, decr, ma */                                              \
    X(TOUCH, "touch")                                                                     \
    X(OTHER, "other")   /* mn, me, version, stats, refusals ... */

enum latency_class {
#define X(id, name) LATENCY_##id,
    LATENCY_CLASSES(X)
#undef X
    LATENCY_CLASS_COUNT
};

#define LATENCY_SUB_BITS 3
#define LATENCY_BIT_MAX  36 /* the last doubling begins at 2^36 ns, 69 seconds */
#define LATENCY_BUCKETS  ((LATENCY_BIT_MAX - LATENCY_SUB_BITS + 2) << LATENCY_SUB_BITS)

struct latency {
    struct {
        counter buckets[LATENCY_BUCKETS];
        counter sum_ns;
    } classes[LATENCY_CLASS_COUNT];
};

/* Plain copies, for readers. */
struct latency_count {
    uint64_t buckets[LATENCY_BUCKETS];
    uint64_t sum_ns;
};

struct latency_counts {
    struct latency_count classes[LATENCY_CLASS_COUNT];
};

/* "get", "set" ... */
const char *latency_name(enum latency_class id);

/* Owner only: `n` commands took `ns` each. Longer ones than the last bucket holds count in
 * it. */
void latency_add(struct latency *latency, enum latency_class id, uint64_t ns, uint64_t n);

/* Any thread: adds a worker's histograms to a sum. */
void latency_sum(const struct latency *latency, struct latency_counts *sum);
/* Takes an earlier sum away. */
void latency_subtract(struct latency_counts *counts, const struct latency_counts *before);

/* The number of commands in a histogram. */
uint64_t latency_total(const struct latency_count *count);
/* The least nanoseconds that are over what bucket `i` holds; for the last one, of what it
 * is meant to hold. */
uint64_t latency_bound(unsigned i);
/* Nanoseconds that the fraction `q` of all commands did not exceed (0 < q <= 1): the bound
 * of the bucket in which that falls, so at most an eighth too much. 0 if there are none. */
uint64_t latency_quantile(const struct latency_count *count, double q);

#endif
