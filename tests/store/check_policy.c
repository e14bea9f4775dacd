/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_policy.c - protects: what is asked for again outlives what is not, and a key that
 * comes back is not put on probation a second time; counters that expire are kept within
 * their reserve, and beyond it are nothing special; pages follow the sizes in demand; the
 * queues and fingerprints behind it forget in order, and nothing on probation is ever lost
 * to the hand (store_check() at each end).
 */
#include "store/core.h"
#include "store_kit.h"

/* ---- The ring ------------------------------------------------------------------------ */

START_TEST(a_ring_gives_in_the_order_it_was_given)
{
    struct ring ring = { .count = 0 };
    uint64_t in = 0, out = 0, entry, seed = (uint64_t)_i + 1;

    ck_assert(!ring_pop(&ring, &entry));
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        /* By turns rather growing and rather shrinking. */
        if ((seed >> 40) % 8 < (i / 20000 % 2 ? 3u : 5u)) {
            ck_assert(ring_push(&ring, in++));
        } else if (ring_pop(&ring, &entry)) {
            ck_assert_uint_eq(entry, out);
            out++;
        } else {
            ck_assert_uint_eq(in, out);
        }
        ck_assert_uint_eq(ring.count, in - out);
        ck_assert_uint_le(ring_bytes(&ring), (in - out) * 9 + 3 * 4096);
        /* A look at what comes next tells the truth or nothing. */
        entry = ring_ahead(&ring, 0);
        ck_assert(entry == 0 || (in > out && entry == out));
        entry = ring_ahead(&ring, 1);
        ck_assert(entry == 0 || (in > out + 1 && entry == out + 1));
    }
    ring_fini(&ring);
    ck_assert_uint_eq(ring_bytes(&ring), 0);
}
END_TEST

/* ---- Ghosts --------------------------------------------------------------------------- */

START_TEST(a_ghost_is_known_once_by_key_and_class)
{
    struct ghost_set sets[8] = { 0 };
    struct ghost ghost = { sets };
    uint32_t age;

    ck_assert(!ghost_take(&ghost, 5, UINT64_C(0x1234567812345678), 3, 0, &age));
    ghost_add(&ghost, 5, UINT64_C(0x1234567812345678), 3, 8190);
    ck_assert(!ghost_take(&ghost, 5, UINT64_C(0x1234567812345678), 4, 8190, &age));
    ck_assert(!ghost_take(&ghost, 5, UINT64_C(0x1234567012345678), 3, 8190, &age));
    ck_assert(!ghost_take(&ghost, 6, UINT64_C(0x1234567812345678), 3, 8190, &age));
    /* The sequence goes round. */
    ck_assert(ghost_take(&ghost, 5, UINT64_C(0x1234567812345678), 3, GHOST_STEPS + 7, &age));
    ck_assert_uint_eq(age, 9);
    ck_assert(!ghost_take(&ghost, 5, UINT64_C(0x1234567812345678), 3, 9, &age));
}
END_TEST

START_TEST(a_set_keeps_the_latest_ghosts)
{
    struct ghost_set sets[8] = { 0 };
    struct ghost ghost = { sets };
    uint32_t age;

    for (uint64_t i = 0; i < 20; i++)
        ghost_add(&ghost, 7, i << 23, 1, (uint32_t)i);
    for (uint64_t i = 0; i < 20; i++) {
        /* From the middle, so that gaps are closed. */
        uint64_t n = (i + 15) % 20;
        bool known = ghost_take(&ghost, 7, n << 23, 1, 20, &age);
        ck_assert_int_eq(known, n >= 20 - GHOST_SLOTS);
        ck_assert(!known || age == 20 - n);
    }
}
END_TEST

/* ---- Probation ------------------------------------------------------------------------ */

#define VALUE_LEN 100

static void
set_many(struct kit *kit, const char *name, unsigned from, unsigned to)
{
    char text[KIT_KEY_MAX];

    for (unsigned i = from; i < to; i++)
        ck_assert_int_eq(kit_set_sized(kit, kit_key(text, name, i), VALUE_LEN, 0), STORE_OK);
}

static unsigned
present(struct kit *kit, const char *name, unsigned from, unsigned to)
{
    char text[KIT_KEY_MAX];
    unsigned n = 0;

    for (unsigned i = from; i < to; i++)
        n += kit_present(kit, kit_key(text, name, i));
    return n;
}

/* How many of them fill the memory. */
static unsigned
capacity(struct kit *kit)
{
    unsigned n = 0;

    while (kit_totals(kit).evictions == 0) {
        set_many(kit, "fill", n, n + 16);
        n += 16;
    }
    return n;
}

