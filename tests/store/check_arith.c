/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_arith.c - protects: what counts as a number, what a sum looks like in place of the
 * old one, and that a counter keeps its expiry, its flags and its place in the cache.
 */
#include "store/core.h"
#include "store_kit.h"

static enum store_result
set_text(struct kit *kit, struct slice key, struct slice text, uint32_t flags,
    uint32_t exptime)
{
    struct store_write write = { .mode = STORE_SET, .client_flags = flags,
        .exptime = exptime };
    struct store_written written;

    return kit_write_full(kit, &write, key, text, &written);
}

static struct store_view
view_of(struct kit *kit, struct slice key)
{
    struct store_view view;

    ck_assert_int_eq(store_find(kit->store, kit->thread, key, store_hash(kit->store, key),
        kit->now, STORE_PEEK, &view), STORE_OK);
    return view;
}

static struct store_arith
arith_on(struct kit *kit, struct slice key, enum store_arith_op op, uint64_t delta)
{
    return (struct store_arith){ .op = op, .key = key, .delta = delta,
        .hash = store_hash(kit->store, key) };
}

static enum store_result
run(struct kit *kit, const struct store_arith *arith, struct store_summed *summed)
{
    return store_arith(kit->store, kit->thread, arith, kit->now, summed);
}

/* ---- Numbers ------------------------------------------------------------------------- */

struct sum {
    const char *text;
    enum store_arith_op op;
    uint64_t delta;
    const char *after;
    uint64_t number;
};

static const struct sum SUMS[] = {
    { "98", STORE_INCR, 4, "102", 102 },
    { "102", STORE_DECR, 3, "99 ", 99 },
    { "99 ", STORE_INCR, 0, "99 ", 99 },
    { "99 ", STORE_DECR, 1000, "0  ", 0 },
    { "0  ", STORE_INCR, UINT64_MAX, "18446744073709551615", UINT64_MAX },
    { "18446744073709551615", STORE_INCR, 2, "1                   ", 1 },
    { "18446744073709551615", STORE_INCR, 1, "0                   ", 0 },
    { "18446744073709551615", STORE_DECR, UINT64_MAX, "0                   ", 0 },
    { "0", STORE_DECR, 1, "0", 0 },
    { "5", STORE_DECR, UINT64_MAX, "0", 0 },
    { "9", STORE_INCR, 1, "10", 10 },
    { "99999999999999999", STORE_INCR, 1, "100000000000000000", 100000000000000000u },
    { "10", STORE_DECR, 1, "9 ", 9 },
    /* Blanks around it; whatever follows a blank; a plus sign; leading zeros. */
    { " 12 ", STORE_INCR, 1, "13  ", 13 },
    { "\t\n\v\f\r 7", STORE_INCR, 1, "8      ", 8 },
    { "7 abc", STORE_INCR, 1, "8    ", 8 },
    { "7\nabc", STORE_INCR, 1, "8    ", 8 },
    { "+5", STORE_INCR, 1, "6 ", 6 },
    { " +5", STORE_INCR, 1, "6  ", 6 },
    { "000000000000000000000041", STORE_INCR, 1, "42                      ", 42 },
    { "000000000000000000000000", STORE_INCR, 1, "1                       ", 1 },
    { "-0", STORE_INCR, 3, "3 ", 3 },
    { "18446744073709551610", STORE_INCR, 5, "18446744073709551615", UINT64_MAX },
};

START_TEST(a_sum_replaces_the_number_and_keeps_the_length)
{
    const struct sum *row = &SUMS[_i];
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    uint64_t number;

    kit_open(&kit, &options);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "n", row->text), STORE_OK);
    ck_assert_int_eq(kit_arith(&kit, row->op, "n", row->delta, &number), STORE_OK);
    ck_assert_uint_eq(number, row->number);
    kit_expect(&kit, "n", row->after);
    kit_close(&kit);
}
END_TEST

static const char *const NO_NUMBERS[] = { "", " ", "abc", "12a", "a12", "-5", "0x10",
    "18446744073709551616", "99999999999999999999", "184467440737095516150", "+", "-",
    "- 5", "+ 5", "++5", "1.5", "1,5", "1e3", "\3771", "     ", "-1", "5\x80" };

START_TEST(what_is_no_number_is_refused_and_stays)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    uint64_t number;

    kit_open(&kit, &options);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "n", NO_NUMBERS[_i]), STORE_OK);
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "n", 1, &number), STORE_NOT_A_NUMBER);
    ck_assert_int_eq(kit_arith(&kit, STORE_DECR, "n", 1, &number), STORE_NOT_A_NUMBER);
    kit_expect(&kit, "n", NO_NUMBERS[_i]);
    kit_close(&kit);
}
END_TEST

