/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_clock.c - protects: times that clients send become seconds of the server's clock,
 * with no number that wraps around, and the clock itself never runs backwards.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

START_TEST(the_clock_starts_at_its_first_second)
{
    struct clock clock;
    uint32_t seconds;

    clock_start(&clock);
    seconds = clock_seconds(&clock);
    ck_assert_uint_ge(seconds, CLOCK_FIRST);
    ck_assert_uint_le(seconds, CLOCK_FIRST + 1);
}
END_TEST

START_TEST(two_clocks_of_different_age_differ_by_their_epochs)
{
    struct clock young, old;

    clock_start(&young);
    old = young;
    old.epoch -= 1000;
    ck_assert_uint_ge(clock_seconds(&old), clock_seconds(&young) + 999);
}
END_TEST

START_TEST(neither_seconds_nor_micros_run_backwards)
{
    struct clock clock;
    uint32_t second;
    uint64_t micro = clock_micros();

    clock_start(&clock);
    second = clock_seconds(&clock);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t micro_next = clock_micros();
        uint32_t second_next = clock_seconds(&clock);

        ck_assert_uint_ge(micro_next, micro);
        ck_assert_uint_ge(second_next, second);
        micro = micro_next;
        second = second_next;
    }
}
END_TEST

/* What lies k seconds from now lies k seconds from now on the wall, too. */
START_TEST(the_wall_clock_is_reached_from_any_second)
{
    int64_t before = (int64_t)time(NULL);

    ck_assert_int_ge(clock_to_unix(5000, 5000), before);
    ck_assert_int_le(clock_to_unix(5000, 5000), (int64_t)time(NULL));
    ck_assert_int_ge(clock_to_unix(5100, 5000), before + 100);
    ck_assert_int_le(clock_to_unix(0, 5000), (int64_t)time(NULL) - 5000);
}
END_TEST

struct reading {
    int64_t exptime;
    uint32_t now;
    uint32_t second;
};

static const struct reading RELATIVE[] = {
    { 0, 100, EXPTIME_NEVER },
    { 0, UINT32_MAX, EXPTIME_NEVER },
    { 1, CLOCK_FIRST, CLOCK_FIRST + 1 },
    { 1, 100, 101 },
    { 60, 100, 160 },
    { EXPTIME_RELATIVE_MAX, 100, 100 + EXPTIME_RELATIVE_MAX },
    { -1, 100, EXPTIME_PAST },
    { -1, CLOCK_FIRST, EXPTIME_PAST },
    { INT32_MIN, 100, EXPTIME_PAST },
    { INT64_MIN, 100, EXPTIME_PAST },
    /* 1970: long ago. */
    { EXPTIME_RELATIVE_MAX + 1, 100, EXPTIME_PAST },
    { 1000000000, 100, EXPTIME_PAST },
    /* Beyond what the clock can show. */
    { INT64_MAX, 100, EXPTIME_NEVER },
    { INT64_MAX, UINT32_MAX, EXPTIME_NEVER },
    { INT64_MAX / 2, CLOCK_FIRST, EXPTIME_NEVER },
    { EXPTIME_RELATIVE_MAX, UINT32_MAX - 5, EXPTIME_NEVER },
    { 5, UINT32_MAX - 5, UINT32_MAX },
    { 6, UINT32_MAX - 5, EXPTIME_NEVER },
};

START_TEST(expiry_numbers_become_seconds)
{
    const struct reading *row = &RELATIVE[_i];

    ck_assert_uint_eq(clock_exptime(row->exptime, row->now), row->second);
}
END_TEST

/* The wall clock may tick between two looks, hence a second of tolerance. */
static void
expect_near(uint32_t got, int64_t wanted)
{
    ck_assert_int_ge((int64_t)got, wanted - 1);
    ck_assert_int_le((int64_t)got, wanted);
}

