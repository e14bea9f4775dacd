/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/estimate.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define PLACES (2 * ESTIMATE_KEYS)
#define SLOTS (2 * ESTIMATE_KEYS)
/* Bits that choose the sample. The low ones choose buckets and stripes, the highest ghosts. */
#define SAMPLE_SHIFT 20
#define SAMPLE_BITS_FIRST 7 /* one key in 128, until that is too many */
/* When so many have been counted, each of them weighs half. */
#define FADE_AT 32768u
#define LEAST_ASKED 1000u

struct estimate *
estimate_open(void)
{
    struct estimate *estimate = calloc(1, sizeof *estimate);

    if (estimate != NULL)
        estimate->mask = ((UINT64_C(1) << SAMPLE_BITS_FIRST) - 1) << SAMPLE_SHIFT;
    return estimate;
}

/* How many keys each one in the sample stands for. */
static uint64_t
weight(const struct estimate *estimate)
{
    return (atomic_load_explicit(&estimate->mask, memory_order_relaxed) >> SAMPLE_SHIFT) + 1;
}

/* ---- The order of use: sums of bytes by place (Fenwick, 1994) ------------------------ */

static void
order_add(struct estimate *estimate, uint32_t place, uint64_t bytes)
{
    for (uint32_t i = place + 1; i <= PLACES; i += i & -i)
        estimate->order[i] += bytes;
}

/* Bytes at places up to and with this one. */
static uint64_t
order_sum(const struct estimate *estimate, uint32_t place)
{
    uint64_t sum = 0;

    for (uint32_t i = place + 1; i > 0; i -= i & -i)
        sum += estimate->order[i];
    return sum;
}

/* ---- The keys ------------------------------------------------------------------------ */

static uint32_t
slot_of(uint64_t hash)
{
    return (uint32_t)(hash >> 44) & (SLOTS - 1);
}

/* The entry of a key, or the free one where it would be. */
static struct estimate_key *
find(struct estimate *estimate, uint64_t hash)
{
    uint32_t slot = slot_of(hash);

    while (estimate->table[slot].hash != 0 && estimate->table[slot].hash != hash)
        slot = (slot + 1) & (SLOTS - 1);
    return &estimate->table[slot];
}

/* Frees an entry; those behind it move up, so that every search still ends where it must. */
static void
drop(struct estimate *estimate, struct estimate_key *key)
{
    uint32_t hole = (uint32_t)(key - estimate->table), slot = hole;

    order_add(estimate, key->at, -(uint64_t)key->bytes);
    estimate->bytes -= key->bytes;
    estimate->keys--;
    for (;;) {
        uint32_t home;

        slot = (slot + 1) & (SLOTS - 1);
        if (estimate->table[slot].hash == 0)
            break;
        home = slot_of(estimate->table[slot].hash);
        if (((slot - home) & (SLOTS - 1)) < ((slot - hole) & (SLOTS - 1)))
            continue;
        estimate->table[hole] = estimate->table[slot];
        hole = slot;
    }
    estimate->table[hole].hash = 0;
}

/* All places are taken: the keys get the first ones, in the order they have. */
static void
renumber(struct estimate *estimate)
{
    uint32_t n = 0;

    memset(estimate->slots, 0, sizeof estimate->slots);
    memset(estimate->order, 0, sizeof estimate->order);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (estimate->table[slot].hash != 0)
            estimate->slots[estimate->table[slot].at] = (uint16_t)(slot + 1);
    for (uint32_t place = 0; place < PLACES; place++) {
        struct estimate_key *key;

        if (estimate->slots[place] == 0)
            continue;
        key = &estimate->table[estimate->slots[place] - 1];
        key->at = n++;
        estimate->order[n] = key->bytes;
    }
    assert(n == estimate->keys);
    /* Each node gives its sum to the next larger one that covers it. */
    for (uint32_t i = 1; i <= PLACES; i++)
        if (i + (i & -i) <= PLACES)
            estimate->order[i + (i & -i)] += estimate->order[i];
    estimate->clock = n;
}

