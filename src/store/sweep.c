/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sweep.c - work in the background: expired items, the index, the memory limit, huge pages.
 *
 * Each page knows a second before which none of its items expires (page.expires), so the
 * sweep passes over pages that have nothing to give and costs next to nothing until
 * something does expire; then it is found within a second or two. A page is read without
 * a lock; what looks dead is looked up again under its stripe (evict_ref).
 *
 * page.expires and the sweep: the sweep first exchanges the field for "never", then reads
 * the items and lowers it again to the earliest expiry it has seen. Storing writes the item
 * first and lowers the field afterwards. Both are read-modify-writes of one field: if the
 * store's comes first, the exchange sees the item; if it comes second, its lower value
 * stays. Either way no expiry is forgotten.
 */
#include "base/clock.h"
#include "store/core.h"

static bool
page_due(struct store *store, struct page *page, uint32_t now)
{
    unsigned id = atomic_load_explicit(&page->slab_class, memory_order_relaxed);

    if (id == 0)
        return false;
    return atomic_load_explicit(&page->expires, memory_order_relaxed) <= now ||
        (store->sweep_whole >> id & 1) != 0;
}

/* Reclaims the dead items of one page. */
static void
sweep_page(struct store *store, struct store_thread *thread, uint32_t at, uint32_t now)
{
    struct page *page = &store->slab.pages[at];
    unsigned id = atomic_load_explicit(&page->slab_class, memory_order_relaxed);
    struct slab_class *class = &store->slab.classes[id];
    uint32_t size = class->chunk_size, earliest = UINT32_MAX;
    uint32_t fresh = 0, checked = 0, reclaimed = 0;

    if (id == 0)
        return;
    /* With the class locked, so that the page does not begin another life in between. */
    lock_take(&class->lock);
    if (page->slab_class == id) {
        fresh = page->fresh;
        atomic_exchange_explicit(&page->expires, UINT32_MAX, memory_order_acq_rel);
    }
    lock_give(&class->lock);
    for (uint32_t i = 0; i < fresh; i++) {
        struct item *item = (struct item *)(void *)(arena_page(&store->arena, at) +
            i * size);
        uint32_t info = item_info(item), exptime = item_exptime(item);

        if (INFO_KIND(info) != KIND_ITEM)
            continue;
        checked++;
        if (item_dead(store, item, info, now) &&
            evict_ref(store, thread, item_ref(store, item), now, EVICT_DEAD_ONLY)) {
            reclaimed++;
            if (!(info & INFO_FETCHED))
                atomic_fetch_add_explicit(&class->expired_unfetched, 1,
                    memory_order_relaxed);
        } else if (exptime != 0 && exptime < earliest) {
            earliest = exptime;
        }
    }
    slab_note_expiry(&store->slab, (struct item *)(void *)arena_page(&store->arena, at),
        earliest);
    atomic_fetch_add_explicit(&class->sweep_checked, checked, memory_order_relaxed);
    atomic_fetch_add_explicit(&class->sweep_reclaimed, reclaimed, memory_order_relaxed);
}

static bool
out_of_time(uint64_t deadline)
{
    return clock_micros() >= deadline;
}

/* Goes on with the round through all pages; true: time was up before its end. */
static bool
sweep(struct store *store, struct store_thread *thread, uint32_t now, uint64_t deadline)
{
    uint32_t high = atomic_load_explicit(&store->slab.page_high, memory_order_relaxed);
    bool wanted = atomic_load_explicit(&store->sweep_enabled, memory_order_relaxed);

    if (!atomic_load_explicit(&store->sweep_running, memory_order_relaxed)) {
        if (!wanted || store->sweep_second == now)
            return false; /* one round a second is enough */
        store->sweep_second = now;
        store->sweep_page = 0;
        /* What is asked for from here on is the next round's. */
        store->sweep_whole = atomic_exchange_explicit(&store->sweep_classes, 0,
            memory_order_relaxed);
        atomic_store_explicit(&store->sweep_running, true, memory_order_relaxed);
        atomic_fetch_add_explicit(&store->sweep_runs, 1, memory_order_relaxed);
    }
    for (; store->sweep_page < high; store->sweep_page++) {
        if (!page_due(store, &store->slab.pages[store->sweep_page], now))
            continue;
        if (out_of_time(deadline))
            return true;
        sweep_page(store, thread, store->sweep_page, now);
    }
    atomic_store_explicit(&store->sweep_running, false, memory_order_relaxed);
    return false;
}

