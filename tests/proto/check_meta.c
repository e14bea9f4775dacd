/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects proto/meta and proto/meta_reply: what each flag of each command parses to,
 * which one of several errors a line is answered with, what is swallowed, that flags come
 * back in the order of the request, and that an ms that has to wait is rewritten without
 * loss.
 */
#include "../support/quick_check.h"
#include <stdio.h>
#include <stdlib.h>

#include "proto/meta.h"
#include "proto/meta_reply.h"
#include "proto/text.h"

#define K50  "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250 K50 K50 K50 K50 K50
#define O31  "ooooooooooooooooooooooooooooooo"
#define F16  " k s t f h u v q l c x I b D1 J1 P"

/* Parses a copy of the line that ends where its memory ends. */
static char *
parse(const char *text, struct command *command, struct meta_command *meta)
{
    size_t len = strlen(text);
    char *line = malloc(len + 1);

    memcpy(line, text, len);
    line[len] = '\n';
    text_parse(line, len + 1, command);
    ck_assert_int_eq(command->error, OUTCOME_NONE);
    meta_parse(command, meta);
    return line;
}

/* ---- Errors ------------------------------------------------------------------------ */

static const struct {
    const char *line;
    enum outcome_code error;
    bool swallow;
} WRONG[] = {
    { "mg \r", OUTCOME_BAD_LINE, false },
    { "ms \r", OUTCOME_BAD_LINE, false },
    { "ms k\r", OUTCOME_BAD_LINE, false },
    { "ms k x", OUTCOME_BAD_LINE, false },
    { "ms k S4", OUTCOME_BAD_LINE, false },
    { "ms k -1", OUTCOME_BAD_LINE, false },
    { "ms k +1", OUTCOME_BAD_LINE, false },
    { "ms k 2147483646", OUTCOME_BAD_LINE, false },
    { "ms k 000000000001", OUTCOME_BAD_LINE, false },
    { "ms k 2 !", OUTCOME_BAD_LINE, true },
    { "mg k !", OUTCOME_BAD_LINE, false },
    { "mg k @", OUTCOME_BAD_LINE, false },
    { "mg k {", OUTCOME_BAD_LINE, false },
    { "mg k \xc3", OUTCOME_BAD_LINE, false },
    { "ma k -", OUTCOME_BAD_LINE, false },
    { "ma k y -", OUTCOME_BAD_LINE, false },
    { "me k !", OUTCOME_BAD_LINE, false },
    { "me Zm9 b", OUTCOME_BAD_LINE, false },
    { "me " K250 "k", OUTCOME_BAD_LINE, false },
    { "me " K250 "k b", OUTCOME_BAD_LINE, false },
    { "mg " K250 "k", OUTCOME_BAD_LINE, false },
    { "mg " K250 "k b", OUTCOME_BAD_LINE, false },
    { "md " K250 "k T", OUTCOME_BAD_LINE, false },
    { "ms " K250 "k 2 y", OUTCOME_BAD_LINE, true },
    { "ma " K250 "k", OUTCOME_BAD_ARITH_FLAG, false },
    { "mg k y", OUTCOME_INVALID_FLAG, false },
    { "mg k 7", OUTCOME_INVALID_FLAG, false },
    { "mg k _", OUTCOME_INVALID_FLAG, false },
    { "mg k S", OUTCOME_INVALID_FLAG, false },
    { "mg k i", OUTCOME_INVALID_FLAG, false },
    { "mg k noreply", OUTCOME_INVALID_FLAG, false },
    { "ms k 2 noreply", OUTCOME_INVALID_FLAG, true },
    { "md k n", OUTCOME_INVALID_FLAG, false },
    { "mg k v v", OUTCOME_DUPLICATE_FLAG, false },
    { "mg k O1 O2", OUTCOME_DUPLICATE_FLAG, false },
    { "mg k Pa Pb", OUTCOME_DUPLICATE_FLAG, false },
    { "mg k y v v", OUTCOME_INVALID_FLAG, false },
    { "mg k v v y", OUTCOME_DUPLICATE_FLAG, false },
    { "mg k T", OUTCOME_BAD_TOKEN, false },
    { "mg k T T", OUTCOME_DUPLICATE_FLAG, false },
    { "mg k T y", OUTCOME_INVALID_FLAG, false },
    { "mg k T+5", OUTCOME_BAD_TOKEN, false },
    { "mg k T2147483648", OUTCOME_BAD_TOKEN, false },
    { "mg k T-2147483649", OUTCOME_BAD_TOKEN, false },
    { "mg k N1x", OUTCOME_BAD_TOKEN, false },
    { "mg k R", OUTCOME_BAD_TOKEN, false },
    { "mg k C-1", OUTCOME_BAD_TOKEN, false },
    { "mg k C18446744073709551616", OUTCOME_BAD_TOKEN, false },
    { "mg k E00000000000000000000001", OUTCOME_BAD_TOKEN, false },
    { "mg k D", OUTCOME_BAD_META_DELTA, false },
    { "mg k Jx", OUTCOME_BAD_META_INITIAL, false },
    { "mg k F", OUTCOME_BAD_LINE, false },
    { "mg k F4294967296", OUTCOME_BAD_LINE, false },
    { "mg k T F", OUTCOME_BAD_TOKEN, false },
    { "mg k F T", OUTCOME_BAD_TOKEN, false },
    { "mg k T C D", OUTCOME_BAD_META_DELTA, false },
    { "mg k D T", OUTCOME_BAD_TOKEN, false },
    { "mg !! b", OUTCOME_BAD_BASE64, false },
    { "mg !! b T", OUTCOME_BAD_TOKEN, false },
    { "mg !! T b", OUTCOME_BAD_BASE64, false },
    { "ms !! 2 b", OUTCOME_BAD_BASE64, true },
    { "mg k O" O31 "o", OUTCOME_LONG_OPAQUE, false },
    { "mg k O" O31 "o T", OUTCOME_BAD_TOKEN, false },
    { "ms k 2 O" O31 "o M", OUTCOME_LONG_OPAQUE, true },
    { "ma k O" O31 "o", OUTCOME_LONG_OPAQUE, false },
    { "ms k 2 M", OUTCOME_BAD_SET_MODE, true },
    { "ms k 2 Me", OUTCOME_BAD_SET_MODE, true },
    { "ms k 2 MI", OUTCOME_BAD_SET_MODE, true },
    { "ma k M", OUTCOME_BAD_ARITH_MODE, false },
    { "ma k Md", OUTCOME_BAD_ARITH_MODE, false },
    { "ma k MS", OUTCOME_BAD_ARITH_MODE, false },
    { "ma k y", OUTCOME_BAD_ARITH_FLAG, false },
    { "ma k v v", OUTCOME_BAD_ARITH_FLAG, false },
    { "ma k D-1", OUTCOME_BAD_ARITH_FLAG, false },
    { "ma k J", OUTCOME_BAD_ARITH_FLAG, false },
    { "ma k F", OUTCOME_BAD_ARITH_FLAG, false },
    { "ma !! b", OUTCOME_BAD_ARITH_FLAG, false },
    { "mg k" F16 " O L y", OUTCOME_TOO_MANY_FLAGS, false },
    { "mg k" F16 " O L M", OUTCOME_TOO_MANY_FLAGS, false },
    { "mg k" F16 " O L ! M", OUTCOME_BAD_LINE, false },
    { "ma k" F16 " O L M", OUTCOME_BAD_ARITH_FLAG, false },
    { "ms k 2" F16 " O L", OUTCOME_TOO_MANY_FLAGS, true },
    { "mg k k k k k k k k k k k k k k k k k k k k", OUTCOME_TOO_MANY_FLAGS, false },
};

