/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mover.c - giving a page of one class to another.
 *
 * All pages are alike, so emptying any one of them helps any class. Items in it are
 * evicted, or copied to another chunk of their class if they were used lately and one is
 * free. Chunks being filled and values being sent keep their page where it is.
 */
#include "store/core.h"

/* Pages looked at before giving up. */
#define MOVE_TRIES 32

static uint64_t
random_next(struct store_thread *thread)
{
    /* xorshift64 (Marsaglia, 2003): any page is as good as any other. */
    thread->random ^= thread->random << 13;
    thread->random ^= thread->random >> 7;
    thread->random ^= thread->random << 17;
    return thread->random;
}

/* Copies what `item` holds to `copy`, a reserved chunk of the same class. */
static void
copy_item(struct item *copy, struct item *item, uint32_t info)
{
    uint32_t used = item_used(info, item_value_len(item));

    for (uint32_t at = 0; at < used; at += 8) {
        /* The info word is set last: until then the copy must not look linked. */
        uint64_t word = racy_word((char *)item + at);
        if (at == offsetof(struct item, value_len))
            atomic_store_explicit(&copy->value_len, item_value_len(item),
                memory_order_relaxed);
        else
            racy_set_word((char *)copy + at, word);
    }
    item_set_info(copy, info);
}

/* Gives the item of a spot another chunk; its stripe is held. The old chunk is reserved
 * then, and the caller's to free. */
static bool
rescue(struct store *store, struct store_thread *thread, struct table_spot *spot,
    uint32_t now)
{
    uint32_t info = item_info(spot->item);
    struct item *copy;

    /* The page that is being emptied is the only one. */
    if (store->slab.classes[INFO_CLASS(info)].pages < 2)
        return false;
    copy = chunk_get_own(store, thread, INFO_CLASS(info), now);
    if (copy == NULL)
        return false;
    copy_item(copy, spot->item, info);
    if (info & INFO_LARGE)
        chain_reown(store, copy);
    table_replace(spot, item_ref(store, copy));
    slab_note_expiry(&store->slab, copy, item_exptime(copy));
    item_set_info(spot->item, info_make(0, INFO_CLASS(info), KIND_RESERVED));
    atomic_fetch_add_explicit(&store->move_rescues, 1, memory_order_relaxed);
    return true;
}

/* What is in use moves to another page of its class; what isn't goes. */
static bool
clear_chunk(struct store *store, struct store_thread *thread, struct item *chunk,
    uint32_t now, bool gently)
{
    uint32_t info = item_info(chunk);
    uint64_t ref = item_ref(store, chunk);
    struct lock *stripe;
    struct table_spot spot;
    bool rescued;

    if (INFO_KIND(info) == KIND_FREE)
        return true;
    if (INFO_KIND(info) == KIND_RESERVED)
        return false;
    if (INFO_KIND(info) == KIND_PIECE || INFO_REFS(info) == 0)
        return evict_ref(store, thread, ref, now, EVICT_FOR_MOVE);
    spot = lock_owner(store, thread, ref, &stripe);
    if (spot.item == NULL)
        return false;
    info = item_info(spot.item);
    /* Since the first look the chunk may have become a piece of some other item. */
    rescued = spot.item == chunk && item_disposable(chunk) &&
        item_live(store, chunk, info, now) && rescue(store, thread, &spot, now);
    lock_give(stripe);
    if (rescued) {
        slab_free(&store->slab, chunk);
        return true;
    }
    if (gently && INFO_REFS(info) == INFO_REFS_MAX)
        return false;
    return evict_ref(store, thread, ref, now, EVICT_FOR_MOVE);
}

/* Empties a page and makes it the caller's. `gently`: rather not at all, if items much in
 * use find no other place. */
static bool
page_take(struct store *store, struct store_thread *thread, uint32_t page, uint32_t now,
    bool gently)
{
    unsigned id;
    uint32_t fresh, i = 0;
    char *start = arena_page(&store->arena, page);

    if (!slab_drain_begin(&store->slab, page, &id, &fresh))
        return false;
    while (i < fresh &&
        clear_chunk(store, thread, (struct item *)(void *)(start +
            i * store->slab.classes[id].chunk_size), now, gently))
        i++;
    return slab_drain_end(&store->slab, page);
}

