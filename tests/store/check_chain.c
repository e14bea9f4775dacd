/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_chain.c - protects: values of every length come back byte for byte, however they
 * came in; an upload holds memory for what has arrived and no more, and a cancelled one
 * nothing; a value that is being sent stays whole though it was deleted or replaced.
 */
#include <pthread.h>
#include <sched.h>

#include "store/core.h"
#include "store_kit.h"

/* A byte that tells its place, so that pieces in the wrong order are noticed. */
static char
byte_at(uint64_t i)
{
    return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static char *
make_bytes(uint64_t len)
{
    char *bytes = malloc(len + 1);

    ck_assert_ptr_nonnull(bytes);
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = byte_at(i);
    return bytes;
}

static bool
same_bytes(const char *bytes, uint64_t first, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        if (bytes[i] != byte_at(first + i))
            return false;
    return true;
}

static void
expect_bytes(struct kit *kit, struct slice key, uint64_t len)
{
    char *got = malloc(len + 1);
    struct store_view view;

    ck_assert_int_eq(kit_read(kit, key, got, &view), (int64_t)len);
    ck_assert(same_bytes(got, 0, len));
    ck_assert(view.large == store_is_large(key.len, len));
    free(got);
}

static struct store_written
write_bytes(struct kit *kit, enum store_mode mode, struct slice key, const char *bytes,
    uint64_t len, enum store_result wanted)
{
    struct store_write write = { .mode = mode };
    struct store_written written;

    ck_assert_int_eq(kit_write_full(kit, &write, key, slice_of(bytes, len), &written),
        wanted);
    return written;
}

/* The class and item gauges and all structures agree, and nothing is held by uploads. */
static void
expect_nothing_held(struct kit *kit)
{
    ck_assert_uint_eq(kit_totals(kit).upload_bytes, 0);
    ck_assert_uint_eq(kit_totals(kit).pinned_bytes, 0);
    store_check(kit->store);
}

/* ---- Every length -------------------------------------------------------------------- */

START_TEST(every_length_around_a_boundary_comes_back)
{
    struct store_options options = kit_options(64 << 20);
    char *bytes = make_bytes(300000);
    struct slice key = SLICE("some key");
    struct kit kit;

    options.chunk_max = _i % 2 == 0 ? 65536 : 16384;
    options.growth_factor = _i < 2 ? 1.125 : 2.0;
    kit_open(&kit, &options);
    for (unsigned id = 0; id <= store_classes(kit.store); id++) {
        struct store_class_totals totals = { .chunk_size = STORE_SMALL_MAX };

        if (id > 0)
            store_class_totals(kit.store, id, kit.now, &totals);
        /* Where an item fills its chunk, where a piece does, and two and three pieces. */
        for (uint64_t n = 1; n <= 3; n++) {
            uint64_t middle = totals.chunk_size * n, len = middle < 90 ? 0 : middle - 90;

            for (; len < middle + 20; len += 3) {
                write_bytes(&kit, STORE_SET, key, bytes, len, STORE_OK);
                expect_bytes(&kit, key, len);
            }
        }
    }
    expect_nothing_held(&kit);
    kit_close(&kit);
    free(bytes);
}
END_TEST

START_TEST(a_value_of_a_hundred_megabytes_comes_back)
{
    struct store_options options = kit_options(160 << 20);
    uint64_t len = 100000001 / KIT_LESS;
    char *bytes = make_bytes(len);
    struct slice key = SLICE("some key");
    struct kit kit;

    options.item_size_max = 1 << 30;
    kit_open(&kit, &options);
    write_bytes(&kit, STORE_SET, key, bytes, len, STORE_OK);
    expect_bytes(&kit, key, len);
    /* Once more: the old one goes piece by piece while the new one comes. */
    write_bytes(&kit, STORE_SET, key, bytes, len - 1, STORE_OK);
    expect_bytes(&kit, key, len - 1);
    expect_nothing_held(&kit);
    kit_close(&kit);
    free(bytes);
}
END_TEST

START_TEST(every_key_length_and_flags_leave_the_value_whole)
{
    struct store_options options = kit_options(16 << 20);
    char *bytes = make_bytes(20000);
    char key[KEY_LEN_MAX];
    struct kit kit;
    static const uint64_t lens[] = { 0, 1, 7, 8, 100, 7930, 8179, 8180, 8181, 9000, 20000 };

    kit_open(&kit, &options);
    memset(key, 'k', sizeof key);
    for (size_t len = 1; len <= KEY_LEN_MAX; len++) {
        struct store_write write = { .mode = STORE_SET, .client_flags = (uint32_t)_i,
            .key = slice_of(key, len) };
        uint64_t size = lens[len % (sizeof lens / sizeof lens[0])];
        struct store_written written;
        struct store_view view;
        char got[20000];

        ck_assert_int_eq(kit_write_full(&kit, &write, write.key, slice_of(bytes, size),
            &written), STORE_OK);
        ck_assert_uint_eq(written.value_len, size);
        ck_assert_int_eq(kit_read(&kit, write.key, got, &view), (int64_t)size);
        ck_assert(same_bytes(got, 0, size));
        ck_assert_int_eq(view.client_flags, _i);
    }
    kit_close(&kit);
    free(bytes);
}
END_TEST

START_TEST(pieces_waste_little)
{
    struct store_options options = kit_options(64 << 20);
    static const uint32_t sizes[] = { 48, 65536 };
    char *bytes = make_bytes(1 << 20);
    struct kit kit;

    /* Even where there is hardly any class to choose, a chain is not all headers. */
    if (_i == 1) {
        options.slab_sizes = sizes;
        options.nslab_sizes = 2;
    } else if (_i == 2) {
        options.growth_factor = 1e6;
    }
    options.item_size_max = 2 << 20;
    kit_open(&kit, &options);
    for (uint64_t len = 9000; len < 1 << 20; len += len / 7) {
        struct slice key = SLICE("key");
        struct table_spot spot;
        uint64_t hash = store_hash(kit.store, key);

        write_bytes(&kit, STORE_SET, key, bytes, len, STORE_OK);
        spot = table_find(&kit.store->table, hash, key);
        ck_assert_uint_le(item_chain(spot.item, item_info(spot.item))->pieces,
            len / 60000 + 8);
    }
    kit_close(&kit);
    free(bytes);
}
END_TEST

/* ---- Uploads ------------------------------------------------------------------------- */

/* Fills by what `steps` says, in turn: runs of bytes as a socket might deliver them. */
START_TEST(an_upload_in_odd_steps_is_whole)
{
    static const size_t steps[][4] = { { 1, 1, 1, 1 }, { 7, 1000, 3, 65512 },
        { 65512, 65513, 65511, 1 }, { 100000, 100000, 100000, 100000 } };
    struct store_options options = kit_options(16 << 20);
    uint64_t len = _i == 0 ? 70000 : 500001, filled = 0;
    struct store_write write = { .mode = STORE_SET, .key = SLICE("uploaded") };
    struct store_written written;
    struct kit kit;
    struct iovec iov[8];
    unsigned turn = 0;
    int n;

    kit_open(&kit, &options);
    write.upload = store_upload_open(kit.store, kit.thread, len);
    write.hash = store_hash(kit.store, write.key);
    while ((n = store_upload_room(write.upload, kit.thread, iov, 8)) > 0) {
        size_t step = steps[_i][turn++ % 4], done = 0;

        for (int run = 0; run < n && done < step; run++) {
            char *to = iov[run].iov_base;
            size_t part = iov[run].iov_len < step - done ? iov[run].iov_len : step - done;
            for (size_t k = 0; k < part; k++)
                to[k] = byte_at(filled + done + k);
            done += part;
        }
        store_upload_filled(write.upload, done);
        filled += done;
        if (store_upload_missing(write.upload) != len - filled)
            ck_abort_msg("missing bytes miscounted at %zu", (size_t)filled);
    }
    ck_assert_int_eq(n, 0);
    ck_assert_uint_eq(filled, len);
    ck_assert_int_eq(store_write(kit.store, kit.thread, &write, kit.now, &written),
        STORE_OK);
    expect_bytes(&kit, write.key, len);
    expect_nothing_held(&kit);
    kit_close(&kit);
}
END_TEST

START_TEST(an_upload_that_stalls_holds_what_has_come_and_little_more)
{
    struct store_options options = kit_options(64 << 20);
    struct store_upload *uploads[160];
    struct iovec iov[8];
    struct kit kit;
    char bytes[1000] = { 0 };

    options.item_size_max = 16 << 20;
    kit_open(&kit, &options);
    for (unsigned i = 0; i < 160; i++)
        uploads[i] = store_upload_open(kit.store, kit.thread, 10 << 20);
    ck_assert_uint_eq(kit_totals(&kit).memory_bytes, 0);
    ck_assert_uint_eq(kit_totals(&kit).upload_bytes, 0);
    for (unsigned i = 0; i < 160; i++)
        ck_assert(store_upload_put(uploads[i], kit.thread, bytes, sizeof bytes));
    ck_assert_uint_le(kit_totals(&kit).upload_bytes, 160 * PAGE_BYTES);
    for (unsigned i = 0; i < 160; i++)
        store_upload_cancel(kit.store, kit.thread, uploads[i]);
    expect_nothing_held(&kit);
    /* Cancelled before anything has come, and with room that was never used. */
    store_upload_cancel(kit.store, kit.thread,
        store_upload_open(kit.store, kit.thread, 1000000));
    uploads[0] = store_upload_open(kit.store, kit.thread, 1000000);
    ck_assert_int_gt(store_upload_room(uploads[0], kit.thread, iov, 8), 0);
    store_upload_cancel(kit.store, kit.thread, uploads[0]);
    expect_nothing_held(&kit);
    for (unsigned id = 1; id <= store_classes(kit.store); id++) {
        struct store_class_totals totals;
        store_class_totals(kit.store, id, kit.now, &totals);
        ck_assert_uint_eq(totals.used_chunks, 0);
    }
    kit_close(&kit);
}
END_TEST

START_TEST(uploads_together_are_bounded_and_say_when_they_are_many)
{
    struct store_options options = kit_options(8 << 20);
    struct store_upload *uploads[100];
    char *bytes = make_bytes(1 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];
    unsigned n = 0;
    bool crowded = false;

    kit_open(&kit, &options);
    for (; n < 100; n++) {
        uploads[n] = store_upload_open(kit.store, kit.thread, 300000);
        if (!store_upload_put(uploads[n], kit.thread, bytes, 200000))
            break;
        /* Crowded in good time before anybody is refused. */
        crowded = crowded || store_uploads_crowded(kit.store);
        ck_assert(crowded || kit_totals(&kit).upload_bytes <= 3 << 20);
    }
    ck_assert(crowded);
    ck_assert_uint_lt(n, 30);
    ck_assert_uint_le(kit_totals(&kit).upload_bytes, (4 << 20) + 3 * PAGE_BYTES);
    /* Everybody else goes on. */
    for (unsigned i = 0; i < 3000; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "small", i), i, 0), STORE_OK);
    for (unsigned i = 0; i <= n; i++)
        store_upload_cancel(kit.store, kit.thread, uploads[i]);
    ck_assert(!store_uploads_crowded(kit.store));
    expect_nothing_held(&kit);
    /* Alone, one may take more than the share. */
    uploads[0] = store_upload_open(kit.store, kit.thread, 6 << 20);
    for (unsigned i = 0; i < 6; i++)
        ck_assert(store_upload_put(uploads[0], kit.thread, bytes, 1 << 20));
    store_upload_cancel(kit.store, kit.thread, uploads[0]);
    expect_nothing_held(&kit);
    kit_close(&kit);
    free(bytes);
}
END_TEST

