/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * read.c - looking up without a lock.
 *
 * The scheme is MemC3's optimistic reading (Fan, Andersen, Kaminsky, NSDI 2013) with the
 * sequence in the bucket: see table.h for why what is read may be believed if the sequence
 * has not moved. A miss has one more way to be wrong: the bucket may have been split
 * between computing its number and reading it, so the number of buckets is read again.
 *
 * A hit has to leave a trace (recency for eviction, last access, "fetched"). That is a write
 * to the item, so it needs the stripe; it is skipped if nothing would change - the
 * reference bits are full and the second is the same - or if the stripe is busy. A hot
 * item is thus marked once a second and otherwise only read.
 */
#include "store/core.h"

/* Lock-free attempts before the stripe is taken. */
#define READ_TRIES 8

uint64_t
store_hash(const struct store *store, struct slice key)
{
    return hash_bytes(&store->hash_key, key.data, key.len);
}

static const struct bucket *
first_bucket(const struct store *store, uint64_t hash)
{
    return &store->table.buckets[table_bucket(hash, table_count(&store->table))];
}

void
store_prefetch_bucket(const struct store *store, uint64_t hash)
{
    __builtin_prefetch(first_bucket(store, hash));
}

/* Fetches what the first of these slots with this tag refers to, if there is one. */
static inline bool
prefetch_match(const struct store *store, const _Atomic uint64_t *slots, unsigned n,
    uint64_t tag)
{
    TABLE_UNROLL
    for (unsigned i = 0; i < n; i++) {
        uint64_t slot = atomic_load_explicit(&slots[i], memory_order_relaxed);

        if (table_slot_matches(slot, tag)) {
            const char *item = store->arena.base + ((slot & TABLE_REF_MASK) << 3);
            __builtin_prefetch(item);
            __builtin_prefetch(item + 64);
            return true;
        }
    }
    return false;
}

/* Fetches the overflow bucket that a meta word leads to, and tells which; 0: none. Read
 * without a lock, so it may be any. */
static uint32_t
prefetch_next(const struct store *store, const _Atomic uint64_t *meta)
{
    uint32_t next = meta_overflow(atomic_load_explicit(meta, memory_order_relaxed));

    if (next == 0 || next >= store->table.overflow_max)
        return 0;
    __builtin_prefetch(&store->table.overflow[next]);
    return next;
}

uint32_t
store_prefetch_item(const struct store *store, uint64_t hash)
{
    const struct bucket *bucket = first_bucket(store, hash);

    return prefetch_match(store, bucket->slots, TABLE_SLOTS, table_tag(hash)) ?
        0 :
        prefetch_next(store, &bucket->meta);
}

uint32_t
store_prefetch_further(const struct store *store, uint64_t hash, uint32_t at)
{
    const struct overflow *overflow = &store->table.overflow[at];

    return prefetch_match(store, overflow->slots, OVERFLOW_SLOTS, table_tag(hash)) ?
        0 :
        prefetch_next(store, &overflow->meta);
}

void
view_fill(const struct store *store, const struct item *item, uint32_t info,
    struct store_view *view)
{
    view->cas = item_cas(item);
    view->value_len = item_value_len(item);
    view->client_flags = item_client_flags(item, info);
    view->exptime = item_exptime(item);
    view->last_access = item_last_access(item);
    view->slab_class = (uint8_t)INFO_CLASS(info);
    view->large = (info & INFO_LARGE) != 0;
    view->fetched = (info & INFO_FETCHED) != 0;
    view->stale = (info & INFO_STALE) != 0;
    view->win_sent = (info & INFO_WIN_SENT) != 0;
    view->key_binary = (info & INFO_KEY_BINARY) != 0;
    view->ref = item_ref(store, item);
    view->value_at = item_value_at(info);
}

/* ---- Traces of use ------------------------------------------------------------------- */

static bool
wants_mark(const struct item *item, uint32_t info, uint32_t now)
{
    return INFO_REFS(info) < INFO_REFS_MAX || !(info & INFO_FETCHED) ||
        item_last_access(item) != now;
}

void
item_mark(struct store *store, struct item *item, uint32_t now, bool fetched)
{
    uint32_t info = item_info(item), marked;

    do {
        marked = fetched ? info | INFO_FETCHED : info;
        if (INFO_REFS(info) < INFO_REFS_MAX)
            marked += INFO_REF_ONE;
    } while (marked != info && !atomic_compare_exchange_weak_explicit(&item->info, &info,
        marked, memory_order_relaxed, memory_order_relaxed));
    if (item_last_access(item) != now)
        atomic_store_explicit(&item->last_access, now, memory_order_relaxed);
    class_used(store, INFO_CLASS(info), now);
}

/* Marks the item of a view that was read without a lock. */
static void
mark_seen(struct store *store, const struct store_view *view, uint32_t now)
{
    struct lock *stripe = table_stripe(&store->table, view->hash);
    const struct bucket *bucket = &store->table.buckets[view->bucket];

    if (!lock_try(stripe))
        return;
    /* The same sequence: the chunk still is that item. */
    if (meta_seq(atomic_load_explicit(&bucket->meta, memory_order_relaxed)) == view->seq)
        item_mark(store, item_at(store, view->ref), now, true);
    lock_give(stripe);
}

/* ---- Finding ------------------------------------------------------------------------- */

