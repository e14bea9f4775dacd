/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inspect.c - looking at the store: totals, classes, walks, checks. Nothing here runs while
 * serving unless somebody asks.
 */
#include "store/core.h"

static uint64_t
get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Adds up what threads count; id 0: over all classes. */
static void
sum_gauges(struct store *store, unsigned id, uint64_t *items, uint64_t *bytes)
{
    *items = *bytes = 0;
    pthread_mutex_lock(&store->threads_lock);
    for (struct store_thread *thread = store->threads; thread != NULL;
         thread = thread->next) {
        unsigned first = id == 0 ? 1 : id, last = id == 0 ? SLAB_CLASSES_MAX - 1 : id;

        for (unsigned i = first; i <= last; i++) {
            *items += get(&thread->gauges[i].items);
            *bytes += get(&thread->gauges[i].bytes);
        }
    }
    pthread_mutex_unlock(&store->threads_lock);
}

uint64_t
asked_in_all(struct store *store)
{
    uint64_t n = 0;

    pthread_mutex_lock(&store->threads_lock);
    for (struct store_thread *thread = store->threads; thread != NULL;
         thread = thread->next)
        n += get(&thread->asked);
    pthread_mutex_unlock(&store->threads_lock);
    return n;
}

uint64_t
counters_of(struct store *store, unsigned id)
{
    uint64_t n = 0;

    pthread_mutex_lock(&store->threads_lock);
    for (struct store_thread *thread = store->threads; thread != NULL;
         thread = thread->next)
        n += get(&thread->gauges[id].counters);
    pthread_mutex_unlock(&store->threads_lock);
    /* Threads are read one after the other, so it may look a little less than none. */
    return (int64_t)n < 0 ? 0 : n;
}

static void
sum_threads(struct store *store, struct store_totals *totals)
{
    pthread_mutex_lock(&store->threads_lock);
    for (struct store_thread *thread = store->threads; thread != NULL;
         thread = thread->next) {
        totals->items_total += get(&thread->items_total);
        totals->direct_reclaims += get(&thread->direct_reclaims);
    }
    pthread_mutex_unlock(&store->threads_lock);
}

static void
sum_classes(const struct slab *slab, struct store_totals *totals)
{
    for (unsigned id = 1; id <= slab->nclasses; id++) {
        const struct slab_class *class = &slab->classes[id];

        totals->evictions += get(&class->evicted);
        totals->evicted_unfetched += get(&class->evicted_unfetched);
        totals->evicted_active += get(&class->evicted_active);
        totals->expired_unfetched += get(&class->expired_unfetched);
        totals->reclaimed += get(&class->reclaimed);
        totals->no_memory += get(&class->out_of_memory);
        totals->sweep_checked += get(&class->sweep_checked);
        totals->sweep_reclaimed += get(&class->sweep_reclaimed);
        totals->ghost_hits += get(&class->ghost_hits);
    }
}

static void
sum_policy(struct store *store, struct store_totals *totals)
{
    uint64_t evicted = 0;

    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        struct slab_class *class = &store->slab.classes[id];

        lock_take(&class->lock);
        totals->probation_bytes += ring_bytes(&class->probation);
        lock_give(&class->lock);
        totals->counter_bytes += counters_of(store, id) * class->chunk_size;
        evicted += get(&class->gone);
    }
    totals->estimated = estimate_ratios(store->estimate, asked_in_all(store),
        totals->hit_ratios);
    totals->counter_limit = totals->limit_bytes / 100 * store->options.counter_reserve;
    /* Memory that nothing was written to is not there. */
    if (evicted > 0)
        totals->ghost_bytes = totals->index_buckets * sizeof(struct ghost_set);
}

void
store_totals(struct store *store, struct store_totals *totals)
{
    const struct slab *slab = &store->slab;
    uint32_t n = table_count(&store->table);

    *totals = (struct store_totals){
        .limit_bytes = limit_bytes(store),
        .memory_bytes = (uint64_t)slab->pages_held << PAGE_SIZE_BITS,
        .kept_bytes = ((uint64_t)slab->pages_held + slab->pool_kept) << PAGE_SIZE_BITS,
        .pages_free = slab->pool_count,
        .sweep_runs = get(&store->sweep_runs),
        .pages_moved = get(&store->pages_moved),
        .move_rescues = get(&store->move_rescues),
        .index_buckets = n,
        .index_bytes = table_bytes(&store->table),
        .index_power = 31 - (uint32_t)__builtin_clz(n),
        .index_growing = table_wants_growth(&store->table),
        .sweep_running = store->sweep_running,
        .sweep_enabled = store->sweep_enabled,
        .upload_bytes = get(&store->upload_bytes),
        .pinned_bytes = get(&store->pinned_bytes),
        .flushed_before = store->flushed_at,
        .huge_page_bytes = gather_bytes(&store->arena.gather),
    };
    sum_gauges(store, 0, &totals->items, &totals->bytes);
    sum_threads(store, totals);
    sum_classes(slab, totals);
    sum_policy(store, totals);
}

unsigned
store_classes(const struct store *store)
{
    return store->slab.nclasses;
}