/* The key becomes the one used last. */
static void
use(struct estimate *estimate, struct estimate_key *key)
{
    if (estimate->clock == PLACES)
        renumber(estimate);
    order_add(estimate, key->at, -(uint64_t)key->bytes);
    key->at = estimate->clock++;
    order_add(estimate, key->at, key->bytes);
}

/* Half of the sample goes, and the rest stands for twice as many. */
static void
thin(struct estimate *estimate)
{
    uint64_t mask = (weight(estimate) * 2 - 1) << SAMPLE_SHIFT;

    atomic_store_explicit(&estimate->mask, mask, memory_order_relaxed);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        while (estimate->table[slot].hash != 0 && (estimate->table[slot].hash & mask) != 0)
            drop(estimate, &estimate->table[slot]);
    estimate->asked = 0;
    memset(estimate->hits, 0, sizeof estimate->hits);
    estimate->rebase = true;
}

/* Who would not even be there in the largest cache is forgotten. */
static void
trim(struct estimate *estimate, uint64_t memory)
{
    struct estimate_key *oldest = NULL;

    if (estimate->bytes * weight(estimate) <= memory * 5)
        return;
    /* One look at the whole table for a tenth of it. */
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        oldest = &estimate->table[slot];
        while (oldest->hash != 0 && (estimate->bytes - order_sum(estimate, oldest->at)) *
            weight(estimate) > memory * 4)
            drop(estimate, oldest);
    }
}

/* ---- Requests ------------------------------------------------------------------------ */

static void
count(struct estimate *estimate, const uint64_t *needed, uint64_t memory)
{
    /* In halves of the present memory. */
    static const uint64_t sizes[ESTIMATE_SIZES] = { 1, 2, 4, 8 };

    estimate->asked++;
    for (unsigned i = 0; needed != NULL && i < ESTIMATE_SIZES; i++)
        estimate->hits[i] += *needed <= memory / 2 * sizes[i];
}

void
estimate_get(struct estimate *estimate, uint64_t hash, uint32_t now, uint64_t memory)
{
    struct estimate_key *key;
    uint64_t needed;

    if (hash == 0 || !lock_try(&estimate->lock))
        return;
    key = find(estimate, hash);
    if (key->hash != 0 && key->exptime != 0 && key->exptime <= now)
        drop(estimate, key);
    key = find(estimate, hash);
    if (key->hash != 0) {
        needed = (estimate->bytes - order_sum(estimate, key->at) + key->bytes) *
            weight(estimate);
        count(estimate, &needed, memory);
        use(estimate, key);
    } else {
        count(estimate, NULL, memory);
    }
    lock_give(&estimate->lock);
}

void
estimate_set(struct estimate *estimate, uint64_t hash, uint32_t bytes, uint32_t exptime,
    uint64_t memory)
{
    struct estimate_key *key;

    if (hash == 0 || !lock_try(&estimate->lock))
        return;
    key = find(estimate, hash);
    if (key->hash != 0)
        drop(estimate, key);
    trim(estimate, memory);
    if (estimate->keys == ESTIMATE_KEYS)
        thin(estimate);
    if (estimate_wants(estimate, hash) && estimate->keys < ESTIMATE_KEYS) {
        if (estimate->clock == PLACES)
            renumber(estimate);
        key = find(estimate, hash);
        *key = (struct estimate_key){ hash, estimate->clock++, bytes, exptime };
        order_add(estimate, key->at, bytes);
        estimate->bytes += bytes;
        estimate->keys++;
    }
    lock_give(&estimate->lock);
}

void
estimate_delete(struct estimate *estimate, uint64_t hash)
{
    struct estimate_key *key;

    if (!lock_try(&estimate->lock))
        return;
    key = find(estimate, hash);
    if (hash != 0 && key->hash != 0)
        drop(estimate, key);
    lock_give(&estimate->lock);
}

