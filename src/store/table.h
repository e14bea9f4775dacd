/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.h - the index: from the hash of a key to the item.
 *
 *   bucket, one cache line   | meta | slot | slot | slot | slot | slot | slot | slot |
 *   overflow bucket, half    | meta | slot | slot | slot |
 *   meta, 8 bytes            | next overflow bucket 32 | sequence 32, of the first only |
 *   slot, 8 bytes            | tag 24 | ref 40 |
 *
 * Growing. Linear hashing (Litwin, VLDB 1980): with n buckets, 2^L <= n < 2^(L+1), the key's
 * bucket is the low L+1 bits of its hash, or the low L bits if that bucket does not exist
 * yet. One bucket at a time is split, so that nobody ever waits for a growth and memory is
 * never held twice. Tags are the hash's bits from TABLE_POWER_MIN on, the very bits that
 * later become index bits: a split needs no look at any item. What that costs is one bit
 * of the tag's power to discriminate with each doubling.
 *
 * Reading without a lock. The sequence in a bucket's meta word is odd while the bucket (its
 * slots, its overflow chain, or the value of an item in it) is being changed in place.
 * A reader notes it, reads what it wants, and believes it only if the sequence has not
 * moved. A chunk is freed only after the slot that led to it is gone and the sequence has
 * moved, so whoever still reads the chunk will not believe what it read.
 *
 * Writers hold the key's stripe: the low bits of the hash below TABLE_POWER_MIN choose it, so
 * that a bucket and its split image always belong to one stripe.
 */
#ifndef LARDER_STORE_TABLE_H
#define LARDER_STORE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/slice.h"
#include "store/arena.h"

#define TABLE_SLOTS 7
#define OVERFLOW_SLOTS 3
/* log2 of the smallest number of buckets, and where tags begin. */
#define TABLE_POWER_MIN 12
#define TABLE_STRIPES (1u << TABLE_POWER_MIN)
#define TABLE_TAG_BITS 24
#define TABLE_REF_BITS 40
#define TABLE_REF_MASK ((UINT64_C(1) << TABLE_REF_BITS) - 1)
_Static_assert(ARENA_BYTES_MAX == UINT64_C(8) << TABLE_REF_BITS, "references reach it");
/*
 * Items per bucket beyond which the table grows, and with it the bytes an item (with 32 more
 * for each bucket's ghosts) and the cache lines that a hit and a miss look at, on average
 * between two doublings. The first row is that of whole buckets as overflow.
 *
 *   slots of overflow   load    bytes    and ghosts    hit     miss
 *           7             6     13.7        19.0       1.13    1.35
 *           3             6     12.7        18.0       1.17    1.48
 *           3             7     11.8        16.4       1.26    1.73
 *           3             8     11.4        15.4       1.37    2.02
 *           1             7     12.1        16.7       1.56    2.67
 *
 * The lines behind the first are few, and a smaller index finds more of itself in the CPU's
 * caches: with 7 a get costs as much as it did with 6 and whole buckets.
 */
#define TABLE_LOAD 7

