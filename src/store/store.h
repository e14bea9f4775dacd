/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store.h - keys to values within a memory limit; the whole of the cache.
 *
 * Knows nothing of sockets, protocols or wall clocks: callers pass `now`, seconds on
 * the server's own clock (base/clock.h), so a test can move time as it likes. `now` is
 * at least CLOCK_FIRST and never runs backwards by more than the threads differ.
 *
 * Any thread may call any function here with a store_thread of its own, unless the
 * comment says otherwise. A bad argument is a bug and aborts; everything a client can
 * provoke is an enum store_result.
 *
 * Keys are 1 to KEY_LEN_MAX bytes of anything. Expiry times are seconds of the server's
 * clock: EXPTIME_NEVER, or the second at which the item is no longer visible.
 */
#ifndef LARDER_STORE_STORE_H
#define LARDER_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"

#define KEY_LEN_MAX 250u
/* A value up to this length (together with its key) lies in one chunk and is copied to
 * and from callers; a larger one is a chain of pieces, is written through an upload and
 * read by reference. */
#define STORE_SMALL_MAX 8192u
/* Prefixes that can be flushed: how many, and how long. */
#define STORE_FLUSH_PREFIXES_MAX 32u
#define STORE_FLUSH_PREFIX_MAX 64u
#define SLAB_CLASSES_MAX 64u /* ids 1 .. 63; 0 stands for "none" */

struct store;
struct store_thread;

enum store_result {
    STORE_OK,
    STORE_MISS,         /* no such item, or expired, or flushed */
    STORE_NOT_STORED,   /* the condition of add, replace, append, prepend failed */
    STORE_EXISTS,       /* the CAS unique differs */
    STORE_TOO_LARGE,    /* over item_size_max */
    STORE_NO_MEMORY,    /* nothing free and nothing evictable (or evictions are off) */
    STORE_NOT_A_NUMBER, /* the stored value is not a decimal of 64 bits */
};

struct store_options {
    uint64_t memory_max;     /* bytes for pages; store_memory_limit() changes it */
    uint64_t memory_reserve; /* address space for later growth; 0: a multiple of memory_max */
    uint64_t item_size_max;  /* bytes, by memcached's accounting, see store_item_size() */
    uint32_t chunk_max;      /* largest piece of a chained item; at most a page */
    uint32_t chunk_min;      /* smallest key + value + client flags a chunk is made for */
    double growth_factor;    /* ratio between chunk sizes, over 1 */
    const uint32_t *slab_sizes; /* explicit chunk sizes, ascending; NULL: growth_factor */
    unsigned nslab_sizes;
    unsigned hash_power;     /* log2 of the first number of index buckets; 0: default */
    bool hash_fixed;         /* never grow the index */
    bool lru;                /* strict-LRU-like eviction: no probation, no ghosts */
    unsigned object_bias;    /* 0 .. 100: from even hits by byte to most hits, see balance.c */
    unsigned counter_reserve; /* per cent of memory that live counters may take for sure */
    bool evict;              /* false: STORE_NO_MEMORY in place of evicting (-M) */
    bool preallocate;        /* commit all memory now, on huge pages (-L) */
    bool huge_pages;         /* gather memory into huge pages where the system can */
    bool slab_reassign;      /* pages may move between classes */
    bool no_cas;             /* items are accounted for without their CAS unique (-C) */
    bool fast_hash;          /* XXH3 in place of SipHash-1-3, where it was built in */
    unsigned char hash_key[16]; /* random; a test passes a fixed one */
    /* What store_flush_prefix() takes: each not empty and only once; copied. */
    const struct slice *flush_prefixes;
    unsigned nflush_prefixes;
};

/* Returns NULL with errno set and, in *why_out, a static text. The caller owns the
 * store; pair with destroy. */
struct store *store_create(const struct store_options *options, const char **why_out);
/* As store_create(), in the file `fd` in place of a memory file without a name: truncated, then
 * made as large as the cache may become, sparse. Taken on success. */
struct store *store_create_in(const struct store_options *options, int fd,
    const char **why_out);
/* No other thread may be inside the store, no value pinned, no upload open. */
void store_destroy(struct store *store);

