/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects what larderctl reads and writes: addresses, passwords, reports, dumps and
 * events are understood or refused, never half; what is shown is harmless to a terminal,
 * valid JSON, and can be taken back to the very bytes.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/classes.h"
#include "ctl/dump.h"
#include "ctl/json.h"
#include "ctl/login.h"
#include "ctl/record.h"
#include "ctl/report.h"
#include "ctl/server.h"
#include "ctl/show.h"
#include "ctl/watch.h"

static struct slice
text(const char *string)
{
    return slice_of(string, strlen(string));
}

/* What a function that writes to a FILE wrote. */
static char *written;
static size_t written_len;

static FILE *
paper(void)
{
    return open_memstream(&written, &written_len);
}

static void
expect(FILE *to, const char *what)
{
    fclose(to);
    ck_assert_str_eq(written, what);
    ck_assert_uint_eq(written_len, strlen(what));
    free(written);
}

static const struct {
    const char *text, *host, *port, *path, *shown;
} SERVERS[] = {
    { "a", "a", "11211", "", "a:11211" },
    { "a.b:1", "a.b", "1", "", "a.b:1" },
    { "127.0.0.1:65535", "127.0.0.1", "65535", "", "127.0.0.1:65535" },
    { "::1", "::1", "11211", "", "[::1]:11211" },
    { "[::1]", "::1", "11211", "", "[::1]:11211" },
    { "[::1]:007", "::1", "7", "", "[::1]:7" },
    { "unix:/a b", "", "11211", "/a b", "unix:/a b" },
    { "/run/x", "", "11211", "/run/x", "unix:/run/x" },
    { "./x", "", "11211", "./x", "unix:./x" },
    { "unix:x", "", "11211", "x", "unix:x" },
};

START_TEST(addresses_are_read)
{
    struct server server;
    const char *why = NULL;

    ck_assert(server_parse(text(SERVERS[_i].text), &server, &why));
    ck_assert_str_eq(server.host, SERVERS[_i].host);
    ck_assert_str_eq(server.port, SERVERS[_i].port);
    ck_assert_str_eq(server.path, SERVERS[_i].path);
    ck_assert_str_eq(server.text, SERVERS[_i].shown);
}
END_TEST

static const char *const NO_SERVERS[] = { "", ":1", "a:", "a:0", "a:65536", "a:1x", "a:-1",
    "[::1", "[::1]x", "[::1]:", "[]", "[]:1", "a b", "unix:", "a\n", "a:123456",
    ("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaa") };

START_TEST(what_is_no_address_is_refused_with_a_reason)
{
    struct server server;
    const char *why = NULL;

    ck_assert(!server_parse(text(NO_SERVERS[_i]), &server, &why));
    ck_assert_ptr_nonnull(why);
}
END_TEST

START_TEST(every_byte_of_a_key_comes_back)
{
    char all[256], shown[SHOW_ROOM(256)], back[SHOW_ROOM(256)];
    size_t len;

    for (unsigned i = 0; i < 256; i++)
        all[i] = (char)i;
    char *end = show_key_put(shown, slice_of(all, sizeof all));
    for (char *at = shown; at < end; at++)
        ck_assert(*at > ' ' && *at < 0x7f);
    ck_assert(show_decode(back, slice_of(shown, (size_t)(end - shown)), &len));
    ck_assert_uint_eq(len, sizeof all);
    ck_assert_mem_eq(back, all, sizeof all);
}
END_TEST

START_TEST(a_broken_escape_is_refused)
{
    static const char *const BROKEN[] = { "%", "a%4", "%4g", "%g4", "%%", "%-1" };
    char back[8];
    size_t len;

    for (size_t i = 0; i < sizeof BROKEN / sizeof BROKEN[0]; i++)
        ck_assert(!show_decode(back, text(BROKEN[i]), &len));
}
END_TEST