/* The limit was lowered: pages go, whoever has them. True: more have to. */
static bool
shrink(struct store *store, struct store_thread *thread, uint32_t now, uint64_t deadline)
{
    struct slab *slab = &store->slab;

    while (slab_pool_trim(slab) || slab_ready_trim(slab))
        if (out_of_time(deadline))
            return true;
    while (atomic_load_explicit(&slab->pages_held, memory_order_relaxed) >
        atomic_load_explicit(&slab->pages_max, memory_order_relaxed)) {
        if (out_of_time(deadline))
            return true;
        if (!page_move(store, thread, -1, 0, now))
            return true;
    }
    return false;
}

static bool
catch_up_index(struct store *store, uint64_t deadline)
{
    unsigned n = 0;

    while (table_wants_growth(&store->table)) {
        if (!table_grow(&store->table))
            return false;
        if (++n % 64 == 0 && out_of_time(deadline))
            return true;
    }
    return false;
}

/* Blocks of pages made ready at once: with 100 steps a second, more than a processor can fill. They
 * count within the memory limit in any case. */
#define PAGES_AHEAD 8

/* The index and the ghosts are used all over up to their end, so half of a block will soon be
 * all of it; pages are taken one after the other. True: look again soon. */
static bool
gather(struct store *store)
{
    struct arena *arena = &store->arena;
    uint64_t buckets = (uint64_t)(arena->buckets - arena->base);
    uint64_t ghosts = (uint64_t)(arena->ghosts - arena->base);
    uint64_t pages = (uint64_t)(arena->pages - arena->base);
    uint64_t nbuckets = table_count(&store->table);
    uint64_t high = atomic_load_explicit(&store->slab.page_high, memory_order_relaxed);
    uint64_t high_max = limit_bytes(store) >> PAGE_SIZE_BITS;
    const struct gather_part parts[] = {
        { buckets, buckets + nbuckets * sizeof(struct bucket),
            buckets + arena->sizes.buckets, GATHER_PAGES / 2, 1 },
        { ghosts, ghosts + nbuckets * sizeof(struct ghost_set), ghosts, GATHER_PAGES / 2, 1 },
        { pages, pages + (high << PAGE_SIZE_BITS),
            pages + ((high > high_max ? high : high_max) << PAGE_SIZE_BITS), GATHER_PAGES,
            PAGES_AHEAD },
    };

    return gather_step(&arena->gather, parts, sizeof parts / sizeof parts[0],
        clock_micros());
}

enum store_upkeep
store_maintain(struct store *store, struct store_thread *thread, uint32_t now,
    uint32_t budget_us)
{
    uint64_t deadline = clock_micros() + budget_us;
    bool more, soon;

    atomic_store_explicit(&store->second, now, memory_order_relaxed);
    flush_if_due(store, now);
    more = catch_up_index(store, deadline);
    more = shrink(store, thread, now, deadline) || more;
    more = sweep(store, thread, now, deadline) || more;
    counters_check(store);
    estimate_fade(store->estimate, asked_in_all(store));
    more = idle_pages(store, thread, now) || more;
    soon = balance_pages(store, thread, now);
    soon = gather(store) || soon;
    if (more)
        return STORE_BEHIND;
    return soon ? STORE_EVICTING : STORE_IDLE;
}

void
store_sweep_enable(struct store *store, bool on)
{
    atomic_store_explicit(&store->sweep_enabled, on, memory_order_relaxed);
}

void
store_sweep_now(struct store *store, uint64_t classes)
{
    atomic_fetch_or_explicit(&store->sweep_classes, classes, memory_order_relaxed);
}

bool
store_memory_limit(struct store *store, uint64_t limit)
{
    uint64_t pages = limit >> PAGE_SIZE_BITS;

    if (store->options.preallocate || pages == 0 || pages > store->arena.npages)
        return false;
    atomic_store_explicit(&store->slab.pages_max, (uint32_t)pages, memory_order_relaxed);
    return true;
}
