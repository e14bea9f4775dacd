/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects proto/binary and proto/binary_reply: that every opcode enforces its own rule
 * and no other, that lengths are checked before they are used, in the order clients know,
 * and that replies are right to the byte.
 */
#include "../support/quick_check.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "proto/binary.h"
#include "proto/binary_reply.h"

/* ---- Headers --------------------------------------------------------------------- */

struct lengths {
    uint8_t opcode, extras;
    uint16_t key;
    uint32_t body;
};

static void
make_header(char *to, const struct lengths *lengths)
{
    uint16_t key = htobe16(lengths->key);
    uint32_t body = htobe32(lengths->body);

    memset(to, 0, BINARY_HEADER);
    to[0] = (char)BINARY_MAGIC;
    to[1] = (char)lengths->opcode;
    memcpy(to + 2, &key, 2);
    to[4] = (char)lengths->extras;
    memcpy(to + 8, &body, 4);
    memcpy(to + 12, "\xde\xad\xbe\xef", 4);
}

/* From memory that ends with the header, so that a sanitizer sees a byte too far. */
static struct packet
parse(const struct lengths *lengths)
{
    char *header = malloc(BINARY_HEADER);
    struct packet packet;

    make_header(header, lengths);
    ck_assert(binary_parse(header, &packet));
    free(header);
    return packet;
}

struct rule {
    uint8_t opcode;
    enum packet_kind kind;
    enum verb verb;
    bool quiet;
    uint8_t extras;
    int key;    /* 1: must be, 0: may be, -1: must not be */
    bool value; /* may be */
};

static const struct rule RULES[] = {
    { 0x00, PACKET_GET, VERB_GET, false, 0, 1, false },
    { 0x09, PACKET_GET, VERB_GET, true, 0, 1, false },
    { 0x0c, PACKET_GETK, VERB_GET, false, 0, 1, false },
    { 0x0d, PACKET_GETK, VERB_GET, true, 0, 1, false },
    { 0x1d, PACKET_GET, VERB_GAT, false, 4, 1, false },
    { 0x1e, PACKET_GET, VERB_GAT, true, 4, 1, false },
    { 0x23, PACKET_GETK, VERB_GAT, false, 4, 1, false },
    { 0x24, PACKET_GETK, VERB_GAT, true, 4, 1, false },
    { 0x1c, PACKET_TOUCH, VERB_TOUCH, false, 4, 1, false },
    { 0x01, PACKET_STORE, VERB_SET, false, 8, 1, true },
    { 0x02, PACKET_STORE, VERB_ADD, false, 8, 1, true },
    { 0x03, PACKET_STORE, VERB_REPLACE, false, 8, 1, true },
    { 0x11, PACKET_STORE, VERB_SET, true, 8, 1, true },
    { 0x12, PACKET_STORE, VERB_ADD, true, 8, 1, true },
    { 0x13, PACKET_STORE, VERB_REPLACE, true, 8, 1, true },
    { 0x0e, PACKET_STORE, VERB_APPEND, false, 0, 1, true },
    { 0x0f, PACKET_STORE, VERB_PREPEND, false, 0, 1, true },
    { 0x19, PACKET_STORE, VERB_APPEND, true, 0, 1, true },
    { 0x1a, PACKET_STORE, VERB_PREPEND, true, 0, 1, true },
    { 0x04, PACKET_DELETE, VERB_DELETE, false, 0, 1, false },
    { 0x14, PACKET_DELETE, VERB_DELETE, true, 0, 1, false },
    { 0x05, PACKET_ARITH, VERB_INCR, false, 20, 1, false },
    { 0x06, PACKET_ARITH, VERB_DECR, false, 20, 1, false },
    { 0x15, PACKET_ARITH, VERB_INCR, true, 20, 1, false },
    { 0x16, PACKET_ARITH, VERB_DECR, true, 20, 1, false },
    { 0x07, PACKET_QUIT, VERB_QUIT, false, 0, -1, false },
    { 0x17, PACKET_QUIT, VERB_QUIT, true, 0, -1, false },
    { 0x08, PACKET_FLUSH, VERB_FLUSH_ALL, false, 4, -1, false },
    { 0x18, PACKET_FLUSH, VERB_FLUSH_ALL, true, 4, -1, false },
    { 0x0a, PACKET_NOOP, VERB_MN, false, 0, -1, false },
    { 0x0b, PACKET_VERSION, VERB_VERSION, false, 0, -1, false },
    { 0x10, PACKET_STAT, VERB_STATS, false, 0, 0, false },
    { 0x20, PACKET_MECHANISMS, VERB_UNKNOWN, false, 0, -1, false },
    { 0x21, PACKET_LOGIN, VERB_UNKNOWN, false, 0, 1, true },
    { 0x22, PACKET_LOGIN_STEP, VERB_UNKNOWN, false, 0, 1, true },
};
#define RULE_COUNT (sizeof RULES / sizeof RULES[0])