START_TEST(a_wrong_line_gets_the_weightiest_error)
{
    struct command command;
    struct meta_command meta;
    char *line = parse(WRONG[_i].line, &command, &meta);

    ck_assert_msg(command.error == WRONG[_i].error, "%s: %d", WRONG[_i].line,
        (int)command.error);
    ck_assert_int_eq(command.swallow, WRONG[_i].swallow);
    if (command.swallow)
        ck_assert_uint_eq(command.value_len, 2);
    free(line);
}
END_TEST

static const char *const RIGHT[] = { "mg k", "mg k v", "mg   k   v  ",
    "mg k vjunk kxyz q9", "mg " K250, "mg Zm9v b", "ms k 0", "ms k 02",
    "ms k 2147483645 T-2147483648",
    "ms k 2 T-0 N2147483647 R-1", "ms k 1 F4294967295 C18446744073709551615 E0",
    "ms k 1 MSET", "ms k 1 ME", "ms k 1 MReplace", "ms k 1 MA", "ms k 1 MP", "mg k Mzz",
    "md k M", "ma k M+", "ma k M-", "ma k MI", "ma k MDECR", "mg k O", "mg k O" O31,
    "mg k P L", "mg k P/eu/1 Lzone", "mg k D0000000000000000000001 J0",
    "mg k k s t f h u v q O1 P1 L1 D1 J1 M1 F1 x I C1", "ms Zm9v 1" F16 " O",
    "me k", "me k x y z q 5", "me Zm9v x b",
    "me k x x x x x x x x x x x x x x x x x x x x",
    "mg \x01\x7f\xc3\xa9\t k" };