struct bucket {
    _Atomic uint64_t meta;
    _Atomic uint64_t slots[TABLE_SLOTS];
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

/* What most buckets that are full need is a place or two. */
struct overflow {
    _Atomic uint64_t meta;
    _Atomic uint64_t slots[OVERFLOW_SLOTS];
};
_Static_assert(sizeof(struct overflow) == 32, "an overflow bucket is in one cache line");

struct table {
    struct arena *arena;
    struct bucket *buckets;
    struct overflow *overflow;     /* 1 .. overflow_max - 1; 0 means none */
    uint32_t buckets_max;
    uint32_t overflow_max;
    bool fixed;                    /* never grows */
    _Atomic uint32_t nbuckets;     /* written under split_lock */
    struct lock split_lock;
    struct lock overflow_lock;     /* guards the three fields below */
    uint32_t overflow_free;        /* linked by their meta's upper half */
    _Atomic uint32_t overflow_fresh; /* buckets from here on were never used */
    _Atomic uint32_t overflow_used;
    _Atomic int64_t items;         /* about: threads add to it in batches */
    struct lock stripes[TABLE_STRIPES];
};

/* Where a key was found; valid while its stripe is held. */
struct table_spot {
    struct bucket *bucket;  /* the first of the chain: its meta holds the sequence */
    _Atomic uint64_t *slot; /* in it or in an overflow bucket */
    struct item *item;      /* NULL: not found */
    uint64_t hash;
};

/* The number of its first bucket, which is also that of its ghosts. */
static inline uint32_t
table_spot_bucket(const struct table *table, const struct table_spot *spot)
{
    return (uint32_t)(spot->bucket - table->buckets);
}

static inline uint64_t
table_slot(const struct table_spot *spot)
{
    return atomic_load_explicit(spot->slot, memory_order_relaxed);
}

void table_init(struct table *table, struct arena *arena, unsigned power, bool fixed,
    uint64_t buckets_max, uint64_t overflow_max);

static inline uint32_t
table_bucket(uint64_t hash, uint32_t nbuckets)
{
    /* nbuckets >= 2^12, so the shift is defined. */
    uint32_t half = UINT32_C(1) << (31 - __builtin_clz(nbuckets));
    uint32_t index = (uint32_t)hash & (half * 2 - 1);

    return index < nbuckets ? index : index & (half - 1);
}

static inline uint64_t
table_tag(uint64_t hash)
{
    return hash >> TABLE_POWER_MIN << (64 - TABLE_TAG_BITS);
}

/* Does a slot have this tag, and refer to something? */
static inline bool
table_slot_matches(uint64_t slot, uint64_t tag)
{
    return (slot ^ tag) <= TABLE_REF_MASK && slot != 0;
}

/* The low bits of the hash that a stripe and a slot tell together. */
static inline uint64_t
table_slot_hash(uint64_t slot, uint64_t hash)
{
    return slot >> (64 - TABLE_TAG_BITS) << TABLE_POWER_MIN | (hash & (TABLE_STRIPES - 1));
}

/* Before a loop over slots that nearly always goes through all of them: four instructions
 * a slot in place of nine. */
#define TABLE_UNROLL _Pragma("GCC unroll 7")
_Static_assert(TABLE_SLOTS == 7, "TABLE_UNROLL names the larger number of slots");

static inline uint32_t
table_count(const struct table *table)
{
    return atomic_load_explicit(&table->nbuckets, memory_order_acquire);
}

static inline struct lock *
table_stripe(struct table *table, uint64_t hash)
{
    return &table->stripes[hash & (TABLE_STRIPES - 1)];
}

static inline uint32_t
meta_seq(uint64_t meta)
{
    return (uint32_t)meta;
}

static inline uint32_t
meta_overflow(uint64_t meta)
{
    return (uint32_t)(meta >> 32);
}

/* ---- Under the stripe ---------------------------------------------------------------- */

/* Finds the slot of a key, dead or alive. */
struct table_spot table_find(struct table *table, uint64_t hash, struct slice key);
/* Finds the slot that refers to an item; .item NULL if it is not linked. */
struct table_spot table_find_ref(struct table *table, uint64_t hash, uint64_t ref);

/* Around changes in place of what readers of this bucket may be reading. */
void table_change_begin(struct bucket *bucket);
void table_change_end(struct bucket *bucket);

/* Links a new item where table_find() has found none. False: no overflow bucket could be had. */
bool table_insert(struct table *table, const struct table_spot *spot, uint64_t ref);
/* Lets a slot refer to another item of the same key; the tag stays. */
void table_replace(struct table_spot *spot, uint64_t ref);
void table_remove(struct table *table, struct table_spot *spot);

/* ---- Growing, no stripe held --------------------------------------------------------- */

/* Should it grow? */
bool table_wants_growth(const struct table *table);
/* Splits one bucket; false: nothing to do, or somebody else is at it. */
bool table_grow(struct table *table);

/* Memory that it has touched, which it keeps. */
uint64_t table_bytes(const struct table *table);

/* Calls back for every linked item. No other thread may be inside the store. */
void table_each(struct table *table, void (*fn)(void *context, uint32_t bucket,
    uint64_t slot), void *context);

#endif
