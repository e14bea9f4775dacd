/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flush.c - making items invisible without going to them.
 *
 * Whatever is stored gets a place in one order, its sequence (item_seq). A flush takes down
 * how far the sequence has come, its horizon: what is not above it is gone. There is one
 * horizon for all keys and one for each chosen prefix, of the keys that begin with it.
 *
 *   store.cas    [ a flush is under way 1 | last sequence given 63 ]
 *
 * A flush has to be one moment, also for a write that it meets half way. An incr that found
 * its item alive must either be over before the flush, so that its result is gone too, or
 * come after it and find nothing. Its result tells the two apart by its sequence only, so
 * this must hold: whoever is given a sequence above the horizon has seen the horizon when it
 * decides. Hence
 *
 *   flush   or FLUSHING to store.cas, which tells the horizon;  store it;  and FLUSHING away
 *   write   look;  draw the sequence, waiting while FLUSHING is set;  look again (seq_draw)
 *
 * Both act on one word by read-modify-write, so a write draws either before the flush, and
 * its result is not above the horizon, or while FLUSHING is set, and waits, or after it was
 * taken away, and acquires what the flush released: then the second look shows the item
 * dead, and the write decides anew. What is found dead or absent needs no second look: who
 * has seen a horizon draws above it. An item may thus be put into the index with a sequence
 * that is not above the horizon, and is never seen: its write came first.
 *
 * Readers compare with the highest horizon of all (flush_latest), and only items that are
 * not above that are looked at more closely. It is raised before the horizon itself, so that
 * all items a flush hides are gone at once, with the horizon's store.
 *
 * flush_lock: one flush at a time, and a pending one comes once: a thread that is late to
 * notice it must not hide what others have stored since.
 */
#include "store/core.h"

void
flush_init(struct store *store, const struct store_options *options)
{
    assert(options->nflush_prefixes <= STORE_FLUSH_PREFIXES_MAX);
    for (unsigned i = 0; i < options->nflush_prefixes; i++) {
        struct slice text = options->flush_prefixes[i];
        struct flush_prefix *prefix = &store->flush_prefixes[i];

        assert(text.len >= 1);
        assert(text.len <= STORE_FLUSH_PREFIX_MAX);
        prefix->len = (uint8_t)text.len;
        memcpy(prefix->bytes, text.data, text.len);
    }
    store->nflush_prefixes = store->nflush_slots = options->nflush_prefixes;
}

bool
flush_hides(const struct store *store, const struct item *item, uint32_t info, uint64_t seq)
{
    /* Acquire, here and below: pairs with the release in flush_end_locked(). */
    if (seq <= atomic_load_explicit(&store->flushed, memory_order_acquire))
        return true;
    for (unsigned i = 0; i < store->nflush_slots; i++) {
        const struct flush_prefix *prefix = &store->flush_prefixes[i];

        if (seq <= atomic_load_explicit(&prefix->horizon, memory_order_acquire) &&
            INFO_KEY_LEN(info) >= prefix->len &&
            racy_equal(item->data, prefix->bytes, prefix->len))
            return true;
    }
    return false;
}

void
flush_wait(struct store *store)
{
    lock_take(&store->flush_lock);
    lock_give(&store->flush_lock);
}

/* From here to the end of the flush no sequence is given out. The horizon. */
uint64_t
flush_begin_locked(struct store *store)
{
    uint64_t horizon = atomic_fetch_or_explicit(&store->cas, FLUSHING, memory_order_acq_rel);

    lock_assert_held(&store->flush_lock);
    assert((horizon & FLUSHING) == 0);
    atomic_store_explicit(&store->flush_latest, horizon, memory_order_relaxed);
    return horizon;
}

void
flush_end_locked(struct store *store, _Atomic uint64_t *horizon_of, uint64_t horizon)
{
    lock_assert_held(&store->flush_lock);
    /* Release: who sees it sees flush_latest, and draws above it. */
    atomic_store_explicit(horizon_of, horizon, memory_order_release);
    /* Release: pairs with next_cas(). */
    atomic_fetch_and_explicit(&store->cas, ~FLUSHING, memory_order_release);
    atomic_store_explicit(&store->sweep_classes, UINT64_MAX, memory_order_relaxed);
}

