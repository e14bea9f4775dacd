/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tunables.h - options that commands change while the server runs.
 *
 * struct options is read by every thread and never written after start; what can change
 * lives here, as atomics without an order: each is a value of its own. Larder has no
 * LRU segments and no crawler with a pace, so the lru_* values and the crawler's pace
 * are kept for `stats settings` only (doc/statistics.md says so).
 */
#ifndef LARDER_ADMIN_TUNABLES_H
#define LARDER_ADMIN_TUNABLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"

struct tunables {
    _Atomic unsigned verbosity;
    _Atomic unsigned automove;
    _Atomic double automove_ratio;
    _Atomic unsigned automove_window;
    _Atomic double automove_freeratio;
    _Atomic unsigned crawler_sleep; /* microseconds */
    _Atomic uint32_t crawler_tocrawl;
    _Atomic bool lru_segmented;
    _Atomic unsigned hot_lru_pct, warm_lru_pct;
    _Atomic double hot_max_factor, warm_max_factor;
    _Atomic bool temp_lru;
    _Atomic uint32_t temporary_ttl; /* seconds */
    _Atomic uint32_t idle_timeout;  /* seconds; SIGHUP changes it */
};

#define TUNABLE_GET(tunables, name) \
    atomic_load_explicit(&(tunables)->name, memory_order_relaxed)
#define TUNABLE_SET(tunables, name, value) \
    atomic_store_explicit(&(tunables)->name, (value), memory_order_relaxed)

/* What the command line said. */
void tunables_init(struct tunables *tunables, const struct options *options);

#endif