/* Everything one thread needs of its own: counters, scratch memory. NULL: out of memory. */
struct store_thread *store_thread_open(struct store *store);
/* An item that had to go for want of memory. */
struct store_evicted {
    struct slice key;
    int64_t ttl;        /* seconds it would have lived on; -1: for ever */
    uint32_t idle;      /* seconds since its last use */
    uint32_t value_len;
    uint8_t slab_class;
    bool fetched;       /* it was read once */
};

/* Who wants to know what a thread does to the cache beyond what it was asked. The functions
 * are called with locks of the store held and must neither wait nor call the store. */
struct store_observer {
    unsigned evictions, moves; /* bits of `wanted` that stand for them */
    void (*evicted)(void *context, const struct store_evicted *evicted);
    /* A page has gone from one class to another; 0 is the common pool. */
    void (*moved)(void *context, unsigned from, unsigned to);
};
/* Owner only, before anything else is done with the thread. `*wanted` is looked at, relaxed,
 * each time. */
void store_thread_observe(struct store_thread *thread, const _Atomic unsigned *wanted,
    const struct store_observer *observer, void *context);

/* Its counts stay in the totals. */
void store_thread_close(struct store_thread *thread);

/* ---- From one process to the next ----------------------------------------------------- */

#define STORE_NOTE_MAX 65536u

/*
 * Leaves the store in its file: writes what of it is not there yet, marks the file as left
 * whole, and sets *fd_out to a duplicate of its descriptor (close-on-exec). `note`: at most
 * STORE_NOTE_MAX bytes of the caller's for store_note(). `check_values`: sums are kept of
 * all memory in use, so that any damage is noticed; that takes a pass over memory here and
 * in store_adopt(). Otherwise values (and ghosts) are trusted as a process trusts its own
 * memory: for files that live in memory only and change hands at once.
 *
 * No other thread may be inside the store; afterwards only store_destroy() and
 * store_thread_close() may be called, and the file stays as it is. 0 or -errno: -EOPNOTSUPP,
 * the memory is in no file (huge pages of anonymous memory); -EBUSY, a value is pinned or an
 * upload open. On failure the store may be used on, and nobody takes up the file.
 */
int store_leave(struct store *store, const void *note, size_t note_len, bool check_values,
    int *fd_out);

/*
 * Goes on with what store_leave() left in `fd`, which is taken on success only. NULL with
 * *why_out, a static text that begins with "it" (the file): another build's layout, other
 * chunk sizes, another hash or policy, damaged, in use when its server ended, ... Nothing in
 * it has changed then. On success it is marked as in use before anything else changes.
 *
 * The hash key is the one in the file, hash_power has no meaning. The memory limit may be
 * another: a larger one as far as the file has addresses for it, a smaller one is reached as
 * with store_memory_limit(). `now` goes on: the caller's clock continues the one before.
 */
struct store *store_adopt(const struct store_options *options, int fd, const char **why_out);
/* The note that came with an adopted store, or nothing. Borrowed until store_destroy(). */
struct slice store_note(const struct store *store);

/* ---- Looking up ---------------------------------------------------------------------- */

/* The keyed hash of a key, to be passed to everything below. */
uint64_t store_hash(const struct store *store, struct slice key);
/* First step of looking ahead: fetches the bucket of a key into the CPU's cache. */
void store_prefetch_bucket(const struct store *store, uint64_t hash);
/* Second step: reads the bucket and fetches the item's header. If the item is not there, but
 * may be further on, tells which overflow bucket it fetches instead; 0: there is nothing more
 * to fetch. */
uint32_t store_prefetch_item(const struct store *store, uint64_t hash);
/* Further steps, from one overflow bucket to the next, told likewise. Between two doublings of
 * the index one key in five needs one, and one in thirteen a second; a get of 100 keys of 5
 * million costs 0.80 of what it would without. */
uint32_t store_prefetch_further(const struct store *store, uint64_t hash, uint32_t at);

/* Why a lookup missed, for statistics. */
enum store_miss { STORE_ABSENT, STORE_EXPIRED, STORE_FLUSHED };

/* An item as a lookup found it. Plain values are copies and stay true to that moment. */
struct store_view {
    uint64_t cas;
    uint32_t value_len;
    uint32_t client_flags;
    uint32_t exptime;
    uint32_t last_access; /* before this lookup */
    uint8_t slab_class;
    bool large;       /* read it by store_pin(), not by store_copy() */
    bool fetched;     /* was read before */
    bool stale;
    bool win_sent;
    bool key_binary;  /* the key was given in base64 by a meta command */
    enum store_miss miss;
    /* Private to the store. */
    uint64_t ref, hash;
    uint32_t bucket, seq, value_at;
    bool locked;
};

