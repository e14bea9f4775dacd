/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/latency and base/sample: an operator who reads a 99th percentile must not
 * be told less than it was, nor more than an eighth above; and one in so many must be that.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/latency.h"
#include "base/sample.h"

static struct latency *latency;

static struct latency_counts
counts_of(const struct latency *from)
{
    struct latency_counts counts;

    memset(&counts, 0, sizeof counts);
    latency_sum(from, &counts);
    return counts;
}

static void
setup(void)
{
    latency = calloc(1, sizeof *latency);
    ck_assert_ptr_nonnull(latency);
}

static void
teardown(void)
{
    free(latency);
}

START_TEST(bounds_ascend_and_are_an_eighth_apart_at_most)
{
    ck_assert_uint_eq(latency_bound(0), 1);
    for (unsigned i = 1; i < LATENCY_BUCKETS; i++) {
        uint64_t below = latency_bound(i - 1), bound = latency_bound(i);

        ck_assert_uint_gt(bound, below);
        if (below >= 8)
            ck_assert_uint_le(bound - below, below / 8);
    }
    ck_assert_uint_eq(latency_bound(LATENCY_BUCKETS - 1), UINT64_C(1) << 37);
}
END_TEST

/* Every power of two and its neighbours, one number a run. */
START_TEST(a_number_counts_below_its_bound_and_not_below_the_one_before)
{
    unsigned bit = (unsigned)_i / 3;
    uint64_t ns = (UINT64_C(1) << bit) + (uint64_t)(_i % 3) - 1;
    struct latency_counts counts;
    uint64_t bound;

    latency_add(latency, LATENCY_SET, ns, 1);
    counts = counts_of(latency);
    bound = latency_quantile(&counts.classes[LATENCY_SET], 1.0);
    ck_assert_uint_eq(latency_total(&counts.classes[LATENCY_SET]), 1);
    ck_assert_uint_eq(counts.classes[LATENCY_SET].sum_ns, ns);
    ck_assert_uint_gt(bound, ns);
    ck_assert_uint_le(bound, ns + ns / 8 + 1);
}
END_TEST

START_TEST(what_takes_hours_counts_in_the_last_bucket)
{
    struct latency_counts counts;

    latency_add(latency, LATENCY_GET, UINT64_MAX, 1);
    latency_add(latency, LATENCY_GET, UINT64_C(1) << 40, 2);
    counts = counts_of(latency);
    ck_assert_uint_eq(counts.classes[LATENCY_GET].buckets[LATENCY_BUCKETS - 1], 3);
}
END_TEST

START_TEST(quantiles_are_those_of_the_numbers)
{
    static const double quantiles[] = { 0.001, 0.5, 0.9, 0.99, 0.999, 1.0 };
    struct latency_counts counts;

    for (uint64_t us = 1; us <= 10000; us++)
        latency_add(latency, LATENCY_GET, us * 1000, 1);
    counts = counts_of(latency);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        uint64_t exact = (uint64_t)ceil(quantiles[i] * 10000) * 1000;
        uint64_t told = latency_quantile(&counts.classes[LATENCY_GET], quantiles[i]);

        ck_assert_uint_gt(told, exact);
        ck_assert_uint_le(told, exact + exact / 8 + 1);
    }
}
END_TEST

START_TEST(nothing_measured_is_zero)
{
    struct latency_counts counts = counts_of(latency);

    for (unsigned id = 0; id < LATENCY_CLASS_COUNT; id++) {
        ck_assert_uint_eq(latency_total(&counts.classes[id]), 0);
        ck_assert_uint_eq(latency_quantile(&counts.classes[id], 0.99), 0);
    }
}
END_TEST

START_TEST(workers_add_up_and_a_reset_is_taken_away)
{
    struct latency *other = calloc(1, sizeof *other);
    struct latency_counts before, counts;

    ck_assert_ptr_nonnull(other);
    latency_add(latency, LATENCY_ARITH, 100, 3);
    latency_add(other, LATENCY_ARITH, 100, 4);
    before = counts_of(latency);
    latency_sum(other, &before);
    ck_assert_uint_eq(latency_total(&before.classes[LATENCY_ARITH]), 7);

    latency_add(other, LATENCY_ARITH, 5000, 1);
    counts = counts_of(latency);
    latency_sum(other, &counts);
    latency_subtract(&counts, &before);
    ck_assert_uint_eq(latency_total(&counts.classes[LATENCY_ARITH]), 1);
    ck_assert_uint_eq(counts.classes[LATENCY_ARITH].sum_ns, 5000);
    free(other);
}
END_TEST

/* The generator is fixed, so these are the same figures each time. */
START_TEST(one_in_so_many_is_due)
{
    static const uint32_t means[] = { 1, 2, 16, 256, 1000000 };
    struct sample sample;

    for (size_t i = 0; i < sizeof means / sizeof *means; i++) {
        uint64_t turns = means[i] * UINT64_C(50), due = 0;

        sample_init(&sample, means[i], (uint32_t)i + 1);
        for (uint64_t turn = 0; turn < turns; turn++)
            due += sample_due(&sample);
        ck_assert_uint_ge(due, means[i] == 1 ? 50 : 35);
        ck_assert_uint_le(due, means[i] == 1 ? 50 : 70);
    }
}
END_TEST

START_TEST(none_is_due_where_none_is_wanted)
{
    struct sample sample;

    sample_init(&sample, 0, 1);
    for (unsigned i = 0; i < 100000; i++)
        ck_assert(!sample_due(&sample));
}
END_TEST

/* A fixed distance would see the same of two commands that clients send in turn. */
START_TEST(distances_vary)
{
    unsigned odd = 0, due = 0;
    struct sample sample;

    sample_init(&sample, 16, 7);
    for (unsigned turn = 0; turn < 16000; turn++) {
        if (sample_due(&sample)) {
            due++;
            odd += turn % 2;
        }
    }
    ck_assert_uint_gt(odd, due / 4);
    ck_assert_uint_lt(odd, due - due / 4);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("latency");
    TCase *tc = tcase_create("latency");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, bounds_ascend_and_are_an_eighth_apart_at_most);
    tcase_add_loop_test(
        tc, a_number_counts_below_its_bound_and_not_below_the_one_before, 0, 3 * 37);
    tcase_add_test(tc, what_takes_hours_counts_in_the_last_bucket);
    tcase_add_test(tc, quantiles_are_those_of_the_numbers);
    tcase_add_test(tc, nothing_measured_is_zero);
    tcase_add_test(tc, workers_add_up_and_a_reset_is_taken_away);
    tcase_add_test(tc, one_in_so_many_is_due);
    tcase_add_test(tc, none_is_due_where_none_is_wanted);
    tcase_add_test(tc, distances_vary);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
