/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/table.h"

#include <string.h>

#include "base/assert.h"

static inline uint64_t
load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void
put(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline uint64_t
slot_make(uint64_t hash, uint64_t ref)
{
    return table_tag(hash) | ref;
}

void
table_init(struct table *table, struct arena *arena, unsigned power, bool fixed,
    uint64_t buckets_max, uint64_t overflow_max)
{
    assert(power >= TABLE_POWER_MIN);
    assert(power < 32);
    table->arena = arena;
    table->buckets = (struct bucket *)(void *)arena->buckets;
    table->overflow = (struct overflow *)(void *)arena->overflow;
    table->buckets_max = (uint32_t)(buckets_max > UINT32_MAX / 2 ? UINT32_MAX / 2 :
            buckets_max);
    table->overflow_max = (uint32_t)(overflow_max > UINT32_MAX ? UINT32_MAX : overflow_max);
    table->fixed = fixed;
    table->overflow_fresh = 1;
    assert((UINT64_C(1) << power) <= table->buckets_max);
    atomic_store_explicit(&table->nbuckets, UINT32_C(1) << power, memory_order_release);
}

static struct bucket *
bucket_of(struct table *table, uint64_t hash)
{
    return &table->buckets[table_bucket(hash, table_count(table))];
}

/* A part of a chain: its first bucket, or an overflow bucket. */
struct part {
    _Atomic uint64_t *meta, *slots;
    unsigned nslots;
};

static inline struct part
part_first(struct bucket *bucket)
{
    return (struct part){ &bucket->meta, bucket->slots, TABLE_SLOTS };
}

/* Goes on to the next part; false: there is none, and it stays. */
static inline bool
part_next(struct table *table, struct part *part)
{
    uint32_t index = meta_overflow(load(part->meta));
    struct overflow *next = &table->overflow[index];

    if (index == 0)
        return false;
    *part = (struct part){ &next->meta, next->slots, OVERFLOW_SLOTS };
    return true;
}

/* ---- Finding ------------------------------------------------------------------------- */

static bool
item_has_key(const struct item *item, struct slice key)
{
    return INFO_KEY_LEN(item_info(item)) == key.len &&
        racy_equal(item->data, key.data, key.len);
}

/* Looks for a key in `n` slots: true, and where it is. */
static inline bool
find_key(struct table *table, _Atomic uint64_t *slots, unsigned n, struct slice key,
    struct table_spot *spot)
{
    uint64_t tag = table_tag(spot->hash);

    TABLE_UNROLL
    for (unsigned i = 0; i < n; i++) {
        uint64_t slot = load(&slots[i]);
        struct item *item;

        if (__builtin_expect(!table_slot_matches(slot, tag), 1))
            continue;
        item = arena_item(table->arena, slot & TABLE_REF_MASK);
        if (item_has_key(item, key)) {
            spot->slot = &slots[i];
            spot->item = item;
            return true;
        }
    }
    return false;
}

struct table_spot
table_find(struct table *table, uint64_t hash, struct slice key)
{
    struct table_spot spot = { .bucket = bucket_of(table, hash), .hash = hash };
    struct part part = part_first(spot.bucket);

    /* Two calls, so that each knows how many slots it has. */
    if (find_key(table, spot.bucket->slots, TABLE_SLOTS, key, &spot))
        return spot;
    while (part_next(table, &part) &&
           !find_key(table, part.slots, OVERFLOW_SLOTS, key, &spot))
        ;
    return spot;
}

static inline _Atomic uint64_t *
find_ref(_Atomic uint64_t *slots, unsigned n, uint64_t ref)
{
    TABLE_UNROLL
    for (unsigned i = 0; i < n; i++)
        if ((load(&slots[i]) & TABLE_REF_MASK) == ref)
            return &slots[i];
    return NULL;
}

struct table_spot
table_find_ref(struct table *table, uint64_t hash, uint64_t ref)
{
    struct table_spot spot = { .bucket = bucket_of(table, hash), .hash = hash };
    struct part part = part_first(spot.bucket);

    spot.slot = find_ref(spot.bucket->slots, TABLE_SLOTS, ref);
    while (spot.slot == NULL && part_next(table, &part))
        spot.slot = find_ref(part.slots, OVERFLOW_SLOTS, ref);
    if (spot.slot != NULL)
        spot.item = arena_item(table->arena, ref);
    return spot;
}

/* ---- Changing ------------------------------------------------------------------------ */

/* The sequence is the low half; its carry must not reach the upper one. */
static uint64_t
meta_step(uint64_t meta, uint32_t step)
{
    return (meta & ~(uint64_t)UINT32_MAX) | (uint32_t)(meta_seq(meta) + step);
}

void
table_change_begin(struct bucket *bucket)
{
    uint64_t meta = load(&bucket->meta);

    assert((meta & 1) == 0);
    put(&bucket->meta, meta_step(meta, 1));
    /* The odd sequence is seen before anything that follows it. */
    atomic_thread_fence(memory_order_release);
}

void
table_change_end(struct bucket *bucket)
{
    uint64_t meta = load(&bucket->meta);

    assert((meta & 1) == 1);
    atomic_store_explicit(&bucket->meta, meta_step(meta, 1), memory_order_release);
}

/* Chains an overflow bucket, or none, behind the part with this meta word. Inside begin and
 * end of the chain's first bucket. */
static void
set_overflow(_Atomic uint64_t *meta, uint32_t overflow)
{
    put(meta, (uint64_t)overflow << 32 | meta_seq(load(meta)));
}

static uint32_t
overflow_fresh(const struct table *table)
{
    return atomic_load_explicit(&table->overflow_fresh, memory_order_relaxed);
}

/* A bucket of empty slots from the overflow section; 0: used up. */
static uint32_t
overflow_take(struct table *table)
{
    uint32_t index = 0;

    lock_take(&table->overflow_lock);
    if (table->overflow_free != 0) {
        index = table->overflow_free;
        table->overflow_free = meta_overflow(load(&table->overflow[index].meta));
    } else if (overflow_fresh(table) < table->overflow_max) {
        index = table->overflow_fresh++;
    }
    if (index != 0)
        table->overflow_used++;
    lock_give(&table->overflow_lock);
    /* Release, here and where a slot of it is filled: whoever reads this in place of what
     * the last owner had there, having come through the last owner's chain, also sees that
     * chain's sequence moved. */
    if (index != 0)
        atomic_store_explicit(&table->overflow[index].meta, 0, memory_order_release);
    return index;
}

static void
overflow_give(struct table *table, uint32_t index)
{
    lock_take(&table->overflow_lock);
    put(&table->overflow[index].meta, (uint64_t)table->overflow_free << 32);
    table->overflow_free = index;
    table->overflow_used--;
    lock_give(&table->overflow_lock);
}

/* Puts a slot's word into the chain of `first`. With `odd` the caller has begun a change,
 * else a single store makes it visible. */
static bool
chain_add(struct table *table, struct bucket *first, uint64_t word)
{
    struct part part = part_first(first);
    uint32_t overflow;

    do {
        for (unsigned i = 0; i < part.nslots; i++) {
            if (load(&part.slots[i]) == 0) {
                /* Release: the item is whole before it can be found. */
                atomic_store_explicit(&part.slots[i], word, memory_order_release);
                return true;
            }
        }
    } while (part_next(table, &part));
    overflow = overflow_take(table);
    if (overflow == 0)
        return false;
    atomic_store_explicit(&table->overflow[overflow].slots[0], word, memory_order_release);
    atomic_thread_fence(memory_order_release);
    set_overflow(part.meta, overflow);
    return true;
}

bool
table_insert(struct table *table, const struct table_spot *spot, uint64_t ref)
{
    struct bucket *first = spot->bucket;
    bool ok;

    /* The sequence moves although one store does the insertion: a reader must not put a
     * miss before it together with something it saw after it. */
    table_change_begin(first);
    ok = chain_add(table, first, slot_make(spot->hash, ref));
    table_change_end(first);
    return ok;
}

void
table_replace(struct table_spot *spot, uint64_t ref)
{
    uint64_t tag = load(spot->slot) & ~TABLE_REF_MASK;

    table_change_begin(spot->bucket);
    atomic_store_explicit(spot->slot, tag | ref, memory_order_release);
    table_change_end(spot->bucket);
}

/* Takes the last word of the chain out, giving back the overflow bucket that this empties. */
static uint64_t
chain_take_last(struct table *table, struct bucket *first)
{
    struct part part = part_first(first);
    _Atomic uint64_t *before = NULL, *meta = part.meta;
    unsigned last;
    uint64_t word;

    while (part_next(table, &part)) {
        before = meta;
        meta = part.meta;
    }
    last = part.nslots;
    do
        last--;
    while (last > 0 && load(&part.slots[last]) == 0);
    word = load(&part.slots[last]);
    put(&part.slots[last], 0);
    if (last == 0 && before != NULL) {
        uint32_t index = meta_overflow(load(before));

        set_overflow(before, 0);
        overflow_give(table, index);
    }
    return word;
}

void
table_remove(struct table *table, struct table_spot *spot)
{
    uint64_t hole = load(spot->slot), word;

    table_change_begin(spot->bucket);
    word = chain_take_last(table, spot->bucket);
    /* Slots stay dense: the last word of the chain fills the hole. */
    if (word != hole)
        put(spot->slot, word);
    table_change_end(spot->bucket);
}

/* ---- Growing ------------------------------------------------------------------------- */

bool
table_wants_growth(const struct table *table)
{
    uint32_t n = atomic_load_explicit(&table->nbuckets, memory_order_relaxed);

    return !table->fixed && n < table->buckets_max &&
        atomic_load_explicit(&table->items, memory_order_relaxed) >
        (int64_t)n * TABLE_LOAD;
}

/* Words in a bucket's chain that have a bit set. */
static uint64_t
chain_count(struct table *table, struct bucket *first, uint64_t bit)
{
    struct part part = part_first(first);
    uint64_t n = 0;

    do
        for (unsigned i = 0; i < part.nslots; i++)
            n += (load(&part.slots[i]) & bit) != 0;
    while (part_next(table, &part));
    return n;
}

/* Gives back all overflow buckets behind the part with this meta word, emptied. */
static void
chain_release(struct table *table, _Atomic uint64_t *meta)
{
    uint32_t index = meta_overflow(load(meta));

    set_overflow(meta, 0);
    while (index != 0) {
        struct overflow *overflow = &table->overflow[index];
        uint32_t next = meta_overflow(load(&overflow->meta));

        for (unsigned i = 0; i < OVERFLOW_SLOTS; i++)
            put(&overflow->slots[i], 0);
        overflow_give(table, index);
        index = next;
    }
}

/* Chains what `words` words need behind an empty bucket; false: not to be had. */
static bool
chain_reserve(struct table *table, struct bucket *first, uint64_t words)
{
    _Atomic uint64_t *last = &first->meta;

    for (uint64_t room = TABLE_SLOTS; room < words; room += OVERFLOW_SLOTS) {
        uint32_t index = overflow_take(table);

        if (index == 0) {
            chain_release(table, &first->meta);
            return false;
        }
        set_overflow(last, index);
        last = &table->overflow[index].meta;
    }
    return true;
}

/* Where the next word of a chain goes that is written from its beginning. */
struct pen {
    struct part part;
    unsigned at;
};

/* There is a place for it: what was read from there, or what was reserved. */
static void
pen_write(struct table *table, struct pen *pen, uint64_t word)
{
    if (pen->at == pen->part.nslots) {
        bool more = part_next(table, &pen->part);

        assert(more);
        pen->at = 0;
    }
    /* Release: see overflow_take(). */
    atomic_store_explicit(&pen->part.slots[pen->at++], word, memory_order_release);
}

/* Nothing is behind what was written. */
static void
pen_end(struct table *table, struct pen *pen)
{
    while (pen->at < pen->part.nslots)
        put(&pen->part.slots[pen->at++], 0);
    chain_release(table, pen->part.meta);
}

/*
 * Shares the words of bucket `from` with its new image by bit `power` of the hash, which
 * is in the tag. Both chains are written from their beginnings, that of `from` over what was
 * read, so that their slots stay dense. What the image needs is taken before anything moves:
 * overflow buckets that `from` gives up are anybody's, so a split could not be undone
 * half-way.
 */
static bool
split_bucket(struct table *table, struct bucket *from, struct bucket *image, unsigned power)
{
    uint64_t bit = UINT64_C(1) << (64 - TABLE_TAG_BITS + power - TABLE_POWER_MIN);
    struct part part = part_first(from);
    struct pen stay = { part, 0 }, go = { part_first(image), 0 };

    if (!chain_reserve(table, image, chain_count(table, from, bit)))
        return false;
    do {
        for (unsigned i = 0; i < part.nslots; i++) {
            uint64_t word = load(&part.slots[i]);

            if (word != 0)
                pen_write(table, word & bit ? &go : &stay, word);
        }
    } while (part_next(table, &part));
    pen_end(table, &stay);
    return true;
}

bool
table_grow(struct table *table)
{
    uint32_t n;
    unsigned power;
    struct bucket *from, *image;
    struct lock *stripe;
    bool ok = false;

    if (!lock_try(&table->split_lock))
        return false;
    n = table_count(table);
    if (n >= table->buckets_max)
        goto out;
    power = 31 - (unsigned)__builtin_clz(n);
    if (power - TABLE_POWER_MIN >= TABLE_TAG_BITS)
        goto out;
    from = &table->buckets[n - (UINT32_C(1) << power)];
    image = &table->buckets[n];
    stripe = table_stripe(table, n - (UINT32_C(1) << power));
    lock_take(stripe);
    table_change_begin(from);
    ok = split_bucket(table, from, image, power);
    if (ok)
        atomic_store_explicit(&table->nbuckets, n + 1, memory_order_release);
    table_change_end(from);
    lock_give(stripe);
out:
    lock_give(&table->split_lock);
    return ok;
}

uint64_t
table_bytes(const struct table *table)
{
    return table_count(table) * sizeof(struct bucket) +
        overflow_fresh(table) * sizeof(struct overflow);
}

void
table_each(struct table *table, void (*fn)(void *context, uint32_t bucket, uint64_t slot),
    void *context)
{
    for (uint32_t i = 0; i < table_count(table); i++) {
        struct part part = part_first(&table->buckets[i]);

        do
            for (unsigned slot = 0; slot < part.nslots; slot++)
                if (load(&part.slots[slot]) != 0)
                    fn(context, i, load(&part.slots[slot]));
        while (part_next(table, &part));
    }
}
