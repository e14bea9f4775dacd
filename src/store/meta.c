/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta.c - stale items and who is to renew them.
 *
 * Two bits of an item, INFO_STALE and INFO_WIN_SENT:
 *
 *      (nothing there) -- visit, vivify: won --+
 *                                              v
 *      fresh 00 ------- visit, recache: won -> 01 ------+
 *        ^  |                                  |        |
 *        |  +--- mark ---> stale 10 <-- mark --+        | any plain store
 *        |                  |    ^                      | makes it fresh
 *        |       visit: won |    | mark                 |
 *        |                  v    |                      |
 *        +----------------- 11 --+ <--------------------+
 *
 * All of it happens under the item's stripe, so that of many visitors one wins. Nobody
 * need come here for an item that is fresh, or whose winner is known: a plain
 * store_find() shows both bits.
 */
#include "base/clock.h"
#include "store/core.h"

/* ---- Visiting ---------------------------------------------------------------------- */

/* Creates an empty item, won by the caller. STORE_EXISTS: somebody was faster. */
static enum store_result
vivify(struct store *store, struct store_thread *thread, const struct store_visit *visit,
    uint32_t now, struct store_view *view)
{
    struct lock *stripe = table_stripe(&store->table, visit->hash);
    struct put put = { .key = visit->key, .hash = visit->hash, .value = SLICE(""),
        .exptime = visit->vivify_exptime, .cas_given = visit->cas_given,
        .cas_new = visit->cas_new,
        .bits = INFO_WIN_SENT | (visit->key_binary ? INFO_KEY_BINARY : 0) };
    struct store_written written;
    struct table_spot spot;
    struct item *dead = NULL;
    enum store_result result = STORE_EXISTS;

    lock_take(stripe);
    spot = table_find(&store->table, visit->hash, visit->key);
    if (spot.item == NULL || !item_live(store, spot.item, item_info(spot.item), now)) {
        if (spot.item != NULL)
            count_reclaimed(store, item_info(spot.item));
        put.seq = next_cas(store);
        result = put_value(store, thread, &spot, &put, now, &written, &dead);
    }
    if (result == STORE_OK) {
        spot = table_find(&store->table, visit->hash, visit->key);
        view_fill(store, spot.item, item_info(spot.item), view);
        view->bucket = (uint32_t)(spot.bucket - store->table.buckets);
        view->seq = meta_seq(atomic_load_explicit(&spot.bucket->meta,
            memory_order_relaxed));
    }
    lock_give(stripe);
    if (dead != NULL)
        item_dispose(store, dead);
    if (result == STORE_OK)
        grow_index(store);
    return result;
}

/* Touches an item and elects its winner. The stripe is held. */
static void
visit_item(struct store *store, const struct store_visit *visit,
    struct store_visited *visited, struct store_view *view)
{
    struct item *item = item_at(store, view->ref);
    uint32_t info = item_info(item), compared = item_exptime(item);
    bool short_lived;

    visited->exptime_before = compared;
    if (visit->set_exptime) {
        atomic_store_explicit(&item->exptime, visit->exptime, memory_order_relaxed);
        slab_note_expiry(&store->slab, item, visit->exptime);
        view->exptime = visit->exptime;
        if (visit->recache_touched)
            compared = visit->exptime;
    }
    /* Never is 0, on either side. */
    short_lived = visit->recache && compared != 0 && compared < visit->recache_below;
    visited->sent = (info & INFO_WIN_SENT) != 0;
    if (visited->sent || (!(info & INFO_STALE) && !short_lived))
        return;
    visited->won = view->win_sent = true;
    item_change_info(item, 0, INFO_WIN_SENT);
}

enum store_result
store_visit(struct store *store, struct store_thread *thread,
    const struct store_visit *visit, uint32_t now, struct store_visited *visited,
    struct store_view *view)
{
    enum store_result result;

    *visited = (struct store_visited){ .pin = NULL };
    for (;;) {
        result = store_find_locked(store, thread, visit->key, visit->hash, now,
            visit->use, view);
        if (result == STORE_OK || !visit->vivify)
            break;
        result = vivify(store, thread, visit, now, view);
        view->locked = false;
        if (result == STORE_EXISTS)
            continue;
        visited->created = visited->won = result == STORE_OK;
        return result;
    }
    if (result != STORE_OK)
        return result;
    if (view->large && visit->pin) {
        visited->pin = store_pin(store, thread, view, &visited->pins_full);
        if (visited->pin == NULL) {
            store_unlock(store, view);
            view->locked = false;
            return STORE_NO_MEMORY;
        }
    }
    visit_item(store, visit, visited, view);
    return STORE_OK;
}

