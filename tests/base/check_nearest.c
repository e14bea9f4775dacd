/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/nearest: a slip of the pen finds the name that was meant, and what is like
 * no name finds none, whatever its length and bytes.
 */
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "base/nearest.h"

static size_t
distance(const char *a, const char *b)
{
    return nearest_distance(a, strlen(a), b, strlen(b));
}

START_TEST(each_slip_counts_once)
{
    ck_assert_uint_eq(distance("", ""), 0);
    ck_assert_uint_eq(distance("abc", ""), 3);
    ck_assert_uint_eq(distance("", "abc"), 3);
    ck_assert_uint_eq(distance("port", "port"), 0);
    ck_assert_uint_eq(distance("prot", "port"), 1);
    ck_assert_uint_eq(distance("por", "port"), 1);
    ck_assert_uint_eq(distance("poort", "port"), 1);
    ck_assert_uint_eq(distance("pert", "port"), 1);
    ck_assert_uint_eq(distance("conection-limit", "conn-limit"), 5);
    ck_assert_uint_eq(distance("idle-timeout", "idle_timeout"), 0);
    ck_assert_uint_eq(distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(distance("sitting", "kitten"), 3);
}
END_TEST

START_TEST(a_long_word_is_far_from_everything)
{
    char word[NEAREST_WORD_MAX + 2];

    memset(word, 'a', sizeof word);
    ck_assert_uint_eq(nearest_distance(word, NEAREST_WORD_MAX, "a", 1),
        NEAREST_WORD_MAX - 1);
    ck_assert(nearest_distance(word, NEAREST_WORD_MAX + 1, "a", 1) == SIZE_MAX);
    ck_assert(nearest_distance("a", 1, word, NEAREST_WORD_MAX + 1) == SIZE_MAX);
}
END_TEST

static const char *
nearest_to(const char *word)
{
    static const char *const names[] = { "port", "user", "listen", "listen-backlog",
        "idle_timeout", "memory-limit", "memory-file" };
    struct nearest nearest;

    nearest_init(&nearest, word, strlen(word));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        nearest_show(&nearest, names[i]);
    return nearest.name == NULL ? "" : nearest.name;
}

START_TEST(the_name_that_was_meant_is_found)
{
    ck_assert_str_eq(nearest_to("prot"), "port");
    ck_assert_str_eq(nearest_to("lisen"), "listen");
    ck_assert_str_eq(nearest_to("idle-timeout"), "idle_timeout");
    ck_assert_str_eq(nearest_to("idletimeout"), "idle_timeout");
    ck_assert_str_eq(nearest_to("memory"), "memory-limit");
    ck_assert_str_eq(nearest_to("memory_limt"), "memory-limit");
    ck_assert_str_eq(nearest_to("mem"), "memory-limit");
}
END_TEST

START_TEST(what_is_like_no_name_finds_none)
{
    ck_assert_str_eq(nearest_to(""), "");
    ck_assert_str_eq(nearest_to("x"), "");
    ck_assert_str_eq(nearest_to("turbo"), "");
    ck_assert_str_eq(nearest_to("nonsense"), "");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("nearest");
    TCase *tc = tcase_create("nearest");

    tcase_add_test(tc, each_slip_counts_once);
    tcase_add_test(tc, a_long_word_is_far_from_everything);
    tcase_add_test(tc, the_name_that_was_meant_is_found);
    tcase_add_test(tc, what_is_like_no_name_finds_none);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