/* The write fails for whatever reason: the upload is gone in any case. */
START_TEST(an_upload_that_may_not_be_stored_is_freed)
{
    struct store_options options = kit_options(16 << 20);
    char *bytes = make_bytes(100000);
    struct slice key = SLICE("key");
    struct store_write write = { .mode = STORE_SET, .compare = true, .cas_expected = 1 };
    struct store_written written;
    struct kit kit;

    kit_open(&kit, &options);
    write_bytes(&kit, STORE_REPLACE, key, bytes, 100000, STORE_NOT_STORED);
    write_bytes(&kit, STORE_APPEND, key, bytes, 100000, STORE_NOT_STORED);
    ck_assert_int_eq(kit_write_full(&kit, &write, key, slice_of(bytes, 100000), &written),
        STORE_MISS);
    write_bytes(&kit, STORE_SET, key, bytes, 50000, STORE_OK);
    write_bytes(&kit, STORE_ADD, key, bytes, 100000, STORE_NOT_STORED);
    ck_assert_int_eq(kit_write_full(&kit, &write, key, slice_of(bytes, 100000), &written),
        STORE_EXISTS);
    /* Joined it would be larger than any item may be. */
    write_bytes(&kit, STORE_SET, SLICE("long"), bytes, 100000, STORE_OK);
    for (unsigned i = 0; i < 9; i++)
        write_bytes(&kit, STORE_PREPEND, SLICE("long"), bytes, 100000, STORE_OK);
    write_bytes(&kit, STORE_PREPEND, SLICE("long"), bytes, 100000, STORE_NOT_STORED);
    expect_nothing_held(&kit);
    expect_bytes(&kit, key, 50000);
    kit_close(&kit);
    free(bytes);
}
END_TEST

