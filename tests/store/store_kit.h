/* SPDX-License-Identifier: BSD-3-Clause */
/* store_kit.h - what the store's tests have in common: a small store, short calls. */
#ifndef LARDER_TESTS_STORE_KIT_H
#define LARDER_TESTS_STORE_KIT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/racy.h"
#include "store/store.h"

struct kit {
    struct store *store;
    struct store_thread *thread;
    uint32_t now;
};

static inline struct store_options
kit_options(uint64_t memory_max)
{
    return (struct store_options){ .memory_max = memory_max, .item_size_max = 1 << 20,
        .memory_reserve = memory_max * 4, .chunk_max = 65536, .chunk_min = 24,
        .growth_factor = 1.125, .evict = true, .slab_reassign = true,
        .hash_key = "0123456789abcde" };
}

static inline void
kit_open(struct kit *kit, const struct store_options *options)
{
    const char *why;

    kit->store = store_create(options, &why);
    ck_assert_ptr_nonnull(kit->store);
    kit->thread = store_thread_open(kit->store);
    ck_assert_ptr_nonnull(kit->thread);
    kit->now = CLOCK_FIRST + 10;
}

static inline void
kit_close(struct kit *kit)
{
    store_check(kit->store);
    store_thread_close(kit->thread);
    store_destroy(kit->store);
}

/* Makes an upload of `len` bytes and fills it, in runs as the store hands them out. NULL:
 * no memory. */
static inline struct store_upload *
kit_upload(struct kit *kit, const char *data, uint64_t len)
{
    struct store_upload *upload = store_upload_open(kit->store, kit->thread, len);
    struct iovec iov[4];
    int n;

    ck_assert_ptr_nonnull(upload);
    while ((n = store_upload_room(upload, kit->thread, iov, 4)) > 0) {
        size_t part = iov[0].iov_len > 5000 ? iov[0].iov_len - 1234 : iov[0].iov_len;
        racy_write(iov[0].iov_base, data, part);
        data += part;
        store_upload_filled(upload, part);
    }
    if (n == 0)
        return upload;
    store_upload_cancel(kit->store, kit->thread, upload);
    return NULL;
}

static inline enum store_result
kit_write_full(struct kit *kit, struct store_write *write, struct slice key,
    struct slice value, struct store_written *written)
{
    write->key = key;
    write->hash = store_hash(kit->store, key);
    if (store_is_large(key.len, value.len)) {
        write->upload = kit_upload(kit, value.data, value.len);
        if (write->upload == NULL)
            return STORE_NO_MEMORY;
    } else {
        write->value = value;
    }
    return store_write(kit->store, kit->thread, write, kit->now, written);
}

static inline enum store_result
kit_write(struct kit *kit, enum store_mode mode, const char *key, const char *value)
{
    struct store_write write = { .mode = mode };
    struct store_written written;

    return kit_write_full(kit, &write, slice_of(key, strlen(key)),
        slice_of(value, strlen(value)), &written);
}

/* Reads a value of any size into `to`; its length, or -1: missed. */
static inline int64_t
kit_read(struct kit *kit, struct slice key, char *to, struct store_view *view)
{
    uint64_t hash = store_hash(kit->store, key);
    struct store_pin *pin;
    struct iovec iov;
    bool full;

    if (store_find(kit->store, kit->thread, key, hash, kit->now, STORE_USE, view) !=
        STORE_OK)
        return -1;
    if (!view->large) {
        ck_assert(store_copy(kit->store, view, to));
        return view->value_len;
    }
    pin = store_pin(kit->store, kit->thread, view, &full);
    ck_assert_ptr_nonnull(pin);
    while (store_pin_next(pin, &iov, 1) == 1) {
        memcpy(to, iov.iov_base, iov.iov_len);
        to += iov.iov_len;
    }
    store_unpin(kit->store, kit->thread, pin);
    return view->value_len;
}

static inline void
kit_expect(struct kit *kit, const char *key, const char *value)
{
    char got[STORE_SMALL_MAX + 1];
    struct store_view view;
    int64_t len = kit_read(kit, slice_of(key, strlen(key)), got, &view);

    if (value == NULL) {
        ck_assert_int_eq(len, -1);
        return;
    }
    ck_assert_int_ge(len, 0);
    got[len] = '\0';
    ck_assert_str_eq(got, value);
}

static inline enum store_result
kit_arith(struct kit *kit, enum store_arith_op op, const char *key, uint64_t delta,
    uint64_t *number)
{
    struct slice name = slice_of(key, strlen(key));
    struct store_arith arith = { .op = op, .key = name, .delta = delta,
        .hash = store_hash(kit->store, name) };
    struct store_summed summed;
    enum store_result result = store_arith(kit->store, kit->thread, &arith, kit->now,
        &summed);

    *number = summed.number;
    return result;
}

#endif