static void
flush_locked(struct store *store, uint32_t now)
{
    uint64_t horizon = flush_begin_locked(store);

    flush_end_locked(store, &store->flushed, horizon);
    atomic_store_explicit(&store->flushed_at, now, memory_order_relaxed);
    atomic_store_explicit(&store->flush_at, 0, memory_order_release);
}

void
store_flush(struct store *store, uint32_t when, uint32_t now)
{
    lock_take(&store->flush_lock);
    if (when > now)
        atomic_store_explicit(&store->flush_at, when, memory_order_release);
    else
        flush_locked(store, now);
    lock_give(&store->flush_lock);
}

void
flush_due(struct store *store, uint32_t now)
{
    uint32_t at;

    lock_take(&store->flush_lock);
    at = atomic_load_explicit(&store->flush_at, memory_order_relaxed);
    if (at != 0 && now >= at)
        flush_locked(store, now);
    lock_give(&store->flush_lock);
}

/* ---- Prefixes ------------------------------------------------------------------------ */

static struct slice
prefix_text(const struct flush_prefix *prefix)
{
    return slice_of(prefix->bytes, prefix->len);
}

/* Of the first `n`; NULL: it is none of them. */
static struct flush_prefix *
find_prefix(struct store *store, unsigned n, struct slice text)
{
    for (unsigned i = 0; i < n; i++)
        if (slice_equal(prefix_text(&store->flush_prefixes[i]), text))
            return &store->flush_prefixes[i];
    return NULL;
}

enum store_result
store_flush_prefix(struct store *store, struct slice text)
{
    struct flush_prefix *prefix = find_prefix(store, store->nflush_prefixes, text);

    if (prefix == NULL)
        return STORE_MISS;
    lock_take(&store->flush_lock);
    flush_end_locked(store, &prefix->horizon, flush_begin_locked(store));
    atomic_fetch_add_explicit(&prefix->flushes, 1, memory_order_relaxed);
    lock_give(&store->flush_lock);
    return STORE_OK;
}

unsigned
store_flush_prefixes(const struct store *store)
{
    return store->nflush_prefixes;
}

struct slice
store_flush_prefix_text(const struct store *store, unsigned i, uint64_t *flushes_out)
{
    const struct flush_prefix *prefix = &store->flush_prefixes[i];

    assert(i < store->nflush_prefixes);
    *flushes_out = atomic_load_explicit(&prefix->flushes, memory_order_relaxed);
    return prefix_text(prefix);
}

/* ---- Another store's items ----------------------------------------------------------- */

void
flush_restore_prefix(struct store *store, struct slice text, uint64_t horizon,
    uint64_t flushes)
{
    struct flush_prefix *prefix = find_prefix(store, store->nflush_slots, text);

    assert(text.len <= STORE_FLUSH_PREFIX_MAX);
    if (prefix == NULL && horizon == 0)
        return;
    if (prefix == NULL && store->nflush_slots == FLUSH_SLOTS) {
        if (horizon > store->flushed)
            store->flushed = horizon;
        return;
    }
    if (prefix == NULL) {
        prefix = &store->flush_prefixes[store->nflush_slots++];
        prefix->len = (uint8_t)text.len;
        memcpy(prefix->bytes, text.data, text.len);
    }
    prefix->horizon = horizon;
    prefix->flushes = flushes;
}

bool
flush_restore_end(struct store *store)
{
    uint64_t latest = store->flushed;

    for (unsigned i = 0; i < store->nflush_slots; i++)
        if (store->flush_prefixes[i].horizon > latest)
            latest = store->flush_prefixes[i].horizon;
    store->flush_latest = latest;
    return (store->cas & FLUSHING) == 0 && latest <= store->cas;
}