START_TEST(a_nul_ends_a_number_and_the_value_may_be_long)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    struct slice key = SLICE("n");
    struct store_view view;
    char text[8000], got[8000];
    uint64_t number;

    kit_open(&kit, &options);
    memset(text, 'x', sizeof text);
    memcpy(text, "41\0", 3);
    ck_assert_int_eq(set_text(&kit, key, slice_of(text, sizeof text), 0, 0), STORE_OK);
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "n", 1, &number), STORE_OK);
    ck_assert_uint_eq(number, 42);
    ck_assert_int_eq(kit_read(&kit, key, got, &view), sizeof got);
    memset(text, ' ', sizeof text);
    memcpy(text, "42", 2);
    ck_assert_mem_eq(got, text, sizeof text);
    kit_close(&kit);
}
END_TEST

START_TEST(a_large_value_is_no_number)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    char text[20000];
    uint64_t number;

    kit_open(&kit, &options);
    memset(text, ' ', sizeof text);
    text[0] = '7';
    ck_assert_int_eq(set_text(&kit, SLICE("n"), slice_of(text, sizeof text), 0, 0),
        STORE_OK);
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "n", 1, &number), STORE_NOT_A_NUMBER);
    kit_close(&kit);
}
END_TEST

START_TEST(a_missing_key_is_a_miss)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    uint64_t number;

    kit_open(&kit, &options);
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "n", 1, &number), STORE_MISS);
    set_text(&kit, SLICE("n"), SLICE("1"), 0, kit.now + 1);
    kit.now++;
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "n", 1, &number), STORE_MISS);
    kit_close(&kit);
}
END_TEST

/* ---- What a sum leaves alone --------------------------------------------------------- */

/* In place, and to a longer text that may need a larger chunk; one of flags. */
START_TEST(flags_and_expiry_stay_and_the_unique_is_new)
{
    static const char *const texts[] = { "5", "9", "99999999999", "000000000000000000001" };
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    struct slice key = SLICE("a key that fills its chunk..");
    struct store_summed summed;
    struct store_arith arith;
    uint64_t before;

    kit_open(&kit, &options);
    arith = arith_on(&kit, key, STORE_INCR, 1);
    set_text(&kit, key, slice_of(texts[_i], strlen(texts[_i])), (uint32_t)_i * 7,
        kit.now + 60);
    before = view_of(&kit, key).cas;
    for (unsigned i = 0; i < 100; i++) {
        struct store_view view;

        arith.delta = UINT64_C(1) << i % 60;
        ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
        view = view_of(&kit, key);
        ck_assert_int_eq(view.client_flags, _i * 7);
        ck_assert_uint_eq(view.exptime, kit.now + 60);
        ck_assert_uint_eq(summed.exptime, kit.now + 60);
        ck_assert_uint_eq(view.cas, summed.cas);
        ck_assert_uint_eq(view.slab_class, summed.slab_class);
        ck_assert_uint_gt(summed.cas, before);
        ck_assert(!summed.created);
        before = summed.cas;
    }
    kit_close(&kit);
}
END_TEST

START_TEST(an_expiry_can_be_set_along_with_the_sum)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    struct slice key = SLICE("n");
    struct store_summed summed;
    struct store_arith arith;

    kit_open(&kit, &options);
    set_text(&kit, key, SLICE("9"), 0, 0);
    arith = arith_on(&kit, key, STORE_INCR, 1);
    arith.set_exptime = true;
    arith.exptime = kit.now + 5;
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    ck_assert_uint_eq(summed.exptime, kit.now + 5);
    ck_assert_uint_eq(view_of(&kit, key).exptime, kit.now + 5);
    /* Not if nothing is summed. */
    set_text(&kit, key, SLICE("x"), 0, 0);
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_NOT_A_NUMBER);
    ck_assert_uint_eq(view_of(&kit, key).exptime, 0);
    kit_close(&kit);
}
END_TEST

START_TEST(a_unique_that_differs_stops_the_sum)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    struct slice key = SLICE("n");
    struct store_summed summed;
    struct store_arith arith;

    kit_open(&kit, &options);
    set_text(&kit, key, SLICE("1"), 0, 0);
    arith = arith_on(&kit, key, STORE_INCR, 1);
    arith.compare = true;
    arith.cas_expected = view_of(&kit, key).cas;
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_EXISTS);
    kit_expect(&kit, "n", "2");
    arith.cas_expected = view_of(&kit, key).cas;
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    kit_expect(&kit, "n", "3");
    kit_close(&kit);
}
END_TEST