/* ---- Marking ----------------------------------------------------------------------- */

/* The item stays where it is; only its header changes. */
static void
mark_in_place(struct store *store, struct table_spot *spot, const struct store_mark *mark,
    uint64_t seq)
{
    struct item *item = spot->item;
    uint32_t info = item_info(item);

    table_change_begin(spot->bucket);
    item_set_cas(item, mark->cas_given ? mark->cas_new : seq);
    if (info & INFO_HAS_SEQ)
        racy_write((char *)item + item_seq_at(info), (const char *)&seq, 8);
    item_change_info(item, INFO_WIN_SENT, INFO_STALE);
    table_change_end(spot->bucket);
    if (mark->set_exptime) {
        atomic_store_explicit(&item->exptime, mark->exptime, memory_order_relaxed);
        slab_note_expiry(&store->slab, item, mark->exptime);
    }
}

/* The item's value for the new one: copied, because the old may be pinned. */
static bool
take_value(struct store *store, struct store_thread *thread, struct item *item,
    struct put *put)
{
    uint32_t info = item_info(item), len = item_value_len(item);

    if (!(info & INFO_LARGE)) {
        racy_read(thread->value, (char *)item + item_value_at(info), len);
        put->value = slice_of(thread->value, len);
        return true;
    }
    put->upload = store_upload_open(store, thread, len);
    return put->upload != NULL && upload_put_chain(put->upload, thread, item);
}

/* A new item takes the place of the old: an empty one, or one that has room for a unique
 * chosen by a client. */
static enum store_result
mark_anew(struct store *store, struct store_thread *thread, struct table_spot *spot,
    const struct store_mark *mark, uint64_t seq, uint32_t now, struct item **dead)
{
    struct item *old = spot->item;
    uint32_t info = item_info(old);
    struct store_written written;
    struct put put = { .key = mark->key, .hash = mark->hash, .seq = seq, .value = SLICE(""),
        .client_flags = mark->client_flags, .exptime = EXPTIME_NEVER,
        .cas_given = mark->cas_given, .cas_new = mark->cas_new,
        .bits = mark->stale ? INFO_STALE : 0 };
    enum store_result result = STORE_NO_MEMORY;

    if (mark->empty) {
        put.bits |= mark->key_binary ? INFO_KEY_BINARY : 0;
    } else {
        put.bits |= info & (INFO_KEY_BINARY | INFO_FETCHED);
        put.client_flags = item_client_flags(old, info);
        put.exptime = item_exptime(old);
    }
    if (mark->set_exptime)
        put.exptime = mark->exptime;
    if (!mark->stale && !mark->cas_given) {
        put.cas_given = true;
        put.cas_new = item_cas(old);
    }
    if (mark->empty || take_value(store, thread, old, &put))
        result = put_value(store, thread, spot, &put, now, &written, dead);
    if (result != STORE_OK && put.upload != NULL)
        store_upload_cancel(store, thread, put.upload);
    return result;
}

enum store_result
store_mark(struct store *store, struct store_thread *thread,
    const struct store_mark *mark, uint32_t now, uint8_t *slab_class_out)
{
    struct lock *stripe = table_stripe(&store->table, mark->hash);
    struct table_spot spot;
    struct item *dead = NULL;
    enum store_result result = STORE_OK;
    uint64_t seq;

    assert(mark->stale || mark->empty);
    flush_if_due(store, now);
    lock_take(stripe);
    spot = table_find(&store->table, mark->hash, mark->key);
    if (spot.item == NULL || !item_live(store, spot.item, item_info(spot.item), now)) {
        result = STORE_MISS;
    } else {
        uint32_t info = item_info(spot.item);

        *slab_class_out = (uint8_t)INFO_CLASS(info);
        if (mark->compare && item_cas(spot.item) != mark->cas_expected)
            result = STORE_EXISTS;
        else if (!seq_draw(store, spot.item, &seq))
            result = STORE_MISS; /* flushed since we looked */
        else if (mark->empty || (mark->cas_given && !(info & INFO_HAS_SEQ)))
            result = mark_anew(store, thread, &spot, mark, seq, now, &dead);
        else
            mark_in_place(store, &spot, mark, seq);
    }
    lock_give(stripe);
    if (dead != NULL)
        item_dispose(store, dead);
    return result;
}
