/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_evict.c - protects: a write that has a right to succeed finds memory, whatever the
 * cache is full of; what is in use outlives what is not; what is being sent is not taken
 * away; and without eviction nothing vanishes.
 */
#include "store/core.h"
#include "store_kit.h"

static uint32_t
chance(uint64_t *seed, uint32_t n)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % n;
}

/* Fills the cache with items of one size until `evictions` have happened; how many. */
static unsigned
fill_up(struct kit *kit, const char *name, size_t len, uint64_t evictions)
{
    uint64_t wanted = kit_totals(kit).evictions + evictions;
    unsigned n = 0;
    char text[KIT_KEY_MAX];

    do {
        if (kit_set_sized(kit, kit_key(text, name, n), len, 0) != STORE_OK)
            ck_abort_msg("%s-%u", name, n);
    } while (++n % 8 != 0 || kit_totals(kit).evictions < wanted);
    return n;
}

/* Looks at all of them so often that no reference bit is missing. */
static void
heat(struct kit *kit, const char *name, unsigned n)
{
    char text[KIT_KEY_MAX];
    struct store_view view;

    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < n; i++) {
            struct slice key = kit_key(text, name, i);
            (void)store_find(kit->store, kit->thread, key, store_hash(kit->store, key),
                kit->now, STORE_USE, &view);
        }
    }
}

/* ---- There is always room ------------------------------------------------------------ */

START_TEST(a_cache_of_nothing_but_hot_items_takes_new_ones)
{
    static const size_t lens[] = { 30, 300, 3000, 20000 };
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    unsigned n;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    n = fill_up(&kit, "hot", lens[_i], 1);
    heat(&kit, "hot", n);
    for (unsigned i = 0; i < 500; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "new", i), lens[_i], 0),
            STORE_OK);
    ck_assert_uint_eq(kit_totals(&kit).no_memory, 0);
    kit_close(&kit);
}
END_TEST

/* Every class in turn, in a cache whose pages all belong to one other class. */
START_TEST(a_class_without_pages_is_given_one)
{
    static const size_t lens[] = { 10, 700, 8000, 60000 };
    struct store_options options = kit_options(2 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];

    for (size_t len = 1; len < 70000; len += (len / 2 + 150) * KIT_LESS) {
        unsigned n;

        kit_open(&kit, &options);
        n = fill_up(&kit, "old", lens[_i / 2], 3);
        if (_i % 2 == 1)
            heat(&kit, "old", n);
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "new", 1), len, 0), STORE_OK);
        ck_assert(kit_has_sized(&kit, kit_key(text, "new", 1), len));
        kit_close(&kit);
    }
}
END_TEST

struct shift {
    uint64_t memory;
    uint32_t item_size;
    unsigned rounds;
};

static const struct shift SHIFTS[] = {
    { 4 << 20, 1 << 20, 800 },
    { 4 << 20, 300000, 1200 },
    { 64 << 20, 8 << 20, 200 },
    { 64 << 20, 1 << 20, 800 },
};

/* A length that fits: now tiny, now as large as may be, in waves. */
static size_t
shifting_len(uint64_t *seed, const struct shift *shift, unsigned round)
{
    size_t most = shift->item_size - 48 - 8 - 3 - 30;

    switch (round / 20 % 5) {
    case 0:
        return chance(seed, 200);
    case 1:
        return most - chance(seed, 1000);
    case 2:
        return chance(seed, 9000);
    case 3:
        return chance(seed, (uint32_t)most);
    default:
        return (size_t)1 << chance(seed, 18);
    }
}