START_TEST(nothing_that_is_shown_moves_a_terminal)
{
    char cut[8];
    FILE *to = paper();

    show_line(to, SLICE("a %20\x1b[2J\x9b\r\n\x7f\xc3\xa4"));
    expect(to, "a %20%1B[2J%9B%0D%0A%7F%C3%A4");
    show_line_put(cut, sizeof cut, SLICE("abcde\x1bg"));
    ck_assert_str_eq(cut, "abcde");
    show_line_put(cut, sizeof cut, SLICE("abcdefghi"));
    ck_assert_str_eq(cut, "abcdefg");
    show_line_put(cut, sizeof cut, SLICE("abcd\x1b"));
    ck_assert_str_eq(cut, "abcd%1B");
}
END_TEST

START_TEST(json_is_json)
{
    FILE *to = paper();
    struct json json = { .to = to };

    json_begin(&json, '{');
    json_pair_text(&json, "a\"\\", SLICE("\x01%\xff \"\\"));
    json_pair_u64(&json, "u", UINT64_MAX);
    json_pair_i64(&json, "i", INT64_MIN);
    json_pair_real(&json, "r", 1.5);
    json_pair_real(&json, "n", 0.0 / 0.0);
    json_name(&json, SLICE("l"));
    json_begin(&json, '[');
    json_bool(&json, true);
    json_bool(&json, false);
    json_begin(&json, '{');
    json_end(&json, '}');
    json_end(&json, ']');
    json_pair_text(&json, "z", SLICE(""));
    json_end(&json, '}');
    json_line(&json);
    expect(to, "{\"a\\\"\\\\\":\"%01%25%FF \\\"\\\\\",\"u\":18446744073709551615,"
               "\"i\":-9223372036854775808,\"r\":1.500,\"n\":null,"
               "\"l\":[true,false,{}],\"z\":\"\"}\n");
}
END_TEST

static const struct {
    const char *word;
    bool number;
} WORDS[] = {
    { "0", true }, { "-1", true }, { "10", true }, { "1.5", true }, { "0.000001", true },
    { "01", false }, { "1.", false }, { ".5", false }, { "", false }, { "-", false },
    { "1.6.45", false }, { "1e5", false }, { "+1", false }, { " 1", false },
    { "123456789012345678901", false }, { "NaN", false }, { "0x1", false },
};

START_TEST(numbers_are_numbers_and_the_rest_is_text)
{
    FILE *to = paper();
    struct json json = { .to = to };
    char wanted[64];

    json_word(&json, text(WORDS[_i].word));
    snprintf(wanted, sizeof wanted, WORDS[_i].number ? "%s" : "\"%s\"", WORDS[_i].word);
    expect(to, wanted);
}
END_TEST

START_TEST(base64_in_pieces_is_base64)
{
    for (size_t first = 0; first <= 7; first++) {
        FILE *to = paper();
        struct json json = { .to = to };

        json_base64_begin(&json);
        json_base64_more(&json, slice_of("foobars", first));
        for (size_t i = first; i < 7; i++)
            json_base64_more(&json, slice_of(&"foobars"[i], 1));
        json_base64_end(&json);
        expect(to, "\"Zm9vYmFycw==\"");
    }
}
END_TEST

START_TEST(the_first_fitting_password_is_taken)
{
    struct slice file = SLICE("\nnobody\n:x\na b:x\nann:s:e\r\nbob:\n");
    struct login login;

    ck_assert(login_parse(&login, file, NULL));
    ck_assert_str_eq(login.user, "ann");
    ck_assert_str_eq(login.password, "s:e");
    ck_assert(login_parse(&login, file, "bob"));
    ck_assert_str_eq(login.user, "bob");
    ck_assert_str_eq(login.password, "");
    ck_assert(!login_parse(&login, file, "eve"));
    ck_assert(!login_parse(&login, SLICE(""), NULL));
}
END_TEST

