/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_dump.c - protects the lists of keys: their form, byte by byte, because tools
 * parse and replay them; that every item is in them once; and that a dump nobody reads
 * neither blocks nor grows.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/escape.h"
#include "base/num.h"
#include "fixture.h"

/* Not by strstr(): a sanitizer measures all that follows at each call of it. */
static unsigned
count_lines(const char *text, const char *start)
{
    size_t len = strlen(start);
    unsigned n = 0;

    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        n += strncmp(at, start, len) == 0;
    }
    return n;
}

/* The number behind `name` in a metadump. */
static int64_t
number_in(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    ck_assert_ptr_nonnull(at);
    return strtoll(at + strlen(name), NULL, 10);
}

static void
set_raw(struct fixture *fixture, struct slice key, bool key_binary)
{
    struct store_write write = {
        .mode = STORE_SET,
        .key = key,
        .hash = store_hash(fixture->store, key),
        .value = SLICE("xyz"),
        .key_binary = key_binary,
    };
    struct store_written written;

    ck_assert_int_eq(store_write(fixture->store, fixture->thread, &write,
                         clock_seconds(&fixture->clock), &written),
        STORE_OK);
}

START_TEST(a_metadump_line_has_memcacheds_form)
{
    struct fixture fixture;
    char expected[256];
    const char *heard;
    int64_t la, cas;

    fixture_open(&fixture);
    fixture_set(&fixture, "ta:co", 4, 0, 2);
    heard = fixture_ask(&fixture, "lru_crawler metadump all");
    la = number_in(heard, " la=");
    cas = number_in(heard, " cas=");
    ck_assert_int_le(llabs(la - (int64_t)time(NULL)), 1);
    ck_assert_int_gt(cas, 0);
    snprintf(expected, sizeof expected,
        "OK\r\nkey=ta%%3Aco exp=-1 la=%" PRId64 " cas=%" PRId64
        " fetch=no cls=%u size=70 flags=4 \nEND\r\n",
        la, cas, store_class_of(fixture.store, 5, 4, 2));
    ck_assert_str_eq(heard, expected);
    ck_assert_str_eq(
        fixture_ask(&fixture, "lru_crawler mgdump hash"), "OK\r\nmg ta:co\r\nEN\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_dump_tells_expiry_use_and_age)
{
    struct fixture fixture;
    int64_t stored = (int64_t)time(NULL);
    const char *heard;

    fixture_open(&fixture);
    fixture_set(&fixture, "key", 0, 100, 2);
    fixture_wait(&fixture, 30);
    heard = fixture_ask(&fixture, "lru_crawler metadump all");
    /* The clock was moved by 30 seconds, the wall's was not. */
    ck_assert_int_le(llabs(number_in(heard, " exp=") - (stored + 100 - 30)), 2);
    ck_assert_int_le(llabs(number_in(heard, " la=") - (stored - 30)), 2);
    ck_assert_ptr_nonnull(strstr(heard, " fetch=no "));
    ck_assert(fixture_get(&fixture, "key"));
    heard = fixture_ask(&fixture, "lru_crawler metadump all");
    ck_assert_ptr_nonnull(strstr(heard, " fetch=yes "));
    ck_assert_int_le(llabs(number_in(heard, " la=") - stored), 2);
    fixture_wait(&fixture, 71);
    ck_assert_str_eq(
        fixture_ask(&fixture, "lru_crawler metadump all"), "OK\r\nEND\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(without_cas_the_unique_reads_as_zero)
{
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.cas = false;
    fixture_start(&fixture);
    fixture_set(&fixture, "key", 0, 0, 1);
    ck_assert_ptr_nonnull(
        strstr(fixture_ask(&fixture, "lru_crawler metadump all"), " cas=0 "));
    fixture_close(&fixture);
}
END_TEST

/* Given in base64 by a meta command, or as they are by the binary protocol. */
START_TEST(keys_of_any_bytes_are_dumped_safely)
{
    struct fixture fixture;

    fixture_open(&fixture);
    set_raw(&fixture, SLICE("a\r\nb\0\xff"), _i == 0);
    ck_assert_ptr_nonnull(strstr(fixture_ask(&fixture, "lru_crawler metadump all"),
        "\r\nkey=a%0D%0Ab%00%FF exp=-1 "));
    ck_assert_str_eq(fixture_ask(&fixture, "lru_crawler mgdump all"),
        "OK\r\nmg YQ0KYgD/ b\r\nEN\r\n");
    ck_assert_str_eq(fixture_ask(&fixture, "stats cachedump 1 0"), "END\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(the_longest_lines_fit)
{
    struct fixture fixture;
    char key[KEY_LEN_MAX + 1];
    unsigned n = 300;

    fixture_open(&fixture);
    memset(key, '\xfe', KEY_LEN_MAX);
    key[KEY_LEN_MAX] = '\0';
    for (unsigned i = 0; i < n; i++) {
        key[0] = (char)(0x80u + i % 64);
        key[1] = (char)(0x80u + i / 64);
        fixture_set(&fixture, key, UINT32_MAX, 2592000, 1);
    }
    ck_assert_uint_eq(
        count_lines(fixture_ask(&fixture, "lru_crawler metadump all"), "key="), n);
    fixture_close(&fixture);
}
END_TEST

/* Small, large and chained items of several classes. */
static void
fill(struct fixture *fixture, unsigned n)
{
    char key[32];

    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        fixture_set(fixture, key, 0, 0, i % 7 == 0 ? 700 : 10);
    }
}

/* Every item once, in pieces of at most an outbox. */
static void
check_all_dumped(struct fixture *fixture, const char *command, const char *start,
    unsigned n)
{
    const char *heard = fixture_ask(fixture, command);
    bool *seen = calloc(n, sizeof *seen);
    unsigned lines = 0;

    for (const char *at = heard; (at = strchr(at, '\n')) != NULL;) {
        at++;
        if (strncmp(at, start, strlen(start)) != 0)
            continue;
        unsigned long i = strtoul(at + strlen(start), NULL, 10);
        ck_assert_uint_lt(i, n);
        ck_assert(!seen[i]);
        seen[i] = true;
        lines++;
    }
    ck_assert_uint_eq(lines, n);
    ck_assert_uint_gt(fixture->fills, fixture->reply_len / OUTBOX_BYTES);
    free(seen);
}

START_TEST(every_item_is_dumped_once)
{
    struct fixture fixture;
    unsigned n = 20000;

    fixture_open(&fixture);
    fill(&fixture, n);
    check_all_dumped(&fixture, "lru_crawler metadump all", "key=key%3A", n);
    check_all_dumped(&fixture, "lru_crawler metadump hash", "key=key%3A", n);
    check_all_dumped(&fixture, "lru_crawler mgdump all", "mg key:", n);
    fixture_close(&fixture);
}
END_TEST

static size_t
count_dumped(struct fixture *fixture, const char *words)
{
    char command[256];
    const char *reply;

    snprintf(command, sizeof command, "lru_crawler metadump %s", words);
    reply = fixture_ask(fixture, command);
    ck_assert_int_eq(strncmp(reply, "OK\r\n", 4), 0);
    ck_assert_str_eq(reply + fixture->reply_len - 5, "END\r\n");
    return count_lines(reply, "key=");
}

START_TEST(a_prefix_and_a_limit_choose_keys)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fill(&fixture, 20000); /* key:0 ... */
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=key:"), 20000);
    ck_assert_uint_eq(count_dumped(&fixture, "hash prefix=key%3A12"), 1 + 10 + 100 + 1000);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=%6B%65%79%3a12345"), 1);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=key:123456"), 0);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=none"), 0);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=Key"), 0);
    ck_assert_uint_eq(count_dumped(&fixture, "all limit=1"), 1);
    ck_assert_uint_eq(count_dumped(&fixture, "all limit=19999"), 19999);
    ck_assert_uint_eq(count_dumped(&fixture, "all limit=18446744073709551615"), 20000);
    ck_assert_uint_eq(count_dumped(&fixture, "all limit=50 prefix=key:1"), 50);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=key:12 limit=5000"), 1111);
    ck_assert_uint_eq(count_dumped(&fixture, ", prefix=key:"), 0);
    ck_assert_str_eq(fixture_ask(&fixture, "lru_crawler mgdump all prefix=key:777 limit=1"),
        "OK\r\nmg key:777\r\nEN\r\n");
    fixture_close(&fixture);
}
END_TEST