/* Whether a lookup counts as use for eviction and sets `fetched`. */
enum store_use { STORE_PEEK, STORE_USE };

/*
 * Finds a live item: STORE_OK or STORE_MISS. Takes no lock and writes no shared memory
 * except, at most once a second for an item, its recency. After STORE_OK call
 * store_copy() or store_pin() - or nothing, if the value is not wanted.
 */
enum store_result store_find(struct store *store, struct store_thread *thread,
    struct slice key, uint64_t hash, uint32_t now, enum store_use use,
    struct store_view *view_out);

/*
 * Copies the value, view->value_len bytes, to `to`. False: the item was changed since
 * store_find() and `to` holds rubbish; find it again. A second failure in a row cannot
 * happen if the second lookup is store_find_locked().
 */
bool store_copy(struct store *store, const struct store_view *view, char *to);

/* As store_find(), but on STORE_OK keeps the item's stripe locked until store_unlock(),
 * so that store_copy() cannot fail. Nothing else of the store may be called between. */
enum store_result store_find_locked(struct store *store, struct store_thread *thread,
    struct slice key, uint64_t hash, uint32_t now, enum store_use use,
    struct store_view *view_out);
void store_unlock(struct store *store, const struct store_view *view);

/*
 * Keeps a large value in place until store_unpin(), even if it is deleted or replaced
 * meanwhile. NULL: the item was changed since the lookup (find it again) or, with
 * *full_out set, pinned values already hold their share of memory. The pin may be passed
 * between threads.
 */
struct store_pin;
struct store_pin *store_pin(struct store *store, struct store_thread *thread,
    const struct store_view *view, bool *full_out);
/* The next runs of the pinned value, in order, up to `max`; 0 at its end. */
unsigned store_pin_next(struct store_pin *pin, struct iovec *iov, unsigned max);
void store_unpin(struct store *store, struct store_thread *thread, struct store_pin *pin);

/* ---- Writing ------------------------------------------------------------------------- */

enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND };

/* A large value on its way in; see store_upload_open(). */
struct store_upload;

struct store_write {
    enum store_mode mode;
    struct slice key;
    uint64_t hash;
    uint32_t client_flags;
    uint32_t exptime;
    struct slice value;          /* up to STORE_SMALL_MAX less the key's length ... */
    struct store_upload *upload; /* ... or a complete upload; taken by the call in any case */
    bool compare;                /* store only if the CAS unique equals `cas_expected` */
    uint64_t cas_expected;
    bool cas_given;              /* the item gets the unique `cas_new` (meta E) ... */
    uint64_t cas_new;            /* ... and the next one otherwise */
    bool vivify;                 /* append/prepend create the item on a miss (meta N) ... */
    uint32_t vivify_exptime;     /* ... with this expiry */
    bool allow_stale;            /* with compare: a lower cas_expected stores as stale (meta I) */
    bool key_binary;
};

struct store_written {
    uint64_t cas;       /* of the item stored, 0 if none was */
    uint32_t value_len; /* resulting length */
    uint8_t slab_class; /* of the item stored or, on STORE_EXISTS and STORE_NOT_STORED, found */
};

/*
 * Stores a value. STORE_OK; STORE_NOT_STORED (add on a present key; replace, append,
 * prepend on an absent one; append and prepend whose result is too large or finds no
 * memory); STORE_EXISTS, STORE_MISS (set and replace that compare); STORE_NO_MEMORY.
 * STORE_SET that fails with STORE_NO_MEMORY has removed the old value. A comparison with
 * 0 never succeeds; add does not compare. Marks of a stale item end with it, but one
 * stored as stale keeps that its winner was named. The caller has checked store_fits().
 */
enum store_result store_write(struct store *store, struct store_thread *thread,
    const struct store_write *write, uint32_t now, struct store_written *written_out);

/* Item size by memcached's accounting (48-byte header, 8 for CAS unless off, key, NUL,
 * 4 for non-zero flags, value, CRLF): what -I limits and dumps report as `size`. */
