/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/baseline.h"

#include <string.h>

#include "base/assert.h"

/* The fields that count and are set back; the others of these structs are gauges. */
#define TOTALS_COUNTERS(X) \
    X(items_total) \
    X(evictions) \
    X(evicted_unfetched) \
    X(evicted_active) \
    X(expired_unfetched) \
    X(reclaimed) \
    X(sweep_checked) \
    X(sweep_reclaimed) \
    X(sweep_runs) \
    X(pages_moved) \
    X(move_rescues) \
    X(direct_reclaims) \
    X(no_memory) \
    X(ghost_hits)

#define CLASS_COUNTERS(X) \
    X(evicted) \
    X(evicted_nonzero) \
    X(evicted_unfetched) \
    X(evicted_active) \
    X(expired_unfetched) \
    X(reclaimed) \
    X(out_of_memory) \
    X(sweep_checked) \
    X(sweep_reclaimed) \
    X(ghost_hits) \
    X(wanted)

#define CONN_COUNTERS(X) \
    X(total) \
    X(rejected) \
    X(listen_disabled) \
    X(listen_disabled_us)

void
baseline_init(struct baseline *baseline)
{
    int rc;

    memset(baseline, 0, sizeof *baseline);
    rc = pthread_mutex_init(&baseline->lock, NULL);
    assert(rc == 0);
}

void
baseline_fini(struct baseline *baseline)
{
    pthread_mutex_destroy(&baseline->lock);
}

/* Items are counted up by one thread and down by another; while they are summed, the
 * difference can look like a little less than nothing. */
static uint64_t
not_negative(uint64_t gauge)
{
    return gauge > INT64_MAX ? 0 : gauge;
}

static void
read_figures(const struct admin_parts *parts, struct figures *figures)
{
    memset(figures, 0, sizeof *figures);
    parts->counts(parts->context, &figures->counts);
    parts->connections(parts->context, &figures->conns);
    store_totals(parts->store, &figures->totals);
    figures->totals.items = not_negative(figures->totals.items);
    figures->totals.bytes = not_negative(figures->totals.bytes);
}

void
baseline_reset(struct baseline *baseline, const struct admin_parts *parts)
{
    uint32_t now = clock_seconds(parts->clock);

    pthread_mutex_lock(&baseline->lock);
    read_figures(parts, &baseline->figures);
    for (unsigned id = 1; id <= store_classes(parts->store); id++)
        store_class_totals(parts->store, id, now, &baseline->classes[id]);
    if (parts->latency != NULL)
        parts->latency(parts->context, &baseline->latency);
    pthread_mutex_unlock(&baseline->lock);
}

void
baseline_figures(struct baseline *baseline, const struct admin_parts *parts,
    struct figures *figures_out)
{
    const struct figures *before = &baseline->figures;

    pthread_mutex_lock(&baseline->lock);
    read_figures(parts, figures_out);
    counts_subtract(&figures_out->counts, &before->counts);
#define SUBTRACT(name) figures_out->totals.name -= before->totals.name;
    TOTALS_COUNTERS(SUBTRACT)
#undef SUBTRACT
#define SUBTRACT(name) figures_out->conns.name -= before->conns.name;
    CONN_COUNTERS(SUBTRACT)
#undef SUBTRACT
    pthread_mutex_unlock(&baseline->lock);
}

void
baseline_class(struct baseline *baseline, const struct admin_parts *parts,
    unsigned id, struct store_class_totals *totals_out, struct class_counts *counts_out)
{
    const struct store_class_totals *before = &baseline->classes[id];
    struct counts counts;

    assert(id > 0);
    assert(id < SLAB_CLASSES_MAX);
    memset(&counts, 0, sizeof counts);
    pthread_mutex_lock(&baseline->lock);
    store_class_totals(parts->store, id, clock_seconds(parts->clock), totals_out);
    totals_out->items = not_negative(totals_out->items);
    totals_out->mem_requested = not_negative(totals_out->mem_requested);
#define SUBTRACT(name) totals_out->name -= before->name;
    CLASS_COUNTERS(SUBTRACT)
#undef SUBTRACT
    /* The age of an eviction before the reset is not news. */
    if (totals_out->evicted == 0)
        totals_out->evicted_age = 0;
    parts->counts(parts->context, &counts);
    counts_subtract(&counts, &baseline->figures.counts);
    pthread_mutex_unlock(&baseline->lock);
    *counts_out = counts.classes[id];
}

void
baseline_latency(struct baseline *baseline, const struct admin_parts *parts,
    struct latency_counts *counts_out)
{
    memset(counts_out, 0, sizeof *counts_out);
    if (parts->latency == NULL)
        return;
    pthread_mutex_lock(&baseline->lock);
    parts->latency(parts->context, counts_out);
    latency_subtract(counts_out, &baseline->latency);
    pthread_mutex_unlock(&baseline->lock);
}