unsigned
store_class_of(const struct store *store, size_t key_len, uint32_t client_flags,
    size_t value_len)
{
    if (store_is_large(key_len, value_len))
        return 0;
    return slab_class_for(&store->slab,
        (uint32_t)(ITEM_HEADER + key_len + (client_flags ? 4 : 0) + value_len));
}

/* Fresh chunks that no page has handed out yet count as free. */
static void
class_memory(const struct slab_class *class, struct store_class_totals *totals)
{
    totals->chunk_size = class->chunk_size;
    totals->chunks_per_page = class->per_page;
    totals->pages = class->pages;
    totals->chunks = (uint64_t)class->pages * class->per_page;
    totals->used_chunks = class->used;
    totals->free_chunks = totals->chunks - class->used;
}

void
store_class_totals(struct store *store, unsigned id, uint32_t now,
    struct store_class_totals *totals)
{
    struct slab_class *class = &store->slab.classes[id];

    assert(id >= 1);
    assert(id <= store->slab.nclasses);
    *totals = (struct store_class_totals){
        .evicted = get(&class->evicted),
        .evicted_nonzero = get(&class->evicted_nonzero),
        .evicted_unfetched = get(&class->evicted_unfetched),
        .evicted_active = get(&class->evicted_active),
        .expired_unfetched = get(&class->expired_unfetched),
        .reclaimed = get(&class->reclaimed),
        .out_of_memory = get(&class->out_of_memory),
        .sweep_checked = get(&class->sweep_checked),
        .sweep_reclaimed = get(&class->sweep_reclaimed),
        .ghost_hits = get(&class->ghost_hits),
        .wanted = get(&class->wanted),
        .counters = counters_of(store, id),
        .evicted_age_mean = atomic_load_explicit(&class->mean_age,
            memory_order_relaxed) / 256,
    };
    lock_take(&class->lock);
    class_memory(class, totals);
    totals->probation = class->probation.count;
    totals->evicted_age = atomic_load_explicit(&class->evicted_age, memory_order_relaxed);
    if (class->hand_access != 0 && now > class->hand_access)
        totals->oldest_age = now - class->hand_access;
    lock_give(&class->lock);
    sum_gauges(store, id, &totals->items, &totals->mem_requested);
}

/* ---- Walking ------------------------------------------------------------------------- */

/* Shows the item of a chunk, if the index leads to that chunk. */
static void
show_chunk(struct store *store, struct store_thread *thread, struct item *chunk,
    uint32_t now, store_walk_fn fn, void *context)
{
    uint32_t info = item_info(chunk);
    struct store_entry entry;

    if (INFO_KIND(info) != KIND_ITEM || INFO_KEY_LEN(info) == 0)
        return;
    racy_read(thread->key, chunk->data, INFO_KEY_LEN(info));
    entry.key = slice_of(thread->key, INFO_KEY_LEN(info));
    if (store_find(store, thread, entry.key, store_hash(store, entry.key), now, STORE_PEEK,
            &entry.view) == STORE_OK &&
        entry.view.ref == item_ref(store, chunk))
        fn(context, &entry);
}

bool
store_walk(struct store *store, struct store_thread *thread, uint64_t classes,
    uint64_t *cursor, unsigned budget, uint32_t now, store_walk_fn fn, void *context)
{
    struct slab *slab = &store->slab;
    uint32_t page = (uint32_t)(*cursor >> 16), index = (uint32_t)(*cursor & 0xffff);
    uint32_t high = atomic_load_explicit(&slab->page_high, memory_order_relaxed);

    while (page < high && budget > 0) {
        unsigned id = atomic_load_explicit(&slab->pages[page].slab_class,
            memory_order_relaxed);
        struct slab_class *class = &slab->classes[id];

        if (id == 0 || !(classes >> id & 1) || index >= class->per_page) {
            page++;
            index = 0;
            budget--;
            continue;
        }
        show_chunk(store, thread,
            (struct item *)(void *)(arena_page(&store->arena, page) +
                index * class->chunk_size),
            now, fn, context);
        index++;
        budget--;
    }
    *cursor = (uint64_t)page << 16 | index;
    return page < high;
}

/* ---- Checking ------------------------------------------------------------------------ */

struct check {
    struct store *store;
    uint64_t items, bytes;
};

static void
check_slot(void *context, uint32_t bucket, uint64_t slot)
{
    struct check *check = context;
    struct store *store = check->store;
    struct item *item = item_at(store, slot & TABLE_REF_MASK);
    uint32_t info = item_info(item);
    struct slice key = slice_of(item->data, INFO_KEY_LEN(info));
    uint64_t hash = store_hash(store, key);

    assert(INFO_KIND(info) == KIND_ITEM);
    assert(table_bucket(hash, table_count(&store->table)) == bucket);
    assert(slot == (table_tag(hash) | item_ref(store, item)));
    assert(item_used(info, item_value_len(item)) <=
        store->slab.classes[INFO_CLASS(info)].chunk_size);
    if (info & INFO_LARGE)
        chain_check(store, item);
    check->items++;
    check->bytes += gauge_bytes(item, info);
}

void
store_check(struct store *store)
{
    struct check check = { .store = store };
    uint64_t items, bytes;

    table_each(&store->table, check_slot, &check);
    sum_gauges(store, 0, &items, &bytes);
    assert(check.items == items);
    assert(check.bytes == bytes);
    slab_check(&store->slab);
    policy_check(store);
}