uint64_t store_item_size(const struct store *store, size_t key_len, uint32_t client_flags,
    uint64_t value_len);
/* False: the item would be larger than item_size_max. */
bool store_fits(const struct store *store, size_t key_len, uint32_t client_flags,
    uint64_t value_len);
/* True: this value must come through an upload. */
bool store_is_large(size_t key_len, uint64_t value_len);

/*
 * Begins a large value of `len` bytes. Memory is taken only as bytes arrive, so that a
 * client which announces a size and stalls holds nothing. NULL: out of memory.
 */
struct store_upload *store_upload_open(struct store *store, struct store_thread *thread,
    uint64_t len);
/* Where the next bytes go: up to `max` runs. 0 when the value is complete. -1: no memory
 * for more (the caller cancels it and swallows the rest). */
int store_upload_room(struct store_upload *upload, struct store_thread *thread,
    struct iovec *iov, unsigned max);
/* The same for bytes that are in memory already: copies them, taking what room it needs.
 * False: no memory. `len` is at most what is missing. */
bool store_upload_put(struct store_upload *upload, struct store_thread *thread,
    const char *data, size_t len);
/* `len` bytes were written there. */
void store_upload_filled(struct store_upload *upload, size_t len);
/* Bytes still missing. */
uint64_t store_upload_missing(const struct store_upload *upload);
/* Gives up; its memory is free again. */
void store_upload_cancel(struct store *store, struct store_thread *thread,
    struct store_upload *upload);
/* True when unfinished uploads hold so much that stalled ones should be given up. */
bool store_uploads_crowded(const struct store *store);
/* The same for pinned values. */
bool store_pins_crowded(const struct store *store);

/* Changes that keep the value: what touch, gat and the meta commands ask for. */
struct store_touch {
    bool set_exptime;
    uint32_t exptime;
};
/* STORE_OK or STORE_MISS. The CAS unique stays. `view_out` (may be NULL) shows the item
 * after the change; its value can be had as after store_find(). Counts as a use. */
enum store_result store_touch(struct store *store, struct store_thread *thread,
    struct slice key, uint64_t hash, const struct store_touch *touch, uint32_t now,
    struct store_view *view_out);

enum store_arith_op { STORE_INCR, STORE_DECR };

struct store_arith {
    enum store_arith_op op;
    struct slice key;
    uint64_t hash;
    uint64_t delta;
    bool compare;
    uint64_t cas_expected;
    bool cas_given;   /* as in struct store_write */
    uint64_t cas_new;
    bool set_exptime; /* of an item that was there, on success */
    uint32_t exptime;
    bool vivify; /* on a miss create it with `initial` (meta N, binary) */
    uint64_t initial;
    uint32_t vivify_exptime;
    bool key_binary;
};

struct store_summed {
    uint64_t number;
    uint64_t cas;
    uint32_t exptime;
    uint32_t exptime_before; /* of an item that was there */
    uint8_t slab_class;
    bool created; /* also with STORE_NO_MEMORY: it was to be created */
};

/*
 * Adds to or takes from the decimal number under a key. Incr wraps modulo 2^64, decr
 * stops at 0. Atomic over all threads, together with add. Keeps expiry and client flags,
 * gives a new CAS unique. A result shorter than the stored text is padded with blanks to
 * the stored length; a longer one makes a new item, without the marks of a stale one.
 * STORE_OK, STORE_MISS, STORE_EXISTS, STORE_NOT_A_NUMBER (also: empty or large, which is
 * looked at before the CAS unique; over 64 bits), STORE_NO_MEMORY.
 */
enum store_result store_arith(struct store *store, struct store_thread *thread,
    const struct store_arith *arith, uint32_t now, struct store_summed *summed_out);

/* Removes a key: STORE_OK, STORE_MISS or, with `compare`, STORE_EXISTS. */
enum store_result store_delete(struct store *store, struct store_thread *thread,
    struct slice key, uint64_t hash, bool compare, uint64_t cas_expected, uint32_t now,
    uint8_t *slab_class_out);

/*
 * Stale items. An item may be marked stale: it is shown on, and one of those who read it
 * through store_visit() is told to bring a new value (he has won). The same can be asked
 * for an item that is about to expire, or that is not there and is created empty. Until
 * something is stored anew all others are told that somebody has won already.
 */
