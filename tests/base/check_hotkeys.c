/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/hotkeys: a key with its share of the traffic is always found, however many
 * others there are, in memory that does not grow; and what is shown is of the last minutes.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hotkeys.h"

#define NOW 100u

static struct hotkeys *hotkeys;
static struct hotkeys_top top;

static void
setup(void)
{
    hotkeys = hotkeys_create(1, NOW);
    ck_assert_ptr_nonnull(hotkeys);
}

static void
teardown(void)
{
    hotkeys_destroy(hotkeys);
}

/* Any function of the key will do for a hash. */
static void
add(struct hotkeys *to, const char *key, uint64_t bytes)
{
    uint64_t hash = 5381;

    for (const char *at = key; *at != '\0'; at++)
        hash = hash * 33 + (unsigned char)*at;
    hotkeys_add(to, slice_of(key, strlen(key)), hash, bytes);
}

static void
look(struct hotkeys *other, uint32_t now)
{
    struct hotkeys_merge *merge = hotkeys_merge_begin(other == NULL ? 1 : 2);

    ck_assert_ptr_nonnull(merge);
    hotkeys_merge_add(merge, hotkeys, now);
    if (other != NULL)
        hotkeys_merge_add(merge, other, now);
    hotkeys_merge_end(merge, &top);
}

static const struct hot_key *
find(enum hotkeys_by by, const char *key)
{
    for (unsigned i = 0; i < top.n[by]; i++)
        if (top.keys[by][i].len == strlen(key) &&
            memcmp(top.keys[by][i].key, key, strlen(key)) == 0)
            return &top.keys[by][i];
    return NULL;
}

START_TEST(few_keys_are_counted_exactly_and_ranked)
{
    for (unsigned i = 0; i < 30; i++)
        add(hotkeys, "often", 1);
    for (unsigned i = 0; i < 10; i++)
        add(hotkeys, "seldom", 1000);
    add(hotkeys, "empty", 0);
    look(NULL, NOW + 3);
    ck_assert_uint_eq(top.mean, 1);
    ck_assert_uint_eq(top.seconds, 3);
    ck_assert_uint_eq(top.samples, 41);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_REQUESTS], 3);
    ck_assert_uint_eq(find(HOTKEYS_BY_REQUESTS, "often")->count, 30);
    ck_assert_uint_eq(find(HOTKEYS_BY_REQUESTS, "often")->error, 0);
    ck_assert_ptr_eq(find(HOTKEYS_BY_REQUESTS, "often"), &top.keys[0][0]);
    /* Nothing was moved for "empty". */
    ck_assert_uint_eq(top.n[HOTKEYS_BY_BYTES], 2);
    ck_assert_uint_eq(find(HOTKEYS_BY_BYTES, "seldom")->count, 10000);
    ck_assert_ptr_eq(find(HOTKEYS_BY_BYTES, "seldom"), &top.keys[1][0]);
}
END_TEST

/* The promise of Space-Saving: more than 1/64 of all, among any number of others; and the
 * true count lies between count - error and count. */
START_TEST(a_key_with_its_share_is_found_among_a_hundred_thousand)
{
    const struct hot_key *hot;
    char key[32];

    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "cold-%u", i);
        add(hotkeys, key, 1);
        if (i % 50 == 0)
            add(hotkeys, "hot", 1);
    }
    look(NULL, NOW);
    hot = find(HOTKEYS_BY_REQUESTS, "hot");
    ck_assert_ptr_nonnull(hot);
    ck_assert_uint_ge(hot->count, 2000);
    ck_assert_uint_le(hot->count - hot->error, 2000);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_REQUESTS], HOTKEYS_TOP);
    for (unsigned i = 1; i < HOTKEYS_TOP; i++)
        ck_assert_uint_ge(top.keys[0][i - 1].count, top.keys[0][i].count);
}
END_TEST

START_TEST(estimates_are_what_was_seen_times_the_mean)
{
    struct hotkeys *sampled = hotkeys_create(256, NOW);

    ck_assert_ptr_nonnull(sampled);
    add(sampled, "k", 10);
    add(sampled, "k", 10);
    look(sampled, NOW);
    ck_assert_uint_eq(find(HOTKEYS_BY_REQUESTS, "k")->count, 512);
    ck_assert_uint_eq(find(HOTKEYS_BY_BYTES, "k")->count, 5120);
    hotkeys_destroy(sampled);
}
END_TEST

START_TEST(workers_are_merged)
{
    struct hotkeys *other = hotkeys_create(1, NOW);

    ck_assert_ptr_nonnull(other);
    add(hotkeys, "both", 1);
    add(hotkeys, "one", 1);
    add(other, "both", 1);
    add(other, "two", 1);
    look(other, NOW);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_REQUESTS], 3);
    ck_assert_uint_eq(find(HOTKEYS_BY_REQUESTS, "both")->count, 2);
    ck_assert_uint_eq(find(HOTKEYS_BY_REQUESTS, "two")->count, 1);
    ck_assert_uint_eq(top.samples, 4);
    hotkeys_destroy(other);
}
END_TEST

