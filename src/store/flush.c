/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flush.c - making items invisible without going to them.
 *
 * Whatever is stored gets a place in one order, its sequence (item_seq). A flush takes down
 * how far the sequence has come, its horizon: what is not above it is gone.
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
 * flush_lock: one flush at a time, and a pending one comes once: a thread that is late to
 * notice it must not hide what others have stored since.
 */
#include "store/core.h"

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
    return horizon;
}

void
flush_end_locked(struct store *store, uint64_t horizon)
{
    lock_assert_held(&store->flush_lock);
    /* Release: who sees it draws above it; pairs with item_flushed(). */
    atomic_store_explicit(&store->flushed, horizon, memory_order_release);
    /* Release: pairs with next_cas(). */
    atomic_fetch_and_explicit(&store->cas, ~FLUSHING, memory_order_release);
    atomic_store_explicit(&store->sweep_classes, UINT64_MAX, memory_order_relaxed);
}

static void
flush_locked(struct store *store, uint32_t now)
{
    flush_end_locked(store, flush_begin_locked(store));
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