START_TEST(any_legal_size_can_be_stored_while_sizes_shift)
{
    const struct shift *shift = &SHIFTS[_i];
    struct store_options options = kit_options(shift->memory);
    struct kit kit;
    uint64_t seed = 7 + (uint64_t)_i;
    char text[KIT_KEY_MAX];

    options.item_size_max = shift->item_size;
    kit_open(&kit, &options);
    for (unsigned i = 0; i < shift->rounds / KIT_LESS; i++) {
        size_t len = shifting_len(&seed, shift, i);
        struct slice key = kit_key(text, "key", chance(&seed, 400));

        ck_assert(store_fits(kit.store, key.len, 0, len));
        ck_assert_msg(kit_set_sized(&kit, key, len, 0) == STORE_OK, "round %u, %zu bytes",
            i, len);
        ck_assert(kit_has_sized(&kit, key, len));
        if (i % 50 == 0)
            store_maintain(kit.store, kit.thread, ++kit.now, 1000);
    }
    kit_close(&kit);
}
END_TEST

/* 1 MiB is the least that -m can say. With a single page a set may fail, if an item on it
 * shares the stripe of the key that is being set; but not more often than that. */
START_TEST(the_smallest_memory_serves_every_small_size)
{
    struct store_options options = kit_options(_i == 0 ? 1 << 20 : 1 << 16);
    struct kit kit;
    uint64_t seed = 3;
    unsigned failed = 0;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < 3000 / KIT_LESS; i++) {
        size_t len = chance(&seed, i % 7 == 0 ? 8000 : 200);
        struct slice key = kit_key(text, "key", chance(&seed, 200));
        bool ok = kit_set_sized(&kit, key, len, 0) == STORE_OK;

        if (i % 3 == 0)
            heat(&kit, "key", 200);
        ck_assert(kit_has_sized(&kit, key, len) == ok);
        failed += !ok;
    }
    ck_assert_uint_le(failed, _i == 0 ? 0 : 150);
    kit_close(&kit);
}
END_TEST

/* The only page holds the very value that is to be replaced by one of another size. */
START_TEST(a_value_gives_way_to_its_own_successor)
{
    struct store_options options = kit_options(65536);
    struct kit kit;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < 50; i++) {
        size_t len = i % 2 == 0 ? 100 : 5000;
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "key", 1), len, 0), STORE_OK);
        ck_assert(kit_has_sized(&kit, kit_key(text, "key", 1), len));
    }
    kit_close(&kit);
}
END_TEST

START_TEST(a_value_larger_than_memory_fails_and_no_more)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];

    options.item_size_max = 64 << 20;
    kit_open(&kit, &options);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "huge", i), 10 << 20, 0),
            STORE_NO_MEMORY);
        ck_assert_uint_eq(kit_totals(&kit).upload_bytes, 0);
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "small", i), 100, 0), STORE_OK);
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "mid", i), 500000, 0), STORE_OK);
        ck_assert(kit_has_sized(&kit, kit_key(text, "mid", i), 500000));
    }
    kit_close(&kit);
}
END_TEST

/* ---- Who goes ------------------------------------------------------------------------ */

START_TEST(items_in_use_outlive_items_that_are_not)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    unsigned n, hot, flood, passed = 0, kept = 0;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    n = fill_up(&kit, "item", 100, 1);
    hot = n / 10;
    flood = (KIT_LESS == 1 ? 6 : 2) * n;
    heat(&kit, "item", hot);
    /* The first tenth is read over and over while six times the cache passes through. About a
     * hundred of the flood are taken for ghosts and stay, so that the hand must find room for
     * others, and all that it meets at first is hot. */
    for (unsigned i = 0; i < flood; i++) {
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "flood", i), 100, 0), STORE_OK);
        if (i % 4 == 0)
            (void)kit_has_sized(&kit, kit_key(text, "item", i / 4 % hot), 100);
    }
    for (unsigned i = 0; i < hot; i++)
        kept += kit_present(&kit, kit_key(text, "item", i));
    for (unsigned i = 0; i < flood; i++)
        passed += kit_present(&kit, kit_key(text, "flood", i));
    ck_assert_uint_eq(kept, hot);
    /* What nobody asks for again leaves when a tenth of the cache has passed. */
    ck_assert_uint_le(passed, n / 6);
    kit_close(&kit);
}
END_TEST