static const struct rule *
find_rule(unsigned opcode)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (RULES[i].opcode == opcode)
            return &RULES[i];
    return NULL;
}

static bool
keeps(const struct rule *rule, unsigned extras, unsigned key, unsigned value)
{
    bool extras_right = extras == rule->extras ||
                        (rule->kind == PACKET_FLUSH && extras == 0);

    return extras_right && (rule->key <= 0 || key > 0) && (rule->key >= 0 || key == 0) &&
           (rule->value || value == 0);
}

/* All opcodes, extras of 0 to 255 bytes, keys around each limit, with and without a value. */
START_TEST(an_opcode_enforces_its_rule_and_no_other)
{
    static const uint16_t keys[] = { 0, 1, 249, 250 };
    unsigned opcode = (unsigned)_i;
    const struct rule *rule = find_rule(opcode);

    for (unsigned extras = 0; extras < 256; extras++)
        for (unsigned k = 0; k < sizeof keys / sizeof keys[0]; k++)
            for (unsigned value = 0; value < 2; value++) {
                struct lengths lengths = { (uint8_t)opcode, (uint8_t)extras, keys[k],
                    extras + keys[k] + value };
                struct packet packet = parse(&lengths);

                ck_assert_uint_eq(packet.head_len, BINARY_HEADER + extras + keys[k]);
                ck_assert_uint_eq(packet.value_len, value);
                ck_assert(!packet.lies);
                if (rule == NULL) {
                    ck_assert_int_eq(packet.kind, PACKET_UNKNOWN);
                    ck_assert_int_eq(packet.error, OUTCOME_UNKNOWN);
                    ck_assert(!packet.hang_up);
                    continue;
                }
                ck_assert_int_eq(packet.kind, rule->kind);
                ck_assert_int_eq(packet.verb, rule->verb);
                ck_assert_int_eq(packet.quiet, rule->quiet);
                ck_assert_int_eq(binary_is_quiet((uint8_t)opcode), rule->quiet);
                ck_assert_int_eq(binary_is_get((uint8_t)opcode), rule->verb == VERB_GET);
                ck_assert_int_eq(packet.error, keeps(rule, extras, keys[k], value)
                        ? OUTCOME_NONE
                        : OUTCOME_BAD_ARGUMENTS);
                ck_assert_int_eq(packet.hang_up, packet.error != OUTCOME_NONE);
            }
}
END_TEST

struct lie {
    struct lengths lengths;
    enum outcome_code error;
    bool hang_up, lies;
};

