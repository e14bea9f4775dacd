/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evict.c - finding memory when none is free.
 *
 * policy.c names a victim in a class. Its choice is made without the victim's stripe, so the
 * victim is looked up again under the stripe, by what the policy knows of its hash or by its
 * key, and only if the index still refers to that very chunk does it go. Whoever needs memory
 * may hold a stripe already: other stripes are therefore only tried, and a victim
 * whose stripe is busy (or is our own) is passed over.
 */
#include "store/core.h"

/* ---- Gauges -------------------------------------------------------------------------- */

uint64_t
gauge_bytes(const struct item *item, uint32_t info)
{
    uint32_t value_len = item_value_len(item);

    return (uint64_t)item_used(info, value_len) + ((info & INFO_LARGE) ? value_len : 0);
}

void
gauge_add(struct store_thread *thread, const struct item *item, uint32_t info)
{
    struct class_gauge *gauge = &thread->gauges[INFO_CLASS(info)];

    counter_add(&gauge->items, 1);
    counter_add(&gauge->bytes, gauge_bytes(item, info));
    if (info & INFO_COUNTER)
        counter_add(&gauge->counters, 1);
}

void
gauge_sub(struct store_thread *thread, const struct item *item, uint32_t info)
{
    struct class_gauge *gauge = &thread->gauges[INFO_CLASS(info)];

    counter_add(&gauge->items, (uint64_t)-1);
    counter_add(&gauge->bytes, -gauge_bytes(item, info));
    if (info & INFO_COUNTER)
        counter_add(&gauge->counters, (uint64_t)-1);
}

void
counters_check(struct store *store)
{
    uint64_t bytes = 0, share;

    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        struct slab_class *class = &store->slab.classes[id];

        class->counters = counters_of(store, id);
        bytes += class->counters * class->chunk_size;
    }
    share = limit_bytes(store) / 100 * store->options.counter_reserve;
    atomic_store_explicit(&store->counters_over, bytes > share, memory_order_relaxed);
}

/* Changes of the number of items that a thread keeps to itself. */
#define ITEMS_BATCH 32

void
count_items(struct store *store, struct store_thread *thread, int64_t n)
{
    thread->items_unflushed += n;
    if (thread->items_unflushed < ITEMS_BATCH && thread->items_unflushed > -ITEMS_BATCH)
        return;
    atomic_fetch_add_explicit(&store->table.items, thread->items_unflushed,
        memory_order_relaxed);
    thread->items_unflushed = 0;
}

void
grow_index(struct store *store)
{
    /* One split for each insertion keeps pace: there are seven items a bucket. */
    if (table_wants_growth(&store->table))
        (void)table_grow(&store->table);
}

/* ---- Unlinking ----------------------------------------------------------------------- */

void
item_unlink(struct store *store, struct store_thread *thread, struct table_spot *spot)
{
    struct item *item = spot->item;
    uint32_t info = item_info(item);

    assert(INFO_KIND(info) == KIND_ITEM);
    table_remove(&store->table, spot);
    item_set_info(item, info_with_kind(info, KIND_RESERVED));
    gauge_sub(thread, item, info);
    count_items(store, thread, -1);
}

bool
item_disposable(struct item *item)
{
    uint32_t info = item_info(item);

    return !(info & INFO_LARGE) || item_chain(item, info)->pins == 0;
}

void
item_dispose(struct store *store, struct item *item)
{
    uint32_t info = item_info(item);

    if (info & INFO_LARGE)
        chain_free(store, item_chain(item, info)->first);
    slab_free(&store->slab, item);
}

/* ---- Victims ------------------------------------------------------------------------- */

