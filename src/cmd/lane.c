/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lane.c - workers come and go; what they counted stays.
 */
#include "cmd/lane.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "cmd/notice.h"

/* Two workers' counters must not share a cache line. */
#define LANE_ALIGN 64u
/* What operators ask costs as much as dozens of gets, a part of it at a time: so many parts
 * are made in a turn, for all clients together, however many ask for nothing else. With two, and
 * parts of three times the size, 20 clients that asked for `stats conns` of 3,000 made others wait
 * 1.2 ms, not 0.2. */
#define REPORTS_PER_TURN 1u

static const _Atomic(bool) NO_DETAIL;
static const _Atomic(unsigned) NO_STREAM;

bool
cmd_init(struct cmd_context *context)
{
    assert(strlen(context->version) <= CMD_VERSION_MAX);
    context->lanes = NULL;
    context->retired = calloc(1, sizeof *context->retired);
    context->latency_retired = calloc(1, sizeof *context->latency_retired);
    if (context->retired == NULL || context->latency_retired == NULL) {
        free(context->retired);
        free(context->latency_retired);
        return false;
    }
    pthread_mutex_init(&context->lanes_lock, NULL);
    return true;
}

void
cmd_resume(struct cmd_context *context, const struct counts *counts,
    const struct latency_counts *latency)
{
    assert(context->lanes == NULL);
    if (counts != NULL)
        *context->retired = *counts;
    if (latency != NULL)
        *context->latency_retired = *latency;
}

void
cmd_fini(struct cmd_context *context)
{
    assert(context->lanes == NULL);
    pthread_mutex_destroy(&context->lanes_lock);
    free(context->retired);
    free(context->latency_retired);
    context->retired = NULL;
    context->latency_retired = NULL;
}

void
cmd_counts(struct cmd_context *context, struct counts *counts)
{
    pthread_mutex_lock(&context->lanes_lock);
    *counts = *context->retired;
    for (struct lane *lane = context->lanes; lane != NULL; lane = lane->next)
        counters_sum(&lane->counters, counts);
    pthread_mutex_unlock(&context->lanes_lock);
}

void
cmd_latency(struct cmd_context *context, struct latency_counts *counts)
{
    pthread_mutex_lock(&context->lanes_lock);
    *counts = *context->latency_retired;
    for (struct lane *lane = context->lanes; lane != NULL; lane = lane->next)
        if (lane->latency != NULL)
            latency_sum(lane->latency, counts);
    pthread_mutex_unlock(&context->lanes_lock);
}

bool
cmd_hotkeys(struct cmd_context *context, struct hotkeys_top *top_out)
{
    uint32_t now = clock_seconds(context->clock);
    struct hotkeys_merge *merge;
    unsigned n = 0;

    pthread_mutex_lock(&context->lanes_lock);
    for (struct lane *lane = context->lanes; lane != NULL; lane = lane->next)
        n += lane->hotkeys != NULL;
    merge = hotkeys_merge_begin(n);
    for (struct lane *lane = context->lanes; lane != NULL; lane = lane->next)
        if (merge != NULL && lane->hotkeys != NULL)
            hotkeys_merge_add(merge, lane->hotkeys, now);
    pthread_mutex_unlock(&context->lanes_lock);
    if (merge != NULL)
        hotkeys_merge_end(merge, top_out);
    return merge != NULL;
}

void
cmd_hotkeys_reset(struct cmd_context *context)
{
    uint32_t now = clock_seconds(context->clock);

    pthread_mutex_lock(&context->lanes_lock);
    for (struct lane *lane = context->lanes; lane != NULL; lane = lane->next)
        if (lane->hotkeys != NULL)
            hotkeys_reset(lane->hotkeys, now);
    pthread_mutex_unlock(&context->lanes_lock);
}

