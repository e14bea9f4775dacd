/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * policy.h - which item goes: the whole of the replacement policy behind a few calls.
 *
 * "Segmented, approximated LRU (CLOCK with probation)". Every size class has
 *
 *   probation   a tenth of its chunks, first in first out: what came lately and has not
 *               been asked for again
 *   main        the rest, under a clock hand that gives each use one more round
 *   ghosts      fingerprints of as many evicted keys as it has items (ghost.h)
 *
 * A new key goes on probation, so that a key that is never asked for again leaves after a
 * tenth of the cache has passed by, not after the whole of it. At the end of probation
 * it goes to the main segment if it was used, and is evicted if not. A key that comes
 * back while its ghost is remembered goes to the main segment at once. This is the shape of
 * S3-FIFO (Yang et al., SOSP 2023) with CLOCK (Corbato, 1968) in the place of its main queue,
 * so that nothing of the order has to be kept in items, and a hit writes two bits.
 *
 * Counters - numbers made by add with a time to live, and whatever is incremented - start
 * in the main segment and are passed over by the hand while they live and all of them
 * together take less than their reserve: a rate limit must not be forgotten because other
 * traffic is heavy.
 *
 * Large values: the head is a small item that the hand passes over; its pieces are judged in
 * their own classes, and the first to go takes the value along.
 *
 * The LRU mode has no probation, and ghosts serve the page balance only: of 16 chunks under
 * the hand the one used least lately goes.
 */
#ifndef LARDER_STORE_POLICY_H
#define LARDER_STORE_POLICY_H

#include "store/slab.h"

struct store;
struct store_thread;
struct table_spot;

/* Bits that a new item of a key begins with: where the key's present item was, if the spot has
 * one, there it stays; otherwise by its ghost. To be set in its info, and in its pieces', which
 * then go to policy_enlist(). The stripe is held. `id`, `last_id`: class of the item, or of the
 * first and the last of its pieces: whichever was short of memory knows its ghost.
 * `is_counter`: see put_is_counter(). */
uint32_t policy_admit(struct store *store, const struct table_spot *spot, unsigned id,
    unsigned last_id, bool is_counter);
/* Fetches into the CPU's cache what policy_admit() and policy_evicted() will want to know of the
 * keys of a bucket. */
void policy_prefetch(const struct store *store, uint32_t bucket);
/* A chunk whose info says INFO_PROBATION enters its class's ring; `hash` is its key's. */
void policy_enlist(struct store *store, struct item *chunk, uint64_t hash);

/* Low bits of the hash that the ring keeps, so that finding the oldest on probation in the
 * index need not read and hash its key: 220 of 3,450 instructions of a set. They choose a
 * bucket as long as there are fewer than 2 million of them, 12 million items. */
#define VICTIM_HASH_BITS 21

struct victim {
    uint64_t ref;  /* of an item or a piece; 0: none found among the chunks looked at */
    uint64_t hash; /* if `hashed`: the low bits of its key's */
    bool hashed;
};

/*
 * The next victim of a class. With `anyway` one that is in use may be chosen. Nothing is
 * locked afterwards, so the caller must look again under the item's stripe.
 */
struct victim policy_victim(struct store *store, unsigned id, bool anyway, uint32_t now);
/* Tells that the spot's item is being evicted, `age` seconds after its last use; its stripe is
 * held. `id`: the class in which memory was short. */
void policy_evicted(struct store *store, unsigned id, const struct table_spot *spot,
    uint32_t age, uint32_t now);

/* Never evicted now: a counter that lives, within the reserve. */
bool policy_protects(struct store *store, const struct item *item, uint32_t info,
    uint32_t now);

/* Aborts unless every chunk on probation has its place in a ring: one that had none would stay
 * for ever, since the hand passes it over. No other thread may be inside the store. */
void policy_check(struct store *store);

#endif
