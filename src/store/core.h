/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core.h - what the files of the store share; not for other layers.
 */
#ifndef LARDER_STORE_CORE_H
#define LARDER_STORE_CORE_H

#include <pthread.h>

#include "base/assert.h"
#include "base/counters.h"
#include "base/hash.h"
#include "store/arena.h"
#include "store/estimate.h"
#include "store/ghost.h"
#include "store/item.h"
#include "store/policy.h"
#include "store/slab.h"
#include "store/store.h"
#include "store/table.h"

/* So often for one eviction before one of those in use has to go, and so often again
 * before another class has to give a page. */
#define EVICT_ROUNDS 8
/* Shares of the memory limit: stalled uploads (and pinned values) are given up beyond the
 * first, new ones refused beyond the second. */
#define CROWDED_SHARE 4
#define REFUSED_SHARE 2

/* Signed, because an item may be stored by one thread and removed by another. */
struct class_gauge {
    _Atomic uint64_t items, bytes, counters;
};

struct store_thread {
    struct store *store;
    struct store_thread *next;
    bool in_use;
    uint64_t random;           /* state of its generator */
    int64_t items_unflushed;   /* not yet added to table.items */
    /* Counters and gauges: written by the owner, summed by readers. Gauges go up in one
     * thread and down in another; only their sum, modulo 2^64, means anything. */
    counter items_total, direct_reclaims, asked;
    struct class_gauge gauges[SLAB_CLASSES_MAX];
    /* See store_thread_observe(); all NULL where nobody wants to know. */
    const _Atomic unsigned *wanted;
    const struct store_observer *observer;
    void *observer_context;
    /* Scratch for joining an old value and a new one, and for keys of victims. */
    char key[KEY_LEN_MAX + 6];
    char value[STORE_SMALL_MAX];
};

/* See flush.c: set in store.cas while a flush is under way. */
#define FLUSHING (UINT64_C(1) << 63)

/* A prefix that keys can be flushed by. */
struct flush_prefix {
    _Atomic uint64_t horizon; /* as store.flushed, of the keys that begin with it; 0: never */
    _Atomic uint64_t flushes;
    uint8_t len;
    char bytes[STORE_FLUSH_PREFIX_MAX];
};

/* Chosen ones, and those of an earlier life whose horizons still count. */
#define FLUSH_SLOTS (2 * STORE_FLUSH_PREFIXES_MAX)

struct store {
    /* Read by everyone, written hardly ever. */
    struct arena arena;
    struct hash_key hash_key;
    struct store_options options;
    _Atomic uint64_t flush_latest; /* the highest horizon: what is above was never flushed */
    _Atomic uint64_t flushed;  /* items whose item_seq() is not above are gone */
    _Atomic uint32_t flush_at; /* second of a pending flush; 0: none */
    _Atomic uint32_t flushed_at; /* second of the last one */
    _Atomic uint32_t second;   /* about now: the last second store_maintain() was told */
    /* The last second in which a class's chunks were read or written; see class_used(). */
    _Atomic uint32_t used_at[SLAB_CLASSES_MAX];

    /* The last sequence given, and FLUSHING. Written by every store; a line of its own. */
    _Atomic uint64_t cas __attribute__((aligned(64)));

    struct table table __attribute__((aligned(64)));
    struct slab slab;

    struct ghost ghost;
    struct estimate *estimate;
    _Atomic bool counters_over; /* counters take more than their reserve */

    _Atomic uint64_t upload_bytes, pinned_bytes;

    struct lock mover_lock;    /* one page is moved at a time */
    _Atomic uint64_t pages_moved, move_rescues;

    struct lock flush_lock;    /* guards all horizons; see flush.c */
    unsigned nflush_prefixes;  /* chosen; like their texts, set at the start */
    unsigned nflush_slots;     /* with those that are no longer chosen, which come behind */
    struct flush_prefix flush_prefixes[FLUSH_SLOTS];

    /* The sweep; see sweep.c. */
    _Atomic bool sweep_enabled;
    _Atomic uint64_t sweep_classes; /* to be swept whole by the next round: after a flush, or
                                     * asked for by store_sweep_now() */
    _Atomic uint64_t sweep_runs;
    _Atomic bool sweep_running;     /* in the middle of a round */
    uint64_t sweep_whole;           /* classes that this round sweeps whole */
    uint32_t sweep_page;
    uint32_t sweep_second;