START_TEST(keys_of_any_bytes_and_the_longest_are_kept_apart)
{
    char a[HOTKEYS_KEY_MAX], b[HOTKEYS_KEY_MAX];

    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    b[sizeof b - 1] = 1;
    /* The same hash: only the bytes tell them apart. */
    hotkeys_add(hotkeys, slice_of(a, sizeof a), 1, 1);
    hotkeys_add(hotkeys, slice_of(b, sizeof b), 1, 1);
    hotkeys_add(hotkeys, slice_of(a, sizeof a - 1), 1, 1);
    look(NULL, NOW);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_REQUESTS], 3);
}
END_TEST

START_TEST(what_was_hot_is_forgotten_after_two_windows)
{
    add(hotkeys, "old", 1);
    hotkeys_tick(hotkeys, NOW + HOTKEYS_WINDOW - 1);
    look(NULL, NOW + HOTKEYS_WINDOW - 1);
    ck_assert_ptr_nonnull(find(HOTKEYS_BY_REQUESTS, "old"));
    hotkeys_tick(hotkeys, NOW + HOTKEYS_WINDOW);
    add(hotkeys, "new", 1);
    add(hotkeys, "old", 1);
    look(NULL, NOW + HOTKEYS_WINDOW);
    ck_assert_uint_eq(find(HOTKEYS_BY_REQUESTS, "old")->count, 2);
    hotkeys_tick(hotkeys, NOW + 2 * HOTKEYS_WINDOW);
    look(NULL, NOW + 2 * HOTKEYS_WINDOW);
    ck_assert_uint_eq(find(HOTKEYS_BY_REQUESTS, "old")->count, 1);
    ck_assert_uint_eq(top.seconds, HOTKEYS_WINDOW);
    hotkeys_tick(hotkeys, NOW + 3 * HOTKEYS_WINDOW);
    look(NULL, NOW + 3 * HOTKEYS_WINDOW);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_REQUESTS], 0);
}
END_TEST

START_TEST(a_reset_forgets_all)
{
    add(hotkeys, "k", 1);
    hotkeys_reset(hotkeys, NOW + 5);
    look(NULL, NOW + 6);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_REQUESTS], 0);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_BYTES], 0);
    ck_assert_uint_eq(top.samples, 0);
    ck_assert_uint_eq(top.seconds, 1);
}
END_TEST

START_TEST(no_tables_make_an_empty_ranking)
{
    struct hotkeys_merge *merge = hotkeys_merge_begin(0);

    ck_assert_ptr_nonnull(merge);
    hotkeys_merge_end(merge, &top);
    ck_assert_uint_eq(top.mean, 0);
    ck_assert_uint_eq(top.n[HOTKEYS_BY_REQUESTS], 0);
}
END_TEST

static _Atomic bool stop;

static void *
work(void *context)
{
    (void)context;
    while (!atomic_load(&stop)) {
        add(hotkeys, "a", 3);
        add(hotkeys, "b", 5);
        hotkeys_tick(hotkeys, NOW);
    }
    return NULL;
}

/* Under ThreadSanitizer this is the test; whatever is seen must be whole. */
START_TEST(readers_and_the_owner_do_not_disturb_each_other)
{
    pthread_t thread;

    atomic_store(&stop, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, work, NULL), 0);
    for (unsigned i = 0; i < 300; i++) {
        look(NULL, NOW);
        ck_assert_uint_le(top.n[HOTKEYS_BY_REQUESTS], 2);
        for (unsigned k = 0; k < top.n[HOTKEYS_BY_BYTES]; k++) {
            const struct hot_key *key = &top.keys[HOTKEYS_BY_BYTES][k];

            ck_assert_uint_eq(key->len, 1);
            ck_assert_uint_eq(key->count % (key->key[0] == 'a' ? 3 : 5), 0);
        }
        if (i % 50 == 0)
            hotkeys_reset(hotkeys, NOW);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("hotkeys");
    TCase *tc = tcase_create("hotkeys");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, few_keys_are_counted_exactly_and_ranked);
    tcase_add_test(tc, a_key_with_its_share_is_found_among_a_hundred_thousand);
    tcase_add_test(tc, estimates_are_what_was_seen_times_the_mean);
    tcase_add_test(tc, workers_are_merged);
    tcase_add_test(tc, keys_of_any_bytes_and_the_longest_are_kept_apart);
    tcase_add_test(tc, what_was_hot_is_forgotten_after_two_windows);
    tcase_add_test(tc, a_reset_forgets_all);
    tcase_add_test(tc, no_tables_make_an_empty_ranking);
    tcase_add_test(tc, readers_and_the_owner_do_not_disturb_each_other);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