struct store_visit {
    struct slice key;
    uint64_t hash;
    enum store_use use;
    bool set_exptime;         /* touch it */
    uint32_t exptime;
    bool recache;             /* win if it expires before `recache_below` ... */
    uint32_t recache_below;
    bool recache_touched;     /* ... counted with the expiry that this call sets */
    bool vivify;              /* create what is not there, empty, and win it */
    uint32_t vivify_exptime;
    bool cas_given;           /* for what is created, as in struct store_write */
    uint64_t cas_new;
    bool key_binary;          /* the same */
    bool pin;                 /* pin a large value */
};

struct store_visited {
    uint32_t exptime_before; /* of an item that was there */
    bool created;
    bool won;                /* by this call */
    bool sent;               /* somebody had won before */
    bool pins_full;          /* why there is no pin: see store_pin() */
    struct store_pin *pin;   /* the caller's, to be given to store_unpin() */
};

/*
 * Looks up, creates, touches and elects in one step: of many callers exactly one wins.
 * STORE_OK; STORE_MISS; STORE_NO_MEMORY (to create it, or to pin it: nothing is changed
 * then). After STORE_OK with view_out->locked the stripe is locked until store_unlock(),
 * as after store_find_locked(); what was created is empty and is not locked. The view
 * shows the item after the call but for `fetched` and `last_access`, which are as before.
 */
enum store_result store_visit(struct store *store, struct store_thread *thread,
    const struct store_visit *visit, uint32_t now, struct store_visited *visited_out,
    struct store_view *view_out);

struct store_mark {
    struct slice key;
    uint64_t hash;
    bool compare;
    uint64_t cas_expected;
    bool stale;            /* mark it; the next visitor wins, whoever won before */
    bool empty;            /* drop its value; at least one of the two is set */
    uint32_t client_flags; /* of an item made empty; otherwise they stay */
    bool set_exptime;      /* otherwise it stays, or is EXPTIME_NEVER if made empty */
    uint32_t exptime;
    bool cas_given;        /* otherwise the next if `stale`, else it stays */
    uint64_t cas_new;
    bool key_binary;       /* of an item made empty */
};

/* Invalidates a key without removing it: STORE_OK, STORE_MISS, STORE_EXISTS or
 * STORE_NO_MEMORY, which leaves all as it was. */
enum store_result store_mark(struct store *store, struct store_thread *thread,
    const struct store_mark *mark, uint32_t now, uint8_t *slab_class_out);

/*
 * Makes everything stored so far invisible: at once if when <= now, else at that second.
 * A later call replaces a pending one. Constant time; memory is reclaimed in passing.
 */
void store_flush(struct store *store, uint32_t when, uint32_t now);
/*
 * Makes every item stored so far whose key begins with `prefix` invisible, at once. STORE_MISS:
 * it is none of the prefixes chosen at the start. Constant time.
 */
enum store_result store_flush_prefix(struct store *store, struct slice prefix);
/* How many prefixes were chosen; one of them, 0 to that number, and how often it was flushed. */
unsigned store_flush_prefixes(const struct store *store);
struct slice store_flush_prefix_text(const struct store *store, unsigned i,
    uint64_t *flushes_out);

/* ---- Keeping house -------------------------------------------------------------------- */

/*
 * A slice of background work: reclaims expired and flushed items, grows the index, gives
 * pages back after the limit was lowered, moves pages between classes, gathers memory into huge
 * pages. At most about
 * `budget_us` microseconds. Tells how soon it should be called again. One thread at a time.
 */
enum store_upkeep {
    STORE_IDLE,     /* a second hence will do */
    STORE_EVICTING, /* in some ten milliseconds: pages may have to follow demand, or memory is
                     * taken fast and the next huge page should be there before it is used */
    STORE_BEHIND,   /* at once: work waits */
};
enum store_upkeep store_maintain(struct store *store, struct store_thread *thread, uint32_t now,
    uint32_t budget_us);

/* Changes the memory limit. False: beyond the reserved address space, or preallocated.
 * Lowering takes effect as maintenance empties pages. */
bool store_memory_limit(struct store *store, uint64_t memory_max);

