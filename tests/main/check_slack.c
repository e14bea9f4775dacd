/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_slack.c - protects: memory that clients have left behind is returned, and the
 * walk that this takes is not made for nothing.
 */
#include <check.h>
#include <stdlib.h>

#include "main/slack.h"

#define MIB (UINT64_C(1) << 20)

#define EXPECTED (64 * MIB)

START_TEST(what_clients_left_behind_is_returned_once)
{
    struct slack slack = { .last = 0 };
    uint32_t now = 100;

    ck_assert(!slack_due(&slack, EXPECTED - 3 * MIB, EXPECTED, now++));
    ck_assert(slack_due(&slack, EXPECTED + 20 * MIB, EXPECTED, now++));
    for (; now < 200; now++)
        ck_assert(!slack_due(&slack, EXPECTED + 1, EXPECTED, now));
}
END_TEST

/* Something else takes it: asking again and again would not help. */
START_TEST(what_cannot_be_returned_is_asked_for_less_and_less)
{
    struct slack slack = { .last = 0 };
    unsigned asked = 0;

    for (uint32_t now = 1; now <= 10000; now++)
        asked += slack_due(&slack, EXPECTED + 20 * MIB, EXPECTED, now);
    ck_assert_uint_ge(asked, 10000 / SLACK_SECONDS_MOST);
    ck_assert_uint_le(asked, 10000 / SLACK_SECONDS_MOST + 10);
    /* More of it is something new. */
    ck_assert(slack_due(&slack, EXPECTED + 22 * MIB, EXPECTED, 10100));
}
END_TEST

/* They are still leaving when it is returned for the first time. */
START_TEST(what_comes_free_later_is_returned_as_well)
{
    struct slack slack = { .last = 0 };

    ck_assert(slack_due(&slack, EXPECTED + 40 * MIB, EXPECTED, 100));
    for (uint32_t now = 101; now < 100 + 2 * SLACK_SECONDS; now++)
        ck_assert(!slack_due(&slack, EXPECTED + 20 * MIB, EXPECTED, now));
    ck_assert(slack_due(&slack, EXPECTED + 20 * MIB, EXPECTED, 100 + 2 * SLACK_SECONDS));
}
END_TEST

START_TEST(clients_that_come_and_go_have_it_returned_now_and_then_only)
{
    struct slack slack = { .last = 0 };
    unsigned returned = 0;

    for (uint32_t now = 1; now <= 100 * SLACK_SECONDS; now++)
        returned += slack_due(&slack, EXPECTED + (now % 2) * 9 * MIB, EXPECTED, now);
    ck_assert_uint_le(returned, 101);
    ck_assert_uint_ge(returned, 10);
}
END_TEST

START_TEST(little_is_kept)
{
    struct slack slack = { .last = 0 };

    for (uint32_t now = 1; now < 1000; now++)
        ck_assert(
            !slack_due(&slack, EXPECTED + SLACK_BYTES * (now / 500), EXPECTED, now));
}
END_TEST

/* How much is in memory can't be told everywhere. */
START_TEST(nothing_known_is_nothing_done)
{
    struct slack slack = { .last = 0 };

    for (uint32_t now = 1; now < 1000; now++)
        ck_assert(!slack_due(&slack, 0, EXPECTED, now));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("slack");
    TCase *tc = tcase_create("slack");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, what_clients_left_behind_is_returned_once);
    tcase_add_test(tc, what_cannot_be_returned_is_asked_for_less_and_less);
    tcase_add_test(tc, what_comes_free_later_is_returned_as_well);
    tcase_add_test(tc, clients_that_come_and_go_have_it_returned_now_and_then_only);
    tcase_add_test(tc, little_is_kept);
    tcase_add_test(tc, nothing_known_is_nothing_done);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