/* The index has no slot for it: the upload and its pieces are freed, and once. */
START_TEST(an_upload_that_finds_no_slot_is_freed)
{
    struct store_options options = kit_options(64 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];
    unsigned refused = 0;

    options.hash_fixed = true;
    kit_open(&kit, &options);
    kit.store->table.overflow_max = 1;
    for (unsigned i = 0; i < 60000; i++)
        refused += kit_set_sized(&kit, kit_key(text, "small", i), 10, 0) != STORE_OK;
    ck_assert_uint_gt(refused, 30000);
    refused = 0;
    for (unsigned i = 0; i < 100; i++)
        refused += kit_set_sized(&kit, kit_key(text, "large", i), 20000, 0) != STORE_OK;
    ck_assert_uint_gt(refused, 50);
    expect_nothing_held(&kit);
    kit_close(&kit);
}
END_TEST

/* ---- Append and prepend -------------------------------------------------------------- */

START_TEST(joined_values_cross_from_small_to_large)
{
    static const uint64_t lens[] = { 0, 1, 1000, 8000, 8170, 8180, 8190, 9000, 65480, 65512,
        65520, 150000 };
    struct store_options options = kit_options(64 << 20);
    char *bytes = make_bytes(400000);
    struct slice key = SLICE("key");
    struct kit kit;
    unsigned n = sizeof lens / sizeof lens[0];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < n; k++) {
            uint64_t before = _i == 0 ? 0 : lens[k];
            struct store_written written;

            /* Appended or prepended, the bytes are in order from 0. */
            write_bytes(&kit, STORE_SET, key, bytes + before, lens[i], STORE_OK);
            if (_i == 0)
                written = write_bytes(&kit, STORE_APPEND, key, bytes + lens[i], lens[k],
                    STORE_OK);
            else
                written = write_bytes(&kit, STORE_PREPEND, key, bytes, lens[k], STORE_OK);
            ck_assert_uint_eq(written.value_len, lens[i] + lens[k]);
            expect_bytes(&kit, key, lens[i] + lens[k]);
        }
    }
    expect_nothing_held(&kit);
    kit_close(&kit);
    free(bytes);
}
END_TEST