START_TEST(expired_items_go_before_live_ones)
{
    uint64_t evicted;
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];
    unsigned n = 0;

    kit_open(&kit, &options);
    for (; kit_totals(&kit).memory_bytes < options.memory_max; n++)
        kit_set_sized(&kit, kit_key(text, "item", n), 100, n % 2 ? kit.now + 5 : 0);
    evicted = kit_totals(&kit).evictions;
    kit.now += 5;
    /* From the first second on, the ring and the hand take what they meet, dead or alive. */
    while (store_maintain(kit.store, kit.thread, kit.now, 100000) == STORE_BEHIND)
        ;
    for (unsigned i = 0; i < n / 4; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "new", i), 100, 0), STORE_OK);
    ck_assert_uint_eq(kit_totals(&kit).evictions, evicted);
    kit_close(&kit);
}
END_TEST

/* Counters are used and never read; sizes shift, so that pages of the counters' class are
 * given away as well. */
START_TEST(counters_in_use_survive_floods_of_other_sizes)
{
    static const size_t lens[] = { 8, 100, 900, 7000, 30000 };
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    uint64_t number, flood = 0;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "counter-%u", i);
        ck_assert_int_eq(kit_write(&kit, STORE_ADD, text, "1"), STORE_OK);
    }
    for (unsigned round = 0; round < 125 / KIT_LESS; round++) {
        for (unsigned i = 0; i < 50; i++) {
            snprintf(text, sizeof text, "counter-%u", i);
            ck_assert_int_eq(kit_arith(&kit, STORE_INCR, text, 1, &number), STORE_OK);
            ck_assert_uint_eq(number, round + 2);
        }
        /* Half a megabyte of one size. */
        for (size_t sum = 0; sum < 500000; sum += lens[round / 5 % 5] + 60)
            ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "flood", flood++),
                lens[round / 5 % 5], 0), STORE_OK);
        store_maintain(kit.store, kit.thread, ++kit.now, 100000);
        store_move_page(kit.store, kit.thread, -1, 1 + (int)(round % 20), kit.now);
    }
    ck_assert_uint_gt(kit_totals(&kit).pages_moved, KIT_LESS == 1 ? 100 : 0);
    kit_close(&kit);
}
END_TEST

/* ---- Sizes that shift ---------------------------------------------------------------- */

#define SHIFT_MEMORY (8u << 20)

/* Asks for keys by chance, some of them far more often than others, and stores what is missed, until
 * as many bytes as memory has were stored, in 16 seconds; then the share of hits of as many requests
 * again, or of 3000, since few say nothing. */
static double
hit_ratio_of(struct kit *kit, const char *name, size_t len)
{
    unsigned keys = 3 * SHIFT_MEMORY / (unsigned)(len + 60), asked = 0, hits = 0;
    unsigned after = 0, n = 0;
    uint64_t seed = 11, stored = 0;
    uint32_t began = kit->now;
    char text[KIT_KEY_MAX];

    for (bool counting = false; !counting || asked < n; asked++) {
        struct slice key = kit_key(text, name, chance(&seed, 1 + chance(&seed, keys)));

        if (kit_has_sized(kit, key, len)) {
            hits++;
        } else {
            ck_assert_int_eq(kit_set_sized(kit, key, len, 0), STORE_OK);
            stored += len + 60;
            kit->now = began + (uint32_t)(stored / (SHIFT_MEMORY / 16));
        }
        if (asked % 32 == 0)
            store_maintain(kit->store, kit->thread, kit->now, 100000);
        if (!counting && stored > SHIFT_MEMORY) {
            counting = true;
            after = asked;
            n = asked + (asked > 3000 ? asked : 3000);
            hits = 0;
        }
    }
    return (double)hits / (n - after);
}

/* Pages that one size has filled are not in the way of the next: within a turnover as many are
 * found as in a cache that has never seen another size. */
