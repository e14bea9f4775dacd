/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * write.c - storing, touching, deleting. Each runs under the key's stripe from the
 * lookup to the last store, so all of them are atomic for a key.
 *
 * A new value of the old one's size class is written over it in place, between
 * table_change_begin and _end: nothing is allocated, the slot stays, the item keeps its
 * place under the clock hand. Otherwise a chunk is found, filled while nobody can see it,
 * and put into the slot. What became superfluous is freed after the stripe is given back.
 */
#include "base/num.h"
#include "store/core.h"

uint64_t
store_item_size(const struct store *store, size_t key_len, uint32_t client_flags,
    uint64_t value_len)
{
    return UINT64_C(48) + (store->options.no_cas ? 0 : 8) + key_len + 1 +
        (client_flags != 0 ? 4 : 0) + value_len + 2;
}

bool
store_fits(const struct store *store, size_t key_len, uint32_t client_flags,
    uint64_t value_len)
{
    return store_item_size(store, key_len, client_flags, value_len) <=
        store->options.item_size_max;
}

bool
store_is_large(size_t key_len, uint64_t value_len)
{
    return key_len + value_len > STORE_SMALL_MAX - 12; /* flags and seq may come on top */
}

/* ---- Putting a value under a key ------------------------------------------------------ */

static uint32_t
put_info(const struct put *put)
{
    uint32_t info = info_make((uint32_t)put->key.len, 0, KIND_ITEM) | put->bits;

    if (put->client_flags != 0)
        info |= INFO_HAS_FLAGS;
    if (put->cas_given)
        info |= INFO_HAS_SEQ;
    if (put->upload != NULL)
        info |= INFO_LARGE;
    if (put->counter)
        info |= INFO_COUNTER;
    return info;
}

bool
put_is_counter(const struct put *put)
{
    uint64_t number;

    return put->exptime != 0 && put->upload == NULL &&
        num_u64(put->value, NUM_U64_MAX, &number);
}

static uint32_t
put_value_len(const struct put *put)
{
    return put->upload != NULL ? (uint32_t)put->upload->len : (uint32_t)put->value.len;
}

/* Writes all of an item but its info word. The chunk is reserved, or between begin and
 * end of a change. Returns the CAS unique. */
static uint64_t
item_fill(struct item *item, const struct put *put, uint32_t info, uint32_t now)
{
    char *start = (char *)item;
    uint64_t cas = put->cas_given ? put->cas_new : put->seq;

    item_set_cas(item, cas);
    atomic_store_explicit(&item->exptime, put->exptime, memory_order_relaxed);
    atomic_store_explicit(&item->last_access, now, memory_order_relaxed);
    atomic_store_explicit(&item->value_len, put_value_len(put), memory_order_relaxed);
    racy_write(item->data, put->key.data, put->key.len);
    if (info & INFO_HAS_FLAGS)
        racy_write(start + item_flags_at(info), (const char *)&put->client_flags, 4);
    if (info & INFO_HAS_SEQ)
        racy_write(start + item_seq_at(info), (const char *)&put->seq, 8);
    if (!(info & INFO_LARGE))
        racy_write(start + item_value_at(info), put->value.data, put->value.len);
    return cas;
}

static bool
fits_in_place(const struct store *store, const struct item *old, uint32_t info,
    uint32_t value_len)
{
    uint32_t old_info = item_info(old);

    return !((old_info | info) & INFO_LARGE) &&
        slab_class_for(&store->slab, item_used(info, value_len)) == INFO_CLASS(old_info);
}

static void
put_in_place(struct store_thread *thread, struct table_spot *spot, const struct put *put,
    uint32_t info, uint32_t now, struct store_written *written)
{
    struct item *item = spot->item;
    uint32_t old_info = item_info(item);

    info |= INFO_CLASS(old_info) << 8;
    gauge_sub(thread, item, old_info);
    table_change_begin(spot->bucket);
    written->cas = item_fill(item, put, info, now);
    /* The same chunk keeps its place in the policy's order. */
    item_change_info(item, ~INFO_POLICY, info);
    table_change_end(spot->bucket);
    gauge_add(thread, item, info);
}

