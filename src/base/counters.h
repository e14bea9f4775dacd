/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counters.h - counts that belong to one worker each.
 *
 * Only the owning worker adds; any thread may read. Nobody locks and nobody shares a
 * cache line in the hot path. A reset does not touch the counters (that would race with
 * their owner): the reader keeps what they were and subtracts it.
 */
#ifndef LARDER_BASE_COUNTERS_H
#define LARDER_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#define COUNTER_CLASSES 64

typedef _Atomic uint64_t counter;

struct class_counters {
#define COUNTER(name) counter name;
#include "base/class_counters.def"
#undef COUNTER
};

struct counters {
#define COUNTER(name) counter name;
#include "base/counters.def"
#undef COUNTER
    struct class_counters classes[COUNTER_CLASSES];
};

/* Plain copies, for readers: the same fields. */
struct class_counts {
#define COUNTER(name) uint64_t name;
#include "base/class_counters.def"
#undef COUNTER
};

struct counts {
#define COUNTER(name) uint64_t name;
#include "base/counters.def"
#undef COUNTER
    struct class_counts classes[COUNTER_CLASSES];
};

/* Owner only. */
static inline void
counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(
        c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t
counter_get(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

/* Adds a worker's counters to a sum. */
void counters_sum(const struct counters *counters, struct counts *sum);
/* Adds a sum to another. */
void counts_add(struct counts *counts, const struct counts *more);
/* Takes an earlier sum away: what has been counted since. */
void counts_subtract(struct counts *counts, const struct counts *before);

#endif