START_TEST(a_value_grows_byte_by_byte_across_the_boundary)
{
    struct store_options options = kit_options(16 << 20);
    char *bytes = make_bytes(9000);
    struct slice key = SLICE("key");
    struct kit kit;

    kit_open(&kit, &options);
    write_bytes(&kit, STORE_SET, key, bytes, 8100, STORE_OK);
    for (uint64_t len = 8100; len < 8400; len++)
        write_bytes(&kit, STORE_APPEND, key, bytes + len, 1, STORE_OK);
    expect_bytes(&kit, key, 8400);
    kit_close(&kit);
    free(bytes);
}
END_TEST

START_TEST(joining_keeps_flags_and_expiry_and_changes_the_unique)
{
    struct store_options options = kit_options(16 << 20);
    char *bytes = make_bytes(20000);
    struct store_write write = { .mode = STORE_SET, .client_flags = 77 };
    struct store_write append = { .mode = STORE_APPEND, .client_flags = 5, .exptime = 1 };
    struct store_written first, second;
    struct store_view view;
    struct slice key = SLICE("key");
    struct kit kit;

    kit_open(&kit, &options);
    write.exptime = kit.now + 9;
    ck_assert_int_eq(kit_write_full(&kit, &write, key, slice_of(bytes, 100), &first),
        STORE_OK);
    ck_assert_int_eq(kit_write_full(&kit, &append, key,
        slice_of(bytes, _i == 0 ? 10 : 20000), &second), STORE_OK);
    ck_assert_uint_ne(first.cas, second.cas);
    ck_assert_int_eq(store_find(kit.store, kit.thread, key, store_hash(kit.store, key),
        kit.now, STORE_PEEK, &view), STORE_OK);
    ck_assert_uint_eq(view.client_flags, 77);
    ck_assert_uint_eq(view.exptime, kit.now + 9);
    ck_assert_uint_eq(view.cas, second.cas);
    kit_close(&kit);
    free(bytes);
}
END_TEST

