/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * estimate.h - what the hit ratio would be with half, twice and four times the memory.
 *
 * A small sample of the keys, chosen by their keyed hash, is kept in the order of their last
 * use with their sizes (the stack of Mattson et al., 1970; sampled as in SHARDS, Waldspurger
 * et al., FAST 2015). When one of them is asked for, the bytes of those used since, times
 * what the sample stands for, tell how much memory an LRU cache would have needed to have
 * it still. The sample is thinned as soon as it is full, so it takes the same memory for
 * any cache. The real policy is not LRU: read the figures against the one for the present
 * memory, which is given beside them.
 *
 * Any thread may call; who finds it busy goes without, a sample more or less.
 */
#ifndef LARDER_STORE_ESTIMATE_H
#define LARDER_STORE_ESTIMATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "store/state.h"

#define ESTIMATE_SIZES 4 /* half, the present, twice, four times the memory */
#define ESTIMATE_KEYS 4096u /* most keys in the sample; a power of two */

struct estimate_key {
    uint64_t hash;     /* 0: this entry is free */
    uint32_t at;       /* its place in the order of use */
    uint32_t bytes;
    uint32_t exptime;
};

struct estimate {
    struct lock lock;
    _Atomic uint64_t mask; /* keys whose hash has none of these bits are in the sample */
    uint32_t keys;
    uint32_t clock;        /* next place in the order */
    uint64_t bytes;        /* of all keys in the sample */
    uint64_t asked, hits[ESTIMATE_SIZES]; /* of the sample, since ... */
    uint64_t base;         /* ... the whole cache had been asked so often */
    bool rebase;           /* that is to be noted anew */
    struct estimate_key table[2 * ESTIMATE_KEYS]; /* open addressing */
    uint64_t order[2 * ESTIMATE_KEYS + 1];        /* Fenwick tree of bytes by place */
    uint16_t slots[2 * ESTIMATE_KEYS];            /* scratch: entry by place, plus 1 */
};

/* NULL: out of memory; the caller frees it with free(). */
struct estimate *estimate_open(void);

/* Is the key in the sample? */
static inline bool
estimate_wants(const struct estimate *estimate, uint64_t hash)
{
    return (hash & atomic_load_explicit(&estimate->mask, memory_order_relaxed)) == 0;
}

/* A key in the sample was asked for by a client; `memory`: the present limit in bytes. */
void estimate_get(struct estimate *estimate, uint64_t hash, uint32_t now, uint64_t memory);
/* It was stored, and takes so many bytes. */
void estimate_set(struct estimate *estimate, uint64_t hash, uint32_t bytes, uint32_t exptime,
    uint64_t memory);
/* It was deleted. */
void estimate_delete(struct estimate *estimate, uint64_t hash);

/* To be called now and then with the number of all requests so far, so that old ones weigh
 * less and less. */
void estimate_fade(struct estimate *estimate, uint64_t total);
/*
 * Hit ratios of late, 0 .. 1; false: too few requests to tell. A few keys get most requests,
 * and they need not be in the sample: what it was asked for less (or more) than its share
 * of `total` is counted as hits, at any size (SHARDS_adj).
 */
bool estimate_ratios(struct estimate *estimate, uint64_t total,
    double ratios_out[ESTIMATE_SIZES]);

/* Saves or loads all of it; nobody else may be using it. */
void estimate_exchange(struct estimate *estimate, struct state *state);

#endif
