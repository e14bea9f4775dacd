/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects proto/text_reply: clients compare these lines byte by byte.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/text_reply.h"

static char bytes[OUTBOX_BYTES];

static const char *
line_of(struct outcome outcome)
{
    struct outbox out = { .bytes = bytes };

    text_put_outcome(&out, &outcome);
    bytes[out.used] = '\0';
    return bytes;
}

static const char *
code_line(enum outcome_code code)
{
    return line_of((struct outcome){ .code = code });
}

START_TEST(lines_are_what_clients_compare_with)
{
    ck_assert_str_eq(code_line(OUTCOME_NONE), "");
    ck_assert_str_eq(code_line(OUTCOME_STORED), "STORED\r\n");
    ck_assert_str_eq(code_line(OUTCOME_NOT_STORED), "NOT_STORED\r\n");
    ck_assert_str_eq(code_line(OUTCOME_EXISTS), "EXISTS\r\n");
    ck_assert_str_eq(code_line(OUTCOME_NOT_FOUND), "NOT_FOUND\r\n");
    ck_assert_str_eq(code_line(OUTCOME_DELETED), "DELETED\r\n");
    ck_assert_str_eq(code_line(OUTCOME_TOUCHED), "TOUCHED\r\n");
    ck_assert_str_eq(code_line(OUTCOME_OK), "OK\r\n");
    ck_assert_str_eq(code_line(OUTCOME_MN), "MN\r\n");
    ck_assert_str_eq(code_line(OUTCOME_END), "END\r\n");
    ck_assert_str_eq(code_line(OUTCOME_UNKNOWN), "ERROR\r\n");
    ck_assert_str_eq(code_line(OUTCOME_BAD_LINE),
        "CLIENT_ERROR bad command line format\r\n");
    ck_assert_str_eq(code_line(OUTCOME_BAD_CHUNK), "CLIENT_ERROR bad data chunk\r\n");
    ck_assert_str_eq(code_line(OUTCOME_TOO_LARGE),
        "SERVER_ERROR object too large for cache\r\n");
    ck_assert_str_eq(code_line(OUTCOME_NO_MEMORY_STORING),
        "SERVER_ERROR out of memory storing object\r\n");
}
END_TEST

START_TEST(a_number_is_a_line)
{
    ck_assert_str_eq(line_of((struct outcome){ .code = OUTCOME_NUMBER }), "0\r\n");
    ck_assert_str_eq(
        line_of((struct outcome){ .code = OUTCOME_NUMBER, .number = UINT64_MAX }),
        "18446744073709551615\r\n");
}
END_TEST

START_TEST(the_version_is_a_line)
{
    struct outbox out = { .bytes = bytes };

    text_put_version(&out, "1.6.45-x");
    ck_assert_uint_eq(out.used, 18);
    ck_assert_int_eq(memcmp(bytes, "VERSION 1.6.45-x\r\n", 18), 0);
}
END_TEST

static const uint32_t NUMBERS[] = { 0, 1, 9, 10, 11, 99, 100, 8192, UINT32_MAX };
#define NNUMBERS (sizeof NUMBERS / sizeof NUMBERS[0])

/* Every pair of flags and length, with and without a CAS unique, as printf writes it. */
START_TEST(a_value_line_is_as_printf_writes_it)
{
    char key[251], expected[400], got[TEXT_VALUE_ROOM + 1];

    memset(key, 'k', 250);
    key[250] = '\0';
    for (size_t i = 0; i < NNUMBERS * NNUMBERS; i++) {
        struct text_value value = {
            .key = slice_of(key, i % 2 == 0 ? 250 : 1),
            .client_flags = NUMBERS[i / NNUMBERS],
            .value_len = NUMBERS[i % NNUMBERS],
            .cas = UINT64_MAX,
        };
        char *end = text_put_value(got, &value);

        *end = '\0';
        snprintf(expected, sizeof expected, "VALUE %.*s %" PRIu32 " %" PRIu32 "\r\n",
            (int)value.key.len, key, value.client_flags, value.value_len);
        ck_assert_str_eq(got, expected);

        value.with_cas = true;
        end = text_put_value(got, &value);
        ck_assert_uint_le((size_t)(end - got), TEXT_VALUE_ROOM);
        *end = '\0';
        snprintf(expected, sizeof expected,
            "VALUE %.*s %" PRIu32 " %" PRIu32 " %" PRIu64 "\r\n", (int)value.key.len, key,
            value.client_flags, value.value_len, value.cas);
        ck_assert_str_eq(got, expected);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("reply");
    TCase *tc = tcase_create("reply");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, lines_are_what_clients_compare_with);
    tcase_add_test(tc, a_number_is_a_line);
    tcase_add_test(tc, the_version_is_a_line);
    tcase_add_test(tc, a_value_line_is_as_printf_writes_it);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