/* `id`: the class whose chunk is wanted, which for a large item is that of a piece. */
static void
count_victim(struct store *store, const struct table_spot *spot, unsigned id, uint32_t now)
{
    const struct item *item = spot->item;
    uint32_t info = item_info(item);
    struct slab_class *class = &store->slab.classes[INFO_CLASS(info)];
    uint32_t access = item_last_access(item), age = now > access ? now - access : 0;

    if (!item_live(store, item, info, now)) {
        atomic_fetch_add_explicit(&class->reclaimed, 1, memory_order_relaxed);
        if (!(info & INFO_FETCHED))
            atomic_fetch_add_explicit(&class->expired_unfetched, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&class->evicted, 1, memory_order_relaxed);
    if (item_exptime(item) != 0)
        atomic_fetch_add_explicit(&class->evicted_nonzero, 1, memory_order_relaxed);
    if (!(info & INFO_FETCHED))
        atomic_fetch_add_explicit(&class->evicted_unfetched, 1, memory_order_relaxed);
    if (INFO_REFS(info) != 0)
        atomic_fetch_add_explicit(&class->evicted_active, 1, memory_order_relaxed);
    atomic_store_explicit(&class->evicted_age, age, memory_order_relaxed);
    policy_evicted(store, id, spot, age, now);
}

/* The item that a chunk belongs to, as it seems without any lock: its ref, or 0. */
static uint64_t
owner_of(const struct store *store, uint64_t ref)
{
    const struct item *item = item_at(store, ref);

    if (INFO_KIND(item_info(item)) == KIND_PIECE) {
        ref = item_cas(item);
        if (!arena_ref_valid(&store->arena, ref))
            return 0;
        item = item_at(store, ref);
    }
    return INFO_KIND(item_info(item)) == KIND_ITEM ? ref : 0;
}

/* Takes the stripe that the hash tells, if it is free, and looks for the item. */
static struct table_spot
lock_spot(struct store *store, uint64_t hash, uint64_t ref, struct lock **stripe_out)
{
    struct table_spot spot = { .item = NULL };

    *stripe_out = table_stripe(&store->table, hash);
    if (!lock_try(*stripe_out))
        return spot;
    spot = table_find_ref(&store->table, hash, ref);
    if (spot.item == NULL)
        lock_give(*stripe_out);
    return spot;
}

struct table_spot
lock_owner(struct store *store, struct store_thread *thread, uint64_t ref,
    struct lock **stripe_out)
{
    const struct table_spot nowhere = { .item = NULL };
    const struct item *item;
    uint32_t key_len;
    uint64_t hash;

    ref = owner_of(store, ref);
    if (ref == 0)
        return nowhere;
    item = item_at(store, ref);
    key_len = INFO_KEY_LEN(item_info(item));
    if (key_len == 0)
        return nowhere;
    racy_read(thread->key, item->data, key_len);
    hash = hash_bytes(&store->hash_key, thread->key, key_len);
    policy_prefetch(store, table_bucket(hash, table_count(&store->table)));
    return lock_spot(store, hash, ref, stripe_out);
}

/* The same by the bits of the hash that a victim comes with; where they don't lead to it, by
 * its key. */
static struct table_spot
lock_victim(struct store *store, struct store_thread *thread, const struct victim *victim,
    struct lock **stripe_out)
{
    struct table_spot spot;
    uint64_t ref;

    if (!victim->hashed || table_count(&store->table) >> VICTIM_HASH_BITS != 0)
        return lock_owner(store, thread, victim->ref, stripe_out);
    ref = owner_of(store, victim->ref);
    if (ref == 0)
        return (struct table_spot){ .item = NULL };
    spot = lock_spot(store, victim->hash, ref, stripe_out);
    if (spot.item == NULL)
        return lock_owner(store, thread, victim->ref, stripe_out);
    spot.hash = table_slot_hash(table_slot(&spot), victim->hash);
    return spot;
}

static bool
may_evict(struct store *store, struct item *item, uint32_t now, enum evict_why why)
{
    uint32_t info = item_info(item);

    if (!item_disposable(item))
        return false;
    if (why == EVICT_DEAD_ONLY)
        return !item_live(store, item, info, now);
    return !policy_protects(store, item, info, now);
}

/* Shows a victim, whose stripe is held, to those who watch. */
static void
show_victim(struct store *store, struct store_thread *thread, struct item *item,
    uint32_t now)
{
    uint32_t info = item_info(item), access = item_last_access(item);
    uint32_t exptime = item_exptime(item);
    struct store_evicted evicted = {
        .key = slice_of(thread->key, INFO_KEY_LEN(info)),
        .ttl = exptime == 0 ? -1 : (int64_t)exptime - (int64_t)now,
        .idle = now > access ? now - access : 0,
        .value_len = item_value_len(item),
        .slab_class = (uint8_t)INFO_CLASS(info),
        .fetched = (info & INFO_FETCHED) != 0,
    };
    unsigned wanted = atomic_load_explicit(thread->wanted, memory_order_relaxed);

    racy_read(thread->key, item->data, INFO_KEY_LEN(info));
    if ((wanted & thread->observer->evictions) != 0 && item_live(store, item, info, now))
        thread->observer->evicted(thread->observer_context, &evicted);
}

/* The item that a chunk belongs to, unlinked and counted; NULL: it may not go now. */
static struct item *
unlink_victim(struct store *store, struct store_thread *thread,
    const struct victim *victim, uint32_t now, enum evict_why why)
{
    struct lock *stripe;
    struct table_spot spot = lock_victim(store, thread, victim, &stripe);
    struct item *item = spot.item;
    unsigned id = INFO_CLASS(item_info(item_at(store, victim->ref)));

    if (item == NULL)
        return NULL;
    if (may_evict(store, item, now, why)) {
        if (why != EVICT_DEAD_ONLY)
            count_victim(store, &spot, id, now);
        if (why != EVICT_DEAD_ONLY && is_observed(thread))
            show_victim(store, thread, item, now);
        item_unlink(store, thread, &spot);
    } else {
        item = NULL;
    }
    lock_give(stripe);
    return item;
}

bool
evict_ref(struct store *store, struct store_thread *thread, uint64_t ref, uint32_t now,
    enum evict_why why)
{
    struct victim victim = { .ref = ref };
    struct item *item = unlink_victim(store, thread, &victim, now, why);

    if (item == NULL)
        return false;
    item_dispose(store, item);
    return true;
}

/* Evicts one item that has a chunk in the class. The chunk itself, if the item was small:
 * it need not go through the free list. NULL with *done_out: look at the free list. */
static struct item *
evict_from(struct store *store, struct store_thread *thread, unsigned id, bool anyway,
    uint32_t now, bool *done_out)
{
    struct victim victim = policy_victim(store, id, anyway, now);
    struct item *item;
    uint32_t info;

    *done_out = false;
    if (victim.ref == 0)
        return NULL;
    item = unlink_victim(store, thread, &victim, now, EVICT_FOR_SPACE);
    if (item == NULL)
        return NULL;
    *done_out = true;
    info = item_info(item);
    /* A page that is being emptied gets its chunks back. */
    if (INFO_CLASS(info) == id && !(info & INFO_LARGE) &&
        !slab_draining(&store->slab, item)) {
        item_set_info(item, info_make(0, id, KIND_RESERVED));
        return item;
    }
    item_dispose(store, item);
    return NULL;
}

/* A free chunk of the class, or of a free page. */
static struct item *
chunk_free(struct store *store, unsigned id)
{
    return slab_all_taken(&store->slab, id) ? NULL : slab_alloc(&store->slab, id);
}

/* From the class's own chunks, by eviction. `anyway`: even if all that the hand meets are in
 * use. */
static struct item *
evict_own(struct store *store, struct store_thread *thread, unsigned id, bool anyway,
    uint32_t now)
{
    struct item *chunk = NULL;

    for (unsigned round = 0; round < EVICT_ROUNDS && chunk == NULL; round++) {
        bool done;

        chunk = evict_from(store, thread, id, anyway, now, &done);
        if (chunk == NULL && done)
            chunk = chunk_free(store, id);
    }
    return chunk;
}

struct item *
chunk_get_own(struct store *store, struct store_thread *thread, unsigned id, uint32_t now)
{
    struct item *chunk = chunk_free(store, id);

    if (chunk != NULL || !store->options.evict)
        return chunk;
    return evict_own(store, thread, id, false, now);
}

struct item *
chunk_get(struct store *store, struct store_thread *thread, unsigned id, uint32_t now)
{
    struct slab_class *class = &store->slab.classes[id];
    struct item *chunk = chunk_free(store, id);

    if (chunk != NULL)
        return chunk;
    if (store->options.evict) {
        chunk = evict_own(store, thread, id, false, now);
        /* All in use: something has to go nevertheless. That classes with more to keep
         * than others get more pages is left to balance_pages(), which is paced. */
        if (chunk == NULL)
            chunk = evict_own(store, thread, id, true, now);
        /* Nothing of its own: another class has to give a page. */
        for (unsigned round = 0; round < EVICT_ROUNDS && chunk == NULL; round++) {
            if (!page_move(store, thread, -1, id, now))
                break;
            counter_add(&thread->direct_reclaims, 1);
            chunk = slab_alloc(&store->slab, id);
        }
    }
    if (chunk == NULL)
        atomic_fetch_add_explicit(&class->out_of_memory, 1, memory_order_relaxed);
    return chunk;
}
