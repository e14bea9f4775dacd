/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects the figures and the pages of `larderctl top`: rates are what came between two
 * samples and nothing after a restart, and a page fits the terminal, whatever its size and
 * whatever the server says.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/page.h"

static struct report_row
stat(const char *name, const char *value)
{
    return (struct report_row){ REPORT_STAT, slice_of(name, strlen(name)),
        slice_of(value, strlen(value)) };
}

static struct sample first, second;
static struct report_row first_rows[16], second_rows[16];

static void
add(const char *name, const char *before, const char *now)
{
    first_rows[first.general.n++] = stat(name, before);
    second_rows[second.general.n++] = stat(name, now);
}

static void
setup(void)
{
    first = (struct sample){ .at = 1000000, .general = { .rows = first_rows } };
    second = (struct sample){ .at = 3000000, .general = { .rows = second_rows } };
    add("version", "1.6", "1.6");
    add("cmd_get", "100", "300");
    add("cmd_set", "10", "30");
    add("get_hits", "50", "200");
    add("get_misses", "50", "100");
    add("incr_hits", "0", "4");
    add("rusage_user", "1.5", "2.5");
    add("rusage_system", "1.0", "1.0");
    add("bytes", "0", "1048576");
    add("limit_maxbytes", "0", "4194304");
    first.classes.at[3] = (struct class_row){ .there = true, .evicted = 7 };
    second.classes.at[3] = (struct class_row){ .there = true, .pages = 1, .items = 5,
        .chunk_size = 96, .used_chunks = 5, .evicted = 27 };
    second.classes.at[9] = (struct class_row){ .there = true, .pages = 1, .items = 2,
        .chunk_size = 1000, .used_chunks = 2, .evicted = 1 };
}

static bool
near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

START_TEST(rates_are_what_came_between)
{
    struct rates rates;

    sample_rates(&rates, &first, &second);
    ck_assert(near(rates.seconds, 2));
    ck_assert(near(rates.gets, 100));
    ck_assert(near(rates.sets, 10));
    ck_assert(near(rates.counters, 2));
    ck_assert(near(rates.requests, 112));
    ck_assert(near(rates.hit_ratio, 0.75));
    ck_assert(near(rates.hit_ratio_ever, 200.0 / 300));
    ck_assert(near(rates.cpu, 0.5));
    ck_assert(near(rates.class_evictions[3], 10));
}
END_TEST

START_TEST(without_a_past_there_are_no_rates)
{
    struct rates rates;

    sample_rates(&rates, NULL, &second);
    ck_assert(isnan(rates.requests));
    ck_assert(isnan(rates.hit_ratio));
    ck_assert(isnan(rates.cpu));
    ck_assert(isnan(rates.class_evictions[3]));
    ck_assert(near(rates.hit_ratio_ever, 200.0 / 300));
}
END_TEST

START_TEST(a_restart_is_no_rate)
{
    struct rates rates;
    uint64_t at = first.at;

    first.at = second.at;
    second.at = at + 5000000;
    sample_rates(&rates, &second, &first);
    ck_assert(isnan(rates.gets));
    ck_assert(isnan(rates.cpu));
    ck_assert(isnan(rates.class_evictions[3]));
}
END_TEST

static const struct {
    double number;
    const char *text;
} NUMBERS[] = {
    { 0, "0" }, { 2, "2" }, { 2.5, "2.5" }, { 9.96, "10" }, { 1234, "1234" },
    { 99999, "99999" }, { 100000, "100k" }, { 1234567, "1.2M" }, { 12345678, "12.3M" },
    { 999499999, "999M" }, { 1e9, "1.0G" }, { 1.8e19, "18.0E" }, { NAN, "-" },
    { INFINITY, "-" },
};

START_TEST(numbers_are_short)
{
    char text[PAGE_NUMBER_MAX];

    ck_assert_str_eq(page_number(text, NUMBERS[_i].number), NUMBERS[_i].text);
}
END_TEST

static struct page page;

static const struct page_view *
view_of(struct sample *sample)
{
    static struct rates rates;
    static struct page_view view;

    sample_rates(&rates, &first, sample);
    view = (struct page_view){ .server = "server", .sample = sample, .rates = &rates,
        .message = "", .interval_ms = 1000, .interactive = true };
    return &view;
}

static bool
shows(const char *text)
{
    for (unsigned i = 0; i < page.used; i++)
        if (strstr(page.lines[i], text) != NULL)
            return true;
    return false;
}

START_TEST(a_page_fits_every_terminal)
{
    second.has_hot = true;
    second.n_hot[0] = 1;
    memset(second.hot[0][0].key, 'k', SAMPLE_KEY_MAX - 1);
    for (unsigned rows = 0; rows <= 60; rows++) {
        for (unsigned columns = 1; columns <= 130; columns += 3) {
            page_make(&page, rows, columns, view_of(&second));
            ck_assert_uint_le(page.used, rows);
            for (unsigned i = 0; i < page.used; i++)
                ck_assert_uint_le(strlen(page.lines[i]), columns);
        }
    }
    page_make(&page, 100000, 100000, view_of(&second));
    ck_assert_uint_le(page.used, PAGE_ROWS_MAX);
}
END_TEST