/* The spot's item gives way to `item`. */
static void
put_replace(struct store *store, struct store_thread *thread, struct table_spot *spot,
    struct item *item, struct item **dead)
{
    struct item *old = spot->item;
    uint32_t old_info = item_info(old);

    table_replace(spot, item_ref(store, item));
    item_set_info(old, info_with_kind(old_info, KIND_RESERVED));
    gauge_sub(thread, old, old_info);
    if (item_disposable(old))
        *dead = old;
}

/* `spot`: of the key's present item, or where it will be. */
static struct item *
put_new(struct store *store, struct store_thread *thread, const struct table_spot *spot,
    const struct put *put, uint32_t info, uint32_t now, struct store_written *written)
{
    unsigned id = slab_class_for(&store->slab, item_used(info, put_value_len(put)));
    unsigned last_id = id;
    struct item *item;
    uint32_t bits;

    policy_prefetch(store, table_spot_bucket(&store->table, spot));
    item = chunk_get(store, thread, id, now);
    if (item == NULL)
        return NULL;
    written->cas = item_fill(item, put, info, now);
    info |= id << 8;
    if (info & INFO_LARGE) {
        id = upload_class(put->upload);
        last_id = upload_last_class(put->upload);
    }
    bits = policy_admit(store, spot, id, last_id, put->counter) |
        INFO_TAG_OF(written->cas);
    if (info & INFO_LARGE) {
        upload_give(put->upload, item, item_chain(item, info), bits, put->hash);
        bits = 0;
    }
    item_set_info(item, info | bits);
    if (bits & INFO_PROBATION)
        policy_enlist(store, item, put->hash);
    return item;
}

/* Bytes of memory that an item keeps from others. */
static uint32_t
bytes_taken(const struct store *store, const struct item *item)
{
    uint32_t info = item_info(item);

    return store->slab.classes[INFO_CLASS(info)].chunk_size +
        ((info & INFO_LARGE) ? item_value_len(item) : 0);
}

enum store_result
put_value(struct store *store, struct store_thread *thread, struct table_spot *spot,
    const struct put *put, uint32_t now, struct store_written *written, struct item **dead)
{
    uint32_t info = put_info(put);
    struct item *item;

    if (spot->item != NULL && fits_in_place(store, spot->item, info, put_value_len(put))) {
        put_in_place(thread, spot, put, info, now, written);
        item = spot->item;
    } else {
        item = put_new(store, thread, spot, put, info, now, written);
        if (item == NULL)
            return STORE_NO_MEMORY;
        if (spot->item != NULL) {
            put_replace(store, thread, spot, item, dead);
        } else if (table_insert(&store->table, spot, item_ref(store, item))) {
            count_items(store, thread, 1);
        } else {
            /* Without its pieces, which the upload still has. */
            item_set_info(item, info_make(0, INFO_CLASS(item_info(item)), KIND_RESERVED));
            *dead = item;
            return STORE_NO_MEMORY;
        }
        if (put->upload != NULL)
            upload_end(put->upload);
        gauge_add(thread, item, item_info(item));
    }
    counter_add(&thread->items_total, 1);
    if (__builtin_expect(estimate_wants(store->estimate, put->hash), 0))
        estimate_set(store->estimate, put->hash, bytes_taken(store, item), put->exptime,
            limit_bytes(store));
    slab_note_expiry(&store->slab, item, put->exptime);
    written->value_len = item_value_len(item);
    written->slab_class = (uint8_t)INFO_CLASS(item_info(item));
    class_used(store, written->slab_class, now);
    return STORE_OK;
}

/* ---- Numbers, for arith.c ------------------------------------------------------------- */

enum store_result
put_digits(struct store *store, struct store_thread *thread, struct table_spot *spot,
    const struct store_arith *arith, uint64_t seq, struct slice digits, uint32_t now,
    struct store_summed *summed, struct item **dead)
{
    uint32_t info = item_info(spot->item);
    struct put put = { .key = arith->key, .hash = arith->hash, .seq = seq, .value = digits,
        .client_flags = item_client_flags(spot->item, info),
        .exptime = item_exptime(spot->item), .cas_given = arith->cas_given,
        .cas_new = arith->cas_new, .counter = (info & INFO_COUNTER) != 0,
        .bits = info & INFO_KEY_BINARY };
    struct store_written written;
    uint32_t len = item_value_len(spot->item);

