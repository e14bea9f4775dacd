/* SPDX-License-Identifier: BSD-3-Clause */
/* store_kit.h - what the store's tests have in common: a small store, short calls. */
#ifndef LARDER_TESTS_STORE_KIT_H
#define LARDER_TESTS_STORE_KIT_H

#include "../support/quick_check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/racy.h"
#include "store/store.h"

/* Tests of one thread do a fraction of their rounds where each takes ten times as long. */
#ifdef __SANITIZE_THREAD__
#define KIT_LESS 10
#else
#define KIT_LESS 1
#endif

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
        .growth_factor = 1.125, .object_bias = 100, .counter_reserve = 10, .evict = true,
        .slab_reassign = true,
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

/* ---- Many items ---------------------------------------------------------------------- */

#define KIT_KEY_MAX 48

/* The key of number `n`: "name-n". */
static inline struct slice
kit_key(char text[KIT_KEY_MAX], const char *name, uint64_t n)
{
    int len = snprintf(text, KIT_KEY_MAX, "%s-%llu", name, (unsigned long long)n);

    return slice_of(text, (size_t)len);
}

/* Stores `len` bytes of any length; all of them tell the key and the length. */
static inline enum store_result
kit_set_sized(struct kit *kit, struct slice key, size_t len, uint32_t exptime)
{
    struct store_write write = { .mode = STORE_SET, .exptime = exptime };
    struct store_written written;
    char *value = malloc(len + 1);
    enum store_result result;

    ck_assert_ptr_nonnull(value);
    memset(value, (int)(store_hash(kit->store, key) + len), len);
    result = kit_write_full(kit, &write, key, slice_of(value, len), &written);
    free(value);
    return result;
}

/* Is what kit_set_sized() stored there, every byte of it? */
static inline bool
kit_has_sized(struct kit *kit, struct slice key, size_t len)
{
    char *got = malloc(len + 1);
    struct store_view view;
    char wanted = (char)(store_hash(kit->store, key) + len);
    int64_t found = kit_read(kit, key, got, &view);
    bool same = found >= 0;

    if (found >= 0)
        ck_assert_int_eq(found, (int64_t)len);
    if (same && len > 0) /* each byte equals the next */
        same = got[0] == wanted && memcmp(got, got + 1, len - 1) == 0;
    ck_assert(same || found < 0);
    free(got);
    return same;
}

static inline bool
kit_present(struct kit *kit, struct slice key)
{
    struct store_view view;

    return store_find(kit->store, kit->thread, key, store_hash(kit->store, key), kit->now,
        STORE_PEEK, &view) == STORE_OK;
}

static inline struct store_totals
kit_totals(struct kit *kit)
{
    struct store_totals totals;

    store_totals(kit->store, &totals);
    return totals;
}

/* ---- From one process to the next ---------------------------------------------------- */

/* Numbers of the totals that go on; how memory lies in blocks of the rings is another matter. */
static inline void
kit_same_totals(const struct store_totals *a, const struct store_totals *b)
{
    static const size_t fields[] = { offsetof(struct store_totals, memory_bytes),
        offsetof(struct store_totals, pages_free), offsetof(struct store_totals, items),
        offsetof(struct store_totals, bytes), offsetof(struct store_totals, items_total),
        offsetof(struct store_totals, evictions),
        offsetof(struct store_totals, evicted_unfetched),
        offsetof(struct store_totals, evicted_active),
        offsetof(struct store_totals, expired_unfetched),
        offsetof(struct store_totals, reclaimed),
        offsetof(struct store_totals, sweep_checked),
        offsetof(struct store_totals, sweep_reclaimed),
        offsetof(struct store_totals, sweep_runs), offsetof(struct store_totals, pages_moved),
        offsetof(struct store_totals, move_rescues),
        offsetof(struct store_totals, direct_reclaims),
        offsetof(struct store_totals, no_memory),
        offsetof(struct store_totals, index_buckets),
        offsetof(struct store_totals, index_bytes),
        offsetof(struct store_totals, ghost_hits), offsetof(struct store_totals, ghost_bytes),
        offsetof(struct store_totals, counter_bytes),
        offsetof(struct store_totals, flushed_before) };

    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++)
        ck_assert_uint_eq(*(const uint64_t *)(const void *)((const char *)a + fields[i]),
            *(const uint64_t *)(const void *)((const char *)b + fields[i]));
    ck_assert_int_eq(a->sweep_running, b->sweep_running);
    ck_assert_int_eq(a->sweep_enabled, b->sweep_enabled);
    ck_assert_int_eq(a->estimated, b->estimated);
    for (unsigned i = 0; i < 4; i++)
        ck_assert(a->hit_ratios[i] == b->hit_ratios[i]);
}

/* The store is left and destroyed; its file. */
static inline int
kit_leave(struct kit *kit, bool check_values)
{
    int fd = -1;

    ck_assert_int_eq(store_leave(kit->store, "a note", 6, check_values, &fd), 0);
    store_thread_close(kit->thread);
    store_destroy(kit->store);
    return fd;
}

/* Goes on with what is in a file; NULL or why not. */
static inline const char *
kit_adopt(struct kit *kit, const struct store_options *options, int fd)
{
    const char *why = NULL;
    struct store *store = store_adopt(options, fd, &why);

    if (store == NULL) {
        ck_assert_ptr_nonnull(why);
        return why;
    }
    kit->store = store;
    kit->thread = store_thread_open(kit->store);
    ck_assert_ptr_nonnull(kit->thread);
    return NULL;
}

/* As if another process went on with the store. */
static inline void
kit_hand_over(struct kit *kit, const struct store_options *options, bool check_values)
{
    struct store_class_totals before[SLAB_CLASSES_MAX], after;
    struct store_totals totals = kit_totals(kit), again;

    memset(before, 0, sizeof before);
    for (unsigned id = 1; id <= store_classes(kit->store); id++)
        store_class_totals(kit->store, id, kit->now, &before[id]);
    ck_assert_ptr_null(kit_adopt(kit, options, kit_leave(kit, check_values)));
    ck_assert(slice_equal(store_note(kit->store), SLICE("a note")));
    store_check(kit->store);
    again = kit_totals(kit);
    kit_same_totals(&totals, &again);
    for (unsigned id = 1; id <= store_classes(kit->store); id++) {
        memset(&after, 0, sizeof after);
        store_class_totals(kit->store, id, kit->now, &after);
        ck_assert_mem_eq(&after, &before[id], sizeof after);
    }
}

/* Main of a test program with one suite of one case. */
static inline int
kit_run(Suite *suite, TCase *tc)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 300);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