START_TEST(absolute_times_count_from_the_wall_clock)
{
    int64_t unix_now = (int64_t)time(NULL);

    expect_near(clock_exptime(unix_now + 100, 5000), 5100);
    expect_near(clock_exptime(unix_now, 5000), 5000);
    expect_near(clock_exptime(unix_now - 100, 5000), 4900);
    expect_near(clock_exptime(unix_now + 100, CLOCK_FIRST), CLOCK_FIRST + 100);
    ck_assert_uint_eq(clock_exptime(unix_now - 100, 50), EXPTIME_PAST);
    ck_assert_uint_eq(clock_exptime(unix_now - 5000, 5000), EXPTIME_PAST);
    ck_assert_uint_eq(clock_exptime(unix_now + UINT32_MAX, 5000), EXPTIME_NEVER);
    ck_assert_uint_eq(clock_exptime(unix_now + 2 * (int64_t)UINT32_MAX, 5000),
        EXPTIME_NEVER);
}
END_TEST

START_TEST(a_clock_goes_on_in_another_process)
{
    struct clock clock, other;
    struct clock_stamp stamp;

    clock_start(&clock);
    clock.epoch -= 5000;
    clock_stamp(&clock, &stamp);
    clock_start(&other);
    ck_assert(clock_resume(&other, &stamp));
    expect_near(clock_seconds(&clock), (int64_t)clock_seconds(&other));
}
END_TEST

/* After a reboot only the wall clock knows how long it took. */
START_TEST(a_clock_goes_on_after_a_reboot)
{
    struct clock clock, other;
    struct clock_stamp stamp;

    clock_start(&clock);
    clock.epoch -= 5000;
    clock_stamp(&clock, &stamp);
    snprintf(stamp.boot, sizeof stamp.boot, "another");
    stamp.unix_seconds -= 300;
    clock_start(&other);
    ck_assert(clock_resume(&other, &stamp));
    expect_near(clock_seconds(&other), (int64_t)stamp.seconds + 301);
    stamp.unix_seconds += 4000; /* the wall clock was set back */
    clock_start(&other);
    ck_assert(clock_resume(&other, &stamp));
    expect_near(clock_seconds(&other), (int64_t)stamp.seconds + 1);
}
END_TEST

START_TEST(a_stamp_that_makes_no_sense_changes_nothing)
{
    static const int64_t EPOCHS[] = { INT64_MAX, INT64_MIN, INT64_C(1) << 40,
        -(INT64_C(1) << 33) };
    struct clock clock, before;
    struct clock_stamp stamp;

    clock_start(&clock);
    before = clock;
    clock_stamp(&clock, &stamp);
    stamp.epoch = EPOCHS[_i];
    if (clock.boot[0] != '\0')
        ck_assert(!clock_resume(&clock, &stamp));
    snprintf(stamp.boot, sizeof stamp.boot, "another");
    stamp.seconds = UINT32_MAX;
    ck_assert(!clock_resume(&clock, &stamp));
    stamp.seconds = 5;
    stamp.unix_seconds = INT64_MIN;
    ck_assert(clock_resume(&clock, &stamp)); /* no time has passed */
    clock = before;
    ck_assert_int_eq(clock.epoch, before.epoch);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base/clock");
    TCase *tc = tcase_create("clock");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, the_clock_starts_at_its_first_second);
    tcase_add_test(tc, two_clocks_of_different_age_differ_by_their_epochs);
    tcase_add_test(tc, neither_seconds_nor_micros_run_backwards);
    tcase_add_test(tc, the_wall_clock_is_reached_from_any_second);
    tcase_add_loop_test(tc, expiry_numbers_become_seconds, 0,
        sizeof RELATIVE / sizeof RELATIVE[0]);
    tcase_add_test(tc, absolute_times_count_from_the_wall_clock);
    tcase_add_test(tc, a_clock_goes_on_in_another_process);
    tcase_add_test(tc, a_clock_goes_on_after_a_reboot);
    tcase_add_loop_test(tc, a_stamp_that_makes_no_sense_changes_nothing, 0, 4);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
