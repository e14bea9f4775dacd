/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * traffic.c - `stats latency` and `stats hotkeys`: how long commands take, and for what.
 *
 * Both reports are made from figures merged over the workers when they are asked for, so
 * they hold some memory until they are sent; as many may be under way as of `stats sizes`.
 */
#include <stdlib.h>
#include <string.h>

#include "admin/escape.h"
#include "admin/stats.h"
#include "base/assert.h"

#define NS_PER_US 1000.0

static void
forget(struct report *report)
{
    atomic_fetch_sub(&report->admin->histograms, 1);
    free(report->state);
}

/* Memory for a report, `size` zeroed bytes. NULL: there is none, or too many are at it. */
static void *
remember(struct admin *admin, size_t size)
{
    void *state = NULL;

    if (atomic_fetch_add(&admin->histograms, 1) < HISTOGRAMS_MAX)
        state = calloc(1, size);
    if (state == NULL)
        atomic_fetch_sub(&admin->histograms, 1);
    return state;
}

/* ---- stats latency ------------------------------------------------------------------ */

static void
show_class(struct stat_sink *sink, const struct latency_count *count)
{
    uint64_t total = latency_total(count);

    stat_u64(sink, "samples", total);
    if (total == 0)
        return;
    stat_ratio(sink, "mean_us", (double)count->sum_ns / (double)total / NS_PER_US);
    stat_ratio(sink, "p50_us", (double)latency_quantile(count, 0.5) / NS_PER_US);
    stat_ratio(sink, "p90_us", (double)latency_quantile(count, 0.9) / NS_PER_US);
    stat_ratio(sink, "p99_us", (double)latency_quantile(count, 0.99) / NS_PER_US);
    stat_ratio(sink, "p999_us", (double)latency_quantile(count, 0.999) / NS_PER_US);
    stat_ratio(sink, "max_us", (double)latency_quantile(count, 1.0) / NS_PER_US);
}

/* One class a step. */
static bool
latency_step(struct report *report, struct stat_sink *sink)
{
    const struct latency_counts *counts = report->state;
    enum latency_class id = (enum latency_class)report->cursor;

    if (report->cursor == 0)
        stat_u64(sink, "latency_sample", report->admin->parts.options->latency_sample);
    stat_prefix_text(sink, latency_name(id));
    show_class(sink, &counts->classes[id]);
    stat_prefix_none(sink);
    return ++report->cursor < LATENCY_CLASS_COUNT;
}

void
latency_run(struct ask *ask)
{
    struct latency_counts *counts = remember(ask->admin, sizeof *counts);

    if (counts == NULL) {
        ask_no_memory(ask);
        return;
    }
    admin_latency(ask->admin, counts);
    report_start_with(ask, latency_step, counts, forget);
}

/* ---- stats hotkeys ------------------------------------------------------------------ */

static const char *const RANKINGS[] = { "requests:", "bytes:" };

static void
show_key(struct stat_sink *sink, unsigned by, unsigned rank, const struct hot_key *key)
{
    char text[3 * HOTKEYS_KEY_MAX + 1];

    *escape_percent(text, slice_of(key->key, key->len)) = '\0';
    stat_prefix(sink, RANKINGS[by], rank);
    stat_text(sink, "key", text);
    stat_u64(sink, "count", key->count);
    stat_u64(sink, "error", key->error);
    stat_prefix_none(sink);
}

/* One key a step: first all of one ranking, then all of the other. */
static bool
hotkeys_step(struct report *report, struct stat_sink *sink)
{
    const struct hotkeys_top *top = report->state;
    unsigned at = (unsigned)report->cursor++;

    if (at == 0) {
        stat_u64(sink, "hotkeys_sample", report->admin->parts.options->hotkeys_sample);
        stat_u64(sink, "seconds", top->seconds);
        stat_u64(sink, "samples", top->samples);
    } else if (at <= top->n[HOTKEYS_BY_REQUESTS]) {
        show_key(sink, HOTKEYS_BY_REQUESTS, at, &top->keys[HOTKEYS_BY_REQUESTS][at - 1]);
    } else {
        at -= top->n[HOTKEYS_BY_REQUESTS];
        show_key(sink, HOTKEYS_BY_BYTES, at, &top->keys[HOTKEYS_BY_BYTES][at - 1]);
    }
    return report->cursor <= top->n[HOTKEYS_BY_REQUESTS] + top->n[HOTKEYS_BY_BYTES];
}

void
hotkeys_run(struct ask *ask)
{
    struct hotkeys_top *top;

    if (!ask->admin->parts.options->dump_allowed) { /* it shows keys */
        ask_reply(ask, "CLIENT_ERROR stats hotkeys not allowed");
        return;
    }
    top = remember(ask->admin, sizeof *top);
    if (top == NULL) {
        ask_no_memory(ask);
    } else if (!admin_hotkeys(ask->admin, top)) {
        atomic_fetch_sub(&ask->admin->histograms, 1);
        free(top);
        ask_no_memory(ask);
    } else {
        report_start_with(ask, hotkeys_step, top, forget);
    }
}