    /* The page balance; see balance.c. */
    uint64_t balance_evicted;       /* evictions at the last round */
    uint64_t balance_credit;        /* evictions not yet spent on moves */
    uint32_t balance_second;        /* of the present window of free chunks */
    uint64_t idle_bytes, idle_items; /* evicted for want of space; see idle.c */
    uint64_t idle_chunks;           /* in use, at its last look */

    pthread_mutex_t threads_lock; /* guards the list */
    struct store_thread *threads;

    char *note;                     /* see store_note(); NULL: empty */
    uint64_t note_len;
};

/* Does somebody want to know of this thread's evictions, or of its moved pages? */
static inline bool
is_observed(const struct store_thread *thread)
{
    return thread->observer != NULL &&
        atomic_load_explicit(thread->wanted, memory_order_relaxed) != 0;
}

/* Notes that a chunk of the class is in use. Written once a second, so that readers share it. */
static inline void
class_used(struct store *store, unsigned id, uint32_t now)
{
    if (atomic_load_explicit(&store->used_at[id], memory_order_relaxed) != now)
        atomic_store_explicit(&store->used_at[id], now, memory_order_relaxed);
}

static inline uint64_t
item_ref(const struct store *store, const struct item *item)
{
    return arena_ref(&store->arena, item);
}

static inline struct item *
item_at(const struct store *store, uint64_t ref)
{
    return arena_item(&store->arena, ref);
}

/* ---- flush.c ------------------------------------------------------------------------- */

void flush_init(struct store *store, const struct store_options *options);
/*
 * For a store that goes on with the items of another, before anybody uses it: a prefix with its
 * horizon. It need not be chosen any more; then what it hid stays hidden. Too many of them hide
 * more than they did.
 */
void flush_restore_prefix(struct store *store, struct slice text, uint64_t horizon,
    uint64_t flushes);
/* When all horizons and store.cas are there. False: they can't be. */
bool flush_restore_end(struct store *store);
/* Does the pending flush unless another thread was faster. */
void flush_due(struct store *store, uint32_t now);
/* Returns when no flush is under way. */
void flush_wait(struct store *store);
/* The two halves of a flush: a horizon begins to count where flush_end_locked() puts it. */
uint64_t flush_begin_locked(struct store *store);
void flush_end_locked(struct store *store, _Atomic uint64_t *horizon_of, uint64_t horizon);
/* Is an item that is not above flush_latest flushed? */
bool flush_hides(const struct store *store, const struct item *item, uint32_t info,
    uint64_t seq);

/* Was it flushed since it was stored? Most items have come after the last flush of any kind,
 * and then one number tells. */
static inline bool
item_flushed(const struct store *store, const struct item *item, uint32_t info)
{
    uint64_t seq = item_seq(item, info);

    return seq <= atomic_load_explicit(&store->flush_latest, memory_order_relaxed) &&
        flush_hides(store, item, info, seq);
}

/* The next place in the order of what is stored. Acquire: pairs with flush_end_locked(). */
static inline uint64_t
next_cas(struct store *store)
{
    uint64_t seq = atomic_fetch_add_explicit(&store->cas, 1, memory_order_acquire) + 1;

    if (__builtin_expect((seq & FLUSHING) != 0, 0))
        flush_wait(store);
    return seq & ~FLUSHING;
}

/* Draws the sequence of a write that has decided, under the stripe, that `live` is the key's
 * item (NULL: there is none). False: it was flushed meanwhile, decide again. */
static inline bool
seq_draw(struct store *store, const struct item *live, uint64_t *seq_out)
{
    *seq_out = next_cas(store);
    return live == NULL || !item_flushed(store, live, item_info(live));
}

/* Neither expired nor flushed? */
static inline bool
item_live(const struct store *store, const struct item *item, uint32_t info, uint32_t now)
{
    return !item_expired(item, now) && !item_flushed(store, item, info);
}

/* An item, and expired or flushed? */
static inline bool
item_dead(const struct store *store, const struct item *item, uint32_t info, uint32_t now)
{
    return INFO_KIND(info) == KIND_ITEM && !item_live(store, item, info, now);
}

/* A delayed flush comes due with the first call that sees its second. Acquire: who sees
 * that it has come (flush_at is 0 again) sees the new horizon. */
static inline void
flush_if_due(struct store *store, uint32_t now)
{
    uint32_t at = atomic_load_explicit(&store->flush_at, memory_order_acquire);

    if (__builtin_expect(at != 0 && now >= at, 0))
        flush_due(store, now);
}

