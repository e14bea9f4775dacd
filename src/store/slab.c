/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/slab.h"

#include "base/assert.h"
#include "store/ghost.h"

static void
set_free_first(struct slab_class *class, uint32_t at)
{
    atomic_store_explicit(&class->free_first, at, memory_order_relaxed);
}

/* ---- Sizes --------------------------------------------------------------------------- */

/* The largest multiple of 8 of which `n` fit into a page. */
static uint32_t
size_for_count(uint32_t n)
{
    return PAGE_BYTES / n & ~7u;
}

static void
add_class(struct slab *slab, uint32_t size)
{
    struct slab_class *class = &slab->classes[++slab->nclasses];

    assert(slab->nclasses < SLAB_CLASSES_MAX);
    class->chunk_size = size;
    class->per_page = PAGE_BYTES / size;
    class->first = class->hand_page = NO_PAGE;
    set_free_first(class, NO_PAGE);
}

/* Classes from `first` up to `last` by `factor`; returns their number, and makes them if
 * `make` says so. Each size is stretched to divide the page: the count of chunks falls by
 * at least one from class to class. */
static unsigned
grow_classes(struct slab *slab, uint32_t first, uint32_t last, double factor, bool make)
{
    uint32_t count = PAGE_BYTES / first;
    uint32_t end = PAGE_BYTES / last;
    unsigned n = 0;

    for (;;) {
        uint32_t next;

        n++;
        if (make)
            add_class(slab, size_for_count(count));
        if (count <= end)
            return n;
        next = (uint32_t)((double)count / factor);
        count = next >= count ? count - 1 : next < end ? end : next;
        /* Neighbours that round to one size would be one class twice. */
        while (count > end && size_for_count(count) < size_for_count(count + 1) + 8)
            count--;
    }
}

/* By growth factor; where that would be too many classes the factor is raised. */
static void
size_by_factor(struct slab *slab, const struct slab_sizing *sizing)
{
    double factor = sizing->growth_factor;

    while (grow_classes(slab, sizing->chunk_first, sizing->chunk_max, factor, false) >=
        SLAB_CLASSES_MAX - 1)
        factor *= 1.01;
    grow_classes(slab, sizing->chunk_first, sizing->chunk_max, factor, true);
}

/* Explicit sizes; what they leave open above is filled, so that every length fits. */
static void
size_by_list(struct slab *slab, const struct slab_sizing *sizing)
{
    uint32_t last = 0;

    for (unsigned i = 0; i < sizing->nsizes && slab->nclasses < SLAB_CLASSES_MAX - 6; i++) {
        uint32_t size = (sizing->sizes[i] + 7) & ~7u;

        if (size <= last || size > sizing->chunk_max)
            continue;
        add_class(slab, size);
        last = size;
    }
    for (uint32_t size = 4096; size < sizing->chunk_max; size *= 2)
        if (size > last)
            add_class(slab, last = size);
    if (sizing->chunk_max > last)
        add_class(slab, sizing->chunk_max);
}

void
slab_init(struct slab *slab, struct arena *arena, const struct slab_sizing *sizing,
    uint32_t pages_max)
{
    unsigned id = 1;

    slab->arena = arena;
    slab->pages = (struct page *)(void *)arena->descriptors;
    slab->chunk_max = sizing->chunk_max;
    slab->pool_first = slab->pool_bare = NO_PAGE;
    atomic_store_explicit(&slab->pages_max, pages_max, memory_order_relaxed);
    if (sizing->sizes != NULL)
        size_by_list(slab, sizing);
    else
        size_by_factor(slab, sizing);
    for (uint32_t words = 0; words <= ITEM_SMALL_MAX / 8; words++) {
        while (id < slab->nclasses && slab->classes[id].chunk_size < words * 8)
            id++;
        slab->class_by_size[words] = (uint8_t)id;
    }
    slab->nsmall = id;
}