void
estimate_fade(struct estimate *estimate, uint64_t total)
{
    lock_take(&estimate->lock);
    if (estimate->rebase)
        estimate->base = total;
    estimate->rebase = false;
    if (estimate->asked >= FADE_AT) {
        estimate->base += (total - estimate->base) / 2;
        estimate->asked /= 2;
        for (unsigned i = 0; i < ESTIMATE_SIZES; i++)
            estimate->hits[i] /= 2;
    }
    lock_give(&estimate->lock);
}

static double
ratio(double hits, double asked)
{
    return hits <= 0 ? 0 : hits >= asked ? 1 : hits / asked;
}

bool
estimate_ratios(struct estimate *estimate, uint64_t total, double ratios[ESTIMATE_SIZES])
{
    double share;
    bool known;

    lock_take(&estimate->lock);
    share = (double)(total - estimate->base) / (double)weight(estimate);
    known = estimate->asked >= LEAST_ASKED && !estimate->rebase && share > 0;
    for (unsigned i = 0; i < ESTIMATE_SIZES; i++)
        ratios[i] = known ? ratio((double)estimate->hits[i] + share - (double)estimate->asked,
            share) : 0;
    lock_give(&estimate->lock);
    return known;
}

/* ---- For another process --------------------------------------------------------------- */

/* Is the mask one that thin() makes? */
static bool
mask_sound(uint64_t mask)
{
    uint64_t bits = mask >> SAMPLE_SHIFT;

    return bits != 0 && (bits & (bits + 1)) == 0 && bits << SAMPLE_SHIFT == mask;
}

static void
load_key(struct estimate *estimate, struct state *state, struct estimate_key key)
{
    struct estimate_key *free = find(estimate, key.hash);

    /* Two at one place, or the same twice? */
    if (key.hash == 0 || free->hash != 0 || estimate->slots[key.at] != 0 ||
        !estimate_wants(estimate, key.hash)) {
        state_refuse(state);
        return;
    }
    estimate->slots[key.at] = 1;
    *free = key;
    order_add(estimate, key.at, key.bytes);
    estimate->bytes += key.bytes;
    estimate->keys++;
}

static void
load_keys(struct estimate *estimate, struct state *state, uint32_t n)
{
    for (uint32_t i = 0; i < n && state->bad == 0; i++) {
        struct estimate_key key = {
            .hash = state_number(state, 0, UINT64_MAX),
            .at = state_small(state, 0, estimate->clock - 1),
        };

        key.bytes = state_small(state, 0, UINT32_MAX);
        key.exptime = state_small(state, 0, UINT32_MAX);
        load_key(estimate, state, key);
    }
}

static void
save_keys(struct estimate *estimate, struct state *state)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        const struct estimate_key *key = &estimate->table[slot];

        if (key->hash == 0)
            continue;
        (void)state_number(state, key->hash, UINT64_MAX);
        (void)state_small(state, key->at, UINT32_MAX);
        (void)state_small(state, key->bytes, UINT32_MAX);
        (void)state_small(state, key->exptime, UINT32_MAX);
    }
}

void
estimate_exchange(struct estimate *estimate, struct state *state)
{
    uint32_t n;

    estimate->mask = state_number(state, estimate->mask, UINT64_MAX);
    estimate->clock = state_small(state, estimate->clock, PLACES);
    estimate->asked = state_number(state, estimate->asked, UINT64_MAX);
    for (unsigned i = 0; i < ESTIMATE_SIZES; i++)
        estimate->hits[i] = state_number(state, estimate->hits[i], UINT64_MAX);
    estimate->base = state_number(state, estimate->base, UINT64_MAX);
    estimate->rebase = state_flag(state, estimate->rebase);
    n = state_small(state, estimate->keys, ESTIMATE_KEYS);
    if (!mask_sound(estimate->mask) || n > estimate->clock)
        state_refuse(state);
    else if (state->saving)
        save_keys(estimate, state);
    else
        load_keys(estimate, state, n);
}