/* ---- store.c ------------------------------------------------------------------------- */

/* A store without an arena. NULL: out of memory. */
struct store *store_begin(const struct store_options *options, const char **why_out);
/* Makes its parts for the arena it now has. */
void store_fit_out(struct store *store, unsigned power, const uint32_t *slab_sizes);
/* Destroys a store whose file is the caller's. */
void store_abandon(struct store *store);

/* ---- evict.c ------------------------------------------------------------------------- */

enum evict_why { EVICT_FOR_SPACE, EVICT_FOR_MOVE, EVICT_DEAD_ONLY };

/* A chunk of the class, evicting and moving pages if that is what it takes. May be called
 * with a stripe held; other stripes are only tried. NULL: nothing to be had. */
struct item *chunk_get(struct store *store, struct store_thread *thread, unsigned id,
    uint32_t now);
/* The same without taking a page from another class, and without counting a failure. */
struct item *chunk_get_own(struct store *store, struct store_thread *thread, unsigned id,
    uint32_t now);
/*
 * Finds the linked item that a chunk belongs to, and takes its stripe. The chunk is read
 * without any lock, so it may be anything by now: its key only serves to find a stripe
 * and a bucket, and what counts is whether that bucket refers to it. spot.item is NULL,
 * and nothing locked, if there is no such item or its stripe is busy.
 */
struct table_spot lock_owner(struct store *store, struct store_thread *thread, uint64_t ref,
    struct lock **stripe_out);
/* Removes the item that `ref` (an item or a piece) belongs to, if its stripe can be had and
 * it may go. EVICT_DEAD_ONLY: only if expired or flushed. */
bool evict_ref(struct store *store, struct store_thread *thread, uint64_t ref, uint32_t now,
    enum evict_why why);
/* Unlinks what the spot shows; afterwards the item is of kind KIND_RESERVED. The stripe is
 * held; when it has been given back, item_dispose() must follow. */
void item_unlink(struct store *store, struct store_thread *thread, struct table_spot *spot);
/* Frees an unlinked item; one that is pinned goes with its last pin. */
void item_dispose(struct store *store, struct item *item);
/* True, under the stripe, if item_dispose() may run now (no pins). */
bool item_disposable(struct item *item);

/* Takes a page of another class (-1: any) for class `to` (0: the pool). */
bool page_move(struct store *store, struct store_thread *thread, int from, unsigned to,
    uint32_t now);
/* balance.c: moves pages to where they are needed, if enough was evicted since the last
 * time. True: evictions are going on, look again soon. */
bool balance_pages(struct store *store, struct store_thread *thread, uint32_t now);
/* For balance.c: could the class do without a page, counters left aside? */
bool balance_can_give(const struct slab_class *class);
/* idle.c: gives pages of classes that nobody uses any more to those that are short of memory.
 * True: more of them could be given at once. */
bool idle_pages(struct store *store, struct store_thread *thread, uint32_t now);

/* ---- The estimate: a look at every request, a sample of the keys ----------------------- */

/* The memory limit. */
static inline uint64_t
limit_bytes(const struct store *store)
{
    return (uint64_t)atomic_load_explicit(&store->slab.pages_max, memory_order_relaxed) <<
        PAGE_SIZE_BITS;
}

static inline void
estimate_asked(struct store *store, struct store_thread *thread, uint64_t hash, uint32_t now)
{
    counter_add(&thread->asked, 1);
    if (__builtin_expect(estimate_wants(store->estimate, hash), 0))
        estimate_get(store->estimate, hash, now, limit_bytes(store));
}

/* ---- gauges -------------------------------------------------------------------------- */

/* What an item counts for: header, key, flags, value. */
uint64_t gauge_bytes(const struct item *item, uint32_t info);
void gauge_add(struct store_thread *thread, const struct item *item, uint32_t info);
void gauge_sub(struct store_thread *thread, const struct item *item, uint32_t info);
/* Counters that expire, in a class. */
uint64_t counters_of(struct store *store, unsigned id);
/* Requests of clients for items, in all. */
uint64_t asked_in_all(struct store *store);
/* Do counters take more than their reserve? Looked at now and then. */
void counters_check(struct store *store);
/* Number of items has changed by `n`: tells the table now and then. */
void count_items(struct store *store, struct store_thread *thread, int64_t n);
/* Splits a bucket or two if the index is too full; no stripe may be held. */
void grow_index(struct store *store);

