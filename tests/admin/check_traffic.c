/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects admin/traffic: `stats latency` and `stats hotkeys`, in lines that every parser of
 * statistics reads, whatever bytes a key has.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fixture;

static void
setup(void)
{
    fixture_open(&fixture);
}

static void
teardown(void)
{
    fixture_close(&fixture);
}

/* One command of the class took about so many nanoseconds. */
static void
took(enum latency_class id, uint64_t ns)
{
    struct latency *latency = calloc(1, sizeof *latency);

    ck_assert_ptr_nonnull(latency);
    latency_add(latency, id, ns, 1);
    latency_sum(latency, &fixture.latency);
    free(latency);
}

static void
expect(const char *name, const char *value)
{
    const char *got = fixture_stat(&fixture, name);

    ck_assert_msg(got != NULL, "%s is missing", name);
    ck_assert_str_eq(got, value);
}

START_TEST(latency_shows_each_class_in_microseconds)
{
    for (unsigned i = 0; i < 99; i++)
        took(LATENCY_GET, 1000);
    took(LATENCY_GET, 1000000);
    fixture_ask(&fixture, "stats latency");
    expect("latency_sample", "16");
    expect("get:samples", "100");
    expect("get:mean_us", "10.99");
    expect("get:p50_us", "1.02");
    expect("get:p99_us", "1.02");
    expect("get:p999_us", "1048.58");
    expect("get:max_us", "1048.58");
    for (const char *const *id = (const char *const[]){ "set", "delete", "arith", "touch",
             "other", NULL }; *id != NULL; id++) {
        char name[32];

        snprintf(name, sizeof name, "%s:samples", *id);
        expect(name, "0");
    }
    ck_assert_ptr_null(fixture_stat(&fixture, "set:p50_us"));
}
END_TEST

START_TEST(latency_is_reset)
{
    took(LATENCY_SET, 500);
    ck_assert_str_eq(fixture_ask(&fixture, "stats reset"), "RESET\r\n");
    took(LATENCY_SET, 900);
    took(LATENCY_SET, 900);
    fixture_ask(&fixture, "stats latency");
    expect("set:samples", "2");
    expect("set:mean_us", "0.90");
}
END_TEST

static void
rank(enum hotkeys_by by, const char *key, size_t len, uint64_t count)
{
    struct hot_key *to = &fixture.hotkeys.keys[by][fixture.hotkeys.n[by]++];

    memcpy(to->key, key, len);
    to->len = (uint8_t)len;
    to->count = count;
    to->error = 1;
}

START_TEST(hot_keys_are_ranked_and_written_as_one_word)
{
    rank(HOTKEYS_BY_REQUESTS, "user:1", 6, 5120);
    rank(HOTKEYS_BY_REQUESTS, "a\0 \r\n\xff", 6, 256);
    rank(HOTKEYS_BY_BYTES, "page", 4, 9000000);
    fixture.hotkeys.samples = 21;
    fixture.hotkeys.seconds = 75;
    fixture_ask(&fixture, "stats hotkeys");
    expect("hotkeys_sample", "256");
    expect("seconds", "75");
    expect("samples", "21");
    expect("requests:1:key", "user%3A1");
    expect("requests:1:count", "5120");
    expect("requests:1:error", "1");
    expect("requests:2:key", "a%00%20%0D%0A%FF");
    expect("bytes:1:key", "page");
    expect("bytes:1:count", "9000000");
    ck_assert_ptr_null(fixture_stat(&fixture, "bytes:2:key"));
    ck_assert_str_eq(fixture.reply + fixture.reply_len - 5, "END\r\n");
}
END_TEST

START_TEST(the_longest_keys_make_a_whole_report)
{
    char key[HOTKEYS_KEY_MAX];

    memset(key, 0xff, sizeof key);
    for (unsigned i = 0; i < HOTKEYS_TOP; i++) {
        rank(HOTKEYS_BY_REQUESTS, key, sizeof key, UINT64_MAX);
        rank(HOTKEYS_BY_BYTES, key, sizeof key, UINT64_MAX);
    }
    fixture_ask(&fixture, "stats hotkeys");
    expect("requests:20:count", "18446744073709551615");
    expect("bytes:20:count", "18446744073709551615");
}
END_TEST

START_TEST(no_hot_keys_are_an_empty_report)
{
    ck_assert_str_eq(fixture_ask(&fixture, "stats hotkeys"),
        "STAT hotkeys_sample 256\r\nSTAT seconds 0\r\nSTAT samples 0\r\nEND\r\n");
}
END_TEST

START_TEST(keys_are_not_shown_where_dumps_are_forbidden)
{
    fixture.options.dump_allowed = false;
    ck_assert_str_eq(fixture_ask(&fixture, "stats hotkeys"),
        "CLIENT_ERROR stats hotkeys not allowed\r\n");
    fixture_ask(&fixture, "stats latency");
    expect("get:samples", "0");
}
END_TEST

START_TEST(no_memory_is_said)
{
    fixture.hotkeys_fail = true;
    for (unsigned i = 0; i < 50; i++)
        ck_assert_str_eq(fixture_ask(&fixture, "stats hotkeys"),
            "SERVER_ERROR out of memory writing stats\r\n");
}
END_TEST

START_TEST(a_reset_forgets_hot_keys)
{
    fixture_ask(&fixture, "stats reset");
    ck_assert_uint_eq(fixture.hotkeys_resets, 1);
}
END_TEST

/* Each holds some memory, so there is an end to how many may be unread. */
START_TEST(reports_under_way_are_bounded)
{
    struct stream *streams[64];
    char key[HOTKEYS_KEY_MAX];
    unsigned n = 0;

    memset(key, ' ', sizeof key);
    for (unsigned i = 0; i < HOTKEYS_TOP; i++)
        rank(HOTKEYS_BY_REQUESTS, key, sizeof key, i);
    while (n < 64 && (streams[n] = fixture_stream(&fixture, "stats hotkeys")) != NULL)
        n++;
    ck_assert_uint_eq(n, 8);
    ck_assert_str_eq(fixture.reply, "SERVER_ERROR out of memory writing stats\r\n");
    while (n > 0) {
        n--;
        streams[n]->close(streams[n]);
    }
    fixture_ask(&fixture, "stats hotkeys");
    expect("requests:20:count", "19");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("traffic");
    TCase *tc = tcase_create("traffic");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, latency_shows_each_class_in_microseconds);
    tcase_add_test(tc, latency_is_reset);
    tcase_add_test(tc, hot_keys_are_ranked_and_written_as_one_word);
    tcase_add_test(tc, the_longest_keys_make_a_whole_report);
    tcase_add_test(tc, no_hot_keys_are_an_empty_report);
    tcase_add_test(tc, keys_are_not_shown_where_dumps_are_forbidden);
    tcase_add_test(tc, no_memory_is_said);
    tcase_add_test(tc, a_reset_forgets_hot_keys);
    tcase_add_test(tc, reports_under_way_are_bounded);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