/* ---- Pins ---------------------------------------------------------------------------- */

#define PINNED_LEN 200000

static struct store_pin *
pin_key(struct kit *kit, struct slice key)
{
    struct store_view view;
    struct store_pin *pin;
    bool full;

    ck_assert_int_eq(store_find(kit->store, kit->thread, key, store_hash(kit->store, key),
        kit->now, STORE_USE, &view), STORE_OK);
    pin = store_pin(kit->store, kit->thread, &view, &full);
    ck_assert_ptr_nonnull(pin);
    return pin;
}

static void
expect_pinned(struct store_pin *pin)
{
    struct iovec iov[3];
    uint64_t at = 0;
    unsigned n;

    while ((n = store_pin_next(pin, iov, 3)) > 0)
        for (unsigned i = 0; i < n; at += iov[i++].iov_len)
            ck_assert(same_bytes(iov[i].iov_base, at, iov[i].iov_len));
    ck_assert_uint_eq(at, PINNED_LEN);
    ck_assert_uint_eq(store_pin_next(pin, iov, 3), 0);
}

enum parting { BY_DELETE, BY_SMALL, BY_LARGE, BY_FLUSH, BY_EXPIRY, BY_APPEND, PARTINGS };

static void
part_with(struct kit *kit, struct slice key, enum parting parting, const char *bytes)
{
    uint8_t class;

    switch (parting) {
    case BY_DELETE:
        ck_assert_int_eq(store_delete(kit->store, kit->thread, key,
            store_hash(kit->store, key), false, 0, kit->now, &class), STORE_OK);
        break;
    case BY_SMALL:
        write_bytes(kit, STORE_SET, key, "x", 1, STORE_OK);
        break;
    case BY_LARGE:
        write_bytes(kit, STORE_SET, key, bytes + 5, PINNED_LEN, STORE_OK);
        break;
    case BY_FLUSH:
        store_flush(kit->store, 0, kit->now);
        break;
    case BY_EXPIRY:
        kit->now += 100;
        break;
    case BY_APPEND:
        write_bytes(kit, STORE_APPEND, key, bytes, 100, STORE_OK);
        break;
    case PARTINGS:
    default:
        break;
    }
}

START_TEST(a_pinned_value_outlives_its_item)
{
    struct store_options options = kit_options(4 << 20);
    char *bytes = make_bytes(PINNED_LEN + 10);
    struct slice key = SLICE("key");
    struct store_write write = { .mode = STORE_SET };
    struct store_written written;
    struct store_pin *first, *second;
    struct kit kit;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    write.exptime = kit.now + 50;
    ck_assert_int_eq(kit_write_full(&kit, &write, key, slice_of(bytes, PINNED_LEN),
        &written), STORE_OK);
    first = pin_key(&kit, key);
    second = pin_key(&kit, key);
    ck_assert_uint_eq(kit_totals(&kit).pinned_bytes, PINNED_LEN);
    part_with(&kit, key, (enum parting)_i, bytes);
    /* Sweeps and floods find nothing to take there. */
    for (unsigned i = 0; i < 500; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "flood", i), i * 100, 0),
            STORE_OK);
    kit.now++;
    store_maintain(kit.store, kit.thread, kit.now, 100000);
    expect_pinned(first);
    store_unpin(kit.store, kit.thread, first);
    expect_pinned(second);
    store_unpin(kit.store, kit.thread, second);
    expect_nothing_held(&kit);
    kit.now++;
    store_maintain(kit.store, kit.thread, kit.now, 100000);
    kit_close(&kit);
    free(bytes);
}
END_TEST