static const struct lie LIES[] = {
    /* The key, or key and extras, are longer than the body. */
    { { 0x00, 0, 3, 2 }, OUTCOME_UNKNOWN, true, true },
    { { 0x01, 8, 3, 8 }, OUTCOME_UNKNOWN, true, true },
    { { 0x01, 8, 3, 10 }, OUTCOME_UNKNOWN, true, true },
    { { 0x50, 255, 0, 254 }, OUTCOME_UNKNOWN, true, true },
    { { 0x00, 255, 65535, 0 }, OUTCOME_UNKNOWN, true, true },
    { { 0x00, 0, 65535, 65534 }, OUTCOME_UNKNOWN, true, true },
    /* The body is more than a gigabyte, whatever the opcode. */
    { { 0x01, 8, 1, 0x40000001 }, OUTCOME_BAD_ARGUMENTS, true, true },
    { { 0x0a, 0, 0, 0x7fffffff }, OUTCOME_BAD_ARGUMENTS, true, true },
    { { 0x0a, 0, 0, 0x80000000 }, OUTCOME_BAD_ARGUMENTS, true, true },
    { { 0x01, 8, 1, 0x80000008 }, OUTCOME_BAD_ARGUMENTS, true, true },
    { { 0x0a, 0, 0, 0xffffffff }, OUTCOME_BAD_ARGUMENTS, true, true },
    { { 0x50, 255, 65535, 0xffffffff }, OUTCOME_BAD_ARGUMENTS, true, true },
    { { 0x01, 8, 1, 0x40000000 }, OUTCOME_NONE, false, false },
    { { 0x0a, 0, 0, 0x40000000 }, OUTCOME_BAD_ARGUMENTS, true, false },
    { { 0x50, 0, 0, 0x40000000 }, OUTCOME_UNKNOWN, false, false },
    /* The key is too long, also of an opcode that there is not. */
    { { 0x00, 0, 251, 251 }, OUTCOME_BAD_ARGUMENTS, true, false },
    { { 0x09, 0, 251, 251 }, OUTCOME_BAD_ARGUMENTS, true, false },
    { { 0x50, 0, 251, 251 }, OUTCOME_BAD_ARGUMENTS, true, false },
    { { 0x01, 8, 65535, 65543 }, OUTCOME_BAD_ARGUMENTS, true, false },
    { { 0x50, 0, 250, 250 }, OUTCOME_UNKNOWN, false, false },
};

START_TEST(lengths_that_contradict_each_other_are_refused)
{
    const struct lie *lie = &LIES[_i];
    struct packet packet = parse(&lie->lengths);

    ck_assert_int_eq(packet.error, lie->error);
    ck_assert_int_eq(packet.hang_up, lie->hang_up);
    ck_assert_int_eq(packet.lies, lie->lies);
    ck_assert_uint_eq(packet.head_len,
        BINARY_HEADER + lie->lengths.extras + (unsigned)lie->lengths.key);
}
END_TEST

START_TEST(only_one_first_byte_begins_a_packet)
{
    char header[BINARY_HEADER];
    struct packet packet;

    for (unsigned magic = 0; magic < 256; magic++) {
        memset(header, 0, sizeof header);
        header[0] = (char)magic;
        ck_assert_int_eq(binary_parse(header, &packet), magic == 0x80);
    }
}
END_TEST

START_TEST(what_a_request_may_leave_open_is_ignored)
{
    static const char header[] = "\x80\x0a\0\0\0\x07\x12\x34\0\0\0\0\1\2\3\4"
                                 "\0\0\0\0\0\0\0\x63";
    struct packet packet;

    ck_assert(binary_parse(header, &packet));
    ck_assert_int_eq(packet.error, OUTCOME_NONE);
    ck_assert_uint_eq(packet.cas, 99);
    ck_assert_mem_eq(&packet.opaque, "\1\2\3\4", 4);
}
END_TEST

/* ---- Commands -------------------------------------------------------------------- */

static struct command
command_of(const char *packet_bytes, size_t len)
{
    static char copy[512];
    struct packet packet;
    struct command command;

    memcpy(copy, packet_bytes, len);
    ck_assert(binary_parse(copy, &packet));
    ck_assert_int_eq(packet.error, OUTCOME_NONE);
    ck_assert_uint_eq(packet.head_len + packet.value_len, len);
    binary_command(&packet, copy, &command);
    return command;
}