/* ---- chain.c ------------------------------------------------------------------------- */

/* How many pieces ahead of the one in hand the next ones' headers are asked for. */
#define PIECES_AHEAD 4u

struct store_upload {
    struct store *store;
    uint64_t len, filled;
    uint64_t room;             /* allocated beyond `filled` */
    uint64_t held;             /* bytes of chunks, for the bound on uploads */
    uint64_t first, last;      /* refs of the first and the last piece; 0: none */
    uint64_t at;               /* piece being filled ... */
    uint32_t at_used;          /* ... and how far */
    uint32_t pieces;
    uint64_t recent[PIECES_AHEAD]; /* refs of the last pieces, by their number */
};

/* Appends the value of a large item; its stripe is held. */
bool upload_put_chain(struct store_upload *upload, struct store_thread *thread,
    struct item *item);
/* Appends a complete upload, which stays the caller's. */
bool upload_put_upload(struct store_upload *upload, struct store_thread *thread,
    const struct store_upload *from);
/* Aborts if the chain of a large item contradicts itself. */
void chain_check(struct store *store, struct item *item);
/* Frees a chain of pieces. */
void chain_free(struct store *store, uint64_t first);
/* Tells every piece that its item lies elsewhere now. */
void chain_reown(struct store *store, struct item *head);
/* Makes the pieces of a complete upload the chain of `head`, whose key has this hash, with
 * `bits` in the info of each. Either upload_end() follows,
 * or `head` is dropped and the upload can be given again or cancelled. */
void upload_give(struct store_upload *upload, struct item *head, struct chain *chain,
    uint32_t bits, uint64_t hash);
/* Class of its last piece; all others are of the largest class or of one kind. */
unsigned upload_last_class(const struct store_upload *upload);
/* Class of its first piece. */
unsigned upload_class(const struct store_upload *upload);
/* Frees the upload's struct; its pieces belong to an item, or nobody. */
void upload_end(struct store_upload *upload);

/* ---- write.c, for arith.c and meta.c -------------------------------------------------- */

/* A value on its way into an item. */
struct put {
    struct slice key;
    uint64_t hash;
    uint64_t seq;                /* from seq_draw() */
    uint32_t client_flags;
    uint32_t exptime;
    struct slice value;
    struct store_upload *upload; /* in place of `value` */
    bool cas_given;              /* the item gets `cas_new`, not the next unique */
    uint64_t cas_new;
    bool counter;                /* see put_is_counter() */
    uint32_t bits;               /* of its info: INFO_STALE, INFO_KEY_BINARY ... */
};

/*
 * Makes `put` the value of the key: STORE_OK or STORE_NO_MEMORY. Takes put->upload on
 * success only. *dead is to be disposed of once the stripe is given back. The spot's item
 * may be another one afterwards: find it anew.
 */
enum store_result put_value(struct store *store, struct store_thread *thread,
    struct table_spot *spot, const struct put *put, uint32_t now,
    struct store_written *written, struct item **dead);
/* A number with an end to its life: most likely somebody's limit. */
bool put_is_counter(const struct put *put);
/* An expired or flushed item that is stored over. */
void count_reclaimed(struct store *store, uint32_t info);

/* A number takes the place of the spot's item: same flags and expiry, the same marks if it
 * is not longer. thread->value may be overwritten. `seq` is from seq_draw(). The spot is found
 * anew. STORE_OK or STORE_NO_MEMORY. */
enum store_result put_digits(struct store *store, struct store_thread *thread,
    struct table_spot *spot, const struct store_arith *arith, uint64_t seq,
    struct slice digits, uint32_t now, struct store_summed *summed, struct item **dead);
/* The initial number of a counter that is not there. */
enum store_result put_initial(struct store *store, struct store_thread *thread,
    struct table_spot *spot, const struct store_arith *arith, uint32_t now,
    struct store_summed *summed, struct item **dead);

/* ---- read.c -------------------------------------------------------------------------- */

/* Fills a view from an item that is locked or will be validated. */
void view_fill(const struct store *store, const struct item *item, uint32_t info,
    struct store_view *view);
/* Marks an item as used: reference bits, last access, fetched. The stripe is held. */
void item_mark(struct store *store, struct item *item, uint32_t now, bool fetched);

#endif
