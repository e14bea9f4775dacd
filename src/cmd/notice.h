/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.h - those who look over a command's shoulder; inside src/cmd.
 *
 * `stats detail` and the search for hot keys want to see keys. Most of the time nobody
 * does: then lane->notice is 0, which is all that a command looks at. It is found once a
 * turn.
 */
#ifndef LARDER_CMD_NOTICE_H
#define LARDER_CMD_NOTICE_H

#include <stdint.h>

#include "cmd/lane.h"

#define NOTICE_DETAIL 1u
#define NOTICE_HOT    2u

/* What this turn's commands have to show, for lane->notice. */
static inline uint8_t
notice_wanted(struct lane *lane)
{
    uint8_t wanted = sample_due(&lane->hot) ? NOTICE_HOT : 0;

    if (atomic_load_explicit(lane->detail_on, memory_order_relaxed))
        wanted |= NOTICE_DETAIL;
    return wanted;
}

/* To be called only if lane->notice is not 0. */

/* A key was looked up; `len` bytes of value are sent. */
void notice_get(struct lane *lane, struct slice key, uint64_t hash, bool hit, uint32_t len);
/* A value of `len` bytes came for it, stored or not. */
void notice_set(struct lane *lane, struct slice key, uint64_t hash, uint32_t len);
void notice_delete(struct lane *lane, struct slice key, uint64_t hash);
/* touch, incr, decr */
void notice_use(struct lane *lane, struct slice key, uint64_t hash);

#endif
