/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mover.c - giving a page of one class to another.
 *
 * All pages are alike, so emptying any one of them helps any class. Items in it are
 * evicted, or copied to another chunk of their class if they were used lately and one is
 * free. Chunks being filled and values being sent keep their page where it is.
 */
#include <limits.h>

#include "store/core.h"

/* Pages tried before giving up. */
#define MOVE_TRIES 128
/* Pages of a class that are compared, by so many chunks of each, to give one away. */
#define PAGE_CHOICE 8
#define PAGE_SAMPLE 32

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
    /* It was used, so the time of its probation is over. */
    item_set_info(copy, info & ~INFO_PROBATION);
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
    bool rescued, protected = policy_protects(store, chunk, info, now);

    if (INFO_KIND(info) == KIND_FREE)
        return true;
    if (INFO_KIND(info) == KIND_RESERVED)
        return false;
    /* The head of a large value has no uses of its own: its pieces are judged (policy.h). */
    if (INFO_KIND(info) == KIND_PIECE ||
        (INFO_REFS(info) == 0 && !(info & INFO_LARGE) && !protected))
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

/* Is the chunk being filled or sent? Read without any lock: a guess, to spare a page that
 * can't be emptied from losing half of its items. */
static bool
chunk_stuck(struct store *store, struct item *chunk)
{
    uint32_t info = item_info(chunk);
    uint64_t owner = item_cas(chunk);

    if (INFO_KIND(info) == KIND_PIECE && arena_ref_valid(&store->arena, owner)) {
        chunk = item_at(store, owner);
        info = item_info(chunk);
    }
    return INFO_KIND(info) == KIND_RESERVED ||
        (INFO_KIND(info) == KIND_ITEM && !item_disposable(chunk));
}

/* The chunk of a page, by number. */
static struct item *
chunk_of(struct store *store, uint32_t page, unsigned id, uint32_t i)
{
    return (struct item *)(void *)(arena_page(&store->arena, page) +
        i * store->slab.classes[id].chunk_size);
}

static bool
page_stuck(struct store *store, uint32_t page, unsigned id, uint32_t fresh)
{
    for (uint32_t i = 0; i < fresh; i++)
        if (chunk_stuck(store, chunk_of(store, page, id, i)))
            return true;
    return false;
}

/* Empties a page and makes it the caller's. `gently`: rather not at all, if items much in
 * use find no other place. */
static bool
page_take(struct store *store, struct store_thread *thread, uint32_t page, uint32_t now,
    bool gently)
{
    unsigned id;
    uint32_t fresh, i = 0;

    if (!slab_drain_begin(&store->slab, page, &id, &fresh))
        return false;
    if (!page_stuck(store, page, id, fresh))
        while (i < fresh &&
            clear_chunk(store, thread, chunk_of(store, page, id, i), now, gently))
            i++;
    return slab_drain_end(&store->slab, page);
}

/* How much would be lost with a page: its live items, those in use, and heads of large values, five
 * times. By a few of its chunks, so that looking at a page costs no more than moving some items. */
static unsigned
page_worth(struct store *store, const struct slab_class *class, uint32_t at)
{
    uint32_t step = class->per_page / PAGE_SAMPLE + 1;
    unsigned worth = 0;

    for (uint32_t i = 0; i < class->per_page; i += step) {
        uint32_t info = item_info((struct item *)(void *)(arena_page(&store->arena, at) +
            i * class->chunk_size));

        if (i >= store->slab.pages[at].fresh || INFO_KIND(info) == KIND_FREE)
            continue;
        worth += INFO_REFS(info) != 0 || (info & (INFO_COUNTER | INFO_LARGE)) ? 5 : 1;
    }
    return worth;
}

/* The page of a class that is missed least, of the next few under its hand: those hold what
 * the hand has not looked at for longest. `skip` pages are passed over first. */
static uint32_t
cheapest_page(struct store *store, unsigned id, unsigned skip)
{
    struct slab_class *class = &store->slab.classes[id];
    uint32_t at, best = NO_PAGE;
    unsigned least = UINT_MAX;

    lock_take(&class->lock);
    at = class->hand_page;
    for (unsigned i = 0; i < skip && at != NO_PAGE; i++)
        at = store->slab.pages[at].next;
    for (unsigned i = 0; i < PAGE_CHOICE && i < class->pages; i++) {
        unsigned worth = page_worth(store, class, at);

        if (worth < least) {
            least = worth;
            best = at;
        }
        at = store->slab.pages[at].next;
    }
    lock_give(&class->lock);
    return best;
}

/* The first page from `start` on of any class but `to`; `spare`: not the last page of a
 * class. */
static uint32_t
any_page(struct store *store, uint32_t start, unsigned to, bool spare)
{
    uint32_t high = atomic_load_explicit(&store->slab.page_high, memory_order_relaxed);

    for (uint32_t step = 0; step < high; step++) {
        uint32_t page = (start % high + step) % high;
        unsigned id = atomic_load_explicit(&store->slab.pages[page].slab_class,
            memory_order_relaxed);

        if (id != 0 && id != to && (!spare || store->slab.classes[id].pages > 1))
            return page;
    }
    return NO_PAGE;
}

/* The page to try next. From any class: in order from a page chosen by chance, so that classes
 * give in proportion to what they have. The only page of a class, whose items can't be saved,
 * comes last. */
static uint32_t
choose_page(struct store *store, int from, unsigned to, unsigned try, uint32_t start)
{
    uint32_t page = NO_PAGE;

    if (from > 0)
        return cheapest_page(store, (unsigned)from, try);
    if (try < MOVE_TRIES / 2)
        page = any_page(store, start, to, true);
    return page != NO_PAGE ? page : any_page(store, start, to, false);
}

static void
show_move(const struct store_thread *thread, unsigned from, unsigned to)
{
    unsigned wanted = atomic_load_explicit(thread->wanted, memory_order_relaxed);

    if ((wanted & thread->observer->moves) != 0)
        thread->observer->moved(thread->observer_context, from, to);
}

bool
page_move(struct store *store, struct store_thread *thread, int from, unsigned to,
    uint32_t now)
{
    uint32_t start = (uint32_t)random_next(thread);
    bool moved = false;
    unsigned source = 0;

    lock_take(&store->mover_lock);
    for (unsigned i = 0; i < MOVE_TRIES && !moved; i++) {
        uint32_t page = choose_page(store, from, to, i, start);

        if (page == NO_PAGE)
            break;
        start = page + 1;
        source = atomic_load_explicit(
            &store->slab.pages[page].slab_class, memory_order_relaxed);
        moved = page_take(store, thread, page, now, i < MOVE_TRIES / 2);
        if (moved)
            slab_page_give(&store->slab, page, to);
    }
    if (moved)
        atomic_fetch_add_explicit(&store->pages_moved, 1, memory_order_relaxed);
    if (moved && is_observed(thread))
        show_move(thread, source, to);
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
