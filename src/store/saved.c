/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * saved.c - the list of what is saved. Whoever adds a field to struct store, or to what it is
 * made of, adds it here (and counts HEADER_VERSION up), or says why it may be lost:
 *
 *   locks, drains     nobody is inside
 *   pins, uploads     there are none
 *   threads' scratch, generators
 *   store.flush_latest  the highest of the horizons
 *   store.second      maintenance tells it anew
 *   idle.c            how long classes were not used: all of them begin as used
 *   options           the next process has its own; those that items depend on are compared
 */
#include "store/saved.h"

#include <stdlib.h>

#define NUMBER(field) field = state_number(state, field, UINT64_MAX)
#define SMALL(field) field = state_small(state, field, UINT32_MAX)

/* Part of the list begins: so that one who has lost his place is not long in finding out. */
static void
part(struct state *state, char name)
{
    uint64_t tag = UINT64_C(0x2d2d2d2d2d2d2d) << 8 | (unsigned char)name;

    if (state_number(state, tag, UINT64_MAX) != tag)
        state_refuse(state);
}

/* ---- What has to be the same ----------------------------------------------------------- */

static bool
same(struct state *state, uint64_t value)
{
    return state_number(state, value, UINT64_MAX) == value;
}

static bool
same_sizes(struct state *state, const struct slab *slab)
{
    bool equal = same(state, slab->nclasses);

    for (unsigned id = 1; id <= slab->nclasses; id++)
        equal = same(state, slab->classes[id].chunk_size) && equal;
    return equal;
}

static const char *
exchange_settings(struct state *state, const struct store *store)
{
    part(state, 'o');
    if (!same(state, store->hash_key.fast))
        return "its keys were hashed otherwise (hash_algorithm)";
    if (!same(state, store->options.lru))
        return "items were evicted by another policy";
    if (!same_sizes(state, &store->slab))
        return "its chunks have other sizes (-f, -n, slab_sizes, slab_chunk_max)";
    return NULL;
}

/* ---- The store ------------------------------------------------------------------------- */

static void
exchange_store(struct state *state, struct store *store)
{
    part(state, 's');
    NUMBER(store->hash_key.k0);
    NUMBER(store->hash_key.k1);
    NUMBER(store->cas);
    NUMBER(store->flushed);
    SMALL(store->flush_at);
    SMALL(store->flushed_at);
    store->counters_over = state_flag(state, store->counters_over);
    NUMBER(store->pages_moved);
    NUMBER(store->move_rescues);
    store->sweep_enabled = state_flag(state, store->sweep_enabled);
    store->sweep_running = state_flag(state, store->sweep_running);
    NUMBER(store->sweep_classes);
    NUMBER(store->sweep_runs);
    NUMBER(store->sweep_whole);
    SMALL(store->sweep_page);
    SMALL(store->sweep_second);
    NUMBER(store->balance_evicted);
    NUMBER(store->balance_credit);
    SMALL(store->balance_second);
}

/* Of prefixes by their texts: the next store may have chosen others, or in another order. */
static void
exchange_prefix(struct state *state, struct store *store, const struct flush_prefix *prefix)
{
    char text[STORE_FLUSH_PREFIX_MAX] = "";
    uint32_t len = state_small(state, prefix->len, STORE_FLUSH_PREFIX_MAX);

    memcpy(text, prefix->bytes, prefix->len);
    state_bytes(state, text, sizeof text);
    uint64_t horizon = state_number(state, prefix->horizon, UINT64_MAX);
    uint64_t flushes = state_number(state, prefix->flushes, UINT64_MAX);
    if (len == 0)
        state_refuse(state);
    if (!state->saving && state->bad == 0)
        flush_restore_prefix(store, slice_of(text, len), horizon, flushes);
}

static void
exchange_flushes(struct state *state, struct store *store)
{
    static const struct flush_prefix none;
    uint32_t n;

    part(state, 'f');
    n = state_small(state, store->nflush_slots, FLUSH_SLOTS);
    for (uint32_t i = 0; i < n; i++)
        exchange_prefix(state, store, state->saving ? &store->flush_prefixes[i] : &none);
    if (!state->saving && !flush_restore_end(store))
        state_refuse(state);
}

static void
exchange_sums(struct state *state, struct store_thread *sums)
{
    part(state, 't');
    NUMBER(sums->items_total);
    NUMBER(sums->direct_reclaims);
    NUMBER(sums->asked);
    for (unsigned id = 0; id < SLAB_CLASSES_MAX; id++) {
        NUMBER(sums->gauges[id].items);
        NUMBER(sums->gauges[id].bytes);
        NUMBER(sums->gauges[id].counters);
    }
}

static void
exchange_table(struct state *state, struct table *table)
{
    part(state, 'i');
    table->nbuckets = state_small(state, table->nbuckets, table->buckets_max);
    table->overflow_fresh = state_small(state, table->overflow_fresh, table->overflow_max);
    table->overflow_free = state_small(state, table->overflow_free, table->overflow_max - 1);
    table->overflow_used = state_small(state, table->overflow_used, table->overflow_max - 1);
    table->items = (int64_t)state_number(state, (uint64_t)table->items, INT64_MAX);
    if (table->nbuckets < TABLE_STRIPES || table->overflow_fresh < 1)
        state_refuse(state);
}