START_TEST(a_right_line_has_no_error)
{
    struct command command;
    struct meta_command meta;
    char *line = parse(RIGHT[_i], &command, &meta);

    ck_assert_msg(command.error == OUTCOME_NONE, "%s: %d", RIGHT[_i], (int)command.error);
    ck_assert(!command.swallow);
    ck_assert_uint_ge(command.key.len, 1);
    ck_assert_ptr_eq(command.meta, &meta);
    free(line);
}
END_TEST

START_TEST(every_flag_has_its_place)
{
    static const char ORDER[] = "bcfhklqstuvxI";
    struct command command;
    struct meta_command meta;
    char *line = parse("mg Zm9v b c f h k l q s t u v x I", &command, &meta);

    ck_assert(slice_equal(command.key, SLICE("foo")));
    ck_assert_uint_eq(meta.nletters, sizeof ORDER - 1);
    ck_assert_int_eq(memcmp(meta.letters, ORDER, sizeof ORDER - 1), 0);
    for (char letter = 'A'; letter <= 'z'; letter++)
        ck_assert_int_eq(meta_has(&meta, letter), strchr(ORDER, letter) != NULL);
    free(line);
    line = parse("ms k 77 C1 E2 F3 T-4 N5 D6 J7 R8 MA Oo9 Lx", &command, &meta);
    ck_assert_uint_eq(meta.cas_expected, 1);
    ck_assert_uint_eq(meta.cas_new, 2);
    ck_assert_uint_eq(meta.client_flags, 3);
    ck_assert_uint_eq(command.client_flags, 3);
    ck_assert_int_eq(meta.exptime, -4);
    ck_assert_int_eq(command.exptime, -4);
    ck_assert_int_eq(meta.vivify_exptime, 5);
    ck_assert_uint_eq(meta.delta, 6);
    ck_assert_uint_eq(meta.initial, 7);
    ck_assert_int_eq(meta.recache, 8);
    ck_assert_int_eq(meta.mode, 'A');
    ck_assert(slice_equal(meta.opaque, SLICE("o9")));
    ck_assert_uint_eq(command.value_len, 77);
    free(line);
}
END_TEST

/* The short way for mg lines must not differ from the long one. */
START_TEST(an_mg_parses_alike_both_ways)
{
    static const char *const LINES[] = { "mg k v", "mg k", "mg k y", "mg k T",
        "mg k O" O31 "o", "mg Zm9v b k", "mg !! b", "mg k k k", "mg k !", "mg k Mx q",
        "mg k" F16 " O L M" };
    struct command command;
    struct meta_command meta, other;
    char *line = parse(LINES[_i], &command, &meta);
    const char *stop = text_word_end(line + 3, line + strlen(LINES[_i]));
    struct slice key = slice_of(line + 3, (size_t)(stop - line - 3));
    enum outcome_code error =
        meta_parse_get(stop, line + strlen(LINES[_i]), &key, &other);

    ck_assert_int_eq(error, command.error);
    if (error == OUTCOME_NONE) {
        ck_assert(slice_equal(key, command.key));
        ck_assert_uint_eq(meta.flags, other.flags);
    }
    free(line);
}
END_TEST

