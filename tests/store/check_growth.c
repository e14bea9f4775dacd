/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_growth.c - protects: from a thousand to two million items nothing is lost, the
 * index keeps its load and its price, and no operation waits for a growth. The longest
 * single operation is printed rather than asserted: it tells of the machine as well.
 */
#include "store/core.h"
#include "store_kit.h"

#ifdef __SANITIZE_THREAD__
#define ITEMS_MOST 50000u
#else
#define ITEMS_MOST 2000000u
#endif

static const unsigned STEPS[] = { 1000, 10000, 100000, 500000, ITEMS_MOST };

struct slowest {
    uint64_t micros, at;
};

/* Stores item number n, and remembers if that took longest. */
static void
store_timed(struct kit *kit, unsigned n, struct slowest *slowest)
{
    struct store_write write = { .mode = STORE_SET };
    struct store_written written;
    char text[KIT_KEY_MAX];
    struct slice key = kit_key(text, "k", n);
    uint64_t begin = clock_micros(), took;
    enum store_result result = kit_write_full(kit, &write, key, key, &written);

    took = clock_micros() - begin;
    if (result != STORE_OK)
        ck_abort_msg("item %u: %d", n, (int)result);
    if (took > slowest->micros)
        *slowest = (struct slowest){ took, n };
}

/* Every item up to n, or a sample of them, has its own key as its value. */
static void
expect_all(struct kit *kit, unsigned n, unsigned step)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < n; i += step) {
        char text[KIT_KEY_MAX], got[KIT_KEY_MAX];
        struct slice key = kit_key(text, "k", i);
        struct store_view view;

        wrong += store_find(kit->store, kit->thread, key, store_hash(kit->store, key),
                     kit->now, STORE_PEEK, &view) != STORE_OK ||
            view.value_len != key.len || !store_copy(kit->store, &view, got) ||
            memcmp(got, key.data, key.len) != 0;
    }
    ck_assert_uint_eq(wrong, 0);
}

/* Looking ahead comes to an end for every item, behind as many steps as a chain has. Returns
 * the most. */
static unsigned
most_steps_ahead(struct kit *kit, unsigned n)
{
    unsigned most = 0;

    for (unsigned i = 0; i < n; i++) {
        char text[KIT_KEY_MAX];
        uint64_t hash = store_hash(kit->store, kit_key(text, "k", i));
        uint32_t at = store_prefetch_item(kit->store, hash);
        unsigned steps = 0;

        for (; at != 0; at = store_prefetch_further(kit->store, hash, at))
            if (++steps > n)
                ck_abort_msg("item %u: no end", i);
        most = steps > most ? steps : most;
    }
    return most;
}

/* The load of a bucket and the bytes of index an item costs. */
static void
expect_lean(struct kit *kit, unsigned n)
{
    struct store_totals totals = kit_totals(kit);

    ck_assert_uint_eq(totals.items, n);
    ck_assert_uint_eq(totals.evictions, 0);
    if (n < 4096 * TABLE_LOAD)
        return;
    ck_assert_uint_ge(totals.index_buckets * (TABLE_LOAD + 1), n);
    ck_assert_uint_le(totals.index_bytes * 10, (uint64_t)n * 123);
    ck_assert(!totals.index_growing);
}

START_TEST(millions_of_items_arrive_and_none_waits_or_is_lost)
{
    struct store_options options = kit_options(256 << 20);
    struct slowest slowest = { 0, 0 };
    struct kit kit;
    unsigned n = 0;

    kit_open(&kit, &options);
    for (unsigned i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        if (STEPS[i] > ITEMS_MOST)
            continue;
        for (; n < STEPS[i]; n++)
            store_timed(&kit, n, &slowest);
        while (store_maintain(kit.store, kit.thread, kit.now, 10000))
            ;
        expect_all(&kit, n, n / 50000 + 1);
        expect_lean(&kit, n);
        printf("%8u items: %5.1f index bytes each, longest set %llu us (number %llu)\n", n,
            (double)kit_totals(&kit).index_bytes / n, (unsigned long long)slowest.micros,
            (unsigned long long)slowest.at);
        slowest = (struct slowest){ 0, 0 };
    }
    expect_all(&kit, n, 1);
    kit_close(&kit);
}
END_TEST

