/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/num and base/counters: the only readers of numbers that clients send must
 * refuse what they can't hold and never look past their slice.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/counters.h"
#include "base/num.h"

struct reading {
    const char *text;
    size_t chars_max;
    bool good;
    uint64_t number;
};

static const struct reading UNSIGNED[] = {
    { "0", 20, true, 0 },
    { "7", 1, true, 7 },
    { "007", 22, true, 7 },
    { "4294967296", 20, true, 4294967296 },
    { "18446744073709551615", 20, true, UINT64_MAX },
    { "0018446744073709551615", 22, true, UINT64_MAX },
    { "18446744073709551616", 22, false, 0 },
    { "18446744073709551620", 22, false, 0 },
    { "99999999999999999999", 22, false, 0 },
    { "184467440737095516150", 22, false, 0 },
    { "", 20, false, 0 },
    { "12", 1, false, 0 },
    { "-1", 20, false, 0 },
    { "+1", 20, false, 0 },
    { " 1", 20, false, 0 },
    { "1 ", 20, false, 0 },
    { "1a", 20, false, 0 },
    { "1e3", 20, false, 0 },
    { "0x10", 20, false, 0 },
    { "/", 20, false, 0 },
    { ":", 20, false, 0 },
    { "\xff", 20, false, 0 },
};

START_TEST(an_unsigned_number_is_digits_that_fit)
{
    const struct reading *row = &UNSIGNED[_i];
    uint64_t number = 77;
    bool good = num_u64(slice_of(row->text, strlen(row->text)), row->chars_max, &number);

    ck_assert_msg(good == row->good, "%s", row->text);
    ck_assert_uint_eq(number, row->good ? row->number : 77);
}
END_TEST

struct signed_reading {
    const char *text;
    size_t chars_max;
    bool good;
    int64_t number;
};

static const struct signed_reading SIGNED[] = {
    { "0", 11, true, 0 },
    { "-0", 11, true, 0 },
    { "-1", 11, true, -1 },
    { "2147483648", 11, true, 2147483648 },
    { "-2147483648", 11, true, -2147483648 },
    { "-12147483648", 11, false, 0 },
    { "9223372036854775807", 20, true, INT64_MAX },
    { "9223372036854775808", 20, false, 0 },
    { "-9223372036854775808", 20, true, INT64_MIN },
    { "-9223372036854775809", 20, false, 0 },
    { "-", 11, false, 0 },
    { "--1", 11, false, 0 },
    { "+1", 11, false, 0 },
    { "", 11, false, 0 },
    { "-1", 0, false, 0 },
};

START_TEST(a_signed_number_has_at_most_a_minus)
{
    const struct signed_reading *row = &SIGNED[_i];
    int64_t number = 77;
    bool good = num_i64(slice_of(row->text, strlen(row->text)), row->chars_max, &number);

    ck_assert_msg(good == row->good, "%s", row->text);
    ck_assert_int_eq(number, row->good ? row->number : 77);
}
END_TEST

/* The slice ends where a page without access begins: one byte too far is a crash. */
START_TEST(nothing_is_read_past_the_end)
{
    size_t page = 4096;
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
        -1, 0);
    uint64_t number;
    int64_t plus;

    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mprotect(map + page, page, PROT_NONE), 0);
    memset(map, '1', page);
    ck_assert(num_u64(slice_of(map + page - 20, 20), 22, &number));
    ck_assert(num_i64(slice_of(map + page - 1, 1), 22, &plus));
    map[page - 1] = '-';
    ck_assert(!num_i64(slice_of(map + page - 1, 1), 22, &plus));
    munmap(map, 2 * page);
}
END_TEST

static const uint64_t PRINTED[] = { 0, 1, 9, 10, 99, 100, 12345, 4294967295, 4294967296,
    9999999999999999999u, 10000000000000000000u, UINT64_MAX };

START_TEST(a_number_is_printed_as_printf_does)
{
    char expected[32], got[32];
    char *end = num_put(got, PRINTED[_i]);

    snprintf(expected, sizeof expected, "%" PRIu64, PRINTED[_i]);
    ck_assert_uint_eq((size_t)(end - got), strlen(expected));
    ck_assert_int_eq(memcmp(got, expected, strlen(expected)), 0);
}
END_TEST

START_TEST(counters_are_summed_and_taken_back)
{
    struct counters *one = calloc(1, sizeof *one);
    struct counts *sum = calloc(1, sizeof *sum);
    struct counts *before = calloc(1, sizeof *before);

    counter_add(&one->cmd_get, 3);
    counter_add(&one->classes[63].cas_badval, 5);
    counters_sum(one, sum);
    counters_sum(one, sum);
    ck_assert_uint_eq(sum->cmd_get, 6);
    ck_assert_uint_eq(sum->classes[63].cas_badval, 10);
    ck_assert_uint_eq(sum->cmd_set, 0);

    counters_sum(one, before);
    counts_subtract(sum, before);
    ck_assert_uint_eq(sum->cmd_get, 3);
    ck_assert_uint_eq(sum->classes[63].cas_badval, 5);
    free(one);
    free(sum);
    free(before);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof(table)[0]))

int
main(void)
{
    Suite *suite = suite_create("num");
    TCase *tc = tcase_create("num");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, an_unsigned_number_is_digits_that_fit, 0, ROWS(UNSIGNED));
    tcase_add_loop_test(tc, a_signed_number_has_at_most_a_minus, 0, ROWS(SIGNED));
    tcase_add_test(tc, nothing_is_read_past_the_end);
    tcase_add_loop_test(tc, a_number_is_printed_as_printf_does, 0, ROWS(PRINTED));
    tcase_add_test(tc, counters_are_summed_and_taken_back);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