static const struct {
    const char *line;
    enum report_kind kind;
    const char *name, *value;
} ROWS[] = {
    { "STAT pid 1", REPORT_STAT, "pid", "1" },
    { "STAT a b c", REPORT_STAT, "a", "b c" },
    { "STAT a", REPORT_STAT, "a", "" },
    { "STAT ", REPORT_STAT, "", "" },
    { "PREFIX  get 1 hit 2 set 3 del 4", REPORT_PREFIX, "", "get 1 hit 2 set 3 del 4" },
    { "PREFIX a get b get 1 hit 2", REPORT_PREFIX, "a get b", "get 1 hit 2" },
    { "ITEM k [1 b; 0 s]", REPORT_ITEM, "k", "[1 b; 0 s]" },
    { "ITEM [ [1 b; 0 s]", REPORT_ITEM, "[", "[1 b; 0 s]" },
};

START_TEST(rows_of_reports_are_taken_apart)
{
    struct report_row row;

    ck_assert(report_row(text(ROWS[_i].line), &row));
    ck_assert_int_eq(row.kind, ROWS[_i].kind);
    ck_assert(slice_equal(row.name, text(ROWS[_i].name)));
    ck_assert(slice_equal(row.value, text(ROWS[_i].value)));
}
END_TEST

START_TEST(other_lines_are_no_rows)
{
    static const char *const OTHER[] = { "", "STAT", "STATX 1", "ERROR", "stat a b", "END" };
    struct report_row row;

    for (size_t i = 0; i < sizeof OTHER / sizeof OTHER[0]; i++)
        ck_assert(!report_row(text(OTHER[i]), &row));
}
END_TEST

START_TEST(classes_are_put_together)
{
    struct report_row rows[] = {
        { REPORT_STAT, SLICE("1:chunk_size"), SLICE("96") },
        { REPORT_STAT, SLICE("63:free_chunks"), SLICE("5") },
        { REPORT_STAT, SLICE("items:1:number"), SLICE("7") },
        { REPORT_STAT, SLICE("items:64:number"), SLICE("8") },
        { REPORT_STAT, SLICE("items:1:evicted"), SLICE("x") },
        { REPORT_STAT, SLICE("999999999999:number"), SLICE("8") },
        { REPORT_STAT, SLICE("total_malloced"), SLICE("1048576") },
    };
    struct report report = { .rows = rows, .n = sizeof rows / sizeof rows[0] };
    struct classes classes = { .total_malloced = 0 };

    classes_add(&classes, &report);
    ck_assert_uint_eq(classes.at[1].chunk_size, 96);
    ck_assert_uint_eq(classes.at[1].items, 7);
    ck_assert_uint_eq(classes.at[1].evicted, 0);
    ck_assert_uint_eq(classes.at[63].free_chunks, 5);
    ck_assert_uint_eq(classes.total_malloced, 1048576);
    ck_assert(classes_full(&classes.at[1]));
    ck_assert(!classes_full(&classes.at[63]));
}
END_TEST

START_TEST(numbers_with_fractions_are_read)
{
    ck_assert(report_parse_real(SLICE("12.25")) == 12.25);
    ck_assert(report_parse_real(SLICE("3")) == 3);
    ck_assert(report_parse_real(SLICE("-3")) == 0);
    ck_assert(report_parse_real(SLICE("3.")) == 0);
    ck_assert(report_parse_real(SLICE("")) == 0);
}
END_TEST