unsigned
slab_class_for_piece(const struct slab *slab, uint64_t bytes)
{
    unsigned id = 1;

    while (id < slab->nclasses && slab->classes[id].chunk_size < bytes)
        id++;
    return id;
}

/* ---- Steps of ghosts ----------------------------------------------------------------- */

/* Their whole memory, or the window in which they ask for pages if that is longer, takes a quarter
 * of the range. Kept, because an eviction would spend 34 instructions on it. */
void
slab_set_step(struct slab_class *class)
{
    uint64_t most = (uint64_t)class->pages * class->per_page;
    uint64_t least = class_window_min(class), range = most > least ? most : least;
    unsigned shift = 0;

    while (range >> shift > GHOST_STEPS / 4)
        shift++;
    atomic_store_explicit(&class->step_shift, shift, memory_order_relaxed);
}

/* ---- Lists of pages ------------------------------------------------------------------ */

static void
ring_add(struct slab *slab, struct slab_class *class, uint32_t at)
{
    struct page *page = &slab->pages[at];

    if (class->first == NO_PAGE) {
        page->prev = page->next = at;
        class->first = class->hand_page = at;
        class->hand_chunk = 0;
    } else {
        struct page *first = &slab->pages[class->first];
        page->prev = first->prev;
        page->next = class->first;
        slab->pages[first->prev].next = at;
        first->prev = at;
    }
    class->pages++;
    slab_set_step(class);
}

static void
ring_remove(struct slab *slab, struct slab_class *class, uint32_t at)
{
    struct page *page = &slab->pages[at];

    if (class->hand_page == at) {
        class->hand_page = page->next == at ? NO_PAGE : page->next;
        class->hand_chunk = 0;
    }
    if (page->next == at) {
        class->first = NO_PAGE;
    } else {
        slab->pages[page->prev].next = page->next;
        slab->pages[page->next].prev = page->prev;
        if (class->first == at)
            class->first = page->next;
    }
    class->pages--;
    slab_set_step(class);
}

static void
free_list_add(struct slab *slab, struct slab_class *class, uint32_t at)
{
    struct page *page = &slab->pages[at];
    uint32_t first = class_free_first(class);

    page->free_prev = NO_PAGE;
    page->free_next = first;
    if (first != NO_PAGE)
        slab->pages[first].free_prev = at;
    set_free_first(class, at);
}

static void
free_list_remove(struct slab *slab, struct slab_class *class, uint32_t at)
{
    struct page *page = &slab->pages[at];

    if (page->free_prev != NO_PAGE)
        slab->pages[page->free_prev].free_next = page->free_next;
    else
        set_free_first(class, page->free_next);
    if (page->free_next != NO_PAGE)
        slab->pages[page->free_next].free_prev = page->free_prev;
}

static bool
page_has_room(const struct slab_class *class, const struct page *page)
{
    return page->free_count > 0 || page->fresh < class->per_page;
}

static bool
page_is_empty(const struct page *page)
{
    return page->free_count == page->fresh;
}

/* ---- The pool ------------------------------------------------------------------------ */

/* The first page of one of the pool's lists, or NO_PAGE. */
static uint32_t
pool_pop(struct slab *slab, uint32_t *first)
{
    uint32_t at = *first;

    lock_assert_held(&slab->pool_lock);
    if (at == NO_PAGE)
        return at;
    *first = slab->pages[at].next;
    slab->pool_count--;
    if (first == &slab->pool_first)
        slab->pool_kept--;
    return at;
}

static void
pool_push(struct slab *slab, uint32_t *first, uint32_t at)
{
    lock_assert_held(&slab->pool_lock);
    slab->pages[at].next = *first;
    *first = at;
    slab->pool_count++;
    if (first == &slab->pool_first)
        slab->pool_kept++;
}

/* Asks for the beginnings of the pages that will be taken next: a large value takes one after
 * the other, and would wait 0.5 µs for each that has not been used for a while. */