/* After the last pin the memory of a deleted value is free, every chunk of it. */
START_TEST(the_last_pin_frees_a_deleted_value)
{
    struct store_options options = kit_options(4 << 20);
    char *bytes = make_bytes(PINNED_LEN);
    struct slice key = SLICE("key");
    struct store_pin *pin;
    struct kit kit;
    uint64_t used = 0;

    kit_open(&kit, &options);
    write_bytes(&kit, STORE_SET, key, bytes, PINNED_LEN, STORE_OK);
    pin = pin_key(&kit, key);
    part_with(&kit, key, BY_DELETE, bytes);
    ck_assert_uint_eq(kit_totals(&kit).items, 0);
    ck_assert_uint_gt(kit_totals(&kit).memory_bytes, PINNED_LEN);
    store_unpin(kit.store, kit.thread, pin);
    for (unsigned id = 1; id <= store_classes(kit.store); id++) {
        struct store_class_totals totals;
        store_class_totals(kit.store, id, kit.now, &totals);
        used += totals.used_chunks;
    }
    ck_assert_uint_eq(used, 0);
    kit_close(&kit);
    free(bytes);
}
END_TEST

START_TEST(a_view_that_is_out_of_date_cannot_be_pinned)
{
    struct store_options options = kit_options(4 << 20);
    char *bytes = make_bytes(PINNED_LEN + 5);
    struct slice key = SLICE("key");
    struct store_view view;
    struct kit kit;
    bool full = true;

    kit_open(&kit, &options);
    write_bytes(&kit, STORE_SET, key, bytes, PINNED_LEN, STORE_OK);
    ck_assert_int_eq(store_find(kit.store, kit.thread, key, store_hash(kit.store, key),
        kit.now, STORE_USE, &view), STORE_OK);
    if (_i == 0)
        part_with(&kit, key, BY_DELETE, bytes);
    else
        part_with(&kit, key, BY_LARGE, bytes);
    ck_assert_ptr_null(store_pin(kit.store, kit.thread, &view, &full));
    ck_assert(!full);
    expect_nothing_held(&kit);
    kit_close(&kit);
    free(bytes);
}
END_TEST

/* Clients choose uniques, and chunks are used again: a small item may look like the large
 * one that lay there, but for being small. */
START_TEST(a_small_item_in_the_place_of_a_large_one_is_not_pinned)
{
    struct store_options options = kit_options(4 << 20);
    char *bytes = make_bytes(9000);
    char key[KEY_LEN_MAX];
    struct store_write write = { .mode = STORE_SET, .cas_given = true, .cas_new = 5 };
    struct store_written written;
    struct store_view view, found;
    struct slice name = slice_of(key, sizeof key);
    struct kit kit;
    bool full;

    memset(key, 'k', sizeof key);
    kit_open(&kit, &options);
    ck_assert_int_eq(kit_write_full(&kit, &write, name, slice_of(bytes, 8000), &written),
        STORE_OK);
    ck_assert_int_eq(store_find(kit.store, kit.thread, name, store_hash(kit.store, name),
        kit.now, STORE_USE, &view), STORE_OK);
    ck_assert(view.large);
    part_with(&kit, name, BY_DELETE, bytes);
    write.upload = NULL;
    ck_assert_int_eq(kit_write_full(&kit, &write, name, slice_of(bytes, 20), &written),
        STORE_OK);
    ck_assert_int_eq(store_find(kit.store, kit.thread, name, store_hash(kit.store, name),
        kit.now, STORE_USE, &found), STORE_OK);
    view.ref = found.ref;
    view.value_len = found.value_len;
    ck_assert_ptr_null(store_pin(kit.store, kit.thread, &view, &full));
    ck_assert(!full);
    kit_close(&kit);
    free(bytes);
}
END_TEST

