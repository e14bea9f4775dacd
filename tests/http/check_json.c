/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_json.c - protects whoever reads /stats.json from keys that are made to be
 * misunderstood: any bytes go in, valid JSON in valid UTF-8 comes out.
 */
#include <check.h>
#include <event2/buffer.h>
#include <stdlib.h>

#include "http/json.h"

static char shown[8192];

static const char *
take(struct evbuffer *buffer)
{
    size_t len = evbuffer_get_length(buffer);

    ck_assert_uint_lt(len, sizeof shown);
    evbuffer_remove(buffer, shown, len);
    shown[len] = '\0';
    evbuffer_free(buffer);
    return shown;
}

static const char *
key_of(const char *bytes, size_t len)
{
    struct json json = { .out = evbuffer_new() };

    json_open(&json, NULL, '{');
    json_key(&json, slice_of(bytes, len));
    json_close(&json, '}');
    ck_assert(!json.failed);
    return take(json.out);
}
#define KEY(literal) key_of((literal), sizeof(literal) - 1)

static const char *
text_of(const char *bytes, size_t len)
{
    struct json json = { .out = evbuffer_new() };

    json_text(&json, slice_of(NULL, 0), slice_of(bytes, len));
    ck_assert(!json.failed);
    return take(json.out);
}
#define TEXT(literal) text_of((literal), sizeof(literal) - 1)

START_TEST(members_and_elements_are_separated_at_every_level)
{
    struct json json = { .out = evbuffer_new() };

    json_open(&json, NULL, '{');
    json_number(&json, "a", "%d", 1);
    json_open(&json, "b", '[');
    json_open(&json, NULL, '{');
    json_close(&json, '}');
    json_open(&json, NULL, '{');
    json_bool(&json, "c", true);
    json_bool(&json, "d", false);
    json_close(&json, '}');
    json_close(&json, ']');
    json_text(&json, SLICE("e"), SLICE("f"));
    json_close(&json, '}');
    ck_assert_str_eq(
        take(json.out), "{\"a\":1,\"b\":[{},{\"c\":true,\"d\":false}],\"e\":\"f\"}");
}
END_TEST

START_TEST(text_is_escaped)
{
    ck_assert_str_eq(TEXT("a\"b\\c"), "\"a\\u0022b\\u005cc\"");
    ck_assert_str_eq(TEXT("\n\r\t\x01\x7f"), "\"\\u000a\\u000d\\u0009\\u0001\\u007f\"");
    ck_assert_str_eq(
        TEXT("</script>&<!--"), "\"\\u003c/script\\u003e\\u0026\\u003c!--\"");
    ck_assert_str_eq(TEXT("a\0b"), "\"a\\u0000b\"");
    ck_assert_str_eq(TEXT(""), "\"\"");
    ck_assert_str_eq(TEXT("Gr\xc3\xbc\xc3\x9f"
                          "e \xe2\x82\xac \xf0\x9f\x8d\xaf"),
        "\"Gr\xc3\xbc\xc3\x9f"
        "e \xe2\x82\xac \xf0\x9f\x8d\xaf\"");
}
END_TEST

/* Cut off, overlong, surrogates, too large, continuation without a beginning. */
START_TEST(what_is_not_utf8_is_replaced)
{
    ck_assert_str_eq(TEXT("a\xc3"), "\"a\\ufffd\"");
    ck_assert_str_eq(TEXT("\xc3("), "\"\\ufffd(\"");
    ck_assert_str_eq(TEXT("\xc0\xaf"), "\"\\ufffd\\ufffd\"");
    ck_assert_str_eq(TEXT("\xe0\x80\xaf"), "\"\\ufffd\\ufffd\\ufffd\"");
    ck_assert_str_eq(TEXT("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
    ck_assert_str_eq(TEXT("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    ck_assert_str_eq(TEXT("\xf5\x80\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    ck_assert_str_eq(TEXT("\xff\xfe"), "\"\\ufffd\\ufffd\"");
    ck_assert_str_eq(TEXT("\x80"), "\"\\ufffd\"");
}
END_TEST

START_TEST(a_readable_key_is_shown_as_it_is)
{
    ck_assert_str_eq(KEY("user:17"), "{\"key\":\"user:17\"}");
    ck_assert_str_eq(KEY("a b%"), "{\"key\":\"a b%\"}");
    ck_assert_str_eq(KEY("sch\xc3\xb6n"), "{\"key\":\"sch\xc3\xb6n\"}");
    ck_assert_str_eq(KEY("<b>"), "{\"key\":\"\\u003cb\\u003e\"}");
    ck_assert_str_eq(KEY(""), "{\"key\":\"\"}");
}
END_TEST

START_TEST(another_key_is_encoded_without_loss)
{
    ck_assert_str_eq(KEY("a\nb"), "{\"key\":\"a%0Ab\",\"encoded\":true}");
    ck_assert_str_eq(KEY("a%\xff"), "{\"key\":\"a%25%FF\",\"encoded\":true}");
    ck_assert_str_eq(KEY("\0"), "{\"key\":\"%00\",\"encoded\":true}");
    ck_assert_str_eq(KEY("\xc2\x85"), "{\"key\":\"%C2%85\",\"encoded\":true}");
}
END_TEST

/* Each byte alone, and the longest key of each byte. */
START_TEST(any_byte_makes_plain_ascii_or_utf8)
{
    char key[250];

    memset(key, _i, sizeof key);
    for (size_t len = 1; len <= sizeof key; len += 249) {
        const char *text = key_of(key, len);
        ck_assert_str_eq(text + strlen(text) - 1, "}");
        for (const char *at = text; *at != '\0'; at++)
            ck_assert(*at >= ' ' && *at < 0x7f && *at != '<' && *at != '>' && *at != '&');
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("json");
    TCase *tc = tcase_create("json");

    tcase_add_test(tc, members_and_elements_are_separated_at_every_level);
    tcase_add_test(tc, text_is_escaped);
    tcase_add_test(tc, what_is_not_utf8_is_replaced);
    tcase_add_test(tc, a_readable_key_is_shown_as_it_is);
    tcase_add_test(tc, another_key_is_encoded_without_loss);
    tcase_add_loop_test(tc, any_byte_makes_plain_ascii_or_utf8, 0, 256);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
