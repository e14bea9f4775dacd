/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * baseline.h - what `stats reset` takes away.
 *
 * Counters belong to their workers and to the store and are never set back. A reset
 * remembers what they were, and every reader here subtracts that. Gauges (items, bytes,
 * memory, open connections) pass through as they are.
 */
#ifndef LARDER_ADMIN_BASELINE_H
#define LARDER_ADMIN_BASELINE_H

#include <pthread.h>

#include "admin/admin.h"

struct figures {
    struct counts counts;
    struct store_totals totals;
    struct conn_figures conns;
};

struct baseline {
    pthread_mutex_t lock; /* guards the rest; taken around reading too, so that no
                           * reader sees counters older than the baseline */
    struct figures figures;
    struct store_class_totals classes[SLAB_CLASSES_MAX];
    struct latency_counts latency;
};

void baseline_init(struct baseline *baseline);
void baseline_fini(struct baseline *baseline);

/* From now on everything counts from zero. */
void baseline_reset(struct baseline *baseline, const struct admin_parts *parts);

/* The server's figures since the last reset. */
void baseline_figures(struct baseline *baseline, const struct admin_parts *parts,
    struct figures *figures_out);

/* The same for one slab class. */
void baseline_class(struct baseline *baseline, const struct admin_parts *parts,
    unsigned id, struct store_class_totals *totals_out, struct class_counts *counts_out);

/* The histograms since the last reset; zeroes if nothing is measured. */
void baseline_latency(struct baseline *baseline, const struct admin_parts *parts,
    struct latency_counts *counts_out);

#endif