/* Background reclaiming on or off (lru_crawler enable, disable). */
void store_sweep_enable(struct store *store, bool on);
/* Asks for a full sweep of the classes whose bits are set, as soon as possible. */
void store_sweep_now(struct store *store, uint64_t classes);

enum store_move { STORE_MOVE_OK, STORE_MOVE_BUSY, STORE_MOVE_BAD_CLASS, STORE_MOVE_NO_SPARE,
    STORE_MOVE_SAME };
/* Moves one page from class `from` (-1: any) to class `to`. */
enum store_move store_move_page(struct store *store, struct store_thread *thread, int from,
    int to, uint32_t now);

/* ---- Looking at it ------------------------------------------------------------------- */

struct store_totals {
    uint64_t limit_bytes, memory_bytes; /* the limit; bytes in pages held by classes */
    uint64_t kept_bytes;                /* the same with pages kept for them; others are bare */
    uint64_t pages_free;                /* pages owned by the store and by no class */
    uint64_t items, bytes;              /* linked now; their headers, keys and values */
    uint64_t items_total;               /* ever linked */
    uint64_t evictions, evicted_unfetched, evicted_active, expired_unfetched, reclaimed;
    uint64_t sweep_checked, sweep_reclaimed, sweep_runs;
    uint64_t pages_moved, move_rescues, direct_reclaims;
    uint64_t no_memory;
    uint64_t index_buckets, index_bytes; /* index_bytes: all of the index's memory in use */
    uint32_t index_power;
    bool index_growing, sweep_running, sweep_enabled;
    uint64_t upload_bytes, pinned_bytes;
    bool estimated;     /* enough was asked for to tell: hit ratios an LRU cache would have */
    double hit_ratios[4]; /* with half, the present, twice and four times the memory */
    uint64_t ghost_hits;                 /* keys that came back soon after their eviction */
    uint64_t ghost_bytes, probation_bytes; /* memory of the ghosts and of the rings */
    uint64_t huge_page_bytes;            /* of all of this, on huge pages for certain */
    uint64_t counter_bytes, counter_limit; /* of counters that expire, and their reserve */
    uint64_t flushed_before;             /* second of the last flush, 0: none */
};
void store_totals(struct store *store, struct store_totals *totals_out);

struct store_class_totals {
    uint32_t chunk_size, chunks_per_page;
    uint64_t pages, chunks, used_chunks, free_chunks;
    uint64_t items; /* linked, by the class of their first chunk */
    uint64_t mem_requested;
    uint64_t evicted, evicted_nonzero, evicted_unfetched, evicted_active, expired_unfetched;
    uint64_t reclaimed, out_of_memory, sweep_checked, sweep_reclaimed;
    uint32_t evicted_age; /* seconds since last use of the last item evicted */
    uint64_t ghost_hits; /* keys that came back soon after they were evicted from here */
    uint64_t wanted;     /* ... so soon that a few more pages would have kept them */
    uint64_t probation;  /* about: items on probation */
    uint64_t counters;   /* items that are counters and expire */
    uint32_t evicted_age_mean; /* of the last few hundred victims, seconds */
    uint32_t oldest_age;  /* about: seconds since last use of the item next under the hand */
};
/* Highest class id; ids are 1 .. this. */
unsigned store_classes(const struct store *store);
void store_class_totals(struct store *store, unsigned id, uint32_t now,
    struct store_class_totals *totals_out);
/* Class an item of this size would go to; 0 if it is large. */
unsigned store_class_of(const struct store *store, size_t key_len, uint32_t client_flags,
    size_t value_len);

/* An item shown to a walker. The key is borrowed for the call. */
struct store_entry {
    struct slice key;
    struct store_view view;
};
typedef void (*store_walk_fn)(void *context, const struct store_entry *entry);

/*
 * Shows live items to `fn`, `budget` chunks at a time, beginning where *cursor says (0 at
 * first) and moving it on; false at the end. `classes`: bits of the classes wanted. No
 * lock is held between calls: items that come or go meanwhile may be missed, none is
 * shown twice unless it moved, and none is shown torn.
 */
bool store_walk(struct store *store, struct store_thread *thread, uint64_t classes,
    uint64_t *cursor, unsigned budget, uint32_t now, store_walk_fn fn, void *context);

/* Walks every structure and aborts on the first contradiction. For tests: no other
 * thread may be inside the store. */
void store_check(struct store *store);

#endif