    /* What is not longer looks as if it had been written in place: blanks behind it, and
     * still the same item. */
    if (digits.len <= len) {
        put.bits = info & (INFO_STALE | INFO_WIN_SENT | INFO_KEY_BINARY | INFO_FETCHED);
        memset(thread->value, ' ', len);
        memcpy(thread->value, digits.data, digits.len);
        put.value = slice_of(thread->value, len);
    }
    if (put_value(store, thread, spot, &put, now, &written, dead) != STORE_OK)
        return STORE_NO_MEMORY;
    /* put_value() may have put another item in the place of spot->item. */
    *spot = table_find(&store->table, arith->hash, arith->key);
    summed->cas = written.cas;
    return STORE_OK;
}

enum store_result
put_initial(struct store *store, struct store_thread *thread, struct table_spot *spot,
    const struct store_arith *arith, uint32_t now, struct store_summed *summed,
    struct item **dead)
{
    char digits[NUM_U64_MAX];
    struct put put = { .key = arith->key, .hash = arith->hash, .seq = next_cas(store),
        .exptime = arith->vivify_exptime, .cas_given = arith->cas_given,
        .cas_new = arith->cas_new, .bits = arith->key_binary ? INFO_KEY_BINARY : 0 };
    struct store_written written;

    summed->created = true; /* or it was to be */
    put.value = slice_of(digits, (size_t)(num_put(digits, arith->initial) - digits));
    put.counter = put_is_counter(&put);
    if (put_value(store, thread, spot, &put, now, &written, dead) != STORE_OK)
        return STORE_NO_MEMORY;
    *summed = (struct store_summed){ .number = arith->initial, .cas = written.cas,
        .exptime = arith->vivify_exptime, .slab_class = written.slab_class,
        .created = true };
    return STORE_OK;
}

/* ---- store_write --------------------------------------------------------------------- */

void
count_reclaimed(struct store *store, uint32_t info)
{
    struct slab_class *class = &store->slab.classes[INFO_CLASS(info)];

    atomic_fetch_add_explicit(&class->reclaimed, 1, memory_order_relaxed);
    if (!(info & INFO_FETCHED))
        atomic_fetch_add_explicit(&class->expired_unfetched, 1, memory_order_relaxed);
}

/* Does the mode's or the CAS condition let the write happen? *bits_out: the marks it
 * happens with. */
static enum store_result
write_condition(const struct store_write *write, const struct item *live,
    uint32_t *bits_out)
{
    *bits_out = 0;
    if (write->mode == STORE_ADD)
        return live == NULL ? STORE_OK : STORE_NOT_STORED;
    if (live == NULL) {
        if (write->mode == STORE_APPEND || write->mode == STORE_PREPEND)
            return write->vivify ? STORE_OK : STORE_NOT_STORED;
        if (write->compare)
            return STORE_MISS;
        return write->mode == STORE_SET ? STORE_OK : STORE_NOT_STORED;
    }
    if (!write->compare)
        return STORE_OK;
    if (write->cas_expected != 0 && item_cas(live) == write->cas_expected)
        return STORE_OK;
    if (!write->allow_stale || item_cas(live) <= write->cas_expected)
        return STORE_EXISTS;
    *bits_out = INFO_STALE | (item_info(live) & INFO_WIN_SENT);
    return STORE_OK;
}

/* Joins two runs, each given in memory or as an upload or a large item, in an upload. */
static struct store_upload *
join_large(struct store *store, struct store_thread *thread, struct item *old,
    const struct store_write *write, uint64_t len)
{
    struct store_upload *joined = store_upload_open(store, thread, len);
    uint32_t info = item_info(old);
    bool ok = joined != NULL;

    for (int part = 0; ok && part < 2; part++) {
        bool is_old = (part == 0) == (write->mode == STORE_APPEND);

        if (is_old && (info & INFO_LARGE))
            ok = upload_put_chain(joined, thread, old);
        else if (is_old)
            ok = store_upload_put(joined, thread, (char *)old + item_value_at(info),
                item_value_len(old));
        else if (write->upload != NULL)
            ok = upload_put_upload(joined, thread, write->upload);
        else
            ok = store_upload_put(joined, thread, write->value.data, write->value.len);
    }
    if (ok)
        return joined;
    if (joined != NULL)
        store_upload_cancel(store, thread, joined);
    return NULL;
}