START_TEST(an_index_that_is_fixed_gets_slower_but_loses_nothing)
{
    struct store_options options = kit_options(16 << 20);
    struct slowest slowest = { 0, 0 };
    struct kit kit;

    options.hash_fixed = true;
    kit_open(&kit, &options);
    for (unsigned n = 0; n < 100000; n++)
        store_timed(&kit, n, &slowest);
    while (store_maintain(kit.store, kit.thread, kit.now, 10000))
        ;
    ck_assert_uint_eq(kit_totals(&kit).index_buckets, 4096);
    expect_all(&kit, 100000, 1);
    /* 24 items a bucket: 17 in 6 overflow buckets, and hardly 50 anywhere. */
    ck_assert_uint_ge(most_steps_ahead(&kit, 100000), 6);
    ck_assert_uint_le(most_steps_ahead(&kit, 100000), 20);
    kit_close(&kit);
}
END_TEST

START_TEST(an_index_can_begin_large)
{
    struct store_options options = kit_options(16 << 20);
    struct slowest slowest = { 0, 0 };
    struct kit kit;

    options.hash_power = (unsigned)_i;
    kit_open(&kit, &options);
    ck_assert_uint_eq(kit_totals(&kit).index_power, _i < 12 ? 12 : (unsigned)_i);
    for (unsigned n = 0; n < 1000; n++)
        store_timed(&kit, n, &slowest);
    expect_all(&kit, 1000, 1);
    ck_assert_uint_eq(kit_totals(&kit).index_power, _i < 12 ? 12 : (unsigned)_i);
    store_thread_close(kit.thread); /* without store_check(): it would read every bucket */
    store_destroy(kit.store);
}
END_TEST

/* Far more items than memory: the index must not grow for those that went. */
START_TEST(an_index_stays_as_large_as_what_is_kept)
{
    struct store_options options = kit_options(4 << 20);
    struct slowest slowest = { 0, 0 };
    struct kit kit;

    kit_open(&kit, &options);
    for (unsigned n = 0; n < 500000 / KIT_LESS; n++)
        store_timed(&kit, n, &slowest);
    ck_assert_uint_le(kit_totals(&kit).index_buckets,
        kit_totals(&kit).items / TABLE_LOAD + 4096);
    kit_close(&kit);
}
END_TEST

/* References are 40 bits: beyond that there is a refusal, not a mix-up. */
START_TEST(more_memory_than_references_reach_is_refused)
{
    struct store_options options = kit_options(UINT64_C(1) << 43);
    const char *why = NULL;

    options.memory_reserve = 0;
    ck_assert_ptr_null(store_create(&options, &why));
    ck_assert_ptr_nonnull(why);
    options.memory_max = UINT64_C(7) << 40;
    ck_assert_ptr_null(store_create(&options, &why));
}
END_TEST

START_TEST(two_stores_live_in_one_process)
{
    struct store_options options = kit_options(8 << 20);
    struct kit kits[2];
    char text[KIT_KEY_MAX];

    kit_open(&kits[0], &options);
    options.hash_key[0] = 'x';
    options.growth_factor = 1.5;
    kit_open(&kits[1], &options);
    for (unsigned n = 0; n < 20000; n++)
        ck_assert_int_eq(kit_set_sized(&kits[n % 2], kit_key(text, "key", n), n % 300, 0),
            STORE_OK);
    for (unsigned n = 0; n < 20000; n++) {
        ck_assert(kit_has_sized(&kits[n % 2], kit_key(text, "key", n), n % 300));
        ck_assert(!kit_present(&kits[1 - n % 2], kit_key(text, "key", n)));
    }
    store_flush(kits[0].store, 0, kits[0].now);
    ck_assert(!kit_present(&kits[0], kit_key(text, "key", 2)));
    ck_assert(kit_present(&kits[1], kit_key(text, "key", 1)));
    ck_assert_uint_eq(kit_totals(&kits[1]).items, 10000);
    kit_close(&kits[0]);
    ck_assert(kit_present(&kits[1], kit_key(text, "key", 3)));
    kit_close(&kits[1]);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/growth");
    TCase *tc = tcase_create("growth");

    tcase_add_test(tc, millions_of_items_arrive_and_none_waits_or_is_lost);
    tcase_add_test(tc, an_index_that_is_fixed_gets_slower_but_loses_nothing);
    tcase_add_loop_test(tc, an_index_can_begin_large, 10, 25);
    tcase_add_test(tc, an_index_stays_as_large_as_what_is_kept);
    tcase_add_test(tc, more_memory_than_references_reach_is_refused);
    tcase_add_test(tc, two_stores_live_in_one_process);
    return kit_run(suite, tc);
}