/* Any page of class `from` (-1: of any but `to`), chosen by chance, so that classes give in
 * proportion to what they have. `gently`: not the last page of a class. */
static uint32_t
choose_page(struct store *store, struct store_thread *thread, int from, unsigned to,
    bool gently)
{
    uint32_t high = atomic_load_explicit(&store->slab.page_high, memory_order_relaxed);
    uint32_t start, step;

    if (high == 0)
        return NO_PAGE;
    start = (uint32_t)(random_next(thread) % high);
    for (step = 0; step < high; step++) {
        uint32_t page = (start + step) % high;
        unsigned id = atomic_load_explicit(&store->slab.pages[page].slab_class,
            memory_order_relaxed);

        if (id == 0 || (from < 0 ? id == to : id != (unsigned)from))
            continue;
        if (!gently || store->slab.classes[id].pages > 1)
            return page;
    }
    return NO_PAGE;
}

bool
page_move(struct store *store, struct store_thread *thread, int from, unsigned to,
    uint32_t now)
{
    bool moved = false;

    lock_take(&store->mover_lock);
    for (unsigned i = 0; i < MOVE_TRIES && !moved; i++) {
        bool gently = i < MOVE_TRIES / 2;
        uint32_t page = choose_page(store, thread, from, to, gently);

        if (page == NO_PAGE && gently) {
            i = MOVE_TRIES / 2 - 1; /* nor will another look find one */
            continue;
        }
        if (page == NO_PAGE)
            break;
        moved = page_take(store, thread, page, now, gently);
        if (moved)
            slab_page_give(&store->slab, page, to);
    }
    if (moved)
        atomic_fetch_add_explicit(&store->pages_moved, 1, memory_order_relaxed);
    lock_give(&store->mover_lock);
    return moved;
}

enum store_move
store_move_page(struct store *store, struct store_thread *thread, int from, int to,
    uint32_t now)
{
    int last = (int)store->slab.nclasses;

    if (from == to)
        return STORE_MOVE_SAME;
    if (from < -1 || from == 0 || from > last || to < 0 || to > last)
        return STORE_MOVE_BAD_CLASS;
    if (from > 0 && store->slab.classes[from].pages < 2)
        return STORE_MOVE_NO_SPARE;
    return page_move(store, thread, from, (unsigned)to, now) ? STORE_MOVE_OK :
                                                               STORE_MOVE_BUSY;
}

/* ---- Balance ------------------------------------------------------------------------- */

/* Of the classes that evicted since the last look, the one that did so most for each page
 * it has, and how often (in pages' worth of chunks, times 256). */
static unsigned
neediest_class(struct slab *slab, uint64_t *need_out)
{
    unsigned best = 0;

    *need_out = 0;
    for (unsigned id = 1; id <= slab->nclasses; id++) {
        struct slab_class *class = &slab->classes[id];
        uint64_t turned, need;

        lock_take(&class->lock);
        turned = class->demand * 256 / class->per_page;
        need = class->pages == 0 ? 0 : turned / class->pages;
        class->demand -= class->demand / 8;
        lock_give(&class->lock);
        if (turned >= 2 * 256 && need > *need_out) {
            *need_out = need;
            best = id;
        }
    }
    return best;
}

/*
 * Once a second: if one class turns its pages over much faster than the cache as a whole, it
 * gets a page from any other. This keeps sizes that come into fashion from being stuck with
 * the pages they had; it is paced on purpose, since moves cost hits.
 */
void
balance_pages(struct store *store, struct store_thread *thread, uint32_t now)
{
    struct slab *slab = &store->slab;
    uint64_t need, total = 0, pages = 0;
    unsigned id;

    if (!store->options.slab_reassign || !store->options.evict)
        return;
    for (unsigned i = 1; i <= slab->nclasses; i++) {
        struct slab_class *class = &slab->classes[i];

        lock_take(&class->lock);
        total += class->demand * 256 / class->per_page;
        pages += class->pages;
        lock_give(&class->lock);
    }
    id = neediest_class(slab, &need);
    if (id == 0 || pages == 0 || need < 2 * (total / pages) + 16)
        return;
    for (uint64_t moves = 1 + pages / 256; moves > 0; moves--)
        if (!page_move(store, thread, -1, id, now))
            return;
}
