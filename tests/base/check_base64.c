/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/base64: keys of any bytes survive being shown and read back, and text
 * that is not quite base64 is read, or refused, as clients of memcached know it.
 */
#include <check.h>
#include <stdlib.h>

#include "base/base64.h"

static const struct {
    const char *text, *bytes;
} GOOD[] = {
    { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm9v", "foo" }, { "Zm9vYg==", "foob" },
    { "+//+", "\xfb\xff\xfe" }, { "Z-m9v!", "foo" }, { " Z m\t9v", "foo" },
    { "Zm9vZm9=Zg==", "foofo" }, { "Zg==Zm9v", "f" }, { "Zm9=", "fo" },
    { "Z=9v", "d\x0f" },
};

START_TEST(text_is_read)
{
    struct slice text = slice_of(GOOD[_i].text, strlen(GOOD[_i].text));
    char *got = malloc(text.len / 4 * 3);
    size_t len = base64_decode(got, text);

    ck_assert_uint_eq(len, strlen(GOOD[_i].bytes));
    ck_assert_int_eq(memcmp(got, GOOD[_i].bytes, len), 0);
    free(got);
}
END_TEST

static const char *const BAD[] = { "", "Z", "Zg", "Zg=", "Zm9vZ", "====", "Z===", "!!!!",
    "Zm9v====", "***", "abcde", "Zg==Z" };

START_TEST(what_is_not_base64_is_refused)
{
    struct slice text = slice_of(BAD[_i], strlen(BAD[_i]));
    char *got = malloc(text.len / 4 * 3 + 1);

    ck_assert_uint_eq(base64_decode(got, text), 0);
    free(got);
}
END_TEST

START_TEST(any_bytes_come_back)
{
    char bytes[251], text[BASE64_TEXT(251)], got[252];
    uint32_t state = 1;

    for (size_t len = 1; len <= sizeof bytes; len++) {
        char *end;

        for (size_t i = 0; i < len; i++) {
            state = state * 1664525u + 1013904223u;
            bytes[i] = (char)(state >> 24);
        }
        end = base64_encode(text, slice_of(bytes, len));
        ck_assert_uint_eq((size_t)(end - text), BASE64_TEXT(len));
        ck_assert_uint_eq(base64_decode(got, slice_of(text, (size_t)(end - text))), len);
        ck_assert_int_eq(memcmp(got, bytes, len), 0);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base64");
    TCase *tc = tcase_create("base64");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(tc, text_is_read, 0, sizeof GOOD / sizeof GOOD[0]);
    tcase_add_loop_test(tc, what_is_not_base64_is_refused, 0, sizeof BAD / sizeof BAD[0]);
    tcase_add_test(tc, any_bytes_come_back);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