static struct slice
join_small(struct store_thread *thread, struct item *old, const struct store_write *write)
{
    uint32_t old_len = item_value_len(old);
    char *old_to = thread->value, *new_to = thread->value;

    if (write->mode == STORE_APPEND)
        new_to += old_len;
    else
        old_to += write->value.len;
    racy_read(old_to, (char *)old + item_value_at(item_info(old)), old_len);
    if (write->value.len > 0)
        memcpy(new_to, write->value.data, write->value.len);
    return slice_of(thread->value, old_len + write->value.len);
}

/* Append and prepend on a live item: the joined value replaces it. Every failure is "not
 * stored", and the old value stays. */
static enum store_result
write_joined(struct store *store, struct store_thread *thread, struct table_spot *spot,
    const struct store_write *write, struct put *put, uint32_t now,
    struct store_written *written, struct item **dead)
{
    struct item *old = spot->item;
    uint64_t added = write->upload != NULL ? write->upload->len : write->value.len;
    uint64_t len = item_value_len(old) + added;
    enum store_result result;

    put->client_flags = item_client_flags(old, item_info(old));
    put->exptime = item_exptime(old);
    put->upload = NULL;
    if (!store_fits(store, put->key.len, put->client_flags, len))
        return STORE_NOT_STORED;
    if (store_is_large(put->key.len, len)) {
        put->upload = join_large(store, thread, old, write, len);
        if (put->upload == NULL)
            return STORE_NOT_STORED;
    } else {
        put->value = join_small(thread, old, write);
    }
    result = put_value(store, thread, spot, put, now, written, dead);
    if (result != STORE_OK && put->upload != NULL)
        store_upload_cancel(store, thread, put->upload);
    return result == STORE_OK ? STORE_OK : STORE_NOT_STORED;
}

/* The spot's item goes now; the stripe stays locked and the spot is empty afterwards. */
static void
remove_old(struct store *store, struct store_thread *thread, struct table_spot *spot)
{
    struct item *old = spot->item;
    bool disposable = item_disposable(old);

    item_unlink(store, thread, spot);
    spot->item = NULL;
    if (disposable)
        item_dispose(store, old);
}

/* What the condition has let through. */
static enum store_result
write_value(struct store *store, struct store_thread *thread, struct table_spot *spot,
    bool live, const struct store_write *write, struct put *put, uint32_t now,
    struct store_written *written, struct item **dead)
{
    enum store_result result;

    if (live && (write->mode == STORE_APPEND || write->mode == STORE_PREPEND))
        return write_joined(store, thread, spot, write, put, now, written, dead);
    if (!live && (write->mode == STORE_APPEND || write->mode == STORE_PREPEND))
        put->exptime = write->vivify_exptime;
    if (live && (put->bits & INFO_STALE))
        put->exptime = item_exptime(spot->item);
    result = put_value(store, thread, spot, put, now, written, dead);
    if (result != STORE_NO_MEMORY || write->mode != STORE_SET || spot->item == NULL)
        return result;
    /* A set that found no memory must not leave the old value to be taken for the new. What
     * that frees may be just what was missing. */
    remove_old(store, thread, spot);
    return put_value(store, thread, spot, put, now, written, dead);
}

static void
write_refused(struct store *store, struct item *item, enum store_result result, uint32_t now,
    struct store_written *written)
{
    written->slab_class = (uint8_t)INFO_CLASS(item_info(item));
    /* Who fails to add a key is using it. */
    if (result == STORE_NOT_STORED)
        item_mark(store, item, now, false);
}

static enum store_result
write_locked(struct store *store, struct store_thread *thread,
    const struct store_write *write, uint32_t now, bool *upload_taken,
    struct store_written *written, struct item **dead)
{
    struct table_spot spot = table_find(&store->table, write->hash, write->key);
    struct put put = { .key = write->key, .hash = write->hash,
        .client_flags = write->client_flags, .exptime = write->exptime,
        .value = write->value, .upload = write->upload, .cas_given = write->cas_given,
        .cas_new = write->cas_new };
    enum store_result result;
    bool live;

