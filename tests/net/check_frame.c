/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects net/frame: which datagrams are requests, how answers are numbered, and that
 * what may be sent for a request never exceeds its multiple, however it is cut up.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "net/frame.h"

struct row {
    const char *bytes;
    size_t len;
    bool good;
    unsigned id;
};

static const struct row ROWS[] = {
    { "\x12\x34\0\0\0\1\0\0x", 9, true, 0x1234 },
    { "\xff\xff\0\0\0\1\0\0x", 9, true, 0xffff },
    { "\0\0\0\0\0\1\0\0x", 9, true, 0 },
    { "\0\7\xff\xff\0\1\xff\xffx", 9, true, 7 }, /* sequence and rest do not matter */
    { "\0\0\0\0\0\1\0\0", 8, false, 0 },         /* nothing is asked */
    { "\0\0\0\0\0\1\0", 7, false, 0 },
    { "\0\0\0\0\0\0\0\0x", 9, false, 0 },
    { "\0\0\0\0\0\2\0\0x", 9, false, 0 },
    { "\0\0\0\0\1\1\0\0x", 9, false, 0 },
    { "\0\0\0\0\1\0\0\0x", 9, false, 0 },
    { "", 0, false, 0 },
};

START_TEST(a_request_is_one_datagram_with_something_in_it)
{
    const struct row *row = &ROWS[_i];
    uint16_t id = 99;

    /* A copy of its size, so that a sanitizer sees what is read behind it. */
    char *copy = malloc(row->len + 1);
    memcpy(copy, row->bytes, row->len);
    copy = realloc(copy, row->len == 0 ? 1 : row->len);
    ck_assert_int_eq(frame_parse(copy, row->len, &id), row->good);
    ck_assert_uint_eq(id, row->good ? row->id : 99);
    free(copy);
}
END_TEST

START_TEST(a_header_holds_what_was_put_in)
{
    char header[FRAME_HEADER];

    frame_write(header, 0x1234, 0x0102, 0x0304);
    ck_assert_mem_eq(header, "\x12\x34\1\2\3\4\0\0", FRAME_HEADER);
}
END_TEST

START_TEST(a_message_is_cut_into_full_datagrams)
{
    ck_assert_uint_eq(frame_count(1), 1);
    ck_assert_uint_eq(frame_count(FRAME_PAYLOAD), 1);
    ck_assert_uint_eq(frame_count(FRAME_PAYLOAD + 1), 2);
    ck_assert_uint_eq(frame_count(3025), 3);
    ck_assert_uint_eq(frame_count((size_t)UINT16_MAX * FRAME_PAYLOAD), UINT16_MAX);
}
END_TEST

/* Any row of messages that are allowed one by one stays within the multiple as a whole. */
START_TEST(what_is_sent_never_exceeds_the_multiple)
{
    const uint32_t factor = (uint32_t)_i + 1;

    for (size_t request = FRAME_HEADER + 1; request < 65508; request = request * 5 / 4 + 1) {
        for (size_t message = 1; message < 300000; message = message * 3 + 1) {
            struct frame_allowance allowance;
            uint64_t bytes = 0, wire = 0;
            frame_allow(&allowance, request, factor, FRAME_OVERHEAD_IP4);
            while (frame_fits(&allowance, message)) {
                unsigned count = frame_count(message);
                frame_spend(&allowance, message);
                bytes += message + (uint64_t)count * FRAME_HEADER;
                wire += message + (uint64_t)count * (FRAME_HEADER + FRAME_OVERHEAD_IP4);
            }
            ck_assert_uint_le(bytes, (uint64_t)factor * request);
            ck_assert_uint_le(wire, (uint64_t)factor * (request + FRAME_OVERHEAD_IP4));
        }
    }
}
END_TEST

/* The bound is no tighter than it says. */
START_TEST(what_fits_exactly_is_sent)
{
    struct frame_allowance allowance;

    frame_allow(&allowance, 1000, 1, FRAME_OVERHEAD_IP4);
    ck_assert(frame_fits(&allowance, 1000 - FRAME_HEADER));
    ck_assert(!frame_fits(&allowance, 1000 - FRAME_HEADER + 1));
    frame_spend(&allowance, 1000 - FRAME_HEADER);
    ck_assert(!frame_fits(&allowance, 1));
}
END_TEST

START_TEST(without_a_factor_everything_fits)
{
    struct frame_allowance allowance;

    frame_allow(&allowance, 9, 0, FRAME_OVERHEAD_IP6);
    for (int i = 0; i < 1000; i++) {
        ck_assert(frame_fits(&allowance, 1 << 30));
        frame_spend(&allowance, 1 << 30);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("frame");
    TCase *tc = tcase_create("frame");

    tcase_add_loop_test(tc, a_request_is_one_datagram_with_something_in_it, 0,
        sizeof ROWS / sizeof *ROWS);
    tcase_add_test(tc, a_header_holds_what_was_put_in);
    tcase_add_test(tc, a_message_is_cut_into_full_datagrams);
    tcase_add_loop_test(tc, what_is_sent_never_exceeds_the_multiple, 0, 5);
    tcase_add_test(tc, what_fits_exactly_is_sent);
    tcase_add_test(tc, without_a_factor_everything_fits);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