static void
fetch_next(const struct slab *slab)
{
    uint32_t at = slab->pool_first;

    for (int i = 0; i < 2 && at != NO_PAGE; i++) {
        __builtin_prefetch(arena_page(slab->arena, at), 1);
        at = slab->pages[at].next;
    }
}

/* A page of no class within the limit, or NO_PAGE. */
static uint32_t
pool_take(struct slab *slab)
{
    uint32_t at = NO_PAGE;

    lock_take(&slab->pool_lock);
    if (slab->pages_held < slab->pages_max) {
        at = pool_pop(slab, &slab->pool_first);
        if (at == NO_PAGE)
            at = pool_pop(slab, &slab->pool_bare);
        if (at == NO_PAGE && slab->page_high < slab->arena->npages) {
            at = slab->page_high++;
        }
        if (at != NO_PAGE)
            slab->pages_held++;
        fetch_next(slab);
    }
    lock_give(&slab->pool_lock);
    return at;
}

/* More memory in use, or kept for use, than the limit allows? */
static bool
pool_over(const struct slab *slab)
{
    return (uint64_t)slab->pages_held + slab->pool_kept > slab->pages_max;
}

static void
pool_give(struct slab *slab, uint32_t at)
{
    bool over = pool_over(slab);

    /* After the limit was lowered the memory itself goes back to the system; before the
     * page can be found in the pool, since whoever takes it writes to it. */
    if (over)
        arena_release_page(slab->arena, at);
    lock_take(&slab->pool_lock);
    slab->pages_held--;
    pool_push(slab, over ? &slab->pool_bare : &slab->pool_first, at);
    lock_give(&slab->pool_lock);
}

bool
slab_pool_trim(struct slab *slab)
{
    uint32_t at = NO_PAGE;

    lock_take(&slab->pool_lock);
    if (pool_over(slab))
        at = pool_pop(slab, &slab->pool_first);
    lock_give(&slab->pool_lock);
    if (at == NO_PAGE)
        return false;
    arena_release_page(slab->arena, at);
    lock_take(&slab->pool_lock);
    pool_push(slab, &slab->pool_bare, at);
    lock_give(&slab->pool_lock);
    return true;
}

bool
slab_ready_trim(struct slab *slab)
{
    struct arena *arena = slab->arena;
    uint64_t ready = arena->gather.ready_end, pages = (uint64_t)(arena->pages - arena->base);
    uint64_t last;
    bool beyond;

    if (ready < pages + PAGE_BYTES)
        return false;
    last = ((ready - pages) >> PAGE_SIZE_BITS) - 1;
    /* Under the lock: whoever takes the page writes to it. */
    lock_take(&slab->pool_lock);
    beyond = last >= slab->page_high && last >= slab->pages_max;
    if (beyond)
        arena_release_page(arena, last);
    lock_give(&slab->pool_lock);
    if (beyond)
        arena->gather.ready_end = pages + (last << PAGE_SIZE_BITS);
    return beyond;
}

static void
page_join(struct slab *slab, uint32_t at, unsigned id)
{
    struct page *page = &slab->pages[at];
    struct slab_class *class = &slab->classes[id];

    lock_assert_held(&class->lock);
    page->slab_class = (uint8_t)id;
    page->free_head = page->free_count = page->fresh = 0;
    page->draining = 0;
    atomic_store_explicit(&page->expires, UINT32_MAX, memory_order_relaxed);
    ring_add(slab, class, at);
    free_list_add(slab, class, at);
}

/* An empty page leaves its class; the caller owns it. */
static void
page_leave(struct slab *slab, uint32_t at)
{
    struct page *page = &slab->pages[at];
    struct slab_class *class = &slab->classes[page->slab_class];

    lock_assert_held(&class->lock);
    assert(page_is_empty(page));
    if (!page->draining)
        free_list_remove(slab, class, at);
    ring_remove(slab, class, at);
    page->slab_class = 0;
    page->draining = 0;
}