/* ---- All at once --------------------------------------------------------------------- */

#define WORKERS 3
#define HELD 4
#ifdef __SANITIZE_THREAD__
#define STORM_ROUNDS 3000
#else
#define STORM_ROUNDS 15000
#endif

struct worker {
    struct kit kit;
    uint64_t seed;
    const char *bytes;
    struct store_pin *pins[HELD];      /* of readers that stall */
    struct store_upload *uploads[HELD]; /* of writers that stall */
    bool wrong;
};

static uint32_t
chance(struct worker *worker, uint32_t n)
{
    worker->seed = worker->seed * UINT64_C(6364136223846793005) +
        UINT64_C(1442695040888963407);
    return (uint32_t)(worker->seed >> 33) % n;
}

/* Reads what is left of a pinned value and lets it go. */
static void
worker_unpin(struct worker *worker, struct store_pin *pin)
{
    struct iovec iov[3];
    uint64_t at = 0;
    unsigned n;

    while ((n = store_pin_next(pin, iov, 3)) > 0)
        for (unsigned i = 0; i < n; at += iov[i++].iov_len)
            worker->wrong = worker->wrong ||
                memcmp(iov[i].iov_base, worker->bytes + at, iov[i].iov_len) != 0;
    store_unpin(worker->kit.store, worker->kit.thread, pin);
}

static void
worker_pin(struct worker *worker, struct slice key, unsigned slot)
{
    struct kit *kit = &worker->kit;
    struct store_view view;
    bool full;

    if (worker->pins[slot] != NULL) {
        worker_unpin(worker, worker->pins[slot]);
        worker->pins[slot] = NULL;
    } else if (store_find(kit->store, kit->thread, key, store_hash(kit->store, key),
                   kit->now, STORE_USE, &view) == STORE_OK && view.large) {
        worker->pins[slot] = store_pin(kit->store, kit->thread, &view, &full);
    }
}

static void
worker_upload(struct worker *worker, unsigned slot)
{
    struct kit *kit = &worker->kit;

    if (worker->uploads[slot] != NULL) {
        store_upload_cancel(kit->store, kit->thread, worker->uploads[slot]);
        worker->uploads[slot] = NULL;
    } else {
        worker->uploads[slot] = store_upload_open(kit->store, kit->thread, 200000);
        (void)store_upload_put(worker->uploads[slot], kit->thread, worker->bytes,
            chance(worker, 100000));
    }
}

static void
worker_step(struct worker *worker)
{
    struct kit *kit = &worker->kit;
    char text[KIT_KEY_MAX];
    struct slice key = kit_key(text, "key", chance(worker, 300));
    struct store_write write = { .mode = (enum store_mode)chance(worker, 3),
        .client_flags = chance(worker, 2), .cas_given = chance(worker, 5) == 0,
        .cas_new = chance(worker, 4),
        .exptime = chance(worker, 5) == 0 ? kit->now + chance(worker, 3) : 0 };
    struct store_written written;
    uint8_t class;

    switch (chance(worker, 12)) {
    case 0: case 1:
        worker_pin(worker, key, chance(worker, HELD));
        break;
    case 2:
        worker_upload(worker, chance(worker, HELD));
        break;
    case 3:
        (void)store_delete(kit->store, kit->thread, key, store_hash(kit->store, key), false,
            0, kit->now, &class);
        break;
    case 4:
        (void)store_move_page(kit->store, kit->thread, -1,
            (int)chance(worker, store_classes(kit->store) + 1), kit->now);
        break;
    case 5:
        if (chance(worker, 100) == 0)
            store_flush(kit->store, kit->now + chance(worker, 2), kit->now);
        kit->now += chance(worker, 50) == 0;
        break;
    case 6: case 7:
        (void)kit_write_full(kit, &write, key,
            slice_of(worker->bytes, 8200 + chance(worker, 120000)), &written);
        break;
    default:
        (void)kit_write_full(kit, &write, key,
            slice_of(worker->bytes, chance(worker, 8000)), &written);
        break;
    }
}