START_TEST(a_store_has_flags_expiry_key_and_condition)
{
    static const char set[] = "\x80\x01\0\3\x08\0\0\0\0\0\0\x10\0\0\0\0"
                              "\1\2\3\4\5\6\7\x08"
                              "\xde\xad\xca\xfe\xff\xff\xff\xff"
                              "k\0\n"
                              "value";
    struct command command = command_of(set, sizeof set - 1);

    ck_assert_int_eq(command.verb, VERB_SET);
    ck_assert_uint_eq(command.client_flags, 0xdeadcafe);
    ck_assert_int_eq(command.exptime, INT64_C(0xffffffff)); /* a date, not -1 */
    ck_assert_uint_eq(command.key.len, 3);
    ck_assert_mem_eq(command.key.data, "k\0\n", 3);
    ck_assert_uint_eq(command.value_len, 5);
    ck_assert(command.compare);
    ck_assert_uint_eq(command.cas, UINT64_C(0x0102030405060708));
}
END_TEST

START_TEST(counting_has_delta_initial_value_and_expiry)
{
    static const char incr[] = "\x80\x05\0\1\x14\0\0\0\0\0\0\x15\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\xff\0\0\0\0\0\0\1"
                               "\0\0\0\0\0\0\1\0"
                               "\xff\xff\xff\xfen";
    char never[sizeof incr];
    struct command command = command_of(incr, sizeof incr - 1);

    ck_assert_int_eq(command.verb, VERB_INCR);
    ck_assert_uint_eq(command.number, UINT64_C(0xff00000000000001));
    ck_assert_uint_eq(command.initial, 256);
    ck_assert_int_eq(command.exptime, INT64_C(0xfffffffe));
    ck_assert(command.create);
    ck_assert(!command.compare);
    memcpy(never, incr, sizeof never);
    never[43] = '\xff';
    command = command_of(never, sizeof never - 1);
    ck_assert(!command.create);
}
END_TEST

START_TEST(a_time_is_all_the_extras_of_the_others)
{
    static const char gat[] = "\x80\x1d\0\1\4\0\0\0\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0"
                              "\0\x27\x8d\1k";
    static const char flush[] = "\x80\x08\0\0\4\0\0\0\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0"
                                "\0\0\0\2";
    static const char bare[] = "\x80\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    ck_assert_int_eq(command_of(gat, sizeof gat - 1).exptime, 2592001);
    ck_assert_int_eq(command_of(flush, sizeof flush - 1).exptime, 2);
    ck_assert_int_eq(command_of(bare, sizeof bare - 1).exptime, 0);
}
END_TEST

/* The look-ahead sees no key that is not there, whatever a header says. */
START_TEST(a_peek_stays_inside_what_has_come)
{
    char all[BINARY_HEADER + 8 + 20];
    struct lengths lengths = { 0x01, 8, 10, 28 };
    size_t next;

    memset(all, 'k', sizeof all);
    make_header(all, &lengths);
    for (size_t len = 0; len <= sizeof all; len++) {
        char *piece = malloc(len + 1);
        memcpy(piece, all, len);
        struct slice key = binary_peek(piece, len, &next);
        ck_assert_uint_eq(next, len < BINARY_HEADER ? 0 : BINARY_HEADER + 28);
        ck_assert_uint_eq(key.len, len < BINARY_HEADER + 18 ? 0 : 10);
        free(piece);
    }
    lengths.body = 0x80000000;
    make_header(all, &lengths);
    ck_assert_uint_eq(binary_peek(all, sizeof all, &next).len, 0);
    ck_assert_uint_eq(next, 0);
    lengths = (struct lengths){ 0x50, 0, 4, 0x40000000 };
    make_header(all, &lengths);
    (void)binary_peek(all, sizeof all, &next);
    ck_assert_uint_eq(next, (size_t)BINARY_HEADER + 0x40000000);
    lengths = (struct lengths){ 0x00, 0, 251, 251 };
    make_header(all, &lengths);
    ck_assert_uint_eq(binary_peek(all, sizeof all, &next).len, 0);
}
END_TEST