START_TEST(rewriting_a_store_keeps_what_matters)
{
    static const char *const LINES[] = { "ms k 5", "ms  k   0005   q   kxx",
        "ms Z-m9v! 5 b k", "ms " K250 " 5 C18446744073709551615 E18446744073709551615 "
        "F4294967295 T-2147483648 N-2147483648 R-2147483648 D18446744073709551615 "
        "J18446744073709551615 MSxxxxx O" O31 " Lxxxxxxxxxxx Pyyyyyyyyyyyyy I q k c s",
        "ms k 5 O T0" };
    struct command command, again;
    struct meta_command meta, other;
    char *line = parse(LINES[_i], &command, &meta);
    char *room = malloc(META_STORE_ROOM), *copy;
    size_t len = meta_rewrite_store(&command, room);

    ck_assert_uint_le(len, strlen(LINES[_i]) + 2);
    room[len - 2] = '\0';
    copy = parse(room, &again, &other);
    ck_assert_int_eq(again.error, OUTCOME_NONE);
    ck_assert(slice_equal(command.key, again.key));
    ck_assert_uint_eq(meta.flags, other.flags);
    ck_assert_uint_eq(command.value_len, again.value_len);
    ck_assert_uint_eq(command.client_flags, again.client_flags);
    ck_assert_int_eq(command.exptime, again.exptime);
    ck_assert_uint_eq(meta.nletters, other.nletters);
    ck_assert_int_eq(memcmp(meta.letters, other.letters, meta.nletters), 0);
    if (meta_has(&meta, 'O'))
        ck_assert(slice_equal(meta.opaque, other.opaque));
    if (meta_has(&meta, 'C'))
        ck_assert_uint_eq(meta.cas_expected, other.cas_expected);
    if (meta_has(&meta, 'N'))
        ck_assert_int_eq(meta.vivify_exptime, other.vivify_exptime);
    if (meta_has(&meta, 'M'))
        ck_assert_int_eq(meta.mode, other.mode);
    free(copy);
    free(room);
    free(line);
}
END_TEST

/* Any bytes: no read beyond the line (a sanitizer sees that), always an answer. */
START_TEST(no_line_confuses_the_parser)
{
    static const char BYTES[] =
        "mgsdae  kbvqTNRCEFDJOPLMIxst0123456789-=!\r\x01\xff\x7fZ";
    uint32_t state = 12345;

    for (unsigned i = 0; i < 200000; i++) {
        char text[64] = { 'm', "gsdae"[i % 5], ' ' };
        struct command command;
        struct meta_command meta;
        size_t len;
        char *line;

        state = state * 1664525u + 1013904223u;
        len = 3 + (state >> 8) % 60;
        for (size_t j = 3; j < len; j++) {
            state = state * 1664525u + 1013904223u;
            text[j] = BYTES[(state >> 10) % (sizeof BYTES - 1)];
        }
        text[len] = '\0';
        line = parse(text, &command, &meta);
        if (command.error == OUTCOME_NONE) {
            ck_assert_uint_ge(command.key.len, 1);
            ck_assert_uint_le(command.key.len, COMMAND_KEY_MAX);
            ck_assert_uint_le(meta.nletters, META_FLAGS_MAX);
        }
        free(line);
    }
}
END_TEST

/* ---- Replies ----------------------------------------------------------------------- */

static const struct meta_shown SHOWN = { .code = "VA", .with_value = true, .value_len = 3,
    .size = 3, .client_flags = 5, .now = 100, .last_access = 93, .exptime = 160,
    .exptime_touched = 130, .exptime_created = 150, .cas = 42 };

static void
expect_line(const char *line, enum meta_echo echo, const struct meta_shown *shown,
    const char *expected)
{
    struct command command;
    struct meta_command meta;
    char *text = parse(line, &command, &meta), *room = malloc(META_LINE_ROOM + 1);

    ck_assert_int_eq(command.error, OUTCOME_NONE);
    *meta_put_line(room, &meta, command.key, echo, shown) = '\0';
    ck_assert_str_eq(room, expected);
    free(room);
    free(text);
}

START_TEST(flags_come_back_in_the_order_of_the_request)
{
    struct meta_shown shown = SHOWN;

    expect_line("mg k v", META_ECHO_GET, &shown, "VA 3\r\n");
    expect_line("mg k f s t k v O7 h l c", META_ECHO_GET, &shown,
        "VA 3 f5 s3 t60 kk O7 h0 l7 c42\r\n");
    expect_line("mg k c l h O7 v k t s f", META_ECHO_GET, &shown,
        "VA 3 c42 l7 h0 O7 kk t60 s3 f5\r\n");
    expect_line("mg k q u I x Mx P L O", META_ECHO_GET, &shown, "VA 3 O\r\n");
    shown.with_value = false;
    shown.code = "HD";
    shown.sent = shown.stale = shown.won = true;
    expect_line("mg k t", META_ECHO_GET, &shown, "HD t60 Z X W\r\n");
}
END_TEST

START_TEST(each_kind_of_reply_shows_its_own_flags)
{
    struct meta_shown shown = SHOWN;
    const char *all = "mg k c f h k l s t v O1";

    shown.code = "EN";
    shown.with_value = false;
    expect_line(all, META_ECHO_KEY, &shown, "EN kk O1\r\n");
    shown.code = "HD";
    expect_line(all, META_ECHO_STORE, &shown, "HD c42 kk s3 O1\r\n");
    expect_line(all, META_ECHO_ARITH, &shown, "HD c42 kk t60 O1\r\n");
}
END_TEST

