/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_prefix.c - protects `stats detail`: that each key is credited to its own prefix
 * and no other, by any number of threads, and that prefixes which clients invent cannot
 * fill the memory.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/prefix.h"
#include "fixture.h"

static void
get(struct fixture *fixture, const char *key, bool hit)
{
    fixture->hook.detail_get(fixture->hook.context, slice_of(key, strlen(key)), hit);
}

static void
set(struct fixture *fixture, const char *key)
{
    fixture->hook.detail_set(fixture->hook.context, slice_of(key, strlen(key)));
}

static void
delete(struct fixture *fixture, const char *key)
{
    fixture->hook.detail_delete(fixture->hook.context, slice_of(key, strlen(key)));
}

START_TEST(keys_count_for_what_is_before_the_first_delimiter)
{
    struct fixture fixture;

    fixture_open(&fixture);
    set(&fixture, "fr:1");
    get(&fixture, "fr:1", true);
    get(&fixture, "fr:2", false);
    get(&fixture, "plain", true);
    delete(&fixture, "fr:1:2:3");
    get(&fixture, "f:1", false);
    get(&fixture, "fra:1", false);
    get(&fixture, ":leading", true);
    ck_assert_str_eq(fixture_ask(&fixture, "stats detail dump"),
        "PREFIX fr get 2 hit 1 set 1 del 1\r\n"
        "PREFIX f get 1 hit 0 set 0 del 0\r\n"
        "PREFIX fra get 1 hit 0 set 0 del 0\r\n"
        "PREFIX  get 1 hit 1 set 0 del 0\r\n"
        "END\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(the_delimiter_is_an_option)
{
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.prefix_delimiter = '-';
    fixture.options.detail_enabled = true;
    fixture_start(&fixture);
    ck_assert(atomic_load(fixture.hook.detail_on));
    set(&fixture, "a:b-c");
    ck_assert_str_eq(fixture_ask(&fixture, "stats detail dump"),
        "PREFIX a:b get 0 hit 0 set 1 del 0\r\nEND\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(the_switch_and_the_counts_are_apart)
{
    struct fixture fixture;

    fixture_open(&fixture);
    ck_assert(!atomic_load(fixture.hook.detail_on));
    fixture_ask(&fixture, "stats detail on");
    ck_assert(atomic_load(fixture.hook.detail_on));
    set(&fixture, "a:b");
    fixture_ask(&fixture, "stats detail off");
    ck_assert(!atomic_load(fixture.hook.detail_on));
    ck_assert_str_eq(fixture_ask(&fixture, "stats detail dump"),
        "PREFIX a get 0 hit 0 set 1 del 0\r\nEND\r\n");
    fixture_ask(&fixture, "stats reset");
    ck_assert_str_eq(fixture_ask(&fixture, "stats detail dump"), "END\r\n");
    set(&fixture, "c:d");
    ck_assert_str_eq(fixture_ask(&fixture, "stats detail dump"),
        "PREFIX c get 0 hit 0 set 1 del 0\r\nEND\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(the_longest_prefix_and_bytes_of_any_kind_are_kept)
{
    struct fixture fixture;
    char key[KEY_LEN_MAX + 1], expected[512];

    fixture_open(&fixture);
    memset(key, 'x', KEY_LEN_MAX);
    key[KEY_LEN_MAX - 1] = ':';
    key[KEY_LEN_MAX] = '\0';
    set(&fixture, key);
    snprintf(expected, sizeof expected,
        "PREFIX %.249s get 0 hit 0 set 1 del 0\r\nEND\r\n", key);
    ck_assert_str_eq(fixture_ask(&fixture, "stats detail dump"), expected);
    fixture_ask(&fixture, "stats reset");
    set(&fixture, "\xff\x01:");
    ck_assert_str_eq(fixture_ask(&fixture, "stats detail dump"),
        "PREFIX \xff\x01 get 0 hit 0 set 1 del 0\r\nEND\r\n");
    fixture_close(&fixture);
}
END_TEST

/* A client that makes a prefix of every key fills a table of a known size and no more. */
START_TEST(prefixes_beyond_the_limit_are_dropped)
{
    struct fixture fixture;
    char key[32];
    size_t lines = 0;

    fixture_open(&fixture);
    for (unsigned i = 0; i < PREFIXES_MAX + 5000; i++) {
        snprintf(key, sizeof key, "p%u:x", i);
        set(&fixture, key);
    }
    set(&fixture, "p7:y");
    fixture_ask(&fixture, "stats detail dump");
    for (const char *at = fixture.reply; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    ck_assert_uint_eq(lines, PREFIXES_MAX + 1);
    ck_assert_ptr_nonnull(strstr(fixture.reply, "PREFIX p7 get 0 hit 0 set 2 del 0\r\n"));
    ck_assert_ptr_nonnull(strstr(fixture.reply, "PREFIX p65535 get"));
    ck_assert_ptr_null(strstr(fixture.reply, "PREFIX p65536 get"));
    ck_assert_uint_gt(fixture.fills, 20);
    fixture_close(&fixture);
}
END_TEST

/* The prefixes are gone, and so is what the dump's cursor counted. */
START_TEST(a_reset_in_the_middle_of_a_dump_ends_it)
{
    struct fixture fixture;
    struct admin_request reset = { .verb = ADMIN_STATS, .args = SLICE("reset") };
    struct admin_answer answer;
    struct stream *stream;
    char key[32];

    fixture_open(&fixture);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "p%u:x", i);
        set(&fixture, key);
    }
    stream = fixture_stream(&fixture, "stats detail dump");
    ck_assert_ptr_nonnull(stream);
    ck_assert(fixture_fill(&fixture, stream));
    fixture.out.used = 0;
    reset.thread = fixture.thread;
    fixture.hook.run(fixture.hook.context, &reset, &fixture.out, &answer);
    set(&fixture, "new:x");
    ck_assert(!fixture_fill(&fixture, stream));
    ck_assert_str_eq(fixture.reply + fixture.reply_len - 5, "END\r\n");
    stream->close(stream);
    fixture_close(&fixture);
}
END_TEST

#define THREADS 4
#define ROUNDS 20000

static void *
count_much(void *context)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        get(context, i % 2 == 0 ? "even:x" : "odd:x", true);
        set(context, "all:x");
    }
    return NULL;
}

START_TEST(no_count_is_lost_between_threads)
{
    struct fixture fixture;
    pthread_t threads[THREADS];

    fixture_open(&fixture);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_much, &fixture), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    fixture_ask(&fixture, "stats detail dump");
    ck_assert_ptr_nonnull(
        strstr(fixture.reply, "PREFIX all get 0 hit 0 set 80000 del 0"));
    ck_assert_ptr_nonnull(
        strstr(fixture.reply, "PREFIX even get 40000 hit 40000 set 0 del 0"));
    fixture_close(&fixture);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("prefix");
    TCase *tcase = tcase_create("prefix");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, keys_count_for_what_is_before_the_first_delimiter);
    tcase_add_test(tcase, the_delimiter_is_an_option);
    tcase_add_test(tcase, the_switch_and_the_counts_are_apart);
    tcase_add_test(tcase, the_longest_prefix_and_bytes_of_any_kind_are_kept);
    tcase_add_test(tcase, prefixes_beyond_the_limit_are_dropped);
    tcase_add_test(tcase, a_reset_in_the_middle_of_a_dump_ends_it);
    tcase_add_test(tcase, no_count_is_lost_between_threads);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
