/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slab.h - memory for items, handed out in a few dozen fixed sizes.
 *
 *   arena    [ page ][ page ][ page ][ page ] ...     all pages are 64 KiB
 *   class 7  owns pages 1 and 4, each cut into chunks of 112 bytes
 *   chunk    [ item header | key | value | slack ]
 *
 * Why classes: a freed chunk fits any later item of its class, so memory never fragments;
 * the price is slack, which growth_factor trades against more classes. Chunk sizes divide
 * their page exactly as far as multiples of 8 can. Why small pages, all alike: any page
 * can go to any class that needs one, however full the cache is; values over 8 KiB are
 * chains of pieces, so a page of 64 KiB suffices for values of any length.
 *
 * Free chunks are listed page by page, not class by class: a page whose chunks are all
 * free goes back to the common pool at once, and one that is to be given away needs no
 * search of a long list.
 *
 * Always true (slab_check walks it): a page belongs to one class or to the pool; the
 * chunks of a page below `fresh` are taken or on its list, those above were never touched.
 * Locks: one a class, taken after an item's stripe; the pool's after a class's.
 */
#ifndef LARDER_STORE_SLAB_H
#define LARDER_STORE_SLAB_H

#include "base/counters.h"
#include "base/lock.h"
#include "store/arena.h"
#include "store/ring.h"
#include "store/store.h"

#define NO_PAGE UINT32_MAX
/* An item (header, key, flags, value) up to this size lies in one chunk. */
#define ITEM_SMALL_MAX (STORE_SMALL_MAX + ITEM_HEADER)

/* What is known of a page; lies in the arena. Guarded by its class's lock, but for
 * `expires`. */
struct page {
    uint32_t prev, next;     /* ring of the class's pages, in the order they came */
    uint32_t free_prev, free_next; /* the class's pages with free chunks */
    uint16_t free_head;      /* first free chunk, distance / 8 plus 1; 0: none */
    uint16_t free_count;
    uint16_t fresh;          /* chunks handed out at least once */
    _Atomic uint8_t slab_class; /* 0: in the pool */
    _Atomic uint8_t draining; /* being emptied: nothing is handed out from it */
    _Atomic uint32_t expires; /* no item here expires earlier (UINT32_MAX: never) */
    uint32_t unused;
};
_Static_assert(sizeof(struct page) == 32, "page descriptors are part of the layout");

struct slab_class {
    struct lock lock;
    uint32_t chunk_size;
    uint32_t per_page;
    _Atomic uint32_t pages;  /* this and the rest change under `lock` */
    uint32_t first;          /* of the ring; NO_PAGE: none */
    _Atomic uint32_t free_first; /* of the pages with free chunks */
    counter used;            /* chunks taken */
    uint32_t hand_page;      /* where the clock hand stands */
    uint32_t hand_chunk;     /* next chunk of that page it looks at */
    uint32_t hand_access;    /* last access of the item the hand saw last */
    struct ring probation;   /* see policy.h */
    /* Ages of victims: seconds since their last use. The mean is of the latest few hundred,
     * times 256. Written without the lock: a lost update changes nothing that matters. */
    _Atomic uint32_t evicted_age, mean_age;
    _Atomic uint32_t evicted_at; /* second of the last eviction */
    _Atomic uint64_t gone;       /* evictions by which ghosts tell their age ... */
    _Atomic uint32_t step_shift; /* ... 2 to this many of them in a step, by its pages */
    _Atomic uint64_t ghost_hits; /* keys that came back while they were remembered ... */
    _Atomic uint64_t wanted;     /* ... so soon that more pages would have kept them */
    /* The page balance's own; see balance.c. */
    uint64_t wanted_seen, demand;
    uint64_t counters;     /* items that are counters, at the last look */
    uint64_t gone_at_gift; /* `gone` when it was last given a page */
    uint64_t free_least, free_least_before;
    /* Of idle.c: `gone` at the last look, the clocks when it was used last, bytes. */
    uint64_t gone_seen, used_bytes, used_items, owed;
    _Atomic uint64_t evicted, evicted_nonzero, evicted_unfetched, evicted_active,
        expired_unfetched, reclaimed, out_of_memory, sweep_checked, sweep_reclaimed;
} __attribute__((aligned(64)));

struct slab {
    struct arena *arena;
    struct page *pages;
    struct slab_class classes[SLAB_CLASSES_MAX]; /* 1 .. nclasses */
    unsigned nclasses;
    unsigned nsmall;         /* classes 1 .. this hold items in one chunk */
    uint8_t class_by_size[ITEM_SMALL_MAX / 8 + 1]; /* smallest class by (bytes + 7) / 8 */
    uint32_t chunk_max;      /* largest chunk */

