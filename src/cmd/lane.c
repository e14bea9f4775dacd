/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lane.c - workers come and go; what they counted stays.
 */
#include "cmd/lane.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

/* Two workers' counters must not share a cache line. */
#define LANE_ALIGN 64u

static const _Atomic(bool) NO_DETAIL;

bool
cmd_init(struct cmd_context *context)
{
    assert(strlen(context->version) <= CMD_VERSION_MAX);
    context->lanes = NULL;
    context->retired = calloc(1, sizeof *context->retired);
    if (context->retired == NULL)
        return false;
    pthread_mutex_init(&context->lanes_lock, NULL);
    return true;
}

void
cmd_fini(struct cmd_context *context)
{
    assert(context->lanes == NULL);
    pthread_mutex_destroy(&context->lanes_lock);
    free(context->retired);
    context->retired = NULL;
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

void *
lane_open(void *p, unsigned index)
{
    struct cmd_context *context = p;
    size_t size = (sizeof(struct lane) + LANE_ALIGN - 1) / LANE_ALIGN * LANE_ALIGN;
    struct lane *lane = aligned_alloc(LANE_ALIGN, size);

    (void)index;
    if (lane == NULL)
        return NULL;
    memset(lane, 0, size);
    lane->store = context->store;
    lane->context = context;
    lane->detail_on = &NO_DETAIL;
    if (context->hook != NULL && context->hook->detail_on != NULL)
        lane->detail_on = context->hook->detail_on;
    lane->now = clock_seconds(context->clock);
    ahead_init(&lane->ahead, context->requests_per_event);
    lane->thread = store_thread_open(lane->store);
    if (lane->thread == NULL) {
        free(lane);
        return NULL;
    }
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
    pthread_mutex_unlock(&context->lanes_lock);
    store_thread_close(lane->thread);
    free(lane);
}

void
lane_tick(void *p, uint32_t now)
{
    struct lane *lane = p;

    lane->now = now;
    lane->uploads_crowded = store_uploads_crowded(lane->store);
    lane->pins_crowded = store_pins_crowded(lane->store);
}

void
lane_release(void *p, void *pin)
{
    struct lane *lane = p;

    store_unpin(lane->store, lane->thread, pin);
}