/* Any byte can be written. */
START_TEST(a_prefix_of_any_bytes_can_be_written)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fixture_set(&fixture, "a b%c", 0, 0, 1);
    fixture_set(&fixture, "a b\x01\xff", 0, 0, 1);
    fixture_set(&fixture, "a", 0, 0, 1);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=a"), 3);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=a%20"), 2);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=a%20b%25"), 1);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=a%20b%01%ff"), 1);
    ck_assert_uint_eq(count_dumped(&fixture, "all prefix=a%20b%01%FF%00"), 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(large_items_are_dumped_with_their_size)
{
    struct fixture fixture;
    struct iovec iov[16];
    struct store_write write = { .mode = STORE_SET, .key = SLICE("big") };
    struct store_written written;
    uint64_t len = 300000;
    int n;

    fixture_open(&fixture);
    write.hash = store_hash(fixture.store, write.key);
    write.upload = store_upload_open(fixture.store, fixture.thread, len);
    ck_assert_ptr_nonnull(write.upload);
    while ((n = store_upload_room(write.upload, fixture.thread, iov, 16)) > 0) {
        for (int i = 0; i < n; i++) {
            memset(iov[i].iov_base, 'x', iov[i].iov_len);
            store_upload_filled(write.upload, iov[i].iov_len);
        }
    }
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(store_write(fixture.store, fixture.thread, &write,
                         clock_seconds(&fixture.clock), &written),
        STORE_OK);
    fixture_ask(&fixture, "lru_crawler metadump all");
    ck_assert_uint_eq(count_lines(fixture.reply, "key="), 1);
    ck_assert_int_eq(number_in(fixture.reply, " size="), 48 + 8 + 3 + 1 + 300000 + 2);
    ck_assert_int_eq(number_in(fixture.reply, " cls="), written.slab_class);
    fixture_close(&fixture);
}
END_TEST

START_TEST(classes_can_be_chosen)
{
    struct fixture fixture;
    char command[64];
    unsigned small, large, nlarge = 0;

    fixture_open(&fixture);
    fill(&fixture, 700);
    for (unsigned i = 0; i < 700; i += 7)
        nlarge++;
    small = store_class_of(fixture.store, 7, 0, 10);
    large = store_class_of(fixture.store, 7, 0, 700);
    ck_assert_uint_ne(small, large);
    snprintf(command, sizeof command, "lru_crawler metadump %u", large);
    ck_assert_uint_eq(count_lines(fixture_ask(&fixture, command), "key="), nlarge);
    snprintf(command, sizeof command, "lru_crawler metadump %u,%u", large, small);
    fixture_ask(&fixture, command);
    ck_assert_uint_gt(count_lines(fixture.reply, "key="), nlarge);
    snprintf(command, sizeof command, "stats cachedump %u 0", large);
    ck_assert_uint_eq(count_lines(fixture_ask(&fixture, command), "ITEM "), nlarge);
    ck_assert_str_eq(
        fixture_ask(&fixture, "lru_crawler metadump ,"), "OK\r\nEND\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_cachedump_line_has_memcacheds_form)
{
    struct fixture fixture;
    char command[64], expected[128];
    long long at;
    unsigned id;

    fixture_open(&fixture);
    fixture_set(&fixture, "some:key", 9, 0, 12);
    id = store_class_of(fixture.store, 8, 9, 12);
    snprintf(command, sizeof command, "stats cachedump %u 0", id);
    ck_assert_str_eq(
        fixture_ask(&fixture, command), "ITEM some:key [12 b; 0 s]\r\nEND\r\n");
    fixture_set(&fixture, "some:key", 9, 1000, 12);
    fixture_ask(&fixture, command);
    ck_assert_int_eq(sscanf(fixture.reply, "ITEM some:key [12 b; %lld s]", &at), 1);
    ck_assert_int_le(llabs(at - (long long)time(NULL) - 1000), 2);
    snprintf(expected, sizeof expected, "ITEM some:key [12 b; %lld s]\r\nEND\r\n", at);
    ck_assert_str_eq(fixture.reply, expected);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_cachedump_stops_at_its_limit_and_at_two_mebibytes)
{
    struct fixture fixture;
    char key[KEY_LEN_MAX + 1], command[64];
    unsigned id;

    fixture_open(&fixture);
    for (unsigned i = 0; i < 12000; i++) {
        snprintf(key, sizeof key, "%0240u", i);
        fixture_set(&fixture, key, 0, 0, 1);
    }
    id = store_class_of(fixture.store, 240, 0, 1);
    for (unsigned limit = 1; limit < 2000; limit = limit * 5 + 2) {
        snprintf(command, sizeof command, "stats cachedump %u %u", id, limit);
        ck_assert_uint_eq(count_lines(fixture_ask(&fixture, command), "ITEM "), limit);
        ck_assert_str_eq(fixture.reply + fixture.reply_len - 5, "END\r\n");
    }
    snprintf(command, sizeof command, "stats cachedump %u 0", id);
    fixture_ask(&fixture, command);
    ck_assert_uint_le(fixture.reply_len, 2u << 20);
    ck_assert_uint_gt(fixture.reply_len, (2u << 20) - 4096);
    ck_assert_str_eq(fixture.reply + fixture.reply_len - 5, "END\r\n");
    fixture_close(&fixture);
}
END_TEST

/* The store lives on between two fills: nothing is shown torn, nothing that stays is
 * missed, and other dumps are under way. */
START_TEST(dumps_run_side_by_side_while_items_come_and_go)
{
    struct fixture fixture;
    struct stream *slow;
    unsigned n = 20000;
    char key[32];
    char *heard = NULL;
    size_t heard_len = 0;
    bool more = true;

    fixture_open(&fixture);
    fill(&fixture, n);
    slow = fixture_stream(&fixture, "lru_crawler mgdump all");
    ck_assert_ptr_nonnull(slow);
    for (unsigned round = 0; more; round++) {
        heard = realloc(heard, heard_len + fixture.reply_len + 1);
        memcpy(heard + heard_len, fixture.reply, fixture.reply_len + 1);
        heard_len += fixture.reply_len;
        for (unsigned i = 0; i < 50; i++) {
            snprintf(key, sizeof key, "new:%u:%u", round, i);
            fixture_set(&fixture, key, 0, 0, 10);
        }
        if (round == 3)
            ck_assert_uint_ge(
                count_lines(fixture_ask(&fixture, "lru_crawler metadump all"), "key=key"),
                n);
        fixture.reply_len = 0;
        more = fixture_fill(&fixture, slow);
    }
    slow->close(slow);
    ck_assert_uint_eq(
        count_lines(heard, "mg key:") + count_lines(fixture.reply, "mg key:"), n);
    free(heard);
    fixture_close(&fixture);
}
END_TEST

/* A fill with no room does nothing and says that there is more. */
START_TEST(a_dump_without_room_waits)
{
    struct fixture fixture;
    struct stream *stream;

    fixture_open(&fixture);
    fill(&fixture, 5000);
    stream = fixture_stream(&fixture, "lru_crawler metadump all");
    ck_assert_ptr_nonnull(stream);
    fixture.out.used = OUTBOX_BYTES - 3;
    ck_assert(stream->fill(stream, &fixture.out));
    ck_assert_uint_eq(fixture.out.used, OUTBOX_BYTES - 3);
    stream->close(stream);
    fixture_close(&fixture);
}
END_TEST

START_TEST(percent_encoding_spares_letters_digits_and_four_signs)
{
    static const char PLAIN[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    char byte, text[4], expected[4];

    for (unsigned c = 0; c < 256; c++) {
        byte = (char)c;
        *escape_percent(text, slice_of(&byte, 1)) = '\0';
        if (c != 0 && strchr(PLAIN, (int)c) != NULL)
            snprintf(expected, sizeof expected, "%c", byte);
        else
            snprintf(expected, sizeof expected, "%%%02X", c);
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("dump");
    TCase *tcase = tcase_create("dump");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_metadump_line_has_memcacheds_form);
    tcase_add_test(tcase, a_prefix_and_a_limit_choose_keys);
    tcase_add_test(tcase, a_prefix_of_any_bytes_can_be_written);
    tcase_add_test(tcase, a_dump_tells_expiry_use_and_age);
    tcase_add_test(tcase, without_cas_the_unique_reads_as_zero);
    tcase_add_loop_test(tcase, keys_of_any_bytes_are_dumped_safely, 0, 2);
    tcase_add_test(tcase, the_longest_lines_fit);
    tcase_add_test(tcase, every_item_is_dumped_once);
    tcase_add_test(tcase, large_items_are_dumped_with_their_size);
    tcase_add_test(tcase, classes_can_be_chosen);
    tcase_add_test(tcase, a_cachedump_line_has_memcacheds_form);
    tcase_add_test(tcase, a_cachedump_stops_at_its_limit_and_at_two_mebibytes);
    tcase_add_test(tcase, dumps_run_side_by_side_while_items_come_and_go);
    tcase_add_test(tcase, a_dump_without_room_waits);
    tcase_add_test(tcase, percent_encoding_spares_letters_digits_and_four_signs);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
