/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lane.h - what one worker's conversations share; inside src/cmd only.
 *
 * A lane belongs to its worker's thread. Other threads read nothing but `counters`,
 * `latency` and `hotkeys`.
 */
#ifndef LARDER_CMD_LANE_H
#define LARDER_CMD_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hotkeys.h"
#include "base/journal.h"
#include "base/latency.h"
#include "base/sample.h"
#include "cmd/ahead.h"
#include "cmd/session.h"

struct lane {
    struct store *store;
    struct store_thread *thread;
    struct cmd_context *context;
    const _Atomic(bool) *detail_on; /* never NULL */
    uint32_t now;                   /* clock_seconds() of this turn */
    bool uploads_crowded;           /* as of the last second */
    bool pins_crowded;
    unsigned reports;               /* parts of them that this turn still has */
    uint8_t notice;                 /* who wants to see this turn's keys: notice.h */
    int fd;                         /* of the connection whose turn it is; for display */
    const _Atomic(unsigned) *wanted; /* streams that are watched; never NULL */
    struct journal_writer *journal; /* NULL: nothing can be watched */
    void (*wake)(void *handle);     /* as struct peer has it */
    bool measuring;                 /* the commands of this turn are counted in `ran` */
    struct sample hot;              /* turns whose keys `hotkeys` sees */
    struct hotkeys *hotkeys;        /* NULL: off */
    struct latency *latency;        /* NULL: off */
    uint32_t ran[LATENCY_CLASS_COUNT]; /* since the last answered() */
    struct ahead_table ahead;
    struct lane *next; /* guarded by context->lanes_lock */
    struct counters counters;
};

/* The lane_open, lane_close, lane_tick and release of struct service. */
void *lane_open(void *context, unsigned index);
void lane_close(void *lane);
void lane_tick(void *lane, uint32_t now);
void lane_release(void *lane, void *pin);
/* turn, measure and answered of struct service */
void lane_turn(void *lane);
void lane_measure(void *lane, bool on);
void lane_answered(void *lane, uint64_t ns);

#endif