    /* Twice at most: what was flushed stays so. */
    do {
        live = spot.item != NULL && item_live(store, spot.item, item_info(spot.item), now);
        result = write_condition(write, live ? spot.item : NULL, &put.bits);
        if (result != STORE_OK) {
            if (live)
                write_refused(store, spot.item, result, now, written);
            return result;
        }
    } while (!seq_draw(store, live ? spot.item : NULL, &put.seq));
    if (write->key_binary)
        put.bits |= INFO_KEY_BINARY;
    put.counter = write->mode == STORE_ADD && put_is_counter(&put);
    if (spot.item != NULL && !live)
        count_reclaimed(store, item_info(spot.item));
    result = write_value(store, thread, &spot, live, write, &put, now, written, dead);
    *upload_taken = result == STORE_OK && put.upload == write->upload;
    return result;
}

enum store_result
store_write(struct store *store, struct store_thread *thread,
    const struct store_write *write, uint32_t now, struct store_written *written)
{
    struct lock *stripe = table_stripe(&store->table, write->hash);
    struct item *dead = NULL;
    bool upload_taken = false;
    enum store_result result;

    assert(write->key.len >= 1);
    assert(write->key.len <= KEY_LEN_MAX);
    assert(write->upload != NULL || !store_is_large(write->key.len, write->value.len));
    assert(write->upload == NULL || write->upload->filled == write->upload->len);
    assert(write->upload == NULL || store_is_large(write->key.len, write->upload->len));
    flush_if_due(store, now);
    *written = (struct store_written){ .cas = 0 };
    lock_take(stripe);
    result = write_locked(store, thread, write, now, &upload_taken, written, &dead);
    lock_give(stripe);
    if (dead != NULL)
        item_dispose(store, dead);
    if (write->upload != NULL && !upload_taken)
        store_upload_cancel(store, thread, write->upload);
    grow_index(store);
    return result;
}

/* ---- Touching, deleting --------------------------------------------------------------- */

enum store_result
store_touch(struct store *store, struct store_thread *thread, struct slice key,
    uint64_t hash, const struct store_touch *touch, uint32_t now, struct store_view *view)
{
    struct store_view seen;
    enum store_result result = store_find_locked(store, thread, key, hash, now, STORE_USE,
        &seen);

    if (result == STORE_OK) {
        struct item *item = item_at(store, seen.ref);

        if (touch->set_exptime) {
            atomic_store_explicit(&item->exptime, touch->exptime, memory_order_relaxed);
            slab_note_expiry(&store->slab, item, touch->exptime);
            seen.exptime = touch->exptime;
        }
        store_unlock(store, &seen);
        seen.locked = false;
    }
    if (view != NULL)
        *view = seen;
    return result;
}

enum store_result
store_delete(struct store *store, struct store_thread *thread, struct slice key,
    uint64_t hash, bool compare, uint64_t cas_expected, uint32_t now,
    uint8_t *slab_class_out)
{
    struct lock *stripe = table_stripe(&store->table, hash);
    struct table_spot spot;
    struct item *dead = NULL;
    enum store_result result = STORE_MISS;

    flush_if_due(store, now);
    lock_take(stripe);
    spot = table_find(&store->table, hash, key);
    if (spot.item != NULL) {
        uint32_t info = item_info(spot.item);
        bool live = item_live(store, spot.item, info, now);

        *slab_class_out = (uint8_t)INFO_CLASS(info);
        if (live)
            result = compare && item_cas(spot.item) != cas_expected ? STORE_EXISTS :
                                                                      STORE_OK;
        else
            count_reclaimed(store, info);
        if (result == STORE_OK && estimate_wants(store->estimate, hash))
            estimate_delete(store->estimate, hash);
        if (result != STORE_EXISTS) {
            if (item_disposable(spot.item))
                dead = spot.item;
            item_unlink(store, thread, &spot);
        }
    }
    lock_give(stripe);
    if (dead != NULL)
        item_dispose(store, dead);
    return result;
}