START_TEST(one_use_is_enough_to_outlive_a_scan)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    struct store_view view;
    unsigned n, used = 400;
    char text[KIT_KEY_MAX], value[VALUE_LEN];

    kit_open(&kit, &options);
    n = capacity(&kit);
    set_many(&kit, "used", 0, used);
    set_many(&kit, "once", 0, used);
    for (unsigned i = 0; i < used; i++)
        ck_assert_int_eq(kit_read(&kit, kit_key(text, "used", i), value, &view), VALUE_LEN);
    /* Long enough for the ring to have gone round, too short for the hand. */
    set_many(&kit, "scan", 0, n / 2);
    ck_assert_uint_eq(present(&kit, "used", 0, used), used);
    ck_assert_uint_eq(present(&kit, "once", 0, used), 0);
    kit_close(&kit);
}
END_TEST

START_TEST(a_key_that_comes_back_is_kept)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    unsigned n, some = 300, back;

    kit_open(&kit, &options);
    n = capacity(&kit);
    set_many(&kit, "key", 0, some);
    set_many(&kit, "scan", 0, n / 2);
    ck_assert_uint_eq(present(&kit, "key", 0, some), 0);
    set_many(&kit, "key", 0, some);
    back = (unsigned)kit_totals(&kit).ghost_hits;
    /* A set of eight may have seen more evictions, but not often. */
    ck_assert_uint_ge(back, some * 8 / 10);
    set_many(&kit, "more", 0, n / 2);
    ck_assert_uint_ge(present(&kit, "key", 0, some), back * 95 / 100);
    kit_close(&kit);
}
END_TEST

START_TEST(lru_evicts_what_was_used_longest_ago)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    unsigned n, third;

    options.lru = true;
    kit_open(&kit, &options);
    n = capacity(&kit);
    third = n / 3;
    /* A new cacheful, second by second. */
    for (unsigned i = 0; i < 3; i++) {
        kit.now += 10;
        set_many(&kit, "key", i * third, (i + 1) * third);
    }
    kit.now += 10;
    set_many(&kit, "new", 0, third);
    ck_assert_uint_ge(present(&kit, "new", 0, third), third * 9 / 10);
    ck_assert_uint_ge(present(&kit, "key", 2 * third, 3 * third), third * 9 / 10);
    ck_assert_uint_le(present(&kit, "key", 0, third), third * 3 / 10);
    kit_close(&kit);
}
END_TEST

/* ---- Counters ------------------------------------------------------------------------- */

static void
add_counter(struct kit *kit, unsigned i, uint32_t exptime)
{
    struct store_write write = { .mode = STORE_ADD, .exptime = exptime };
    struct store_written written;
    char text[KIT_KEY_MAX];

    ck_assert_int_eq(kit_write_full(kit, &write, kit_key(text, "counter", i),
        slice_of("1", 1), &written), STORE_OK);
}

/* Nobody touches them again, while ten times the cache passes through in their own size and
 * in others. */
START_TEST(idle_counters_live_as_long_as_they_were_told)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    unsigned n = 500;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < n; i++)
        add_counter(&kit, i, kit.now + 60);
    store_maintain(kit.store, kit.thread, kit.now, 1000);
    for (unsigned i = 0; i < 100000; i++) {
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "flood", i),
            i % 5 == 0 ? 3000 : i % 3, 0), STORE_OK);
        if (i % 2000 == 0) {
            store_maintain(kit.store, kit.thread, kit.now, 1000);
            store_move_page(kit.store, kit.thread, -1, 1 + (int)(i / 2000 % 20), kit.now);
        }
    }
    ck_assert_uint_eq(present(&kit, "counter", 0, n), n);
    ck_assert_uint_gt(kit_totals(&kit).counter_bytes, 0);
    kit.now += 60;
    ck_assert_uint_eq(present(&kit, "counter", 0, n), 0);
    kit_close(&kit);
}
END_TEST

START_TEST(counters_beyond_the_reserve_are_nothing_special)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    uint64_t most;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < 200000; i++) {
        add_counter(&kit, i, kit.now + 1000);
        if (i % 1000 == 0)
            store_maintain(kit.store, kit.thread, kit.now, 1000);
    }
    /* They fill the cache: there was no error. But others find room at once ... */
    for (unsigned i = 0; i < 20000; i++) {
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "other", i), 2000, 0), STORE_OK);
        ck_assert(kit_has_sized(&kit, kit_key(text, "other", i), 2000));
        if (i % 100 == 0)
            store_maintain(kit.store, kit.thread, kit.now, 1000);
    }
    /* ... and counters keep their reserve and no more than they had. */
    most = kit_totals(&kit).counter_bytes;
    ck_assert_uint_ge(most, kit_totals(&kit).counter_limit * 8 / 10);
    kit_close(&kit);
}
END_TEST