    struct lock pool_lock;   /* guards what follows */
    uint32_t pool_first;     /* pages of no class, linked by `next` */
    uint32_t pool_bare;      /* the same, after their memory went back to the system */
    _Atomic uint32_t pool_count; /* on both lists */
    _Atomic uint32_t pool_kept;  /* on the first */
    _Atomic uint32_t page_high; /* pages ever used: below this they have a history */
    _Atomic uint32_t pages_held; /* pages of classes */
    _Atomic uint32_t pages_max;  /* the memory limit */
};

struct slab_sizing {
    uint32_t chunk_first;     /* bytes of the smallest chunk */
    double growth_factor;
    const uint32_t *sizes;    /* explicit sizes or NULL */
    unsigned nsizes;
    uint32_t chunk_max;
};

/* `pages` is the arena's zeroed section of descriptors. */
void slab_init(struct slab *slab, struct arena *arena, const struct slab_sizing *sizing,
    uint32_t pages_max);

/* The smallest class whose chunks hold `bytes` (at most ITEM_SMALL_MAX). */
static inline unsigned
slab_class_for(const struct slab *slab, uint32_t bytes)
{
    return slab->class_by_size[(bytes + 7) / 8];
}
/* The smallest class of any size, by search; the largest if none is large enough. */
unsigned slab_class_for_piece(const struct slab *slab, uint64_t bytes);

/* Changed under the class's lock, and looked at without. */
static inline uint32_t
class_free_first(const struct slab_class *class)
{
    return atomic_load_explicit(&class->free_first, memory_order_relaxed);
}

/* Everything is taken, as far as can be told without a lock: what a full cache is nearly
 * always. Saves the two of slab_alloc(), and 60 instructions of a set. */
static inline bool
slab_all_taken(const struct slab *slab, unsigned id)
{
    return class_free_first(&slab->classes[id]) == NO_PAGE &&
        atomic_load_explicit(&slab->pages_held, memory_order_relaxed) >=
        atomic_load_explicit(&slab->pages_max, memory_order_relaxed);
}

/* A chunk, of kind KIND_RESERVED, from the class's free chunks or a free page. NULL: only
 * eviction helps. */
struct item *slab_alloc(struct slab *slab, unsigned id);
/* The chunk must not be linked any more. */
void slab_free(struct slab *slab, struct item *chunk);

/* Moves the class's clock hand on by one chunk and returns the one it stood at, whatever it
 * holds. NULL: no chunk there, or no pages at all. The class is locked. */
struct item *slab_hand_step(struct slab *slab, struct slab_class *class);

/* The least that class_window() says. */
static inline uint64_t
class_window_min(const struct slab_class *class)
{
    return 4 * class->per_page;
}

/* So many evictions ago a key must have gone for its return to say that a few more pages would
 * have kept it: four pages' worth, more in a large class, whose evictions are many. */
static inline uint64_t
class_window(const struct slab_class *class)
{
    uint64_t part = atomic_load_explicit(&class->used, memory_order_relaxed) / 64;

    return part > class_window_min(class) ? part : class_window_min(class);
}

static inline unsigned
class_step_shift(const struct slab_class *class)
{
    return atomic_load_explicit(&class->step_shift, memory_order_relaxed);
}
/* Sets it, for a class that has come to its pages otherwise than one by one. */
void slab_set_step(struct slab_class *class);

/* Is the chunk's page being emptied at the moment? */
static inline bool
slab_draining(const struct slab *slab, const struct item *chunk)
{
    const struct page *page = &slab->pages[arena_page_of(slab->arena, chunk)];

    return atomic_load_explicit(&page->draining, memory_order_relaxed) != 0;
}

/* Stops handing out chunks of a page; false if it has no class now or is being drained. */
bool slab_drain_begin(struct slab *slab, uint32_t page, unsigned *id_out,
    uint32_t *fresh_out);
/* If the page is empty it leaves its class and becomes the caller's (true), else it goes
 * back to work (false). */
bool slab_drain_end(struct slab *slab, uint32_t page);
/* Gives an owned page to a class, or to the pool (id 0). */
void slab_page_give(struct slab *slab, uint32_t page, unsigned id);

/* After the limit was lowered: gives the memory of one page of no class back to the system.
 * False: there is none to give. */
bool slab_pool_trim(struct slab *slab);

/* The same for a page beyond the limit that was made ready (gather.h) and never used. */
bool slab_ready_trim(struct slab *slab);

/* Lowers the page's `expires` to the item's expiry. Call after the item is linked. */
void slab_note_expiry(struct slab *slab, struct item *item, uint32_t exptime);

void slab_check(struct slab *slab);

#endif