START_TEST(a_shift_of_all_sizes_is_over_after_one_turnover)
{
    static const size_t lens[] = { 100, 2000, 40000 };
    struct store_options options = kit_options(SHIFT_MEMORY);
    struct kit used, fresh;

    kit_open(&used, &options);
    for (unsigned i = 0; i < 3; i++) {
        char name[] = { (char)('a' + i), '\0' };
        double after = hit_ratio_of(&used, name, lens[i]), alone;

        kit_open(&fresh, &options);
        alone = hit_ratio_of(&fresh, name, lens[i]);
        kit_close(&fresh);
        ck_assert_msg(after >= 0.9 * alone, "%zu bytes: %f, alone %f", lens[i], after, alone);
    }
    kit_close(&used);
}
END_TEST

/* What is in use now and then is not idle: keys of another size that are never asked for again
 * take nothing from it. */
START_TEST(a_flood_of_another_size_takes_nothing_from_what_is_in_use)
{
    struct store_options options = kit_options(SHIFT_MEMORY);
    struct kit kit;
    unsigned n, kept = 0;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    n = fill_up(&kit, "used", 100, 1) / 2;
    heat(&kit, "used", n);
    for (unsigned i = 0; i < 16384 / KIT_LESS; i++) {
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "flood", i), 2000, 0), STORE_OK);
        (void)kit_has_sized(&kit, kit_key(text, "used", i % n), 100);
        if (i % 32 == 0)
            store_maintain(kit.store, kit.thread, kit.now, 100000);
        if (i % 1024 == 0)
            kit.now++;
    }
    for (unsigned i = 0; i < n; i++)
        kept += kit_present(&kit, kit_key(text, "used", i));
    ck_assert_uint_eq(kept, n);
    kit_close(&kit);
}
END_TEST

/* The same within a second that upkeep slept through. */
START_TEST(what_was_used_a_second_ago_is_not_idle)
{
    struct store_options options = kit_options(SHIFT_MEMORY);
    struct kit kit;
    unsigned n;
    uint64_t moved;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    n = fill_up(&kit, "used", 100, 1);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "flood", i), 2000, 0), STORE_OK);
    store_maintain(kit.store, kit.thread, kit.now, 100000);
    moved = kit_totals(&kit).pages_moved;
    for (unsigned second = 0; second < 20; second++) {
        for (unsigned i = 0; i < 2000 / KIT_LESS; i++)
            ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "flood", i), 2000, 0),
                STORE_OK);
        (void)kit_has_sized(&kit, kit_key(text, "used", second % n), 100);
        store_maintain(kit.store, kit.thread, ++kit.now, 100000);
    }
    /* What the other rules give is paced. */
    ck_assert_uint_le(kit_totals(&kit).pages_moved, moved + 20);
    kit_close(&kit);
}
END_TEST

/* One large value evicts as much as all of the classes of its head and its last piece, and uses them
 * once: they are not idle for that. */
START_TEST(large_values_now_and_then_outlive_the_next_seconds)
{
    static const size_t lens[] = { 900000, 132000, 70000 };
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    size_t len = lens[_i];
    char text[KIT_KEY_MAX];

    options.item_size_max = 1 << 20;
    kit_open(&kit, &options);
    store_maintain(kit.store, kit.thread, kit.now, 0); /* or the store has no clock yet */
    fill_up(&kit, "small", 40, 1);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "large", i), len, 0), STORE_OK);
        for (unsigned second = 0; second < 5; second++) {
            store_maintain(kit.store, kit.thread, ++kit.now, 100000);
            store_maintain(kit.store, kit.thread, kit.now, 100000);
        }
        ck_assert_msg(kit_present(&kit, kit_key(text, "large", i)), "%u", i);
    }
    kit_close(&kit);
}
END_TEST

/* ---- Values being sent --------------------------------------------------------------- */

#define PINNED_LEN 50000

static struct store_pin *
pin_value(struct kit *kit, struct slice key, bool *full)
{
    struct store_view view;

    ck_assert_int_eq(store_find(kit->store, kit->thread, key, store_hash(kit->store, key),
        kit->now, STORE_USE, &view), STORE_OK);
    return store_pin(kit->store, kit->thread, &view, full);
}