/* ---- Memory ---------------------------------------------------------------------------- */

/* The number of a page, or NO_PAGE. */
static uint32_t
page_number(struct state *state, uint32_t page, const struct slab *slab)
{
    page = state_small(state, page, UINT32_MAX);
    if (page != NO_PAGE && page >= slab->page_high) {
        state_refuse(state);
        return NO_PAGE;
    }
    return page;
}

static void
exchange_pool(struct state *state, struct slab *slab)
{
    uint32_t npages = (uint32_t)slab->arena->npages;

    part(state, 'p');
    slab->page_high = state_small(state, slab->page_high, npages);
    slab->pages_held = state_small(state, slab->pages_held, slab->page_high);
    slab->pool_count = state_small(state, slab->pool_count, slab->page_high);
    slab->pool_kept = state_small(state, slab->pool_kept, slab->pool_count);
    slab->pool_first = page_number(state, slab->pool_first, slab);
    slab->pool_bare = page_number(state, slab->pool_bare, slab);
}

static void
exchange_class_counts(struct state *state, struct slab_class *class)
{
    SMALL(class->evicted_age);
    SMALL(class->mean_age);
    SMALL(class->evicted_at);
    NUMBER(class->gone);
    if (!state->saving)
        class->gone_seen = class->gone; /* idle.c begins anew */
    NUMBER(class->ghost_hits);
    NUMBER(class->wanted);
    NUMBER(class->wanted_seen);
    NUMBER(class->demand);
    NUMBER(class->counters);
    NUMBER(class->gone_at_gift);
    NUMBER(class->free_least);
    NUMBER(class->free_least_before);
    NUMBER(class->evicted);
    NUMBER(class->evicted_nonzero);
    NUMBER(class->evicted_unfetched);
    NUMBER(class->evicted_active);
    NUMBER(class->expired_unfetched);
    NUMBER(class->reclaimed);
    NUMBER(class->out_of_memory);
    NUMBER(class->sweep_checked);
    NUMBER(class->sweep_reclaimed);
}

static void
save_run(void *context, uint64_t *entries, uint32_t n)
{
    state_run(context, entries, n);
}

static void
load_ring(struct state *state, const struct store *store, struct ring *ring, uint64_t n)
{
    for (uint64_t i = 0; i < n && state->bad == 0; i++) {
        uint64_t entry = state_number(state, 0, UINT64_MAX);

        if (!arena_ref_valid(&store->arena, entry & TABLE_REF_MASK) ||
            !ring_push(ring, entry))
            state_refuse(state);
    }
}

static void
exchange_ring(struct state *state, const struct store *store, struct ring *ring)
{
    /* No more than can follow. */
    uint64_t n = state_number(state, ring->count, state->bytes / sizeof(uint64_t));

    if (state->saving)
        ring_each(ring, save_run, state);
    else
        load_ring(state, store, ring, n);
}

static void
exchange_class(struct state *state, struct store *store, struct slab_class *class)
{
    const struct slab *slab = &store->slab;

    part(state, 'c');
    class->pages = state_small(state, class->pages, slab->pages_held);
    slab_set_step(class);
    class->first = page_number(state, class->first, slab);
    class->free_first = page_number(state, class->free_first, slab);
    class->used = state_number(state, class->used, (uint64_t)class->pages * class->per_page);
    class->hand_page = page_number(state, class->hand_page, slab);
    class->hand_chunk = state_small(state, class->hand_chunk, class->per_page);
    SMALL(class->hand_access);
    exchange_class_counts(state, class);
    exchange_ring(state, store, &class->probation);
}

/* ---- The caller's note ----------------------------------------------------------------- */

static void
exchange_note(struct state *state, struct store *store)
{
    part(state, 'n');
    store->note_len = state_number(state, store->note_len, STORE_NOTE_MAX);
    if (!state->saving && store->note_len > 0)
        store->note = malloc(store->note_len);
    if (store->note == NULL && store->note_len > 0) {
        state_refuse(state);
        store->note_len = 0;
    }
    state_bytes(state, store->note, store->note_len);
}

const char *
saved_exchange(struct state *state, struct store *store, struct store_thread *sums)
{
    const char *why = exchange_settings(state, store);

    if (why != NULL)
        return state->bad != 0 ? NULL : why;
    exchange_store(state, store);
    exchange_flushes(state, store);
    exchange_sums(state, sums);
    exchange_table(state, &store->table);
    exchange_pool(state, &store->slab);
    for (unsigned id = 1; id <= store->slab.nclasses; id++)
        exchange_class(state, store, &store->slab.classes[id]);
    estimate_exchange(store->estimate, state);
    exchange_note(state, store);
    part(state, 'e');
    return NULL;
}
