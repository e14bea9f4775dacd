/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * classes.c - `stats items` and `stats slabs`: one step for each slab class.
 *
 * Larder has one queue of items in a class where memcached has four. It is reported as
 * the cold one, so that dashboards which add the parts up get the whole.
 */
#include "admin/stats.h"

static void
put_items(struct report *report, struct stat_sink *sink,
    const struct store_class_totals *class, const struct class_counts *counts)
{
    bool segments = report->admin->parts.options->lru_maintainer;

#define STAT(when, kind, name, value) \
    if (when) \
        stat_##kind(sink, #name, value);
#include "admin/items.def"
#undef STAT
}

bool
classes_items_step(struct report *report, struct stat_sink *sink)
{
    const struct admin_parts *parts = &report->admin->parts;
    struct store_class_totals class;
    struct class_counts counts;
    unsigned id = (unsigned)report->cursor + 1;

    if (id > store_classes(parts->store))
        return false;
    baseline_class(&report->admin->baseline, parts, id, &class, &counts);
    if (class.items > 0) {
        stat_prefix(sink, "items:", id);
        put_items(report, sink, &class, &counts);
    }
    report->cursor = id;
    return true;
}

static void
put_slabs(struct stat_sink *sink, const struct store_class_totals *class,
    const struct class_counts *counts)
{
    stat_u64(sink, "chunk_size", class->chunk_size);
    stat_u64(sink, "chunks_per_page", class->chunks_per_page);
    stat_u64(sink, "total_pages", class->pages);
    stat_u64(sink, "total_chunks", class->chunks);
    stat_u64(sink, "used_chunks", class->used_chunks);
    stat_u64(sink, "free_chunks", class->free_chunks);
    stat_u64(sink, "free_chunks_end", 0);
#define COUNTER(name) stat_u64(sink, #name, counts->name);
#include "base/class_counters.def"
#undef COUNTER
}

/* The two lines of the whole. The classes are counted anew: the cursor has no room for
 * that, and a page may have changed hands meanwhile. */
static void
put_slab_totals(struct report *report, struct stat_sink *sink)
{
    const struct admin_parts *parts = &report->admin->parts;
    uint32_t now = clock_seconds(parts->clock);
    struct store_totals totals;
    uint64_t active = 0;

    for (unsigned id = 1; id <= store_classes(parts->store); id++) {
        struct store_class_totals class;
        store_class_totals(parts->store, id, now, &class);
        active += class.pages > 0 ? 1 : 0;
    }
    store_totals(parts->store, &totals);
    stat_prefix_none(sink);
    stat_u64(sink, "active_slabs", active);
    stat_u64(sink, "total_malloced", totals.memory_bytes);
}

bool
classes_slabs_step(struct report *report, struct stat_sink *sink)
{
    const struct admin_parts *parts = &report->admin->parts;
    struct store_class_totals class;
    struct class_counts counts;
    unsigned id = (unsigned)report->cursor + 1;

    if (id > store_classes(parts->store)) {
        put_slab_totals(report, sink);
        return false;
    }
    baseline_class(&report->admin->baseline, parts, id, &class, &counts);
    if (class.pages > 0) {
        stat_prefix(sink, "", id);
        put_slabs(sink, &class, &counts);
    }
    report->cursor = id;
    return true;
}