START_TEST(the_usual_terminal_shows_it_all)
{
    second.has_hot = true;
    second.n_hot[0] = 1;
    second.hot_requests = 8;
    second.hot[0][0] = (struct sample_hot){ .key = "hot%20key", .count = 2 };
    second.n_latency = 1;
    second.latency[0] = (struct sample_latency){ .name = "get", .samples = 9, .p50_us = 3,
        .p99_us = 20, .p999_us = 300 };
    page_make(&page, 24, 80, view_of(&second));
    ck_assert_uint_eq(page.used, 24);
    ck_assert(shows("get 100"));
    ck_assert(shows("75.0 %"));
    ck_assert(shows("1.0 MiB of 4.0 MiB"));
    ck_assert(shows("get 3/20/300"));
    ck_assert(shows("by class"));
    ck_assert(shows("25.0 %  hot%20key"));
    ck_assert(shows("q quit"));
}
END_TEST

/* Which class comes first below the header of the classes. */
static unsigned
first_class(enum args_sort sort)
{
    struct page_view view = *view_of(&second);
    unsigned id = 0;

    view.sort = sort;
    page_make(&page, 24, 80, &view);
    for (unsigned i = 0; i + 1 < page.used; i++)
        if (strncmp(page.lines[i], "Class ", 6) == 0)
            ck_assert_int_eq(sscanf(page.lines[i + 1], "%u", &id), 1);
    return id;
}

START_TEST(classes_are_sorted_as_asked)
{
    ck_assert_uint_eq(first_class(ARGS_SORT_CLASS), 3);
    ck_assert_uint_eq(first_class(ARGS_SORT_ITEMS), 3);
    ck_assert_uint_eq(first_class(ARGS_SORT_MEMORY), 9);
    ck_assert_uint_eq(first_class(ARGS_SORT_EVICTED), 3);
}
END_TEST

START_TEST(what_is_wrong_is_said_also_without_a_sample)
{
    struct page_view view = *view_of(&second);

    view.sample = NULL;
    view.message = "gone\x1b[2J";
    page_make(&page, 24, 80, &view);
    ck_assert(shows("gone%1B[2J"));
}
END_TEST

START_TEST(hot_keys_are_taken_from_the_report)
{
    struct report_row rows[] = {
        stat("hotkeys_sample", "64"), stat("samples", "10"),
        stat("requests:1:key", "a%3Ab%20c"), stat("requests:1:count", "320"),
        stat("bytes:2:key", "x"), stat("bytes:2:count", "12345"),
        stat("requests:33:key", "y"), stat("requests:0:key", "y"), stat("requests:x:key", "y"),
        stat("requests:1", "y"), stat("bytes:1:count", "-1"),
    };
    struct report report = { .rows = rows, .n = sizeof rows / sizeof rows[0] };
    struct sample sample = { .at = 0 };

    sample_add_hot(&sample, &report);
    ck_assert(sample.has_hot);
    ck_assert_uint_eq(sample.n_hot[SAMPLE_BY_REQUESTS], 1);
    ck_assert_str_eq(sample.hot[SAMPLE_BY_REQUESTS][0].key, "a:b%20c");
    ck_assert_uint_eq(sample.hot[SAMPLE_BY_REQUESTS][0].count, 320);
    ck_assert(near(sample.hot_requests, 640));
    ck_assert_uint_eq(sample.n_hot[SAMPLE_BY_BYTES], 2);
    ck_assert_uint_eq(sample.hot[SAMPLE_BY_BYTES][1].count, 12345);
}
END_TEST

START_TEST(latencies_are_taken_from_the_report)
{
    struct report_row rows[40] = { stat("get:samples", "5"), stat("get:p50_us", "1.5"),
        stat("get:p99_us", "20"), stat("get:p999_us", "30.25"), stat("latency_sample", "16"),
        stat("set:samples", "0") };
    struct report report = { .rows = rows, .n = 6 };
    struct sample sample = { .at = 0 };
    char names[30][8];

    for (unsigned i = 0; i < 30; i++) {
        snprintf(names[i], sizeof names[i], "c%u:x", i);
        rows[report.n++] = stat(names[i], "1");
    }
    sample_add_latency(&sample, &report);
    ck_assert_uint_eq(sample.n_latency, SAMPLE_LATENCY_MAX);
    ck_assert_str_eq(sample.latency[0].name, "get");
    ck_assert_uint_eq(sample.latency[0].samples, 5);
    ck_assert(near(sample.latency[0].p50_us, 1.5));
    ck_assert(near(sample.latency[0].p999_us, 30.25));
    ck_assert_str_eq(sample.latency[1].name, "set");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("ctl top");
    TCase *tc = tcase_create("top");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, rates_are_what_came_between);
    tcase_add_test(tc, without_a_past_there_are_no_rates);
    tcase_add_test(tc, a_restart_is_no_rate);
    tcase_add_loop_test(tc, numbers_are_short, 0, sizeof NUMBERS / sizeof NUMBERS[0]);
    tcase_add_test(tc, a_page_fits_every_terminal);
    tcase_add_test(tc, the_usual_terminal_shows_it_all);
    tcase_add_test(tc, classes_are_sorted_as_asked);
    tcase_add_test(tc, what_is_wrong_is_said_also_without_a_sample);
    tcase_add_test(tc, hot_keys_are_taken_from_the_report);
    tcase_add_test(tc, latencies_are_taken_from_the_report);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