static void
expect_pinned(struct kit *kit, struct store_pin *pin, struct slice key)
{
    char wanted = (char)(store_hash(kit->store, key) + PINNED_LEN);
    struct iovec iov;
    size_t len = 0;
    bool same = true;

    while (store_pin_next(pin, &iov, 1) == 1) {
        for (size_t i = 0; i < iov.iov_len; i++)
            same = same && ((const char *)iov.iov_base)[i] == wanted;
        len += iov.iov_len;
    }
    ck_assert(same);
    ck_assert_uint_eq(len, PINNED_LEN);
}

/* As many values are pinned as may be; then floods of all sizes pass. */
START_TEST(pinned_values_stay_and_stop_nobody)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    struct store_pin *pins[200];
    unsigned n = 0;
    uint64_t seed = 5;
    bool full = false;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (; !full; n++) {
        ck_assert_uint_lt(n, 200);
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "pinned", n), PINNED_LEN, 0),
            STORE_OK);
        pins[n] = pin_value(&kit, kit_key(text, "pinned", n), &full);
        ck_assert((pins[n] == NULL) == full);
    }
    n--;
    ck_assert_uint_gt(n, 30);
    ck_assert(store_pins_crowded(kit.store));
    for (unsigned i = 0; i < 4000; i++) {
        size_t len = i % 9 == 0 ? chance(&seed, 100000) : chance(&seed, 3000);
        ck_assert_msg(kit_set_sized(&kit, kit_key(text, "flood", i), len, 0) == STORE_OK,
            "round %u, %zu bytes", i, len);
    }
    for (unsigned i = 0; i < n; i++) {
        expect_pinned(&kit, pins[i], kit_key(text, "pinned", i));
        store_unpin(kit.store, kit.thread, pins[i]);
    }
    ck_assert_uint_eq(kit_totals(&kit).pinned_bytes, 0);
    ck_assert(!store_pins_crowded(kit.store));
    kit_close(&kit);
}
END_TEST

START_TEST(a_pinned_page_is_never_picked)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    struct store_pin *pin;
    bool full;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "pinned", 0), PINNED_LEN, 0),
        STORE_OK);
    pin = pin_value(&kit, kit_key(text, "pinned", 0), &full);
    ck_assert_ptr_nonnull(pin);
    /* Its pages are the only ones there are. */
    for (int to = 0; to <= (int)store_classes(kit.store); to++)
        ck_assert_int_ne(store_move_page(kit.store, kit.thread, -1, to, kit.now),
            STORE_MOVE_OK);
    expect_pinned(&kit, pin, kit_key(text, "pinned", 0));
    store_unpin(kit.store, kit.thread, pin);
    ck_assert(kit_has_sized(&kit, kit_key(text, "pinned", 0), PINNED_LEN));
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, -1, 0, kit.now), STORE_MOVE_OK);
    kit_close(&kit);
}
END_TEST

/* ---- Moves on demand ----------------------------------------------------------------- */

START_TEST(moves_that_make_no_sense_are_refused)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    int last;

    kit_open(&kit, &options);
    last = (int)store_classes(kit.store);
    kit_write(&kit, STORE_SET, "key", "value");
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, 1, 1, 2), STORE_MOVE_SAME);
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, -1, -1, 2), STORE_MOVE_SAME);
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, 0, 1, 2), STORE_MOVE_BAD_CLASS);
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, -2, 1, 2),
        STORE_MOVE_BAD_CLASS);
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, 1, last + 1, 2),
        STORE_MOVE_BAD_CLASS);
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, last + 1, 1, 2),
        STORE_MOVE_BAD_CLASS);
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, 1, -1, 2),
        STORE_MOVE_BAD_CLASS);
    ck_assert_int_eq(store_move_page(kit.store, kit.thread, 1, 2, 2), STORE_MOVE_NO_SPARE);
    kit_expect(&kit, "key", "value");
    kit_close(&kit);
}
END_TEST