/* What is wanted of latency, hot keys and the journal. False: out of memory. */
static bool
open_instruments(struct lane *lane, unsigned index)
{
    const struct cmd_context *context = lane->context;

    sample_init(&lane->hot, context->hotkeys_sample, index + 1);
    if (context->hotkeys_sample != 0)
        lane->hotkeys = hotkeys_create(context->hotkeys_sample, lane->now);
    if (context->latency)
        lane->latency = calloc(1, sizeof *lane->latency);
    lane->wanted = &NO_STREAM;
    if (context->journal != NULL) {
        lane->journal = journal_open(context->journal);
        lane->wanted = journal_wanted(context->journal);
    }
    return (context->hotkeys_sample == 0 || lane->hotkeys != NULL) &&
           (!context->latency || lane->latency != NULL) &&
           (context->journal == NULL || lane->journal != NULL);
}

static void
free_lane(struct lane *lane)
{
    if (lane->hotkeys != NULL)
        hotkeys_destroy(lane->hotkeys);
    if (lane->journal != NULL)
        journal_close(lane->journal);
    free(lane->latency);
    free(lane);
}

void *
lane_open(void *p, unsigned index)
{
    struct cmd_context *context = p;
    size_t size = (sizeof(struct lane) + LANE_ALIGN - 1) / LANE_ALIGN * LANE_ALIGN;
    struct lane *lane = aligned_alloc(LANE_ALIGN, size);

    if (lane == NULL)
        return NULL;
    memset(lane, 0, size);
    lane->store = context->store;
    lane->context = context;
    lane->detail_on = &NO_DETAIL;
    if (context->hook != NULL && context->hook->detail_on != NULL)
        lane->detail_on = context->hook->detail_on;
    lane->now = clock_seconds(context->clock);
    lane->reports = UINT_MAX; /* without end where nobody tells of turns */
    ahead_init(&lane->ahead, context->requests_per_event);
    if (!open_instruments(lane, index) ||
        (lane->thread = store_thread_open(lane->store)) == NULL) {
        free_lane(lane);
        return NULL;
    }
    if (lane->journal != NULL)
        cmd_observe(lane->thread, context->journal, lane->journal);
    pthread_mutex_lock(&context->lanes_lock);
    lane->next = context->lanes;
    context->lanes = lane;
    pthread_mutex_unlock(&context->lanes_lock);
    return lane;
}

void
lane_close(void *p)
{
    struct lane *lane = p;
    struct cmd_context *context = lane->context;
    struct lane **link = &context->lanes;

    pthread_mutex_lock(&context->lanes_lock);
    while (*link != lane)
        link = &(*link)->next;
    *link = lane->next;
    counters_sum(&lane->counters, context->retired);
    if (lane->latency != NULL)
        latency_sum(lane->latency, context->latency_retired);
    pthread_mutex_unlock(&context->lanes_lock);
    store_thread_close(lane->thread);
    free_lane(lane);
}

void
lane_tick(void *p, uint32_t now)
{
    struct lane *lane = p;

    lane->now = now;
    lane->uploads_crowded = store_uploads_crowded(lane->store);
    lane->pins_crowded = store_pins_crowded(lane->store);
    if (lane->hotkeys != NULL)
        hotkeys_tick(lane->hotkeys, now);
}

void
lane_turn(void *p)
{
    struct lane *lane = p;

    lane->reports = REPORTS_PER_TURN;
}

void
lane_measure(void *p, bool on)
{
    struct lane *lane = p;

    lane->measuring = on && lane->latency != NULL;
}

void
lane_answered(void *p, uint64_t ns)
{
    struct lane *lane = p;

    if (!lane->measuring)
        return;
    for (unsigned i = 0; i < LATENCY_CLASS_COUNT; i++) {
        if (lane->ran[i] == 0)
            continue;
        latency_add(lane->latency, (enum latency_class)i, ns, lane->ran[i]);
        lane->ran[i] = 0;
    }
}

void
lane_release(void *p, void *pin)
{
    struct lane *lane = p;

    store_unpin(lane->store, lane->thread, pin);
}
