/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upkeep.c - small slices of work with pauses between them.
 *
 * A slice is BUDGET_US. The pause is short while work waits, and shorter the longer it
 * does, so that an index that has to grow fast does; it is long while there is none, so
 * that an idle server sleeps. While items are evicted it is in between.
 */
#include "main/upkeep.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/journal.h"
#include "cmd/session.h"
#include "main/slack.h"

#define BUDGET_US      2000u
#define PAUSE_LEAST_MS 2u
#define PAUSE_EVICT_MS 10u
#define PAUSE_WORK_MS  50u
#define PAUSE_IDLE_MS  500u

/* One of the stores. */
struct charge {
    struct store *store;
    struct store_thread *store_thread;
    const struct journal *journal;
    struct journal_writer *writer;
    struct store_totals told; /* when a round of the sweep was told last */
};

struct upkeep {
    struct spaces *spaces;
    struct bound *bound;
    struct charge charges[OPTION_SPACES_MAX]; /* as many as there are spaces */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stop; /* guarded by mutex */
};

static unsigned
next_pause(unsigned pause_ms, enum store_upkeep state)
{
    if (state == STORE_IDLE)
        return pause_ms * 2 < PAUSE_IDLE_MS ? pause_ms * 2 : PAUSE_IDLE_MS;
    if (state == STORE_EVICTING)
        return PAUSE_EVICT_MS;
    if (pause_ms > PAUSE_WORK_MS)
        return PAUSE_WORK_MS;
    return pause_ms / 2 > PAUSE_LEAST_MS ? pause_ms / 2 : PAUSE_LEAST_MS;
}

/* True: it is time to stop. */
static bool
sleep_ms(struct upkeep *upkeep, unsigned ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&upkeep->mutex);
    int error = 0;
    while (!upkeep->stop && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&upkeep->changed, &upkeep->mutex, &until);
    bool stop = upkeep->stop;
    pthread_mutex_unlock(&upkeep->mutex);
    return stop;
}

/* A round of the sweep for expired items has begun since the last look: tells of what was
 * done before it. */
static void
tell_sweep(struct charge *charge)
{
    unsigned wanted =
        atomic_load_explicit(journal_wanted(charge->journal), memory_order_relaxed);
    struct journal_event event = { .kind = JOURNAL_SWEEP, .stream = JOURNAL_SYSEVENTS };
    struct store_totals totals;

    if ((wanted & JOURNAL_BIT(JOURNAL_SYSEVENTS)) == 0)
        return;
    store_totals(charge->store, &totals);
    if (totals.sweep_runs == charge->told.sweep_runs)
        return;
    event.ttl = (int64_t)(totals.sweep_checked - charge->told.sweep_checked);
    event.size = totals.sweep_reclaimed - charge->told.sweep_reclaimed;
    charge->told = totals;
    journal_put(charge->writer, &event, slice_of(NULL, 0));
}

/* A slice for each store. The next pause is that of the one with the most to do. */
static unsigned
keep_all(struct upkeep *upkeep, uint32_t now, unsigned pause_ms)
{
    unsigned shortest = PAUSE_IDLE_MS;

    for (unsigned i = 0; i < upkeep->spaces->n; i++) {
        struct charge *charge = &upkeep->charges[i];
        unsigned pause = next_pause(pause_ms,
            store_maintain(charge->store, charge->store_thread, now, BUDGET_US));
        shortest = pause < shortest ? pause : shortest;
        tell_sweep(charge);
    }
    return shortest;
}

static void *
upkeep_main(void *context)
{
    struct upkeep *upkeep = context;
    unsigned pause_ms = PAUSE_WORK_MS;
    struct slack slack = { .last = 0 };
    uint32_t second = 0;

    pthread_setname_np(pthread_self(), "upkeep");
    while (!sleep_ms(upkeep, pause_ms)) {
        uint32_t now = clock_seconds(upkeep->spaces->clock);

        pause_ms = keep_all(upkeep, now, pause_ms);
        if (now != second) {
            slack_keep(&slack, bound_resident(upkeep->bound),
                bound_expected(upkeep->spaces), now);
            bound_keep(upkeep->bound, upkeep->spaces);
        }
        second = now;
    }
    return NULL;
}

static void
forget(struct upkeep *upkeep)
{
    for (unsigned i = 0; i < OPTION_SPACES_MAX; i++) {
        struct charge *charge = &upkeep->charges[i];
        if (charge->store_thread != NULL)
            store_thread_close(charge->store_thread);
        if (charge->writer != NULL)
            journal_close(charge->writer);
    }
    free(upkeep);
}

/* False: out of memory. */
static bool
take_charge(struct charge *charge, const struct space *space)
{
    charge->store = space->store;
    charge->store_thread = store_thread_open(space->store);
    charge->journal = space->journal;
    charge->writer = journal_open(space->journal);
    if (charge->store_thread == NULL || charge->writer == NULL)
        return false;
    cmd_observe(charge->store_thread, space->journal, charge->writer);
    return true;
}

struct upkeep *
upkeep_start(struct spaces *spaces, struct bound *bound)
{
    struct upkeep *upkeep = calloc(1, sizeof *upkeep);
    pthread_condattr_t monotonic;

    if (upkeep == NULL)
        return NULL;
    upkeep->spaces = spaces;
    upkeep->bound = bound;
    for (unsigned i = 0; i < spaces->n; i++) {
        if (take_charge(&upkeep->charges[i], &spaces->at[i]))
            continue;
        forget(upkeep);
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_init(&upkeep->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&upkeep->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = pthread_create(&upkeep->thread, NULL, upkeep_main, upkeep);
    if (error == 0)
        return upkeep;
    pthread_cond_destroy(&upkeep->changed);
    pthread_mutex_destroy(&upkeep->mutex);
    forget(upkeep);
    errno = error;
    return NULL;
}

void
upkeep_stop(struct upkeep *upkeep)
{
    pthread_mutex_lock(&upkeep->mutex);
    upkeep->stop = true;
    pthread_cond_signal(&upkeep->changed);
    pthread_mutex_unlock(&upkeep->mutex);
    pthread_join(upkeep->thread, NULL);
    pthread_cond_destroy(&upkeep->changed);
    pthread_mutex_destroy(&upkeep->mutex);
    forget(upkeep);
}