/* A number without an end to its life, or not made by add, is a value like any other. */
START_TEST(only_numbers_that_expire_are_counters)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    struct store_write write = { .mode = STORE_SET };
    struct store_written written;
    uint64_t number;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    add_counter(&kit, 1, 0);
    write.exptime = kit.now + 50;
    kit_write_full(&kit, &write, kit_key(text, "set", 1), slice_of("17", 2), &written);
    write.mode = STORE_ADD;
    kit_write_full(&kit, &write, kit_key(text, "add", 1), slice_of("17x", 3), &written);
    ck_assert_uint_eq(kit_totals(&kit).counter_bytes, 0);
    /* Until it is counted with. */
    kit_arith(&kit, STORE_INCR, "set-1", 1, &number);
    ck_assert_uint_gt(kit_totals(&kit).counter_bytes, 0);
    /* An ordinary value takes its place. */
    kit_set_sized(&kit, kit_key(text, "set", 1), 2, 0);
    ck_assert_uint_eq(kit_totals(&kit).counter_bytes, 0);
    kit_close(&kit);
}
END_TEST

/* ---- What other sizes would bring ------------------------------------------------------ */

/* Keys asked for in turn, over and over: an LRU cache answers all if it holds all of them,
 * and none if one less. Memory is short of them by three halves. */
START_TEST(the_estimate_knows_how_much_would_be_enough)
{
    struct store_options options = kit_options(4 << 20);
    struct store_totals totals;
    struct kit kit;
    unsigned keys;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    keys = (4 << 20) / 1000 * 3 / 2;
    for (unsigned i = 0; i < 80 * keys; i++) {
        struct slice key = kit_key(text, "key", i % keys);

        if (!kit_has_sized(&kit, key, 950))
            kit_set_sized(&kit, key, 950, 0);
        if (i % 500 == 0)
            store_maintain(kit.store, kit.thread, kit.now, 1000);
    }
    totals = kit_totals(&kit);
    ck_assert(totals.estimated);
    /* A sample: some more or less of it than its share is in it. */
    ck_assert_double_lt(totals.hit_ratios[0], 0.4);
    ck_assert_double_lt(totals.hit_ratios[1], 0.4);
    ck_assert_double_gt(totals.hit_ratios[2], 0.8);
    ck_assert_double_gt(totals.hit_ratios[3], 0.8);
    kit_close(&kit);
}
END_TEST

/* The sample is thinned and trimmed; its sums stay true to its keys. */
START_TEST(the_sample_stays_small_and_in_order)
{
    struct estimate *estimate = estimate_open();
    uint64_t random = 7, mask = estimate->mask;

    for (unsigned i = 0; i < 300000; i++) {
        uint64_t hash, bytes = 0;

        random = random * UINT64_C(6364136223846793005) + 1;
        hash = (random >> 20) * UINT64_C(0x9e3779b97f4a7c15) & ~estimate->mask;
        if (i % 3 == 0)
            estimate_get(estimate, hash, i / 1000, 1u << 30);
        else if (i % 100 == 1)
            estimate_delete(estimate, hash);
        else
            estimate_set(estimate, hash, 1 + i % 5000, i % 7 ? 0 : i / 1000 + 20, 1u << 30);
        ck_assert_uint_le(estimate->keys, ESTIMATE_KEYS);
        if (i % 10000 != 0)
            continue;
        for (unsigned slot = 0; slot < 2 * ESTIMATE_KEYS; slot++)
            bytes += estimate->table[slot].hash != 0 ? estimate->table[slot].bytes : 0;
        ck_assert_uint_eq(bytes, estimate->bytes);
    }
    ck_assert_uint_gt(estimate->mask, mask);
    free(estimate);
}
END_TEST

/* ---- Pages follow demand --------------------------------------------------------------- */

static unsigned
pages_of(struct kit *kit, size_t len)
{
    struct store_class_totals totals;

    store_class_totals(kit->store, store_class_of(kit->store, 10, 0, len), kit->now, &totals);
    return (unsigned)totals.pages;
}

/* Keys of one size are set once each; those of another are asked for over and over, more of
 * them than its pages hold, fewer than all pages would. */