START_TEST(what_is_in_use_moves_to_another_page)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    unsigned n = 3000, kept = 0;
    int from;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < n; i++)
        kit_set_sized(&kit, kit_key(text, "hot", i), 100, 0);
    heat(&kit, "hot", n);
    from = (int)store_class_of(kit.store, 8, 0, 100);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(store_move_page(kit.store, kit.thread, from, from + 1, kit.now),
            STORE_MOVE_OK);
    for (unsigned i = 0; i < n; i++)
        kept += kit_has_sized(&kit, kit_key(text, "hot", i), 100);
    ck_assert_uint_eq(kept, n);
    ck_assert_uint_gt(kit_totals(&kit).move_rescues, 300);
    kit_close(&kit);
}
END_TEST

/* ---- Without eviction ---------------------------------------------------------------- */

START_TEST(without_eviction_nothing_vanishes)
{
    struct store_options options = kit_options(2 << 20);
    struct kit kit;
    unsigned n = 0;
    uint8_t class;
    char text[KIT_KEY_MAX];
    struct slice key;

    options.evict = false;
    kit_open(&kit, &options);
    while (kit_set_sized(&kit, kit_key(text, "item", n), 500, 0) == STORE_OK)
        n++;
    ck_assert_uint_gt(n, 3000);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "more", i), 500, 0),
            STORE_NO_MEMORY);
    ck_assert_uint_eq(kit_totals(&kit).evictions, 0);
    ck_assert_uint_gt(kit_totals(&kit).no_memory, 99);
    for (unsigned i = 0; i < n; i++)
        ck_assert(kit_has_sized(&kit, kit_key(text, "item", i), 500));
    /* A set that fails must not leave the old value to be taken for the new one. */
    ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "item", 7), 2000, 0),
        STORE_NO_MEMORY);
    ck_assert(!kit_present(&kit, kit_key(text, "item", 7)));
    /* What is deleted makes room again. */
    key = kit_key(text, "item", 5);
    ck_assert_int_eq(store_delete(kit.store, kit.thread, key, store_hash(kit.store, key),
        false, 0, kit.now, &class), STORE_OK);
    ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "again", 1), 500, 0), STORE_OK);
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/evict");
    TCase *tc = tcase_create("evict");

    tcase_add_loop_test(tc, a_cache_of_nothing_but_hot_items_takes_new_ones, 0, 4);
    tcase_add_loop_test(tc, a_class_without_pages_is_given_one, 0, 8);
    tcase_add_loop_test(tc, any_legal_size_can_be_stored_while_sizes_shift, 0,
        sizeof SHIFTS / sizeof SHIFTS[0]);
    tcase_add_loop_test(tc, the_smallest_memory_serves_every_small_size, 0, 2);
    tcase_add_test(tc, a_value_gives_way_to_its_own_successor);
    tcase_add_test(tc, a_value_larger_than_memory_fails_and_no_more);
    tcase_add_test(tc, items_in_use_outlive_items_that_are_not);
    tcase_add_test(tc, expired_items_go_before_live_ones);
    tcase_add_test(tc, a_shift_of_all_sizes_is_over_after_one_turnover);
    tcase_add_test(tc, a_flood_of_another_size_takes_nothing_from_what_is_in_use);
    tcase_add_test(tc, what_was_used_a_second_ago_is_not_idle);
    tcase_add_loop_test(tc, large_values_now_and_then_outlive_the_next_seconds, 0, 3);
    tcase_add_test(tc, counters_in_use_survive_floods_of_other_sizes);
    tcase_add_test(tc, pinned_values_stay_and_stop_nobody);
    tcase_add_test(tc, a_pinned_page_is_never_picked);
    tcase_add_test(tc, moves_that_make_no_sense_are_refused);
    tcase_add_test(tc, what_is_in_use_moves_to_another_page);
    tcase_add_test(tc, without_eviction_nothing_vanishes);
    return kit_run(suite, tc);
}