/* ---- Replies --------------------------------------------------------------------- */

static char bytes[OUTBOX_BYTES];

static struct outbox
empty_outbox(void)
{
    return (struct outbox){ .bytes = bytes };
}

struct reply_row {
    enum verb verb;
    enum outcome_code code;
    uint16_t status;
    const char *text;
};

static const struct reply_row REPLIES[] = {
    { VERB_SET, OUTCOME_STORED, 0x00, "" },
    { VERB_DELETE, OUTCOME_DELETED, 0x00, "" },
    { VERB_FLUSH_ALL, OUTCOME_OK, 0x00, "" },
    { VERB_UNKNOWN, OUTCOME_LOGGED_IN, 0x00, "Authenticated" },
    { VERB_GET, OUTCOME_NOT_FOUND, 0x01, "Not found" },
    { VERB_REPLACE, OUTCOME_NOT_STORED, 0x01, "Not found" },
    { VERB_SET, OUTCOME_EXISTS, 0x02, "Data exists for key." },
    { VERB_ADD, OUTCOME_NOT_STORED, 0x02, "Data exists for key." },
    { VERB_SET, OUTCOME_TOO_LARGE, 0x03, "Too large." },
    { VERB_UNKNOWN, OUTCOME_BAD_ARGUMENTS, 0x04, "Invalid arguments" },
    { VERB_APPEND, OUTCOME_NOT_STORED, 0x05, "Not stored." },
    { VERB_PREPEND, OUTCOME_NOT_FOUND, 0x05, "Not stored." },
    { VERB_INCR, OUTCOME_NOT_A_NUMBER, 0x06,
        "Non-numeric server-side value for incr or decr" },
    { VERB_FLUSH_ALL, OUTCOME_FLUSH_DENIED, 0x20, "Auth failure." },
    { VERB_UNKNOWN, OUTCOME_UNAUTHENTICATED, 0x20, "Auth failure." },
    { VERB_UNKNOWN, OUTCOME_LOGIN_FAILED, 0x20, "Auth failure." },
    { VERB_UNKNOWN, OUTCOME_UNKNOWN, 0x81, "Unknown command" },
    { VERB_SET, OUTCOME_NO_MEMORY_STORING, 0x82, "Out of memory allocating item" },
    { VERB_INCR, OUTCOME_NO_MEMORY_CREATING, 0x82, "Out of memory allocating new item" },
    { VERB_INCR, OUTCOME_NO_MEMORY, 0x82, "Out of memory incrementing value" },
    { VERB_UNKNOWN, OUTCOME_NO_MEMORY_LOGIN, 0x82, "Out of memory" },
    { VERB_STATS, OUTCOME_NO_MEMORY_STATS, 0x82, "Out of memory generating stats" },
};

START_TEST(an_outcome_has_its_status_and_text)
{
    const struct reply_row *row = &REPLIES[_i];
    struct outbox out = empty_outbox();
    struct outcome outcome = { .code = row->code, .cas = 0x1122 };
    struct binary_tag tag = { .opcode = 0x50 };
    size_t len = strlen(row->text);
    char expected[128] = "\x81\x50";

    memcpy(&tag.opaque, "\xde\xad\xbe\xef", 4);
    expected[7] = (char)row->status;
    expected[11] = (char)len;
    memcpy(expected + 12, "\xde\xad\xbe\xef", 4);
    if (row->status == 0)
        memcpy(expected + 22, "\x11\x22", 2); /* an error has no unique */
    memcpy(expected + 24, row->text, len);
    binary_put_outcome(&out, tag, false, row->verb, &outcome);
    ck_assert_uint_eq(out.used, 24 + len);
    ck_assert_uint_le(out.used, BINARY_REPLY_ROOM);
    ck_assert_mem_eq(out.bytes, expected, out.used);

    /* Quiet opcodes keep silent about success and about nothing else. */
    out = empty_outbox();
    binary_put_outcome(&out, tag, true, row->verb, &outcome);
    ck_assert_uint_eq(out.used, row->status == 0 ? 0 : 24 + len);
}
END_TEST

