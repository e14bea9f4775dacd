/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hotkeys.h - the keys that are asked for most, found in bounded memory.
 *
 * Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005): a table of HOTKEYS_TABLE keys
 * with counts. A key that is in it is counted; one that is not takes the place of the key
 * with the least count, and takes over that count, which is how far its own may be wrong.
 * Every key with more than 1/HOTKEYS_TABLE of the traffic is in the table for certain.
 *
 * There are two rankings: by requests, and by bytes of values read or written. Each is kept
 * for the window of HOTKEYS_WINDOW seconds that is running and for the one before, so that
 * what is shown is of the last one or two windows and not of last week.
 *
 * One table belongs to one worker, which shows it one request in `mean` (base/sample.h).
 * The lock is only ever tried by the worker: while somebody reads, samples are lost and
 * nobody waits.
 */
#ifndef LARDER_BASE_HOTKEYS_H
#define LARDER_BASE_HOTKEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define HOTKEYS_KEY_MAX 250u
#define HOTKEYS_TABLE   64u
#define HOTKEYS_WINDOW  60u
/* What a merged ranking shows at most. */
#define HOTKEYS_TOP 20u

enum hotkeys_by { HOTKEYS_BY_REQUESTS, HOTKEYS_BY_BYTES, HOTKEYS_RANKINGS };

struct hotkeys;

struct hot_key {
    uint64_t count; /* requests or bytes, estimated: what was seen times the mean */
    uint64_t error; /* by how much `count` may be too high, sampling apart */
    uint8_t len;
    char key[HOTKEYS_KEY_MAX];
};

/* A merged ranking, highest first. */
struct hotkeys_top {
    uint32_t mean;    /* one request in so many was looked at; 0: none, it is off */
    uint32_t seconds; /* how long the oldest of it has been collected */
    uint64_t samples; /* requests looked at in that time */
    unsigned n[HOTKEYS_RANKINGS];
    struct hot_key keys[HOTKEYS_RANKINGS][HOTKEYS_TOP];
};

/* For one request in `mean` (over 0), from the second `now` on. NULL: out of memory. */
struct hotkeys *hotkeys_create(uint32_t mean, uint32_t now);
void hotkeys_destroy(struct hotkeys *hotkeys);

/* Owner only, never waits: a request for `key` (1 to HOTKEYS_KEY_MAX bytes), whose hash is
 * `hash`, moved `bytes` bytes of value. */
void hotkeys_add(struct hotkeys *hotkeys, struct slice key, uint64_t hash, uint64_t bytes);
/* Owner only, about once a second: ends windows. */
void hotkeys_tick(struct hotkeys *hotkeys, uint32_t now);

/* Any thread: forgets all. */
void hotkeys_reset(struct hotkeys *hotkeys, uint32_t now);

/* Any thread: merges tables of several workers. merge_begin() makes room (false: out of
 * memory), merge_add() copies one table, merge_end() writes the ranking and frees. */
struct hotkeys_merge;
struct hotkeys_merge *hotkeys_merge_begin(unsigned tables);
void hotkeys_merge_add(
    struct hotkeys_merge *merge, struct hotkeys *hotkeys, uint32_t now);
void hotkeys_merge_end(struct hotkeys_merge *merge, struct hotkeys_top *top_out);

#endif