/* ---- Chunks -------------------------------------------------------------------------- */

static struct item *
page_take_chunk(struct slab *slab, struct slab_class *class, uint32_t at)
{
    struct page *page = &slab->pages[at];
    char *start = arena_page(slab->arena, at);
    struct item *chunk;

    if (page->free_head != 0) {
        chunk = (struct item *)(void *)(start + (uint32_t)(page->free_head - 1) * 8);
        assert(INFO_KIND(item_info(chunk)) == KIND_FREE);
        page->free_head = (uint16_t)item_cas(chunk);
        page->free_count--;
    } else {
        chunk = (struct item *)(void *)(start + page->fresh * class->chunk_size);
        page->fresh++;
    }
    if (!page_has_room(class, page))
        free_list_remove(slab, class, at);
    counter_add(&class->used, 1);
    return chunk;
}

struct item *
slab_alloc(struct slab *slab, unsigned id)
{
    struct slab_class *class = &slab->classes[id];
    struct item *chunk = NULL;

    assert(id >= 1);
    assert(id <= slab->nclasses);
    lock_take(&class->lock);
    if (class_free_first(class) == NO_PAGE) {
        uint32_t at = pool_take(slab);
        if (at != NO_PAGE)
            page_join(slab, at, id);
    }
    if (class_free_first(class) != NO_PAGE) {
        chunk = page_take_chunk(slab, class, class_free_first(class));
        /* Whoever still reads the chunk's last life and sees something of its new one also
         * sees the sequence that moved at its end, which we know of by the lock. */
        atomic_thread_fence(memory_order_release);
        item_set_info(chunk, info_make(0, id, KIND_RESERVED));
    }
    lock_give(&class->lock);
    return chunk;
}

void
slab_free(struct slab *slab, struct item *chunk)
{
    unsigned id = INFO_CLASS(item_info(chunk));
    struct slab_class *class = &slab->classes[id];
    uint32_t at = arena_page_of(slab->arena, chunk);
    struct page *page = &slab->pages[at];
    bool leave;

    lock_take(&class->lock);
    assert(page->slab_class == id);
    assert(INFO_KIND(item_info(chunk)) != KIND_FREE);
    if (!page_has_room(class, page) && !page->draining)
        free_list_add(slab, class, at);
    item_set_info(chunk, info_make(0, id, KIND_FREE));
    item_set_cas(chunk, page->free_head);
    page->free_head = (uint16_t)(((char *)chunk - arena_page(slab->arena, at)) / 8 + 1);
    page->free_count++;
    counter_add(&class->used, (uint64_t)-1);
    /* An empty page serves any class; but the last one with room stays, so that a class
     * which goes back and forth by one item does not pass its page back and forth. */
    leave = page_is_empty(page) && !page->draining &&
        (class_free_first(class) != at || page->free_next != NO_PAGE);
    if (leave)
        page_leave(slab, at);
    lock_give(&class->lock);
    if (leave)
        pool_give(slab, at);
}

/* ---- The clock hand ------------------------------------------------------------------ */

struct item *
slab_hand_step(struct slab *slab, struct slab_class *class)
{
    struct page *page;
    struct item *chunk;

    lock_assert_held(&class->lock);
    if (class->hand_page == NO_PAGE)
        return NULL;
    page = &slab->pages[class->hand_page];
    if (class->hand_chunk >= page->fresh) {
        class->hand_page = page->next;
        class->hand_chunk = 0;
        page = &slab->pages[class->hand_page];
        if (page->fresh == 0)
            return NULL;
    }
    chunk = (struct item *)(void *)(arena_page(slab->arena, class->hand_page) +
        class->hand_chunk * class->chunk_size);
    class->hand_chunk++;
    __builtin_prefetch((const char *)chunk + 2 * class->chunk_size, 1);
    return chunk;
}

/* ---- Pages on the move --------------------------------------------------------------- */