static void *
worker_main(void *argument)
{
    struct worker *worker = argument;
    struct kit *kit = &worker->kit;

    kit->thread = store_thread_open(kit->store);
    kit->now = CLOCK_FIRST + 1;
    for (unsigned i = 0; i < STORM_ROUNDS; i++)
        worker_step(worker);
    for (unsigned slot = 0; slot < HELD; slot++) {
        if (worker->pins[slot] != NULL)
            worker_unpin(worker, worker->pins[slot]);
        if (worker->uploads[slot] != NULL)
            store_upload_cancel(kit->store, kit->thread, worker->uploads[slot]);
    }
    store_thread_close(kit->thread);
    return NULL;
}

/* Readers and writers stall, pages move, the limit changes, items expire and are flushed:
 * in the end everything is accounted for. */
START_TEST(after_a_storm_nothing_is_held_or_lost)
{
    struct store_options options = kit_options(_i == 0 ? 3 << 20 : 24 << 20);
    char *bytes = make_bytes(400000);
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    struct kit kit;

    if (_i == 0)
        options.slab_reassign = false;
    kit_open(&kit, &options);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){ .kit = kit, .seed = i + 7, .bytes = bytes };
        pthread_create(&threads[i], NULL, worker_main, &workers[i]);
    }
    for (unsigned i = 0; i < 400; i++) {
        kit.now = CLOCK_FIRST + 1 + i / 4;
        (void)store_maintain(kit.store, kit.thread, kit.now, 500);
        if (i % 40 == 0)
            (void)store_memory_limit(kit.store, i % 80 == 0 ? 2 << 20 : 8 << 20);
        sched_yield();
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!workers[i].wrong);
    }
    expect_nothing_held(&kit);
    /* Everything expires or is flushed: not a chunk remains. */
    store_flush(kit.store, 0, kit.now);
    for (unsigned i = 0; i < 3; i++) {
        kit.now++;
        while (store_maintain(kit.store, kit.thread, kit.now, 100000))
            ;
    }
    ck_assert_uint_eq(kit_totals(&kit).items, 0);
    ck_assert_uint_eq(kit_totals(&kit).bytes, 0);
    for (unsigned id = 1; id <= store_classes(kit.store); id++) {
        struct store_class_totals totals;
        store_class_totals(kit.store, id, kit.now, &totals);
        ck_assert_uint_eq(totals.used_chunks, 0);
    }
    kit_close(&kit);
    free(bytes);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/chain");
    TCase *tc = tcase_create("chain");

    tcase_add_loop_test(tc, every_length_around_a_boundary_comes_back, 0, 4);
    tcase_add_test(tc, a_value_of_a_hundred_megabytes_comes_back);
    tcase_add_loop_test(tc, every_key_length_and_flags_leave_the_value_whole, 0, 2);
    tcase_add_loop_test(tc, pieces_waste_little, 0, 3);
    tcase_add_loop_test(tc, an_upload_in_odd_steps_is_whole, 0, 4);
    tcase_add_test(tc, an_upload_that_stalls_holds_what_has_come_and_little_more);
    tcase_add_test(tc, uploads_together_are_bounded_and_say_when_they_are_many);
    tcase_add_test(tc, an_upload_that_may_not_be_stored_is_freed);
    tcase_add_test(tc, an_upload_that_finds_no_slot_is_freed);
    tcase_add_loop_test(tc, joined_values_cross_from_small_to_large, 0, 2);
    tcase_add_test(tc, a_value_grows_byte_by_byte_across_the_boundary);
    tcase_add_loop_test(tc, joining_keeps_flags_and_expiry_and_changes_the_unique, 0, 2);
    tcase_add_loop_test(tc, a_pinned_value_outlives_its_item, 0, PARTINGS);
    tcase_add_test(tc, the_last_pin_frees_a_deleted_value);
    tcase_add_loop_test(tc, a_view_that_is_out_of_date_cannot_be_pinned, 0, 2);
    tcase_add_test(tc, a_small_item_in_the_place_of_a_large_one_is_not_pinned);
    tcase_add_loop_test(tc, after_a_storm_nothing_is_held_or_lost, 0, 2);
    return kit_run(suite, tc);
}