START_TEST(times_act_from_left_to_right)
{
    struct meta_shown shown = SHOWN;

    shown.code = "HD";
    shown.with_value = false;
    expect_line("mg k t T30", META_ECHO_GET, &shown, "HD t60\r\n");
    shown.touched = true;
    expect_line("mg k t T30", META_ECHO_GET, &shown, "HD t60\r\n");
    expect_line("mg k T30 t", META_ECHO_GET, &shown, "HD t30\r\n");
    expect_line("mg k N50 T30 t", META_ECHO_GET, &shown, "HD t30\r\n");
    shown.created = true;
    shown.exptime = 0;
    expect_line("mg k t N50", META_ECHO_GET, &shown, "HD t-1\r\n");
    expect_line("mg k N50 t T30", META_ECHO_GET, &shown, "HD t50\r\n");
    expect_line("ma k T30 N50 t", META_ECHO_ARITH, &shown, "HD t50\r\n");
    shown.exptime_touched = 1;
    expect_line("mg k T-1 t", META_ECHO_GET, &shown, "HD t0\r\n");
}
END_TEST

START_TEST(binary_keys_are_shown_in_base64)
{
    struct meta_shown shown = SHOWN;

    shown.key_binary = true;
    expect_line("mg Zm9v b k v", META_ECHO_GET, &shown, "VA 3 kZm9v b\r\n");
    expect_line("mg foo k v s", META_ECHO_GET, &shown, "VA 3 kZm9v b s3\r\n");
    shown.key_binary = false;
    expect_line("mg Zm9v b k v", META_ECHO_GET, &shown, "VA 3 kfoo\r\n");
}
END_TEST

START_TEST(the_longest_line_has_room)
{
    struct meta_shown shown = { .code = "VA", .with_value = true, .key_binary = true,
        .sent = true, .stale = true, .won = true, .value_len = UINT32_MAX,
        .size = UINT32_MAX, .client_flags = UINT32_MAX, .now = UINT32_MAX,
        .exptime = UINT32_MAX, .cas = UINT64_MAX };
    struct command command;
    struct meta_command meta;
    char *line = parse("mg " K250 " O" O31 " k c s t f h l v", &command, &meta);
    char *room = malloc(META_LINE_ROOM), *end;

    end = meta_put_line(room, &meta, command.key, META_ECHO_GET, &shown);
    ck_assert_uint_le((size_t)(end - room), META_LINE_ROOM);
    free(room);
    free(line);
}
END_TEST

START_TEST(the_debug_line_shows_an_item)
{
    struct meta_debug debug = { .fetched = true, .slab_class = 3, .now = 100,
        .exptime = 0, .last_access = 90, .cas = 7, .size = 65 };
    char room[META_LINE_ROOM];

    *meta_put_debug(room, SLICE("foo"), &debug) = '\0';
    ck_assert_str_eq(room, "ME foo exp=-1 la=10 cas=7 fetch=yes cls=3 size=65\r\n");
    debug.key_binary = true;
    debug.fetched = false;
    debug.exptime = 101;
    *meta_put_debug(room, SLICE("foo"), &debug) = '\0';
    ck_assert_str_eq(room, "ME Zm9v exp=1 la=10 cas=7 fetch=no cls=3 size=65\r\n");
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

int
main(void)
{
    Suite *suite = suite_create("proto/meta");
    TCase *tc = tcase_create("meta");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(tc, a_wrong_line_gets_the_weightiest_error, 0, COUNT(WRONG));
    tcase_add_loop_test(tc, a_right_line_has_no_error, 0, COUNT(RIGHT));
    tcase_add_test(tc, every_flag_has_its_place);
    tcase_add_loop_test(tc, an_mg_parses_alike_both_ways, 0, 11);
    tcase_add_loop_test(tc, rewriting_a_store_keeps_what_matters, 0, 5);
    tcase_add_test(tc, no_line_confuses_the_parser);
    tcase_add_test(tc, flags_come_back_in_the_order_of_the_request);
    tcase_add_test(tc, each_kind_of_reply_shows_its_own_flags);
    tcase_add_test(tc, times_act_from_left_to_right);
    tcase_add_test(tc, binary_keys_are_shown_in_base64);
    tcase_add_test(tc, the_longest_line_has_room);
    tcase_add_test(tc, the_debug_line_shows_an_item);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