/* The item of `n` slots whose slot and key match. */
static inline struct item *
scan_slots(const struct store *store, const _Atomic uint64_t *slots, unsigned n,
    uint64_t tag, struct slice key)
{
    TABLE_UNROLL
    for (unsigned i = 0; i < n; i++) {
        uint64_t slot = atomic_load_explicit(&slots[i], memory_order_acquire);
        struct item *item;

        if (__builtin_expect(!table_slot_matches(slot, tag), 1))
            continue;
        item = arena_item(&store->arena, slot & TABLE_REF_MASK);
        if (INFO_KEY_LEN(item_info(item)) == key.len &&
            racy_equal(item->data, key.data, key.len))
            return item;
    }
    return NULL;
}

/* The item of a bucket's chain; what it returns need not be true until the sequence has been
 * checked. */
static struct item *
scan_chain(const struct store *store, const struct bucket *first, uint64_t meta,
    uint64_t hash, struct slice key)
{
    const struct table *table = &store->table;
    uint64_t tag = table_tag(hash);
    uint32_t seq = meta_seq(meta);
    struct item *item = scan_slots(store, first->slots, TABLE_SLOTS, tag, key);

    while (item == NULL) {
        uint32_t index = meta_overflow(meta);
        const struct overflow *overflow;

        /* Looked at in between because rubbish could make a circle. */
        if (index == 0 || index >= table->overflow_max ||
            meta_seq(atomic_load_explicit(&first->meta, memory_order_relaxed)) != seq)
            return NULL;
        overflow = &table->overflow[index];
        item = scan_slots(store, overflow->slots, OVERFLOW_SLOTS, tag, key);
        meta = atomic_load_explicit(&overflow->meta, memory_order_relaxed);
    }
    return item;
}

static enum store_result
judge(const struct store *store, const struct item *item, uint32_t info, uint32_t now,
    struct store_view *view)
{
    if (item_expired(item, now)) {
        view->miss = STORE_EXPIRED;
        return STORE_MISS;
    }
    if (item_flushed(store, item, info)) {
        view->miss = STORE_FLUSHED;
        return STORE_MISS;
    }
    return STORE_OK;
}

/* One attempt; false: something moved. */
static bool
find_once(struct store *store, struct slice key, uint64_t hash, uint32_t now,
    struct store_view *view, enum store_result *result)
{
    uint32_t n = table_count(&store->table);
    uint32_t index = table_bucket(hash, n);
    const struct bucket *bucket = &store->table.buckets[index];
    uint64_t meta = atomic_load_explicit(&bucket->meta, memory_order_acquire);
    struct item *item;

    if (meta & 1)
        return false;
    item = scan_chain(store, bucket, meta, hash, key);
    if (item != NULL) {
        uint32_t info = item_info(item);
        view_fill(store, item, info, view);
        *result = judge(store, item, info, now, view);
        view->bucket = index;
        view->seq = meta_seq(meta);
    } else {
        *result = STORE_MISS;
        view->miss = STORE_ABSENT;
    }
    atomic_thread_fence(memory_order_acquire);
    if (meta_seq(atomic_load_explicit(&bucket->meta, memory_order_relaxed)) !=
        meta_seq(meta))
        return false;
    return item != NULL || table_bucket(hash, table_count(&store->table)) == index;
}

enum store_result
store_find(struct store *store, struct store_thread *thread, struct slice key,
    uint64_t hash, uint32_t now, enum store_use use, struct store_view *view)
{
    enum store_result result;
    unsigned tries = 0;

    flush_if_due(store, now);
    view->hash = hash;
    view->locked = false;
    while (!find_once(store, key, hash, now, view, &result)) {
        if (++tries == READ_TRIES) {
            result = store_find_locked(store, thread, key, hash, now, use, view);
            if (result == STORE_OK)
                store_unlock(store, view);
            view->locked = false;
            return result;
        }
        lock_pause();
    }
    if (use == STORE_USE)
        estimate_asked(store, thread, hash, now);
    if (result == STORE_OK && use == STORE_USE) {
        const struct item *item = item_at(store, view->ref);
        if (wants_mark(item, item_info(item), now))
            mark_seen(store, view, now);
    }
    return result;
}

enum store_result
store_find_locked(struct store *store, struct store_thread *thread, struct slice key,
    uint64_t hash, uint32_t now, enum store_use use, struct store_view *view)
{
    struct lock *stripe = table_stripe(&store->table, hash);
    struct table_spot spot;
    enum store_result result = STORE_MISS;

    flush_if_due(store, now);
    lock_take(stripe);
    spot = table_find(&store->table, hash, key);
    view->hash = hash;
    view->locked = true;
    view->miss = STORE_ABSENT;
    if (spot.item != NULL) {
        uint32_t info = item_info(spot.item);
        view_fill(store, spot.item, info, view);
        view->bucket = (uint32_t)(spot.bucket - store->table.buckets);
        view->seq = meta_seq(atomic_load_explicit(&spot.bucket->meta,
            memory_order_relaxed));
        result = judge(store, spot.item, info, now, view);
    }
    if (use == STORE_USE)
        estimate_asked(store, thread, hash, now);
    if (result == STORE_OK && use == STORE_USE)
        item_mark(store, spot.item, now, true);
    if (result != STORE_OK)
        lock_give(stripe);
    return result;
}

void
store_unlock(struct store *store, const struct store_view *view)
{
    assert(view->locked);
    lock_give(table_stripe(&store->table, view->hash));
}

bool
store_copy(struct store *store, const struct store_view *view, char *to)
{
    const struct bucket *bucket = &store->table.buckets[view->bucket];
    const char *from = (const char *)item_at(store, view->ref) + view->value_at;

    assert(!view->large);
    assert(view->value_len <= STORE_SMALL_MAX);
    racy_read(to, from, view->value_len);
    atomic_thread_fence(memory_order_acquire);
    return meta_seq(atomic_load_explicit(&bucket->meta, memory_order_relaxed)) == view->seq;
}