START_TEST(a_record_comes_back)
{
    struct record record = { .key = "a \x1b%\xff\n", .key_len = 6, .flags = UINT32_MAX,
        .expires = 4102444800, .bytes = 12 }, back;
    struct slice line;
    uint64_t number;
    FILE *to = paper();

    record_put(to, &record);
    fclose(to);
    ck_assert_str_eq(written, "item a%20%1B%25%FF%0A 4294967295 4102444800 12\n");
    line = slice_of(written, written_len - 1);
    ck_assert_int_eq(record_parse(line, &back, &number), RECORD_ITEM);
    ck_assert_uint_eq(back.key_len, record.key_len);
    ck_assert_mem_eq(back.key, record.key, record.key_len);
    ck_assert_uint_eq(back.flags, record.flags);
    ck_assert_uint_eq(back.expires, record.expires);
    ck_assert_uint_eq(back.bytes, record.bytes);
    free(written);
    ck_assert_int_eq(record_parse(SLICE("end 12"), &back, &number), RECORD_END);
    ck_assert_uint_eq(number, 12);
    ck_assert_int_eq(record_parse(SLICE("larder-dump 1 99"), &back, &number), RECORD_BEGIN);
    ck_assert_int_eq(record_parse(SLICE("larder-dump 2 x y"), &back, &number),
        RECORD_TOO_NEW);
}
END_TEST

static const char *const BAD_RECORDS[] = { "", "item", "item k", "item k 0 0", "item k 0 0 x",
    "item  0 0 1", "item k 4294967296 0 1", "item k 0 9223372036854775808 1",
    "item k 0 0 2147483648", "item k 0 0 1 2", "item k 0 0 1 ", "item %0 0 0 1",
    "item k -1 0 1", "item  k 0 0 1", "end", "end x", "end 1 2", "larder-dump",
    "larder-dump 1", "larder-dump x 1", "larder-dump 1 1 1", "ITEM k 0 0 1" };

START_TEST(a_bad_record_is_refused)
{
    struct record record;
    uint64_t number;

    ck_assert_int_eq(record_parse(text(BAD_RECORDS[_i]), &record, &number), RECORD_BAD);
}
END_TEST

START_TEST(a_key_of_251_bytes_is_no_key)
{
    char line[2048], key[252];
    struct record record;
    uint64_t number;

    for (size_t len = 250; len <= 251; len++) {
        memset(key, 'k', len);
        key[len] = '\0';
        snprintf(line, sizeof line, "item %s 0 0 0", key);
        ck_assert_int_eq(record_parse(text(line), &record, &number),
            len == 250 ? RECORD_ITEM : RECORD_BAD);
        snprintf(line, sizeof line, "key=%s exp=-1 ", key);
        ck_assert_int_eq(dump_parse_key(text(line), &record), len == 250);
    }
}
END_TEST

START_TEST(commands_name_any_key_that_fits)
{
    char to[RECORD_COMMAND_MAX];
    struct record record = { .key = "abc", .key_len = 3 };
    bool binary;
    char *end = record_command(to, "mg", &record, &binary);

    ck_assert(!binary);
    ck_assert(slice_equal(slice_of(to, (size_t)(end - to)), SLICE("mg abc")));
    memcpy(record.key, "a c", 3);
    end = record_command(to, "ms", &record, &binary);
    ck_assert(binary);
    ck_assert(slice_equal(slice_of(to, (size_t)(end - to)), SLICE("ms YSBj")));
    memset(record.key, ' ', 250);
    record.key_len = 186;
    ck_assert_ptr_nonnull(record_command(to, "mg", &record, &binary));
    record.key_len = 187;
    ck_assert_ptr_null(record_command(to, "mg", &record, &binary));
    memset(record.key, 'k', 250);
    record.key_len = 250;
    ck_assert_ptr_nonnull(record_command(to, "mg", &record, &binary));
}
END_TEST

START_TEST(lines_of_metadump_are_read)
{
    struct record record;

    ck_assert(dump_parse_key(SLICE("key=a%20b exp=-1 la=1 cas=2 fetch=no cls=1 size=9 "),
        &record));
    ck_assert_uint_eq(record.key_len, 3);
    ck_assert_mem_eq(record.key, "a b", 3);
    ck_assert(!dump_parse_key(SLICE("key=a"), &record));
    ck_assert(!dump_parse_key(SLICE("key= exp=-1"), &record));
    ck_assert(!dump_parse_key(SLICE("key=%zz exp=-1"), &record));
    ck_assert(!dump_parse_key(SLICE("ERROR locked try again later"), &record));
}
END_TEST

