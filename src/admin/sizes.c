/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sizes.c - `stats sizes`: how many items are how large.
 *
 *   directory   [ . | * | . | . | * ]       a pointer for each 8 KiB of item size
 *   pages             [ 3 | 0 | 17 | ... ]  256 counts, one for each 32 bytes of size
 *
 * Counted by a walk over the store when somebody asks, so that storing costs nothing for
 * it. A page of counts exists only if some item has such a size, and such items fill the
 * store's memory themselves: with 1 MiB items at most there are at most 256 KiB of
 * counts. HISTOGRAMS_MAX bounds how many clients may have one.
 */
#include <stdlib.h>

#include "admin/stats.h"
#include "base/num.h"

#define BUCKET 32u
#define PAGE_BUCKETS 256u
/* Chunks looked at in one step; a fill makes some thirty of them. */
#define STEP_CHUNKS 32u
/* Lines written in one step. */
#define STEP_LINES 512u

struct histogram {
    struct store *store;
    uint64_t walk; /* cursor of the walk */
    bool walking;
    bool out_of_memory;
    size_t npages;
    uint64_t *pages[];
};

static void
count(void *context, const struct store_entry *entry)
{
    struct histogram *histogram = context;
    uint64_t size = store_item_size(histogram->store, entry->key.len,
        entry->view.client_flags, entry->view.value_len);
    size_t bucket = (size_t)((size - 1) / BUCKET);
    uint64_t **page = &histogram->pages[bucket / PAGE_BUCKETS];

    if (bucket / PAGE_BUCKETS >= histogram->npages)
        return;
    if (*page == NULL)
        *page = calloc(PAGE_BUCKETS, sizeof **page);
    if (*page == NULL)
        histogram->out_of_memory = true;
    else
        (*page)[bucket % PAGE_BUCKETS]++;
}

/* Lines of the buckets from the report's cursor on; false at the last. */
static bool
put_buckets(struct report *report, struct stat_sink *sink)
{
    const struct histogram *histogram = report->state;
    uint64_t end = (uint64_t)histogram->npages * PAGE_BUCKETS;
    unsigned lines = 0;

    while (report->cursor < end && lines < STEP_LINES) {
        const uint64_t *page = histogram->pages[report->cursor / PAGE_BUCKETS];
        if (page == NULL) {
            report->cursor += PAGE_BUCKETS;
            continue;
        }
        uint64_t n = page[report->cursor % PAGE_BUCKETS];
        report->cursor++;
        if (n == 0)
            continue;
        char name[NUM_U64_MAX + 1];
        *num_put(name, report->cursor * BUCKET) = '\0';
        stat_u64(sink, name, n);
        lines++;
    }
    return report->cursor < end;
}

static bool
sizes_step(struct report *report, struct stat_sink *sink)
{
    struct histogram *histogram = report->state;

    if (histogram->walking) {
        histogram->walking = store_walk(histogram->store, report->thread, ~(uint64_t)1,
            &histogram->walk, STEP_CHUNKS, clock_seconds(report->admin->parts.clock),
            count, histogram);
        return true;
    }
    if (histogram->out_of_memory) {
        stat_text(sink, "sizes_error", "out_of_memory");
        return false;
    }
    return put_buckets(report, sink);
}

static void
sizes_fini(struct report *report)
{
    struct histogram *histogram = report->state;

    for (size_t i = 0; i < histogram->npages; i++)
        free(histogram->pages[i]);
    free(histogram);
    atomic_fetch_sub(&report->admin->histograms, 1);
}

static bool
disabled_step(struct report *report, struct stat_sink *sink)
{
    (void)report;
    stat_text(sink, "sizes_status", "disabled");
    return false;
}

void
sizes_run(struct ask *ask)
{
    const struct options *options = ask->admin->parts.options;
    size_t npages = (size_t)(options->item_size_max / (BUCKET * PAGE_BUCKETS)) + 1;
    struct histogram *histogram = NULL;

    if (!options->track_sizes) {
        report_start(ask, disabled_step);
        return;
    }
    if (atomic_fetch_add(&ask->admin->histograms, 1) < HISTOGRAMS_MAX)
        histogram = calloc(1, sizeof *histogram + npages * sizeof histogram->pages[0]);
    if (histogram == NULL) {
        atomic_fetch_sub(&ask->admin->histograms, 1);
        ask_no_memory(ask);
        return;
    }
    histogram->store = ask->admin->parts.store;
    histogram->walking = true;
    histogram->npages = npages;
    report_start_with(ask, sizes_step, histogram, sizes_fini);
}
