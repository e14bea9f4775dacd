/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/slack.h"

#include "config.h"

#ifdef HAVE_MALLOC_TRIM
#include <malloc.h>
#endif

/* glibc's, which it raises by itself to megabytes as soon as a large block is freed. What is free
 * at the end of a thread's heap is not malloc_trim()'s but hold_return_memory()'s to return. */
#define END_BYTES (128 * 1024)

void
slack_limit(void)
{
#ifdef HAVE_MALLOC_TRIM
    (void)mallopt(M_TRIM_THRESHOLD, END_BYTES);
#endif
}

bool
slack_due(struct slack *slack, uint64_t resident, uint64_t expected, uint32_t now)
{
    uint64_t excess = resident > expected ? resident - expected : 0;

    if (excess <= SLACK_BYTES) {
        slack->excess = 0;
        return false;
    }
    if (excess > slack->excess + SLACK_BYTES)
        slack->wait = SLACK_SECONDS;
    if (slack->last != 0 && now - slack->last < slack->wait)
        return false;
    slack->excess = excess;
    slack->last = now;
    slack->wait *= 2;
    if (slack->wait > SLACK_SECONDS_MOST)
        slack->wait = SLACK_SECONDS_MOST;
    return true;
}

void
slack_keep(struct slack *slack, uint64_t resident, uint64_t expected, uint32_t now)
{
    if (!slack_due(slack, resident, expected, now))
        return;
#ifdef HAVE_MALLOC_TRIM
    (void)malloc_trim(0);
#endif
}