bool
slab_drain_begin(struct slab *slab, uint32_t at, unsigned *id_out, uint32_t *fresh_out)
{
    struct page *page = &slab->pages[at];
    /* Read without a lock to know which lock to take; checked again under it. */
    unsigned id = atomic_load_explicit(&page->slab_class, memory_order_relaxed);
    struct slab_class *class = &slab->classes[id];
    bool begun = false;

    if (id == 0)
        return false;
    lock_take(&class->lock);
    if (page->slab_class == id && !page->draining) {
        if (page_has_room(class, page))
            free_list_remove(slab, class, at);
        page->draining = 1;
        *id_out = id;
        *fresh_out = page->fresh;
        begun = true;
    }
    lock_give(&class->lock);
    return begun;
}

bool
slab_drain_end(struct slab *slab, uint32_t at)
{
    struct page *page = &slab->pages[at];
    struct slab_class *class = &slab->classes[page->slab_class];
    bool empty;

    lock_take(&class->lock);
    assert(page->draining);
    empty = page_is_empty(page);
    if (empty) {
        page_leave(slab, at);
    } else {
        page->draining = 0;
        if (page_has_room(class, page))
            free_list_add(slab, class, at);
    }
    lock_give(&class->lock);
    return empty;
}

void
slab_page_give(struct slab *slab, uint32_t at, unsigned id)
{
    if (id == 0) {
        pool_give(slab, at);
        return;
    }
    lock_take(&slab->classes[id].lock);
    page_join(slab, at, id);
    lock_give(&slab->classes[id].lock);
}

void
slab_note_expiry(struct slab *slab, struct item *item, uint32_t exptime)
{
    struct page *page = &slab->pages[arena_page_of(slab->arena, item)];
    uint32_t before = atomic_load_explicit(&page->expires, memory_order_relaxed);

    if (exptime == 0)
        return;
    /* Written even if that changes nothing: a sweep may be resetting it, see sweep.c. */
    while (!atomic_compare_exchange_weak_explicit(&page->expires, &before,
        exptime < before ? exptime : before, memory_order_acq_rel, memory_order_relaxed))
        ;
}

/* ---- Checking ------------------------------------------------------------------------ */

static void
check_page(struct slab *slab, struct slab_class *class, uint32_t at)
{
    struct page *page = &slab->pages[at];
    uint32_t free = 0, taken = 0;

    for (uint32_t i = 0; i < page->fresh; i++) {
        struct item *chunk = (struct item *)(void *)(arena_page(slab->arena, at) +
            i * class->chunk_size);
        uint32_t info = item_info(chunk);

        assert(INFO_CLASS(info) == page->slab_class);
        if (INFO_KIND(info) == KIND_FREE)
            free++;
        else
            taken++;
    }
    assert(free == page->free_count);
    assert(taken + free == page->fresh);
    for (uint32_t next = page->free_head; next != 0; free--) {
        struct item *chunk = (struct item *)(void *)(arena_page(slab->arena, at) +
            (next - 1) * 8);
        assert(INFO_KIND(item_info(chunk)) == KIND_FREE);
        assert(free > 0);
        next = (uint32_t)item_cas(chunk);
    }
    assert(free == 0);
}

void
slab_check(struct slab *slab)
{
    uint32_t held = 0;

    for (unsigned id = 1; id <= slab->nclasses; id++) {
        struct slab_class *class = &slab->classes[id];
        uint32_t at = class->first, pages = 0;
        uint64_t used = 0;

        while (at != NO_PAGE) {
            struct page *page = &slab->pages[at];

            assert(page->slab_class == id);
            assert(slab->pages[page->next].prev == at);
            check_page(slab, class, at);
            used += (uint64_t)page->fresh - page->free_count;
            pages++;
            at = page->next == class->first ? NO_PAGE : page->next;
        }
        assert(pages == class->pages);
        assert(used == class->used);
        held += pages;
    }
    assert(held == slab->pages_held);
    assert(held + slab->pool_count == slab->page_high);
}