START_TEST(heads_of_values_are_read)
{
    struct dump_head head;

    ck_assert(dump_parse_head(SLICE("VA 3 f7 t60 W X Z"), &head));
    ck_assert_uint_eq(head.bytes, 3);
    ck_assert_uint_eq(head.flags, 7);
    ck_assert_int_eq(head.ttl, 60);
    ck_assert(head.stale);
    ck_assert(dump_parse_head(SLICE("VA 0 f0 t-1"), &head));
    ck_assert_int_eq(head.ttl, -1);
    ck_assert(!head.stale);
    ck_assert(!dump_parse_head(SLICE("VA"), &head));
    ck_assert(!dump_parse_head(SLICE("VA x"), &head));
    ck_assert(!dump_parse_head(SLICE("VA 2147483648"), &head));
    ck_assert(!dump_parse_head(SLICE("VA 1 f4294967296"), &head));
    ck_assert(!dump_parse_head(SLICE("VA 1 t-2"), &head));
    ck_assert(!dump_parse_head(SLICE("HD f1"), &head));
    ck_assert(!dump_parse_head(SLICE(""), &head));
}
END_TEST

static const struct {
    const char *line, *json;
} EVENTS[] = {
    { "ts=1.5 gid=2 type=item_get key=a%20b status=found",
        "{\"ts\":1.5,\"gid\":2,\"type\":\"item_get\",\"key\":\"a b\",\"status\":\"found\"}\n" },
    { "key=%zz ", "{\"key\":\"%25zz\"}\n" },
    { "a=", "{\"a\":\"\"}\n" },
    { "no words", "{\"line\":\"no words\"}\n" },
    { "a=1  b=2", "{\"line\":\"a=1  b=2\"}\n" },
    { "=1", "{\"line\":\"=1\"}\n" },
    { "", "{\"line\":\"\"}\n" },
    { "\x1b=\x1b", "{\"%1B\":\"%1B\"}\n" },
};

START_TEST(events_become_json)
{
    FILE *to = paper();
    struct json json = { .to = to };

    watch_json(&json, text(EVENTS[_i].line));
    expect(to, EVENTS[_i].json);
}
END_TEST

#define LOOP(tc, test, table) \
    tcase_add_loop_test(tc, test, 0, sizeof table / sizeof table[0])

int
main(void)
{
    Suite *suite = suite_create("ctl parsers");
    TCase *tc = tcase_create("parsers");
    SRunner *runner = srunner_create(suite);
    int failed;

    LOOP(tc, addresses_are_read, SERVERS);
    LOOP(tc, what_is_no_address_is_refused_with_a_reason, NO_SERVERS);
    tcase_add_test(tc, every_byte_of_a_key_comes_back);
    tcase_add_test(tc, a_broken_escape_is_refused);
    tcase_add_test(tc, nothing_that_is_shown_moves_a_terminal);
    tcase_add_test(tc, json_is_json);
    LOOP(tc, numbers_are_numbers_and_the_rest_is_text, WORDS);
    tcase_add_test(tc, base64_in_pieces_is_base64);
    tcase_add_test(tc, the_first_fitting_password_is_taken);
    LOOP(tc, rows_of_reports_are_taken_apart, ROWS);
    tcase_add_test(tc, other_lines_are_no_rows);
    tcase_add_test(tc, classes_are_put_together);
    tcase_add_test(tc, numbers_with_fractions_are_read);
    tcase_add_test(tc, a_record_comes_back);
    LOOP(tc, a_bad_record_is_refused, BAD_RECORDS);
    tcase_add_test(tc, a_key_of_251_bytes_is_no_key);
    tcase_add_test(tc, commands_name_any_key_that_fits);
    tcase_add_test(tc, lines_of_metadump_are_read);
    tcase_add_test(tc, heads_of_values_are_read);
    LOOP(tc, events_become_json, EVENTS);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
