/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_sum.c - protects: the sum is the same on every machine and in every version (files
 * that were left depend on it), holes count nothing, and what differs has another sum.
 * The expected numbers come from a second implementation, in Python.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/sum.h"

static _Alignas(8) unsigned char data[2 * SUM_BLOCK];

static void
fill_squares(void)
{
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * i >> 3);
}

START_TEST(known_blocks_have_known_sums)
{
    memset(data, 0, sizeof data);
    ck_assert_uint_eq(sum_blocks(data, 0, 1), 0);
    data[0] = 1;
    ck_assert_uint_eq(sum_blocks(data, 0, 1), UINT64_C(0x12f68418f0f39cf7));
    ck_assert_uint_eq(sum_blocks(data, 3, 1), UINT64_C(0x84bd9cae96a94ac1));
    data[0] = 0;
    data[SUM_BLOCK - 1] = 0x80;
    ck_assert_uint_eq(sum_blocks(data, 0, 1), UINT64_C(0x36c071cc07498d6f));
    fill_squares();
    ck_assert_uint_eq(sum_blocks(data, 0, 2), UINT64_C(0xb90ee7ed143cd728));
    ck_assert_uint_eq(sum_blocks(data, 1000000, 2), UINT64_C(0x6b7831fa6e42f128));
}
END_TEST

START_TEST(sums_of_parts_add_up)
{
    fill_squares();
    ck_assert_uint_eq(sum_blocks(data, 5, 2),
        sum_blocks(data, 5, 1) + sum_blocks(data + SUM_BLOCK, 6, 1));
    ck_assert_uint_eq(sum_blocks(data, 5, 0), 0);
}
END_TEST

START_TEST(every_bit_counts)
{
    uint64_t whole;

    fill_squares();
    whole = sum_blocks(data, 0, 2);
    for (unsigned bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        ck_assert_uint_ne(sum_blocks(data, 0, 2), whole);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}
END_TEST

/* What a plain sum of products would miss: the highest bits of two words of a lane. */
START_TEST(flips_that_could_cancel_do_not)
{
    uint64_t whole;

    fill_squares();
    whole = sum_blocks(data, 0, 1);
    for (unsigned bit = 0; bit < 8; bit++) {
        for (unsigned word = 8; word < SUM_BLOCK / 8; word++) {
            unsigned other = (word - 8) * 8 + 7;

            data[word * 8 + 7] ^= (unsigned char)(1u << bit);
            data[other] ^= (unsigned char)(1u << bit);
            ck_assert_uint_ne(sum_blocks(data, 0, 1), whole);
            data[word * 8 + 7] ^= (unsigned char)(1u << bit);
            data[other] ^= (unsigned char)(1u << bit);
        }
    }
}
END_TEST

START_TEST(places_count)
{
    static _Alignas(8) unsigned char turned[2 * SUM_BLOCK];

    /* No part of this is like another. */
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)((uint64_t)i * i * i * UINT64_C(0x9e3779b97f4a7c15) >> 56);
    memcpy(turned, data + SUM_BLOCK, SUM_BLOCK);
    memcpy(turned + SUM_BLOCK, data, SUM_BLOCK);
    ck_assert_uint_ne(sum_blocks(data, 0, 2), sum_blocks(turned, 0, 2));
    /* Two words, and two rows of words, change places. */
    memcpy(turned, data, sizeof data);
    memcpy(turned, data + 8, 8);
    memcpy(turned + 8, data, 8);
    ck_assert_uint_ne(sum_blocks(data, 0, 2), sum_blocks(turned, 0, 2));
    memcpy(turned, data, sizeof data);
    memcpy(turned, data + 64, 64);
    memcpy(turned + 64, data, 64);
    ck_assert_uint_ne(sum_blocks(data, 0, 2), sum_blocks(turned, 0, 2));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base/sum");
    TCase *tc = tcase_create("sum");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, known_blocks_have_known_sums);
    tcase_add_test(tc, sums_of_parts_add_up);
    tcase_add_test(tc, every_bit_counts);
    tcase_add_test(tc, flips_that_could_cancel_do_not);
    tcase_add_test(tc, places_count);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