START_TEST(pages_go_where_they_bring_hits)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    unsigned before, after;
    uint64_t random = 1;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned i = 0; i < 30000; i++)
        kit_set_sized(&kit, kit_key(text, "once", i), 300, 0);
    for (unsigned i = 0; i < 500; i++)
        kit_set_sized(&kit, kit_key(text, "back", i), 100, 0);
    before = pages_of(&kit, 100);
    for (unsigned i = 0; i < 150000; i++) {
        struct slice key;

        random = random * UINT64_C(6364136223846793005) + 1;
        key = kit_key(text, "back", (random >> 33) % 12000);
        if (!kit_has_sized(&kit, key, 100))
            kit_set_sized(&kit, key, 100, 0);
        kit_set_sized(&kit, kit_key(text, "once", 30000 + i), 300, 0);
        if (i % 200 == 0) {
            kit.now += i % 1000 == 0;
            store_maintain(kit.store, kit.thread, kit.now, 1000);
        }
    }
    after = pages_of(&kit, 100);
    ck_assert_uint_lt(before, 8);
    ck_assert_uint_gt(after, 12);
    kit_close(&kit);
}
END_TEST

/* Nothing asks for more, so nothing moves. */
START_TEST(pages_stay_where_nobody_comes_back)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];
    uint64_t moved;

    kit_open(&kit, &options);
    for (unsigned i = 0; i < 20000; i++)
        kit_set_sized(&kit, kit_key(text, "once", i), i % 2 ? 100 : 1000, 0);
    moved = kit_totals(&kit).pages_moved;
    for (unsigned i = 20000; i < 200000; i++) {
        kit_set_sized(&kit, kit_key(text, "once", i), i % 2 ? 100 : 1000, 0);
        if (i % 200 == 0)
            store_maintain(kit.store, kit.thread, kit.now++, 1000);
    }
    ck_assert_uint_le(kit_totals(&kit).pages_moved, moved + 2);
    kit_close(&kit);
}
END_TEST

/* The sizes of the whole site change, twice. */
START_TEST(a_new_size_is_served_as_by_a_new_server)
{
    static const size_t lens[] = { 100, 2000, 40000 };
    struct store_options options = kit_options(8 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    for (unsigned phase = 0; phase < 3; phase++) {
        unsigned n = (unsigned)((8 << 20) / (lens[phase] + 60)), keys = n * 6 / 10;
        unsigned hits = 0, asked = 0, rounds = 14;
        uint64_t random = phase + 1;

        /* Some rounds to get used to it; then nearly all of it is there. */
        for (unsigned i = 0; i < rounds * keys; i++) {
            struct slice key;
            bool hit;

            random = random * UINT64_C(6364136223846793005) + 1;
            key = kit_key(text, "key", phase * 1000000 + (random >> 33) % keys);
            hit = kit_has_sized(&kit, key, lens[phase]);
            if (!hit)
                ck_assert_int_eq(kit_set_sized(&kit, key, lens[phase], 0), STORE_OK);
            if (i >= (rounds - 2) * keys) {
                hits += hit;
                asked++;
            }
            if (i % 50 == 0)
                store_maintain(kit.store, kit.thread, ++kit.now, 1000);
        }
        ck_assert_msg(hits >= asked * 85 / 100, "phase %u: %u of %u", phase, hits, asked);
    }
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/policy");
    TCase *tc = tcase_create("policy");

    tcase_add_loop_test(tc, a_ring_gives_in_the_order_it_was_given, 0, 3);
    tcase_add_test(tc, a_ghost_is_known_once_by_key_and_class);
    tcase_add_test(tc, a_set_keeps_the_latest_ghosts);
    tcase_add_test(tc, one_use_is_enough_to_outlive_a_scan);
    tcase_add_test(tc, a_key_that_comes_back_is_kept);
    tcase_add_test(tc, lru_evicts_what_was_used_longest_ago);
    tcase_add_test(tc, idle_counters_live_as_long_as_they_were_told);
    tcase_add_test(tc, counters_beyond_the_reserve_are_nothing_special);
    tcase_add_test(tc, only_numbers_that_expire_are_counters);
    tcase_add_test(tc, the_estimate_knows_how_much_would_be_enough);
    tcase_add_test(tc, the_sample_stays_small_and_in_order);
    tcase_add_test(tc, pages_go_where_they_bring_hits);
    tcase_add_test(tc, pages_stay_where_nobody_comes_back);
    tcase_add_test(tc, a_new_size_is_served_as_by_a_new_server);
    return kit_run(suite, tc);
}