START_TEST(a_number_is_eight_bytes_and_a_touch_shows_flags)
{
    struct outbox out = empty_outbox();
    struct outcome outcome = { .code = OUTCOME_NUMBER, .number = 0x0102030405060708,
        .cas = 7 };
    struct binary_tag tag = { .opcode = 0x05 };

    binary_put_outcome(&out, tag, false, VERB_INCR, &outcome);
    ck_assert_uint_eq(out.used, 32);
    ck_assert_mem_eq(out.bytes, "\x81\x05\0\0\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\7"
                                "\1\2\3\4\5\6\7\x08", 32);
    out = empty_outbox();
    outcome = (struct outcome){ .code = OUTCOME_TOUCHED, .client_flags = 0xcafe, .cas = 7 };
    tag.opcode = 0x1c;
    binary_put_outcome(&out, tag, false, VERB_TOUCH, &outcome);
    ck_assert_uint_eq(out.used, 28);
    ck_assert_mem_eq(out.bytes, "\x81\x1c\0\0\4\0\0\0\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\7"
                                "\0\0\xca\xfe", 28);
}
END_TEST

START_TEST(a_hit_announces_the_value_behind_it)
{
    struct binary_hit hit = { .tag = { .opcode = 0x0c }, .key = SLICE("rye"),
        .client_flags = 0xcafe, .value_len = 0x10000, .cas = 9 };
    char to[BINARY_HIT_ROOM];
    char *end = binary_put_hit(to, &hit);

    ck_assert_uint_eq((size_t)(end - to), 31);
    ck_assert_mem_eq(to, "\x81\x0c\0\3\4\0\0\0\0\1\0\7\0\0\0\0\0\0\0\0\0\0\0\x09"
                         "\0\0\xca\xferye", 31);
    hit.key = slice_of(NULL, 0);
    end = binary_put_hit(to, &hit);
    ck_assert_uint_eq((size_t)(end - to), 28);
    ck_assert_mem_eq(to + 8, "\0\1\0\4", 4);
}
END_TEST

START_TEST(a_report_is_fields_and_an_empty_one)
{
    struct outbox out = empty_outbox();

    binary_put_field(&out, 0, SLICE("pid"), 2);
    outbox_put(&out, "42", 2);
    binary_put_field(&out, 0, slice_of(NULL, 0), 0);
    ck_assert_uint_eq(out.used, 24 + 5 + 24);
    ck_assert_mem_eq(out.bytes,
        "\x81\x10\0\3\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0pid42"
        "\x81\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", out.used);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("binary");
    TCase *headers = tcase_create("headers");
    TCase *replies = tcase_create("replies");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(headers, an_opcode_enforces_its_rule_and_no_other, 0, 256);
    tcase_add_loop_test(headers, lengths_that_contradict_each_other_are_refused, 0,
        (int)(sizeof LIES / sizeof LIES[0]));
    tcase_add_test(headers, only_one_first_byte_begins_a_packet);
    tcase_add_test(headers, what_a_request_may_leave_open_is_ignored);
    tcase_add_test(headers, a_store_has_flags_expiry_key_and_condition);
    tcase_add_test(headers, counting_has_delta_initial_value_and_expiry);
    tcase_add_test(headers, a_time_is_all_the_extras_of_the_others);
    tcase_add_test(headers, a_peek_stays_inside_what_has_come);
    tcase_add_loop_test(replies, an_outcome_has_its_status_and_text, 0,
        (int)(sizeof REPLIES / sizeof REPLIES[0]));
    tcase_add_test(replies, a_number_is_eight_bytes_and_a_touch_shows_flags);
    tcase_add_test(replies, a_hit_announces_the_value_behind_it);
    tcase_add_test(replies, a_report_is_fields_and_an_empty_one);
    suite_add_tcase(suite, headers);
    suite_add_tcase(suite, replies);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
