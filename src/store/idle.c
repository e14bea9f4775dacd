/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * idle.c - classes that nobody uses any more.
 *
 * When the sizes of values change altogether, pages of the old sizes hold nothing that is asked
 * for. Ghosts (balance.c) find that out too slowly: a class that has a page or two sees few of
 * its keys come back in time, and a turnover of large values is too few evictions to tell need
 * from chance. But what is not used at all needs no proof of its worth. A class is idle if
 * nothing was read or written in it while so much was evicted for want of space that
 *
 *   - whoever wants its pages has replaced all that it holds, so that strict LRU would have
 *     taken the idle ones long since; an eighth of all memory is enough in any case;
 *   - so many items went that its own would have been used four times, were they as warm as the
 *     average: so that a few items, or the heads and last pieces of large values, each of which
 *     is a megabyte that others have to go for, are not taken for idle by chance.
 *
 * Its pages then go to who evicts, one for each sixteenth of a page that was evicted there: all
 * memory has changed hands within about a turnover. What the other classes hold does not
 * matter, so a flood of keys that are never asked for again takes nothing from what is in use.
 *
 * Everything here belongs to the thread that calls store_maintain(). None of it is handed to the
 * next process, for which every class begins as used.
 */
#include "store/core.h"

/* A page is given for one in so many of its bytes evicted. */
#define GIFTS_A_PAGE 16
/* Moves in one call; what is left waits for the next. */
#define MOVES_MAX 16
/* An idle class would have been used so often, were it like the others. */
#define USES_MISSED 4
/* More than this part of all memory need not be evicted meanwhile. */
#define PROOF_SHARE 8

/* Evictions since the last look. What is evicted by moving pages here is no sign of need. */
static uint64_t
newly_gone(struct slab_class *class)
{
    uint64_t gone = atomic_load_explicit(&class->gone, memory_order_relaxed);
    uint64_t fresh = gone - class->gone_seen;

    class->gone_seen = gone;
    return fresh;
}

/* Bytes for whose eviction a class has not been given pages: of the last few, so that what
 * nobody could give then is not asked for in a rush later. */
static void
owe(struct slab_class *class, uint64_t bytes)
{
    class->owed += bytes;
    if (class->owed > MOVES_MAX * PAGE_BYTES / GIFTS_A_PAGE)
        class->owed = MOVES_MAX * PAGE_BYTES / GIFTS_A_PAGE;
}

/* The clocks of this file are what was evicted. */
static void
note_use(const struct store *store, struct slab_class *class)
{
    class->used_bytes = store->idle_bytes;
    class->used_items = store->idle_items;
}

static void
note_classes(struct store *store, uint32_t now)
{
    store->idle_chunks = 0;
    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        struct slab_class *class = &store->slab.classes[id];
        uint64_t items = newly_gone(class), bytes = items * class->chunk_size;

        store->idle_items += items;
        store->idle_bytes += bytes;
        store->idle_chunks += counter_get(&class->used);
        owe(class, bytes);
    }
    /* A use is noted by its second, so until the next one is over nobody is idle: all that was
     * evicted since the last step, which may be long ago, might be younger than the use. */
    for (unsigned id = 1; id <= store->slab.nclasses; id++)
        if (atomic_load_explicit(&store->used_at[id], memory_order_relaxed) + 1 >= now)
            note_use(store, &store->slab.classes[id]);
}

static bool
is_idle_for(const struct store *store, const struct slab_class *class,
    const struct slab_class *wants)
{
    uint64_t pages = atomic_load_explicit(&store->slab.pages_held, memory_order_relaxed);
    uint64_t bytes = store->idle_bytes - class->used_bytes;
    uint64_t items = store->idle_items - class->used_items;
    uint64_t proof = pages / PROOF_SHARE < wants->pages ? pages / PROOF_SHARE : wants->pages;

    return class->pages > 1 && balance_can_give(class) && bytes >= proof << PAGE_SIZE_BITS &&
        items * counter_get(&class->used) >= USES_MISSED * store->idle_chunks;
}

/* The class that has been idle longest. 0: none is. */
static unsigned
idlest(const struct store *store, const struct slab_class *wants)
{
    uint64_t earliest = UINT64_MAX;
    unsigned best = 0;

    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        const struct slab_class *class = &store->slab.classes[id];

        if (class != wants && class->used_bytes < earliest &&
            is_idle_for(store, class, wants)) {
            earliest = class->used_bytes;
            best = id;
        }
    }
    return best;
}

/* Gives a class what it is owed, as far as there is and `*moves` allows. */
static bool
pay(struct store *store, struct store_thread *thread, unsigned id, uint32_t now,
    unsigned *moves)
{
    struct slab_class *class = &store->slab.classes[id];

    while (class->owed >= PAGE_BYTES / GIFTS_A_PAGE) {
        unsigned from = idlest(store, class);

        if (from == 0)
            return false;
        if (*moves == 0)
            return true;
        (*moves)--;
        class->owed -= PAGE_BYTES / GIFTS_A_PAGE;
        if (!page_move(store, thread, (int)from, id, now))
            return false;
        (void)newly_gone(&store->slab.classes[from]);
    }
    return false;
}

bool
idle_pages(struct store *store, struct store_thread *thread, uint32_t now)
{
    unsigned moves = MOVES_MAX;
    bool more = false;

    if (!store->options.slab_reassign || !store->options.evict)
        return false;
    note_classes(store, now);
    for (unsigned id = 1; id <= store->slab.nclasses; id++)
        more = pay(store, thread, id, now, &moves) || more;
    return more;
}