/* A unique chosen by the client needs room of its own, but the text looks the same. */
START_TEST(a_chosen_unique_changes_nothing_but_the_unique)
{
    static const char *const texts[][2] = { { "5", "6" }, { "99", "100" },
        { "15  ", "16  " },
        { "000000000000000000000000000041", "42                            " } };
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    struct slice key = SLICE("n");
    struct store_summed summed;
    struct store_arith arith;
    uint64_t number;

    kit_open(&kit, &options);
    set_text(&kit, key, slice_of(texts[_i][0], strlen(texts[_i][0])), 3, kit.now + 9);
    arith = arith_on(&kit, key, STORE_INCR, 1);
    arith.cas_given = true;
    arith.cas_new = 123456789;
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    ck_assert_uint_eq(summed.cas, 123456789);
    ck_assert_uint_eq(view_of(&kit, key).cas, 123456789);
    ck_assert_uint_eq(view_of(&kit, key).client_flags, 3);
    ck_assert_uint_eq(view_of(&kit, key).exptime, kit.now + 9);
    kit_expect(&kit, "n", texts[_i][1]);
    /* And the next sum takes the next of the server's uniques. */
    ck_assert_int_eq(kit_arith(&kit, STORE_DECR, "n", 1, &number), STORE_OK);
    ck_assert_uint_ne(view_of(&kit, key).cas, 123456789);
    ck_assert_uint_lt(view_of(&kit, key).cas, 1000);
    /* A flush sees when it was stored, whatever its unique says. */
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    store_flush(kit.store, 0, kit.now);
    kit_expect(&kit, "n", NULL);
    kit_close(&kit);
}
END_TEST

START_TEST(a_missing_counter_is_created_if_wanted)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    struct slice key = SLICE("n");
    struct store_summed summed;
    struct store_arith arith;

    kit_open(&kit, &options);
    arith = arith_on(&kit, key, STORE_INCR, 5);
    arith.vivify = true;
    arith.initial = UINT64_MAX;
    arith.vivify_exptime = kit.now + 3;
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    ck_assert(summed.created);
    ck_assert_uint_eq(summed.number, UINT64_MAX);
    ck_assert_uint_eq(summed.exptime, kit.now + 3);
    kit_expect(&kit, "n", "18446744073709551615");
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    ck_assert(!summed.created);
    ck_assert_uint_eq(summed.number, 4);
    kit.now += 3;
    ck_assert_int_eq(run(&kit, &arith, &summed), STORE_OK);
    ck_assert(summed.created);
    kit_close(&kit);
}
END_TEST

/* A sum that grows out of its chunk and finds no other leaves the old number there. */
START_TEST(without_memory_the_old_number_stays)
{
    struct store_options options = kit_options(1 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];
    struct slice key = SLICE("n");
    uint64_t number;
    unsigned i = 0;
    uint64_t bytes;

    options.evict = false;
    options.chunk_min = 1;
    kit_open(&kit, &options);
    /* Another chunk is needed for twenty digits than for one. */
    ck_assert_uint_ne(store_class_of(kit.store, 1, 0, 1),
        store_class_of(kit.store, 1, 0, 20));
    set_text(&kit, key, SLICE("9"), 0, 0);
    while (kit_set_sized(&kit, kit_key(text, "filler", i), 2000, 0) == STORE_OK)
        i++;
    bytes = kit_totals(&kit).bytes;
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "n", UINT64_MAX - 10, &number),
        STORE_NO_MEMORY);
    kit_expect(&kit, "n", "9");
    ck_assert_uint_eq(kit_totals(&kit).bytes, bytes);
    ck_assert_int_eq(kit_arith(&kit, STORE_DECR, "n", 1, &number), STORE_OK);
    kit_expect(&kit, "n", "8");
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/arith");
    TCase *tc = tcase_create("arith");

    tcase_add_loop_test(tc, a_sum_replaces_the_number_and_keeps_the_length, 0,
        sizeof SUMS / sizeof SUMS[0]);
    tcase_add_loop_test(tc, what_is_no_number_is_refused_and_stays, 0,
        sizeof NO_NUMBERS / sizeof NO_NUMBERS[0]);
    tcase_add_test(tc, a_nul_ends_a_number_and_the_value_may_be_long);
    tcase_add_test(tc, a_large_value_is_no_number);
    tcase_add_test(tc, a_missing_key_is_a_miss);
    tcase_add_loop_test(tc, flags_and_expiry_stay_and_the_unique_is_new, 0, 4);
    tcase_add_test(tc, an_expiry_can_be_set_along_with_the_sum);
    tcase_add_test(tc, a_unique_that_differs_stops_the_sum);
    tcase_add_loop_test(tc, a_chosen_unique_changes_nothing_but_the_unique, 0, 4);
    tcase_add_test(tc, a_missing_counter_is_created_if_wanted);
    tcase_add_test(tc, without_memory_the_old_number_stays);
    return kit_run(suite, tc);
}
